"""Samples and weights in coordinates of their span are the same problem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import (
    Dataset,
    GaussianInitialization,
    LeakyReLU,
    TwoLayerNetwork,
    datasets,
    gradient_descent,
    gradient_flow,
)
from refimpl.reduction import reduced

from .given import samples, saved


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
