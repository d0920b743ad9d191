"""`implicit-bias descend`: gradient descent, recorded."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from rich.table import Table

from refimpl.activations import SmoothLeakyReLU
from refimpl.descent import DescentResult, DescentStatus, gradient_descent
from refimpl.display import shown
from refimpl.errors import RunInterrupted
from refimpl.network import TwoLayerNetwork
from refimpl.validation import check_steps
from verification.bars import progress
from verification.claims.descents import unit_step
from verification.commands import delivery, options, problems
from verification.printing import sentence
from verification.progress import StepsTold
from verification.versions import environment

__all__ = ["add_parser", "run"]

EXAMPLES = """examples:
  implicit-bias descend --init-scale 1e-4 --steps 300 --plot descent.png
  implicit-bias descend --data data.npz --step-size 0.01 --smoothness 10 --json descent.json

exit codes: 0 finished; 2 bad input; 3 the next step would leave the range of numbers; 130 interrupted
(what was computed until then is shown, and written where it was asked for)"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "descend",
        description="Gradient descent from a Gaussian start, with loss, smallest margin, rank and stable rank by step.",
        epilog=EXAMPLES,
    )
    options.add_problem_options(parser, losses="logistic (default), exponential or hinge")
    parser.add_argument(
        "--init-scale",
        type=float,
        default=1e-2,
        metavar="S",
        help="initialization scale, in units of 1/R_max, the largest norm of a sample (default: 0.01)",
    )
    parser.add_argument("--step-size", type=float, metavar="ALPHA", help="step size (default: n/(R_max² Σa²))")
    parser.add_argument("--steps", type=options.count, default=300, help="number of steps (default: 300)")
    parser.add_argument(
        "--record-every",
        type=options.count,
        metavar="K",
        help="steps between records (default: 1 up to step 40, then a twentieth of it)",
    )
    parser.add_argument("--smoothness", type=float, metavar="H", help="use the H-smooth activation instead of the kink")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw stable rank, singular values and loss by step (.png, .svg or .pdf)"
    )
    parser.add_argument("--save", metavar="FILE.npz", help="save the result (DescentResult.load reads it)")
    options.add_weights_option(parser, "W of the last step")
    options.add_html_option(parser)
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    delivery.check_outputs(args, "json", "html", "plot", "save", "write-weights")
    check_steps("steps", args.steps, args.steps)
    problem = problems.problem_from(args)
    problems.refuse_save_in_tiles(args, problem)
    network = problem.network
    if args.smoothness is not None:
        network = TwoLayerNetwork(network.second_layer, SmoothLeakyReLU(network.slope, args.smoothness))
    W0 = problems.initial_weights(problem, args.init_scale, args.seed)
    step_size = unit_step(network, problem.data) if args.step_size is None else args.step_size
    try:
        with progress() as tell:
            what = f"gradient descent on {problem.origin}"
            tell(what)
            steps_told = StepsTold(tell, what, args.steps)
            result = gradient_descent(
                network, problem.data, W0, step_size, args.steps, problem.loss, args.record_every, steps_told
            )
    except RunInterrupted as stop:
        result = stop.result
    document = {
        "schema_version": 1,
        **_content(result),
        "data": problems.data_record(problem),
        "environment": environment(),
    }
    plot = (args.plot, lambda path, force: _plot(result, path, force))
    rows = _rows(result)
    html = delivery.page_output(args, lambda: _page(result, rows, problem, args.command_line))
    parts = [*problems.heading(problem), _table(rows), sentence(result.message)]
    files = [(args.save, result.save), plot, html, (args.write_weights, result.write_weights)]
    delivery.deliver(args, parts, document, files)
    return {DescentStatus.FINISHED: 0, DescentStatus.INTERRUPTED: 130, DescentStatus.DIVERGED: 3}[result.status]


def _plot(result: DescentResult, path: str, force: bool) -> None:
    delivery.tell_drawing(path)
    from verification.plots import plot_descent  # matplotlib takes a second to import

    plot_descent(result, path, force)


def _page(result: DescentResult, rows: list[tuple[str, ...]], problem: problems.Problem, command: str) -> str:
    from verification.page.of_runs import page_of_descent  # it draws pictures

    return page_of_descent(result, HEAD, rows, problem.origin, command, environment()).html()


HEAD = ("step", "loss", "smallest margin", "rank", "stable rank", "smallest, largest ‖w_j‖")


def _table(rows: list[tuple[str, ...]]) -> Table:
    table = Table(*HEAD)
    for row in rows:
        table.add_row(*row)
    return table


def _rows(result: DescentResult) -> list[tuple[str, ...]]:
    """About ten of the recorded steps."""
    path = result.trajectory
    rows: list[tuple[str, ...]] = []
    for k in np.unique(np.geomspace(1, path.step.size, 10).astype(int) - 1):
        norms = path.neuron_norms[k]
        numbers = (path.loss[k], path.smallest_margin[k], path.stable_rank[k])
        loss, margin, stable = (shown(float(x)) for x in numbers)
        sizes = f"{shown(float(norms.min()))}, {shown(float(norms.max()))}"
        rows.append((str(int(path.step[k])), loss, margin, str(int(path.rank[k])), stable, sizes))
    return rows


def _content(result: DescentResult) -> dict[str, Any]:
    """The summary and the recorded columns."""
    path = result.trajectory
    names = ("step", "loss", "log_loss", "smallest_margin", "rank", "stable_rank", "increment_stable_rank", "norm")
    columns = {name: getattr(path, name) for name in (*names, "singular_values")}
    return {**result.to_dict(), "trajectory": columns}
