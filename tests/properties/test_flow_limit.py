"""Whenever a condition holds: rank at most two, a KKT point, one limit from every start; and invariances."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gaussian_weights, gradient_flow
from refimpl.flow import FlowStatus
from verification import strategies
from verification.witnesses.conditions import check_hypotheses
from verification.witnesses.kkt import kkt_residuals
from verification.witnesses.limit_formula import closed_form

SLOPES = st.sampled_from([0.1, 0.25, 0.5, 0.9])
SEEDS = st.integers(0, 2**16)


def network_of(slope: float, positive: int, negative: int) -> TwoLayerNetwork:
    return TwoLayerNetwork.with_signs(positive, negative, LeakyReLU(slope))


def limit_of(network: TwoLayerNetwork, data: Dataset, W0: np.ndarray) -> np.ndarray:
    result = gradient_flow(network, data, W0)
    assert result.status is FlowStatus.CONVERGED, result.message
    return result.limit.weights()


@given(st.data(), SLOPES, st.integers(1, 3), st.integers(1, 3), st.floats(-6.0, 1.0), SEEDS)
def test_under_a_condition_every_limit_is_the_closed_form(draws, slope, positive, negative, exponent, seed) -> None:
    network = network_of(slope, positive, negative)
    data = draws.draw(strategies.gaussian_data(n=(1, 5), d=(5, 12)))
    assume(check_hypotheses(network, data).any_satisfied)
    W = limit_of(network, data, gaussian_weights(network.m, data.d, 10.0**exponent, np.random.default_rng(seed)))
    found = kkt_residuals(network, data, W)
    assert found.rank <= 2
    assert max(found.stationarity, found.complementarity, found.duality_gap) < 1e-10
    np.testing.assert_allclose(W, closed_form(network, data).weights(), atol=1e-9 * np.abs(W).max())


@given(st.data(), SLOPES, SEEDS)
def test_one_limit_from_every_scale(draws, slope, seed) -> None:
    network = network_of(slope, 2, 1)
    data = draws.draw(strategies.gaussian_data(n=(2, 4), d=(6, 12)))
    assume(check_hypotheses(network, data).any_satisfied)
    rng = np.random.default_rng(seed)
    limits = [limit_of(network, data, gaussian_weights(3, data.d, scale, rng)) for scale in (1e-6, 1e-3, 1.0, 10.0)]
    for other in limits[1:]:
        np.testing.assert_allclose(other, limits[0], atol=1e-9 * np.abs(limits[0]).max())


@given(st.data(), SLOPES, SEEDS)
def test_limits_below_and_above_the_conditions_are_kkt_points(draws, slope, seed) -> None:
    network = network_of(slope, 2, 2)
    data = draws.draw(strategies.gaussian_data(n=(1, 5), d=(5, 8)))
    W = limit_of(network, data, gaussian_weights(4, data.d, 0.1, np.random.default_rng(seed)))
    found = kkt_residuals(network, data, W)
    assert max(found.stationarity, found.complementarity) < 1e-8


@given(st.data(), SLOPES, SEEDS)
def test_invariances(draws, slope, seed) -> None:
    """Rotation, order of samples, order of neurons, a common factor of samples and 1/factor of weights."""
    network = network_of(slope, 2, 2)
    data = draws.draw(strategies.gaussian_data(n=(2, 4), d=(5, 8)))
    assume(check_hypotheses(network, data).any_satisfied)
    rng = np.random.default_rng(seed)
    W0 = gaussian_weights(4, data.d, 0.1, rng)
    W = limit_of(network, data, W0)
    size = 1e-9 * np.abs(W).max()
    Q, _ = np.linalg.qr(rng.standard_normal((data.d, data.d)))
    np.testing.assert_allclose(limit_of(network, Dataset(data.X @ Q, data.y), W0 @ Q) @ Q.T, W, atol=size)
    order = rng.permutation(data.n)
    np.testing.assert_allclose(limit_of(network, Dataset(data.X[order], data.y[order]), W0), W, atol=size)
    neurons = rng.permutation(4)
    other = TwoLayerNetwork(network.second_layer[neurons], network.activation)
    np.testing.assert_allclose(limit_of(other, data, W0[neurons]), W[neurons], atol=size)
    np.testing.assert_allclose(limit_of(network, Dataset(3.0 * data.X, data.y), W0 / 3.0) * 3.0, W, atol=size)
    flipped = TwoLayerNetwork(-network.second_layer, network.activation)
    np.testing.assert_allclose(limit_of(flipped, Dataset(data.X, -data.y), W0), W, atol=size)
