"""--data X.npy --labels y.npy, --memory, --write-weights, --write-vectors: samples in tiles on the command line."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest
from scipy import sparse

import refimpl.datasets
import refimpl.tiles.columns
import refimpl.validation
import verification.claims.evidence
import verification.claims.run
from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.tiles import NpyColumns, Plan
from verification import cli, kkt_residuals, max_margin
from verification.commands.options import memory_size

NETWORK = ["--slope", "0.5", "--positive", "2", "--negative", "2"]


@pytest.fixture
def big(tmp_path, monkeypatch):
    """The arguments that name 10 samples in 13 tiles of 64 columns, and the samples."""
    monkeypatch.setattr(refimpl.tiles.columns, "LARGEST_WIDTH", 64)
    monkeypatch.setattr(refimpl.dataset, "TILE_ENTRIES", 1000)
    X = np.random.default_rng(0).standard_normal((10, 800)) / np.sqrt(800.0)
    y = np.where(np.arange(10) % 2 == 0, 1, -1)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    return ["--data", str(tmp_path / "X.npy"), "--labels", str(tmp_path / "y.npy"), *NETWORK], Dataset(X, y)


def document(capsys, *arguments: str) -> dict:
    code = cli.main([*arguments, "--json", "-"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


def fails(capsys, *arguments: str) -> str:
    assert cli.main([*arguments]) == 2
    return capsys.readouterr().err


def test_verify_decides_the_same_as_of_the_array(big, tmp_path, capsys) -> None:
    arguments, data = big
    np.savez(tmp_path / "all.npz", X=data.X, y=data.y)
    found = document(capsys, "verify", *arguments)
    array = document(capsys, "verify", "--data", str(tmp_path / "all.npz"), *NETWORK)
    assert found["dataset"] == array["dataset"]
    assert found["dataset"]["d"] == 800
    assert [row["verdict"] for row in found["claims"]] == [row["verdict"] for row in array["claims"]]
    assert "HOLDS_CERTIFIED" in {row["verdict"] for row in found["claims"]}
    assert found["certificate"] == array["certificate"]
    assert document(capsys, "verify", *arguments, "--memory", "3MB")["conditions"] == found["conditions"]


def test_weights_and_vectors_are_written_tile_by_tile(big, tmp_path, capsys) -> None:
    arguments, data = big
    network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
    expected = max_margin(network, data)
    for command in ("flow", "max-margin"):
        path = tmp_path / f"{command}.npy"
        document(capsys, command, *arguments, "--write-weights", str(path))
        assert np.abs(np.load(path) - expected.weights()).max() < 1e-9
        assert document(capsys, "kkt", *arguments, "--weights", str(path))["stationarity"] < 1e-9
        assert kkt_residuals(network, data, np.load(path)).stationarity < 1e-9
    document(capsys, "max-margin", *arguments, "--write-vectors", str(tmp_path / "vuz.npy"))
    v, u, z = np.load(tmp_path / "vuz.npy")
    assert max(np.abs(v - expected.v).max(), np.abs(u - expected.u).max()) < 1e-9
    assert abs((data.y * (data.X @ z)).min() - 1.0) < 1e-9
    document(capsys, "descend", *arguments, "--steps", "20", "--write-weights", str(tmp_path / "W.npy"))
    assert np.load(tmp_path / "W.npy").shape == (4, 800)
    assert "the file exists" in fails(capsys, "flow", *arguments, "--write-weights", str(tmp_path / "W.npy"))


def test_vectors_of_an_array_are_written_too(tmp_path, capsys) -> None:
    found = document(capsys, "max-margin", "--preset", "small", "--write-vectors", str(tmp_path / "vuz.npy"))
    np.testing.assert_array_equal(np.load(tmp_path / "vuz.npy")[:2], [found["v"], found["u"]])


def test_sparse_samples_and_text(big, tmp_path, capsys) -> None:
    rng = np.random.default_rng(1)
    dense = np.where(rng.random((10, 800)) < 0.05, rng.standard_normal((10, 800)), 0.0)
    dense[:, 0] = np.arange(1.0, 11.0)
    X = sparse.csr_array(dense)
    sparse.save_npz(tmp_path / "S.npz", X)
    y = np.where(np.arange(10) % 2 == 0, 1, -1)
    rows = [" ".join(f"{k + 1}:{float(row[k])!r}" for k in np.flatnonzero(row)) for row in dense]
    (tmp_path / "S.svm").write_text("".join(f"{label:+d} {row}\n" for label, row in zip(y, rows, strict=True)))
    of_npz = document(capsys, "max-margin", "--data", str(tmp_path / "S.npz"), *big[0][2:])
    of_text = document(capsys, "max-margin", "--data", str(tmp_path / "S.svm"), *NETWORK)
    assert of_npz["objective"] == of_text["objective"] == max_margin_of(dense, y)
    assert of_npz["v"] is None


def test_a_certificate_of_samples_in_tiles_is_checked(big, tmp_path, capsys, monkeypatch) -> None:
    """It is the array's, byte for byte; samples that the checker has no memory for are bad input, no refusal."""
    arguments, data = big
    np.savez(tmp_path / "all.npz", X=data.X, y=data.y)
    for name, source in (("tiles.json", arguments), ("array.json", ["--data", str(tmp_path / "all.npz"), *NETWORK])):
        assert cli.main(["certify", *source, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "tiles.json").read_bytes() == (tmp_path / "array.json").read_bytes()
    capsys.readouterr()
    assert cli.main(["certify", *arguments, "--check", str(tmp_path / "tiles.json")]) == 0
    assert "accepted" in capsys.readouterr().out
    monkeypatch.setattr(refimpl.validation, "memory_limit", lambda: 1e6)
    assert "GiB of memory" in fails(capsys, "certify", *arguments, "--check", str(tmp_path / "tiles.json"))


def test_audit_says_the_same_as_of_the_array(big, tmp_path, capsys) -> None:
    """One W in the span of the samples, one beside it."""
    arguments, data = big
    np.savez(tmp_path / "all.npz", X=data.X, y=data.y)
    rng = np.random.default_rng(1)
    np.save(tmp_path / "W0.npy", rng.standard_normal((4, 800)))
    np.save(tmp_path / "W1.npy", np.array([[1.0], [1.0], [-1.0], [-1.0]]) * (rng.random((4, 10)) * data.y @ data.X))
    weights = ["--weights", str(tmp_path / "W0.npy"), str(tmp_path / "W1.npy")]
    found = document(capsys, "audit", *arguments, *weights)
    array = document(capsys, "audit", "--data", str(tmp_path / "all.npz"), *NETWORK, *weights)
    assert found["data"]["sha256"] == array["data"]["sha256"]
    assert [row["verdict"] for row in found["claims"]] == [row["verdict"] for row in array["claims"]]
    for k, names in enumerate(
        (["loss", "smallest_margin"], ["loss", "smallest_margin", "stationarity", "outside_span"])
    ):
        row, expected = found["checkpoints"][k], array["checkpoints"][k]
        assert row["rank"] == expected["rank"]
        assert [row[name] for name in names] == pytest.approx([expected[name] for name in names], rel=1e-9, abs=1e-12)


def test_the_clock_starts_when_the_samples_were_gone_through(big, monkeypatch) -> None:
    """Each tile of the passes for K and W0 takes 100 s of this clock, and nothing else any."""
    now = [0.0]

    def tile(done: int, count: int) -> None:
        now[0] += 100.0

    for module in (verification.claims.run, verification.claims.evidence):
        monkeypatch.setattr(module, "perf_counter", lambda: now[0])
    arguments, array = big
    home = NpyColumns(arguments[1])
    home.plan = Plan(progress=tile)
    data = Dataset(home, array.y)
    report = verification.verify(TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5)), data, time_limit=50.0)
    assert now[0] == 2600.0
    assert not any("time: the limit" in row.reason for row in report.claims)


