"""`implicit-bias audit` from files to its outputs; errors in one sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest
from rich.console import Console

from refimpl import LeakyReLU, TwoLayerNetwork, datasets
from refimpl.errors import RunInterrupted
from verification import audit, cli
from verification.audits import measuring

N, D, M = 5, 120, 4
DATA = datasets.gaussian(N, D, np.random.default_rng(2))
A = np.array([0.5, -0.5, 0.5, -0.5])
NETWORK = TwoLayerNetwork(A, LeakyReLU(0.5))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Samples, and float32 checkpoints of descent from a small start at steps 0, 9 and 80."""
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", X=DATA.X, y=DATA.y)
    W = 0.01 * np.random.default_rng(0).standard_normal((M, D)).astype(np.float32)
    for step in range(81):
        if step in (0, 9, 80):
            np.savez(f"step{step}.npz", W=W, second_layer=A)
        W = (W - 4.0 * NETWORK.loss_and_gradient(W, DATA)[1]).astype(np.float32)
    return tmp_path


RUN = ["audit", "--data", "data.npz", "--weights", "step*.npz", "--slope", "0.5"]


def test_all_outputs(folder, capsys) -> None:
    outputs = ["--json", "a.json", "--plot", "a.png", "--html", "a.html", "--step-size", "4"]
    assert cli.main([*RUN, *outputs]) == 0
    shown = capsys.readouterr().out
    document = json.loads((folder / "a.json").read_text())
    assert [row["step"] for row in document["checkpoints"]] == [0, 9, 80]
    last, W = document["checkpoints"][-1], np.load("step80.npz")["W"].astype(np.float64)
    sigma = np.linalg.svd(W, compute_uv=False)
    assert last["stable_rank"] == pytest.approx(np.sum(sigma**2) / sigma[0] ** 2, rel=1e-12)
    assert last["smallest_margin"] == pytest.approx(NETWORK.margins(W, DATA).min(), rel=1e-12)
    assert last["format"] == "float32"
    assert document["data"]["n"] == N
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "a.html").read_text()
    for text in (" ".join(shown.split()), page):
        for word in ("argins and KKT residuals", "descent-stable-rank-bounded", "HOLDS_NUMERICALLY"):
            assert word in text
    assert " ".join(document["words"][0].split()) in " ".join(shown.split())
    assert cli.main([*RUN, *outputs]) == 2
    assert "--force" in capsys.readouterr().err


def test_tables_fit_a_hundred_columns_whatever_the_numbers(folder) -> None:
    W = np.load("step80.npz")["W"].astype(np.float64)
    run = {step: np.load(f"step{step}.npz")["W"] for step in (0, 9, 80)}
    report = audit(NETWORK, DATA, run | {1000000: -1e-7 * W, 2000000: 1e9 * W}, flow_time_limit=0, step_size=4.0)
    console = Console(width=100)
    with console.capture() as capture:
        console.print(report)
    lines = [line for line in capture.get().splitlines() if line[:1] in "┏┃┡│└+|"]
    assert len(lines) > 20
    assert max(map(len, lines)) <= 100
    assert not any("…" in line for line in lines)


def test_exit_codes_tell_where_it_ended(folder, capsys) -> None:
    assert cli.main([*RUN[:3], "--weights", "step0.npz", "--slope", "0.5"]) == 3
    assert "does not separate the data yet" in " ".join(capsys.readouterr().out.split())


def test_second_layer_by_options(folder, capsys) -> None:
    np.save("W.npy", np.load("step80.npz")["W"][[0, 2, 1, 3]])
    base = ["audit", "--data", "data.npz", "--weights", "W.npy", "--slope", "0.5"]
    assert cli.main([*base, "--positive", "2", "--negative", "2", "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)["checkpoints"][0]
    W = np.load("step80.npz")["W"].astype(np.float64)
    assert found["smallest_margin"] == pytest.approx(NETWORK.margins(W, DATA).min(), rel=1e-12)
    assert cli.main(base) == 2
    assert "--second-layer names it in the files, or --positive M1 --negative M2" in capsys.readouterr().err


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_what_was_measured_before_ctrl_c_is_kept(folder, capsys, monkeypatch, calls) -> None:
    """The last checkpoint is measured first."""
    follow, done = measuring.gradient_flow, []

    def until_pressed(*arguments, **options):
        if len(done) == calls:
            raise RunInterrupted("a flow")
        done.append(1)
        return follow(*arguments, **options)

    monkeypatch.setattr(measuring, "gradient_flow", until_pressed)
    assert cli.main([*RUN, "--json", "a.json"]) == 130
    assert "Traceback" not in capsys.readouterr().err
    if calls == 0:
        assert not (folder / "a.json").exists()
        return
    document = json.loads((folder / "a.json").read_text())
    assert [row["step"] for row in document["checkpoints"]] == [[80], [0, 80]][calls - 1]
    assert document["interrupted"]


def error_of(capsys, *words: str) -> str:
    """The one sentence of a command that is refused."""
    assert cli.main(list(words)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("...")]
    assert len(lines) == 1
    return lines[0]


def test_bad_input_gets_one_sentence(folder, capsys) -> None:
    base = ["audit", "--data", "data.npz", "--slope", "0.5", "--weights"]
    W = np.load("step80.npz")["W"]
    np.savez("nan7.npz", W=np.where(np.arange(D) == 3, np.nan, W), second_layer=A)
    np.savez("thin7.npz", W=W[:, :-1], second_layer=A)
    np.savez("short7.npz", W=W[:2], second_layer=A[:2])
    np.savez("other80.npz", W=W, second_layer=A)
    assert "`W of nan7.npz[0, 3]` must be finite; got nan" in error_of(capsys, *base, "step9.npz", "nan7.npz")
    assert "no matrix in it has d = 120 rows or columns" in error_of(capsys, *base, "thin7.npz")
    assert "`W of step80.npz` must have shape (2, 120), which short7.npz has" in error_of(
        capsys, *base, "step80.npz", "short7.npz"
    )
    assert "two are at one (step80.npz and other80.npz)" in error_of(capsys, *base, "step80.npz", "other80.npz")
    assert "no file fits this pattern" in error_of(capsys, *base, "none*.pt")
    assert "there is no such file" in error_of(capsys, *base, "none.pt")
    assert "it is the input --weights" in error_of(capsys, *base, "step80.npz", "--json", "step80.npz", "--force")
    assert "`--step-size` must be finite and at least 0" in error_of(capsys, *base, "step80.npz", "--step-size", "-1")
