"""The convex programs against the same programs over the rationals, on data that are hard for floats."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from importlib import import_module
from math import sqrt

import numpy as np
import pytest
from scipy.optimize import linprog

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork, datasets
from refimpl.errors import InvalidDataError
from refimpl.spectrum import sample_factor
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import separability
from verification.witnesses import cvxpy_solver
from verification.witnesses.convex_program import linear_max_margin, max_margin
from verification.witnesses.infeasibility import _robust_combination
from verification.witnesses.least_norm import SolveStatus, least_norm
from verification.witnesses.limit_formula import closed_form
from verification.witnesses.unit_rows import Program, smallest_singular_value

from . import exact_programs as exact

least_norm_module = import_module("verification.witnesses.least_norm")

KINDS = ("plain", "collinear", "scaled", "multiples", "opposite", "one label", "integers", "collinear and scaled")


def instance(seed):
    """A network and data of one of the kinds, n <= 5, or None where the draw is no data set."""
    rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
    n, d, m = int(rng.integers(1, 6)), int(rng.integers(1, 5)), int(rng.integers(1, 4))
    X, y = rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n)
    if kind.startswith("collinear"):
        X = X[:1] * rng.choice([-1, 1], (n, 1)) * rng.uniform(0.5, 2.0, (n, 1)) + 10 ** rng.uniform(-8, -1) * X
    if kind.endswith("scaled"):
        X = X * 10 ** rng.uniform(-3, 3, (n, 1))
    if kind == "multiples":
        X[-1], y[-1] = X[0] * rng.choice([1.0, 2.0, 0.3]), y[0]
    if kind == "opposite" and n > 1:
        X[1] = -X[0] * rng.choice([1.0, 0.5, 3.0])
    if kind == "one label":
        y[:] = 1.0
    if kind == "integers":
        X = rng.integers(-2, 3, (n, d)).astype(float)
        X[~X.any(axis=1)] = 1.0
    a = rng.choice([-1.0, 1.0], m) * (10 ** rng.uniform(-1, 1, m) if seed % 2 else 1.0)
    a = np.abs(a) if seed % 5 == 0 else a
    network = TwoLayerNetwork(a, LeakyReLU(float(rng.choice([0.0, 1e-6, 0.01, 0.1, 0.5, 0.9, 1.0]))))
    try:
        return network, Dataset(X, y)
    except InvalidDataError:
        return None


def distance(found, expected):
    """‖found - expected‖/‖expected‖, the difference over Q."""
    found = [Fraction(value) for value in np.ravel(found).tolist()]
    off = sum((p - q) ** 2 for p, q in zip(found, expected, strict=True))
    return sqrt(off / sum(q * q for q in expected))


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
    """(1, 0) and (f, e): a solution has entries of size 1/e, whose squares overflow; none is found or refuted."""
    expected = SolveStatus.UNDECIDED if factor < 0.0 else SolveStatus.SOLVED
    assert least_norm(np.array([[1.0, 0.0], [factor, e]])).status is expected


@pytest.mark.parametrize("n", [6, 20, 60])
@pytest.mark.parametrize("overlap", [True, False])
def test_separability_against_linear_programming(n, overlap):
    """HiGHS on max t subject to y_i ⟨z, x_i⟩ >= t ‖x_i‖, |z| <= 1: t* > 0 means separable."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        y = np.resize([1.0, -1.0], n)
        X = rng.standard_normal((n, 4)) + (0.0 if overlap else 3.0) * y[:, None] * np.array([1.0, 0.5, 0.0, 0.0])
        X = X * 10 ** rng.uniform(-3, 3, (n, 1))
        norms = np.linalg.norm(X, axis=1)
        rows = np.hstack([-y[:, None] * X / norms[:, None], np.ones((n, 1))])
        best = linprog([0, 0, 0, 0, -1], rows, np.zeros(n), bounds=[(-1, 1)] * 4 + [(None, 1)])
        found = linear_max_margin(Dataset(X, y))
        assert found.separable == (-best.fun > 1e-9)
        assert found.status is (SolveStatus.SOLVED if found.separable else SolveStatus.INFEASIBLE)


