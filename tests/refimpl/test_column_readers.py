"""Samples in .npy, zarr, sparse .npz and svmlight text, with labels of any kind."""

from __future__ import annotations

import gzip
import sys

import numpy as np
import pytest
from scipy import sparse

import refimpl.datasets
from refimpl import datasets
from refimpl.errors import FileFormatError, InvalidParameterError, MissingExtraError
from refimpl.tables import Choices


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """All samples with more than 100 numbers stay in tiles."""
    monkeypatch.setattr(refimpl.dataset, "TILE_ENTRIES", 100)


def sparse_samples(n=6, d=200):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((n, d)) < 0.1, rng.standard_normal((n, d)), 0.0)
    X[:, 0] = np.arange(1.0, n + 1.0)
    return X, np.where(np.arange(n) % 2 == 0, 1, -1)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
@pytest.mark.parametrize("compressed", [True, False])
def test_what_scipy_writes_is_read(tmp_path, form, compressed):
    X, y = sparse_samples()
    sparse.save_npz(tmp_path / "X.npz", sparse.coo_array(X).asformat(form), compressed)
    np.save(tmp_path / "y.npy", y)
    data, report = datasets.read(tmp_path / "X.npz", labels=tmp_path / "y.npy")
    assert data.in_tiles
    np.testing.assert_array_equal(data.X.array(), X)
    np.testing.assert_array_equal(data.y, y)
    assert f"sparse, {np.count_nonzero(X)} numbers stored" in report.sentence


def test_sparse_archives_that_are_none_are_refused(tmp_path):
    np.save(tmp_path / "y.npy", np.ones(2))
    whole = {"format": b"csr", "shape": (2, 3), "data": [1.0, 2.0], "indices": [0, 2], "indptr": [0, 1, 2]}
    for change, why in [
        ({"indices": [0, 3]}, "make no sparse matrix"),
        ({"indptr": [0, 2, 1]}, "make no sparse matrix"),
        ({"indptr": [0, 1]}, "make no sparse matrix"),
        ({"format": b"bsr"}, "is none of csr, csc and coo"),
        ({"shape": (2,)}, r"shape \(n, d\)"),
        ({"data": ["a", "b"]}, "make no sparse matrix"),
        ({"data": [1.0, np.nan]}, r"`X\[1, 2\]` must be finite"),
        ({"data": [1.0, 0.0]}, "zero row: row 1"),
    ]:
        np.savez(tmp_path / "X.npz", **(whole | change))
        with pytest.raises(FileFormatError, match=why):
            datasets.read(tmp_path / "X.npz", labels=tmp_path / "y.npy")


@pytest.mark.parametrize("packed", [False, True])
def test_text_of_svmlight(tmp_path, packed):
    text = b"# made by hand\n1 1:0.5 7:-2e1 # first\n\n-1 qid:3 2:1 3:4.25\n+1 1:1 200:3\n"
    path = tmp_path / ("a.svm.gz" if packed else "a.svm")
    path.write_bytes(gzip.compress(text) if packed else text)
    data, report = datasets.read(path)
    expected = np.zeros((3, 200))
    expected[0, [0, 6]], expected[1, [1, 2]], expected[2, [0, 199]] = (0.5, -20.0), (1.0, 4.25), (1.0, 3.0)
    np.testing.assert_array_equal(data.X.array(), expected)
    np.testing.assert_array_equal(data.y, [1, -1, 1])
    assert report.n == 3
    (tmp_path / "zero.svm").write_text("1 0:1 3:1\n-1 1:2\n")
    np.testing.assert_array_equal(datasets.read(tmp_path / "zero.svm")[0].X, [[1, 0, 0, 1], [0, 2, 0, 0]])


