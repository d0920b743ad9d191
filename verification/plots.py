"""Pictures of results, drawn with matplotlib and written as files.

They look the same everywhere: matplotlib's own defaults and its Agg backend, whatever MPLBACKEND or a matplotlibrc say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refimpl.descent import DescentResult
from refimpl.errors import ImplicitBiasError, OutputFileError
from refimpl.files import open_output
from refimpl.flow import FlowResult

if TYPE_CHECKING:
    from verification.claims.report import Report

_backend = os.environ.pop("MPLBACKEND", None)  # matplotlib cannot be imported with one that it does not know
try:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from verification import panels  # which imports matplotlib too
except Exception as error:  # a matplotlibrc that is no text, say
    raise ImplicitBiasError(f"no picture can be drawn: matplotlib does not load ({error}).") from error
finally:
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend

__all__ = [
    "Figure",
    "descent_figure",
    "flow_figure",
    "multipliers_figure",
    "panels",
    "picture_kind",
    "plot_descent",
    "plot_flow",
    "report_figure",
    "save_figure",
    "svg_text",
]

KINDS = ("png", "svg", "pdf")


@contextmanager
def plain_style() -> Iterator[None]:
    """Matplotlib's own defaults, so that a user's matplotlibrc neither asks for LaTeX nor changes the picture."""
    defaults: Any = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    with matplotlib.rc_context(defaults):  # a backend would stay after the context; `save_figure` needs none
        yield


def plot_flow(result: FlowResult, path: str | Path, force: bool = False) -> None:
    """Draw `result` into a .png, .svg or .pdf file."""
    with plain_style():
        save_figure(flow_figure(result), path, force)


def flow_figure(result: FlowResult) -> Figure:
    """Margins, sample weights, events and smoothed margin against s; the activation pattern over time."""
    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots(2, 2)
    draws = (panels.draw_margins, panels.draw_weights, panels.draw_flow_loss, panels.draw_pattern)
    for axis, draw in zip(axes.flat, draws, strict=True):
        draw(axis, result)
    figure.suptitle(f"Gradient flow: {result.status.name}, {len(result.events)} events")
    return figure


def plot_descent(result: DescentResult, path: str | Path, force: bool = False) -> None:
    """Draw `result` into a .png, .svg or .pdf file."""
    with plain_style():
        save_figure(descent_figure(result), path, force)


def descent_figure(result: DescentResult) -> Figure:
    """Stable rank, leading singular values, and loss with the smallest margin, by step."""
    figure = Figure(figsize=(14, 4.6), layout="constrained")
    draws = (panels.draw_stable_rank, panels.draw_singular_values, panels.draw_descent_loss)
    for axis, draw in zip(figure.subplots(1, 3), draws, strict=True):
        draw(axis, result)
    figure.suptitle(f"Gradient descent: {result.status.name}")
    return figure


def multipliers_figure(result: Any) -> Figure:
    """Multipliers λ of a `KKTResiduals` or a `MaxMargin`, sample by sample."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    panels.draw_multipliers(figure.subplots(), result.multipliers)
    figure.suptitle(f"{type(result).__name__}: {result.status.name}")
    return figure


def report_figure(report: Report) -> Figure:
    """Margins, limits, stable rank and Gram matrix of what a report was measured on.

    Raises
    ------
    ImplicitBiasError
        If the report was read from a file, which holds no flows.
    """
    evidence = report.evidence
    if evidence is None:
        raise ImplicitBiasError("a report read from a file has no flows to draw: make it with verify(...).")
    from verification.claims.as_given import descents_as_given, flows_as_given  # with a report they are loaded

    figure = Figure(figsize=(12, 9), layout="constrained")
    axes = figure.subplots(2, 2)
    flows, descents = flows_as_given(evidence), descents_as_given(evidence)
    if flows:
        panels.draw_margins(axes[0, 0], flows[0])
    limits = [(f"start {k}", flow.limit) for k, flow in enumerate(flows, 1) if flow.limit is not None]
    if limits:
        panels.draw_limit_spectra(axes[0, 1], limits)
    if descents:
        panels.draw_stable_rank(axes[1, 0], descents[0].result)
    panels.draw_gram(axes[1, 1], evidence.data)
    for axis in axes.flat:
        axis.set_visible(axis.has_data())
    figure.suptitle(report.summary)
    return figure


def picture_kind(path: str | Path) -> str:
    """What the ending of a file's name calls for: "png", "svg" or "pdf".

    Raises
    ------
    OutputFileError
        If the name ends in something else.

    Examples
    --------
    >>> picture_kind("flow.PDF")
    'pdf'
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise OutputFileError(path, f"the name of a picture must end in {', '.join(f'.{k}' for k in KINDS)}")
    return kind


def svg_text(draw: Callable[[Any], None], size: tuple[float, float], ink: str, salt: str) -> str:
    """An .svg file of what `draw` puts on a pair of axes of this size in inches, with text as text.

    `ink` is the colour of text and axes; equal `salt` and equal pictures give equal files.
    """
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    style: Any = dict.fromkeys(names, ink) | {"svg.fonttype": "none", "svg.hashsalt": salt}
    with plain_style(), matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.subplots())
        out = StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return out.getvalue()


def save_figure(figure: Figure, path: str | Path, force: bool = False, kind: str | None = None) -> None:
    """Write a figure, complete or not at all; its kind is that of the name, unless `kind` says another."""
    kind = picture_kind(path) if kind is None else kind
    FigureCanvasAgg(figure)
    with open_output(path, force) as handle:
        figure.savefig(handle, format=kind, dpi=130)
