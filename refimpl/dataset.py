"""Data sets: samples in rows, labels, and their Gram matrix (docs/theory.md, sections 1 and 3).

Samples may lie in a memory-mapped file larger than memory: `Dataset` goes through them in blocks of `BLOCK_BYTES`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from refimpl.errors import InvalidDataError, InvalidParameterError, ShapeError
from refimpl.spectrum import gram_factor, sample_factor
from refimpl.tiles.accumulate import gram_matrix
from refimpl.tiles.checks import (
    check_equal_rows,
    check_tiles,
    exponent_of_largest_norm,
    refuse_not_finite,
    refuse_zero_row,
)
from refimpl.tiles.columns import TILE_ENTRIES, ArrayColumns, Columns, ScaledColumns, as_columns, is_columnwise, scaled
from refimpl.validation import (
    Array,
    as_frozen_array,
    check_memory,
    freeze_arrays,
    remember,
    remembered,
)

__all__ = ["LARGEST_NORM_RATIO", "Dataset", "as_dataset", "in_memory", "owned", "with_gram"]

BLOCK_BYTES = 2**26
"""Samples are gone through in blocks of at most 64 MiB."""

MOST_ROWS_OF_GRAM = 2048
"""Of more samples than this, in fewer dimensions, K is formed only where it is asked for."""

OUT_OF_RANGE = (
    "`X` has rows whose squared norms leave the range of float64: multiply all of `X` by a power of two "
    "that brings the largest norm near 1 (in Python, Dataset.rescaled() does it exactly)."
)

LARGEST_NORM_RATIO = 1e150
"""Its square is within the range of float64."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples x_i in R^d with labels y_i = ±1.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Samples as rows, finite, none of them zero. Kept read-only, as a copy that later changes of the
        caller's array do not reach; what nobody can write to (the X of another data set, a file memory-mapped with mode
        "r") is shared. Or what is gone through by columns: a SciPy sparse matrix, an array of Dask, zarr or h5py,
        `refimpl.tiles.Columns`. Where that has more numbers than a tile (`TILE_ENTRIES`) and n < d, it stays where it
        is: X is `Columns` then, and the Gram matrix, from which X is checked, is made in one pass at once.
    y : array_like, shape (n,)
        Labels, +1 or -1; kept in the same way.

    Raises
    ------
    InvalidParameterError
        If an entry is NaN, infinite, masked, or no real number that float64 holds.
    ShapeError
        If the shapes do not fit or there is no sample.
    InvalidDataError
        If a label is not ±1, a row is zero, or two equal samples have opposite labels.

    Examples
    --------
    >>> data = Dataset([[3.0, 4.0], [0.0, 2.0]], [1, -1])
    >>> data.n, data.d, data.R_max, data.p
    (2, 2, 5.0, 8.0)
    >>> data.gram
    array([[25.,  8.],
           [ 8.,  4.]])
    """

    X: Array
    y: Array

    def __post_init__(self) -> None:
        if is_columnwise(self.X):
            columns = as_columns(self.X)
            if _stays_in_tiles(columns):
                self._keep_tiles(columns)
                return
            object.__setattr__(self, "X", owned(columns.array()))
        X = as_frozen_array("X", self.X, 2)
        if 0 in X.shape:
            raise ShapeError("X", "(n, d) with n >= 1 and d >= 1", X.shape)
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", _checked_labels(self.y, X.shape[0]))
        _check_rows(X, self.y)

    def _keep_tiles(self, X: Columns) -> None:
        """X as it is, with K from one pass over it; what is wrong with X shows in K."""
        check_memory("(n, n)", (X.shape[0],) * 2, 4 * X.shape[0] ** 2)
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", _checked_labels(self.y, X.shape[0]))
        K = gram_matrix(X)
        if not np.isfinite(K).all() or not np.diagonal(K).all():
            check_tiles(X)
        check_equal_rows(X, self.y, K)
        if _in_range(K):
            remember(self, gram=owned(K))

    @property
    def exact(self) -> bool:
        """Whether X is the data, number for number, and not their coordinates in some basis, which are rounded."""
        return not remembered(self, "rounded")

    @property
    def in_tiles(self) -> bool:
        """Whether X is gone through in tiles of columns and is no array."""
        return isinstance(self.X, Columns)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("frame", "gram_eigenvectors")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        remember(self, **freeze_arrays(state))

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.X.shape[0])

    @property
    def d(self) -> int:
        """Dimension of the samples."""
        return int(self.X.shape[1])

    @cached_property
    def gram(self) -> Array:
        """K = X Xᵀ, shape (n, n); computed once, as a sum over tiles of columns (`refimpl.tiles`)."""
        K = gram_matrix(as_columns(self.X))
        if not _in_range(K):
            raise InvalidDataError("X", OUT_OF_RANGE)
        K.setflags(write=False)
        return K

    @cached_property
    def gram_factor(self) -> Array:
        """L with K = L Lᵀ, shape (n, n): rows of C L are rows of C X in orthonormal coordinates of the span."""
        L = gram_factor(self.gram)
        L.setflags(write=False)
        return L

    @cached_property
    def gram_eigenvalues(self) -> Array:
        """The eigenvalues of K, ascending, shape (n,)."""
        eigenvalues: Array = np.linalg.eigvalsh(self.gram).astype(np.float64, copy=False)
        eigenvalues.setflags(write=False)
        return eigenvalues

    @cached_property
    def sample_factor(self) -> tuple[Array, float]:
        """The unit samples in coordinates of their span, and their rounding (`refimpl.spectrum.sample_factor`)."""
        U, rounding = sample_factor(self.X, self.gram if self.in_tiles or self.n <= self.d else None)
        U.setflags(write=False)
        return U, rounding

    @cached_property
    def gram_eigenvectors(self) -> tuple[Array, Array]:
        """Eigenvalues of K above n eps λ_max, ascending, shape (r,), and their vectors, shape (n, r)."""
        eigenvalues, vectors = np.linalg.eigh(self.gram)
        large = eigenvalues > eigenvalues.size * np.finfo(np.float64).eps * eigenvalues[-1]
        return eigenvalues[large], vectors[:, large]

    @cached_property
    def signed_gram(self) -> Array:
        """S_ik = y_i y_k K_ik, shape (n, n)."""
        S = self.gram * self.y[:, None] * self.y
        S.setflags(write=False)
        return S

    @cached_property
    def squared_norms(self) -> Array:
        """K_ii = ‖x_i‖², shape (n,); of many samples in few dimensions without K, which is larger than X."""
        if self.in_tiles or self.n <= max(self.d, MOST_ROWS_OF_GRAM):
            return np.diagonal(self.gram)
        squares = np.concatenate([np.sum(piece**2, axis=1) for _, _, piece in _pieces(self.X)])
        if not _in_range(squares):
            raise InvalidDataError("X", OUT_OF_RANGE)
        squares.setflags(write=False)
        return squares

    @property
    def norms(self) -> Array:
        """‖x_i‖, shape (n,)."""
        return np.asarray(np.sqrt(self.squared_norms))

    @property
    def R_max(self) -> float:
        """Largest ‖x_i‖."""
        return float(self.norms.max())

    @property
    def R_min(self) -> float:
        """Smallest ‖x_i‖."""
        return float(self.norms.min())

    @property
    def p(self) -> float:
        """max over i ≠ k of |K_ik|; 0 for a single sample."""
        off = np.abs(self.gram)
        np.fill_diagonal(off, 0.0)
        return float(off.max())

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the bytes of X, then y, as little-endian float64 in C order."""
        digest = hashlib.sha256()
        for piece in self.X.row_blocks() if isinstance(self.X, Columns) else (piece for _, _, piece in _pieces(self.X)):
            digest.update(np.ascontiguousarray(piece, dtype="<f8").data)
        digest.update(np.ascontiguousarray(self.y, dtype="<f8").data)
        return digest.hexdigest()

    def rescaled(self) -> tuple[Dataset, int]:
        """The same samples in units in which the largest norm lies in [1, 2).

        Every network and claim here is the same in any units of X, but squared norms must stay
        within the range of float64: do this before forming the Gram matrix of samples of extreme
        size. X/2ᵏ is exact, except that entries below 2⁻¹⁰²² of the new unit may lose bits.

        Returns
        -------
        data : Dataset
            With X/2ᵏ, a copy; the data set itself if k = 0.
        k : int
            The largest norm lies in [2ᵏ, 2ᵏ⁺¹), to rounding.

        Examples
        --------
        >>> data, k = Dataset([[3e-200, 4e-200], [1e-200, 0.0]], [1, -1]).rescaled()
        >>> k, round(data.R_max * 2.0**k, 210)
        (-663, 5e-200)
        """
        if isinstance(self.X, Columns):
            return self._tiles_rescaled(self.X)
        k = exponent_of_largest_norm(as_columns(self.X))
        if k == 0:
            return self, 0
        X, K = owned(np.ldexp(self.X, -k)), remembered(self, "gram")
        return (Dataset(X, self.y) if K is None else with_gram(X, self.y, np.ldexp(K, -2 * k), self.exact)), k

    def scaled_by(self, exponent: int, K: Array) -> Dataset:
        """2^exponent X, given its Gram matrix K."""
        return with_gram(scaled(self.X, exponent), self.y, K, self.exact)

    def _tiles_rescaled(self, X: Columns) -> tuple[Dataset, int]:
        """`rescaled` without a pass, K being known; where its entries leave the range of float64, with two."""
        K = remembered(self, "gram")
        k = exponent_of_largest_norm(X) if K is None else int(np.frexp(np.sqrt(np.diagonal(K).max()))[1]) - 1
        if k == 0:
            return self, 0
        if K is None:
            return Dataset(cast("Any", ScaledColumns(X, -k)), self.y), k
        return self.scaled_by(-k, np.ldexp(K, -2 * k)), k


