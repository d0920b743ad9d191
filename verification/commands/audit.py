"""`implicit-bias audit`: what the theory says of a network that was trained elsewhere."""

from __future__ import annotations

import argparse

import numpy as np

from refimpl.errors import InvalidParameterError, RunInterrupted, ShapeError
from refimpl.network import TwoLayerNetwork
from verification.audits.checkpoint import Checkpoint
from verification.audits.layers import Names
from verification.audits.reading import expand, read_checkpoints
from verification.audits.run import FLOW_SECONDS, audit
from verification.bars import progress
from verification.commands import delivery, options, problems
from verification.commands.kkt import network_with

__all__ = ["add_parser", "run"]

EXAMPLES = """examples:
  implicit-bias audit --data data.npz --weights trained.npz
  implicit-bias audit --data data.npz --weights W.npy --slope 0.1 --positive 8 --negative 8

of a run in PyTorch, saved by torch.save as run/step0.pt, run/step100.pt, ...:
  implicit-bias audit --data data.npz --weights run/step*.pt --slope 0.1 --plot audit.png --html audit.html

exit codes: 0 nothing violated; 1 a claim on the trajectory is VIOLATED; 2 bad input; 3 the last checkpoint does not
separate the data, or the numerics did not decide; 130 interrupted (what was measured is kept)"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "audit",
        description="Measure checkpoints of a trained two-layer network: margins, KKT residuals, ranks, how far its "
        "limit is, and which claims of the theory hold on its trajectory.",
        epilog=EXAMPLES,
    )
    options.add_problem_options(parser, neurons=options.WITH_WEIGHTS)
    parser.add_argument(
        "--weights",
        required=True,
        nargs="+",
        metavar="FILE",
        help="checkpoints, or patterns: .npy, .npz (W, or W of shape (steps, m, d) [, second_layer] [, step]), "
        ".safetensors, .pt, .pth; their step is in the file or its name",
    )
    layers = parser.add_argument_group("which arrays are the layers (default: by their shapes)")
    layers.add_argument("--first-layer", metavar="NAME", help="such as fc1.weight")
    layers.add_argument("--second-layer", metavar="NAME", help="such as fc2.weight")
    layers.add_argument("--first-bias", metavar="NAME", help="such as fc1.bias")
    parser.add_argument(
        "--step-size", type=float, metavar="ALPHA", help="of the run, if it was full-batch descent (0: gradient flow)"
    )
    parser.add_argument(
        "--flow-time-limit",
        type=float,
        default=FLOW_SECONDS,
        metavar="SECONDS",
        help=f"for the flows from all checkpoints together, 0 for none (default: {FLOW_SECONDS:g})",
    )
    parser.add_argument("--plot", metavar="FILE", help="draw margins, residuals, ranks and distances by step")
    parser.add_argument("--wide", action="store_true", help="show all columns, whatever the width of the terminal")
    options.add_html_option(parser)
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    patterns, args.weights = args.weights, None  # several, which `check_outputs` does not expect
    paths = expand(patterns)
    delivery.check_outputs(args, "json", "plot", "html")
    for path in paths:
        delivery.check_outputs(argparse.Namespace(**vars(args) | {"weights": path}), "json", "plot", "html")
    problem = problems.problem_from(args)
    with progress() as tell:
        tell("reading checkpoints")
        names = Names(args.first_layer, args.second_layer, args.first_bias)
        checkpoints = read_checkpoints(paths, problem.data.d, names)
        network = network_of(args, problem, checkpoints[0])
        try:
            report = audit(
                network,
                problem.data,
                checkpoints,
                problem.loss,
                args.step_size,
                args.flow_time_limit if np.isfinite(args.flow_time_limit) else None,
                args.seed,
                tell,
            )
        except RunInterrupted as stop:
            report = stop.result
    document = {**report.to_dict(), "data": problems.data_record(problem)}
    html = delivery.page_output(args, lambda: report.to_html(args.command_line))
    files: list[delivery.Output] = [(args.plot, report.save_plot), html]
    delivery.deliver(args, [*problems.heading(problem), report], document, files)
    return report.exit_code


def network_of(args: argparse.Namespace, problem: problems.Problem, first: Checkpoint) -> TwoLayerNetwork:
    """The network with the second layer of the checkpoints, or else with that of the options.

    Raises
    ------
    InvalidParameterError
        If neither says what it is, or both and not the same signs.
    ShapeError
        If it does not fit W.
    """
    if first.second_layer is not None:
        return network_with(np.asarray(first.second_layer, dtype=np.float64), problem.network, args)
    m = len(first.W)
    if args.data is not None and args.positive is None and args.negative is None:
        requirement = (
            f"be known: --second-layer names it in the files, or --positive M1 --negative M2 with M1 + M2 = {m}"
        )
        raise InvalidParameterError("second layer", f"{requirement} say ±1/√m", None)
    if problem.network.m != m:
        raise ShapeError(f"W of {first.name}", f"({problem.network.m}, {problem.data.d})", first.W.shape)
    return problem.network
