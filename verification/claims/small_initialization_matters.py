"""With a small start descent has low stable rank from the first step, with a large one it has not."""

from __future__ import annotations

import numpy as np

from refimpl.descent import DescentTrajectory
from refimpl.spectrum import frobenius_norm, stable_rank_by_norms
from refimpl.validation import Array
from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.evidence import Evidence
from verification.witnesses.bounds import largest_stable_rank_with_start

__all__ = ["CLAIM"]

FACTORS = (1e-4, 1e-2, 1.0, 1e3, 1e6)
"""‖W(0)‖_F in units of α‖a‖R_max, which no step of descent on the logistic loss exceeds."""

STEPS = 50
QUANTITY = "stable rank, smallest start / largest"
NEARLY_EQUAL = "The start's stable rank is too near the bound of section 8 for these {} sizes to tell."


def hypothesis(evidence: Evidence) -> HypothesisResult:
    """The start has a larger stable rank than section 8 allows W(t) - W(0); slack: their quotient.

    And g <= 1, as for the logistic loss: from a large start the weights of the exponential loss make a first
    step that is larger still.
    """
    slack = stable_rank_by_norms(largest_start(evidence)) / evidence.increment_bound
    if evidence.loss.name != "logistic":
        return HypothesisResult("room, and logistic loss", False, 0.0)
    return HypothesisResult("room: start / section 8", slack > 1.0, slack)


def largest_start(evidence: Evidence) -> Array:
    """W0 of the largest scale."""
    return max(evidence.starts, key=lambda start: start.scale).W0


def measure(evidence: Evidence) -> Measurement:
    """Stable rank of W after one step, and after fifty: smallest start over largest, the larger quotient."""
    W0 = largest_start(evidence)
    norm = frobenius_norm(W0)
    if norm == 0.0:
        return Measurement.missing(QUANTITY, 1.0, "The start is 0 and has no stable rank.")
    unit = evidence.alpha * float(np.linalg.norm(evidence.network.second_layer)) * evidence.data.R_max
    rows: list[list[DescentTrajectory]] = []
    for factor in FACTORS:
        start, what = factor * unit / norm * W0, f"gradient descent from scale {factor:g}"
        runs = [evidence.descend(start, factor, k, k, what) for k in (1, STEPS)]
        if failure := next((run.failure for run in runs if run.failure), ""):
            return Measurement.missing(QUANTITY, 1.0, failure)
        rows.append([run.result.trajectory for run in runs])
    ranks = [[float(path.stable_rank[-1]) for path in row] for row in rows]
    value = max(small / large for small, large in zip(ranks[0], ranks[-1], strict=True))
    within = max(most(*pair, evidence.increment_bound) for pair in zip(rows[0], rows[-1], strict=True))
    return Measurement(
        quantity=QUANTITY,
        value=value,
        bound=1.0,
        tolerance=1e-9,
        tolerance_reason="rounding of the stable rank",
        undecided=NEARLY_EQUAL.format(len(FACTORS)) if 1.0 < value <= within else "",
        details={"factors": list(FACTORS), "after_one_step_and_after_fifty": ranks},
        trivial=float(min(evidence.network.m, evidence.dimension)),
        trivial_reason="every stable rank is 1, for W has only one row or one column",
    )


def most(small: DescentTrajectory, large: DescentTrajectory, bound: float) -> float:
    """The largest quotient that section 8 leaves: of W(0) + Δ with W(0) small over one with W(0) large.

    For the large one ‖W‖_F >= ‖W(0)‖_F - ‖Δ‖_F and ‖W‖₂ <= ‖W(0)‖₂ + ‖Δ‖_F.
    """
    start, share = float(large.stable_rank[0]), frobenius_norm(large.increment_norms[-1]) / float(large.norm[0])
    least = start * (max(0.0, 1.0 - share) / (1.0 + share * np.sqrt(start))) ** 2
    return largest_stable_rank_with_start(small, bound) / least if least > 0.0 else float("inf")


CLAIM = Claim(
    id="small-initialization-matters",
    title="A small start gives a lower stable rank after one step and later",
    source="Frei et al., arXiv 2210.07082; docs/theory.md, sections 8 and 9",
    hypothesis=hypothesis,
    measure=measure,
)
