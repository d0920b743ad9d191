"""What a matrix in tiles of columns is, and where its numbers may lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError, ShapeError
from refimpl.validation import Array, as_real_array, check_memory

__all__ = [
    "LARGEST_WIDTH",
    "TILE_ENTRIES",
    "ArrayColumns",
    "Columns",
    "ScaledColumns",
    "SlicedColumns",
    "SparseColumns",
    "as_columns",
    "is_columnwise",
    "scaled",
    "tile_width",
]

TILE_ENTRIES = 2**23
"""Numbers of a tile at most: 64 MiB as float64."""

LARGEST_WIDTH = 2**15
"""Columns of a tile at most; the rounding of a Gram matrix grows with them, and not with d."""


def tile_width(n: int) -> int:
    """Columns of a tile: a power of two that depends on the number n of rows alone, so that no budget changes a digit.

    Examples
    --------
    >>> tile_width(200), tile_width(1000), tile_width(10**8)
    (32768, 8192, 1)
    """
    most = max(1, min(LARGEST_WIDTH, TILE_ENTRIES // max(n, 1)))
    return 1 << (most.bit_length() - 1)


class Columns(ABC):
    """A matrix of real numbers, shape (n, d), that is read a range of columns at a time.

    It is no array: NumPy is told so in one sentence where it would make one, because that array might not fit into
    memory. `array()` makes it on purpose.

    Attributes
    ----------
    shape : (int, int)
    plan : Plan or None
        How passes over it are made; None for the default.
    """

    shape: tuple[int, int]
    plan: Any = None
    ndim = 2
    dtype = np.dtype(np.float64)

    @abstractmethod
    def read(self, start: int, stop: int) -> Any:
        """Columns start to stop - 1 as float64, shape (n, stop - start): an array, or a SciPy sparse one."""

    @abstractmethod
    def rows(self, first: int, last: int) -> Array:
        """Rows first to last - 1 as a float64 array, shape (last - first, d)."""

    @property
    def size(self) -> int:
        """n · d."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        """One line."""
        return f"<{type(self).__name__}: {self.shape[0]} rows, {self.shape[1]} columns>"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        raise InvalidParameterError("X", "be held in memory here: it is gone through in tiles of columns", self)

    def __getstate__(self) -> dict[str, Any]:
        """Without the plan, which is this process's own."""
        return {key: value for key, value in vars(self).items() if key != "plan"}

    def tiles(self) -> Iterator[tuple[int, int]]:
        """First column, and the one after the last, of each tile."""
        d, width = self.shape[1], tile_width(self.shape[0])
        return ((start, min(start + width, d)) for start in range(0, d, width))

    def dense(self, start: int, stop: int) -> Array:
        """`read` as an array, also of a sparse matrix."""
        return as_dense(self.read(start, stop))

    def part(self, start: int, stop: int) -> Columns:
        """What another process needs to read these columns, by the numbers that they have here."""
        return self

    def array(self) -> Array:
        """All of it in memory.

        Raises
        ------
        InvalidParameterError
            If it does not fit.
        """
        check_memory("X", self.shape, self.size)
        if self.size == 0:
            return np.zeros(self.shape)
        return np.hstack([self.dense(start, stop) for start, stop in self.tiles()])

    def row_blocks(self) -> Iterator[Array]:
        """All rows in order, as many at a time as fit into a tile."""
        n, d = self.shape
        height = max(1, TILE_ENTRIES // d)
        return (self.rows(first, min(first + height, n)) for first in range(0, n, height))


class ArrayColumns(Columns):
    """An array in memory, or one that the caller has mapped.

    Examples
    --------
    >>> ArrayColumns(np.eye(2)).read(1, 2)
    array([[0.],
           [1.]])
    """

    def __init__(self, X: Array, first: int = 0, d: int | None = None) -> None:
        self.X, self.first = X, first
        self.shape = (X.shape[0], X.shape[1] if d is None else d)

    def read(self, start: int, stop: int) -> Array:
        """A view."""
        return self.X[:, start - self.first : stop - self.first]

    def rows(self, first: int, last: int) -> Array:
        """A view."""
        return self.X[first:last]

    def part(self, start: int, stop: int) -> Columns:
        """These columns only."""
        return ArrayColumns(np.ascontiguousarray(self.read(start, stop)), start, self.shape[1])


class SparseColumns(Columns):
    """A SciPy sparse matrix, which stays one; kept by columns.

    Examples
    --------
    >>> X = SparseColumns(sparse.csr_array(np.array([[1.0, 0.0], [2.0, 3.0]])))
    >>> X.read(0, 1).toarray()
    array([[1.],
           [2.]])
    """

    def __init__(self, X: Any, first: int = 0, d: int | None = None) -> None:
        if X.ndim != 2:
            raise ShapeError("X", "(n, d)", X.shape)
        check_memory("X", X.shape, int(X.shape[1]) + 3 * int(X.nnz))
        matrix = sparse.csc_array(X)
        values = as_real_array("X", matrix.data, 1)
        self.X = sparse.csc_array((values, matrix.indices, matrix.indptr), shape=matrix.shape)
        self.first = first
        self.shape = (int(matrix.shape[0]), int(matrix.shape[1]) if d is None else d)

    @property
    def entries(self) -> int:
        """Numbers that are stored."""
        return int(self.X.nnz)

    def read(self, start: int, stop: int) -> Any:
        """A sparse matrix."""
        return self.X[:, start - self.first : stop - self.first]

    def rows(self, first: int, last: int) -> Array:
        """Not sparse any more."""
        return np.asarray(self.X[first:last].toarray())

    def part(self, start: int, stop: int) -> Columns:
        """These columns only."""
        return SparseColumns(self.read(start, stop), start, self.shape[1])


class SlicedColumns(Columns):
    """What gives its columns as `array[:, start:stop]`: an array of Dask, of zarr, of h5py.

    Examples
    --------
    >>> SlicedColumns(np.eye(2, dtype=np.float32)).read(0, 1).dtype
    dtype('float64')
    """

    def __init__(self, array: Any) -> None:
        shape = tuple(getattr(array, "shape", ()))
        if len(shape) != 2:
            raise ShapeError("X", "(n, d)", shape)
        if not all(isinstance(size, (int, np.integer)) for size in shape):
            raise InvalidParameterError("X", "have a known shape (of Dask: compute_chunk_sizes() finds it)", shape)
        self.source, self.shape = array, (int(shape[0]), int(shape[1]))

    def read(self, start: int, stop: int) -> Array:
        """As float64."""
        return self._converted(lambda: self.source[:, start:stop], (self.shape[0], stop - start))

    def rows(self, first: int, last: int) -> Array:
        """As float64."""
        return self._converted(lambda: self.source[first:last], (last - first, self.shape[1]))

    def _converted(self, slice_: Any, shape: tuple[int, int]) -> Array:
        try:
            found = np.asarray(slice_())
        except ImplicitBiasError:
            raise
        except Exception as error:  # a file that is gone, a cluster that is down, a task that failed
            raise FileFormatError(type(self.source).__name__, one_line(error)) from error
        if found.shape != shape:
            raise ShapeError("X", str(shape), found.shape)
        return as_real_array("X", found, 2)


@dataclass(eq=False, repr=False)
class ScaledColumns(Columns):
    """2^exponent times another matrix, exactly.

    Examples
    --------
    >>> ScaledColumns(ArrayColumns(np.eye(2)), 3).read(0, 1)
    array([[8.],
           [0.]])
    """

    base: Columns
    exponent: int

    def __post_init__(self) -> None:
        self.shape, self.plan = self.base.shape, self.base.plan

    def read(self, start: int, stop: int) -> Any:
        """Sparse where the other one is."""
        tile = self.base.read(start, stop)
        if sparse.issparse(tile):
            scaled = tile.copy()
            scaled.data = np.ldexp(tile.data, self.exponent)
            return scaled
        return np.ldexp(tile, self.exponent)

    def rows(self, first: int, last: int) -> Array:
        """Rows of the other one, scaled."""
        return np.asarray(np.ldexp(self.base.rows(first, last), self.exponent))

    def part(self, start: int, stop: int) -> Columns:
        """The same of a part."""
        return ScaledColumns(self.base.part(start, stop), self.exponent)


def scaled(X: Any, exponent: int) -> Any:
    """2^exponent X of an array, or of `Columns`.

    Examples
    --------
    >>> scaled(np.eye(1), 2), scaled(ArrayColumns(np.eye(1)), 2)
    (array([[4.]]), <ScaledColumns: 1 rows, 1 columns>)
    """
    return ScaledColumns(X, exponent) if isinstance(X, Columns) else np.ldexp(X, exponent)


def is_columnwise(X: Any) -> bool:
    """Whether X is gone through by columns: `Columns`, SciPy's sparse, what has chunks as Dask, zarr and h5py do."""
    return isinstance(X, Columns) or sparse.issparse(X) or (hasattr(X, "chunks") and hasattr(X, "__getitem__"))


def as_columns(X: Any) -> Columns:
    """X, shape (n, d), as `Columns`.

    Parameters
    ----------
    X : Columns, array_like, SciPy sparse matrix, or array of Dask, zarr or h5py

    Raises
    ------
    InvalidParameterError, ShapeError
        If it is none of these, or has another number of axes.

    Examples
    --------
    >>> as_columns(sparse.eye_array(3)), as_columns([[1.0, 2.0]])
    (<SparseColumns: 3 rows, 3 columns>, <ArrayColumns: 1 rows, 2 columns>)
    """
    if isinstance(X, Columns):
        return X
    if sparse.issparse(X):
        return SparseColumns(X)
    return SlicedColumns(X) if is_columnwise(X) else ArrayColumns(as_real_array("X", X, 2))


def as_dense(tile: Any) -> Array:
    """A tile as an array."""
    return np.asarray(tile.toarray() if sparse.issparse(tile) else tile)


def one_line(error: BaseException) -> str:
    """What an exception of others says, on one line, cut if it is long."""
    words = " ".join(str(error).split()) or type(error).__name__
    return (words if len(words) <= 160 else f"{words[:157]}...").rstrip(".")
