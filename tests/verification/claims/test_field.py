"""The claims of docs/theory.md, sections 15 to 17, on random instances under their hypotheses.

HYPOTHESIS_PROFILE=thorough takes 200 of each kind. Each mutated version, whose bound or whose quantity is wrong, fails.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from time import perf_counter

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, TwoLayerNetwork, datasets
from refimpl.losses import HingeLoss
from verification import verify
from verification.claims import CLAIMS, Verdict
from verification.claims import hinge_descent_ends as hinge_module
from verification.claims import max_margin_is_uniform as uniform_module
from verification.claims import multipliers_within_printed_bounds as printed_module
from verification.claims import predictor_uniform_as_printed as as_printed_module
from verification.claims import relu_limit_from_start as relu_module
from verification.claims.evidence import Evidence
from verification.claims.ratios import worst
from verification.claims.run import DEFAULT_SCALES, _rescaled, _starts

INSTANCES = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 4
BY_ID = {claim.id: claim for claim in CLAIMS}
HOLD = {Verdict.HOLDS_NUMERICALLY, Verdict.VACUOUS}


def evidence_of(network: TwoLayerNetwork, data: Dataset, seed: int) -> Evidence:
    """In the units of `verify`, followed on the logistic or the exponential loss."""
    scaled, _ = data.rescaled()
    network, _ = _rescaled(network)
    loss = (LogisticLoss(), ExponentialLoss())[seed % 2]
    return Evidence(network, scaled, loss, _starts(network, scaled, None, seed, DEFAULT_SCALES), descent_steps=300)


def printed(rng: np.random.Generator) -> tuple[TwoLayerNetwork, Dataset]:
    """Equal numbers of neurons of each sign, data on which the paper's condition holds."""
    slope, n, m = float(rng.choice([1.0, 0.7, 0.5, 0.3])), int(rng.integers(2, 7)), int(rng.integers(1, 4))
    slack, ratio = float(rng.uniform(1.0, 4.0)), float(rng.uniform(1.0, 2.0))
    data = datasets.nearly_orthogonal(n, n + int(rng.integers(2, 20)), slack, slope, rng, norm_ratio=ratio)
    return TwoLayerNetwork.with_signs(m, m, LeakyReLU(slope)), data


def linear(rng: np.random.Generator) -> tuple[TwoLayerNetwork, Dataset]:
    """Slope 1, any second layer, separable data of any shape."""
    n, d, m = (int(rng.integers(1, 8)) for _ in range(3))
    X, z = rng.standard_normal((n, d)), rng.standard_normal(d)
    return TwoLayerNetwork(rng.choice([-1.0, 1.0], m) * rng.uniform(0.5, 1.5, m), LeakyReLU(1.0)), Dataset(
        X, np.where(X @ z >= 0.0, 1.0, -1.0)
    )


def relu(rng: np.random.Generator) -> tuple[TwoLayerNetwork, Dataset]:
    """Slope 0, orthogonal samples along the axes, enough neurons that each sample has a live one."""
    n, m = int(rng.integers(1, 6)), 48
    X = np.zeros((n, n + 2))
    X[np.arange(n), rng.permutation(n + 2)[:n]] = rng.choice([-1.0, 1.0], n) * rng.uniform(0.3, 3.0, n)
    a = np.resize([1.0, -1.0], m) * rng.uniform(0.1, 0.5, m)
    return TwoLayerNetwork(a, LeakyReLU(0.0)), Dataset(X, rng.choice([-1.0, 1.0], n))


UNDER_HYPOTHESIS: dict[Callable, list[str]] = {
    printed: [
        "multipliers-within-bounds",
        "multipliers-within-printed-bounds",
        "predictor-is-uniform",
        "predictor-uniform-as-printed",
        "max-margin-interpolates",
        "max-margin-is-uniform",
        "loss-between-bounds",
        "loss-times-time",
        "gradient-aligns",
        "hinge-descent-ends",
    ],
    linear: ["slope-one-is-svm", "loss-between-bounds", "loss-times-time", "gradient-aligns", "hinge-descent-ends"],
    relu: ["relu-limit-from-start"],
}


