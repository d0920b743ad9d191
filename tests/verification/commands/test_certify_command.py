"""`implicit-bias certify` as a person uses it: what is written, what is said, and the exit codes."""

from __future__ import annotations

import os
import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from verification import cli
from verification.commands.exact_numbers import exact_slope
from verification.exact.certificate import Certificate

NETWORK = ["--positive", "1", "--negative", "1"]


@pytest.fixture
def data_file(tmp_path):
    (tmp_path / "data.csv").write_text("x,z,y\n1,0,1\n0,2,-1\n")
    return str(tmp_path / "data.csv")


@pytest.fixture
def proof(data_file, tmp_path):
    path = tmp_path / "proof.json"
    assert cli.main(["certify", "--data", data_file, "--slope", "1/10", *NETWORK, "--out", str(path)]) == 0
    return str(path)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 0, "slope 1/10, 1 positive and 1 negative"),
        (["--slope", "1/10", *NETWORK], 0, "accepted"),
        (["--slope", "0.1"], 0, "accepted"),
        (["--slope", "9/10", "--positive", "5"], 1, "not of --slope 9/10 --positive 5"),
        (["--slope", "0.9"], 1, "not of --slope 0.9"),
        (["--slope", "3602879701896397/36028797018963968"], 1, "not of --slope 3602879701896397"),
        (["--negative", "0"], 1, "not of --negative 0"),
    ],
)
def test_a_certificate_is_checked_for_the_network_that_is_asked_for(data_file, proof, capsys, options, code, words):
    assert cli.main(["certify", "--data", data_file, "--check", proof, *options]) == code
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--out", "new.json"], ["--quick"]])
def test_check_drops_no_option(data_file, proof, capsys, option):
    assert cli.main(["certify", "--data", data_file, "--check", proof, *option]) == 2
    assert f"`{option[0]}` must be left out with --check" in capsys.readouterr().err


def test_a_missing_certificate_is_bad_input(data_file, tmp_path, capsys):
    os.mkfifo(tmp_path / "fifo")
    regular = "only regular files are read"
    for name, words in (("none.json", "there is no such file"), ("fifo", regular), (".", "it is a folder")):
        assert cli.main(["certify", "--data", data_file, "--check", str(tmp_path / name)]) == 2
        assert words in capsys.readouterr().err


def test_samples_of_any_size_have_a_table_and_a_file(tmp_path, capsys):
    """½‖W‖² = 125/101 · 10⁴⁰⁰: K has the factor 10⁻⁴⁰⁰, and ½ Σ λ = (1 + 1/4)/(1 + γ²) with γ = 1/10."""
    (tmp_path / "tiny.csv").write_text("x,z,y\n1e-200,0,1\n0,2e-200,-1\n")
    path = tmp_path / "tiny.json"
    arguments = ["--data", str(tmp_path / "tiny.csv"), "--slope", "1/10", *NETWORK, "--out", str(path)]
    assert cli.main(["certify", *arguments]) == 0
    assert "1.237623762376237" in (out := capsys.readouterr().out)
    assert "e+400" in out
    objective = Certificate.load(path).objective * Fraction(10) ** -400
    assert abs(objective - Fraction(125, 101)) < Fraction(1, 10**15)


def test_the_file_is_written_before_the_table(data_file, tmp_path, monkeypatch):
    def fails(*_):
        raise UnicodeEncodeError("ascii", "½", 0, 1, "no such character")

    monkeypatch.setattr("verification.commands.certify._table", fails)
    path = tmp_path / "proof.json"
    args = cli.build_parser("certify").parse_args(["certify", "--data", data_file, *NETWORK, "--out", str(path)])
    with pytest.raises(UnicodeEncodeError):
        args.run(args)
    assert Certificate.load(path).verdict == "unique_kkt_point"


