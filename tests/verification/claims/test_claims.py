"""Each claim can fail: a limit, a trajectory or a descent that is wrong is seen by the claim that is about it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from time import perf_counter

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork, datasets
from refimpl.errors import ImplicitBiasError, InvalidDataError
from refimpl.flow import FlowEvent, FlowStatus, gradient_flow, piecewise
from verification.claims import CLAIMS, Conclusion, HypothesisResult, Measurement, Verdict
from verification.claims.base import judge
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import log_threshold
from verification.claims.run import DEFAULT_SCALES, _starts
from verification.presets import PRESETS

BY_ID = {claim.id: claim for claim in CLAIMS}


def fresh(preset: str = "theorem", **changes) -> Evidence:
    chosen = PRESETS[preset]
    network, data = chosen.network(), chosen.data(0)
    starts = _starts(network, data, None, 0, DEFAULT_SCALES)
    return replace(Evidence(network, data, LogisticLoss(), starts, descent_steps=50), **changes)


@pytest.fixture(scope="module")
def honest() -> Evidence:
    evidence = fresh()
    assert len(evidence.flows) == 3
    return evidence


def verdict(claim: str, evidence: Evidence) -> Verdict:
    return BY_ID[claim].evaluate(evidence, perf_counter).verdict


def with_limits(honest: Evidence, change) -> Evidence:
    """A copy whose flows end in changed limits; everything else is computed anew."""
    evidence = fresh()
    flows = tuple(replace(flow, limit=change(flow.limit)) for flow in honest.flows)
    return evidence.supposing(flows=flows)


def moved(limit, C):
    sigma = np.linalg.svd(C @ limit.X, compute_uv=False)
    return replace(limit, coefficients=C, singular_values=sigma)


def one_neuron_longer(limit):
    C = limit.coefficients.copy()
    C[0] *= 1.001
    return moved(limit, C)


def of_rank_three(limit):
    C = limit.coefficients.copy()
    C[0, 0] += 1e-3
    C[1, 1] += 1e-3
    return moved(limit, C)


def too_long(limit):
    return moved(limit, 1.5 * limit.coefficients)


def of_other_signs(limit):
    C = limit.coefficients.copy()
    C[:5] = -C[:5]
    return moved(limit, C)


HOLD = {Verdict.HOLDS_NUMERICALLY, Verdict.HOLDS_CERTIFIED}


@pytest.mark.parametrize(
    ("claim", "change"),
    [
        ("flow-limit-is-kkt", one_neuron_longer),
        ("flow-rank-at-most-two", of_rank_three),
        ("all-margins-tight", one_neuron_longer),
        ("neurons-collapse", one_neuron_longer),
        ("limit-is-convex-optimum", one_neuron_longer),
        ("decision-boundary-linear", of_other_signs),
        ("margin-approximation", too_long),
    ],
)
def test_a_wrong_limit_is_seen(honest: Evidence, claim: str, change) -> None:
    assert verdict(claim, honest) in HOLD
    assert verdict(claim, with_limits(honest, change)) is Verdict.VIOLATED


def with_paths(honest: Evidence, **changes) -> Evidence:
    evidence = fresh()
    return evidence.supposing(
        flows=tuple(
            replace(flow, trajectory=replace(flow.trajectory, **{k: f(flow.trajectory) for k, f in changes.items()}))
            for flow in honest.flows
        )
    )


def test_a_loss_that_stays_is_seen(honest: Evidence) -> None:
    assert verdict("flow-zero-loss", honest) in HOLD
    stuck = with_paths(
        honest, log_loss=lambda path: np.zeros_like(path.log_loss), margins=lambda path: -np.ones_like(path.margins)
    )
    assert verdict("flow-zero-loss", stuck) in HOLD  # its margins go on growing along the limit
    for wrong in range(3):  # one of them grows more slowly than (7.8) allows
        flows = list(honest.flows)
        slow = replace(flows[wrong].limit, margins=0.01 * flows[wrong].limit.margins)
        flows[wrong] = replace(stuck.flows[wrong], limit=slow)
        evidence = fresh()
        evidence = evidence.supposing(flows=tuple(flows))
        assert verdict("flow-zero-loss", evidence) is Verdict.VIOLATED


def test_a_flow_that_was_stopped_is_held_against_what_is_proven_of_it(honest: Evidence) -> None:
    """Stopped after 20 steps, at a large loss: (16.2) decides. A loss that has not fallen for long contradicts it."""
    separable = fresh()
    stopped = tuple(
        gradient_flow(separable.network, separable.data, start.W0, separable.loss, max_steps=20)
        for start in separable.starts
    )
    assert {flow.status for flow in stopped} == {FlowStatus.MAX_EVENTS}
    row = BY_ID["flow-zero-loss"].evaluate(separable.supposing(flows=stopped), perf_counter)
    assert row.verdict is Verdict.HOLDS_NUMERICALLY
    assert row.reason.count("(16.2) proves L -> 0") == 3
    path = stopped[1].trajectory
    waited = replace(path, log_time=np.append(path.log_time[:-1], 40.0))
    flows = (stopped[0], replace(stopped[1], trajectory=waited), stopped[2])
    assert verdict("flow-zero-loss", fresh().supposing(flows=flows)) is Verdict.VIOLATED


def test_nothing_is_proven_of_a_stopped_flow_where_no_hyperplane_separates() -> None:
    network, data = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.0], [-1.0, 0.0]], [1, 1])
    starts = _starts(network, data, None, 0, DEFAULT_SCALES)
    evidence = Evidence(network, data, LogisticLoss(), starts)
    flows = tuple(gradient_flow(network, data, start.W0, max_steps=2) for start in starts)
    assert {flow.status for flow in flows} == {FlowStatus.MAX_EVENTS}
    row = BY_ID["flow-zero-loss"].evaluate(evidence.supposing(flows=flows), perf_counter)
    assert (row.verdict, row.conclusion) == (Verdict.HYPOTHESIS_NOT_MET, Conclusion.UNDECIDED)


def test_a_falling_smoothed_margin_is_seen(honest: Evidence) -> None:
    assert verdict("smoothed-margin-monotone", honest) in HOLD
    falling = with_paths(honest, smoothed_margin=lambda p: p.smoothed_margin - 1e-3 * (np.arange(p.s.size) % 2))
    assert verdict("smoothed-margin-monotone", falling) is Verdict.VIOLATED


def with_descents(honest: Evidence, **changes) -> Evidence:
    evidence = fresh()
    return evidence.supposing(
        descents=tuple(
            replace(
                run,
                result=replace(
                    run.result,
                    trajectory=replace(
                        run.result.trajectory, **{k: f(run.result.trajectory) for k, f in changes.items()}
                    ),
                ),
            )
            for run in honest.descents
        )
    )


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        ("descent-converges", {"loss": lambda p: np.full_like(p.loss, 50.0)}),
        ("descent-converges", {"smallest_margin": lambda p: -p.smallest_margin}),
        ("descent-stable-rank-bounded", {"increment_stable_rank": lambda p: 2.0 * p.increment_stable_rank}),
        ("descent-norms-grow", {"increment_norms": lambda p: 0.1 * p.increment_norms}),
    ],
)
def test_a_wrong_descent_is_seen(honest: Evidence, claim: str, changes) -> None:
    assert verdict(claim, honest) in HOLD
    assert verdict(claim, with_descents(honest, **changes)) is Verdict.VIOLATED


def test_rows_that_spread_are_seen(honest: Evidence) -> None:
    claim = "per-sign-stable-rank-tends-to-one"
    assert verdict(claim, honest) in HOLD
    evidence = fresh()
    evidence = evidence.supposing(
        descents=tuple(
            replace(run, stable_rank_by_sign=np.roll(run.stable_rank_by_sign[::-1], 1, axis=0))
            for run in honest.descents
        )
    )
    result = BY_ID[claim].evaluate(evidence, perf_counter)
    assert result.verdict is Verdict.INCONCLUSIVE  # a finite run does not refute a limit
    assert "does not fall yet" in result.reason


def test_a_wrong_prediction_of_the_first_step_is_seen(honest: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    from verification.claims import descent_one_step_rank_drop as module

    assert verdict("descent-one-step-rank-drop", honest) in HOLD
    right = module.predicted_stable_rank
    monkeypatch.setattr(module, "predicted_stable_rank", lambda *args: 1.01 * right(*args))
    assert verdict("descent-one-step-rank-drop", honest) is Verdict.VIOLATED


def test_a_large_start_with_low_rank_is_seen(honest: Evidence) -> None:
    evidence = fresh()
    low_rank = np.outer(np.arange(1.0, evidence.network.m + 1.0), evidence.data.X[0])
    spread = replace(evidence.starts[-1], W0=low_rank + 1e-3 * evidence.starts[-1].W0)
    evidence = fresh(starts=(*evidence.starts[:-1], spread))
    result = BY_ID["small-initialization-matters"].evaluate(evidence, perf_counter)
    assert result.measurement.value > 1.0  # the hypothesis asks for room, which such a start lacks
    assert result.verdict is Verdict.HYPOTHESIS_NOT_MET


def test_a_missing_limit_is_inconclusive(honest: Evidence) -> None:
    evidence = fresh()
    flows = (replace(honest.flows[0], limit=None, status=FlowStatus.STALLED), *honest.flows[1:])
    evidence = evidence.supposing(flows=flows)
    result = BY_ID["flow-rank-at-most-two"].evaluate(evidence, perf_counter)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "STALLED" in result.reason


def test_certified_only_where_the_certificate_proves_it(honest: Evidence) -> None:
    pytest.importorskip("flint")
    assert honest.every_kkt_point_is_certified
    certified = {claim.id for claim in CLAIMS if verdict(claim.id, honest) is Verdict.HOLDS_CERTIFIED}
    assert certified == {
        "flow-rank-at-most-two",
        "all-margins-tight",
        "neurons-collapse",
        "limit-is-convex-optimum",
        "decision-boundary-linear",
        "margin-approximation",
    }
    without = fresh()
    without = without.supposing(flows=honest.flows, certificate=None)
    assert verdict("flow-rank-at-most-two", without) is Verdict.HOLDS_NUMERICALLY


@pytest.mark.parametrize(
    ("satisfied", "value", "tolerance", "undecided", "expected"),
    [
        (True, 0.0, 1e-9, "", Verdict.HOLDS_NUMERICALLY),
        (True, 1.1e-9, 1e-9, "", Verdict.VIOLATED),
        (True, 0.0, 2e-6, "", Verdict.INCONCLUSIVE),
        (True, None, 1e-9, "", Verdict.INCONCLUSIVE),
        (True, float("nan"), 1e-9, "", Verdict.INCONCLUSIVE),
        (True, 0.0, 1e-9, "no limit", Verdict.INCONCLUSIVE),
        (False, 5.0, 1e-9, "", Verdict.HYPOTHESIS_NOT_MET),
        (False, None, 1e-9, "no limit", Verdict.HYPOTHESIS_NOT_MET),
    ],
)
def test_judge(satisfied: bool, value: float | None, tolerance: float, undecided: str, expected: Verdict) -> None:
    measurement = Measurement("quantity", value, 0.0, tolerance, "reason", undecided)
    assert judge(HypothesisResult("condition", satisfied, None), measurement)[0] is expected


def test_a_tolerance_is_a_part_of_a_large_bound() -> None:
    holds = HypothesisResult("condition", True, None)
    large = Measurement("ratio", 900.0, 1000.0, 5e-4, "error of the limit")
    assert judge(holds, large)[0] is Verdict.HOLDS_NUMERICALLY
    assert judge(holds, replace(large, tolerance=2e-3))[0] is Verdict.INCONCLUSIVE
    assert judge(holds, replace(large, bound=float("inf"), tolerance=5e-4))[0] is Verdict.INCONCLUSIVE


def test_a_hypothesis_that_is_not_known_decides_nothing() -> None:
    unknown = HypothesisResult("data separable", False, None, "The solver stopped early.")
    for value in (0.0, 5.0):
        found = judge(unknown, Measurement("quantity", value, 1.0, 0.0, "none"))
        assert found == (Verdict.INCONCLUSIVE, "The solver stopped early.")


@pytest.mark.parametrize("error", [InvalidDataError("X", "`X` is odd."), np.linalg.LinAlgError("no convergence")])
@pytest.mark.parametrize("part", ["hypothesis", "measure"])
def test_what_cannot_be_had_costs_one_row_only(honest: Evidence, error: Exception, part: str) -> None:
    def fail(evidence: Evidence):
        raise error

    row = replace(BY_ID["all-margins-tight"], **{part: fail}).evaluate(honest, perf_counter)
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "odd" in row.reason or "no convergence" in row.reason


def test_a_programming_error_is_loud(honest: Evidence) -> None:
    def fail(evidence: Evidence):
        raise TypeError("a fault")

    with pytest.raises(TypeError, match="a fault"):
        replace(BY_ID["all-margins-tight"], measure=fail).evaluate(honest, perf_counter)


# --- each number from another route ---------------------------------------------------------------


def measured(claim: str, evidence: Evidence) -> Measurement:
    return BY_ID[claim].measure(evidence)


def longer_column(limit):
    C = limit.coefficients.copy()
    C[:, 0] *= 1.3
    return moved(limit, C)


def shorter_sample(limit):
    C = limit.coefficients.copy()
    C[:, 0] *= 0.05
    return moved(limit, C)


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize(
    ("claim", "change"),
    [
        ("flow-limit-is-kkt", one_neuron_longer),
        ("flow-rank-at-most-two", of_rank_three),
        ("all-margins-tight", one_neuron_longer),
        ("neurons-collapse", one_neuron_longer),
        ("limit-is-convex-optimum", one_neuron_longer),
        ("decision-boundary-linear", of_other_signs),
        ("margin-approximation", shorter_sample),
    ],
)
def test_one_wrong_limit_of_three_is_enough(honest: Evidence, claim: str, change, wrong: int) -> None:
    flows = list(honest.flows)
    flows[wrong] = replace(flows[wrong], limit=change(flows[wrong].limit))
    evidence = fresh()
    evidence = evidence.supposing(flows=tuple(flows))
    assert verdict(claim, evidence) is Verdict.VIOLATED


def test_complementarity_counts(honest: Evidence) -> None:
    """Another multiplier for one sample: W is still Σ λ_i H_i, but its margins differ where λ > 0."""
    found = measured("flow-limit-is-kkt", with_limits(honest, longer_column))
    assert max(found.details["stationarity"]) < 1e-12
    assert found.value == pytest.approx(max(found.details["complementarity"]))
    assert found.value > 0.01


def test_every_pair_of_the_three_witnesses_is_compared(honest: Evidence) -> None:
    for name in ("closed_form", "max_margin"):
        evidence = fresh()
        wrong = getattr(honest, name)
        wrong = replace(wrong, v_coefficients=1.001 * wrong.v_coefficients)
        evidence = evidence.supposing(**{"flows": honest.flows, name: wrong})
        assert verdict("limit-is-convex-optimum", evidence) is Verdict.VIOLATED
    evidence = fresh()
    useless = replace(honest.closed_form, solves_program=False, error_estimate=float("inf"))
    evidence = evidence.supposing(flows=honest.flows, closed_form=useless)
    assert verdict("limit-is-convex-optimum", evidence) in HOLD


def test_margin_approximation_scales_z_to_its_smallest_margin(honest: Evidence) -> None:
    """‖z‖/‖z*‖ with y_i⟨z, x_i⟩ >= 1, from W in R^d and z* of the linear program."""
    for change in (lambda limit: limit, shorter_sample, lambda limit: moved(limit, 0.01 * limit.coefficients)):
        evidence = with_limits(honest, change)
        network, data, star = evidence.network, evidence.data, evidence.linear
        expected = 0.0
        for limit in evidence.limits:
            z = network.second_layer @ limit.weights()
            scale = min(1.0, float((data.y * (data.X @ z)).min()))
            expected = max(expected, float(np.linalg.norm(z) / np.linalg.norm(star.z)) / scale)
        assert measured("margin-approximation", evidence).value == pytest.approx(expected, rel=1e-9)


def test_a_z_that_does_not_separate_is_told(honest: Evidence) -> None:

    def of_another_label(limit):
        C = limit.coefficients.copy()
        C[:, 0] *= -1.0
        return moved(limit, C)

    row = BY_ID["margin-approximation"].evaluate(with_limits(honest, of_another_label), perf_counter)
    assert row.verdict is Verdict.VIOLATED
    assert row.measurement.value == float("inf")
    assert "does not separate" in row.reason


def test_the_rounding_of_a_singular_system_is_not_an_error_of_the_limit() -> None:
    """Equal samples: the limit is that of the distinct ones with weights, whatever cond M says."""
    X = np.eye(3)[[0, 1, 2, 0, 1]]
    data = Dataset(X, [1.0, -1.0, 1.0, 1.0, -1.0])
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    starts = _starts(network, data, None, 0, DEFAULT_SCALES)
    evidence = Evidence(network, data, LogisticLoss(), starts)
    a, gamma = np.sqrt(0.5), 0.5
    lam = 1.0 / (0.5 + 0.5 * gamma**2)  # K = I: λ_i (a²·1 + a²γ²) = 1
    W = lam * a * np.array([[1.0, -gamma, 1.0], [-gamma, 1.0, -gamma]])
    for limit in evidence.limits:
        np.testing.assert_allclose(limit.weights(), W, rtol=0.0, atol=1e-13)
    assert evidence.flow_error < 1e-12
    split = [
        replace(f, limit=replace(f.limit, multipliers=lam * np.array([0.5, 0.5, 1.0, 0.5, 0.5])))
        for f in evidence.flows
    ]
    evidence = evidence.supposing(flows=tuple(split))
    assert evidence.flow_error < 1e-12


def test_a_cancellation_in_a_sliding_units_matrix_is_an_error_of_the_limit() -> None:
    """Samples 2e-4 apart with opposite labels slide: K loses eight digits, and margins of the limit are off by 1e-9."""
    data = Dataset([[1.0, 2e-4], [1.0, -2e-4]], [1.0, -1.0])
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    evidence = Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))
    off = max(float(np.abs(network.margins(limit.weights(), data) - 1.0).max()) for limit in evidence.limits)
    assert off <= evidence.margin_error
    assert verdict("flow-limit-is-kkt", evidence) in HOLD


def test_the_error_of_a_limit_holds_it_against_the_rationals() -> None:
    """Nearly dependent samples: λ_min(M) is 1e-8 of its terms, and W is known to eight digits more than λ is.

    One neuron, all units active, so that M = K and W = Σ λ_i x_i with K λ = 1, solved by fractions.
    """
    X = np.array([[1.0, 1e-3, 0.0], [1.0, -1e-3, 1e-4], [1.0, 0.0, -1e-4]])
    data, network = Dataset(X, [1.0, 1.0, 1.0]), TwoLayerNetwork([1.0], LeakyReLU(0.5))
    evidence = Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))
    exact = least_norm_by_fractions(X)
    limit = evidence.limits[0]
    off = np.linalg.norm(limit.weights()[0] - exact) / np.linalg.norm(exact)
    assert off <= evidence.flow_error < 1e-9


def least_norm_by_fractions(X: np.ndarray) -> np.ndarray:
    """The w with X w = 1, X square."""
    rows = [[Fraction(float(x)) for x in row] + [Fraction(1)] for row in X]
    for i in range(len(rows)):
        pivot = next(r for r in range(i, len(rows)) if rows[r][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for r in range(len(rows)):
            if r != i:
                rows[r] = [x - rows[r][i] * p for x, p in zip(rows[r], rows[i], strict=True)]
    return np.array([float(row[-1]) for row in rows])


def test_a_limit_that_is_not_polished_has_the_root_of_its_gap(honest: Evidence) -> None:
    """λ that is off by 1e-4 in one sample: ‖W - W*‖² = δλᵀMδλ, and the gap knows it."""

    def off(limit):
        C = limit.coefficients.copy()
        C[:, 0] *= 1.0 + 1e-4
        lam = limit.multipliers.copy()
        lam[0] *= 1.0 + 1e-4
        margins = honest.network.margins(C @ limit.X, honest.data)
        return replace(moved(limit, C), multipliers=lam, margins=margins, polished=False)

    evidence = with_limits(honest, off)
    moved_by = max(
        float(np.linalg.norm(new.weights() - old.weights()) / np.linalg.norm(old.weights()))
        for new, old in zip(evidence.limits, honest.limits, strict=True)
    )
    assert moved_by <= evidence.flow_error < 1e3 * moved_by


def test_rows_that_are_zero_to_rounding_are_on_no_side(honest: Evidence) -> None:
    """A dead neuron of a ReLU left at 1e-16 of ‖W‖, on the wrong side of every kink, changes no verdict."""
    data = Dataset([[1.0, 0.2], [0.9, -0.1]], [1.0, 1.0])
    network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    evidence = Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))
    limit = evidence.limits[0]
    C = limit.coefficients.copy()
    C[1] *= 1e-16 / np.abs(C[1]).max()
    np.testing.assert_array_equal(evidence._weights(moved(limit, C))[1], 0.0)
    np.testing.assert_array_equal(evidence._weights(moved(limit, 1e6 * C))[0], 1e6 * limit.weights()[0])


# --- bounds, at their edges -----------------------------------------------------------------------


def edges(honest: Evidence, claim: str, change) -> list[Verdict]:
    """Verdicts with the worst of all recorded numbers put just below and just above what theory allows."""
    return [verdict(claim, change(1.0 + side * 1e-6)) for side in (-1.0, 1.0)]


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("at", [1, 20, -1])
def test_the_bound_on_the_stable_rank_is_sharp(honest: Evidence, wrong: int, at: int) -> None:
    gamma = honest.network.slope
    bound = 1.0 + np.linalg.cond(honest.data.gram) * (1.0 - gamma) ** 2 / (4.0 * gamma)

    def change(factor: float) -> Evidence:
        def at_one_step(path):
            ranks = path.increment_stable_rank.copy()
            ranks[at] = factor * bound
            return ranks

        return with_one_descent(honest, wrong, increment_stable_rank=at_one_step)

    assert edges(honest, "descent-stable-rank-bounded", change) == [Verdict.HOLDS_NUMERICALLY, Verdict.VIOLATED]


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("at", [1, 20, -1])
def test_the_bound_on_the_growth_of_a_row_is_sharp(honest: Evidence, wrong: int, at: int) -> None:
    smallest = 1.0 / np.linalg.norm(np.linalg.inv(honest.data.gram), 2)
    a, gamma = honest.network.second_layer, honest.network.slope

    def change(factor: float) -> Evidence:
        def at_one_step(path):
            norms = path.increment_norms.copy()
            G = path.accumulated_weights[at]
            norms[at, -1] = np.sqrt(smallest * gamma**2 * a[-1] ** 2 * (G @ G) / factor)
            return norms

        return with_one_descent(honest, wrong, increment_norms=at_one_step)

    assert edges(honest, "descent-norms-grow", change) == [Verdict.HOLDS_NUMERICALLY, Verdict.VIOLATED]


def rate_of_section_10(evidence: Evidence) -> float:
    """αδ/n with ρ by bisection."""
    K, n, gamma = evidence.data.gram, evidence.data.n, evidence.network.slope
    A, R = float(np.sum(evidence.network.second_layer**2)), evidence.data.R_max
    alpha, low, high = n / (A * R**2), 0.0, 1.0
    for _ in range(100):
        rho = (low + high) / 2.0
        low, high = (rho, high) if alpha <= -n * np.log(rho) / (A * rho * gamma * R**2) else (low, rho)
    r = np.abs(K).sum(axis=1) - np.diagonal(K)
    return alpha * gamma * A * float(np.min(low * gamma * np.diagonal(K) - r)) / n


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("at", [-10, -5, -1])
def test_the_bounds_of_section_10_are_sharp(honest: Evidence, wrong: int, at: int) -> None:
    rate = rate_of_section_10(honest)

    def loss_at(factor: float) -> Evidence:
        def at_one_step(path):
            loss = path.loss.copy()
            t0 = np.ceil(2.0 * max(0.0, -path.smallest_margin[0]) / rate)
            loss[at] = factor * 2.0 / (rate * (path.step[at] - t0))
            return loss

        return with_one_descent(honest, wrong, loss=at_one_step)

    def gain_at(factor: float) -> Evidence:
        def margins(path):
            q = np.empty_like(path.smallest_margin)
            q[0] = 0.0
            for k, steps in enumerate(np.diff(path.step), 1):
                c = 1.0 / factor if k == at % len(q) else 1.5  # q_k = q_{k-1} + c · steps · rate · σ(-q_k)
                low, high = q[k - 1], q[k - 1] + c * steps * rate
                for _ in range(100):
                    gain = (low + high) / 2.0
                    value = q[k - 1] + c * steps * rate / (1.0 + np.exp(gain))
                    low, high = (gain, high) if gain < value else (low, gain)
                q[k] = gain
            return q

        return with_one_descent(honest, wrong, smallest_margin=margins, loss=lambda path: np.zeros_like(path.loss))

    for change in (loss_at, gain_at):
        assert edges(honest, "descent-converges", change) == [Verdict.HOLDS_NUMERICALLY, Verdict.VIOLATED]


def with_one_descent(honest: Evidence, wrong: int, **changes) -> Evidence:
    """A copy in which one of the three descents has changed records."""
    evidence = fresh()
    runs = list(honest.descents)
    path = runs[wrong].result.trajectory
    new = replace(path, **{name: change(path) for name, change in changes.items()})
    runs[wrong] = replace(runs[wrong], result=replace(runs[wrong].result, trajectory=new))
    return evidence.supposing(descents=tuple(runs))


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_the_threshold_of_the_loss_is_sharp(honest: Evidence, wrong: int) -> None:
    threshold = np.log(np.log(2.0) / honest.data.n)  # log(ℓ(0)/n)

    def change(factor: float) -> Evidence:
        evidence = fresh()
        flows = list(honest.flows)
        path = flows[wrong].trajectory
        log_loss = np.append(path.log_loss[:-1], threshold + np.log(factor))
        stopped = replace(path, log_loss=log_loss)
        flows[wrong] = replace(flows[wrong], trajectory=stopped, limit=None, status=FlowStatus.STALLED)
        return evidence.supposing(flows=tuple(flows))

    assert edges(honest, "flow-zero-loss", change) == [Verdict.HOLDS_NUMERICALLY, Verdict.INCONCLUSIVE]


def test_one_drop_of_the_smoothed_margin_is_enough(honest: Evidence) -> None:
    """A decrease at one time of one flow, of four times what the solver may account for, and of a hundredth of it."""
    claim = "smoothed-margin-monotone"
    for flow in range(3):
        for size, expected in ((4.0, Verdict.VIOLATED), (0.01, Verdict.HOLDS_NUMERICALLY)):
            evidence = fresh()
            flows = list(honest.flows)
            path = flows[flow].trajectory
            late = int(np.flatnonzero(path.log_loss < np.log(np.log(2.0) / honest.data.n))[2])
            q = path.smoothed_margin.copy()
            drop = size * measured(claim, honest).tolerance * max(1.0, q[late] * path.norm[late]) / path.norm[late]
            q[late:] -= q[late] - q[late - 1] + drop
            flows[flow] = replace(flows[flow], trajectory=replace(path, smoothed_margin=q))
            evidence = evidence.supposing(flows=tuple(flows))
            assert verdict(claim, evidence) is expected


def test_the_tolerances_by_hand(honest: Evidence) -> None:
    """From M of section 6, which is that of the limit's cell under the refined condition."""
    network, data = honest.network, honest.data
    gamma, plus, minus = network.slope, network.mass_positive, network.mass_negative
    c, c_prime = np.where(data.y > 0, 1.0, gamma), np.where(data.y > 0, gamma, 1.0)
    M = data.signed_gram * (plus * np.outer(c, c) + minus * np.outer(c_prime, c_prime))
    scale = np.sqrt(np.diagonal(M))
    smallest = np.linalg.eigvalsh(M / np.outer(scale, scale))[0]
    errors, W = [], honest.limits[0].weights()
    for limit in honest.limits:
        z = 16.0 * np.finfo(np.float64).eps * np.outer(np.abs(limit.coefficients) @ data.norms, data.norms)
        off = np.abs(limit.margins - 1.0) + np.abs(network.second_layer) @ z
        errors.append(np.linalg.norm(off / scale) / np.sqrt(smallest) / np.linalg.norm(W))
    error = max(errors)
    outputs = error * np.linalg.norm(network.second_layer) * np.linalg.norm(W) * data.R_max
    expected = {
        "flow-limit-is-kkt": max(error, 1e-12),
        "flow-rank-at-most-two": max(error, 1e-12),
        "all-margins-tight": max(outputs, 1e-12),
        "neurons-collapse": max(np.sqrt(network.m) * error, 1e-12),
        "limit-is-convex-optimum": error + honest.max_margin.error_estimate + honest.closed_form.error_estimate,
    }
    for claim, tolerance in expected.items():
        assert measured(claim, honest).tolerance == pytest.approx(tolerance, rel=1e-6), claim
    found = measured("margin-approximation", honest)
    assert found.tolerance == pytest.approx(found.bound * (honest.linear.error_estimate + 2.0 * outputs), rel=1e-6)


