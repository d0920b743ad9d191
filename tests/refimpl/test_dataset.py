"""Data sets: what they keep, compute and refuse."""

import copy
import hashlib
import math
import pickle
import struct

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.errors import (
    InvalidDataError,
    InvalidParameterError,
    ShapeError,
)

from .data_given import gram_in_loops


@pytest.mark.parametrize("view", [lambda X: X, lambda X: X[:, ::2], lambda X: X[::-1], np.asfortranarray])
def test_changes_of_the_callers_arrays_do_not_reach_the_data(view):
    X, y = np.arange(1.0, 7.0).reshape(2, 3), np.array([1.0, -1.0])
    data = Dataset(view(X), y)
    fresh = Dataset(view(X).copy(), [1, -1])
    locked = X.view()
    locked.setflags(write=False)
    through_a_view = Dataset(view(locked), y)
    X += 1.0
    y *= -1.0
    for one in (data, through_a_view):
        assert one.sha256 == fresh.sha256
        np.testing.assert_array_equal(one.gram, fresh.gram)
    for array in (data.X, data.y):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0.0


def test_what_nobody_can_write_to_is_shared():
    data = Dataset(np.eye(2, 3), [1, -1])
    again = Dataset(data.X, data.y)
    assert again.X is data.X
    assert again.y is data.y
    assert np.shares_memory(Dataset(data.X[:1], [1]).X, data.X)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_a_duplicate_is_read_only_too(duplicate):
    data = Dataset(np.eye(2, 3), [1, -1])
    K = data.gram
    twin = duplicate(data)
    np.testing.assert_array_equal(twin.gram, K)
    for array in (twin.X, twin.y, twin.gram, duplicate(TwoLayerNetwork([1.0], LeakyReLU(0.5))).second_layer):
        assert not array.flags.writeable


def test_the_factor_of_the_gram_matrix():
    data = Dataset([[3.0, 4.0], [0.0, 2.0]], [1, -1])
    np.testing.assert_allclose(data.gram_factor @ data.gram_factor.T, [[25.0, 8.0], [8.0, 4.0]], rtol=1e-15)
    assert data.gram_factor is data.gram_factor
    assert not data.gram_factor.flags.writeable


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.float16])
def test_other_numbers_become_float64(dtype):
    data = Dataset(np.array([[1, 2], [3, 4]], dtype=dtype), np.array([1, -1], dtype=np.int8))
    assert data.X.dtype == data.y.dtype == np.float64
    assert data.X.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_numbers_of_the_gram_matrix():
    rng = np.random.default_rng(0)
    data = Dataset(rng.standard_normal((5, 7)), [1, -1, -1, 1, 1])
    K = np.array(gram_in_loops(data.X))
    np.testing.assert_allclose(data.gram, K, atol=1e-14)
    np.testing.assert_allclose(data.norms, np.sqrt(np.diagonal(K)), rtol=1e-14)
    assert data.R_max == pytest.approx(math.sqrt(max(K.diagonal())), rel=1e-14)
    assert data.R_min == pytest.approx(math.sqrt(min(K.diagonal())), rel=1e-14)
    assert data.p == pytest.approx(max(abs(K[i, k]) for i in range(5) for k in range(5) if i != k), rel=1e-14)
    for i in range(5):
        for k in range(5):
            assert data.signed_gram[i, k] == pytest.approx(data.y[i] * data.y[k] * K[i, k], abs=1e-14)
    with pytest.raises(ValueError, match="read-only"):
        data.gram[0, 0] = 0.0
    assert np.array_equal(data.gram, data.gram.T)


def test_sha256_is_that_of_the_bytes_packed_by_hand():
    X, y = [[1.0, -2.5], [0.125, 3.0]], [1.0, -1.0]
    digest = hashlib.sha256(struct.pack("<6d", 1.0, -2.5, 0.125, 3.0, 1.0, -1.0)).hexdigest()
    assert Dataset(X, y).sha256 == digest
    assert Dataset(np.asfortranarray(X), y).sha256 == digest
    assert Dataset(np.array(X, dtype=">f8"), np.array(y, dtype=np.int8)).sha256 == digest
    assert Dataset(X, [-1.0, 1.0]).sha256 != digest


