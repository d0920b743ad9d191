"""The numbers that JSON lacks: one convention in every file and every command."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gradient_descent
from refimpl.archive import read_npz
from refimpl.descent import DescentResult
from refimpl.documents import as_plain, json_text, with_numbers
from verification.cli import main

NETWORK, DATA = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), Dataset([[1.0, 0.1], [0.2, -1.0]], [1, -1])


def strictly_read(text: str) -> Any:
    """JSON as the standard has it: Python also reads NaN and Infinity."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"JSON has no {word}"))


class Colour(Enum):
    RED = "the value"


def test_what_was_written_comes_back() -> None:
    document = {"a": [1.5, float("-inf")], "b": {"c": None, "d": "word"}, "e": float("inf"), "f": 3, "g": True}
    assert with_numbers(strictly_read(json_text(document))) == document
    assert np.isnan(with_numbers(strictly_read(json_text({"x": float("nan")})))["x"])


def test_numpy_and_enum_become_plain() -> None:
    given = {"x": np.float32(0.5), "k": np.int64(3), "yes": np.bool_(True), "A": np.array([[np.inf, 1.0]])}
    assert as_plain(given | {"colour": Colour.RED, "pair": (1, 2)}) == {
        "x": 0.5,
        "k": 3,
        "yes": True,
        "A": [["inf", 1.0]],
        "colour": "RED",
        "pair": [1, 2],
    }
    assert type(as_plain(np.bool_(True))) is bool


def test_what_json_cannot_hold_is_no_document() -> None:
    with pytest.raises(TypeError):
        json_text({"x": object()})


def test_a_saved_result_holds_standard_json(tmp_path: Path) -> None:
    """A result from W0 = 0, whose stable rank is no number, with a diagnostic that is infinite."""
    result = gradient_descent(NETWORK, DATA, np.zeros((2, 2)), 0.1, 2)
    assert result.to_dict()["final"]["step"] == 2
    first = replace(result, trajectory=replace(result.trajectory, stable_rank=np.array([1.0, 1.0, np.nan])))
    assert first.to_dict()["final"]["stable_rank"] == "nan"
    replace(result, diagnostics=result.diagnostics | {"seconds": float("inf")}).save(tmp_path / "r.npz")
    assert strictly_read(str(read_npz(tmp_path / "r.npz")["meta"]))["diagnostics"]["seconds"] == "inf"
    assert DescentResult.load(tmp_path / "r.npz").diagnostics["seconds"] == float("inf")


def test_every_command_writes_special_numbers_alike(tmp_path: Path) -> None:
    """The same number is the same word everywhere; null stands only where there is no such number."""
    np.savez(tmp_path / "data.npz", X=DATA.X, y=DATA.y)
    np.save(tmp_path / "W.npy", np.zeros((2, 2)))
    problem = ["--data", str(tmp_path / "data.npz"), "--positive", "1", "--negative", "1"]
    found = {}
    for name, options in {
        "kkt": ["--weights", str(tmp_path / "W.npy")],
        "descend": ["--steps", "3", "--init-scale", "0"],
        "flow": ["--max-time", "1e-3"],
        "max-margin": [],
        "verify": ["--steps", "20"],
    }.items():
        main([name, *problem, *options, "--json", str(tmp_path / f"{name}.json")])
        found[name] = strictly_read((tmp_path / f"{name}.json").read_text())
    assert found["kkt"]["stationarity"] == found["kkt"]["duality_gap"] == "inf"
    assert found["descend"]["trajectory"]["stable_rank"][0] == "nan"
    assert found["flow"]["limit"] is None
    assert found["max-margin"]["status"] == "SOLVED"
    assert found["verify"]["conditions"][0]["slack"] > 0.0