def test_separability_within_rounding_is_undecided_and_not_guessed():
    """Opposite but for 1e-17: separable by z = (1, 2e17) alone, which floats of unit size cannot tell from opposite."""
    near = Dataset([[1.0, 0.0], [-1.0, 1e-17]], [1, 1])
    assert linear_max_margin(near).status is SolveStatus.UNDECIDED
    assert not linear_max_margin(near).separable
    opposite = Dataset([[1.0, 0.0], [-1.0, 0.0]], [1, 1])
    assert linear_max_margin(opposite).status is SolveStatus.INFEASIBLE
    clear = Dataset([[1.0, 0.0], [-1.0, 1e-6]], [1, 1])
    found = linear_max_margin(clear)
    assert found.status is SolveStatus.SOLVED
    assert distance(found.z, exact.linear(clear)) <= found.error_estimate < 1e-6
    network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
    hypotheses = [separability(Evidence(network, data, LogisticLoss(), ())) for data in (near, opposite, clear)]
    assert [hypothesis.satisfied for hypothesis in hypotheses] == [False, False, True]


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


def test_a_row_that_is_zero_by_underflow_proves_nothing():
    """ReLU, y = -1: only the neuron of mass 1e-306 meets ⟨w, x⟩ >= 1e153, and its share of the masses is 1e-612."""
    network = TwoLayerNetwork([1e153, -1e-153], LeakyReLU(0.0))
    assert max_margin(network, Dataset([[1.0]], [-1])).status is SolveStatus.UNDECIDED
    assert max_margin(TwoLayerNetwork([1e153], LeakyReLU(0.0)), Dataset([[1.0]], [-1])).status is SolveStatus.INFEASIBLE


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


def test_unit_samples_keep_their_inner_products():
    """Against extended precision, on nearly collinear rows of very different norms, in both ways of the factor."""
    rng = np.random.default_rng(0)
    for n, d in ((2, 2), (5, 3), (20, 400), (40, 7)):
        for near in (0.0, 1e-7):
            X = rng.standard_normal((n, d))
            X = (X if near == 0.0 else X[:1] + near * X) * 10 ** rng.uniform(-3, 3, (n, 1))
            L, rounding = sample_factor(X, X @ X.T)
            wide = X.astype(np.longdouble)
            wide /= np.sqrt(np.sum(wide**2, axis=1))[:, None]
            off = np.abs(L.astype(np.longdouble) @ L.T.astype(np.longdouble) - wide @ wide.T).max()
            assert off <= 2.0 * rounding
            assert rounding < 1e-14


def test_several_blocks_of_columns_give_the_same_factor(monkeypatch):
    from refimpl import spectrum

    X = np.random.default_rng(0).standard_normal((4, 50))
    X[1] = X[0] + 1e-3 * X[1]
    once, _ = sample_factor(X, X @ X.T)
    monkeypatch.setattr(spectrum, "QR_BLOCK_ENTRIES", 28)
    blocks, _ = sample_factor(X, X @ X.T)
    np.testing.assert_allclose(blocks @ blocks.T, once @ once.T, atol=1e-15)


def test_three_hundred_samples():
    data = datasets.gaussian(300, 500, np.random.default_rng(0))
    found = max_margin(TwoLayerNetwork.with_signs(4, 4, LeakyReLU(0.2)), data)
    assert found.status is SolveStatus.SOLVED
    assert found.error_estimate < 1e-10


