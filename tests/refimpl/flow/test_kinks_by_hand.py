"""One neuron at its kinks, each number by hand (docs/theory.md, section 7, "Several kinks at once").

The row moves with the v at which ψ(v) = ½‖v‖² - Σ e_i φ(⟨v, x_i⟩) has a local minimum; e_i < 0 attracts.
"""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.flow import kinks
from refimpl.flow.kinks import Resolution, minimum_norm_slopes, release_delay, resolve_kinks, sample_coordinates


def resolved(X, e, at_kink, sides, slope: float = 0.5, others: bool = True) -> Resolution:
    K = np.array(X, float) @ np.array(X, float).T
    kinks, drive = np.array(at_kink, dtype=bool), np.array(e, float)
    return resolve_kinks(np.array(sides, np.int8), kinks, drive, slope, K, sample_coordinates(K), others)


@pytest.mark.parametrize(
    ("push", "side", "speed"),
    [
        (0.25, -1, 0.25 - 0.5),  # below γ: both sides carry it to z < 0, where its own slope is γ
        (0.5, 0, 0.0),
        (0.75, 0, 0.0),  # θ = 3/4
        (1.0, 0, 0.0),
        (1.25, 1, 1.25 - 1.0),
    ],
)
def test_an_attracting_unit_slides_between_gamma_and_one(push: float, side: int, speed: float) -> None:
    """e = (-1, push), x_1 = (1, 1) off its kink: dz_0 = push - θ."""
    found = resolved([[1.0, 0.0], [1.0, 1.0]], [-1.0, push], [1, 0], [0, 1])
    assert found.sides.tolist() == [side, 1]
    assert found.speeds[0] == pytest.approx(speed, abs=1e-15)
    assert found.at_rest == (side == 0)
    assert found.unique


@pytest.mark.parametrize(("beyond", "side"), [(5e-8, 0), (1e-6, 1), (-5e-8, 0), (-1e-6, -1)])
def test_a_unit_leaves_its_kink_only_beyond_the_delay(beyond: float, side: int) -> None:
    """The wanted slope is beyond its end, 1 or γ, by less than 1e-7 of the terms: weights may be that wrong."""
    push = 1.0 + beyond if beyond > 0.0 else 0.5 + beyond
    found = resolved([[1.0, 0.0], [1.0, 1.0]], [-1.0, push], [1, 0], [0, 1])
    assert (found.sides[0], found.at_rest) == (side, side == 0)


@pytest.mark.parametrize("slope", [2.0**-30, 1e-12])
def test_a_speed_of_a_small_slope_is_one(slope: float) -> None:
    """e = -1 alone: on the side z < 0 the unit moves on at the speed γ, however small; for γ = 0 it rests."""
    found = resolved([[1.0]], [-1.0], [1], [1], slope)
    assert (found.sides.tolist(), found.speeds.tolist(), found.at_rest) == ([-1], [-slope], False)
    still = resolved([[1.0]], [-1.0], [1], [1], 0.0)
    assert (still.sides.tolist(), still.speeds.tolist(), still.at_rest) == ([0], [0.0], True)
    assert release_delay(slope) == 1e-3 * slope < release_delay(0.0) == release_delay(0.5) == 1e-7


def test_slope_one_has_no_kink() -> None:
    """Both kinds of units move with the velocity Σ e_i x_i, and are on the side to which it takes them."""
    for e in (-1.0, 1.0):
        found = resolved([[1.0]], [e], [1], [1], 1.0)
        assert (found.sides.tolist(), found.speeds.tolist(), found.unique) == ([int(e)], [e], True)


def test_a_sample_without_weight_has_no_say() -> None:
    """e_0 = -1e-200, whose square is 0 in floats: its unit goes where the other pushes it, and does not slide."""
    for push in (1.0, -1.0):
        found = resolved([[1.0, 0.0], [1.0, 1.0]], [-1e-200, push], [1, 0], [1, 1])
        assert found.sides.tolist() == [int(push), 1]
        np.testing.assert_allclose(found.speeds, [push, 2.0 * push], rtol=1e-15)


def test_the_kinks_of_samples_in_the_span_of_sliding_ones_are_slid_along_too() -> None:
    """x_1 = 2 x_0: e = (-1, 1/10) and a push of 3/5: θ_0 = 3/5 + 2/10; x_1 repels, and is on its kink as x_0 is."""
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0]):
        X = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])[order]
        e, kinks = np.array([-1.0, 0.1, 0.6])[order], np.array([1, 1, 0])[order]
        found = resolved(X, e, kinks, np.array([0, 1, 1])[order])
        assert found.sides[np.argsort(order)].tolist() == [0, 0, 1]
        assert found.at_rest


