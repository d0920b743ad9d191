"""Sweeps: the grid, the cells, the store, the table, the command; `test_sweep_kills.py` kills them."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from refimpl.descent import gradient_descent_in_weight_space
from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError, OutputFileError, RunInterrupted
from verification import cli, verify
from verification.commands.sweep import exit_code
from verification.studies import sweep_cells, sweep_store, sweep_workers
from verification.studies.sweep_cells import cell_result, data_of
from verification.studies.sweep_grid import KEYS, MOST_CELLS, cells_of, read_grid
from verification.studies.sweep_run import sweep
from verification.studies.sweep_store import Cell, Store

PLAIN = {"data": "gaussian", "samples": 4, "dimension": 60, "slope": 0.5, "positive": 2, "negative": 1}

# --- the grid --------------------------------------------------------------------------------------------------------


def test_cells_are_the_product() -> None:
    grid = PLAIN | {"slope": [0.1, 0.5], "seed": {"start": 2, "stop": 9, "step": 3}, "init_scale": [1.0, 2]}
    cells = cells_of(grid)
    found = [(cell["slope"], cell["seed"], cell["init_scale"]) for cell in cells]
    assert sorted(found) == sorted(itertools.product([0.1, 0.5], [2, 5, 8], [1.0, 2.0]))
    assert all(isinstance(cell["init_scale"], float) for cell in cells)


def test_ranges_with_a_count() -> None:
    (first, *_, last) = cells_of(PLAIN | {"init_scale": {"start": 1e-4, "stop": 1.0, "count": 5, "log": True}})
    assert (first["init_scale"], last["init_scale"]) == (1e-4, 1.0)
    widths = cells_of({**PLAIN, "dimension": {"start": 10, "stop": 1000, "count": 3, "log": True}})
    assert [cell["dimension"] for cell in widths] == [10, 100, 1000]


def test_settings_that_a_cell_has_no_use_for_are_left_out() -> None:
    grid = PLAIN | {"data": ["gaussian", "correlated"], "correlation": [0.1, 0.2], "norm_ratio": [1.0, 2.0, 3.0]}
    cells = cells_of(grid)
    assert [cell.get("correlation") for cell in cells if cell["data"] == "gaussian"] == [None] * 3
    assert [cell.get("norm_ratio") for cell in cells if cell["data"] == "correlated"] == [None] * 2


def test_equal_values_are_one_cell() -> None:
    assert len(cells_of(PLAIN | {"slope": [0.5, 0.50, 1, 1.0]})) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"slop": 0.5}, "did you mean `slope`?"),
        ({"xyz": 0.5}, "they are what, data"),
        ({"slope": 1.5}, "`grid.slope` must lie in [0, 1]; got 1.5."),
        ({"slope": [0.5, "a"]}, "`grid.slope` must be a real number; got 'a'."),
        ({"slope": []}, "`grid.slope` must hold at least one value; got []."),
        ({"slope": {"start": 0.1, "stop": 0.5}}, "`grid.slope` must have a count"),
        ({"slope": {"from": 0.1}}, "`grid.slope` must be a value, a list, {start, stop}"),
        ({"seed": {"start": 3, "stop": 3}}, "`grid.seed` must have a stop above its start"),
        ({"seed": -1}, "`grid.seed` must be a whole number, at least 0; got -1."),
        ({"seed": True}, "`grid.seed` must be a whole number"),
        ({"width": 4}, "`grid.width` must be left out where positive or negative are given; got 4."),
        ({"data": "gausian"}, "did you mean gaussian?"),
        ({"data": 3}, "`grid.data` must be one of gaussian"),
        ({"correlation": 0.5}, "`grid.correlation` must be left out"),
        ({"data": "correlated"}, "`grid.correlation` must be given"),
        ({"what": "verfy"}, "`grid.what` must be one of flow, descend, verify; got 'verfy'."),
        ({"claim": "flow-zero-loss"}, "`grid.claim` must be left out"),
        ({"what": "verify", "claim": "zero"}, "`grid.claim` must be one of flow-zero-loss"),
        ({"what": "verify", "claim": "flow-zero-loss,zero"}, "`grid.claim` must be one of flow-zero-loss"),
        ({"what": "verify", "claim": 3}, "`grid.claim` must be one of flow-zero-loss"),
        ({"claims": "flow-zero-loss"}, "did you mean `claim`?"),
        ({"loss": "hing"}, "`grid.loss` must be one of logistic, exponential, hinge; got 'hing'."),
        ({"loss": "hinge"}, "`grid.loss` must be logistic or exponential for what = 'flow'; got 'hinge'."),
        ({"what": ["descend", "verify"], "steps": 5}, "`grid.steps` must be at least 10 for what = 'verify'; got 5."),
        ({"what": "descend", "method": "adaptive"}, "`grid.method` must be left out"),
        ({"steps": 5}, "`grid.steps` must be left out"),
        ({"seed": {"start": 0, "stop": 10**15}, "samples": [4, 5]}, f"`grid` must have at most {MOST_CELLS} cells"),
        ({"slope": {"start": 0, "stop": 1, "count": 10**12}}, f"`grid.slope.count` must be at most {MOST_CELLS}"),
    ],
)
def test_bad_grids_are_told_in_one_sentence_at_once(change, words) -> None:
    began = time.perf_counter()
    with pytest.raises(InvalidParameterError) as error:
        cells_of(PLAIN | change)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert time.perf_counter() - began < 5.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[grid", "it is not TOML"),
        ("", "no table [grid]"),
        ("grid = 3", "no table [grid]"),
        ("[grid]\n[girds]", "the table [grid] only, not `girds`"),
        ('[grid]\nslope = 0.5\ndata = "missing.csv"', "there is no such file"),
    ],
)
def test_bad_files_are_told_in_one_sentence(text, words, tmp_path) -> None:
    (tmp_path / "grid.toml").write_text(text)
    with pytest.raises(FileFormatError) as error:
        read_grid(tmp_path / "grid.toml")
    assert words in str(error.value)


def test_files_of_data_are_sought_from_the_grid_and_known_by_their_content(tmp_path, monkeypatch) -> None:
    (tmp_path / "data.csv").write_text("1.0,0.1,1\n0.0,1.0,-1\n")
    (tmp_path / "same.csv").write_text("1.0,0.10,1\n0.0,1.0,-1\n")
    (tmp_path / "grid.toml").write_text('[grid]\ndata = ["data.csv", "same.csv"]\nslope = 0.5\nwidth = 3\n')
    monkeypatch.chdir("/")
    one, same = read_grid(tmp_path / "grid.toml")
    assert Cell(one, "flow", "1").key == Cell(same, "flow", "1").key
    assert cell_result(one)["rank"] == 2
    (tmp_path / "data.csv").write_text("1.0,0.2,1\n0.0,1.0,-1\n")
    (other,) = cells_of({"data": "data.csv", "slope": 0.5, "width": 3}, tmp_path)
    assert Cell(other, "flow", "1").key != Cell(one, "flow", "1").key
    with pytest.raises(FileFormatError, match="not what it was"):
        cell_result(one | {"data_sha256": "0" * 64})


def written(folder: Path) -> dict[str, str]:
    """The same two samples in files of which each needs an option, by the value of `data` in TOML."""
    X, y = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([1.0, -1.0])
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    (folder / "names.csv").write_text("id,a,b,kind\n7,1.0,0.1,cat\n8,0.0,1.0,dog\n9,5.0,5.0,fish\n")
    (folder / "first.csv").write_text("1,1.0,0.1\n0,0.0,1.0\n")
    (folder / "plain.csv").write_text("1.0,0.1,1\n0.0,1.0,-1\n")
    return {
        "labels": '{file = "X.npy", labels = "y.npy"}',
        "classes": '{file = "names.csv", classes = ["cat", "dog"], drop_column = "id", label_column = "kind"}',
        "numbers": '{file = "first.csv", label_column = 1, positive_label = 1, header = false, drop_column = []}',
        "no options": '{file = "plain.csv"}',
        "name alone": '"plain.csv"',
    }


def test_data_are_read_in_every_way_in_which_verify_reads_them(tmp_path) -> None:
    ways = written(tmp_path)
    (tmp_path / "grid.toml").write_text(f"[grid]\ndata = [{', '.join(ways.values())}]\nslope = 0.5\nwidth = 3\n")
    cells = read_grid(tmp_path / "grid.toml")
    assert len(cells) == len(ways) - 1  # a table without options is the name alone
    assert len({Cell(cell, "flow", "1").key for cell in cells}) == 1  # the same data, so one result
    assert [cell_result(cell)["rank"] for cell in cells] == [2] * len(cells)
    assert sweep(cells, None, jobs=1).counts == {"done": 1}
    assert cells[0]["read"] == {"labels": str(tmp_path / "y.npy")}


def test_data_are_prepared_as_verify_prepares_them(tmp_path) -> None:
    """Columns (1, 0), (0.1, 1) become ±1, and the two samples opposite; in the order of the steps, not of the table."""
    written(tmp_path)
    ways = ["", ", standardize = false", ", standardize = true", ", add_bias = true, centre = true"]
    found = []
    for way in ways:
        grid = f'[grid]\ndata = {{file = "plain.csv"{way}}}\nslope = 0.5\nwidth = 3\nwhat = "descend"\nsteps = 1\n'
        (tmp_path / "grid.toml").write_text(grid)
        found += read_grid(tmp_path / "grid.toml")
    X = [data_of(cell).X.tolist() for cell in found]
    assert X[0] == X[1] == [[1.0, 0.1], [0.0, 1.0]]
    np.testing.assert_allclose(X[2], [[1.0, -1.0], [-1.0, 1.0]], rtol=1e-15)
    np.testing.assert_allclose(X[3], [[0.5, -0.45, 1.0], [-0.5, 0.45, 1.0]], rtol=1e-15)
    assert found[0] == found[1]
    assert len({Cell(cell, "descend", "1").key for cell in found}) == 3  # other numbers, another cell
    assert [cell_result(cell)["descent_status"] for cell in found] == ["FINISHED"] * 4


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('{labels = "y.npy"}', "`grid.data.file` must be given"),
        ('{file = "a.csv", lables = "y.npy"}', "`grid.data` must hold file, labels, header"),
        ('{file = "a.csv", classes = ["a"]}', "`grid.data.classes` must be two labels"),
        ('{file = "a.csv", header = 1}', "`grid.data.header` must be true or false"),
        ('{file = "a.csv", standardize = 1}', "`grid.data.standardize` must be true or false"),
        ('{file = "a.csv", label_column = true}', "`grid.data.label_column` must be"),
        ('{file = "X.npy"}', "labels"),
        ('[{file = "X.npy", labels = "missing.npy"}]', "missing.npy"),
        ("{start = 0, stop = 3}", "`grid.data` must hold file"),
    ],
)
def test_a_bad_table_of_data_is_told_in_one_sentence(table, words, tmp_path) -> None:
    written(tmp_path)
    (tmp_path / "grid.toml").write_text(f"[grid]\ndata = {table}\nslope = 0.5\n")
    with pytest.raises(ImplicitBiasError) as error:
        read_grid(tmp_path / "grid.toml")
    assert words in str(error.value)


# --- cells -----------------------------------------------------------------------------------------------------------


def test_a_cell_is_the_flow_of_its_settings() -> None:
    (cell,) = cells_of(PLAIN | {"dimension": 5, "slope": 0.1, "seed": 3, "start": 2, "init_scale": 0.5})
    data = datasets.gaussian(4, 5, np.random.default_rng([3, 0]))
    W0 = 0.5 / np.linalg.norm(data.X, axis=1).max() * np.random.default_rng([3, 1, 2]).standard_normal((3, 5))
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.1))
    W = gradient_flow(network, data, W0).limit.weights()
    found = cell_result(cell)
    assert found["rank"] == np.linalg.matrix_rank(W, tol=1e-8 * np.linalg.norm(W, 2))
    assert found["objective"] == pytest.approx(0.5 * np.sum(W**2), rel=1e-9)
    assert found["stable_rank"] == pytest.approx(np.sum(W**2) / np.linalg.norm(W, 2) ** 2, rel=1e-9)
    z = data.X @ W.T
    margins = data.y * (np.where(z > 0, z, 0.1 * z) @ network.second_layer)
    assert found["largest_margin"] == pytest.approx(margins.max() / margins.min(), rel=1e-9)
    assert cell_result(cell) == found


def test_a_cell_is_what_the_command_finds(tmp_path, capsys) -> None:
    rows = np.random.default_rng(5).standard_normal((5, 7))
    np.savez(tmp_path / "data.npz", X=rows, y=[1, -1, 1, -1, 1])
    (cell,) = cells_of({"data": "data.npz", "slope": 0.2, "width": 3, "seed": 4}, tmp_path)
    words = ["flow", "--data", str(tmp_path / "data.npz"), "--slope", "0.2", "--positive", "2", "--negative", "1"]
    assert cli.main([*words, "--seed", "4", "--json", str(tmp_path / "flow.json")]) == 0
    flow = json.loads((tmp_path / "flow.json").read_text())
    assert cell_result(cell)["s"] == flow["final"]["s"]


def test_a_cell_that_verifies() -> None:
    (cell,) = cells_of(PLAIN | {"what": "verify", "seed": 1, "steps": 20})
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    report = verify(network, datasets.gaussian(4, 60, np.random.default_rng([1, 0])), seed=1, descent_steps=20)
    found = cell_result(cell | {"claim": "flow-rank-at-most-two"})
    (row,) = (row for row in report.claims if row.id == "flow-rank-at-most-two")
    assert found["verdict"] == {row.id: row.verdict.name}
    assert found["value"] == {row.id: row.measurement.value}
    assert found["violated"] == 0


def test_a_cell_computes_only_the_claims_that_are_asked_for(monkeypatch) -> None:
    grid = PLAIN | {"what": "verify", "claim": "slope-one-is-svm, max-margin-interpolates,slope-one-is-svm"}
    (cell,) = cells_of(grid)
    assert cell["claim"] == "max-margin-interpolates,slope-one-is-svm"
    monkeypatch.setattr("verification.claims.evidence.gradient_flow", None)  # whoever follows a flow fails
    found = cell_result(cell | {"claim": "max-margin-interpolates"})
    assert found["verdict"] == {"max-margin-interpolates": "HOLDS_NUMERICALLY"}
    with pytest.raises(TypeError, match="not callable"):
        cell_result(cell)


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
def test_a_cell_is_the_descent_of_its_settings(loss) -> None:
    """Against the plain loop in weight space and singular values of W."""
    grid = PLAIN | {"what": "descend", "dimension": 5, "seed": 3, "start": 2, "init_scale": 0.5, "steps": [1, 17]}
    data = datasets.gaussian(4, 5, np.random.default_rng([3, 0]))
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    W0 = 0.5 / np.linalg.norm(data.X, axis=1).max() * np.random.default_rng([3, 1, 2]).standard_normal((3, 5))
    for cell in cells_of(grid | {"step_size": 0.3, "loss": loss}):
        found = cell_result(cell)
        W = gradient_descent_in_weight_space(network, data, W0, 0.3, cell["steps"], loss)
        q = network.margins(W, data)
        losses = np.log1p(np.exp(-q)) if loss == "logistic" else np.exp(-q)
        for name, V in {"stable_rank": W, "increment_stable_rank": W - W0, "initial_stable_rank": W0}.items():
            assert found[name] == pytest.approx(np.sum(V**2) / np.linalg.norm(V, 2) ** 2, rel=1e-9)
        sigma = np.linalg.svd(W, compute_uv=False)
        assert found["third_ratio"] == pytest.approx(sigma[2] / sigma[0], rel=1e-9)
        assert found["log_loss"] == pytest.approx(np.log(losses.mean()), rel=1e-9)
        assert found["smallest_margin"] == pytest.approx(q.min(), rel=1e-9)
        assert (found["step"], found["descent_status"]) == (cell["steps"], "FINISHED")
        assert found["rank"] == 3


def test_a_descent_cell_is_what_the_command_finds(tmp_path) -> None:
    rows = np.random.default_rng(5).standard_normal((5, 7))
    np.savez(tmp_path / "data.npz", X=rows, y=[1, -1, 1, -1, 1])
    (cell,) = cells_of({"what": "descend", "data": "data.npz", "slope": 0.2, "width": 3, "seed": 4}, tmp_path)
    words = ["descend", "--data", str(tmp_path / "data.npz"), "--slope", "0.2", "--positive", "2", "--negative", "1"]
    assert cli.main([*words, "--seed", "4", "--json", str(tmp_path / "descent.json")]) == 0
    path = json.loads((tmp_path / "descent.json").read_text())["trajectory"]
    found = cell_result(cell)
    assert found["step"] == path["step"][-1] == 300
    for name in ("stable_rank", "increment_stable_rank", "smallest_margin", "log_loss"):
        assert found[name] == path[name][-1]


def test_hinge_descents_end(tmp_path) -> None:
    """Section 17: the loss is 0 after finitely many steps, and its logarithm -inf, in the files too."""
    cells = cells_of(PLAIN | {"what": "descend", "loss": "hinge", "steps": 400})
    found = sweep(cells, tmp_path / "s", jobs=1)
    (row,) = found.rows()
    assert row["log_loss"] == -np.inf
    assert row["smallest_margin"] >= 1.0
    assert next(iter(csv.DictReader(found.to_csv().splitlines())))["log_loss"] == "-inf"


def test_every_key_has_a_meaning_and_stands_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    for name, key in KEYS.items():
        assert key.meaning
        assert f"| `{name}` |" in text


# --- the store -------------------------------------------------------------------------------------------------------


def cell(k: int) -> Cell:
    return Cell({"k": k}, "test", "1")


def test_a_cell_is_one_store_s_at_a_time(tmp_path) -> None:
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        assert one.claim([cell(1), cell(2)]) == [cell(1), cell(2)]
        assert other.claim([cell(1), cell(2), cell(3)]) == [cell(3)]
        one.finish(cell(1), "{}", 0.1)
        one.release()
        assert other.claim([cell(1), cell(2)]) == [cell(2)]
        other.finish(cell(1), '{"late": 1}', 0.2)
        assert one.record(cell(1)).result == "{}"


def test_a_claim_whose_lease_has_run_out_is_anybody_s(tmp_path, monkeypatch) -> None:
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        monkeypatch.setattr(sweep_store, "LEASE", 0.2)
        one.claim([cell(1), cell(2)])
        with one.renewed():
            time.sleep(0.5)
            assert other.claim([cell(1)]) == []
        time.sleep(0.3)
        assert other.claim([cell(1), cell(2)]) == [cell(1), cell(2)]
        one.fail(cell(1), "late", 0.1)
        assert other.record(cell(1)) is None  # it is the other's to decide
        one.finish(cell(2), "{}", 0.1)
        other.fail(cell(2), "later", 0.1)
        assert other.record(cell(2)).status == "done"


def test_a_claim_of_a_process_that_has_ended_is_anybody_s(tmp_path) -> None:
    script = f"""
