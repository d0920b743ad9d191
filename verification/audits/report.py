"""The report of `audit`: what was measured of each checkpoint, the claims on the trajectory, a paragraph in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.text import Text

from refimpl.display import frame, shown
from refimpl.documents import as_plain
from verification.audits.measuring import Measured
from verification.audits.words import power_of_ten
from verification.claims.base import ClaimResult
from verification.claims.table import ClaimsTable
from verification.printing import FittingTable
from verification.reports import ReportOnClaims
from verification.witnesses.kkt import KKTStatus

__all__ = ["TABLES", "AuditReport", "cells_of", "some_rows"]

SCHEMA_VERSION = 1

MOST_ROWS = 12
"""So many checkpoints are shown in a table, evenly among them all; the JSON has every one."""

ColumnTitles = tuple[tuple[str, str], ...]
"""Titles, and attributes of `Measured`."""

TABLES: dict[str, ColumnTitles] = {
    "margins and KKT residuals": (
        ("loss", "loss"),
        ("q_min", "smallest_margin"),
        ("q/‖W‖", "normalized_margin"),
        ("smooth", "smoothed_margin"),
        ("cos ∇L", "alignment"),
        ("station.", "stationarity"),
        ("compl.", "complementarity"),
        ("gap", "duality_gap"),
        ("kinks", "units_at_kink"),
    ),
    "shape of W": (
        ("rank", "rank"),
        ("rank Δ", "increment_rank"),
        ("st.rank", "stable_rank"),
        ("st.rank Δ", "increment_stable_rank"),
        ("σ₃/σ₁", "singular_value_ratio"),
        ("spread +", "spread_positive"),
        ("spread -", "spread_negative"),
        ("signs", "signs"),
        ("nonlinear", "disagreement"),
    ),
    "distance in direction": (
        ("outside span", "outside_span"),
        ("closed form", "to_closed_form"),
        ("(C)", "to_convex_optimum"),
        ("flow from here", "to_flow_limit"),
        ("its rank", "limit_rank"),
        ("time to 1%", "road"),
    ),
}
"""The tables by their titles, each at most 100 characters wide; docs/audit.md says what the columns are."""


@dataclass(frozen=True, eq=False)
class AuditReport(ReportOnClaims):
    """What `audit` found.

    Attributes
    ----------
    rows : tuple of Measured
        One a checkpoint, in the order of their steps.
    claims : tuple of ClaimResult
        On the trajectory; empty for one checkpoint.
    words : tuple of str
        Where the network stands, its limit, how far that is, what to look at next.
    notes : tuple of str
        What was done with a bias, a moving second layer, the format.
    network, data, environment : dict
    conditions : list of dict
        The conditions on the data, with their slack.
    step_size : float or None
    seconds : float
    interrupted : bool
    """

    rows: tuple[Measured, ...]
    claims: tuple[ClaimResult, ...]
    words: tuple[str, ...]
    notes: tuple[str, ...]
    network: dict[str, Any]
    data: dict[str, Any]
    conditions: list[dict[str, Any]]
    environment: dict[str, Any]
    step_size: float | None
    seconds: float
    interrupted: bool = False

    def __repr__(self) -> str:
        """One line."""
        steps = f"{len(self.rows)} checkpoints, steps {self.rows[0].step} to {self.rows[-1].step}"
        return f"<AuditReport: n = {self.data['n']}, d = {self.data['d']}, m = {self.network['m']}; {steps}>"

    @property
    def undecided(self) -> bool:
        """Whether the last W does not separate the data, or a claim is INCONCLUSIVE."""
        return self.rows[-1].kkt_status != KKTStatus.MEASURED.name or super().undecided

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON (`refimpl.documents`)."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "words": list(self.words),
            "notes": list(self.notes),
            "network": self.network,
            "dataset": self.data,
            "conditions": self.conditions,
            "step_size": self.step_size,
            "checkpoints": [row.to_dict() for row in self.rows],
            "claims": [row.to_dict() for row in self.claims],
            "environment": self.environment,
            "interrupted": self.interrupted,
            "exit_code": self.exit_code,
            "seconds": self.seconds,
        }
        return as_plain(document)

    def to_html(self, command: str = "") -> str:
        """The report as a page that stands alone; `command` is the command line that made it."""
        from verification.page.of_audit import page_of_audit  # it draws pictures

        return page_of_audit(self, command).html()

    def facts(self) -> list[tuple[str, str]]:
        """The words, the last checkpoint, and each claim with its standing."""
        last = self.rows[-1]
        numbers = [
            pair
            for columns in TABLES.values()
            for pair in zip((title for title, _ in columns), cells_of(last, columns)[1:], strict=True)
        ]
        return [
            ("in words", " ".join(self.words)),
            ("last checkpoint, step", str(last.step)),
            *numbers,
            *self.facts_of_claims(),
        ]

    def to_frame(self) -> Any:
        """A pandas frame with a row for each checkpoint."""
        rows = [row.to_dict() for row in self.rows]
        return frame({name: [row[name] for row in rows] for name in rows[0]})

    def save_plot(self, path: str | Path, force: bool = False) -> None:
        """Draw margins, residuals, ranks and distances by step into a .png, .svg or .pdf file."""
        from verification.audits.picture import plot_audit  # matplotlib takes a second to import

        plot_audit(self, path, force)

    def __rich__(self) -> Group:
        """What the command prints."""
        parts = [Text(" ".join(self.words)), *(Text(note, style="italic") for note in self.notes)]
        chosen = some_rows(self.rows)
        if len(chosen) < len(self.rows):
            parts.append(Text(f"{len(chosen)} of {len(self.rows)} checkpoints are shown; --json has all."))
        tables = [_table(title, columns, chosen) for title, columns in TABLES.items()]
        return Group(*parts, *tables, *self._judged(), Text(self.summary, style="bold"))

    def _judged(self) -> list[Any]:
        if not self.claims:
            return []
        told = [f"{row.id}: if {row.hypothesis.name}. {row.reason}".rstrip() for row in self.claims]
        return [ClaimsTable(self.claims), *(Text(line, style="italic") for line in told)]

    @property
    def summary(self) -> str:
        """How many checkpoints, of which steps."""
        first, last = self.rows[0], self.rows[-1]
        told = f"{len(self.rows)} checkpoints, steps {first.step} to {last.step}, in {self.seconds:.1f} s."
        return self.told(told)


def some_rows(rows: Sequence[Measured]) -> list[Measured]:
    """At most `MOST_ROWS` of them, the first and the last among these."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(MOST_ROWS, len(rows))).round().astype(int))
    return [rows[k] for k in places]


def cells_of(row: Measured, columns: ColumnTitles) -> list[str]:
    """The step, and what the columns show of a checkpoint."""
    return [str(row.step), *(_cell(row, attribute) for _, attribute in columns)]


def _cell(row: Measured, attribute: str) -> str:
    """The number; where the format cannot tell it from 0, what it can tell."""
    if attribute == "road":
        return _time_left(row)
    value = getattr(row, attribute)
    if attribute in row.below:
        return f"<{row.floors[attribute]:.0e}"
    return str(value) if isinstance(value, int) else shown(value)


def _time_left(row: Measured) -> str:
    if row.road is None:
        return "-"
    return "there" if row.road.arrived else power_of_ten(row.road.log_time / np.log(10.0))


def _table(title: str, columns: ColumnTitles, rows: Sequence[Measured]) -> FittingTable:
    head, cells = ("step", *(name for name, _ in columns)), [cells_of(row, columns) for row in rows]
    return FittingTable(head, cells, title=title, justify="right", pad_edge=False)
