"""Flows in awkward units: small slopes and second layers, near dependence, large starts, long times; and bounds."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, TwoLayerNetwork, gradient_flow
from refimpl.errors import InvalidParameterError
from refimpl.flow import FlowStatus
from verification.witnesses.kkt import kkt_residuals


def network_of(a: list[float], slope: float) -> TwoLayerNetwork:
    return TwoLayerNetwork(np.array(a), LeakyReLU(slope))


def limit_of(network: TwoLayerNetwork, data: Dataset, W0, **options) -> np.ndarray:
    result = gradient_flow(network, data, W0, **options)
    assert result.status is FlowStatus.CONVERGED, result.message
    return result.limit.weights()


# --- margins that grow slowly are margins that grow ----------------------------------------------------------------


@pytest.mark.parametrize("slope", [1e-7, 1e-12, 0.5])
def test_one_sample_on_the_inactive_side(slope: float) -> None:
    """q = -γ w must be 1."""
    W = limit_of(network_of([1.0], slope), Dataset([[1.0]], [-1]), [[-1.0]])
    np.testing.assert_allclose(W, [[-1.0 / slope]], rtol=1e-12)


def test_inactive_units_with_norms_one_and_a_tenth() -> None:
    """q = (-γ w_0, -γ w_1/10) must be (1, 1)."""
    W = limit_of(network_of([1.0], 1e-6), Dataset([[1.0, 0.0], [0.0, 0.1]], [-1, -1]), [[-1.0, -1.0]])
    np.testing.assert_allclose(W, [[-1e6, -1e7]], rtol=1e-12)


def test_small_active_neuron_beside_a_dead_one() -> None:
    """ReLU, a = (1e-7, -1): the shortest w with 1e-7 ⟨w, x_i⟩ >= 1 is 1e7 (1, 1/2), and the dead row does not count."""
    data = Dataset([[1.0, 0.0], [0.5, 1.0]], [1, 1])
    W = limit_of(network_of([1e-7, -1.0], 0.0), data, [[1.0, 1.0], [-1.0, -1.0]])
    np.testing.assert_allclose(W, [[1e7, 5e6], [0.0, 0.0]], rtol=1e-12)


def test_margins_that_grow_at_very_different_rates() -> None:
    """γ = 1e-6, one sample active, one inactive of norm 1/10: w_0 = 1 and -γ w_1/10 = 1."""
    W = limit_of(network_of([1.0], 1e-6), Dataset([[1.0, 0.0], [0.0, 0.1]], [1, -1]), [[1.0, -1.0]])
    np.testing.assert_allclose(W, [[1.0, -1e7]], rtol=1e-12)


@pytest.mark.parametrize("slope", [1e-8, 1e-9, 1e-12])
def test_a_small_growth_is_kept_where_a_large_one_ends(slope: float) -> None:
    """a = (-1, 1), both units pushed to where they are slow: neuron 0 goes on at rate γ for ever, neuron 1 rises at
    rate γ to its kink, from where it grows at rate 1: w = (-γ, 1)/(1 + γ²)."""
    W = limit_of(network_of([-1.0, 1.0], slope), Dataset([[1.0]], [1]), [[1.0], [-1.0]])
    np.testing.assert_allclose(W[:, 0], [-slope, 1.0], rtol=1e-12)


def test_a_small_growth_is_kept_where_neurons_cross_one_after_another() -> None:
    """In the last cell only the third neuron is active: w_j = a_j Φ_j / Σ a² Φ²."""
    a, slope = np.array([-10.0, -0.1, 10.0]), 1e-9
    W = limit_of(network_of(list(a), slope), Dataset([[1.0]], [1]), [[1.1], [-1.3], [-1.7]])
    np.testing.assert_allclose(W[:, 0], a * [slope, slope, 1.0] / 100.0, rtol=1e-12)


def test_a_small_relu_is_left_when_the_large_one_has_died() -> None:
    """The limit is neuron 1 alone: the w with 1e-8 ⟨w, x_i⟩ = 1 for both samples."""
    data = Dataset([[1.0, 0.3], [0.2, 1.0]], [1, 1])
    result = gradient_flow(network_of([-1.0, 1e-8], 0.0), data, [[1.0, 1.3], [1.0, 0.5]], "exponential")
    assert result.status is FlowStatus.CONVERGED, result.message
    np.testing.assert_allclose(result.limit.weights(), [[0.0, 0.0], [0.7e8 / 0.94, 0.8e8 / 0.94]], rtol=1e-12)


@pytest.mark.parametrize(("small", "slope"), [(-7.7e-9, 1e-9), (-1e-4, 1e-7)])
def test_a_slope_of_zero_is_not_a_small_slope(small: float, slope: float) -> None:
    """Neuron 0 cannot rest on the kink of sample 0, which needs a slope far below γ.

    The limit, over the rationals: neuron 0 is inactive there and else all is active; w_j = a_j Σ λ_i y_i Φ_ji x_i.
    """
    X, y, a = [(1, 0), (Fraction(0.3), 1)], (-1, 1), (1, Fraction(small))
    Phi = ((Fraction(slope), 1), (1, 1))
    K = [[u[0] * v[0] + u[1] * v[1] for v in X] for u in X]
    M = [
        [y[i] * y[k] * K[i][k] * sum(a[j] ** 2 * Phi[j][i] * Phi[j][k] for j in (0, 1)) for k in (0, 1)] for i in (0, 1)
    ]
    determinant = M[0][0] * M[1][1] - M[0][1] ** 2
    lam = [(M[1][1] - M[0][1]) / determinant, (M[0][0] - M[0][1]) / determinant]
    w = [[a[j] * sum(lam[i] * y[i] * Phi[j][i] * X[i][k] for i in (0, 1)) for k in (0, 1)] for j in (0, 1)]
    assert min(lam) > 0
    assert w[0][0] < 0 < min(X[1][0] * w[j][0] + w[j][1] for j in (0, 1))

    start = np.random.default_rng(0).standard_normal((2, 2))
    W = limit_of(network_of([1.0, small], slope), Dataset([[1.0, 0.0], [0.3, 1.0]], [-1, 1]), start)
    np.testing.assert_allclose(W, np.array(w, float), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("slope", [1e-100, 1e-140])
def test_tiny_slopes(slope: float) -> None:
    """a = (1, 10, -1), all inactive. Neuron 2 rises at rate γ and is active from 1e-3/γ on: w_j = a_j y Φ_j/Σa²Φ²."""
    W = limit_of(network_of([1.0, 10.0, -1.0], slope), Dataset([[1.0]], [-1]), [[-1.0], [-1.0], [-1e-3]])
    np.testing.assert_allclose(W[:, 0], [-slope, -10.0 * slope, 1.0], rtol=1e-12)
    W = limit_of(network_of([1.0], slope), Dataset([[1.0]], [-1]), [[-1.0]])
    np.testing.assert_allclose(W, [[-1.0 / slope]], rtol=1e-12)


@pytest.mark.parametrize("slope", [1e-150, 1e-155, 1e-160, 1e-200, 1e-300])
def test_slopes_whose_squares_are_lost_say_so(slope: float) -> None:
    """The limit is -1/γ; the flow does not say that there is none."""
    result = gradient_flow(network_of([1.0], slope), Dataset([[1.0]], [-1]), [[-1.0]])
    assert result.status is FlowStatus.STALLED
    assert "float64 does not hold γ²" in result.message


@pytest.mark.parametrize("eps", [1e-9, 1e-12])
def test_growth_below_rounding_is_not_the_end_of_growth(eps: float) -> None:
    """Samples (1, ±eps), opposite labels: (0, 1/eps) separates them, so there is a limit, beyond float64."""
    data, W0 = Dataset([[1.0, eps], [1.0, -eps]], [1, -1]), np.random.default_rng(0).standard_normal((1, 2))
    result = gradient_flow(network_of([1.0], 0.5), data, W0)
    assert result.status is FlowStatus.STALLED
    assert "if they can, their margin is too small for float64" in result.message
    assert "so there is no limit" not in result.message


def test_margins_that_cannot_grow_stall() -> None:
    """ReLU, no neuron active on the second sample: its margin stays 0 while the other's grows ever more slowly."""
    result = gradient_flow(network_of([1.0], 0.0), Dataset([[1.0, 0.0], [0.0, 1.0]], [1, 1]), [[1.0, -1.0]])
    assert result.status is FlowStatus.STALLED
    assert "no longer grow" in result.message
    assert result.trajectory.margins[-1, 1] == 0.0