import os
from verification.studies.sweep_store import Cell, Store
Store({str(tmp_path / "s")!r}).claim([Cell({{"k": 1}}, "test", "1")])
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    with Store(tmp_path / "s") as store:
        assert store.record(cell(1)) is None
        assert store.claim([cell(1)]) == [cell(1)]


def test_a_failed_cell_keeps_its_error_until_it_is_retried(tmp_path) -> None:
    with Store(tmp_path / "s") as store:
        store.claim([cell(1)])
        store.fail(cell(1), "no limit", 0.5)
        assert store.claim([cell(1)]) == []
        assert store.claim([cell(1)], retry_failed=True) == [cell(1)]
        store.release()
        assert store.record(cell(1)).error == "no limit"


def test_a_store_that_is_something_else_is_left_as_it_is(tmp_path) -> None:
    (tmp_path / "text").write_text("notes\n" * 1000)
    with contextlib.closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE mine (x)")
        other.commit()
    (tmp_path / "folder").mkdir()
    for name, words in {"text": "no store", "other": "another program", "folder": "a folder"}.items():
        before = (tmp_path / name).read_bytes() if name != "folder" else b""
        with pytest.raises(FileFormatError, match=words):
            Store(tmp_path / name)
        assert name == "folder" or (tmp_path / name).read_bytes() == before
    with pytest.raises(OutputFileError, match="no folder"):
        Store(tmp_path / "missing" / "s")