@pytest.mark.parametrize(
    ("X", "y", "error", "words"),
    [
        ([[1.0, np.nan]], [1], InvalidParameterError, r"`X\[0, 1\]` must be finite; got nan"),
        ([[1.0, 2.0], [np.inf, 0.0]], [1, 1], InvalidParameterError, r"`X\[1, 0\]` must be finite; got inf"),
        ([[1.0], [2.0]], [1], ShapeError, r"`y` must have shape \(2,\), one label for each row of `X`; got \(1,\)"),
        ([1.0, 2.0], [1, 1], ShapeError, "`X` must have shape with 2 axes"),
        (np.empty((0, 3)), [], ShapeError, r"`X` must have shape \(n, d\) with n >= 1 and d >= 1; got \(0, 3\)"),
        (np.empty((3, 0)), [1, 1, 1], ShapeError, r"got \(3, 0\)"),
        ([[1.0], [2.0]], [0, 1], InvalidDataError, r"convert it with y = 2\*y - 1 \(.*--positive-label 1\)"),
        ([[1.0], [2.0]], [1, 3], InvalidDataError, r"`y` must be \+1 or -1; y\[1\] is 3"),
        ([[1.0], [2.0]], [1, np.nan], InvalidDataError, r"`y` must be \+1 or -1; y\[1\] is nan"),
        ([[1.0], [2.0]], ["a", "b"], InvalidParameterError, "`y` must hold real numbers"),
        ([[1.0], [2.0]], [[1], [1]], ShapeError, "`y` must have shape with 1 axis"),
        ([[1.0, 0.0], [0.0, -0.0]], [1, 1], InvalidDataError, "`X` has a zero row: row 1"),
        ([[1.0, 0.0], [2.0, 0.0], [1.0, -0.0]], [1, 1, -1], InvalidDataError, "opposite labels: rows 0 and 2"),
        ([[1.0 + 2j]], [1], InvalidParameterError, "`X` must hold real numbers"),
        ([[1.0], [2.0, 3.0]], [1, 1], InvalidParameterError, "`X` must be a rectangular array"),
    ],
)
def test_bad_data_are_refused_in_one_sentence(X, y, error, words):
    with pytest.raises(error, match=words) as caught:
        Dataset(X, y)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_equal_samples_with_equal_labels_are_fine():
    assert Dataset([[1.0, 2.0], [1.0, 2.0]], [1, 1]).n == 2


@pytest.mark.parametrize("scale", [1e170, 1e-170])
def test_norms_that_leave_the_range_are_refused_with_a_remedy(scale):
    with pytest.raises(InvalidDataError, match=r"squared norms leave the range of float64: .* by a power of two"):
        _ = Dataset([[scale, 0.0], [0.0, scale]], [1, -1]).gram


@pytest.mark.parametrize("scale", [1e170, 1e-170, 1.0, 100.0])
def test_rescaling_is_by_a_power_of_two_and_brings_the_largest_norm_near_one(scale):
    data = Dataset([[3.0 * scale, 4.0 * scale], [0.0, scale]], [1, -1])
    rescaled, k = data.rescaled()
    assert 1.0 <= rescaled.R_max < 2.0
    assert np.array_equal(np.ldexp(rescaled.X, k), data.X)
    assert np.array_equal(rescaled.y, data.y)


@pytest.mark.parametrize(
    ("X", "y"), [([[True, False], [False, True]], [1, -1]), ([[1.0, 0.0], [0.0, 1.0]], [True, True])]
)
def test_truth_values_are_no_numbers(X, y) -> None:
    """X > 0 was meant to be X, or to be told as 0 and 1 by whoever means it."""
    with pytest.raises(InvalidParameterError, match="real numbers"):
        Dataset(np.array(X), np.array(y))
