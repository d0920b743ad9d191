"""Minibatch SGD against scalar loops, and against full-batch descent where the two are the same iteration."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, SmoothLeakyReLU, TwoLayerNetwork, datasets
from refimpl.descent import DescentResult, DescentStatus, gradient_descent_in_weight_space
from refimpl.errors import FileFormatError, InvalidParameterError, RunInterrupted, ShapeError
from refimpl.stochastic import StochasticResult, stochastic_gradient_descent

ROUNDING = 1e-12
"""A few hundred batches of a few dozen roundings each, none amplified."""


def problem(slope=0.0, n=7, d=5, seed=0):
    rng = np.random.default_rng(seed)
    data = datasets.gaussian(n, d, rng)
    network = TwoLayerNetwork([0.9, -0.4, 0.3, -1.1], LeakyReLU(slope))
    return network, data, 0.5 * rng.standard_normal((4, d))


def run(network, data, W0, step_size=0.2, epochs=3, batch_size=3, seed=1, **options):
    rng = np.random.default_rng(seed)
    return stochastic_gradient_descent(network, data, W0, step_size, epochs, batch_size, rng, **options)


def scalar_sgd(a, slope, data, W, alpha, epochs, batch_size, rng):
    """One number at a time; the gradient of a batch is taken at the weights before it."""
    X, y, W = data.X.tolist(), data.y.tolist(), W.tolist()
    m, n, d = len(W), len(X), len(X[0])
    for _ in range(epochs):
        order = rng.permutation(n).tolist()
        while order:
            batch, order = order[:batch_size], order[batch_size:]
            gradient = [[0.0] * d for _ in range(m)]
            for i in batch:
                z = [sum(W[j][k] * X[i][k] for k in range(d)) for j in range(m)]
                q = y[i] * sum(a[j] * (z[j] if z[j] >= 0.0 else slope * z[j]) for j in range(m))
                for j in range(m):
                    scale = -y[i] * a[j] * (1.0 if z[j] >= 0.0 else slope) / (1.0 + math.exp(q)) / len(batch)
                    for k in range(d):
                        gradient[j][k] += scale * X[i][k]
            W = [[W[j][k] - alpha * gradient[j][k] for k in range(d)] for j in range(m)]
    return np.array(W)


@pytest.mark.parametrize("slope", [0.0, 0.1])
@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_against_scalar_loops(slope, batch_size):
    network, data, W0 = problem(slope)
    result = run(network, data, W0, batch_size=batch_size)
    expected = scalar_sgd(network.second_layer.tolist(), slope, data, W0, 0.2, 3, batch_size, np.random.default_rng(1))
    assert np.abs(result.weights() - expected).max() < ROUNDING
    assert result.diagnostics["batches_taken"] == 3 * math.ceil(7 / batch_size)


@pytest.mark.parametrize("loss", [None, ExponentialLoss()])
@pytest.mark.parametrize("activation", [LeakyReLU(0.2), SmoothLeakyReLU(0.2, 3.0)], ids=repr)
@pytest.mark.parametrize("batch_size", [7, 100])
def test_one_batch_an_epoch_is_gradient_descent(activation, loss, batch_size):
    _, data, W0 = problem()
    network = TwoLayerNetwork([0.9, -0.4, 0.3, -1.1], activation)
    found = run(network, data, W0, epochs=20, batch_size=batch_size, loss=loss).weights()
    expected = gradient_descent_in_weight_space(network, data, W0, 0.2, 20, loss)
    assert np.abs(found - expected).max() < ROUNDING


def test_what_is_recorded():
    network, data, W0 = problem()
    held_out = datasets.gaussian(11, 5, np.random.default_rng(9))
    path = run(network, data, W0, epochs=4, evaluate=held_out).trajectory
    assert path.epoch.tolist() == [0, 1, 2, 3, 4]
    for epoch in range(5):
        W = W0 if epoch == 0 else run(network, data, W0, epochs=epoch).weights()
        correct = {}
        for name, samples in (("train", data), ("held out", held_out)):
            f = [sum(a * max(w @ x, 0.0) for a, w in zip(network.second_layer, W, strict=True)) for x in samples.X]
            correct[name] = [
                (value > 0.0 and y == 1.0) or (value < 0.0 and y == -1.0) for value, y in zip(f, samples.y, strict=True)
            ]
            if name == "train":
                losses = [math.log1p(math.exp(-y * value)) for value, y in zip(f, data.y, strict=True)]
                assert path.smallest_margin[epoch] == pytest.approx(min(data.y * f), abs=ROUNDING)
        assert path.train_accuracy[epoch] == sum(correct["train"]) / 7
        assert path.held_out_accuracy[epoch] == sum(correct["held out"]) / 11
        assert path.loss[epoch] == pytest.approx(sum(losses) / 7, rel=ROUNDING)
        assert path.log_loss[epoch] == pytest.approx(math.log(sum(losses) / 7), rel=1e-11)
        sigma = np.linalg.svd(W, compute_uv=False)
        assert path.stable_rank[epoch] == pytest.approx(np.sum(sigma**2) / sigma[0] ** 2, rel=ROUNDING)
        assert path.norm[epoch] == pytest.approx(np.sqrt(np.sum(sigma**2)), rel=ROUNDING)


def test_without_held_out_samples_their_accuracy_is_nan():
    network, data, W0 = problem()
    assert np.isnan(run(network, data, W0).trajectory.held_out_accuracy).all()


def test_the_order_comes_from_the_generator_and_the_start_is_not_changed():
    network, data, W0 = problem()
    before = W0.copy()
    first, again, other = (run(network, data, W0, seed=seed).weights() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-6
    np.testing.assert_array_equal(W0, before)


def test_a_zero_network_is_right_nowhere():
    """f = 0 has no sign; with γ = 0 and φ'(0) = 1 the first batch moves it all the same."""
    network, data, W0 = problem()
    path = run(network, data, np.zeros_like(W0), epochs=1).trajectory
    assert path.train_accuracy[0] == 0.0
    assert np.isnan(path.stable_rank[0])
    assert np.isfinite(path.stable_rank[1])


