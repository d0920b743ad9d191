"""`.npy` files a tile at a time, and what may happen to them on the way."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

import refimpl.datasets
import refimpl.readers
import refimpl.tiles.columns
import refimpl.tiles.npy
from refimpl import (
    GaussianInitialization,
    datasets,
)
from refimpl.errors import (
    FileFormatError,
    InvalidParameterError,
    OutputFileError,
    ShapeError,
)
from refimpl.tiles import (
    NpyColumns,
    gram_matrix,
    write_combination,
)

from .given import samples, saved

# --- results in R^d ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [None, "array", "generated"])
def test_results_are_written_tile_by_tile(tmp_path, small_tiles, start):
    X, _ = samples()
    C = np.random.default_rng(1).standard_normal((3, 6))
    W0 = None if start is None else GaussianInitialization(2, 1.0)
    W = 0.0 if W0 is None else W0.array(3, 1000)
    np.save(tmp_path / "X.npy", X)
    write_combination(tmp_path / "W.npy", C, NpyColumns(tmp_path / "X.npy"), W if start == "array" else W0)
    np.testing.assert_allclose(np.load(tmp_path / "W.npy"), W + C @ X, rtol=1e-14, atol=1e-15)
    with pytest.raises(OutputFileError, match="the file exists"):
        write_combination(tmp_path / "W.npy", C, X)
    with pytest.raises(ShapeError):
        write_combination(tmp_path / "V.npy", C[:, 1:], X)
    with pytest.raises(InvalidParameterError, match="overflow"):
        write_combination(tmp_path / "V.npy", 1e300 * C, 1e300 * X)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["W.npy", "X.npy"]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "W.npy").write_bytes(b"mine")
    monkeypatch.setattr(refimpl.tiles.npy.os, "posix_fallocate", full, raising=False)
    with pytest.raises(OutputFileError, match="No space left on device"):
        write_combination(tmp_path / "W.npy", np.eye(2), np.eye(2), force=True)
    assert (tmp_path / "W.npy").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["W.npy"]


# --- what may happen on the way ---------------------------------------------------------------------------------------


def test_a_file_that_shrinks_or_changes_is_one_sentence(tmp_path, small_tiles):
    x_path, y_path = saved(tmp_path, *samples())
    home = NpyColumns(x_path)
    os.truncate(x_path, 20_000)
    with pytest.raises(FileFormatError, match="it has changed since it was first looked at"):
        gram_matrix(home)
    x_path, y_path = saved(tmp_path, *samples())
    data = datasets.load_npy_pair(x_path, y_path)
    np.save(x_path, samples(seed=1)[0])
    os.utime(x_path, ns=(0, 0))
    with pytest.raises(FileFormatError, match="has changed"):
        data.sha256  # noqa: B018
    x_path.unlink()
    with pytest.raises(FileFormatError, match="there is no such file"):
        data.X.array()


def test_a_file_that_shrinks_while_it_is_read_is_one_sentence(tmp_path, monkeypatch):
    x_path, _ = saved(tmp_path, *samples())
    home = NpyColumns(x_path)
    monkeypatch.setattr(refimpl.tiles.npy, "_stamp", lambda handle: home._stamp)
    os.truncate(x_path, 20_000)
    with pytest.raises(FileFormatError, match="it became shorter while it was read"):
        home.read(0, 1000)
