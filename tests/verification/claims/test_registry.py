"""Claims of one's own: loaded by name, checked, chosen, explained; their errors are told with their name."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.errors import InvalidParameterError
from verification import Claim, HypothesisResult, Measurement, cli, verify
from verification.claims import CLAIMS, registry
from verification.claims.base import ClaimError

NETWORK = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
DATA = Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])

MODULE = '''
"""A conjecture."""
from verification import Claim, HypothesisResult, Measurement

def always(evidence):
    """Nothing."""
    return HypothesisResult("none", True, None)

def one(evidence):
    """The number {value}."""
    return Measurement("a number", {value}, 1.0, 0.0, "none")

CLAIM = Claim("my-conjecture", "A number is at most 1", "a conjecture", always, one)
'''


def claim(measure=lambda evidence: Measurement("a number", 0.5, 1.0, 0.0, "none"), **changes) -> Claim:
    made = Claim("mine", "A number", "nowhere", lambda evidence: HypothesisResult("none", True, None), measure)
    return replace(made, **changes)


@pytest.mark.parametrize(("value", "code"), [(0.5, 0), (2.0, 1)])
def test_the_command_checks_a_module_of_the_users(tmp_path, monkeypatch, capsys, value: float, code: int) -> None:
    name = f"conjecture_{code}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(value=value), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert cli.main(["verify", "--claims", name, "--only", "my-conjecture", "--time-limit", "60"]) == code
    told = capsys.readouterr().out
    assert "my-conjecture" in told
    assert "from scales" not in told  # no flow was asked for
    assert cli.main(["verify", "--claims", name, "--explain", "my-conjecture"]) == 0
    assert f"The number {value}." in capsys.readouterr().out
    assert cli.main(["verify", "--claims", name, "--list-claims"]) == 0
    assert f"{len(CLAIMS) + 1} claims." in capsys.readouterr().out


def test_the_list_has_every_claim_and_each_is_explained(capsys) -> None:
    assert cli.main(["verify", "--list-claims"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{len(CLAIMS)} claims."
    assert len(CLAIMS) >= 26
    for own in CLAIMS:
        text = registry.explain(own)
        for part in ("Statement", "Source", "Hypothesis", "Measured", "slack:", "tolerance:", "verdict:"):
            assert part in text, own.id
        assert "(its function has no docstring)" not in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--claims", "no_such_module_here"], "no_such_module_here"),
        (["--claims", "json"], "CLAIM"),
        (["--only", "flow-zero-los"], "did you mean flow-zero-loss?"),
        (["--explain", "nothing-like-it"], "--list-claims"),
    ],
)
def test_bad_names_get_one_sentence(capsys, arguments: list[str], words: str) -> None:
    assert cli.main(["verify", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert words in told


@pytest.mark.parametrize("claims", [claim(), [1], "mine", [claim(), claim()], [claim(id="flow-zero-loss")]])
def test_bad_claims_are_refused(claims) -> None:
    with pytest.raises(InvalidParameterError, match="claims"):
        verify(NETWORK, DATA, claims=claims)


def test_a_fault_of_a_claim_is_told_with_its_name() -> None:
    def broken(evidence):
        raise ZeroDivisionError("by nothing")

    for wrong in (claim(broken), claim(lambda evidence: 0.5), claim(applies=broken)):
        with pytest.raises(ClaimError, match="`mine`"):
            verify(NETWORK, DATA, claims=[wrong], only=None if wrong.applies is broken else ["mine"], descent_steps=10)


def test_entry_points_are_found(monkeypatch) -> None:
    points = [SimpleNamespace(name="x", value="verification.claims.flow_zero_loss")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "implicit_bias.claims" else [])
    assert [found.id for found in registry.installed_claims()] == ["flow-zero-loss"]


def test_a_part_of_ids_names_them() -> None:
    with pytest.raises(InvalidParameterError, match=r"\(did you mean all-margins-tight\?\)"):
        registry.chosen(CLAIMS, "tight")
