"""Which units the flow watches for crossings: those near their kinks, or all of them.

A unit's *distance* is P_ji z_ji, its preactivation counted positive on its own side; it crosses where
the distance falls below 0. Since z_ji = z + row · c, on a step of the solver where c moves by at most some vector it
changes by at most |row| times that: most units are too far from their kinks, and only the others are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refimpl.validation import Array, BoolArray, IndexArray

if TYPE_CHECKING:
    from refimpl.flow.segments import Segment

__all__ = ["AllUnits", "NearUnits", "longest_horizon"]

ALL_UP_TO = 2_000_000
"""Where m n² is at most this, watching every unit costs less than choosing among them."""

NEAR_COUNT = 1024
"""Number of units that are chosen otherwise."""

WEIGHT_GROWTH = 0.5
"""Sample weights may grow by this in the logarithm while a choice is valid."""

AHEAD = 3.0
"""Units are looked for that may reach their kinks while c moves this many times as far as on the present step."""


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
            order = np.sort(order[:NEAR_COUNT])
        self.j, self.i = np.divmod(order, Z.shape[1])
        self._segment, self._since, self._reach = segment, np.zeros(w.size), np.full(w.size, -1.0)
        self._short = np.zeros(order.size, dtype=bool)
        self._sides = segment.pattern[self.j, self.i].astype(np.float64)
        self._z = Z[self.j, self.i]  # at the anchor, for the present rows
        self._rows = segment.rows_without_sliding(self.j, self.i)
        self._sort_by_neuron()
        for j in np.flatnonzero((segment.pattern == 0).any(axis=1)):
            mine = self._of(int(j))
            self._rows[mine] = segment.unit_rows(int(j), self.i[mine])

    def update_neuron(self, Z: Array, j: int, released: IndexArray) -> None:
        """Take over neuron j's new pattern; units that it released are watched from now on."""
        missing = np.setdiff1d(released, self.i[self._of(j)]) if released.size else released
        if missing.size:
            at = self._starts[j + 1]
            self.j, self.i = np.insert(self.j, at, j), np.insert(self.i, at, missing)
            self._sides, self._z = np.insert(self._sides, at, np.zeros(missing.size)), np.insert(self._z, at, missing)
            self._short = np.insert(self._short, at, np.ones(missing.size, dtype=bool))
            self._rows = np.insert(self._rows, at, np.zeros((missing.size, Z.shape[1])), axis=0)
            self._sort_by_neuron()
        self._rebuild(Z, j)

    def in_reach(self, C: Array) -> tuple[IndexArray, Array]:
        """Units that may reach their kinks while c moves in the hull of columns.

        Parameters
        ----------
        C : ndarray, shape (n, k)
            c, counted from the last event.

        Returns
        -------
        units : ndarray, shape (r,)
            For `unit`.
        distances : ndarray, shape (r, k)
            P z at each column.
        """
        C = C + self._segment.since_anchor(0.0)[:, None]
        ahead = AHEAD * np.abs(C - C[:, :1]).max(axis=1)
        beyond = (np.abs(C - self._since[:, None]).max(axis=1) > self._reach).any()
        if beyond or self._reach.sum() > AHEAD * ahead.sum():
            self._since, self._reach = C[:, 0].copy(), ahead
            self._short = self._within_reach(slice(None))
        units = np.flatnonzero(self._short)
        return units, self._sides[units, None] * (self._z[units, None] + self._rows[units] @ C)

    def rows(self, units: IndexArray) -> Array:
        """∂z/∂c of watched units, shape (r, n)."""
        return np.asarray(self._rows[units])

    def unit(self, k: int) -> tuple[int, int]:
        """Neuron and sample of watched unit k."""
        return int(self.j[k]), int(self.i[k])

    def _within_reach(self, mine: slice) -> BoolArray:
        """Whether units may come to their kinks, to rounding, while each |c_k - since_k| is at most reach_k."""
        sides, rows = self._sides[mine], self._rows[mine]
        distance = sides * (self._z[mine] + rows @ self._since)
        floor = 2.0 * self._segment.rounding_since_anchor(self._since)
        return np.asarray((sides != 0.0) & (distance <= (1.0 + 1e-9) * (np.abs(rows) @ self._reach) + floor))

    def _sort_by_neuron(self) -> None:
        """Where each neuron's units begin; they lie in the order of neurons."""
        self._starts = np.searchsorted(self.j, np.arange(self._segment.pattern.shape[0] + 1))

    def _of(self, j: int) -> slice:
        return slice(int(self._starts[j]), int(self._starts[j + 1]))

    def _rebuild(self, Z: Array, j: int) -> None:
        mine = self._of(j)
        samples = self.i[mine]
        self._sides[mine], self._z[mine] = self._segment.pattern[j, samples], Z[j, samples]
        self._rows[mine] = self._segment.unit_rows(j, samples)
        self._short[mine] = self._within_reach(mine)


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

    def update_neuron(self, Z: Array, j: int, released: IndexArray) -> None:
        """Nothing is kept, so nothing changes."""

    def in_reach(self, C: Array) -> tuple[IndexArray, Array]:
        """As `NearUnits.in_reach`, for all units that do not slide."""
        P = self._segment.pattern
        units = np.flatnonzero(P.ravel())
        sides = P.ravel()[units]
        return units, np.stack([sides * self._segment.preactivations(c).ravel()[units] for c in C.T]).T

    def rows(self, units: IndexArray) -> Array:
        """∂z/∂c of units, shape (r, n)."""
        return self._segment.rows_of(*np.divmod(units, self._segment.pattern.shape[1]))

    def unit(self, k: int) -> tuple[int, int]:
        """Neuron and sample of unit k."""
        j, i = divmod(int(k), self._segment.pattern.shape[1])
        return j, i
