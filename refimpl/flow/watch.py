"""Which units the flow watches for crossings: those near their kinks, or all of them.

A unit's *distance* is P_ji z_ji, its preactivation counted positive on its own side; it crosses where
the distance falls below 0. A sliding unit has distance inf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refimpl.validation import Array, IndexArray

if TYPE_CHECKING:
    from refimpl.flow.segments import Segment

__all__ = ["AllUnits", "NearUnits", "longest_horizon"]

ALL_UP_TO = 2_000_000
"""Where m n² is at most this, watching every unit costs less than choosing among them."""

NEAR_COUNT = 1024
"""Number of units that are chosen otherwise."""

WEIGHT_GROWTH = 0.5
"""Sample weights may grow by this in the logarithm while a choice is valid."""


class NearUnits:
    """The units that could reach their kinks first, with the row ∂z/∂c of each.

    Slopes are at most 1, those of sliding units included, so a unit moves at most at |a_j| Σ_k |K_ki| w_k and a
    margin at most at Σa² Σ_k |K_ki| w_k. As long as weights have not grown by more than the factor e^G these are
    at most e^G times their values at the anchor, G = `WEIGHT_GROWTH`; and |d log w/ds| <= 2 max |dq/ds| says
    that they have not for the time G / (2 e^G Σa² max_i Σ_k |K_ki| w_k).

    Attributes
    ----------
    horizon : float
        Time s from the anchor within which no unit outside the list can reach its kink.
    """

    def __init__(self, segment: Segment, Z: Array, w: Array) -> None:
        distance = np.where(segment.pattern == 0, np.inf, segment.pattern * Z)
        fastest = np.exp(WEIGHT_GROWTH) * (np.abs(segment.K) @ w)
        speed = np.abs(segment.span.network.second_layer)[:, None] * fastest
        soonest = np.full(distance.shape, np.inf)  # where nothing can move, which underflow of w makes possible
        soonest = np.divide(distance, speed, out=soonest, where=speed > 0.0).ravel()
        if soonest.size <= NEAR_COUNT or soonest.size * w.size <= ALL_UP_TO:
            order, self.horizon = np.arange(soonest.size), np.inf
        else:
            order = np.argpartition(soonest, NEAR_COUNT)
            self.horizon = min(max(0.0, float(soonest[order[NEAR_COUNT]])), longest_horizon(segment, w))
            order = order[:NEAR_COUNT]
        self.j, self.i = np.divmod(order, Z.shape[1])
        self.z = Z[self.j, self.i]
        self.rows = segment.rows_without_sliding(self.j, self.i)
        self._segment = segment
        for j in np.intersect1d(self.j, np.flatnonzero((segment.pattern == 0).any(axis=1))):
            self._rebuild(Z, int(j))

    def update_neuron(self, Z: Array, j: int, released: IndexArray) -> None:
        """Take over neuron j's new pattern; units that it released are watched from now on."""
        missing = np.setdiff1d(released, self.i[self.j == j])
        self.j = np.concatenate([self.j, np.full(missing.size, j)])
        self.i = np.concatenate([self.i, missing])
        self.z = np.concatenate([self.z, np.zeros(missing.size)])
        self.rows = np.concatenate([self.rows, np.zeros((missing.size, Z.shape[1]))])
        self._rebuild(Z, j)

    def _rebuild(self, Z: Array, j: int) -> None:
        mine = self.j == j
        self.z[mine] = Z[j, self.i[mine]]
        self.rows[mine] = self._segment.unit_rows(j, self.i[mine])

    def distances(self, c: Array) -> Array:
        """P z of every watched unit after c."""
        sides = self._segment.pattern[self.j, self.i]
        z = self.z + self.rows @ self._segment.since_anchor(c)
        return np.where(sides == 0, np.inf, sides * z)

    def speeds(self, w: Array) -> Array:
        """d(P z)/ds of every watched unit; 0 where it slides."""
        return self._segment.pattern[self.j, self.i] * (self.rows @ w)

    def unit(self, k: int) -> tuple[int, int]:
        """Neuron and sample of watched unit k."""
        return int(self.j[k]), int(self.i[k])


def longest_horizon(segment: Segment, w: Array) -> float:
    """The time in which sample weights cannot grow by more than the factor e^WEIGHT_GROWTH."""
    mass = float(np.sum(segment.span.network.second_layer**2))
    fastest = np.exp(WEIGHT_GROWTH) * mass * float((np.abs(segment.K) @ w).max())
    return float(WEIGHT_GROWTH / (2.0 * fastest))


class AllUnits:
    """Every unit, by full matrix products."""

    horizon = np.inf

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self.j, self.i = (index.ravel() for index in np.indices(segment.pattern.shape))

    def update_neuron(self, Z: Array, j: int, released: IndexArray) -> None:
        """Nothing is kept, so nothing changes."""

    def distances(self, c: Array) -> Array:
        """P z of every unit after c, flattened."""
        P = self._segment.pattern
        return np.where(P == 0, np.inf, P * self._segment.preactivations(c)).ravel()

    def speeds(self, w: Array) -> Array:
        """d(P z)/ds of every unit, flattened; 0 where it slides."""
        return (self._segment.pattern * (self._segment.increment(w) @ self._segment.K)).ravel()

    def unit(self, k: int) -> tuple[int, int]:
        """Neuron and sample of unit k."""
        j, i = divmod(int(k), self._segment.pattern.shape[1])
        return j, i
