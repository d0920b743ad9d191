"""The global optimum by enumeration, by hand, by listing, by local search and over the rationals."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
from scipy.optimize import minimize

from refimpl import LeakyReLU, LogisticLoss, SmoothLeakyReLU, datasets
from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError
from refimpl.network import TwoLayerNetwork
from verification.claims.evidence import Evidence
from verification.witnesses import program_family
from verification.witnesses.convex_program import SolveStatus, least_norm, linear_max_margin
from verification.witnesses.enumeration import (
    MAX_PROGRAMS,
    can_be_enumerated,
    count_programs,
    global_optimum,
)
from verification.witnesses.limit_formula import closed_form
from verification.witnesses.program_family import ProgramFamily, solve_choice

from . import exact_programs as exact
from .enumeration_given import signs

XOR = Dataset([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], [1, -1, 1, -1])

SOLVER = 1e-8
"""Clarabel at tolerance 1e-12 leaves gaps of about 1e-11 on these instances; 1e-8 is the promise."""


def check(found, network, data):
    """What must be true of any answer, by scalar loops over the definition of (P)."""
    assert found.status is SolveStatus.SOLVED
    W, gamma = found.weights(), network.slope
    for i in range(data.n):
        q = 0.0
        for j in range(network.m):
            z = sum(W[j, k] * data.X[i, k] for k in range(data.d))
            q += data.y[i] * network.second_layer[j] * (z if z >= 0.0 else gamma * z)
        assert q >= 1.0 - 1e-9  # rounding, times the size of W
        assert q == pytest.approx(found.margins[i], rel=1e-9, abs=1e-9)
    assert found.objective == pytest.approx(0.5 * np.sum(W**2), rel=1e-10)
    assert found.lower_bound <= found.objective * (1.0 + 1e-12)
    assert found.gap < SOLVER


def without_symmetry(network, data):
    """Least value over all 2^k slope choices, each with a row for every corner of the concave units, by least_norm."""
    own = network.second_layer[:, None] * data.y > 0.0
    values = []
    for slopes in product((1.0, network.slope), repeat=int(own.sum())):
        s = np.zeros(own.shape)
        s[own] = slopes
        rows, exact = [], []
        for i in range(data.n):
            free = np.flatnonzero(~own[:, i])
            for corner in product((1.0, network.slope), repeat=free.size):
                column = s[:, i].copy()
                column[free] = corner
                signed = data.y[i] * network.second_layer
                rows.append(np.outer(signed * column, data.X[i]).ravel())
                slopes = [Fraction(a) * Fraction(c) for a, c in zip(signed, column, strict=True)]
                exact.append([slope * Fraction(x) for slope in slopes for x in data.X[i]])
        answer = least_norm(np.array(rows), 4e-16, exact.__getitem__)
        if answer.status is SolveStatus.SOLVED:
            values.append(answer.half_square)
        else:
            assert answer.status is SolveStatus.INFEASIBLE
    return min(values)


@pytest.mark.parametrize("label", [1, -1])
@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_one_sample(label, slope):
    """q = 1 at the sample: the gradient is longest with slope 1 where a_j y > 0 and γ elsewhere; min ½/length²."""
    a, x = np.array([0.5, 2.0, -1.0]), np.array([3.0, 4.0])
    network, data = TwoLayerNetwork(a, LeakyReLU(slope)), Dataset([x], [label])
    found = global_optimum(network, data)
    check(found, network, data)
    squares = sum(aj**2 * (1.0 if aj * label > 0 else slope**2) for aj in a)
    assert found.objective == pytest.approx(0.5 / (25.0 * squares), rel=SOLVER)
    assert found.rank == 1


@pytest.mark.parametrize("slope", [0.1, 0.6])
def test_orthogonal_samples(slope):
    """On orthogonal samples each is met on its own: ½ Σ 1/(‖x_i‖² (A_same + γ² A_other))."""
    network = TwoLayerNetwork([0.4, 0.9, -1.5], LeakyReLU(slope))
    data = Dataset(np.diag([1.0, 2.0, 0.5]), [1, -1, 1])
    found = global_optimum(network, data)
    check(found, network, data)
    plus, minus = 0.4**2 + 0.9**2, 1.5**2
    expected = 0.5 * (5.0 / (plus + slope**2 * minus) + 0.25 / (minus + slope**2 * plus))
    assert found.objective == pytest.approx(expected, rel=SOLVER)
    assert np.all(found.slopes == np.where(np.outer(network.second_layer, data.y) > 0.0, 1.0, slope))


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_exclusive_or(slope):
    """No linear predictor, and no network with one neuron of each sign; two of each do it."""
    network = signs(1, 1, slope)
    assert linear_max_margin(XOR).status is SolveStatus.INFEASIBLE
    impossible = global_optimum(network, XOR)  # one neuron of each sign is not enough
    assert impossible.status is SolveStatus.INFEASIBLE
    assert impossible.objective == impossible.gap == np.inf
    assert impossible.lower_bound > 1e8
    assert not impossible.weights().any()
    assert not impossible.feasible
    network = signs(2, 2, slope)
    found = global_optimum(network, XOR)
    check(found, network, XOR)
    assert found.rank == 2
    assert found.infeasible > 0
    linear = global_optimum(signs(2, 2, 1.0), XOR)
    assert linear.status is SolveStatus.INFEASIBLE
    assert linear.programs == 1


def test_exclusive_or_by_hand():
    """w_j = c x_i, one neuron a sample: z is 2c at its own sample, -2c at the opposite one, 0 at the others.

    Both samples of a label share a sign of a: q = ½ · 2c (1 - γ) = 1 for a = ±½, so ½‖W‖² = ½ · 4 · 2c² = 4/(1 - γ)².
    That these weights are optimal is what the enumeration finds: its lower bound is there.
    """
    for slope in (0.0, 0.1, 0.5):
        assert global_optimum(signs(2, 2, slope), XOR).objective == pytest.approx(4.0 / (1.0 - slope) ** 2, rel=SOLVER)


@pytest.mark.parametrize(
    ("network", "seed"),
    [
        (signs(2, 1, 0.1), 0),
        (signs(2, 1, 0.1), 1),
        (signs(2, 1, 0.0), 2),
        (TwoLayerNetwork([0.7, 0.7, 0.7], LeakyReLU(0.3)), 3),
        (TwoLayerNetwork([1.2, -0.4, 0.3], LeakyReLU(0.1)), 4),
    ],
)
@pytest.mark.parametrize("n", [2, 3])
def test_symmetry_and_exclusion_lose_nothing(network, seed, n):
    data = datasets.gaussian(n, 2, np.random.default_rng(seed), norm_ratio=2.0)
    found = global_optimum(network, data)
    check(found, network, data)
    assert found.objective == pytest.approx(without_symmetry(network, data), rel=SOLVER)


def test_every_lower_bound_is_one():
    """For each choice, λ and β taken anywhere: the bound is below the program's value, by least_norm on corners."""
    network, data = signs(2, 1, 0.2), datasets.gaussian(3, 2, np.random.default_rng(5))
    rng, scaled = np.random.default_rng(0), data.rescaled()[0]
    family = ProgramFamily.of(network, scaled)
    own = np.outer(network.second_layer, data.y) > 0.0
    choices = list(family.choices())
    assert len(choices) == count_programs(network, data)
    assert len({choice.tobytes() for choice in choices}) == len(choices)
    for s in choices:
        rows = []
        for i in range(3):
            for corner in product((1.0, 0.2), repeat=int((~own[:, i]).sum())):
                column = s[:, i].copy()
                column[~own[:, i]] = corner
                rows.append(np.outer(family.signed[:, i] * column, family.L[i]).ravel())
        answer = least_norm(np.array(rows))
        value = 0.5 * float(answer.x @ answer.x) if answer.status is SolveStatus.SOLVED else np.inf
        assert family.lower_bound(s, *solve_choice(family, s)) >= min(value, 1e8) * (1.0 - 1e-7)
        for _ in range(20):
            lam = rng.random(3)
            extra = np.where(own, 0.0, 0.8 * lam * rng.random(own.shape))
            assert family.lower_bound(s, lam, extra) <= value * (1.0 + SOLVER)


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_no_local_search_finds_less(seed):
    """SLSQP from random starts, q >= 1 with the activation itself; some starts reach the global optimum."""
    network, data = signs(2, 2, 0.1), datasets.gaussian(4, 3, np.random.default_rng(seed))
    found = global_optimum(network, data)
    check(found, network, data)
    rng, best = np.random.default_rng(seed), np.inf
    shape = (network.m, data.d)
    for _ in range(25):
        result = minimize(
            lambda w: 0.5 * w @ w,
            np.sqrt(found.objective / 6.0) * rng.standard_normal(network.m * data.d),
            jac=lambda w: w,
            constraints={"type": "ineq", "fun": lambda w: network.margins(w.reshape(shape), data) - 1.0},
            method="SLSQP",
            options={"maxiter": 200, "ftol": 1e-12},
        )
        smallest = float(network.margins(result.x.reshape(shape), data).min())
        if smallest > 0.0:
            best = min(best, 0.5 * float(np.sum(result.x**2)) / smallest**2)
    assert best >= found.lower_bound * (1.0 - 1e-9)
    assert best <= found.objective * 1.05  # so that the comparison says something


