"""One neuron's pattern against sums, the minimum of a norm, and matrices built from scratch."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.flow.independence import sample_coordinates
from refimpl.flow.kinks import resolve_arrival, resolve_kinks
from refimpl.flow.margin_matrix import MarginMatrix
from refimpl.flow.pattern import Pattern


def drawn(seed: int, n: int, slope: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, Pattern]:
    """X, K, a_j y and a pattern with about a third of its units sliding."""
    rng = np.random.default_rng(seed)
    X, a_y = rng.standard_normal((n, n + 2)), 1.3 * rng.choice([-1.0, 1.0], n)
    sides, K = rng.integers(-1, 2, n).astype(np.int8), X @ X.T
    return X, K, a_y, Pattern.of(a_y, slope, K, sides, np.flatnonzero(sides == 0))


def projected(pattern: Pattern, X: np.ndarray, w: np.ndarray) -> np.ndarray:
    """dw_j/ds: what the units beside their kinks push, without its part in the span of the sliding samples."""
    pushed = (pattern.drive * w) @ X
    T = X[pattern.samples]
    return pushed - (np.linalg.pinv(T) @ (T @ pushed) if len(T) else 0.0)


@pytest.mark.parametrize("seed", range(6))
def test_everything_is_the_projected_row(seed: int) -> None:
    X, _, _, pattern = drawn(seed, 7, 0.3)
    w = np.random.default_rng(seed).random(7)
    velocity = projected(pattern, X, w)
    np.testing.assert_allclose(pattern.increment(w) @ X, velocity, atol=1e-12)
    np.testing.assert_allclose(pattern.unit_rows(np.arange(7)) @ w, X @ velocity, atol=1e-11)
    one_each = np.array([projected(pattern, X, e) for e in np.eye(7)])
    np.testing.assert_allclose(pattern.part_of_matrix(), one_each @ one_each.T, atol=1e-11)  # ‖dw_j/ds‖² = wᵀM_j w
    rest = X - X @ np.linalg.pinv(X[pattern.samples]) @ X[pattern.samples] if pattern.samples.size else X
    for i in range(7):
        np.testing.assert_allclose(pattern.schur_row(i), rest @ rest[i], atol=1e-11)


@pytest.mark.parametrize("seed", range(30))
def test_the_matrix_follows_any_change_of_a_pattern(seed: int) -> None:
    """Samples leave T, take other slopes and join T, many at once; `bend` bounds what that does ahead."""
    _, K, a_y, before = drawn(seed, 6, 0.3)
    rng = np.random.default_rng([1, seed])
    sides = np.where(rng.random(6) < 0.5, before.sides, rng.integers(-1, 2, 6)).astype(np.int8)
    after, other = Pattern.of(a_y, 0.3, K, sides, np.flatnonzero(sides == 0)), np.diag(rng.random(6) + 1.0)
    matrix = MarginMatrix(K, lambda: other + before.part_of_matrix())
    matrix.ahead, start = rng.random(6), matrix.M.copy()
    changed = np.flatnonzero(before.sides != sides)
    matrix.exchange(before, before.with_sides(sides, after.drive, after.samples), changed)
    np.testing.assert_allclose(matrix.M, other + after.part_of_matrix(), rtol=0.0, atol=1e-11 * np.abs(start).max())
    assert matrix.bend >= (np.abs(matrix.M - start) @ matrix.ahead).max() * (1.0 - 1e-9)


def test_a_slope_that_changes_bends_the_margins_of_other_samples() -> None:
    """K = (1, 10; 10, 101), E_0 from 1/2 to 1: ΔM = (3/4, 5; 5, 0), and with c_0 to go by 1 that is (3/4, 5)."""
    K, a_y, sides = np.array([[1.0, 10.0], [10.0, 101.0]]), np.ones(2), np.array([-1, 1], dtype=np.int8)
    none = np.zeros(0, dtype=np.intp)
    before, after = Pattern.of(a_y, 0.5, K, sides, none), Pattern.of(a_y, 0.5, K, np.abs(sides), none)
    matrix = MarginMatrix(K, before.part_of_matrix)
    matrix.ahead = np.array([1.0, 0.0])
    matrix.exchange(before, after, np.array([0]))
    assert matrix.bend == pytest.approx(5.0)


def test_a_unit_that_arrives_while_others_slide_does_what_the_least_squares_problem_says() -> None:
    answers = []
    for seed in range(400):
        rng = np.random.default_rng([2, seed])
        n, slope = int(rng.integers(3, 8)), float(rng.choice([0.0, 0.1, 0.5]))
        X = rng.standard_normal((n, n + 2))
        K, L, drive = X @ X.T, sample_coordinates(X @ X.T), rng.standard_normal(n) * rng.choice([1.0, 4.0], n)
        i, sides = int(rng.integers(n)), rng.choice(np.array([-1, 1], np.int8), n)
        others = (np.arange(n) != i) & (drive < 0.0)
        sides = resolve_kinks(sides, others, drive, slope, K, L).sides  # some of these slide, the others have left
        pattern = Pattern.of(drive, slope, K, sides, np.flatnonzero(sides == 0))
        started, at_kink = sides.copy(), (sides == 0) | (np.arange(n) == i)
        started[i] *= -1
        expected = resolve_kinks(started, at_kink, drive, slope, K, L).sides
        found = resolve_arrival(i, pattern, drive, slope)
        if found is None or not pattern.samples.size:
            answers.append("open" if found is None else "alone")
            continue
        assert found == expected[i]
        np.testing.assert_array_equal(expected[pattern.samples], 0)
        answers.append("slides" if found == 0 else "turns" if found == sides[i] else "crosses")
    counts = {answer: answers.count(answer) for answer in ("slides", "crosses", "turns", "open")}
    assert min(counts["slides"], counts["crosses"], counts["turns"]) > 8, counts
    assert counts["open"] < 200, counts