def test_numbers_of_a_rejected_form_are_not_shown(tmp_path, capsys):
    (tmp_path / "data.csv").write_text("x,z,y\n1,0,1\n4,0.1,1\n")
    assert cli.main(["certify", "--data", str(tmp_path / "data.csv"), *NETWORK]) == 3
    out = capsys.readouterr().out
    assert "exact fraction" not in out
    assert "negative" in out


@pytest.mark.parametrize(
    "text", ["1e999999999", "1e400", "-1", "nan", "inf", "2/1", "1/0", "1/2/3", "a/b", "1.5/3", ""]
)
def test_slopes_that_are_none_end_in_a_sentence_at_once(data_file, capsys, text):
    assert cli.main(["certify", "--data", data_file, f"--slope={text}"]) == 2
    assert "`--slope` must" in capsys.readouterr().err


def test_slopes_as_fractions_and_floats():
    assert exact_slope("1/10") == Fraction(1, 10)
    assert [exact_slope(text) for text in ("0.1", "1e-320", "1", None)] == [None] * 4


# --- one KKT point -------------------------------------------------------------------------------------------

POINT = ["--slope", "1/10", *NETWORK]


def test_a_limit_is_proven_written_and_checked(data_file, tmp_path, capsys):
    path = str(tmp_path / "point.json")
    assert cli.main(["certify", "--limit", "--data", data_file, *POINT, "--seed", "3", "--out", path]) == 0
    assert "1.237623762376237" in capsys.readouterr().out  # ½(1 + 1/4)·2/(1 + γ²) = 125/101
    assert cli.main(["certify", "--check", path, "--data", data_file, *POINT]) == 0
    assert "proven_kkt_point" in capsys.readouterr().out
    assert cli.main(["certify", "--check", path, "--data", data_file, "--negative", "4"]) == 1
    assert "1 positive and 1 negative neurons, not of --negative 4" in capsys.readouterr().out


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
def test_a_flow_is_proven_written_and_checked_for_its_loss(data_file, tmp_path, capsys, loss):
    pytest.importorskip("flint")
    path, asked = str(tmp_path / "flow.json"), [] if loss == "logistic" else ["--loss", loss]
    assert cli.main(["certify", "--flow", *asked, "--data", data_file, *POINT, "--seed", "3", "--out", path]) == 0
    assert f"gradient flow of the {loss} loss from this start" in capsys.readouterr().out
    for options in ([], ["--loss", loss]):
        assert cli.main(["certify", "--check", path, "--data", data_file, *options]) == 0
        assert f"1 positive and 1 negative neurons, the {loss} loss." in capsys.readouterr().out
    other = "exponential" if loss == "logistic" else "logistic"
    assert cli.main(["certify", "--check", path, "--data", data_file, "--loss", other]) == 1
    assert f"the {loss} loss, not of --loss {other}." in capsys.readouterr().out
    assert cli.main(["certify", "--flow", "--data", data_file, *POINT, "--loss", "hinge"]) == 2
    assert "`--loss` must be" in capsys.readouterr().err


def test_a_flow_is_not_refused_for_want_of_a_package(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "flint", None)
    path = str(Path(__file__).parents[3] / "docs" / "counterexamples" / "limits-edge")
    assert cli.main(["certify", "--check", f"{path}.flow-1.json", "--data", f"{path}.csv"]) == 2
    captured = capsys.readouterr()
    assert "the package python-flint is not installed" in captured.err
    assert "refused" not in captured.out


def test_weights_that_are_near_no_kkt_point_are_not_proven(data_file, tmp_path, capsys):
    np.save(tmp_path / "W.npy", [[1.0, -1.0], [1.0, 1.0]])
    arguments = ["certify", "--limit", "--data", data_file, "--slope", "0.1", *NETWORK, "--weights"]
    assert cli.main([*arguments, str(tmp_path / "W.npy"), "--out", str(tmp_path / "none.json")]) == 3
    assert "Not proven: " in capsys.readouterr().out
    assert not (tmp_path / "none.json").exists()


