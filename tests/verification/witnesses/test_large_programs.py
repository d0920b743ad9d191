"""Programs of many samples: right, without matrices of (n, n), and without hours of an interior-point method."""

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.errors import InvalidDataError
from verification.witnesses import least_norm as module
from verification.witnesses import multipliers, supports
from verification.witnesses.convex_program import linear_max_margin, max_margin
from verification.witnesses.least_norm import SolveStatus, least_norm
from verification.witnesses.limit_formula import closed_form
from verification.witnesses.supports import active_set
from verification.witnesses.unit_rows import Program

NETWORK = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))


def with_known_optimum(rng, n, k, support):
    """G and x*: g_i·x* = 1 on the support, x* = Σ λ_i g_i there with λ > 0, and g_i·x* > 1 elsewhere."""
    x = rng.standard_normal(k)
    square = float(x @ x)
    P = rng.standard_normal((n, k))
    P -= np.outer(P @ x, x) / square
    lam = rng.uniform(0.5, 1.5, support)
    P[support - 1] = -(lam[:-1] @ P[: support - 1]) / lam[-1]
    reach = np.where(np.arange(n) < support, 1.0, rng.uniform(1.1, 3.0, n))
    return P + np.outer(reach, x) / square, x


def test_a_large_program_is_solved_by_the_active_set_method_alone(monkeypatch):
    G, x = with_known_optimum(np.random.default_rng(0), 800, 600, 200)
    monkeypatch.setattr(module, "_by_cvxpy", None)  # nobody calls it
    found = least_norm(G)
    assert (found.status, found.solver, found.tolerance) == (SolveStatus.SOLVED, "NNLS", None)
    np.testing.assert_allclose(found.x, x, rtol=0.0, atol=1e-9 * np.linalg.norm(x))
    assert found.error_estimate < 1e-8


def test_a_large_program_without_solution_is_refuted_without_cvxpy(monkeypatch):
    G = np.random.default_rng(1).standard_normal((1300, 400))  # n > 3k: in no half-space
    monkeypatch.setattr(module, "_by_cvxpy", None)
    assert least_norm(G).status is SolveStatus.INFEASIBLE


def test_cvxpy_is_asked_where_the_active_set_method_answers_to_little(monkeypatch):
    G, x = with_known_optimum(np.random.default_rng(2), 30, 20, 8)
    monkeypatch.setattr(module, "MOST_OPERATIONS", 0)
    monkeypatch.setattr(module, "ENOUGH", 0.0)
    found = least_norm(G)
    assert found.solver == "CLARABEL"
    np.testing.assert_allclose(found.x, x, rtol=0.0, atol=1e-9 * np.linalg.norm(x))


