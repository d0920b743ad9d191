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
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

from figure_files import FigureFiles, Parser, add_common_options, each, report, reporting_errors
from phase_drawing import excess_table, figure_of, large_figure, large_table, story_of, table_of
from phase_flows import SCALES, Cell, Found, LargeCell, LargeFound, examine, examine_large, rows_of

from refimpl.errors import ImplicitBiasError, InvalidParameterError
from refimpl.validation import as_count
from verification.bars import progress
from verification.progress import Told
from verification.studies.sweep_run import sweep
from verification.versions import environment


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
