"""The least-norm program: bounds are bounds, statuses are true, and the answer does not depend on order or units."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from importlib import import_module
from math import sqrt

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets
from verification.witnesses.convex_program import linear_max_margin, max_margin
from verification.witnesses.least_norm import SolveStatus, least_norm
from verification.witnesses.unit_rows import Program

from . import exact_programs as exact
from .programs_given import KINDS, distance, instance

least_norm_module = import_module("verification.witnesses.least_norm")


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_bounds_are_bounds_and_statuses_are_true(kind):
    """Several hundred programs: no error above its estimate, no wrong status, weights feasible in exact arithmetic."""
    seen = Counter()
    for seed in range(kind, 60 * len(KINDS), len(KINDS)):
        drawn = instance(seed)
        if drawn is None:
            continue
        network, data = drawn
        program, linear = max_margin(network, data), linear_max_margin(data)
        for found, expected, arrays in (
            (program, exact.convex_program(network, data), (program.weights(), program.coefficients @ data.X)),
            (linear, exact.linear(data), (linear.z, linear.coefficients @ data.X)),
        ):
            seen[found.status, expected is None] += 1
            if found.status is SolveStatus.SOLVED:
                assert expected is not None, seed
                assert max(distance(array, expected) for array in arrays) <= found.error_estimate <= 1e-3, seed
            else:
                assert not any(array.any() for array in arrays)
                assert found.error_estimate == np.inf
                size = np.inf if expected is None else data.R_max * sqrt(exact.dot(expected, expected))
                assert (found.status is not SolveStatus.INFEASIBLE) or expected is None, seed
                assert (found.status is not SolveStatus.INACCURATE) or np.inf > size > 1e5, seed
                assert (found.status is not SolveStatus.UNDECIDED) or size > 1e9, seed
        if linear.status is SolveStatus.SOLVED:
            z = [Fraction(value) for value in linear.z.tolist()]
            rows = exact.rationals(data.y[:, None] * data.X)
            assert min(exact.dot(row, z) for row in rows) >= 1, seed
    solved = seen[SolveStatus.SOLVED, False]
    assert solved >= 40
    undecided = sum(count for (status, _), count in seen.items() if status is SolveStatus.UNDECIDED)
    assert undecided <= (0.15 if KINDS[kind] == "opposite" else 0.02) * sum(seen.values())  # 3x is rounded
    if KINDS[kind] in ("plain", "scaled", "multiples", "integers", "one label"):
        assert set(seen) <= {(SolveStatus.SOLVED, False), (SolveStatus.INFEASIBLE, True)}


@pytest.mark.parametrize("ratio", [1e3, 1e5, 1e8])
def test_rows_of_very_different_norms(ratio):
    """z* = (1/r, 1) up to signs on orthogonal samples of norms r and 1: the tight rows decide, whatever their size."""
    data = Dataset([[ratio, 0.0], [0.0, 1.0]], [1, -1])
    found = linear_max_margin(data)
    assert found.status is SolveStatus.SOLVED
    np.testing.assert_allclose(found.z, [1.0 / ratio, -1.0], atol=1e-13)
    assert ratio * found.z[0] >= 1.0 <= -found.z[1]
    assert found.norm == pytest.approx(sqrt(1.0 + ratio**-2), rel=1e-12)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 30)) * np.geomspace(1.0, ratio, 12)[:, None]
    found = linear_max_margin(Dataset(X, np.resize([1.0, -1.0], 12)))
    assert found.status is SolveStatus.SOLVED
    assert found.error_estimate < 1e-10


def test_one_sign_of_neurons_and_a_tiny_slope():
    """γ = 1e-6, a = 1: W = v solves ⟨v, x⟩ >= 1 and -γ⟨v, x⟩ >= 1, on the axes v = (1, -1e6)."""
    network = TwoLayerNetwork([1.0], LeakyReLU(1e-6))
    found = max_margin(network, Dataset(np.eye(2), [1, -1]))
    assert found.status is SolveStatus.SOLVED
    np.testing.assert_allclose(found.weights(), [[1.0, -1e6]], atol=1e-7)
    assert found.weights()[0, 0] >= 1.0
    assert max_margin(network, datasets.gaussian(8, 40, np.random.default_rng(1))).error_estimate < 1e-10


@pytest.mark.parametrize("e", [1e-150, 1e-200, 1e-300, 5e-324])
@pytest.mark.parametrize("factor", [-2.0, 0.5])
def test_rows_that_are_independent_by_less_than_any_rounding(e, factor):
    """(1, 0) and (f, e): a solution has entries of size 1/e, whose squares overflow; none is known, none is said."""
    expected = SolveStatus.UNDECIDED if factor < 0.0 else SolveStatus.SOLVED
    assert least_norm(np.array([[1.0, 0.0], [factor, e]])).status is expected


NEARLY_OPPOSITE = [
    ([[-2.0, 1.0], [1.9999999997898796, -1.0000000002471843], [2.0, 1.0]], [-1, -1, 1]),
    ([[-2.0, 1.0], [2.0, -1.0 - 1e-9], [2.0, 1.0]], [-1, -1, 1]),
    (
        [
            [0.9989026054277413, 0.9951810072511197, 0.9970671814493781, 1.000518535531909, 1.0059472373466705],
            [-0.9989026054362237, -0.9951810073045111, -0.9970671817402177, -1.000518535928863, -1.0059472374122571],
            [1.002000733710445, 0.9994103159638555, 1.0004742923465806, 0.9994005646538465, 1.0030841295939568],
            [1.0022164562051463, 1.0009489724808847, 1.0025640246821488, 0.9969552443431464, 1.00853571153182],
        ],
        [-1, -1, -1, -1],
    ),
    ([[1.0, 0.0], [-1.0, 1e-6]], [1, 1]),
]
"""Samples that are opposite but for 1e-9 or so: λ is large, and so is the rounding of Σ λ_i y_i x_i."""


@pytest.mark.parametrize(("X", "y"), NEARLY_OPPOSITE)
def test_solved_is_said_of_the_vectors_that_are_returned(X, y):
    """Feasible over Q and within 1e-3 of the solution over Q, or INACCURATE; that a solution exists stays proven."""
    data, network = Dataset(X, y), TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    linear, program = linear_max_margin(data), max_margin(network, data)
    rows = exact.rationals(data.y[:, None] * data.X)
    slopes = [[Fraction(1 if a * sign > 0 else 0.5) for a in network.second_layer] for sign in data.y]
    assert linear.separable
    for found, vectors, expected, constraints in (
        (linear, linear.z, exact.linear(data), rows),
        (program, program.weights(), exact.convex_program(network, data), exact.weight_rows(network, data, slopes)),
    ):
        if found.status is SolveStatus.SOLVED:
            vectors = [Fraction(value) for value in vectors.ravel().tolist()]
            assert min(exact.dot(row, vectors) for row in constraints) >= 1
            assert distance([float(value) for value in vectors], expected) <= found.error_estimate <= 1e-3
        else:
            assert found.status is SolveStatus.INACCURATE
            assert not vectors.any()
            assert not found.multipliers.any() if found is program else not linear.coefficients.any()
            assert found.error_estimate == found.feasibility == np.inf
    assert (linear.norm == np.inf) == (linear.status is SolveStatus.INACCURATE)
    assert (program.objective == np.inf) == (program.status is SolveStatus.INACCURATE)


def test_data_with_columns_of_zeros_and_more_samples_than_dimensions():
    """Overlapping classes: the proof needs rows that span the space, in which a column of zeros does not count."""
    rng = np.random.default_rng(0)
    X = np.zeros((40, 6))
    X[:, [1, 4]] = rng.standard_normal((40, 2))
    data = Dataset(X, np.resize([1.0, -1.0], 40))
    assert linear_max_margin(data).status is SolveStatus.INFEASIBLE
    for slope in (0.3, 1.0):
        network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(slope))
        assert max_margin(network, data).status is SolveStatus.INFEASIBLE


def permutations(data, count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        order = rng.permutation(data.n)
        yield order, Dataset(data.X[order], data.y[order])


@pytest.mark.parametrize(
    "X",
    [
        [[1.0, 0.2], [1.0, 0.2], [1.0, 0.2], [-0.1, 1.0]],
        [[2.0, 1.0], [1.0, 2.0], [1.5, 1.5], [3.0, 0.0], [0.0, 3.0]],
        [[1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, -1.0, 1.0]],
        [[1.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, -3.0, 1.0], [0.5, 0.5, 1.0]],
    ],
)
@pytest.mark.parametrize("label", [1.0, -1.0])
def test_dependent_samples_have_one_answer_in_every_order(X, label):
    """Also the multipliers, of which there are many: those of least weighted norm, by an equation solver of its own."""
    data = Dataset(X, np.full(len(X), label))
    network = TwoLayerNetwork([1.0, -0.5], LeakyReLU(0.3))
    first, line = max_margin(network, data), linear_max_margin(data)
    for order, other in permutations(data, 6):
        again, other_line = max_margin(network, other), linear_max_margin(other)
        np.testing.assert_allclose(again.weights(), first.weights(), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(again.multipliers, first.multipliers[order], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(other_line.coefficients, line.coefficients[order], rtol=1e-10, atol=1e-12)
        assert again.duality_gap < 1e-13
    rows = data.y[:, None] * data.X
    norms = np.linalg.norm(rows, axis=1)
    tight = np.flatnonzero(rows @ line.z < 1.0 + 1e-9)
    unit = rows[tight] / norms[tight, None]
    best = least_norm_nonnegative(unit, line.z)
    np.testing.assert_allclose((label * line.coefficients * norms)[tight], best, atol=1e-8)


def least_norm_nonnegative(rows, target):
    """argmin ‖μ‖ subject to rowsᵀμ = target, μ >= 0, by trying every set of entries that are 0."""
    best = None
    for mask in range(1, 2 ** len(rows)):
        S = [i for i in range(len(rows)) if mask >> i & 1]
        mu = np.zeros(len(rows))
        mu[S] = np.linalg.lstsq(rows[S].T, target, rcond=None)[0]
        fits = np.linalg.norm(rows.T @ mu - target) < 1e-9 and mu.min() >= -1e-12
        if fits and (best is None or mu @ mu < best @ best):
            best = mu
    return best


def test_the_weights_do_not_inherit_the_condition_of_the_gram_matrix():
    """x₁ = x₀ + 1e-6: K has condition 1e12, and the old error of 1e-4; the exact solution is a 2 x 2 system."""
    for gap in (1e-3, 1e-5, 1e-6, 1e-7):
        data = Dataset([[1.0, 0.3], [1.0, 0.3 + gap]], [1, -1])
        network = TwoLayerNetwork([1.0, -0.7], LeakyReLU(0.4))
        found = max_margin(network, data)
        assert found.status is SolveStatus.SOLVED
        off = distance(found.weights(), exact.convex_program(network, data))
        assert off <= found.error_estimate <= 1e-13 / gap


def test_three_hundred_samples():
    data = datasets.gaussian(300, 500, np.random.default_rng(0))
    found = max_margin(TwoLayerNetwork.with_signs(4, 4, LeakyReLU(0.2)), data)
    assert found.status is SolveStatus.SOLVED
    assert found.error_estimate < 1e-10


@pytest.mark.parametrize("scale", [1e-120, 1.0, 1e120])
def test_units_of_the_rows_do_not_matter(scale):
    G = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, -1.0], [1.0, 1.0, 1.0]])
    plain, other = least_norm(G), least_norm(scale * G)
    np.testing.assert_allclose(other.x * scale, plain.x, rtol=1e-12)
    np.testing.assert_allclose(other.multipliers * scale * scale, plain.multipliers, rtol=1e-12, atol=1e-15)


PROGRAM = Program(np.array([[1.0, 0.0], [0.8, 0.6]]), np.array([1.0, 0.2]), 1e-15)
"""Its solution is (1, 0), with the first row alone; with both rows active one multiplier is negative."""


def through_support(xi, mu, S):
    return least_norm_module._error_through_support(PROGRAM, np.array(xi), np.array(mu), np.array(S))


def test_a_support_is_believed_only_with_its_signs_and_its_constraints():
    assert through_support([1.0, 0.0], [1.0, 0.0], [True, False]) < 1e-13
    # all active: U ξ = b and ξ = Uᵀμ hold to rounding, but a multiplier is negative
    xi = np.linalg.solve(PROGRAM.U, PROGRAM.b)
    mu = np.linalg.solve(PROGRAM.U.T, xi)
    assert mu.min() < 0.0
    assert through_support(xi, mu, [True, True]) == np.inf
    # the second row alone: μ > 0 and ξ = Uᵀμ, but the first row is violated
    assert through_support([0.16, 0.12], [0.0, 0.2], [False, True]) == np.inf
    # a wrong support that the numbers do not contradict by more than their own error
    assert through_support([1.0, 0.0], [1.0, 1e-17], [True, True]) == np.inf
    # more rows than dimensions, and none
    assert through_support([1.0, 0.0], [1.0, 0.0], [False, False]) == np.inf
