"""The example training loops: their files, audited, are what their recorders report."""

from __future__ import annotations

import json

import numpy as np
import pytest
import train_example

from verification import cli

SIZE = ["--samples", "12", "--dimension", "1500", "--steps", "40"]


@pytest.mark.parametrize("framework", ["pytorch", "jax"])
def test_a_run_is_trained_saved_and_audited(tmp_path, monkeypatch, capsys, framework) -> None:
    pytest.importorskip("torch" if framework == "pytorch" else "jax")
    if framework == "pytorch":
        pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    assert train_example.main(["--out", "run", "--framework", framework, *SIZE]) == 0
    assert "the network separates the data" in " ".join(capsys.readouterr().out.split())
    X, y = (np.load("run/data.npz")[name] for name in ("X", "y"))
    found = {}
    for kind in ("pt", "safetensors") if framework == "pytorch" else ("npz",):
        words = ["audit", "--data", "run/data.npz", "--weights", f"run/step*.{kind}", "--slope", "0.5", "--json", "-"]
        assert cli.main([*words, "--step-size", str(train_example.STEP_SIZE)]) == 0
        found[kind] = json.loads(capsys.readouterr().out)
    first = next(iter(found.values()))
    assert [row["step"] for row in first["checkpoints"]] == [0, 1, 3, 10, 30, 40]
    if framework == "pytorch":
        same = [[row | {"name": ""} for row in document["checkpoints"]] for document in found.values()]
        assert same[0] == same[1]
        import torch

        state = torch.load("run/step40.pt", weights_only=True)
        W, a = state["0.weight"].numpy().astype(float), state["2.weight"].numpy()[0].astype(float)
    else:
        W, a = (np.load("run/step40.npz")[name].astype(float) for name in ("W", "second_layer"))
    last, sigma, Z = first["checkpoints"][-1], np.linalg.svd(W, compute_uv=False), W @ X.T
    margins = y * (a @ np.maximum(0.5 * Z, Z))
    assert last["stable_rank"] == pytest.approx(np.sum(sigma**2) / sigma[0] ** 2, rel=1e-12)
    assert last["margins"] == pytest.approx(margins.tolist(), rel=1e-12)
    rows = {row["id"]: row for row in first["claims"]}
    assert rows["descent-stable-rank-bounded"]["verdict"] == "HOLDS_NUMERICALLY"
    assert rows["descent-converges"]["hypothesis"]["satisfied"]
    assert rows["descent-converges"]["conclusion"] == "HOLDS"


def test_files_are_not_overwritten(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data.npz").write_bytes(b"mine")
    assert train_example.main(["--out", "run", *SIZE]) == 2
    assert "the file exists" in capsys.readouterr().err
    assert (tmp_path / "run" / "data.npz").read_bytes() == b"mine"
