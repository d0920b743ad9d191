"""The conditions against scalar loops and against all KKT points of tiny instances (docs/theory.md, section 5)."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, SmoothLeakyReLU, TwoLayerNetwork, datasets
from refimpl.errors import InvalidParameterError
from verification.exact.certificate import certify
from verification.witnesses.conditions import check_hypotheses


def all_kkt_points(network, data):
    """Every KKT point (W, λ, pattern) of (P): one least-norm program for each pattern in {-1, 0, +1}^(m x n).

    With the pattern fixed (0: z_ji = 0), stationarity makes w_j the part of a_j Σ λ_k y_k Φ_jk x_k that is
    orthogonal to the samples at their kink; λ is found by trying every support.
    """
    a, y, X, gamma, m, n = network.second_layer, data.y, data.X, network.slope, network.m, data.n
    per_neuron = []
    for j in range(m):
        options = []
        for sides in product((-1, 0, 1), repeat=n):
            T = [i for i in range(n) if sides[i] == 0]
            P = np.eye(data.d) - (np.linalg.pinv(X[T]) @ X[T] if T else 0.0)
            G = [a[j] * y[i] * {-1: gamma, 0: 0.0, 1: 1.0}[sides[i]] * (P @ X[i]) for i in range(n)]
            options.append((sides, np.array(G)))
        per_neuron.append(options)
    found = []
    for choice in product(*per_neuron):
        G = np.array([g for _, g in choice])  # (m, n, d)
        M = np.einsum("jid,jkd->ik", G, G)
        for support in product((False, True), repeat=n):
            A = np.flatnonzero(support)
            if A.size == 0 or np.linalg.cond(M[np.ix_(A, A)]) > 1e10:
                continue
            lam = np.zeros(n)
            lam[A] = np.linalg.solve(M[np.ix_(A, A)], np.ones(A.size))
            if lam[A].min() <= 0.0 or (M @ lam).min() < 1.0 - 1e-9:
                continue
            W, sides = np.einsum("jid,i->jd", G, lam), np.array([s for s, _ in choice])
            if _is_consistent(network, data, W, lam, sides):
                found.append((W, lam, sides))
    return found


def _is_consistent(network, data, W, lam, sides):
    Z = W @ data.X.T
    if np.any(sides * Z < -1e-12) or np.any((sides != 0) & (np.abs(Z) <= 1e-12)):
        return False
    for j in range(network.m):
        T, N = np.flatnonzero(sides[j] == 0), np.flatnonzero(sides[j] != 0)
        if T.size == 0:
            continue
        a, y = network.second_layer[j], data.y
        Phi = np.where(sides[j, N] > 0, 1.0, network.slope)
        rest = W[j] - (a * lam[N] * y[N] * Phi) @ data.X[N]
        beta = np.linalg.lstsq(data.X[T].T, rest, rcond=None)[0] / (a * y[T])
        if np.any(beta < network.slope * lam[T] - 1e-10) or np.any(beta > lam[T] + 1e-10):
            return False
    return True


def tiny_instances():
    """n = 2 or 3, m = 2; correlation from small (conditions hold) to large (units rest on kinks)."""
    for seed in range(36):
        rng = np.random.default_rng(seed)
        n = 2 if seed % 3 else 3
        data = datasets.correlated(n, 5, rng, (0.0, 0.05, 0.3, 0.6)[seed % 4])
        if seed % 2 == 0:  # nearly orthogonal, with random norms
            X = np.linalg.qr(rng.standard_normal((5, n)))[0].T + 0.08 * data.X
            data = Dataset(X * rng.uniform(0.7, 1.4, (n, 1)), data.y)
        a = np.array([1.0, -1.0]) * rng.uniform(0.5, 1.5, 2) if seed % 5 else rng.uniform(0.5, 1.5, 2)
        yield TwoLayerNetwork(a, LeakyReLU((0.2, 0.5, 0.8)[seed % 3])), data


def test_bounds_and_conclusions_hold_at_every_kkt_point():
    seen = {"points": 0, "with kinks": 0, "satisfied": 0, "bounded, not satisfied": 0, "not started": 0}
    for network, data in tiny_instances():
        found = check_hypotheses(network, data)
        points = all_kkt_points(network, data)
        assert points  # (P) has a minimizer, and it is a KKT point
        seen["points"] += len(points)
        seen["with kinks"] += sum(bool((sides == 0).any()) for _, _, sides in points)
        lower, upper = found.multiplier_lower, found.multiplier_upper
        for W, lam, sides in points:
            if upper is not None:
                assert np.all(lam <= upper * (1.0 + 1e-9))
                assert np.all(lam >= lower * (1.0 - 1e-9))
            if found.refined.satisfied:
                assert np.array_equal(sides, np.sign(network.second_layer)[:, None] * data.y)
                np.testing.assert_allclose(network.margins(W, data), 1.0, rtol=1e-9)  # condition of M < 1e3
        if found.refined.satisfied:
            assert len(points) == 1
        seen["satisfied"] += found.refined.satisfied
        seen["bounded, not satisfied"] += upper is not None and not found.refined.satisfied
        seen["not started"] += upper is None
    assert min(seen.values()) >= 3, seen  # every branch of the claim was exercised


def literal_condition(network, data, s, signed):
    return literal_bounds(network, data, s, signed)[0]


def literal_bounds(network, data, s, signed):
    """Section 5 in scalar loops, off-diagonal Gram entries multiplied by s: (holds, lower bounds, upper bounds)."""
    n, a, y, g = data.n, network.second_layer, data.y, network.slope
    S = [[data.gram[i, k] * y[i] * y[k] * (1.0 if i == k else s) for k in range(n)] for i in range(n)]
    mu = [sum(aj**2 for aj in a if aj * y[i] > 0) for i in range(n)]
    nu = [sum(aj**2 for aj in a if aj * y[i] < 0) for i in range(n)]

    def pull(i, weight):
        return sum(abs(S[i][k]) * weight[k] for k in range(n) if k != i and (S[i][k] < 0 or not signed))

    def push(i, weight):
        return sum(abs(S[i][k]) * weight[k] for k in range(n) if k != i and (S[i][k] > 0 or not signed))

    r = [pull(i, [1.0] * n) for i in range(n)]
    if any(g * S[i][i] <= r[i] for i in range(n)):
        return False, None, None
    D = [mu[i] * (S[i][i] - r[i]) + nu[i] * g * (g * S[i][i] - r[i]) for i in range(n)]
    lam = [max(1.0 / d for d in D)] * n
    beta, eta = [mu[i] + nu[i] * g for i in range(n)], [mu[i] + nu[i] * g * g for i in range(n)]
    for _ in range(2000 if signed else 0):
        U = [pull(i, lam) for i in range(n)]
        new = [max(U[i] / (g * S[i][i]), (1 + U[i] * beta[i]) / (S[i][i] * eta[i])) for i in range(n)]
        lam, last = [min(p, q) for p, q in zip(lam, new, strict=True)], lam
        if lam == last:
            break
    low = [(1 - push(i, lam) * beta[i]) / (S[i][i] * eta[i]) for i in range(n)]
    return all(g * low[i] * S[i][i] > pull(i, lam) for i in range(n)), low, lam


@pytest.mark.parametrize("seed", range(8))
def test_slack_is_the_factor_at_which_the_literal_condition_turns(seed):
    rng = np.random.default_rng(seed)
    data = datasets.gaussian(int(rng.integers(2, 7)), 60, rng, norm_ratio=1.7)
    a = rng.choice([-1.0, 1.0], 3) * rng.uniform(0.3, 3.0, 3)
    network = TwoLayerNetwork(a, LeakyReLU(float(rng.uniform(0.1, 1.0))))
    found = check_hypotheses(network, data)
    for condition, signed in ((found.instance_wise, False), (found.refined, True)):
        assert condition.satisfied == (condition.slack > 1.0) == literal_condition(network, data, 1.0, signed)
        # the bisection stops at a relative width of 1e-10
        assert literal_condition(network, data, condition.slack * (1.0 - 1e-9), signed)
        assert not literal_condition(network, data, condition.slack * (1.0 + 1e-9), signed)


def least_vector(network, data, s):
    """The b with (I - sN) b = f₀ over Q, by elimination; None where the solution is not positive, so that ρ(sN) >= 1.

    With it, the numbers of section 5 as they stand: S scaled by s off its diagonal, β, η, γ.
    """
    n, y, g, s = data.n, data.y, Fraction(network.slope), Fraction(s)
    X = [[Fraction(x) for x in row] for row in data.X.tolist()]
    K = [[sum(u * v for u, v in zip(x, z, strict=True)) for z in X] for x in X]
    S = [[int(y[i] * y[k]) * K[i][k] * (1 if i == k else s) for k in range(n)] for i in range(n)]
    squares = [(a, Fraction(a) ** 2) for a in network.second_layer.tolist()]
    mu = [sum(q for a, q in squares if a * y[i] > 0) for i in range(n)]
    nu = [sum(q for a, q in squares if a * y[i] < 0) for i in range(n)]
    beta, eta = [mu[i] + nu[i] * g for i in range(n)], [mu[i] + nu[i] * g**2 for i in range(n)]
    rows = [
        [(S[i][i] * eta[i] if i == k else beta[i] * min(S[i][k], 0)) for k in range(n)] + [Fraction(1)]
        for i in range(n)
    ]
    for k in range(n):
        pivot = next((i for i in range(k, n) if rows[i][k]), None)
        if pivot is None:
            return None, S, beta, eta, g
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(n):
            if i != k:
                rows[i] = [u - rows[i][k] * v for u, v in zip(rows[i], rows[k], strict=True)]
    b = [row[-1] for row in rows]
    return (b if min(b) > 0 else None), S, beta, eta, g


def exact_condition(network, data, s=1):
    """Whether γ ℓ_i K_ii > U_i⁻(b) at the least b, over Q."""
    b, S, beta, eta, g = least_vector(network, data, s)
    if b is None:
        return False
    others = [[k for k in range(data.n) if k != i] for i in range(data.n)]
    minus = [sum(-S[i][k] * b[k] for k in others[i] if S[i][k] < 0) for i in range(data.n)]
    plus = [sum(S[i][k] * b[k] for k in others[i] if S[i][k] > 0) for i in range(data.n)]
    return all(g * (1 - beta[i] * plus[i]) / eta[i] > minus[i] for i in range(data.n))


def varied_instances(count):
    """Norms over two orders of magnitude, unequal masses, one sign or both, slopes from small to 1."""
    rng = np.random.default_rng(11)
    for _ in range(count):
        n = int(rng.integers(1, 6))
        X = rng.standard_normal((n, int(rng.choice([2, n + 1, 30, 300])))) * 10.0 ** rng.uniform(-1, 1, (n, 1))
        a = rng.choice([-1.0, 1.0], 3) * rng.uniform(0.3, 3.0, 3)
        network = TwoLayerNetwork(a, LeakyReLU(float(rng.choice([0.02, 0.1, 0.5, 0.9, 1.0]))))
        yield network, Dataset(X, rng.choice([-1.0, 1.0], n))


def test_refined_condition_is_the_best_of_all_vectors_and_certify_agrees():
    seen = {"holds": 0, "fails": 0, "without the start": 0}
    for network, data in varied_instances(150):
        refined = check_hypotheses(network, data).refined
        assert refined.satisfied == (refined.slack > 1.0) == exact_condition(network, data)
        if np.isfinite(refined.slack):  # rounding of the float is some 1e-15; 1e-12 is far above it
            assert exact_condition(network, data, refined.slack * (1.0 - 1e-12))
            assert not exact_condition(network, data, refined.slack * (1.0 + 1e-12))
        certificate = certify(network, data)
        assert certificate.bounds.status == ("holds" if refined.satisfied else "fails")
        seen[certificate.bounds.status] += 1
        seen["without the start"] += refined.satisfied and literal_bounds(network, data, 1.0, signed=True)[1] is None
    assert min(seen["holds"], seen["fails"]) > 40, seen
    assert seen["without the start"] >= 1, seen


def test_no_start_is_needed():
    """γK₁₁ = 0.004 < r₁⁻ = 0.006, yet every KKT point is the closed form; U⁻ = 0.006 b₂ is tiny beside γ/η₁."""
    network = TwoLayerNetwork([1.0, 4.0], LeakyReLU(0.1))
    data = Dataset([[0.2, 0.0], [0.03, 18.0]], [1, -1])
    found = check_hypotheses(network, data)
    assert literal_bounds(network, data, 1.0, signed=True)[1] is None
    assert found.instance_wise.slack < 1.0 < found.refined.slack
    assert certify(network, data).verdict == "unique_kkt_point"
    points = all_kkt_points(network, data)
    assert len(points) == 1
    assert np.all(found.multiplier_lower * (1.0 - 1e-12) <= points[0][1])
    assert np.all(points[0][1] <= found.multiplier_upper * (1.0 + 1e-12))
    b = [float(value) for value in least_vector(network, data, 1)[0]]
    np.testing.assert_allclose(found.multiplier_upper, b, rtol=1e-14)


@pytest.mark.parametrize("slope", [5e-324, 1e-320, 1e-310, 1e-200, 1e-160, 1e-100])
@pytest.mark.parametrize("counts", [(1, 1), (2, 0)])
def test_slopes_near_the_smallest_float_end_at_once(slope, counts):
    """Slack r at inner product 1/r: 10 where all push (no slope in it), at most γ times that where one pulls."""
    network = TwoLayerNetwork.with_signs(*counts, LeakyReLU(slope))
    pushing, pulling = (check_hypotheses(network, Dataset([[1.0, 0.1], [0.0, 1.0]], [1, y])) for y in (1, -1))
    assert pushing.refined.slack == pytest.approx(10.0, rel=1e-12)
    assert pushing.refined.satisfied
    assert 0.0 <= pulling.refined.slack <= 10.0 * slope + 5e-324
    assert not pulling.refined.satisfied
    orthogonal = check_hypotheses(network, Dataset(np.eye(2), [1, -1]))
    assert orthogonal.paper.slack == orthogonal.instance_wise.slack == orthogonal.refined.slack == np.inf
    for found in (pushing, pulling, orthogonal):
        assert found.multiplier_upper is None or np.isfinite(found.multiplier_upper).all()


def test_conditions_at_their_boundary():
    """Slack exactly 1, in floats too: the paper's condition has >=, the other two are strict."""
    network = TwoLayerNetwork([1.0], LeakyReLU(1.0))
    paper = Dataset([[3, 0, 0, 0], [0.5, 2.5, 1.5, 0.5]], [1, 1])  # K_ii = 9 = 3 n p, p = 3/2
    found = check_hypotheses(network, paper)
    assert (found.paper.slack, found.paper.satisfied) == (1.0, True)
    # K = 1 with 1/4 off the diagonal, γ = 1/2, μ = 1: ρ + r = r (2 + 1) + r = 1
    quarter = Dataset([[1, 0, 0, 0, 0], [0.25, 0.75, 0.5, 0.25, 0.25]], [1, 1])
    found = check_hypotheses(TwoLayerNetwork([1.0], LeakyReLU(0.5)), quarter)
    assert (found.instance_wise.slack, found.instance_wise.satisfied) == (1.0, False)
    # two inner products of 1/2 with sample 0: U₀⁺ = 1, so ℓ₀ = 0
    half = Dataset([[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5]], [1, 1, 1])
    found = check_hypotheses(TwoLayerNetwork([1.0], LeakyReLU(0.5)), half)
    assert (found.refined.slack, found.refined.satisfied) == (1.0, False)


