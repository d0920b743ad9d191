"""The oracle, held against fractions, decimals and brute force; then refimpl, held against the oracle.

Bounds for refimpl come from the standard model of rounding: a sum of k products in any order is off by at most
γ_k Σ|terms|, γ_k = k u/(1 - k u), u = 2^-53.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import subprocess
import sys
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, TwoLayerNetwork, datasets, gradient_flow
from refimpl import stable_rank as refimpl_stable_rank
from refimpl.errors import MissingExtraError

pytest.importorskip("flint")

from verification.exact import oracle
from verification.exact.certificate import certify
from verification.witnesses.convex_program import max_margin as solved_max_margin
from verification.witnesses.kkt import kkt_residuals as measured_residuals

U = 2.0**-53
LOSSES = {"logistic": LogisticLoss(), "exponential": ExponentialLoss()}
few = settings(max_examples=25, deadline=None)


def gamma_of(k: float) -> float:
    return k * U / (1.0 - k * U)


@st.composite
def problems(draw, largest: int = 5):
    """(W, a, slope, X, y) of small shapes and mixed scales."""
    m, n, d = (draw(st.integers(1, largest)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    W = rng.standard_normal((m, d)) * 2.0 ** draw(st.integers(-6, 3))
    X = rng.standard_normal((n, d)) * 2.0 ** rng.integers(-3, 4, (n, 1))
    a = rng.standard_normal(m) + np.sign(rng.standard_normal(m)) * 0.1
    slope = draw(st.sampled_from([0.0, 0.01, 0.1, 0.5, 0.9, 1.0]))
    return W, a, slope, X, rng.choice([-1.0, 1.0], n)


def fractions(x):
    return [[Fraction(float(t)) for t in row] for row in np.atleast_2d(x)]


def output_rounding(W, a, X) -> np.ndarray:
    """Bound of |f̂ - f|: d products in z, one in φ, m in the sum, and one for a z."""
    m, d = W.shape
    return gamma_of(d + m + 2) * (np.abs(a) @ (np.abs(W) @ np.abs(X).T))


# --- the oracle itself -------------------------------------------------------------------------------------


def test_nothing_of_refimpl_is_imported_but_the_sentence_for_a_missing_package():
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
    ours = {name for name in imported if name.split(".")[0] in ("refimpl", "verification")}
    assert ours == {"refimpl.errors.MissingExtraError"}
    handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    inside = [node for handler in handlers for node in ast.walk(handler) if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in inside] == ["refimpl.errors"]


def test_no_module_of_refimpl_is_loaded_at_run_time():
    program = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("oracle", {oracle.__file__!r})
oracle = sys.modules["oracle"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(oracle)
W, a, X, y = [[1.0, 0.25], [-0.5, 1.0]], [0.5, -0.5], [[2.0, 0.5], [0.25, 1.0]], [1.0, -1.0]
oracle.forward(W, a, 0.5, X); oracle.loss(W, a, 0.5, X, y, "logistic"); oracle.stable_rank(W)
oracle.clarke_gradient(W, a, 0.5, X, y, "logistic")
oracle.descent(W, a, 0.5, X, y, "logistic", 0.5, 2); oracle.max_margin(a, 0.5, X, y)
oracle.kkt_residuals(W, a, 0.5, X, y); oracle.flow_limit(a, 0.5, X, y)
print(sorted(name for name in sys.modules if name.startswith(("refimpl", "scipy", "verification"))))
"""
    ran = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(MissingExtraError, match=r"python-flint.*\[exact\]"):
        importlib.import_module("verification.exact.oracle").forward([[1.0]], [1.0], 0.5, [[1.0]])


@few
@given(problems())
def test_forward_is_the_nearest_float_with_its_error(problem):
    W, a, slope, X, _ = problem
    value, error = oracle.forward(W, a, slope, X)
    rows, second, gamma = fractions(W), fractions(a)[0], Fraction(slope)
    for i, x in enumerate(fractions(X)):
        z = [sum(s * t for s, t in zip(w, x, strict=True)) for w in rows]
        f = sum(a_j * max(gamma * z_j, z_j) for a_j, z_j in zip(second, z, strict=True))
        assert value[i] == float(f)
        assert abs(Fraction(float(value[i])) - f) <= Fraction(float(error[i]))
        assert error[i] <= np.spacing(abs(value[i]))


@pytest.mark.parametrize("q", [-700.0, -3.5, -1e-9, 0.0, 0.3, 41.0, 700.0])
def test_loss_and_weight_against_decimals(q):
    """One sample, one neuron: f = q, and the gradient is -g."""
    with localcontext() as context:
        context.prec = 400
        e = (-Decimal(q)).exp()
        expected = {"logistic": ((1 + e).ln(), e / (1 + e)), "exponential": (e, e)}
    for kind, (value, weight) in expected.items():
        assert oracle.loss([[q]], [1.0], 1.0, [[1.0]], [1.0], kind).value == float(value)
        assert oracle.gradient([[q]], [1.0], 1.0, [[1.0]], [1.0], kind).value == -float(weight)


