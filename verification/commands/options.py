"""Options that several subcommands share, and what is built from them."""

from __future__ import annotations

import argparse
import atexit
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import datasets
from refimpl.activations import LeakyReLU
from refimpl.column_readers import is_zarr
from refimpl.datasets import Dataset
from refimpl.documents import json_text
from refimpl.errors import ImplicitBiasError, InvalidParameterError, OutputFileError
from refimpl.files import check_paths, open_output
from refimpl.initialization import GaussianInitialization, gaussian_weights
from refimpl.losses import Loss, as_loss
from refimpl.network import TwoLayerNetwork
from refimpl.preparation import STEPS, Conditioning, Prepared, conditioning, prepare
from refimpl.tables import DEFAULT, Choices, ReadReport
from refimpl.tiles.accumulate import DEFAULT_MEMORY, Plan
from refimpl.validation import as_count
from verification.bars import progress, tell_passes
from verification.commands.data_words import gram_sentences, option, preparation_sentences
from verification.presets import PRESETS, preset_named
from verification.printing import console_for
from verification.streams import ascii_json, printable, remark, write_output

__all__ = [
    "Problem",
    "add_html_option",
    "add_output_options",
    "add_problem_options",
    "add_weights_option",
    "check_outputs",
    "check_steps",
    "count",
    "data_record",
    "deliver",
    "duration",
    "heading",
    "initial_weights",
    "numbers",
    "page_output",
    "problem_from",
    "progress",
    "refuse_save_in_tiles",
    "remarks",
    "tell_drawing",
]

INPUTS = ("data", "labels", "weights", "check", "skips")
"""Options that name a file to be read."""

FILE_SLOPE, FILE_NEURONS = 0.1, 8
"""Slope, and neurons of each sign, for --data FILE when no option says otherwise."""

NEURONS = f"default: of the preset, or of --weights with a second layer; else {FILE_NEURONS}"
"""The help of --positive and --negative."""

PREPARATION = {
    "centre": "subtract the mean of the samples, which makes K singular",
    "standardize": "subtract the mean of each column and divide by its standard deviation; K is singular then too",
    "unit_norm": "divide each sample by its norm",
    "add_bias": "add a column of ones",
}
"""What each step of preparation does, in the order of `refimpl.preparation.STEPS`."""

STEP_SECONDS, MOST_SECONDS = 1e-5, 30 * 86400.0
"""No step of gradient descent is faster than this; more than 30 days of them are refused."""


Output = tuple[str | None, Callable[[Any, bool], None]]
"""A path, if that output was asked for, and what writes it: called with the path and --force."""


class Problem:
    """The network, the data and the loss that the options ask for; what was read, if it was a file; the preparation."""

    def __init__(
        self, network: TwoLayerNetwork, prepared: Prepared, loss: Loss, origin: str, report: ReadReport | None = None
    ) -> None:
        self.network, self.prepared, self.loss, self.origin = network, prepared, loss, origin
        self.data, self.report = prepared.data, report

    @cached_property
    def conditioning(self) -> Conditioning | None:
        """Rank and condition of K; None where that takes long."""
        return conditioning(self.data)


def data_record(problem: Problem) -> dict[str, Any]:
    """Where the data come from, what was read, how they were prepared and what K is like, ready for JSON.

    Returns
    -------
    dict
        `origin`, `n`, `d`, `sha256` of the data after the preparation; `read`, the `ReadReport` of a file, else None;
        `preparation`, a list of steps; `gram`, rank and condition of K, None where that takes long.
    """
    data, found, report = problem.data, problem.conditioning, problem.report
    return {
        "origin": problem.origin,
        "n": data.n,
        "d": data.d,
        "sha256": data.sha256,
        "read": None if report is None else report.to_dict(),
        "preparation": [step.to_dict() for step in problem.prepared.steps],
        "gram": None if found is None else found.to_dict(),
    }


def heading(problem: Problem) -> list[str]:
    """What stands above a table: the steps of preparation, if there are any."""
    steps = ", ".join(step.name for step in problem.prepared.steps)
    return [f"Preparation: {steps}."] if steps else []


def remarks(problem: Problem) -> tuple[list[str], list[str]]:
    """What the preparation costs and what K is like; and warnings of bad conditioning.

    K of a built-in data set that was not prepared is not spoken of.
    """
    said = preparation_sentences(problem.prepared)[len(problem.prepared.steps) :]
    warnings: list[str] = []
    if (problem.report is not None or problem.prepared.steps) and problem.conditioning is not None:
        of_gram, warnings = gram_sentences(problem.prepared, problem.conditioning)
        said += of_gram
    return said, warnings


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
    parser.add_argument("--positive", type=count, metavar="M1", help=f"number of neurons with a_j > 0 ({NEURONS})")
    parser.add_argument("--negative", type=count, metavar="M2", help=f"number of neurons with a_j < 0 ({NEURONS})")
    parser.add_argument(
        "--loss", default="logistic", metavar="NAME", help="logistic (default) or exponential; for descend, hinge too"
    )
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