def test_paper_condition_takes_equal_sizes_to_rounding_only():
    data = datasets.gaussian(3, 10_000, np.random.default_rng(0))
    equal, unequal = ([1.0, -1.0 - 1e-15, 1.0], [1.0, -1.0 - 1e-11, 1.0])
    assert check_hypotheses(TwoLayerNetwork(equal, LeakyReLU(0.9)), data).paper.slack > 0.0
    assert check_hypotheses(TwoLayerNetwork(unequal, LeakyReLU(0.9)), data).paper.slack == 0.0


@pytest.mark.parametrize("inner", [0.1, 0.25])
def test_bounds_where_the_sign_of_a_sample_may_be_open(inner):
    """A small mass of one sign leaves λ₂ nearly free, so U₁⁻/(γK₁₁) is the larger of the two upper bounds."""
    network = TwoLayerNetwork([1.0, -0.15], LeakyReLU(0.3))
    data = Dataset([[1.0, 0.0], [inner, np.sqrt(1.0 - inner**2)]], [1, -1])
    found = check_hypotheses(network, data)
    holds, lower, upper = literal_bounds(network, data, 1.0, signed=True)
    assert found.refined.satisfied == holds
    np.testing.assert_allclose(found.multiplier_upper, upper, rtol=1e-12)
    np.testing.assert_allclose(found.multiplier_lower, np.maximum(lower, 0.0), rtol=1e-12)
    for _, lam, _ in all_kkt_points(network, data):
        assert np.all(lam <= found.multiplier_upper * (1.0 + 1e-9))


