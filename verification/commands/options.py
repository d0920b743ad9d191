"""Options that several subcommands share, and what their words mean."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

from verification.commands.data_words import option
from verification.presets import PRESETS

__all__ = [
    "FILE_NEURONS",
    "FILE_SLOPE",
    "add_html_option",
    "add_output_options",
    "add_problem_options",
    "add_weights_option",
    "count",
    "numbers",
]

FILE_SLOPE, FILE_NEURONS = 0.1, 8
"""Slope, and neurons of each sign, for --data FILE when no option says otherwise."""

NEURONS = f"default: of the preset; {FILE_NEURONS} for --data"
"""The default of --positive and --negative; `WITH_WEIGHTS` where a file of weights may tell it."""

WITH_WEIGHTS = f"default: of --weights, if these have a second layer, else of the preset, or {FILE_NEURONS} for --data"

PREPARATION = {
    "centre": "subtract the mean of the samples, which makes K singular",
    "standardize": "subtract the mean of each column and divide by its standard deviation; K is singular then too",
    "unit_norm": "divide each sample by its norm",
    "add_bias": "add a column of ones",
}
"""What each step of preparation does, in the order of `refimpl.preparation.STEPS`."""


def add_problem_options(
    parser: argparse.ArgumentParser,
    slope: Callable[[str], Any] = float,
    losses: str = "logistic (default) or exponential",
    neurons: str = NEURONS,
) -> None:
    """--preset or --data, and the network.

    `slope` reads the slope, `losses` is the help of --loss, `neurons` tells the default of --positive and --negative.
    """
    source = parser.add_mutually_exclusive_group()
    presets = [f"{preset.name}: {preset.description}" for preset in PRESETS.values()]
    listed = "\n".join(
        ["built-in data set (default: theorem)", *presets, "†: recalled, not compared with the paper's text"]
    )
    source.add_argument("--preset", default="theorem", metavar="NAME", help=listed)
    source.add_argument(
        "--data",
        metavar="FILE",
        help="your data: .npz with X and y, or a table (.csv, .tsv, .csv.gz, .parquet, .arrow) with a column of labels "
        "(y, label, or the last); text of svmlight (.svm, .libsvm); with --labels .npy, .zarr or sparse .npz, which "
        "may be larger than memory",
    )
    large = parser.add_argument_group("data in tiles of columns")
    large.add_argument("--labels", metavar="FILE.npy", help="the labels, for --data X.npy, X.zarr or sparse .npz")
    large.add_argument(
        "--memory", type=memory_size, metavar="SIZE", help="of a pass over --data, such as 500MB (default: 1GB)"
    )
    large.add_argument("--scheduler", metavar="ADDRESS", help="make the passes on the Dask cluster with this scheduler")
    table = parser.add_argument_group("how --data is read")
    table.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="whether the first line is a header (default: if it cannot be a sample)",
    )
    table.add_argument("--label-column", metavar="NAME|N", help="the column of labels, by its name or number (from 1)")
    table.add_argument("--positive-label", metavar="NAME", help="the label that becomes +1; the other becomes -1")
    table.add_argument(
        "--classes", nargs=2, metavar=("A", "B"), help="labels that become +1 and -1; other rows are left out"
    )
    table.add_argument(
        "--drop-column", action="append", default=[], metavar="NAME|N", help="leave a column out (may be repeated)"
    )
    prepared = parser.add_argument_group("how the data are prepared, in this order")
    for step, what in PREPARATION.items():
        prepared.add_argument(option(step), action="store_true", help=what)
    parser.add_argument(
        "--slope",
        type=slope,
        metavar="GAMMA",
        help="slope of the leaky ReLU, in [0, 1] (default: of the preset; 0.1 for --data)",
    )
    parser.add_argument("--positive", type=count, metavar="M1", help=f"number of neurons with a_j > 0 ({neurons})")
    parser.add_argument("--negative", type=count, metavar="M2", help=f"number of neurons with a_j < 0 ({neurons})")
    parser.add_argument("--loss", default="logistic", metavar="NAME", help=losses)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: 0)")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """--json and --force."""
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON ('-': to standard output)")
    parser.add_argument("--force", action="store_true", help="overwrite output files that exist")


def add_html_option(parser: argparse.ArgumentParser) -> None:
    """--html."""
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="write a page of words, tables and pictures that stands alone",
    )


def add_weights_option(parser: argparse.ArgumentParser, what: str) -> None:
    """--write-weights."""
    parser.add_argument(
        "--write-weights", metavar="FILE.npy", help=f"write {what}, shape (m, d), a tile of columns at a time"
    )


def count(text: str) -> int:
    """A whole number, also written as 1e6.

    Examples
    --------
    >>> count("300"), count("1e6")
    (300, 1000000)
    """
    for read in (int, float):
        try:
            value = read(text)
        except ValueError:
            continue
        if isinstance(value, int) or (value.is_integer() and abs(value) < 2.0**53):
            return int(value)
    raise argparse.ArgumentTypeError(f"{short(text)} is not a whole number such as 300 or 1e6")


def memory_size(text: str) -> int:
    """Bytes, with a unit or without one.

    Examples
    --------
    >>> memory_size("500MB"), memory_size("1.5 GiB"), memory_size("1e9")
    (500000000, 1610612736, 1000000000)
    """
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]i?)?b?\s*", text.lower())
    try:
        value = float(found[1]) if found is not None else 0.0
    except ValueError:
        value = 0.0
    unit = (found[2] or "") if found is not None else ""
    size = value * (1024 if unit.endswith("i") else 1000) ** (" kmgt".index(unit[0]) if unit else 0)
    if not 1.0 <= size < 2.0**63:
        raise argparse.ArgumentTypeError(f"{short(text)} is not a size such as 500MB or 2GiB")
    return int(size)


def short(text: str) -> str:
    """`text` in quotes, cut if it is long.

    Examples
    --------
    >>> short("x" * 100)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...'"
    """
    return repr(text if len(text) <= 40 else text[:40] + "...")


def numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{short(text)} is not a list of numbers such as 1e-4,1e-2,1") from error
