"""`implicit-bias kkt`: how far given weights are from a KKT point."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from refimpl.archive import is_npz, read_npy, read_npz
from refimpl.network import TwoLayerNetwork
from verification.claims.report import environment, shown
from verification.commands import options
from verification.printing import sentence
from verification.witnesses.kkt import KKTStatus, kkt_residuals

__all__ = ["add_parser", "run"]

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
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_problem_options(parser)
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
    options.check_outputs(args, "json")
    problem = options.problem_from(args)
    W, second_layer = load_weights(args.weights)
    network = problem.network
    if second_layer is not None:
        network = TwoLayerNetwork(second_layer, network.activation)
    with options.progress() as tell:
        tell(f"KKT residuals of {args.weights}")
        found = kkt_residuals(network, problem.data, W, args.tolerance)
    table = Table(show_header=False)
    table.add_row("smallest margin of W", shown(found.smallest_margin))
    table.add_row("stationarity", shown(found.stationarity))
    table.add_row("feasibility", shown(found.feasibility))
    table.add_row("complementarity", shown(found.complementarity))
    table.add_row("relative duality gap", shown(found.duality_gap))
    table.add_row("rank, σ₃/σ₁", f"{found.rank}, {shown(found.singular_value_ratio)}")
    table.add_row("units at their kink", str(found.units_at_kink))
    document = {"schema_version": 1, **vars(found), "environment": environment()}
    options.deliver(args, [table, sentence(found.message)], document)
    return 0 if found.status is KKTStatus.MEASURED else 3


def load_weights(path: str) -> tuple[Any, Any]:
    """W and, if the file has it, the second layer.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or has no W.
    """
    if not is_npz(path):
        return read_npy(path), None
    arrays = read_npz(path, ["W"], optional=["second_layer"])
    return arrays["W"], arrays.get("second_layer")
