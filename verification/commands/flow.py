"""`implicit-bias flow`: one gradient flow to its limit."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from refimpl.display import shown
from refimpl.errors import InvalidParameterError, OutputFileError, RunInterrupted
from refimpl.flow import FlowLimit, FlowResult, FlowStatus, gradient_flow
from verification.bars import progress
from verification.commands import delivery, options, problems
from verification.printing import FittingTable, sentence
from verification.progress import FlowTold, Told
from verification.studies.survey import number_limits
from verification.versions import environment
from verification.witnesses.conditions import check_hypotheses

__all__ = ["add_parser", "run"]

EXAMPLES = """examples:
  implicit-bias flow --init-scale 1e-4 --plot flow.png
  implicit-bias flow --preset correlated --starts 5
  implicit-bias flow --data data.npz --slope 0.1 --save flow.npz --json flow.json

exit codes: 0 converged, from every start; 2 bad input; 3 no limit was reached;
130 interrupted (the path so far is shown and written)"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "flow",
        description="Follow the gradient flow of the loss from a Gaussian start to its limit direction.",
        epilog=EXAMPLES,
    )
    options.add_problem_options(parser)
    parser.add_argument(
        "--init-scale",
        type=float,
        default=1e-2,
        metavar="S",
        help="initialization scale, in units of 1/R_max, the largest norm of a sample (default: 0.01)",
    )
    parser.add_argument("--method", default="piecewise", metavar="NAME", help="piecewise (default) or adaptive")
    parser.add_argument(
        "--max-time", type=float, metavar="S", help="largest loss-normalized time s, as the table shows it"
    )
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="largest wall time of each flow")
    parser.add_argument(
        "--starts",
        type=options.count,
        default=1,
        metavar="K",
        help="follow the flow from K starts, of seeds --seed, --seed + 1, ..., and tell the different limits",
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
    options.add_weights_option(parser, "the limit W = C X")
    options.add_html_option(parser)
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    delivery.check_outputs(args, "json", "html", "plot", "save", "write-weights")
    _check_starts(args)
    problem = problems.problem_from(args)
    problems.refuse_save_in_tiles(args, problem)
    runs, interrupted = _follow(args, problem)
    if args.starts == 1:
        result, seconds = runs[0].result, runs[0].seconds
        content = result.to_dict()
        facts = _facts(result, seconds)
        parts: list[RenderableType] = [_table(facts), sentence(result.message)]
    else:
        limits = _different_limits(problem, runs)
        content = {"starts": [run.to_dict() for run in runs], "limits": [limit.to_dict() for limit in limits]}
        parts = [_starts_table(runs), *map(sentence, _limits_in_words(args.starts, runs, limits))]
    document = {"schema_version": 1, **content, "data": problems.data_record(problem), "environment": environment()}
    files: list[delivery.Output] = []
    if args.starts == 1:
        html = delivery.page_output(args, lambda: _page(result, facts, problem, args.command_line))
        files = [(args.save, result.save), (args.plot, lambda *where: _plot(result, *where)), html]
        files.append((args.write_weights, lambda *where: _write_weights(result, *where)))
    delivery.deliver(args, [*problems.heading(problem), *parts], document, files)
    converged = all(run.result.status is FlowStatus.CONVERGED for run in runs)
    return 130 if interrupted else 0 if converged else 3


def _check_starts(args: argparse.Namespace) -> None:
    if args.starts < 1:
        raise InvalidParameterError("starts", "be at least 1", args.starts)
    if args.starts > 1 and (args.save or args.plot or args.html or args.write_weights):
        those = "--save, --plot, --html or --write-weights, which are of one flow"
        raise InvalidParameterError("starts", f"be 1 with {those}", args.starts)


@dataclass
class Run:
    """The flow from one start; `number` says which of the different limits it has, from 1, if it has one."""

    seed: int
    result: FlowResult
    seconds: float
    number: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {"seed": self.seed, "limit_number": self.number, "seconds": self.seconds, **self.result.to_dict()}


@dataclass(frozen=True)
class DifferentLimit:
    """One of the different limits: its rank, ½‖W‖_F², and the seeds whose starts lead to it."""

    number: int
    rank: int
    objective: float
    seeds: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {**vars(self), "seeds": list(self.seeds)}


def _follow(args: argparse.Namespace, problem: problems.Problem) -> tuple[list[Run], bool]:
    """The flows from all starts, and whether Ctrl-C ended the last of them."""
    runs: list[Run] = []
    network, data = problem.network, problem.data
    with progress() as tell:
        tell(f"gradient flow on {problem.origin}")
        condition = check_hypotheses(network, data).refined.satisfied
        for k in range(args.starts):
            seed, started = args.seed + k, perf_counter()
            what = f"gradient flow on {problem.origin}, start {k + 1} of {args.starts}"
            told = _told(tell, args, k, what, condition)
            try:
                result = gradient_flow(
                    network,
                    data,
                    problems.initial_weights(problem, args.init_scale, seed),
                    problem.loss,
                    method=args.method,
                    max_time=args.max_time,
                    estimate_error=args.estimate_error,
                    time_limit=args.time_limit,
                    progress=told,
                )
            except RunInterrupted as stop:
                return [*runs, Run(seed, stop.result, perf_counter() - started)], True
            runs.append(Run(seed, result, perf_counter() - started))
    return runs, False


def _told(tell: Callable[[str], None], args: argparse.Namespace, done: int, what: str, condition: bool) -> FlowTold:
    """Tells of one of the starts; with a limit on time, also when all of them will have ended."""
    started, flows = perf_counter(), (1 + args.estimate_error) * (args.starts - done)
    steps = (done, args.starts) if args.starts > 1 else None

    def pass_on(message: str) -> None:
        at_most = None if args.time_limit is None else args.time_limit * flows - (perf_counter() - started)
        tell(Told.among(message, steps, at_most))

    pass_on(what)
    return FlowTold(pass_on, what, condition)


def _different_limits(problem: problems.Problem, runs: list[Run]) -> list[DifferentLimit]:
    """Tell each run which limit it has, and what the different limits are."""
    found = [(run, run.result.limit) for run in runs if run.result.limit is not None]
    L = problem.data.gram_factor
    numbers = number_limits(problem.network, [limit.coefficients @ L for _, limit in found])
    different: list[DifferentLimit] = []
    for (run, limit), k in zip(found, numbers, strict=True):
        run.number = k + 1
        if k == len(different):
            seeds = tuple(run.seed for (run, _), other in zip(found, numbers, strict=True) if other == k)
            different.append(DifferentLimit(k + 1, limit.rank, _objective(limit), seeds))
    return different


def _objective(limit: FlowLimit) -> float:
    """½‖W‖_F² at smallest margin 1."""
    return 0.5 * float(np.sum(limit.singular_values**2))


def _starts_table(runs: list[Run]) -> FittingTable:
    rows = []
    for run in runs:
        result, limit = run.result, run.result.limit
        of_limit = ["-"] * 5
        if limit is not None:
            margins = f"{limit.margins.min():.6g} to {limit.margins.max():.6g}"
            on_kinks = str(int((limit.pattern == 0).sum()))
            of_limit = [str(run.number), str(limit.rank), f"{_objective(limit):.9g}", margins, on_kinks]
        path = (str(len(result.events)), shown(float(result.trajectory.s[-1])))
        rows.append((str(run.seed), result.status.name, *of_limit, *path))
    return FittingTable(("seed", "status", "limit", "rank", "½‖W‖²", "margins", "on kinks", "events", "s"), rows)


def _limits_in_words(starts: int, runs: list[Run], limits: list[DifferentLimit]) -> list[str]:
    """How many different limits there are, and which is the best."""
    with_limit = sum(run.number is not None for run in runs)
    told = f"{starts} starts, {with_limit} with a limit: {len(limits)} different limit{'s' if len(limits) != 1 else ''}"
    ranks = sorted({limit.rank for limit in limits})
    if not limits:
        return [f"{told}."]
    ends = [f"of rank {_range(ranks)}", f"½‖W‖² = {_range([limit.objective for limit in limits])}"]
    words = [f"{told}, {', '.join(ends)} (neurons with equal a_j may be exchanged)."]
    best = min(limits, key=lambda limit: limit.objective)
    if len(limits) > 1:
        count = len(best.seeds)
        words.append(f"The least norm has limit {best.number}, from {count} of {with_limit} starts: the start decides.")
    return words


def _range(values: list[Any]) -> str:
    low, high = (f"{x:.6g}" for x in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _write_weights(result: FlowResult, path: str | Path, force: bool) -> None:
    if result.limit is None:
        raise OutputFileError(path, "the flow has no limit")
    result.limit.write_weights(path, force)


def _plot(result: FlowResult, path: str | Path, force: bool) -> None:
    delivery.tell_drawing(path)
    from verification.plots import plot_flow  # matplotlib takes a second to import

    plot_flow(result, path, force)


def _page(result: FlowResult, facts: list[tuple[str, str]], problem: problems.Problem, command: str) -> str:
    from verification.page.of_runs import page_of_flow  # it draws pictures

    return page_of_flow(result, facts, problem.origin, command, environment()).html()


def _table(facts: list[tuple[str, str]]) -> Table:
    table = Table(show_header=False)
    for name, value in facts:
        table.add_row(name, value)
    return table


def _facts(result: FlowResult, seconds: float) -> list[tuple[str, str]]:
    """What the table says, line by line."""
    facts = [*result.facts(), ("seconds", shown(seconds))]
    if "error_estimate" in result.diagnostics:
        facts += _difference(result.diagnostics["error_estimate"])
    return facts


def _difference(difference: dict[str, Any]) -> list[tuple[str, str]]:
    """What the repetition at tightened tolerances changed."""
    same = "the same" if difference["same_events"] else "DIFFERENT"
    facts = [(f"repeated with rtol {shown(difference['rtol'])}", f"{same} events")]
    for name, what in (("event_times", "event times"), ("final_margins", "last margins"), ("direction", "limit")):
        if difference[name] is not None:
            facts.append((f"  {what} moved by", shown(difference[name])))
    return facts
