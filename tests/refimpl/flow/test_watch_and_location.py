"""Which units are watched, and where the next event lies, against scalar formulas and paths made by hand."""

from __future__ import annotations

from itertools import chain, repeat

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from refimpl.flow import watch
from refimpl.flow.location import first_event, immediate_event
from refimpl.flow.segments import Segment
from refimpl.flow.watch import AllUnits, NearUnits, longest_horizon
from refimpl.losses import sample_weights
from refimpl.span import SpanCoordinates


def segment_of(a, slope, X, y, W0) -> Segment:
    network = TwoLayerNetwork(np.array(a, dtype=float), LeakyReLU(slope))
    return Segment(SpanCoordinates.from_weights(network, Dataset(X, y), np.array(W0, dtype=float)), LogisticLoss())


@pytest.fixture
def many() -> tuple[Segment, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    W0 = 10.0 * rng.standard_normal((6, 5))
    a, X = rng.uniform(0.2, 1.0, 6) * rng.choice([-1, 1], 6), rng.standard_normal((4, 5))
    segment = segment_of(a, 0.3, X, [1, -1, 1, -1], W0)
    return segment, W0 @ X.T, sample_weights(LogisticLoss(), segment.q)


def times_of_arrival(segment: Segment, Z: np.ndarray, w: np.ndarray) -> dict[tuple[int, int], float]:
    """The earliest possible: |z_ji| / (√e |a_j| Σ_k |K_ik| w_k), weights growing by √e at most."""
    a, K = segment.span.network.second_layer, segment.K
    return {
        (j, i): abs(Z[j, i]) / (np.e**0.5 * abs(a[j]) * sum(abs(K[i, k]) * w[k] for k in range(4)))
        for j in range(6)
        for i in range(4)
    }


def test_near_units_are_those_that_can_arrive_first(many, monkeypatch) -> None:
    segment, Z, w = many
    monkeypatch.setattr(watch, "NEAR_COUNT", 7)
    monkeypatch.setattr(watch, "ALL_UP_TO", 0)
    units = NearUnits(segment, Z, w)
    soonest = times_of_arrival(segment, Z, w)
    in_order = sorted(soonest, key=soonest.__getitem__)
    assert {units.unit(k) for k in range(7)} == set(in_order[:7])
    mass = sum(a * a for a in segment.span.network.second_layer)
    fastest = max(sum(abs(segment.K[i, k]) * w[k] for k in range(4)) for i in range(4))
    weights_known = 0.5 / (2.0 * np.e**0.5 * mass * fastest)
    assert longest_horizon(segment, w) == pytest.approx(weights_known, rel=1e-13)
    assert units.horizon == pytest.approx(min(soonest[in_order[7]], weights_known), rel=1e-13)


def test_horizon_is_the_arrival_of_the_first_unit_that_is_left_out(many, monkeypatch) -> None:
    """One unit near its kink and left out: then its arrival, not the growth of weights, is the horizon."""
    segment, Z, w = many
    monkeypatch.setattr(watch, "NEAR_COUNT", 1)
    monkeypatch.setattr(watch, "ALL_UP_TO", 0)
    Z = Z * np.where(np.arange(24).reshape(6, 4) % 11 == 0, 1e-4, 1.0)  # three near units
    soonest = times_of_arrival(segment, Z, w)
    units = NearUnits(segment, Z, w)
    assert units.unit(0) == min(soonest, key=soonest.__getitem__)
    assert units.horizon == pytest.approx(sorted(soonest.values())[1], rel=1e-13)
    assert units.horizon < longest_horizon(segment, w)


def test_watched_units_have_the_distances_and_speeds_of_all_units(many, monkeypatch) -> None:
    segment, Z, w = many
    monkeypatch.setattr(watch, "NEAR_COUNT", 7)
    monkeypatch.setattr(watch, "ALL_UP_TO", 0)
    near, every = NearUnits(segment, Z, w), AllUnits(segment)
    place = [4 * j + i for j, i in map(near.unit, range(7))]
    c = 0.01 * w
    np.testing.assert_allclose(near.distances(c), every.distances(c)[place], rtol=1e-12)
    np.testing.assert_allclose(near.speeds(w), every.speeds(w)[place], rtol=1e-12)


def test_a_released_unit_is_watched_from_then_on(many, monkeypatch) -> None:
    segment, Z, w = many
    monkeypatch.setattr(watch, "NEAR_COUNT", 3)
    monkeypatch.setattr(watch, "ALL_UP_TO", 0)
    units = NearUnits(segment, Z, w)
    watched = {units.unit(k) for k in range(3)}
    j, i = next((j, i) for j in range(6) for i in range(4) if (j, i) not in watched)
    units.update_neuron(Z, j, np.array([i]))
    units.update_neuron(Z, j, np.array([i]))  # and once only
    assert [units.unit(k) for k in range(3, len(units.j))] == [(j, i)]
    assert units.distances(np.zeros(4))[3] == pytest.approx(abs(Z[j, i]), rel=1e-14)


# --- one neuron, a = 1, γ = 1/2, K = [[1, -0.6], [-0.6, 1]], y = (1, 1): dz/dc = ((1, -0.6), (-0.6, 1)) -------------

X = [[1.0, 0.0], [-0.6, 0.8]]


def weights_for(z: list[float]) -> np.ndarray:
    return np.linalg.solve(np.array(X), np.array(z))[None]


def along(points: list[tuple[float, float]], power: int = 1):
    """c(s) = Σ_k points_k s^k."""
    coefficients = np.array(points).T

    def c(s):
        s = np.asarray(s, dtype=float)
        return np.tensordot(coefficients, np.array([s ** (k + 1) for k in range(len(points))]), axes=(1, 0))

    return c


def test_first_crossing_on_a_straight_path() -> None:
    """c = (s, 0): z_1 = 0.6 - 0.6 s reaches 0 at s = 1, and z_0 recedes."""
    segment = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.6]))
    event = first_event(segment, along([(1.0, 0.0)]), 0.0, 3.0)
    assert (event.neuron, event.sample, event.side) == (0, 1, 0)
    assert event.s == pytest.approx(1.0, rel=1e-14)
    assert first_event(segment, along([(1.0, 0.0)]), 0.0, 0.99) is None