def test_classes_of_svmlight_are_chosen(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text("3 1:1\n5 2:1\n3 3:2 200:1\n8 1:4\n")
    data, report = datasets.read(path, Choices(classes=("5", "3")))
    np.testing.assert_array_equal(data.y, [-1, 1, -1])
    assert data.n == 3
    assert "left out: rows of other classes, 1 of 8" in report.sentence
    with pytest.raises(FileFormatError, match="its labels are 3, 5, 8, not"):
        datasets.read(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no samples"),
        ("1\n-1\n", "no samples"),
        ("1 1:1\n-1 2\n", "line 2 is not `label index:value"),
        ("1 1:1\n-1 1_0:2\n", "line 2 is not `label index:value"),
        ("1 1:1\n-1 2:a\n", "line 2 is not"),
        ("1 a:1\n", "line 1 is not"),
        ("1 99999999999999999999:1\n", "line 1 is not"),
        ("1 2:1 1:1\n", "line 1 do not rise"),
        ("1 1:1 1:1\n", "line 1 do not rise"),
        ("1 -1:1\n", "line 1 do not rise"),
        ("1:1 2:1\n", "line 1 has no label"),
        ("1 1:nan 200:1\n-1 2:1\n", r"`X\[0, 0\]` must be finite"),
    ],
)
def test_other_texts_are_refused(tmp_path, text, why):
    (tmp_path / "a.svm").write_text(text)
    with pytest.raises(FileFormatError, match=why):
        datasets.read(tmp_path / "a.svm")


def test_text_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.svm").write_bytes(b"1 1:\xff\n")
    (tmp_path / "a.svm.gz").write_bytes(gzip.compress(b"1 1:1\n" * 1000)[:30])
    for name in ("a.svm", "a.svm.gz"):
        with pytest.raises(FileFormatError, match="not a whole text"):
            datasets.read(tmp_path / name)


def test_labels_in_a_file_of_their_own(tmp_path):
    X, _ = sparse_samples()
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", np.array(["cat", "dog"] * 3))
    np.save(tmp_path / "short.npy", np.ones(5))
    data, report = datasets.read(tmp_path / "X.npy", Choices(positive_label="dog"), tmp_path / "y.npy")
    np.testing.assert_array_equal(data.y, [-1, 1] * 3)
    assert "3 x dog -> +1" in report.sentence
    for choices, labels, kind, why in [
        (Choices(), "y.npy", FileFormatError, "--positive-label cat makes"),
        (Choices(), "short.npy", FileFormatError, r"shape \(6,\), one label for each row"),
        (Choices(), "none.npy", FileFormatError, "no such file"),
        (Choices(), None, InvalidParameterError, "`labels` must name a .npy file"),
        (Choices(label_column="y"), "y.npy", InvalidParameterError, "`label_column` must go with a table"),
        (Choices(drop_columns=(1,)), "y.npy", InvalidParameterError, "`drop_columns` must go with a table"),
    ]:
        with pytest.raises(kind, match=why):
            datasets.read(tmp_path / "X.npy", choices, labels and tmp_path / labels)
    (tmp_path / "a.csv").write_text("1,2,1\n2,1,-1\n")
    with pytest.raises(InvalidParameterError, match="`labels` must go with"):
        datasets.read(tmp_path / "a.csv", labels=tmp_path / "y.npy")


def test_a_folder_of_zarr(tmp_path):
    zarr = pytest.importorskip("zarr")
    X, y = sparse_samples()
    array = zarr.open(str(tmp_path / "X.zarr"), mode="w", shape=X.shape, chunks=(2, 30), dtype="f4")
    array[:] = X
    np.save(tmp_path / "y.npy", y)
    data, _ = datasets.read(tmp_path / "X.zarr", labels=tmp_path / "y.npy")
    assert data.in_tiles
    np.testing.assert_array_equal(data.X.array(), X.astype(np.float32))
    (tmp_path / "empty.zarr").mkdir()
    for name in ("empty.zarr", "none.zarr"):
        with pytest.raises(FileFormatError, match=r"no array in zarr's format|no such folder"):
            datasets.read(tmp_path / name, labels=tmp_path / "y.npy")


def test_without_zarr_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    np.save(tmp_path / "y.npy", np.ones(2))
    with pytest.raises(MissingExtraError, match=r"package zarr is not installed: .*\[dask\]"):
        datasets.read(tmp_path / "X.zarr", labels=tmp_path / "y.npy")
