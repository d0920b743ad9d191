"""KKT points proven one by one: held against the definitions over Q, row by row, and tampered with."""

from __future__ import annotations

import ast
import json
import sys
from collections import Counter
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from refimpl.errors import InvalidParameterError
from verification.exact import point_checker
from verification.exact.checker import check_certificate
from verification.exact.point import certify_point

from .tampering import digit_changes, structural_changes

pytest.importorskip("flint")
FOUND = Path(__file__).parents[3] / "docs" / "counterexamples"
KEPT = {  # file: slope, neurons, scale, seed; rank, samples with a margin above 1
    "limits-closest": (0.05, 2, 1.0, [1, 1, 2], 2, []),
    "rank-closest": (0.05, 3, 1e-4, [0, 1, 0], 3, []),
    "margin-closest": (0.5, 2, 1e-2, [5, 1, 0], 1, [1]),
    "margin-smallest": (0.3, 2, 1e-2, [7, 1, 0], 1, [1]),
}


def random_flow(rng):
    n, d = int(rng.integers(2, 5)), int(rng.integers(3, 7))
    counts = [(1, 1), (2, 1), (3, 0), (0, 2), (2, 2)][rng.integers(5)]
    network = TwoLayerNetwork.with_signs(*counts, LeakyReLU(float(rng.choice([0.05, 0.25, 0.5, 1.0]))))
    if rng.random() < 0.4:
        network = TwoLayerNetwork(network.second_layer * rng.uniform(0.5, 2.0, network.m), network.activation)
    data = Dataset(rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n))
    W0 = rng.standard_normal((network.m, d)) * 10.0 ** rng.integers(-3, 1)
    return network, data, gradient_flow(network, data, W0, "exponential").limit


def kkt_by_definition(point, data):
    """Section 2 in the samples themselves, rows divided by a_j, and rank by minors; no Gram matrix."""
    X = [[Fraction(float(x)) for x in row] for row in data.X]
    problem, gamma = point.problem, point.problem.gamma
    W = [
        [sum(y * b * x[k] for y, b, x in zip(problem.labels, row, X, strict=True)) for k in range(data.d)]
        for row in point.products
    ]
    q = [Fraction(0)] * data.n
    for w, b, square, positive in zip(W, point.products, problem.squares, problem.positive, strict=True):
        for i, x in enumerate(X):
            z = (1 if positive else -1) * sum(s * t for s, t in zip(w, x, strict=True))
            slopes = (gamma, 1) if z == 0 else (1, 1) if z > 0 else (gamma, gamma)
            assert slopes[0] * point.multipliers[i] <= b[i] <= slopes[1] * point.multipliers[i]
            q[i] += problem.labels[i] * square * (1 if positive else -1) * max(gamma * z, z)
    for q_i, lam_i in zip(q, point.multipliers, strict=True):
        assert q_i == 1 if lam_i > 0 else (q_i >= 1 and lam_i == 0)
    norm = sum(square * sum(x * x for x in w) for w, square in zip(W, problem.squares, strict=True))
    assert norm / 2 == point.objective
    return np.linalg.matrix_rank(np.array([[float(x) for x in w] for w in W]), tol=1e-9)


def test_limits_of_flows_are_proven_and_obey_the_definitions():
    seen = Counter()
    for seed in (16, 18, 20, 35, 36, 45, 57):
        network, data, limit = random_flow(np.random.default_rng(seed))
        point = certify_point(network, data, limit)
        assert point.proven, point.reason
        assert kkt_by_definition(point, data) == point.rank == limit.rank
        assert np.allclose(point.weights(network, data), limit.weights(), atol=1e-7 * np.linalg.norm(limit.weights()))
        result = check_certificate(point.to_json(), data.X, data.y)
        assert (result.accepted, result.verdict) == (True, "proven_kkt_point"), result.reason
        seen["kinks" if point.units_on_kinks else "no kinks"] += 1
        seen["slack" if point.slack else "tight"] += 1
        again = certify_point(network, data, 3.0 * limit.weights())  # weights of any scale lead to the same point
        assert again.proven
        assert again.objective == point.objective
    assert min(seen[word] for word in ("kinks", "no kinks", "slack", "tight")) >= 2, seen


@pytest.mark.parametrize("name", KEPT)
def test_the_counterexamples_are_theorems(name):
    slope, m, scale, seed, rank, slack = KEPT[name]
    data = datasets.read(FOUND / f"{name}.csv")[0]
    network = TwoLayerNetwork.with_signs(m, 0, LeakyReLU(slope))
    W0 = np.random.default_rng(seed).standard_normal((m, data.d)) * scale / data.R_max
    point = certify_point(network, data, gradient_flow(network, data, W0).limit)
    assert point.proven
    assert (point.rank, list(point.slack)) == (rank, slack)
    assert check_certificate(point.to_json(), data.X, data.y).accepted


