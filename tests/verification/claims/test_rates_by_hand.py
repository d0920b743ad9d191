"""What claims on plain time, on the linear predictor and on the hinge loss take from the runs, in numbers by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from verification.claims import flow_rates, hinge_descent_ends, margin_approximation, max_margin_interpolates
from verification.claims.evidence import Evidence, Start
from verification.witnesses.convex_program import SolveStatus


@dataclass(frozen=True)
class Path:
    log_loss: np.ndarray


@dataclass(frozen=True)
class Flow:
    trajectory: Path


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> Flow:
    """The loss halves, doubles and stays; both ends of steps are off by 2, 4, 2, 0, and 0, 2, 0, 0."""
    monkeypatch.setattr(flow_rates, "error_of_steps", lambda *_: 1e-9 * np.array([2.0, 4.0, 2.0, 0.0]))
    rounding = 1e-9 * np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    monkeypatch.setattr(flow_rates, "rounding", lambda *_: rounding)
    return Flow(Path(np.log([0.5, 0.25, 0.5, 0.5])))


def test_the_error_of_the_loss_is_damped_as_the_loss_falls(errors: Flow) -> None:
    """1; then half of it and 3; no less where the loss rises, and 1; then nothing new. Time adds 1e-8."""
    found = flow_rates.loss_error(errors, SimpleNamespace())
    np.testing.assert_allclose(found, 1e-9 * np.array([1.0, 3.5, 4.5, 4.5]) + 1e-8, rtol=1e-12)


@pytest.mark.parametrize(("known", "length", "last"), [(1.2e-8, 1, 1.1e-8), (1.4e-8, 2, 1.35e-8), (1.0, 4, 1.45e-8)])
def test_records_count_as_far_as_their_error_is_small(errors, known, length, last, monkeypatch) -> None:
    monkeypatch.setattr(flow_rates, "KNOWN", known)
    stretch = SimpleNamespace(of=lambda flow, *_: len(flow.trajectory.log_loss))
    monkeypatch.setattr(flow_rates, "LateStretch", stretch)
    evidence = SimpleNamespace(flows=[errors], network=None, data=None, loss=LogisticLoss())
    assert flow_rates.late_stretches(evidence) == [(length, pytest.approx(last, rel=1e-12))]


@pytest.mark.parametrize(
    ("X", "y", "slack"),
    [
        ([[1.0, 0.0], [0.6, 0.8]], [1.0, 1.0], 1.0 / 0.6),
        ([[1.0, 0.0], [0.6, 0.8]], [1.0, -1.0], 0.5 / 0.6),
        ([[1.0, 0.0], [2.4, 1.8]], [1.0, 1.0], 1.0 / 2.4),
    ],
)
def test_the_linear_condition_is_that_of_slope_one(X, y, slack: float) -> None:
    """(5.3) with γ = 1, A = 1 and two samples of inner product k: λ̄ K_ii = 1, or 1 + λ̄ k if labels differ."""
    found = max_margin_interpolates.linear_condition(SimpleNamespace(data=Dataset(X, y)))
    assert found.slack == pytest.approx(slack, rel=1e-12)
    assert found.satisfied is (slack > 1.0)


def perceptron(X, y, alpha: float, W0: float) -> tuple[int, float]:
    """Descent on the hinge loss of f(x) = ⟨w, x⟩, from W0 in each coordinate: Σ_t |F_t| and ‖w‖ at its end."""
    w, total = np.full(X.shape[1], W0), 0
    while (low := y * (X @ w) < 1.0).any():
        total += int(low.sum())
        w = w + alpha / len(y) * (y[low] @ X[low])
    return total, float(np.linalg.norm(w))


@pytest.mark.parametrize(("alpha", "W0", "which"), [(0.5, -10.0, "steps_over_bound"), (0.5, 0.0, "norm_over_bound")])
def test_steps_and_norms_of_the_hinge_descent_both_count(alpha: float, W0: float, which: str) -> None:
    """One neuron a = 1, γ = 1; z* = (1, 1), b = √2/α, c = 2α + α²R², by (17.1) and (17.2)."""
    X, y = np.eye(2), np.ones(2)
    network, data = TwoLayerNetwork([1.0], LeakyReLU(1.0)), Dataset(X, y)
    evidence = Evidence(network, data, LogisticLoss(), (Start(1.0, np.full((1, 2), W0)),), step_size=alpha)
    evidence = evidence.supposing(linear=SimpleNamespace(norm=math.sqrt(2.0)))
    found = hinge_descent_ends.measure(evidence)
    total, norm = perceptron(X, y, alpha, W0)
    b, c, start = math.sqrt(2.0) / alpha, 2.0 * alpha + alpha**2, abs(W0) * math.sqrt(2.0)
    allowed = ((b * math.sqrt(c) + math.sqrt(b * b * c + 8.0 * b * start)) / 2.0) ** 2
    ratios = {
        "steps_over_bound": total / 2.0 / allowed,
        "norm_over_bound": norm / math.sqrt(start**2 + c * allowed),
    }
    for name, ratio in ratios.items():
        assert found.details[name] == [pytest.approx(ratio, rel=1e-9)]
    assert found.value == pytest.approx(max(ratios.values()), rel=1e-9)
    assert max(ratios, key=ratios.__getitem__) == which


@pytest.mark.parametrize(
    ("most", "margin", "infinite", "note"),
    [(100, 0.5, True, True), (100, 1.0, False, False), (6, 0.5, False, True)],
)
def test_a_hinge_descent_beyond_its_bound_counts_as_that(most, margin, infinite, note, monkeypatch) -> None:
    """α = 1, ‖W(0)‖ = 0: A = b²c = 2 · 3, n = 2, so 13 steps are beyond it, whatever is recorded of them; 6 are not."""
    path = SimpleNamespace(
        accumulated_weights=np.array([[0.5, 0.25]]), norm=np.array([0.125]), smallest_margin=np.array([margin])
    )
    asked = []

    def run(evidence, W0, scale: float, steps: int):
        asked.append(steps)
        return SimpleNamespace(result=SimpleNamespace(trajectory=path), failure="", scale=scale)

    monkeypatch.setattr(hinge_descent_ends, "hinge_descent", run)
    network, data = TwoLayerNetwork([1.0], LeakyReLU(1.0)), Dataset(np.eye(2), [1.0, 1.0])
    start = (Start(1.0, np.zeros((1, 2))),)
    evidence = Evidence(network, data, LogisticLoss(), start, step_size=1.0, descent_steps=most)
    found = hinge_descent_ends.measure(evidence.supposing(linear=SimpleNamespace(norm=math.sqrt(2.0))))
    assert asked == [min(most, 13)]
    assert found.value == (math.inf if infinite else pytest.approx(max(0.75 / 6.0, 0.125 / math.sqrt(18.0))))
    assert bool(found.note) is note


def test_the_margin_s_tolerance_has_the_error_of_z_and_of_its_margin() -> None:
    """Twice the error of the outputs beside that of CVXPY, both of one size here."""
    network, data = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5)), Dataset(np.eye(2), [1.0, -1.0])
    limit = SimpleNamespace(coefficients=np.array([[1.0, -0.5], [-0.5, 1.0]]))
    evidence = SimpleNamespace(
        network=network, data=data, factor=np.eye(2), limits=[limit], missing_limits="", margin_error=0.25,
        linear=SimpleNamespace(status=SolveStatus.SOLVED, norm=math.sqrt(2.0), error_estimate=0.125),
    )  # fmt: skip
    found = margin_approximation.measure(evidence)
    assert found.tolerance == pytest.approx(found.bound * (0.125 + 2.0 * 0.25))
