"""The error of a flow, estimated a posteriori: the same flow at tightened tolerances, and what it moved.

Where events are frequent an early error can be amplified, and no local tolerance says by how much. A second
run with a tenth of the tolerances does: its events, its end and its limit are compared with the first run's
(docs/numerics.md, "Gradient flow from event to event").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.flow.result import FlowEvent, FlowLimit, FlowResult

__all__ = ["SMALLEST_RTOL", "TIGHTENING", "difference_of"]

TIGHTENING = 0.1
"""Both tolerances are multiplied by this for the second run."""

SMALLEST_RTOL = 100 * float(np.finfo(np.float64).eps)
"""SciPy's solvers accept no smaller relative tolerance."""


def difference_of(first: FlowResult, second: FlowResult) -> dict[str, Any]:
    """What tightening the tolerances changed.

    Parameters
    ----------
    first, second : FlowResult
        In the same units; the second with the times of the first as marks (`TrajectoryRecorder`).

    Returns
    -------
    dict
        rtol, atol : float
            Tolerances of the second run.
        same_status, same_events : bool
            Whether both runs ended alike, and every unit went through the same changes in the same order.
        event_times : float or None
            Largest relative difference of their times; None if the events differ.
        final_margins : float or None
            Largest difference of a margin, relative to 1 + |q|, at the last time of the first run, or at the
            last recorded one that the second run passed; None if it passed none.
        direction : float or None
            ‖W - W'‖_F/‖W'‖_F of the limits; None if there are not two.
    """
    same_events = _changes(first) == _changes(second)
    return {
        "rtol": second.diagnostics["rtol"],
        "atol": second.diagnostics["atol"],
        "same_status": first.status is second.status,
        "same_events": same_events,
        "event_times": _event_times(first, second) if same_events else None,
        "final_margins": _final_margins(first, second),
        "direction": _direction(first.limit, second.limit),
    }


def _in_order_of_units(result: FlowResult) -> list[FlowEvent]:
    """Events unit by unit, each unit's in order; at one instant there is no order between units."""
    return sorted(result.events, key=lambda event: (event.neuron, event.sample, event.s))


def _changes(result: FlowResult) -> list[tuple[int, int, str]]:
    return [(event.neuron, event.sample, event.kind) for event in _in_order_of_units(result)]


def _event_times(first: FlowResult, second: FlowResult) -> float:
    pairs = zip(_in_order_of_units(first), _in_order_of_units(second), strict=True)
    s = np.array([[p.s, q.s] for p, q in pairs]).reshape(-1, 2)
    later = s.max(axis=1)
    return float(np.max(np.abs(s[:, 0] - s[:, 1]) / np.where(later > 0.0, later, 1.0), initial=0.0))


def _final_margins(first: FlowResult, second: FlowResult) -> float | None:
    mark = second.diagnostics["mark"]
    if mark is None:
        return None
    s, reference = mark
    row = int(np.searchsorted(first.trajectory.s, s, side="right")) - 1
    q = first.trajectory.margins[row]
    return float(np.max(np.abs(q - reference) / (1.0 + np.abs(reference))))


def _direction(first: FlowLimit | None, second: FlowLimit | None) -> float | None:
    if first is None or second is None:
        return None
    W = second.weights()
    return float(np.linalg.norm(first.weights() - W) / np.linalg.norm(W))