def test_precision_grows_until_cancellation_is_harmless():
    # f = 2^60 + 1 - 2^60 - 1 + 2^-1000 needs more than a thousand bits
    W = [[2.0**60, 1.0, -(2.0**60), -1.0, 2.0**-500]]
    value, error = oracle.forward(W, [1.0], 0.5, [[1.0, 1.0, 1.0, 1.0, 2.0**-500]])
    assert (value[0], error[0]) == (2.0**-1000, 0.0)


@few
@given(problems(3), st.sampled_from(["logistic", "exponential"]))
def test_gradient_is_the_slope_of_the_loss(problem, kind):
    """Difference quotients of the oracle's own loss, of step h = 2^-20, to the order h²."""
    W, a, slope, X, y = problem
    W = np.round(W * 2.0**10) / 2.0**10
    Z = W @ X.T
    assume(np.abs(Z).min() > 1e-3 and np.abs(a @ np.abs(Z)).max() < 30.0)
    G, _ = oracle.gradient(W, a, slope, X, y, kind)
    h, j, k = 2.0**-20, int(np.argmax(np.abs(G))) // W.shape[1], int(np.argmax(np.abs(G))) % W.shape[1]
    assume(h * np.abs(X).max() < 1e-4)
    up, down = W.copy(), W.copy()
    up[j, k] += h
    down[j, k] -= h
    difference = oracle.loss(up, a, slope, X, y, kind).value - oracle.loss(down, a, slope, X, y, kind).value
    size = float(oracle.loss(W, a, slope, X, y, kind).value) + 1.0
    # third derivatives of ℓ are below max(1, ℓ); rounding of the loss is U · size / h
    curvature = (np.abs(a).max() * np.abs(X).max()) ** 3 * size * np.exp(h * np.abs(a).max() * np.abs(X).max())
    assert abs(difference / (2 * h) - G[j, k]) <= curvature * h**2 + 4 * U * size / h


