"""The linear max-margin predictor is τ-uniform ([FVBS], Proposition 3; docs/theory.md (15.5))."""

from __future__ import annotations

import numpy as np

from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.max_margin_interpolates import applies, linear_condition, linear_hypotheses
from verification.claims.ratios import worst
from verification.witnesses.bounds import orthogonality, printed_linear_uniformity
from verification.witnesses.convex_program import SolveStatus

__all__ = ["CLAIM"]


def measure(evidence: Evidence) -> Measurement:
    """Max s/min s of z* = Σ s_i y_i x_i, against the smaller of max b/min ℓ and the printed R²(1 + 2/(PR² - 2))."""
    quantity, linear, found = "max s/min s of z*", evidence.linear, linear_hypotheses(evidence)
    lower, upper = found.multiplier_lower, found.multiplier_upper
    own = float("inf")
    if lower is not None and upper is not None and float(lower.min()) > 0.0:
        own = float(upper.max() / lower.min())
    printed = printed_linear_uniformity(evidence.data) if orthogonality(evidence.data) > 2.0 else float("inf")
    bound = min(own, printed)
    if linear.status is not SolveStatus.SOLVED:
        return Measurement.missing(quantity, bound, f"Linear max margin by CVXPY: {linear.status.value}")
    s = evidence.data.y * linear.coefficients
    smallest = float(evidence.data.gram_eigenvalues[0])
    off = (
        linear.norm * linear.error_estimate / float(np.sqrt(smallest)) if smallest > 0.0 else float("inf")
    )  # of any s_i
    ratio = float(s.max() / s.min()) if s.min() > 0.0 else float("inf")
    error = 2.0 * off / float(s.min()) * min(ratio, bound) if s.min() > 0.0 else 0.0 if s.min() < -off else float("inf")
    value, tolerance = worst([ratio], [error], bound)
    return Measurement(
        quantity=quantity,
        value=value,
        bound=bound,
        tolerance=tolerance,
        tolerance_reason="twice CVXPY's error bound for z* over √λ_min(K) min s; 0 where the ratio ± it is within",
        details={"bound_of_section_5": own, "printed": printed},
        trivial=1.0 if evidence.data.n == 1 else float("inf"),
        trivial_reason="there is only one sample",
    )


CLAIM = Claim(
    id="max-margin-is-uniform",
    title="The linear max-margin predictor is a nearly uniform sum of the samples",
    source="Frei, Vardi, Bartlett, Srebro, COLT 2023, Proposition 3; docs/theory.md (15.5)",
    hypothesis=linear_condition,
    measure=measure,
    applies=applies,
)
