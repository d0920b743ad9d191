"""Where the next event lies within one step of the solver (docs/numerics.md, "Gradient flow from event to event").

Distances from kinks are linear in c, so on a step they are polynomials, and their Bernstein coefficients are one matrix
product. A unit whose coefficients are all positive does not reach its kink (docs/numerics.md, "No crossing is missed").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from refimpl.flow.bernstein import SMALLEST_PART, Path, earliest_zeros, first_crossing
from refimpl.flow.segments import Segment
from refimpl.validation import Array, IndexArray

__all__ = ["Located", "first_event"]

EPS = float(np.finfo(np.float64).eps)

NOISE = 100.0
"""Inside a step c is off by at most this many times the solver's tolerance, also where stability bounds the step."""

LOOKS = np.array([0.25, 0.5, 0.75, 1.0])
"""Where in a step effective slopes that may leave [γ, 1] are looked at."""

WELL_INSIDE = 0.1
"""A unit whose effective slope, by the derivative of the path, stays this far from γ and 1 is not looked at closer."""


@dataclass(frozen=True, eq=False)
class Located:
    """An event at s and c: `side` is that of a released unit, or 0 where the neuron's kinks are to be resolved."""

    s: float
    neuron: int
    sample: int
    side: int
    c: Array


def first_event(segment: Segment, path: Path) -> Located | None:
    """The first event of the step, or None.

    A unit that stands at its kink, or beyond it, and moves the wrong way is an event at the start.

    Parameters
    ----------
    segment : Segment
    path : Path
        c(s) within the step.
    """
    found, x = _first_crossing(segment, path), 1.0
    if found is not None:
        x, j, i = found
        event = Located(path.time(x), j, i, 0, path.at(x))
    else:
        event = None
    if segment.sliding.of_neuron:
        release = _first_release(segment, path, x)
        if release is not None:
            x, k, side = release
            event = Located(path.time(x), *segment.sliding.unit(k), side, path.at(x))
        for j in segment.sliding.dependent_neurons:
            departure = _departure(segment, path, j, x)
            if departure is not None:
                x = departure
                sample = int(np.flatnonzero(segment.pattern[j] == 0)[0])
                event = Located(path.time(x), j, sample, 0, path.at(x))
    return event


def _first_crossing(segment: Segment, path: Path) -> tuple[float, int, int] | None:
    """x, neuron and sample of the first crossing; of several at once, that of the first unit."""
    end = path.B[:, -1]
    units = segment.units
    distances = units.in_reach(path.B)
    reaching = np.flatnonzero(distances.min(axis=0) < 0.0)
    rounding = segment.rounding(end, units.j[reaching], units.i[reaching])
    beyond = distances[:, reaching].min(axis=0) < -rounding
    reaching = reaching[beyond]
    if reaching.size == 0:
        return None
    distances = distances[:, reaching].T
    floor = _floor(segment, path, distances, np.abs(units.rows(reaching)), rounding[beyond])
    earliest = earliest_zeros(distances)
    found, first = -1, 1.0
    for k in np.argsort(earliest, kind="stable"):
        if earliest[k] > first:
            break
        x = first_crossing(distances[k].tolist(), float(floor[k]))
        if x is not None and (x < first or found < 0):
            first, found = x, int(reaching[k])
    return None if found < 0 else (first, *units.unit(found))


def _floor(segment: Segment, path: Path, distances: Array, rows: Array, rounding: Array) -> Array:
    """How far below 0 each distance must be to have crossed: rounding, of z and here; `rows` are absolute values.

    A unit that ends on its own side has been beyond only if it was so by more than c(s) is off inside the step.
    """
    size = np.abs(path.B + segment.since_anchor(0.0)[:, None]).max(axis=1)
    terms = np.abs(distances).max(axis=1) + 2.0 * (rows @ size)
    floor = np.maximum((size.size + 8) * EPS * terms, rounding)
    noise = NOISE * path.error if isinstance(path.error, float) else rows @ path.error
    return np.where(distances[:, -1] >= -floor, np.maximum(floor, noise), floor)


def _first_release(segment: Segment, path: Path, x_end: float) -> tuple[float, int, int] | None:
    """x, number and side of the first sliding unit whose effective slope leaves [γ, 1] by x_end.

    The derivative of the path, which is w at both ends, says for which units that is possible; w(c) decides.
    """
    possible = _may_be_released(segment, path)
    looks = np.array([x_end]) if path.defect is None else np.append(LOOKS[x_end > LOOKS], x_end)
    found = None
    while possible.size:
        margins = np.minimum(*segment.sliding.margins(segment.weights(path.at(looks)), possible))
        outside = margins < 0.0
        if not outside.any():
            return found
        first = int(np.argmax(outside.any(axis=0)))
        k = int(possible[np.argmin(margins[:, first])])
        x, side = _release(segment, path, k, float(looks[first - 1]) if first else 0.0, float(looks[first]))
        if found is not None and x >= found[0]:  # a tie, to rounding: the other one comes next
            return found
        found, possible = (x, k, side), possible[possible != k]
        looks = np.append(looks[looks < x], x)
    return found


def _may_be_released(segment: Segment, path: Path) -> IndexArray:
    """Numbers of the sliding units whose effective slopes the derivative of the path does not keep inside [γ, 1]."""
    if path.defect is None:
        return np.arange(segment.sliding.samples.size)
    low, high = segment.sliding.least_margins(path.derivative)
    margin = np.minimum(low.min(axis=1), high.min(axis=1))
    near = np.flatnonzero(margin <= WELL_INSIDE * path.derivative.max(axis=1)[segment.sliding.samples])
    return near[margin[near] <= segment.sliding.response(path.defect, near)] if near.size else near


def _release(segment: Segment, path: Path, k: int, x_a: float, x_b: float) -> tuple[float, int]:
    """When the k-th sliding unit, whose slope is outside [γ, 1] at x_b, reached its end; and on which side."""
    chosen = np.array([k])
    low, high = segment.sliding.margins(segment.weights(path.at(x_b)), chosen)
    side = -1 if low[0] < high[0] else +1

    def inside(x: float) -> float:
        low, high = segment.sliding.margins(segment.weights(path.at(x)), chosen)
        return float(high[0] if side > 0 else low[0])

    if inside(x_a) <= 0.0 or inside(x_b) >= 0.0:
        return (x_a if inside(x_a) <= 0.0 else x_b), side
    return float(brentq(inside, x_a, x_b, xtol=SMALLEST_PART, rtol=1e-15)), side


def _departure(segment: Segment, path: Path, j: int, x_end: float) -> float | None:
    """When neuron j, whose sliding samples are dependent, no longer stays on its kinks; None if it does at x_end."""

    def stays(x: float) -> bool:
        return segment.stays(j, segment.weights(path.at(x)))

    if stays(x_end):
        return None
    inside = 0.0
    while x_end - inside > SMALLEST_PART:
        middle = inside + (x_end - inside) / 2.0
        inside, x_end = (middle, x_end) if stays(middle) else (inside, middle)
    return x_end