def test_the_file_is_plain_sqlite(tmp_path) -> None:
    sweep([{"x": 2}], tmp_path / "s.sqlite", lambda one: {"square": one["x"] ** 2}, "squares", jobs=1)
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as found:
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        row = found.execute("SELECT work, settings, status, result FROM cells").fetchone()
    assert row == ("squares", '{"x": 2}', "done", '{"square": 4}')


# --- the sweep -------------------------------------------------------------------------------------------------------


class Counting:
    """Work that counts its calls; fails where `fails` says so, and presses Ctrl-C in one call."""

    def __init__(self, fails=lambda x: False, pressed=0):
        self.calls, self.fails, self.pressed = [], fails, pressed

    def __call__(self, settings):
        self.calls.append(settings["x"])
        if len(self.calls) == self.pressed:
            raise KeyboardInterrupt
        if self.fails(settings["x"]):
            raise ImplicitBiasError(f"{settings['x']} is odd.")
        return {"square": settings["x"] ** 2, "infinite": float("inf")}


CELLS = [{"x": x} for x in range(6)]


def test_failed_cells_are_kept_and_retried_on_demand(tmp_path) -> None:
    odd, even = Counting(lambda x: x % 2), Counting()
    told = []
    first = sweep(CELLS, tmp_path / "s", odd, jobs=1, progress=lambda *counts: told.append(counts))
    assert first.counts == {"done": 3, "failed": 3}
    assert first.cells[3].error == "3 is odd."
    assert told[-1] == (3, 3, 6)
    assert sweep(CELLS, tmp_path / "s", even, jobs=1) == first
    assert even.calls == []
    again = sweep(CELLS, tmp_path / "s", even, jobs=1, retry_failed=True)
    assert even.calls == [1, 3, 5]
    assert again.counts == {"done": 6}
    assert again.cells[5].result == {"square": 25, "infinite": float("inf")}


