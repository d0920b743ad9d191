"""A sentence about a bad value names the option as it was typed, for every option of every command."""

import argparse

import numpy as np
import pytest

from verification import cli
from verification.shell import COMMANDS, build_parser

BASES = {
    "verify": ["--data", "d.csv", "--time-limit", "1"],
    "flow": ["--data", "d.csv"],
    "descend": ["--data", "d.csv", "--steps", "10"],
    "max-margin": ["--data", "d.csv"],
    "kkt": ["--data", "d.csv", "--weights", "W.npy", "--positive", "1", "--negative", "1"],
    "audit": ["--data", "d.csv", "--weights", "W.npy", "--positive", "1", "--negative", "1"],
    "certify": ["--data", "d.csv"],
    "sweep": ["g.toml", "--store", "s.sqlite"],
    "search": ["--seconds", "1", "--tries", "1"],
    "self-test": [],
}
"""Command -> arguments that are right, in a folder where `folder` put the files."""

NOT_HERE = {
    "data",
    "preset",
    "weights",
    "check",
    "start",
    "grid",
    "store",
    "json",
    "html",
    "save",
    "plot",
    "csv",
    "out",
    "scheduler",
    "labels",
    "first_layer",
    "second_layer",
    "first_bias",
}
"""Names of files and of what is sought in them: what is wrong there is told by the name of the file."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text("1,0.1,1\n0,1,-1\n")
    (tmp_path / "g.toml").write_text('[grid]\ndata = "d.csv"\nslope = 0.5\n')
    np.save(tmp_path / "W.npy", np.array([[1.0, 0.0], [0.0, 1.0]]))
    return tmp_path


def options_of(command):
    (actions,) = (a for a in build_parser(command)._actions if isinstance(a, argparse._SubParsersAction))
    for action in actions.choices[command]._actions:
        takes = action.option_strings and action.nargs != 0 and not isinstance(action, argparse.BooleanOptionalAction)
        if takes and action.dest not in NOT_HERE and not action.dest.startswith("write_"):
            yield action


@pytest.mark.parametrize("command", [command for command in COMMANDS if command in BASES])
def test_a_bad_value_is_told_with_the_option_as_typed(command, folder, capsys, monkeypatch):
    refused = 0
    for action in options_of(command):
        numeric = action.type is not None
        for bad in ("-1", "nan") if numeric else ("no such thing",):
            values = [bad, bad] if action.nargs == 2 else [bad]
            given = [f"{action.option_strings[-1]}={bad}"] if len(values) == 1 else [action.option_strings[-1], *values]
            try:
                code = cli.main([command, *BASES[command], *given])
            except SystemExit as stop:
                code = stop.code
            error = capsys.readouterr().err
            assert "Traceback" not in error
            if code == 2:
                refused += 1
                assert action.option_strings[-1] in error, (given, error)
                assert error.strip().splitlines()[-1].startswith("implicit-bias")
    assert refused > 0 or command == "self-test"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["verify", "--init-scales", "0"], "`--init-scales` must"),
        (["verify", "--drop-column", "x"], "`--drop-column`"),
        (["verify", "--only", "nothing"], "`--only` must name claims"),
        (["verify", "--explain", "nothing"], "`--explain` must name claims"),
        (["verify", "--steps", "3"], "`--steps` must be a whole number, at least 10; got 3."),
        (["verify", "--positive-label", "2"], "no label is 2 (--positive-label)"),
        (["flow", "--positive", "0", "--negative", "0"], "`--positive + --negative` must be at least 1"),
        (["flow", "--labels", ""], "`--labels` must be the name of a file"),
    ],
)
def test_parameters_with_another_name_in_python(line, words, folder, capsys):
    assert cli.main([*line, "--data", "d.csv"]) == 2
    assert words in capsys.readouterr().err


def test_a_file_with_the_name_of_a_parameter_keeps_it(folder, capsys):
    assert cli.main(["verify", "--data", "slope"]) == 2
    assert "cannot read `slope`" in capsys.readouterr().err
