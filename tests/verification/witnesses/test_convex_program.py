"""(C), its closed form, the linear predictor and the bound of section 11, against other routes to each."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize

from refimpl import Dataset, LeakyReLU, SmoothLeakyReLU, TwoLayerNetwork, datasets
from refimpl.errors import InvalidParameterError
from verification.witnesses.bounds import margin_bound, paper_margin_bound
from verification.witnesses.convex_program import SolveStatus, linear_max_margin, max_margin
from verification.witnesses.least_norm import TOLERANCE_LADDER, _best, _checked
from verification.witnesses.limit_formula import closed_form
from verification.witnesses.unit_rows import Program

least_norm_module = import_module("verification.witnesses.least_norm")

AGREEMENT = 1e-8
"""Clarabel at tolerance 1e-12 leaves about 1e-12 in W on these well-conditioned instances; 1e-8 is the promise."""


def by_support_enumeration(A):
    """argmin ½‖x‖² subject to A x >= 1, by solving for every support of the multipliers."""
    n = A.shape[0]
    for support in product((True, False), repeat=n):
        S = np.flatnonzero(support)
        if S.size == 0 or np.linalg.matrix_rank(A[S]) < S.size:
            continue
        x = np.linalg.pinv(A[S]) @ np.ones(S.size)
        lam = np.linalg.pinv(A[S]).T @ x
        if lam.min() >= -1e-12 and (A @ x).min() >= 1.0 - 1e-10:
            return x
    return None


def program_in_weight_space(network, data):
    """(C) for all rows w_j in R^d, as its own constraint matrix: the signs of z_ji are those of a_j y_i."""
    a, gamma = network.second_layer, network.slope
    rows = []
    for x, y in zip(data.X, data.y, strict=True):
        rows.append(np.concatenate([y * aj * (1.0 if aj * y > 0 else gamma) * x for aj in a]))
    return np.array(rows)


NETWORKS = {
    "paper's": TwoLayerNetwork.with_signs(3, 2, LeakyReLU(0.3)),
    "unequal": TwoLayerNetwork([0.3, -2.0, 1.1, -0.4], LeakyReLU(0.6)),
    "positive only": TwoLayerNetwork([0.7, 1.3], LeakyReLU(0.4)),
    "negative only": TwoLayerNetwork([-0.7], LeakyReLU(0.4)),
    "ReLU": TwoLayerNetwork.with_signs(1, 2, LeakyReLU(0.0)),
    "linear": TwoLayerNetwork.with_signs(2, 2, LeakyReLU(1.0)),
}


@pytest.mark.parametrize("correlation", [0.0, 0.6])
@pytest.mark.parametrize("name", NETWORKS)
def test_program_agrees_with_enumeration_of_supports(name, correlation):
    network = NETWORKS[name]
    data = datasets.correlated(4, 6, np.random.default_rng(7), correlation)
    W = by_support_enumeration(program_in_weight_space(network, data)).reshape(network.m, data.d)
    found = max_margin(network, data)
    assert found.status is SolveStatus.SOLVED
    np.testing.assert_allclose(found.weights(), W, atol=AGREEMENT * np.linalg.norm(W))
    assert found.objective == pytest.approx(0.5 * np.sum(W**2), rel=AGREEMENT)
    assert found.tolerance in TOLERANCE_LADDER
    assert found.feasibility < 1e-8
    # multipliers reproduce W: w_j = Σ λ_i y_i a_j Φ_ji x_i, and ½‖W‖² = ½ Σ λ_i
    rows = found.multipliers @ program_in_weight_space(network, data)
    np.testing.assert_allclose(rows.reshape(W.shape), W, atol=1e-7 * np.linalg.norm(W))
    assert 0.5 * found.multipliers.sum() == pytest.approx(found.objective, rel=1e-7)
    assert np.linalg.norm(found.weights() - W) / np.linalg.norm(W) <= found.error_estimate < 1e-4


def test_rows_of_the_weights_are_v_and_u():
    network, data = NETWORKS["unequal"], datasets.gaussian(3, 5, np.random.default_rng(0))
    found = max_margin(network, data)
    for j, a in enumerate(network.second_layer):
        np.testing.assert_allclose(found.weights()[j], 2.0 * abs(a) * (found.v if a > 0 else found.u), rtol=1e-12)
    paper = max_margin(NETWORKS["paper's"], data)
    np.testing.assert_allclose(paper.weights(), [paper.v] * 3 + [paper.u] * 2, rtol=1e-12)


def test_program_as_it_is_printed():
    """SLSQP on (v, u) in R^2d with the formulas of section 3."""
    m1, m2, gamma = 3, 2, 0.3
    data = datasets.gaussian(4, 5, np.random.default_rng(3), norm_ratio=2.0)
    root = np.sqrt(m1 + m2)

    def margins(p):
        v, u = data.X @ p[:5], data.X @ p[5:]
        plus, minus = (m1 * v - gamma * m2 * u) / root, (m2 * u - gamma * m1 * v) / root
        return np.where(data.y > 0, plus, minus) - 1.0

    best = minimize(
        lambda p: 0.5 * (m1 * p[:5] @ p[:5] + m2 * p[5:] @ p[5:]),
        np.ones(10),
        constraints={"type": "ineq", "fun": margins},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    found = max_margin(TwoLayerNetwork.with_signs(m1, m2, LeakyReLU(gamma)), data)
    # SLSQP differentiates numerically: 1e-6 is what it reaches
    np.testing.assert_allclose(np.concatenate([found.v, found.u]), best.x, atol=1e-5)
    assert found.objective == pytest.approx(best.fun, rel=1e-7)


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e6])
@pytest.mark.parametrize("name", ["paper's", "unequal", "positive only"])
def test_closed_form_is_the_programs_solution_where_all_constraints_are_active(name, scale):
    network = NETWORKS[name]
    data = datasets.gaussian(12, 3000, np.random.default_rng(1), norm_ratio=1.5)
    data = Dataset(scale * data.X, data.y)
    exact, found = closed_form(network, data), max_margin(network, data)
    assert exact.status is SolveStatus.SOLVED
    assert exact.solves_program
    W = exact.weights()
    np.testing.assert_allclose(program_in_weight_space(network, data) @ W.ravel(), 1.0, rtol=1e-11)
    assert np.linalg.norm(found.weights() - W) <= AGREEMENT * np.linalg.norm(W)
    assert exact.objective == pytest.approx(0.5 * np.sum(W**2), rel=1e-11)
    assert exact.error_estimate < 1e-9


def test_closed_form_with_a_negative_multiplier_certifies_nothing():
    """x₂ = 3x₁ + a little: its constraint is slack at the optimum, so all-active is wrong."""
    network = NETWORKS["paper's"]
    data = Dataset([[1.0, 0.0], [3.0, 0.1]], [1, 1])
    exact = closed_form(network, data)
    assert exact.status is SolveStatus.SOLVED
    assert exact.multipliers.min() < 0.0
    assert not exact.solves_program
    assert not exact.is_kkt_point
    assert max_margin(network, data).objective < exact.objective * (1.0 - 1e-3)


def test_closed_form_says_whether_the_signs_are_strict():
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.1))
    seen = set()
    for seed in range(30):
        data = datasets.correlated(4, 30, np.random.default_rng(seed), (0.0, 0.5)[seed % 2])
        exact = closed_form(network, data)
        W = exact.weights()
        strict = bool(np.all(np.sign(W @ data.X.T) == np.sign(network.second_layer)[:, None] * data.y))
        assert exact.is_kkt_point == (exact.solves_program and strict)
        assert (exact.sign_slack > 0.0) == strict
        if exact.is_kkt_point:  # then the margins of the network itself are those of the program
            np.testing.assert_allclose(network.margins(W, data), 1.0, rtol=1e-10)
        seen.add((exact.solves_program, strict))
    assert {(True, True), (True, False)} <= seen


def test_repeated_samples_make_the_closed_form_singular_and_not_the_program():
    X = np.array([[1.0, 0.2], [1.0, 0.2], [-0.1, 1.0]])
    data, once = Dataset(X, [1, 1, -1]), Dataset(X[1:], [1, -1])
    network = NETWORKS["unequal"]
    exact = closed_form(network, data)
    assert exact.status is SolveStatus.SINGULAR
    assert exact.objective == exact.error_estimate == np.inf
    assert not exact.solves_program
    reference = closed_form(network, once).weights()
    np.testing.assert_allclose(max_margin(network, data).weights(), reference, atol=1e-7)


@pytest.mark.parametrize(("network", "label"), [((2, 0), -1), ((0, 2), 1)])
def test_relu_without_neurons_for_a_label_is_infeasible(network, label):
    relu = TwoLayerNetwork.with_signs(*network, LeakyReLU(0.0))
    data = Dataset([[1.0, 0.0], [0.0, 1.0]], [label, -label])
    found = max_margin(relu, data)
    assert found.status is SolveStatus.INFEASIBLE
    assert found.objective == found.duality_gap == found.error_estimate == np.inf
    assert not found.weights().any()
    assert closed_form(relu, data).status is SolveStatus.SINGULAR
    leaky = TwoLayerNetwork.with_signs(*network, LeakyReLU(0.1))
    assert max_margin(leaky, data).status is SolveStatus.SOLVED


def test_data_that_no_line_separates():
    data = Dataset([[1.0, 0.0], [-1.0, 0.1], [-1.0, -0.1]], [1, 1, 1])
    linear = linear_max_margin(data)
    assert linear.status is SolveStatus.INFEASIBLE
    assert linear.norm == np.inf
    assert not linear.z.any()
    assert max_margin(NETWORKS["paper's"], data).status is SolveStatus.INFEASIBLE


@pytest.mark.parametrize("seed", range(4))
def test_linear_max_margin_agrees_with_enumeration_of_supports(seed):
    data = datasets.correlated(5, 8, np.random.default_rng(seed), 0.5)
    z = by_support_enumeration(data.y[:, None] * data.X)
    found = linear_max_margin(data)
    assert found.status is SolveStatus.SOLVED
    np.testing.assert_allclose(found.z, z, atol=AGREEMENT * np.linalg.norm(z))
    assert found.norm == pytest.approx(np.linalg.norm(z), rel=AGREEMENT)
    np.testing.assert_allclose(found.coefficients @ data.X, found.z)


def test_more_samples_than_dimensions():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3))
    data = Dataset(X, np.where(X[:, 0] + 0.2 > 0.0, 1.0, -1.0)[:, None].ravel())
    data = Dataset(X + 0.5 * data.y[:, None] * np.array([2.0, 0.0, 0.0]), data.y)
    found = linear_max_margin(data)
    assert found.status is SolveStatus.SOLVED
    assert (data.y * (data.X @ found.z)).min() == pytest.approx(1.0, abs=1e-10)
    best = minimize(
        lambda z: 0.5 * z @ z,
        np.array([2.0, 0.0, 0.0]),
        constraints={"type": "ineq", "fun": lambda z: data.y * (data.X @ z) - 1.0},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(found.z, best.x, atol=1e-6)  # SLSQP's accuracy


def test_a_solver_that_breaks_down_leaves_the_active_set_method(monkeypatch):
    """And if that has no answer either, that is a status."""
    import cvxpy as cp

    def breaks_down(self, *args, **kwargs):
        raise cp.error.SolverError("no")

    data = Dataset([[1.0, 0.0]], [1])
    right = max_margin(NETWORKS["paper's"], data)
    monkeypatch.setattr(cp.Problem, "solve", breaks_down)
    found = max_margin(NETWORKS["paper's"], data)
    assert (right.solver, found.solver) == ("CLARABEL", "NNLS")
    assert found.status is SolveStatus.SOLVED
    assert found.tolerance is None
    np.testing.assert_allclose(found.weights(), right.weights(), rtol=1e-12)
    monkeypatch.setattr(least_norm_module, "active_set", lambda *_: iter(()))
    found = max_margin(NETWORKS["paper's"], data)
    assert found.status is SolveStatus.UNDECIDED
    assert found.objective == np.inf


def test_a_solver_that_fails_at_tight_tolerances_goes_down_the_ladder(monkeypatch):
    import cvxpy as cp

    solve, tried = cp.Problem.solve, []

    def fails_when_tight(self, *args, **kwargs):
        tried.append(kwargs["tol_gap_rel"])
        if kwargs["tol_gap_rel"] < 1e-9:
            raise cp.error.SolverError("no")
        return solve(self, *args, **kwargs)

    monkeypatch.setattr(cp.Problem, "solve", fails_when_tight)
    found = max_margin(NETWORKS["paper's"], Dataset([[1.0, 0.0], [0.0, 1.0]], [1, -1]))
    assert tried == [1e-12, 1e-10, 1e-8]
    assert found.status is SolveStatus.SOLVED
    assert found.tolerance == 1e-8


@pytest.mark.parametrize("seed", range(8))
def test_a_wrong_answer_of_the_solver_does_not_pass(seed):
    """The gap is recomputed: multipliers and points other than the optimum give the true primal minus dual."""
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((3, 5)) + 0.5
    U /= np.linalg.norm(U, axis=1)[:, None]
    program = Program(U, np.array([1.0, 0.3, 0.7]), 1e-15)
    right = _best(program, None)
    assert right.gap < 1e-13
    for change in (0.05, 1e-3, 1e-6):
        for xi, mu in (
            (right.xi + change * rng.standard_normal(5), right.mu),
            (right.xi, right.mu * (1.0 + change * rng.standard_normal(3))),
        ):
            checked = _checked(program, xi, mu)
            primal = 0.5 * checked.xi @ checked.xi
            dual = program.b @ checked.mu - 0.5 * np.sum((U.T @ checked.mu) ** 2)
            assert checked.gap == pytest.approx((primal - dual) / primal, rel=1e-6, abs=1e-14)
            assert np.linalg.norm(checked.xi - right.xi) / np.linalg.norm(checked.xi) <= checked.error
            assert (U @ checked.xi).min() >= 0.3
            assert np.all(U @ checked.xi >= program.b)
    assert _checked(program, -right.xi, right.mu) is None
    assert _checked(program, np.full(5, np.nan), right.mu) is None


def test_two_answers_that_contradict_each_other_are_no_answer(monkeypatch):
    data = Dataset([[1.0, 0.0], [0.3, 1.0]], [1, -1])
    right = linear_max_margin(data)
    checked = least_norm_module._checked

    def too_sure(program, xi, mu):  # a bound that is none
        return replace(checked(program, xi, mu), error=1e-6)

    monkeypatch.setattr(least_norm_module, "_checked", too_sure)
    assert linear_max_margin(data).status is SolveStatus.SOLVED
    monkeypatch.setattr(least_norm_module, "_by_cvxpy", lambda program: ((program.U.sum(axis=0), np.ones(2)), 1e-12))
    assert right.status is SolveStatus.SOLVED
    assert linear_max_margin(data).status is SolveStatus.INACCURATE


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.37, 0.9, 1.0])
@pytest.mark.parametrize("masses", [(1, 1), (1, 3), (9, 1), (1, 20)])
@pytest.mark.parametrize("labels", [None, [1, 1], [-1], [1, -1]])
def test_margin_bound_is_the_least_value_over_the_polygon(gamma, masses, labels):
    """Scan of the polygon's boundary, on which the minimum of a quadratic centred outside it lies."""
    network = TwoLayerNetwork(np.concatenate([np.full(masses[0], 0.7), np.full(masses[1], -0.7)]), LeakyReLU(gamma))
    A_plus, A_minus = 0.49 * masses[0], 0.49 * masses[1]
    both = labels is None or len(set(labels)) == 2
    t = np.linspace(-0.5, 2.5, 300_001)
    P_on_first = np.stack([1.0 - gamma * t, t])  # P + γQ = 1
    P_on_second = np.stack([t, 1.0 - gamma * t])  # Q + γP = 1
    values = []
    for P, Q in (P_on_first, P_on_second):
        feasible = np.ones_like(t, dtype=bool)
        if both or labels[0] == 1:
            feasible &= P + gamma * Q >= 1.0 - 1e-12
        if both or labels[0] == -1:
            feasible &= Q + gamma * P >= 1.0 - 1e-12
        values.append((P**2 / A_plus + Q**2 / A_minus)[feasible])
    least = np.sqrt((A_plus + A_minus) * np.concatenate(values).min())
    assert margin_bound(network, labels) == pytest.approx(least, rel=2e-5)  # steps of 1e-5 in t
    if both:
        assert margin_bound(network, labels) <= paper_margin_bound(network) * (1.0 + 1e-12)


