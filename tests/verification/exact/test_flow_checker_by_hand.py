"""What the checker of flows refuses at an event, at the start and at the end, each with its own reason (section 19)."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from verification.exact import flow_checker
from verification.exact.checker import check_certificate
from verification.exact.flow import certify_flow

from .tampering import resealed

pytest.importorskip("flint")
SQUARE = Dataset([[1.0, 0.25], [0.0, 1.0]], [1, -1])
SQUARE_START = [[-0.5, 0.125], [0.25, 0.5]]


@lru_cache
def proof(slope: float = 0.5, start: str = json.dumps(SQUARE_START)) -> dict[str, Any]:
    found = certify_flow(
        TwoLayerNetwork([1.0, -1.0], LeakyReLU(slope)), SQUARE, np.array(json.loads(start)), loss="exponential"
    )
    assert found.proven, found.reason
    return json.loads(found.to_json())


def refusal(document: dict[str, Any], data: Dataset = SQUARE) -> str:
    result = check_certificate(resealed(json.dumps(document)), data.X, data.y)
    return "" if result.accepted else result.reason


def changed(**fields: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(proof())), **fields}


def test_the_proof_is_accepted() -> None:
    assert refusal(changed()) == ""
    assert {leg["kind"] for leg in proof()["legs"]} >= {"crossed"}


def test_a_start_on_a_kink_is_refused() -> None:
    """(1/4, -1) is orthogonal to (1, 1/4)."""
    start = [[(0.25).hex(), (-1.0).hex()], proof()["start"][1]]
    assert "a unit starts on its kink" in refusal(changed(start=start))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"loss": "hinge"}, "the keys are not those of a flow"),
        ({"loss": ["logistic"]}, "the keys are not those of a flow"),
        ({"loss": "logistic"}, "refused: a unit"),
        ({"bits": 32}, "the bits are not between 64 and 2048"),
        ({"bits": 4096}, "the bits are not between 64 and 2048"),
        ({"last": "0x0"}, "the last leg is not a power of two"),
        ({"start": []}, "the start has not m rows"),
    ],
)
def test_a_flow_has_its_loss_and_its_numbers(fields: dict[str, Any], reason: str) -> None:
    assert reason in refusal(changed(**fields))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"last": 3}, "the last leg is not a power of two"),
        ({"radius": 3 << 12}, "a radius is not 2^-40"),
        ({"radius": 1 << (proof()["bits"] - 40)}, ""),
        ({"radius": 1 << (proof()["bits"] - 39)}, "a radius is not 2^-40"),
        ({"duration": int(proof()["legs"][1]["duration"], 16) + 2**20}, "an event is not where it is said to be"),
    ],
)
def test_times_state_no_more_digits_than_are_needed(changes: dict[str, int], reason: str) -> None:
    """A last leg and radii of one bit; a radius wider than 2^-40 is none."""
    document = changed()
    for key, ticks in changes.items():
        (document if key == "last" else document["legs"][1])[key] = hex(ticks)
    found = refusal(document)
    assert reason in found if reason else not found


def flow_at_an_event(kind_of_unit: int, before: int, loss: str = "exponential") -> Any:
    """One neuron, one sample, S = 1, a = ±1, just before the unit reaches its kink; ‖W - W̃‖ = 0."""
    return flow_of_one_neuron(kind_of_unit, [before * 2.0**-60], loss)


def flow_of_one_neuron(sign: int, z: list[float], loss: str, gamma: str = "1/2") -> Any:
    """One neuron, a = ±1, orthonormal samples of label +1, z_i as given; ‖W - W̃‖ = 0."""
    import flint

    one, n = Fraction(1), len(z)
    network = SimpleNamespace(gamma=Fraction(gamma), squares=[one], signs=[sign])
    S = [[one * (i == k) for k in range(n)] for i in range(n)]
    document, data = {"bits": 128, "loss": loss}, (np.eye(n).tolist(), [1.0] * n)
    return flow_checker.Flow(flint, network, S, data, [z], document, lambda message: None)


@pytest.mark.parametrize(
    ("sign", "before", "event", "reason"),
    [
        (1, -1, ("crossed", 1, []), ""),
        (1, -1, ("crossed", -1, []), "crosses to the side from which it came"),
        (1, -1, ("began to slide", 0, []), "slides on a kink that repels"),
        (-1, 1, ("began to slide", 0, []), ""),
        (-1, 1, ("began to slide", 1, []), "slides on a kink that repels"),
        (-1, 1, ("crossed", -1, [[0, 1]]), "a unit is not released with it"),
    ],
)
def test_what_cannot_happen_at_an_event_is_refused(sign: int, before: int, event: Any, reason: str) -> None:
    flow = flow_at_an_event(sign, before)
    kind, side, also = event
    arb = flow.arb

    def happen() -> None:
        flow.happen((0, 0, kind, side, also), arb(1), arb(1), arb(1))

    if not reason:
        happen()
        assert flow.sides == [[side]]
        return
    with pytest.raises(ValueError, match=reason):
        happen()


@pytest.mark.parametrize(
    ("sign", "height", "fresh", "length", "shown"),
    [
        (-1, 0.25, "", 0.125, True),  # towards the kink at speed 1
        (-1, 0.25, "", 0.24, True),
        (-1, 0.25, "", 0.26, False),  # it may be beyond at the end of the step
        (-1, 0.25, "", 0.5, False),
        (1, 0.25, "", 0.5, True),  # away from it
        (1, 0.0, "crossed", 0.5, True),
        (-1, 0.0, "crossed", 0.5, False),  # it would come back at once
    ],
)
def test_no_unit_passes_its_kink_unseen(sign: int, height: float, fresh: str, length: float, shown: bool) -> None:
    """One neuron, one sample, z = height > 0 and dz/ds = sign: a step is shown if z stays positive over its length."""
    flow = flow_at_an_event(sign, 1)
    flow.t[0][0] = sign * flow.arb(height)
    flow.fresh = {(0, 0): fresh} if fresh else {}
    assert flow.step(flow.pace(*flow.weights()), int(length * 2**128), None, None) is shown
    if shown:
        assert abs(float(flow.t[0][0].mid()) - sign * (height + sign * length)) < 1e-12


@pytest.mark.parametrize(("side", "also"), [(0, []), (1, [[0, 1]])])
def test_a_unit_is_released_to_one_side(side: int, also: list[Any]) -> None:
    flow = flow_at_an_event(-1, 1)
    flow.guards = {(0, 0, side): [flow.arb(0)] for side in (1, -1, 0)}
    with pytest.raises(ValueError, match="a unit is released to no side"):
        flow.happen((0, 0, "released", side, also), flow.arb(1), flow.arb(1), flow.arb(1))


@pytest.mark.parametrize(("window", "radius", "h"), [(2.0, 1.0, 1000.0), (0.5, 1.0, 1.0)])
def test_an_event_is_within_its_radius_and_its_step(window: float, radius: float, h: float) -> None:
    """The unit is `window` away from its kink in time; the last step must be 128 times as long."""
    flow = flow_at_an_event(1, -1)
    flow.t[0][0] = flow.arb(-window)
    with pytest.raises(ValueError, match="an event is not where it is said to be"):
        flow.happen((0, 0, "crossed", 1, []), flow.arb(1), flow.arb(h), flow.arb(radius))


def test_the_trap_is_about_the_pattern_of_the_point() -> None:
    flow = flow_at_an_event(1, 1)
    with pytest.raises(ValueError, match="the last pattern is not that of the KKT point"):
        flow.trap(SimpleNamespace(sides=[[-1]], lam=[Fraction(1)]))
    flow.trap(SimpleNamespace(sides=[[1]], lam=[Fraction(1)]))


def test_the_trap_needs_strict_inequalities() -> None:
    """w = w* = 1, so the right side of (19.5) is 0; a unit that stands still has 0 on the left as well."""
    flow, point = flow_at_an_event(1, 1), SimpleNamespace(sides=[[1]], lam=[Fraction(1)])
    flow.trap(point)
    flow.D = [[[flow.arb(0)]]]
    with pytest.raises(ValueError, match="the trap does not hold"):
        flow.trap(point)


# --- the logistic loss


@pytest.mark.parametrize(("q", "mu"), [((0.0, 1.0), 0.5), ((20.0, 20.0), 2.0**-20)])
def test_the_pace_of_a_step_is_that_of_its_lemma(q: tuple[float, float], mu: float) -> None:
    """(19.4) with numbers: n = 2, M = I, so that κ = (½, ½), μ = ½, B = 1, v = w, v_i - κᵀw = ±(w_1 - w_2)/2.

    At q = (20, 20) both are 0, so that μ may be told to be small: then T is what binds.
    """
    flow = flow_of_one_neuron(1, [x or 2.0**-60 for x in q], "logistic")
    flow.mu = flow.arb(mu)
    g = [1.0 / (1.0 + math.exp(x)) for x in q]
    w = [x / sum(g) for x in g]
    p = [(1.0 - x) * y for x, y in zip(g, w, strict=True)]
    delta = max([mu / 2**20, *(abs(x - (w[0] * p[0] + w[1] * p[1])) for x in p)])
    found = []
    for U in (1 / 2, 1 / 8, 1 / 32, 1 / 128):
        for z in (1.5 * max(g), math.sqrt(max(g))):
            inner, V = abs(w[0] - w[1]) / 2 + U * mu, max(w) + U
            b = (1 + U) * ((1 + z) * ((2 + U) * mu + inner) + z * (2 + U + V))

            def tau(a: float) -> float:
                return math.log1p(U * b / a) / b  # noqa: B023

            T = min(tau((1 + U) * delta), math.log(z / max(g)) / ((1 + z) * V))
            a = (1 + U) * (delta + (2 + U) * z * (1 + z) * V * (V + inner) * T)
            found.append((min(T, tau(a)), U, a, b, V, tau(a) > T))
    *expected, binds = max(found)
    assert [float(x) for x in flow.pace(*flow.weights())] == pytest.approx(expected, rel=1e-9)
    assert binds == (mu < 0.5)


@pytest.mark.parametrize(("total", "trapped"), [(0.8, True), (0.9, False)])
def test_the_trap_knows_how_much_the_loss_may_still_do(total: float, trapped: bool) -> None:
    """Three orthonormal samples at w = w*: D = M = I, ρ = 1/3, Λ = 3 log(1 + e^{-q}).

    (19.5) asks for 1/3 > min(Λ/2, √(Ω/6/(1 - Ω/2))), so for Λ < 2/3 or Ω < 1/2, Ω = e^Λ - 1 - Λ: 0.43 and 0.56 here.
    """
    q = -math.log(math.expm1(total / 3.0))
    point = SimpleNamespace(sides=[[1, 1, 1]], lam=[Fraction(1)] * 3)
    flow = flow_of_one_neuron(1, [q] * 3, "logistic")
    if trapped:
        flow.trap(point)
        return
    with pytest.raises(ValueError, match="the trap does not hold"):
        flow.trap(point)
    flow_of_one_neuron(1, [q] * 3, "exponential").trap(point)
    flow_of_one_neuron(1, [q] * 3, "logistic", "1").trap(point)  # no kink, no condition


def test_the_trap_of_the_logistic_loss_needs_margins_that_grow() -> None:
    flow, point = flow_at_an_event(1, 1, "logistic"), SimpleNamespace(sides=[[1]], lam=[Fraction(1)])
    flow.trap(point)
    flow.M = [[flow.arb(0)]]
    with pytest.raises(ValueError, match="the trap does not hold"):
        flow.trap(point)


def test_a_large_loss_is_no_trap() -> None:
    """n = 1, q = -2: Λ = log(1 + e²) = 2.1, Ω > 2."""
    flow = flow_of_one_neuron(-1, [2.0], "logistic")
    with pytest.raises(ValueError, match="the loss is too large"):
        flow.trap(SimpleNamespace(sides=[[1]], lam=[Fraction(1)]))


@pytest.mark.parametrize(("loss", "late"), [("exponential", 0.0), ("logistic", 2.0**-20)])
def test_the_clocks_differ_by_what_the_loss_may(loss: str, late: float) -> None:
    """‖a‖ = R_max = 1: 2 h e in a step of length h = 1/16 with e = 2^-18; then Δ = 33/32 |z|/speed at an event."""
    flow = flow_at_an_event(1, -1, loss)
    flow.t[0][0] = flow.arb(-0.25)
    flow.e = flow.arb(2) ** -18
    flow.step(flow.pace(*flow.weights()), 1 << 124, None, None)
    assert float(flow.late) == pytest.approx(late / 2.0, rel=1e-6)
    flow.e, flow.t[0][0], flow.late = flow.arb(0), flow.arb(-(2.0**-60)), flow.arb(late)
    assert abs(float(flow.window)) == 0.0
    flow.happen((0, 0, "crossed", 1, []), flow.arb(0.5), flow.arb(1), flow.arb(2) ** -19)
    assert float(flow.window) == pytest.approx(33.0 / 32.0 * 2.0**-59, rel=1e-12, abs=0.0)
    assert float(flow.late) == pytest.approx(float(flow.window) + late, rel=1e-12, abs=0.0)


def test_an_event_told_more_sharply_than_the_clocks_agree_is_refused() -> None:
    flow = flow_at_an_event(1, -1, "logistic")
    flow.late = flow.arb(2) ** -20
    with pytest.raises(ValueError, match="an event is not where it is said to be"):
        flow.happen((0, 0, "crossed", 1, []), flow.arb(0.5), flow.arb(1), flow.arb(2) ** -21)
