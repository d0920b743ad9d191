"""Archives of strangers: what is too large or not NumPy's own is refused before it is read, and damage is one error."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest

from refimpl import archive, datasets
from refimpl.archive import map_npy, read_npy, read_npz, save_archive
from refimpl.errors import FileFormatError
from refimpl.flow import FlowResult
from verification.claims.report import Report
from verification.commands.kkt import load_weights

X, Y = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.25], [0.5, 0.0, 2.0]]), np.array([1.0, -1.0, 1.0])


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header_bytes(text, version=(1, 0)):
    """A .npy file whose header is `text`, without numbers."""
    content = text if isinstance(text, bytes) else text.encode("latin1")
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(content)) + content


def write_npz(path, compression=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", compression) as handle:
        for name, content in members.items():
            handle.writestr(f"{name}.npy", content)


def all_readers(path):
    """Every function that opens a file of arrays."""
    yield lambda: datasets.load_npz(path)
    yield lambda: read_npz(path)
    yield lambda: read_npy(path)
    yield lambda: map_npy(path)
    yield lambda: load_weights(path)
    yield lambda: FlowResult.load(path)
    yield lambda: Report.load(path)


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "f4", "i1", "u8", "?", "U3", "c16"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 5), (2, 1, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_those_of_numpy(tmp_path, dtype, shape, order):
    array = np.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape), order=order).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", a=array)
    np.savez_compressed(tmp_path / "c.npz", a=array)
    np.savez(tmp_path / "both.npz", b=X, a=array)
    for found in (
        read_npy(tmp_path / "a.npy"),
        map_npy(tmp_path / "a.npy"),
        read_npz(tmp_path / "a.npz")["a"],
        read_npz(tmp_path / "c.npz", ["a"])["a"],
        read_npz(tmp_path / "both.npz", ["a"], optional=["c"])["a"],
    ):
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)
    assert read_npz(tmp_path / "a.npz")["a"].flags.writeable


def test_what_would_take_too_much_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    """64 MiB of zeros in a file of 64 KiB; 8-bit numbers count as the float64 that they become."""
    zeros = np.zeros((8, 2**20))
    np.savez_compressed(tmp_path / "bomb.npz", X=zeros, y=np.ones(8))
    assert (tmp_path / "bomb.npz").stat().st_size < 2**17
    np.save(tmp_path / "a.npy", np.zeros(2**22 + 1, np.int8))
    monkeypatch.setattr(archive, "LIMIT_BYTES", 2**25)
    tracemalloc.start()
    for read, name in [(datasets.load_npz, "bomb.npz"), (read_npz, "bomb.npz"), (read_npy, "a.npy")]:
        with pytest.raises(FileFormatError, match=r"GiB of memory as float64, and at most 0.0312 GiB are read"):
            read(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    assert read_npz(tmp_path / "bomb.npz", ["y"])["y"].size == 8  # what is not asked for is not read
    assert map_npy(tmp_path / "a.npy").size == 2**22 + 1


@pytest.mark.parametrize("shape", ["(1000000000000,)", "(-1,)", "(3, -1)", f"({10**30},)", f"(0, {10**30})"])
def test_a_header_that_promises_more_than_the_file_holds(tmp_path, shape):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    (tmp_path / "a.npy").write_bytes(header_bytes(text))
    write_npz(tmp_path / "a.npz", X=header_bytes(text), y=npy_bytes(Y))
    for name in ("a.npy", "a.npz"):
        for read in all_readers(tmp_path / name):
            with pytest.raises(FileFormatError):
                read()


HEADERS = {
    "NUL": "{'descr': '<f8', 'fortran_order': False, \0 'shape': (0,), }",
    "token": "{'descr': '<f8', 'fortran_order': False, 'shape': (0L, ",
    "syntax": "{'descr': '<f8' 'shape': }",
    "call": "{'descr': '<f8', 'fortran_order': 1(2), 'shape': (0,), }",
    "depth": "(" * 9000,
    "no dict": "[]",
    "long": "{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }" + " " * 20_000,
    "dtype": "{'descr': 'nothing', 'fortran_order': False, 'shape': (0,), }",
    "huge dtype": "{'descr': 'V99999999999', 'fortran_order': False, 'shape': (0,), }",
    "object": "{'descr': '|O', 'fortran_order': False, 'shape': (0,), }",
    "nested object": "{'descr': [('a', '<f8'), ('b', '|O')], 'fortran_order': False, 'shape': (0,), }",
    "escape": "{'descr': '\\d', 'fortran_order': False, 'shape': (0,), }",
    "bytes": b"\xff\xfe" * 30,
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0), (9, 9)])
def test_headers_that_are_none(tmp_path, name, version):
    (tmp_path / "a.npy").write_bytes(header_bytes(HEADERS[name], version))
    write_npz(tmp_path / "a.npz", X=header_bytes(HEADERS[name], version), y=npy_bytes(Y))
    for file in ("a.npy", "a.npz"):
        for read in all_readers(tmp_path / file):
            with pytest.raises(FileFormatError):
                read()


def test_archives_that_numpy_does_not_write(tmp_path):
    path = tmp_path / "a.npz"
    for compression, number in ((zipfile.ZIP_LZMA, 14), (zipfile.ZIP_BZIP2, 12)):
        write_npz(path, compression, X=npy_bytes(X), y=npy_bytes(Y))
        with pytest.raises(FileFormatError, match=f"its compression {number} is none of NumPy's"):
            datasets.load(path)
    write_npz(path, X=npy_bytes(X), y=npy_bytes(Y))
    whole = path.read_bytes()
    first, directory = whole.index(b"PK\x03\x04"), whole.index(b"PK\x01\x02")
    for local, central, value, why in [(6, 8, 1, "it is encrypted"), (8, 10, 99, "its compression 99 is none")]:
        changed = bytearray(whole)
        changed[first + local] |= value
        changed[directory + central] |= value
        path.write_bytes(changed)
        with pytest.raises(FileFormatError, match=why):
            datasets.load(path)
    with zipfile.ZipFile(path, "w") as handle:
        handle.writestr("X.npy", npy_bytes(X))
        with pytest.warns(UserWarning, match="Duplicate name"):
            handle.writestr("X.npy", npy_bytes(X))
    with pytest.raises(FileFormatError, match="it holds two arrays called X"):
        datasets.load(path)
    zipfile.ZipFile(path, "w").close()
    with pytest.raises(FileFormatError, match="it needs arrays X and y and holds nothing"):
        datasets.load(path)


def damaged_copies(whole, count, seed):
    """Copies with bytes changed, cut out, doubled, inserted, or the end cut off."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        copy = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            k, length = int(rng.integers(len(copy))), int(rng.integers(1, 9))
            kind = rng.integers(6)
            if kind <= 2:
                copy[k] = int(rng.integers(256)) if kind else copy[k] ^ (1 << int(rng.integers(8)))
            elif kind == 3:
                del copy[k : k + length]
            elif kind == 4:
                copy[k:k] = rng.bytes(length)
            else:
                copy[k : k + length] = copy[k : k + length] * 2
        yield bytes(copy)


@pytest.mark.parametrize("kind", ["npy", "npz", "compressed", "result"])
def test_random_damage_is_one_error(tmp_path, kind):
    """1,500 damaged copies of each. Only damage to the numbers of a .npy file, which has no checksum, is not seen."""
    path = tmp_path / "a.npz"
    if kind == "npy":
        np.save(tmp_path / "a.npy", X)
        path = tmp_path / "a.npy"
    elif kind == "result":
        save_archive(path, {"version": 1, "status": "CONVERGED"}, {"trajectory_s": Y, "initial_pattern": X})
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(path, X=X, y=Y, W=X)
    whole, refused, started = path.read_bytes(), 0, time.monotonic()
    reads = [read_npy, map_npy, load_weights] if kind == "npy" else [datasets.load, load_weights, FlowResult.load]
    for copy in damaged_copies(whole, 1500, seed=len(kind)):
        path.write_bytes(copy)
        for read in reads:
            try:
                read(path)
            except FileFormatError:
                refused += 1
    assert refused > 1500
    assert time.monotonic() - started < 60.0


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    for read in all_readers(tmp_path / "a.npz"):
        with pytest.raises(FileFormatError, match="it is a FIFO"):
            read()