def test_margin_bound_without_one_sign_of_neurons():
    network = TwoLayerNetwork([0.5, 2.0], LeakyReLU(0.2))
    assert margin_bound(network) == pytest.approx(5.0, rel=1e-14)  # γP >= 1
    assert margin_bound(network, [1.0, 1.0]) == pytest.approx(1.0, rel=1e-14)
    assert margin_bound(network, [-1.0]) == pytest.approx(5.0, rel=1e-14)
    relu = TwoLayerNetwork([0.5, 2.0], LeakyReLU(0.0))
    assert margin_bound(relu) == paper_margin_bound(relu) == np.inf
    assert margin_bound(relu, [1]) == 1.0


@pytest.mark.parametrize("seed", range(12))
def test_measured_margins_obey_the_bound(seed):
    rng = np.random.default_rng(seed)
    data = datasets.gaussian(5, 12, rng, norm_ratio=2.0)
    a = rng.choice([-1.0, 1.0], 4) * rng.uniform(0.2, 2.0, 4)
    network = TwoLayerNetwork(a, LeakyReLU(float(rng.uniform(0.05, 1.0))))
    found, linear = max_margin(network, data), linear_max_margin(data)
    z = network.second_layer @ found.weights()  # Σ a_j w_j
    signs_hold = np.all(np.sign(found.weights() @ data.X.T) == np.sign(a)[:, None] * data.y)
    assert np.linalg.norm(z) <= margin_bound(network, data.y) * linear.norm * (1.0 + 1e-9)
    if signs_hold:
        assert (data.y * (data.X @ z)).min() >= 1.0 - 1e-9


@pytest.mark.parametrize("function", [max_margin, closed_form])
def test_smooth_activation_is_refused(function):
    network = TwoLayerNetwork([1.0], SmoothLeakyReLU(0.5, 1.0))
    with pytest.raises(InvalidParameterError, match=f"^`activation` must be a LeakyReLU for {function.__name__}"):
        function(network, Dataset([[1.0]], [1]))


@pytest.mark.parametrize("labels", [[], [0, 1], [2.0]])
def test_labels_of_the_bound_are_checked(labels):
    with pytest.raises(InvalidParameterError, match=r"^`labels` must"):
        margin_bound(NETWORKS["paper's"], labels)


def test_importing_the_module_does_not_import_cvxpy():
    """The command line starts without it."""
    import subprocess
    import sys

    code = "import sys, verification.witnesses.convex_program; print('cvxpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
