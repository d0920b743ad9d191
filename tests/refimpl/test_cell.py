"""One cell of the flow against scalar formulas and brute force (docs/theory.md, section 7)."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.flow.cell import Cell, sides_of, simplex_minimizer


def cell_with_sliding(seed, m=4, n=5, d=7, slope=0.3, share=0.35):
    rng = np.random.default_rng(seed)
    network = TwoLayerNetwork(rng.uniform(0.3, 1.0, m) * rng.choice([-1.0, 1.0], m), LeakyReLU(slope))
    data = Dataset(rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n))
    pattern = np.where(rng.random((m, n)) < share, 0, rng.choice([-1, 1], (m, n))).astype(np.int8)
    w = rng.uniform(0.1, 1.0, n)
    return Cell(network, data.y, data.gram, pattern), data.X, w / w.sum()


def velocity_in_scalars(cell, X, w):
    """dW/ds row by row: the forced part, less its projection on the span of the sliding samples."""
    rows = []
    for j in range(cell.network.m):
        v = np.zeros(X.shape[1])
        for i in range(len(w)):
            side = cell.pattern[j, i]
            if side:
                v += cell.network.second_layer[j] * cell.y[i] * (1.0 if side > 0 else cell.network.slope) * w[i] * X[i]
        basis = []
        for i in np.flatnonzero(cell.pattern[j] == 0):  # Gram-Schmidt
            e = X[i] - sum((float(b @ X[i]) * b for b in basis), np.zeros(X.shape[1]))
            basis.append(e / math.sqrt(e @ e))
        for b in basis:
            v = v - float(b @ v) * b
        rows.append(v)
    return np.array(rows)


def growth_in_scalars(cell, X, w):
    """dq_i/ds = y_i Σ_j a_j Φ_ji ⟨dw_j/ds, x_i⟩; a sliding unit stays at 0."""
    V = velocity_in_scalars(cell, X, w)
    growth = []
    for i in range(len(w)):
        total = 0.0
        for j in range(cell.network.m):
            slope = {1: 1.0, -1: cell.network.slope, 0: 0.0}[int(cell.pattern[j, i])]
            total += cell.network.second_layer[j] * slope * float(V[j] @ X[i])
        growth.append(cell.y[i] * total)
    return np.array(growth)


@pytest.mark.parametrize("share", [0.0, 0.35, 0.7])
@pytest.mark.parametrize("seed", range(5))
def test_velocity_and_growth_of_margins_are_those_of_scalar_formulas(seed, share):
    cell, X, w = cell_with_sliding(seed, share=share)
    expected = velocity_in_scalars(cell, X, w)
    np.testing.assert_allclose(cell.velocity(w) @ X, expected, atol=1e-12)
    np.testing.assert_allclose(cell.unit_speeds(w), expected @ X.T, atol=1e-12)
    assert np.all(cell.unit_speeds(w)[cell.pattern == 0] == 0.0)
    np.testing.assert_allclose(cell.matrix @ w, growth_in_scalars(cell, X, w), atol=1e-12)
    for i in range(len(w)):  # column by column: M itself
        e = np.eye(len(w))[i]
        np.testing.assert_allclose(cell.matrix[:, i], growth_in_scalars(cell, X, e), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_matrix_is_symmetric_positive_semidefinite_and_measures_the_speed(seed):
    """wᵀMw = ‖dW/ds‖² : the loss falls by the square of the speed."""
    cell, X, w = cell_with_sliding(seed)
    assert np.array_equal(cell.matrix, cell.matrix.T)
    assert np.linalg.eigvalsh(cell.matrix).min() > -1e-13 * np.abs(cell.matrix).max()
    assert w @ cell.matrix @ w == pytest.approx(np.sum(velocity_in_scalars(cell, X, w) ** 2), rel=1e-12)


def test_effective_slopes_give_the_velocity_back():
    cell, _, w = cell_with_sliding(3)
    theta = cell.effective_slopes(w)
    np.testing.assert_allclose(cell.network.second_layer[:, None] * cell.y * w * theta, cell.velocity(w), atol=1e-15)
    assert np.array_equal(theta[cell.pattern > 0], np.ones((cell.pattern > 0).sum()))
    assert np.all(theta[cell.pattern < 0] == cell.network.slope)


def test_sides():
    assert sides_of(np.array([[-1.0, -0.0, 0.0, 1e-300, -1e-300]])).tolist() == [[-1, 1, 1, 1, -1]]


def one_neuron_cell(pattern):
    """a = 1, γ = 1/2, y = (1, 1), K = [[1, -0.6], [-0.6, 1]]."""
    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    K = np.array([[1.0, -0.6], [-0.6, 1.0]])
    return Cell(network, np.ones(2), K, np.array([pattern], dtype=np.int8))


def test_approach_time_by_hand():
    """w = (0.9, 0.1): dC = (0.9, 0.1), ż = (0.84, -0.44): the second unit, at z = 2.2, arrives after 5."""
    cell = one_neuron_cell([1, 1])
    time, neuron, sample = cell.approach_time(np.array([[1.0, 2.2]]), np.array([0.9, 0.1]))
    assert (neuron, sample) == (0, 1)
    assert time == pytest.approx(5.0, rel=1e-14)
    assert not cell.agrees_with(np.array([0.9, 0.1]))
    assert cell.approach_time(np.array([[1.0, 2.2]]), np.array([0.5, 0.5])) == (math.inf, -1, -1)
    assert cell.agrees_with(np.array([0.5, 0.5]))


def test_growth_gap_by_hand():
    """M = [[1, -0.6], [-0.6, 1]], w = (0.75, 0.25): Mw = (0.6, -0.2), wᵀMw = 0.4, so the gap is 0.6/0.4."""
    cell = one_neuron_cell([1, 1])
    np.testing.assert_allclose(cell.matrix, [[1.0, -0.6], [-0.6, 1.0]], rtol=1e-15)
    assert cell.growth_gap(np.array([0.75, 0.25])) == pytest.approx(1.5, rel=1e-14)
    assert cell.growth_gap(np.array([0.5, 0.5])) == pytest.approx(0.0, abs=1e-15)


def test_sliding_needs_a_slope_between_its_ends():
    """Unit 1 slides if θ w_1 = 0.6 w_0: θ = 0.6 w_0/w_1 must lie in [1/2, 1]."""
    cell = one_neuron_cell([1, 0])
    assert cell.effective_slopes(np.array([0.5, 0.5]))[0, 1] == pytest.approx(0.6, rel=1e-14)
    assert cell.agrees_with(np.array([0.5, 0.5]))
    assert cell.agrees_with(np.array([0.6, 0.4]))  # θ = 0.9
    assert not cell.agrees_with(np.array([0.7, 0.3]))  # θ = 1.4
    assert not cell.agrees_with(np.array([0.4, 0.6]))  # θ = 0.4


# --- the minimizer of wᵀMw over the simplex ------------------------------------------------------------------------


def random_definite(seed, n, rank=None):
    B = np.random.default_rng(seed).standard_normal((n, rank or n + 2)) + 0.4
    return B @ B.T


def minimizer_by_enumeration(M):
    """The support S with M_SS λ = 1, λ > 0 and (Mλ)_i >= 1 elsewhere: the KKT conditions, tried one by one."""
    n = len(M)
    for size in range(1, n + 1):
        for S in map(list, itertools.combinations(range(n), size)):
            lam = np.zeros(n)
            lam[S] = np.linalg.solve(M[np.ix_(S, S)], np.ones(size))
            if lam[S].min() > 0.0 and (M @ lam).min() > 1.0 - 1e-10:
                return lam
    raise AssertionError("no support")


@pytest.mark.parametrize("seed", range(12))
def test_simplex_minimizer_is_the_one_found_by_enumerating_supports(seed):
    n = 2 + seed % 5
    M = random_definite(seed, n)
    expected = minimizer_by_enumeration(M)
    found = simplex_minimizer(M)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=0.0)
    assert np.array_equal(found == 0.0, expected == 0.0)  # not a support vector: exactly 0


def test_some_of_these_cases_have_inactive_samples_and_some_do_not():
    zeros = [int(np.sum(minimizer_by_enumeration(random_definite(seed, 2 + seed % 5)) == 0)) for seed in range(12)]
    assert min(zeros) == 0
    assert max(zeros) >= 2


@pytest.mark.parametrize("seed", range(4))
def test_simplex_minimizer_against_slsqp(seed):
    n = 8
    M = random_definite(100 + seed, n)
    answer = minimize(
        lambda w: w @ M @ w,
        np.full(n, 1.0 / n),
        jac=lambda w: 2.0 * M @ w,
        bounds=[(0.0, 1.0)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda w: np.ones(n)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    lam = simplex_minimizer(M)
    np.testing.assert_allclose(lam / lam.sum(), answer.x, atol=1e-6)
    assert 1.0 / lam.sum() <= answer.fun * (1.0 + 1e-12)  # wᵀMw = 1/Σλ: no worse than SLSQP's


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1e8, 1e150])
def test_simplex_minimizer_scales_inversely(scale):
    M = random_definite(0, 5)
    np.testing.assert_allclose(simplex_minimizer(scale * M) * scale, simplex_minimizer(M), rtol=1e-11)


@pytest.mark.parametrize("small", [1e-14, 1e-30, 1e-200])
def test_simplex_minimizer_of_margins_that_grow_at_very_different_rates(small):
    """M = [[1, c√s], [c√s, s]]: λ = (1 - c/√s, 1/s - c/√s)/(1 - c²); for c = ½ the first is negative: λ = (0, 1/s)."""
    np.testing.assert_allclose(simplex_minimizer(np.diag([1.0, small])), [1.0, 1.0 / small], rtol=1e-14)
    root = np.sqrt(small)
    found = simplex_minimizer(np.array([[1.0, 0.5 * root], [0.5 * root, small]]))
    assert found[0] == 0.0
    assert found[1] == pytest.approx(1.0 / small, rel=1e-14)
    found = simplex_minimizer(np.array([[1.0, -0.5 * root], [-0.5 * root, small]]))
    expected = [(1.0 + 0.5 / root) / 0.75, (1.0 / small + 0.5 / root) / 0.75]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_a_sample_of_weight_zero_slides_where_the_others_leave_it_alone():
    """K = I: unit 1 slides with w_1 = 0 and r = 0; with K_01 = ½ it would need r = -½ w_0, and no slope gives that."""
    network, w = TwoLayerNetwork([-1.0], LeakyReLU(0.5)), np.array([1.0, 0.0])
    pattern = np.array([[1, 0]], dtype=np.int8)
    assert not Cell(network, np.ones(2), np.array([[1.0, 0.5], [0.5, 1.0]]), pattern).agrees_with(w)
    still = np.array([[-1, 0]], dtype=np.int8)
    assert Cell(network, np.ones(2), np.eye(2), still).agrees_with(w)


def test_no_minimizer_where_the_minimum_is_zero():
    assert simplex_minimizer(np.zeros((3, 3))) is None
    b = np.array([1.0, -1.0])
    assert simplex_minimizer(np.outer(b, b)) is None  # w = (1/2, 1/2) gives 0
    assert simplex_minimizer(np.diag([1.0, 0.0])) is None


def test_singular_matrix_with_a_positive_minimum():
    """Two equal rows: λ is not unique, but λ_0 + λ_1, λ_2 and Mλ are."""
    M = np.array([[2.0, 2.0, 0.5], [2.0, 2.0, 0.5], [0.5, 0.5, 1.0]])
    lam = simplex_minimizer(M)
    np.testing.assert_allclose([lam[0] + lam[1], lam[2]], np.linalg.solve([[2.0, 0.5], [0.5, 1.0]], [1, 1]), rtol=1e-9)
    assert lam.min() >= 0.0
    np.testing.assert_allclose(M @ lam, 1.0, rtol=1e-9)


def test_weakly_active_sample_gets_multiplier_zero():
    """M = [[1, 1], [1, 2]]: λ = (1, 0) and (Mλ)_1 = 1 too."""
    np.testing.assert_allclose(simplex_minimizer(np.array([[1.0, 1.0], [1.0, 2.0]])), [1.0, 0.0], atol=1e-14)
