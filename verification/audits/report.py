"""The report of `audit`: what was measured of each checkpoint, the claims on the trajectory, a paragraph in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from refimpl.documents import as_plain, json_text
from verification.audits.measuring import Measured
from verification.audits.words import power_of_ten
from verification.claims.base import ClaimResult, Verdict
from verification.claims.report import STYLES, shown
from verification.printing import as_html
from verification.witnesses.kkt import KKTStatus

__all__ = ["AuditReport"]

SCHEMA_VERSION = 1

MOST_ROWS = 12
"""So many checkpoints are shown in a table, evenly among them all; the JSON has every one."""

MARGINS = (
    ("loss", "loss"),
    ("q_min", "smallest_margin"),
    ("q/‖W‖", "normalized_margin"),
    ("smooth", "smoothed_margin"),
    ("cos ∇L", "alignment"),
    ("station.", "stationarity"),
    ("compl.", "complementarity"),
    ("gap", "duality_gap"),
    ("kinks", "units_at_kink"),
)
SHAPE = (
    ("rank", "rank"),
    ("st.rank", "stable_rank"),
    ("of W-W(0)", "increment_stable_rank"),
    ("σ₃/σ₁", "singular_value_ratio"),
    ("spread +", "spread_positive"),
    ("spread -", "spread_negative"),
    ("signs", "signs"),
    ("nonlinear", "disagreement"),
)
LIMIT = (
    ("outside span", "outside_span"),
    ("closed form", "to_closed_form"),
    ("(C)", "to_convex_optimum"),
    ("flow from here", "to_flow_limit"),
    ("its rank", "limit_rank"),
)
"""Columns of the three tables: title and attribute of `Measured`."""


@dataclass(frozen=True, eq=False)
class AuditReport:
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
    def exit_code(self) -> int:
        """130 after Ctrl-C; 1 if a claim is VIOLATED; 3 if the last W does not separate the data, or one is open."""
        if self.interrupted:
            return 130
        verdicts = {row.verdict for row in self.claims}
        if Verdict.VIOLATED in verdicts:
            return 1
        measured = self.rows[-1].kkt_status == KKTStatus.MEASURED.name
        return 0 if measured and Verdict.INCONCLUSIVE not in verdicts else 3

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

    def to_json(self) -> str:
        """The report as JSON."""
        return json_text(self.to_dict())

    def to_html(self) -> str:
        """The report as a page of HTML."""
        return as_html(self)

    def plot(self, path: str | Path, force: bool = False) -> None:
        """Draw margins, residuals, ranks and distances by step into a .png, .svg or .pdf file."""
        from verification.audits.picture import plot_audit  # matplotlib takes a second to import

        plot_audit(self, path, force)

    def __rich__(self) -> Group:
        """What the command prints."""
        parts = [Text(" ".join(self.words)), *(Text(note, style="italic") for note in self.notes)]
        chosen = _some(self.rows)
        if len(chosen) < len(self.rows):
            parts.append(Text(f"{len(chosen)} of {len(self.rows)} checkpoints are shown; --json has all."))
        tables = [_table("margins and KKT residuals", MARGINS, chosen), _table("shape of W", SHAPE, chosen)]
        limits = _table("distance in direction", LIMIT, chosen)
        limits.add_column("time to 1%", justify="right", no_wrap=True)
        limits.columns[-1]._cells = [_time_left(row) for row in chosen]
        return Group(*parts, *tables, limits, *self._judged(), Text(self._summary(), style="bold"))

    def _judged(self) -> list[Any]:
        if not self.claims:
            return []
        table = Table(pad_edge=False, title="claims on this trajectory", title_justify="left")
        for name in ("claim", "slack", "value", "bound", "conclusion", "verdict"):
            table.add_column(name, no_wrap=True, justify="right" if name in ("slack", "value", "bound") else "left")
        told = []
        for row in self.claims:
            m, h = row.measurement, row.hypothesis
            slack = ("yes" if h.satisfied else "no") if h.slack is None else shown(h.slack)
            verdict = Text(row.verdict.name, style=STYLES[row.verdict])
            table.add_row(row.id, slack, shown(m.value), shown(m.bound), row.conclusion.name, verdict)
            what = f"{row.id}: if {h.name}, {m.quantity} at most the bound. {row.reason}"
            told.append(Text(what.rstrip(), style="italic"))
        return [table, *told]

    def _summary(self) -> str:
        first, last = self.rows[0], self.rows[-1]
        told = f"{len(self.rows)} checkpoints, steps {first.step} to {last.step}, in {self.seconds:.1f} s."
        return f"Interrupted. {told}" if self.interrupted else told


def _some(rows: Sequence[Measured]) -> list[Measured]:
    """At most `MOST_ROWS` of them, the first and the last among these."""
    places = np.unique(np.linspace(0, len(rows) - 1, min(MOST_ROWS, len(rows))).round().astype(int))
    return [rows[k] for k in places]


def _table(title: str, columns: Sequence[tuple[str, str]], rows: Sequence[Measured]) -> Table:
    table = Table(pad_edge=False, title=title, title_justify="left")
    table.add_column("step", justify="right", no_wrap=True)
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(str(row.step), *(_cell(row, attribute) for _, attribute in columns))
    return table


def _cell(row: Measured, attribute: str) -> str:
    """The number; where the format cannot tell it from 0, what it can tell."""
    value = getattr(row, attribute)
    if attribute in row.below:
        return f"<{row.floors[attribute]:.0e}"
    return str(value) if isinstance(value, int) else shown(value)


def _time_left(row: Measured) -> str:
    if row.road is None:
        return "-"
    return "there" if row.road.arrived else power_of_ten(row.road.log_time / np.log(10.0))
