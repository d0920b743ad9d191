"""`implicit-bias search`: data that nearly meet a condition and violate a conclusion."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from rich.table import Table

from refimpl.display import shown
from refimpl.errors import RunInterrupted
from refimpl.files import make_folder
from verification.bars import progress
from verification.commands import delivery, options
from verification.printing import sentence
from verification.versions import environment

if TYPE_CHECKING:
    from verification.studies.counterexamples import Counterexample
    from verification.studies.search import SearchResult

__all__ = ["add_parser", "run"]

EXAMPLES = """examples:
  implicit-bias search --seconds 60
  implicit-bias search --conclusion rank --samples 3 --neurons 3 --out found/
  implicit-bias verify --data found/limits-closest.csv --slope 0.05 --positive 2 --negative 0 --seed 0

exit codes: 0 something was found, or nothing was (the table says); 2 bad input"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "search",
        description="Look for data whose condition has a slack below 1, as near to 1 as can be, and where a limit has "
        "rank above 2, a margin that is not tight, or is not the only one.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--seconds", type=float, default=60.0, metavar="S", help="time budget (default: 60)")
    parser.add_argument(
        "--tries", type=options.count, metavar="N", help="directions for each method, instead of a time"
    )
    parser.add_argument("--conclusion", default="any", metavar="NAME", help="rank, margin, limits or any (default)")
    parser.add_argument(
        "--condition", default="refined", metavar="NAME", help="refined (default), instance_wise or paper"
    )
    parser.add_argument(
        "--samples", type=options.count, default=4, metavar="N", help="largest number of samples (default: 4)"
    )
    parser.add_argument(
        "--neurons", type=options.count, default=4, metavar="M", help="largest number of neurons (default: 4)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="write what was found as .csv files that verify reads")
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    folder = make_folder(args.out) if args.out is not None else None
    names = [f"{conclusion}-{which}.csv" for conclusion in WHAT for which in ("closest", "smallest")]
    more = {} if folder is None else {f"--out ({name})": folder / name for name in names}
    delivery.check_outputs(args, "json", more=more)
    from verification.studies.counterexamples import write_counterexample
    from verification.studies.search import search

    what = (args.seconds, args.conclusion, args.condition, args.samples, args.neurons, args.seed, args.tries)
    code = 0
    try:
        with progress() as tell:
            found = search(*what, tell)
    except RunInterrupted as stop:
        found, code = stop.result, 130
    tried = ", ".join(f"{count} {method}" for method, count in found.directions.items()) or "none"
    parts: list[Any] = [
        _table(found),
        sentence(f"Directions tried: {tried}; flows followed on {found.flows} data sets."),
    ]
    files: list[delivery.Output] = []
    if args.out:
        for name, counterexample in _named(found):
            path = Path(args.out) / f"{name}.csv"
            files.append((str(path), partial(write_counterexample, counterexample)))
            parts.append(f"implicit-bias verify --data {quote(str(path))} {counterexample.command}")
    delivery.deliver(args, parts, _document(found) | {"environment": environment()}, files)
    return code


def _named(found: SearchResult) -> list[tuple[str, Counterexample]]:
    """The counterexamples by name; the smallest only where it is another one."""
    pairs = []
    for conclusion, closest in found.closest.items():
        pairs.append((f"{conclusion}-closest", closest))
        if found.smallest[conclusion] is not closest:
            pairs.append((f"{conclusion}-smallest", found.smallest[conclusion]))
    return pairs


WHAT = {"rank": "σ₃/σ₁ of a limit", "margin": "largest margin of a limit", "limits": "different limits"}


def _table(found: SearchResult) -> Table:
    table = Table("found", f"slack ({found.condition})", "n", "m₁, m₂", "slope", "violated", "value", "method")
    for name, x in _named(found):
        signs = f"{x.positive}, {x.negative}"
        cells = (f"{x.slack:.4f}", str(x.data.n), signs, f"{x.slope:g}", WHAT[x.conclusion], shown(x.value), x.method)
        table.add_row(name, *cells)
    if not found.closest:
        table.add_row("nothing", *[""] * 7)
    return table


def _document(found: SearchResult) -> dict[str, Any]:
    rows = [
        {
            "name": name,
            "conclusion": x.conclusion,
            "slack": x.slack,
            "positive": x.positive,
            "negative": x.negative,
            "slope": x.slope,
            "seed": x.seed,
            "value": x.value,
            "method": x.method,
            "X": x.data.X.tolist(),
            "y": x.data.y.tolist(),
        }
        for name, x in _named(found)
    ]
    return {
        "schema_version": 1,
        "condition": found.condition,
        "found": rows,
        "directions": found.directions,
        "flows": found.flows,
    }
