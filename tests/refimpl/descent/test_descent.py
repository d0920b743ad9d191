"""Gradient descent against scalar loops, the iteration in R^d, and theorems (docs/theory.md, sections 7 to 10)."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, SmoothLeakyReLU, TwoLayerNetwork, datasets
from refimpl.descent import (
    DescentResult,
    DescentStatus,
    gradient_descent,
    gradient_descent_in_weight_space,
)
from refimpl.descent.recorder import refuse_large_record
from refimpl.errors import FileFormatError, InvalidParameterError, OutputFileError, RunInterrupted, ShapeError
from refimpl.flow.result import FlowResult
from refimpl.span import SpanCoordinates

EPS = float(np.finfo(np.float64).eps)
ACTIVATIONS = [LeakyReLU(0.1), LeakyReLU(0.7), SmoothLeakyReLU(0.3, 2.0), LeakyReLU(0.0), LeakyReLU(1.0)]
LOSSES = [LogisticLoss(), ExponentialLoss()]


def problem(activation=ACTIVATIONS[0], n=6, d=30, scale=0.1, seed=0):
    """Data with some correlation, a second layer of general weights, and W0."""
    rng = np.random.default_rng(seed)
    data = datasets.correlated(n, d, rng, 0.2)
    network = TwoLayerNetwork([0.9, -0.4, 0.3, -1.1, 0.05], activation)
    return network, data, scale * rng.standard_normal((5, d))


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


# --- what is recorded -----------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e-9, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize(("n", "d"), [(3, 40), (6, 4), (4, 4)])
def test_recorded_spectrum_is_that_of_the_weights(scale, n, d):
    network, data, W0 = problem(n=n, d=d, scale=scale)
    path = gradient_descent(network, data, W0, 0.5, 3).trajectory
    W = W0
    for t in range(4):
        unit = np.abs(W).max()  # squares of 1e-200 underflow
        sigma = unit * np.linalg.svd(W / unit, compute_uv=False)
        # a factor of K costs √cond(K) < 1e3 roundings in the small singular values
        assert path.singular_values[t] == pytest.approx(sigma, rel=1e-10, abs=1e-12 * sigma[0])
        assert path.stable_rank[t] == pytest.approx(np.sum((sigma / sigma[0]) ** 2), rel=1e-12)
        assert path.rank[t] == np.sum(sigma > 40 * EPS * sigma[0])
        assert path.norm[t] == pytest.approx(unit * np.linalg.norm(W / unit), rel=1e-12)
        assert path.neuron_norms[t] == pytest.approx(unit * np.linalg.norm(W / unit, axis=1), rel=1e-9)
        W = gradient_descent_in_weight_space(network, data, W, 0.5, 1)


def test_eigenvalues_and_singular_values_agree_where_the_spectrum_is_recorded_by_eigenvalues():
    network, data, W0 = problem(scale=0.5)
    span = SpanCoordinates.from_weights(network, data, W0)
    C = np.random.default_rng(1).standard_normal(span.origin.shape)
    assert span._smallest_of_orthogonal > 1e-2 * span.norm(C)  # so the fast path is the one taken
    expected = np.linalg.svd(W0 + C @ data.X, compute_uv=False)
    assert span.singular_values(C) == pytest.approx(expected, rel=1e-11)


def test_stable_rank_of_the_increment_and_values_on_the_samples():
    network, data, W0 = problem(scale=1.0)
    path = gradient_descent(network, data, W0, 0.5, 4).trajectory
    W = W0
    assert np.isnan(path.increment_stable_rank[0])
    for t in range(5):
        q = [data.y[i] * network.forward(W, data.X[i : i + 1])[0] for i in range(data.n)]
        assert path.margins[t] == pytest.approx(np.array(q), rel=1e-11)
        assert path.smallest_margin[t] == min(path.margins[t])
        assert path.loss[t] == pytest.approx(np.mean([math.log1p(math.exp(-q_i)) for q_i in q]), rel=1e-11)
        assert path.log_loss[t] == pytest.approx(math.log(path.loss[t]), rel=1e-11)
        if t > 0:
            sigma = np.linalg.svd(W - W0, compute_uv=False)
            assert path.increment_stable_rank[t] == pytest.approx(np.sum(sigma**2) / sigma[0] ** 2, rel=1e-11)
        W = gradient_descent_in_weight_space(network, data, W, 0.5, 1)


def test_records_are_taken_at_the_start_at_every_kth_step_and_at_the_end():
    network, data, W0 = problem()
    every = gradient_descent(network, data, W0, 0.5, 17)
    some = gradient_descent(network, data, W0, 0.5, 17, record_every=5)
    assert every.trajectory.step.tolist() == list(range(18))
    assert some.trajectory.step.tolist() == [0, 5, 10, 15, 17]
    for name, values in vars(some.trajectory).items():
        np.testing.assert_array_equal(values, getattr(every.trajectory, name)[[0, 5, 10, 15, 17]])
    assert gradient_descent(network, data, W0, 0.5, 2, record_every=9).trajectory.step.tolist() == [0, 2]


def test_by_default_records_grow_apart_by_a_twentieth():
    network, data, W0 = problem()
    every = gradient_descent(network, data, W0, 0.5, 300, record_every=1)
    some = gradient_descent(network, data, W0, 0.5, 300)
    step = some.trajectory.step
    assert step[:41].tolist() == list(range(41))
    assert step[41:48].tolist() == [42, 44, 46, 48, 50, 52, 54]
    assert step[-1] == 300
    gaps = np.diff(step[:-1])
    assert np.all(gaps == np.maximum(1, step[:-2] // 20))
    for name, values in vars(some.trajectory).items():
        np.testing.assert_array_equal(values, getattr(every.trajectory, name)[step])


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


def test_zero_weights_have_no_stable_rank_and_a_first_step():
    network, data, _ = problem()
    path = gradient_descent(network, data, np.zeros((5, data.d)), 0.5, 1).trajectory
    assert path.rank.tolist() == [0, 1]  # φ'(0) = 1 everywhere: all rows are parallel
    assert np.isnan(path.stable_rank[0])
    assert path.stable_rank[1] == pytest.approx(1.0, abs=1e-12)


# --- theorems -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_convergence_guarantee(scale, seed):
    """Section 10: the smallest margin grows by (αδ/n) σ(-q_min) and L(t) <= 2n/(αδ(t - t₀))."""
    gamma, rho, steps, n = 0.5, 0.5, 400, 6
    rng = np.random.default_rng(seed)
    data = datasets.gaussian(n, 5000, rng, norm_ratio=1.2)
    network = TwoLayerNetwork.with_signs(3, 2, LeakyReLU(gamma))
    K = data.gram
    r = np.array([sum(abs(K[i, k]) for k in range(n) if k != i) for i in range(n)])
    delta = gamma * np.min(rho * gamma * np.diagonal(K) - r)
    assert delta > 0.0
    alpha = n * math.log(1.0 / rho) / (rho * gamma * data.R_max**2)
    W0 = scale * rng.standard_normal((5, 5000))
    path = gradient_descent(network, data, W0, alpha, steps, record_every=1).trajectory
    q_min = path.smallest_margin
    sigma = 1.0 / (1.0 + np.exp(q_min[:-1]))
    rounding = 64 * EPS * np.abs(path.margins).max()
    assert np.all(np.diff(q_min) >= alpha * delta / n * sigma - rounding)
    t_0 = math.ceil(2 * n * max(0.0, -q_min[0]) / (alpha * delta))
    later = path.step > t_0
    assert later.sum() > 10
    assert np.all(path.loss[later] <= 2 * n / (alpha * delta * (path.step[later] - t_0)))


def stable_rank_bound(data, gamma):
    return 1.0 + np.linalg.cond(data.X @ data.X.T) * (1.0 - gamma) ** 2 / (4.0 * gamma)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("alpha", [1e-6, 0.1, 10.0, 1e4, 1e9])
@pytest.mark.parametrize("activation", [LeakyReLU(0.05), LeakyReLU(0.4), SmoothLeakyReLU(0.1, 3.0)], ids=repr)
def test_stable_rank_of_the_increment_never_exceeds_its_bound(activation, alpha, loss):
    """Section 8, for tame and for absurd step sizes; the bound is for every t > 0."""
    network = TwoLayerNetwork.with_signs(10, 10, activation)
    data = datasets.gaussian(8, 200, np.random.default_rng(3))
    W0 = np.random.default_rng(4).standard_normal((20, 200))
    measured = gradient_descent(network, data, W0, alpha, 60, loss).trajectory.increment_stable_rank[1:]
    assert np.all(measured <= stable_rank_bound(data, activation.slope) * (1.0 + 1e-12))


def test_stable_rank_bound_with_step_sizes_that_change_at_random():
    """Section 8 with a new step size in each step; a fifth of the bound is reached, so it is not idle."""
    gamma, rng = 0.05, np.random.default_rng(0)
    network = TwoLayerNetwork.with_signs(20, 20, LeakyReLU(gamma))
    data = datasets.gaussian(12, 600, rng)
    W0 = rng.standard_normal((40, 600))
    bound, largest, W = stable_rank_bound(data, gamma), 0.0, W0
    for _ in range(60):
        W = gradient_descent(network, data, W, 10.0 ** rng.uniform(-3.0, 5.0), 1).weights()
        sigma = np.linalg.svd(W - W0, compute_uv=False)
        largest = max(largest, float(np.sum(sigma**2) / sigma[0] ** 2))
    assert bound / 5.0 < largest <= bound


def test_stable_rank_after_one_step_is_the_predicted_one():
    """Section 9: tr(E S)/λ_max(E S), within four standard errors of 8 initializations."""
    n, d, m, gamma = 30, 300, 2000, 0.1
    data = datasets.gaussian_mixture(n, d, np.random.default_rng(0), mean_norm=d**0.26)
    cosine = np.clip(data.gram / np.outer(data.norms, data.norms), -1.0, 1.0)
    E = ((1 + gamma) / 2) ** 2 + ((1 - gamma) / 2) ** 2 * (2 / np.pi) * np.arcsin(cosine)
    ES = E @ data.signed_gram
    predicted = np.trace(ES) / np.linalg.eigvals(ES).real.max()
    network = TwoLayerNetwork.with_signs(m // 2, m // 2, LeakyReLU(gamma))
    measured = []
    for seed in range(8):
        W0 = 1e-12 * np.random.default_rng(seed).standard_normal((m, d))
        C = gradient_descent_in_weight_space(network, data, W0, 0.01, 1) - W0
        squares = np.linalg.eigvalsh(C.T @ C)
        measured.append(squares.sum() / squares[-1])
    error = 4.0 * np.std(measured, ddof=1) / math.sqrt(len(measured))
    assert error < 0.02 * predicted
    assert abs(np.mean(measured) - predicted) < error


# --- how a run ends -------------------------------------------------------------------------------


class Interrupt:
    """A callback that presses Ctrl-C after some steps."""

    def __init__(self, after):
        self.after = after

    def __call__(self, done):
        if done == self.after:
            raise KeyboardInterrupt


def kept(run):
    """What an interrupted run hands to the caller who wants it; the others stop, as at any Ctrl-C."""
    with pytest.raises(RunInterrupted) as stop:
        run()
    assert isinstance(stop.value, KeyboardInterrupt)
    return stop.value.result


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
    calls, singular_values = [], SpanCoordinates.singular_values

    def interrupted_once(self, C):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return singular_values(self, C)

    monkeypatch.setattr(SpanCoordinates, "singular_values", interrupted_once)
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


def test_a_trajectory_larger_than_memory_is_refused_with_a_number_that_works():
    network, data, W0 = problem()
    with pytest.raises(InvalidParameterError, match="`record_every` must be larger, about 30") as caught:
        gradient_descent(network, data, W0, 0.1, 10**8, record_every=1)
    bytes_each = 8 * (2 * 5 + 2 * 6 + 10 + 8)  # two columns per neuron, two per sample, 10 singular values, 8 numbers
    assert 29 < 10**8 * bytes_each / 2**30 < 30
    assert "got 1." in str(caught.value)
    refuse_large_record(10**8, 30, network.m, data.n)


@pytest.mark.parametrize("shape", [(5, 29), (4, 30), (30, 5), (5,), (5, 30, 1)])
@pytest.mark.parametrize("descend", [gradient_descent, gradient_descent_in_weight_space])
def test_initial_weights_of_the_wrong_shape(descend, shape):
    network, data, _ = problem()
    with pytest.raises(ShapeError, match="`W0` must have shape"):
        descend(network, data, np.zeros(shape), 0.1, 1)


def test_initial_weights_that_are_not_finite():
    network, data, W0 = problem()
    W0[3, 7] = np.nan
    with pytest.raises(InvalidParameterError, match=r"`W0\[3, 7\]` must be finite"):
        gradient_descent(network, data, W0, 0.1, 1)


# --- files ----------------------------------------------------------------------------------------


def test_a_result_survives_a_file(tmp_path):
    network, data, W0 = problem()
    result = gradient_descent(network, data, W0, 0.5, 7, record_every=2)
    result.save(tmp_path / "run.npz")
    copy = DescentResult.load(tmp_path / "run.npz")
    assert (copy.status, copy.message, copy.diagnostics) == (result.status, result.message, result.diagnostics)
    for name, values in vars(result.trajectory).items():
        np.testing.assert_array_equal(getattr(copy.trajectory, name), values)
    np.testing.assert_array_equal(copy.weights(), result.weights())
    with pytest.raises(OutputFileError, match="exists"):
        result.save(tmp_path / "run.npz")
    result.save(tmp_path / "run.npz", force=True)


def test_files_of_other_kinds_are_refused(tmp_path):
    network, data, W0 = problem()
    gradient_descent(network, data, W0, 0.5, 1).save(tmp_path / "descent.npz")
    with pytest.raises(FileFormatError, match="gradient_flow"):
        FlowResult.load(tmp_path / "descent.npz")
    whole = (tmp_path / "descent.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "other.npz", X=data.X)
    for name, why in [("half.npz", "complete"), ("other.npz", "complete"), ("none.npz", "no such file")]:
        with pytest.raises(FileFormatError, match=why):
            DescentResult.load(tmp_path / name)


def test_summary_is_json_without_nan():
    network, data, _ = problem()
    result = kept(lambda: gradient_descent(network, data, np.zeros((5, data.d)), 0.5, 2, progress=Interrupt(1)))
    summary = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert summary["status"] == "INTERRUPTED"
    assert summary["final"]["step"] == 1
    assert summary["final"]["smallest_margin"] == result.trajectory.smallest_margin[-1]


# --- span coordinates at extreme scales -------------------------------------------------------------


def test_default_orthogonal_part_comes_from_the_gram_matrix_of_the_initial_weights():
    network, data, W0 = problem()
    full = SpanCoordinates.from_weights(network, data, W0)
    plain = SpanCoordinates(network, data.y, data.gram, W0 @ data.X.T, W0 @ W0.T)
    C = np.random.default_rng(0).standard_normal(plain.origin.shape)
    assert plain.singular_values(C) == pytest.approx(full.singular_values(C), rel=1e-10)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e150])
def test_span_coordinates_of_weights_whose_squares_leave_the_range(scale):
    network, data, W0 = problem(scale=1.0)
    span = SpanCoordinates.from_weights(network, data, scale * W0)
    unit = SpanCoordinates.from_weights(network, data, W0)
    assert span.stable_rank(span.origin) == pytest.approx(np.linalg.norm(W0) ** 2 / np.linalg.norm(W0, 2) ** 2)
    assert span.norm(span.origin) / scale == pytest.approx(np.linalg.norm(W0), rel=1e-12)
    assert span.row_norms(span.origin) / scale == pytest.approx(unit.row_norms(unit.origin), rel=1e-12)