def page_output(args: argparse.Namespace, page: Callable[[], str]) -> Output:
    """What writes the text of `page` where --html asks for it."""

    def write(path: Any, force: bool) -> None:
        text = page()
        with open_output(path, force) as handle:
            handle.write(text.encode(errors="backslashreplace"))

    return args.html, write


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
    outputs: dict[str, Any] = {f"--{name}": getattr(args, name.replace("-", "_")) for name in names}
    if outputs.get("--json") == "-":
        del outputs["--json"]
    inputs = {f"--{name}": getattr(args, name, None) for name in INPUTS}
    if inputs["--data"] is not None and is_zarr(inputs["--data"]):
        del inputs["--data"]  # a folder
    check_paths(outputs | dict(more or {}), inputs, args.force)
    if outputs.get("--plot") is not None:
        from verification.plots import picture_kind  # matplotlib takes a second to import

        picture_kind(outputs["--plot"])


def problem_from(args: argparse.Namespace) -> Problem:
    """Build network, data and loss."""
    loss, args.seed = as_loss(args.loss), as_count("seed", args.seed, 0)
    choices = _choices(args)
    if args.data is None:
        if choices != DEFAULT or (args.labels, args.memory, args.scheduler) != (None, None, None):
            raise InvalidParameterError("data", "be given where options say how it is read", None)
        preset = preset_named(args.preset)
        _require_memory(args.positive, args.negative)
        network = preset.network(args.slope, args.positive, args.negative)
        prepared, origin = _prepared(args, preset.data(args.seed, network.slope)), f"preset {preset.name}"
        _require_memory(args.positive, args.negative, prepared.data)
        return _told(Problem(network, prepared, loss, origin))
    slope = FILE_SLOPE if args.slope is None else args.slope
    positive = FILE_NEURONS if args.positive is None else args.positive
    negative = FILE_NEURONS if args.negative is None else args.negative
    _require_memory(positive, negative)
    network = TwoLayerNetwork.with_signs(positive, negative, LeakyReLU(slope))
    with progress():
        data, report = datasets.read(args.data, choices, args.labels, _plan(args))
    _remark(f"read {report.sentence}", *report.warnings)
    prepared = _prepared(args, data)
    _require_memory(positive, negative, prepared.data)
    return _told(Problem(network, prepared, loss, str(args.data), report))


def _plan(args: argparse.Namespace) -> Plan:
    """How passes over tiles are made; the connection to a cluster ends with the process."""
    executor = None
    if args.scheduler is not None:
        from verification.cluster import connect  # only where it is asked for

        connection = connect(args.scheduler)
        executor = connection.__enter__()
        atexit.register(connection.__exit__, None, None, None)
    return Plan(DEFAULT_MEMORY if args.memory is None else args.memory, executor, tell_passes)


def _prepared(args: argparse.Namespace, data: Dataset) -> Prepared:
    return prepare(data, *(step for step in STEPS if getattr(args, step)))


def _told(problem: Problem) -> Problem:
    """The problem, once it was told how the data were prepared and, if they are the user's, what K is like."""
    said, warnings = remarks(problem)
    for sentence in [*preparation_sentences(problem.prepared)[: len(problem.prepared.steps)], *said]:
        _remark(sentence)
    _remark("", *warnings)
    return problem


def _remark(sentence: str, *warnings: str) -> None:
    lines = [f"... {sentence}"] if sentence else []
    for line in [*lines, *(f"implicit-bias: warning: {words}." for words in warnings)]:
        remark(f"{printable(line)}\n")


def _choices(args: argparse.Namespace) -> Choices:
    classes = None if args.classes is None else tuple(args.classes)
    return Choices(args.header, args.label_column, args.positive_label, classes, tuple(args.drop_column))


def _require_memory(positive: int | None, negative: int | None, data: Dataset | None = None) -> None:
    """Refuse numbers of neurons whose weights (m, d) and pre-activations (m, n) cannot be held, before they are made.

    Raises
    ------
    InvalidParameterError
        If the weights, and the pre-activations three times, take more than this process may have.
    """
    m, n, d = (positive or 0) + (negative or 0), 1 if data is None else data.n, 1 if data is None else data.d
    d = min(d, n + m) if data is not None and data.in_tiles else d
    need, have = 8.0 * m * (d + 3.0 * n), memory()
    if need > have:
        size = f"{need / 2**30:,.0f} GiB of memory at least, of {have / 2**30:,.1f} GiB"
        raise InvalidParameterError("positive + negative", f"be smaller: so many neurons take {size}", m)


def memory() -> float:
    """Bytes that this process may have: those of the machine, or its limit (`ulimit -v`); inf where nobody says."""
    try:
        machine = float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
        from resource import RLIM_INFINITY, RLIMIT_AS, getrlimit
    except (ImportError, AttributeError, ValueError, OSError):
        return float("inf")
    limit = getrlimit(RLIMIT_AS)[0]
    return machine if limit == RLIM_INFINITY else min(machine, float(limit))


