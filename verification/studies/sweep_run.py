"""A sweep: cells computed by workers into a store, whatever is killed on the way.

Two cells wait for each worker, claimed and handed out one by one; each that comes back is committed before the next is
looked at. Where a process dies, what it may have been computing is computed again, one cell at a time, so that a cell
that kills its process is known and does not take others with it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from refimpl.errors import ImplicitBiasError, InvalidParameterError, RunInterrupted
from refimpl.validation import as_callback, as_count, as_flag
from verification.studies.sweep_cells import cell_result
from verification.studies.sweep_store import Store, SweepCell
from verification.studies.sweep_table import SweepResult, result_of
from verification.studies.sweep_workers import CellOutcome, Work, Workers, attempt, cluster_workers, local_workers
from verification.versions import package_version

__all__ = ["sweep"]

POLL = 0.2
"""Seconds between two looks at cells that another sweep computes."""

DEATHS = 3
"""A cell alone with a process that died so many times has failed."""

DEATHS_IN_A_ROW = 12
"""So many deaths without one finished cell in between are no accident."""


def sweep(
    settings: Sequence[dict[str, Any]],
    store: str | Path | None = None,
    work: Work = cell_result,
    name: str = "cell",
    jobs: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
) -> SweepResult:
    """Compute `work(settings)` for each cell, those that the store does not have yet.

    Parameters
    ----------
    settings : sequence of dict
        Cells: plain values, on which the results depend and on nothing else. Equal ones are one cell.
    store : path, optional
        The SQLite file, made if it is not there; None keeps the results in memory only.
    work : callable
        dict -> dict of plain values; by default a flow, a descent or a `verify` with the keys of `sweep_grid`.
    name : str
        Names the work in the store: another name, other cells.
    jobs : int >= 1, optional
        Processes on this machine, with one BLAS thread each; 1 computes in this process. All cores by default.
    scheduler : str, optional
        Address of a Dask scheduler, instead of processes on this machine.
    retry_failed : bool
        Compute failed cells again; else they keep their error.
    progress : callable, optional
        Called with the numbers of finished, failed and all cells.

    Returns
    -------
    SweepResult
        In the order of `settings`.

    Raises
    ------
    InvalidParameterError, MissingExtraError
        For bad arguments.
    FileFormatError, OutputFileError
        If the store is something else, or cannot be written to.
    ImplicitBiasError
        If the cluster was lost, or processes die as soon as they start; the store keeps what was finished.
    RunInterrupted
        After Ctrl-C; its `.result` is what there is.

    Examples
    --------
    >>> found = sweep([{"x": 2}, {"x": 3}], work=lambda settings: {"square": settings["x"] ** 2}, jobs=1)
    >>> found.rows()
    [{'x': 2, 'status': 'done', 'square': 4, 'error': None}, {'x': 3, 'status': 'done', 'square': 9, 'error': None}]
    """
    version = package_version()
    cells = list({cell.key: cell for cell in (SweepCell(dict(one), name, version) for one in settings)}.values())
    if not cells:
        raise InvalidParameterError("settings", "hold at least one cell", settings)
    jobs = None if jobs is None else as_count("jobs", jobs)
    retry_failed, progress = as_flag("retry_failed", retry_failed), as_callback("progress", progress)
    with Store(store) as opened:
        run = _Run(cells, opened, work, retry_failed, progress)
        try:
            if run.waiting:
                with opened.renewed(), _workers(jobs, scheduler, len(run.waiting)) as workers:
                    run.carry_out(workers)
        except KeyboardInterrupt as stop:
            raise RunInterrupted(result_of(cells, opened)) from stop
        return result_of(cells, opened)


def _workers(jobs: int | None, scheduler: str | None, cells: int) -> AbstractContextManager[Workers]:
    return local_workers(jobs, cells) if scheduler is None else cluster_workers(scheduler)


class _Run:
    """The state of one sweep: where each cell that is not finished is."""

    def __init__(
        self, cells: Sequence[SweepCell], store: Store, work: Work, retry_failed: bool, progress: Callable[..., None]
    ) -> None:
        known = store.records(cells)
        self.retried = {key for key, record in known.items() if retry_failed and record.status == "failed"}
        todo = [cell for cell in cells if cell.key not in known or cell.key in self.retried]
        self.store, self.work, self.progress = store, work, progress
        self.total, self.version = len(cells), package_version()
        self.waiting = deque(todo)
        self.elsewhere = deque[SweepCell]()
        self.suspects = deque[SweepCell]()
        self.alone: SweepCell | None = None
        self.running: dict[Future[CellOutcome], SweepCell] = {}
        self.deaths = Counter[str]()
        self.deaths_in_a_row, self.broken = 0, False
        kept = {cell.key for cell in cells} - {cell.key for cell in todo}
        self.failed = sum(known[key].status == "failed" for key in kept)
        self.finished = len(kept) - self.failed

    def carry_out(self, workers: Workers) -> None:
        """Until no cell is left that somebody has to compute."""
        self._tell()
        while True:
            self._hand_out(workers)
            if self.running:
                done, _ = wait(self.running, timeout=1.0, return_when=FIRST_COMPLETED)
                for future in done:
                    self._take_back(future)
            elif self.elsewhere:
                time.sleep(POLL)
                self._look_elsewhere()
            elif not (self.waiting or self.suspects):
                return

    def _hand_out(self, workers: Workers) -> None:
        """Keep the workers busy; after a death, with one cell at a time until every suspect is cleared."""
        if self.broken and not self.running:
            workers.restart()
            self.broken = False
        if self.broken or self.alone is not None:
            return
        if self.suspects:
            if not self.running:
                self.alone = self.suspects.popleft()
                self._submit(workers, self.alone)
            return
        while self.waiting and len(self.running) < workers.capacity() and not self.broken:
            cell = self.waiting.popleft()
            if self.store.claim([cell], cell.key in self.retried):
                self._submit(workers, cell)
            else:
                self._set_aside(cell)

    def _submit(self, workers: Workers, cell: SweepCell) -> None:
        try:
            future = workers.executor.submit(attempt, self.work, cell.settings, self.version)
        except BrokenExecutor:
            self.broken, self.alone = True, None
            self.suspects.append(cell)
            return
        self.running[future] = cell

    def _take_back(self, future: Future[CellOutcome]) -> None:
        """Commit what came of a cell."""
        cell = self.running.pop(future)
        was_alone, self.alone = cell is self.alone, None
        if future.cancelled():
            raise ImplicitBiasError("the cluster was lost; the store keeps what was finished.")
        error = future.exception()
        if isinstance(error, BrokenExecutor):
            self._note_death(cell, was_alone)
            return
        if isinstance(error, CancelledError):
            raise ImplicitBiasError("the cluster was lost; the store keeps what was finished.") from error
        self.deaths_in_a_row = 0
        if error is not None:
            self._fail(cell, f"{type(error).__name__}: {error}", None)
            return
        outcome = future.result()
        if outcome.result is None:
            self._fail(cell, outcome.error or "", outcome.seconds)
        else:
            self.store.finish(cell, outcome.result, outcome.seconds)
            self.finished += 1
            self._tell()

    def _fail(self, cell: SweepCell, error: str, seconds: float | None) -> None:
        self.store.fail(cell, " ".join(error.split()), seconds)
        self.failed += 1
        self._tell()

    def _note_death(self, cell: SweepCell, was_alone: bool) -> None:
        """A process died that may have been computing this cell."""
        if not self.broken:
            self.broken = True
            self.deaths_in_a_row += 1
        if self.deaths_in_a_row >= DEATHS_IN_A_ROW:
            raise ImplicitBiasError(
                f"{DEATHS_IN_A_ROW} processes in a row ended without a result (too little memory?); the store keeps "
                "what was finished."
            )
        self.deaths[cell.key] += was_alone
        if self.deaths[cell.key] >= DEATHS:
            self._fail(cell, f"its process ended {DEATHS} times (killed, or too little memory)", None)
        else:
            self.suspects.append(cell)

    def _set_aside(self, cell: SweepCell) -> None:
        """A cell that another sweep has finished in the meantime, or computes."""
        self.retried.discard(cell.key)
        record = self.store.record(cell)
        if record is None:
            self.elsewhere.append(cell)
        elif record.status == "done":
            self.finished += 1
        else:
            self.failed += 1
        self._tell()

    def _look_elsewhere(self) -> None:
        """Try them again: what another sweep gave up is anybody's."""
        self.waiting.extend(self.elsewhere)
        self.elsewhere.clear()

    def _tell(self) -> None:
        self.progress(self.finished, self.failed, self.total)