def test_what_a_solver_step_may_move_by_hand(honest: Evidence) -> None:
    """Late in the flow the margins grow at the rate 1/‖W*‖², and ℓ⁻¹(nL) is the smallest margin less at most log n."""
    from verification.claims.smoothed_margin_monotone import error_of_steps

    n, speed = honest.data.n, 1.0 / float(np.sum(honest.limits[0].weights() ** 2))
    for flow in honest.flows:
        path = flow.trajectory
        h = float(path.s[-1] - path.s[-2])
        solver = 1e-9 * np.sqrt(n) * (np.sqrt(n) + max(30.0, 1e-3 * h))  # atol = 1e-9, rtol = 1e-12
        expected = 4.0 * np.log(2.0) * solver * speed
        assert error_of_steps(flow, honest)[-1] == pytest.approx(expected, rel=0.05)


def two_nearby(e: float, sign: int) -> Evidence:
    """(1, e) and (1, -e) of labels 1 and -1, or the second and its label with the other sign."""
    data = Dataset([[1.0, e], [1.0, -e]], [1, -1]) if sign == 1 else Dataset([[1.0, e], [-1.0, e]], [1, 1])
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.1))
    return Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))


@pytest.mark.parametrize(
    ("e", "sign", "expected"),
    [
        (1e-3, 1, Verdict.HOLDS_NUMERICALLY),
        (3e-4, 1, Verdict.HOLDS_NUMERICALLY),
        (1e-4, 1, Verdict.INCONCLUSIVE),
        (1e-5, 1, Verdict.INCONCLUSIVE),
        (1e-5, -1, Verdict.INCONCLUSIVE),
    ],
)
def test_rounding_of_large_coefficients_is_no_decrease_of_the_smoothed_margin(e, sign, expected) -> None:
    """The flow is monotone; C is of size s ~ 1/e², and the margins are small beside the sum of |C_jk K_ki|."""
    assert verdict("smoothed-margin-monotone", two_nearby(e, sign)) is expected


