"""The strategies draw what they promise; failing cases shrink to small ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings

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
