"""`implicit-bias flow`: one gradient flow to its limit."""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter
from typing import Any

from rich.table import Table

from refimpl.errors import RunInterrupted
from refimpl.flow import FlowResult, FlowStatus, gradient_flow
from verification.claims.report import environment, shown
from verification.commands import options
from verification.printing import sentence

__all__ = ["add_parser", "run"]

EXAMPLES = """examples:
  implicit-bias flow --init-scale 1e-4 --plot flow.png
  implicit-bias flow --data data.npz --slope 0.1 --save flow.npz --json flow.json

exit codes: 0 converged; 2 bad input; 3 no limit was reached; 130 interrupted (the path so far is shown and written)"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "flow",
        description="Follow the gradient flow of the loss from a Gaussian start to its limit direction.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_problem_options(parser)
    parser.add_argument(
        "--init-scale", type=float, default=1e-2, metavar="S", help="initialization scale, in units of 1/R_max"
    )
    parser.add_argument("--method", default="piecewise", metavar="NAME", help="piecewise (default) or adaptive")
    parser.add_argument(
        "--max-time", type=float, metavar="S", help="largest loss-normalized time s, as the table shows it"
    )
    parser.add_argument(
        "--estimate-error",
        action="store_true",
        help="repeat with a tenth of the tolerances and show what that changed (takes twice the time)",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw margins, weights and events against s, and the pattern (.png, .svg or .pdf)",
    )
    parser.add_argument("--save", metavar="FILE.npz", help="save the result (FlowResult.load reads it)")
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    options.check_outputs(args, "json", "plot", "save")
    problem = options.problem_from(args)
    W0 = options.initial_weights(problem, args.init_scale, args.seed)
    started, interrupted = perf_counter(), False
    try:
        with options.progress() as tell:
            tell(f"gradient flow on {problem.origin}")
            result = gradient_flow(
                problem.network,
                problem.data,
                W0,
                problem.loss,
                method=args.method,
                max_time=args.max_time,
                estimate_error=args.estimate_error,
                progress=lambda state: tell(f"gradient flow on {problem.origin}: {state}"),
            )
    except RunInterrupted as stop:
        result, interrupted = stop.result, True
    document = {"schema_version": 1, **result.to_dict(), "environment": environment()}
    parts = [_table(result, perf_counter() - started), sentence(result.message)]
    options.deliver(
        args, parts, document, [(args.save, result.save), (args.plot, lambda *where: _plot(result, *where))]
    )
    return 130 if interrupted else 0 if result.status is FlowStatus.CONVERGED else 3


def _plot(result: FlowResult, path: str | Path, force: bool) -> None:
    from verification.plots import plot_flow  # matplotlib takes a second to import

    plot_flow(result, path, force)


def _table(result: FlowResult, seconds: float) -> Table:
    path, limit = result.trajectory, result.limit
    table = Table(show_header=False)
    table.add_row("status", result.status.name)
    table.add_row("loss-normalized time s", shown(float(path.s[-1])))
    table.add_row("log of plain time t", shown(float(path.log_time[-1])))
    table.add_row("log of the loss", shown(float(path.log_loss[-1])))
    table.add_row("events", str(len(result.events)))
    table.add_row("steps", str(result.diagnostics["steps"]))
    table.add_row("seconds", shown(seconds))
    if limit is not None:
        table.add_row("rank of the limit", str(limit.rank))
        table.add_row("singular values", ", ".join(shown(float(x)) for x in limit.singular_values[:4]))
        table.add_row("margins of the limit", f"{limit.margins.min():.12g} to {limit.margins.max():.12g}")
        table.add_row("units on their kink", str(int((limit.pattern == 0).sum())))
        table.add_row("polish moved it by", shown(limit.polish_distance) if limit.polished else "not polished")
        table.add_row("error estimate", shown(limit.error_estimate))
    if "error_estimate" in result.diagnostics:
        _add_difference(table, result.diagnostics["error_estimate"])
    return table


def _add_difference(table: Table, difference: dict[str, Any]) -> None:
    """What the repetition at tightened tolerances changed."""
    same = "the same" if difference["same_events"] else "DIFFERENT"
    table.add_row(f"repeated with rtol {shown(difference['rtol'])}", f"{same} events")
    for name, what in (("event_times", "event times"), ("final_margins", "last margins"), ("direction", "limit")):
        if difference[name] is not None:
            table.add_row(f"  {what} moved by", shown(difference[name]))