@pytest.mark.parametrize(("slope", "expected"), [(0.0016, Verdict.HOLDS_NUMERICALLY), (1e-5, Verdict.INCONCLUSIVE)])
def test_a_norm_that_grows_by_far_in_one_step_carries_the_rounding_before_it(slope, expected) -> None:
    """One sample, one neuron: Q/‖W‖ = γ for ever once W < 0, whose size just after 0 is far below that at the end."""
    network, data = TwoLayerNetwork([1.0], LeakyReLU(slope)), Dataset([[1.0]], [-1])
    evidence = Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))
    followed = evidence.supposing(flows=(gradient_flow(network, data, [[0.15]]),))
    assert verdict("smoothed-margin-monotone", followed) is expected


@pytest.mark.parametrize(("e", "sign"), [(3e-4, 1), (1e-4, 1), (1e-4, -1)])
def test_the_rounding_of_recorded_margins_against_the_rationals(e, sign, monkeypatch: pytest.MonkeyPatch) -> None:
    """q of the coefficients that the flow has at each record, over Q, against the q that it writes down; ‖W‖ afresh."""
    from verification.claims.smoothed_margin_monotone import rounding, weight_passed

    off: list[tuple[list[float], float]] = []
    record, record_event = piecewise._PiecewiseRun.record, piecewise._PiecewiseRun.record_event

    def compare(run, c):
        segment, (a, gamma) = run.segment, (run.span.network.second_layer, run.span.network.slope)
        C, K, Z0 = (np.vectorize(Fraction)(A) for A in (segment.coefficients(c), segment.K, run.span.Z0))
        Z = Z0 + C @ K
        outputs = np.vectorize(Fraction)(a) @ np.where(Z > 0, Z, Fraction(gamma) * Z)
        q = run.span.y.astype(int) * outputs
        of_q = [abs(float(x - Fraction(v))) for x, v in zip(q, segment.margins(c).tolist(), strict=True)]
        off.append((of_q, abs(segment.norm(c) - run.span.norm(segment.coefficients(c)))))

    def compared(run, c):
        compare(run, c)
        record(run, c)

    def compared_event(run):
        compare(run, np.zeros(run.span.n))
        record_event(run)

    monkeypatch.setattr(piecewise._PiecewiseRun, "record", compared)
    monkeypatch.setattr(piecewise._PiecewiseRun, "record_event", compared_event)
    evidence, old = two_nearby(e, sign), 0
    for flow in evidence.flows:
        path, allowed = flow.trajectory, rounding(flow, evidence)
        found, of_norm = (np.array(part) for part in zip(*off[: path.s.size], strict=True))
        off = off[path.s.size :]
        assert np.all(found <= allowed / 2.0)  # at one end, each margin
        late = path.log_loss < log_threshold(evidence)  # where the claim looks
        through_norm = np.sum(weight_passed(flow) * allowed, axis=1) / 2.0 / path.norm
        assert np.all((of_norm <= through_norm)[late])
        through = np.maximum(evidence.data.R_max * path.norm, np.abs(path.margins).max(axis=1))
        old += int(np.sum(found.max(axis=1) > 16.0 * np.finfo(np.float64).eps * through))
    assert len(off) == 0
    assert old > 0  # rounding relative to ‖a‖ R_max ‖W‖ is no bound


