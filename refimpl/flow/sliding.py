"""The units that slide along their kinks within one pattern, and how near their effective slopes are to γ and 1.

Neuron j's sliding units T take (dC_j)_T = rows · w, rows = -K_TT⁻¹ K_TN diag((E_j)_N), so that z_jT stays 0
(docs/theory.md, section 7). Unit (j, i) has the effective slope θ = r/w_i, r = (dC_ji/ds)/(a_j y_i).
"""

from __future__ import annotations

import numpy as np

from refimpl.flow.kinks import RELEASE_DELAY, independent_samples, release_delay
from refimpl.validation import Array, BoolArray, IndexArray

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
    gram, factor : ndarray, shape (n, n)
        K = L Lᵀ and L.

    Attributes
    ----------
    of_neuron : dict
        Samples and rows for each neuron that slides; where its sliding samples are dependent, of independent ones that
        span the same and carry all of dC_j.
    neurons, samples : ndarray, shape (u,)
        Of each unit.
    rows : ndarray, shape (u, n)
        (dC_j)_i = row · w.
    left : dict
        When the effective slope of a unit that still slides left [γ, 1], by (neuron, sample).
    """

    def __init__(self, a: Array, y: Array, slope: float, gram: Array, factor: Array) -> None:
        self._a, self._y, self._slope, self._gram, self._factor = a, y, slope, gram, factor
        self._independent = independent_samples(factor, np.arange(y.size)).size == y.size
        self.of_neuron: dict[int, tuple[IndexArray, Array]] = {}
        self.neurons = self.samples = np.zeros(0, dtype=np.intp)
        self.rows = self._sizes = np.zeros((0, y.size))
        self._dependent: set[int] = set()
        self.left: dict[tuple[int, int], float] = {}

    @property
    def dependent_neurons(self) -> list[int]:
        """Neurons whose sliding samples are linearly dependent."""
        return sorted(self._dependent)

    def unit(self, k: int) -> tuple[int, int]:
        """Neuron and sample of the k-th unit."""
        return int(self.neurons[k]), int(self.samples[k])

    def set_neuron(self, j: int, T: BoolArray, E_j: Array) -> None:
        """Let the units T of neuron j slide, and no others; E_j is 0 on T, shape (n,)."""
        self._dependent.discard(j)
        self.left = {unit: s for unit, s in self.left.items() if unit[0] != j}
        if self.of_neuron.pop(j, None) is not None:
            others = self.neurons != j
            self.neurons, self.samples = self.neurons[others], self.samples[others]
            self.rows, self._sizes = self.rows[others], self._sizes[others]
        if not T.any():
            return
        resting = np.flatnonzero(T)
        samples = resting if self._independent else independent_samples(self._factor, resting)
        if samples.size < resting.size:
            self._dependent.add(j)
        if samples.size == 1:
            rows = self._gram[samples] / self._gram[samples, samples] * -E_j
        else:
            G = np.linalg.lstsq(self._gram[np.ix_(samples, samples)], self._gram[samples], rcond=None)[0]
            rows = -G * E_j
        self.of_neuron[j] = samples, rows
        self.neurons = np.concatenate([self.neurons, np.full(samples.size, j, dtype=np.intp)])
        self.samples = np.concatenate([self.samples, samples])
        self.rows, self._sizes = np.concatenate([self.rows, rows]), np.concatenate([self._sizes, np.abs(rows)])

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
        rounding = 64.0 * _EPS * (self._sizes[chosen] @ np.abs(w)) / size
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

    def margins_of(self, j: int, i: int, w: Array) -> tuple[Array, Array]:
        """`margins` of unit (j, i)."""
        return self.margins(w, np.flatnonzero((self.neurons == j) & (self.samples == i)))

    def response(self, defect: Array, chosen: IndexArray) -> Array:
        """By how much the margins of the chosen units can change where w changes by at most `defect`."""
        size = np.abs(self._a[self.neurons[chosen]])
        return np.asarray(self._sizes[chosen] @ defect / size + defect[self.samples[chosen]])
