"""The multipliers of the limit lie within the bounds of docs/theory.md, section 5."""

from __future__ import annotations

import numpy as np

from refimpl.flow import FlowLimit
from refimpl.flow.cell import Cell
from refimpl.validation import Array
from verification.claims.base import Claim, Measurement
from verification.claims.evidence import SMALLEST_TOLERANCE, Evidence
from verification.claims.hypotheses import near_orthogonality
from verification.claims.limit_error import limit_error
from verification.claims.ratios import worst

__all__ = ["CLAIM", "ERROR_OF_MULTIPLIERS", "multiplier_error", "within"]

ERROR_OF_MULTIPLIERS = "error of λ: ‖W‖ times the error of the limit, over √λ_min(M) min λ; 0 where λ ± it is within"


def applies(evidence: Evidence) -> bool:
    """Whether the refined condition gives bounds."""
    return evidence.hypotheses.refined.satisfied


def measure(evidence: Evidence) -> Measurement:
    """Largest of λ_i/λ̄_i and ℓ_i/λ_i over samples and limits."""
    lower, upper = evidence.hypotheses.multiplier_lower, evidence.hypotheses.multiplier_upper
    if lower is None or upper is None:
        return Measurement.missing(
            "largest λ/upper, lower/λ", 1.0, "There are no bounds: γK_ii > r_i⁻ fails for some i."
        )
    return within(evidence, lower, upper)


def within(evidence: Evidence, lower: Array | float, upper: Array | float) -> Measurement:
    """The multipliers of every limit against an interval."""
    found = [ratios(limit.multipliers, lower, upper) for limit in evidence.limits]
    errors = [multiplier_error(limit, evidence) for limit in evidence.limits]
    value, tolerance = worst([max(pair) for pair in found], errors)
    return Measurement(
        quantity="largest λ/upper, lower/λ",
        value=value,
        bound=1.0,
        tolerance=tolerance,
        tolerance_reason=ERROR_OF_MULTIPLIERS,
        undecided=evidence.missing_limits,
        details={
            "largest_over_upper": [high for high, _ in found],
            "lower_over_smallest": [low for _, low in found],
            "errors": errors,
        },
    )


def ratios(lam: Array, lower: Array | float, upper: Array | float) -> tuple[float, float]:
    """max λ_i/upper_i and max lower_i/λ_i; inf where some λ_i is 0 and its lower bound is not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.where(np.asarray(lower) > 0.0, np.asarray(lower) / lam, 0.0)
    return float((lam / np.asarray(upper)).max()), float(below.max())


def multiplier_error(limit: FlowLimit, evidence: Evidence) -> float:
    """Largest relative error of a multiplier: ‖δW‖² = δλᵀM δλ >= λ_min(M)‖δλ‖²; inf where M is singular."""
    M = Cell(evidence.network, evidence.data.y, evidence.data.gram, limit.pattern).matrix
    smallest, least = float(np.linalg.eigvalsh(M)[0]), float(limit.multipliers.min())
    if smallest <= 0.0 or least <= 0.0:
        return float("inf")
    size = float(np.linalg.norm(limit.singular_values)) * max(
        limit_error(limit, evidence.network, evidence.data), SMALLEST_TOLERANCE
    )
    return size / (float(np.sqrt(smallest)) * least)


CLAIM = Claim(
    id="multipliers-within-bounds",
    title="The multipliers of the limit lie within the bounds of the refined condition",
    source="docs/theory.md, section 5",
    hypothesis=near_orthogonality,
    measure=measure,
    applies=applies,
)