def test_rounding_of_a_unit_that_crosses_to_a_tiny_slope_is_tiny_too() -> None:
    """One sample, one neuron, γ = 1e-7: w falls through 0 at slope 1, and then grows at the rate γ for a time of 1/γ².

    By hand, with x = a = 1 and y = -1: w(s) = w0 - s until it is 0 at s = w0, then w(s) = -γ (s - w0), and q = -Φ w. So
    C has terms w0 + γ(s - w0) and q has γ times those, and γ times the start. Q/‖W‖ is γ, but the first recorded
    after the kink has few digits of it in some flows, and the norm grows 1e12 times to the next: there is no verdict.
    """
    from verification.claims.smoothed_margin_monotone import rounding

    gamma, network, data = 1e-7, TwoLayerNetwork([1.0], LeakyReLU(1e-7)), Dataset([[1.0]], [-1])
    starts = _starts(network, data, np.array([[1.0]]), 0, DEFAULT_SCALES)
    evidence = Evidence(network, data, LogisticLoss(), starts)
    for flow in evidence.flows:
        path, w0 = flow.trajectory, float(flow.trajectory.norm[0])
        assert [event.side for event in flow.events] == [-1]
        s, largest = path.s[-1], float(path.norm.max())
        terms = gamma * (w0 + gamma * (s - w0)) + gamma * largest
        allowed = 2.0 * 64.0 * 2.0**-52 * max(terms, 2.0 * w0)  # while the slope is 1: w0 of the start, w0 of C
        assert float(rounding(flow, evidence)[-1, 0]) <= 1.01 * allowed
        true = gamma * (gamma * (s - w0))
        assert float(path.margins[-1, 0]) == pytest.approx(true, rel=1e-9)
    assert verdict("smoothed-margin-monotone", evidence) is Verdict.INCONCLUSIVE


