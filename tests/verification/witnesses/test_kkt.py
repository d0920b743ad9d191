"""KKT residuals at points that are KKT points by construction, and away from them (docs/theory.md, section 12)."""

from __future__ import annotations

import tracemalloc
from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from refimpl import Dataset, LeakyReLU, SmoothLeakyReLU, TwoLayerNetwork, datasets
from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.flow.cell import Cell, simplex_minimizer
from verification.witnesses import multipliers
from verification.witnesses.kkt import KKTStatus, kkt_residuals
from verification.witnesses.limit_formula import closed_form

ROUNDING = 1e-11
"""Condition numbers here stay below 1e4; residuals of exact points are then below 1e-11."""


@pytest.fixture(params=["rays written out", "Gram matrix of rays"], autouse=True)
def route(request, monkeypatch):
    """Every test goes both ways to the multipliers."""
    if request.param == "Gram matrix of rays":
        monkeypatch.setattr(multipliers, "EXPLICIT_ENTRIES", 0)


def certified_point(seed=0, m=(3, 2), n=6, slope=0.5):
    network = TwoLayerNetwork.with_signs(*m, LeakyReLU(slope))
    data = datasets.gaussian(n, 2000, np.random.default_rng(seed), norm_ratio=1.5)
    exact = closed_form(network, data)
    assert exact.is_kkt_point
    return network, data, exact


def point_with_kinks(seed, m, n, d, slope=0.1):
    """A KKT point of (P): solve the program of a pattern, repair the pattern where W disagrees, repeat.

    A unit on the wrong side goes to its kink where a_j y_i < 0 (it slides) and across elsewhere; a unit at its
    kink leaves where its slope leaves [γ, 1]. A pattern that needs no repair is that of a KKT point.
    """
    rng = np.random.default_rng(seed)
    data = datasets.correlated(n, d, rng, 0.1)
    network = TwoLayerNetwork.with_signs(m // 2, m - m // 2, LeakyReLU(slope))
    pattern = rng.choice(np.array([-1, 1], dtype=np.int8), (m, n))
    signs = network.second_layer[:, None] * data.y
    for attempt in range(400):
        cell = Cell(network, data.y, data.gram, pattern)
        lam = simplex_minimizer(cell.matrix)
        assert lam is not None
        C = cell.velocity(lam)
        theta = C / (signs * np.where(lam > 0.0, lam, 1e-200))  # λ_i = 0 leaves no room on a kink
        wrong = (pattern != 0) & (pattern * (C @ data.gram) < 0.0)
        repaired = np.where(wrong, np.where(signs < 0.0, 0, -pattern), pattern)
        repaired[(pattern == 0) & (theta > 1.0)] = 1
        repaired[(pattern == 0) & (theta < slope)] = -1
        changed = repaired != pattern
        if not changed.any():
            return network, data, C @ data.X, lam, pattern
        if attempt % 2:  # half of the repairs, so that the iteration does not cycle
            changed &= rng.random(changed.shape) < 0.5
        pattern = np.where(changed, repaired, pattern).astype(np.int8)
    raise AssertionError("no KKT point found")


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e9, 1e-200, 1e200])
def test_certified_point_has_no_residual_at_any_scale(scale):
    network, data, exact = certified_point()
    found = kkt_residuals(network, data, scale * exact.weights())
    assert found.status is KKTStatus.MEASURED
    assert found.stationarity < ROUNDING
    assert found.complementarity < ROUNDING
    assert found.duality_gap < ROUNDING
    assert found.feasibility == 0.0
    assert found.smallest_margin == pytest.approx(scale, rel=1e-12)
    assert found.rank == 2
    assert found.singular_value_ratio < 1e-14
    assert found.units_at_kink == 0
    np.testing.assert_allclose(found.multipliers, exact.multipliers, rtol=1e-10)


def test_perturbation_outside_the_span_counts_in_full():
    network, data, exact = certified_point()
    W = exact.weights()
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(W.shape)
    noise -= np.linalg.lstsq(data.X, data.X @ noise.T, rcond=None)[0].T  # orthogonal to every sample
    noise *= np.linalg.norm(W) / np.linalg.norm(noise)
    for size in (1e-2, 1e-5, 1e-8):
        found = kkt_residuals(network, data, W + size * noise)
        assert found.stationarity == pytest.approx(size / np.hypot(1.0, size), rel=1e-6)
        assert found.complementarity < ROUNDING


