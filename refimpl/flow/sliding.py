"""The units that slide along their kinks within one pattern, and how near their effective slopes are to γ and 1.

Neuron j's sliding units T take (dC_j)_T = rows · w (`refimpl/flow/pattern.py`), so that z_jT stays 0. Unit (j, i) has
the effective slope θ = r/w_i, r = (dC_ji/ds)/(a_j y_i): docs/theory.md (7.4).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.flow.kinks import RELEASE_DELAY, release_delay
from refimpl.flow.pattern import Pattern
from refimpl.validation import Array, IndexArray

__all__ = ["SlidingUnits"]

_EPS = float(np.finfo(np.float64).eps)


class SlidingUnits:
    """All sliding units, numbered.

    Parameters
    ----------
    a, y : ndarray, shape (m,), (n,)
        Second layer and labels.
    slope : float
        γ.

    Attributes
    ----------
    of_neuron : dict
        The pattern of each neuron that slides; where its sliding samples are dependent, independent ones that span the
        same carry all of dC_j.
    neurons, samples : ndarray, shape (u,)
        Of each unit.
    rows : ndarray, shape (u, n)
        (dC_j)_i = row · w.
    sizes : ndarray, shape (u, n)
        Their absolute values.
    left : dict
        When the effective slope of a unit that still slides left [γ, 1], by (neuron, sample).
    """

    def __init__(self, a: Array, y: Array, slope: float) -> None:
        self._a, self._y, self._slope = a, y, slope
        self.of_neuron: dict[int, Pattern] = {}
        self._units: IndexArray = np.zeros((0, 2), dtype=np.intp)
        self._rows = self._sizes = np.zeros((0, y.size))  # with room for more
        self._dependent: set[int] = set()
        self.left: dict[tuple[int, int], float] = {}
        self._count(0)

    def _count(self, number: int) -> None:
        """Let there be so many units."""
        if number > len(self._units):
            room = max(number, 2 * len(self._units))
            self._units = _enlarged(self._units, room)
            self._rows, self._sizes = _enlarged(self._rows, room), _enlarged(self._sizes, room)
        self.neurons, self.samples = self._units[:number, 0], self._units[:number, 1]
        self.rows, self.sizes = self._rows[:number], self._sizes[:number]

    @property
    def dependent_neurons(self) -> list[int]:
        """Neurons whose sliding samples are linearly dependent."""
        return sorted(self._dependent)

    def unit(self, k: int) -> tuple[int, int]:
        """Neuron and sample of the k-th unit."""
        return int(self.neurons[k]), int(self.samples[k])

    def set_neuron(self, j: int, pattern: Pattern) -> None:
        """Let the units of neuron j slide that do so in `pattern`, and no others."""
        places, t, number = np.flatnonzero(self.neurons == j), pattern.samples.size, self.neurons.size
        for place in places[t:][::-1]:  # the last unit takes the place of one that is gone
            number -= 1
            for of_units in (self._units, self._rows, self._sizes):
                of_units[place] = of_units[number]
        new = np.arange(number, number + t - places[:t].size)
        self._count(number + new.size)
        self.of_neuron.pop(j, None)
        if t:
            places = np.append(places[:t], new)
            self._units[places, 0], self._units[places, 1] = j, pattern.samples
            self._rows[places], self._sizes[places] = pattern.rows, np.abs(pattern.rows)
            self.of_neuron[j] = pattern
        self._dependent.discard(j)
        self.left = {unit: s for unit, s in self.left.items() if unit[0] != j}
        if t < np.count_nonzero(pattern.sides == 0):
            self._dependent.add(j)

    def margins(self, w: Array, chosen: IndexArray | slice = slice(None)) -> tuple[Array, Array]:
        """(r - γ w_i + δ, w_i - r + δ): both are >= 0 while a unit slides.

        δ is `release_delay` w_i below, `RELEASE_DELAY` w_i above, and rounding of r: a unit is released once it is
        seen to have left [γ, 1], or rounding would make it slide again at once, and so on.

        Parameters
        ----------
        w : ndarray, shape (n,) or (n, k)
            Sample weights, or columns of them.
        chosen : ndarray, optional
            Numbers of units; all by default.

        Returns
        -------
        low, high : ndarray, shape (number of units,) or (number of units, k)
            inf for neurons whose sliding samples are dependent.
        """
        low, high = self.least_margins(w, chosen)
        size = np.abs(self._a[self.neurons[chosen]]).reshape(-1, *(1,) * (w.ndim - 1))
        rounding = 64.0 * _EPS * (self.sizes[chosen] @ np.abs(w)) / size
        return low + rounding, high + rounding

    def least_margins(self, w: Array, chosen: IndexArray | slice = slice(None)) -> tuple[Array, Array]:
        """`margins` without rounding, which are linear in w."""
        low, high = self.inside(w, chosen)
        w_i = w[self.samples[chosen]]
        return low + release_delay(self._slope) * w_i, high + RELEASE_DELAY * w_i

    def inside(self, w: Array, chosen: IndexArray | slice = slice(None)) -> tuple[Array, Array]:
        """(r - γ w_i, w_i - r): `margins` without δ, which are 0 when a slope leaves [γ, 1]."""
        j, i = self.neurons[chosen], self.samples[chosen]
        drive = (self._a[j] * self._y[i]).reshape(-1, *(1,) * (w.ndim - 1))
        r, w_i = (self.rows[chosen] @ w) / drive, w[i]
        low, high = r - self._slope * w_i, w_i - r
        if self._dependent:
            dependent = np.isin(j, list(self._dependent))
            low[dependent], high[dependent] = np.inf, np.inf
        return low, high

    def least_margins_of(self, j: int, i: int, w: Array) -> tuple[Array, Array]:
        """`least_margins` of unit (j, i)."""
        return self.least_margins(w, np.flatnonzero((self.neurons == j) & (self.samples == i)))

    def response(self, defect: Array, chosen: IndexArray) -> Array:
        """By how much the margins of the chosen units can change where w changes by at most `defect`."""
        size = np.abs(self._a[self.neurons[chosen]])
        return np.asarray(self.sizes[chosen] @ defect / size + defect[self.samples[chosen]])


def _enlarged(rows: Any, number: int) -> Any:
    """The rows, and room for more."""
    return np.concatenate([rows, np.zeros((number - len(rows), *rows.shape[1:]), dtype=rows.dtype)])
