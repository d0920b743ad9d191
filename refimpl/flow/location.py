"""Where the next event lies within one step of the solver (docs/numerics.md, "Gradient flow from event to event").

Preactivations are linear in c, so crossings are roots of z + row · c(s) on the solver's dense
output, found to rounding by Brent's method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from refimpl.flow.segments import Segment
from refimpl.flow.watch import AllUnits, NearUnits
from refimpl.validation import Array, IndexArray

__all__ = ["Located", "first_event", "immediate_event"]

Dense = Callable[[float | Array], Array]
Units = NearUnits | AllUnits

DIP_TIMES = 17
"""Times within one step at which a unit that may dip through its kink is looked at."""


@dataclass(frozen=True)
class Located:
    """An event at time s: `side` is the side of a released unit; 0 where the neuron's kinks are to be resolved."""

    s: float
    neuron: int
    sample: int
    side: int


def immediate_event(segment: Segment) -> tuple[int, int] | None:
    """A unit that stands at its kink, or beyond it, and moves the wrong way (ties, exact zeros)."""
    zero = np.zeros(segment.q.size)
    units = segment.units
    at_kink = np.flatnonzero(units.distances(zero) <= 0.0)
    if at_kink.size == 0:
        return None
    speeds = units.speeds(segment.weights(zero))[at_kink]
    wrong = at_kink[speeds < -segment.speed_rounding(units.j[at_kink], units.i[at_kink])]
    return units.unit(wrong[0]) if wrong.size else None


def first_event(segment: Segment, dense: Dense, s_a: float, s_b: float) -> Located | None:
    """The first event in (s_a, s_b], or None.

    Parameters
    ----------
    segment : Segment
    dense : callable
        c(s) within the step.
    s_a, s_b : float
        The step.
    """
    within = float(np.sum(dense(s_b))) <= segment.horizon
    units: Units = segment.units if within else AllUnits(segment)
    crossing = _first_crossing(segment, units, dense, s_a, s_b)
    release = _first_release(segment, dense, s_a, crossing.s if crossing else s_b) or crossing
    return _first_departure(segment, dense, s_a, release.s if release else s_b) or release


def _first_crossing(segment: Segment, units: Units, dense: Dense, s_a: float, s_b: float) -> Located | None:
    found, s_end, number = None, s_b, -1
    start = units.distances(dense(s_a))
    end = units.distances(dense(s_b))
    dips = _dips(segment, units, dense, s_a, s_b, start, end)
    while True:
        beyond = np.flatnonzero(end < -segment.rounding(dense(s_end), units.j, units.i))
        beyond = beyond[beyond != number]
        if beyond.size == 0:
            break
        k = int(beyond[np.argmin(_share(start[beyond], end[beyond]))])
        s = _crossing_time(segment, units.unit(k), dense, s_a, s_end)
        if found is not None and s >= s_end:  # a tie, to rounding: the other one comes next
            break
        s_end, found, number = s, Located(s, *units.unit(k), 0), k
        end = units.distances(dense(s_end))
    times = np.linspace(s_a, s_end, DIP_TIMES)
    c = dense(times) if dips.size else np.zeros((segment.q.size, 0))  # all dips look at the same times
    for k in dips:
        dip = _dip_crossing(segment, units.unit(int(k)), dense, times, c)
        if dip is not None and (dip < s_end or found is None):
            s_end, found = dip, Located(dip, *units.unit(int(k)), 0)
    return found


def _share(start: Array, end: Array) -> Array:
    """Where between the two the distance would be 0, if it were linear: 0 to 1."""
    start = np.maximum(start, 0.0)
    return np.asarray(start / (start - end))


def _dips(segment: Segment, units: Units, dense: Dense, s_a: float, s_b: float, start: Array, end: Array) -> IndexArray:
    """Units that approach their kink at s_a, recede at s_b, and whose tangents meet beyond it."""
    c_a, c_b = dense(s_a), dense(s_b)
    v_a, v_b = units.speeds(segment.weights(c_a)), units.speeds(segment.weights(c_b))
    turning = np.flatnonzero((v_a < 0.0) & (v_b > 0.0) & (start > 0.0) & (end >= 0.0))
    v_a, v_b, start, end = v_a[turning], v_b[turning], start[turning], end[turning]
    meet = (end - start - v_b * (s_b - s_a)) / (v_a - v_b)
    return turning[start + v_a * meet < 0.0]


