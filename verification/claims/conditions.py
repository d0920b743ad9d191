"""The hypotheses that claims share."""

from __future__ import annotations

import numpy as np

from verification.claims.base import HypothesisResult
from verification.evidence import Evidence

__all__ = ["loss_below_threshold", "near_orthogonality", "separability"]


def near_orthogonality(evidence: Evidence) -> HypothesisResult:
    """The weakest of the three conditions, which the other two imply (docs/theory.md, section 5)."""
    found = evidence.hypotheses
    return HypothesisResult("refined condition", found.refined.satisfied, found.refined.slack)


def separability(evidence: Evidence) -> HypothesisResult:
    """γ > 0 and a proven linear separator through the origin (docs/theory.md, section 7, "From any start")."""
    proven = evidence.network.slope > 0.0 and evidence.linear.separable
    return HypothesisResult("slope > 0, data separable", proven, None)


def loss_below_threshold(evidence: Evidence) -> HypothesisResult:
    """L < ℓ(0)/n at some time of every flow (docs/theory.md, section 2); slack: (ℓ(0)/n) / L at the end."""
    log_loss = max(float(flow.trajectory.log_loss[-1]) for flow in evidence.flows)
    log_slack = log_threshold(evidence) - log_loss
    return HypothesisResult("loss < ℓ(0)/n reached", log_slack > 0.0, float(np.exp(min(log_slack, 700.0))))


def log_threshold(evidence: Evidence) -> float:
    """log(ℓ(0)/n)."""
    return float(evidence.loss.log_value(np.zeros(1))[0]) - float(np.log(evidence.data.n))
