"""Where the next event lies within one step of the solver (docs/numerics.md, "Gradient flow from event to event").

Distances from kinks are linear in c, so on a step they are polynomials, and their Bernstein coefficients are one matrix
product. A unit whose coefficients are all positive does not reach its kink (docs/numerics.md, "No crossing is missed").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
from scipy.optimize import brentq

from refimpl.flow.bernstein import SMALLEST_PART, Path, basis, earliest_zeros, first_crossing
from refimpl.flow.segments import Segment
from refimpl.validation import Array, IndexArray

__all__ = ["MOST_BEND", "Events", "Located", "first_event"]

EPS = float(np.finfo(np.float64).eps)

NOISE = 100.0
"""Inside a step c is off by at most this many times the solver's tolerance, also where stability bounds the step."""

LOOKS = np.array([0.25, 0.5, 0.75, 1.0])
"""Where in a step effective slopes that may leave [γ, 1] are looked at."""

WELL_INSIDE = 0.1
"""A unit whose effective slope, by the derivative of the path, stays this far from γ and 1 is not looked at closer."""

_Crossing = tuple[float, bool, int, int, float, list[float], float]
"""x or a bound below; whether it is x; neuron, sample; where the polynomial begins; its coefficients and floor."""

MOST_BEND = 1e-6
"""Events of one step may move its margins by this much more than its path knows; weights change by twice that part."""


@dataclass(frozen=True, eq=False)
class Located:
    """An event at s and c: `side` is that of a released unit, or 0 where the neuron's kinks are to be resolved."""

    s: float
    neuron: int
    sample: int
    side: int
    c: Array


