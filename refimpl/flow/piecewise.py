"""Gradient flow of a leaky ReLU network, exactly: events and sliding (docs/theory.md, section 7).

Between events the flow is an ODE in R^n for c(s) = ∫ w ds, solved by SciPy's solver objects stepped
by hand: an explicit one while events are frequent, Radau with the analytic Jacobian once the
pattern has settled. Crossings and releases are found to rounding on the dense output. When the
velocity is stationary, the next crossing is a division away, and if there is none the limit is
read off and polished.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.flow.bounds import Bounds, Outcome, opposed_units, slowness
from refimpl.flow.collocation import Explicit
from refimpl.flow.ending import Ending, Jump, Limit, NoLimit, ending
from refimpl.flow.location import MOST_BEND, Events, Located
from refimpl.flow.recorder import TrajectoryRecorder
from refimpl.flow.result import FlowEvent, FlowResult, FlowStatus
from refimpl.flow.segments import Segment
from refimpl.flow.solvers import Implicit
from refimpl.losses import Loss
from refimpl.span import SpanCoordinates
from refimpl.validation import Array

__all__ = ["piecewise_flow"]

FORK_NOTE = "On the way the flow had more than one future; the one that it took is the rule's, see `forks`."
"""What the message of a flow adds where its future was not unique."""

PHASES = ("integration", "event location", "event resolution", "recording", "limit")
"""What `diagnostics["seconds_by_phase"]` tells apart, beside the anchors (`Segment.anchor`)."""

SETTLED_AFTER = 30
"""Explicit steps without an event after which the implicit solver takes over."""

EVENTS_AHEAD = 3.0, 12.0
"""A first explicit step after an event is at most this many times as long as events have lately been apart: more as
steps go through all of their events, fewer as events bend their paths. With an `atol` other than 1e-9 it goes with the
fifth root, as the solver's own steps do, so that errors can be estimated."""

DEFAULT_ATOL = 1e-9

BENT = 0.02
"""A step goes on through its events as long as they move c by at most this part of `atol` by its end."""

SPACING_MEMORY = 0.1
"""Weight of the last wait in the mean of the times between events."""

STIFF = 30.0
"""Step of the implicit solver times Σ w_i M_ii, a bound of the eigenvalues of ∂w/∂c, from which on it goes on after an
event. The explicit one is stable up to about 3."""

LONGEST_SEGMENT = 30.0
"""Where rtol Σc exceeds this many atol, c is counted afresh, so that errors of q stay absolute."""


def piecewise_flow(span: SpanCoordinates, loss: Loss, X: Array, bounds: Bounds, marks: Array) -> FlowResult:
    """Follow the flow from C = 0 from event to event until the limit is known.

    Parameters
    ----------
    span : SpanCoordinates
        In units in which R_max and Σa² are near 1.
    loss : Loss
    X : ndarray, shape (n, d)
        The samples in the same units, for `FlowLimit.weights`.
    bounds : Bounds
    marks : ndarray, shape (k,)
        Times; `diagnostics["mark"]` gets (s, q) at the last one that was passed.

    Returns
    -------
    FlowResult
    """
    return _PiecewiseRun(span, loss, X, bounds, marks).result()