@pytest.mark.parametrize(
    ("e", "fork"),
    [
        ((1.0, -0.5), False),  # to the right on both sides, at 5/4 and at 1: it cannot stay
        ((0.5, -1.0), False),  # at 1 and 5/4
        ((1.0, 1.0), True),  # away from 0 on both sides, at ±1/2: right, left, or not at all
        ((-0.5, 1.0), False),  # to the left on both sides
        ((1.0, 0.5), True),  # to the right at 3/4, or not at all: on the left nothing moves it
    ],
)
def test_opposite_samples_on_a_line(e: tuple[float, float], fork: bool) -> None:
    """x = ±1: the field is e_0 - γe_1 where z_0 > 0 and γe_0 - e_1 where z_0 < 0."""
    found = resolved([[1.0], [-1.0]], e, [1, 1], [1, -1])
    right, left = e[0] - 0.5 * e[1], 0.5 * e[0] - e[1]
    assert (right > 0.0 >= left) == fork
    assert found.unique is not fork
    assert found.speeds[0] == pytest.approx(right if right > 0.0 else left, rel=1e-15)


@pytest.mark.parametrize("n", [7, 9])
@pytest.mark.parametrize("repels", [True, False])
def test_more_units_than_all_choices_are_tried_for(n: int, repels: bool) -> None:
    """Orthogonal samples that repel: 2ⁿ futures; that attract: none but to rest (γ = 0)."""
    e = np.full(n, 1.0 if repels else -1.0)
    found = resolved(np.eye(n), e, np.ones(n), np.ones(n), 0.0)
    assert found.unique is not repels
    assert found.sides.tolist() == [1 if repels else 0] * n


@pytest.mark.parametrize("seed", range(40))
def test_slopes_of_several_units_are_those_of_a_search(seed: int) -> None:
    """min ‖Σ e_i θ_i x_i‖ over the box by cyclic descent, one slope at a time, which a convex problem allows."""
    rng = np.random.default_rng([41, seed])
    n, d, slope = int(rng.integers(2, 5)), int(rng.integers(2, 5)), float(rng.choice([0.0, 0.25, 0.6]))
    X, e = rng.standard_normal((n, d)), -rng.uniform(0.5, 2.0, n)
    L = sample_coordinates(X @ X.T)
    free = np.arange(n) < n - 1
    e[-1] *= -1.0
    found = minimum_norm_slopes(np.ones(n), free, e, slope, L)
    theta = np.append(np.full(n - 1, slope), 1.0)
    for _ in range(3000):
        for i in range(n - 1):
            rest = (e * theta) @ L - e[i] * theta[i] * L[i]
            theta[i] = np.clip(-(rest @ L[i]) / (e[i] * (L[i] @ L[i])), slope, 1.0)
    assert found.min() >= slope
    assert found.max() <= 1.0
    least, reached = (float(np.linalg.norm((e * np.append(t, 1.0)) @ L)) for t in (theta[:-1], found))
    assert reached == pytest.approx(least, rel=1e-7, abs=1e-9)


def test_a_slope_at_its_end_to_rounding_is_not_at_its_bound() -> None:
    """Wanted are exactly θ = (1, 1), without a push beyond: the units slide; only an active bound is exact."""
    L, e = np.array([[0.0, 2.0, 1.0], [0.0, 1.0, -1.0], [0.0, 3.0, -1.5]]), np.array([-0.5, -2.0, 1.0])
    assert np.all(-0.5 * L[0] - 2.0 * L[1] + L[2] == 0.0)
    found = minimum_norm_slopes(np.ones(3), np.array([True, True, False]), e, 0.5, L)
    assert np.all((found > 0.5) & (found < 1.0))
    np.testing.assert_allclose(found, 1.0, rtol=1e-15)
    pushed = minimum_norm_slopes(np.ones(3), np.array([True, True, False]), e * [1.0, 1.0, 1.5], 0.5, L)
    assert pushed.tolist() == [1.0, 1.0]


def test_seven_units_that_turn_only_together() -> None:
    """x_i = 1 seven times against a pull of 5: to the right at 7 - 5, to the left at 7/2 - 5, and no one alone."""
    X = np.vstack([np.tile([1.0, 0.0], (7, 1)), [-1.0, 1.0]])
    found = resolved(X, [1.0] * 7 + [5.0], [1] * 7 + [0], [1] * 8)
    assert (found.sides.tolist(), found.speeds[0], found.unique) == ([1] * 8, pytest.approx(2.0), False)
    weaker = resolved(X, [1.0] * 7 + [3.0], [1] * 7 + [0], [1] * 8)  # 7/2 - 3 > 0: to the right on both sides
    assert weaker.unique


def test_one_of_seven_units_that_turns_only_alone() -> None:
    """⟨x_0, x_i⟩ = -1/8: x_0 may turn, at 1/2 - 6/8, while the others push with slope 1, and not at 1/2 - 3/8."""
    X = np.eye(7)
    X[0] = [np.sqrt(1.0 - 6.0 / 64.0), *[-0.125] * 6]
    found = resolved(X, np.ones(7), np.ones(7), np.ones(7))
    assert (found.sides.tolist(), found.unique) == ([1] * 7, False)
    X[0] = [np.sqrt(1.0 - 6.0 / 256.0), *[-0.0625] * 6]  # 1/2 - 6/16 > 0: nothing turns x_0, and the others neither
    turned = resolved(X, np.ones(7), np.ones(7), np.ones(7))
    assert turned.unique