def test_other_work_and_another_version_are_other_cells(tmp_path, monkeypatch) -> None:
    work = Counting()
    sweep(CELLS[:1], tmp_path / "s", work, "one", jobs=1)
    sweep(CELLS[:1], tmp_path / "s", work, "two", jobs=1)
    monkeypatch.setattr("verification.studies.sweep_run.package_version", lambda: "99")
    monkeypatch.setattr(sweep_workers, "package_version", lambda: "99")
    sweep(CELLS[:1], tmp_path / "s", work, "two", jobs=1)
    assert work.calls == [0, 0, 0]


def test_a_worker_of_another_version_computes_nothing() -> None:
    outcome = sweep_workers.attempt(Counting(), {"x": 1}, "99")
    assert outcome.result is None
    assert "and not 99" in outcome.error


def test_ctrl_c_keeps_what_was_finished(tmp_path) -> None:
    with pytest.raises(RunInterrupted) as stop:
        sweep(CELLS, tmp_path / "s", Counting(pressed=3), jobs=1)
    assert stop.value.result.counts == {"done": 2, "missing": 4}
    rest = Counting()
    assert sweep(CELLS, tmp_path / "s", rest, jobs=1).counts == {"done": 6}
    assert rest.calls == [2, 3, 4, 5]


def test_unexpected_errors_are_kept_with_their_line() -> None:
    found = sweep(CELLS[:1], work=lambda settings: settings["y"], jobs=1)
    assert found.cells[0].error.startswith("KeyError: 'y' (test_sweep.py, line ")
    found = sweep(CELLS[:1], work=lambda settings: {"function": print}, jobs=1)
    assert "not JSON serializable" in found.cells[0].error


