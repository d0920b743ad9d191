"""Figure 1: how far gradient descent lowers the stable rank on a Gaussian mixture, against d and against ω.

    python scripts/figure1.py
    python scripts/figure1.py --dimensions 200,2000 --seeds 3 --steps 30 --out quick

The experiment of Frei et al., arXiv 2210.07082, with its settings as recalled (†, docs/theory.md, section 4). Left:
the stable rank of W(t), divided by that of W(0), against the dimension. Right: against the scale ω of W(0). Drawn
in are the prediction of section 9 for one step from ω → 0 and the bound of section 8 for W(t) - W(0). Scales are in
units of √(2/(m+d)), the Glorot scale. Writes figure1.png, .svg, .json and .caption.txt; docs/experiments.md tells
what comes out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from figure1_runs import CHOSEN, FAILURE_PROBABILITY, PAPER, Point, Row, Run, Setting, descend, rows_of
from figure_files import (
    COLOURS,
    MARKERS,
    FigureFiles,
    Parser,
    add_common_options,
    counted,
    each,
    in_parallel,
    legend_below,
    report,
    reporting_errors,
)
from matplotlib.figure import Figure
from rich.table import Table

from refimpl.display import shown
from refimpl.errors import InvalidParameterError
from refimpl.validation import as_count, as_positive
from verification.bars import progress
from verification.progress import Told
from verification.versions import environment


def runs_of(args: argparse.Namespace) -> list[Run]:
    """All runs, the longest first, so that several processes end together; bad values are refused here."""
    seeds, steps = as_count("--seeds", args.seeds), as_count("--steps", args.steps)
    samples, neurons = as_count("--samples", args.samples), as_count("--neurons", args.neurons, 2)
    left_step, right_step = (as_positive("--step-size", alpha) for alpha in pair("--step-size", args.step_size))
    dimensions = [as_count("--dimensions", d) for d in each("--dimensions", args.dimensions, int)]
    scales = [as_positive("--scales", s) for s in each("--scales", args.scales, float)]
    at_dimension, at_scale = as_count("--at-dimension", args.at_dimension), as_positive("--at-scale", args.at_scale)
    slope, exponent = PAPER["slope"].value, PAPER["mean_exponent"].value
    left = Run("left", samples, 0, neurons, slope, exponent, at_scale, left_step, steps, 0)
    right = replace(left, panel="right", d=at_dimension, step_size=right_step)
    grid = [replace(left, d=d) for d in dimensions] + [replace(right, relative_scale=s) for s in scales]
    runs = [replace(run, seed=seed) for run in grid for seed in range(seeds)]
    return sorted(runs, key=lambda run: -run.d)


def pair(option: str, text: str) -> tuple[float, float]:
    """LEFT,RIGHT, or one number for both."""
    try:
        numbers = [float(part) for part in text.split(",")]
        left, right = numbers * 2 if len(numbers) == 1 else numbers
    except ValueError as error:
        raise InvalidParameterError(option, "be one number or two separated by a comma", text) from error
    return left, right


def carried_out(runs: list[Run], jobs: int) -> list[Point]:
    """The points, by panel, dimension, scale and seed; tells how far it is."""
    points: list[Point] = []
    with progress() as tell:
        for run, point in zip(runs, in_parallel(descend, runs, jobs), strict=True):
            points.append(point)
            tell(Told("descents", f"{len(points)} of {len(runs)} (d = {run.d})", len(points) / len(runs)))
    return sorted(points, key=lambda point: (point.run.panel, point.run.d, point.run.relative_scale, point.run.seed))


def figure_of(rows: list[Row], settings: dict[str, Setting]) -> Figure:
    """Both panels."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    by_panel = {panel: [row for row in rows if row.panel == panel] for panel in ("left", "right")}
    draw(left, by_panel["left"], [row.d for row in by_panel["left"]])
    draw(right, by_panel["right"], [row.relative_scale for row in by_panel["right"]])
    s = settings
    left.set_title(f"against the dimension, ω = {s['relative_scale_left']} √(2/(m+d)), α = {s['step_size_left']}")
    right.set_title(f"against the initialization scale, d = {s['dimension_right']}, α = {s['step_size_right']}")
    label_places(left, [row.d for row in by_panel["left"]])
    left.set_xlabel("dimension d")
    right.set_xlabel("ω in units of √(2/(m+d))")
    left.set_ylabel("stable rank of W(t) / stable rank of W(0)")
    legend_below(figure, left, right, ncols=5)
    return figure