class Events:
    """The events of one step, one after another.

    c(s) stays what it is through all of them (docs/numerics.md, "Several events in a step"), and an event changes the
    rows of its neuron's units only. So crossings are found once, and after an event those of its neuron anew.

    Parameters
    ----------
    segment : Segment
    path : Path
        c(s) within the step, counted from the last event before it.

    Attributes
    ----------
    x : float
        Where the last event was, 0 before the first.
    c : ndarray, shape (n,)
        The path's c there.
    """

    def __init__(self, segment: Segment, path: Path) -> None:
        self._segment, self.path = segment, path
        self.x, self.c = 0.0, np.zeros(segment.q.size)
        self._neuron, self._next, self._c_next = -1, 0.0, self.c
        self._grown: Array | None = None
        self._queue: list[_Crossing] = []
        drift = path.drift + 2.0 * MOST_BEND * (path.B[:, -1] - path.B[:, 0])
        self._queue_crossings(slice(None), path.B, segment.units.in_reach(path.B, drift))
        self._released = np.zeros(segment.pattern.shape, dtype=bool)
        if segment.sliding.of_neuron:
            self._watch_slopes(slice(None))

    def first(self) -> Located | None:
        """The first event from `x` on, or None.

        A unit that stands at its kink, or beyond it, and moves the wrong way is an event at the start.
        """
        crossing, event, x = self._first_crossing(), None, 1.0
        if crossing is not None:
            x, _, j, i = crossing[:4]
            event = self._located(x, j, i, 0)
        if self._segment.sliding.of_neuron:
            release = self._first_release(x)
            if release is not None:
                x, k, side = release
                event = self._located(x, *self._segment.sliding.unit(k), side)
            self._note_departures(x)
            for j in self._segment.sliding.dependent_neurons:
                departure = self._departure(j, x)
                if departure is not None:
                    x = departure
                    event = self._located(x, j, int(np.flatnonzero(self._segment.pattern[j] == 0)[0]), 0)
        return event

    def passed(self) -> None:
        """Go on behind the event that `first` gave, which has been carried out since."""
        j, x = self._neuron, self._next
        self.x, self.c, self._grown = x, self._c_next, None
        self._queue = [crossing for crossing in self._queue if crossing[2] != j]
        heapify(self._queue)
        rest = self.path.rest(x) - self.c[:, None]
        mine, distances = self._segment.units.of_neuron(j, rest)
        self._queue_crossings(mine, rest, distances)
        if j in self._segment.sliding.of_neuron:
            self._watch_slopes(np.flatnonzero(self._segment.sliding.neurons == j))

    def margins(self, s: Array) -> Array:
        """Q at times behind the last event, shape (n, number of times)."""
        return np.asarray(self._segment.q[:, None] + self._growth(self.path.part(s)))

    def growth(self) -> Array:
        """By how much the margins have grown since the last event at the one that `first` gave, shape (n,)."""
        return self._growth(self._next)

    def _growth(self, x: float | Array) -> Array:
        """M (c(x) - c): M is multiplied by the coefficients of the path, once between two events."""
        if self._grown is None:
            self._grown = self._segment.M @ (self.path.B - self.c[:, None])
        return np.asarray(self._grown @ basis(self.path.B.shape[1] - 1, x))

    def _located(self, x: float, j: int, i: int, side: int) -> Located:
        self._neuron, self._next, self._c_next = j, x, self.path.at(x)
        return Located(self.path.time(x), j, i, side, self._c_next - self.c)

    def _weights(self, x: float | Array) -> Array:
        c = self.path.at(x)
        return self._segment.weights(c - (self.c if c.ndim == 1 else self.c[:, None]))

    # --- crossings ----------------------------------------------------------------------------

    def _queue_crossings(self, units: slice, B: Array, distances: Array) -> None:
        """Queue the units whose distances from their kinks, shape (p + 1, r), may cross 0; B is of what is left."""
        segment = self._segment
        lowest = distances.min(axis=0)
        reaching = (lowest < 0.0).nonzero()[0]
        if reaching.size == 0:
            return
        j, i = segment.units.j[units][reaching], segment.units.i[units][reaching]
        rounding = segment.rounding(B[:, -1], j, i)
        distances, lowest = distances[:, reaching].T, lowest[reaching]
        floor = _floor(segment, self.path, B, distances, np.abs(segment.units.rows(units)[reaching]), rounding)
        earliest = self.x + (1.0 - self.x) * earliest_zeros(distances)
        for k in (lowest < -rounding).nonzero()[0].tolist():
            crossing = float(earliest[k]), False, int(j[k]), int(i[k]), self.x, distances[k].tolist(), float(floor[k])
            heappush(self._queue, crossing)

    def _first_crossing(self) -> _Crossing | None:
        """The first crossing; of several at once, that of the first unit. Zeros are computed as they come first."""
        while self._queue:
            crossing = self._queue[0]
            _, solved, j, i, x, coefficients, floor = crossing
            if solved:
                return crossing
            heappop(self._queue)
            zero = first_crossing(coefficients, floor)
            if zero is not None:
                heappush(self._queue, (max(self.x, x + (1.0 - x) * zero), True, j, i, x, coefficients, floor))
        return None

    def _watch_slopes(self, chosen: IndexArray | slice) -> None:
        """Look at those of the chosen sliding units that may be released on the step, and at no others of theirs."""
        sliding = self._segment.sliding
        self._released[sliding.neurons[chosen]] = False
        possible = _may_be_released(self._segment, self.path, chosen)
        self._released[sliding.neurons[possible], sliding.samples[possible]] = True

    # --- releases -----------------------------------------------------------------------------

    def _first_release(self, x_end: float) -> tuple[float, int, int] | None:
        """x, number and side of the first sliding unit whose effective slope leaves [γ, 1] by x_end.

        The derivative of the path, which is w at both ends, says for which units that is possible; w(c) decides.
        """
        sliding = self._segment.sliding
        possible = self._released[sliding.neurons, sliding.samples].nonzero()[0]
        looks = LOOKS[(self.x < LOOKS) & (x_end > LOOKS)] if self.path.defect is not None else LOOKS[:0]
        looks, found = np.append(looks, x_end), None
        while possible.size:
            margins = np.minimum(*sliding.margins(self._weights(looks), possible))
            outside = margins < 0.0
            if not outside.any():
                return found
            first = int(np.argmax(outside.any(axis=0)))
            k = int(possible[np.argmin(margins[:, first])])
            x, side = self._release(k, float(looks[first - 1]) if first else self.x, float(looks[first]))
            if found is not None and x >= found[0]:  # a tie, to rounding: the other one comes next
                return found
            found, possible = (x, k, side), possible[possible != k]
            looks = np.append(looks[looks < x], x)
        return found

    def _release(self, k: int, x_a: float, x_b: float) -> tuple[float, int]:
        """When the k-th sliding unit, whose slope is outside [γ, 1] at x_b, reached its end; and on which side."""
        sliding, chosen = self._segment.sliding, np.array([k])
        low, high = sliding.margins(self._weights(x_b), chosen)
        side = -1 if low[0] < high[0] else +1

        def inside(x: float) -> float:
            low, high = sliding.margins(self._weights(x), chosen)
            return float(high[0] if side > 0 else low[0])

        if inside(x_a) <= 0.0 or inside(x_b) >= 0.0:
            return (x_a if inside(x_a) <= 0.0 else x_b), side
        return _zero(inside, x_a, x_b), side

    def _note_departures(self, x_end: float) -> None:
        """Note in `SlidingUnits.left` when effective slopes leave [γ, 1] by x_end: releases come later (`margins`)."""
        sliding = self._segment.sliding
        possible = np.flatnonzero(self._released[sliding.neurons, sliding.samples])
        margins = np.minimum(*sliding.inside(self._weights(x_end), possible)) if possible.size else np.zeros(0)
        for k, margin in zip(possible, margins, strict=True):
            unit, chosen = sliding.unit(int(k)), np.array([k])

            def inside(x: float) -> float:
                return float(np.min(sliding.inside(self._weights(x), chosen)))  # noqa: B023

            if margin >= 0.0:
                sliding.left.pop(unit, None)
            elif inside(self.x) > 0.0:
                sliding.left[unit] = self.path.time(_zero(inside, self.x, x_end))
            else:
                sliding.left.setdefault(unit, self.path.time(self.x))

    def _departure(self, j: int, x_end: float) -> float | None:
        """When neuron j, whose sliding samples are dependent, no longer stays on its kinks; None if it stays."""

        def stays(x: float) -> bool:
            return self._segment.stays(j, self._weights(x))

        if stays(x_end):
            return None
        inside = self.x
        while x_end - inside > SMALLEST_PART:
            middle = inside + (x_end - inside) / 2.0
            inside, x_end = (middle, x_end) if stays(middle) else (inside, middle)
        return x_end


