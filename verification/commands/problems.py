"""The network, the data and the loss that a command line asks for."""

from __future__ import annotations

import argparse
import atexit
import os
from functools import cached_property
from typing import Any

import numpy as np

from refimpl import datasets
from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError
from refimpl.initialization import GaussianInitialization, gaussian_weights
from refimpl.losses import Loss, as_loss
from refimpl.network import TwoLayerNetwork
from refimpl.preparation import STEPS, Conditioning, Prepared, conditioning, prepare
from refimpl.tables import DEFAULT, Choices, ReadReport
from refimpl.tiles.accumulate import DEFAULT_MEMORY, Plan
from refimpl.validation import as_count
from verification.bars import progress, tell_passes
from verification.commands.data_words import gram_sentences, preparation_sentences
from verification.commands.options import FILE_NEURONS, FILE_SLOPE
from verification.presets import preset_named
from verification.streams import printable, remark

__all__ = ["Problem", "data_record", "heading", "initial_weights", "problem_from", "refuse_save_in_tiles", "remarks"]


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


def refuse_save_in_tiles(args: argparse.Namespace, problem: Problem) -> None:
    """Refuse --save, which keeps X, where X is gone through in tiles.

    Raises
    ------
    InvalidParameterError
    """
    if getattr(args, "save", None) is not None and problem.data.in_tiles:
        raise InvalidParameterError("save", "not be given for data in tiles: --write-weights writes W", args.save)


def initial_weights(problem: Problem, scale: float, seed: int) -> Any:
    """Gaussian W0 of standard deviation scale/R_max; of samples in tiles one that is generated in tiles."""
    if problem.data.in_tiles:
        return GaussianInitialization((seed, 1, 0), scale / problem.data.R_max)
    rng = np.random.default_rng([seed, 1, 0])
    return gaussian_weights(problem.network.m, problem.data.d, scale / problem.data.R_max, rng)
