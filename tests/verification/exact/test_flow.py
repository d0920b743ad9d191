"""Flows proven: against gradient_flow, closed forms and quadrature."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import replace
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.special import lambertw

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gradient_flow
from refimpl.errors import InvalidParameterError
from refimpl.flow import sliding
from refimpl.losses import LogisticLoss
from verification.exact.checker import check_certificate
from verification.exact.flow import PART_OF_TAU, certify_flow
from verification.exact.pattern import PatternDynamics
from verification.exact.point import signed_problem
from verification.exact.steps import taylor_step

from .flows import instance
from .tampering import resealed

flint = pytest.importorskip("flint")
FOUND = Path(__file__).parents[3] / "docs" / "counterexamples"
SQUARE_START = [[-0.5, 0.125], [0.25, 0.5]]
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def difference(proof, flow):
    """By how much event times differ, of max(1, s); inf if the events, those of one instant in any order, do."""
    mine = sorted((float(e.time), e.neuron, e.sample, e.kind, e.side) for e in proof.events)
    theirs = [(e.s, e.neuron, e.sample, e.kind, e.side) for e in flow.events]
    theirs = [x for _, group in groupby(theirs, key=lambda x: x[0]) for x in sorted(group)]
    if [x[1:] for x in mine] != [x[1:] for x in theirs]:
        return math.inf
    return max((abs(a[0] - b[0]) / max(1.0, b[0]) for a, b in zip(mine, theirs, strict=True)), default=0.0)


def events_agree(proof, flow):
    return difference(proof, flow) <= 1e-9


FEW = {"exponential": [(1, 2, 4, 7, 10, 12, 20, 21, 30, 35, 36, 63, 68, 285)], "logistic": [(1, 4, 7, 10, 11)]}
MANY = {"exponential": range(0, 300, 10), "logistic": range(0, 100, 10)}
CREEPING = "exponential", 9
"""Where two slopes leave [γ, 1] by less than `gradient_flow` asks for, for 23 units of s; it has a test of its own."""


@pytest.mark.parametrize(
    ("loss", "seeds"),
    [(loss, range(k, k + 10)) for loss in MANY for k in MANY[loss]]
    if THOROUGH
    else [(loss, seeds) for loss in FEW for seeds in FEW[loss]],
)
def test_proven_flows_are_those_of_gradient_flow(loss, seeds):
    decided, events, times, limits = 0, 0, 0.0, 0.0
    for seed in seeds:
        network, data, W0 = instance(seed)
        proof = certify_flow(network, data, W0, loss=loss)
        if not proof.proven:
            assert "UNDECIDED" in proof.reason
            continue
        decided, events = decided + 1, events + len(proof.events)
        if (loss, seed) == CREEPING:
            continue
        flow = gradient_flow(network, data, W0, loss, rtol=1e-12, atol=1e-12)
        assert events_agree(proof, flow), (seed, proof.events, flow.events)
        W = proof.point.weights(network, data)
        off = float(np.linalg.norm(flow.limit.weights() - W) / np.linalg.norm(W))
        assert off <= 1e-9
        times, limits = max(times, difference(proof, flow)), max(limits, off)
    print(f"{loss}: {decided} of {len(seeds)} decided, {events} events, times to {times:.1e}, limits to {limits:.1e}")
    assert decided >= len(seeds) - (3 if THOROUGH else 0)


@pytest.mark.skipif(not THOROUGH, reason="takes twenty seconds")
def test_a_slope_that_hardly_leaves_its_range_leaves_it_in_the_proof(monkeypatch):
    """docs/numerics.md, "Accuracy of event times": with a release that is a thousand times as sharp both agree."""
    loss, seed = CREEPING
    network, data, W0 = instance(seed)
    proof = certify_flow(network, data, W0, loss=loss)
    flow = gradient_flow(network, data, W0, loss, rtol=1e-12, atol=1e-12)
    assert not events_agree(proof, flow)
    W = proof.point.weights(network, data)
    print(f"limit off by {np.linalg.norm(flow.limit.weights() - W) / np.linalg.norm(W):.1e}")
    for name, told in (("proven", [float(event.time) for event in proof.events]), ("flow", [e.s for e in flow.events])):
        print(f"{name}: events at s = {', '.join(f'{s:.1f}' for s in told[-4:])}")
    monkeypatch.setattr(sliding, "RELEASE_DELAY", 1e-10)
    monkeypatch.setattr(sliding, "release_delay", lambda slope: 1e-10)
    sharp = gradient_flow(network, data, W0, loss, rtol=1e-12, atol=1e-12)
    mine = [(event.neuron, event.sample, event.kind, event.side) for event in proof.events]
    assert sorted(mine) == sorted((event.neuron, event.sample, event.kind, event.side) for event in sharp.events)
    assert [event.s for event in sharp.events] == pytest.approx([float(event.time) for event in proof.events], rel=1e-7)


def test_neurons_of_equal_slopes_release_a_sample_at_one_instant():
    network, data, W0 = instance(20)
    proof = certify_flow(network, data, W0, loss="exponential")
    released = [(e.time, e.sample, e.neuron) for e in proof.events if e.kind == "released"]
    both = [(a, b) for a, b in pairwise(released) if a[:2] == b[:2]]
    assert len(both) == 1
    assert {network.second_layer[neuron] for _, _, neuron in both[0]} == {network.second_layer[both[0][0][2]]}
    document = json.loads(proof.to_json())
    told = sum(1 + len(leg["also"]) for leg in document["legs"])
    assert told == len(proof.events) - 1  # the checker finds the other neuron by itself
    leg = next(
        leg for leg in document["legs"] if leg["kind"] == "released" and leg["unit"] == [both[0][0][2], both[0][0][1]]
    )
    for changes in ({"unit": [both[0][1][2], both[0][1][1]]}, {"side": -leg["side"]}):
        changed = [{**x, **changes} if x is leg else x for x in document["legs"]]
        text = resealed(json.dumps({**document, "legs": changed}))
        assert not check_certificate(text, data.X, data.y).accepted


def test_a_repelling_kink_releases_the_only_unit_that_slides():
    network, data, W0 = instance(2)
    proof = certify_flow(network, data, W0, loss="exponential")
    document = json.loads(proof.to_json())
    legs = [leg for leg in document["legs"] if leg["also"]]
    legs = [leg for leg in legs if network.second_layer[leg["unit"][0]] * data.y[leg["unit"][1]] > 0]
    assert legs
    assert check_certificate(proof.to_json(), data.X, data.y).accepted
    legs[0]["also"] = []  # as if it went on to slide
    assert not check_certificate(resealed(json.dumps(document)), data.X, data.y).accepted


def crowded(seed):
    """n = m = 6, data with or without a common direction, a start away from them."""
    rng = np.random.default_rng(seed)
    network = TwoLayerNetwork.with_signs(3, 3, LeakyReLU(float(rng.choice([0.05, 0.1, 0.2, 0.3]))))
    X = rng.standard_normal((6, int(rng.choice([3, 4, 5, 6]))))
    common = 0.5 * [0.0, 0.0, 1.0][rng.integers(3)] * rng.standard_normal(X.shape[1])
    data = Dataset(X + common, np.tile([1.0, -1.0], 3))
    scale = float(rng.choice([0.5, 1, 2]))
    W0 = rng.standard_normal((6, X.shape[1])) * scale
    direction = data.y @ data.X
    W0 = W0 / 2.0 - np.sign(network.second_layer)[:, None] * direction / np.linalg.norm(direction) * scale * 2.0
    return network, data, W0


@pytest.mark.skipif(not THOROUGH, reason="takes half a minute and more")
@pytest.mark.parametrize(
    ("seed", "loss", "events"),
    [(219, "exponential", 54), (219, "logistic", 54), (43, "exponential", 67), (43, "logistic", 69)],
)
def test_fifty_events_of_six_neurons_take_less_than_a_minute(seed, loss, events):
    """docs/findings.md, "Six samples, six neurons"."""
    network, data, W0 = crowded(seed)
    began, parts = time.process_time(), []
    proof = certify_flow(network, data, W0, progress=lambda text: parts.append((time.process_time(), text)), loss=loss)
    checked = time.process_time()
    assert len(proof.events) == events
    tries = [at for at, text in parts if "is checked" in text]
    assert len(tries) == 1  # it was found and accepted with the first number of bits
    print(f"{loss}: {events} events proven in {tries[0] - began:.1f} s, checked in {checked - tries[0]:.1f} s")
    assert events > 54 or max(tries[0] - began, checked - tries[0]) < 60.0
    assert events_agree(proof, gradient_flow(network, data, W0, loss, rtol=1e-12, atol=1e-12))


@pytest.mark.parametrize("delay", [1e-5, 1e-4])
def test_a_release_that_is_late_is_told_in_time(monkeypatch, delay):
    """docs/numerics.md, "Accuracy of event times": the delay δ moves no event, and q by some δ²/|dθ/ds| only."""
    network, data, W0 = instance(8)
    honest = gradient_flow(network, data, W0, "exponential", rtol=1e-12, atol=1e-12)
    options = {"loss": "exponential", "rtol": 1e-12, "atol": 1e-12, "max_time": honest.events[-1].s + 0.5}
    expected = gradient_flow(network, data, W0, **options)
    monkeypatch.setattr(sliding, "RELEASE_DELAY", delay)
    monkeypatch.setattr(sliding, "release_delay", lambda slope: delay)
    late = gradient_flow(network, data, W0, **options)
    assert [replace(event, s=0.0) for event in late.events] == [replace(event, s=0.0) for event in expected.events]
    # of the two releases by their slopes the one at s = 6.33 weighs: dθ/ds = 0.0173 there
    R, w_i = float(np.linalg.norm(data.X, axis=1).max()), 1.0
    bound = np.linalg.norm(network.second_layer) * R * network.second_layer.max() * R * w_i * delay**2 / (2.0 * 0.0173)
    change = np.abs(late.trajectory.margins[-1] - expected.trajectory.margins[-1]).max()
    assert 1e-3 * bound < change < bound
    assert max(abs(a.s - b.s) for a, b in zip(late.events, expected.events, strict=True)) < 1e-12


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
@pytest.mark.parametrize("start", [[-0.5, -0.25], [-0.75, 0.0], [-0.0, -0.75]])
def test_the_first_event_is_where_a_closed_form_puts_it(loss, start):
    """n = 1: w = 1, so z moves at a γ ‖x‖² from below its kink and reaches it at s = -z(0)/(a γ ‖x‖²)."""
    network, data = TwoLayerNetwork([2.0], LeakyReLU(0.25)), Dataset([[1.0, 1.0]], [1])
    proof = certify_flow(network, data, [start], loss=loss)
    assert proof.proven, proof.reason
    assert len(proof.events) == 1
    assert abs(proof.events[0].time - Fraction(3, 4) / (2 * Fraction(1, 4) * 2)) <= proof.events[0].radius


@pytest.mark.parametrize(("loss", "power"), [("exponential", -30), ("exponential", 30), ("logistic", -10)])
def test_the_unit_of_the_data_is_no_matter(loss, power):
    """x -> cx and W -> W/c leave z, and all events, at s/c²; c = 2^k is exact."""
    network, X, W0 = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5)), np.array([[1.0, 0.25], [0.0, 1.0]]), SQUARE_START
    plain = certify_flow(network, Dataset(X, [1, -1]), W0, loss=loss)
    found = certify_flow(network, Dataset(X * 2.0**power, [1, -1]), np.array(W0) / 2.0**power, loss=loss)
    assert found.proven, found.reason
    assert [event[2:] for event in found.events] == [event[2:] for event in plain.events]
    square = Fraction(4) ** power
    for one, other in zip(plain.events, found.events, strict=True):
        assert abs(one.time - other.time * square) <= one.radius + other.radius * square


@pytest.mark.parametrize("margin", [-300.0, -100.0, 0.0, 100.0])
def test_steps_are_as_narrow_far_on_the_wrong_side(margin):
    """Where ζ is 1 to all digits √ζ is no bound of it, and a step that forgets this is not within its remainder."""
    network, data = TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.25], [0.25, 1.0]], [1, 1])
    problem, bits = signed_problem(network, data, None), 83
    with flint.ctx.workprec(bits + 32):
        cell = PatternDynamics(problem, np.full((1, 2), -1, dtype=np.int8), (1, 2), True)
        state = cell.state([[cell.ball(4.0 * margin), cell.ball(4.0 * margin - 1.0)]])
        pace = cell.pace(state)
        step = taylor_step(cell, state, pace, Fraction(float(pace.tau) / PART_OF_TAU), bits)
        assert max(x.rad() for x in step.c) < 2.0**-80


def test_an_event_of_two_samples_is_where_quadrature_puts_it():
    """γ = ½, orthogonal samples: z_2 = 2u with u = q_2 rises from -1 to 0, dz_2/ds = w_2/2, dq_1/ds = w_1.

    dq_1/du = 4 w_1/w_2 = 4 e^{u - q_1}, so e^{q_1} = e^{1/2} + 4(e^u - e^{-1/2}); and ds = 4(1 + e^{u - q_1}) du.
    """
    network, data = TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.0], [0.0, 1.0]], [1, 1])
    proof = certify_flow(network, data, [[0.5, -1.0]], loss="exponential")
    grid = np.linspace(-0.5, 0.0, 200_001)
    ratio = 4.0 * (1.0 + np.exp(grid) / (math.exp(0.5) + 4.0 * (np.exp(grid) - math.exp(-0.5))))
    s = float(np.trapezoid(ratio, grid))
    assert [(e.neuron, e.sample, e.kind, e.side) for e in proof.events] == [(0, 1, "crossed", 1)]
    assert float(proof.events[0].time) == pytest.approx(s, abs=1e-9)


def test_an_event_of_the_logistic_loss_is_where_quadrature_puts_it():
    """As above, with w_1/w_2 = (1 + e^u)/(1 + e^{q_1}): q_1 + e^{q_1} = 4(u + e^u) + c, solved by Lambert's W.

    For q + e^q = b, q = b - W(e^b).
    """
    network, data = TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.0], [0.0, 1.0]], [1, 1])
    proof = certify_flow(network, data, [[0.5, -1.0]], loss="logistic")
    grid = np.linspace(-0.5, 0.0, 200_001)
    b = 4.0 * (grid + np.exp(grid)) + 0.5 + math.exp(0.5) - 4.0 * (-0.5 + math.exp(-0.5))
    q = b - lambertw(np.exp(b)).real
    s = float(np.trapezoid(4.0 * (1.0 + (1.0 + np.exp(grid)) / (1.0 + np.exp(q))), grid))
    assert [(e.neuron, e.sample, e.kind, e.side) for e in proof.events] == [(0, 1, "crossed", 1)]
    assert float(proof.events[0].time) == pytest.approx(s, abs=1e-9)
    assert (proof.point.rank, proof.point.slack) == (1, {})


def test_a_start_may_hold_exact_zeros():
    """Row 1 has no third coordinate, row 2 a negative 0 there; no sample is orthogonal to them."""
    network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    data = Dataset([[1.0, 0.25, 0.0], [0.0, 1.0, 0.5]], [1, -1])
    proof = certify_flow(network, data, [[-0.5, 0.125, 0.0], [0.25, 0.5, -0.0]])
    assert proof.proven
    assert [x.hex() for row in proof.start for x in row[2:]] == ["0x0.0p+0", "-0x0.0p+0"]


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
def test_a_start_beyond_ball_arithmetic_is_undecided(loss):
    proof = certify_flow(TwoLayerNetwork([1.0], LeakyReLU(1.0)), Dataset([[1.0, 0.5]], [1]), [[1e60, 0.1]], loss=loss)
    assert proof.reason == "UNDECIDED: numbers at s = 0 are too large for ball arithmetic"


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
def test_without_kinks_every_start_is_in_the_trap(loss):
    """γ = 1, of two samples the first has a negative margin that falls at first: M = [[1, -1/2], [-1/2, 5/4]]."""
    network, data = TwoLayerNetwork([1.0], LeakyReLU(1.0)), Dataset([[1.0, 0.0], [-0.5, 1.0]], [1, 1])
    proof = certify_flow(network, data, [[-3.0, -8.0]], loss=loss)
    assert (proof.events, proof.point.rank, proof.point.slack) == ((), 1, {})


def test_another_loss_is_refused():
    network, data = TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.0], [0.0, 1.0]], [1, 1])
    for loss in ("hinge", type("Other", (LogisticLoss,), {})()):
        with pytest.raises(InvalidParameterError, match="`loss` must be exponential or logistic; got"):
            certify_flow(network, data, [[0.5, -1.0]], loss=loss)


def test_too_many_units_are_refused_at_once():
    """At 1.5 bits for each of 801 units beyond the first 80 the first precision is above the last, 1280."""
    network, data = TwoLayerNetwork.with_signs(1, 0, LeakyReLU(0.5)), Dataset(np.ones((801, 2)), np.ones(801))
    found = certify_flow(network, data, [[1.0, 1.0]])
    assert found.reason == "UNDECIDED: 801 units (neuron, sample) ask for more than 1280 bits"


def test_what_cannot_be_decided_says_why():
    network, data = TwoLayerNetwork([1.0, 1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.0], [0.0, 1.0]], [1, 1])
    on_kink = certify_flow(network, data, [[0.0, 1.0], [1.0, 1.0]])
    assert on_kink.reason == "UNDECIDED: a unit starts exactly on its kink"
    twins = certify_flow(network, data, [[-0.5, 1.0], [-0.5, 1.0]])  # two neurons cross at one instant
    assert "not told apart" in twins.reason
