"""What a sweep found: one row a cell, as a table in CSV or JSON, or a frame of pandas."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from refimpl.documents import as_plain, with_numbers
from refimpl.errors import MissingExtraError
from refimpl.files import open_output
from verification.studies.sweep_store import Store, SweepCell

__all__ = ["CellResult", "SweepResult", "result_of"]

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class CellResult:
    """One cell.

    Attributes
    ----------
    key : str
        SHA-256 of its settings, the work and the version.
    settings : dict
    status : str
        "done", "failed", or "missing" if it was not computed.
    result : dict
        Empty unless it is done.
    error : str or None
        One sentence if it failed.
    seconds : float or None
        That the computation took.
    """

    key: str
    settings: dict[str, Any]
    status: str
    result: dict[str, Any]
    error: str | None
    seconds: float | None

    def row(self) -> dict[str, Any]:
        """Settings, status and result side by side; a result within a result as "outer.inner"."""
        return {**_flat(self.settings), "status": self.status, **_flat(self.result), "error": self.error}


@dataclass(frozen=True)
class SweepResult:
    """All cells of a sweep, in its order.

    Examples
    --------
    >>> done = CellResult("a1", {"slope": 0.5}, "done", {"rank": 2, "slacks": {"refined": 1.5}}, None, 0.1)
    >>> failed = CellResult("b2", {"slope": 2.0}, "failed", {}, "`slope` must lie in [0, 1]; got 2.0.", 0.0)
    >>> found = SweepResult((done, failed))
    >>> print(found.to_csv(), end="")
    slope,status,rank,slacks.refined,error
    0.5,done,2,1.5,
    2.0,failed,,,"`slope` must lie in [0, 1]; got 2.0."
    >>> found.summary
    '2 cells: 1 done, 1 failed.'
    """

    cells: tuple[CellResult, ...]

    def __repr__(self) -> str:
        """One line."""
        return f"<SweepResult: {self.summary}>"

    @property
    def counts(self) -> dict[str, int]:
        """How many cells have which status."""
        return dict(Counter(cell.status for cell in self.cells))

    @property
    def summary(self) -> str:
        """One sentence."""
        parts = [f"{self.counts[status]} {status}" for status in ("done", "failed", "missing") if status in self.counts]
        return f"{len(self.cells)} cell{'s' if len(self.cells) != 1 else ''}: {', '.join(parts)}."

    def rows(self) -> list[dict[str, Any]]:
        """One flat dict a cell, without times: equal for equal cells, however they were computed."""
        return [cell.row() for cell in self.cells]

    def columns(self) -> list[str]:
        """Settings, status, results, error: those of any cell."""
        return [*self.settings_columns(), "status", *_names(_flat(cell.result) for cell in self.cells), "error"]

    def settings_columns(self) -> list[str]:
        """Those of the settings."""
        return _names(_flat(cell.settings) for cell in self.cells)

    def to_csv(self) -> str:
        """The rows as CSV with a header; a cell without a value has an empty field."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns(), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows())
        return text.getvalue()

    def write_csv(self, path: str | Path, force: bool = False) -> None:
        """`to_csv` into a file, which is kept if it exists and `force` is not set."""
        with open_output(path, force) as handle:
            handle.write(self.to_csv().encode())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        cells = [as_plain(vars(cell)) for cell in self.cells]
        return {"schema_version": SCHEMA_VERSION, "summary": self.summary, "cells": cells}

    def to_frame(self) -> Any:
        """A pandas frame: the rows and, as the last column, the seconds.

        Raises
        ------
        MissingExtraError
            Without pandas.
        """
        try:
            pd: Any = import_module("pandas")
        except ImportError as error:
            raise MissingExtraError("pandas", "frames") from error
        frame = pd.DataFrame(self.rows(), columns=self.columns())
        frame["seconds"] = [cell.seconds for cell in self.cells]
        return frame


def result_of(cells: Sequence[SweepCell], store: Store) -> SweepResult:
    """What the store has of these cells."""
    known = store.records(cells)
    return SweepResult(tuple(_cell_result(cell, known.get(cell.key)) for cell in cells))


def _cell_result(cell: SweepCell, record: Any) -> CellResult:
    if record is None:
        return CellResult(cell.key, cell.settings, "missing", {}, None, None)
    result = {} if record.result is None else with_numbers(json.loads(record.result))
    return CellResult(cell.key, cell.settings, record.status, result, record.error, record.seconds)


def _flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    return dict(_items(values, before))


def _items(values: dict[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _items(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _names(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The names of all rows; one that only some have stands where it stands there."""
    names: list[str] = []
    for row in rows:
        place = 0
        for name in row:
            if name not in names:
                names.insert(place, name)
            place = names.index(name) + 1
    return names
