"""The ball that a flow cannot leave: by hand on orthogonal samples, by points of the simplex, by following flows on."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, TwoLayerNetwork, datasets, gradient_flow
from refimpl.flow.cell import Cell
from verification.claims.evidence import Evidence, Start
from verification.claims.flow_stays_in_last_cell import CLAIM, Trapped
from verification.witnesses.trap import divergence, room

SIGNS = TwoLayerNetwork.with_signs


def test_room_of_two_samples_by_hand() -> None:
    """K = [[1, c], [c, 1]], both labels +1, one active neuron: dz_1/ds = w_1 + c w_2, w* = (1/2, 1/2).

    For c = -1/2 that is 1/4 at w* and 0 where w_1 = 1/3, at ‖w - w*‖₁ = 1/3.
    """
    K = np.array([[1.0, -0.5], [-0.5, 1.0]])
    cell = Cell(TwoLayerNetwork([1.0], LeakyReLU(0.5)), np.ones(2), K, np.ones((1, 2), dtype=np.int8))
    assert room(cell, np.array([0.5, 0.5])) == pytest.approx(1.0 / 3.0, rel=1e-12)


def flow_of(slope: float, seed: int, loss, scale: float = 0.5):
    data, network = datasets.gaussian(6, 6, seed), SIGNS(2, 2, LeakyReLU(slope))
    data, _ = data.rescaled()
    W0 = scale * np.random.default_rng(seed).standard_normal((4, 6))
    return network, data, W0, gradient_flow(network, data, W0, loss)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_can_change_within_the_room(seed: int) -> None:
    """Speeds and sliding slopes at many points of the ball, from `Cell` itself; at its edge something stands still."""
    network, data, _, flow = flow_of(0.2, seed, "exponential")
    cell = Cell(network, data.y, data.gram, flow.limit.pattern)
    target = flow.limit.multipliers / flow.limit.multipliers.sum()
    delta, rng = min(room(cell, target), 2.0), np.random.default_rng(seed)
    assert delta > 0.0
    edges = []
    for i, k in np.ndindex(6, 6):
        w = target.copy()
        step = min(delta / 2.0, w[i])
        w[i] -= step
        w[k] += step
        mixed = w + rng.uniform(0.0, 1.0) * (target - w)
        for point in (w, mixed):
            edges.append(least(cell, point))
    assert min(edges) > -1e-12


def least(cell: Cell, w: np.ndarray) -> float:
    """The smallest speed away from a kink, or distance of a sliding unit from its release."""
    speeds = (cell.pattern * cell.unit_speeds(w))[cell.pattern != 0]
    return float(np.concatenate([speeds, *cell.sliding_margins(w)]).min())


def test_divergence_against_its_definition() -> None:
    rng = np.random.default_rng(0)
    target = np.array([0.2, 0.5, 0.3, 0.0])
    for size in (1.0, 1e-3, 1e-5):
        w = np.abs(target + size * np.array([0.01, 0.02, 0.03, 0.1]) * rng.standard_normal(4))
        w /= w.sum()
        by_definition = float(np.sum(target[:3] * np.log(target[:3] / w[:3])))
        assert divergence(target, w[None])[0] == pytest.approx(by_definition, rel=1e-5, abs=1e-16)


@pytest.mark.parametrize("loss", [ExponentialLoss(), LogisticLoss()])
def test_flows_that_are_trapped_stay(loss) -> None:
    """The integrator goes on from the first time at which they are, and finds no event and no larger divergence."""
    early = 0
    for seed in range(8):
        network, data, W0, flow = flow_of(0.3, seed, loss)
        evidence = Evidence(network, data, loss, tuple(Start(x, W0) for x in (1.0, 2.0, 3.0)))
        found = Trapped.of(flow, evidence)
        if found.since < float("inf"):
            assert found.events == 0
            assert found.largest <= 1.0
            early += found.since < 0.8 * flow.trajectory.s[-1]
    assert early >= 4


def test_the_hypothesis_is_about_every_flow() -> None:
    network, data, W0, flow = flow_of(0.3, 0, "logistic")
    starts = tuple(Start(x, W0) for x in (1.0, 2.0, 3.0))
    evidence = Evidence(network, data, LogisticLoss(), starts).supposing(flows=(flow, flow, flow))
    assert CLAIM.hypothesis(evidence).satisfied
    short = gradient_flow(network, data, W0, max_time=1e-3)
    assert not CLAIM.hypothesis(evidence.supposing(flows=(flow, short, flow))).satisfied


def test_equal_samples_that_slide_have_no_slopes_of_their_own() -> None:
    X = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    data, network = Dataset(X, [1.0, 1.0, 1.0]), TwoLayerNetwork([1.0], LeakyReLU(0.5))
    cell = Cell(network, data.y, data.gram, np.array([[0, 0, 1]], dtype=np.int8))
    assert room(cell, np.array([0.25, 0.25, 0.5])) < 0.0
