"""What a claim is: a statement, its hypothesis, what was measured, its bound, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from numpy.linalg import LinAlgError

from refimpl.errors import ImplicitBiasError
from verification.claims.evidence import Evidence

__all__ = ["Claim", "ClaimResult", "HypothesisResult", "Measurement", "Verdict"]

LARGEST_TOLERANCE = 1e-6
"""No tolerance of a verdict is a larger part of max(1, bound); a larger error estimate makes it INCONCLUSIVE."""

LIMIT_ERROR = (
    "error of the limit: amplified rounding, 64 n eps D/λ_min(M), or the root of its duality gap if that is smaller"
)
"""Why a tolerance is `Evidence.flow_error`."""


class Verdict(Enum):
    """The verdicts; the value is a sentence for people."""

    HOLDS_CERTIFIED = "The conclusion was proven in exact arithmetic."
    HOLDS_NUMERICALLY = "The hypothesis holds and the measurement agrees with the conclusion."
    VIOLATED = "The hypothesis holds and the measurement contradicts the conclusion."
    HYPOTHESIS_NOT_MET = "The hypothesis does not hold; the measurement is shown all the same."
    INCONCLUSIVE = "The numerics did not decide, although the hypothesis holds or may hold."


@dataclass(frozen=True)
class HypothesisResult:
    """Whether a claim's hypothesis holds on the data.

    Attributes
    ----------
    name : str
        The condition, in a few words.
    satisfied : bool
    slack : float or None
        At least 1 where satisfied; None for a condition without a natural scale.
    undecided : str
        Why the numerics do not tell whether it is satisfied; empty if they do.
    """

    name: str
    satisfied: bool
    slack: float | None
    undecided: str = ""


@dataclass(frozen=True)
class Measurement:
    """What was measured, to be compared with a bound: `value` <= `bound` + `tolerance`.

    Attributes
    ----------
    quantity : str
        What `value` is, in a few words.
    value : float or None
        None if nothing could be measured.
    bound : float
    tolerance : float
        From an error estimate.
    tolerance_reason : str
    undecided : str
        Why the numerics do not decide; empty if they do.
    details : dict
        Further numbers, ready for JSON.
    note : str
        What a reader must know although the numerics decide, such as that a bound says nothing.
    statistical : bool
        Whether the tolerance is the width of a sampling error, which may exceed `LARGEST_TOLERANCE`.
    """

    quantity: str
    value: float | None
    bound: float
    tolerance: float
    tolerance_reason: str
    undecided: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    statistical: bool = False

    @classmethod
    def missing(cls, quantity: str, bound: float, reason: str, details: dict[str, Any] | None = None) -> Measurement:
        """What stands in a row where nothing could be measured, and why."""
        return cls(quantity, None, bound, 0.0, "", reason, details or {})

    @property
    def agrees(self) -> bool:
        """Whether the value is within its bound and tolerance."""
        return self.value is not None and self.value <= self.bound + self.tolerance

    @property
    def reason_for_doubt(self) -> str:
        """Why this measurement decides nothing; empty if it does."""
        if self.undecided:
            return self.undecided
        if self.value is None or math.isnan(self.value):
            return "Nothing could be measured."
        size = max(1.0, self.bound) if math.isfinite(self.bound) else 1.0
        if not (self.statistical or self.tolerance <= LARGEST_TOLERANCE * size):
            return f"The error estimate {self.tolerance:.1e} exceeds {LARGEST_TOLERANCE * size:.3g}."
        return ""


@dataclass(frozen=True)
class ClaimResult:
    """One row of the report."""

    id: str
    title: str
    source: str
    hypothesis: HypothesisResult
    measurement: Measurement
    verdict: Verdict
    reason: str
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        m = self.measurement
        return {
            "id": self.id,
            "title": self.title,
            "source": self.source,
            "hypothesis": vars(self.hypothesis).copy(),
            "quantity": m.quantity,
            "measured": m.value,
            "bound": m.bound,
            "tolerance": m.tolerance,
            "tolerance_reason": m.tolerance_reason,
            "details": m.details,
            "verdict": self.verdict.name,
            "reason": self.reason,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Claim:
    """One statement of the theory and how it is checked.

    Attributes
    ----------
    id, title, source : str
    hypothesis : callable
        Evidence -> HypothesisResult.
    measure : callable
        Evidence -> Measurement.
    about_kkt_points : bool
        Whether the conclusion is about every KKT point, so that an exact certificate proves it. A
        trajectory is never called certified.
    applies : callable
        Evidence -> whether the claim can be checked at this size; where not, it has no row.
    """

    id: str
    title: str
    source: str
    hypothesis: Callable[[Evidence], HypothesisResult]
    measure: Callable[[Evidence], Measurement]
    about_kkt_points: bool = False
    applies: Callable[[Evidence], bool] = lambda evidence: True

    def evaluate(self, evidence: Evidence, seconds: Callable[[], float]) -> ClaimResult:
        """The verdict on the evidence; `seconds` is a clock.

        A hypothesis or a measurement that cannot be had (`NOT_TO_BE_HAD`) makes this row undecided and says
        why. Any other exception is a fault of the program and is not caught.
        """
        started = seconds()
        try:
            hypothesis = self.hypothesis(evidence)
        except NOT_TO_BE_HAD as error:
            hypothesis = HypothesisResult("not decided", False, None, _told(error))
        try:
            measurement = self.measure(evidence)
        except NOT_TO_BE_HAD as error:
            measurement = Measurement.missing("nothing", 0.0, _told(error))
        verdict, reason = judge(hypothesis, measurement)
        if verdict is Verdict.HOLDS_NUMERICALLY and self.about_kkt_points and evidence.every_kkt_point_is_certified:
            verdict = Verdict.HOLDS_CERTIFIED
        return ClaimResult(
            self.id, self.title, self.source, hypothesis, measurement, verdict, reason, seconds() - started
        )


NOT_TO_BE_HAD = (ImplicitBiasError, LinAlgError)
"""What tells that a quantity cannot be had on these data: refused on purpose, or an iteration that did not converge."""


def _told(error: Exception) -> str:
    """The error as the reason of a row."""
    return str(error) if isinstance(error, ImplicitBiasError) else f"Linear algebra failed: {error}."


def judge(hypothesis: HypothesisResult, measurement: Measurement) -> tuple[Verdict, str]:
    """The verdict and its reason.

    Examples
    --------
    >>> holds = HypothesisResult("refined condition", True, 2.0)
    >>> judge(holds, Measurement("largest |q_i - 1|", 1e-15, 0.0, 1e-10, "rounding"))[0].name
    'HOLDS_NUMERICALLY'
    >>> judge(holds, Measurement("largest |q_i - 1|", 0.2, 0.0, 1e-10, "rounding"))[0].name
    'VIOLATED'
    """
    doubt = measurement.reason_for_doubt
    if hypothesis.undecided:
        return Verdict.INCONCLUSIVE, hypothesis.undecided
    if not hypothesis.satisfied:
        return Verdict.HYPOTHESIS_NOT_MET, doubt or measurement.note
    if doubt:
        return Verdict.INCONCLUSIVE, doubt
    return Verdict.HOLDS_NUMERICALLY if measurement.agrees else Verdict.VIOLATED, measurement.note
