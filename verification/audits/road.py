"""How far a network is along the logarithmic road to its limit (docs/theory.md, section 16).

Once its pattern of activations, and the weights of the samples, stay, W(s) = W(s₁) + (s - s₁) V*, V* = W*/‖W*‖². So
what W has across W* stays as it is, what it has along W* grows at the speed 1/‖W*‖ in loss-normalized time s, and t
grows like e^{s/‖W*‖²}. When that sets in is read off the exact flow; without it, it is taken to be now.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.flow import FlowResult
from refimpl.losses import Loss, log_mean_weight
from refimpl.validation import Array

__all__ = ["NEAR", "Road", "road_of_flow", "straight_road"]

NEAR = 0.01
"""The direction has arrived where the sine of its angle with the limit is at most this."""

SEEN = 1e-4
"""A sine is a root of a difference: of recorded times those count at which it is at least this."""


@dataclass(frozen=True)
class Road:
    """From a checkpoint to within `NEAR` of its limit.

    Attributes
    ----------
    sine : float
        Of the angle between W and W*.
    log_time : float
        Logarithm of the plain time t that is left; -inf once there. A step of size α takes the time α.
    exact : bool
        Whether the exact flow was followed until the pattern of activations stays.
    """

    sine: float
    log_time: float
    exact: bool

    @property
    def arrived(self) -> bool:
        """Whether nothing is left."""
        return self.log_time == float("-inf")

    def log10_steps(self, step_size: float) -> float:
        """Of descent, the decimal logarithm of how many."""
        return float((self.log_time - np.log(step_size)) / np.log(10.0))


def straight_road(W: Array, limit: Array, log_weight: float) -> Road:
    """What is left from W to the direction of `limit` if nothing changes any more.

    Parameters
    ----------
    W : ndarray, shape (m, d)
        Not 0.
    limit : ndarray, shape (m, d)
        W*, of smallest margin 1.
    log_weight : float
        log ḡ at W: dt = ds/ḡ, and ḡ falls like e^{-s/‖W*‖²}.

    Examples
    --------
    >>> road = straight_road(np.array([[3.0, 4.0]]), np.array([[2.0, 0.0]]), np.log(0.5))
    >>> road.sine, round(road.log_time, 2)                    # 4 across, so 400 along: s = 794, and log 8 more
    (0.8, 200.57)
    """
    along, across = _parts(W, limit)
    sine = across / float(np.hypot(along, across))
    if along > 0.0 and sine <= NEAR:
        return Road(sine, float("-inf"), False)
    x = _left(along, across, float(np.linalg.norm(limit)))
    return Road(sine, float(_log_unit(limit, log_weight) + x + np.log(-np.expm1(-x))), False)


def road_of_flow(W: Array, flow: FlowResult, loss: Loss) -> Road:
    """What is left from W to the limit of the exact flow from there.

    Of its recorded times after the last event the last one counts whose sine is `SEEN`. There W has along W* the length
    Σλ_i q_i/‖W*‖, as ⟨W, H_i⟩ = q_i in the pattern of the limit. From there, on and back, the road is straight.

    Parameters
    ----------
    W : ndarray, shape (m, d)
        Not 0, where the flow starts.
    flow : FlowResult
        With a limit.
    loss : Loss
    """
    assert flow.limit is not None
    limit, path = flow.limit.weights(), flow.trajectory
    along, across = _parts(W, limit)
    sine = across / float(np.hypot(along, across))
    if along > 0.0 and sine <= NEAR:
        return Road(sine, float("-inf"), True)
    size = float(np.linalg.norm(limit))
    lengths = path.margins @ flow.limit.multipliers / size
    rests = np.sqrt(np.maximum(path.norm**2 - lengths**2, 0.0))
    settled = np.flatnonzero(path.s >= max((event.s for event in flow.events), default=0.0))
    seen = settled[rests[settled] >= SEEN * path.norm[settled]]
    k = int(seen[-1]) if seen.size else len(path.s) - 1
    x = _left(float(lengths[k]), float(rests[k]), size)
    log_unit = _log_unit(limit, log_mean_weight(loss, path.margins[k]))
    if x <= 0.0:  # it was there before: t falls back as it grew, t ḡ -> ‖W*‖²
        return Road(sine, log_unit + x, True)
    return Road(sine, float(np.logaddexp(path.log_time[k], log_unit + x + np.log(-np.expm1(-x)))), True)


def _parts(W: Array, limit: Array) -> tuple[float, float]:
    """What W has along the limit, and the length of what it has across."""
    unit = limit / np.linalg.norm(limit)
    along = float(np.sum(W * unit))
    return along, float(np.linalg.norm(W - along * unit))


def _left(along: float, across: float, size: float) -> float:
    """The loss-normalized time that is left, in units of ‖W*‖²."""
    return (across * float(np.sqrt(1.0 / NEAR**2 - 1.0)) - along) / size


def _log_unit(limit: Array, log_weight: float) -> float:
    """log(‖W*‖²/ḡ): the time is that times e^x - 1, and so t ḡ -> ‖W*‖², as (16.3) says."""
    return 2.0 * float(np.log(np.linalg.norm(limit))) - log_weight
