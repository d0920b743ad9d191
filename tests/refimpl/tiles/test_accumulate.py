"""Products of tiles: the same digits wherever the samples lie, within their bounds."""

from __future__ import annotations

import pickle
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refimpl.datasets
import refimpl.readers
import refimpl.tiles.columns
import refimpl.tiles.npy
from refimpl import (
    Dataset,
    GaussianInitialization,
    datasets,
)
from refimpl.errors import (
    InvalidParameterError,
    WorkerError,
)
from refimpl.tiles import (
    ArrayColumns,
    NpyColumns,
    Plan,
    as_columns,
    gram_matrix,
    products_with_weights,
)

from .given import UNIT, samples, saved


class Chunked:
    """An array that gives slices only, as those of zarr and Dask."""

    chunks = ((2,), (3,))

    def __init__(self, X):
        self.X, self.shape = X, X.shape

    def __getitem__(self, key):
        return self.X[key]


# --- the Gram matrix ------------------------------------------------------------------------------------------------


def test_every_home_of_the_samples_gives_the_same_digits(tmp_path, small_tiles):
    X, y = samples()
    K = Dataset(X, y).gram
    np.save(tmp_path / "C.npy", X)
    np.save(tmp_path / "F.npy", np.asfortranarray(X))
    np.save(tmp_path / "swapped.npy", X.astype(">f8"))
    homes = [NpyColumns(tmp_path / f"{name}.npy") for name in ("C", "F", "swapped")]
    for home in [*homes, as_columns(Chunked(X)), pickle.loads(pickle.dumps(homes[1]))]:
        data = Dataset(home, y)
        assert data.in_tiles
        np.testing.assert_array_equal(data.gram, K)
        assert data.sha256 == Dataset(X, y).sha256
        assert (data.n, data.d, data.R_max, data.p) == (6, 1000, Dataset(X, y).R_max, Dataset(X, y).p)


def test_no_budget_and_no_number_of_workers_changes_a_digit(tmp_path, small_tiles):
    X, _ = samples()
    np.save(tmp_path / "X.npy", X)
    K, start = gram_matrix(ArrayColumns(X)), GaussianInitialization(3, 1.0).columns(4, 1000)
    (Z, B), told = products_with_weights(ArrayColumns(X), [start])[0], []
    for memory in (10**6, 10**9):
        for workers in (0, 1, 4):
            executor = ThreadPoolExecutor(workers) if workers else None
            home = NpyColumns(tmp_path / "X.npy")
            home.plan = Plan(memory, executor, lambda done, count: told.append((done, count)))
            np.testing.assert_array_equal(gram_matrix(home), K)
            found = products_with_weights(home, [start])[0]
            np.testing.assert_array_equal(found[0], Z)
            np.testing.assert_array_equal(found[1], B)
            if executor is not None:
                executor.shutdown()
    assert told[:16] == [(k, 16) for k in range(1, 17)]


@given(st.integers(1, 5), st.integers(1, 300), st.integers(0, 2**32 - 1), st.floats(-200, 200))
def test_gram_matrix_is_within_its_bound_of_the_rational_one(n, d, seed, size):
    """|K̂ - K| <= (w + 2) u |X||X|ᵀ entry by entry, w the width of a tile; K over the rationals."""
    rng = np.random.default_rng(seed)
    X = np.ldexp(rng.standard_normal((n, d)), rng.integers(-30, 30, (n, d))) * 2.0 ** int(size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refimpl.tiles.columns, "LARGEST_WIDTH", 16)
        K = gram_matrix(ArrayColumns(X))
    exact = [[Fraction(x) for x in row] for row in X.tolist()]
    for i in range(n):
        for k in range(n):
            true = sum((a * b for a, b in zip(exact[i], exact[k], strict=True)), Fraction(0))
            sizes = sum((abs(a * b) for a, b in zip(exact[i], exact[k], strict=True)), Fraction(0))
            assert abs(Fraction(float(K[i, k])) - true) <= (16 + 2) * Fraction(UNIT) * sizes
    np.testing.assert_array_equal(K, K.T)


def test_rounding_does_not_grow_with_the_number_of_tiles(monkeypatch):
    """A plain sum of 10^4 tiles would be off by 1e-13; rows of ones times 0.1 make all errors alike."""
    monkeypatch.setattr(refimpl.tiles.columns, "LARGEST_WIDTH", 4)
    X = np.full((1, 40_000), 0.1)
    true = 40_000 * Fraction(0.1) ** 2
    assert abs(Fraction(float(gram_matrix(ArrayColumns(X))[0, 0])) - true) <= 6 * Fraction(UNIT) * true


@pytest.mark.parametrize("order", ["C", "F"])
def test_float32_is_accumulated_in_float64(tmp_path, small_tiles, order):
    X = np.asarray(samples()[0], dtype=np.float32, order=order)
    np.save(tmp_path / "X.npy", X)
    K = gram_matrix(NpyColumns(tmp_path / "X.npy"))
    np.testing.assert_array_equal(K, gram_matrix(ArrayColumns(X.astype(np.float64))))


def test_a_budget_that_cannot_work_is_refused_before_any_work(tmp_path, small_tiles):
    x_path, y_path = saved(tmp_path, *samples())
    with pytest.raises(InvalidParameterError, match="`memory` must be at least"):
        datasets.load_npy_pair(x_path, y_path, Plan(memory=1000))


class Failing:
    """An executor whose work is lost after some tiles."""

    def __init__(self, tiles):
        self.left = tiles

    def submit(self, function, *arguments):
        future, self.left = Future(), self.left - 1
        if self.left < 0:
            future.set_exception(RuntimeError("the worker\nis gone"))
        else:
            future.set_result(function(*arguments))
        return future


def test_a_worker_that_dies_for_good_is_one_sentence(tmp_path, small_tiles):
    x_path, y_path = saved(tmp_path, *samples())
    with pytest.raises(WorkerError, match=r"^a tile of columns was not computed: the worker is gone\.$"):
        datasets.load_npy_pair(x_path, y_path, Plan(executor=Failing(3)))