class _PiecewiseRun:
    """One integration: the segment, the clock, and what has been noted."""

    def __init__(self, span: SpanCoordinates, loss: Loss, X: Array, bounds: Bounds, marks: Array) -> None:
        self.span, self.X, self.loss, self.bounds = span, X, loss, bounds
        self.s, self.step_size, self.calm_steps, self.same_time = 0.0, 0.0, 0, 0
        self.recorder = TrajectoryRecorder(loss, marks)
        self.implicit_step, self.events_ahead = 0.0, EVENTS_AHEAD[1]
        self.spacing, self.last_event = np.inf, 0.0
        self.landing: Located | None = None
        self.explicit: Explicit | None = None
        self.events: list[FlowEvent] = []
        self.released_late: set[tuple[int, int]] = set()
        self.counts = {"rhs_evaluations": 0, "steps": 0, "segments": 0, "jumps": 0, "resolutions": 0}
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.segment = Segment(span, loss)
        self.initial_pattern = self.segment.pattern.copy()
        self.record(np.zeros(span.n))

    def result(self) -> FlowResult:
        started = perf_counter()
        status, message, limit = self.run()
        diagnostics: dict[str, Any] = {
            "method": "piecewise",
            "rtol": self.bounds.rtol,
            "atol": self.bounds.atol,
            "mark": self.recorder.mark,
            **self.counts,
            "forks": self.segment.forks,
            "seconds": perf_counter() - started,
            "seconds_by_phase": self.seconds | {"anchors": self.segment.seconds_at_anchors},
        }
        path = self.recorder.trajectory()
        if self.segment.forks:
            message += f" {FORK_NOTE}"
        events = tuple(sorted(self.events, key=lambda event: event.s))
        return FlowResult(status, message, limit, path, self.initial_pattern, events, diagnostics)

    def run(self) -> Outcome:
        outcome: Outcome | None = None
        try:
            while outcome is None:
                outcome = self.segment_to_next_event()
                self.counts["segments"] += 1
        except KeyboardInterrupt:
            shown = self.bounds.shown(self.s)
            return FlowStatus.INTERRUPTED, f"{FlowStatus.INTERRUPTED.value} (s = {shown})", None
        return outcome

    # --- one segment --------------------------------------------------------------------------

    def segment_to_next_event(self) -> Outcome | None:
        """Integrate until an event, and carry it out; an outcome if the flow ended."""
        if self.stuck():
            shown = self.bounds.shown(self.s)
            return FlowStatus.STALLED, f"Events accumulate at s = {shown}: no continuation was found.", None
        segment, solver = self.segment, None
        segment.anchor_if_due()
        while True:
            bound = self.bound_reached()
            if bound is not None:
                return bound
            solver = solver or self.timed("integration", self.new_solver)  # not at `max_time`: SciPy's refuse that
            s_a, c_a = solver.t, solver.c
            failure = self.step(solver)
            if failure is not None:
                return FlowStatus.STALLED, self.why_solver_failed(failure, s_a), None
            path = self.timed("integration", solver.path)
            events = self.timed("event location", Events, segment, path)
            located = self.timed("event location", events.first)
            if located is not None and self.should_land(solver, s_a, located):
                segment.advance(c_a)
                self.landing, self.s = located, s_a
                return None
            if located is not None:
                self.through(events, located, solver)
                return None
            self.pass_time(s_a, solver.t, solver.margins)
            self.s, self.same_time = solver.t, 0
            self.calm_steps += 1
            c = solver.c
            self.record(c)
            if self.landing is not None and solver.t >= self.landing.s:
                self.land(c, solver.weights())
                return None
            found = self.timed("limit", self.look_for_limit, c, solver.weights())
            if found is not None:
                return self.end(found, c, solver.weights())
            long = self.bounds.rtol * float(np.abs(solver.y).sum()) > LONGEST_SEGMENT * self.bounds.atol
            if long or self.calm_steps == SETTLED_AFTER:
                segment.advance(c)
                segment.anchor()
                return None

    def through(self, events: Events, located: Located | None, solver: Explicit | Implicit) -> None:
        """Carry out the events of a step, until one bends its path: the solver then starts there anew."""
        segment, end, bend, off = self.segment, events.path.B[:, -1], 0.0, 0.0
        margins = events.margins if isinstance(solver, Explicit) else solver.margins
        while located is not None:
            self.pass_time(self.s, located.s, margins)
            ahead = end - (events.c + located.c)
            matrix = segment.matrix
            matrix.ahead, matrix.bend = ahead if isinstance(solver, Explicit) else None, 0.0
            self.carry_out(located, events.growth())
            matrix.ahead = None
            bend, off = bend + matrix.bend, off + 2.0 * matrix.bend * float(ahead.max())
            bent = off > BENT * self.bounds.atol or bend > MOST_BEND
            if bent:
                self.events_ahead = max(0.7 * self.events_ahead, EVENTS_AHEAD[0])
            if bent or not isinstance(solver, Explicit) or self.too_many_events() or self.stuck():
                return
            self.timed("event location", events.passed)
            located = self.timed("event location", events.first)
        self.events_ahead = min(1.1 * self.events_ahead, EVENTS_AHEAD[1])
        self.pass_time(self.s, solver.t, margins)
        segment.advance(end - events.c)
        self.s, self.same_time = solver.t, 0

    def too_many_events(self) -> bool:
        """Whether `max_events` is reached."""
        return max(len(self.events), self.counts["resolutions"]) >= self.bounds.max_events

    def stuck(self) -> bool:
        """Whether more events than there are units had the same s."""
        return self.same_time > 100 + 4 * self.span.Z0.size

    def bound_reached(self) -> Outcome | None:
        """The outcome if a bound on events, steps or time is reached, with what makes the flow slow."""
        steps = self.counts["steps"]
        self.bounds.tell(self.s, len(self.events), steps, self.growth, self.recorder.log_loss, self.opposed)
        bound = self.bounds.reached(self.s, max(len(self.events), self.counts["resolutions"]), self.counts["steps"])
        if bound is None:
            return None
        w, growth = self.growth()
        slow = slowness(self.span.network.second_layer, self.span.gram, float(w @ growth))
        return bound[0], f"{bound[1]} {slow}", None

    def opposed(self) -> int:
        """Units on the side of their kink that a_j y_i does not have, or on the kink."""
        return opposed_units(self.span.network.second_layer, self.span.y, self.segment.pattern)

    def growth(self) -> tuple[Array, Array]:
        """w and dq/ds = M w at the last event."""
        w = self.segment.w
        return w, self.segment.M @ w

    def why_solver_failed(self, failure: str, s: float) -> str:
        """What the solver says, what that means, and what makes it so."""
        w = self.segment.w
        why = slowness(self.span.network.second_layer, self.span.gram, float(w @ self.segment.M @ w))
        told = failure[:1].lower() + failure[1:].rstrip(".")
        return f"The ODE solver gave up at s = {self.bounds.shown(s)} ({told}): float64 resolves no shorter step. {why}"

    def new_solver(self) -> Explicit | Implicit:
        segment, bounds, first_step = self.segment, self.bounds, None
        s_end = bounds.max_time if self.landing is None else self.landing.s
        fastest = self.fastest_rate() if self.implicit_step > 0.0 else 0.0
        stiff = self.implicit_step * fastest > STIFF
        if self.landing is not None:
            first_step = s_end - self.s
        elif self.step_size > 0.0:
            after_event = 1.0 / fastest if stiff and self.calm_steps == 0 else np.inf
            if not stiff and self.calm_steps == 0:
                after_event = max(
                    self.events_ahead * (bounds.atol / DEFAULT_ATOL) ** 0.2 * self.spacing, np.spacing(self.s)
                )
            first_step = min(self.step_size, s_end - self.s, after_event)
        settings = bounds.settings(self.s, s_end, first_step)
        if self.calm_steps >= SETTLED_AFTER or stiff:
            return Implicit(segment, settings)
        if self.explicit is None or first_step is None:
            self.explicit = Explicit(segment, settings)
        else:
            self.explicit.begin(settings)
        return self.explicit

    def fastest_rate(self) -> float:
        """Σ w_i M_ii, a bound of the eigenvalues of ∂w/∂c."""
        return float(self.segment.w @ self.segment.M.diagonal())

    def should_land(self, solver: Explicit | Implicit, s_a: float, event: Located) -> bool:
        """Whether to step to the event anew: c(s) is accurate enough for w at the ends of long steps only."""
        return isinstance(solver, Implicit) and self.landing is None and s_a < event.s < solver.t

    def land(self, c: Array, w: Array) -> None:
        """Arrive at the event that was located; a release is one only if the slope is outside [γ, 1] now, too.

        By rounding more than `RELEASE_DELAY` is not asked: w may stay, to the last digit, over many landings.
        """
        event, self.landing = self.landing, None
        assert event is not None
        if event.side and np.min(self.segment.sliding.least_margins_of(event.neuron, event.sample, w)) > 0.0:
            self.segment.advance(c)
        else:
            self.carry_out(replace(event, c=c))

    def step(self, solver: Explicit | Implicit) -> str | None:
        before, started = solver.nfev, perf_counter()
        failure = solver.step()
        self.seconds["integration"] += perf_counter() - started
        self.counts["rhs_evaluations"] += solver.nfev - before
        self.counts["steps"] += 1
        self.step_size = float(solver.h_abs)
        if self.landing is None:
            self.implicit_step = self.step_size if isinstance(solver, Implicit) else 0.0
        return failure if solver.status == "failed" else None

    def carry_out(self, located: Located, growth: Array | None = None) -> None:
        """Move to the event and change the pattern there; `growth` is M c, if that is known."""
        started, at_anchors = perf_counter(), self.segment.seconds_at_anchors
        self.landing = None
        self.same_time = self.same_time + 1 if located.s <= self.s else 0
        wait = located.s - self.last_event
        self.spacing = wait if np.isinf(self.spacing) else self.spacing + SPACING_MEMORY * (wait - self.spacing)
        self.last_event = located.s
        self.s, self.calm_steps = located.s, 0
        segment, j, i = self.segment, located.neuron, located.sample
        left = segment.sliding.left.get((j, i), self.s) if located.side else self.s
        segment.advance(located.c, growth)
        if located.side:
            changes = segment.release(j, i, located.side)
        else:
            self.counts["resolutions"] += 1
            changes = segment.reach_kink(j, i)
        if not changes.unique:
            segment.forks.append({"s": self.s, "neuron": j})
        for k, before, after in changes.of_units():
            kind = "released" if before == 0 else "crossed" if after else "began to slide"
            self.events.append(FlowEvent(left, j, k, kind, after))
        at_anchors = self.segment.seconds_at_anchors - at_anchors
        self.seconds["event resolution"] += perf_counter() - started - at_anchors
        self.record_event()

    # --- the end ------------------------------------------------------------------------------

    def look_for_limit(self, c: Array, w: Array) -> Ending | None:
        """What `ending` says, which `end` carries out."""
        return ending(self.segment, c, w, self.X, self.calm_steps, self.released_late, self.bounds.atol)

    def end(self, found: Ending, c: Array, w: Array) -> Outcome | None:
        """Go to the limit, or to the next event before it; the outcome if the flow ended."""
        if isinstance(found, NoLimit):
            return found.outcome()
        if isinstance(found, Limit):
            self.go_straight(c, w, found.wait)
            return found.outcome()
        if isinstance(found, Jump):
            self.jump(c, w, found)
        else:
            self.released_late.add((found.neuron, found.sample))
            self.carry_out(Located(self.s, found.neuron, found.sample, found.side, c))
        return None

    def jump(self, c: Array, w: Array, jump: Jump) -> None:
        """Follow the constant velocity to the next crossing, or to the time limit."""
        self.counts["jumps"] += 1
        if self.s + jump.wait < self.bounds.max_time:
            s = self.s + jump.wait
            self.pass_time(self.s, s, self.straight(c, w))
            self.carry_out(Located(s, jump.neuron, jump.sample, 0, c + jump.wait * w))
        else:
            self.go_straight(c, w, jump.wait)

    def go_straight(self, c: Array, w: Array, wait: float) -> None:
        """Follow the constant velocity for a time, but no longer than to the time limit."""
        if wait > 0.0:
            s = min(self.s + wait, self.bounds.max_time)
            self.pass_time(self.s, s, self.straight(c, w))
            self.segment.advance(c + (s - self.s) * w)
            self.s = s
            self.record_event()

    def straight(self, c: Array, w: Array) -> Callable[[Array], Array]:
        """q as a function of time at constant velocity from now."""
        s = self.s
        return lambda times: self.segment.margins(c[:, None] + np.outer(w, times - s))

    def record_event(self) -> None:
        self.timed("recording", self.recorder.add, self.s, self.segment.q, self.segment.size)

    def record(self, c: Array) -> None:
        self.timed("recording", self.recorder.add, self.s, self.segment.margins(c), self.segment.norm(c))

    def pass_time(self, s_a: float, s_b: float, margins_at: Callable[[Array], Array]) -> None:
        self.timed("recording", self.recorder.advance, s_a, s_b, margins_at)

    def timed(self, phase: str, work: Callable[..., Any], *arguments: Any) -> Any:
        started = perf_counter()
        value = work(*arguments)
        self.seconds[phase] += perf_counter() - started
        return value
