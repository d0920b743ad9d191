"""Which units are watched, and where the next event lies, against scalar formulas and paths made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from refimpl.flow import watch
from refimpl.flow.bernstein import Path
from refimpl.flow.location import Events, first_event
from refimpl.flow.segments import Segment
from refimpl.flow.watch import NearUnits
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


def near_units(segment: Segment) -> NearUnits:
    return NearUnits(segment, segment.span.network.second_layer, segment.span.y)


def scalar_rows(segment: Segment, Z: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """∂(P z)_ji/∂c = P_ji a_j y_k Φ_jk K_ik."""
    a, y, K = segment.span.network.second_layer, segment.span.y, segment.K
    slopes = np.where(Z > 0.0, 1.0, 0.3)
    return {(j, i): np.sign(Z[j, i]) * a[j] * y * slopes[j] * K[i] for j in range(6) for i in range(4)}


def names(units: NearUnits) -> list[tuple[int, int]]:
    return [units.unit(k) for k in range(units.j.size)]


def scalar_reach(segment: Segment, Z: np.ndarray, r: np.ndarray) -> dict[tuple[int, int], float]:
    """Σ_k |a_j K_ik| r_k of the samples that move the unit toward its kink, its own with its own slope."""
    a, y, K = segment.span.network.second_layer, segment.span.y, segment.K
    slopes = np.where(Z > 0.0, 1.0, 0.3)
    return {
        (j, i): sum(
            (slopes[j, i] if k == i else 1.0) * max(0.0, -np.sign(Z[j, i]) * a[j] * y[k] * K[i, k]) * r[k]
            for k in range(4)
        )
        for j in range(6)
        for i in range(4)
    }


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0, 100.0])
def test_units_in_reach_are_those_whose_bound_says_so_and_have_scalar_distances(many, size: float) -> None:
    segment, Z, w = many
    rows, units = scalar_rows(segment, Z), near_units(segment)
    C = size * np.column_stack([0.0 * w, 0.3 * w[::-1], w])
    distances = units.in_reach(C).T
    assert set(names(units)) >= {unit for unit in rows if abs(Z[unit]) + min(rows[unit] @ C) <= 0.0}
    reach = scalar_reach(segment, Z, watch.AHEAD * np.abs(C).max(axis=1))
    assert set(names(units)) == {unit for unit in rows if abs(Z[unit]) <= (1.0 + 1e-6) * reach[unit] + 1e-11}
    for unit, distance, row in zip(names(units), distances, units.rows(np.arange(units.j.size)), strict=True):
        np.testing.assert_allclose(distance, abs(Z[unit]) + rows[unit] @ C, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(row, rows[unit], rtol=1e-12)


def test_units_are_chosen_anew_when_c_leaves_the_reach(many) -> None:
    segment, Z, w = many
    rows, units = scalar_rows(segment, Z), near_units(segment)
    units.in_reach(np.column_stack([0.0 * w, 0.01 * w]))
    near = len(names(units))
    units.in_reach(np.column_stack([0.01 * w, 0.02 * w]))  # within `AHEAD` times the first step
    assert len(names(units)) == near
    C = np.column_stack([0.02 * w, 50.0 * w])
    units.in_reach(C)
    assert set(names(units)) >= {unit for unit in rows if abs(Z[unit]) + min(rows[unit] @ C) <= 0.0}
    assert len(names(units)) > near
    units.in_reach(np.column_stack([0.02 * w, 0.03 * w]))  # a short step after a long one, within its reach
    assert len(names(units)) <= near + 1


def test_what_the_path_is_off_from_the_flow_brings_units_into_reach(many) -> None:
    """With ε_k = ∫ |dc_k/ds - w_k| ds a unit may come nearer by 2 |a_j| ‖x_i‖ Σ_k ‖x_k‖ ε_k more, over all steps."""
    segment, Z, w = many
    rows, units, sizes = scalar_rows(segment, Z), near_units(segment), np.sqrt(np.diagonal(segment.K))
    C, drift = np.column_stack([0.0 * w, 0.01 * w]), 0.3 * w
    reach, nearest = scalar_reach(segment, Z, watch.AHEAD * C[:, 1]), {}
    units.in_reach(C, drift)
    for j, i in rows:
        nearest[j, i] = 2.0 * abs(segment.span.network.second_layer[j]) * sizes[i] * (sizes @ drift) * watch.AHEAD**2
    assert set(names(units)) == {unit for unit in rows if abs(Z[unit]) <= (1.0 + 2e-6) * (reach[unit] + nearest[unit])}
    assert any(abs(Z[unit]) > 2.0 * reach[unit] for unit in names(units))
    few = near_units(segment)
    few.in_reach(C, 0.0 * w)
    before = len(names(few))
    few.in_reach(np.column_stack([0.01 * w, 0.02 * w]), drift)  # not what they were chosen for
    assert len(names(few)) > before


def test_a_unit_that_changed_its_side_is_watched_though_it_was_out_of_reach(many) -> None:
    segment, _, w = many
    j, i = 2, 1
    segment.units.in_reach(np.column_stack([0.0 * w, 1e-9 * w]))
    assert (j, i) not in names(segment.units)
    row = segment.pattern[j].copy()
    row[i] *= -1
    segment._set_row(j, row, np.arange(4) == i, segment.row_at(j, 0.0 * w))
    assert (j, i) in names(segment.units)


@pytest.mark.parametrize("side", [0, 1, -1])
def test_a_neuron_that_changed_keeps_its_units_and_those_that_it_releases(many, side: int) -> None:
    segment, _, w = many
    C = np.column_stack([0.0 * w, 0.3 * w])
    j, i, everything = 2, 1, np.zeros(4, dtype=bool)
    row = segment.pattern[j].copy()
    row[i] = 0
    segment._set_row(j, row, np.arange(4) == i, segment.row_at(j, 0.0 * w))
    assert (j, i) not in names(segment.units)
    segment.units.in_reach(C)
    before = names(segment.units)
    row = segment.pattern[j].copy()
    row[i] = side
    segment._set_row(j, row, everything, segment.row_at(j, 0.0 * w))
    assert names(segment.units) == sorted({*before, (j, i)} if side else before)
    z = [segment.preactivations(c) for c in C.T]
    distances = segment.units.in_reach(C).T
    for unit, distance in zip(names(segment.units), distances, strict=True):
        np.testing.assert_allclose(distance, [segment.pattern[unit] * at[unit] for at in z], rtol=1e-11, atol=1e-13)


def test_a_neuron_that_changes_later_has_the_distances_of_then(many) -> None:
    """c has moved since the anchor: z = anchored + row · c with another row has another anchored part."""
    segment, _, w = many
    C = np.column_stack([0.0 * w, 3.0 * w])
    segment.units.in_reach(C)
    segment.advance(2.0 * w)
    j = segment.units.unit(0)[0]
    row = segment.pattern[j].copy()
    row[segment.units.unit(0)[1]] *= -1
    segment._set_row(j, row, np.zeros(4, dtype=bool), segment.row_at(j, segment._c))
    assert segment._c.any()
    z = [segment.preactivations(c) for c in C.T]
    distances = segment.units.in_reach(C).T
    for unit, distance in zip(names(segment.units), distances, strict=True):
        np.testing.assert_allclose(distance, [segment.pattern[unit] * at[unit] for at in z], rtol=1e-11, atol=1e-12)


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


def test_events_of_one_step_follow_one_another() -> None:
    """c = (s, 0): z_1 = 0.6 - 0.6 s of both neurons; a twice as long a_j arrives twice as early. None comes back."""
    W0 = np.vstack([weights_for([1.0, 0.6]), weights_for([1.0, 0.6])])
    segment = segment_of([1.0, 2.0], 0.5, X, [1, 1], W0)
    events, found = Events(segment, along([(1.0, 0.0)], 3.0)), []
    event = events.first()
    while event is not None and len(found) < 10:
        j, i = event.neuron, event.sample
        found.append((j, i, event.s))
        segment.advance(event.c)
        row, at_kink = segment.pattern[j].copy(), np.arange(2) == i
        row[i] *= -1
        segment._set_row(j, row, at_kink, segment.row_at(j, segment.since_anchor(0.0)))
        events.passed()
        event = events.first()
    assert [unit[:2] for unit in found] == [(1, 1), (0, 1)]
    np.testing.assert_allclose([unit[2] for unit in found], [0.5, 1.0], rtol=1e-14)
    np.testing.assert_allclose(events.c, [1.0, 0.0], rtol=1e-14)


@pytest.mark.parametrize("sides", [[0, 0, 1, 1], [1, 0, 0, -1], [-1, -1, 1, 1], [1, 1, 1, 0]])
def test_changes_of_one_neuron_change_the_matrix_and_bound_the_bend(many, sides: list[int]) -> None:
    """M is that of the new cell, and `bend` bounds |ΔM| ahead, after each of two changes of one neuron."""
    segment, _, w = many
    j, everywhere = 3, np.ones(4, dtype=bool)
    for row in ([1, 0, -1, 1], sides):
        before = segment.M.copy()
        segment.matrix.ahead, segment.matrix.bend = 0.1 * w, 0.0
        segment._set_row(j, np.array(row, dtype=np.int8), everywhere, segment.row_at(j, 0.0 * w))
        np.testing.assert_allclose(segment.M, segment.cell().matrix, rtol=0.0, atol=1e-12 * np.abs(before).max())
        assert segment.matrix.bend >= (1.0 - 1e-12) * (np.abs(segment.M - before) @ segment.matrix.ahead).max()


def test_the_first_release_of_all_is_found_though_its_unit_comes_back() -> None:
    """Unit 0 leaves [γ, 1] at 0.55 for good, unit 1 from 0.53 to 0.58 only: between two looks, and before it."""

    class Sliding:
        neurons, samples = np.array([0, 0]), np.array([0, 1])

        def margins(self, w: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x = np.atleast_1d(w)
            high = np.array([0.55 - x, (x - 0.53) * (x - 0.58)])[chosen]
            return np.ones_like(high), (high if np.ndim(w) else high[:, 0])

    events = Events.__new__(Events)
    events._segment, events.path, events.x = (
        SimpleNamespace(sliding=Sliding()),
        SimpleNamespace(defect=np.zeros(1)),
        0.0,
    )
    events._released, events._weights = np.array([[True, True]]), lambda x: np.asarray(x)
    x, k, side = events._first_release(1.0)
    assert (x, k, side) == (pytest.approx(0.53), 1, 1)
    events._released = np.array([[True, False]])
    assert events._first_release(1.0) == (pytest.approx(0.55), 0, 1)
    assert events._first_release(0.54) is None