def test_residuals_grow_linearly_with_a_perturbation_in_the_span():
    network, data, exact = certified_point()
    W = exact.weights()
    C = np.random.default_rng(2).standard_normal(exact.coefficients.shape)
    noise = C @ data.X
    noise *= np.linalg.norm(W) / np.linalg.norm(noise)
    sizes = (1e-3, 1e-5, 1e-7)
    found = [kkt_residuals(network, data, W + size * noise) for size in sizes]
    for name in ("stationarity", "complementarity"):
        ratios = [getattr(f, name) / size for f, size in zip(found, sizes, strict=True)]
        assert ratios[1] == pytest.approx(ratios[0], rel=0.05)
        assert ratios[2] == pytest.approx(ratios[1], rel=1e-3)
        assert ratios[0] > 1e-2
    for f, size in zip(found, sizes, strict=True):  # √gap bounds the true distance, after scaling to margin 1
        scaled = (W + size * noise) / f.smallest_margin
        assert np.linalg.norm(scaled - W) / np.linalg.norm(scaled) <= f.distance_bound


def test_duality_gap_is_primal_minus_dual():
    network, data, exact = certified_point()
    W = exact.weights() + 0.002 * np.random.default_rng(4).standard_normal((network.m, data.d))
    found = kkt_residuals(network, data, W)
    W = W / found.smallest_margin
    slopes = np.where(W @ data.X.T >= 0.0, 1.0, network.slope)
    dual_point = (network.second_layer[:, None] * slopes * data.y * found.multipliers) @ data.X
    primal = 0.5 * np.sum(W**2)
    dual = found.multipliers.sum() - 0.5 * np.sum(dual_point**2)
    assert found.duality_gap == pytest.approx((primal - dual) / primal, rel=1e-9)
    assert found.duality_gap > 1e-3


@pytest.mark.parametrize(("seed", "m", "n", "d"), [(0, 4, 4, 6), (2, 4, 4, 6), (1, 16, 10, 12), (2, 16, 10, 12)])
def test_points_with_units_on_kinks_have_no_residual(seed, m, n, d):
    network, data, W, lam, pattern = point_with_kinks(seed, m, n, d)
    found = kkt_residuals(network, data, 3.0 * W)
    assert (pattern == 0).any()
    np.testing.assert_array_equal(found.pattern, pattern)
    assert found.units_at_kink == np.sum(pattern == 0)
    assert found.stationarity < 1e-12
    assert found.complementarity < 1e-12
    np.testing.assert_allclose(found.multipliers, lam, atol=1e-10 * lam.max())
    support = lam > 0.0
    assert found.slopes[:, support].min() >= network.slope - 1e-12
    assert found.slopes[:, support].max() <= 1.0 + 1e-12
    # with slopes held at 1 on the kinks the same points look far from stationary
    fixed = np.where(pattern >= 0, 1.0, network.slope)
    A = np.stack([np.outer(network.second_layer * fixed[:, i] * data.y[i], data.X[i]).ravel() for i in range(n)], 1)
    best = np.linalg.lstsq(A, W.ravel(), rcond=None)[0]
    assert np.linalg.norm(A @ best - W.ravel()) > 1e-3 * np.linalg.norm(W)


def test_kink_problem_is_solved_to_optimality_away_from_kkt_points():
    """Against SLSQP on (λ, β) with the constraints γλ <= β <= λ, at a W that rests on kinks and is no KKT point."""
    network, data, W, _, pattern = point_with_kinks(2, 4, 4, 6)
    # a displacement that keeps every kink: orthogonal to the samples at which the neuron rests
    noise = 0.3 * np.random.default_rng(5).standard_normal(W.shape)
    for j in range(network.m):
        T = data.X[pattern[j] == 0]
        noise[j] -= np.linalg.pinv(T) @ (T @ noise[j]) if T.size else 0.0
    W = W + 0.02 * noise * np.linalg.norm(W)
    found = kkt_residuals(network, data, W)
    np.testing.assert_array_equal(found.pattern, pattern)
    a, gamma, norm = network.second_layer[:, None], network.slope, np.linalg.norm(W)
    kinks = np.argwhere(pattern == 0)
    slopes = np.where(pattern > 0, 1.0, gamma)

    def square(x):
        beta = slopes * x[: data.n]
        beta[pattern == 0] = x[data.n :]
        return 1e3 * np.sum(((a * data.y * beta) @ data.X - W) ** 2) / norm**2  # 1e3: SLSQP stops at 1e-15 absolute

    constraints = [{"type": "ineq", "fun": lambda x: x}]
    for place, (_, i) in enumerate(kinks):
        constraints += [
            {"type": "ineq", "fun": lambda x, p=place, i=i: x[data.n + p] - gamma * x[i]},
            {"type": "ineq", "fun": lambda x, p=place, i=i: x[i] - x[data.n + p]},
        ]
    start = np.concatenate([np.ones(data.n), np.full(len(kinks), 0.5)])
    best = minimize(square, start, method="SLSQP", constraints=constraints, options={"ftol": 1e-15, "maxiter": 500})
    reference = np.sqrt(best.fun / 1e3)
    assert reference > 1e-3
    assert found.stationarity <= reference * (1.0 + 1e-6)  # never above another feasible point
    assert found.stationarity == pytest.approx(reference, rel=1e-4)