def _crossing_time(segment: Segment, unit: tuple[int, int], dense: Dense, s_a: float, s_b: float) -> float:
    """The time at which the unit, beyond its kink at s_b, reached it."""
    z0, row = segment.unit(*unit)
    side = float(segment.pattern[unit])

    def distance(s: float) -> float:
        return side * (z0 + float(row @ dense(s)))

    start = s_a
    if distance(start) <= 0.0:  # starts on its kink: it first moves away, then comes back
        halves = (s_a + (s_b - s_a) * 2.0**-k for k in range(1, 30))
        start = next((s for s in halves if distance(s) > 0.0), s_a)
        if start == s_a:
            return s_a
    return _root(distance, start, s_b)


def _dip_crossing(segment: Segment, unit: tuple[int, int], dense: Dense, times: Array, c: Array) -> float | None:
    """The first time at which a unit reaches its kink, if it is beyond at one of the times, where c is given."""
    z0, row = segment.unit(*unit)
    below = np.flatnonzero(float(segment.pattern[unit]) * (z0 + row @ c) < 0.0)
    return _crossing_time(segment, unit, dense, float(times[0]), float(times[below[0]])) if below.size else None


def _first_release(segment: Segment, dense: Dense, s_a: float, s_b: float) -> Located | None:
    """The first sliding unit whose effective slope leaves [γ, 1] in (s_a, s_b]."""
    found, s_end, number = None, s_b, -1
    while True:
        low, high = segment.sliding_margins(segment.weights(dense(s_end)))
        outside = np.flatnonzero(np.minimum(low, high) < 0.0)
        outside = outside[outside != number]
        if outside.size == 0:
            return found
        k = int(outside[np.argmin(np.minimum(low, high)[outside])])
        side = -1 if low[k] < high[k] else +1
        s = _release_time(segment, k, side, dense, s_a, s_end)
        if found is not None and s >= s_end:  # a tie, to rounding: the other one comes next
            return found
        s_end, found, number = s, Located(s, *segment.sliding_unit(k), side), k


def _release_time(segment: Segment, k: int, side: int, dense: Dense, s_a: float, s_b: float) -> float:
    """The time at which the sliding unit, whose slope is outside [γ, 1] at s_b, reached its end."""

    def inside(s: float) -> float:
        low, high = segment.sliding_margins(segment.weights(dense(s)), slice(k, k + 1))
        return float(high[0] if side > 0 else low[0])

    return s_a if inside(s_a) <= 0.0 else _root(inside, s_a, s_b)


def _first_departure(segment: Segment, dense: Dense, s_a: float, s_b: float) -> Located | None:
    """The first neuron, of those whose sliding samples are dependent, that no longer stays on its kinks."""
    found = None
    for j in segment.dependent_neurons:

        def stays(s: float, j: int = j) -> bool:
            return segment.stays(j, segment.weights(dense(s)))

        if stays(s_b):
            continue
        inside = s_a
        while s_b - inside > 4.0 * np.finfo(np.float64).eps * max(s_b, 1e-300):
            middle = inside + (s_b - inside) / 2.0
            if middle in (inside, s_b):
                break
            inside, s_b = (middle, s_b) if stays(middle) else (inside, middle)
        sample = int(np.flatnonzero(segment.pattern[j] == 0)[0])
        found = Located(s_b, j, sample, 0)
    return found


def _root(f: Callable[[float], float], s_a: float, s_b: float) -> float:
    """Where f, positive at s_a and negative at s_b to rounding, is 0, to four units in the last place."""
    if f(s_b) >= 0.0:
        return s_b
    return float(brentq(f, s_a, s_b, xtol=4.0 * np.finfo(np.float64).eps * max(s_b, 1e-300), rtol=1e-15))
