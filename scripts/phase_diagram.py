"""How far the conclusions reach beyond the hypotheses: the limits of gradient flow over dimension and slope.

    python scripts/phase_diagram.py
    python scripts/phase_diagram.py --against correlation
    python scripts/phase_diagram.py --paper-size --out paper
    python scripts/phase_diagram.py --samples 4 --places 4,40 --slopes 0.1,0.5 --seeds 2 --out quick
    python scripts/phase_diagram.py --store phase.sqlite

For each number of samples n, each dimension d (Gaussian samples) or correlation (in d = 2,000) and each slope the
exact flow is followed from several starts of several scales on several data sets. Maps show the fraction of limits of
rank at most 2, the fraction that is the closed form, the number of different limits of a data set and the units that
rest on their kinks; lines show where the paper's condition, the instance-wise and the refined one begin to hold.
--paper-size follows the flow at n = 100, d = 10,000, m = 512†, slope 0.1† instead. With --store each data set is kept
as soon as it is done, and the same command carries on after an interruption (docs/sweeps.md). docs/findings.md tells
what comes out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from figure_files import FigureFiles, Parser, add_common_options, each, report, reporting_errors
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from rich.table import Table

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights
from refimpl.errors import ImplicitBiasError, InvalidParameterError
from refimpl.validation import Array, as_count
from verification import check_hypotheses, global_optimum
from verification.bars import progress
from verification.claims.report import environment
from verification.progress import Told
from verification.studies.survey import SAME, Survey, fraction, survey
from verification.studies.sweep_run import sweep
from verification.witnesses.enumeration import can_be_enumerated

SCALES = (1e-3, 1.0, 10.0)
"""Of the starts, relative to 1/R_max; the starts of a data set take them in turn."""

CORRELATED_DIMENSION = 2000
CONDITIONS = ("refined", "instance_wise", "paper")
STYLES = {"refined": "-", "instance_wise": "--", "paper": ":"}


@dataclass(frozen=True)
class Cell:
    """One data set: n samples at a place (a dimension or a correlation), one slope, one seed."""

    against: str
    n: int
    place: float
    slope: float
    seed: int
    starts: int


@dataclass(frozen=True)
class Found:
    """What was found there; fractions are over the limits of the starts."""

    cell: Cell
    rank_at_most_two: float
    closed_form: float
    different: int
    units_on_kinks: float
    largest_rank: int
    unfinished: int
    excess: float | None
    slacks: dict[str, float]


def network_of(cell: Cell) -> TwoLayerNetwork:
    """Two neurons of each sign for n <= 6, so that the global optimum can be enumerated; else four."""
    each_sign = 2 if cell.n <= 6 else 4
    return TwoLayerNetwork.with_signs(each_sign, each_sign, LeakyReLU(cell.slope))


def data_of(cell: Cell) -> Dataset:
    """Gaussian samples of that dimension, or samples of that correlation, with random labels of both signs."""
    rng = np.random.default_rng([cell.seed, cell.n])
    if cell.against == "dimension":
        data = datasets.gaussian(cell.n, int(cell.place), rng)
    else:
        data = datasets.correlated(cell.n, CORRELATED_DIMENSION, rng, correlation=cell.place)
    return data


def starts_of(network: TwoLayerNetwork, data: Dataset, count: int, seed: int) -> list[Array]:
    """Gaussian starts whose scales take turns."""
    rng = np.random.default_rng([seed, 1])
    scales = [SCALES[k % len(SCALES)] / data.R_max for k in range(count)]
    return [gaussian_weights(network.m, data.d, scale, rng) for scale in scales]


def examine(settings: dict[str, Any]) -> dict[str, Any]:
    """`examined`, in plain values."""
    return asdict(examined(Cell(**settings)))


def examined(cell: Cell) -> Found:
    """Follow the flows of one cell."""
    network, data = network_of(cell), data_of(cell)
    hypotheses = check_hypotheses(network, data)
    found = survey(network, data, starts_of(network, data, cell.starts, cell.seed))
    limits = found.limits
    distances = [limit.closed_form_distance for limit in limits]
    return Found(
        cell=cell,
        rank_at_most_two=fraction([limit.rank <= 2 for limit in limits]),
        closed_form=fraction([distance is not None and distance < SAME for distance in distances]),
        different=found.different,
        units_on_kinks=float(np.mean([float(limit.units_on_kinks) for limit in limits] or [np.nan])),
        largest_rank=max((limit.rank for limit in limits), default=0),
        unfinished=found.unfinished,
        excess=excess_of(network, data, found),
        slacks={name: float(getattr(hypotheses, name).slack) for name in CONDITIONS},
    )


def excess_of(network: TwoLayerNetwork, data: Dataset, found: Survey) -> float | None:
    """Largest ½‖W‖²/global optimum - 1 of the limits; None where it cannot be enumerated."""
    if not can_be_enumerated(network, data) or not found.limits:
        return None
    best = global_optimum(network, data)
    return max(best.excess(limit.objective) for limit in found.limits) if best.feasible else None


# --- rows and pictures -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """The mean over the data sets of one place of the map; slacks are medians."""

    n: int
    place: float
    slope: float
    rank_at_most_two: float
    closed_form: float
    different: float
    units_on_kinks: float
    largest_rank: int
    excess: float | None
    refined: float
    instance_wise: float
    paper: float


def rows_of(points: Sequence[Found]) -> list[Row]:
    """One row for each n, place and slope."""
    groups: dict[tuple[int, float, float], list[Found]] = {}
    for point in points:
        groups.setdefault((point.cell.n, point.cell.place, point.cell.slope), []).append(point)
    return [row_of(*key, group) for key, group in sorted(groups.items())]


def row_of(n: int, place: float, slope: float, group: list[Found]) -> Row:
    """The mean of several data sets."""
    excesses = [point.excess for point in group if point.excess is not None]
    return Row(
        n=n,
        place=place,
        slope=slope,
        rank_at_most_two=float(np.mean([point.rank_at_most_two for point in group])),
        closed_form=float(np.mean([point.closed_form for point in group])),
        different=float(np.mean([point.different for point in group])),
        units_on_kinks=float(np.mean([point.units_on_kinks for point in group])),
        largest_rank=max(point.largest_rank for point in group),
        excess=float(np.mean(excesses)) if excesses else None,
        **{name: float(np.median([point.slacks[name] for point in group])) for name in CONDITIONS},
    )


def boundary(rows: Sequence[Row], slope: float, condition: str) -> float | None:
    """Where the median slack reaches 1, interpolated in the logarithm of the place; None if not within the map."""
    line = sorted((row.place, getattr(row, condition)) for row in rows if row.slope == slope)
    for (place, slack), (other, next_slack) in pairwise(line):
        if (slack < 1.0) != (next_slack < 1.0):
            share = -np.log(max(slack, 1e-300)) / (np.log(next_slack) - np.log(max(slack, 1e-300)))
            return float(place + share * (other - place)) if place <= 0.0 else float(place * (other / place) ** share)
    return None


MAPS = (
    ("rank_at_most_two", "fraction of limits of rank ≤ 2", (0.0, 1.0)),
    ("closed_form", "fraction that is the closed form", (0.0, 1.0)),
    ("different", "different limits of a data set", None),
    ("units_on_kinks", "units on their kinks, mean", None),
)


def figure_of(rows: list[Row], against: str, starts: int) -> Figure:
    """A map for each n and each quantity."""
    sizes = sorted({row.n for row in rows})
    figure = Figure(figsize=(4.0 * len(MAPS), 3.0 * len(sizes) + 0.6), layout="constrained")
    axes = figure.subplots(len(sizes), len(MAPS), squeeze=False)
    for line, n in zip(axes, sizes, strict=True):
        own = [row for row in rows if row.n == n]
        for axis, (name, title, limits) in zip(line, MAPS, strict=True):
            image = draw(axis, own, name, limits or (0.0, float(starts)), against)
            figure.colorbar(image, ax=axis)
            axis.set_title(f"n = {n}: {title}", fontsize=9)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def draw(axis: Any, rows: list[Row], name: str, limits: tuple[float, float], against: str) -> Any:
    """One map, with the lines of the conditions."""
    places, slopes = sorted({row.place for row in rows}), sorted({row.slope for row in rows})
    values = np.full((len(slopes), len(places)), np.nan)
    for row in rows:
        values[slopes.index(row.slope), places.index(row.place)] = getattr(row, name)
    if name == "units_on_kinks":
        image = axis.pcolormesh(values + 0.01, norm=LogNorm(0.01, max(0.1, float(np.nanmax(values)))), cmap="magma")
    else:
        image = axis.pcolormesh(values, vmin=limits[0], vmax=limits[1], cmap="viridis")
    for condition, style in STYLES.items():
        draw_boundary(axis, rows, condition, style, places, slopes)
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
    label = condition.replace("_", "-") + " condition"
    axis.plot(*(zip(*line, strict=True) if line else ((), ())), style, marker=".", color="red", label=label, lw=1.8)
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


# --- the paper's size ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LargeCell:
    """The paper's experimental size: Gaussian samples or the paper's mixture, one start."""

    kind: str
    samples: int
    dimension: int
    neurons: int
    scale: float
    seed: int


@dataclass(frozen=True)
class LargeFound:
    """What one flow of that size led to."""

    cell: LargeCell
    status: str
    rank: int
    third_ratio: float
    units_on_kinks: int
    largest_margin: float
    closed_form_distance: float | None
    slacks: dict[str, float]
    seconds: float


def examine_large(settings: dict[str, Any]) -> dict[str, Any]:
    """`examined_large`, in plain values."""
    return asdict(examined_large(LargeCell(**settings)))


def examined_large(cell: LargeCell) -> LargeFound:
    """One flow of that size."""
    rng, started = np.random.default_rng([cell.seed, 2]), perf_counter()
    if cell.kind == "mixture":
        mean = cell.dimension**0.26
        data = datasets.gaussian_mixture(cell.samples, cell.dimension, rng, mean_norm=mean)
    else:
        data = datasets.gaussian(cell.samples, cell.dimension, rng)
    network = TwoLayerNetwork.with_signs(cell.neurons // 2, cell.neurons // 2, LeakyReLU(0.1))
    W0 = gaussian_weights(network.m, data.d, cell.scale / data.R_max, rng)
    found, hypotheses = survey(network, data, [W0]), check_hypotheses(network, data)
    slacks = {name: float(getattr(hypotheses, name).slack) for name in CONDITIONS}
    if not found.limits:
        return LargeFound(cell, "no limit", 0, np.inf, 0, np.inf, None, slacks, perf_counter() - started)
    limit = found.limits[0]
    facts = (limit.rank, limit.third_ratio, limit.units_on_kinks, limit.largest_margin, limit.closed_form_distance)
    return LargeFound(cell, "limit", *facts, slacks, perf_counter() - started)


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
    for kind in dict.fromkeys(point.cell.kind for point in points):
        own = sorted(
            (point.cell.scale, point.rank, point.units_on_kinks) for point in points if point.cell.kind == kind
        )
        scales, ranks, kinks = zip(*own, strict=True)
        axes[0].semilogx(scales, ranks, "o-", label=kind)
        axes[1].semilogx(scales, kinks, "o-", label=kind)
    for axis, title in zip(axes, ("rank of the limit", "units on their kinks"), strict=True):
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("scale of W(0), relative to 1/R_max")
        axis.legend()
    return figure


# --- command -------------------------------------------------------------------------------------------------------


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = Parser("phase_diagram", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="dimension", choices=("dimension", "correlation"), help="the first axis")
    parser.add_argument("--samples", default="4,10,20", metavar="N1,N2", help="numbers of samples (default: 4,10,20)")
    parser.add_argument("--places", default="", metavar="P1,P2", help="dimensions, or correlations")
    parser.add_argument("--slopes", default="0.05,0.1,0.2,0.3,0.5,0.7,0.9", metavar="G1,G2", help="slopes")
    parser.add_argument("--starts", type=int, default=6, metavar="N", help="starts for each data set (default: 6)")
    parser.add_argument("--store", metavar="FILE.sqlite", help="keep each data set in a file, and carry on with it")
    parser.add_argument("--paper-size", action="store_true", help="the flow at the paper's experimental size instead")
    add_common_options(parser, seeds=3)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run, print the tables, write the files."""
    return reporting_errors("phase_diagram", lambda: run(build_parser().parse_args(arguments)))


