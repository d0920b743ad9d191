"""A step of the solver, what slides along within it, and what its error allows to be seen, in numbers by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import brentq

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from refimpl.flow.bernstein import Path, first_crossing
from refimpl.flow.collocation import GROWTH, Explicit
from refimpl.flow.independence import independent_samples
from refimpl.flow.location import NOISE, _may_be_released, first_event
from refimpl.flow.pattern import Pattern
from refimpl.flow.segments import Segment
from refimpl.flow.settings import Settings
from refimpl.flow.sliding import SlidingUnits
from refimpl.span import SpanCoordinates

# --- collocation: dc/ds = e^{-c} has c = log(1 + s); dc/ds = c + 1 has c = e^s - 1 ----------------------

DECAY = SimpleNamespace(q=np.zeros(1), M=np.ones((1, 1)), w=np.ones(1), weights=lambda c: np.exp(-c))
GROWS = SimpleNamespace(q=np.zeros(1), M=np.ones((1, 1)), w=np.ones(1), weights=lambda c: c + 1.0)


@pytest.mark.parametrize("tolerance", [1e-6, 1e-10])
@pytest.mark.parametrize(("segment", "end", "c"), [(DECAY, 50.0, np.log1p), (GROWS, 3.0, np.expm1)])
def test_every_step_is_as_good_inside_as_the_tolerance_says(segment, end: float, c, tolerance: float) -> None:
    solver, x = Explicit(segment, Settings(0.0, end, tolerance, tolerance)), np.linspace(0.0, 1.0, 101)
    steps, length = 0, np.inf
    while solver.status == "running":
        before, start = solver.y.copy(), solver.t
        assert solver.step() is None
        path, s = solver.path(), solver.t_old + x * (solver.t - solver.t_old)
        assert solver.t - start <= (1.0 + 1e-12) * GROWTH * length
        steps, length = steps + 1, solver.t - start
        # from the step's own start the exact flow is c(c⁻¹(before) + h)
        shift = (np.expm1 if segment is DECAY else np.log1p)(before[0]) - start
        exact = c(s + shift)
        assert np.abs(path(s)[0] - exact).max() <= 1.01 * tolerance * (1.0 + abs(solver.y[0]))
        np.testing.assert_allclose(path(s)[0][[0, -1]], [before[0], solver.y[0]], rtol=1e-14)
        slope = Path(0.0, 1.0, path.derivative).at(x)[0]
        assert (np.abs(slope - segment.weights(path(s)[0])) <= 1.5 * path.defect + 1e-13).all()
    assert solver.t == end
    assert steps > 4
    assert abs(solver.y[0] - c(end)) <= (200.0 if segment is GROWS else 10.0) * tolerance * (1.0 + c(end))


@pytest.mark.parametrize("first", [8.0, 1.0, 0.5, 0.25])
def test_a_step_that_is_too_long_is_taken_again(first: float) -> None:
    """Also where the iteration converges, to a polynomial of degree 5 that is not e^s - 1 to 1e-10."""
    solver = Explicit(GROWS, Settings(0.0, 10.0, 1e-10, 1e-10, first))
    solver.step()
    assert 0.0 < solver.t < first
    assert solver.y[0] == pytest.approx(np.expm1(solver.t), rel=1e-9, abs=1e-10)


@pytest.mark.parametrize(
    ("powers", "x"),
    [([-0.125, 0.5, -1.0], 0.5), ([-0.125, 0.5, 0.0], None), ([-0.125, -0.5, 1.0], 0.0), ([1e-16, -0.5, 1.0], 0.0)],
)
def test_what_starts_beyond_its_kink_counts_from_there(powers: list[float], x: float | None) -> None:
    """f(x) - f(0) = x (1/2 - x) is positive up to 1/2; below 0, but rising, is no crossing."""
    found = first_crossing(Path.from_powers(0.0, 1.0, np.array([powers])).B[0].tolist(), 1e-15)
    assert found == (x if x is None else pytest.approx(x, abs=1e-12 if x else 0.0))


# --- units that slide: K = (1, 3/5; 3/5, 1), the second sample on its kink: dC_1 = -(3/5) a y_1 w_1 ----------


@pytest.mark.parametrize("a", [1.0, -2.0])
def test_margins_and_response_of_a_sliding_unit(a: float) -> None:
    """y = ±(1, -1) with a y_1 > 0: θ = (3/5) w_1/w_2, so r - γw_2 = 0.05 and w_2 - r = 0.2 at (1/2, 1/2), γ = 1/2."""
    K, y = np.array([[1.0, 0.6], [0.6, 1.0]]), np.sign(a) * np.array([1.0, -1.0])
    units = SlidingUnits(np.array([9.0, a]), y, 0.5)
    units.set_neuron(1, Pattern.of(a * y, 0.5, K, np.array([1, 0], np.int8), np.array([1])))
    assert (units.unit(0), units.samples.size, units.dependent_neurons) == ((1, 1), 1, [])
    w = np.array([0.5, 0.5])
    np.testing.assert_allclose(units.rows @ w, [-0.3 * abs(a) * np.sign(a) * y[0]], rtol=1e-14)
    for margins in (units.margins, units.least_margins):
        np.testing.assert_allclose(np.ravel(margins(w)), [0.05, 0.2], atol=1e-6)
        np.testing.assert_allclose(np.ravel(margins(np.column_stack([w, 2.0 * w]))), [0.05, 0.1, 0.2, 0.4], atol=1e-6)
    low, high = units.least_margins(np.array([0.5, 0.6]))  # r = γ w_2: it stays until it is seen to have left
    assert 0.0 < low[0] < 1e-6
    assert high[0] == pytest.approx(0.3, abs=1e-6)
    np.testing.assert_allclose(units.response(np.array([0.01, 0.02]), np.array([0])), [0.6 * 0.01 + 0.02], rtol=1e-12)
    units.set_neuron(1, Pattern.of(a * y, 0.5, K, np.array([1, 1], np.int8), np.zeros(0, np.intp)))
    assert units.rows.shape == (0, 2)
    assert units.of_neuron == {}


def test_a_neuron_that_slides_on_dependent_samples_has_no_slopes_of_its_own() -> None:
    K = np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.5, 1.0, 1.0]])
    L = np.array([[1.0, 0.0], [2.0, 0.0], [0.5, np.sqrt(0.75)]])
    y, spanning = np.array([-1.0, -1.0, 1.0]), independent_samples(L, np.array([0, 1]))
    units = SlidingUnits(np.ones(1), y, 0.5)
    units.set_neuron(0, Pattern.of(y, 0.5, K, np.array([0, 0, 1], np.int8), spanning))
    assert units.dependent_neurons == [0]
    assert units.samples.tolist() == [0]  # the first spans both, and carries all of dC
    np.testing.assert_allclose(units.rows, [[0.0, 0.0, -0.5]], atol=1e-14)
    assert np.isinf(units.least_margins(np.ones(3) / 3.0)).all()
    units.set_neuron(0, Pattern.of(y, 0.5, K, np.array([0, 1, 1], np.int8), np.array([0])))
    assert units.dependent_neurons == []


# --- events of a step -----------------------------------------------------------------------------------


def sliding(slope: float) -> Segment:
    """a = (1, -1), y = (1, -1), z = (1, 0; -5, 2): the unit with z = 0 slides."""
    X = np.array([[1.0, 0.0], [0.6, 0.8]])
    network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(slope))
    W0 = np.linalg.solve(X, np.array([[1.0, 0.0], [-5.0, 2.0]]).T).T
    segment = Segment(SpanCoordinates.from_weights(network, Dataset(X, [1, -1]), W0), LogisticLoss())
    assert segment.pattern.tolist() == [[1, 0], [-1, 1]]
    return segment


def effective_slope(s: float) -> float:
    """θ = (3/5) w_1/w_2 at c = (s, 0), γ = 1/10: q = (1.5 + 0.65 s, 2 - 0.06 s)."""
    return 0.6 * (1.0 + np.exp(2.0 - 0.06 * s)) / (1.0 + np.exp(1.5 + 0.65 * s))


def along(first: float, second: float, end: float, defect: np.ndarray | None = None, error=0.0) -> Path:
    """c = (first, second) s."""
    return Path(0.0, end, np.array([[0.0, first * end], [0.0, second * end]]), error, defect)


@pytest.mark.parametrize("defect", [None, np.full(2, 10.0)])
@pytest.mark.parametrize(("direction", "side", "end"), [(1.0, -1, 0.1), (-1.0, 1, 1.0)])
def test_a_sliding_unit_is_released_where_its_slope_reaches_an_end(
    direction: float, side: int, end: float, defect
) -> None:
    segment, s = sliding(0.1), brentq(lambda s: effective_slope(direction * s) - end, 0.0, 10.0)
    event = first_event(segment, along(direction, 0.0, 1.5 * s, defect))
    assert (event.neuron, event.sample, event.side) == (0, 1, side)
    assert event.s == pytest.approx(s, rel=1e-4)
    np.testing.assert_allclose(event.c, [direction * event.s, 0.0], rtol=1e-12)
    assert first_event(segment, along(direction, 0.0, 0.99 * s, defect)) is None


@pytest.mark.parametrize(("size", "possible"), [(0.0, 0), (0.01, 0), (0.02, 1)])
def test_the_derivative_of_a_step_decides_only_beyond_its_own_error(size: float, possible: int) -> None:
    """Weights (0.5, 0.32): w_2 - r = 0.02, which (size, size) can change by 1.6 size."""
    segment, all_units = sliding(0.1), np.arange(1)
    path = along(0.5, 0.32, 1.0, np.full(2, size))
    assert _may_be_released(segment, path, all_units).size == possible
    assert _may_be_released(segment, along(0.5, 0.29, 1.0, np.zeros(2)), all_units).size == 1
    assert _may_be_released(segment, along(0.5, 0.5, 1.0, None), all_units).size == 1


@pytest.mark.parametrize(
    ("error", "seen"),
    [(0.0, True), (1e-9, True), (1e-7, False), (np.array([1e-7, 0.0]), True), (np.array([1e-5, 0.0]), False)],
)
def test_a_dip_within_the_error_of_the_step_is_not_seen(error, seen: bool) -> None:
    """c = (x - x², 0): z_2 = 0.15 - 1e-6 - 0.6 (x - x²) is least at 1/2, -1e-6, against 100 ε or 0.6 ε_1."""
    X = np.array([[1.0, 0.0], [-0.6, 0.8]])
    W0 = np.linalg.solve(X, np.array([1.0, 0.15 - 1e-6]))[None]
    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    segment = Segment(SpanCoordinates.from_weights(network, Dataset(X, [1, 1]), W0), LogisticLoss())
    assert NOISE * 1e-9 < 1e-6 < NOISE * 1e-7
    dip = Path.from_powers(0.0, 1.0, np.array([[0.0, 1.0, -1.0], [0.0, 0.0, 0.0]]), error)
    assert (first_event(segment, dip) is not None) is seen


@pytest.mark.parametrize("error", [0.0, 1e-3, np.array([1.0, 1.0])])
def test_what_ends_beyond_its_kink_has_crossed_whatever_the_error(error) -> None:
    """c = (0.26 s, 0): z_2 = 0.15 - 0.156 s at the end."""
    X = np.array([[1.0, 0.0], [-0.6, 0.8]])
    W0 = np.linalg.solve(X, np.array([1.0, 0.15]))[None]
    span = SpanCoordinates.from_weights(TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset(X, [1, 1]), W0)
    event = first_event(Segment(span, LogisticLoss()), along(0.26, 0.0, 1.0, error=error))
    assert event.s == pytest.approx(0.15 / 0.156, rel=1e-12)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_first_crossing_counts_though_another_could_come_earlier(order: list[int]) -> None:
    """(1 - 2x)³ has the coefficients 1, -1, 1, -1, a bound of 1/6 and its zero at 1/2; 1 - 5x/2 has it at 2/5."""
    X, z = np.array([[1.0, 0.0], [-0.6, 0.8]]), np.ones(2)
    span = SpanCoordinates.from_weights(
        TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset(X, [1, 1]), np.linalg.solve(X, z)[None]
    )
    distances = np.array([[1.0, -1.0, 1.0, -1.0], [1.0, 1.0 / 6.0, -2.0 / 3.0, -1.5]])[order]
    event = first_event(Segment(span, LogisticLoss()), Path(0.0, 1.0, np.linalg.solve(X @ X.T, distances - 1.0)))
    assert (event.sample, event.s) == (order.index(1), pytest.approx(0.4, rel=1e-12))
