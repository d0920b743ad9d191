"""The claims, one file each; `CLAIMS` lists them in the order of the report."""

from __future__ import annotations

from verification.claims import (
    all_margins_tight,
    decision_boundary_linear,
    descent_converges,
    descent_norms_grow,
    descent_one_step_rank_drop,
    descent_stable_rank_bounded,
    flow_limit_is_kkt,
    flow_rank_at_most_two,
    flow_stays_in_last_cell,
    flow_zero_loss,
    global_optimum_by_enumeration,
    limit_is_convex_optimum,
    margin_approximation,
    neurons_collapse,
    paper_descent_theorem,
    per_sign_stable_rank_tends_to_one,
    small_initialization_matters,
    smoothed_margin_monotone,
)
from verification.claims.base import Claim, ClaimResult, Conclusion, HypothesisResult, Measurement, Verdict

__all__ = ["CLAIMS", "Claim", "ClaimResult", "Conclusion", "HypothesisResult", "Measurement", "Verdict"]

CLAIMS: tuple[Claim, ...] = (
    flow_zero_loss.CLAIM,
    flow_limit_is_kkt.CLAIM,
    flow_stays_in_last_cell.CLAIM,
    flow_rank_at_most_two.CLAIM,
    all_margins_tight.CLAIM,
    neurons_collapse.CLAIM,
    limit_is_convex_optimum.CLAIM,
    global_optimum_by_enumeration.CLAIM,
    decision_boundary_linear.CLAIM,
    margin_approximation.CLAIM,
    smoothed_margin_monotone.CLAIM,
    descent_converges.CLAIM,
    descent_one_step_rank_drop.CLAIM,
    descent_stable_rank_bounded.CLAIM,
    descent_norms_grow.CLAIM,
    small_initialization_matters.CLAIM,
    per_sign_stable_rank_tends_to_one.CLAIM,
    paper_descent_theorem.CLAIM,
)
