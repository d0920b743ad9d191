"""What a claim is: a statement, its hypothesis, what was measured, its bound, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from numpy.linalg import LinAlgError

from refimpl.errors import ImplicitBiasError
from verification.claims.evidence import Evidence
from verification.claims.proofs import ExactConclusion, by_proofs

__all__ = [
    "Claim",
    "ClaimError",
    "ClaimResult",
    "Conclusion",
    "HypothesisResult",
    "Measurement",
    "Verdict",
    "judge_conclusion",
]

LARGEST_TOLERANCE = 1e-6
"""No tolerance of a verdict is a larger part of max(1, bound, value); a larger error estimate makes it INCONCLUSIVE."""

LIMIT_ERROR = "error of the limit: rounding of q over λ_min(M)^½, or the root of its duality gap if that is smaller"
"""Why a tolerance is `Evidence.flow_error`."""


class Verdict(Enum):
    """The verdicts on the theorem; the value is a sentence for people."""

    HOLDS_CERTIFIED = "The conclusion was proven in exact arithmetic."
    HOLDS_NUMERICALLY = "The hypothesis holds and the measurement agrees with the conclusion."
    VIOLATED = "The hypothesis holds and the measurement contradicts the conclusion."
    VACUOUS = "The hypothesis holds and so does the conclusion, but the bound says nothing: nothing could exceed it."
    HYPOTHESIS_NOT_MET = "The hypothesis does not hold; the measurement is shown all the same."
    INCONCLUSIVE = "The numerics did not decide, although the hypothesis holds or may hold."


class Conclusion(Enum):
    """Whether the conclusion is true of what was measured, be the hypothesis met or not."""

    HOLDS = "What was measured is within the bound and its tolerance."
    FAILS = "What was measured exceeds the bound and its tolerance."
    UNDECIDED = "Nothing was measured, the numerics do not decide, or there is no finite bound."


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
    trivial : float
        The largest value that anything could have here; a bound that reaches it says nothing. inf where there is none.
    trivial_reason : str
        Why nothing exceeds `trivial`, as part of a sentence.
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
    trivial: float = math.inf
    trivial_reason: str = ""

    @classmethod
    def missing(cls, quantity: str, bound: float, reason: str, details: dict[str, Any] | None = None) -> Measurement:
        """What stands in a row where nothing could be measured, and why."""
        return cls(quantity, None, bound, 0.0, "", reason, details or {})

    @property
    def agrees(self) -> bool:
        """Whether the value is within its bound and tolerance."""
        return self.value is not None and self.value <= self.bound + self.tolerance

    @property
    def vacuous(self) -> bool:
        """Whether nothing could exceed the bound.

        Examples
        --------
        >>> Measurement("stable rank", 1.25, 6970.0, 1e-9, "rounding", trivial=16.0).vacuous
        True
        """
        return self.value is not None and self.bound + self.tolerance >= self.trivial

    @property
    def says_nothing(self) -> str:
        """What is wrong with a vacuous bound, in one sentence; empty if it says something."""
        if not self.vacuous:
            return ""
        if self.bound == math.inf:
            return "There is no finite bound."
        why = self.trivial_reason or f"the largest value is {self.trivial:.4g}"
        return f"The bound {self.bound:.4g} says nothing: {why}."

    @property
    def reason_for_doubt(self) -> str:
        """Why this measurement decides nothing; empty if it does."""
        if self.undecided:
            return self.undecided
        if self.value is None or math.isnan(self.value):
            return "Nothing could be measured."
        size = (
            max(1.0, self.bound, self.value if math.isfinite(self.value) else 0.0) if math.isfinite(self.bound) else 1.0
        )
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
    conclusion: Conclusion = Conclusion.UNDECIDED
    proven: str = ""
    """What `verify --prove` proved of the conclusion: "holds" from every start, "refuted" by one limit, else empty."""

    @property
    def standing(self) -> str:
        """Hypothesis and conclusion in a few words, for the last line of a report.

        Where the hypothesis is not met it tells whether the conclusion holds all the same.
        """
        if self.verdict is not Verdict.HYPOTHESIS_NOT_MET:
            return self.verdict.name
        if self.proven:
            return f"{self.verdict.name} ({PROVEN[self.proven]})"
        if self.measurement.vacuous and not self.measurement.reason_for_doubt:
            return f"{self.verdict.name} (bound says nothing)"
        return f"{self.verdict.name} (conclusion {WORDS[self.conclusion]})"

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
            "statistical": m.statistical,
            "undecided": m.undecided,
            "trivial": m.trivial,
            "trivial_reason": m.trivial_reason,
            "details": m.details,
            "verdict": self.verdict.name,
            "conclusion": self.conclusion.name,
            "proven": self.proven,
            "reason": self.reason,
            "seconds": self.seconds,
        }


WORDS = {Conclusion.HOLDS: "holds", Conclusion.FAILS: "fails", Conclusion.UNDECIDED: "undecided"}
"""A conclusion as a verb."""

PROVEN = {"holds": "conclusion holds, proven", "refuted": "refuted, proven"}
"""What proofs of flows or points say where the hypothesis is not met."""


class ClaimError(ImplicitBiasError):
    """The code of a claim failed: a fault of the claim, neither of the data nor of the theory."""

    def __init__(self, claim: str, error: BaseException) -> None:
        self.claim = claim
        super().__init__(f"the claim `{claim}` failed with {type(error).__name__}: {error}")


@dataclass(frozen=True)
class Claim:
    """One statement of the theory and how it is checked.

    Attributes
    ----------
    id, title, source : str
        A short name in lower case with hyphens; the statement as a sentence; where it is stated and proved.
    hypothesis : callable
        Evidence -> HypothesisResult. Its docstring says what is asked for.
    measure : callable
        Evidence -> Measurement. Its docstring says what is measured.
    about_kkt_points : bool
        Whether the conclusion is about every KKT point, so that an exact certificate proves it.
    exact : callable, optional
        Whether a proven KKT point has the conclusion. With `verify --prove` the flows of all starts can certify the
        row, and one of their limits can refute it.
    applies : callable
        Evidence -> whether the claim speaks about this network and these data; where not, it has no row.

    Examples
    --------
    docs/extending.md has a complete one, for a claim that is true and for one that is not.
    """

    id: str
    title: str
    source: str
    hypothesis: Callable[[Evidence], HypothesisResult]
    measure: Callable[[Evidence], Measurement]
    about_kkt_points: bool = False
    applies: Callable[[Evidence], bool] = lambda evidence: True
    exact: ExactConclusion | None = None

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
        _require(hypothesis, HypothesisResult, "hypothesis")
        try:
            measurement = self.measure(evidence)
        except NOT_TO_BE_HAD as error:
            measurement = Measurement.missing("nothing", 0.0, _told(error))
        _require(measurement, Measurement, "measure")
        verdict, reason = judge(hypothesis, measurement)
        if verdict is Verdict.HOLDS_NUMERICALLY and self.about_kkt_points and _is_certified(evidence):
            verdict = Verdict.HOLDS_CERTIFIED
        row = self._row(hypothesis, measurement, verdict, reason, seconds() - started)
        return self._with_proofs(row, evidence) if evidence.prove and self.exact is not None else row

    def _with_proofs(self, row: ClaimResult, evidence: Evidence) -> ClaimResult:
        """The row after what was proven of the starts; where a proof cannot be had, as it was."""
        try:
            holds, told = by_proofs(evidence, self.exact or (lambda *_: None))
        except NOT_TO_BE_HAD:
            return row
        if holds is None:
            return row
        verdict, reason = row.verdict, " ".join(filter(None, (told, row.reason)))
        if row.hypothesis.satisfied and not row.hypothesis.undecided:
            verdict = Verdict.HOLDS_CERTIFIED if holds else Verdict.VIOLATED
            verdict = Verdict.VACUOUS if holds and row.verdict is Verdict.VACUOUS else verdict
        conclusion, proven = (Conclusion.HOLDS, "holds") if holds else (Conclusion.FAILS, "refuted")
        return replace(row, verdict=verdict, reason=reason, conclusion=conclusion, proven=proven)

    @contextmanager
    def own_errors(self) -> Iterator[None]:
        """Errors of a claim from elsewhere become a `ClaimError`, those of the package stay what they are."""
        try:
            yield
        except ImplicitBiasError:
            raise
        except Exception as error:
            if (getattr(self.measure, "__module__", "") or "").startswith("verification.claims."):
                raise
            raise ClaimError(self.id, error) from error

    def not_reached(self, reason: str) -> ClaimResult:
        """The row of a claim that was not looked at, and why."""
        hypothesis = HypothesisResult("not looked at", False, None, reason)
        return self._row(hypothesis, Measurement.missing("nothing", 0.0, reason), Verdict.INCONCLUSIVE, reason, 0.0)

    def _row(
        self, hypothesis: HypothesisResult, measurement: Measurement, verdict: Verdict, reason: str, seconds: float
    ) -> ClaimResult:
        conclusion = judge_conclusion(measurement)
        return ClaimResult(
            self.id, self.title, self.source, hypothesis, measurement, verdict, reason, seconds, conclusion
        )


NOT_TO_BE_HAD = (ImplicitBiasError, LinAlgError)
"""What tells that a quantity cannot be had on these data: refused on purpose, or an iteration that did not converge."""


def _told(error: Exception) -> str:
    """The error as the reason of a row."""
    return str(error) if isinstance(error, ImplicitBiasError) else f"Linear algebra failed: {error}."


def _require(found: Any, kind: type, name: str) -> None:
    """What a claim's function returns is what a verdict can be made of."""
    if not isinstance(found, kind):
        raise TypeError(f"`{name}` must return a {kind.__name__}; it returned {type(found).__name__}")