def test_an_interruption_keeps_the_epochs_done():
    network, data, W0 = problem()

    def interrupt(epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as stop:
        run(network, data, W0, epochs=50, progress=interrupt)
    result = stop.value.result
    assert result.status is DescentStatus.INTERRUPTED
    assert "(2 of 50 epochs)" in result.message
    assert result.trajectory.epoch.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(result.weights(), run(network, data, W0, epochs=2).weights())


def test_overflow_is_a_status_and_the_weights_stay_finite():
    network, data, W0 = problem(0.5)
    result = run(network, data, W0, step_size=1e300, epochs=20, loss=ExponentialLoss())
    assert result.status is DescentStatus.DIVERGED
    assert np.isfinite(result.weights()).all()
    assert result.trajectory.epoch.size < 21


def test_a_result_survives_a_file(tmp_path):
    network, data, W0 = problem()
    result = run(network, data, W0)
    result.save(tmp_path / "run.npz")
    copy = StochasticResult.load(tmp_path / "run.npz")
    assert (copy.status, copy.message, copy.diagnostics) == (result.status, result.message, result.diagnostics)
    np.testing.assert_array_equal(copy.weights(), result.weights())
    for name, values in vars(result.trajectory).items():
        np.testing.assert_array_equal(getattr(copy.trajectory, name), values)
    with pytest.raises(FileFormatError, match="gradient_descent"):
        DescentResult.load(tmp_path / "run.npz")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"step_size": 0.0}, "`step_size` must be finite and positive"),
        ({"epochs": 0}, "`epochs` must be a whole number, at least 1"),
        ({"batch_size": 0}, "`batch_size` must be a whole number, at least 1"),
        ({"batch_size": 2.0}, "`batch_size` must be a whole number"),
    ],
)
def test_bad_numbers(changed, message):
    network, data, W0 = problem()
    with pytest.raises(InvalidParameterError, match=message):
        run(network, data, W0, **changed)


def test_bad_objects():
    network, data, W0 = problem()
    with pytest.raises(InvalidParameterError, match=r"`rng` must be a numpy.random.Generator or a seed \(int >= 0\)"):
        stochastic_gradient_descent(network, data, W0, 0.1, 1, 1, np.random.RandomState(7))
    with pytest.raises(ShapeError, match=r"`evaluate.X` must have shape \(n, 5\)"):
        run(network, data, W0, evaluate=Dataset([[1.0, 2.0]], [1]))
    with pytest.raises(ShapeError, match=r"`W0` must have shape \(4, 5\)"):
        run(network, data, W0.T)
