"""Cells, grids, the store and the state of a sweep in small cases by hand; nothing is started or killed here."""

from __future__ import annotations

import hashlib
from concurrent.futures import BrokenExecutor, Future
from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import datasets
from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError
from refimpl.initialization import gaussian_weights
from verification.studies import sweep_cells, sweep_grid, sweep_run, sweep_store, sweep_workers
from verification.studies.sweep_run import _Run
from verification.studies.sweep_store import Store, SweepCell
from verification.studies.sweep_table import CellResult, SweepResult, _names

PLAIN = {"data": "gaussian", "samples": 4, "dimension": 60, "slope": 0.5, "positive": 2, "negative": 1}


# --- cells ------------------------------------------------------------------------------------------------------------


def test_draws_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data from [seed, 0], the start from [seed, 1, number], in units of 1/R_max; what the limit has is counted."""
    given = []
    limit = SimpleNamespace(
        multipliers=np.array([0.5, 0.0, 0.25, 0.0]), singular_values=np.array([2.0, 1.0]), error_estimate=1e-9,
        coefficients=np.zeros((3, 4)),
    )  # fmt: skip
    flow = SimpleNamespace(
        status=SimpleNamespace(name="CONVERGED"), trajectory=SimpleNamespace(s=[7.0]), events=[1, 2], limit=limit
    )
    monkeypatch.setattr(sweep_cells, "gradient_flow", lambda *a, **k: given.append((a, k)) or flow)
    monkeypatch.setattr(sweep_cells, "facts_of", lambda *_: SimpleNamespace(rank=2))
    (cell,) = sweep_grid.cells_of(PLAIN | {"seed": 3, "start": 2, "init_scale": 0.25, "norm_ratio": 2.0})
    found = sweep_cells.cell_result(cell)
    network, data, W0 = given[0][0][:3]
    expected = datasets.gaussian(4, 60, np.random.default_rng([3, 0]), norm_ratio=2.0)
    np.testing.assert_array_equal(data.X, expected.X)
    largest = np.linalg.norm(expected.X, axis=1).max()
    np.testing.assert_array_equal(W0, gaussian_weights(3, 60, 0.25 / largest, np.random.default_rng([3, 1, 2])))
    assert network.second_layer.tolist() == pytest.approx([3.0**-0.5, 3.0**-0.5, -(3.0**-0.5)])
    assert (found["support_vectors"], found["s"], found["events"], found["rank"]) == (2, 7.0, 2, 2)
    assert found["stable_rank"] == pytest.approx(1.25)


def test_violated_claims_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = ["VIOLATED", "HOLDS_NUMERICALLY", "VIOLATED", "VACUOUS", "VIOLATED"]
    rows = [
        SimpleNamespace(id=str(k), verdict=SimpleNamespace(name=name), measurement=SimpleNamespace(value=float(k)))
        for k, name in enumerate(verdicts)
    ]
    asked = []

    def answer(only: list[str] | None) -> SimpleNamespace:
        """As `verify` does: rows of the claims that were asked for."""
        chosen = [row for row in rows if only is None or row.id in only]
        return SimpleNamespace(claims=chosen, conditions=[{"name": "instance-wise", "slack": 0.5}])

    monkeypatch.setattr("verification.claims.run.verify", lambda *a, **k: asked.append(k) or answer(k["only"]))
    (cell,) = sweep_grid.cells_of(PLAIN | {"what": "verify", "init_scale": 2.0, "steps": 20})
    found = sweep_cells.cell_result(cell)
    assert (found["violated"], found["slacks"]) == (3, {"instance_wise": 0.5})
    assert found["value"] == {str(k): float(k) for k in range(5)}
    assert asked[0]["scales"] == [2.0 * scale for scale in __import__("verification").claims.run.DEFAULT_SCALES]
    sweep_cells.cell_result(cell | {"claim": "1,2"})
    assert [options["only"] for options in asked] == [None, ["1", "2"]]


def test_a_file_that_has_changed_is_no_cell(tmp_path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, X=np.eye(2), y=[1.0, -1.0])
    (cell,) = sweep_grid.cells_of({"data": str(path), "slope": 0.5})
    sweep_cells._read.cache_clear()
    assert sweep_cells.data_of(cell).n == 2
    np.savez(path, X=2.0 * np.eye(2), y=[1.0, -1.0])
    sweep_cells._read.cache_clear()
    with pytest.raises(FileFormatError, match="not what it was"):
        sweep_cells.data_of(cell)


# --- grids ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "signs"), [(1, (1, 0)), (2, (1, 1)), (5, (3, 2))])
def test_an_odd_width_has_one_positive_neuron_more(width: int, signs: tuple[int, int]) -> None:
    given = {name: value for name, value in PLAIN.items() if name not in ("positive", "negative")}
    (cell,) = sweep_grid.cells_of(given | {"width": width})
    assert (cell["positive"], cell["negative"]) == signs


@pytest.mark.parametrize(
    ("name", "axis", "values"),
    [
        ("seed", {"start": 2, "stop": 5}, [2, 3, 4]),
        ("seed", {"start": 2, "stop": 8, "step": 3}, [2, 5]),
        ("seed", {"start": 0, "stop": 10, "count": 4}, [0, 3, 7, 10]),
        ("init_scale", {"start": 0.5, "stop": 2.0, "count": 3}, [0.5, 1.25, 2.0]),
        ("init_scale", {"start": 0.5, "stop": 8.0, "count": 3, "log": True}, [0.5, 2.0, 8.0]),
        ("init_scale", [0.5, 0.5], [0.5]),
    ],
)
def test_values_of_a_key(name: str, axis, values: list[float]) -> None:
    assert [cell[name] for cell in sweep_grid.cells_of(PLAIN | {name: axis})] == pytest.approx(values)


def test_defaults_of_a_cell() -> None:
    (flow,) = sweep_grid.cells_of(PLAIN)
    (verify,) = sweep_grid.cells_of(PLAIN | {"what": "verify"})
    assert (flow["init_scale"], flow["start"], "steps" in flow) == (0.01, 0, False)
    assert (verify["init_scale"], verify["steps"], "start" in verify) == (1.0, 500, False)


def test_as_many_cells_as_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_grid, "MOST_CELLS", 6)
    assert len(sweep_grid.cells_of(PLAIN | {"seed": [0, 1, 2], "start": [0, 1]})) == 6
    with pytest.raises(InvalidParameterError, match="at most 6 cells; it has 7 of `seed`"):
        sweep_grid.cells_of(PLAIN | {"seed": {"start": 0, "stop": 7}})


# --- the store --------------------------------------------------------------------------------------------------------


def test_the_key_of_a_cell_is_of_work_version_and_settings() -> None:
    cell = SweepCell({"x": 1}, "work", "1.0")
    assert cell.key == hashlib.sha256(b'["work", "1.0", {"x": 1}]').hexdigest()
    others = [
        SweepCell({"x": 2}, "work", "1.0"),
        SweepCell({"x": 1}, "other", "1.0"),
        SweepCell({"x": 1}, "work", "1.1"),
    ]
    assert len({cell.key, *(other.key for other in others)}) == 4
    read = [SweepCell({"data": name, "data_sha256": "ab"}, "w", "1") for name in ("a.csv", "b.csv")]
    assert read[0].key == read[1].key  # of one content
    assert SweepCell({"data": "a"}, "w", "1").key != SweepCell({"data": "b"}, "w", "1").key


@pytest.fixture
def two(tmp_path):
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        yield one, other


def test_a_claim_holds_while_its_lease_lasts_and_its_owner_lives(two, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = two
    cell, clock, alive = SweepCell({"x": 1}, "w", "1"), [1000.0], [True]
    monkeypatch.setattr(sweep_store.time, "time", lambda: clock[0])
    monkeypatch.setattr(sweep_store, "_lives", lambda owner: alive[0])
    assert one.claim([cell]) == [cell]
    clock[0] += sweep_store.LEASE - 1.0
    assert other.claim([cell]) == []
    alive[0] = False
    assert other.claim([cell]) == [cell]
    alive[0] = True
    assert one.claim([cell]) == []
    clock[0] += sweep_store.LEASE + 1.0
    assert one.claim([cell]) == [cell]


def test_the_first_result_stays_and_errors_are_those_of_the_owner(two) -> None:
    one, other = two
    cell = SweepCell({"x": 1}, "w", "1")
    one.claim([cell])
    other.fail(cell, "not mine", 0.1)
    assert one.record(cell) is None
    one.finish(cell, "1", 0.1)
    other.finish(cell, "2", 0.2)
    assert one.record(cell).result == "1"
    assert other.claim([cell], retry_failed=True) == []


def test_a_process_number_that_was_given_again_is_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = sweep_store._machine()
    monkeypatch.setattr(sweep_store.os, "kill", lambda pid, signal: None)
    monkeypatch.setattr(sweep_store, "_began", lambda pid: "500")
    assert sweep_store._lives(f"{machine} 1 500 ab")
    assert not sweep_store._lives(f"{machine} 1 400 ab")
    assert sweep_store._lives("elsewhere 1 400 ab")


def test_a_database_of_another_program_is_refused(tmp_path) -> None:
    with Store(tmp_path / "s") as store:
        store._connection.execute("PRAGMA application_id = 7")
    with pytest.raises(FileFormatError, match="another program"):
        Store(tmp_path / "s")


# --- the state of a sweep ---------------------------------------------------------------------------------------------


def state(cells: int = 4, retry: bool = False, store: Store | None = None) -> _Run:
    made = [SweepCell({"x": k}, "w", "1") for k in range(cells)]
    return _Run(made, store or Store(None), lambda settings: {}, retry, lambda *_: None)


def died(run: _Run, cell: SweepCell, alone: bool) -> None:
    """A process ended that may have been computing this cell; afterwards others were started."""
    future: Future = Future()
    future.set_exception(BrokenExecutor("gone"))
    run.running[future], run.alone = cell, cell if alone else None
    run._take_back(future)
    run.broken = False


def test_a_cell_that_was_alone_three_times_has_failed() -> None:
    run = state()
    cell = run.waiting[0]
    for _ in range(5):
        died(run, cell, alone=False)  # beside others nobody knows whose fault it was
    assert (run.failed, run.deaths[cell.key]) == (0, 0)
    for k in range(3):
        run.store.claim([cell])
        died(run, cell, alone=True)
        assert run.failed == (k == 2)
    assert "its process ended 3 times" in run.store.record(cell).error


def test_only_deaths_in_a_row_end_a_sweep() -> None:
    run = state(40)
    cells = list(run.waiting)
    for k in range(2 * sweep_run.DEATHS_IN_A_ROW):
        died(run, cells[0], alone=False)
        if k % (sweep_run.DEATHS_IN_A_ROW - 1) == sweep_run.DEATHS_IN_A_ROW - 2:
            future: Future = Future()
            future.set_result(sweep_workers.CellOutcome("{}", None, 0.1))
            run.running[future] = cells[1]
            run._take_back(future)
    run.deaths_in_a_row = 0
    for _ in range(sweep_run.DEATHS_IN_A_ROW - 1):
        died(run, cells[0], alone=False)
    with pytest.raises(ImplicitBiasError, match="12 processes in a row"):
        died(run, cells[0], alone=False)


def test_what_the_store_has_is_counted_by_its_status() -> None:
    store = Store(None)
    cells = [SweepCell({"x": k}, "w", "1") for k in range(4)]
    store.claim(cells[:3])
    store.finish(cells[0], "{}", 0.1)
    store.finish(cells[1], "{}", 0.1)
    store.fail(cells[2], "no", 0.1)
    run = state(store=store)
    assert (run.finished, run.failed, list(run.waiting)) == (2, 1, [cells[3]])
    run = state(retry=True, store=store)
    assert (run.finished, run.failed, list(run.waiting)) == (2, 0, cells[2:])


def test_no_more_processes_than_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(
        sweep_workers, "_Processes", lambda jobs: started.append(jobs) or SimpleNamespace(stop=lambda: None)
    )
    for jobs, cells in ((8, 3), (2, 3)):
        with sweep_workers.local_workers(jobs, cells):
            pass
    assert started == [3, 2]


def test_an_attempt_of_another_version_or_with_an_error() -> None:
    def fails(settings):
        return _deeper(settings)

    assert "has version" in sweep_workers.attempt(lambda settings: {}, {}, "another").error
    outcome = sweep_workers.attempt(fails, {}, sweep_run.package_version())
    line = _deeper.__code__.co_firstlineno + 1
    assert (outcome.result, outcome.error) == (None, f"ValueError: deep (test_sweep_by_hand.py, line {line})")


def _deeper(settings):
    raise ValueError("deep")


# --- the table --------------------------------------------------------------------------------------------------------


def test_columns_of_rows_that_differ() -> None:
    """A name that only some rows have stands where it stands there."""
    assert _names([{"a": 1, "c": 2}, {"a": 1, "b": 2, "c": 3}, {"d": 1, "a": 2}]) == ["d", "a", "b", "c"]


def test_a_cell_that_was_not_computed_is_missing() -> None:
    cells = [SweepCell({"x": k}, "w", "1") for k in range(2)]
    store = Store(None)
    store.claim(cells[:1])
    store.finish(cells[0], '{"r": 1}', 0.5)
    found = sweep_run.result_of(cells, store)
    assert [cell.status for cell in found.cells] == ["done", "missing"]
    assert found.summary == "2 cells: 1 done, 1 missing."
    assert SweepResult((CellResult("k", {}, "done", {}, None, None),)).summary == "1 cell: 1 done."
