"""A sweep: what failed, what was interrupted, what other versions compute; `test_sweep_kills.py` kills it."""

from __future__ import annotations

import pytest

from refimpl.errors import ImplicitBiasError, InvalidParameterError, RunInterrupted
from verification.studies import sweep_workers
from verification.studies.sweep_run import sweep

from .sweep_given import CELLS


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
    assert found.cells[0].error.startswith("KeyError: 'y' (test_sweep_run.py, line ")
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