@pytest.mark.parametrize("network", [signs(1, 1, 0.5), signs(2, 2, 0.3), TwoLayerNetwork([0.6, -1.1], LeakyReLU(0.4))])
def test_closed_form_is_global_where_the_conditions_hold(network):
    """Section 5 (every KKT point is the closed form) against section 13, which knows nothing of it."""
    data = datasets.gaussian(4, 2000, np.random.default_rng(0), norm_ratio=1.3)
    found, exact = global_optimum(network, data), closed_form(network, data)
    check_refined = Evidence(network, data, LogisticLoss(), ()).hypotheses.refined
    assert check_refined.satisfied
    assert found.objective == pytest.approx(exact.objective, rel=SOLVER)
    np.testing.assert_allclose(found.weights(), exact.weights(), atol=1e-6 * np.linalg.norm(exact.weights()))


def test_linear_network_is_the_linear_max_margin():
    """γ = 1: f(x) = ⟨Σ a_j w_j, x⟩, so ½‖W‖² = ½‖z*‖²/Σ a_j²."""
    network, data = TwoLayerNetwork([0.5, -2.0], LeakyReLU(1.0)), datasets.gaussian(7, 20, np.random.default_rng(0))
    found = global_optimum(network, data)
    assert found.programs == count_programs(network, data) == 1
    assert found.objective == pytest.approx(0.5 * linear_max_margin(data).norm ** 2 / 4.25, rel=SOLVER)


