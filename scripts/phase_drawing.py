"""Maps, tables and sentences of the phase diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from figure_files import COLOURS, CONDITIONS, MARKERS, condition_name, legend_below
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from phase_flows import Found, LargeFound, Row, boundary
from rich.table import Table

MAPS = (
    ("rank_at_most_two", "fraction of limits of rank ≤ 2", (0.0, 1.0)),
    ("closed_form", "fraction that is the closed form", (0.0, 1.0)),
    ("different", "different limits of a data set", None),
    ("units_on_kinks", "units on their kinks, mean", None),
)
"""Name, title and limits; yellow is what the theory concludes in each: rank 2, closed form, one limit, no kinks."""

NO_KINKS = 0.01
"""Stands for 0 on a logarithmic scale."""


def figure_of(rows: list[Row], against: str, starts: int) -> Figure:
    """A map for each n and each quantity."""
    sizes = sorted({row.n for row in rows})
    figure = Figure(figsize=(4.0 * len(MAPS), 3.0 * len(sizes) + 0.6), layout="constrained")
    axes = figure.subplots(len(sizes), len(MAPS), squeeze=False)
    for line, n in zip(axes, sizes, strict=True):
        own = [row for row in rows if row.n == n]
        for axis, (name, title, limits) in zip(line, MAPS, strict=True):
            image = draw(axis, own, name, limits or (1.0, max(2.0, float(starts))), against)
            bar = figure.colorbar(image, ax=axis)
            if name == "units_on_kinks":
                ticks = [10.0**k for k in range(-2, 4) if 10.0**k <= image.norm.vmax]
                bar.set_ticks(ticks, labels=["0", *(f"{tick:g}" for tick in ticks[1:])])
            axis.set_title(f"n = {n}: {title}", fontsize=9)
    legend_below(figure, axes[0][0], ncols=3)
    return figure


def draw(axis: Any, rows: list[Row], name: str, limits: tuple[float, float], against: str) -> Any:
    """One map, with the lines of the conditions."""
    places, slopes = sorted({row.place for row in rows}), sorted({row.slope for row in rows})
    values = np.full((len(slopes), len(places)), np.nan)
    for row in rows:
        values[slopes.index(row.slope), places.index(row.place)] = getattr(row, name)
    if name == "units_on_kinks":
        norm = LogNorm(NO_KINKS, max(0.1, float(np.nanmax(values))))
        image = axis.pcolormesh(np.maximum(values, NO_KINKS), norm=norm, cmap="viridis_r")
    else:
        colours = "viridis_r" if name == "different" else "viridis"
        image = axis.pcolormesh(values, vmin=limits[0], vmax=limits[1], cmap=colours)
    for (condition, style), marker in zip(CONDITIONS.items(), MARKERS, strict=False):
        draw_boundary(axis, rows, condition, style + marker, places, slopes)
    axis.set_xticks(np.arange(len(places)) + 0.5, [f"{place:g}" for place in places], fontsize=7, rotation=45)
    axis.set_yticks(np.arange(len(slopes)) + 0.5, [f"{slope:g}" for slope in slopes], fontsize=7)
    axis.set_xlabel("dimension d" if against == "dimension" else "correlation", fontsize=8)
    axis.set_ylabel("slope γ", fontsize=8)
    return image


def draw_boundary(
    axis: Any, rows: list[Row], condition: str, style: str, places: list[float], slopes: list[float]
) -> None:
    """Where a condition begins to hold, in the map's own units."""
    points = [(boundary(rows, slope, condition), k + 0.5) for k, slope in enumerate(slopes)]
    scale = np.log if places[0] > 0.0 else np.asarray
    middle = np.arange(len(places)) + 0.5
    line = [(float(np.interp(scale(x), scale(places), middle)), y) for x, y in points if x is not None]
    edge = [Stroke(linewidth=3.6, foreground="black"), Normal()]  # seen on every colour of the map
    axis.plot(
        *(zip(*line, strict=True) if line else ((), ())), style, color="white", lw=1.8, ms=4, path_effects=edge,
        label=f"where the {condition_name(condition)} begins to hold",
    )  # fmt: skip
    axis.set_facecolor("lightgray")
    axis.set_xlim(0, len(places))
    axis.set_ylim(0, len(slopes))


