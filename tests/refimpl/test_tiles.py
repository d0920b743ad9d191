"""Samples in tiles of columns: the same numbers wherever they lie, whatever the budget, and what can go wrong."""

from __future__ import annotations

import errno
import os
import pickle
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import refimpl.datasets
import refimpl.readers
import refimpl.tiles.columns
import refimpl.tiles.npy
from refimpl import (
    Dataset,
    GaussianInitialization,
    LeakyReLU,
    TwoLayerNetwork,
    datasets,
    gradient_descent,
    gradient_flow,
)
from refimpl.errors import (
    FileFormatError,
    InvalidDataError,
    InvalidParameterError,
    OutputFileError,
    ShapeError,
    WorkerError,
)
from refimpl.reduction import reduced
from refimpl.tiles import (
    ArrayColumns,
    NpyColumns,
    Plan,
    ScaledColumns,
    SparseColumns,
    as_columns,
    gram_matrix,
    products_with_weights,
    write_combination,
)
from refimpl.tiles.accumulate import gram_of_remainder

UNIT = 2.0**-53


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of at most 64 columns; all samples with more than 100 numbers stay in tiles."""
    monkeypatch.setattr(refimpl.tiles.columns, "LARGEST_WIDTH", 64)
    monkeypatch.setattr(refimpl.dataset, "TILE_ENTRIES", 100)
    monkeypatch.setattr(refimpl.readers, "TILE_ENTRIES", 100)


def samples(n=6, d=1000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) / np.sqrt(d), np.where(np.arange(n) % 2 == 0, 1.0, -1.0)


def saved(folder, X, y):
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    return folder / "X.npy", folder / "y.npy"


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


# --- checks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "value"), [((0, 0), np.nan), ((5, 999), np.inf), ((3, 500), -np.inf)])
def test_numbers_that_are_not_finite_are_found_in_any_tile(tmp_path, small_tiles, place, value):
    X, y = samples()
    X[place] = value
    with pytest.raises(FileFormatError, match=rf"`X\[{place[0]}, {place[1]}\]` must be finite"):
        datasets.load_npy_pair(*saved(tmp_path, X, y))


def test_zero_rows_and_contradictions_are_found(tmp_path, small_tiles):
    X, y = samples()
    zero, equal = X.copy(), X.copy()
    zero[4], equal[5] = 0.0, equal[2]
    with pytest.raises(FileFormatError, match="zero row: row 4"):
        datasets.load_npy_pair(*saved(tmp_path, zero, y))
    with pytest.raises(FileFormatError, match="equal rows with opposite labels: rows 2 and 5"):
        datasets.load_npy_pair(*saved(tmp_path, equal, y))
    equal[5, 999] = np.nextafter(equal[5, 999], 1.0)  # equal in K, and not in X
    assert datasets.load_npy_pair(*saved(tmp_path, equal, y)).in_tiles
    for scale in (1e-200, 1e200):
        tiny = datasets.load_npy_pair(*saved(tmp_path, scale * X, y))
        with pytest.raises(InvalidDataError, match="leave the range of float64"):
            tiny.gram  # noqa: B018
        rescaled, k = tiny.rescaled()
        assert 1.0 <= rescaled.R_max < 2.0
        assert abs(np.ldexp(rescaled.R_max, k) / (scale * Dataset(X, y).R_max) - 1.0) < 1e-12


def test_what_needs_an_array_says_so(tmp_path, small_tiles):
    data = datasets.load_npy_pair(*saved(tmp_path, *samples()))
    for work in (lambda: np.asarray(data.X), lambda: data.X @ np.ones(1000)):
        with pytest.raises((InvalidParameterError, TypeError)):
            work()
    from refimpl.preparation import prepare
    from refimpl.stochastic import stochastic_gradient_descent

    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    with pytest.raises(InvalidParameterError, match="held in memory"):
        prepare(data, "centre")
    with pytest.raises(InvalidParameterError, match="held in memory"):
        stochastic_gradient_descent(network, data, np.zeros((1, 1000)), 0.1, 1, 2, 0)


def test_a_budget_that_cannot_work_is_refused_before_any_work(tmp_path, small_tiles):
    x_path, y_path = saved(tmp_path, *samples())
    with pytest.raises(InvalidParameterError, match="`memory` must be at least"):
        datasets.load_npy_pair(x_path, y_path, Plan(memory=1000))


# --- what depends on X through K alone --------------------------------------------------------------------------------


@pytest.mark.parametrize("in_span", [False, True])
def test_the_reduction_has_the_products_of_the_samples_and_the_weights(tmp_path, small_tiles, in_span):
    """Also of weights in the span, where W0 W0ᵀ - P Pᵀ is all rounding; the rest is formed by a pass of its own."""
    X, y = samples()
    W = np.arange(24.0).reshape(4, 6) @ X if in_span else GaussianInitialization(5, 1e-3).array(4, 1000)
    data = datasets.load_npy_pair(*saved(tmp_path, X, y))
    small = reduced(data, [W], 4)
    V, L = small.weights[0], small.data.X
    scale = np.linalg.norm(W) ** 2
    np.testing.assert_array_equal(small.data.gram, data.gram)
    assert V.shape == (4, 10)
    assert np.abs(L @ L.T - X @ X.T).max() < 1e-14
    assert np.abs(V @ L.T - W @ X.T).max() < 1e-14 * np.sqrt(scale)
    assert np.abs(V @ V.T - W @ W.T).max() < 1e-13 * scale
    if in_span:
        assert np.linalg.norm(V[:, 6:]) < 1e-13 * np.sqrt(scale)
    assert np.abs(small.coefficients(V) @ X - (W if in_span else W @ np.linalg.pinv(X) @ X)).max() < 1e-12


@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.integers(-600, 600))
def test_the_reduction_of_weights_of_any_size(m, seed, exponent):
    X, y = samples(4, 30)
    W = np.ldexp(np.random.default_rng(seed).standard_normal((m, 30)), exponent)
    small = reduced(Dataset(X, y), [W], m)
    norms, found = np.linalg.norm(np.ldexp(W, -exponent), axis=1), np.ldexp(small.weights[0], -exponent)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), norms, rtol=1e-13)


@pytest.mark.parametrize("run", ["flow", "descent"])
def test_flow_and_descent_are_those_of_the_array(tmp_path, small_tiles, run):
    X, y = samples()
    network, W0 = TwoLayerNetwork.with_signs(3, 2, LeakyReLU(0.3)), GaussianInitialization(1, 0.01)
    data, array = datasets.load_npy_pair(*saved(tmp_path, X, y)), Dataset(X, y)
    if run == "flow":
        W, V = (gradient_flow(network, each, W0).limit.weights() for each in (data, array))
    else:
        W, V = (gradient_descent(network, each, W0, 0.5, 60).weights() for each in (data, array))
    assert np.linalg.norm(W - V) < 1e-12 * np.linalg.norm(V)


def test_margins_and_gradients_are_those_of_the_array(tmp_path, small_tiles):
    X, y = samples()
    network, W = TwoLayerNetwork.with_signs(3, 2, LeakyReLU(0.3)), np.random.default_rng(1).standard_normal((5, 1000))
    data, array = datasets.load_npy_pair(*saved(tmp_path, X, y)), Dataset(X, y)
    value, gradient = network.loss_and_gradient(W, data)
    other, expected = network.loss_and_gradient(W, array)
    assert abs(value - other) < 1e-14
    assert np.abs(gradient - expected).max() < 1e-15
    np.testing.assert_allclose(network.margins(W, data), network.margins(W, array), rtol=1e-13)


# --- generated weights ------------------------------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(1, 9000), st.integers(0, 2**40), st.data())
def test_generated_weights_depend_on_nothing_but_seed_scale_and_rows(m, d, seed, draw):
    start = draw.draw(st.integers(0, d - 1))
    stop = draw.draw(st.integers(start + 1, d))
    whole = GaussianInitialization(seed, 0.5).array(m, d)
    np.testing.assert_array_equal(
        GaussianInitialization(seed, 0.5).columns(m, d).read(start, stop), whole[:, start:stop]
    )
    np.testing.assert_array_equal(GaussianInitialization(seed, 0.5).array(m, stop), whole[:, :stop])
    np.testing.assert_array_equal(GaussianInitialization(seed, 1.0).array(m, d), 2.0 * whole)


def test_generated_weights_are_normal_and_blocks_independent():
    W = GaussianInitialization(7, 1.0).array(20, 3 * 4096)
    blocks = W.reshape(20, 3, 4096)
    correlations = np.einsum("ibk,jck->ibjc", blocks, blocks).reshape(60, 60) / 4096 - np.eye(60)
    assert abs(W.mean()) < 5.0 / np.sqrt(W.size)
    assert np.abs(correlations).max() < 6.0 * np.sqrt(2.0 / 4096)
    assert abs((W**4).mean() - 3.0) < 5.0 * np.sqrt(96.0 / W.size)


def test_bad_generated_weights_are_refused():
    for seed, scale in ((-1, 1.0), (0.5, 1.0), ((), 1.0), (0, -1.0), (0, np.nan), (True, 1.0)):
        with pytest.raises(InvalidParameterError):
            GaussianInitialization(seed, scale)
    with pytest.raises(InvalidParameterError, match="range of float64"):
        GaussianInitialization(0, 1e308).array(50, 50)
    with pytest.raises(InvalidParameterError, match="GiB"):
        GaussianInitialization(0, 1.0).array(10**6, 10**9)


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


# --- sparse -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_sparse_samples_are_those_of_the_array(small_tiles, kind):
    X = np.where(np.random.default_rng(0).random((6, 1000)) < 0.02, samples()[0], 0.0)
    X[:, 0], y = np.arange(1.0, 7.0), samples()[1]
    data, array = Dataset(kind(X), y), Dataset(X, y)
    assert data.in_tiles
    assert np.abs(data.gram - array.gram).max() <= 64 * UNIT * array.gram.max()
    assert data.sha256 == array.sha256
    scaled, k = data.rescaled()
    np.testing.assert_array_equal(scaled.gram, np.ldexp(data.gram, -2 * k))
    np.testing.assert_array_equal(scaled.X.array(), np.ldexp(X, -k))
    W = np.random.default_rng(1).standard_normal((3, 1000))
    (Z, B), rest = products_with_weights(data.X, [ArrayColumns(W)])[0], np.ones((3, 6))
    assert np.abs(Z - W @ X.T).max() < 1e-13
    assert np.abs(B - W @ W.T).max() < 1e-11
    R = gram_of_remainder(data.X, ArrayColumns(W), rest)
    assert np.abs(R - (W - rest @ X) @ (W - rest @ X).T).max() < 1e-10


def test_a_large_sparse_matrix_never_becomes_dense():
    """Dense it would have 16 GB."""
    n, rng = 200, np.random.default_rng(0)
    row, column = np.repeat(np.arange(n), 100), rng.integers(0, 1000, 100 * n)
    entries = sparse.csr_array((rng.standard_normal(100 * n), (row, column * 10**4)), shape=(n, 10**7))
    X = entries[:, np.arange(1000) * 10**4].toarray()
    data = Dataset(entries, np.where(np.arange(n) % 2 == 0, 1, -1))
    assert np.abs(data.gram - X @ X.T).max() < 1e-11


def test_columns_scaled_twice():
    X = ScaledColumns(ScaledColumns(SparseColumns(sparse.eye_array(3)), 3), -1)
    np.testing.assert_array_equal(X.dense(0, 3), 4.0 * np.eye(3))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X)).rows(0, 1), [[4.0, 0.0, 0.0]])
