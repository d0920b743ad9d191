"""Polynomials in Bernstein form against companion matrices, and steps of random flows against 10⁴ points each."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from scipy.special import softmax

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gaussian_weights, gradient_flow
from refimpl.flow import piecewise
from refimpl.flow.bernstein import Path, earliest_zeros, first_crossing
from refimpl.flow.location import NOISE, Events
from refimpl.flow.trajectory import FlowEvent
from refimpl.flow.watch import NearUnits
from refimpl.losses import ExponentialLoss
from refimpl.validation import Array

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def bernstein_of(powers: np.ndarray) -> list[float]:
    return Path.from_powers(0.0, 1.0, powers[None]).B[0].tolist()


def test_values_and_derivatives_of_a_path() -> None:
    powers = np.random.default_rng(0).standard_normal((3, 5))
    path, s = Path.from_powers(2.0, 2.5, powers), np.linspace(2.0, 2.5, 11)
    for row, (values, slopes) in zip(
        powers, zip(path(s), Path(0.0, 1.0, path.derivative).at(2 * s - 4), strict=True), strict=True
    ):
        polynomial = np.polynomial.Polynomial(row)
        np.testing.assert_allclose(values, polynomial(2.0 * s - 4.0), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(slopes, 2.0 * polynomial.deriv()(2.0 * s - 4.0), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("seed", range(5000 if THOROUGH else 400))
def test_first_crossing_is_the_first_zero_of_the_companion_matrix(seed: int) -> None:
    """Polynomials by their zeros, some of them in (0, 1), positive at 0; and by random coefficients."""
    rng = np.random.default_rng([3, seed])
    degree = int(rng.integers(1, 5))
    if seed % 2:
        polynomial = np.polynomial.Polynomial(rng.standard_normal(degree + 1))
    else:
        polynomial = np.polynomial.Polynomial.fromroots(rng.uniform(-0.5, 1.5, degree))
    polynomial *= np.sign(polynomial(0.0))
    roots = polynomial.roots()
    inside = sorted(r.real for r in roots if abs(r.imag) < 1e-9 and 0.0 < r.real < 1.0)
    b = bernstein_of(polynomial.coef)
    found = first_crossing(b, 0.0)
    if not inside:
        assert found is None
    else:
        assert found == pytest.approx(inside[0], abs=1e-9)
        assert earliest_zeros(np.array([b]))[0] <= found * (1.0 + 1e-15)
        if len(inside) == 1 or inside[1] - inside[0] > 1e-3:
            assert abs(polynomial(found)) <= 1e-14 * np.abs(polynomial.coef).sum()


def test_dips_that_come_within_rounding_have_not_crossed() -> None:
    """(x - 1/2)² (x² + 1) + δ touches δ at 1/2."""
    touching = np.polynomial.Polynomial([0.25, -1.0, 1.0]) * np.polynomial.Polynomial([1.0, 0.0, 1.0])
    for depth, crosses in ((1e-13, False), (1e-11, True)):
        found = first_crossing(bernstein_of((touching - depth).coef), 1e-12)
        assert (found is not None) == crosses
    assert found == pytest.approx(0.5 - np.sqrt(1e-11 / 1.25), abs=1e-9)


@pytest.mark.parametrize("power", [1, 2, 3])
def test_zeros_at_the_start_are_divided_out(power: int) -> None:
    """x^k (x - 0.3)(-1)^... rises from 0 and comes back at 0.3; with the other sign it falls at once."""
    polynomial = np.polynomial.Polynomial([0.0] * power + [0.3, -1.0])
    assert first_crossing(bernstein_of(polynomial.coef), 1e-15) == pytest.approx(0.3, rel=1e-13)
    assert first_crossing(bernstein_of(-polynomial.coef), 1e-15) == 0.0


def random_flow(seed: int) -> tuple[TwoLayerNetwork, Dataset, np.ndarray]:
    rng = np.random.default_rng([41, seed])
    n, m, slope = int(rng.integers(3, 7)), int(rng.choice([2, 4, 6])), float(rng.choice([0.0, 0.1, 0.5]))
    d = int(rng.integers(2, n + 4))
    data = Dataset(rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n))
    return (
        TwoLayerNetwork.with_signs(m // 2, m // 2, LeakyReLU(slope)),
        data,
        gaussian_weights(m, d, 10.0 ** rng.uniform(-2, 1), rng),
    )


@pytest.mark.parametrize("seed", range(500 if THOROUGH else 40))
def test_no_step_of_a_flow_crosses_unseen(seed: int, monkeypatch) -> None:
    """At 10⁴ points of what is left of each step no unit is beyond its kink before the next event.

    By more than the dense output is off; behind each event of a step as before the first.
    """
    steps, later, first = 0, 0, Events.first

    def checked(events):
        nonlocal steps, later
        steps, later = steps + 1, later + (events.x > 0.0)
        event, segment, path = first(events), events._segment, events.path
        x = np.linspace(events.x, 1.0, 10_001)
        end = 1.0 if event is None else (event.s - path.s_a) / (path.s_b - path.s_a)
        n, P = segment.q.size, segment.pattern
        rows = np.stack([segment.cell().unit_speeds(e) for e in np.eye(n)], axis=2)  # dz_ji = row · dc
        start = segment.span.preactivations(segment.coefficients(np.zeros(n)))
        distances = (P[:, :, None] * (start[:, :, None] + rows @ (path.at(x) - events.c[:, None]))).reshape(-1, x.size)[
            P.ravel() != 0
        ]
        noise = NOISE * path.error if isinstance(path.error, float) else np.abs(rows) @ path.error
        noise = np.broadcast_to(noise, P.shape).ravel()[P.ravel() != 0]
        rounding = 4.0 * segment.rounding(path.at(1.0) - events.c, np.arange(P.shape[0])[:, None], np.arange(n)).ravel()
        rounding = rounding[P.ravel() != 0]
        floor = np.where(distances[:, -1] < 0.0, 0.0, noise) + rounding
        before = x < end - 2e-4 - np.spacing(path.s_b) / (path.s_b - path.s_a)
        onward = np.where(distances[:, :1] < 0.0, distances[:, :1], 0.0)  # a tie that is resolved next
        assert (distances[:, before] >= onward - floor[:, None]).all()
        return event

    monkeypatch.setattr(Events, "first", checked)
    if seed % 2:  # few neurons bend the path much: go on all the same
        monkeypatch.setattr(piecewise, "BENT", np.inf)
        monkeypatch.setattr(piecewise, "MOST_BEND", np.inf)
    result = gradient_flow(*random_flow(seed), max_steps=120)
    assert steps > 0
    assert later > 0 or seed % 2 == 0 or len(result.events) < 10


@pytest.mark.parametrize("seed", range(300 if THOROUGH else 12))
@pytest.mark.parametrize("tolerance", [1e-9, 1e-3])
def test_units_out_of_reach_would_have_had_no_event(seed: int, tolerance: float, monkeypatch) -> None:
    """The same flow with every unit watched at every step goes through the same events, at loose tolerances too."""
    instance = random_flow(seed)
    few = gradient_flow(*instance, rtol=tolerance, atol=tolerance, max_steps=80)
    monkeypatch.setattr(NearUnits, "all_reach", lambda units, r, drift: np.full(units._segment.pattern.shape, np.inf))
    every = gradient_flow(*instance, rtol=tolerance, atol=tolerance, max_steps=80)
    assert [(e.neuron, e.sample, e.kind) for e in few.events] == [(e.neuron, e.sample, e.kind) for e in every.events]
    np.testing.assert_allclose([e.s for e in few.events], [e.s for e in every.events], rtol=1e-9)


def steps_and_events(
    W0: Array, X: Array, a: list[float], monkeypatch
) -> tuple[list[Path], list[Path], tuple[FlowEvent, ...]]:
    """The paths on which a flow's events were looked for, those of them on which there was one, and the events."""
    paths, with_event, first = [], [], Events.first

    def noted(events):
        event = first(events)
        paths.append(events.path)
        if event is not None:
            with_event.append(events.path)
        return event

    with monkeypatch.context() as patch:
        patch.setattr(Events, "first", noted)
        network, data = TwoLayerNetwork(a, LeakyReLU(0.5)), Dataset(X, [1] * len(X))
        return paths, with_event, gradient_flow(network, data, W0, loss=ExponentialLoss(), max_time=3.0).events


