"""Optima proven: held against bounds by hand and another enumeration, tampered with, and by provers that are wrong."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import sys
from collections import Counter
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from verification.exact import optimum_checker
from verification.exact.checker import check_certificate
from verification.exact.optimum import DualBound, certify_optimum

from .tampering import digit_changes, resealed, structural_changes

pytest.importorskip("flint")
FOUND = Path(__file__).parents[3] / "docs" / "counterexamples"
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def instance(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    counts = [(1, 1), (2, 1), (2, 2), (3, 0), (1, 0)][rng.integers(5)]
    network = TwoLayerNetwork.with_signs(*counts, LeakyReLU(float(rng.choice([0.05, 0.3, 0.5, 1.0]))))
    if rng.random() < 0.3:
        network = TwoLayerNetwork(network.second_layer * rng.uniform(0.5, 2.0, network.m), network.activation)
    data = Dataset(rng.standard_normal((n, n + int(rng.integers(2)))), rng.choice([-1.0, 1.0], n))
    W0 = 1e-2 * rng.standard_normal((network.m, data.d))
    return network, data, gradient_flow(network, data, W0, "exponential").limit


def best_by_descent(network, data, starts):
    """The least ½‖W‖² that SLSQP finds from Gaussian starts, scaled to feasibility: no enumeration, no duals."""
    best = np.inf

    def margins(flat):
        z = flat.reshape(network.m, data.d) @ data.X.T
        return data.y * (network.second_layer @ np.maximum(z, network.slope * z))

    for seed in range(starts):
        start = np.random.default_rng(seed).standard_normal(network.m * data.d)
        constraint = {"type": "ineq", "fun": lambda flat: margins(flat) - 1.0}
        found = minimize(lambda flat: flat @ flat / 2, start, jac=lambda flat: flat, constraints=[constraint]).x
        q = margins(found).min()
        if q > 0.0:
            best = min(best, found @ found / 2 / q**2)
    return best


@pytest.mark.parametrize("seeds", [range(k, k + 5) for k in range(0, 40, 5)] if THOROUGH else [(1, 3, 5, 7, 8)])
def test_proven_optima_are_below_whatever_descent_finds(seeds):
    for seed in seeds:
        network, data, limit = instance(seed)
        proof = certify_optimum(network, data, limit)
        assert proof.proven, proof.reason
        assert proof.bounds
        assert float(proof.point.objective) <= best_by_descent(network, data, 4) * (1.0 + 1e-9)
        result = check_certificate(proof.to_json(), data.X, data.y)
        assert (result.accepted, result.verdict) == (True, proof.verdict), (seed, result.reason)


def test_limits_that_are_not_global_are_told_from_those_that_are():
    seen = Counter()
    for seed in (2, 7, 11, 14, 16, 18):
        network, data, limit = instance(seed)
        proof = certify_optimum(network, data, limit)
        seen[proof.verdict] += 1
        given = proof.above or proof.point
        assert float(given.objective) == pytest.approx(float(limit.multipliers.sum()) / 2, rel=1e-9)
        assert proof.excess == given.objective / proof.point.objective - 1
    assert min(seen.values()) >= 1
    assert set(seen) == {"proven_global_optimum", "proven_not_global_and_optimum"}


def test_orthogonal_samples_have_the_optimum_of_the_closed_form():
    """½ Σ 1/(K_ii η): each sample alone, by the neurons of both signs."""
    network, data = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), Dataset([[1.0, 0.0], [0.0, 2.0]], [1, -1])
    proof = certify_optimum(network, data)
    assert proof.point.objective == (1 + Fraction(1, 4)) * 2 / (1 + Fraction(1, 4)) / 2
    assert proof.programs == 4


def test_a_bound_is_that_of_the_program_by_its_rows():
    """(18.3) with the rows R themselves, in floats; and every program's own minimum lies above it."""
    network, data, _ = instance(3)
    proof = certify_optimum(network, data)
    problem = proof.point.problem
    slopes = (Fraction(1), problem.gamma)
    for values in proof.bounds:
        bound, unit = DualBound(problem, values), max(values)
        for flat in product(slopes, repeat=sum(map(sum, bound.own))):
            rest, choice = iter(flat), []
            for own in bound.own:
                choice.append(tuple(next(rest) for x in own if x))
            beta = np.zeros((network.m, data.n))
            for j, own in enumerate(bound.own):
                chosen = iter(choice[j])
                beta[j] = [
                    float((next(chosen) * bound.lam[i] if own[i] else Fraction(bound.beta[j][i])) / unit)
                    for i in range(data.n)
                ]
            R = network.second_layer[:, None] * ((beta * data.y) @ data.X)
            value = float(Fraction(sum(bound.lam), unit)) ** 2 / (2.0 * np.sum(R**2))
            least = Fraction(value)
            assert bound.reaches(choice, least * (1 - Fraction(1, 10**9)))
            assert not bound.reaches(choice, least * (1 + Fraction(1, 10**9)))


