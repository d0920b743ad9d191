"""Flows that are trapped in their last cell, and ones that are not."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np

from refimpl.flow import FlowEvent
from verification.claims import Verdict
from verification.claims.evidence import Evidence

from .given import BY_ID, verdict


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
