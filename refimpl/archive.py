"""Arrays in `.npy` and `.npz` files, and results as `.npz`: plain arrays, one JSON text for everything else; no pickle.

The files may come from anybody. Sizes are taken from the headers and held against what is there, and against
`LIMIT_BYTES`, before any memory is asked for; every way in which a file can be damaged is one `FileFormatError`.
"""

from __future__ import annotations

import json
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from refimpl.documents import as_plain, with_numbers
from refimpl.errors import FileFormatError, ImplicitBiasError
from refimpl.files import open_output, open_regular
from refimpl.validation import Array

__all__ = [
    "LIMIT_BYTES",
    "is_npz",
    "load_archive",
    "map_npy",
    "npy_header",
    "read_npy",
    "read_npz",
    "save_archive",
    "save_run",
    "with_prefix",
]

Result = TypeVar("Result")

RUN_VERSION = 1
"""Of the archives of flows and descents."""

LIMIT_BYTES = 2**31
"""The arrays of one file may take at most 2 GiB as float64; `datasets.load_npy_pair` maps larger ones."""


@dataclass(frozen=True)
class _Header:
    """What stands before the numbers of one array."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def nbytes_as_float64(self) -> int:
        """In memory, once converted."""
        return self.size * max(8, self.dtype.itemsize)


def save_archive(path: str | Path, meta: dict[str, Any], arrays: Mapping[str, Any], force: bool = False) -> None:
    """Write `arrays`, and `meta` as JSON under the name "meta".

    Raises
    ------
    OutputFileError
        If the file exists and `force` is not set, or cannot be written.
    """
    with open_output(path, force) as handle:
        np.savez(handle, meta=np.array(json.dumps(as_plain(meta), allow_nan=False)), **arrays)


def save_run(
    path: str | Path, run: Any, arrays: Mapping[str, Any], force: bool = False, more: Mapping[str, Any] | None = None
) -> None:
    """Write status, message, diagnostics and trajectory of a run, with `arrays` and `more` of its kind."""
    meta = {"version": RUN_VERSION, "status": run.status.name, "message": run.message, "diagnostics": run.diagnostics}
    trajectory = {f"trajectory_{name}": value for name, value in vars(run.trajectory).items()}
    save_archive(path, meta | dict(more or {}), trajectory | dict(arrays), force)


def load_archive(path: str | Path, maker: str, build: Callable[[dict[str, Any], dict[str, Array]], Result]) -> Result:
    """`build(meta, arrays)` of what `save_archive` wrote for the function called `maker`.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, too large, or does not hold what `build` needs.
    """
    sentence = f"it is not a complete result of {maker}"
    arrays = read_npz(path, damaged=sentence)
    with _whatever_is_wrong(path, sentence):
        return build(with_numbers(json.loads(str(arrays.pop("meta")))), arrays)


def with_prefix(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The entries whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def read_npz(
    path: str | Path,
    names: Iterable[str] | None = None,
    optional: Iterable[str] = (),
    damaged: str = "it is not a complete .npz archive",
) -> dict[str, Any]:
    """The arrays of a NumPy archive, by name.

    Parameters
    ----------
    path : path
    names : iterable of str, optional
        Only these, which must be there; by default all.
    optional : iterable of str
        And these, if they are there.
    damaged : str
        What is said of a damaged file.

    Raises
    ------
    FileFormatError
        If the file is missing, no regular file, damaged, encrypted, compressed in another way than NumPy's, lacks
        one of `names`, holds pickled objects, or would take more than `LIMIT_BYTES`.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.npz"
    >>> np.savez_compressed(path, X=np.eye(2), notes="none")
    >>> read_npz(path, ["X"])
    {'X': array([[1., 0.],
           [0., 1.]])}
    >>> read_npz(path, ["Y"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    refimpl.errors.FileFormatError: cannot read `...`: it needs an array Y and holds X, notes.
    """
    with (
        open_regular(path) as handle,
        _whatever_is_wrong(path, damaged),
        zipfile.ZipFile(handle) as archive,
    ):
        members = _members(path, archive)
        wanted = list(members) if names is None else [*names, *(name for name in optional if name in members)]
        missing = [name for name in wanted if name not in members]
        if missing:
            what = f"arrays {' and '.join(wanted)}" if len(wanted) > 1 else f"an array {missing[0]}"
            raise FileFormatError(path, f"it needs {what} and holds {', '.join(members) or 'nothing'}")
        headers = {}
        for name in wanted:
            with archive.open(members[name]) as member:
                headers[name] = _read_header(path, member, members[name].file_size)
        _check_size(path, sum(header.nbytes_as_float64 for header in headers.values()))
        arrays = {}
        for name, header in headers.items():
            with archive.open(members[name]) as member:
                arrays[name] = _read_numbers(member, header)
        return arrays


def read_npy(path: str | Path) -> NDArray[Any]:
    """The array in a `.npy` file.

    Raises
    ------
    FileFormatError
        If the file is missing, no regular file, damaged, an archive, holds pickled objects, or would take more
        than `LIMIT_BYTES`.
    """
    with open_regular(path) as handle, _whatever_is_wrong(path, "it is not a complete .npy file of numbers"):
        header = _npy_header(path, handle)
        _check_size(path, header.nbytes_as_float64)
        handle.seek(0)
        return _read_numbers(handle, header)


def map_npy(path: str | Path) -> NDArray[Any]:
    """The array in a `.npy` file, memory-mapped for reading, whatever its size.

    Raises
    ------
    FileFormatError
        As in `read_npy`, but for the size.
    """
    with open_regular(path) as handle, _whatever_is_wrong(path, "it is not a complete .npy file of numbers"):
        header = _npy_header(path, handle)
        order: Any = "F" if header.fortran_order else "C"
        if header.size == 0:  # nothing to map
            return np.empty(header.shape, header.dtype, order)
        return np.memmap(handle, header.dtype, "r", header.length, header.shape, order)


def npy_header(path: str | Path, handle: IO[bytes]) -> _Header:
    """Shape, dtype, order and place of the array in an open `.npy` file.

    Raises
    ------
    FileFormatError
        If it is damaged, an archive, or holds pickled objects.
    """
    with _whatever_is_wrong(path, "it is not a complete .npy file of numbers"):
        return _npy_header(path, handle)


def is_npz(path: str | Path) -> bool:
    """Whether a file begins like an archive, an empty one too.

    Raises
    ------
    FileFormatError
        If it is missing or no regular file.
    """
    with open_regular(path) as handle:
        return handle.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


@contextmanager
def _whatever_is_wrong(path: str | Path, sentence: str) -> Iterator[None]:
    """Damage shows itself in NumPy, zipfile, zlib, ast and tokenize as errors of every class: all are this one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python parses
            yield
    except ImplicitBiasError:
        raise
    except Exception as error:
        raise FileFormatError(path, sentence) from error


def _members(path: str | Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The arrays of an archive by name, all of them readable."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if info.flag_bits & 1:
            raise FileFormatError(path, "it is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileFormatError(
                path, f"its compression {info.compress_type} is none of NumPy's: numpy.savez_compressed writes deflate"
            )
        if name in members:
            raise FileFormatError(path, f"it holds two arrays called {name}")
        members[name] = info
    return members


def _npy_header(path: str | Path, handle: IO[bytes]) -> _Header:
    if is_npz(path):
        raise FileFormatError(path, "it is an archive, not one .npy array")
    return _read_header(path, handle, os.fstat(handle.fileno()).st_size)


def _read_header(path: str | Path, handle: IO[bytes], file_size: int) -> _Header:
    """The header at the beginning of `handle`; ValueError unless exactly its numbers follow."""
    version = np.lib.format.read_magic(handle)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, fortran_order, dtype = readers[version](handle)
    if dtype.hasobject:
        raise FileFormatError(path, "it holds pickled objects; save plain arrays of numbers")
    header = _Header(shape, fortran_order, dtype, handle.tell())
    if min(shape, default=0) < 0 or header.length + header.nbytes != file_size:
        raise ValueError("the size of the file is not that of its array")
    return header


def _check_size(path: str | Path, nbytes: int) -> None:
    if nbytes > LIMIT_BYTES:
        raise FileFormatError(
            path,
            f"its arrays would take {nbytes / 2**30:.3g} GiB of memory as float64, and at most "
            f"{LIMIT_BYTES / 2**30:.3g} GiB are read (datasets.load_npy_pair maps larger ones)",
        )


def _read_numbers(handle: IO[bytes], header: _Header) -> NDArray[Any]:
    """The array whose header was read; EOFError if numbers are missing."""
    handle.read(header.length)
    content = bytearray(header.nbytes)
    rest = memoryview(content)
    while rest:
        count = handle.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        rest = rest[count:]
    if handle.read(1):  # also makes zipfile compare the checksum
        raise ValueError("more follows")
    if header.nbytes == 0:
        return np.empty(header.shape, header.dtype)
    order: Any = "F" if header.fortran_order else "C"
    return np.ndarray(header.shape, header.dtype, content, order=order)
