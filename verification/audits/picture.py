"""The pictures of an audit: margins, residuals, ranks and distances by step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verification.audits.report import AuditReport
from verification.plots import Figure, panels, plain_style, save_figure

__all__ = ["PANELS", "Panel", "audit_figure", "draw_panel", "plot_audit"]

STYLES = (("#2f6db5", "-"), ("#d1662f", "--"), ("#c79a00", "-."), ("#7a7a7a", ":"), ("#3d8b5f", (0, (5, 1, 1, 1))))
"""Colour and dash of each line of a panel."""


@dataclass(frozen=True)
class Panel:
    """A pair of axes: title, quantity, what it says, whether it is logarithmic, lines by attribute of `Measured`."""

    title: str
    quantity: str
    says: str
    logarithmic: bool
    lines: tuple[tuple[str, str], ...]


PANELS = (
    Panel(
        "Margins over ‖W‖",
        "margin / ‖W‖, cosine",
        "The smoothed margin is positive once the loss is below ℓ(0)/n; the cosine tends to 1 (section 16).",
        False,
        (("normalized_margin", "smallest"), ("smoothed_margin", "smoothed"), ("alignment", "cos(W, -∇L)")),
    ),
    Panel(
        "KKT residuals",
        "relative residual",
        "All are 0 at KKT points, and there alone; a cross marks what the format cannot tell from 0.",
        True,
        (("stationarity", "stationarity"), ("complementarity", "complementarity"), ("duality_gap", "gap")),
    ),
    Panel(
        "Ranks",
        "stable rank, σ₃/σ₁",
        "The stable rank of W - W(0) has the bound of section 8.",
        True,
        (
            ("stable_rank", "stable rank of W"),
            ("increment_stable_rank", "of W - W(0)"),
            ("singular_value_ratio", "σ₃/σ₁"),
        ),
    ),
    Panel(
        "Distance in direction",
        "distance of unit vectors",
        "To the closed form, the solution of (C) and the limit of the exact flow from the checkpoint itself.",
        True,
        (
            ("to_closed_form", "to the closed form"),
            ("to_convex_optimum", "to (C)"),
            ("to_flow_limit", "to the limit of the flow"),
            ("spread_positive", "spread of J₊"),
            ("spread_negative", "spread of J₋"),
        ),
    ),
)


def plot_audit(report: AuditReport, path: str | Path, force: bool = False) -> None:
    """Draw `report` into a .png, .svg or .pdf file."""
    with plain_style():
        save_figure(audit_figure(report), path, force)


def audit_figure(report: AuditReport) -> Figure:
    """The four panels."""
    figure = Figure(figsize=(11, 9), layout="constrained")
    for axis, panel in zip(figure.subplots(2, 2).ravel(), PANELS, strict=True):
        draw_panel(axis, report, panel)
        axis.set_title(panel.title)
    m, slope = report.network["m"], report.network["slope"]
    figure.suptitle(f"Audit: n = {report.data['n']}, d = {report.data['d']}, m = {m}, slope {slope:g}")
    return figure


def draw_panel(axis: Any, report: AuditReport, panel: Panel) -> None:
    """The lines of one panel; a grey cross where the format cannot tell a number from 0."""
    steps = np.array([row.step for row in report.rows]) + 1  # so that step 0 has a place on a logarithmic axis
    positive = False
    for (attribute, label), (colour, dash) in zip(panel.lines, STYLES, strict=False):
        values = np.array([_number(getattr(row, attribute)) for row in report.rows])
        axis.plot(steps, values, color=colour, ls=dash, marker=".", ms=4, lw=1.2, label=label)
        dim = np.array([attribute in row.below for row in report.rows])
        axis.plot(steps[dim], values[dim], ls="", marker="x", color="#999999")
        positive = positive or bool((values > 0.0).any())
    axis.set_xscale("log")
    axis.set_xlabel("step + 1")
    axis.set_ylabel(panel.quantity)
    if panel.logarithmic and positive:
        axis.set_yscale("log")
    if not panel.logarithmic:
        axis.set_ylim(-0.3, 1.05)
    panels.below(axis)


def _number(value: float | None) -> float:
    return float("nan") if value is None or not np.isfinite(value) else float(value)