@pytest.mark.parametrize("separable", [True, False])
def test_many_samples_in_few_dimensions_form_no_gram_matrix(separable):
    """5,000 in three dimensions: half a minute and a gigabyte for matrices that no answer needs, once."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((5000, 3))
    y = np.where(X[:, 0] + (0.0 if separable else 1.0) * rng.standard_normal(5000) > 0.0, 1.0, -1.0)
    data = Dataset(X, y)
    program, linear, closed = max_margin(NETWORK, data), linear_max_margin(data), closed_form(NETWORK, data)
    assert "gram" not in data.__dict__
    wanted = SolveStatus.SOLVED if separable else SolveStatus.INFEASIBLE
    assert (program.status, linear.status, closed.status) == (wanted, wanted, SolveStatus.SINGULAR)
    if separable:
        assert float((y * (X @ linear.z)).min()) >= 1.0
        P, Q = X @ program.v, X @ program.u  # the constraints of (C), a = (1, -1)/√2
        constraints = np.where(y > 0.0, P - 0.5 * Q, Q - 0.5 * P) / np.sqrt(2.0)
        assert float(constraints.min()) >= 1.0 - 1e-12


def test_the_norms_are_those_of_the_gram_matrix_and_refused_where_it_is():
    X = np.random.default_rng(4).standard_normal((3000, 2))
    data = Dataset(X, np.sign(X[:, 0]))
    np.testing.assert_allclose(data.squared_norms, np.diagonal(data.gram), rtol=1e-15)
    tiny = Dataset(1e-200 * X, np.sign(X[:, 0]))
    with pytest.raises(InvalidDataError, match="power of two"):
        _ = tiny.norms


def test_the_closed_form_is_singular_exactly_where_its_rank_cannot_be_n():
    """One sign of a in one dimension: M is 1 x 1 for one sample, of rank 1 for two; with both signs of rank 2."""
    one_sign = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    pair, three = Dataset([[1.0], [-2.0]], [1, -1]), Dataset([[1.0], [2.0], [-2.0]], [1, 1, -1])
    assert closed_form(one_sign, pair).status is SolveStatus.SINGULAR
    assert closed_form(NETWORK, pair).status is SolveStatus.SOLVED
    assert closed_form(NETWORK, three).status is SolveStatus.SINGULAR


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1)[:, None]


def test_each_support_has_a_singular_value_of_its_own():
    U = unit(np.random.default_rng(5).standard_normal((4, 6)))
    program = Program(U, np.ones(4), 1e-15)
    for rows in ([0, 1], [2, 3], [0, 1, 2, 3], [0, 1]):
        S = np.isin(np.arange(4), rows)
        assert program.smallest_singular_value(S) == np.linalg.svd(U[S], compute_uv=False)[-1]


@pytest.mark.parametrize("k", [60, 150])
def test_many_rows_that_are_not_all_tight(k: int):
    """110 rows of which 20 are: in 60 dimensions they are dependent, in 150 all could be tight."""
    G, x = with_known_optimum(np.random.default_rng(6), 110, k, 20)
    size = np.linalg.norm(G, axis=1)
    xi, mu = list(active_set(G / size[:, None], 1.0 / size, float(np.linalg.norm(x))))[-1]
    np.testing.assert_allclose(xi, x, rtol=0.0, atol=1e-9 * np.linalg.norm(x))
    np.testing.assert_array_equal(mu > 0.0, np.arange(110) < 20)


def test_a_support_is_repaired():
    """x >= 1, y >= 1 and the slack (x + y + z)/√3 >= 1: (1, 1, 0), whatever support one begins with; and lifted."""
    U, b = unit(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])), np.ones(3)
    for first in ([0], [1], [0, 2], [0, 1, 2]):
        xi, mu = list(supports._repaired(U, b, np.array(first), 0.0))[-1]
        np.testing.assert_allclose(xi, [1.0, 1.0, 0.0], atol=1e-14)
        np.testing.assert_allclose(mu, [1.0, 1.0, 0.0], atol=1e-14)
    xi, _ = list(supports._repaired(U, b, np.array([0]), 1e-3))[-1]
    np.testing.assert_allclose(xi[:2], 1.0 + 1e-3 * 2.0**0.5, atol=1e-14)


def test_multipliers_of_many_rays_are_those_of_few(monkeypatch):
    """W = Σ λ_i y_i x_i with λ_0 = -1: the nearest has λ_0 = 0, also where all are looked at at once."""
    X = np.random.default_rng(7).standard_normal((110, 130))
    data = Dataset(X, np.ones(110))
    lam = np.append(-1.0, np.ones(109))
    rays = multipliers.Rays(TwoLayerNetwork([1.0], LeakyReLU(0.5)), data, X, np.ones((1, 110), dtype=np.int8))
    W = (lam @ X)[None] / np.linalg.norm(lam @ X)
    found = multipliers.best_fit(rays, W, np.zeros(110)).multipliers
    monkeypatch.setattr(multipliers, "ALL_AT_ONCE", 1000)
    expected = multipliers.best_fit(rays, W, np.zeros(110)).multipliers
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert expected[0] == 0.0
    assert expected[1:].min() > 0.0