def draw(axis: Any, rows: list[Row], place: Sequence[float]) -> None:
    """Median and range for each drawn step, with prediction and bound."""
    for step, colour, marker in zip(rows[0].ratio, cycle(COLOURS), cycle(MARKERS), strict=False):
        low, median, high = np.array([row.ratio[step] for row in rows]).T
        axis.fill_between(place, low, high, color=colour, alpha=0.25, lw=0)
        axis.plot(place, median, color=colour, marker=marker, ms=5, label=f"{step} step{'s' if step > 1 else ''}")
    predicted = [row.predicted_ratio for row in rows]
    bound = [math.nan if row.bound_ratio is None else row.bound_ratio for row in rows]
    axis.plot(place, predicted, color="black", ls="--", lw=1.2, label="1 step, ω → 0 (section 9)")
    axis.plot(place, bound, color="black", ls=":", lw=1.2, label="bound for W(t) - W(0) (section 8)")
    axis.axhline(1.0, color="#bbbbbb", lw=0.8, zorder=0)
    axis.set_xscale("log")
    axis.set_yscale("log")


def label_places(axis: Any, place: Sequence[int]) -> None:
    """Ticks at the places themselves, as long as they are few."""
    if len(place) <= 8:
        axis.set_xticks(place, labels=[f"{d:,}" for d in place])
        axis.set_xticks([], minor=True)


def settings_of(args: argparse.Namespace) -> dict[str, Setting]:
    """Every setting with its source; one that an option changed is ours."""
    left, right = pair("--step-size", args.step_size)
    given = {
        "samples": args.samples,
        "neurons": args.neurons,
        "step_size_left": left,
        "step_size_right": right,
        "relative_scale_left": args.at_scale,
        "dimension_right": args.at_dimension,
    }
    changed = {name: Setting(value, CHOSEN) for name, value in given.items() if value != PAPER[name].value}
    ours = {"steps": Setting(args.steps, CHOSEN), "seeds": Setting(args.seeds, CHOSEN)}
    return PAPER | changed | ours


def caption_of(settings: dict[str, Setting]) -> str:
    """What the figure shows, with every setting and its source."""
    s, seeds = settings, counted(settings["seeds"].value, "seed")
    return (
        "Stable rank of W(t), divided by that of W(0), after gradient descent on all samples of a Gaussian mixture: "
        f"n = {s['samples']}, m = {s['neurons']} neurons, "
        f"leaky ReLU of slope γ = {s['slope']}, ‖μ‖ = d^{s['mean_exponent']}, logistic loss. "
        f"Left: against the dimension d, step size α = {s['step_size_left']}, "
        f"ω = {s['relative_scale_left']} √(2/(m+d)). "
        f"Right: against ω, α = {s['step_size_right']}, d = {s['dimension_right']}. "
        f"Lines are medians of {seeds}, bands run from the smallest to the largest. Dashed: "
        "tr(ES)/λ_max(ES), the limit of one step as ω → 0, then m → ∞ (docs/theory.md, section 9). Dotted: the bound "
        "on the stable rank of W(t) - W(0) for every t > 0 (section 8). Both are divided by the stable rank of W(0). "
        "† marks a setting of Frei et al., arXiv 2210.07082, that was recalled, ‡ one that is reported second-hand; "
        "none was checked against the paper's text. Grids, seeds and the number of steps are chosen here.\n"
    )


