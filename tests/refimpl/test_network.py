"""Construction, masses, refusals; values and gradients are in tests/properties."""

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, SmoothLeakyReLU, TwoLayerNetwork
from refimpl.errors import InvalidParameterError, ShapeError

NETWORK = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
DATA = Dataset([[1.0, 0.0], [0.0, 2.0]], [1, -1])


def test_second_layer_of_the_paper():
    network = TwoLayerNetwork.with_signs(5, 3, LeakyReLU(0.1))
    assert np.array_equal(np.sign(network.second_layer), [1, 1, 1, 1, 1, -1, -1, -1])
    np.testing.assert_allclose(network.second_layer**2, 1.0 / 8.0, rtol=1e-15)
    assert network.mass_positive == pytest.approx(5.0 / 8.0, rel=1e-15)
    assert network.mass_negative == pytest.approx(3.0 / 8.0, rel=1e-15)
    assert (network.m, network.slope) == (8, 0.1)


def test_masses_of_an_unequal_second_layer():
    network = TwoLayerNetwork([3.0, -1.0, 4.0, -2.0], LeakyReLU(0.1))
    assert (network.mass_positive, network.mass_negative) == (25.0, 5.0)
    assert network.mass == 30.0
    assert network.positive.tolist() == [True, False, True, False]


@pytest.mark.parametrize("a", [[1e200, 1.0], [1.0, 1e-200], [1.3e154, 1.3e154]])
def test_a_second_layer_whose_squares_leave_the_range_is_refused(a):
    with pytest.raises(InvalidParameterError, match="`second_layer` must have squares within the range of float64"):
        TwoLayerNetwork(a, LeakyReLU(0.5))


def test_overflow_is_one_sentence_and_never_nan():
    network = TwoLayerNetwork([3.0, -3.0], LeakyReLU(0.5))
    data = Dataset([[1.0, 0.0]], [1])
    W = [[1e308, 0.0], [-1e308, 0.0]]
    for call in (network.forward, network.input_gradient):
        with pytest.raises(InvalidParameterError, match="must stay below the largest float; got 'an overflow'"):
            call(W, data.X)
    with pytest.raises(InvalidParameterError, match=r"`∇L\(W\)` must stay below the largest float"):
        network.loss_and_gradient([[-800.0, 0.0], [0.0, 0.0]], data, "exponential")
    assert network.loss([[-800.0, 0.0], [0.0, 0.0]], data, "exponential") == float("inf")


def test_second_layer_cannot_be_changed_from_outside():
    a = np.array([1.0, -1.0])
    network = TwoLayerNetwork(a, LeakyReLU(0.5))
    a[0] = 7.0
    assert network.second_layer.tolist() == [1.0, -1.0]
    with pytest.raises(ValueError, match="read-only"):
        network.second_layer[0] = 7.0


def test_margins_and_loss_of_a_case_done_by_hand():
    """Z = [[1, -2], [3, 4], [-5, 6]], φ = [[1, -1], [3, 4], [-2.5, 6]], a = (1, 1, -1)/√3."""
    W = [[1.0, -1.0], [3.0, 2.0], [-5.0, 3.0]]
    f = np.array([1 + 3 + 2.5, -1 + 4 - 6]) / np.sqrt(3.0)
    np.testing.assert_allclose(NETWORK.forward(W, DATA.X), f, rtol=1e-15)
    np.testing.assert_allclose(NETWORK.margins(W, DATA), [f[0], -f[1]], rtol=1e-15)
    expected = (np.log1p(np.exp(-f[0])) + np.log1p(np.exp(f[1]))) / 2.0
    assert NETWORK.loss(W, DATA) == pytest.approx(expected, rel=1e-15)
    assert NETWORK.loss_and_gradient(W, DATA)[0] == pytest.approx(expected, rel=1e-15)


def test_gradient_vanishes_without_a_warning_at_huge_margins():
    value, gradient = NETWORK.loss_and_gradient(1e200 * np.array([[1, 0], [0, 0], [0, 1.0]]), DATA, LogisticLoss())
    assert value == 0.0
    assert not gradient.any()


@pytest.mark.parametrize(
    ("second_layer", "activation", "error", "words"),
    [
        ([1.0, 0.0], LeakyReLU(0.5), InvalidParameterError, r"`second_layer\[1\]` must not be zero"),
        ([], LeakyReLU(0.5), ShapeError, r"`second_layer` must have shape \(m,\) with m >= 1; got \(0,\)"),
        ([[1.0]], LeakyReLU(0.5), ShapeError, "`second_layer` must have shape with 1 axis"),
        ([1.0, np.nan], LeakyReLU(0.5), InvalidParameterError, r"`second_layer\[1\]` must be finite; got nan"),
        ([1.0 + 1j], LeakyReLU(0.5), InvalidParameterError, "`second_layer` must hold real numbers"),
        ([1.0], np.tanh, InvalidParameterError, "`activation` must be an activation"),
    ],
)
def test_bad_networks_are_refused(second_layer, activation, error, words):
    with pytest.raises(error, match=words):
        TwoLayerNetwork(second_layer, activation)


@pytest.mark.parametrize(
    ("positive", "negative", "words"),
    [(0, 0, "`positive \\+ negative` must be at least 1"), (-1, 2, "`positive`"), (1, 2.5, "`negative`")],
)
def test_bad_counts_are_refused(positive, negative, words):
    with pytest.raises(InvalidParameterError, match=words):
        TwoLayerNetwork.with_signs(positive, negative, LeakyReLU(0.5))


@pytest.mark.parametrize(
    ("W", "X", "error", "words"),
    [
        (np.zeros((2, 2)), DATA.X, ShapeError, r"`W` must have shape \(3, d\); got \(2, 2\)"),
        (np.zeros((3, 2)), np.zeros((1, 3)), ShapeError, r"`X` must have shape \(n, 2\); got \(1, 3\)"),
        (np.zeros(3), DATA.X, ShapeError, "`W` must have shape with 2 axes"),
        ([[1, 2], [3, 4], [5, np.inf]], DATA.X, InvalidParameterError, r"`W\[2, 1\]` must be finite; got inf"),
        (np.ones((3, 2)), [[0.0, np.nan]], InvalidParameterError, r"`X\[0, 1\]` must be finite; got nan"),
        (np.full((3, 2), 1e200), [[1e200, 0.0]], InvalidParameterError, "below the largest float"),
        ([["a", "b"]] * 3, DATA.X, InvalidParameterError, "`W` must hold real numbers"),
        ([[1, 2], [3], [4, 5]], DATA.X, InvalidParameterError, "`W` must be a rectangular array"),
    ],
)
def test_bad_arguments_are_refused_by_name(W, X, error, words):
    with pytest.raises(error, match=words):
        NETWORK.forward(W, X)


def test_leaky_relu_can_be_required():
    assert NETWORK.require_leaky_relu("this") == LeakyReLU(0.5)
    smooth = TwoLayerNetwork([1.0], SmoothLeakyReLU(0.5, 1.0))
    with pytest.raises(InvalidParameterError, match="`activation` must be a LeakyReLU for that"):
        smooth.require_leaky_relu("that")
