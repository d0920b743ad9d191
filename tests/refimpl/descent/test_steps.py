"""The iteration of descent against scalar loops and in R^{m x d}; how a run ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, SmoothLeakyReLU, TwoLayerNetwork
from refimpl.descent import (
    DescentStatus,
    gradient_descent,
    gradient_descent_in_weight_space,
)
from refimpl.errors import InvalidParameterError
from refimpl.span import SpanCoordinates

from .given import ACTIVATIONS, LOSSES, Interrupt, kept, problem


def relative_distance(A, B):
    return np.linalg.norm(A - B) / np.linalg.norm(B)


# --- the iteration --------------------------------------------------------------------------------


def scalar_descent(a, slope, smoothness, kind, X, y, W, alpha, steps):
    """Gradient descent with one number at a time, from the definitions of docs/theory.md, section 1."""

    def phi(z):
        if smoothness is None or abs(z) >= 1.0 / smoothness:
            shift = 0.0 if smoothness is None else (1.0 - slope) / (4.0 * smoothness)
            return (z if z >= 0.0 else slope * z) - shift
        return (1.0 - slope) * smoothness * z * z / 4.0 + (1.0 + slope) * z / 2.0

    def derivative(z):
        if smoothness is None or abs(z) >= 1.0 / smoothness:
            return 1.0 if z >= 0.0 else slope
        return (1.0 - slope) * smoothness * z / 2.0 + (1.0 + slope) / 2.0

    m, n, d = len(W), len(X), len(X[0])
    for _ in range(steps):
        Z = [[sum(W[j][k] * X[i][k] for k in range(d)) for i in range(n)] for j in range(m)]
        q = [y[i] * sum(a[j] * phi(Z[j][i]) for j in range(m)) for i in range(n)]
        g = [math.exp(-q_i) / (1.0 + math.exp(-q_i)) if kind == "logistic" else math.exp(-q_i) for q_i in q]
        W = [
            [
                W[j][k] + alpha / n * sum(g[i] * y[i] * a[j] * derivative(Z[j][i]) * X[i][k] for i in range(n))
                for k in range(d)
            ]
            for j in range(m)
        ]
    return W


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize(("slope", "smoothness"), [(0.1, None), (0.3, 2.0), (0.0, None)])
def test_against_scalar_loops(slope, smoothness, loss):
    activation = LeakyReLU(slope) if smoothness is None else SmoothLeakyReLU(slope, smoothness)
    a, X, y = [0.5, -0.8], [[1.0, 0.3, -0.2], [0.2, -1.1, 0.4]], [1.0, -1.0]
    W0 = [[0.4, -0.1, 0.2], [-0.3, 0.2, 0.5]]
    expected = scalar_descent(a, slope, smoothness, loss.name, X, y, W0, 0.7, 3)
    network = TwoLayerNetwork(a, activation)
    found = gradient_descent(network, Dataset(X, y), W0, 0.7, 3, loss).weights()
    assert found == pytest.approx(np.array(expected), rel=1e-13)  # a dozen roundings in each entry
    assert gradient_descent_in_weight_space(network, Dataset(X, y), W0, 0.7, 3, loss) == pytest.approx(found, rel=1e-13)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize(("n", "d"), [(6, 30), (9, 4)])
def test_span_coordinates_give_the_iteration_in_weight_space(activation, loss, n, d):
    network, data, W0 = problem(activation, n, d)
    found = gradient_descent(network, data, W0, 0.3, 200, loss, record_every=200).weights()
    expected = gradient_descent_in_weight_space(network, data, W0, 0.3, 200, loss)
    assert relative_distance(found, expected) < 1e-10


def test_repeated_samples_make_a_singular_gram_matrix_and_no_difference():
    network, data, W0 = problem()
    rows = [0, 1, 1, 2, 3, 3]
    data = Dataset(data.X[rows], data.y[rows])
    result = gradient_descent(network, data, W0, 0.3, 50, record_every=50)
    expected = gradient_descent_in_weight_space(network, data, W0, 0.3, 50)
    assert relative_distance(result.weights(), expected) < 1e-10
    assert result.trajectory.norm[-1] == pytest.approx(np.linalg.norm(expected), rel=1e-10)


def test_the_weights_of_a_result_are_not_the_callers_array():
    network, data, W0 = problem()
    result = gradient_descent(network, data, W0, 0.5, 2)
    expected = result.weights()
    W0 += 1.0
    np.testing.assert_array_equal(result.weights(), expected)


@pytest.mark.parametrize("alpha", [1e300, 1e155])
def test_an_overflow_in_weight_space_is_one_sentence(alpha):
    network, data, W0 = problem()
    with pytest.raises(InvalidParameterError, match=r"must stay below the largest float; got 'an overflow"):
        gradient_descent_in_weight_space(network, data, W0, alpha, 50, ExponentialLoss())


def test_an_interrupted_run_keeps_everything_up_to_there():
    network, data, W0 = problem()
    result = kept(lambda: gradient_descent(network, data, W0, 0.5, 100, record_every=3, progress=Interrupt(8)))
    complete = gradient_descent(network, data, W0, 0.5, 8, record_every=3)
    assert result.status is DescentStatus.INTERRUPTED
    assert result.diagnostics["steps_taken"] == 8
    assert result.trajectory.step.tolist() == [0, 3, 6, 8]
    np.testing.assert_array_equal(result.coefficients, complete.coefficients)
    np.testing.assert_array_equal(result.trajectory.margins, complete.trajectory.margins)


def test_an_interruption_while_recording_loses_nothing(monkeypatch):
    network, data, W0 = problem()
    calls, singular_values = [], SpanCoordinates.singular_values_with

    def interrupted_once(self, B):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return singular_values(self, B)

    monkeypatch.setattr(SpanCoordinates, "singular_values_with", interrupted_once)
    result = kept(lambda: gradient_descent(network, data, W0, 0.5, 10))
    assert result.status is DescentStatus.INTERRUPTED
    assert result.trajectory.step.tolist() == [0, 1, 2]


@pytest.mark.parametrize("alpha", [1e300, 1e155])
def test_a_run_that_overflows_says_so_and_keeps_the_last_finite_state(alpha):
    network, data, W0 = problem()
    result = gradient_descent(network, data, W0, alpha, 50, ExponentialLoss())
    assert result.status is DescentStatus.DIVERGED
    assert result.status.value in result.message
    assert np.isfinite(result.coefficients).all()
    assert np.isfinite(result.trajectory.margins).all()
    assert result.trajectory.step[-1] == result.diagnostics["steps_taken"] < 50


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize(("scale", "alpha"), [(1e6, 0.1), (1e6, 1e8), (1e3, 1e12), (1e-200, 1e-12)])
def test_margins_of_any_size_raise_no_warning(loss, scale, alpha):
    """Warnings are errors here; log L is finite, and right where one sample decides it."""
    network, data, W0 = problem(scale=scale)
    path = gradient_descent(network, data, W0, alpha, 30, loss).trajectory
    assert np.isfinite(path.log_loss).all()
    q = path.margins
    if loss.name == "exponential":
        expected = np.logaddexp.reduce(-q, axis=1) - math.log(data.n)
        assert path.log_loss == pytest.approx(expected, rel=1e-12, abs=1e-12)
    else:
        expected = np.mean(np.logaddexp(0.0, -q), axis=1)
        assert path.loss == pytest.approx(expected, rel=1e-12)


def test_initial_weights_that_overflow_are_refused():
    network, data, W0 = problem()
    with pytest.raises(InvalidParameterError, match="overflow"):
        gradient_descent(network, Dataset(1e9 * data.X, data.y), 1e300 * np.sign(W0), 0.1, 1)


def test_progress_is_told_after_each_step():
    network, data, W0 = problem()
    seen: list[int] = []
    result = gradient_descent(network, data, W0, 0.5, 4, progress=seen.append)
    assert seen == [1, 2, 3, 4]
    assert result.status is DescentStatus.FINISHED
    assert result.message == "All steps were taken. (4 of 4)"


@pytest.mark.parametrize(
    ("changed", "value", "message"),
    [
        ("step_size", 0.0, "`step_size` must be finite and positive; got 0.0."),
        ("step_size", -1.0, "`step_size` must be finite and positive"),
        ("step_size", float("inf"), "`step_size` must be finite and positive"),
        ("step_size", float("nan"), "`step_size` must be finite and positive"),
        ("step_size", "fast", "`step_size` must be a real number"),
        ("steps", 0, "`steps` must be a whole number, at least 1; got 0."),
        ("steps", 2.5, "`steps` must be a whole number"),
        ("steps", True, "`steps` must be a whole number"),
        ("record_every", 0, "`record_every` must be a whole number, at least 1; got 0."),
        ("record_every", 1.0, "`record_every` must be a whole number"),
    ],
)
def test_bad_arguments(changed, value, message):
    network, data, W0 = problem()
    arguments = {"step_size": 0.1, "steps": 2, "record_every": 1} | {changed: value}
    with pytest.raises(InvalidParameterError) as caught:
        gradient_descent(network, data, W0, **arguments)
    assert str(caught.value).startswith(message)


def test_initial_weights_that_are_not_finite():
    network, data, W0 = problem()
    W0[3, 7] = np.nan
    with pytest.raises(InvalidParameterError, match=r"`W0\[3, 7\]` must be finite"):
        gradient_descent(network, data, W0, 0.1, 1)