def with_gram(X: Any, y: Array, K: Array, exact: bool = True) -> Dataset:
    """The data set (X, y), both checked before, with the K that is known of it."""
    data = object.__new__(Dataset)
    remember(data, X=X, y=y, gram=owned(K), rounded=not exact)
    return data


def in_memory(data: Dataset, purpose: str) -> Dataset:
    """`data`, if its samples are held in memory; else one sentence that says what needs that.

    Raises
    ------
    InvalidParameterError
    """
    if data.in_tiles:
        raise InvalidParameterError("data", f"be held in memory for {purpose}; it is gone through in tiles", data.X)
    return data


def as_dataset(data: Any, parameter: str = "data") -> Dataset:
    """`data`, if it is a `Dataset`; else one sentence.

    Examples
    --------
    >>> try:
    ...     as_dataset(([[1.0]], [1]))
    ... except InvalidParameterError as error:
    ...     print(error)
    `data` must be a Dataset, such as Dataset(X, y); got ([[1.0]], [1]).
    """
    if not isinstance(data, Dataset):
        raise InvalidParameterError(parameter, "be a Dataset, such as Dataset(X, y)", data)
    return data


def owned(array: Array) -> Array:
    """`array`, which nobody else has, read-only, so that `Dataset` need not copy it."""
    array.setflags(write=False)
    return array