@pytest.mark.parametrize("slope", [0.1, 0.4, 1.0])
@pytest.mark.parametrize("slack", [0.3, 1.01, 4.0])
def test_each_condition_implies_the_next(slope, slack):
    data = datasets.nearly_orthogonal(6, 30, slack, slope, np.random.default_rng(2), norm_ratio=1.3)
    found = check_hypotheses(TwoLayerNetwork.with_signs(2, 3, LeakyReLU(slope)), data)
    assert found.paper.slack == pytest.approx(slack, rel=1e-6)
    assert found.paper.slack < found.instance_wise.slack <= found.refined.slack * (1.0 + 1e-9)
    assert found.paper.satisfied == (slack >= 1.0)
    if found.paper.satisfied:
        assert found.best is found.paper
        assert found.instance_wise.satisfied
        assert found.refined.satisfied


def test_best_is_none_below_all_conditions():
    data = datasets.correlated(6, 10, np.random.default_rng(0), 0.5)
    found = check_hypotheses(TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.1)), data)
    assert found.best is None
    assert not found.any_satisfied
    assert found.multiplier_upper is None
    assert found.iterations == 0
    assert "γK_ii > r_i⁻" in found.refined.note
    assert 0.0 < found.refined.slack < 1.0


def test_units_of_data_and_second_layer_change_no_slack():
    data = datasets.gaussian(5, 200, np.random.default_rng(3))
    scaled = Dataset(1e5 * data.X, data.y)
    one = check_hypotheses(TwoLayerNetwork([0.5, -1.0], LeakyReLU(0.5)), data)
    other = check_hypotheses(TwoLayerNetwork([50.0, -100.0], LeakyReLU(0.5)), scaled)
    assert other.instance_wise.slack == pytest.approx(one.instance_wise.slack, rel=1e-12)
    assert other.refined.slack == pytest.approx(one.refined.slack, rel=1e-8)
    # λ has the unit 1/(a² x²)
    np.testing.assert_allclose(other.multiplier_upper, one.multiplier_upper * 1e-14, rtol=1e-12)