def tables_of(rows: list[Row]) -> list[Table]:
    """One table a panel: medians of the stable rank, and the ratios that are drawn."""
    tables = []
    for panel, title in (("left", "d"), ("right", "ω/√(2/(m+d))")):
        own = [row for row in rows if row.panel == panel]
        steps = list(own[0].ratio)
        ratios = [f"ratio, t = {step}" for step in steps]
        table = Table(title, "stable rank, t = 0", f"t = {steps[-1]}", *ratios, "section 9", "section 8")
        for row in own:
            place = row.d if panel == "left" else row.relative_scale
            ranks = (f"{row.initial_stable_rank:.1f}", f"{row.final_stable_rank:.2f}")
            cells = (f"{median:.4f} ({low:.4f} to {high:.4f})" for low, median, high in row.ratio.values())
            limits = (f"{row.predicted_ratio:.4f}", "-" if row.bound_ratio is None else f"{row.bound_ratio:.4f}")
            table.add_row(f"{place:g}", *ranks, *cells, *limits)
        tables.append(table)
    return tables


def theorem_sentence(points: list[Point]) -> str:
    """How far the experiment is from the hypotheses of the paper's theorem on descent."""
    most = max(points, key=lambda point: point.theorem.slack)
    step, scale = (most.run.step_size / most.theorem.step_size, most.scale / most.theorem.scale)
    return (
        "The paper's theorem on descent does not cover these runs: it needs a smooth activation, and its condition on "
        f"the data has a slack of at most {shown(most.theorem.slack)} here (1 is needed; †, with H = 1, "
        f"δ = {FAILURE_PROBABILITY:g}), "
        f"reached at d = {most.run.d}, where α is {shown(step)} times and ω {shown(scale)} times what it allows."
    )


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = Parser("figure1", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    value = {name: setting.value for name, setting in PAPER.items()}
    parser.add_argument("--dimensions", default="200,500,1000,2000,5000,10000", metavar="D1,D2", help="left panel")
    parser.add_argument(
        "--scales",
        default="0.0001,0.001,0.003,0.01,0.03,0.1,0.3,1",
        metavar="S1,S2",
        help="right panel: ω in units of √(2/(m+d))",
    )
    parser.add_argument("--at-scale", type=float, default=value["relative_scale_left"], help="ω of the left panel")
    parser.add_argument("--at-dimension", type=int, default=value["dimension_right"], help="d of the right panel")
    parser.add_argument("--steps", type=int, default=100, help="steps of each descent (default: 100)")
    parser.add_argument("--step-size", default="0.01,0.16", metavar="LEFT,RIGHT", help="α (default: 0.01,0.16)")
    parser.add_argument("--neurons", type=int, default=value["neurons"], help="m (default: 512)")
    parser.add_argument("--samples", type=int, default=value["samples"], help="n (default: 100)")
    add_common_options(parser, seeds=5)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run, print the tables, write the files."""
    return reporting_errors("figure1", lambda: run_figure(build_parser().parse_args(arguments)))


def run_figure(args: argparse.Namespace) -> None:
    """Figure 1 as the options ask for it."""
    started = perf_counter()
    runs, jobs = runs_of(args), as_count("--jobs", args.jobs)
    files = FigureFiles(Path(args.out), "figure1", args.force)
    files.check()
    points = carried_out(runs, jobs)
    rows, settings = rows_of(points), settings_of(args)
    document: dict[str, Any] = {
        "figure": "Figure 1 of arXiv 2210.07082, with recalled settings",
        "caption": caption_of(settings),
        "settings": {name: asdict(setting) for name, setting in settings.items()},
        "theorem": theorem_sentence(points),
        "seconds": perf_counter() - started,
        "environment": environment(),
        "summary": [asdict(row) for row in rows],
        "points": [asdict(point) for point in points],
    }
    files.write(figure_of(rows, settings), document)
    report(tables_of(rows), document["theorem"], files)


if __name__ == "__main__":
    sys.exit(main())