def _is_certified(evidence: Evidence) -> bool:
    """Whether every KKT point is certified; what cannot be had costs the certificate only."""
    try:
        return evidence.every_kkt_point_is_certified
    except NOT_TO_BE_HAD:
        return False


def judge(hypothesis: HypothesisResult, measurement: Measurement) -> tuple[Verdict, str]:
    """The verdict on the theorem and its reason.

    Examples
    --------
    >>> holds = HypothesisResult("refined condition", True, 2.0)
    >>> judge(holds, Measurement("largest |q_i - 1|", 1e-15, 0.0, 1e-10, "rounding"))[0].name
    'HOLDS_NUMERICALLY'
    >>> judge(holds, Measurement("largest |q_i - 1|", 0.2, 0.0, 1e-10, "rounding"))[0].name
    'VIOLATED'
    >>> judge(holds, Measurement("stable rank", 1.25, 6970.0, 1e-9, "rounding", trivial=16.0))[0].name
    'VACUOUS'
    """
    doubt = measurement.reason_for_doubt
    note = " ".join(filter(None, (measurement.says_nothing, measurement.note)))
    if hypothesis.undecided:
        return Verdict.INCONCLUSIVE, hypothesis.undecided
    if not hypothesis.satisfied:
        return Verdict.HYPOTHESIS_NOT_MET, doubt or note
    if doubt:
        return Verdict.INCONCLUSIVE, doubt
    if not measurement.agrees:
        return Verdict.VIOLATED, measurement.note
    return Verdict.VACUOUS if measurement.vacuous else Verdict.HOLDS_NUMERICALLY, note


def judge_conclusion(measurement: Measurement) -> Conclusion:
    """Whether the conclusion is true of what was measured, whatever the hypothesis.

    Examples
    --------
    >>> [judge_conclusion(Measurement("largest |q_i - 1|", x, 0.0, 1e-10, "rounding")).name for x in (0.2, 1e-15, None)]
    ['FAILS', 'HOLDS', 'UNDECIDED']
    """
    if measurement.reason_for_doubt or measurement.bound == math.inf:
        return Conclusion.UNDECIDED
    return Conclusion.HOLDS if measurement.agrees else Conclusion.FAILS