def row(claim: str, evidence: Evidence):
    return BY_ID[claim].evaluate(evidence, perf_counter)


@pytest.mark.parametrize("seed", range(INSTANCES))
@pytest.mark.parametrize("family", UNDER_HYPOTHESIS, ids=lambda family: family.__name__)
def test_the_claims_hold_under_their_hypotheses(family, seed: int) -> None:
    network, data = family(np.random.default_rng([seed, 18]))
    evidence = evidence_of(network, data, seed)
    met = 0
    for claim in UNDER_HYPOTHESIS[family]:
        if not BY_ID[claim].applies(evidence):
            continue
        found = row(claim, evidence)
        assert found.verdict in (*HOLD, Verdict.HYPOTHESIS_NOT_MET), (claim, found)
        met += found.hypothesis.satisfied
    assert met >= len(UNDER_HYPOTHESIS[family]) - (2 if family is linear else 0)


@pytest.mark.parametrize("seed", range(INSTANCES))
def test_nothing_is_violated_elsewhere(seed: int) -> None:
    """Second layers of any sizes, few dimensions: hypotheses hold or not, no row is VIOLATED."""
    rng = np.random.default_rng([seed, 19])
    n, m = int(rng.integers(1, 6)), int(rng.integers(1, 5))
    network = TwoLayerNetwork(
        rng.choice([-1.0, 1.0], m) * rng.uniform(0.5, 1.0, m), LeakyReLU(float(rng.choice([0.1, 0.5, 0.9])))
    )
    evidence = evidence_of(network, datasets.gaussian(n, int(rng.integers(n, 60)), rng), seed)
    for claim in chain(*UNDER_HYPOTHESIS.values()):
        if BY_ID[claim].applies(evidence):
            assert row(claim, evidence).verdict is not Verdict.VIOLATED, claim


# --- mutated versions fail ---------------------------------------------------------------------------


@lru_cache(maxsize=2)
def honest(loss: str = "logistic") -> Evidence:
    """Balanced masses and P >= 3γ⁻³, followed once."""
    data = datasets.nearly_orthogonal(6, 30, 1.25, 0.5, np.random.default_rng(3), norm_ratio=1.3)
    evidence = evidence_of(TwoLayerNetwork.with_signs(3, 3, LeakyReLU(0.5)), data, 0 if loss == "logistic" else 1)
    assert len(evidence.flows) == 3
    return evidence


def changed(evidence: Evidence, limit=lambda x: x, path=lambda x: x, **witnesses) -> Evidence:
    """A copy with other limits, other recorded paths, or other witnesses."""
    flows = (replace(flow, limit=limit(flow.limit), trajectory=path(flow.trajectory)) for flow in evidence.flows)
    return evidence.supposing(flows=tuple(flows), **witnesses)


def one_multiplier(factor: float):
    def change(limit):
        lam = limit.multipliers.copy()
        lam[0] *= factor
        return replace(limit, multipliers=lam)

    return change


