"""Pictures of results, drawn with matplotlib and written as files.

They look the same everywhere: matplotlib's own defaults and its Agg backend, whatever MPLBACKEND or a matplotlibrc say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.descent import DescentResult
from refimpl.errors import ImplicitBiasError, OutputFileError
from refimpl.files import open_output
from refimpl.flow import FlowResult

_backend = os.environ.pop("MPLBACKEND", None)  # matplotlib cannot be imported with one that it does not know
try:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.figure import Figure
except Exception as error:  # a matplotlibrc that is no text, say
    raise ImplicitBiasError(f"no picture can be drawn: matplotlib does not load ({error}).") from error
finally:
    if _backend is not None:
        os.environ["MPLBACKEND"] = _backend

__all__ = ["descent_figure", "flow_figure", "picture_kind", "plot_descent", "plot_flow", "save_figure"]

KINDS = ("png", "svg", "pdf")

SIDE_COLOURS = ("#3b6ea8", "#f2c14e", "#c8553d")
SIDE_NAMES = ("slope γ", "on its kink", "slope 1")


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
    figure = Figure(figsize=(11, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    path = result.trajectory
    s = np.maximum(path.s, _first_positive(path.s))
    with np.errstate(divide="ignore", invalid="ignore"):
        normalized = path.margins / path.norm[:, None]
    _lines(axes[0, 0], s, normalized, "normalized margins $q_i / \\|W\\|_F$")
    axes[0, 0].plot(s, path.smoothed_margin, color="black", lw=1.5, ls="--", label="smoothed margin")
    low, high = np.nanmin(normalized), np.nanmax(normalized)
    axes[0, 0].set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes[0, 0].legend(loc="lower right", frameon=False)
    _lines(axes[0, 1], s, path.sample_weights, "sample weights $w_i = g_i / \\Sigma g$")
    _draw_loss_and_events(axes[1, 0], result, s)
    _draw_pattern(figure, axes[1, 1], result)
    figure.suptitle(f"Gradient flow: {result.status.name}, {len(result.events)} events")
    return figure


def plot_descent(result: DescentResult, path: str | Path, force: bool = False) -> None:
    """Draw `result` into a .png, .svg or .pdf file."""
    with plain_style():
        save_figure(descent_figure(result), path, force)


def descent_figure(result: DescentResult) -> Figure:
    """Stable rank, leading singular values, and loss with the smallest margin, by step."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    ranks, spectrum, losses = figure.subplots(1, 3)
    path = result.trajectory
    step = path.step + 1  # so that step 0 has a place on a logarithmic axis
    ranks.plot(step, path.stable_rank, color="#3b6ea8", label="$W(t)$")
    ranks.plot(step, path.increment_stable_rank, color="#c8553d", ls="--", label="$W(t) - W(0)$")
    ranks.set_title("stable rank")
    ranks.legend(frameon=False)
    spectrum.plot(step, path.singular_values, lw=0.9)
    spectrum.set_title("largest singular values of $W(t)$")
    losses.plot(step, path.log_loss, color="black", label="log of the loss")
    losses.plot(step, path.smallest_margin, color="#3b6ea8", label="smallest margin")
    losses.set_title("loss and smallest margin")
    losses.legend(frameon=False)
    for axis in (ranks, spectrum, losses):
        axis.set_xscale("log")
        axis.set_xlabel("step + 1")
    spectrum.set_yscale("log" if path.singular_values.min() > 0.0 else "linear")
    figure.suptitle(f"Gradient descent: {result.status.name}")
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


def save_figure(figure: Figure, path: str | Path, force: bool = False, kind: str | None = None) -> None:
    """Write a figure, complete or not at all; its kind is that of the name, unless `kind` says another."""
    kind = picture_kind(path) if kind is None else kind
    FigureCanvasAgg(figure)
    with open_output(path, force) as handle:
        figure.savefig(handle, format=kind, dpi=130)


def _first_positive(s: Any) -> float:
    positive = s[s > 0.0]
    return float(positive[0]) if positive.size else 1.0


def _lines(axis: Any, s: Any, values: Any, title: str) -> None:
    axis.plot(s, values, lw=0.9, alpha=0.8)
    axis.set_xscale("log")
    axis.set_xlabel("loss-normalized time s")
    axis.set_title(title)


def _draw_loss_and_events(axis: Any, result: FlowResult, s: Any) -> None:
    axis.plot(s, result.trajectory.log_loss, color="black", label="log of the loss")
    axis.set_xscale("log")
    axis.set_xlabel("loss-normalized time s")
    axis.set_title("log of the loss, and the number of events so far")
    counts = axis.twinx()
    kinds = (("crossed", "#3b6ea8"), ("began to slide", "#f2c14e"), ("released", "#c8553d"))
    for kind, colour in kinds:
        times = np.sort([max(event.s, s[0]) for event in result.events if event.kind == kind])
        if times.size:
            counts.step(times, np.arange(1, times.size + 1), where="post", color=colour, label=kind)
    axis.legend(loc="lower left", frameon=False)
    if counts.lines:
        counts.legend(loc="upper left", frameon=False)
    counts.set_ylabel("events")


def _draw_pattern(figure: Figure, axis: Any, result: FlowResult) -> None:
    """The side of every unit over time: one row a unit, the units of one neuron together."""
    last = max(float(result.trajectory.s[-1]), 1e-300)
    first = min((event.s for event in result.events if event.s > 0.0), default=last / 10.0)
    edges = np.geomspace(min(first, last / 10.0), last, 241)
    columns = _patterns_over_time(result, np.sqrt(edges[:-1] * edges[1:]))
    m, n = result.initial_pattern.shape
    mesh = axis.pcolormesh(
        edges,
        np.arange(m * n + 1) / n,
        columns,
        cmap=ListedColormap(SIDE_COLOURS),
        norm=BoundaryNorm([-1.5, -0.5, 0.5, 1.5], 3),
    )
    axis.set_xscale("log")
    axis.invert_yaxis()
    axis.set_title("side of each unit (j, i) over time")
    axis.set_xlabel("loss-normalized time s")
    axis.set_ylabel("neuron j, its samples below one another")
    bar = figure.colorbar(mesh, ax=axis, ticks=[-1, 0, 1])
    bar.ax.set_yticklabels(SIDE_NAMES)


def _patterns_over_time(result: FlowResult, times: Any) -> Any:
    """Patterns at increasing times, one column each, shape (m n, len(times))."""
    pattern, events, k = result.initial_pattern.copy(), result.events, 0
    columns = []
    for s in times:
        while k < len(events) and events[k].s <= s:
            pattern[events[k].neuron, events[k].sample] = events[k].side
            k += 1
        columns.append(pattern.ravel().copy())
    return np.array(columns).T
