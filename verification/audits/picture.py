"""The picture of an audit: margins, residuals, ranks and distances by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from verification.audits.report import AuditReport
from verification.plots import plain_style, save_figure

__all__ = ["audit_figure", "plot_audit"]

Lines = Sequence[tuple[str, str]]

PANELS: tuple[tuple[str, str, Lines], ...] = (
    (
        "margins over $\\|W\\|_F$",
        "linear",
        (("normalized_margin", "smallest"), ("smoothed_margin", "smoothed"), ("alignment", "cos(W, -∇L)")),
    ),
    (
        "KKT residuals",
        "log",
        (("stationarity", "stationarity"), ("complementarity", "complementarity"), ("duality_gap", "gap")),
    ),
    (
        "ranks",
        "log",
        (
            ("stable_rank", "stable rank of W"),
            ("increment_stable_rank", "of W - W(0)"),
            ("singular_value_ratio", "σ₃/σ₁"),
        ),
    ),
    (
        "distance in direction",
        "log",
        (
            ("to_closed_form", "to the closed form"),
            ("to_convex_optimum", "to (C)"),
            ("to_flow_limit", "to the limit of the flow from here"),
            ("spread_positive", "spread of J₊"),
            ("spread_negative", "spread of J₋"),
        ),
    ),
)
"""Title, scale, and the lines, by attribute of `Measured`."""

STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def plot_audit(report: AuditReport, path: str | Path, force: bool = False) -> None:
    """Draw `report` into a .png, .svg or .pdf file."""
    with plain_style():
        save_figure(audit_figure(report), path, force)


def audit_figure(report: AuditReport) -> Figure:
    """Four panels; a line is grey where the format cannot tell what it shows from 0."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    steps = np.array([row.step for row in report.rows]) + 1  # so that step 0 has a place on a logarithmic axis
    for axis, (title, scale, lines) in zip(figure.subplots(2, 2).ravel(), PANELS, strict=True):
        for (attribute, label), style in zip(lines, STYLES, strict=False):
            _draw(axis, steps, report, attribute, label, style)
        axis.set_title(title)
        axis.set_xscale("log")
        axis.set_xlabel("step + 1")
        if scale == "log" and any((line.get_ydata() > 0.0).any() for line in axis.lines):
            axis.set_yscale("log")
        axis.legend(frameon=False, fontsize="small")
    m, slope = report.network["m"], report.network["slope"]
    figure.suptitle(f"Audit: n = {report.data['n']}, d = {report.data['d']}, m = {m}, slope {slope:g}")
    return figure


def _draw(axis: Any, steps: Any, report: AuditReport, attribute: str, label: str, style: Any) -> None:
    values = np.array([_number(getattr(row, attribute)) for row in report.rows])
    (line,) = axis.plot(steps, values, ls=style, marker=".", ms=4, lw=1.1, label=label)
    below = np.array([attribute in row.below for row in report.rows])
    if below.any():
        axis.plot(steps[below], values[below], ls="", marker="x", color="#999999", label=None, zorder=line.zorder + 1)


def _number(value: float | None) -> float:
    return float("nan") if value is None or not np.isfinite(value) else float(value)
