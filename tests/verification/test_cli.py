"""The command `implicit-bias`: outputs, exit codes, and one sentence for each bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.flow import FlowResult
from verification import cli
from verification.claims import CLAIMS
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
    assert list(report)[:2] == ["schema_version", "dataset"]
    assert {"network", "environment", "claims"} <= set(report)
    assert report["dataset"]["sha256"] == Dataset(**GOOD).sha256
    assert {"python", "numpy", "blas", "scipy", "cvxpy", "solver"} <= set(report["environment"])
    fields = {"id", "title", "source", "hypothesis", "measured", "bound", "tolerance", "verdict", "seconds"}
    assert all(fields <= set(row) for row in report["claims"])
    html = (tmp_path / "r.html").read_text()
    assert all(claim.id in html for claim in CLAIMS)
    table = capsys.readouterr().out
    assert "17 claims" in table


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


def test_interrupted_descent_keeps_what_it_has(data_file, tmp_path, monkeypatch) -> None:
    from refimpl import descent

    right, count = descent._step, iter(range(10**6))

    def interrupted(*args):
        if next(count) == 7:
            raise KeyboardInterrupt
        return right(*args)

    monkeypatch.setattr(descent, "_step", interrupted)
    out = tmp_path / "d.json"
    assert cli.main(["descend", "--data", data_file, *SMALL, "--steps", "50", "--json", str(out)]) == 130
    content = json.loads(out.read_text())
    assert content["status"] == "INTERRUPTED"
    assert content["trajectory"]["step"] == list(range(8))


def test_violated_and_inconclusive_exit_codes(data_file, monkeypatch) -> None:
    from verification import report

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
    assert ".npz or .csv" in fails(capsys, "verify", "--data", str(tmp_path / "data.txt"))
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
        (["verify", "--positive", "0", "--negative", "0"], "positive + negative"),
        (["verify", "--init-scales", "1,2"], "scales"),
        (["verify", "--init-scales", "1,x,3"], "init-scales"),
        (["flow", "--max-time", "0"], "max_time"),
        (["flow", "--init-scale", "-1"], "scale"),
        (["descend", "--step-size", "0"], "step_size"),
        (["descend", "--step-size", "inf"], "step_size"),
        (["descend", "--steps", "0"], "steps"),
        (["descend", "--steps", "1000000000000"], "steps"),
        (["descend", "--steps", "1000000000", "--record-every", "1"], "record_every"),
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