@pytest.mark.parametrize("options", [{"jobs": 0}, {"retry_failed": 1}, {"progress": 3}])
def test_bad_options(options) -> None:
    with pytest.raises(InvalidParameterError, match=f"`{next(iter(options))}`"):
        sweep(CELLS, **options)


def test_no_cells() -> None:
    with pytest.raises(InvalidParameterError, match="at least one cell"):
        sweep([])


def test_a_frame() -> None:
    pytest.importorskip("pandas")
    found = sweep(CELLS, work=Counting(lambda x: x == 1), jobs=1)
    frame = found.to_frame()
    assert list(frame.columns) == ["x", "status", "square", "infinite", "error", "seconds"]
    assert frame.loc[frame["status"] == "done", "square"].tolist() == [0, 4, 9, 16, 25]


# --- the command -----------------------------------------------------------------------------------------------------

GRID = """
[grid]
data = ["gaussian", "nearly_orthogonal"]
samples = 4
dimension = [3, 40]
slack = 1.25
slope = 0.5
width = 3
"""


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("grid.toml").write_text(GRID)
    return ["sweep", "grid.toml", "--store", "s.sqlite", "--jobs", "1"]


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


def test_cells_on_one_data_set_draw_it_once(monkeypatch) -> None:
    """And have the results of cells that are computed alone."""
    settings = {"what": "flow", "data": "gaussian", "samples": 3, "dimension": 60, "norm_ratio": 1.0, "seed": 0}
    settings |= {"slope": 0.5, "positive": 2, "negative": 1, "loss": "logistic", "method": "piecewise"}
    cells = [settings | {"init_scale": 0.01, "start": k, "slope": slope} for slope in (0.3, 0.5) for k in range(3)]
    drawn, draw = [], sweep_cells.data_of
    monkeypatch.setattr(sweep_cells, "data_of", lambda settings: drawn.append(1) or draw(settings))
    alone = []
    for cell in cells:
        sweep_cells._MANY.clear()
        alone.append(sweep_cells.cell_result(cell))
    assert len(drawn) == 6
    drawn.clear()
    sweep_cells._MANY.clear()
    assert [sweep_cells.cell_result(cell) for cell in cells] == alone
    assert len(drawn) == 1
    other = sweep_cells.cell_result(cells[0] | {"seed": 1})
    assert other != alone[0]
    assert len(drawn) == 2
