"""Which units may reach their kinks on the next steps: only they are looked at.

A unit's *distance* is P_ji z_ji, its preactivation counted positive on its own side; it crosses where
the distance falls below 0. Since z_ji = z + row · c, while each |c_k| moves by at most r_k a distance changes by at
most Σ_k |row_k| r_k. So two matrix products say for several steps at once which units are too far away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refimpl.validation import Array, IndexArray, IntArray

if TYPE_CHECKING:
    from refimpl.flow.segments import Segment

__all__ = ["NearUnits"]

AHEAD = 3.0
"""Units are chosen that may reach their kinks while c moves this many times as far as on the present step."""


class NearUnits:
    """The units that may reach their kinks, with the row ∂z/∂c of each; chosen anew when c has moved too far.

    Attributes
    ----------
    j, i : ndarray, shape (r,)
        Neuron and sample of each, in the order of neurons.
    """

    def __init__(self, segment: Segment) -> None:
        n = segment.q.size
        self._segment, self._since, self._reach = segment, np.zeros(n), np.full(n, -1.0)
        self.j = self.i = np.zeros(0, dtype=np.intp)
        self._z, self._sides, self._rows = np.zeros(0), np.zeros(0), np.zeros((0, n))

    def in_reach(self, C: Array) -> Array:
        """P z of units at each column of c, shape (r, k): of all that may reach their kinks in the hull of the columns.

        Parameters
        ----------
        C : ndarray, shape (n, k)
            c, counted from the last event.
        """
        C = C + self._segment.since_anchor(0.0)[:, None]
        ahead = AHEAD * np.abs(C - C[:, :1]).max(axis=1)
        beyond = (np.abs(C - self._since[:, None]).max(axis=1) > self._reach).any()
        if beyond or self._reach.sum() > AHEAD * ahead.sum():
            self._since, self._reach = C[:, 0].copy(), ahead
            self._choose()
        return np.asarray(self._sides[:, None] * (self._z[:, None] + self._rows @ C))

    def update_neuron(self, j: int) -> None:
        """Take over neuron j's new pattern."""
        segment, before, after = self._segment, *np.searchsorted(self.j, [j, j + 1])
        Z, reach = segment.row_at(j, self._since), segment.row_reach(j, self._reach)
        i = np.flatnonzero(self._near(segment.pattern[j], Z, reach, np.array([j])))
        parts = np.full(i.size, j), i, segment.anchored(j, i), segment.pattern[j, i], segment.unit_rows(j, i)
        self.j, self.i, self._z, self._sides, self._rows = (
            np.concatenate([old[:before], new, old[after:]])
            for old, new in zip((self.j, self.i, self._z, self._sides, self._rows), parts, strict=True)
        )

    def rows(self, units: IndexArray) -> Array:
        """∂z/∂c of units, shape (r, n)."""
        return np.asarray(self._rows[units])

    def unit(self, k: int) -> tuple[int, int]:
        """Neuron and sample of unit k."""
        return int(self.j[k]), int(self.i[k])

    def _choose(self) -> None:
        segment = self._segment
        neurons = np.arange(segment.pattern.shape[0])[:, None]
        near = self._near(segment.pattern, segment.all_at(self._since), segment.all_reach(self._reach), neurons)
        self.j, self.i = np.nonzero(near)
        self._z, self._rows = segment.anchored(self.j, self.i), segment.rows_of(self.j, self.i)
        self._sides = segment.pattern[self.j, self.i].astype(np.float64)

    def _near(self, sides: IntArray, Z: Array, reach: Array, neurons: IndexArray) -> Array:
        samples = np.arange(sides.shape[-1])
        floor = 2.0 * self._segment.rounding_since_anchor(self._since + self._reach, neurons, samples)
        return np.asarray((sides * Z <= (1.0 + 1e-9) * reach + floor) & (sides != 0))