def run(args: argparse.Namespace) -> None:
    """What the options ask for."""
    (run_large if args.paper_size else run_maps)(args)


def cells_of(args: argparse.Namespace) -> list[Cell]:
    """All cells, the large ones first so that processes end together."""
    default = (
        "4,7,12,20,40,80,160,400,1000,3000" if args.against == "dimension" else "0,0.01,0.03,0.1,0.2,0.3,0.5,0.7,0.9"
    )
    samples, slopes = each("--samples", args.samples, int), each("--slopes", args.slopes, float)
    places = each("--places", args.places or default, float)
    seeds, starts = as_count("--seeds", args.seeds), as_count("--starts", args.starts)
    if args.against == "correlation" and not all(0.0 <= place < 1.0 for place in places):
        raise InvalidParameterError("--places", "be correlations in [0, 1)", args.places)
    if args.against == "dimension" and not all(place >= 1.0 and place == int(place) for place in places):
        raise InvalidParameterError("--places", "be dimensions, whole numbers of at least 1", args.places)
    grid = product(samples, places, slopes, range(seeds))
    cells = [Cell(args.against, n, place, slope, seed, starts) for n, place, slope, seed in grid]
    kept = [cell for cell in cells if args.against == "correlation" or cell.place >= cell.n]
    if not kept:
        raise InvalidParameterError("--places", "hold a dimension of at least the number of samples", args.places)
    return sorted(kept, key=lambda cell: -cell.n)