@pytest.mark.parametrize("command", [["certify", "--flow"], ["certify", "--limit"], ["kkt"], ["audit"]])
def test_neurons_of_other_signs_than_in_the_weights_are_refused(data_file, tmp_path, capsys, command):
    path = str(tmp_path / "W.npz")
    np.savez(path, W=[[1.0, -0.5], [-0.25, 1.0]], second_layer=[1.0, 1.0])
    asked = [*command, "--data", data_file, "--weights", path]
    for options in (["--positive", "1", "--negative", "1"], ["--negative", "3"]):
        assert cli.main([*asked, *options]) == 2
        assert "in the second layer of the file, or be left out; got" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--limit", "--weights", "W.npy", "--init-scale", "1"], "`--init-scale` must be left out with --weights"),
        (["--init-scale", "1"], "`--init-scale` must be left out without --limit or --flow"),
        (["--check", "none.json", "--limit"], "`--limit` must be left out with --check"),
        (["--check", "none.json", "--global"], "`--global` must be left out with --check"),
        (["--global", "--weights", "W.npy"], "`--weights` must be left out without --limit or --flow"),
        (["--global", "--flow"], "`--global` must be left out with --flow"),
    ],
)
def test_options_of_points_that_do_not_go_together(data_file, capsys, options, word):
    options = [data_file if x in ("W.npy", "none.json") else x for x in options]  # files that exist
    assert cli.main(["certify", "--data", data_file, *options]) == 2
    assert word in capsys.readouterr().err


def test_of_many_margins_above_one_the_least_and_the_largest_are_shown(tmp_path, capsys):
    """One neuron of each sign, samples e_1 t: the smallest t of each sign is tight, and the margin of t is t."""
    lines = [f"{t},0,1\n0,{t},-1\n" for t in (1, 2, 3, 4, 5)]
    (tmp_path / "data.csv").write_text("x,z,y\n" + "".join(lines))
    out = tmp_path / "proof.json"
    arguments = ["--data", str(tmp_path / "data.csv"), *POINT]
    assert cli.main(["certify", "--limit", *arguments, "--out", str(out)]) == 0
    table = capsys.readouterr().out
    assert table.count("margin of sample") == 2
    assert re.search("margins between these +│ 6, in the file of --out", table)
    (tmp_path / "less.csv").write_text("x,z,y\n" + lines[0])
    assert cli.main(["certify", "--data", str(tmp_path / "less.csv"), "--check", str(out)]) == 1
    assert "refused: it is of 10 samples, and the data have 2." in capsys.readouterr().out
    assert cli.main(["certify", *arguments, "--out", str(tmp_path / "form.json")]) in (0, 3)
    assert cli.main(["certify", "--data", str(tmp_path / "less.csv"), "--check", str(tmp_path / "form.json")]) == 1
    assert "and the data have 2." in capsys.readouterr().out


# --- the optimum -----------------------------------------------------------------------------------------------


def test_an_optimum_is_proven_written_and_checked(data_file, tmp_path, capsys):
    path = str(tmp_path / "best.json")
    assert cli.main(["certify", "--global", "--data", data_file, *POINT, "--out", path]) == 0
    text = capsys.readouterr().out
    assert "1.237623762376237" in text  # 125/101, as above
    assert "global optimum" in text
    assert cli.main(["certify", "--check", path, "--data", data_file, *POINT]) == 0
    assert "proven_global_optimum" in capsys.readouterr().out
    assert cli.main(["certify", "--global", "--limit", "--data", data_file, *POINT, "--seed", "3"]) == 0
    assert "not global" not in capsys.readouterr().out


def test_slope_1_leaves_one_program(data_file, capsys):
    assert cli.main(["certify", "--global", "--data", data_file, "--slope", "1", *NETWORK]) == 0
    assert "1 program by 1 dual bound" in capsys.readouterr().out


def test_too_many_programs_are_not_enumerated(data_file, capsys):
    many = ["--slope", "0.1", "--positive", "5000", "--negative", "1"]
    assert cli.main(["certify", "--global", "--data", data_file, *many]) == 3
    assert "too many programs" in capsys.readouterr().out