def add_weights_option(parser: argparse.ArgumentParser, what: str) -> None:
    """--write-weights."""
    parser.add_argument(
        "--write-weights", metavar="FILE.npy", help=f"write {what}, shape (m, d), a tile of columns at a time"
    )


def refuse_save_in_tiles(args: argparse.Namespace, problem: Problem) -> None:
    """Refuse --save, which keeps X, where X is gone through in tiles.

    Raises
    ------
    InvalidParameterError
    """
    if getattr(args, "save", None) is not None and problem.data.in_tiles:
        raise InvalidParameterError("save", "not be given for data in tiles: --write-weights writes W", args.save)


def check_steps(steps: int) -> None:
    """Refuse a number of steps that no machine takes within a month.

    Raises
    ------
    InvalidParameterError
    """
    if steps * STEP_SECONDS > MOST_SECONDS:
        most, time = MOST_SECONDS / STEP_SECONDS, duration(steps * STEP_SECONDS)
        raise InvalidParameterError("steps", f"be at most {most:.1e}: at 10 µs a step these would take {time}", steps)


def initial_weights(problem: Problem, scale: float, seed: int) -> Any:
    """Gaussian W0 of standard deviation scale/R_max; of samples in tiles one that is generated in tiles."""
    if problem.data.in_tiles:
        return GaussianInitialization((seed, 1, 0), scale / problem.data.R_max)
    rng = np.random.default_rng([seed, 1, 0])
    return gaussian_weights(problem.network.m, problem.data.d, scale / problem.data.R_max, rng)


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


def duration(seconds: float) -> str:
    """A time in words.

    Examples
    --------
    >>> [duration(x) for x in (3.2, 200.0, 9e3, 1e6, 1e12)]
    ['3 s', '3.33 min', '2.5 h', '11.6 days', '3.17e+04 years']
    """
    for unit, size in (("years", 3.156e7), ("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.0f} s"


def deliver(
    args: argparse.Namespace,
    shown: Iterable[Any],
    document: str | dict[str, Any] | None = None,
    files: Iterable[Output] = (),
) -> None:
    """Hand out results: --json and the other files first, then the tables; what fails takes nothing else with it.

    Ctrl-C leaves out the file that is being written and those after it, and shows the tables.

    Parameters
    ----------
    args : argparse.Namespace
        With `json`, `force` and `wide`, where there are such options.
    shown : iterable
        What rich renders, for standard output, or for standard error if the JSON goes to standard output (`--json -`).
    document : str or dict, optional
        The JSON.
    files : iterable of (path or None, callable)
        Other outputs.

    Raises
    ------
    ImplicitBiasError
        After everything else, if an output could not be written.
    """
    failures: list[Exception] = []
    wide = getattr(args, "wide", False)
    path = getattr(args, "json", None)
    outputs: list[Output] = [(None if path == "-" else path, lambda path, force: _write_json(path, force, document))]
    stopped: KeyboardInterrupt | None = None
    try:
        for name, write in [*outputs, *files]:
            if name is not None:
                _attempt(lambda: write(name, args.force), failures)  # noqa: B023
    except KeyboardInterrupt as stop:
        stopped = stop
    if path == "-":
        _attempt(lambda: _print(sys.stderr, shown, wide), [])  # a lost remark is no lost result
        _attempt(lambda: _print_json(document), failures)
    else:
        _attempt(lambda: _print(sys.stdout, shown, wide), failures)
    if stopped is not None:
        raise stopped
    unexpected = [error for error in failures if not isinstance(error, ImplicitBiasError)]
    if unexpected or len(failures) == 1:
        raise (unexpected or failures)[0]
    if failures:
        raise ImplicitBiasError(" ".join(map(str, failures)))


def tell_drawing(path: str | Path) -> None:
    """Say that a picture is drawn, which takes seconds, after Ctrl-C too."""
    remark(f"... drawing {printable(str(path))} (Ctrl-C leaves it out)\n")


def _attempt(write: Callable[[], None], failures: list[Exception]) -> None:
    try:
        write()
    except Exception as error:
        failures.append(error)


def _print(stream: Any, shown: Iterable[Any], wide: bool) -> None:
    console = console_for(stream, wide)
    try:
        for what in shown:
            console.print(what, soft_wrap=isinstance(what, str), highlight=not isinstance(what, str))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFileError("standard output", str(error.strerror or error)) from error
    if stream is sys.stdout:
        write_output("")


def _print_json(document: str | dict[str, Any] | None) -> None:
    text = _json(document)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = ascii_json(text)
    write_output(text)


def _write_json(path: Any, force: bool, document: str | dict[str, Any] | None) -> None:
    text = _json(document)
    with open_output(Path(path), force) as handle:
        try:
            handle.write(text.encode())
        except UnicodeEncodeError:  # a name of a file that is no text
            handle.write(ascii_json(text).encode())


def _json(document: str | dict[str, Any] | None) -> str:
    return document if isinstance(document, str) else json_text(document)