def _checked_labels(y: Any, n: int) -> Array:
    labels = as_frozen_array("y", y, 1)
    if labels.shape != (n,):
        raise ShapeError("y", f"({n},), one label for each row of `X`", labels.shape)
    wrong = ~np.isin(labels, (-1.0, 1.0))
    if not wrong.any():
        return labels
    if np.isin(labels, (0.0, 1.0)).all():
        advice = "convert it with y = 2*y - 1 (at the command line: --positive-label 1)"
        raise InvalidDataError("y", f"`y` must be +1 or -1; it holds 0 and 1: {advice}.", labels)
    place = int(np.flatnonzero(wrong)[0])
    raise InvalidDataError("y", f"`y` must be +1 or -1; y[{place}] is {labels[place]:g}.", labels)


def _check_rows(X: Array, y: Array) -> None:
    """Refuse entries that are not finite, zero rows, and equal rows with opposite labels, in one pass."""
    nonzero = np.zeros(X.shape[0], dtype=np.bool_)
    digests = [hashlib.blake2b(digest_size=16) for _ in y]
    for first_row, first_column, piece in _pieces(X):
        refuse_not_finite(piece, first_row, first_column)
        nonzero[first_row : first_row + len(piece)] |= piece.any(axis=1)
        for i, row in enumerate(piece, first_row):
            digests[i].update((row + 0.0).data)  # + 0.0 makes -0.0 and 0.0 alike
    refuse_zero_row(nonzero)
    seen: dict[bytes, int] = {}
    for i, digest in enumerate(digests):
        first = seen.setdefault(digest.digest(), i)
        if y[first] != y[i]:
            raise InvalidDataError("X", f"`X` has equal rows with opposite labels: rows {first} and {i}.")


def _pieces(X: Array) -> Iterator[tuple[int, int, Array]]:
    """X in blocks of rows, (first row, first column, block); a row longer than a block comes in parts."""
    n, d = X.shape
    entries = BLOCK_BYTES // X.itemsize
    height, width = max(1, entries // d), min(d, entries)
    for row in range(0, n, height):
        for column in range(0, d, width):
            yield row, column, X[row : row + height, column : column + width]


def _in_range(K: Array) -> bool:
    """Whether K (or its diagonal alone) is finite, and no square of a norm so small that it has lost digits."""
    least = np.finfo(np.float64).tiny / np.finfo(np.float64).eps
    return bool(np.isfinite(K).all() and (np.diagonal(K) if K.ndim == 2 else K).min() >= least)


def _stays_in_tiles(X: Columns) -> bool:
    """Whether X is larger than a tile, and than K, which is held in memory in any case."""
    n, d = X.shape
    return n < d and n > 0 and X.size > TILE_ENTRIES and not isinstance(X, ArrayColumns)
