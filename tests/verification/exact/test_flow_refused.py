"""Certificates of flows that were tampered with, of false statements, and by certifiers that are wrong: all refused."""

from __future__ import annotations

import ast
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from verification.exact import flow as prover
from verification.exact import flow_checker, pattern, steps
from verification.exact.checker import check_certificate
from verification.exact.flow import certify_flow

from .flows import instance
from .tampering import digit_changes, resealed, structural_changes

pytest.importorskip("flint")
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


@pytest.fixture(scope="module", params=["exponential", "logistic"])
def proof(request):
    network, data = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.25], [0.0, 1.0]], [1, -1])
    found = certify_flow(network, data, [[-0.5, 0.125], [0.25, 0.5]], loss=request.param)
    return found, data


def test_digit_changes_are_refused(proof):
    """All but those that state something that is true as well: last digits of times, a longer last leg, a radius."""
    text, data = proof[0].to_json(), proof[1]
    accepted, count = 0, 1000 if THOROUGH else 60 if proof[0].loss == "exponential" else 20
    for changed in digit_changes(text, count, 0):
        if changed != text and check_certificate(changed, data.X, data.y).accepted:
            accepted += 1
            before, after = json.loads(text), json.loads(changed)
            assert {key for key in before if before[key] != after[key]} <= {"bits", "last", "legs", "start", "seal"}
            assert same_but_for_tolerances(before["legs"], after["legs"])
    assert accepted < count / 25


def same_but_for_tolerances(before, after):
    """Events are the same; durations differ by less than the radius of events."""
    return all(
        [a[key] for key in ("unit", "kind", "side", "also")] == [b[key] for key in ("unit", "kind", "side", "also")]
        and abs(int(a["duration"], 16) - int(b["duration"], 16)) <= max(int(x["radius"], 16) for x in (a, b))
        for a, b in zip(before, after, strict=True)
    )


def test_structural_changes_are_refused(proof):
    text, data = proof[0].to_json(), proof[1]
    for changed in structural_changes(text, 60 if not THOROUGH else 200, 1):
        result = check_certificate(changed, data.X, data.y)
        if result.accepted:  # one number copied onto another that need not be the same
            before, after = json.loads(text), json.loads(changed)
            assert {key for key in before if before[key] != after[key]} <= {"bits", "last", "legs", "seal"}
            assert same_but_for_tolerances(before["legs"], after["legs"])


# --- certifiers that are wrong ---------------------------------------------------------------------------------


@pytest.fixture
def unchecked(monkeypatch):
    """A certifier that gives out what it has found without a look at what the checker says."""
    monkeypatch.setattr(prover, "_refusal", lambda found, data, progress: "")


def refused(found, data):
    assert found.proven, found.reason
    result = check_certificate(found.to_json(), data.X, data.y)
    assert not result.accepted
    return result.reason


def test_a_missing_event_is_refused(proof):
    found, data = proof
    for k in range(len(found.events)):
        less = replace(found, events=found.events[:k] + found.events[k + 1 :])
        assert not check_certificate(less.to_json(), data.X, data.y).accepted


def test_a_wrong_remainder_is_refused(monkeypatch, proof, unchecked):
    """Series of order 2 and no remainder: events are put where they are not."""
    data = proof[1]
    honest = steps._series

    def short(cell, state, h, order):
        c, w = honest(cell, state, h, order)
        zero = h * 0
        return [row[:3] + [zero] * (len(row) - 3) for row in c], w

    monkeypatch.setattr(steps, "_series", short)
    network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    wrong = certify_flow(network, data, [[-0.5, 0.125], [0.25, 0.5]], loss=proof[0].loss)
    assert "not where it is said to be" in refused(wrong, data)


def test_a_trap_taken_for_granted_is_refused(monkeypatch, proof, unchecked):
    monkeypatch.setattr(pattern.PatternDynamics, "is_trap", lambda *_: True)
    data = proof[1]
    network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    wrong = certify_flow(network, data, [[-0.5, 0.125], [0.25, 0.5]], loss=proof[0].loss)
    reason = refused(wrong, data)
    assert "trap" in reason or "nearer to its kink" in reason


