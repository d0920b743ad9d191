"""Whether a flow has come to its limit, and if not yet, what is next (docs/theory.md, section 7, "When to stop")."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from refimpl.flow.bounds import Outcome
from refimpl.flow.cell import Cell, simplex_minimizer
from refimpl.flow.limit import limit_ahead, limit_from_cell, vanished, why_vanished
from refimpl.flow.result import GROWTH_GAP_TOLERANCE, FlowLimit, FlowStatus
from refimpl.flow.segments import Segment
from refimpl.losses import Loss, mean_log_value
from refimpl.validation import Array

__all__ = ["Ending", "Jump", "Limit", "NoLimit", "Release", "ending"]

EPS = float(np.finfo(np.float64).eps)

LOOK_AHEAD_EVERY = 200, 5
"""Steps without an event between two looks for a limit that w has not reached yet; and for one where rounding of the
margins, through w, hides whether check (a) holds."""

JUMP_DRIFT = 1e-6
"""A jump at constant velocity may last as long as differences of margins drift by at most this."""

JUMP_GAP = 1.0
"""It asks for a gap of at most this many `atol` of wᵀMw: times -z/ż are off by about such a part, as w is."""


@dataclass(frozen=True)
class Limit:
    """The flow goes to this limit; at constant velocity its loss is small enough after the time `wait`."""

    limit: FlowLimit
    wait: float

    def outcome(self) -> Outcome:
        """How the flow ends there."""
        limit, status = self.limit, FlowStatus.CONVERGED
        how = f"polished, which moved it by {limit.polish_distance:.1e}" if limit.polished else "not polished"
        return status, f"{status.value} ({how})", limit


@dataclass(frozen=True)
class NoLimit:
    """Margins no longer grow, and why."""

    why: str

    def outcome(self) -> Outcome:
        """How the flow ends."""
        return FlowStatus.STALLED, self.why, None


@dataclass(frozen=True)
class Jump:
    """At constant velocity unit (neuron, sample) reaches its kink after the time `wait`, and no unit earlier."""

    wait: float
    neuron: int
    sample: int


@dataclass(frozen=True)
class Release:
    """In the limit of this cell unit (neuron, sample) leaves its kink to `side`, by less than `RELEASE_DELAY`."""

    neuron: int
    sample: int
    side: int


Ending = Limit | NoLimit | Jump | Release


def ending(
    segment: Segment, c: Array, w: Array, X: Array, calm_steps: int, released: Collection[tuple[int, int]], atol: float
) -> Ending | None:
    """What check (a) and check (b) say; None if the flow is to be integrated on.

    Parameters
    ----------
    segment : Segment
    c, w : ndarray, shape (n,)
        c since the last event, and the sample weights there.
    X : ndarray, shape (n, d)
        The samples, for the limit.
    calm_steps : int
        Steps since the last event.
    released : collection of (neuron, sample)
        Units that are not released again for the sake of the limit.
    atol : float
        Of w.
    """
    growth = segment.M @ w
    mean = float(w @ growth)
    if vanished(segment.cell, w, mean):
        return NoLimit(why_vanished(segment.cell()))
    gap = mean - float(growth.min())
    if gap > GROWTH_GAP_TOLERANCE * mean:  # (a), docs/theory.md (7.7)
        if not _looks_ahead(segment, c, gap, calm_steps) or not _loss_tends_to_zero(segment, c):
            return None
        limit = limit_ahead(segment.cell(), segment.preactivations(c), segment.margins(c), w, X)
        return None if limit is None else Limit(limit, 0.0)
    cell = segment.cell()
    wait, j, i = cell.approach_time(segment.preactivations(c), w)  # (b)
    if np.isinf(wait):
        limit = limit_from_cell(cell, w, X)
        release = None if limit.polished else _late_release(cell, released)
        return Limit(limit, _until_zero_loss(segment, c, growth)) if release is None else release
    rounding = 64.0 * EPS * float(np.diagonal(segment.M).max())
    if gap * wait > JUMP_DRIFT or gap > max(JUMP_GAP * atol * mean, rounding):
        return None
    return Jump(wait, j, i)


def _looks_ahead(segment: Segment, c: Array, gap: float, calm_steps: int) -> bool:
    """Whether to look now for a limit that w has not reached yet, or not to the digits that check (a) asks for."""
    rounding = 64.0 * EPS * float(np.abs(segment.margins(c)).max()) * float(np.diagonal(segment.M).max())
    return calm_steps % LOOK_AHEAD_EVERY[int(gap <= rounding)] == 0


def _late_release(cell: Cell, released: Collection[tuple[int, int]]) -> Release | None:
    lam = simplex_minimizer(cell.matrix)
    leaving = [] if lam is None else cell.leaving(lam / lam.sum())
    return next((Release(j, i, side) for j, i, side in leaving if (j, i) not in released), None)


def _loss_tends_to_zero(segment: Segment, c: Array) -> bool:
    """Whether L < ℓ(0)/n, from where L tends to 0 and there is a limit ([LL], docs/theory.md, section 2)."""
    return mean_log_value(segment.loss, segment.margins(c)) < _log_of_enough(segment.loss, c.size)


def _until_zero_loss(segment: Segment, c: Array, growth: Array) -> float:
    """How long the margins must grow as they do now for L < ℓ(0)/n."""
    if _loss_tends_to_zero(segment, c):
        return 0.0
    enough = float(segment.loss.inverse_of_log_value(_log_of_enough(segment.loss, c.size)))
    return float(np.max((enough - segment.margins(c)) / growth))


def _log_of_enough(loss: Loss, n: int) -> float:
    """log(ℓ(0)/n), less 1e-3."""
    return float(loss.log_value(0.0)) - float(np.log(n)) - 1e-3
