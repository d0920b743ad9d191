"""One paragraph: where a network stands, what the theory says of its limit, how far that is, what to look at next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.display import shown
from verification.audits.judging import Increment
from verification.audits.measuring import Measured
from verification.audits.road import NEAR
from verification.claims.base import ClaimResult, Verdict
from verification.witnesses.conditions import Hypotheses
from verification.witnesses.kkt import KKTStatus

__all__ = ["in_words", "power_of_ten"]


def in_words(
    rows: Sequence[Measured],
    increments: Sequence[Increment],
    conditions: Hypotheses,
    claims: Sequence[ClaimResult],
    step_size: float | None,
    slope: float,
) -> tuple[str, ...]:
    """The sentences, each computed from what the tables show."""
    last = rows[-1]
    return (
        _stands(last, rows),
        _limit(last, conditions, slope),
        _how_far(last, step_size),
        _next(rows, increments, claims),
    )


def _stands(last: Measured, rows: Sequence[Measured]) -> str:
    where = f"At step {last.step} the loss is {shown(last.loss)} and the smallest margin {shown(last.smallest_margin)}"
    if last.stable_rank is None:
        return f"{where}: W is 0, and has no direction."
    ranks = f"stable rank {shown(last.stable_rank)}, σ₃/σ₁ {shown(last.singular_value_ratio)}"
    if last.kkt_status == KKTStatus.NOT_SEPARATING.name:
        return f"{where}: the network does not separate the data yet, and so is near no KKT point; it has {ranks}."
    floor = last.floors["stationarity"]
    residual = max(last.stationarity, last.complementarity)
    if "stationarity" in last.below and "complementarity" in last.below:
        near = f"its KKT residuals are below what {last.format} can tell: it is a KKT point as far as that goes"
    else:
        near = f"it is {shown(residual)} from the KKT conditions ({last.format} would tell {shown(floor)} from 0)"
    before = next((row for row in rows[:-1] if np.isfinite(row.stationarity)), None)
    came = (
        f", and was {shown(max(before.stationarity, before.complementarity))} at step {before.step}" if before else ""
    )
    return f"{where}: the network separates the data, and {near}{came}; it has {ranks}."


def _limit(last: Measured, conditions: Hypotheses, slope: float) -> str:
    refined = conditions.refined
    if slope == 1.0 and last.to_convex_optimum is not None:
        told = "Slope 1 makes the problem convex: from every start gradient flow goes to its minimizer, of rank 1"
        return f"{told}, at the distance {shown(last.to_convex_optimum)} in direction."
    if refined.satisfied:
        told = (
            f"The refined condition holds with slack {shown(refined.slack)}: from every start gradient flow goes to "
            "the closed form, of rank at most 2, with all margins equal and a linear boundary"
        )
        return f"{told}; W is at the distance {shown(last.to_closed_form)} from it in direction."
    told = (
        f"No condition of the theory holds (the refined one has slack {shown(refined.slack)}), so the limit may depend"
    )
    if last.to_flow_limit is None:
        return f"{told} on the start; where the flow from here goes is not known ({last.flow.rstrip('.')})."
    return (
        f"{told} on the start: the exact flow from here goes to a KKT point of rank {last.limit_rank}, "
        f"at the distance {shown(last.to_flow_limit)} in direction, and (C) is at {shown(last.to_convex_optimum)}."
    )


def _how_far(last: Measured, step_size: float | None) -> str:
    road = last.road
    if road is None:
        return "How long its direction still takes is not known, as its limit is not."
    if road.arrived:
        return f"Its direction is within {NEAR:.0%} of its limit (sine {shown(road.sine)})."
    time = power_of_ten(road.log_time / np.log(10.0))
    steps = f", {power_of_ten(road.log10_steps(step_size))} steps of size {shown(step_size)}" if step_size else ""
    ground = "on the exact flow" if road.exact else "if its pattern of activations stays"
    return (
        f"The sine of its angle with that limit is {shown(road.sine)}, and falls like 1/log t in the end: {ground} it "
        f"is {NEAR:.0%} after a further time of about {time}{steps} (docs/theory.md, section 16)."
    )


def _next(rows: Sequence[Measured], increments: Sequence[Increment], claims: Sequence[ClaimResult]) -> str:
    violated = [row.id for row in claims if row.verdict is Verdict.VIOLATED]
    if violated:
        fault = "the run was not what --step-size says of it, or this is a fault of the program or of the theory."
        return f"Look first at {', '.join(violated)}: {fault}"
    off = next((k for k, increment in enumerate(increments) if increment.outside > 1.0), None)
    if off is not None:
        part = f"at step {rows[off].step} a part {shown(rows[off].outside_span)} of W - W(0) is outside of the span"
        what = "of these samples, where no gradient of theirs goes (Adam, weight decay, or more samples)"
        return f"Look first at how it was trained: {part} {what}."
    moved = max(row.second_layer_moved for row in rows)
    if moved > 0.0:
        return f"Look first at the second layer, which moved by {shown(moved)} of its length: the claims need it fixed."
    other = next((k for k, x in enumerate(increments) if x.is_unique and not x.is_sum_of_gradients), None)
    if other is not None:
        return (
            f"Look first at how it was trained: at step {rows[other].step} W - W(0) is not a sum of gradients with "
            "slopes in [γ, 1] (another slope, Adam, or weight decay)."
        )
    if rows[-1].kkt_status == KKTStatus.NOT_SEPARATING.name:
        return "Look next at later checkpoints: the theory of the limit speaks of networks that separate the data."
    if len(rows) == 1:
        return "Look next at earlier checkpoints too: ranks of W - W(0) and the claims on the trajectory need W(0)."
    return (
        "Look next at a later checkpoint, or at the limit of the flow from this one, which needs no further training."
    )


def power_of_ten(exponent: float) -> str:
    """A number by its decimal logarithm.

    Examples
    --------
    >>> power_of_ten(2.5), power_of_ten(212.34)
    ('316', '10^212')
    """
    return shown(float(10.0**exponent)) if abs(exponent) < 6.0 else f"10^{exponent:.0f}"