@pytest.mark.parametrize(("positive", "negative"), [(3, 0), (0, 2), (1, 1)])
def test_one_sample_needs_no_condition(positive, negative):
    network = TwoLayerNetwork.with_signs(positive, negative, LeakyReLU(0.5))
    found = check_hypotheses(network, Dataset([[0.0, 2.0]], [1]))
    assert found.paper.slack == found.instance_wise.slack == found.refined.slack == np.inf
    assert found.any_satisfied
    share = positive / (positive + negative)
    exact = 1.0 / (4.0 * (share + 0.25 * (1.0 - share)))  # q = λ K η = 1
    np.testing.assert_allclose(found.multiplier_lower, [exact], rtol=1e-14)
    np.testing.assert_allclose(found.multiplier_upper, [exact], rtol=1e-14)


def test_relu_satisfies_nothing_and_says_why():
    data = datasets.gaussian(4, 1000, np.random.default_rng(0))
    found = check_hypotheses(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.0)), data)
    for condition in (found.paper, found.instance_wise, found.refined):
        assert not condition.satisfied
        assert condition.slack == 0.0
        assert "slope" in condition.note


def test_paper_condition_needs_equal_second_layer():
    data = datasets.gaussian(3, 10_000, np.random.default_rng(0))
    found = check_hypotheses(TwoLayerNetwork([1.0, -2.0], LeakyReLU(0.9)), data)
    assert found.paper.slack == 0.0
    assert "|a_j|" in found.paper.note
    assert found.best is found.instance_wise


