"""The hypotheses of claims at equality, and for networks and losses that they are not about."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, TwoLayerNetwork
from verification.claims import descent_converges, paper_descent_theorem, small_initialization_matters
from verification.claims.hypotheses import (
    log_threshold,
    loss_below_threshold,
    loss_falls_below_threshold,
    near_orthogonality_or_linear,
    separability,
)
from verification.witnesses.bounds import largest_stable_rank_with_start
from verification.witnesses.convex_program import SolveStatus

DATA = Dataset(np.eye(2), [1, -1])
THRESHOLD = log_threshold(SimpleNamespace(loss=LogisticLoss(), data=DATA))


class Flow:
    """One that ends at e^excess times ℓ(0)/n, in a limit of this smallest margin or in none."""

    def __init__(self, excess: float, margin: float | None = None) -> None:
        self.trajectory = SimpleNamespace(log_loss=np.array([1.0, THRESHOLD + excess]))
        self.limit = None if margin is None else SimpleNamespace(margins=np.array([1.0, margin]))


def flows(*found: Flow) -> SimpleNamespace:
    return SimpleNamespace(flows=found, loss=LogisticLoss(), data=DATA)


def test_the_threshold_is_that_of_one_sample_at_margin_zero() -> None:
    assert np.exp(THRESHOLD) == pytest.approx(np.log(2.0) / 2.0, rel=1e-15)


def test_every_loss_must_lie_below_the_threshold() -> None:
    """L < ℓ(0)/n: with equality some margin may be 0 for ever."""
    assert loss_below_threshold(flows(Flow(-1.0), Flow(-2.0))).slack == pytest.approx(np.e, rel=1e-12)
    assert not loss_below_threshold(flows(Flow(0.0))).satisfied
    assert loss_below_threshold(flows(Flow(-1e-9))).satisfied
    for pair in ((Flow(-1.0), Flow(1.0)), (Flow(1.0), Flow(-1.0))):
        assert not loss_below_threshold(flows(*pair)).satisfied


@pytest.mark.parametrize(("margin", "falls"), [(1.0, True), (1e-9, True), (0.0, False), (-1.0, False), (None, False)])
@pytest.mark.parametrize("excess", [0.0, 3.0])
def test_a_loss_that_is_large_falls_on_along_a_limit_with_positive_margins(
    excess: float, margin: float | None, falls: bool
) -> None:
    for found in ((Flow(excess, margin),), (Flow(-1.0), Flow(excess, margin)), (Flow(excess, margin), Flow(-1.0))):
        assert loss_falls_below_threshold(flows(*found)).satisfied is falls


@pytest.mark.parametrize(
    ("slope", "status", "satisfied", "known"),
    [
        (0.5, SolveStatus.SOLVED, True, True),
        (1.0, SolveStatus.INACCURATE, True, True),
        (0.5, SolveStatus.INFEASIBLE, False, True),
        (0.5, SolveStatus.UNDECIDED, False, False),
        (0.0, SolveStatus.SOLVED, False, True),
        (0.0, SolveStatus.UNDECIDED, False, True),
    ],
)
def test_separability_needs_a_slope_and_a_proof(
    slope: float, status: SolveStatus, satisfied: bool, known: bool
) -> None:
    separable = status in (SolveStatus.SOLVED, SolveStatus.INACCURATE)
    evidence = SimpleNamespace(
        network=TwoLayerNetwork([1.0], LeakyReLU(slope)), linear=SimpleNamespace(status=status, separable=separable)
    )
    found = separability(evidence)
    assert (found.satisfied, found.undecided == "") == (satisfied, known)


@pytest.mark.parametrize(("slope", "satisfied"), [(1.0, True), (0.999, False)])
def test_slope_one_asks_for_a_separator_and_nothing_else(slope: float, satisfied: bool) -> None:
    evidence = SimpleNamespace(
        network=TwoLayerNetwork([1.0], LeakyReLU(slope)),
        linear=SimpleNamespace(status=SolveStatus.SOLVED, separable=True),
        hypotheses=SimpleNamespace(refined=SimpleNamespace(satisfied=False, slack=0.5)),
    )
    assert near_orthogonality_or_linear(evidence).satisfied is satisfied


@pytest.mark.parametrize(
    ("inner", "rest", "satisfied"),
    [(0.5, [0.5, 0.5, 0.5], False), (0.25, [0.75, 0.5, 0.375], True), (0.75, [0.5, 0.375, 0.25], False)],
)
def test_section_10_is_strict_and_about_the_logistic_loss(inner: float, rest: list[float], satisfied: bool) -> None:
    """γ = 1/2, ρ = 1 (step 0), K_11 = 1 ≤ K_22 exactly: ργK_ii > r_i says 1/2 > |K_12|."""
    data = Dataset([[1.0, 0.0, 0.0, 0.0], [inner, *rest]], [1, 1])
    assert data.gram[1, 1] >= 1.0
    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    evidence = SimpleNamespace(network=network, data=data, alpha=0.0, loss=LogisticLoss())
    found = descent_converges.hypothesis(evidence)
    assert found.satisfied is satisfied
    assert found.slack == 0.5 / inner
    evidence.loss = ExponentialLoss()
    assert (descent_converges.hypothesis(evidence).satisfied, descent_converges.hypothesis(evidence).slack) == (
        False,
        0.0,
    )


@pytest.mark.parametrize(
    ("a", "loss", "slack", "satisfied"),
    [
        ([0.5] * 4, LogisticLoss(), 1.0, True),  # its condition has >=
        ([0.5, -0.5, 0.5, -0.5], LogisticLoss(), 1.0, True),
        ([0.5] * 4, LogisticLoss(), 0.999, False),
        ([0.5, 0.5, 0.5, 0.51], LogisticLoss(), 1.0, False),
        ([1.0] * 4, LogisticLoss(), 1.0, False),  # ±1/√m, not ±1
        ([0.5] * 4, ExponentialLoss(), 1.0, False),
    ],
)
def test_the_papers_theorem_on_descent_is_about_its_own_network(
    a, loss, slack: float, satisfied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper_descent_theorem, "settings", lambda evidence: SimpleNamespace(slack=slack))
    network = TwoLayerNetwork(a, LeakyReLU(0.5))
    evidence = SimpleNamespace(network=network, loss=loss, second_layer_exponent=0)
    assert paper_descent_theorem.hypothesis(evidence).satisfied is satisfied


@pytest.mark.parametrize(
    ("bound", "loss", "satisfied"),
    [(2.0, LogisticLoss(), False), (1.999, LogisticLoss(), True), (1.5, ExponentialLoss(), False)],
)
def test_a_large_start_needs_room_above_the_bound(bound: float, loss, satisfied: bool) -> None:
    """The stable rank of the identity is 2; of two starts the larger one counts."""
    starts = (SimpleNamespace(scale=1.0, W0=np.eye(2)), SimpleNamespace(scale=0.5, W0=np.diag([1.0, 0.0])))
    for order in (starts, starts[::-1]):
        evidence = SimpleNamespace(starts=order, increment_bound=bound, loss=loss)
        assert small_initialization_matters.hypothesis(evidence).satisfied is satisfied


def test_the_bound_on_the_stable_rank_is_widened_by_the_start() -> None:
    """‖W(0)‖ = 1/2, ‖Δ‖_F = ‖Δ‖₂ = 1: ((√4 + 1/2)/(1 - 1/2))² = 25; a start as long as Δ leaves no bound."""
    path = SimpleNamespace(
        norm=np.array([0.5, 1.0]),
        increment_norms=np.array([[0.0, 0.0], [0.6, 0.8]]),
        increment_stable_rank=np.array([np.nan, 1.0]),
    )
    assert largest_stable_rank_with_start(path, 4.0) == pytest.approx(25.0, rel=1e-14)
    path.norm = np.array([1.0, 1.0])
    assert largest_stable_rank_with_start(path, 4.0) == np.inf