def test_a_flow_whose_unit_dips_twice_within_one_step(monkeypatch) -> None:
    """The path is that of a neuron on orthogonal samples; a_2 = 1e-6 is too small to change it.

    A last sample has no weight, and its products with the others are such that z_2, its preactivation at the second
    neuron, which is z + α · c(s) whatever its side, is 1, -1, 1, -1, 1 (times 4e-8 a_2) within one step of the flow.
    Its zeros are those of c by Dormand and Prince's method of order 8.
    """
    sizes, q0, a = np.array([1.17, 0.59, 1.03, 2.29, 0.41]), np.array([0.5, -1.4, -0.6, 2.8, 1.9]), 1e-6
    c = solve_ivp(
        lambda s, c: softmax(-q0 - sizes * c),
        (0.0, 3.0),
        np.zeros(5),
        method="DOP853",
        rtol=1e-13,
        atol=1e-15,
        dense_output=True,
    ).sol

    def follow(products: Array, z: float) -> tuple[list[Path], list[Path], tuple[FlowEvent, ...]]:
        X = 0.1 * np.eye(6)
        X[:5, :5], X[5, :5] = np.diag(np.sqrt(sizes)), products / np.sqrt(sizes)
        Z = np.array([[*(10.0 + q0), 60.0], [*np.full(5, 20.0 * a), z * a]])
        return steps_and_events(np.linalg.solve(X, Z.T).T, X, [1.0, a], monkeypatch)

    step = next(path for path in follow(np.zeros(5), 5.0)[0] if path.s_b > 0.9)
    places = step.s_a + (step.s_b - step.s_a) * np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    system = np.vstack([np.ones(5), c(places)]).T
    z, *alpha = np.linalg.lstsq(system, [1.0, -1.0, 1.0, -1.0, 1.0], rcond=1e-13)[0]
    z, alpha = z / np.abs(alpha).max(), np.array(alpha) / np.abs(alpha).max()
    assert np.abs(z + alpha @ c(places)).min() > 2e-8
    zeros = [brentq(lambda s: z + alpha @ c(s), *between) for between in pairwise(places)]

    _, paths, events = follow(alpha, z)
    assert [(event.neuron, event.sample) for event in events] == [(1, 5)] * 4
    assert len({path.s_a for path in paths}) == 1
    np.testing.assert_allclose([event.s for event in events], zeros, rtol=0.0, atol=1e-3 * (step.s_b - step.s_a))
