"""`implicit-bias kkt`: how far given weights are from a KKT point."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from refimpl.archive import is_npz, read_npy, read_npz
from refimpl.datasets import Dataset
from refimpl.descent import gradient_descent
from refimpl.display import shown
from refimpl.errors import FileFormatError, InvalidParameterError, RunInterrupted
from refimpl.initialization import GaussianInitialization, gaussian_weights
from refimpl.losses import Loss
from refimpl.network import TwoLayerNetwork
from refimpl.reduction import reduced
from refimpl.tiles.npy import NpyColumns
from refimpl.validation import Array
from verification.bars import progress
from verification.claims.descents import unit_step
from verification.commands import delivery, options, problems
from verification.printing import sentence
from verification.progress import StepsTold
from verification.versions import environment
from verification.witnesses.kkt import KKTResiduals, KKTStatus, kkt_residuals

__all__ = ["add_parser", "run"]

CHECKPOINTS = (".pt", ".pth", ".safetensors")
"""What `audit` reads, and this does not."""

ROUNDING, SINGLE = 1e-12, 1e-6
"""Residuals up to which W is a KKT point to the rounding of float64, and to that of weights held in float32."""

TRAINING_SCALE, TRAINING_STEPS = 1e-2, (100, 200, 400, 800)
"""The training that W is compared with: its start, in units of 1/R_max, and steps after which it is looked at."""

EXAMPLES = """examples:
  implicit-bias kkt --data data.npz --weights W.npy --slope 0.1 --positive 8 --negative 8
  implicit-bias kkt --data data.npz --weights trained.npz      (arrays W and, if you like, second_layer)

exit codes: 0 measured; 2 bad input; 3 W does not separate the data, or its multipliers are not optimal"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "kkt",
        description="Measure how far given first-layer weights are from a KKT point of the max-margin problem.",
        epilog=EXAMPLES,
    )
    options.add_problem_options(parser, neurons=options.WITH_WEIGHTS)
    parser.add_argument(
        "--weights", required=True, metavar="FILE", help="W (m, d): .npy, or .npz with W [, second_layer]"
    )
    parser.add_argument(
        "--tolerance", type=float, default=1e-9, help="a unit is at its kink if |cos| is at most this (default: 1e-9)"
    )
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    delivery.check_outputs(args, "json")
    problem = problems.problem_from(args)
    W, second_layer = load_weights(args.weights, problem.data.in_tiles)
    network, data, start = problem.network, problem.data, None
    if second_layer is not None:
        network = network_with(second_layer, network, args)
    with progress() as tell:
        tell(f"KKT residuals of {args.weights}")
        if data.in_tiles:
            small = reduced(data, [W, GaussianInitialization((args.seed, 1, 0), 1.0)], network.m, "W")
            data, (W, start) = small.data, small.weights
        found = kkt_residuals(network, data, W, args.tolerance)
        wider, training, interrupted = None, None, False
        if found.status is not KKTStatus.NOT_SEPARATING and residual(found) > SINGLE:
            tell("training to compare it with")
            try:
                wider = kkt_residuals(network, data, W, max(args.tolerance, SINGLE))
                training = train(network, data, problem.loss, found.smallest_margin, args.seed, start, tell)
            except RunInterrupted:
                interrupted = True
    words = in_words(found, training, wider)
    table = Table(show_header=False)
    table.add_row("smallest margin of W", shown(found.smallest_margin))
    table.add_row("stationarity", shown(found.stationarity))
    table.add_row("feasibility", shown(found.feasibility))
    table.add_row("complementarity", shown(found.complementarity))
    table.add_row("relative duality gap", shown(found.duality_gap))
    table.add_row("rank, σ₃/σ₁", f"{found.rank}, {shown(found.singular_value_ratio)}")
    table.add_row("units at their kink", str(found.units_at_kink))
    document = {
        "schema_version": 1,
        **vars(found),
        "in_words": words,
        "training": None if training is None else asdict(training),
        "data": problems.data_record(problem),
        "environment": environment(),
    }
    delivery.deliver(args, [*problems.heading(problem), table, sentence(found.message), *words], document)
    return 130 if interrupted else 0 if found.status is KKTStatus.MEASURED else 3


@dataclass(frozen=True)
class Training:
    """Gradient descent from a small start on the same data, stopped where its smallest margin is that of W.

    Attributes
    ----------
    steps : int
    smallest_margin : float
        At the end; below that of W if the steps did not do.
    residual : float
        `residual` of its weights; inf if they do not separate the data.
    """

    steps: int
    smallest_margin: float
    residual: float


