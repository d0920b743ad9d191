"""Feasibility of a cell and of its limit, in numbers that can be done by hand (docs/theory.md, section 7)."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import LeakyReLU, TwoLayerNetwork
from refimpl.flow.cell import Cell, _refined
from refimpl.flow.limit import limit_ahead, limit_from_cell

K2 = np.array([[1.0, -0.6], [-0.6, 1.0]])
X2 = np.array([[5.0, 0.0], [-3.0, 4.0]]) / 5.0
EVEN = np.array([0.5, 0.5])


def cell_of(patterns: list[list[int]], K: np.ndarray = K2, slope: float = 0.5) -> Cell:
    """a = 1, y = 1."""
    network = TwoLayerNetwork(np.ones(len(patterns)), LeakyReLU(slope))
    return Cell(network, np.ones(len(K)), K, np.array(patterns, dtype=np.int8))


def test_every_sliding_neuron_must_rest() -> None:
    """θ = 0.6 w_0/w_1 in one neuron and 0.6 w_1/w_0 in the other: both in [1/2, 1] at (1/2, 1/2), one at (0.6, 0.4)."""
    for patterns in ([[1, 0], [0, 1]], [[0, 1], [1, 0]]):
        cell = cell_of(patterns)
        assert cell.agrees_with(EVEN)
        assert not cell.agrees_with(np.array([0.6, 0.4]))
        assert not cell.agrees_with(np.array([0.4, 0.6]))


def test_a_dead_neuron_agrees_with_either_side() -> None:
    assert cell_of([[-1, -1]], slope=0.0).agrees_with(EVEN)
    assert not cell_of([[-1, -1]]).agrees_with(EVEN)  # ż = 0.1 on both


def test_margins_of_a_sliding_slope() -> None:
    """dC_01 = 0.6 · 0.5 = 0.3, between γw_1 = 0.25 and w_1 = 0.5; it can move by 0.6 · 0.5 + 0.5."""
    cell = cell_of([[1, 0]])
    low, high = cell.sliding_margins(EVEN)
    np.testing.assert_allclose([low, high], [[0.05], [0.2]], rtol=1e-14)
    np.testing.assert_allclose(cell.sliding_range(EVEN), [0.8], rtol=1e-14)
    assert cell_of([[1, 1]]).sliding_range(EVEN).size == 0


@pytest.mark.parametrize(("z", "first", "time"), [((3.0, 1.0), 2, 1.0 / 0.49), ((1.0, 3.0), 1, 1.0 / 0.49)])
def test_the_first_of_several_units_that_approach(z: tuple[float, float], first: int, time: float) -> None:
    """w = (0.9, 0.05, 0.05), K_12 = 0: ż = (0.84, -0.49, -0.49)."""
    K = np.array([[1.0, -0.6, -0.6], [-0.6, 1.0, 0.0], [-0.6, 0.0, 1.0]])
    found = cell_of([[1, 1, 1]], K).approach_time(np.array([[1.0, *z]]), np.array([0.9, 0.05, 0.05]))
    assert found == (pytest.approx(time, rel=1e-14), 0, first)


def test_a_support_whose_multiplier_is_negative_is_not_taken() -> None:
    """N μ = h has μ = (55, -40)/19: the start stays."""
    N, h, mu = np.array([[1.0, 0.9], [0.9, 1.0]]), np.array([1.0, 0.5]), np.array([1.0, 0.01])
    np.testing.assert_array_equal(_refined(N, h, mu), mu)
    np.testing.assert_allclose(_refined(N, np.ones(2), mu), np.full(2, 1.0 / 1.9), rtol=1e-14)


def test_a_limit_of_another_cell_is_not_polished() -> None:
    """Slopes (1, 1/2): M = (1, -0.3; -0.3, 1/4), λ ∝ (0.55, 1.3), and there ż_1 > 0, which the cell has not."""
    other = cell_of([[1, -1]])
    target = np.array([0.55, 1.3]) / 1.85
    assert (other.velocity(target) @ K2)[0, 1] > 0.0
    assert not limit_from_cell(other, target, X2).polished
    assert limit_ahead(other, np.array([[100.0, -100.0]]), -np.log(target), target, X2) is None
    own = limit_from_cell(cell_of([[1, 1]]), np.array([0.6, 0.4]), X2)
    assert own.polished
    np.testing.assert_allclose(own.coefficients, [[2.5, 2.5]], rtol=1e-14)  # λ (1 - 0.6) = 1


@pytest.mark.parametrize(
    ("z", "w_0", "known"),
    [
        (10.0, 0.5001, True),
        (1e-9, 0.5001, False),  # nearer to its kink than the way that is left
        (10.0, 0.6, False),  # too far from w* for its motion to be linear
    ],
)
@pytest.mark.parametrize("unit", [0, 1])
def test_a_limit_ahead_is_known_where_nothing_can_happen(z: float, w_0: float, known: bool, unit: int) -> None:
    w, Z = np.array([w_0, 1.0 - w_0]), np.array([[10.0, 10.0]])
    Z[0, unit] = z
    found = limit_ahead(cell_of([[1, 1]]), Z, -np.log(w), w, X2)
    assert (found is not None) is known


@pytest.mark.parametrize(
    ("slope", "c", "known"),
    [
        (0.5, 0.6, True),
        (0.5999, 0.6, False),  # θ = 0.6 is within 1e-4 of γ, and w within 2e-4 of w*
        (0.5, 0.9999, False),  # of 1
        (0.599, 0.6, True),
        (0.5, 0.999, True),
    ],
)
def test_a_sliding_slope_near_its_end_leaves_the_limit_ahead_open(slope: float, c: float, known: bool) -> None:
    """Each neuron slides on the other sample, K_12 = -c: θ = c at w* = (1/2, 1/2)."""
    K, X = np.array([[1.0, -c], [-c, 1.0]]), np.array([[1.0, 0.0], [-c, np.sqrt(1.0 - c**2)]])
    w = np.array([0.5001, 0.4999])
    found = limit_ahead(cell_of([[1, 0], [0, 1]], K, slope), np.array([[9.0, 0.0], [0.0, 9.0]]), -np.log(w), w, X)
    assert (found is not None) is known
