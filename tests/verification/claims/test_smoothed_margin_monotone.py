"""Decreases of the smoothed margin, and what rounding and solver steps may make of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork, gradient_flow
from refimpl.flow import piecewise
from verification.claims import Verdict
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import log_threshold
from verification.claims.run import DEFAULT_SCALES, _starts
from verification.claims.smoothed_margin_monotone import stretches

from .given import BY_ID, HOLD, fresh, measured, verdict, with_paths


def test_a_falling_smoothed_margin_is_seen(honest: Evidence) -> None:
    assert verdict("smoothed-margin-monotone", honest) in HOLD
    falling = with_paths(honest, smoothed_margin=lambda p: p.smoothed_margin - 1e-3 * (np.arange(p.s.size) % 2))
    assert verdict("smoothed-margin-monotone", falling) is Verdict.VIOLATED


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

    def compare(run, c, written, norm):
        segment, (a, gamma) = run.segment, (run.span.network.second_layer, run.span.network.slope)
        C, K, Z0 = (np.vectorize(Fraction)(A) for A in (segment.coefficients(c), segment.K, run.span.Z0))
        Z = Z0 + C @ K
        outputs = np.vectorize(Fraction)(a) @ np.where(Z > 0, Z, Fraction(gamma) * Z)
        q = run.span.y.astype(int) * outputs
        of_q = [abs(float(x - Fraction(v))) for x, v in zip(q, written.tolist(), strict=True)]
        off.append((of_q, abs(norm - run.span.norm(segment.coefficients(c)))))

    def compared(run, c):
        compare(run, c, run.segment.margins(c), run.segment.norm(c))
        record(run, c)

    def compared_at_event(run):
        compare(run, np.zeros(run.span.n), run.segment.q, run.segment.size)
        record_event(run)

    monkeypatch.setattr(piecewise._PiecewiseRun, "record", compared)
    monkeypatch.setattr(piecewise._PiecewiseRun, "record_event", compared_at_event)
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


def test_a_unit_that_was_on_slope_1_within_a_stretch_counts_so() -> None:
    """It goes from -1 to +1 and back before the cut at the event before the last one."""
    events = [SimpleNamespace(s=s, neuron=0, sample=k, side=side) for s, k, side in ((1, 0, 1), (2, 0, -1), (3, 1, 1))]
    path = SimpleNamespace(s=np.array([0.0, 1.0, 2.0, 3.0, 4.0]))
    flow = SimpleNamespace(trajectory=path, events=events, initial_pattern=np.array([[-1, -1]]))
    found = [(part.start, part.stop, high.tolist()) for part, high in stretches(flow)]
    assert found == [(0, 3, [[True, False]]), (3, 4, [[False, True]]), (4, 5, [[False, True]])]


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