def test_relu_without_a_neuron_for_a_label():
    data = Dataset(np.eye(2), [1, -1])
    assert global_optimum(signs(2, 0, 0.0), data).status is SolveStatus.INFEASIBLE
    assert global_optimum(signs(2, 0, 0.1), data).status is SolveStatus.SOLVED


@pytest.mark.parametrize("exponent", [-400, -20, 30, 400])
def test_units_of_the_data_do_not_matter(exponent):
    """W for 2^k X is W/2^k: exactly, because the work is done in the same units."""
    network, data = signs(2, 1, 0.1), datasets.gaussian(3, 2, np.random.default_rng(1))
    plain, other = global_optimum(network, data), global_optimum(network, Dataset(np.ldexp(data.X, exponent), data.y))
    assert other.gap == plain.gap
    assert np.array_equal(other.weights(), np.ldexp(plain.weights(), -exponent))
    assert other.objective == np.ldexp(plain.objective, -2 * exponent)


@pytest.mark.parametrize(
    ("second_layer", "labels"),
    [([1, 1, -1], [1, -1]), ([1, 1, 1], [1, 1]), ([1, 2, -1, -1], [1, -1, 1]), ([3.0], [1, 1, -1])],
)
def test_count_by_listing(second_layer, labels):
    """All slope choices as frozen multisets of (a_j, slope vector)."""
    own = [[i for i, y in enumerate(labels) if a * y > 0] for a in second_layer]
    rows = [[(a, s) for s in product((0, 1), repeat=len(mine))] for a, mine in zip(second_layer, own, strict=True)]
    distinct = {tuple(sorted(choice)) for choice in product(*rows)}
    network, data = TwoLayerNetwork(second_layer, LeakyReLU(0.3)), Dataset(np.eye(len(labels)), labels)
    assert count_programs(network, data) == len(distinct)
    assert global_optimum(network, data).programs == len(distinct)


def test_too_many_programs_are_refused_in_one_sentence():
    network = signs(2, 2, 0.1)
    data = datasets.gaussian(8, 10, np.random.default_rng(0))
    count = comb(2**4 + 1, 2) ** 2
    assert count_programs(network, data) == count > MAX_PROGRAMS
    with pytest.raises(InvalidParameterError, match=rf"^`number of programs` must be at most 4096; got {count}\.$"):
        global_optimum(network, data)
    many = datasets.gaussian(300, 10, np.random.default_rng(0))
    assert not can_be_enumerated(network, many)
    with pytest.raises(InvalidParameterError, match=r"; got about 2\^598\.$"):  # binom(2^150 + 1, 2)² ≈ 2^(4·150 - 2)
        global_optimum(network, many)


