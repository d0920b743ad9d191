"""`implicit-bias conformance`: any implementation against the vectors and the properties."""

from __future__ import annotations

import argparse

from refimpl.errors import InvalidParameterError
from verification.commands import options
from verification.printing import sentence
from verification.report import environment

__all__ = ["add_parser", "run"]

EXAMPLES = """examples:
  implicit-bias conformance --implementation mypackage.mymodule:network
  implicit-bias conformance --implementation verification.adapters.pytorch:implementation --json board.json
  implicit-bias conformance --implementation mymodule --skips skips.txt
  implicit-bias conformance --answers answers/

An implementation is a module or object with forward, loss, gradient, descent (docs/conformance.md);
a skips file has lines such as  vectors/flow_limit-*  # takes an hour

exit codes: 0 nothing failed; 1 something failed, or nothing passed; 2 bad input"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "conformance",
        description="Ask an implementation of the network everything that is known, and print a scoreboard.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--implementation", metavar="PACKAGE.MODULE:OBJECT", help="a Python object or module")
    subject.add_argument("--answers", metavar="DIR", help="answers written beside cases of `vectors export`")
    parser.add_argument("--skips", metavar="FILE", help="items that are not asked, each with its reason")
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    options.check_outputs(args, "json")
    if args.answers is not None and args.skips:
        raise InvalidParameterError("skips", "go with --implementation: leave an answer out to skip it", args.skips)
    from verification.conformance import Skips, judge_answers, load_implementation, read_skips, run_conformance

    if args.answers is not None:
        board = judge_answers(args.answers)
    else:
        implementation = load_implementation(args.implementation)
        skips = read_skips(args.skips) if args.skips else Skips({})
        with options.progress() as tell:
            board = run_conformance(implementation, args.implementation, skips, tell)
    failures = [board.failures()] if board.failed else []
    document = board.as_dict() | {"environment": environment()}
    options.deliver(args, [board.table(), *failures, sentence(board.summary())], document)
    return board.exit_code