def one_sample(factor: float):
    def change(limit):
        C = limit.coefficients.copy()
        C[:, 0] *= factor
        return replace(limit, coefficients=C)

    return change


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
@pytest.mark.parametrize(
    ("claim", "mutation"),
    [
        ("multipliers-within-bounds", {"limit": one_multiplier(1.1)}),
        ("multipliers-within-bounds", {"limit": one_multiplier(0.9)}),
        ("multipliers-within-printed-bounds", {"limit": one_multiplier(6.0)}),
        ("multipliers-within-printed-bounds", {"limit": one_multiplier(0.1)}),
        ("predictor-is-uniform", {"limit": one_sample(2.0)}),
        ("predictor-is-uniform", {"limit": one_sample(-1.0)}),
        ("predictor-uniform-as-printed", {"limit": one_sample(20.0)}),
        ("loss-between-bounds", {"path": lambda p: replace(p, log_time=p.log_time + np.log(30.0))}),
        ("loss-between-bounds", {"path": lambda p: replace(p, log_time=p.log_time - np.log(30.0))}),
        ("loss-times-time", {"path": lambda p: replace(p, log_time=p.log_time + 1e-3)}),
        ("loss-times-time", {"path": lambda p: replace(p, log_time=p.log_time - 1e-3)}),
        ("loss-times-time", {"limit": lambda x: replace(x, singular_values=1.001 * x.singular_values)}),
        ("gradient-aligns", {"path": lambda p: replace(p, norm=np.append(p.norm[:-1], 1.01 * p.norm[-1]))}),
    ],
)
def test_a_mutated_quantity_is_seen(claim: str, mutation: dict, loss: str) -> None:
    evidence = honest(loss)
    assert row(claim, evidence).verdict is Verdict.HOLDS_NUMERICALLY
    assert row(claim, changed(evidence, **mutation)).verdict is Verdict.VIOLATED


