"""The activation pattern of one neuron, and what follows from it alone (docs/theory.md, section 7).

While neuron j's pattern is fixed, its row of coefficients, its preactivations and its part of M are linear in w, and in
c = ∫ w ds. The cell (`refimpl/flow/cell.py`) and the running flow (`refimpl/flow/segments.py`) take them from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from refimpl.validation import Array, IndexArray, IntArray, remember

__all__ = ["Pattern", "slopes_of"]

_EPS = float(np.finfo(np.float64).eps)


def slopes_of(sides: IntArray | Array, slope: float) -> Array:
    """Φ: 1 on the side +1, γ on -1, and 0 for 0, where a unit slides and adds nothing to q."""
    return np.asarray(np.array([0.0, 1.0, slope])[np.asarray(sides, dtype=np.intp)])  # -1 is the last one


@dataclass(frozen=True, eq=False)
class Pattern:
    """The pattern of neuron j.

    Parameters
    ----------
    gram : ndarray, shape (n, n)
        K.
    sides : ndarray of int8, shape (n,)
        +1, -1, or 0 for a unit that slides along its kink.
    drive : ndarray, shape (n,)
        E_j = a_j y∘Φ_j, 0 where a unit slides.
    samples : ndarray of int, shape (t,)
        T: sliding samples that are linearly independent and span the others that slide. They carry all of dC_j there.

    Examples
    --------
    >>> K = np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> pattern = Pattern.of(np.array([1.0, -1.0]), 0.1, K, np.array([1, 0], dtype=np.int8), np.array([1]))
    >>> w = np.array([0.5, 0.5])
    >>> pattern.increment(w), pattern.unit_rows(np.array([1])) @ w        # dz_j2/ds = 0
    (array([ 0.5 , -0.25]), array([0.]))
    >>> np.abs(pattern.part_of_matrix())
    array([[0.75, 0.  ],
           [0.  , 0.  ]])
    """

    gram: Array
    sides: IntArray
    drive: Array
    samples: IndexArray

    @classmethod
    def of(cls, a_y: Array, slope: float, gram: Array, sides: IntArray, samples: IndexArray) -> Pattern:
        """The pattern with the given sides; `a_y` is a_j y, shape (n,)."""
        return cls(gram, sides, a_y * slopes_of(sides, slope), samples)

    @cached_property
    def regression(self) -> Array:
        """G = K_TT⁻¹ K_T·, shape (t, n)."""
        T, K = self.samples, self.gram
        if T.size == 1:
            return np.asarray(K[T] / K[T, T])
        return np.asarray(np.linalg.lstsq(K[np.ix_(T, T)], K[T], rcond=None)[0])

    @cached_property
    def rows(self) -> Array:
        """Rows with (dC_j/ds)_T = rows · w, shape (t, n): docs/theory.md (7.4)."""
        return np.asarray(-self.regression * self.drive)

    def increment(self, c: Array) -> Array:
        """The change of C_j that goes with c, or dC_j/ds for c = w, shape (n,): docs/theory.md (7.1)."""
        u = self.drive * c
        if self.samples.size:
            u[self.samples] = self.rows @ c
        return np.asarray(u)

    def unit_rows(self, samples: IndexArray) -> Array:
        """∂z_ji/∂c for the given samples i, K times (7.1) and (7.4), shape (len(samples), n)."""
        rows = self.drive * self.gram[samples]
        if self.samples.size:
            rows += self.gram[samples[:, None], self.samples] @ self.rows
        return np.asarray(rows)

    def schur_row(self, i: int) -> Array:
        """Row i of the Schur complement K/K_TT, shape (n,)."""
        row = self.gram[i]
        return np.asarray(row - row[self.samples] @ self.regression) if self.samples.size else row

    def part_of_matrix(self) -> Array:
        """diag(E_j) (K/K_TT) diag(E_j), neuron j's part of M, shape (n, n): docs/theory.md (7.5).

        0 where the sliding units take away all but rounding.
        """
        left = self.gram
        if self.samples.size:
            left = left - self.gram[:, self.samples] @ self.regression
            cancelled = np.diagonal(left) <= 64.0 * _EPS * np.diagonal(self.gram)
            left[cancelled], left[:, cancelled] = 0.0, 0.0
        return np.asarray(self.drive[:, None] * left * self.drive)

    def with_drive(self, i: int, drive: float) -> Pattern:
        """The same, but E_ji = `drive`: a sample outside T changes its slope."""
        E = self.drive.copy()
        E[i] = drive
        return self._on_same_samples(self.sides, E)

    def with_sides(self, sides: IntArray, drive: Array, samples: IndexArray) -> Pattern:
        """The pattern of other sides; G stays where T does."""
        if samples.size == self.samples.size and (samples == self.samples).all():
            return self._on_same_samples(sides, drive)
        return Pattern(self.gram, sides, drive, samples)

    def _on_same_samples(self, sides: IntArray, drive: Array) -> Pattern:
        other = Pattern(self.gram, sides, drive, self.samples)
        if self.samples.size:
            remember(other, regression=self.regression)
        return other

    def without(self, i: int) -> Pattern:
        """The pattern in which sample i, of T, no longer slides, but has the slope 0 yet."""
        return Pattern(self.gram, self.sides, self.drive, self.samples[self.samples != i])

    def with_sliding(self, i: int) -> Pattern:
        """The pattern in which sample i, whose slope is 0, joins T."""
        return Pattern(self.gram, self.sides, self.drive, np.append(self.samples, i))

    def change_of_slope(self, i: int, drive: float) -> Array:
        """By how much row i of M, and column i, change for `with_drive(i, drive)`, shape (n,): docs/theory.md (7.5)."""
        old, S_i = self.drive[i], self.schur_row(i)
        change = (drive - old) * self.drive * S_i
        change[i] = (drive + old) * (drive - old) * S_i[i]
        return np.asarray(change)

    def taken_by(self, i: int) -> Array:
        """v: M loses v vᵀ for `with_sliding(i)`, as K/K_TT loses S_i S_iᵀ/S_ii, shape (n,): docs/theory.md (7.5)."""
        S_i = self.schur_row(i)
        return np.asarray(self.drive * S_i / np.sqrt(max(float(S_i[i]), _EPS**2 * float(self.gram[i, i]))))
