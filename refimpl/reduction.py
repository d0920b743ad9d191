"""Samples and weights in coordinates of their span: the same problem without R^d.

Losses, gradients, flows, margins, ranks and KKT residuals depend on inner products of rows of X and of W alone, so an
isometry of R^d changes none of them. With X = L Qᵀ, Q orthonormal columns, and W0 - P the part of W0 across the span,

    X' = [L, 0],   W0' = [P Q, F],   F Fᵀ = (W0 - P)(W0 - P)ᵀ,

have the K, Z0 and W0 W0ᵀ of X and W0, and at most n + m columns. So what works on arrays works on tiles: on (X', W0'),
after one pass over X for K and one for all starts together (docs/numerics.md, "Data larger than memory").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.dataset import Dataset, with_gram
from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.initialization import GaussianInitialization, GaussianWeights
from refimpl.network import TwoLayerNetwork
from refimpl.tiles.accumulate import combination, gram_of_remainder, products_with_weights
from refimpl.tiles.columns import ArrayColumns, Columns, ScaledColumns, as_columns, is_columnwise
from refimpl.validation import Array, as_finite_array, as_frozen_array, as_real_array, check_memory

__all__ = ["Reduced", "as_initial_weights", "as_weights", "combine", "reduced", "with_start"]

CANCELLATION = 1e-3
"""Where an eigenvalue of W0 W0ᵀ - P Pᵀ is below this part of the largest of W0 W0ᵀ, the difference has lost digits, and
the part of W0 across the span is formed by a pass of its own."""


@dataclass(frozen=True, eq=False)
class Reduced:
    """A data set in coordinates of its span, and weights in the same ones.

    Attributes
    ----------
    data : Dataset
        X' of shape (n, r + k), with the K of the samples, digit for digit.
    weights : tuple of ndarray, each of shape (m, r + k)
        W'; each has an isometry of its own across the span, which is no matter as long as no two are compared there.
    r : int
        Dimension of the coordinates of the span.
    """

    data: Dataset
    weights: tuple[Array, ...]
    r: int

    def coefficients(self, V: Array) -> Array:
        """C, shape (k, n), with V = C X' for rows V of the span, shape (k, r + k)."""
        X = self.data.X[:, : self.r]
        return np.asarray(np.linalg.lstsq(X.T, V[:, : self.r].T, rcond=None)[0].T)


def as_weights(W: Any, m: int, d: int, parameter: str = "W0") -> Columns:
    """Weights of shape (m, d) in tiles of columns.

    Parameters
    ----------
    W : array_like, Columns or GaussianInitialization
    m, d : int
    parameter : str
        What messages call it.

    Raises
    ------
    InvalidParameterError, ShapeError
        If an array is not finite, or it has another shape; of `Columns` products show whether they are finite.
    """
    if isinstance(W, GaussianInitialization):
        return W.columns(m, d)
    found = as_columns(W) if is_columnwise(W) else ArrayColumns(as_finite_array(parameter, W, 2))
    if found.shape != (m, d):
        raise ShapeError(parameter, f"({m}, {d})", found.shape)
    return found


