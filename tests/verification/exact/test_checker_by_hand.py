"""The checker of certificates on documents written by hand: no prover, no flint (docs/theory.md, section 5)."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from verification.exact.checker import CONCLUSIONS, check_certificate

EYE, ONES = [[1.0, 0.0], [0.0, 1.0]], [1.0, 1.0]


def sealed(document: dict[str, Any]) -> str:
    """The text as docs/extending.md has it: sorted keys, one space, and the SHA-256 of the rest."""

    def text(value: dict[str, Any]) -> str:
        return json.dumps(value, indent=1, sort_keys=True) + "\n"

    return text({**document, "seal": hashlib.sha256(text(document).encode()).hexdigest()})


def one_neuron(X: list[list[float]] = EYE, slope: str = "0x1/0x2", **changes: Any) -> dict[str, Any]:
    """a = 1, labels 1, K = I: every slope that counts is 1, so M = I, λ = 1, F(b) = 1 whatever b is."""
    n = len(X)
    sha256 = hashlib.sha256(b"".join(struct.pack(f"<{len(row)}d", *row) for row in [*X, [1.0] * n])).hexdigest()
    document: dict[str, Any] = {
        "schema": "implicit-bias-certificate",
        "schema_version": 1,
        "data": {"n": n, "d": len(X[0]), "sha256": sha256},
        "network": {
            "slope": slope,
            "slope_source": "float",
            "second_layer": "signs",
            "positive": 1,
            "negative": 0,
            "mass_positive": "0x1/0x1",
            "mass_negative": "0x0/0x1",
        },
        "closed_form": {
            "denominator": "0x1",
            "numerators": ["0x1"] * n,
            "objective": f"{hex(n // 2)}/0x1",
            "rank": 1,
            "first_negative_multiplier": None,
            "first_wrong_sign": None,
            "kernel": None,
        },
        "bounds": {"exponent": 0, "values": ["0x1"] * n, "rounding": "up", "first_failure": None},
        "verdict": "unique_kkt_point",
        "conclusions": CONCLUSIONS,
    }
    for place, value in changes.items():
        part, key = place.split("__")
        document[part][key] = value
    return document


def test_equality_in_b_is_enough() -> None:
    """b = F(b) = 1 exactly: (5.3) has >= there."""
    found = check_certificate(sealed(one_neuron()), EYE, ONES)
    assert (found.accepted, found.verdict) == (True, "unique_kkt_point"), found.reason


@pytest.mark.parametrize("below", [0, 1])
def test_a_bound_below_f_proves_nothing(below: int) -> None:
    """b_i = 1 - 1/16 < F(b)_i = 1, in one sample."""
    values = ["0x10", "0x10"]
    values[below] = "0xf"
    found = check_certificate(sealed(one_neuron(bounds__values=values, bounds__exponent=4)), EYE, ONES)
    assert found.reason == f"refused: b is not a bound at sample {below}"


@pytest.mark.parametrize("values", [["0x1"], ["0x1"] * 3, []])
def test_there_is_one_bound_a_sample(values: list[str]) -> None:
    found = check_certificate(sealed(one_neuron(bounds__values=values)), EYE, ONES)
    assert found.reason == "refused: the bounds are malformed"


@pytest.mark.parametrize("rounding", ["Up", "nearest", "", None, True])
def test_bounds_are_rounded_up_or_down(rounding: Any) -> None:
    found = check_certificate(sealed(one_neuron(bounds__rounding=rounding)), EYE, ONES)
    assert found.reason == "refused: the bounds are malformed"


@pytest.mark.parametrize("wrong", [0, 1])
def test_every_margin_must_be_tight(wrong: int) -> None:
    """λ = 2 at one sample: with K = I the margin of the other is 1 all the same."""
    numerators = ["0x1", "0x1"]
    numerators[wrong] = "0x2"
    document = one_neuron(closed_form__numerators=numerators, closed_form__objective="0x3/0x2")
    assert check_certificate(sealed(document), EYE, ONES).reason == "refused: M λ is not 1"


@pytest.mark.parametrize("layer", ["gaussian", "", None, "Signs", 1])
def test_a_second_layer_is_floats_or_signs(layer: Any) -> None:
    found = check_certificate(sealed(one_neuron(network__second_layer=layer)), EYE, ONES)
    assert found.reason == "refused: the second layer is neither floats nor ±1/√m"


@pytest.mark.parametrize("labels", [[1.0, 2.0], [1.0, 0.0], [1.0], [1.0, 1.0, 1.0]])
def test_labels_are_signs_and_as_many_as_samples(labels: list[float]) -> None:
    assert check_certificate(sealed(one_neuron()), EYE, labels).reason == "refused: malformed labels"


@pytest.mark.parametrize(
    ("slope", "reason"),
    [
        ("0x0/0x1", "γ is not in (0, 1]"),
        ("-0x1/0x2", "γ is not in (0, 1]"),
        ("0x3/0x2", "γ is not in (0, 1]"),
        ("0x1/0x3", "γ is not a float"),
    ],
)
def test_slopes_lie_above_0_and_at_most_at_1(slope: str, reason: str) -> None:
    assert check_certificate(sealed(one_neuron(slope=slope)), EYE, ONES).reason == f"refused: {reason}"


def test_slope_1_is_allowed() -> None:
    found = check_certificate(sealed(one_neuron(slope="0x1/0x1")), EYE, ONES)
    assert (found.accepted, found.verdict) == (True, "unique_kkt_point"), found.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "the file holds no JSON object"),
        ('{"schema": "implicit-bias-point"}', "the file is malformed (KeyError('data'))"),
        (sealed({**one_neuron(), "schema": "another"}), "no checker reads 'another'"),
        (sealed({**one_neuron(), "bounds": {}}), "the file is malformed (KeyError('values'))"),
        (sealed(one_neuron([[2.0, 0.0], [0.0, 2.0]])), "it is of other data"),
    ],
)
def test_what_is_no_certificate_of_these_data_is_told_in_a_sentence(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(text)
    assert check_certificate(tmp_path / "file.json", EYE, ONES).reason == f"refused: {reason}"
