"""The rows of claims as a table in a terminal, as wide as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from refimpl.display import shown
from verification.claims.base import ClaimResult, Conclusion, Verdict

__all__ = ["ClaimsTable", "against_bound"]

STYLES = {
    Verdict.HOLDS_CERTIFIED: "bold green",
    Verdict.HOLDS_NUMERICALLY: "green",
    Verdict.VIOLATED: "bold red",
    Verdict.VACUOUS: "cyan",
    Verdict.HYPOTHESIS_NOT_MET: "yellow",
    Verdict.INCONCLUSIVE: "magenta",
}

CONCLUSION_STYLES = {Conclusion.HOLDS: "green", Conclusion.FAILS: "red", Conclusion.UNDECIDED: "magenta"}

RELATIONS = {Conclusion.HOLDS: "≤", Conclusion.FAILS: ">", Conclusion.UNDECIDED: "?"}
"""Between value and bound, where there is no room for a column of conclusions."""


def slack(row: ClaimResult) -> str:
    """The slack of the hypothesis, or whether it holds."""
    h = row.hypothesis
    return ("yes" if h.satisfied else "no") if h.slack is None else shown(h.slack)


def against_bound(row: ClaimResult) -> str:
    """The value, whether it is within the bound and its tolerance, and the bound."""
    m = row.measurement
    return f"{shown(m.value)} {RELATIONS[row.conclusion]} {shown(m.bound)}"


@dataclass(frozen=True)
class Column:
    """What a column shows of a row, and whether it is a number."""

    name: str
    of: Callable[[ClaimResult], str | Text]
    number: bool = False
    wraps: bool = False


CLAIM = Column("claim", lambda row: row.id)
HYPOTHESIS = Column("hypothesis", lambda row: row.hypothesis.name, wraps=True)
SLACK = Column("slack", slack, number=True)
MEASURED = Column("measured", lambda row: row.measurement.quantity, wraps=True)
VALUE = Column("value", lambda row: shown(row.measurement.value), number=True)
BOUND = Column("bound", lambda row: shown(row.measurement.bound), number=True)
TOLERANCE = Column("tolerance", lambda row: shown(row.measurement.tolerance), number=True)
AGAINST = Column("value, bound", against_bound)
CONCLUSION = Column("conclusion", lambda row: Text(row.conclusion.name, style=CONCLUSION_STYLES[row.conclusion]))
VERDICT = Column("verdict", lambda row: Text(row.verdict.name, style=STYLES[row.verdict]))

LAYOUTS = (
    (CLAIM, HYPOTHESIS, SLACK, MEASURED, VALUE, BOUND, TOLERANCE, CONCLUSION, VERDICT),
    (CLAIM, SLACK, MEASURED, VALUE, BOUND, CONCLUSION, VERDICT),
    (CLAIM, SLACK, VALUE, BOUND, CONCLUSION, VERDICT),
    (CLAIM, SLACK, AGAINST, VERDICT),
)
"""Columns, from those of a wide table to those of a narrow one."""

LEAST = 22
"""Characters that a column of words gets at least."""


@dataclass(frozen=True, eq=False)
class ClaimsTable:
    """Rows of claims; the columns depend on the width of the console."""

    rows: Sequence[ClaimResult]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table with as many columns as fit, and how to see the others."""
        for columns in LAYOUTS:
            table = self._table(columns, tight=columns is LAYOUTS[-1])
            if console.measure(table, options=options.update(max_width=1000)).minimum <= options.max_width:
                break
        yield table
        if columns is not LAYOUTS[0]:
            relation = "≤ allows for the tolerance; " if columns is LAYOUTS[-1] else ""
            yield Text(f"{relation}--wide shows all columns.", style="dim")

    def _table(self, columns: Sequence[Column], tight: bool) -> Table:
        style: dict[str, Any] = {"box": None, "padding": (0, 1, 0, 0)} if tight else {}
        table = Table(pad_edge=False, **style)
        for column in columns:
            side = "right" if column.number else "left"
            least = LEAST if column.wraps else None
            table.add_column(column.name, justify=side, no_wrap=not column.wraps, min_width=least)  # type: ignore[arg-type]
        for row in self.rows:
            table.add_row(*(column.of(row) for column in columns))
        return table