def table_of(rows: list[Row], against: str) -> Table:
    """For each n and slope: where each conclusion begins to hold in all of the flows, and each condition."""
    first = "smallest d" if against == "dimension" else "largest correlation"
    table = Table(
        "n", "slope", f"{first}: rank ≤ 2", "closed form", "refined", "instance-wise", "paper", "largest rank"
    )
    for n, slope in sorted({(row.n, row.slope) for row in rows}):
        own = [row for row in rows if (row.n, row.slope) == (n, slope)]
        own.sort(key=lambda row: row.place, reverse=against == "dimension")
        cells = [last_place(own, name) for name in ("rank_at_most_two", "closed_form")]
        lines = [boundary(own, slope, condition) for condition in CONDITIONS]
        shown_lines = ["-" if x is None else f"{x:.3g}" for x in lines]
        table.add_row(str(n), f"{slope:g}", *cells, *shown_lines, str(max(row.largest_rank for row in own)))
    return table


def last_place(rows: list[Row], name: str) -> str:
    """Going down from the easy end, the last place up to which the conclusion held in every flow."""
    last = "-"
    for row in rows:
        if getattr(row, name) < 1.0:
            break
        last = f"{row.place:g}"
    return last


def excess_table(rows: list[Row]) -> Table:
    """Where the global optimum was enumerated: how far above it the limits are."""
    table = Table(
        "n", "place", "slope", "largest ½‖W‖²/global optimum - 1, mean over data sets", "fraction of rank ≤ 2"
    )
    for row in rows:
        if row.excess is not None and row.excess > 1e-9:
            table.add_row(
                str(row.n), f"{row.place:g}", f"{row.slope:g}", f"{row.excess:.3g}", f"{row.rank_at_most_two:.3g}"
            )
    return table


def story_of(points: Sequence[Found]) -> str:
    """What the conditions say and what was seen, in sentences."""
    held = [point for point in points if point.slacks["refined"] > 1.0]
    below = [point for point in points if point.slacks["refined"] <= 1.0]
    good = [point for point in below if point.closed_form == 1.0]
    as_proven = sum(point.closed_form == 1.0 and point.different == 1 for point in held)
    sentences = [
        f"The refined condition holds on {len(held)} of {len(points)} data sets; on {as_proven} of them every limit is "
        f"the closed form. Where it fails, every limit is the closed form on {len(good)} of {len(below)}"
        + (f", down to a slack of {min(point.slacks['refined'] for point in good):.3g}." if good else "."),
        *(largest_failing(below, name, what) for name, what in FAILURES),
    ]
    known = [point for point in points if point.excess is not None]
    if known:
        worse = sum(point.excess is not None and point.excess > 1e-9 for point in known)
        sentences.append(
            f"Of {len(known)} data sets with an enumerated optimum {worse} have a limit that is not global."
        )
    return " ".join(filter(None, sentences))


FAILURES = (("closed_form", "is not the closed form"), ("rank_at_most_two", "has rank above 2"))


def largest_failing(points: Sequence[Found], name: str, what: str) -> str:
    """The largest slack at which some limit fails a conclusion."""
    slacks = [point.slacks["refined"] for point in points if getattr(point, name) < 1.0]
    return f"The largest slack at which a limit {what} is {max(slacks):.3g}." if slacks else f"No limit {what}."


def large_table(points: Sequence[LargeFound]) -> Table:
    """One line a flow."""
    table = Table(
        "samples", "scale", "rank", "σ₃/σ₁", "units on kinks", "max q / min q", "closed form", "refined slack", "s"
    )
    for point in points:
        distance = point.closed_form_distance
        table.add_row(
            point.cell.kind,
            f"{point.cell.scale:g}",
            str(point.rank),
            f"{point.third_ratio:.2e}",
            str(point.units_on_kinks),
            f"{point.largest_margin:.6g}",
            "there is none" if distance is None else f"{distance:.1e}",
            f"{point.slacks['refined']:.3g}",
            f"{point.seconds:.0f}",
        )
    return table


def large_figure(points: Sequence[LargeFound]) -> Figure:
    """Ranks and units on kinks by scale."""
    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    figure.suptitle("limits of gradient flow at n = 100, d = 10,000, m = 512†, γ = 0.1†", fontsize=10)
    axes = figure.subplots(1, 2)
    kinds = dict.fromkeys(point.cell.kind for point in points)
    for kind, colour, marker in zip(kinds, COLOURS, MARKERS, strict=False):
        own = sorted(
            (point.cell.scale, point.rank, point.units_on_kinks) for point in points if point.cell.kind == kind
        )
        scales, ranks, kinks = zip(*own, strict=True)
        axes[0].semilogx(scales, ranks, color=colour, marker=marker, label=kind)
        axes[1].semilogx(scales, kinks, color=colour, marker=marker, label=kind)
    for axis, quantity in zip(axes, ("rank of the limit", "units on their kinks"), strict=True):
        axis.set_ylabel(quantity)
        axis.set_xlabel("scale of W(0), relative to 1/R_max")
    legend_below(figure, axes[0])
    return figure