def test_reported_multipliers_and_slopes_reproduce_the_stationarity():
    network, data, W, _, _ = point_with_kinks(1, 16, 10, 12)
    W = W + 1e-12 * np.random.default_rng(0).standard_normal(W.shape)  # stays within the kink tolerance
    W[0] *= 1.01
    found = kkt_residuals(network, data, W)
    W = W / found.smallest_margin
    rows = (network.second_layer[:, None] * found.slopes * data.y * found.multipliers) @ data.X
    assert found.stationarity == pytest.approx(np.linalg.norm(W - rows) / np.linalg.norm(W), rel=1e-9)
    assert found.stationarity > 1e-4


def test_negative_multipliers_are_not_accepted():
    """A combination of samples with a negative coefficient that separates them all the same."""
    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    data = Dataset([[1.0, 0.0], [0.8, 0.6]], [1, 1])
    W = 2.0 * data.X[:1] - 0.5 * data.X[1:]  # λ = (2, -0.5), margins 1.6 and 1.1
    found = kkt_residuals(network, data, W)
    assert found.multipliers.min() >= 0.0
    assert found.multipliers[1] == 0.0
    # best nonnegative fit is W's projection on x₁: what is left is 0.5 sin of the angle, 0.6
    assert found.stationarity == pytest.approx(0.3 / np.linalg.norm(W), rel=1e-12)
    assert found.complementarity > 0.1


def test_linear_activation_has_no_kinks():
    network = TwoLayerNetwork([1.0], LeakyReLU(1.0))
    data = Dataset([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [1, -1])
    found = kkt_residuals(network, data, [[1.0, -1.0, 0.0]])
    assert found.units_at_kink == 0
    assert found.stationarity < ROUNDING


def test_more_samples_than_dimensions():
    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    data = Dataset([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], [1, 1, 1])
    found = kkt_residuals(network, data, [[1.0, 0.0]])  # λ = (1, 0, 0) is the one that is complementary
    assert found.stationarity < ROUNDING
    assert kkt_residuals(network, data, [[1.0, 0.5]]).stationarity == pytest.approx(0.5 / np.sqrt(1.25), rel=1e-12)


OPPOSITE = Dataset([[1.0, 0.0], [-1.0, 0.0]], [1, 1])


@pytest.mark.parametrize("dead", [0.0, 1e-17, -1e-17, 5e-324, 1e-16])
@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150])
def test_a_row_that_is_zero_to_rounding_is_at_its_kinks(dead, scale):
    """a = (-1, 1, 1), γ = 1/2: rows 0 and ∓4/3 are a KKT point. In units of margin 1 the others are ∓2 = ∓(λ - γλ),
    so λ = (4, 4), and the first is 0 = -4Φ₁ + 4Φ₂ with equal slopes."""
    network = TwoLayerNetwork([-1.0, 1.0, 1.0], LeakyReLU(0.5))
    W = scale * np.array([[dead, 0.0], [-4.0 / 3.0, 0.0], [4.0 / 3.0, 0.0]])
    found = kkt_residuals(network, OPPOSITE, W)
    assert found.stationarity < 1e-14
    assert found.duality_gap < 1e-14
    np.testing.assert_allclose(found.multipliers, [4.0, 4.0], rtol=1e-12)
    assert found.pattern[0].tolist() == [0, 0]
    assert found.units_at_kink == 2


@pytest.mark.parametrize(("tolerance", "angle"), [(1e-9, 1e-9), (1e-5, 1e-5)])
def test_the_kink_is_as_wide_as_its_tolerance(tolerance, angle):
    network, data = TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[3.0, 0.0], [0.0, 5.0]], [1, 1])
    counts = [kkt_residuals(network, data, [[2.0, 2.0 * angle * f]], tolerance).units_at_kink for f in (0.99, 1.01)]
    assert counts == [1, 0]


