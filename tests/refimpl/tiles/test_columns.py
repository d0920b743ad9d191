"""Sparse and scaled columns."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import sparse

from refimpl import (
    Dataset,
)
from refimpl.tiles import (
    ArrayColumns,
    ScaledColumns,
    SparseColumns,
    products_with_weights,
)
from refimpl.tiles.accumulate import gram_of_remainder

from .given import UNIT, samples


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