# --- nearly dependent samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.5, 1.0])
@pytest.mark.parametrize("eps", [2e-2, 1e-2, 1e-3, 1e-4])
def test_nearly_opposite_samples(eps: float, slope: float) -> None:
    """Both active: w_0 = 1 and -w_0 + ε w_1 = 1. Rounding of K alone moves this by eps/ε²."""
    W0 = np.random.default_rng(0).standard_normal((1, 2))
    result = gradient_flow(network_of([1.0], slope), Dataset([[1.0, 0.0], [-1.0, eps]], [1, 1]), W0)
    assert result.status is FlowStatus.CONVERGED, result.message
    assert result.diagnostics["steps"] < 2000
    np.testing.assert_allclose(result.limit.weights(), [[1.0, 2.0 / eps]], rtol=4e-16 / eps**2)


@pytest.mark.parametrize("eps", [1e-2, 1e-4])
def test_nearly_equal_samples_with_opposite_labels(eps: float) -> None:
    """Linear network: w_0 = 1 and -(w_0 + ε w_1) = 1."""
    W0 = np.random.default_rng(0).standard_normal((1, 2))
    W = limit_of(network_of([1.0], 1.0), Dataset([[1.0, 0.0], [1.0, eps]], [1, -1]), W0)
    np.testing.assert_allclose(W, [[1.0, -2.0 / eps]], rtol=4e-16 / eps**2)