@pytest.mark.parametrize(
    ("claim", "module", "name", "factor"),
    [
        ("multipliers-within-printed-bounds", printed_module, "printed_multipliers", 0.1),
        ("predictor-uniform-as-printed", as_printed_module, "printed_uniformity", 0.1),
        ("max-margin-is-uniform", uniform_module, "printed_linear_uniformity", 0.1),
        ("hinge-descent-ends", hinge_module, "hinge_step_bound", 1e-3),
        ("hinge-descent-ends", hinge_module, "hinge_norm_bound", 0.1),
    ],
)
def test_a_mutated_bound_is_seen(claim: str, module, name: str, factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    right, evidence = getattr(module, name), honest()
    assert row(claim, evidence).verdict is Verdict.HOLDS_NUMERICALLY
    monkeypatch.setattr(module, name, lambda *args: np.multiply(right(*args), factor).tolist())
    assert row(claim, evidence).verdict is Verdict.VIOLATED


def test_a_hinge_descent_that_goes_on_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that forget half of what was learned: N passes its bound and the margins never reach 1."""

    class Never(HingeLoss):
        def weight(self, q):
            return np.ones_like(q)

    monkeypatch.setattr(hinge_module, "HingeLoss", Never)
    evidence = replace(honest(), descent_steps=3000).supposing(linear=honest().linear)
    assert row("hinge-descent-ends", evidence).verdict is Verdict.VIOLATED


def test_a_hinge_descent_that_is_cut_short_holds_so_far() -> None:
    evidence = replace(honest(), step_size=1e-3, descent_steps=10).supposing(linear=honest().linear)
    found = row("hinge-descent-ends", evidence)
    assert found.verdict is Verdict.HOLDS_NUMERICALLY
    assert "did not end" in found.reason


def test_a_max_margin_predictor_that_does_not_interpolate_is_seen() -> None:
    evidence, star = honest(), honest().linear
    coefficients = star.coefficients.copy()
    coefficients[0] *= 1.0 + 1e-6
    assert row("max-margin-interpolates", evidence).verdict is Verdict.HOLDS_NUMERICALLY
    wrong = changed(evidence, linear=replace(star, coefficients=coefficients))
    assert row("max-margin-interpolates", wrong).verdict is Verdict.VIOLATED
    coefficients[0] *= -1.0
    wrong = changed(evidence, linear=replace(star, coefficients=coefficients))
    assert row("max-margin-is-uniform", wrong).verdict is Verdict.VIOLATED


def test_another_support_vector_machine_is_seen() -> None:
    network, data = linear(np.random.default_rng(5))
    evidence = evidence_of(network, data, 0)
    assert row("slope-one-is-svm", evidence).verdict is Verdict.HOLDS_NUMERICALLY
    moved = changed(evidence, limit=lambda x: replace(x, coefficients=1.0001 * x.coefficients))
    assert row("slope-one-is-svm", moved).verdict is Verdict.VIOLATED


def test_another_pattern_of_the_start_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = relu(np.random.default_rng([1, 18]))
    evidence = evidence_of(network, data, 0)
    assert row("relu-limit-from-start", evidence).verdict is Verdict.HOLDS_NUMERICALLY
    right = relu_module.predicted_coefficients

    def of_one_more(net, gram, y, Z):
        Z = Z.copy()
        Z[0] = -Z[0]
        return right(net, gram, y, Z)

    monkeypatch.setattr(relu_module, "predicted_coefficients", of_one_more)
    assert row("relu-limit-from-start", evidence).verdict is Verdict.VIOLATED


def test_relu_by_hand() -> None:
    """Two orthogonal samples of one label, two neurons a = 1, of which the second is dead on x_2: λ = (1/2, 1)."""
    network = TwoLayerNetwork([1.0, 1.0], LeakyReLU(0.0))
    C = relu_module.predicted_coefficients(network, np.eye(2), np.ones(2), np.array([[0.3, 0.2], [0.1, -0.4]]))
    np.testing.assert_allclose(C, [[0.5, 1.0], [0.5, 0.0]])
    assert relu_module.predicted_coefficients(network, np.eye(2), np.ones(2), np.array([[1.0, -1.0]] * 2)) is None


class ShiftedLogisticLoss(LogisticLoss):
    """ℓ(q) = log(1 + e^{3-q}), whose η is σ(q - 3): the tail is exponential, and 1 - η exceeds e^{-q}."""

    def value(self, q):
        return super().value(np.asarray(q) - 3.0)

    def log_value(self, q):
        return super().log_value(np.asarray(q) - 3.0)

    def weight(self, q):
        return super().weight(np.asarray(q) - 3.0)

    def log_weight(self, q):
        return super().log_weight(np.asarray(q) - 3.0)

    def curvature(self, q):
        return super().curvature(np.asarray(q) - 3.0)

    def log_weight_decay(self, q):
        return super().log_weight_decay(np.asarray(q) - 3.0)

    def inverse_of_log_value(self, log_value):
        return super().inverse_of_log_value(log_value) + 3.0


@pytest.mark.parametrize("claim", ["flow-stays-in-last-cell", "smoothed-margin-monotone", "loss-between-bounds"])
def test_what_is_proven_of_two_losses_is_not_said_of_another(claim: str) -> None:
    rng = np.random.default_rng(1)
    data = Dataset(rng.standard_normal((4, 20)), [1, -1, 1, 1])
    report = verify(TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5)), data, loss=ShiftedLogisticLoss(), only=[claim])
    assert report.claims[0].verdict is Verdict.HYPOTHESIS_NOT_MET


@pytest.mark.filterwarnings("error")
def test_samples_that_determine_no_interpolator() -> None:
    """Five samples in four dimensions: K is singular but for rounding, and yᵀK⁻¹y may come out negative."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        data = Dataset(rng.standard_normal((5, 4)), np.ones(5))
        found = row("max-margin-interpolates", evidence_of(TwoLayerNetwork([1.0], LeakyReLU(0.5)), data, 0))
        assert found.verdict is Verdict.HYPOTHESIS_NOT_MET


def test_worst_does_not_hide_a_violation_behind_a_large_error() -> None:
    assert worst([0.2, 1.5, 0.9], [0.0, 1.0, 0.0]) == (1.5, 1.0)  # undecided
    assert worst([0.2, 1.5, 1.01], [0.0, 1.0, 1e-9]) == (1.01, 1e-9)  # decided by another
    assert worst([0.9, 1e8], [60.0, 50.0]) == (1e8, 50.0)  # half a part in 10⁶ of itself
    assert worst([np.inf], [np.inf]) == (np.inf, np.inf)
    assert worst([], []) == (None, 0.0)
