"""Each claim can fail: a limit, a trajectory or a descent that is wrong is seen by the claim that is about it."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from refimpl.flow import FlowStatus, gradient_flow
from verification.claims import Conclusion, Verdict
from verification.claims.evidence import Evidence
from verification.claims.run import DEFAULT_SCALES, _starts

from .given import BY_ID, HOLD, fresh, measured, moved, shorter_sample, verdict, with_limits, with_paths


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


def longer_column(limit):
    C = limit.coefficients.copy()
    C[:, 0] *= 1.3
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
