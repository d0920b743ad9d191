"""`implicit-bias max-margin`: the convex program (C), its closed form, and z*."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from rich.table import Table

from refimpl.datasets import Dataset
from refimpl.display import shown
from refimpl.errors import OutputFileError
from refimpl.reduction import Reduced, reduced
from refimpl.tiles.npy import write_combination
from refimpl.validation import Array
from verification.bars import progress
from verification.commands import delivery, options, problems
from verification.progress import Told
from verification.versions import environment
from verification.witnesses.bounds import margin_bound
from verification.witnesses.convex_program import SolveStatus, linear_max_margin, max_margin
from verification.witnesses.limit_formula import closed_form

__all__ = ["add_parser", "run"]

SUPPORT = 1e-6
"""A sample is a support vector if its multiplier exceeds this part of the largest."""

EXAMPLES = """examples:
  implicit-bias max-margin
  implicit-bias max-margin --data data.csv --slope 0.1 --json solution.json
  implicit-bias max-margin --data X.npy --labels y.npy --write-vectors vuz.npy

exit codes: 0 solved; 2 bad input; 3 the solver did not reach a usable solution"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "max-margin",
        description="Solve the convex program (C) by CVXPY, compare it with the closed form, and find z*.",
        epilog=EXAMPLES,
    )
    options.add_problem_options(parser)
    options.add_weights_option(parser, "the solution W of (C)")
    parser.add_argument(
        "--write-vectors", metavar="FILE.npy", help="write v, u and z*, shape (3, d), a tile of columns at a time"
    )
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    delivery.check_outputs(args, "json", "write-weights", "write-vectors")
    problem = problems.problem_from(args)
    network, given = problem.network, problem.data
    small = reduced(given) if given.in_tiles else None
    data = given if small is None else small.data
    with progress() as tell:
        tell(Told(f"max margin on {problem.origin}: program (C)", steps=(0, 3)))
        program = max_margin(network, data)
        tell(Told(f"max margin on {problem.origin}: closed form", steps=(1, 3)))
        closed = closed_form(network, data)
        tell(Told(f"max margin on {problem.origin}: linear predictor", steps=(2, 3)))
        linear = linear_max_margin(data)
    L = data.gram_factor
    distance = None
    solved = program.status is SolveStatus.SOLVED
    if solved and closed.solves_program:
        L = data.gram_factor
        difference = (program.coefficients - closed.coefficients) @ L
        distance = float(np.linalg.norm(difference) / np.linalg.norm(closed.coefficients @ L))
    table = Table(show_header=False)
    table.add_row("program (C)", f"{program.status.name} by {program.solver}, tolerance {shown(program.tolerance)}")
    if solved:
        table.add_row("objective ½‖W‖²", f"{program.objective:.12g}")
        table.add_row("relative duality gap", shown(program.duality_gap))
        table.add_row("bound on the error of W", shown(program.error_estimate))
        table.add_row("multipliers λ", f"{program.multipliers.min():.6g} to {program.multipliers.max():.6g}")
        table.add_row("support vectors", _support_in_words(program.multipliers))
    else:
        table.add_row("", program.status.value)
    table.add_row("closed form", f"λ >= 0: {closed.solves_program}; KKT point of (P): {closed.is_kkt_point}")
    table.add_row("distance to closed form", shown(distance))
    norm = f"{linear.norm:.12g} " if linear.status is SolveStatus.SOLVED else ""
    table.add_row("linear max margin ‖z*‖", f"{norm}({linear.status.name})")
    if linear.status is SolveStatus.SOLVED:
        table.add_row("support vectors of z*", _support_in_words(np.abs(linear.coefficients)))
    if network.slope > 0.0:
        table.add_row("bound on ‖z‖/‖z*‖", shown(margin_bound(network, data.y)))
    content: dict[str, Any] = {
        "schema_version": 1,
        "status": program.status.name,
        "objective": program.objective if solved else None,
        "duality_gap": program.duality_gap if solved else None,
        "solver_tolerance": program.tolerance,
        "error_estimate": program.error_estimate if solved else None,
        "multipliers": program.multipliers.tolist() if solved else None,
        "support_vectors": support_vectors(program.multipliers) if solved else None,
        "v": program.v.tolist() if solved and small is None else None,
        "u": program.u.tolist() if solved and small is None else None,
        "closed_form": {
            "multipliers": closed.multipliers.tolist(),
            "solves_program": closed.solves_program,
            "is_kkt_point": closed.is_kkt_point,
            "distance_to_program": distance,
        },
        "linear": {
            "status": linear.status.name,
            "norm": linear.norm if linear.status is SolveStatus.SOLVED else None,
            "support_vectors": support_vectors(np.abs(linear.coefficients))
            if linear.status is SolveStatus.SOLVED
            else None,
        },
        "data": problems.data_record(problem),
        "environment": environment(),
    }
    vectors = np.stack([program.v, program.u, linear.z])
    C = vectors if small is None else small.coefficients(vectors)
    files: list[delivery.Output] = [
        (args.write_weights, lambda *where: _write(solved, program.rows_of(C[:2]), small, given, *where)),
        (args.write_vectors, lambda *where: _write(solved, C, small, given, *where)),
    ]
    delivery.deliver(args, [*problems.heading(problem), table], content, files)
    return 0 if solved else 3


def _write(solved: bool, C: Array, small: Reduced | None, data: Dataset, path: Any, force: bool) -> None:
    """Rows of R^d: those of C, or C X where the samples are in tiles."""
    if not solved:
        raise OutputFileError(path, "program (C) was not solved")
    write_combination(path, np.eye(len(C)) if small is None else C, C if small is None else data.X, force=force)


def support_vectors(multipliers: Array) -> list[int]:
    """Indices, from 0, of the samples with λ_i > `SUPPORT` max λ.

    Examples
    --------
    >>> support_vectors(np.array([2.0, 0.0, 1e-12, 0.5]))
    [0, 3]
    """
    return [int(i) for i in np.flatnonzero(multipliers > SUPPORT * multipliers.max(initial=0.0))]


def _support_in_words(multipliers: Array) -> str:
    return f"{len(support_vectors(multipliers))} of {multipliers.size} samples (λ_i > {SUPPORT:g} of the largest)"