def test_a_column_of_years() -> None:
    """Six nearly parallel rows, cond(K) = 1e15: what took minutes, or chattered for ever, ends in a KKT point."""
    data = Dataset([[2020, 0.1], [2021, 0.7], [2022, 0.3], [2023, 0.9], [2024, 0.2], [2025, 0.5]], [1, -1] * 3)
    network = network_of([0.5, 0.5, -0.5, -0.5], 0.5)
    W0 = 1e-2 / 2025 * np.random.default_rng(0).standard_normal((4, 2))
    result = gradient_flow(network, data, W0, max_steps=20_000)
    assert result.status is FlowStatus.CONVERGED, result.message
    found = kkt_residuals(network, data, result.limit.weights())
    assert max(found.stationarity, found.complementarity, found.feasibility) < 1e-7


def test_a_large_second_layer_of_one_neuron() -> None:
    network, data = network_of([1.0, -1e5], 0.5), Dataset([[1.0, 0.1], [0.2, 1.0]], [1, -1])
    result = gradient_flow(network, data, np.random.default_rng(0).standard_normal((2, 2)), max_steps=5000)
    assert result.status is FlowStatus.CONVERGED, result.message
    found = kkt_residuals(network, data, result.limit.weights())
    assert max(found.stationarity, found.complementarity, found.feasibility) < 1e-10


def test_polish_where_a_sample_of_weight_zero_slides() -> None:
    """ReLU from 0: the neuron with a = -1 slides at both samples; the second has λ = 0, and w = (1, 0) is exact."""
    data = Dataset([[1.0, 0.0], [1.2, 0.05]], [1, 1])
    limit = gradient_flow(network_of([1.0, -1.0], 0.0), data, np.zeros((2, 2))).limit
    assert limit.polished
    np.testing.assert_allclose(limit.weights(), [[1.0, 0.0], [0.0, 0.0]], atol=1e-15)


