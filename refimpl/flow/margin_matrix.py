"""M of dq/ds = M w from event to event (docs/theory.md, section 7).

An event changes one neuron's part of M, docs/theory.md (7.5): one row and column where a slope changes, a product v vᵀ
where a unit begins or ceases to slide. How much rounding that leaves is kept, and M is built anew where it matters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refimpl.flow.pattern import Pattern
from refimpl.validation import Array, IndexArray

__all__ = ["MarginMatrix"]

EVENTS_PER_MATRIX = 1024
"""Changes of M after which it is built anew; each leaves a rounding error of the size of one neuron's part."""

CANCELLED = 1e-12
"""M is built anew at once where rounding of what was taken from it may exceed this part of what is left. Where nothing
cancels, the changes between two matrices leave half as much."""

_EPS = float(np.finfo(np.float64).eps)


class MarginMatrix:
    """M, and what its changes do.

    Parameters
    ----------
    gram : ndarray, shape (n, n)
        K.
    build : callable
        Gives M from scratch.

    Attributes
    ----------
    M : ndarray, shape (n, n)
    ahead : ndarray, shape (n,), or None
        c still to go on the present step, if the step goes on after the next event.
    bend : float
        Bound of how far M's changes since it was last set to 0 move the margins by the end of the step, max |ΔM| ahead.
    """

    def __init__(self, gram: Array, build: Callable[[], Array]) -> None:
        self._squares, self._build, self._number = np.diagonal(gram), build, 0
        self.ahead: Array | None = None
        self.bend = 0.0
        self.build()

    def build(self) -> None:
        """M from scratch."""
        self.M, self._lost, self._changes = self._build().copy(), np.zeros(self._squares.size), 0

    def build_if_due(self, settled: bool) -> None:
        """M from scratch if it changed, and the pattern has settled or the changes are many."""
        if self._changes and (settled or self._changes >= EVENTS_PER_MATRIX):
            self.build()

    def exchange(self, before: Pattern, after: Pattern, changed: IndexArray) -> None:
        """Exchange a neuron's part; `changed` are the samples whose sides differ.

        Samples leave T, take other slopes, and join T, one at a time.
        """
        now, others = before, after.samples is not before.samples
        for i in np.setdiff1d(before.samples, after.samples).tolist() if others else ():
            now = now.without(i)
            self._add_product(now, i, 1.0)
        for i in changed[before.drive[changed] != after.drive[changed]].tolist():
            self._change_slope(now, i, float(after.drive[i]))
            now = now.with_drive(i, float(after.drive[i]))
        for i in np.setdiff1d(after.samples, now.samples).tolist() if others else ():
            self._add_product(now, i, -1.0)
            now = now.with_sliding(i)
        self._changes += 1
        if (self._lost > CANCELLED * self.M.diagonal()).any():
            self.build()

    def _change_slope(self, pattern: Pattern, i: int, drive: float) -> None:
        """Row and column i change."""
        change, size = pattern.change_of_slope(i, drive), self.M[i, i]
        if self.ahead is not None:
            sizes = np.abs(change)
            self.bend += max(float(sizes @ self.ahead), float(sizes.max() * self.ahead[i]))
        row = self.M[i] + change
        self.M[i], self.M[:, i] = row, row
        self._lost[i] += _EPS * (size + max(drive**2, float(pattern.drive[i]) ** 2) * self._squares[i])

    def _add_product(self, pattern: Pattern, i: int, sign: float) -> None:
        """Add or subtract what sample i takes from M where it slides beside those that slide in `pattern`."""
        v = pattern.taken_by(i)
        self._lost += _EPS * (np.diagonal(self.M) + pattern.drive**2 * self._squares)
        if self.ahead is not None:
            sizes = np.abs(v)
            self.bend += float(sizes.max() * (sizes @ self.ahead))
        self.M += np.outer(sign * v, v)