def test_what_the_checker_refuses_is_not_given_out(monkeypatch):
    """A certifier that takes traps for granted proves nothing with any number of bits."""
    monkeypatch.setattr(pattern.PatternDynamics, "is_trap", lambda *_: True)
    told = []
    network, data = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5)), Dataset([[1.0, 0.25], [0.0, 1.0]], [1, -1])
    found = certify_flow(network, data, [[-0.5, 0.125], [0.25, 0.5]], progress=told.append, loss="exponential")
    assert not found.proven
    assert found.reason.startswith("UNDECIDED: the checker does not find it proven (refused: ")
    assert [line for line in told if "checked" in line] == [
        f"what was found with {bits} bits is checked" for bits in (86, 172, 344)
    ]


class StoppedError(Exception):
    pass


def test_a_check_tells_its_steps_and_may_be_stopped(proof):
    found, data = proof
    told = []
    assert check_certificate(found.to_json(), data.X, data.y, told.append).accepted
    assert told[:2] == ["step 1 of the check", "step 2 of the check"]

    def stop(message):
        if message == "step 3 of the check":
            raise StoppedError

    with pytest.raises(StoppedError):
        check_certificate(found.to_json(), data.X, data.y, stop)


def test_a_proof_that_the_checker_refuses_is_tried_again_with_more_bits(monkeypatch, proof):
    """As where the checker's errors are larger than the prover's; twice the bits make both small."""
    honest, (first, data) = prover._refusal, proof
    monkeypatch.setattr(
        prover, "_refusal", lambda found, *rest: honest(found, *rest) if found.bits > first.bits else "errors"
    )
    network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    found = certify_flow(network, data, [[-0.5, 0.125], [0.25, 0.5]], loss=first.loss)
    assert (found.proven, found.bits, found.point) == (True, 2 * first.bits, first.point)
    assert check_certificate(found.to_json(), data.X, data.y).accepted


def test_sliding_that_is_not_strict_is_refused(monkeypatch):
    """A certifier that lets every attracting unit slide, be (19.3) satisfied or not."""
    for seed in range(5, 40):
        network, data, W0 = instance(seed)
        honest = certify_flow(network, data, W0, loss="exponential")
        if honest.proven and any(
            e.kind == "crossed" and network.second_layer[e.neuron] * data.y[e.sample] < 0 for e in honest.events
        ):
            break
    document = json.loads(honest.to_json())
    signs = network.second_layer
    leg = next(
        leg
        for leg in document["legs"]
        if leg["kind"] == "crossed" and signs[leg["unit"][0]] * data.y[leg["unit"][1]] < 0
    )
    leg["kind"], leg["side"] = "began to slide", 0
    result = check_certificate(resealed(json.dumps(document)), data.X, data.y)
    assert "nearer to its kink" in result.reason


def false_statements(leg, m, n):
    """A leg that ends with another unit, another event, another side, or other units released with it."""
    (j, i), also = leg["unit"], leg["also"]
    others = [[p, k] for p in range(m) for k in range(n) if [p, k] != [j, i]]
    yield from ({**leg, "unit": unit} for unit in others)
    yield from ({**leg, "side": side} for side in (-1, 0, 1) if side != leg["side"])
    for kind, sides in {"crossed": (-1, 1), "released": (-1, 1), "began to slide": (0,)}.items():
        yield from ({**leg, "kind": kind, "side": side} for side in sides if kind != leg["kind"])
    released = [[[k, side]] for k in range(n) for side in (-1, 1) if k != i]
    yield from ({**leg, "also": pairs} for pairs in [[], *released, [[i, 1]], also + also] if pairs != also)


@pytest.mark.parametrize("seed", [93, *([2, 20, 83, 86, 127, 228] if THOROUGH else [])])
def test_false_statements_of_events_are_refused(seed):
    """Instance 93 has two kinks that release the only unit that slides, 20 a release of two neurons at once."""
    network, data, W0 = instance(seed)
    document = json.loads(certify_flow(network, data, W0, loss="exponential").to_json())
    legs = document["legs"]
    for k in range(len(legs)):
        if THOROUGH or legs[k]["also"]:
            for leg in false_statements(legs[k], network.m, data.n):
                text = resealed(json.dumps({**document, "legs": [*legs[:k], leg, *legs[k + 1 :]]}))
                assert not check_certificate(text, data.X, data.y).accepted, (seed, k, leg)


def test_the_checker_is_short_and_shares_nothing_with_the_prover():
    source = Path(flow_checker.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 300
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module))
    assert {name for name in modules if name.split(".")[0] not in sys.stdlib_module_names} == {
        "flint",
        "verification.exact.checker",
        "verification.exact.point_checker",
    }