def run_maps(args: argparse.Namespace) -> None:
    """The maps."""
    started, cells = perf_counter(), cells_of(args)
    files = FigureFiles(Path(args.out), f"phase_{args.against}", args.force)
    files.check()
    results = followed(examine, cells, "phase-diagram", args, "data sets")
    points = [Found(**{**result, "cell": Cell(**result["cell"])}) for result in results]
    rows = rows_of(points)
    unfinished = sum(point.unfinished for point in points)
    count = f"{len(cells) * args.starts} flows on {len(cells)} data sets; {unfinished} of them without a limit."
    sentence = f"{count} {story_of(points)}"
    caption = (
        f"Limits of gradient flow from {args.starts} starts (scales {SCALES} relative to 1/R_max) on {args.seeds} data "
        f"sets a place; lines: where the median slack of a condition reaches 1. {sentence}\n"
    )
    document = {"caption": caption, "seconds": perf_counter() - started, "environment": environment()}
    document |= {"rows": [asdict(row) for row in rows], "data sets": [asdict(point) for point in points]}
    files.write(figure_of(rows, args.against, args.starts), document)
    report([table_of(rows, args.against), excess_table(rows)], sentence, files)


def run_large(args: argparse.Namespace) -> None:
    """The paper's size."""
    started = perf_counter()
    files = FigureFiles(Path(args.out), "phase_paper_size", args.force)
    files.check()
    cells = [LargeCell(kind, 100, 10_000, 512, scale, 0) for kind in ("gaussian", "mixture") for scale in SCALES]
    results = followed(examine_large, cells, "phase-diagram-paper-size", args, "flows")
    points = [LargeFound(**{**result, "cell": LargeCell(**result["cell"])}) for result in results]
    caption = "n = 100, d = 10,000, m = 512†, γ = 0.1†, ‖μ‖ = d^0.26† († recalled); one start of each scale.\n"
    document = {"caption": caption, "seconds": perf_counter() - started, "environment": environment()}
    document |= {"flows": [asdict(point) for point in points]}
    files.write(large_figure(points), document)
    report([large_table(points)], caption.strip(), files)


def followed(work: Any, cells: Sequence[Any], name: str, args: argparse.Namespace, what: str) -> list[dict[str, Any]]:
    """work(settings) for each cell, with progress."""
    jobs = as_count("--jobs", args.jobs)
    with progress() as tell:
        each = partial(tell_each, tell, what)
        found = sweep([asdict(cell) for cell in cells], args.store, work, name, jobs, progress=each).cells
    for cell in found:
        if cell.error is not None:
            raise ImplicitBiasError(f"{cell.error} ({cell.settings})")
    return [cell.result for cell in found]


def tell_each(tell: Callable[[str], None], what: str, done: int, failed: int, total: int) -> None:
    """For `sweep`: how many there are."""
    tell(Told(what, f"{done + failed} of {total}", (done + failed) / total))


if __name__ == "__main__":
    raise SystemExit(main())
