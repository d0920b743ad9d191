"""Which units are watched, and where the next event lies, against scalar formulas and paths made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from refimpl.flow import watch
from refimpl.flow.bernstein import Path
from refimpl.flow.location import first_event
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


def test_units_in_reach_are_at_least_those_that_arrive_and_have_scalar_distances_and_rows(many, monkeypatch) -> None:
    """While c moves from 0 to c_b every z_ji moves by at most |a_j| Σ_k |K_ik| c_k."""
    segment, Z, w = many
    monkeypatch.setattr(watch, "NEAR_COUNT", 7)
    monkeypatch.setattr(watch, "ALL_UP_TO", 0)
    a, y, K = segment.span.network.second_layer, segment.span.y, segment.K
    near, every = NearUnits(segment, Z, w), AllUnits(segment)
    rows = {
        (j, i): np.sign(Z[j, i]) * a[j] * y * np.where(Z[j] > 0.0, 1.0, 0.3) * K[i] for j in range(6) for i in range(4)
    }
    for size in (0.1, 1.0, 10.0, 100.0):
        C = size * np.column_stack([0.0 * w, 0.3 * w[::-1], w])
        chosen = {near.unit(k) for k in range(7)}
        for units in (near, every):
            found, distances = units.in_reach(C)
            found_rows = units.rows(found)
            assert {units.unit(k) for k in found} >= {
                unit for unit in (chosen if units is near else rows) if abs(Z[unit]) + min(rows[unit] @ C) <= 0.0
            }
            for k, distance, row in zip(found, distances, found_rows, strict=True):
                np.testing.assert_allclose(distance, abs(Z[units.unit(k)]) + rows[units.unit(k)] @ C, rtol=1e-12)
                np.testing.assert_allclose(np.sign(Z[units.unit(k)]) * row, rows[units.unit(k)], rtol=1e-12)
    assert every.in_reach(C)[0].size == 24


def test_a_released_unit_is_watched_from_then_on(many, monkeypatch) -> None:
    segment, Z, w = many
    monkeypatch.setattr(watch, "NEAR_COUNT", 3)
    monkeypatch.setattr(watch, "ALL_UP_TO", 0)
    units = NearUnits(segment, Z, w)
    watched = {units.unit(k) for k in range(3)}
    j, i = next((j, i) for j in range(6) for i in range(4) if (j, i) not in watched)
    units.update_neuron(Z, j, np.array([i]))
    units.update_neuron(Z, j, np.array([i]))  # and once only
    assert sorted(map(units.unit, range(len(units.j)))) == sorted({*watched, (j, i)})
    far = 1e6 * np.outer(w, [0.0, 1.0])
    for k, distance in zip(*units.in_reach(far), strict=True):
        assert distance[0] == pytest.approx(abs(Z[units.unit(k)]), rel=1e-14)
    assert {units.unit(k) for k in units.in_reach(far)[0]} == {*watched, (j, i)}


# --- one neuron, a = 1, γ = 1/2, K = [[1, -0.6], [-0.6, 1]], y = (1, 1): dz/dc = ((1, -0.6), (-0.6, 1)) -------------

X = [[1.0, 0.0], [-0.6, 0.8]]


def weights_for(z: list[float]) -> np.ndarray:
    return np.linalg.solve(np.array(X), np.array(z))[None]


def along(points: list[tuple[float, float]], end: float) -> Path:
    """c(s) = Σ_k points_k s^{k+1} from 0 to `end`."""
    powers = [np.zeros(2), *(np.array(point) * end ** (k + 1) for k, point in enumerate(points))]
    return Path.from_powers(0.0, end, np.array(powers).T)


def test_first_crossing_on_a_straight_path() -> None:
    """c = (s, 0): z_1 = 0.6 - 0.6 s reaches 0 at s = 1, and z_0 recedes."""
    segment = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.6]))
    event = first_event(segment, along([(1.0, 0.0)], 3.0))
    assert (event.neuron, event.sample, event.side) == (0, 1, 0)
    assert event.s == pytest.approx(1.0, rel=1e-14)
    assert first_event(segment, along([(1.0, 0.0)], 0.99)) is None


def test_the_earlier_of_two_crossings() -> None:
    """c = (-s, -s): z_0 = 0.1 - 0.4 s and z_1 = 0.3 - 0.4 s arrive at 1/4 and 3/4, whatever the order of samples."""
    for z, sample in (([0.1, 0.3], 0), ([0.3, 0.1], 1)):
        segment = segment_of([1.0], 0.5, X, [1, 1], weights_for(z))
        event = first_event(segment, along([(-1.0, -1.0)], 2.0))
        assert (event.sample, event.s) == (sample, pytest.approx(0.25, rel=1e-14))


def test_a_dip_through_the_kink_within_one_step() -> None:
    """c = (s - s², 0): z_1 = 0.12 - 0.6 (s - s²) is negative from s = (1 - √0.2)/2 to (1 + √0.2)/2 only."""
    segment = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.12]))
    path = along([(1.0, 0.0), (-1.0, 0.0)], 1.0)
    event = first_event(segment, path)
    assert event.sample == 1
    assert event.s == pytest.approx((1.0 - np.sqrt(0.2)) / 2.0, rel=1e-13)
    np.testing.assert_allclose(event.c, [0.2, 0.0], rtol=1e-13)
    shallow = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.16]))  # least value 0.01: no crossing
    assert first_event(shallow, path) is None


def test_two_dips_within_one_step() -> None:
    """c_0 = u (0.3 - u)/0.6 with u = s (1 - s), so z_1 = δ - u (0.3 - u): least at u = 0.15, on the way there and back.

    With δ = 0.02 it is negative for u from 0.1 to 0.2 only; between the two dips it is 0.0075. The first time counts.
    """
    path = along([(0.5, 0.0), (-13.0 / 6.0, 0.0), (10.0 / 3.0, 0.0), (-5.0 / 3.0, 0.0)], 1.0)
    s = np.linspace(0.0, 1.0, 1001)
    z = 0.02 - 0.6 * path(s)[0]
    np.testing.assert_allclose(z, 0.02 - s * (1.0 - s) * (0.3 - s * (1.0 - s)), atol=1e-15)
    assert np.flatnonzero(np.diff(np.sign(z))).size == 4
    segment = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.02]))
    event = first_event(segment, path)
    assert event.s == pytest.approx((1.0 - np.sqrt(0.6)) / 2.0, rel=1e-12)
    above = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.0226]))
    assert first_event(above, path) is None


def test_a_unit_at_its_kink_that_moves_the_wrong_way_is_an_event_at_the_start() -> None:
    """c = (1 + s, 0): z_1 = 0.6 - 0.6 (1 + s) falls from 0; with c = (1, s) it rises."""
    segment = segment_of([1.0], 0.5, X, [1, 1], weights_for([1.0, 0.6]))
    segment.advance(np.array([1.0, 0.0]))  # z_1 = 0 to rounding
    assert abs(segment.preactivations(np.zeros(2))[0, 1]) < 1e-15
    event = first_event(segment, along([(1.0, 0.0)], 1.0))
    assert (event.sample, event.s) == (1, 0.0)
    assert first_event(segment, along([(0.0, 1.0)], 1.0)) is None
    back = first_event(segment, along([(-2.0, 0.0), (1.0, 0.0)], 4.0))  # z_1 = 0.6 (2 s - s²) comes back at s = 2
    assert (back.sample, back.s) == (1, pytest.approx(2.0, rel=1e-14))