def train(
    network: TwoLayerNetwork,
    data: Dataset,
    loss: Loss,
    margin: float,
    seed: int,
    start: Array | None = None,
    tell: Callable[[str], None] = lambda message: None,
) -> Training:
    """Descend from a Gaussian start of scale `TRAINING_SCALE` to the smallest margin `margin`, or for all steps.

    `start` is a standard Gaussian one, where the data are in coordinates of their span.
    """
    scale = TRAINING_SCALE / data.R_max
    if start is None:
        W = gaussian_weights(network.m, data.d, scale, np.random.default_rng([seed, 1, 0]))
    else:
        W = scale * start
    taken, smallest, step_size = 0, -np.inf, unit_step(network, data)
    for steps in TRAINING_STEPS:
        told = StepsTold(tell, f"training to compare it with, to the smallest margin {shown(margin)}", steps)
        result = gradient_descent(network, data, W, step_size, steps, loss, steps, told)
        W, smallest = result.weights(), float(result.trajectory.smallest_margin[-1])
        taken += int(result.trajectory.step[-1])
        if smallest >= margin or result.trajectory.step[-1] < steps:
            break
    return Training(taken, smallest, residual(kkt_residuals(network, data, W)))


def residual(found: KKTResiduals) -> float:
    """The larger of stationarity and complementarity: 0 at KKT points, and there alone."""
    return max(found.stationarity, found.complementarity)


def in_words(found: KKTResiduals, training: Training | None = None, wider: KKTResiduals | None = None) -> list[str]:
    """What the residuals mean, in sentences.

    Parameters
    ----------
    found : KKTResiduals
    training : Training or None
        What W is compared with.
    wider : KKTResiduals, optional
        Of the same W, with the tolerance at kinks that weights held in float32 need.
    """
    if found.status is KKTStatus.NOT_SEPARATING:
        return ["Only weights that separate the data, or limits of theirs, can be near a KKT point: W is none."]
    far = residual(found)
    apart, excess = _share(found.stationarity), _share(found.complementarity)
    words = [
        f"The nearest Σ λ_i H_i with λ >= 0 (docs/theory.md, section 12) misses W by {apart} of ‖W‖; margins where "
        f"λ_i > 0 exceed the smallest one by {excess} on average."
    ]
    if far <= ROUNDING:
        return [*words, "That is rounding: W is a KKT point as far as float64 can tell."]
    if found.distance_bound < 1.0:
        bound = _share(found.distance_bound)
        words.append(f"W is at most {bound} of ‖W‖ from the optimum for its own pattern of activations (12.1).")
    if far <= SINGLE:
        return [*words, "So near are limits of flows whose iteration ended, and KKT points held in float32: W is one."]
    if wider is not None and residual(wider) <= SINGLE:
        kinks, near = wider.units_at_kink, shown(residual(wider))
        why = f"it counts {kinks} units as at their kink, where their slopes are free, instead of {found.units_at_kink}"
        what = f"W is {near} from the conditions and a KKT point held in float32: {why}"
        return [*words, f"But with --tolerance {SINGLE:g} {what}."]
    words.append("No KKT point is so far from the conditions: rounding would leave 1e-15 in float64, 1e-7 in float32.")
    return words if training is None else [*words, _beside(far, found.smallest_margin, training)]


def _beside(far: float, margin: float, training: Training) -> str:
    """W beside what training reaches."""
    run = f"Gradient descent from a start of scale {TRAINING_SCALE:g}, {training.steps} steps to smallest margin"
    reached = f"{run} {shown(training.smallest_margin)} (W: {shown(margin)}),"
    if not np.isfinite(training.residual):
        return f"{reached} does not separate these data yet, so there is no training to compare W with."
    ratio = far / training.residual if training.residual > 0.0 else np.inf
    near = "about as far" if 0.5 <= ratio <= 2.0 else f"{shown(1.0 / ratio)} times nearer"
    near = f"{shown(ratio)} times farther" if ratio > 2.0 else near
    return f"{reached} is {shown(training.residual)} from the conditions: W, at {shown(far)}, is {near}."


def _share(value: float) -> str:
    """A part of a whole, in percent where that is short.

    Examples
    --------
    >>> _share(0.141), _share(3.2e-13), _share(0.0)
    ('14.1%', '3.2e-13', '0')
    """
    return f"{100.0 * value:.3g}%" if 1e-4 <= value < 1e4 else shown(value)


def load_weights(path: str, in_tiles: bool = False) -> tuple[Any, Any]:
    """W, of a `.npy` in tiles of columns if that is asked for, and the second layer, if the file has it.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or has no W.
    """
    if Path(path).suffix in CHECKPOINTS:
        raise FileFormatError(path, "its name must end in .npy or .npz; `implicit-bias audit` reads checkpoints")
    if not is_npz(path):
        return NpyColumns(path) if in_tiles else read_npy(path), None
    arrays = read_npz(path, ["W"], optional=["second_layer"])
    return arrays["W"], arrays.get("second_layer")


def network_with(second_layer: Any, network: TwoLayerNetwork, args: argparse.Namespace) -> TwoLayerNetwork:
    """The network with the second layer of a file, whose signs must be those that were asked for.

    Raises
    ------
    InvalidParameterError
        If --positive or --negative says otherwise.
    """
    found = TwoLayerNetwork(second_layer, network.activation)
    positive = int(found.positive.sum())
    for name, count in (("positive", positive), ("negative", found.m - positive)):
        if getattr(args, name) not in (None, count):
            requirement = f"be {count}, as in the second layer of the file, or be left out"
            raise InvalidParameterError(name, requirement, getattr(args, name))
    return found