@pytest.mark.parametrize(
    ("a", "size", "units"),
    [
        ([1.0, 1.0], 0.9e-9 / np.sqrt(2.0), 2),  # a row of the size of its a_j has the length 1/√2 of W's
        ([1.0, 1.0], 1.1e-9 / np.sqrt(2.0), 0),
        ([1.0, 1e-12], 0.9e-15, 2),  # beside W alone: rounding of W is larger than the share of this neuron
        ([1.0, 1e-12], 1.1e-15, 0),
    ],
)
def test_rows_are_zero_beside_the_share_of_their_neuron_and_beside_w(a, size, units):
    data = Dataset(np.eye(2), [1, -1])
    W = np.array([[0.6, -0.8], [size, -size]])
    assert kkt_residuals(TwoLayerNetwork(a, LeakyReLU(0.5)), data, W).units_at_kink == units


def test_multipliers_that_are_not_optimal_say_so(monkeypatch):
    network, data, W, _, _ = point_with_kinks(1, 16, 10, 12)
    assert kkt_residuals(network, data, W).status is KKTStatus.MEASURED
    monkeypatch.setattr(multipliers, "MAX_ROUNDS", 1)
    found = kkt_residuals(network, data, W)
    assert found.status is KKTStatus.INACCURATE
    assert found.stationarity > 1e-6


@pytest.mark.parametrize("share", [1e-7, 1e-4, 1.0])
def test_a_short_row_of_a_small_neuron_is_not_at_its_kinks(share):
    """Rows have the size of their a_j: what is 0 to rounding is judged beside that, and beside ‖W‖."""
    network = TwoLayerNetwork([1.0, share], LeakyReLU(0.5))
    data = Dataset(np.eye(2), [1, -1])
    W = np.outer(network.second_layer, [1.0, -2.0])
    found = kkt_residuals(network, data, W)
    assert found.units_at_kink == 0
    assert found.stationarity < 1e-14
    W[1] *= 1e-3  # a row that is too short by a factor of 1,000 still has its sides
    assert kkt_residuals(network, data, W).units_at_kink == 0


def test_a_neuron_on_its_kink_to_rounding_with_collinear_samples():
    """z = (1.1e-16, -2.2e-16): W separates, all but its whole length is orthogonal to the samples."""
    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    data = Dataset([[1.0, -1.0], [-2.0, 2.0]], [1, -1])
    found = kkt_residuals(network, data, [[0.2956820197550105, 0.2956820197550104]])
    assert found.smallest_margin == 2.0**-53
    assert found.stationarity == pytest.approx(1.0, rel=1e-15)
    assert found.complementarity == 0.0
    assert found.duality_gap == pytest.approx(1.0, rel=1e-15)
    assert np.isfinite(found.multipliers).all()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_dependent_samples_share_by_least_penalty_in_every_order(order):
    """λ₁(1,0) + λ₂(0,1) + λ₃(1,1) + λ₄(1,2) = (1,2) = W, q = (1,2,3,5): Σλ(q-1) = 5 - Σλ is least at (1,2,0,0)."""
    X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 2.0]])[list(order)]
    found = kkt_residuals(TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset(X, np.ones(4)), [[1.0, 2.0]])
    np.testing.assert_allclose(found.multipliers[np.argsort(order)], [1.0, 2.0, 0.0, 0.0], atol=1e-12)
    assert found.complementarity == pytest.approx(2.0 / 3.0, rel=1e-12)
    assert found.duality_gap == pytest.approx(0.8, rel=1e-12)