def test_rounding_is_of_the_terms_that_there_are() -> None:
    """Two orthogonal samples of norms 1 and 1/8, one neuron that is positive on one and negative on the other.

    No term of one sample is in the margin of the other: margin 1 has the terms ∫w_1, margin 2 those of γ²∫w_2/64. What
    the start brings to margin 2 has the factor γ as well.
    """
    from verification.claims.smoothed_margin_monotone import rounding, weight_passed

    network, data = TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.0], [0.0, 0.125]], [1, -1])
    evidence = Evidence(
        network, data, LogisticLoss(), _starts(network, data, np.array([[1.0, -1.0]]), 0, DEFAULT_SCALES)
    )
    for flow in evidence.flows:
        path, passed = flow.trajectory, weight_passed(flow)
        assert np.all(passed >= passed[0])
        assert np.all(passed <= path.s[:, None])
        assert np.all(passed.sum(axis=1) >= path.s * (1.0 - 1e-12))  # Σw = 1: never less than it was
        start = path.norm[:, None] * np.array([1.0, 0.5 * 0.125])
        expected = 2.0 * 64.0 * 2.0**-52 * (passed * np.array([1.0, 0.25 / 64.0]) + start)
        np.testing.assert_allclose(rounding(flow, evidence), expected, rtol=1e-12)