def test_a_flow_that_has_a_limit_goes_on_to_where_the_loss_must_vanish() -> None:
    """Equal samples: the direction is known from the start, and L < ℓ(0)/n is not reached there."""
    for loss in (LogisticLoss(), ExponentialLoss()):
        path = gradient_flow(network_of([1.0], 0.5), Dataset([[1.0], [1.0]], [1, 1]), [[-1.0]], loss).trajectory
        assert path.log_loss[-1] < float(loss.log_value(0.0)) - np.log(2.0)


# --- units ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("a", [1.0, 100.0, 1e3, 1e5, 1e-4])
def test_margins_along_the_path_do_not_depend_on_the_size_of_the_second_layer(a: float) -> None:
    """γ = 1, K = I, exponential loss: D = q_0 - q_1 has sinh(D/2) = sinh(D_0/2) e^{-a²s/2}, and Σq grows by a²s."""
    start, s = np.array([0.0, 1.5]), 3.0 / a**2
    path = gradient_flow(
        network_of([a], 1.0), Dataset(np.eye(2), [1, 1]), start[None] / a, ExponentialLoss(), max_time=s
    ).trajectory
    D = 2.0 * np.arcsinh(np.sinh((start[0] - start[1]) / 2.0) * np.exp(-1.5))
    total = start.sum() + 3.0
    assert path.s[-1] == pytest.approx(s, rel=1e-14)
    np.testing.assert_allclose(path.margins[-1], [(total + D) / 2.0, (total - D) / 2.0], atol=2e-9)


def test_scaling_the_second_layer_by_a_power_of_two_changes_no_digit() -> None:
    rng = np.random.default_rng(0)
    data, W0 = Dataset(rng.standard_normal((4, 6)), [1, -1, 1, -1]), rng.standard_normal((4, 6))
    a = np.array([0.5, 0.7, -0.3, -0.6])
    first = gradient_flow(TwoLayerNetwork(a, LeakyReLU(0.3)), data, W0)
    for e in (-300, -3, 5, 300):
        other = gradient_flow(TwoLayerNetwork(np.ldexp(a, e), LeakyReLU(0.3)), data, np.ldexp(W0, -e))
        np.testing.assert_array_equal(np.ldexp(other.limit.weights(), e), first.limit.weights())
        np.testing.assert_array_equal(np.ldexp(other.trajectory.s, 2 * e), first.trajectory.s)
        np.testing.assert_array_equal(other.trajectory.margins, first.trajectory.margins)
        assert other.diagnostics["steps"] == first.diagnostics["steps"]


@pytest.mark.parametrize("method", ["piecewise", "adaptive"])
def test_max_time_and_messages_are_in_the_units_of_the_user(method: str) -> None:
    data, network = Dataset(1000.0 * np.array([[1.0, 0.2], [0.1, 1.0]]), [1, -1]), network_of([3.0, -2.0], 0.5)
    result = gradient_flow(network, data, [[1e-4, 2e-4], [-3e-4, 1e-4]], method=method, max_time=1.5e-7)
    assert result.status is FlowStatus.MAX_TIME
    assert result.trajectory.s[-1] == pytest.approx(1.5e-7, rel=1e-14)
    assert "s = 1.5e-07" in result.message


@pytest.mark.parametrize("scale", [1e13, 1e100, 1e155, 1e300])
def test_starts_that_float64_cannot_tell_apart_are_refused(scale: float) -> None:
    network, data = network_of([1.0, -1.0], 0.5), Dataset([[1.0, 0.1], [0.2, 1.0]], [1, -1])
    with pytest.raises(InvalidParameterError, match="`W0` must be smaller"):
        gradient_flow(network, data, scale * np.ones((2, 2)))


@pytest.mark.parametrize("slope", [1e-300, 5e-324])
def test_slopes_near_the_smallest_float(slope: float) -> None:
    network, data = network_of([1.0, -1.0], slope), Dataset([[1.0, 0.1], [0.2, 1.0]], [1, -1])
    W = limit_of(network, data, np.random.default_rng(0).standard_normal((2, 2)))
    assert kkt_residuals(network, data, W).stationarity < 1e-12


