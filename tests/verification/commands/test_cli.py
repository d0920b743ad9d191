"""The command `implicit-bias`: outputs, exit codes, and one sentence for each bad input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.errors import OutputFileError
from refimpl.flow import FlowResult
from verification import cli
from verification.commands import verify as verify_command

GOOD = {"X": np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]]), "y": np.array([1.0, -1.0])}
SMALL = ["--slope", "0.5", "--positive", "2", "--negative", "1"]


@pytest.fixture
def data_file(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, **GOOD)
    return str(path)


def fails(capsys, *arguments: str) -> str:
    """The sentence on standard error of a command that must exit with 2."""
    try:
        code = cli.main(list(arguments))
    except SystemExit as stop:  # argparse's own way
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2
    assert "Traceback" not in captured.err
    lines = [line for line in captured.err.splitlines() if not line.startswith(("usage:", " ", "..."))]
    assert len(lines) == 1, captured.err
    return lines[0]


def test_verify_a_file_and_write_json(data_file, tmp_path, capsys) -> None:
    out = tmp_path / "report.json"
    code = cli.main(["verify", "--data", data_file, *SMALL, "--json", str(out), "--html", str(tmp_path / "r.html")])
    assert code == 0
    report = json.loads(out.read_text())
    assert list(report)[:2] == ["schema_version", "answer"]
    assert {"dataset", "network", "environment", "claims"} <= set(report)
    assert report["dataset"]["sha256"] == Dataset(**GOOD).sha256
    assert {"python", "numpy", "blas", "scipy", "cvxpy", "solver"} <= set(report["environment"])
    fields = {"id", "title", "source", "hypothesis", "measured", "bound", "tolerance", "verdict", "seconds"}
    assert all(fields <= set(row) for row in report["claims"])
    html = (tmp_path / "r.html").read_text()
    assert all(row["id"] in html for row in report["claims"])
    table = capsys.readouterr().out
    assert f"{len(report['claims'])} claims" in table


def test_json_on_standard_output_is_json(data_file, capsys) -> None:
    assert cli.main(["max-margin", "--data", data_file, *SMALL, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "SOLVED"


def test_csv_gives_the_same_data(tmp_path, data_file) -> None:
    path = tmp_path / "data.csv"
    path.write_text("a,b,c,label\n1,0.1,0,1\n0,1,0.1,-1\n")
    out = tmp_path / "o.json"
    assert cli.main(["verify", "--data", str(path), *SMALL, "--json", str(out)]) == 0
    assert json.loads(out.read_text())["dataset"]["sha256"] == Dataset(**GOOD).sha256


def test_flow_saves_plots_and_kkt_reads(data_file, tmp_path, capsys) -> None:
    saved, plot, W = tmp_path / "flow.npz", tmp_path / "flow.png", tmp_path / "W.npy"
    arguments = ["--data", data_file, *SMALL]
    assert cli.main(["flow", *arguments, "--save", str(saved), "--plot", str(plot)]) == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    np.save(W, FlowResult.load(saved).limit.weights())
    out = tmp_path / "kkt.json"
    assert cli.main(["kkt", *arguments, "--weights", str(W), "--json", str(out)]) == 0
    assert json.loads(out.read_text())["stationarity"] < 1e-12
    np.savez(tmp_path / "W.npz", W=np.load(W), second_layer=[0.6, 0.6, -0.6])
    assert cli.main(["kkt", *arguments, "--weights", str(tmp_path / "W.npz")]) == 0
    np.save(W, -np.load(W))
    assert cli.main(["kkt", *arguments, "--weights", str(W)]) == 3
    assert "margin" in capsys.readouterr().out


def test_descend_and_self_test(data_file, tmp_path, capsys) -> None:
    plot, out = tmp_path / "d.png", tmp_path / "d.json"
    code = cli.main(["descend", "--data", data_file, *SMALL, "--steps", "20", "--plot", str(plot), "--json", str(out)])
    assert code == 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert len(json.loads(out.read_text())["trajectory"]["stable_rank"]) == 21
    assert cli.main(["descend", "--data", data_file, *SMALL, "--steps", "5", "--smoothness", "2"]) == 0
    assert cli.main(["self-test"]) == 0
    assert "wrong implementations caught" in capsys.readouterr().out


def test_certify_and_check(data_file, tmp_path, capsys) -> None:
    proof = tmp_path / "proof.json"
    arguments = ["--data", data_file, "--slope", "1/2", "--positive", "2", "--negative", "1"]
    assert cli.main(["certify", *arguments, "--out", str(proof)]) == 0
    assert cli.main(["certify", *arguments, "--check", str(proof)]) == 0
    assert cli.main(["certify", *arguments, "--quick"]) == 0
    assert cli.main(["certify", "--preset", "correlated", "--quick"]) == 3
    assert "ball arithmetic" in capsys.readouterr().out
    text = proof.read_text()
    place = next(k for k, letter in enumerate(text) if letter.isdigit() and k > 200)
    proof.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])
    assert cli.main(["certify", *arguments, "--check", str(proof)]) == 1
    assert "refused" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["verify", "flow", "descend", "max-margin", "kkt", "certify", "self-test"])
def test_help_shows_an_example(command, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert f"implicit-bias {command}" in capsys.readouterr().out


def test_version(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("implicit-bias ")


def test_nothing_is_overwritten_and_no_work_is_done_first(data_file, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(verify_command, "verify", lambda *args, **options: pytest.fail("worked before looking"))
    out = tmp_path / "out.json"
    out.write_text("mine")
    assert "exists" in fails(capsys, "verify", "--data", data_file, "--json", str(out))
    assert out.read_text() == "mine"
    assert "no folder" in fails(capsys, "verify", "--data", data_file, "--json", str(tmp_path / "none" / "out.json"))
    assert "is a folder" in fails(capsys, "verify", "--data", data_file, "--save", str(tmp_path), "--force")


def test_force_overwrites(data_file, tmp_path) -> None:
    out = tmp_path / "out.json"
    out.write_text("mine")
    assert cli.main(["max-margin", "--data", data_file, *SMALL, "--json", str(out), "--force"]) == 0
    assert json.loads(out.read_text())["status"] == "SOLVED"


def test_interruption(data_file, monkeypatch, capsys) -> None:
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(verify_command, "verify", interrupted)
    assert cli.main(["verify", "--data", data_file]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_interrupted_verify_keeps_what_was_decided(data_file, tmp_path, monkeypatch) -> None:
    from refimpl.flow import piecewise

    right, count = piecewise._PiecewiseRun.step, iter(range(10**6))

    def interrupted(self, solver):
        if next(count) == 3:
            raise KeyboardInterrupt
        return right(self, solver)

    monkeypatch.setattr(piecewise._PiecewiseRun, "step", interrupted)
    out = tmp_path / "v.json"
    assert cli.main(["verify", "--data", data_file, *SMALL, "--json", str(out)]) == 130
    assert json.loads(out.read_text())["interrupted"]
    count = iter(range(10**6))
    path = tmp_path / "f.json"
    assert cli.main(["flow", "--data", data_file, *SMALL, "--json", str(path)]) == 130
    assert json.loads(path.read_text())["status"] == "INTERRUPTED"


@pytest.mark.parametrize("command", ["flow", "descend"])
def test_ctrl_c_while_drawing_leaves_out_the_picture_and_shows_the_table(
    command, data_file, tmp_path, monkeypatch, capsys
) -> None:
    from verification import plots

    def interrupted(*args) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, f"plot_{'flow' if command == 'flow' else 'descent'}", interrupted)
    picture, document = tmp_path / "p.png", tmp_path / "p.json"
    arguments = ["--data", data_file, *SMALL, "--plot", str(picture), "--json", str(document)]
    assert cli.main([command, *arguments]) == 130
    assert not picture.exists()
    assert json.loads(document.read_text())
    shown = capsys.readouterr()
    assert "loss" in shown.out
    assert f"drawing {picture} (Ctrl-C leaves it out)" in shown.err


def test_interrupted_descent_keeps_what_it_has(data_file, tmp_path, monkeypatch) -> None:
    from refimpl.descent import steps as descent

    right, count = descent._Step.__call__, iter(range(10**6))

    def interrupted(*args):
        if next(count) == 7:
            raise KeyboardInterrupt
        return right(*args)

    monkeypatch.setattr(descent._Step, "__call__", interrupted)
    out = tmp_path / "d.json"
    assert cli.main(["descend", "--data", data_file, *SMALL, "--steps", "50", "--json", str(out)]) == 130
    content = json.loads(out.read_text())
    assert content["status"] == "INTERRUPTED"
    assert content["trajectory"]["step"] == list(range(8))


def test_violated_and_inconclusive_exit_codes(data_file, monkeypatch) -> None:
    from verification.claims import report

    for verdict, code in (("VIOLATED", 1), ("INCONCLUSIVE", 3), ("HYPOTHESIS_NOT_MET", 0)):
        monkeypatch.setattr(
            "verification.claims.base.judge", lambda h, m, name=verdict: (report.Verdict[name], "on purpose")
        )
        assert cli.main(["verify", "--data", data_file, *SMALL]) == code


BAD_ARRAYS = {
    "NaN": ({"X": [[np.nan, 1.0], [0.0, 1.0]]}, "X"),
    "infinity": ({"X": [[np.inf, 1.0], [0.0, 1.0]]}, "X"),
    "labels 0 and 1": ({"y": [0.0, 1.0]}, "2*y - 1"),
    "labels 2": ({"y": [2.0, 1.0]}, "y"),
    "too few labels": ({"y": [1.0]}, "y"),
    "one axis": ({"X": [1.0, 2.0]}, "X"),
    "empty": ({"X": np.zeros((0, 2)), "y": []}, "X"),
    "zero row": ({"X": [[0.0, 0.0], [0.0, 1.0]]}, "zero row"),
    "contradiction": ({"X": [[0.0, 1.0], [0.0, 1.0]]}, "opposite labels"),
    "objects": ({"X": np.array([["a", 1], [2, 3]], dtype=object)}, "pickled objects"),
    "text": ({"X": np.array([["a", "b"], ["c", "d"]])}, "real numbers"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_arrays(name, tmp_path, capsys) -> None:
    changes, word = BAD_ARRAYS[name]
    path = tmp_path / "bad.npz"
    np.savez(path, **{"X": np.eye(2), "y": np.array([1.0, -1.0]), **changes})
    assert word in fails(capsys, "verify", "--data", str(path))


def test_bad_files(tmp_path, capsys, data_file) -> None:
    assert "no such file" in fails(capsys, "verify", "--data", str(tmp_path / "none.npz"))
    (tmp_path / "data.txt").write_text("1,2,1\n")
    assert ".npz, .csv, " in fails(capsys, "verify", "--data", str(tmp_path / "data.txt"))
    whole = (tmp_path / "data.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    assert "not a complete" in fails(capsys, "flow", "--data", str(tmp_path / "cut.npz"))
    (tmp_path / "words.csv").write_text("1,2,1\n3,x,-1\n")
    assert "line 2" in fails(capsys, "verify", "--data", str(tmp_path / "words.csv"))
    assert "no such file" in fails(capsys, "kkt", "--data", data_file, "--weights", str(tmp_path / "W.npy"))
    np.save(tmp_path / "W.npy", np.ones((2, 3)))
    sentence = fails(capsys, "kkt", "--data", data_file, *SMALL, "--weights", str(tmp_path / "W.npy"))
    assert "`W`" in sentence


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["verify", "--slope", "1.5"], "slope"),
        (["verify", "--slope", "nan"], "slope"),
        (["verify", "--seed", "-1"], "seed"),
        (["flow", "--seed", "-1"], "seed"),
        (["verify", "--preset", "nothing"], "preset"),
        (["verify", "--loss", "hinge"], "loss"),
        (["verify", "--method", "magic"], "method"),
        (["verify", "--positive", "-1"], "positive"),
        (["verify", "--positive", "0", "--negative", "0"], "`--positive + --negative`"),
        (["verify", "--init-scales", "1,2"], "scales"),
        (["verify", "--init-scales", "1,x,3"], "init-scales"),
        (["flow", "--max-time", "0"], "`--max-time`"),
        (["flow", "--init-scale", "-1"], "scale"),
        (["descend", "--step-size", "0"], "`--step-size`"),
        (["descend", "--step-size", "inf"], "`--step-size`"),
        (["descend", "--steps", "0"], "steps"),
        (["descend", "--steps", "1000000000000"], "steps"),
        (["descend", "--steps", "1000000000", "--record-every", "1"], "`--record-every`"),
        (["descend", "--smoothness", "0"], "smoothness"),
        (["certify", "--slope", "1/0"], "slope"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_options(arguments, word, capsys) -> None:
    assert word in fails(capsys, *arguments)


def test_networks_of_python_users_are_checked_too() -> None:
    with pytest.raises(ValueError, match="second_layer"):
        TwoLayerNetwork([1.0, 0.0], LeakyReLU(0.5))


def test_two_outputs_with_one_path_are_refused_before_the_work(data_file, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(verify_command, "verify", lambda *args, **options: pytest.fail("worked before looking"))
    out = str(tmp_path / "a.json")
    for more in ([], ["--force"]):
        sentence = fails(capsys, "verify", "--data", data_file, "--json", out, "--save", out, *more)
        assert "--json and --save are the same file" in sentence
        sentence = fails(capsys, "verify", "--data", data_file, "--save", data_file, *more)
        assert "it is the input --data" in sentence
    assert not (tmp_path / "a.json").exists()
    assert Dataset(**np.load(data_file)).n == 2


def test_counterexamples_and_json_are_not_one_file(tmp_path, capsys) -> None:
    out = tmp_path / "found"
    arguments = ["search", "--tries", "1", "--out", str(out), "--json", str(out / "rank-closest.csv")]
    assert "are the same file" in fails(capsys, *arguments)


@pytest.mark.parametrize(
    ("name", "start"), [("f.png", b"\x89PNG"), ("f.PDF", b"%PDF-"), ("f.svg", b"<?xml"), ("g.SVG", b"<?xml")]
)
def test_a_picture_is_of_the_kind_of_its_name(data_file, tmp_path, name, start) -> None:
    assert cli.main(["flow", "--data", data_file, *SMALL, "--plot", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["f.jpg", "f", "f.png.gz"])
def test_pictures_of_other_kinds_are_refused_before_the_work(data_file, tmp_path, capsys, monkeypatch, name) -> None:
    monkeypatch.setattr("verification.commands.flow.gradient_flow", lambda *args, **options: pytest.fail("worked"))
    assert "must end in .png, .svg, .pdf" in fails(capsys, "flow", "--data", data_file, "--plot", str(tmp_path / name))


def test_an_output_that_fails_takes_no_other_with_it(data_file, tmp_path, capsys, monkeypatch) -> None:
    """The disk is full for two of four outputs; the others are written, and the table is printed."""
    from verification.claims import report

    def full(path, force):
        raise OutputFileError(path, "No space left on device")

    monkeypatch.setattr(report.Report, "save", lambda self, path, force: full(path, force))
    monkeypatch.setattr("verification.commands.delivery._write_json", lambda path, force, text: full(path, force))
    page, saved, out = tmp_path / "r.html", tmp_path / "r.npz", tmp_path / "r.json"
    outputs = ["--json", str(out), "--save", str(saved), "--html", str(page)]
    assert cli.main(["verify", "--data", data_file, *SMALL, *outputs]) == 2
    captured = capsys.readouterr()
    assert " claims in " in captured.out
    assert "flow-limit-is-kkt" in page.read_text()
    for path in (out, saved):
        assert f"`{path}`: No space left on device" in captured.err


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize(
    "command", ["max-margin --json OUT", "vectors list", "vectors export OUT", "max-margin --json -"]
)
def test_standard_output_that_fails(tmp_path, command, redirection) -> None:
    out = tmp_path / "out"
    line = f"{sys.executable} -m verification.cli {command.replace('OUT', str(out))} {redirection}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("implicit-bias: error: cannot write `standard output`: ")
    assert out.exists() == ("OUT" in command)


def test_places_where_no_cases_can_be_written(tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "none" / "none")
    for name, why in [
        ("file", "it is not a folder"),
        ("dangling", "it is not a folder"),
        ("file/inside", "[Nn]ot a directory"),
        ("a" * 256, "too long"),
        ("/proc/none", "No such file|not writable|denied"),
    ]:
        folder = name if name.startswith("/") else str(tmp_path / name)
        assert re.search(why, fails(capsys, "vectors", "export", folder))
        if not name.startswith("/"):
            assert re.search(f"{why}|there is no folder", fails(capsys, "search", "--tries", "1", "--out", folder))


def test_inputs_that_are_never_waited_for(data_file, tmp_path, capsys) -> None:
    for name in ("a.csv", "a.npz", "a.npy", "a.json", "a.txt"):
        os.mkfifo(tmp_path / name)
    for arguments in (
        ["verify", "--data", "a.csv"],
        ["verify", "--data", "a.npz"],
        ["kkt", "--data", data_file, "--weights", "a.npy"],
        ["certify", "--data", data_file, "--check", "a.json"],
        ["conformance", "--implementation", "numpy", "--skips", "a.txt"],
    ):
        paths = [str(tmp_path / word) if word.startswith("a.") else word for word in arguments]
        assert "it is a FIFO, and only regular files are read" in fails(capsys, *paths)
    assert "no such file" in fails(capsys, "certify", "--data", data_file, "--check", str(tmp_path / "none.json"))


IRIS = "Id;length;width;species\n1;5,1;1,4;setosa\n2;7,0;4,7;versicolor\n3;6,3;6,0;virginica\n4;4,9;1,3;setosa\n"


def test_a_table_as_people_have_it(tmp_path, capsys) -> None:
    path = tmp_path / "[bold]iris.csv"
    path.write_text(IRIS)
    out = tmp_path / "o.json"
    arguments = ["verify", "--data", str(path), *SMALL, "--json", str(out)]
    assert "its labels are setosa, versicolor, virginica" in fails(capsys, *arguments)
    choices = ["--classes", "setosa", "versicolor", "--drop-column", "Id"]
    assert cli.main([*arguments, *choices]) in (0, 3)
    expected = Dataset([[5.1, 1.4], [7.0, 4.7], [4.9, 1.3]], [1, -1, 1])
    assert json.loads(out.read_text())["dataset"]["sha256"] == expected.sha256
    said = capsys.readouterr().err.splitlines()[0]
    assert said == (
        f"... read {path}: n = 3 samples, d = 2 features (length, width); labels in column 4 (species): "
        "2 x setosa -> +1, 1 x versicolor -> -1; the first line is a header; separated by semicolons; decimal comma; "
        "left out: column 1 (Id); left out: rows of other classes, 1 of virginica"
    )


@pytest.mark.parametrize("command", [["verify"], ["flow"], ["descend"], ["max-margin"], ["certify"], ["kkt"]])
def test_every_command_says_what_it_read_and_warns_of_an_index(tmp_path, capsys, command) -> None:
    (tmp_path / "a.csv").write_text(",a,b,y\n0,1,0.1,1\n1,0.1,1,-1\n2,1,0.2,1\n")
    np.save(tmp_path / "W.npy", np.ones((3, 3)))
    weights = ["--weights", str(tmp_path / "W.npy")] if command == ["kkt"] else []
    assert cli.main([*command, "--data", str(tmp_path / "a.csv"), *SMALL, *weights]) in (0, 1, 3)
    lines = capsys.readouterr().err.splitlines()
    assert "n = 3 samples, d = 3 features (column 1, a, b); labels in column 4 (y)" in lines[0]
    assert lines[1].startswith("implicit-bias: warning: column 1 counts 0, 1, 2, ... like an index; --drop-column")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--positive-label", "1"], "data"),
        (["--no-header"], "data"),
        (["--data", "DATA", "--label-column", "2"], "`--label-column`"),
        (["--data", "DATA", "--drop-column", "9"], "`--drop-column`"),
        (["--data", "DATA", "--classes", "1", "1"], "classes"),
        (["--data", "DATA", "--classes", "1"], "classes"),
    ],
)
def test_bad_choices(data_file, capsys, options, word) -> None:
    assert word in fails(capsys, "max-margin", *(data_file if word == "DATA" else word for word in options))