def test_rounding_of_one_flow_hides_no_decrease_of_another(honest: Evidence) -> None:
    claim, flows = "smoothed-margin-monotone", list(honest.flows)
    flows[0] = replace(flows[0], trajectory=replace(flows[0].trajectory, s=1e12 * flows[0].trajectory.s))
    evidence = fresh()
    evidence = evidence.supposing(flows=tuple(flows))
    assert verdict(claim, evidence) is Verdict.INCONCLUSIVE
    path = flows[1].trajectory
    flows[1] = replace(
        flows[1],
        trajectory=replace(path, smoothed_margin=path.smoothed_margin - 1e-2 * (np.arange(path.s.size) % 2)),
    )
    evidence = fresh()
    evidence = evidence.supposing(flows=tuple(flows))
    assert verdict(claim, evidence) is Verdict.VIOLATED


@pytest.mark.parametrize("sizes", [(1e-2, 1e-3), (1e-3, 1e-2), (0.0, 0.0)])
def test_the_largest_decrease_is_measured_wherever_it_is(honest: Evidence, sizes: tuple[float, float]) -> None:
    """Of two decreases of the smoothed margin of one flow, whichever comes first."""
    flow = honest.flows[0]
    path, late = flow.trajectory, np.flatnonzero(flow.trajectory.log_loss < log_threshold(honest))
    q = path.smoothed_margin.copy()
    for place, size in zip(late[[2, -2]], sizes, strict=True):
        q[place:] -= q[place] - q[place - 1] + size if size else 0.0
    changed = replace(flow, trajectory=replace(path, smoothed_margin=q))
    steps = [(q[k - 1] - q[k]) * path.norm[k] / max(1.0, q[k] * path.norm[k]) for k in late[1:]]
    found = BY_ID["smoothed-margin-monotone"].measure(honest.supposing(flows=(changed, *honest.flows[1:])))
    assert found.details["drops"][0] == pytest.approx(max(0.0, *steps), rel=1e-12)
    assert found.value == max(found.details["drops"])


