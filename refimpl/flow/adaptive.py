"""Gradient flow by SciPy's adaptive Runge-Kutta solver (docs/theory.md, section 7).

The state is C in R^{m x n}, time is the loss-normalized s, and the right-hand side is
dC_ji/ds = a_j y_i φ'(z_ji) w_i with w the softmax of log g: it never underflows. The solver knows
nothing of the kinks. It steps over them with rejected steps, which is accurate, but it cannot
follow a unit that slides along its kink; that is found out and reported as STALLED.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from scipy.integrate import RK45

from refimpl.flow.bounds import Bounds, Outcome, opposed_units
from refimpl.flow.cell import Cell, sides_of
from refimpl.flow.ending import Jump, Limit, NoLimit
from refimpl.flow.limit import limit_from_cell, vanished, why_vanished
from refimpl.flow.recorder import TrajectoryRecorder
from refimpl.flow.result import GROWTH_GAP_TOLERANCE, FlowEvent, FlowResult, FlowStatus
from refimpl.losses import Loss, sample_weights
from refimpl.span import SpanCoordinates
from refimpl.validation import Array, IntArray

__all__ = ["adaptive_flow"]

LIMIT_CHECK_EVERY = 10
"""Accepted steps between two looks for the limit."""

CHATTER_CROSSINGS = 40
"""A unit that crossed its kink this often slides along it."""


@dataclass
class _Run:
    """The state of one integration."""

    span: SpanCoordinates
    loss: Loss
    X: Array
    C: Array
    s: float = 0.0
    pattern: IntArray = field(init=False)
    crossings: Array = field(init=False)
    events: list[FlowEvent] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"rhs_evaluations": 0, "steps": 0, "jumps": 0})

    def __post_init__(self) -> None:
        self.pattern = sides_of(self.span.preactivations(self.C))
        self.crossings = np.zeros(self.pattern.shape)

    def velocity(self, s: float, flat: Array) -> Array:
        """dC/ds: docs/theory.md (7.1)."""
        return self.span.velocity(flat.reshape(self.C.shape), self.loss).ravel()

    def move_to(self, s: float, C: Array) -> None:
        """Take over a new state and note the units whose side changed."""
        self.s, self.C = s, C
        pattern = sides_of(self.span.preactivations(C))
        changed = pattern != self.pattern
        self.crossings += changed
        self.events.extend(FlowEvent(s, int(j), int(i), "crossed", int(pattern[j, i])) for j, i in np.argwhere(changed))
        self.pattern = pattern

    def sample_weights(self) -> Array:
        return sample_weights(self.loss, self.span.margins(self.C))

    def cell(self) -> Cell:
        return Cell(self.span.network, self.span.y, self.span.gram, self.pattern)

    def growth(self) -> tuple[Array, Array]:
        w = self.sample_weights()
        return w, self.cell().matrix @ w

    def opposed(self) -> int:
        return opposed_units(self.span.network.second_layer, self.span.y, self.pattern)


def adaptive_flow(span: SpanCoordinates, loss: Loss, X: Array, bounds: Bounds, marks: Array) -> FlowResult:
    """Integrate from C = 0 until the limit is known or a bound is reached.

    Parameters
    ----------
    span : SpanCoordinates
        In units in which R_max and Σa² are near 1.
    loss : Loss
    X : ndarray, shape (n, d)
        The samples in the same units, for `FlowLimit.weights`.
    bounds : Bounds
        `max_events` bounds solver steps, as `max_steps` does.
    marks : ndarray, shape (k,)
        Times; `diagnostics["mark"]` gets (s, q) at the last one that was passed.

    Returns
    -------
    FlowResult
    """
    started = perf_counter()
    run, recorder = _Run(span, loss, X, span.origin), TrajectoryRecorder(loss, marks)
    recorder.add(0.0, span.margins(run.C), span.norm(run.C))
    start = run.pattern
    try:
        status, message, limit = _integrate(run, recorder, bounds)
    except KeyboardInterrupt:
        status, limit = FlowStatus.INTERRUPTED, None
        message = f"{status.value} (s = {bounds.shown(run.s)})"
    diagnostics: dict[str, Any] = {
        "method": "adaptive",
        "rtol": bounds.rtol,
        "atol": bounds.atol,
        "mark": recorder.mark,
        **run.counts,
        "seconds": perf_counter() - started,
    }
    return FlowResult(status, message, limit, recorder.trajectory(), start, tuple(run.events), diagnostics)


def _integrate(run: _Run, recorder: TrajectoryRecorder, bounds: Bounds) -> Outcome:
    solver = _solver(run, bounds)
    while True:
        bounds.tell(run.s, len(run.events), run.counts["steps"], run.growth, recorder.log_loss, run.opposed)
        bound = bounds.reached(run.s, run.counts["steps"], run.counts["steps"])
        if bound is not None:
            return (*bound, None)
        before = solver.nfev
        failure = solver.step()
        run.counts["steps"] += 1
        run.counts["rhs_evaluations"] += solver.nfev - before
        if failure is not None or solver.status == "failed":
            return FlowStatus.STALLED, f"The ODE solver gave up at s = {bounds.shown(run.s)}: {failure}", None
        _accept(run, recorder, solver)
        chatter = _chattering_unit(run, bounds)
        if chatter is not None:
            return FlowStatus.STALLED, chatter, None
        if run.counts["steps"] % LIMIT_CHECK_EVERY == 0:
            found = _ending(run)
            if isinstance(found, Limit | NoLimit):
                return found.outcome()
            if found is not None:
                _jump(run, recorder, found, bounds.max_time)
                solver = _solver(run, bounds)


def _solver(run: _Run, bounds: Bounds) -> RK45:
    return RK45(run.velocity, run.s, run.C.ravel(), **bounds.settings(run.s).of_scipy)


def _accept(run: _Run, recorder: TrajectoryRecorder, solver: RK45) -> None:
    dense, shape = solver.dense_output(), run.C.shape
    recorder.advance(run.s, solver.t, lambda times: _margins(run.span, [dense(s).reshape(shape) for s in times]))
    run.move_to(solver.t, solver.y.reshape(shape).copy())
    recorder.add(run.s, run.span.margins(run.C), run.span.norm(run.C))


def _chattering_unit(run: _Run, bounds: Bounds) -> str | None:
    worst = int(np.argmax(run.crossings))
    j, i = divmod(worst, run.crossings.shape[1])
    if run.crossings[j, i] < CHATTER_CROSSINGS:
        return None
    return (
        f"Neuron {j} crossed its kink at sample {i} {CHATTER_CROSSINGS} times by s = {bounds.shown(run.s)}: "
        "it slides along the kink, which a solver without events cannot follow."
    )


def _ending(run: _Run) -> Limit | NoLimit | Jump | None:
    """What check (a) and check (b) say, docs/theory.md (7.7); None if the flow is to be integrated on."""
    cell, w = run.cell(), run.sample_weights()
    if vanished(run.cell, w, float(w @ cell.matrix @ w)):
        return NoLimit(why_vanished(cell))
    if cell.growth_gap(w) > GROWTH_GAP_TOLERANCE:
        return None
    wait, neuron, sample = cell.approach_time(run.span.preactivations(run.C), w)
    return Limit(limit_from_cell(cell, w, run.X), 0.0) if np.isinf(wait) else Jump(wait, neuron, sample)


def _jump(run: _Run, recorder: TrajectoryRecorder, jump: Jump, max_time: float) -> None:
    """Follow the constant velocity to just behind the next crossing, or to the time limit."""
    C, V, s = run.C, run.cell().velocity(run.sample_weights()), run.s
    end = min(s + jump.wait * (1.0 + 1e-12), max_time)
    recorder.advance(s, end, lambda times: _margins(run.span, [C + (time - s) * V for time in times]))
    run.move_to(end, C + (end - s) * V)
    run.counts["jumps"] += 1
    recorder.add(run.s, run.span.margins(run.C), run.span.norm(run.C))


def _margins(span: SpanCoordinates, states: list[Array]) -> Array:
    """q of each state, shape (n, number of states)."""
    return np.column_stack([span.margins(C) for C in states])
