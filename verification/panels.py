"""One picture each: what a flow, a descent or a data set looks like on a pair of axes.

One colour stands for one thing in every picture, and lines that share axes differ in their dashes too, so that a
picture reads in grey and for the colour-blind. Nothing is drawn over a curve: legends stand below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap

from refimpl.datasets import Dataset
from refimpl.descent import DescentResult
from refimpl.flow import FlowLimit, FlowResult
from refimpl.validation import Array, IntArray

__all__ = [
    "draw_descent_loss",
    "draw_flow_loss",
    "draw_gram",
    "draw_limit_spectra",
    "draw_margins",
    "draw_multipliers",
    "draw_pattern",
    "draw_singular_values",
    "draw_stable_rank",
    "draw_weights",
]

WEIGHTS, INCREMENT, MARGIN = "#2f6db5", "#d1662f", "#2f6db5"
"""W(t), W(t) - W(0), the smallest margin."""

EVENTS = {"crossed": ("#2f6db5", "-"), "began to slide": ("#c79a00", "--"), "released": ("#d1662f", ":")}
"""Colour and dash of each kind of event."""

SIDES = {"slope γ": "#3b528b", "on its kink": "#fde725", "slope 1": "#e07b39"}
"""Three tones that stay apart in grey: dark, light, middle."""

MANY = 20_000
"""Lines with more points than this are kept as an image inside a picture of lines."""

S_LABEL = "loss-normalized time s"


def ink() -> Any:
    """The colour of text and axes, which a page sets to that of its own text."""
    return matplotlib.rcParams["text.color"]


def below(axis: Any, lines: Sequence[Any] | None = None) -> None:
    """The legend under the axes, where no curve is."""
    handles = axis.get_legend_handles_labels()[0] if lines is None else list(lines)
    if handles:
        axis.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, frameon=False)


def draw_margins(axis: Any, result: FlowResult) -> None:
    """Normalized margins q_i/‖W‖_F and the smoothed margin against s."""
    path, s = result.trajectory, times(result)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalized = path.margins / path.norm[:, None]
    one_line_a_sample(axis, s, normalized)
    axis.plot(s, path.smoothed_margin, color=ink(), lw=1.5, ls="--", label="smoothed margin")
    low, high = np.nanmin(normalized, initial=np.inf), np.nanmax(normalized, initial=-np.inf)
    if np.isfinite([low, high]).all() and low < high:
        axis.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    against_s(axis, "normalized margins, one line a sample", "$q_i / \\|W\\|_F$")
    below(axis)


def draw_weights(axis: Any, result: FlowResult) -> None:
    """Sample weights w_i = g_i/Σg against s."""
    one_line_a_sample(axis, times(result), result.trajectory.sample_weights)
    against_s(axis, "sample weights, one line a sample", "$w_i = g_i / \\Sigma g$")


def draw_flow_loss(axis: Any, result: FlowResult) -> None:
    """log L and the number of events so far against s."""
    s = times(result)
    lines = axis.plot(s, result.trajectory.log_loss, color=ink(), label="log of the loss")
    against_s(axis, "loss and events", "log L")
    counts = axis.twinx()
    for kind, (colour, dash) in EVENTS.items():
        when = np.sort([max(event.s, s[0]) for event in result.events if event.kind == kind])
        if when.size:
            when, number = np.append(when, s[-1]), np.append(np.arange(1, when.size + 1), when.size)
            lines += counts.step(when, number, where="post", color=colour, ls=dash, label=f"{kind} ({number[-1]})")
    counts.set_ylabel("events so far")
    below(axis, lines)


def draw_pattern(axis: Any, result: FlowResult) -> None:
    """The side of every unit over time: one row a unit, the units of one neuron together."""
    last = max(float(result.trajectory.s[-1]), 1e-300)
    first = min((event.s for event in result.events if event.s > 0.0), default=last / 10.0)
    edges = np.geomspace(min(first, last / 10.0), last, 241)
    columns = patterns_over_time(result, np.sqrt(edges[:-1] * edges[1:]))
    m, n = result.initial_pattern.shape
    colours, norm = ListedColormap(list(SIDES.values())), BoundaryNorm([-1.5, -0.5, 0.5, 1.5], 3)
    rows = np.arange(m * n + 1) / n
    mesh = axis.pcolormesh(edges, rows, columns, cmap=colours, norm=norm, rasterized=columns.size > MANY)
    against_s(axis, "side of each unit (j, i)", "neuron j, its samples below one another")
    axis.invert_yaxis()
    bar = axis.figure.colorbar(mesh, ax=axis, ticks=[-1, 0, 1])
    bar.ax.set_yticklabels(list(SIDES))


def draw_limit_spectra(axis: Any, limits: Sequence[tuple[str, FlowLimit]]) -> None:
    """Singular values of limits relative to the largest, of each limit with its name."""
    most = 0
    for k, (name, limit) in enumerate(limits):
        sigma = limit.singular_values[:12]
        most = max(most, sigma.size)
        ratios = np.maximum(sigma / sigma[0], 1e-18)
        axis.plot(np.arange(1, sigma.size + 1), ratios, marker="osD^v<>"[k % 7], ms=5, lw=0.8, label=name)
    axis.axhline(np.finfo(np.float64).eps, color=ink(), lw=0.7, ls=":", label="rounding of float64")
    axis.set(yscale="log", xlabel="k", ylabel="$\\sigma_k / \\sigma_1$", title="singular values of the limit")
    axis.set_xticks(range(1, most + 1))
    below(axis)


def draw_stable_rank(axis: Any, result: DescentResult) -> None:
    """Stable ranks of W(t) and W(t) - W(0) by step."""
    path = result.trajectory
    axis.plot(path.step + 1, path.stable_rank, color=WEIGHTS, label="W(t)")
    axis.plot(path.step + 1, path.increment_stable_rank, color=INCREMENT, ls="--", label="W(t) - W(0)")
    by_step(axis, "stable rank", "$\\|W\\|_F^2 / \\|W\\|_2^2$")
    below(axis)


def draw_singular_values(axis: Any, result: DescentResult) -> None:
    """The largest singular values of W(t) by step."""
    path = result.trajectory
    axis.plot(path.step + 1, path.singular_values, lw=0.9)
    by_step(axis, "largest singular values of W(t)", "$\\sigma_k$")
    axis.set_yscale("log" if path.singular_values.min(initial=np.inf) > 0.0 else "linear")


def draw_descent_loss(axis: Any, result: DescentResult) -> None:
    """log L and the smallest margin by step."""
    path = result.trajectory
    axis.plot(path.step + 1, path.log_loss, color=ink(), label="log of the loss")
    axis.plot(path.step + 1, path.smallest_margin, color=MARGIN, ls="--", label="smallest margin")
    by_step(axis, "loss and smallest margin", "log L, min $q_i$")
    below(axis)


def draw_gram(axis: Any, data: Dataset) -> None:
    """Cosines K_ik/√(K_ii K_kk) of the samples, those of label +1 first."""
    order = np.argsort(-data.y, kind="stable")
    root = np.sqrt(np.diagonal(data.gram))[order]
    cosines = data.gram[np.ix_(order, order)] / root[:, None] / root
    image = axis.imshow(cosines, cmap="cividis", vmin=-1.0, vmax=1.0, interpolation="nearest")
    border = int(np.sum(data.y > 0)) - 0.5
    for line in (axis.axhline, axis.axvline):
        line(border, color="white", lw=0.8)
    axis.set(title="cosines of the samples", xlabel="sample, label +1 first", ylabel="sample")
    axis.figure.colorbar(image, ax=axis, label="$K_{ik} / \\sqrt{K_{ii} K_{kk}}$")


def draw_multipliers(axis: Any, multipliers: Array) -> None:
    """λ_i as a stem for each sample; samples with λ_i = 0 are no support vectors."""
    axis.stem(np.arange(multipliers.size), multipliers, basefmt=" ", linefmt=MARGIN, markerfmt="o")
    support = int(np.sum(multipliers > 0.0))
    axis.set(xlabel="sample i", ylabel="$\\lambda_i$", title=f"multipliers: {support} support vectors")


def times(result: FlowResult) -> Array:
    """Recorded times s, with the first positive one in place of 0, for logarithmic axes."""
    s = result.trajectory.s
    positive = s[s > 0.0]
    return np.maximum(s, positive[0] if positive.size else 1.0)


def one_line_a_sample(axis: Any, s: Array, values: Array) -> None:
    """A thin line for each column."""
    axis.plot(s, values, lw=0.9, alpha=0.8, rasterized=values.size > MANY)


def against_s(axis: Any, title: str, quantity: str) -> None:
    """Title and axes of a picture over the flow's time."""
    axis.set(xscale="log", xlabel=S_LABEL, ylabel=quantity, title=title)


def by_step(axis: Any, title: str, quantity: str) -> None:
    """Title and axes of a picture over steps; step 0 has a place on a logarithmic axis."""
    axis.set(xscale="log", xlabel="step + 1", ylabel=quantity, title=title)


def patterns_over_time(result: FlowResult, when: Array) -> IntArray:
    """Patterns at increasing times, one column each, shape (m n, len(when))."""
    pattern, events, k = result.initial_pattern.copy(), result.events, 0
    columns = []
    for s in when:
        while k < len(events) and events[k].s <= s:
            pattern[events[k].neuron, events[k].sample] = events[k].side
            k += 1
        columns.append(pattern.ravel().copy())
    return np.array(columns).T
