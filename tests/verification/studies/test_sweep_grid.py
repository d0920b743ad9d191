"""The grid of a sweep: cells are the product, and bad grids are told at once."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError
from verification.studies.sweep_cells import cell_result, data_of
from verification.studies.sweep_grid import KEYS, MOST_CELLS, cells_of, read_grid
from verification.studies.sweep_run import sweep
from verification.studies.sweep_store import SweepCell

from .sweep_given import PLAIN


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
    assert SweepCell(one, "flow", "1").key == SweepCell(same, "flow", "1").key
    assert cell_result(one)["rank"] == 2
    (tmp_path / "data.csv").write_text("1.0,0.2,1\n0.0,1.0,-1\n")
    (other,) = cells_of({"data": "data.csv", "slope": 0.5, "width": 3}, tmp_path)
    assert SweepCell(other, "flow", "1").key != SweepCell(one, "flow", "1").key
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
    assert len({SweepCell(cell, "flow", "1").key for cell in cells}) == 1  # the same data, so one result
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
    assert len({SweepCell(cell, "descend", "1").key for cell in found}) == 3  # other numbers, another cell
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


def test_every_key_has_a_meaning_and_stands_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    for name, key in KEYS.items():
        assert key.meaning
        assert f"| `{name}` |" in text