def test_the_earlier_of_two_crossings() -> None:
    """c = (-s, -s): z_0 = 0.1 - 0.4 s and z_1 = 0.3 - 0.4 s arrive at 1/4 and 3/4, whatever the order of samples."""
    for z, sample in (([0.1, 0.3], 0), ([0.3, 0.1], 1)):
        segment = segment_of([1.0], 0.5, X, [1, 1], weights_for(z))
        event = first_event(segment, along([(-1.0, -1.0)]), 0.0, 2.0)
        assert (event.sample, event.s) == (sample, pytest.approx(0.25, rel=1e-14))


def test_a_dip_through_the_kink_within_one_step() -> None:
    """c = (s - s², 0): z_1 = 0.12 - 0.6 (s - s²) is negative from s = (1 - √0.2)/2 to (1 + √0.2)/2 only."""
    segment = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.12]))
    path = along([(1.0, 0.0), (-1.0, 0.0)])
    start_then_end = chain([np.array([0.9, 0.1])], repeat(np.array([0.1, 0.9])))  # the unit approaches, then recedes
    segment.weights = lambda c: next(start_then_end)
    event = first_event(segment, path, 0.0, 1.0)
    assert event.sample == 1
    assert event.s == pytest.approx((1.0 - np.sqrt(0.2)) / 2.0, rel=1e-13)
    shallow = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.16]))  # least value 0.01: no crossing
    start_then_end = chain([np.array([0.9, 0.1])], repeat(np.array([0.1, 0.9])))
    shallow.weights = lambda c: next(start_then_end)
    assert first_event(shallow, path, 0.0, 1.0) is None


def test_a_unit_at_its_kink_that_moves_the_wrong_way_is_an_event_at_once() -> None:
    segment = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.6]))
    assert immediate_event(segment) is None
    segment.advance(np.array([1.0, 0.0]))  # z_1 = 0 to rounding
    segment.weights = lambda c: np.array([0.9, 0.1])  # dz_1/ds = -0.54 + 0.1
    assert segment.preactivations(np.zeros(2))[0, 1] <= 0.0
    assert immediate_event(segment) == (0, 1)
    segment.weights = lambda c: np.array([0.1, 0.9])  # dz_1/ds = -0.06 + 0.9
    assert immediate_event(segment) is None
