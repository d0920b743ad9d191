"""`implicit-bias sweep`: a grid of flows, descents or verifications into a store that survives whatever is killed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.display import shown
from refimpl.errors import OutputFileError, RunInterrupted
from verification.bars import progress
from verification.commands import delivery, options
from verification.printing import FittingTable, sentence
from verification.progress import Told
from verification.versions import environment

if TYPE_CHECKING:
    from verification.studies.sweep_table import CellResult, SweepResult

__all__ = ["add_parser", "exit_code", "run"]

ROWS = 20
"""Cells that are printed; the files have all."""

COLUMNS = (
    "status",
    "flow_status",
    "descent_status",
    "log_loss",
    "smallest_margin",
    "rank",
    "stable_rank",
    "objective",
    "largest_margin",
    "units_on_kinks",
    "closed_form_distance",
    "violated",
)
"""Results that are printed."""

EXAMPLES = """examples:
  implicit-bias sweep grid.toml --store results.sqlite
  implicit-bias sweep grid.toml --store results.sqlite --jobs 2 --csv table.csv --json table.json
  implicit-bias sweep grid.toml --store results.sqlite --retry-failed

A grid is a file such as

  [grid]
  data = ["gaussian", "correlated"]      # generators, or files
  samples = 10
  dimension = {start = 100, stop = 1000, count = 4, log = true}
  correlation = 0.5
  slope = [0.1, 0.5]
  width = 8
  seed = {start = 0, stop = 3}           # 0, 1, 2

and its cells are the product of the values. docs/sweeps.md has all keys. What was interrupted or killed is carried on
with by the same command.

exit codes: 0 every cell was computed, and nothing is violated; 1 a claim is VIOLATED in a cell; 2 bad input;
3 cells failed; 130 interrupted (what was finished is kept)"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "sweep",
        description="Compute each cell of a grid: a gradient flow to its limit, a gradient descent or a verification.",
        epilog=EXAMPLES,
    )
    parser.add_argument("grid", metavar="GRID.toml", help="the grid")
    parser.add_argument("--store", required=True, metavar="FILE.sqlite", help="where each finished cell is kept")
    parser.add_argument(
        "--jobs", type=options.count, metavar="N", help="processes, one BLAS thread each (default: one for each core)"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="compute on the Dask cluster with this scheduler (tcp://HOST:PORT)"
    )
    parser.add_argument("--retry-failed", action="store_true", help="compute cells that failed again")
    parser.add_argument("--csv", metavar="FILE", help="write the table as CSV")
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    delivery.check_outputs(args, "json", "csv")
    _check_store(args)
    from verification.studies.sweep_grid import read_grid
    from verification.studies.sweep_run import sweep

    cells, code = read_grid(args.grid), 0
    how = {"jobs": args.jobs, "scheduler": args.scheduler, "retry_failed": args.retry_failed}
    try:
        with progress() as tell:
            found = sweep(cells, args.store, progress=partial(_tell_cells, tell), **how)
    except RunInterrupted as stop:
        found, code = stop.result, 130
    files: list[delivery.Output] = [(args.csv, found.write_csv)]
    document = found.to_dict() | {"environment": environment()}
    delivery.deliver(args, [_table(found), *_failures(found), sentence(found.summary)], document, files)
    return code or exit_code(found)


def _check_store(args: argparse.Namespace) -> None:
    for name in ("csv", "json"):
        path = getattr(args, name)
        if path is not None and Path(path).absolute() == Path(args.store).absolute():
            raise OutputFileError(path, f"--{name} and --store are the same file")


def exit_code(found: SweepResult) -> int:
    """1 if a claim is VIOLATED in a cell, else 3 if a cell has no result, else 0."""
    if any(cell.result.get("violated") for cell in found.cells):
        return 1
    return 3 if set(found.counts) != {"done"} else 0


def _table(found: SweepResult) -> FittingTable:
    """The first cells: the settings that differ, and the main results."""
    rows, known = found.rows(), found.columns()
    settings = [name for name in found.settings_columns() if name != "data_sha256"]
    varying = [name for name in settings if len({repr(row.get(name)) for row in rows}) > 1]
    columns = [*varying, *(name for name in COLUMNS if name in known)]
    cells = [[_shown(row.get(name)) for name in columns] for row in rows[:ROWS]]
    caption = f"the first {ROWS} of {len(rows)} cells; --csv and --json have all" if len(rows) > ROWS else None
    return FittingTable(columns, cells, leading=len(varying), caption=caption)


def _shown(value: Any) -> str:
    if isinstance(value, float) or value is None:
        return shown(value)
    return str(value)


def _failures(found: SweepResult) -> Iterator[str]:
    """Each error once, with the number of cells that have it."""
    errors: dict[str, list[CellResult]] = {}
    for cell in found.cells:
        if cell.error is not None:
            errors.setdefault(cell.error, []).append(cell)
    for error, cells in list(errors.items())[:ROWS]:
        yield f"{len(cells)} cell{'s' if len(cells) != 1 else ''} failed: {error}"


def _tell_cells(tell: Callable[[str], None], finished: int, failed: int, total: int) -> None:
    """How many cells there are, for `sweep`."""
    counts = f"{finished + failed} of {total}" + (f", {failed} failed" if failed else "")
    tell(Told("cells", counts, (finished + failed) / total))
