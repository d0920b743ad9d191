"""At every recorded time the loss of gradient flow lies between its two bounds (docs/theory.md (16.2))."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from refimpl.flow import FlowResult
from refimpl.validation import Array, IndexArray
from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.evidence import Evidence
from verification.claims.flow_rates import ERROR_OF_LOSS, KNOWN, is_exponential, loss_error
from verification.claims.hypotheses import UNKNOWN_LOSS, has_known_loss, separability
from verification.claims.ratios import worst
from verification.witnesses.rates import log_growth_bounds

__all__ = ["CLAIM"]


def applies(evidence: Evidence) -> bool:
    """Whether section 16 speaks about the loss, the slope and the data, and the loss is known well enough somewhere."""
    known = (loss_error(flow, evidence)[1:] <= KNOWN for flow in evidence.flows)
    return has_known_loss(evidence) and separability(evidence).satisfied and any(bool(record.any()) for record in known)


def hypothesis(evidence: Evidence) -> HypothesisResult:
    """The logistic or the exponential loss, γ > 0 and a proven linear separator through the origin."""
    return separability(evidence) if has_known_loss(evidence) else UNKNOWN_LOSS


def measure(evidence: Evidence) -> Measurement:
    """Largest of (growth of 1/L)/upper and lower/growth, for every flow, with a limit or without.

    The bounds are checked on 1/L at every recorded time at which L is known well enough. If they hold there, what is
    shown is its growth 1/L - 1/L(0), from where 1/L has doubled: before that 1/L is near its start whatever holds.
    """
    found = [ratios(flow, evidence) for flow in evidence.flows]
    whole, growth = ([one[k] for one in found] for k in (0, 1))
    value, tolerance = worst_of(whole)
    if value is not None and value <= 1.0 and any(part[0].size for part in growth):
        value, tolerance = worst_of(growth)
    return Measurement(
        quantity="largest growth of 1/L / bound",
        value=value,
        bound=1.0,
        tolerance=tolerance,
        tolerance_reason=ERROR_OF_LOSS,
        undecided="" if value is not None else f"At no recorded time is the loss known to {KNOWN:g}.",
        details={
            "largest_of_1/L": [float(values.max(initial=0.0)) for values, _ in whole],
            "largest_of_growth": [float(values.max(initial=0.0)) for values, _ in growth],
            "recorded_times": [int(flow.trajectory.s.size) for flow in evidence.flows],
        },
    )


def worst_of(found: Sequence[tuple[Array, Array]]) -> tuple[float | None, float]:
    """`worst` of several pairs of ratios and errors."""
    values, errors = zip(*found, strict=True)
    return worst(np.concatenate(values), np.concatenate(errors))


def ratios(flow: FlowResult, evidence: Evidence) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(ratios, errors) of 1/L at every recorded time but the first, and of its growth from where it has doubled."""
    path, exponential = flow.trajectory, is_exponential(evidence)
    bounds = log_growth_bounds(path, evidence.network, evidence.data, evidence.linear.norm, exponential)
    start, error = -path.log_loss[0], loss_error(flow, evidence)
    known = error <= KNOWN
    known[0] = False
    late = known & (-path.log_loss >= start + np.log(2.0))

    def compared(keep: IndexArray, change: Callable[[Array], Array]) -> tuple[Array, Array]:
        least, most, log = (change(x[keep]) for x in (*bounds, -path.log_loss))
        return np.exp(np.minimum(np.concatenate([log - most, least - log]), 700.0)), np.tile(error[keep], 2)

    whole = compared(np.flatnonzero(known), lambda log: log)
    values, errors = compared(
        np.flatnonzero(late), lambda log: log + np.log(-np.expm1(np.minimum(start - log, -1e-300)))
    )
    return whole, (values, 2.0 * errors)


CLAIM = Claim(
    id="loss-between-bounds",
    title="The loss of gradient flow lies between its two bounds at every time",
    source="docs/theory.md (16.2)",
    hypothesis=hypothesis,
    measure=measure,
    applies=applies,
)