def test_arguments_are_checked():
    data = Dataset([[1.0]], [1])
    smooth = TwoLayerNetwork([1.0], SmoothLeakyReLU(0.5, 1.0))
    for function in (global_optimum, count_programs):
        with pytest.raises(InvalidParameterError, match=f"^`activation` must be a LeakyReLU for {function.__name__}"):
            function(smooth, data)
    with pytest.raises(InvalidParameterError, match=r"^`n_jobs` must be a whole number"):
        global_optimum(signs(1, 1, 0.5), data, n_jobs=0)


def test_workers_give_the_same_answer_and_report_progress():
    network, data = signs(2, 2, 0.1), datasets.gaussian(6, 10, np.random.default_rng(0))
    told: list[str] = []
    alone, both = global_optimum(network, data), global_optimum(network, data, n_jobs=2, progress=told.append)
    assert (both.objective, both.lower_bound, both.solved) == (alone.objective, alone.lower_bound, alone.solved)
    assert np.array_equal(both.coefficients, alone.coefficients)
    assert told[0] == "global optimum by enumeration: 256 of 1296 programs"
    assert told[-1] == "global optimum by enumeration: 1296 of 1296 programs"
    assert both.solved < both.programs == 1296


def test_interruption_is_not_swallowed():
    def interrupt(message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        global_optimum(signs(1, 1, 0.1), Dataset(np.eye(2), [1, -1]), progress=interrupt)


def test_a_solver_that_fails_widens_the_gap(monkeypatch):
    """The bounds are recomputed: without an answer of the active-set method they are wide, and still bounds."""
    network, data = signs(2, 1, 0.1), Dataset([[1.0, 0.3], [-0.2, 1.5], [0.9, 0.8]], [1, -1, -1])
    right = global_optimum(network, data)
    monkeypatch.setattr(program_family, "active_set", lambda U, b, size: iter(()))
    found = global_optimum(network, data)
    assert found.status is SolveStatus.INACCURATE
    assert found.lower_bound <= right.objective <= found.objective


def test_a_wrong_answer_of_the_solver_gives_bounds_all_the_same(monkeypatch):
    """Multipliers that leave [γλ, λ] would prove too much: they are clipped."""

    network, data = signs(2, 1, 0.1), Dataset([[1.0, 0.3], [-0.2, 1.5], [0.9, 0.8]], [1, -1, -1])
    right = global_optimum(network, data)
    rng = np.random.default_rng(0)
    for _ in range(20):
        monkeypatch.setattr(
            program_family, "active_set", lambda U, b, size: iter([(U.T @ b, rng.normal(0.5, 1.0, len(b)))])
        )
        found = global_optimum(network, data)
        assert 0.0 <= found.lower_bound <= right.objective * (1.0 + 1e-12)
        assert found.objective >= right.objective * (1.0 - 1e-12)


@pytest.mark.parametrize("seed", range(24))
def test_against_all_sides_over_the_rationals(seed):
    """Opposite and widely scaled samples; sides as constraints, no slope chosen, no float."""
    rng = np.random.default_rng(seed)
    n, m = (2, 2) if seed % 2 else (3, 1)
    X, y = rng.standard_normal((n, 1 + seed % 3)), rng.choice([-1.0, 1.0], n)
    if seed % 4 < 2:
        X[1] = -2.0 * X[0]
    X = X * 2.0 ** rng.integers(-7, 8, (n, 1))  # so that opposite samples stay opposite
    a = rng.choice([-1.0, 1.0], m) * 10 ** rng.uniform(-1, 1, m)
    network = TwoLayerNetwork(a, LeakyReLU(float(rng.choice([0.0, 0.1, 0.7]))))
    data = Dataset(X, y)
    found, least = global_optimum(network, data), exact.global_objective(network, data)
    if least is None:
        assert found.status in (SolveStatus.INFEASIBLE, SolveStatus.UNDECIDED)
        assert found.objective == np.inf
    else:
        assert found.status is SolveStatus.SOLVED
        assert found.objective == pytest.approx(float(least), rel=1e-9)
        assert found.lower_bound <= float(least) * (1.0 + 1e-15)
