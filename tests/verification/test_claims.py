"""Each claim can fail: a limit, a trajectory or a descent that is wrong is seen by the claim that is about it."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from refimpl import LogisticLoss
from refimpl.flow import FlowStatus
from verification.claims import CLAIMS, HypothesisResult, Measurement, Verdict
from verification.claims.base import judge
from verification.evidence import Evidence
from verification.presets import PRESETS
from verification.verify import DEFAULT_SCALES, _starts

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
    evidence.__dict__["flows"] = flows
    return evidence


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
    evidence.__dict__["flows"] = tuple(
        replace(flow, trajectory=replace(flow.trajectory, **{k: f(flow.trajectory) for k, f in changes.items()}))
        for flow in honest.flows
    )
    return evidence


def test_a_loss_that_stays_is_seen(honest: Evidence) -> None:
    assert verdict("flow-zero-loss", honest) in HOLD
    stuck = with_paths(
        honest, log_loss=lambda path: np.zeros_like(path.log_loss), margins=lambda path: -np.ones_like(path.margins)
    )
    assert verdict("flow-zero-loss", stuck) in HOLD  # its margins go on growing along the limit
    slow = [replace(flow, limit=replace(flow.limit, margins=0.01 * flow.limit.margins)) for flow in stuck.flows]
    stuck.__dict__["flows"] = tuple(slow)  # slower than (7.8) allows
    assert verdict("flow-zero-loss", stuck) is Verdict.VIOLATED


def test_a_falling_smoothed_margin_is_seen(honest: Evidence) -> None:
    assert verdict("smoothed-margin-monotone", honest) in HOLD
    falling = with_paths(honest, smoothed_margin=lambda p: p.smoothed_margin - 1e-3 * (np.arange(p.s.size) % 2))
    assert verdict("smoothed-margin-monotone", falling) is Verdict.VIOLATED


def with_descents(honest: Evidence, **changes) -> Evidence:
    evidence = fresh()
    evidence.__dict__["descents"] = tuple(
        replace(
            run,
            result=replace(
                run.result,
                trajectory=replace(run.result.trajectory, **{k: f(run.result.trajectory) for k, f in changes.items()}),
            ),
        )
        for run in honest.descents
    )
    return evidence


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
    evidence.__dict__["descents"] = tuple(
        replace(run, stable_rank_by_sign=np.roll(run.stable_rank_by_sign[::-1], 1, axis=0)) for run in honest.descents
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
    evidence.__dict__["flows"] = flows
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
    without.__dict__.update(flows=honest.flows, certificate=None)
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


def test_there_are_sixteen_claims() -> None:
    assert len(BY_ID) >= 16