def reduced(data: Dataset, weights: Sequence[Any] = (), m: int = 0, parameter: str = "W0") -> Reduced:
    """(X', W') for every W, all of them from one pass over X.

    Parameters
    ----------
    data : Dataset
        Shape (n, d); of any kind, though only samples in tiles need this.
    weights : sequence of array_like, Columns or GaussianInitialization
        Each of shape (m, d).
    m : int
        Number of their rows.
    parameter : str
        What messages call them.

    Raises
    ------
    InvalidParameterError, ShapeError
        If weights are not finite or have another shape, or K is out of the range of float64.

    Examples
    --------
    >>> data = Dataset([[3.0, 0.0, 4.0], [0.0, 1.0, 0.0]], [1, -1])
    >>> small = reduced(data, [[[1.0, 0.0, 0.0]]], m=1)
    >>> small.data.X.round(12), np.abs(small.weights[0]).round(12)
    (array([[5., 0., 0.],
           [0., 1., 0.]]), array([[0.6, 0. , 0.8]]))
    """
    n, d = data.n, data.d
    K, norms = data.gram, data.norms
    L = norms[:, None] * data.sample_factor[0]
    r = L.shape[1]
    across = min(m, d - r)
    check_memory("(m, n)", (m, n), len(weights) * 4 * m * (n + m))
    X = np.hstack([L, np.zeros((n, across))])
    samples, columns = as_columns(data.X), [_near_one(as_weights(W, m, d, parameter)) for W in weights]
    products = products_with_weights(samples, [W for W, _ in columns]) if columns else []
    found = []
    for (W, e), (Z, B) in zip(columns, products, strict=True):
        found.append(np.ldexp(_coordinates(samples, W, L, Z, B, across, parameter), e))
    X.setflags(write=False)
    return Reduced(with_gram(X, data.y, K, exact=False), tuple(found), r)


def with_start(network: TwoLayerNetwork, data: Dataset, W0: Any) -> tuple[Dataset, Array]:
    """Data in memory and W0 as an array: as they are, or in coordinates of the span where the samples are in tiles.

    Raises
    ------
    InvalidParameterError, ShapeError
        As `as_initial_weights`.
    """
    if not data.in_tiles:
        return data, as_initial_weights(W0, network, data)
    small = reduced(data, [W0], network.m)
    return small.data, small.weights[0]


def as_initial_weights(W0: Any, network: TwoLayerNetwork, data: Dataset) -> Array:
    """`W0` as a finite read-only float64 array of shape (m, d), or one sentence that says what is wrong with it.

    Raises
    ------
    InvalidParameterError, ShapeError
        Also where W0 is generated or lies in a file, and does not fit into memory.
    """
    if isinstance(W0, GaussianInitialization) or is_columnwise(W0):
        W0 = as_weights(W0, network.m, data.d).array()
    W0 = as_real_array("W0", W0, 2)
    if W0.shape != (network.m, data.d):
        raise ShapeError("W0", f"({network.m}, {data.d})", W0.shape)
    return as_frozen_array("W0", as_finite_array("W0", W0, 2), 2)


def combine(small: Reduced, V: Array, X: Any) -> Array:
    """Vectors of R^d, shape (k, d), from rows V of the span in coordinates: one pass over X."""
    return combination(small.coefficients(V), X)


def _near_one(W: Columns) -> tuple[Columns, int]:
    """W/2ᵉ and e, where it is known with which e no square leaves the range of float64."""
    if isinstance(W, GaussianWeights):
        e = int(np.frexp(W.start.scale)[1])
        return GaussianInitialization(W.start.seed, float(np.ldexp(W.start.scale, -e))).columns(*W.shape), e
    if isinstance(W, ArrayColumns):
        e = int(np.frexp(np.abs(W.X).max(initial=0.0))[1])
        return ScaledColumns(W, -e), e
    return W, 0


def _coordinates(X: Columns, W: Columns, L: Array, Z: Array, B: Array, across: int, parameter: str) -> Array:
    """[P Q, F] with F of `across` columns, shape (m, r + across)."""
    if not (np.isfinite(Z).all() and np.isfinite(B).all()):
        raise InvalidParameterError(parameter, "be finite, its squares and W Xᵀ too", "an overflow or NaN")
    along = np.linalg.lstsq(L, Z.T, rcond=None)[0].T
    rest = B - along @ along.T
    eigenvalues, vectors = np.linalg.eigh((rest + rest.T) / 2.0)
    if across and eigenvalues[-across] < CANCELLATION * np.linalg.norm(B, 2):
        C = np.linalg.lstsq(L.T, along.T, rcond=None)[0].T
        eigenvalues, vectors = np.linalg.eigh(gram_of_remainder(X, W, C))
    kept = slice(eigenvalues.size - across, None)
    return np.hstack([along, vectors[:, kept] * np.sqrt(np.maximum(eigenvalues[kept], 0.0))])
