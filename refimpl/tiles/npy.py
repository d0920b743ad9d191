"""`.npy` files a tile at a time: read by ranges of columns, and written so.

The numbers are read and not mapped: pages of a map count as memory of the process, and a file that becomes shorter
ends a process that has it mapped, with a signal and without a sentence.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from refimpl.archive import npy_header
from refimpl.errors import FileFormatError, InvalidParameterError, ShapeError
from refimpl.files import open_output, open_regular
from refimpl.tiles.accumulate import WEIGHT_WIDTH, read_ahead
from refimpl.tiles.columns import TILE_ENTRIES, Columns, as_columns
from refimpl.validation import Array, as_real_array

__all__ = ["NpyColumns", "write_combination"]

NO_PREALLOCATION = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
"""What file systems answer that cannot reserve space."""


class NpyColumns(Columns):
    """A matrix in a `.npy` file: any real dtype that float64 holds, either byte order, either order of its axes.

    The file is opened anew for each tile. One that has changed since the first look is refused.

    Raises
    ------
    FileFormatError
        If it is missing, damaged, changed, or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "X.npy"
    >>> np.save(path, np.arange(6, dtype=np.float32).reshape(2, 3))
    >>> NpyColumns(path).read(1, 3)
    array([[1., 2.],
           [4., 5.]])
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        with open_regular(path) as handle:
            header = npy_header(path, handle)
            self._stamp = _stamp(handle)
        if len(header.shape) != 2:
            raise FileFormatError(path, f"it must hold an array of shape (n, d), not {header.shape}")
        if header.dtype.kind not in "fiub":
            raise FileFormatError(path, f"it holds {header.dtype.str}, not real numbers")
        self.shape = (header.shape[0], header.shape[1])
        self.by_columns, self.stored, self._offset = header.fortran_order, header.dtype, header.length

    def read(self, start: int, stop: int) -> Array:
        """Each row's part of the tile with one call of the system; of a file in Fortran order the tile with one."""
        n, d = self.shape
        if self.by_columns:
            return np.ascontiguousarray(self._numbers([(start * n, (stop - start) * n)]).reshape(stop - start, n).T)
        pieces = [(i * d + start, stop - start) for i in range(n)]
        return self._numbers(pieces if stop - start < d else [(0, n * d)]).reshape(n, stop - start)

    def rows(self, first: int, last: int) -> Array:
        """Of a file in Fortran order all of it is read for each block of rows."""
        d = self.shape[1]
        if not self.by_columns:
            return self._numbers([(first * d, (last - first) * d)]).reshape(last - first, d)
        return np.hstack([self.read(*tile)[first:last] for tile in self.tiles()])

    def _numbers(self, pieces: list[tuple[int, int]]) -> Array:
        """The numbers at these places (first, how many), one after the other."""
        found = np.empty(sum(count for _, count in pieces), self.stored)
        view, done, size = memoryview(found.view(np.uint8).data), 0, self.stored.itemsize
        try:
            with open_regular(self.path) as handle:
                if _stamp(handle) != self._stamp:
                    raise FileFormatError(self.path, "it has changed since it was first looked at")
                for first, count in pieces:
                    handle.seek(self._offset + first * size)
                    _fill(self.path, handle, view[done : done + count * size])
                    done += count * size
        except OSError as error:
            raise FileFormatError(self.path, str(error.strerror or error)) from error
        return as_real_array("X", found, 1)


def _stamp(handle: IO[bytes]) -> tuple[int, int]:
    state = os.fstat(handle.fileno())
    return state.st_size, state.st_mtime_ns


def _fill(path: Path, handle: IO[bytes], rest: memoryview) -> None:
    while rest:
        count = handle.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise FileFormatError(path, "it became shorter while it was read")
        rest = rest[count:]


def write_combination(path: str | Path, C: Any, X: Any, W0: Any = None, force: bool = False) -> None:
    """Write W = W0 + C X to a `.npy` file, a tile of columns at a time.

    The space is reserved first, so a disk that is too full is told at once; the file appears under its name when it is
    complete.

    Parameters
    ----------
    path : path
    C : array_like, shape (m, n), or (n,) for one vector
    X : Columns or array_like, shape (n, d)
    W0 : Columns, array_like or GaussianInitialization, shape (m, d), optional
        Zero by default.
    force : bool
        Whether a file may be overwritten.

    Raises
    ------
    OutputFileError
        If the file exists and `force` is not set, or cannot be written.
    InvalidParameterError, ShapeError
        If the shapes do not fit, or W overflows.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "z.npy"
    >>> write_combination(path, [2.0, 1.0], [[1.0, 0.0], [0.0, 3.0]])
    >>> np.load(path)
    array([2., 3.])
    """
    C = as_real_array("C", C)
    X = as_columns(X)
    if C.ndim not in (1, 2) or C.shape[-1] != X.shape[0]:
        raise ShapeError("C", f"(m, {X.shape[0]}) or ({X.shape[0]},)", C.shape)
    rows, d = C.reshape(-1, X.shape[0]), X.shape[1]
    start = None if W0 is None else _start_columns(W0, rows.shape[0], d)
    if start is not None and start.shape != (rows.shape[0], d):
        raise ShapeError("W0", str((rows.shape[0], d)), start.shape)
    with open_output(path, force) as handle:
        shape = (d,) if C.ndim == 1 else (rows.shape[0], d)
        np.lib.format.write_array_header_1_0(handle, {"descr": "<f8", "fortran_order": False, "shape": shape})
        offset = handle.tell()
        _reserve(handle, offset + 8 * rows.shape[0] * d)
        for first, W in _combined(rows, X, start):
            for j, row in enumerate(W):
                handle.seek(offset + 8 * (j * d + first))
                handle.write(row.data)


def _start_columns(W0: Any, m: int, d: int) -> Columns:
    generated = getattr(W0, "columns", None)  # of a GaussianInitialization; a frame has columns too
    return as_columns(generated(m, d) if callable(generated) else W0)


def _combined(C: Array, X: Columns, W0: Columns | None) -> Iterator[tuple[int, Array]]:
    """W0 + C X by ranges of columns: the first, and the numbers in little-endian."""
    width = max(1, min(WEIGHT_WIDTH * 8, TILE_ENTRIES // C.shape[0]))
    for (start, stop), tile in read_ahead(X):
        for first in range(0, stop - start, width):
            last = min(first + width, stop - start)
            with np.errstate(over="ignore", invalid="ignore"):
                W = np.asarray(C @ tile[:, first:last])
                if W0 is not None:
                    W = W + W0.dense(start + first, start + last)
            if not np.isfinite(W).all():
                raise InvalidParameterError("W0 + C X", "stay below the largest float", "an overflow")
            yield start + first, np.ascontiguousarray(W, dtype="<f8")


def _reserve(handle: IO[bytes], size: int) -> None:
    """Space for `size` bytes, where the system can reserve it."""
    if not hasattr(os, "posix_fallocate"):
        return
    handle.flush()
    try:
        os.posix_fallocate(handle.fileno(), 0, size)
    except OSError as error:
        if error.errno not in NO_PREALLOCATION:
            raise