def test_clarke_interval_has_the_two_one_sided_gradients_as_its_ends():
    # only sample 0 rests on its kink (z = 0); with slope γ there the gradient is that of W - tiny · x_0
    X, y = np.array([[1.0, 1.0], [0.5, -2.0]]), np.array([1.0, -1.0])
    W, a, gamma = np.array([[1.0, -1.0]]), np.array([2.0]), 0.25
    low, high = oracle.clarke_gradient(W, a, gamma, X, y, "logistic")
    tiny = 1e-12  # moves g, and so the gradient, by about as much
    left = oracle.gradient(W - tiny * X[:1], a, gamma, X, y, "logistic").value
    right = oracle.gradient(W + tiny * X[:1], a, gamma, X, y, "logistic").value
    np.testing.assert_allclose(low.value, np.minimum(left, right), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(high.value, np.maximum(left, right), rtol=1e-10, atol=1e-10)
    assert np.all(low.value < high.value)
    convention = oracle.gradient(W, a, gamma, X, y, "logistic").value
    np.testing.assert_allclose(convention, right, rtol=1e-10, atol=1e-10)


def test_stable_rank_of_known_spectra():
    assert oracle.stable_rank(np.diag([4.0, 2.0, 2.0])).value == 1.5
    assert oracle.stable_rank(np.ones((3, 7))).value == 1.0
    # singular values of [[1, 1], [0, 1]] are the golden ratio and its inverse: 3/φ²
    with localcontext() as context:
        context.prec = 50
        golden = (1 + Decimal(5).sqrt()) / 2
        assert oracle.stable_rank([[1.0, 1.0], [0.0, 1.0]]).value == float(3 / golden**2)
    with pytest.raises(ValueError, match="zero"):
        oracle.stable_rank(np.zeros((2, 2)))


def brute_force_dual(M: np.ndarray) -> np.ndarray:
    """λ with λ ≥ 0, Mλ ≥ 1, complementary: every support is tried."""
    n = len(M)
    for size in range(1, n + 1):
        for support in map(list, itertools.combinations(range(n), size)):
            lam = np.zeros(n)
            lam[support] = np.linalg.solve(M[np.ix_(support, support)], np.ones(size))
            if lam.min() >= 0.0 and (M @ lam).min() >= 1.0 - 1e-12:
                return lam
    raise AssertionError("no support is optimal")


def test_max_margin_against_every_support():
    rng, supports = np.random.default_rng(0), set()
    for _ in range(30):
        n, d, gamma = 4, 5, 0.3
        X, y = rng.standard_normal((n, d)) + 0.8, rng.choice([-1.0, 1.0], n)
        a = np.array([0.5, 0.25, -0.75])
        c = np.where(np.outer(np.sign(a), y) > 0, 1.0, gamma)
        M = (y[:, None] * y * (X @ X.T)) * ((c * a[:, None] ** 2).T @ c)
        lam = brute_force_dual(M)
        v, u = oracle.max_margin(a, gamma, X, y)
        np.testing.assert_allclose(v.value, (lam * y * c[0]) @ X / np.sqrt(3.0), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(u.value, -(lam * y * c[2]) @ X / np.sqrt(3.0), rtol=1e-9, atol=1e-12)
        supports.add(int(np.sum(lam > 0)))
    assert {2, 3, 4} & supports != {4}  # not only the closed form


def test_dependent_and_inseparable_data():
    v, _ = oracle.max_margin([1.0], 0.5, [[1.0, 0.0], [1.0, 0.0], [3.0, 0.0]], [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(v.value, [1.0, 0.0])
    with pytest.raises(ValueError, match="not separable"):
        oracle.max_margin([1.0], 0.5, [[1.0], [2.0]], [1.0, -1.0])


def test_multipliers_at_a_kink_find_the_free_slope():
    """W = Σ λ_i y_i a_j Φ_ji x_i with λ = (1, 1) and Φ = 3/4 where z = 0, strictly inside [1/2, 1]."""
    X, y, a = np.array([[1.0, 0.75], [0.0, 1.0]]), np.array([1.0, -1.0]), np.array([1.0, -1.0])
    W = np.array([[1.0, 0.0], [-0.5, 0.625]])
    found = oracle.kkt_residuals(W, a, 0.5, X, y)
    smallest = 0.625  # q = (1 + 1/64, 5/8)
    assert found.stationarity == (0.0, 0.0)
    np.testing.assert_array_equal(found.multipliers.value, np.array([1.0, 1.0]) / smallest)
    assert found.complementarity.value == (1.0 + 1 / 64 - smallest) / (2 * smallest)
    assert found.duality_gap.value == float(
        2 * (Fraction(65, 64) - Fraction(5, 8)) / (1 + Fraction(1, 4) + Fraction(25, 64))
    )


def test_residuals_of_a_network_that_separates_nothing():
    found = oracle.kkt_residuals([[3.0, 0.0]], [2.0], 0.5, [[-1.0, 0.0], [0.0, 4.0]], [1.0, 1.0])
    assert found.stationarity.value == np.inf
    assert found.feasibility.value == 0.5  # q_1 = 2 · ½ · (-3), over ‖a‖ ‖W‖ ‖x‖ = 6


# --- refimpl against the oracle ----------------------------------------------------------------------------


@few
@given(problems())
def test_refimpl_forward(problem):
    W, a, slope, X, _ = problem
    value, error = oracle.forward(W, a, slope, X)
    ours = TwoLayerNetwork(a, LeakyReLU(slope)).forward(W, X)
    assert np.all(np.abs(ours - value) <= output_rounding(W, a, X) + error)


@few
@given(problems(), st.sampled_from(["logistic", "exponential"]))
def test_refimpl_loss_and_gradient(problem, kind):
    """|d log ℓ/dq| and |d log g/dq| ≤ 1 (exponential) and |ℓ'| ≤ 1 (logistic) carry the rounding of q on;
    8 u for each special function, and the sums over n samples."""
    W, a, slope, X, y = problem
    data, network = Dataset(X, y), TwoLayerNetwork(a, LeakyReLU(slope))
    rounding = output_rounding(W, a, X)
    Z = W @ X.T
    assume(np.all(np.abs(Z) > gamma_of(W.shape[1]) * (np.abs(W) @ np.abs(X).T)))  # no sign hangs on rounding
    q = network.margins(W, data)
    assume(np.abs(q).max() < 300.0)
    loss, G = network.loss_and_gradient(W, data, LOSSES[kind])
    value, error = oracle.loss(W, a, slope, X, y, kind)
    terms = LOSSES[kind].value(q)
    spread = np.expm1(rounding) * (np.exp(-q) if kind == "exponential" else np.maximum(terms, 0.0) + 1.0)
    assert abs(loss - value) <= np.mean(spread) + gamma_of(data.n + 9) * 2.0 * np.mean(terms) + error
    value, error = oracle.gradient(W, a, slope, X, y, kind)
    parts = np.abs(a)[:, None, None] * (LOSSES[kind].weight(q)[:, None] * np.abs(X))[None] / data.n
    bound = np.sum(parts * (2.0 * np.expm1(rounding)[:, None] + gamma_of(data.n + 14)), axis=1)
    assert np.all(np.abs(G - value) <= bound + error)


@few
@given(problems(4), st.integers(1, 4))
def test_refimpl_descent_steps(problem, steps):
    """Errors travel through W ← W - αG with factor 1 + αL, L = ‖a‖² max‖x_i‖² (|dg/dq| ≤ 1/4, g ≤ 1)."""
    W0, a, slope, X, y = problem
    data, network = Dataset(X, y), TwoLayerNetwork(a, LeakyReLU(slope))
    alpha = 0.1 / (1.0 + float(np.sum(a**2)) * data.R_max**2)
    W, travelled = W0.copy(), 0.0
    for _ in range(steps):
        safe = 1e-9 * np.linalg.norm(W, axis=1)[:, None] * data.norms
        assume(np.all(np.abs(W @ X.T) > safe))  # far wider than `travelled`: the patterns agree
        _, G = network.loss_and_gradient(W, data)
        local = (
            np.linalg.norm(a) * np.sum(data.norms * (2.0 * output_rounding(W, a, X) + gamma_of(data.n + 14))) / data.n
        )
        travelled = travelled * 1.1 + alpha * local + 2.0 * U * (np.linalg.norm(W) + alpha * np.linalg.norm(G))
        W = W - alpha * G
    value, error = oracle.descent(W0, a, slope, X, y, "logistic", alpha, steps)
    assert np.linalg.norm(W - value) <= travelled + np.linalg.norm(error)


@few
@given(problems(6))
def test_refimpl_stable_rank(problem):
    """Singular values are off by at most p u σ₁ with p = 10 max(m, d); stable rank ≤ min(m, d)."""
    W = problem[0]
    value, error = oracle.stable_rank(W)
    p = 10.0 * max(W.shape)
    assert abs(refimpl_stable_rank(W) - value) <= 4.0 * p * U * min(W.shape) + error


@pytest.mark.parametrize("seed", range(3))
def test_refimpl_flow_ends_where_the_oracle_proves_it_must(seed):
    rng = np.random.default_rng(seed)
    data = datasets.nearly_orthogonal(4, 7, 0.6, 0.5, rng)
    network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
    limit = oracle.flow_limit(network.second_layer, 0.5, data.X, data.y)
    assert limit is not None
    W = gradient_flow(network, data, rng.standard_normal((4, 7))).limit.weights()
    np.testing.assert_allclose(W, limit.value, atol=1e-8 * np.abs(limit.value).max())
    residuals = oracle.kkt_residuals(limit.value, network.second_layer, 0.5, data.X, data.y)
    # rounding W moves each residual by a few n d u
    assert max(float(r.value) for r in residuals[:4]) <= 1e3 * U


def test_oracle_and_certificate_decide_alike():
    """The oracle solves b = F(b) exactly, the certificate rounds: the same verdict on uniqueness."""
    rng, decisions = np.random.default_rng(8), set()
    for _ in range(40):
        data = datasets.correlated(4, 30, rng, float(rng.uniform(0.0, 0.1)))
        network = TwoLayerNetwork(rng.choice([-1.0, 1.0], 3) * rng.uniform(0.5, 1.0, 3), LeakyReLU(0.5))
        certificate = certify(network, data)
        limit = oracle.flow_limit(network.second_layer, 0.5, data.X, data.y)
        assert (limit is not None) == certificate.proves_every_kkt_point
        decisions.add(limit is not None)
        if limit is not None:
            assert np.sum(limit.value**2) / 2 == pytest.approx(float(certificate.objective), rel=1e-13)
    assert decisions == {True, False}


def test_max_margin_of_the_verifier():
    rng = np.random.default_rng(9)
    for _ in range(5):
        X, y = rng.standard_normal((5, 8)) + 0.5, rng.choice([-1.0, 1.0], 5)
        network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.2))
        solved = solved_max_margin(network, Dataset(X, y))
        v, u = oracle.max_margin(network.second_layer, 0.2, X, y)
        scale = np.linalg.norm(v.value) + np.linalg.norm(u.value)
        assert np.linalg.norm(solved.v - v.value) + np.linalg.norm(solved.u - u.value) <= 1e-9 * scale


def test_kkt_residuals_of_the_verifier():
    rng, measured = np.random.default_rng(10), 0
    while measured < 8:
        X, y = rng.standard_normal((3, 6)), rng.choice([-1.0, 1.0], 3)
        a, W = np.array([0.5, -0.5]), rng.standard_normal((2, 6))
        network, data = TwoLayerNetwork(a, LeakyReLU(0.3)), Dataset(X, y)
        if network.margins(W, data).min() <= 0.05:
            continue
        measured += 1
        ours, exact = measured_residuals(network, data, W), oracle.kkt_residuals(W, a, 0.3, X, y)
        for name in ("stationarity", "feasibility", "complementarity", "duality_gap"):
            assert getattr(ours, name) == pytest.approx(float(getattr(exact, name).value), rel=1e-9, abs=1e-12), name
        np.testing.assert_allclose(ours.multipliers, exact.multipliers.value, rtol=1e-8, atol=1e-10)
