"""`implicit-bias sweep`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from verification import cli
from verification.commands.sweep import exit_code
from verification.studies.sweep_run import sweep

from .sweep_given import CELLS


def test_command(grid, capsys) -> None:
    assert cli.main([*grid, "--csv", "t.csv", "--json", "t.json"]) == 3  # nearly orthogonal in dimension 3 cannot be
    printed = capsys.readouterr().out
    assert "4 cells: 3 done, 1 failed." in printed
    assert "1 cell failed: `d` must be at least n = 4" in printed
    rows = list(csv.DictReader(Path("t.csv").read_text().splitlines()))
    document = json.loads(Path("t.json").read_text())
    assert [row["status"] for row in rows] == [one["status"] for one in document["cells"]]
    assert {row["rank"] for row in rows if row["dimension"] == "40"} == {"2"}
    assert cli.main([*grid, "--csv", "t.csv"]) == 2
    assert "exists" in capsys.readouterr().err
    assert cli.main([*grid, "--csv", "t.csv", "--retry-failed", "--force"]) == 3
    assert rows == list(csv.DictReader(Path("t.csv").read_text().splitlines()))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--csv", "s.sqlite"], "--csv and --store are the same file"),
        (["--jobs", "0"], "`--jobs` must be a whole number, at least 1; got 0."),
        (["--store", "grid.toml"], "no store of sweeps"),
    ],
)
def test_bad_command_lines(words, told, grid, capsys) -> None:
    assert cli.main([*grid, *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_violation_and_a_failure_are_told_by_the_exit_code() -> None:
    for work, code in ((lambda one: {"violated": 0}, 0), (lambda one: {"violated": 1}, 1), (lambda one: one["y"], 3)):
        assert exit_code(sweep(CELLS[:1], work=work, jobs=1)) == code
