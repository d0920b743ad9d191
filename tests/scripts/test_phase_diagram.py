"""The phase diagram at a small size, end to end; its numbers against a direct computation."""

from __future__ import annotations

import json

import numpy as np
import phase_diagram
import phase_drawing
import phase_flows
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from verification import check_hypotheses

SMALL = ["--samples", "4", "--places", "4,200", "--slopes", "0.1,0.9", "--seeds", "2", "--starts", "3", "--jobs", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("phase")
    assert phase_diagram.main([*SMALL, "--out", str(path)]) == 0
    return path


def test_files_and_numbers(folder, capsys) -> None:
    assert {path.name for path in folder.iterdir()} == {
        f"phase_dimension.{ending}" for ending in ("png", "svg", "json", "caption.txt")
    }
    document = json.loads((folder / "phase_dimension.json").read_text())
    rows = {(row["place"], row["slope"]): row for row in document["rows"]}
    assert rows[200.0, 0.9]["rank_at_most_two"] == 1.0
    assert rows[200.0, 0.9]["closed_form"] == 1.0
    assert rows[200.0, 0.9]["excess"] == pytest.approx(0.0, abs=1e-9)
    assert rows[4.0, 0.1]["rank_at_most_two"] < 1.0
    assert rows[4.0, 0.1]["excess"] > 1e-3
    assert rows[4.0, 0.1]["units_on_kinks"] > 0.0
    for point in document["data sets"]:  # section 5: where the condition holds there is one limit, the closed form
        if point["slacks"]["refined"] > 1.0:
            assert (point["closed_form"], point["different"]) == (1.0, 1)


def test_one_data_set_again(folder) -> None:
    document = json.loads((folder / "phase_dimension.json").read_text())
    point = next(x for x in document["data sets"] if (x["cell"]["place"], x["cell"]["slope"]) == (4.0, 0.1))
    cell = phase_flows.Cell(**point["cell"])
    network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.1))
    data = datasets.gaussian(4, 4, np.random.default_rng([cell.seed, 4]))
    assert check_hypotheses(network, data).refined.slack == pytest.approx(point["slacks"]["refined"])
    ranks = []
    for W0 in phase_flows.starts_of(network, data, 3, cell.seed):
        W = gradient_flow(network, data, W0).limit.weights()
        ranks.append(int(np.linalg.matrix_rank(W, tol=1e-8 * np.linalg.norm(W, 2))))
    assert max(ranks) == point["largest_rank"]
    assert np.mean(np.array(ranks) <= 2) == pytest.approx(point["rank_at_most_two"])


def test_existing_files_are_kept(folder, capsys) -> None:
    before = (folder / "phase_dimension.json").read_bytes()
    assert phase_diagram.main([*SMALL, "--out", str(folder)]) == 2
    assert "--force" in capsys.readouterr().err
    assert (folder / "phase_dimension.json").read_bytes() == before


def row(place: float, refined: float, **more):
    values = {"rank_at_most_two": 1.0, "closed_form": 1.0, "different": 1.0, "units_on_kinks": 0.0, "largest_rank": 2}
    slacks = {"refined": refined, "instance_wise": refined / 2, "paper": refined / 1000}
    return phase_flows.Row(n=4, place=place, slope=0.5, excess=None, **(values | more), **slacks)


def test_boundary_is_interpolated_in_the_logarithm() -> None:
    rows = [row(10.0, 0.5), row(40.0, 2.0)]
    assert phase_flows.boundary(rows, 0.5, "refined") == pytest.approx(20.0)
    assert phase_flows.boundary(rows, 0.5, "paper") is None
    assert phase_flows.boundary([row(0.0, 2.0), row(0.5, 0.5)], 0.5, "refined") == pytest.approx(0.25)


def test_last_place_stops_at_the_first_failure() -> None:
    rows = [row(40.0, 1.0), row(20.0, 1.0, rank_at_most_two=0.5), row(10.0, 1.0)]
    assert phase_drawing.last_place(rows, "rank_at_most_two") == "40"
    assert phase_drawing.last_place(rows[1:], "rank_at_most_two") == "-"


def test_correlation(tmp_path) -> None:
    options = ["--against", "correlation", "--samples", "4", "--places", "0,0.9", "--slopes", "0.3", "--seeds", "1"]
    assert phase_diagram.main([*options, "--starts", "2", "--jobs", "1", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "phase_correlation.json").read_text())["rows"]
    assert rows[0]["closed_form"] == 1.0
    assert rows[0]["refined"] > 1.0 > rows[1]["refined"]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--places", "0.5"], "--places"),
        (["--against", "correlation", "--places", "1.5"], "--places"),
        (["--samples", "x"], "--samples"),
        (["--places", "3", "--samples", "4"], "--places"),
        (["--starts", "0"], "--starts"),
    ],
)
def test_bad_options(options, word, tmp_path, capsys) -> None:
    assert phase_diagram.main([*options, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1


def test_the_legend_stands_below_the_maps(folder) -> None:
    rows = json.loads((folder / "phase_dimension.json").read_text())["rows"]
    figure = phase_drawing.figure_of([phase_flows.Row(**row) for row in rows], "dimension", 3)
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 <= min(axis.get_tightbbox().y0 for axis in figure.axes)
    assert [text.get_text() for text in legend.get_texts()] == [
        f"where the {name} condition begins to hold" for name in ("refined", "instance-wise", "paper's")
    ]
