"""The claims of sections 15 and 16 on limits, multipliers and stretches that were written by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from verification.claims import (
    gradient_aligns,
    loss_times_time,
    multipliers_within_bounds,
    multipliers_within_printed_bounds,
    predictor_is_uniform,
    relu_limit_from_start,
    slope_one_is_svm,
)
from verification.claims.ratios import worst
from verification.witnesses.convex_program import SolveStatus

EYE = Dataset(np.eye(2), [1.0, -1.0])
PAIR = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))


@pytest.mark.parametrize(
    ("lam", "ratios"),
    [
        ([1.0, 1.0], (0.5, 0.25)),
        ([3.0, 1.0], (1.5, 0.25 / 3.0)),
        ([0.125, 1.0], (0.5, 2.0)),
        ([0.0, 2.0], (1.0, np.inf)),
    ],
)
def test_multipliers_are_compared_with_both_ends(lam, ratios, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between (1/4, 0) and 2: the sample that comes nearest to an end, or is farthest beyond it, counts."""
    lower, upper = np.array([0.25, 0.0]), 2.0
    assert multipliers_within_bounds.ratios(np.array(lam), lower, upper) == ratios
    monkeypatch.setattr(multipliers_within_bounds, "multiplier_error", lambda *_: 0.0)
    limits = [SimpleNamespace(multipliers=np.array(x)) for x in ([1.0, 1.0], lam)]
    found = multipliers_within_bounds.within(SimpleNamespace(limits=limits, missing_limits=""), lower, upper)
    assert found.value == max(ratios)


@pytest.mark.parametrize(
    ("a", "satisfied"), [([1.0, -1.0], True), ([1.0, 1.0, -1.0, -1.0], True), ([1.0, 1.0, -1.0], False)]
)
def test_the_printed_bounds_ask_for_as_many_neurons_of_each_sign(a, satisfied: bool) -> None:
    evidence = SimpleNamespace(
        network=TwoLayerNetwork(a, LeakyReLU(0.5)),
        hypotheses=SimpleNamespace(paper=SimpleNamespace(satisfied=True, slack=2.0)),
    )
    assert multipliers_within_printed_bounds.as_printed(evidence).satisfied is satisfied


@pytest.mark.parametrize(
    ("weights", "ratio"),
    [([[1.0, -2.0]], 2.0), ([[1.0, -2.0], [1.0, -1.0]], 2.0), ([[1.0, 2.0]], np.inf), ([[1.0, 0.0]], np.inf)],
)
def test_a_predictor_is_as_uniform_as_its_weights(weights, ratio: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """s_i = y_i Σ_j a_j C_ji with a = (1, -1): the first neuron carries it. The bound is max λ̄β/min ℓβ."""
    monkeypatch.setattr(predictor_is_uniform, "multiplier_error", lambda *_: 0.0)
    limits = [SimpleNamespace(coefficients=np.array([s, [0.0, 0.0]])) for s in weights]
    evidence = SimpleNamespace(network=PAIR, data=EYE, limits=limits, missing_limits="")
    assert predictor_is_uniform.against(evidence, 3.0).value == ratio
    # A₊ = 2, A₋ = 1: β = 2 + 1/2 where y = 1, and 1 + 1 where y = -1
    uneven = TwoLayerNetwork([1.0, 1.0, -1.0], LeakyReLU(0.5))
    bounds = SimpleNamespace(multiplier_lower=np.array([1.0, 0.5]), multiplier_upper=np.array([3.0, 2.0]))
    other = SimpleNamespace(network=uneven, data=EYE, limits=(), missing_limits="", hypotheses=bounds)
    assert predictor_is_uniform.measure(other).bound == pytest.approx(7.5 / 1.0, rel=1e-14)


def test_relu_units_of_the_other_sign_are_left_out() -> None:
    """‖x‖² = 4, a = (2, 1, -1), y = 1: A_1 = 4 + 1, so rows are (2, 1, 0)/(4 · 5), though the third is positive."""
    network = TwoLayerNetwork([2.0, 1.0, -1.0], LeakyReLU(0.0))
    Z = np.array([[0.3], [0.1], [0.2]])
    C = relu_limit_from_start.predicted_coefficients(network, np.array([[4.0]]), np.ones(1), Z)
    np.testing.assert_allclose(C, [[0.1], [0.05], [0.0]], rtol=1e-14)


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("X", "orthogonal"), [(np.eye(2), True), (np.array([[1.0, 0.0], [0.5, 1.0]]), False)])
def test_hypotheses_of_slope_zero_and_one(slope: float, X: np.ndarray, orthogonal: bool) -> None:
    starts = [SimpleNamespace(W0=np.array([[1.0, 1.0], [2.0, 1.0]]))]
    evidence = SimpleNamespace(
        network=TwoLayerNetwork([1.0, -1.0], LeakyReLU(slope)),
        data=Dataset(X, [1.0, -1.0]),
        starts=starts,
        linear=SimpleNamespace(status=SolveStatus.SOLVED, separable=True),
    )
    assert relu_limit_from_start.hypothesis(evidence).satisfied is (slope == 0.0 and orthogonal)
    assert slope_one_is_svm.hypothesis(evidence).satisfied is (slope == 1.0)


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_one_limit_that_is_no_machine_is_enough(wrong: int) -> None:
    evidence = SimpleNamespace(
        network=PAIR,
        flow_error=1e-12,
        missing_limits="",
        linear=SimpleNamespace(status=SolveStatus.SOLVED, coefficients=np.array([1.0, -1.0]), error_estimate=1e-12),
        limits=[SimpleNamespace(coefficients=k) for k in range(3)],
        distance=lambda coefficients, C: 0.25 if coefficients == wrong else 0.0,
    )
    assert slope_one_is_svm.measure(evidence).value == 0.25


@pytest.mark.parametrize("wrong", [0, 1])
@pytest.mark.parametrize("module", [loss_times_time, gradient_aligns])
def test_one_flow_beyond_its_bound_is_enough(wrong: int, module, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.2 against a bound of 0.1, and 0.25 against one of 1/2: the former counts, wherever it stands."""
    good = SimpleNamespace(time_times_loss=1.25, time_times_loss_bound=0.5, sine=0.25, sine_bound=0.5)
    bad = SimpleNamespace(time_times_loss=0.8, time_times_loss_bound=0.1, sine=0.2, sine_bound=0.1)
    found = [(good, 1e-9), (good, 1e-9)]
    found[wrong] = (bad, 1e-9)
    monkeypatch.setattr(module, "late_stretches", lambda evidence: found)
    if module is gradient_aligns:
        monkeypatch.setattr(module, "sine_error", lambda stretch: 1e-9)
    measured = module.measure(SimpleNamespace(loss=LogisticLoss(), flow_error=1e-12))
    assert (measured.value, measured.bound) == (pytest.approx(0.2, rel=1e-12), 0.1)


@pytest.mark.parametrize("values", [[1.01, 1.02], [1.02, 1.01]])
def test_the_value_farthest_beyond_its_bound_is_the_worst(values: list[float]) -> None:
    assert worst(values, [1e-9, 1e-9]) == (1.02, 1e-9)