# --- plain time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [[0.0, 1000.0], [-1e6, 0.0, 5.0], [3.0, -2.0]])
def test_plain_time_over_long_steps(start: list[float]) -> None:
    """γ = 1, K = I, exponential loss: in plain time samples do not meet, and e^{q_i} = e^{q_i(0)} + t/n."""
    n = len(start)
    path = gradient_flow(
        network_of([1.0], 1.0), Dataset(np.eye(n), np.ones(n)), np.array([start]), ExponentialLoss()
    ).trajectory
    least = int(np.argmin(start))
    q = path.margins[:, least]
    known = q > start[least] + 0.1  # so that rounding of q does not show in their difference
    expected = np.log(n) + q[known] + np.log(-np.expm1(start[least] - q[known]))
    assert known.sum() > 20
    np.testing.assert_allclose(path.log_time[known], expected, rtol=1e-13, atol=1e-8)


# --- bounds --------------------------------------------------------------------------------------------------------


def slow_instance() -> tuple[TwoLayerNetwork, Dataset, np.ndarray]:
    rng = np.random.default_rng(0)
    data = Dataset(rng.standard_normal((40, 5)), np.where(rng.random(40) < 0.5, 1.0, -1.0))
    return network_of([0.5, 0.5, -0.5, -0.5], 0.5), data, 0.1 * rng.standard_normal((4, 5))


@pytest.mark.parametrize("method", ["piecewise", "adaptive"])
def test_steps_are_bounded_and_the_path_is_kept(method: str) -> None:
    network, data, W0 = slow_instance()
    result = gradient_flow(network, data, W0, method=method, max_steps=25)
    assert result.status is FlowStatus.MAX_EVENTS
    assert "25 steps" in result.message
    assert result.diagnostics["steps"] == 25
    assert result.trajectory.s[-1] > 0.0


@pytest.mark.parametrize("method", ["piecewise", "adaptive"])
def test_wall_time_is_bounded_and_the_path_is_kept(method: str) -> None:
    network, data, W0 = slow_instance()
    result = gradient_flow(network, data, W0, method=method, time_limit=1e-3)
    assert result.status is FlowStatus.TIME_LIMIT
    assert "0.001 seconds" in result.message
    assert result.trajectory.s.size >= 1


def test_a_bound_says_what_makes_the_flow_slow() -> None:
    data = Dataset([[1.0, 0.0], [0.0, 1e-3]], [1, 1])
    result = gradient_flow(network_of([1.0], 0.5), data, [[1.0, 1.0]], max_steps=3)
    assert "cond(K) = 1.0e+06" in result.message
    assert "one scale" in result.message


def test_a_bound_names_the_spread_of_the_second_layer() -> None:
    result = gradient_flow(network_of([1.0, 1e7, -1e7], 0.5), Dataset(np.eye(2), [1, -1]), np.ones((3, 2)), max_steps=3)
    assert "The |a_j| differ by the factor 1.0e+07" in result.message
    assert "Centring" not in result.message


@pytest.mark.parametrize(("name", "value"), [("max_steps", 0), ("time_limit", 0.0), ("max_time", -1.0)])
def test_bounds_must_be_positive(name: str, value: float) -> None:
    network, data, W0 = slow_instance()
    with pytest.raises(InvalidParameterError, match=f"`{name}`"):
        gradient_flow(network, data, W0, **{name: value})


def test_estimate_error_reports_last_margins_of_a_flow_that_converged() -> None:
    rng = np.random.default_rng(1)
    data = Dataset(rng.standard_normal((4, 8)), [1, -1, 1, -1])
    result = gradient_flow(network_of([0.5, -0.5], 0.4), data, rng.standard_normal((2, 8)), estimate_error=True)
    assert result.status is FlowStatus.CONVERGED
    assert 0.0 < result.diagnostics["error_estimate"]["final_margins"] < 1e-8


# --- neurons and samples of very different sizes -------------------------------------------------------------------


