"""Span coordinates against the same quantities in R^d (docs/theory.md, section 7)."""

import numpy as np
import pytest

from refimpl import (
    Dataset,
    ExponentialLoss,
    LeakyReLU,
    LogisticLoss,
    TwoLayerNetwork,
    dataset,
    datasets,
    span,
    stable_rank,
)
from refimpl.errors import InvalidDataError, InvalidParameterError, ShapeError
from refimpl.span import SpanCoordinates, coefficients_from_weights, weights_from_coefficients

CASES = {  # name: (m, n, d, scale of W0)
    "d > n": (4, 5, 30, 1.0),
    "d < n: K is singular": (4, 7, 3, 1.0),
    "m > n": (9, 3, 12, 0.1),
    "small W0": (4, 5, 30, 1e-9),
    "large W0": (4, 5, 30, 1e6),
    "W0 = 0": (4, 5, 30, 0.0),
}


def problem(name):
    m, n, d, scale = CASES[name]
    rng = np.random.default_rng([m, n, d])
    network = TwoLayerNetwork(rng.uniform(0.3, 1.0, m) * rng.choice([-1.0, 1.0], m), LeakyReLU(0.3))
    data = Dataset(rng.standard_normal((n, d)), np.where(np.arange(n) % 2, 1.0, -1.0))
    return network, data, scale * rng.standard_normal((m, d)), rng.standard_normal((m, n))


@pytest.mark.parametrize("name", CASES)
def test_everything_agrees_with_the_weights_themselves(name):
    network, data, W0, C = problem(name)
    span = SpanCoordinates.from_weights(network, data, W0)
    W = W0 + C @ data.X
    size = np.abs(W0) @ np.abs(data.X).T + np.abs(C) @ np.abs(data.gram)  # of the sums in Z
    assert np.all(np.abs(span.preactivations(C) - W @ data.X.T) <= 1e-14 * size + 1e-14)
    q_size = np.abs(network.second_layer) @ size
    assert np.all(np.abs(span.margins(C) - network.margins(W, data)) <= 1e-14 * q_size)
    assert span.norm(C) == pytest.approx(np.linalg.norm(W), rel=1e-12)
    assert span.stable_rank(C) == pytest.approx(stable_rank(W), rel=1e-12)
    expected = np.linalg.svd(W, compute_uv=False)
    found = span.singular_values(C)
    assert found.shape == (network.m,)
    # what W0 adds outside the span passes through a square: √eps of its norm at worst
    np.testing.assert_allclose(found[: expected.size], expected, rtol=1e-10, atol=1e-12 * expected[0])
    assert np.all(found[expected.size :] <= 1e-7 * expected[0])


@pytest.mark.parametrize("loss", [LogisticLoss(), ExponentialLoss()])
@pytest.mark.parametrize("name", ["d > n", "d < n: K is singular", "W0 = 0"])
def test_velocity_is_minus_the_gradient_in_loss_normalized_time(name, loss):
    """ds = ḡ dt, so (dC/ds) X = -∇L/ḡ."""
    network, data, W0, C = problem(name)
    C = C / 10.0
    span = SpanCoordinates.from_weights(network, data, W0)
    W = W0 + C @ data.X
    value, gradient = network.loss_and_gradient(W, data, loss)
    mean_weight = float(np.mean(loss.weight(network.margins(W, data))))
    V = span.velocity(C, loss)
    scale = float(np.abs(gradient).max()) / mean_weight
    np.testing.assert_allclose(V @ data.X, -gradient / mean_weight, atol=1e-12 * scale)
    assert span.loss(C, loss) == pytest.approx(value, rel=1e-12)


def test_velocity_does_not_underflow():
    network, data, W0, _ = problem("W0 = 0")
    span = SpanCoordinates.from_weights(network, data, W0)
    direction = 1e6 * (network.second_layer[:, None] * data.y)  # margins of 1e6 and more
    V = span.velocity(direction)
    assert span.loss(direction) == 0.0
    assert np.abs(V).max() > 1e-3


def test_origin_and_size():
    network, data, W0, C = problem("d > n")
    span = SpanCoordinates.from_weights(network, data, W0)
    assert span.n == data.n
    assert span.origin.shape == C.shape
    assert not span.origin.any()
    np.testing.assert_allclose(span.preactivations(span.origin), W0 @ data.X.T, rtol=1e-14)


def test_weights_and_coefficients_are_inverse_to_each_other():
    _, data, W0, C = problem("d > n")
    W = weights_from_coefficients(C, data.X, W0)
    np.testing.assert_allclose(W, W0 + C @ data.X, rtol=1e-15)
    np.testing.assert_allclose(coefficients_from_weights(W, data.X, W0), C, atol=1e-13)
    np.testing.assert_allclose(weights_from_coefficients(C, data.X), C @ data.X, rtol=1e-15)


def test_coefficients_of_dependent_samples_are_those_of_smallest_norm():
    X = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    C = coefficients_from_weights([[4.0, 2.0]], X)
    np.testing.assert_allclose(C, [[2.0, 2.0, 1.0]], rtol=1e-14)


def test_weights_outside_the_span_are_refused():
    with pytest.raises(InvalidDataError, match="does not lie in the span of the rows of `X`: the distance is 3"):
        coefficients_from_weights([[1.0, 3.0]], [[1.0, 0.0]])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: weights_from_coefficients(np.ones((2, 3)), np.ones((2, 4))), ShapeError, r"`C` must have shape"),
        (lambda: weights_from_coefficients([[1.0]], [[1.0]], [[1.0, 2.0]]), ShapeError, r"`W0` must have shape"),
        (lambda: weights_from_coefficients([[np.inf]], [[1.0]]), InvalidParameterError, r"`C\[0, 0\]` must be finite"),
        (lambda: coefficients_from_weights([[1.0, 2.0]], [[1.0]]), ShapeError, r"`W` must have shape \(m, 1\)"),
        (lambda: coefficients_from_weights([[1.0]], [[1.0]], [[1.0], [2.0]]), ShapeError, "`W0` must have shape"),
        (
            lambda: SpanCoordinates(TwoLayerNetwork([1.0], LeakyReLU(0.5)), np.ones(2), np.eye(3), [[0.0] * 3], [[0]]),
            ShapeError,
            r"`gram` must have shape \(2, 2\); got \(3, 3\)",
        ),
    ],
)
def test_bad_arguments_are_refused_by_name(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_starts_on_one_data_set_share_the_factor_of_its_gram_matrix(monkeypatch):
    data = datasets.gaussian(3, 7, np.random.default_rng(0))
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    factored = []
    right = dataset.gram_factor
    monkeypatch.setattr(dataset, "gram_factor", lambda K: factored.append(K) or right(K))
    monkeypatch.setattr(span, "gram_factor", lambda K: pytest.fail("factored once more"))
    for seed in range(3):
        W0 = np.random.default_rng(seed).standard_normal((3, 7))
        around = SpanCoordinates.from_weights(network, data, W0)
        assert around.norm(around.origin) == pytest.approx(np.linalg.norm(W0), rel=1e-13)
        assert around.increment(np.eye(3)) == pytest.approx(right(data.gram), rel=1e-13)
    assert len(factored) == 1
