"""One cell of a sweep is what the commands find with the same settings."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from refimpl.descent import gradient_descent_in_weight_space
from verification import cli, verify
from verification.studies import sweep_cells
from verification.studies.sweep_cells import cell_result
from verification.studies.sweep_grid import cells_of
from verification.studies.sweep_run import sweep

from .sweep_given import PLAIN


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
