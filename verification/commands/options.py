"""Options that several subcommands share, and what is built from them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from refimpl import datasets
from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError, OutputFileError
from refimpl.files import check_paths, refuse_to_overwrite
from refimpl.initialization import gaussian_weights
from refimpl.losses import Loss, loss_by_name
from refimpl.network import TwoLayerNetwork
from refimpl.tables import DEFAULT, Choices, ReadReport
from refimpl.validation import Array, as_count
from verification.presets import PRESETS, preset_named

__all__ = [
    "Problem",
    "add_output_options",
    "add_problem_options",
    "check_outputs",
    "initial_weights",
    "numbers",
    "problem_from",
    "progress",
    "results",
    "tables",
]

INPUTS = ("data", "weights", "check", "skips")
"""Options that name a file to be read."""

FILE_SLOPE, FILE_NEURONS = 0.1, 8
"""Slope, and neurons of each sign, for --data FILE when no option says otherwise."""


class Problem:
    """The network, the data and the loss that the options ask for; and what was read, if it was a file."""

    def __init__(
        self, network: TwoLayerNetwork, data: Dataset, loss: Loss, origin: str, report: ReadReport | None = None
    ) -> None:
        self.network, self.data, self.loss, self.origin = network, data, loss, origin
        self.report = report


def add_problem_options(parser: argparse.ArgumentParser, slope: Callable[[str], Any] = float) -> None:
    """--preset or --data, and the network; `slope` reads the slope."""
    source = parser.add_mutually_exclusive_group()
    presets = "; ".join(f"{preset.name}: {preset.description}" for preset in PRESETS.values())
    source.add_argument(
        "--preset", default="theorem", metavar="NAME", help=f"built-in data set (default: theorem). {presets}"
    )
    source.add_argument(
        "--data",
        metavar="FILE",
        help="your data: .npz with X and y, or a table (.csv, .tsv, .csv.gz, .parquet, .arrow) with a column of labels "
        "(y, label, or the last)",
    )
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
    parser.add_argument("--slope", type=slope, metavar="GAMMA", help="slope of the leaky ReLU, in [0, 1]")
    parser.add_argument("--positive", type=int, metavar="M1", help="number of neurons with a_j > 0")
    parser.add_argument("--negative", type=int, metavar="M2", help="number of neurons with a_j < 0")
    parser.add_argument("--loss", default="logistic", metavar="NAME", help="logistic (default) or exponential")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random draw (default: 0)")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """--json and --force."""
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON ('-': to standard output)")
    parser.add_argument("--force", action="store_true", help="overwrite output files that exist")


def check_outputs(args: argparse.Namespace, *names: str, more: Mapping[str, Path] | None = None) -> None:
    """Refuse, before any work, outputs that could not be written, and inputs that are no regular files.

    Parameters
    ----------
    args : argparse.Namespace
    *names : str
        The options that name outputs.
    more : mapping of str to path, optional
        Outputs that no option names, by what messages call them.
    """
    outputs: dict[str, Any] = {f"--{name}": getattr(args, name) for name in names}
    if outputs.get("--json") == "-":
        del outputs["--json"]
    inputs = {f"--{name}": getattr(args, name, None) for name in INPUTS}
    check_paths(outputs | dict(more or {}), inputs, args.force)
    if outputs.get("--plot") is not None:
        from verification.plots import picture_kind  # matplotlib takes a second to import

        picture_kind(outputs["--plot"])


def problem_from(args: argparse.Namespace) -> Problem:
    """Build network, data and loss."""
    loss, args.seed = loss_by_name(args.loss), as_count("seed", args.seed, 0)
    choices = _choices(args)
    if args.data is None:
        if choices != DEFAULT:
            raise InvalidParameterError("data", "be given where options say how it is read", None)
        preset = preset_named(args.preset)
        network = preset.network(args.slope, args.positive, args.negative)
        return Problem(network, preset.data(args.seed, network.slope), loss, f"preset {preset.name}")
    slope = FILE_SLOPE if args.slope is None else args.slope
    positive = FILE_NEURONS if args.positive is None else args.positive
    negative = FILE_NEURONS if args.negative is None else args.negative
    network = TwoLayerNetwork.with_signs(positive, negative, LeakyReLU(slope))
    data, report = datasets.read(args.data, choices)
    _tell(f"... read {report.sentence}", *(f"implicit-bias: warning: {text}." for text in report.warnings))
    return Problem(network, data, loss, str(args.data), report)


def _choices(args: argparse.Namespace) -> Choices:
    classes = None if args.classes is None else tuple(args.classes)
    return Choices(args.header, args.label_column, args.positive_label, classes, tuple(args.drop_column))


def _tell(*sentences: str) -> None:
    """Lines on standard error, with what its encoding lacks replaced."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    for sentence in sentences:
        print(sentence.encode(encoding, "replace").decode(encoding), file=sys.stderr)


def initial_weights(problem: Problem, scale: float, seed: int) -> Array:
    """Gaussian W0 of standard deviation scale/R_max."""
    rng = np.random.default_rng([seed, 1, 0])
    return gaussian_weights(problem.network.m, problem.data.d, scale / problem.data.R_max, rng)


def numbers(text: str) -> tuple[float, ...]:
    """Numbers separated by commas."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 1e-4,1e-2,1") from error


def tables(args: argparse.Namespace) -> Console:
    """Where tables go: standard output, or standard error if JSON goes there."""
    stream = sys.stderr if args.json == "-" else sys.stdout
    console = Console(file=stream)
    return console if console.is_terminal else Console(file=stream, width=180)


@contextmanager
def progress() -> Iterator[Any]:
    """A function that tells what is being done: a spinner on a terminal, else lines on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda message: console.print(f"... {message}", highlight=False, soft_wrap=True)
        return
    with console.status("starting") as status:
        yield status.update


@contextmanager
def results(
    args: argparse.Namespace,
    content: str | dict[str, Any] | None = None,
    *files: tuple[str | Path | None, Callable[[str | Path], None]],
) -> Iterator[Console]:
    """Write the files that were asked for, then hand out the console for the tables, which the block prints.

    An output that fails takes no other with it: the rest is written and printed, then the error is raised.

    Parameters
    ----------
    args : argparse.Namespace
    content : str or dict, optional
        What --json writes.
    *files : (path, function)
        `function(path)` writes one file; nothing is done where the path is None.

    Raises
    ------
    OutputFileError
        At the end, with all that failed.
    """
    text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    if args.json not in (None, "-"):
        files = ((args.json, lambda path: _write_text(path, text, args.force)), *files)
    failures = []
    for path, write in files:
        if path is not None:
            try:
                write(path)
            except OutputFileError as error:
                failures.append(error)
    try:
        yield tables(args)
        _end_of_output(text if args.json == "-" else "")
    except BrokenPipeError:
        if not failures:
            raise
    except OSError as error:
        failures.append(OutputFileError("standard output", str(error.strerror or error)))
        with suppress(OSError, AttributeError):  # or Python complains again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if failures:
        others = (f"; nor `{error.path}`: {error.reason}" for error in failures[1:])
        raise OutputFileError(failures[0].path, failures[0].reason + "".join(others))


def _write_text(path: str | Path, text: str, force: bool) -> None:
    with refuse_to_overwrite(path, force) as handle:
        handle.write(text.encode())


def _end_of_output(text: str) -> None:
    """Write what remains to standard output, and find out whether it arrived."""
    if sys.stdout is None:
        raise OSError("it is closed")
    sys.stdout.write(text)
    sys.stdout.flush()
