"""The loss of gradient flow tends to 0 from every start (docs/theory.md, section 7, "From any start", and (16.2))."""

from __future__ import annotations

import numpy as np

from refimpl.flow import FlowResult, FlowStatus
from refimpl.losses import mean_log_value
from refimpl.validation import Array
from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.flow_rates import ERROR_OF_LOSS, KNOWN, is_exponential, loss_error
from verification.claims.hypotheses import has_known_loss, log_threshold, separability
from verification.claims.ratios import worst
from verification.witnesses.rates import log_growth_bounds

__all__ = ["CLAIM"]


OUT_OF_BOUNDS = (FlowStatus.TIME_LIMIT, FlowStatus.MAX_TIME, FlowStatus.MAX_EVENTS)
"""A flow that ended so was stopped, and is sound up to there."""

STOPPED = (
    "The flow from scale {:g} was stopped ({}) at a loss of {:.3g} ℓ(0)/n; from there on (16.2) proves L -> 0. Up to "
    "there its loss is held against (16.2), at {} recorded times at which it is known to {:g}."
)
"""What is known of a flow that was stopped while its loss was large."""


def measure(evidence: Evidence) -> Measurement:
    """Largest final L / (ℓ(0)/n): below it L -> 0 follows (docs/theory.md, section 2).

    A flow that a bound on time, steps or events stopped above it is judged by its path: the largest L(t) beside its
    upper bound (16.2), which tends to 0. Any other flow that is above it and has no limit decides nothing.
    """
    log_excess = [final_log_loss(flow, evidence) - log_threshold(evidence) for flow in evidence.flows]
    late = [k for k, excess in enumerate(log_excess) if excess >= 0.0]
    beside = {k: loss_beside_bound(evidence.flows[k], evidence) for k in late if was_stopped(k, evidence)}
    beside = {k: found for k, found in beside.items() if found[0].size}
    final = [float(np.exp(min(excess, 700.0))) for k, excess in enumerate(log_excess) if k not in beside]
    value, tolerance = worst(
        np.concatenate([final, *(values for values, _ in beside.values())]),
        np.concatenate([np.zeros(len(final)), *(errors for _, errors in beside.values())]),
    )
    notes = []
    for k, (values, _) in beside.items():
        how = evidence.flows[k].status.name
        notes.append(STOPPED.format(evidence.starts[k].scale, how, np.exp(log_excess[k]), values.size, KNOWN))
    return Measurement(
        quantity="final loss / (ℓ(0)/n), L / bound (16.2)" if beside else "largest final loss / (ℓ(0)/n)",
        value=value,
        bound=1.0,
        tolerance=tolerance,
        tolerance_reason=ERROR_OF_LOSS if beside else "none: the loss is compared with a threshold far above it",
        undecided=evidence.why_no_limit(k for k in late if k not in beside),
        details={
            "final_log_loss": [float(flow.trajectory.log_loss[-1]) for flow in evidence.flows],
            "log_loss_continued": [excess + log_threshold(evidence) for excess in log_excess],
            "smallest_margin_of_limit": [float(limit.margins.min()) for limit in evidence.limits],
            "largest_loss_beside_bound": {
                f"{evidence.starts[k].scale:g}": float(v.max()) for k, (v, _) in beside.items()
            },
        },
        note=" ".join(notes),
    )


def was_stopped(k: int, evidence: Evidence) -> bool:
    """Whether flow k is one that (16.2) speaks about, and a bound on time, steps or events ended it."""
    speaks = has_known_loss(evidence) and separability(evidence).satisfied
    return speaks and evidence.flows[k].status in OUT_OF_BOUNDS


def loss_beside_bound(flow: FlowResult, evidence: Evidence) -> tuple[Array, Array]:
    """L(t) beside the upper bound (16.2) from record to record, and its error, where L is known well enough."""
    path = flow.trajectory
    least, _ = log_growth_bounds(path, evidence.network, evidence.data, evidence.linear.norm, is_exponential(evidence))
    error = loss_error(flow, evidence)
    known = np.flatnonzero(error <= KNOWN)
    known = known[known > 0]
    return np.exp(np.minimum(least + path.log_loss, 700.0))[known], error[known]


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
    rate = evidence.network.slope**2 * evidence.network.mass / evidence.linear.norm**2
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
