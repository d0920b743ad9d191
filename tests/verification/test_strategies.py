"""The strategies draw what they promise; failing cases shrink to small ones."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from verification import check_hypotheses, kkt_residuals, strategies


@settings(max_examples=25)
@given(strategies.kkt_points())
def test_kkt_points_are_kkt_points(point: strategies.KKTPoint) -> None:
    found = kkt_residuals(point.network, point.data, point.W)
    assert max(found.stationarity, found.complementarity) < 1e-9
    assert found.smallest_margin == pytest.approx(1.0, rel=1e-9)


@settings(max_examples=15)
@given(strategies.kkt_points(below=True))
def test_below_is_below(point: strategies.KKTPoint) -> None:
    assert not check_hypotheses(point.network, point.data).any_satisfied


@settings(max_examples=15)
@given(strategies.kkt_points(below=False))
def test_not_below_is_where_the_theorem_holds(point: strategies.KKTPoint) -> None:
    assert check_hypotheses(point.network, point.data).any_satisfied
    assert kkt_residuals(point.network, point.data, point.W).rank <= 2


@settings(max_examples=25)
@given(strategies.near_kkt_points(strategies.kkt_points(below=False)))
def test_near_kkt_points_are_near(point: strategies.KKTPoint) -> None:
    """The residual grows at most like the distance: the slopes of Σλ_i H_i do not change away from kinks."""
    found = kkt_residuals(point.network, point.data, point.W)
    assert 1e-6 <= point.distance <= 1e-2
    assert found.stationarity <= 30.0 * point.distance


def test_limits_with_units_on_their_kinks_are_drawn() -> None:
    point = find(
        strategies.kkt_points(below=True),
        lambda point: bool(np.any(np.abs(point.W @ point.data.X.T) < 1e-9)),
        settings=settings(max_examples=100, derandomize=True, database=None, phases=(Phase.generate,)),
    )
    assert kkt_residuals(point.network, point.data, point.W).units_at_kink > 0


def test_cases_shrink_to_ones_that_a_person_can_read() -> None:
    point = find(
        strategies.kkt_points(below=False),
        lambda point: point.network.m > 1,
        settings=settings(max_examples=100, derandomize=True, database=None),
    )
    assert (point.data.n, point.data.d, point.network.m) == (2, 2, 2)
    assert point.network.slope == 0.5


ANY_NETWORK = strategies.networks(strategies.slopes(edges=True), neurons=(1, 3), unequal=True)


@settings(max_examples=40)
@given(strategies.kkt_points(below=True, networks=ANY_NETWORK))
def test_points_with_any_slope_and_second_layer_are_kkt_points(point: strategies.KKTPoint) -> None:
    found = kkt_residuals(point.network, point.data, point.W)
    assert max(found.stationarity, found.complementarity) < 1e-8
    assert found.smallest_margin == pytest.approx(1.0, rel=1e-8)
    assert np.all(point.multipliers >= 0.0)


@settings(max_examples=20)
@given(strategies.kkt_points(below=True))
def test_multipliers_add_up_to_the_squared_norm(point: strategies.KKTPoint) -> None:
    """‖W‖² = Σλ_i ⟨W, H_i⟩ = Σλ_i q_i, and λ_i > 0 only where q_i = 1."""
    assert point.multipliers.sum() == pytest.approx(float(np.sum(point.W**2)), rel=1e-8)


def test_ranks_above_two_slopes_at_the_ends_and_copies_are_drawn() -> None:
    few = settings(max_examples=400, derandomize=True, database=None, phases=(Phase.generate,))
    rank = lambda point: kkt_residuals(point.network, point.data, point.W).rank  # noqa: E731
    assert rank(find(strategies.kkt_points(below=True), lambda point: rank(point) >= 3, settings=few)) >= 3
    for slope in (0.0, 1.0, 2.0**-20):
        assert find(strategies.networks(strategies.slopes(edges=True)), lambda net: net.slope == slope, settings=few)  # noqa: B023
    near = lambda data: 0.0 < np.linalg.norm(data.X[-1] - data.X[0]) < 1e-5  # noqa: E731
    assert find(strategies.data_with_copies(), near, settings=few).n >= 2


def test_drawing_points_takes_milliseconds() -> None:
    """Hypothesis' health check gives up where ten cases take a second: a busy machine must not come near."""
    times = []

    @settings(max_examples=60, derandomize=True, database=None, phases=(Phase.generate,))
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        start = time.process_time()
        data.draw(strategies.near_kkt_points())
        times.append(time.process_time() - start)

    draw()
    assert np.median(times) < 0.03
