"""Coordinates in which checkpoints are measured: an orthonormal basis of the samples, and what is left of W beside it.

Everything here is invariant under rotations of R^d. With X = R Qᵀ, R of shape (n, r), the rows of W become W Q; what W
has outside of the span of the data, E = W - (W Q) Qᵀ, keeps its Gram matrix as [W Q, F] with F Fᵀ = E Eᵀ. Work of
order m n d remains for W Q and E, and m² d for F where E is not rounding. Samples in tiles have no Q: W Q comes from
W Xᵀ = (W Q) Rᵀ, and E from W - C X, in a pass each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from refimpl.dataset import Dataset, with_gram
from refimpl.reduction import reduced
from refimpl.tiles.accumulate import combination, products_with_weights
from refimpl.tiles.columns import ArrayColumns, as_columns
from refimpl.validation import Array

__all__ = ["CheckpointFrame"]

NOTHING = 1e-13
"""A part of W below this share of ‖W‖ is rounding of the products that give it."""


@dataclass(frozen=True, eq=False)
class CheckpointFrame:
    """The samples, and weights, in coordinates of at most n + m dimensions.

    Parameters
    ----------
    samples : Dataset
        Shape (n, d).
    m : int
        Number of neurons.

    Examples
    --------
    >>> frame = CheckpointFrame(Dataset(np.eye(2, 50), [1, -1]), 3)
    >>> frame.data.d, frame.weights(np.ones((3, 50))).shape
    (5, (3, 5))
    >>> round(float(np.linalg.norm(frame.weights(np.ones((3, 50)))) ** 2), 9)
    150.0
    """

    samples: Dataset
    m: int

    @cached_property
    def _basis(self) -> tuple[Array | None, Array]:
        """Q, shape (d, r), and R, shape (n, r), with X = R Qᵀ; no Q of samples in tiles."""
        if self.samples.in_tiles:
            return None, reduced(self.samples).data.X
        Q, triangle = np.linalg.qr(self.samples.X.T)
        return Q, triangle.T

    @property
    def _rank(self) -> int:
        return min(self.samples.n, self.samples.d)

    @property
    def is_reduced(self) -> bool:
        """Whether the coordinates are fewer than d."""
        return self.samples.in_tiles or self._rank + self.m < self.samples.d

    @cached_property
    def data(self) -> Dataset:
        """The samples: R, and m columns of zeros."""
        if not self.is_reduced:
            return self.samples
        R = self._basis[1]
        X = np.hstack([R, np.zeros((len(R), self.m))])
        if self.samples.in_tiles:
            return with_gram(X, self.samples.y, self.samples.gram, exact=False)
        return Dataset(X, self.samples.y)

    def weights(self, W: Array) -> Array:
        """[W Q, F], shape (m, r + m); W itself where that is not shorter."""
        if not self.is_reduced:
            return W
        inside, outside = self.split(W)
        F = np.zeros((len(W), self.m))
        if np.linalg.norm(outside) > NOTHING * np.linalg.norm(W):
            F = np.asarray(np.linalg.qr(outside.T, mode="r")).T
        return np.hstack([inside, F])

    def split(self, W: Array) -> tuple[Array, Array]:
        """W Q, shape (m, r), and the part of W outside of the span of the samples, shape (m, d)."""
        Q, R = self._basis
        if Q is None:
            X = as_columns(self.samples.X)
            ((Z, _),) = products_with_weights(X, [ArrayColumns(W)])
            inside: Array = np.linalg.lstsq(R, Z.T, rcond=None)[0].T.astype(np.float64)
            C: Array = np.linalg.lstsq(R.T, inside.T, rcond=None)[0].T.astype(np.float64)
            return inside, np.asarray(W - combination(C, X))
        inside = W @ Q
        return inside, W - inside @ Q.T

    def coefficients(self, W: Array) -> tuple[Array, float]:
        """C of least norm with C X nearest to W, shape (m, n), and ‖W - C X‖_F."""
        inside, outside = self.split(W)
        C = np.linalg.lstsq(self._basis[1].T, inside.T, rcond=None)[0].T
        rest = np.hypot(np.linalg.norm(outside), np.linalg.norm(inside - C @ self._basis[1]))
        return np.asarray(C), float(rest)