@pytest.mark.parametrize("seed", range(40))
def test_slopes_of_nearly_orthogonal_samples_meet_the_optimality_conditions(seed: int) -> None:
    """The derivative of ½‖(e∘θ) L‖² by θ is 0 inside and pushes against active bounds; those are exact."""
    rng = np.random.default_rng([17, seed])
    n, slope = int(rng.integers(3, 12)), 0.2
    L = np.eye(n) + 0.6 / n * rng.standard_normal((n, n))
    e, free = rng.uniform(0.2, 1.0, n) * rng.choice([-1.0, 1.0], n), rng.random(n) < 0.6
    free[0] = True
    theta = np.ones(n)
    theta[free] = minimum_norm_slopes(np.ones(n), free, e, slope, L)
    push = -e * (L @ (L.T @ (e * theta)))
    assert np.all(np.abs(push[free & (slope < theta) & (theta < 1.0)]) <= 1e-13)
    assert np.all(push[free & (theta == 1.0)] >= 0.0)
    assert np.all(push[free & (theta == slope)] <= 0.0)
    assert np.all((slope <= theta) & (theta <= 1.0))


@pytest.mark.parametrize(
    ("G", "r", "x", "active"),
    [
        ([[1.0, 0.25], [0.25, 1.0]], [0.85, 0.85], [0.68, 0.68], [0, 0]),  # both inside: x = r/(1 + 1/4)
        ([[1.0, 0.25], [0.25, 1.0]], [2.0, 0.9], [1.0, 0.65], [1, 0]),  # x_0 at 1, then x_1 = 0.9 - 1/4
        ([[1.0, 0.25], [0.25, 1.0]], [-1.0, 0.75], [0.5, 0.625], [-1, 0]),  # x_0 at 1/2, then x_1 = 0.75 - 1/8
        ([[1.0, 0.25], [0.25, 1.0]], [3.0, -3.0], [1.0, 0.5], [1, -1]),
        ([[1.0, -0.4], [-0.4, 1.0]], [1.5, 0.0], [1.0, 0.5], [1, -1]),  # x_1 = 0.4 < 1/2 once x_0 is at 1
        ([[1.0, 0.4], [0.4, 1.0]], [1.05, 1.5], [0.65, 1.0], [0, 1]),  # free at first: (0.536, 1.286)
        ([[1.0, 0.4], [0.4, 1.0]], [1.3, 0.65], [1.0, 0.5], [1, -1]),  # (1.238, 0.155); then 0.25 < 1/2, and 1.1 > 1
        ([[1.0, 0.4], [0.4, 1.0]], [1.1, 0.6], [0.9, 0.5], [0, -1]),  # (1.024, 0.19): x_0 leaves 1 when x_1 goes to 1/2
    ],
)
def test_slopes_of_independent_samples(G, r, x, active) -> None:
    """½xᵀGx - rᵀx over [1/2, 1]², by its conditions: Gx - r is 0 inside, >= 0 at 1/2, <= 0 at 1."""
    lower, upper = np.full(2, 0.5), np.ones(2)
    found = kinks._slopes_of_independent(np.array(G), np.array(r), lower, upper)
    np.testing.assert_allclose(found[0], x, rtol=1e-14)
    assert found[1].tolist() == active
    gradient = np.array(G) @ x - r
    assert all((abs(g) < 1e-12, g <= 0.0, g >= 0.0)[side] for g, side in zip(gradient, active, strict=True))


@pytest.mark.parametrize("column", [0, 1, 2])
def test_samples_that_are_near_dependent_are_left_to_another_method(column: int) -> None:
    """One row of |G| adds up to more than 3/2, whichever it is."""
    G = np.eye(3) + 0.3 * (np.arange(3) == column)[:, None] + 0.3 * (np.arange(3) == column)
    np.fill_diagonal(G, 1.0)
    assert np.sort(np.abs(G).sum(axis=0)).tolist() == [1.3, 1.3, pytest.approx(1.6)]
    assert kinks._slopes_of_independent(G, np.ones(3), np.full(3, 0.5), np.ones(3)) is None


@pytest.mark.parametrize(("push", "theta"), [(0.5, 0.5), (1.5, 0.75), (3.0, 1.0)])
def test_the_slope_of_one_unit_is_clipped(push: float, theta: float) -> None:
    """‖-2θ + push‖ is least at θ = push/2, between 1/2 and 1."""
    factor, drive = np.array([[2.0], [1.0]]), np.array([-1.0, push])
    found = minimum_norm_slopes(np.array([0.0, 1.0]), np.array([True, False]), drive, 0.5, factor)
    assert found.tolist() == [pytest.approx(theta)]