def test_times_that_tell_nothing_are_counted_and_hide_no_decrease_before_them(honest: Evidence) -> None:
    claim, flows = "smoothed-margin-monotone", list(honest.flows)
    path = flows[0].trajectory
    late = np.flatnonzero(path.log_loss < log_threshold(honest))
    s = path.s.copy()
    s[late[-3:]] *= 1e12
    flows[0] = replace(flows[0], trajectory=replace(path, s=s))
    row = BY_ID[claim].evaluate(honest.supposing(flows=tuple(flows)), perf_counter)
    assert row.verdict is Verdict.HOLDS_NUMERICALLY
    assert row.reason.startswith("At 3 of ")
    q = path.smoothed_margin.copy()
    q[late[2] :] -= q[late[2]] - q[late[1]] + 1e-2
    flows[0] = replace(flows[0], trajectory=replace(path, s=s, smoothed_margin=q))
    assert verdict(claim, honest.supposing(flows=tuple(flows))) is Verdict.VIOLATED


def test_a_decrease_beyond_a_large_error_decides_nothing(honest: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    """The margin halves where the error estimate is 1e-5: too large for a verdict, too small to hide that."""
    from verification.claims import smoothed_margin_monotone as module

    claim, flows, right = "smoothed-margin-monotone", list(honest.flows), module.error_of_steps
    path = flows[0].trajectory
    q = path.smoothed_margin.copy()
    q[-1] /= 2.0
    flows[0] = replace(flows[0], trajectory=replace(path, smoothed_margin=q))

    def large_at_the_end(flow, evidence):
        error, now = right(flow, evidence).copy(), flow.trajectory
        error[-1] = 1e-5 * max(1.0, now.smoothed_margin[-1] * now.norm[-1])
        return error

    monkeypatch.setattr(module, "error_of_steps", large_at_the_end)
    assert verdict(claim, honest) is Verdict.HOLDS_NUMERICALLY
    assert verdict(claim, honest.supposing(flows=tuple(flows))) is Verdict.INCONCLUSIVE


# --- trapped in the last cell ---------------------------------------------------------------------


def test_an_event_after_the_flow_is_trapped_is_seen(honest: Evidence) -> None:
    """A unit that leaves the last pattern and comes back to it contradicts section 7."""
    claim = "flow-stays-in-last-cell"
    row = BY_ID[claim].evaluate(honest, perf_counter)
    assert row.verdict is Verdict.HOLDS_NUMERICALLY
    flow, since = honest.flows[1], row.measurement.details["trapped_since"][1]
    side = int(flow.limit.pattern[0, 0])
    late = (float(since) + float(flow.trajectory.s[-1])) / 2.0
    there, back = (FlowEvent(late * (1.0 + x), 0, 0, "crossed", way) for x, way in ((0.0, -side), (1e-3, side)))
    flows = (honest.flows[0], replace(flow, events=(*flow.events, there, back)), honest.flows[2])
    row = BY_ID[claim].evaluate(honest.supposing(flows=flows), perf_counter)
    assert row.verdict is Verdict.VIOLATED
    assert row.measurement.value == 3.0


def test_weights_that_leave_the_ball_are_seen(honest: Evidence) -> None:
    claim, flow = "flow-stays-in-last-cell", honest.flows[0]
    w = flow.trajectory.sample_weights.copy()
    w[-1] = np.roll(w[-1], 1) + 0.2 * (np.arange(w.shape[1]) == 0)
    w[-1] /= w[-1].sum()
    flows = (replace(flow, trajectory=replace(flow.trajectory, sample_weights=w)), *honest.flows[1:])
    assert verdict(claim, honest.supposing(flows=flows)) is Verdict.VIOLATED


def test_a_flow_that_is_not_deep_in_its_cell_does_not_meet_the_hypothesis(honest: Evidence) -> None:
    claim, flow = "flow-stays-in-last-cell", honest.flows[0]
    w = np.roll(flow.trajectory.sample_weights, 1, axis=1) ** 4
    w /= w.sum(axis=1, keepdims=True)
    flows = (replace(flow, trajectory=replace(flow.trajectory, sample_weights=w)), *honest.flows[1:])
    row = BY_ID[claim].evaluate(honest.supposing(flows=flows), perf_counter)
    assert row.verdict is Verdict.HYPOTHESIS_NOT_MET
    assert row.hypothesis.slack < 1.0


# --- the first step -------------------------------------------------------------------------------


def first_step(X, y, slope: float, a=(1.0, -1.0), seed: int = 0) -> Measurement:
    network = TwoLayerNetwork(np.array(a) / np.linalg.norm(a), LeakyReLU(slope))
    data = Dataset(X, y)
    starts = _starts(network, data, None, seed, DEFAULT_SCALES)
    return measured(
        "descent-one-step-rank-drop", Evidence(network, data, LogisticLoss(), starts, seed, descent_steps=10)
    )


@pytest.mark.parametrize("angle", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_neurons_that_are_never_drawn_are_no_violation(angle: float) -> None:
    """Opposite labels an angle apart: a neuron between them is rare, and without one the sample shows no error."""
    found = first_step([[1.0, angle], [1.0, -angle]], [1, -1], 0.5)
    assert found.tolerance > 0.0
    assert found.agrees or found.undecided


def test_more_neurons_are_drawn_where_rare_ones_matter() -> None:
    """A hundred samples about one direction, as tables of positive columns are: 10,000 neurons leave 36% open."""
    rng, y = np.random.default_rng(0), np.where(np.arange(100) % 2, 1.0, -1.0)
    X = np.column_stack([np.ones(100), 0.02 * (rng.standard_normal((100, 2)) + y[:, None])])
    found = first_step(X, y, 0.1)
    assert not found.undecided
    assert found.agrees
    assert found.details["width"] > 100_000


@pytest.mark.parametrize("distance", [1e-9, 1e-10])
def test_samples_equal_to_rounding_with_opposite_labels_are_told(distance: float) -> None:
    found = first_step([[1.0, distance], [1.0, 0.0]], [1, -1], 0.5)
    assert found.value is None
    assert "opposite labels" in found.reason_for_doubt


def test_the_sampling_error_covers_the_deviations_and_is_not_vast() -> None:
    """Over forty seeds no deviation exceeds its bound, and the largest is at least a fiftieth of it."""
    X = datasets.gaussian(5, 8, np.random.default_rng(3)).X
    found = [first_step(X, [1, -1, 1, 1, -1], 0.3, a=(1.0, -0.5, 0.7), seed=seed) for seed in range(40)]
    shares = np.array([row.value / row.tolerance for row in found])
    assert 0.02 < shares.max() < 1.0
    assert max(row.tolerance for row in found) < 0.02


def test_the_bound_of_the_sampling_error_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two orthogonal samples of length 1, equal labels: v = (Φ₁, Φ₂), u = (1, 1)/√2, everything in closed form."""
    from verification.claims import descent_one_step_rank_drop as module

    gamma = 0.5
    network = TwoLayerNetwork([1.0], LeakyReLU(gamma))
    evidence = Evidence(network, Dataset(np.eye(2), [1, 1]), LogisticLoss(), ())
    mean, spread = ((1.0 + gamma) / 2.0) ** 2, ((1.0 - gamma) / 2.0) ** 2
    s = 2.0 * (mean + spread) / (2.0 * mean + spread)
    law = module.FirstStepLaw.of(evidence, s)
    assert law.largest == pytest.approx(2.0 * mean + spread)
    assert law.along == pytest.approx(np.sqrt(2.0))
    assert law.across >= (1.0 - gamma) / np.sqrt(2.0) - 1e-15  # attained at (1, γ)
    assert law.across <= (1.0 - gamma) / np.sqrt(2.0) + 1e-15
    D = np.tile([[1.0, 1.0], [1.0, gamma], [gamma, 1.0], [gamma, gamma]], (1000, 1))  # the law itself, exactly
    measured_rank, error = law.measured_with_error(D, np.ones(4000))
    assert measured_rank == pytest.approx(s)
    lam, ell = law.largest, np.log(4e6)
    h = np.array([2.0, 1.0 + gamma**2, 1.0 + gamma**2, 2.0 * gamma**2])
    h = (h - s * np.array([2.0, (1.0 + gamma) ** 2 / 2.0, (1.0 + gamma) ** 2 / 2.0, 2.0 * gamma**2])) / lam
    width = ((1.0 - gamma) ** 2 / 2.0 + (s - 1.0) * 2.0) / lam
    first = np.sqrt(2.0 * np.mean(h**2) * 4000 / 3999 * ell / 4000) + 7.0 * width * ell / (3.0 * 3999)
    r = np.sqrt(2.0) * (1.0 - gamma) / np.sqrt(2.0) * (1.0 + np.sqrt(2.0 * ell)) / np.sqrt(4000)
    gap = lam - spread
    second = (np.sqrt(gap**2 + 4.0 * r**2) - gap) / 2.0
    assert error == pytest.approx((lam * first + s * second) / lam, rel=1e-12)


def test_there_are_at_least_26_claims() -> None:
    assert len(BY_ID) == len(CLAIMS) >= 26


def test_only_quantities_that_are_computed_can_be_supposed(honest: Evidence) -> None:
    with pytest.raises(ImplicitBiasError, match="nonsense"):
        honest.supposing(nonsense=1.0)
    with pytest.raises(ImplicitBiasError, match="alpha"):  # a property of the step size, never kept
        honest.supposing(alpha=1.0)
    assert honest.supposing(flows=()).limits == ()
    assert len(honest.limits) == 3