def test_smooth_activation_is_refused_in_one_sentence():
    network = TwoLayerNetwork([1.0], SmoothLeakyReLU(0.5, 1.0))
    with pytest.raises(InvalidParameterError, match=r"^`activation` must be a LeakyReLU for check_hypotheses"):
        check_hypotheses(network, Dataset([[1.0]], [1]))


@pytest.mark.parametrize(
    ("a", "slope", "inner"),
    [
        ((1.0, -1.0954451150103322e-8), 1e-9, 1.613e-7),
        ((1.0, -1e-8), 1e-12, 2.0**-27),
        ((1e153, -1e-153), 1e-310, 1e-9),
    ],
)
def test_a_small_mass_is_not_lost_beside_the_large_one(a, slope, inner):
    """Two samples that push: b_i = 1/(K_ii η), and the refined slack is η min_i K_ii/(β K_12), here over Q.

    μ = a₂² is below half an eps of a₁² and decides all the same, because γ² is smaller yet.
    """
    squares, gamma = [Fraction(value) ** 2 for value in a], Fraction(slope)
    X = [[1.0, 0.0], [inner, 1.0]]
    K = [[sum(Fraction(u) * Fraction(v) for u, v in zip(x, z, strict=True)) for z in X] for x in X]
    beta, eta = squares[1] + squares[0] * gamma, squares[1] + squares[0] * gamma**2
    refined = eta * min(K[0][0], K[1][1]) / (beta * K[0][1])
    rho = K[0][1] * (eta / gamma + beta)
    instance_wise = min(K[i][i] * eta / (rho + K[0][1] * beta) for i in (0, 1))
    upper = [1 / (K[i][i] * eta) for i in (0, 1)]
    lower = [max(0, (1 - K[0][1] * upper[1 - i] * beta) / (K[i][i] * eta)) for i in (0, 1)]
    for sign in (1.0, -1.0):
        network, data = TwoLayerNetwork(sign * np.array(a), LeakyReLU(slope)), Dataset(X, [-sign, -sign])
        found = check_hypotheses(network, data)
        assert found.refined.slack == pytest.approx(float(refined), rel=1e-12)
        assert found.instance_wise.slack == pytest.approx(float(instance_wise), rel=1e-12)
        assert found.refined.satisfied == (refined > 1)
        if upper[0] < 1e300:
            np.testing.assert_allclose(found.multiplier_upper, [float(value) for value in upper], rtol=1e-12)
            np.testing.assert_allclose(found.multiplier_lower, [float(value) for value in lower], rtol=1e-12, atol=0.0)