def test_where_too_many_programs_are_a_better_limit_still_shows_that_one_is_not_global():
    data = datasets.read(FOUND / "limits-closest.csv")[0]
    network = TwoLayerNetwork.with_signs(40, 0, LeakyReLU(0.05))
    deserting = np.where(np.arange(40)[:, None] % 2 == 0, data.X[0] - 0.2 * data.X[1], data.X[1] - 0.2 * data.X[0])
    proof = certify_optimum(network, data, deserting)
    assert proof.verdict == "proven_not_global"
    assert proof.excess > Fraction(1, 4)
    assert check_certificate(proof.to_json(), data.X, data.y).verdict == "proven_not_global"
    assert "no better point" in certify_optimum(network, data, np.tile(data.X.sum(axis=0), (40, 1))).reason
    assert "too many programs" in certify_optimum(network, data).reason


# --- tampering -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proofs():
    """With and without a point above; labels of one sign and of both; ±1/√m and floats."""
    made = []
    for seed in (7, 11, 14, 5):
        network, data, limit = instance(seed)
        made.append((certify_optimum(network, data, limit), data))
    assert {proof.above is None for proof, _ in made} == {True, False}
    return made


def still_true(before, after):
    """Integers of bounds may change where what they bound still reaches the point."""
    return {key for key in before if before[key] != after[key]} <= {"bounds", "seal"}


def test_every_single_digit_change_is_refused_unless_it_proves_the_same(proofs):
    for k, (proof, data) in enumerate(proofs):
        text = proof.to_json()
        for changed in digit_changes(text, 1000 if THOROUGH else 80, k):
            if changed != text and check_certificate(changed, data.X, data.y).accepted:
                assert still_true(json.loads(text), json.loads(changed)), changed


def test_every_structural_change_is_refused_unless_it_proves_the_same(proofs):
    for k, (proof, data) in enumerate(proofs):
        text = proof.to_json()
        for changed in structural_changes(text, 200 if THOROUGH else 50, k):
            if check_certificate(changed, data.X, data.y).accepted:
                assert still_true(json.loads(text), json.loads(changed)), changed


def refused(proof, data):
    result = check_certificate(proof.to_json(), data.X, data.y)
    assert not result.accepted
    return result.reason


def test_missing_bounds_are_refused(proofs):
    """The one that meets the point with equality is needed, and no single one suffices."""
    proof, data = max(proofs, key=lambda pair: len(pair[0].bounds))
    assert len(proof.bounds) > 1
    for bound in proof.bounds:
        assert "no dual bound that reaches" in refused(dataclasses.replace(proof, bounds=(bound,)), data)
    shorter = [bound for bound in proof.bounds if max(bound) <= 2**40]
    assert len(shorter) < len(proof.bounds)
    assert "no dual bound that reaches" in refused(dataclasses.replace(proof, bounds=tuple(shorter)), data)


def test_a_point_that_is_not_the_best_is_not_accepted_as_the_optimum(proofs):
    proof, data = next(pair for pair in proofs if pair[0].above)
    assert "no dual bound that reaches" in refused(dataclasses.replace(proof, point=proof.above, above=None), data)
    assert "does not lie above" in refused(dataclasses.replace(proof, point=proof.above, above=proof.point), data)


def test_multipliers_that_are_none_are_refused(proofs):
    """β below γλ, or a negative λ, would make bounds as large as one likes."""
    proof, data = proofs[-1]
    n = data.n
    assert len(proof.bounds[0]) > n  # it has concave units
    low = [(*bound[:n], *(0 for _ in bound[n:])) for bound in proof.bounds]
    assert "outside [γλ, λ]" in refused(dataclasses.replace(proof, bounds=tuple(low)), data)
    negative = [tuple(-x for x in bound) for bound in proof.bounds]
    assert "negative" in refused(dataclasses.replace(proof, bounds=tuple(negative)), data)


def test_nothing_claimed_is_refused(proofs):
    proof, data = next(pair for pair in proofs if not pair[0].above)
    document = json.loads(proof.to_json()) | {"bounds": [], "programs": 0}
    assert "nothing is claimed" in check_certificate(resealed(json.dumps(document)), data.X, data.y).reason


def test_the_checker_shares_nothing_with_the_prover():
    modules = set()
    for node in ast.walk(ast.parse(Path(optimum_checker.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module))
    assert {name for name in modules if name.split(".")[0] not in sys.stdlib_module_names} == {
        "verification.exact.checker",
        "verification.exact.point_checker",
    }
