"""Which units may reach their kinks on the next steps: only they are looked at.

A unit's *distance* is P_ji z_ji, its preactivation counted positive on its own side; it crosses where
the distance falls below 0. It keeps its own slope until then, and those of the others of its neuron stay in [0, 1],
effective slopes of sliding units included. As c grows, sample k moves the unit toward its kink only where
P_ji a_j y_k K_ik < 0. So while each c_k grows by at most r_k, the distance falls by at most

    |a_j| (Φ_ji K_ii r_i [if P_ji a_j y_i < 0] + Σ_{k≠i, P_ji a_j y_k K_ik < 0} |K_ik| r_k + 2 ‖x_i‖ Σ_k ‖x_k‖ ε_k),

whatever happens to the pattern meanwhile, ε_k = ∫ |dc_k/ds - w_k(c)| ds being by how much the path is none of the flow
(docs/numerics.md, "No unit out of reach arrives"). Units that are farther from their kinks need no look until c has
gone that far.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refimpl.flow.pattern import slopes_of
from refimpl.validation import Array, IndexArray

if TYPE_CHECKING:
    from refimpl.flow.segments import Segment

__all__ = ["NearUnits"]

AHEAD = 4.0
"""Units are chosen that may reach their kinks while c moves this many times as far as on a step, lately."""

SLOPES_OFF = 1e-6
"""Effective slopes of sliding units are taken to leave [γ, 1] by less than this; they are released after 1e-7."""

MEMORY = 0.1
"""Weight of the present step in the mean length of steps."""


class NearUnits:
    """The units that may reach their kinks, with the row ∂z/∂c of each; chosen anew when c has moved too far.

    Attributes
    ----------
    j, i : ndarray, shape (r,)
        Neuron and sample of each, in the order of neurons.
    """

    def __init__(self, segment: Segment, a: Array, y: Array) -> None:
        n, K = segment.q.size, segment.K
        pulls = y * K * (1.0 - np.eye(n))
        self._a, self._y, self._sizes = a[:, None], y, np.sqrt(np.diagonal(K))
        self._up, self._down = np.maximum(pulls, 0.0), np.maximum(-pulls, 0.0)
        self._drift, self._most_drift = 0.0, 0.0  # Σ_k ‖x_k‖ ε_k since the units were chosen, and what was allowed for
        self._segment, self._since, self._reach = segment, np.zeros(n), np.full(n, -1.0)
        self._mean = 0.0  # of how far Σc moved on a step, lately
        self.j = self.i = np.zeros(0, dtype=np.intp)
        self._distances, self._rows = np.zeros(0), np.zeros((0, n))  # P z = distance + row · c, from the anchor

    def in_reach(self, C: Array, drift: Array | float = 0.0) -> Array:
        """P z of units at each column of c, shape (k, r): of all that may reach their kinks in the hull of the columns.

        Parameters
        ----------
        C : ndarray, shape (n, k)
            c, counted from the last event.
        drift : ndarray, shape (n,), or float
            ε_k on this step.
        """
        C = C + self._segment.since_anchor(0.0)[:, None]
        low, high = C.min(axis=1), C.max(axis=1)
        length, drift = float((high - low).sum()), float((self._sizes * drift).sum())
        self._drift += drift
        self._mean += (MEMORY if self._mean else 1.0) * (length - self._mean)
        beyond = ((high - self._since > self._reach) | (low < self._since)).any() or self._drift > self._most_drift
        if beyond or self._reach.sum() > AHEAD**2 * length:
            times = max(1.0, AHEAD * min(1.0, self._mean / length)) if length > 0.0 else 1.0
            self._since, self._reach = low, times * (high - low)
            self._drift, self._most_drift = drift, AHEAD**2 * drift + SLOPES_OFF * float(self._sizes @ self._reach)
            self._choose()
        return np.asarray(self._distances + (self._rows @ C).T)

    def _units_of(self, j: int) -> slice:
        """Numbers of the units of neuron j."""
        return slice(*self.j.searchsorted((j, j + 1)).tolist())

    def samples_of(self, j: int) -> IndexArray:
        """Samples of the units of neuron j."""
        return self.i[self._units_of(j)]

    def of_neuron(self, j: int, C: Array) -> tuple[slice, Array]:
        """The units of neuron j, and P z of each at each column of c, shape (k, r)."""
        mine = self._units_of(j)
        C = C + self._segment.since_anchor(0.0)[:, None]
        return mine, np.asarray(self._distances[mine] + (self._rows[mine] @ C).T)

    def update_neuron(self, j: int, changed: IndexArray) -> None:
        """Take over neuron j's new pattern; units that have another side now are watched from now on."""
        segment, mine = self._segment, self._units_of(j)
        missing = changed[~(changed[:, None] == self.i[mine]).any(axis=1)]
        if missing.size:
            new = np.full(missing.size, j), missing, np.zeros(missing.size), np.zeros((missing.size, segment.q.size))
            self.j, self.i, self._distances, self._rows = (
                np.concatenate([old[: mine.stop], added, old[mine.stop :]])
                for old, added in zip((self.j, self.i, self._distances, self._rows), new, strict=True)
            )
            mine = slice(mine.start, mine.stop + missing.size)
        i = self.i[mine]
        sides = segment.pattern[j, i]
        self._distances[mine] = sides * segment.anchored(j, i)
        self._rows[mine] = sides[:, None] * segment.unit_rows(j, i)

    def count_from(self, c: Array) -> None:
        """Take over a new anchor, at c of the one before: the units and their rows stay what they are."""
        self._since = self._since - c
        self._distances = self._segment.pattern[self.j, self.i] * self._segment.anchored(self.j, self.i)

    def rows(self, units: IndexArray | slice) -> Array:
        """∂(P z)/∂c of units, shape (r, n); 0 where one slides."""
        return np.asarray(self._rows[units])

    def unit(self, k: int) -> tuple[int, int]:
        """Neuron and sample of unit k."""
        return int(self.j[k]), int(self.i[k])

    def all_reach(self, r: Array, drift: float) -> Array:
        """How far a unit can move toward its kink while each c_k grows by at most r_k, with rounding, shape (m, n).

        Sample k moves it by P_ji a_j y_k θ K_ik per c_k, toward the kink if that is negative: θ is Φ_ji for its own,
        which it keeps until it arrives, and in [0, 1] for the others, also after they have changed; `drift` is
        Σ_k ‖x_k‖ ε_k.
        """
        segment, size = self._segment, np.abs(self._a)
        sign, up, down = segment.pattern * np.sign(self._a), self._up @ r, self._down @ r
        others = np.where(sign > 0.0, down, up) + SLOPES_OFF * (up + down) + 2.0 * drift * self._sizes
        own = np.where(sign * self._y < 0.0, slopes_of(segment.pattern, segment.slope), 0.0) * (self._sizes**2 * r)
        rounding = 2.0 * segment.all_rounding(segment.since_anchor(0.0) + r)
        return np.asarray((1.0 + SLOPES_OFF) * size * (own + others) + rounding)

    def _choose(self) -> None:
        segment, sides = self._segment, self._segment.pattern
        near = sides * segment.all_at(self._since) <= self.all_reach(self._reach, self._most_drift)
        self.j, self.i = np.nonzero(near & (sides != 0))
        mine = sides[self.j, self.i]
        self._distances = mine * segment.anchored(self.j, self.i)
        self._rows = segment.rows_of(self.j, self.i)
        self._rows *= mine[:, None]
