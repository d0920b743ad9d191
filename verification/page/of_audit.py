"""The page of an audit of a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from verification.page.document import Page, Picture, Section, Table
from verification.page.of_report import claims_section, conditions_section

if TYPE_CHECKING:
    from verification.audits.report import AuditReport

__all__ = ["page_of_audit"]


def page_of_audit(report: AuditReport, command: str = "") -> Page:
    """Everything that an audit says, each checkpoint, and its four pictures."""
    from verification.audits.report import TABLES, cells_of

    tables = [
        Table(
            title[0].upper() + title[1:],
            ("step", *(name for name, _ in columns)),
            [cells_of(row, columns) for row in report.rows],
            numbers=tuple(range(len(columns) + 1)),
        )
        for title, columns in TABLES.items()
    ]
    as_report = cast("Any", report)  # it has `claims` and `conditions` as a report of `verify` has
    judged = [claims_section(as_report)] if report.claims else []
    data, network = report.data, report.network
    return Page(
        title=f"Audit of {network['m']} neurons trained on {data['n']} samples in {data['d']} dimensions",
        lead=report.summary,
        answer=[*report.words, *report.notes],
        sections=[
            Section("By step", pictures=_pictures(report)),
            Section("Checkpoints", tables=tables),
            *judged,
            conditions_section(as_report),
        ],
        command=command,
        environment=report.environment,
    )


def _pictures(report: AuditReport) -> list[Picture]:
    from verification.audits.picture import PANELS, draw_panel  # matplotlib takes a second to import

    last = report.rows[-1]
    return [
        Picture(
            lambda axis, panel=panel: draw_panel(axis, report, panel),  # type: ignore[misc]
            f"{panel.title} at {len(report.rows)} checkpoints, the last at step {last.step}",
            panel.says,
        )
        for panel in PANELS
    ]
