"""The hypotheses that claims share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from refimpl.flow import FlowResult
from refimpl.losses import ExponentialLoss, LogisticLoss
from verification.claims.base import HypothesisResult
from verification.claims.evidence import Evidence
from verification.witnesses.convex_program import SolveStatus

__all__ = [
    "UNKNOWN_LOSS",
    "has_known_loss",
    "loss_below_threshold",
    "loss_falls_below_threshold",
    "near_orthogonality",
    "near_orthogonality_or_linear",
    "separability",
]


def near_orthogonality(evidence: Evidence) -> HypothesisResult:
    """The weakest of the three conditions, which the other two imply (docs/theory.md, section 5)."""
    found = evidence.hypotheses
    return HypothesisResult("refined condition", found.refined.satisfied, found.refined.slack)


def near_orthogonality_or_linear(evidence: Evidence) -> HypothesisResult:
    """For γ < 1 near-orthogonality; for γ = 1 separable data are enough (docs/theory.md, section 3, "Special cases").

    For γ = 1 every q_i is linear in W, so (P) is convex and its only KKT point is its minimizer, w_j = a_j z*/A: of
    rank 1, with z* for its predictor. Not every margin is tight there.
    """
    if evidence.network.slope < 1.0:
        return near_orthogonality(evidence)
    found = separability(evidence)
    return HypothesisResult("slope 1: convex; separable", found.satisfied, None, found.undecided)


def separability(evidence: Evidence) -> HypothesisResult:
    """γ > 0 and a proven linear separator through the origin (docs/theory.md, section 7, "From any start")."""
    name, linear = "slope > 0, data separable", evidence.linear
    if evidence.network.slope == 0.0 or linear.status is SolveStatus.INFEASIBLE:
        return HypothesisResult(name, False, None)
    undecided = "" if linear.separable else f"Whether the data are separable is not known. {linear.status.value}"
    return HypothesisResult(name, not undecided, None, undecided)


UNKNOWN_LOSS = HypothesisResult("logistic or exponential loss", False, None)
"""Where the loss is another one."""


def has_known_loss(evidence: Evidence) -> bool:
    """Whether the loss is the logistic or the exponential one, for which sections 7 and 16 have their proofs."""
    return type(evidence.loss) in (LogisticLoss, ExponentialLoss)


def loss_below_threshold(evidence: Evidence) -> HypothesisResult:
    """L < ℓ(0)/n at the recorded end of every flow (docs/theory.md, section 2); slack: (ℓ(0)/n) / L there.

    On the logistic or the exponential loss, for which section 7 has the proof.
    """
    return _below(evidence, evidence.flows) if has_known_loss(evidence) else UNKNOWN_LOSS


def loss_falls_below_threshold(evidence: Evidence) -> HypothesisResult:
    """L < ℓ(0)/n from some time on, in every flow (docs/theory.md, section 2); slack: (ℓ(0)/n) / L at recorded ends.

    A flow ends as soon as its direction is known, be its loss large or small. Where the limit has positive
    margins all margins grow linearly from there on, and L -> 0.
    """
    threshold = log_threshold(evidence)
    late = [flow for flow in evidence.flows if flow.trajectory.log_loss[-1] >= threshold and goes_on(flow)]
    return _below(evidence, [flow for flow in evidence.flows if flow not in late])


def goes_on(flow: FlowResult) -> bool:
    """Whether the flow has a limit whose margins are all positive."""
    return flow.limit is not None and float(flow.limit.margins.min()) > 0.0


def _below(evidence: Evidence, flows: Iterable[FlowResult]) -> HypothesisResult:
    """L < ℓ(0)/n at the end of each of these flows; with none of them the slack is inf."""
    log_loss = max((float(flow.trajectory.log_loss[-1]) for flow in flows), default=float("-inf"))
    log_slack = log_threshold(evidence) - log_loss
    slack = float(np.exp(min(log_slack, 700.0))) if np.isfinite(log_slack) else float("inf")
    return HypothesisResult("loss < ℓ(0)/n reached", log_slack > 0.0, slack)


def log_threshold(evidence: Evidence) -> float:
    """log(ℓ(0)/n)."""
    return float(evidence.loss.log_value(np.zeros(1))[0]) - float(np.log(evidence.data.n))
