"""The limit's linear predictor has nearly the largest margin (docs/theory.md, sections 3, (5), and 11)."""

from __future__ import annotations

import numpy as np

from refimpl.paper import PAPER_CONSTANTS
from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import near_orthogonality_or_linear
from verification.witnesses.bounds import margin_bound, paper_margin_bound
from verification.witnesses.convex_program import SolveStatus

__all__ = ["CLAIM"]

NOT_SEPARATING = (
    "z = Σ_j a_j w_j of a limit does not separate the data, so no multiple of it is feasible: min y_i⟨z, x_i⟩ = {:.3g}."
)


def measure(evidence: Evidence) -> Measurement:
    """Largest ‖z‖/‖z*‖ with y_i ⟨z, x_i⟩ >= 1, z = Σ_j a_j w_j, against the bound of section 11."""
    linear = evidence.linear
    bound = margin_bound(evidence.network, evidence.data.y) if evidence.network.slope > 0.0 else float("inf")
    undecided = evidence.missing_limits
    if linear.status is not SolveStatus.SOLVED:
        undecided = undecided or f"Linear max margin by CVXPY: {linear.status.value}"
        return Measurement.missing("‖z‖/‖z*‖", bound, undecided)
    ratios, margins = [], []
    for limit in evidence.limits:
        z = evidence.network.second_layer @ limit.coefficients @ evidence.factor
        margin = float((evidence.data.y * (evidence.factor @ z)).min())
        margins.append(margin)
        ratios.append(float(np.linalg.norm(z)) / linear.norm / min(1.0, margin) if margin > 0.0 else float("inf"))
    worst = min(margins, default=1.0)
    return Measurement(
        quantity="largest ‖z‖/‖z*‖",
        value=max(ratios, default=None),
        bound=bound,
        tolerance=bound * (linear.error_estimate + 2.0 * evidence.margin_error) if np.isfinite(bound) else 0.0,
        tolerance_reason="CVXPY's error bound for ‖z*‖, plus errors of z and of its margin",
        undecided=undecided,
        note="" if worst > 0.0 else NOT_SEPARATING.format(worst),
        details={
            "ratios": ratios,
            "smallest_linear_margin": margins,
            "bound_of_section_11": bound,
            f"bound_of_the_paper{PAPER_CONSTANTS['margin_bound'].mark}": paper_margin_bound(evidence.network),
        },
    )


CLAIM = Claim(
    id="margin-approximation",
    title="The linear predictor has an approximately maximal margin",
    source="Frei et al., arXiv 2210.07082, (5); docs/theory.md, section 11",
    hypothesis=near_orthogonality_or_linear,
    measure=measure,
    about_kkt_points=True,
)
