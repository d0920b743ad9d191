"""Flows and descents of the evidence in the units of the network and the data as they were given, for people.

`verify` works with X/2ᵏ and a/2ᵉ, so that R_max and ‖a‖ are near 1. Margins do not change; s, t, norms and singular
values do, each by its own power of 2ᵏ⁺ᵉ, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from refimpl.flow import FlowProgress, FlowResult
from refimpl.tiles.columns import scaled

if TYPE_CHECKING:
    from verification.claims.descents import DescentRun
    from verification.claims.evidence import Evidence

__all__ = ["descents_as_given", "flows_as_given", "message_as_given", "progress_as_given"]


def flows_as_given(evidence: Evidence) -> tuple[FlowResult, ...]:
    """The flows that were followed; none where nobody asked for them."""
    k, e = evidence.unit_exponent, evidence.second_layer_exponent
    flows: tuple[FlowResult, ...] = evidence.known("flows", ())
    return tuple(flow.in_units_of(scaled(evidence.data.X, k), k, e) for flow in flows)


def descents_as_given(evidence: Evidence) -> tuple[DescentRun, ...]:
    """The descents that were made; none where nobody asked for them."""
    k, e = evidence.unit_exponent, evidence.second_layer_exponent
    runs: tuple[DescentRun, ...] = evidence.known("descents", ())
    X = scaled(evidence.data.X, k)
    return tuple(replace(run, result=run.result.in_units_of(X, k, e)) for run in runs)


def message_as_given(flow: FlowResult, evidence: Evidence) -> FlowResult:
    """The flow, its message with the time s at which it ended in the units as given."""
    s = float(flow.trajectory.s[-1])
    message = flow.message.replace(f"s = {s:.6g}", f"s = {evidence.as_given(s, -2):.6g}")
    return replace(flow, message=message)


def progress_as_given(tell: Callable[[FlowProgress], None], evidence: Evidence) -> Callable[[FlowProgress], None]:
    """`tell`, called with the time s of a flow in the units as given."""
    return lambda state: tell(replace(state, s=evidence.as_given(state.s, -2)))