def first_event(segment: Segment, path: Path) -> Located | None:
    """The first event of a step, or None."""
    return Events(segment, path).first()


def _zero(function: Callable[[float], float], x_a: float, x_b: float) -> float:
    """Where the function, of opposite signs at the ends, is 0, or as near as its rounding lets the bracket shrink.

    Brent's method halves now and then only, more than a hundred times over in all.
    """
    return float(brentq(function, x_a, x_b, xtol=SMALLEST_PART, rtol=1e-15, maxiter=10_000, disp=False))


def _floor(segment: Segment, path: Path, B: Array, distances: Array, rows: Array, rounding: Array) -> Array:
    """How far below 0 each distance must be to have crossed: rounding, of z and here; `rows` are absolute values.

    A unit that ends on its own side has been beyond only if it was so by more than c(s) is off inside the step.
    """
    size = np.abs(B + segment.since_anchor(0.0)[:, None]).max(axis=1)
    terms = np.abs(distances).max(axis=1) + 2.0 * (rows @ size)
    floor = np.maximum((size.size + 8) * EPS * terms, rounding)
    noise = NOISE * path.error if isinstance(path.error, float) else rows @ path.error
    return np.where(distances[:, -1] >= -floor, np.maximum(floor, noise), floor)


def _may_be_released(segment: Segment, path: Path, chosen: IndexArray | slice) -> IndexArray:
    """Those of the chosen sliding units whose slopes the derivative of the path does not keep inside [γ, 1]."""
    numbers = np.arange(segment.sliding.samples.size)[chosen]
    if path.defect is None:
        return numbers
    low, high = segment.sliding.inside(path.derivative, chosen)
    margin, largest = np.minimum(low, high).min(axis=1), path.derivative.max(axis=1)
    near = margin <= WELL_INSIDE * largest[segment.sliding.samples[chosen]]
    if not near.any():
        return numbers[:0]
    possible = numbers[near]
    return possible[margin[near] <= segment.sliding.response(path.defect + 2.0 * MOST_BEND * largest, possible)]
