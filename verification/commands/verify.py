"""`implicit-bias verify`: every claim of the theory on one data set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from refimpl.errors import InvalidParameterError, RunInterrupted
from refimpl.losses import has_exponential_tail
from refimpl.validation import check_steps
from verification.bars import progress
from verification.claims.base import Claim
from verification.claims.registry import among, chosen, explain, installed_claims, load_claims, one_line
from verification.claims.run import DEFAULT_SCALES, verify
from verification.commands import delivery, options, problems
from verification.printing import console_for
from verification.streams import printable, write_output

__all__ = ["add_parser", "run"]

TIME_LIMIT = 120.0
"""Seconds, unless --time-limit says otherwise."""

EXAMPLES = """examples:
  implicit-bias verify
  implicit-bias verify --preset correlated
  implicit-bias verify --data measurements.csv --slope 0.3 --positive 6 --negative 10
  implicit-bias verify --data iris.csv --classes setosa virginica --drop-column Id
  implicit-bias verify --data measurements.csv --time-limit 600
  implicit-bias verify --prove --data small.csv --loss exponential --positive 2 --negative 1
  implicit-bias verify --data X.npy --labels y.npy --memory 500MB
  implicit-bias verify --data data.npz --init-scales 1e-6,1e-3,1,10 --json report.json
  implicit-bias verify --list-claims
  implicit-bias verify --explain predictor-is-uniform
  implicit-bias verify --only loss-between-bounds,loss-times-time --loss exponential
  implicit-bias verify --claims mypackage.mymodule --data measurements.csv

exit codes: 0 nothing violated (VACUOUS and HYPOTHESIS_NOT_MET change nothing); 1 a claim is VIOLATED while its
hypothesis holds; 2 bad input; 3 INCONCLUSIVE while the hypothesis holds, or out of time (and nothing violated);
130 interrupted (what was decided is kept)"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "verify",
        description="Check every claim of the theory on a data set: hypothesis, measurement, bound, verdict.",
        epilog=EXAMPLES,
    )
    options.add_problem_options(parser)
    parser.add_argument(
        "--init-scales",
        type=options.numbers,
        default=DEFAULT_SCALES,
        metavar="S1,S2,S3",
        help="initialization scales, in units of 1/R_max; at least three (default: 1e-4,1e-2,1)",
    )
    parser.add_argument("--method", default="piecewise", metavar="NAME", help="piecewise (default) or adaptive flow")
    parser.add_argument("--step-size", type=float, metavar="ALPHA", help="of the descents (default: n/(R_max² Σa²))")
    parser.add_argument(
        "--steps", type=options.count, default=500, help="number of steps of each descent (default: 500)"
    )
    parser.add_argument(
        "--time-limit",
        type=seconds,
        default=TIME_LIMIT,
        metavar="SECONDS",
        help="end with what was decided by then, counted from when the data were gone through "
        f"(default: {TIME_LIMIT:g}; inf for no limit)",
    )
    parser.add_argument(
        "--flow-time-limit",
        type=seconds,
        default=float("inf"),
        metavar="SECONDS",
        help="for each flow (default: an equal part of 60%% of the time limit, and what the flows before left)",
    )
    parser.add_argument(
        "--prove",
        action="store_true",
        help="prove, in part of the time, where the flows go and what their limits are; the flows "
        "for few samples and neurons",
    )
    claims = parser.add_argument_group("which claims")
    claims.add_argument("--list-claims", action="store_true", help="list every claim, and stop")
    claims.add_argument(
        "--explain", metavar="ID", help="statement, source, hypothesis and measurement of a claim; stop"
    )
    claims.add_argument(
        "--only", metavar="ID,ID", help="check these claims only, whether or not they usually have a row"
    )
    claims.add_argument(
        "--claims",
        action="append",
        default=[],
        metavar="MODULE",
        help="claims of your own, in `CLAIM` or `CLAIMS` of a module, checked after the others (may be repeated); "
        "docs/extending.md shows how they are written",
    )
    parser.add_argument("--wide", action="store_true", help="show all columns, whatever the width of the terminal")
    options.add_html_option(parser)
    parser.add_argument("--save", metavar="FILE", help="save the report as .npz (Report.load reads it)")
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    own = (*installed_claims(), *(claim for name in args.claims for claim in load_claims(name)))
    if args.list_claims or args.explain is not None:
        write_output(listed(own) if args.explain is None else explained(own, args.explain))
        return 0
    delivery.check_outputs(args, "json", "html", "save")
    check_steps("steps", args.steps, args.steps)
    problem = problems.problem_from(args)
    if not has_exponential_tail(problem.loss):
        raise InvalidParameterError("loss", "be logistic or exponential, on which the flow has a limit", args.loss)
    try:
        with progress() as tell:
            report = verify(
                problem.network,
                problem.data,
                seed=args.seed,
                loss=problem.loss,
                scales=args.init_scales,
                method=args.method,
                progress=tell,
                step_size=args.step_size,
                descent_steps=args.steps,
                time_limit=_limit(args.time_limit),
                flow_time_limit=_limit(args.flow_time_limit),
                prove=args.prove,
                decided=lambda row: tell(f"{row.id}: {row.standing}", lasting=True),
                claims=own,
                only=None if args.only is None else [name.strip() for name in args.only.split(",")],
            )
    except RunInterrupted as stop:
        report = stop.result
    said, warnings = problems.remarks(problem)
    report = report.about(problems.data_record(problem), [*problems.heading(problem), *_sentences(said, warnings)])
    html = delivery.page_output(args, lambda: report.to_html(args.command_line))
    delivery.deliver(args, [report], report.to_json(), [html, (args.save, report.save)])
    return report.exit_code


def _sentences(said: list[str], warnings: list[str]) -> list[str]:
    """Remarks and warnings on the data as sentences."""
    return [f"{words[0].upper()}{words[1:]}." for words in [*said, *(f"warning: {words}" for words in warnings)]]


def listed(own: Sequence[Claim]) -> str:
    """Every claim in a line; in as many as it needs on a narrow terminal."""
    claims, width = among(own), console_for(sys.stdout).width
    lines = [line for claim in claims for line in one_line(claim, width).split("\n")]
    return "".join(printable(line) + "\n" for line in lines) + f"{len(claims)} claims.\n"


def explained(own: Sequence[Claim], name: str) -> str:
    """All about one claim."""
    (claim,) = chosen(among(own), [name])
    width = min(120, console_for(sys.stdout).width)
    return "".join(printable(line) + "\n" for line in explain(claim, width).split("\n"))


def seconds(text: str) -> float:
    """A time in seconds, or inf."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0.0:
        raise argparse.ArgumentTypeError(f"{options.short(text)} is not a time in seconds such as 120, or inf")
    return value


def _limit(value: float) -> float | None:
    """A limit on time for `verify`: None for no limit."""
    return None if value == float("inf") else value