def test_what_cvxpy_says_while_it_is_imported_stays_inside():
    """A solver that fails to load is told of on standard error by CVXPY; here nothing is, and a user's own use is."""
    code = (
        "import sys, warnings\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('osqp', 'scs'):\n"
        "            warnings.warn('deprecated')\n"
        "            raise RuntimeError('a library is missing')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "import numpy as np\n"
        "from verification.witnesses.least_norm import least_norm\n"
        "print(least_norm(np.eye(2)).status.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "SOLVED\n"
    assert done.stderr == ""
    plain = subprocess.run(
        [
            sys.executable,
            "-c",
            code.replace("from verification", "import cvxpy; from verification", 1),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "unexpected exception importing solver" in plain.stderr  # so that the test can fail
    cvxpy_solver.load_cvxpy()
    assert logging.getLogger(cvxpy_solver.LOGGER).filters == []


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


def test_the_bound_of_the_closed_form_carries_the_condition():
    """M λ = 1 over Q: on nearly dependent samples the residual is tiny and λ is wrong by eps cond M all the same."""
    compared = 0
    for seed in range(400):
        drawn = instance(seed)
        if drawn is None:
            continue
        network, data = drawn
        gamma = Fraction(network.slope)
        slopes = [[Fraction(1) if a * y > 0 else gamma for a in network.second_layer] for y in data.y]
        rows = exact.weight_rows(network, data, slopes)
        lam = exact.solve([[exact.dot(p, q) for q in rows] for p in rows], [Fraction(1)] * data.n)
        found = closed_form(network, data)
        if lam is None:
            assert found.status is SolveStatus.SINGULAR or found.error_estimate > 1e-3, seed
            continue
        if found.status is SolveStatus.SOLVED:
            compared += 1
            W = [exact.dot(lam, column) for column in zip(*rows, strict=True)]
            assert distance(found.weights(), W) <= found.error_estimate, seed
            if found.error_estimate < 1e-3:
                assert found.solves_program == (min(lam) >= 0), seed
    assert compared > 150


def test_a_combination_that_is_nearly_zero_proves_nothing():
    """Rows that all have y > 0 are separable by (0, 1), although their combination is 0 up to 1e-9."""
    for height in (1e-9, 1e-6, 0.0):
        U = np.array([[1.0, height], [-1.0, height], [0.6, 0.8], [-0.6, 0.8 if height else -1.6]])
        U /= np.linalg.norm(U, axis=1)[:, None]
        program = Program(U, np.ones(4), 1e-15)
        mu, S = np.array([0.5, 0.5, 1e-10, 1e-10]), np.arange(4)
        if height == 0.0:  # here they positively span the plane: a combination with sizeable weights proves it
            mu = np.array([1.0, 1.0, 0.8, 0.0]) + np.array([0.0, 0.0, 0.0, 0.8 * U[2, 1] / -U[3, 1]])
            mu[:2] += np.array([max(0.0, -(U[:, 0] @ mu)), max(0.0, U[:, 0] @ mu)])
        assert _robust_combination(program, S, mu) == (height == 0.0)


# --- many rows: the same answers, for less -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [120, 310])
def test_many_rows_that_are_all_tight_are_solved_by_one_linear_system(n: int) -> None:
    """‖ξ‖² = 1ᵀ(U Uᵀ)⁻¹1, and no nonnegative least squares; from 300 on CVXPY's answer comes by way of faer."""
    U = np.random.default_rng(n).standard_normal((n, n + 60)) + 4.0
    U /= np.linalg.norm(U, axis=1)[:, None]
    found = least_norm(U)
    mu = np.linalg.solve(U @ U.T, np.ones(n))
    if mu.min() > 0.0:
        np.testing.assert_allclose(found.multipliers, mu, rtol=1e-7, atol=1e-9)
    assert found.status is SolveStatus.SOLVED
    assert found.tolerance is not None
    margins = U @ found.x
    assert margins.min() >= 1.0
    assert found.multipliers.min() >= 0.0
    np.testing.assert_allclose(U.T @ found.multipliers, found.x, atol=1e-7)  # with margins 1 where λ > 0: the KKT point
    np.testing.assert_allclose(margins[found.multipliers > 1e-6], 1.0, atol=1e-7)
    assert found.error_estimate < 1e-8


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-5, 0.0])
def test_thesmallest_singular_value_is_never_overestimated(spread: float) -> None:
    rows = np.random.default_rng(0).standard_normal((130, 150))
    rows[1] = rows[0] + spread * rows[1]
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    found, exact = smallest_singular_value(rows), np.linalg.svd(rows, compute_uv=False)[-1]
    assert found <= exact * (1.0 + 1e-12)
    assert found >= exact * (1.0 - 1e-4)