def test_equal_samples_share_equally():
    data = Dataset([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], [1, 1, 1])
    found = kkt_residuals(TwoLayerNetwork([1.0], LeakyReLU(0.5)), data, [[1.0, 2.0]])
    np.testing.assert_allclose(found.multipliers, [0.5, 0.5, 2.0], rtol=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_no_residual_depends_on_the_order_of_samples_or_neurons(seed):
    """More samples than dimensions, small integers: dependent, many margins equal, units on their kinks."""
    rng = np.random.default_rng(seed)
    n, m, d = 7, int(rng.integers(1, 4)), 2
    while True:
        X = rng.integers(-3, 4, (n, d)).astype(float)
        W = rng.integers(-3, 4, (m, d)).astype(float)
        network = TwoLayerNetwork(rng.choice([-1.0, 1.0], m) * rng.integers(1, 3, m), LeakyReLU(0.5))
        f = network.forward(W, X)
        if np.all(X.any(axis=1)) and np.all(f != 0.0):
            break
    data = Dataset(X, np.sign(f))
    first = kkt_residuals(network, data, W)
    for _ in range(5):
        i, j = rng.permutation(n), rng.permutation(m)
        permuted = TwoLayerNetwork(network.second_layer[j], network.activation)
        other = kkt_residuals(permuted, Dataset(X[i], data.y[i]), W[j])
        assert other.status is first.status
        for name in ("stationarity", "complementarity", "duality_gap"):
            assert getattr(other, name) == pytest.approx(getattr(first, name), rel=1e-9, abs=1e-13)
        np.testing.assert_allclose(other.multipliers, first.multipliers[i], rtol=1e-7, atol=1e-9)


def test_memory_is_that_of_the_products():
    """n m r is 36 million numbers, 288 MB; the matrices (m, n), (m, r), (n, n) have together 0.28 million."""
    n, m = 300, 300
    rng = np.random.default_rng(0)
    data = Dataset(rng.standard_normal((n, 400)) / 20.0, np.resize([1.0, -1.0], n))
    network = TwoLayerNetwork.with_signs(m // 2, m // 2, LeakyReLU(0.3))
    z = np.linalg.lstsq(data.X, data.y, rcond=None)[0]
    W = np.outer(np.sign(network.second_layer), z) + 0.01 * rng.standard_normal((m, 400))
    tracemalloc.start()
    found = kkt_residuals(network, data, W)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.status is KKTStatus.MEASURED
    assert peak < 40 * 8 * n * m


@pytest.mark.parametrize("W", [[[-1.0, 0.0]], [[0.0, 0.0]]])
def test_weights_that_do_not_separate_are_a_status(W):
    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    found = kkt_residuals(network, Dataset([[1.0, 0.0]], [1]), W)
    assert found.status is KKTStatus.NOT_SEPARATING
    assert "smallest margin" in found.message
    assert found.stationarity == found.complementarity == found.duality_gap == np.inf
    assert found.feasibility == (0.5 if W[0][0] else 0.0)  # q = γ(-1), ‖a‖‖W‖‖x‖ = 1
    assert found.rank == (1 if W[0][0] else 0)
    assert not np.isnan(found.multipliers).any()


@pytest.mark.parametrize(
    ("W", "tolerance", "error", "sentence"),
    [
        ([[1.0]], 1e-9, ShapeError, "^`X` must have shape"),
        ([[1.0, 0.0], [1.0, 0.0]], 1e-9, ShapeError, r"^`W` must have shape \(1, d\); got \(2, 2\)\.$"),
        ([[1.0, np.nan]], 1e-9, InvalidParameterError, r"^`W\[0, 1\]` must be finite; got nan\.$"),
        ([[1.0, 0.0]], 0.0, InvalidParameterError, "^`tolerance` must be finite and positive"),
        ([[1.0, 0.0]], 1.0, InvalidParameterError, r"^`tolerance` must lie in \(0, 1\)"),
    ],
)
def test_bad_input_gives_one_sentence(W, tolerance, error, sentence):
    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    with pytest.raises(error, match=sentence):
        kkt_residuals(network, Dataset([[1.0, 0.0]], [1]), W, tolerance)


def test_smooth_activation_is_refused():
    network = TwoLayerNetwork([1.0], SmoothLeakyReLU(0.5, 1.0))
    with pytest.raises(InvalidParameterError, match="LeakyReLU for kkt_residuals"):
        kkt_residuals(network, Dataset([[1.0]], [1]), [[1.0]])


def test_many_samples_have_the_multipliers_of_the_closed_form():
    """All λ_i > 0: one linear system instead of nonnegative least squares; and a W beside the KKT point, whose λ are
    those that nonnegative least squares finds."""
    network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
    data = datasets.nearly_orthogonal(130, 140, 1.25, 0.5, 0)
    exact = closed_form(network, data)
    W = np.where(network.second_layer[:, None] > 0.0, exact.v, exact.u)
    found = kkt_residuals(network, data, W)
    np.testing.assert_allclose(found.multipliers, exact.multipliers, rtol=1e-10)
    assert found.stationarity < 1e-13
    off = W * (1.0 + 0.1 * np.random.default_rng(0).standard_normal(W.shape))
    near = kkt_residuals(network, data, off)
    Phi = np.where(near.pattern > 0, 1.0, 0.5)
    H = [
        ((network.second_layer * y * phi)[:, None] * x).ravel() for x, y, phi in zip(data.X, data.y, Phi.T, strict=True)
    ]
    lam, rest = nnls(np.transpose(H), off.ravel() / near.smallest_margin)
    np.testing.assert_allclose(near.multipliers, lam, rtol=1e-8)
    assert near.stationarity == pytest.approx(rest * near.smallest_margin / np.linalg.norm(off), rel=1e-9)