def max_margin_of(X, y) -> object:
    found = max_margin(TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5)), Dataset(X, y)).objective
    return pytest.approx(found, rel=1e-10)


def test_what_cannot_be_is_one_sentence(big, tmp_path, capsys) -> None:
    arguments = big[0]
    for more, why in [
        (["--memory", "1kB"], "`--memory` must be at least"),
        (["--centre"], "held in memory for a preparation"),
        (["--save", str(tmp_path / "a.npz")], "--write-weights writes W"),
        (["--header"], "`--header` must go with a table"),
    ]:
        assert why in fails(capsys, "flow", *arguments, *more)
    assert "`--labels` must name a .npy file" in fails(capsys, "flow", *arguments[:2])
    assert "`--data` must be given" in fails(capsys, "flow", "--labels", arguments[3])
    assert "`--data` must be given" in fails(capsys, "flow", "--memory", "1GB")
    assert "are the same file" in fails(
        capsys, "max-margin", *arguments, "--write-weights", "a.npy", "--write-vectors", "a.npy"
    )
    np.save(tmp_path / "y.npy", np.ones(3))
    assert "one label for each row" in fails(capsys, "flow", *arguments)


def test_sizes_of_memory() -> None:
    assert [memory_size(text) for text in ("1GB", "2 GiB", "3k", "17")] == [10**9, 2**31, 3000, 17]
    for text in ("", "GB", "-1", "0", "1.2.3", "1e99", "1PB", "nan"):
        with pytest.raises(argparse.ArgumentTypeError):
            memory_size(text)
