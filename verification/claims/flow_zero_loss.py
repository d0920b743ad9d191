"""The loss of gradient flow tends to 0 from every start (docs/theory.md, section 7, "From any start")."""

from __future__ import annotations

import numpy as np

from refimpl.flow import FlowResult
from refimpl.losses import mean_log_value
from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import log_threshold, separability

__all__ = ["CLAIM"]


def measure(evidence: Evidence) -> Measurement:
    """Largest final L / (ℓ(0)/n): below it L -> 0 follows (docs/theory.md, section 2).

    A flow that is above it and has no limit decides nothing.
    """
    log_excess = [final_log_loss(flow, evidence) - log_threshold(evidence) for flow in evidence.flows]
    smallest = [float(limit.margins.min()) for limit in evidence.limits]
    return Measurement(
        quantity="largest final loss / (ℓ(0)/n)",
        value=float(np.exp(min(max(log_excess), 700.0))),
        bound=1.0,
        tolerance=0.0,
        tolerance_reason="none: the loss is compared with a threshold far above it",
        undecided=evidence.why_no_limit(k for k, excess in enumerate(log_excess) if excess >= 0.0),
        details={
            "final_log_loss": [float(flow.trajectory.log_loss[-1]) for flow in evidence.flows],
            "log_loss_continued": [excess + log_threshold(evidence) for excess in log_excess],
            "smallest_margin_of_limit": smallest,
        },
    )


def final_log_loss(flow: FlowResult, evidence: Evidence) -> float:
    """log L where the flow ends, or later: it ends as soon as its direction is known, be L large or small.

    From there on q(s) = q + (s - s_end) q*/‖W*‖², q* the margins of the limit W*. Its slowest margin grows
    like ‖dW/ds‖², by (7.8) at least at the rate γ²A/‖z*‖². L is taken at the time in which that rate lifts
    the smallest margin to 1 above ℓ⁻¹(ℓ(0)/n), where theory says that L < ℓ(0)/n.
    """
    at_end, limit = float(flow.trajectory.log_loss[-1]), flow.limit
    if limit is None or at_end < log_threshold(evidence):
        return at_end
    q = flow.trajectory.margins[-1]
    wanted = float(evidence.loss.inverse_of_log_value(log_threshold(evidence))) + 1.0
    mass = evidence.network.mass_positive + evidence.network.mass_negative
    rate = evidence.network.slope**2 * mass / evidence.linear.norm**2
    wait = max(0.0, wanted - float(q.min())) / rate if rate > 0.0 else float("inf")
    growth = limit.margins / float(np.sum(limit.singular_values**2))
    return mean_log_value(evidence.loss, q + wait * growth)


CLAIM = Claim(
    id="flow-zero-loss",
    title="The loss of gradient flow tends to 0 from every start",
    source="docs/theory.md, section 7",
    hypothesis=separability,
    measure=measure,
)