def test_dependent_samples_leave_multipliers_open_and_the_point_is_proven_all_the_same():
    """Equal samples share one multiplier, however it is split: the linear system is singular."""
    data = Dataset([[1.0, 0.25], [1.0, 0.25], [0.0, 1.0]], [1.0, 1.0, -1.0])
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    limit = gradient_flow(network, data, [[0.5, 0.1], [0.2, -0.3]]).limit
    point = certify_point(network, data, limit)
    assert point.proven
    assert kkt_by_definition(point, data) == point.rank
    assert check_certificate(point.to_json(), data.X, data.y).accepted


def test_what_is_no_kkt_point_is_refused_with_the_reason():
    network, data = TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.0], [0.0, 1.0]], [1, -1])
    assert certify_point(network, data, [[1.0, -2.0]]).proven
    assert "no pattern" in certify_point(network, data, [[-1.0, 2.0]]).reason
    far = certify_point(network, data, [[1.0, 0.25]])
    assert not far.proven
    other = Dataset([[1.0, 0.0], [4.0, 0.1]], [1, 1])  # one sample alone is tight; both active gives λ_1 < 0
    wrong = certify_point(network, other, [[1.0, 30.0]])
    assert not wrong.proven or wrong.slack
    with pytest.raises(InvalidParameterError, match="γ = 0"):
        certify_point(TwoLayerNetwork([1.0], LeakyReLU(0.0)), data, [[1.0, -2.0]])


@pytest.mark.parametrize("slope", [0.05, 0.1])
@pytest.mark.parametrize("as_weights", [False, True])
def test_slopes_of_a_neuron_that_died_are_found_though_they_are_not_unique(slope, as_weights):
    """w_3 = 0, where any slopes with Σ y_i λ_i φ_i x_i = 0 do: those of least squares lie at γ, one rounding below."""
    data = Dataset([[0.13, -0.13, 0.64], [0.1, -0.54, 0.36], [1.3, 0.95, -0.7], [-1.27, -0.62, 0.04]], [1, 1, 1, 1])
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(slope))
    W0 = np.random.default_rng(0).normal(size=(3, 3))
    limit = gradient_flow(network, data, W0).limit
    point = certify_point(network, data, limit.weights() if as_weights else limit)
    assert point.proven
    assert set(point.pattern[2]) == {0}
    assert kkt_by_definition(point, data) == point.rank
    assert check_certificate(point.to_json(), data.X, data.y).accepted


def test_slopes_as_fractions_are_certified_as_such():
    network, data = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.1)), Dataset([[1.0, 0.0], [0.0, 2.0]], [1, -1])
    limit = gradient_flow(network, data, [[0.1, 0.0], [0.0, 0.1]]).limit
    point = certify_point(network, data, limit, Fraction(1, 10))
    assert point.objective == Fraction(125, 101)  # ½(1 + 1/4)·2/(1 + γ²)
    assert check_certificate(point.to_json(), data.X, data.y).network["slope"] == "0x1/0xa"


@pytest.fixture(scope="module")
def proofs():
    """Files with kinks, slack margins, ±1/√m and floats."""
    found = []
    for seed in (18, 20, 35, 57):
        network, data, limit = random_flow(np.random.default_rng(seed))
        point = certify_point(network, data, limit)
        found.append((point, data))
    assert {(p.units_on_kinks > 0, isinstance(p.problem.second_layer, str)) for p, _ in found} == set(
        product([True, False], repeat=2)
    )
    assert any(point.slack for point, _ in found)
    return [(point.to_json(), data) for point, data in found]


def test_every_single_digit_change_is_refused(proofs):
    for k, (text, data) in enumerate(proofs):
        for changed in digit_changes(text, 250, k):
            if changed != text:
                assert not check_certificate(changed, data.X, data.y).accepted, changed


def test_every_structural_change_is_refused(proofs):
    for k, (text, data) in enumerate(proofs):
        for changed in structural_changes(text, 50, k):
            assert not check_certificate(changed, data.X, data.y).accepted, changed


def test_a_proof_is_of_its_data_in_their_order(proofs):
    for text, data in proofs:
        order = np.roll(np.arange(data.n), 1)
        assert not check_certificate(text, data.X[order], data.y[order]).accepted
        assert not check_certificate(text, np.nextafter(data.X, 9.0), data.y).accepted


def test_the_checker_shares_nothing_with_the_prover():
    modules = set()
    for node in ast.walk(ast.parse(Path(point_checker.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module))
    assert {name for name in modules if name.split(".")[0] not in sys.stdlib_module_names} == {
        "verification.exact.checker"
    }


def test_the_file_names_what_it_proves(proofs):
    document = json.loads(proofs[0][0])
    assert document["verdict"] == "proven_kkt_point"
    assert document["schema"] == "implicit-bias-point"