@pytest.mark.parametrize("dead", [1.0, 1e11])
@pytest.mark.parametrize("size", [1.0, 1e-3])
def test_the_size_of_one_neuron_hides_no_crossing_of_another(dead: float, size: float) -> None:
    """ReLU. Neuron 1 dies on the second sample, whose margin stays 0; neuron 0 is dead, however large."""
    data, W0 = Dataset([[1.0, 0.0], [0.0, size]], [1, -1]), [[-dead, -dead], [0.3, 5e-4 * size]]
    result = gradient_flow(network_of([1.0, 1.0], 0.0), data, W0, "exponential", max_time=3.0)
    assert [(event.neuron, event.sample) for event in result.events] == [(1, 1)]
    assert abs(result.trajectory.margins[-1, 1]) <= 1e-16 * size**2


def test_the_norm_grows_by_the_weighted_margins() -> None:
    """‖W‖² = ‖W(0)‖² + 2 ∫ Σ w_i q_i ds, by the trapezoidal rule; norms of samples differ by 1e6, a_j by 2,000."""
    X = [
        [
            3.1999635778324865e-08,
            -6.057955661231041e-07,
            4.7242808915397667e-07,
            -2.3096234437807155e-07,
            -9.80635502743465e-07,
        ],
        [-0.5358347591229045, -1.1404333001248164, -0.15099505168855662, -0.13086762149098527, 0.5145645809990536],
        [0.010808484659368988, 0.03431271686807864, -0.05207149423815755, -0.007243866266373143, -0.004447086054169031],
        [
            -9.934490576861097e-05,
            0.00015309145916163672,
            3.6644634068838e-05,
            -0.00010348198895030467,
            -0.00016144971524470616,
        ],
    ]
    W0 = [
        [0.2080339919520535, 1.7647933497276918, 5.703419993568039, 0.003788068961016646, -1.6245899274108555],
        [1.844465034820832, 1.4169345651491265, -0.7383442962247028, -5.839539052909245, -2.3600399564385635],
        [0.9822424475623931, -1.2845455999779911, 1.0523462614074153, 2.6762975996508738, 1.8711271965148248],
    ]
    network = network_of([-0.000448772592748314, 0.008596028823159517, -1.0866018962697686], 0.5)
    path = gradient_flow(network, Dataset(X, [-1, -1, 1, 1]), W0, max_time=6e10).trajectory
    rate = 2.0 * np.sum(path.sample_weights * path.margins, axis=1)
    grown = np.sum(np.diff(path.s) * (rate[1:] + rate[:-1]) / 2.0)
    np.testing.assert_allclose(path.norm[-1] ** 2, path.norm[0] ** 2 + grown, rtol=1e-5)


@pytest.mark.parametrize(("eps", "seed", "rtol"), [(1e-4, 1, 1e-6), (1e-5, 5, 1e-4)])
def test_releases_where_the_slope_stays_at_its_end_to_the_last_digit(eps: float, seed: int, rtol: float) -> None:
    """x_1 and x_2 = (1, ε) have opposite labels: q = (w_1, -(w_1 + ε w_2)/2) must be (1, 1).

    While w_1 slides its slope falls by less than a digit of float64 in a step: to a landing it was just above γ, to
    the next step below, over and over; and the search for the place did not end for rounding.
    """
    W0 = np.random.default_rng(seed).standard_normal((1, 2))
    data = Dataset([[1.0, 0.0], [1.0, eps]], [1, -1])
    np.testing.assert_allclose(limit_of(network_of([1.0], 0.5), data, W0, max_steps=400), [[1.0, -3.0 / eps]], rtol)


@pytest.mark.parametrize("seed", [1, 5])
def test_a_limit_that_rounding_hides_from_the_growth_gap(seed: int) -> None:
    """q = (w_1, -γ(w_1 + ε w_2)) must be (1, 1): near it margins grow at 1e-8, and rounding of q moves Mw by more."""
    W0 = np.random.default_rng(seed).standard_normal((1, 2))
    data = Dataset([[1.0, 0.0], [1.0, 1e-3]], [1, -1])
    np.testing.assert_allclose(limit_of(network_of([1.0], 0.1), data, W0), [[1.0, -1.1e4]], rtol=1e-6)
