"""`implicit-bias conformance`: any implementation against the vectors and the properties."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from rich.table import Table
from rich.text import Text

from refimpl.errors import InvalidParameterError
from verification.bars import progress
from verification.commands import delivery, options
from verification.conformance.board import Item, differences, read_board
from verification.conformance.contract import contract_text
from verification.printing import sentence
from verification.versions import environment

__all__ = ["add_parser", "run"]

EXAMPLES = """examples:
  implicit-bias conformance --implementation mypackage.mymodule:network
  implicit-bias conformance --implementation verification.adapters.pytorch:implementation --json board.json
  implicit-bias conformance --implementation mymodule --skips skips.txt
  implicit-bias conformance --implementation torch:mypackage.MyModule --dtype float32
  implicit-bias conformance --implementation jax:mypackage.net
  implicit-bias conformance --answers answers/
  implicit-bias conformance --compare before.json after.json

a skips file has lines such as  vectors/flow_limit-*  # takes an hour

An implementation is a module or object with (docs/conformance.md)

{contract}

exit codes: 0 nothing failed; 1 something failed, or nothing passed; 2 bad input"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "conformance",
        usage="%(prog)s (--implementation PACKAGE.MODULE:OBJECT |\n"
        "         --answers DIR | --compare JSON JSON) [--skips FILE] [--dtype NAME]\n"
        "         [--time-limit SECONDS] [--json FILE] [--force]",
        description="Ask an implementation of the network everything that is known, and print a scoreboard.",
        epilog=EXAMPLES.format(contract=textwrap.indent(contract_text(), "  ")),
    )
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("--implementation", metavar="PACKAGE.MODULE:OBJECT", help="a Python object or module")
    subject.add_argument("--answers", metavar="DIR", help="answers written beside cases of `vectors export`")
    subject.add_argument("--compare", nargs=2, metavar="JSON", help="two files of --json: the items that differ")
    parser.add_argument("--skips", metavar="FILE", help="items that are not asked, each with its reason")
    parser.add_argument(
        "--dtype",
        default="float64",
        metavar="NAME",
        help="float64 (default), float32, float16 or bfloat16: the vectors with bounds of rounding for that format",
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="that one call of the implementation may take (default: 60, at most 1e6)",
    )
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    delivery.check_outputs(args, "json")
    if args.answers is not None and args.skips:
        raise InvalidParameterError("skips", "go with --implementation: leave an answer out to skip it", args.skips)
    if args.compare:
        return _compare(args)
    from verification.conformance import Skips, judge_answers, read_skips, run_in_process

    if args.answers is not None:
        board = judge_answers(args.answers, args.dtype)
    else:
        skips = read_skips(args.skips) if args.skips else Skips({})
        with progress() as tell:
            board = run_in_process(args.implementation, skips, tell, args.time_limit, args.dtype)
    parts: list[Any] = [board.table()]
    if board.failed:
        parts.append(board.failures())
    if board.diagnosis():
        parts.append(sentence(board.diagnosis()))
    parts.append(sentence(board.summary()))
    if board.printed:
        parts.append(sentence(_printed(board.printed)))
    delivery.deliver(args, parts, board.to_dict() | {"environment": environment()})
    return board.exit_code


def _compare(args: argparse.Namespace) -> int:
    """1 if an item differs."""
    first, second = (read_board(path) for path in args.compare)
    found = differences(first, second)
    table = Table("item", *(f"{board['subject']} {board['badge']}" for board in (first, second)))
    for row in found:
        table.add_row(*map(Text, row))
    rows = [{"id": id, "first": one, "second": other} for id, one, other in found]
    summary = sentence(f"{len(found)} of {len(first['outcomes'])} items differ")
    delivery.deliver(args, [table, summary] if found else [summary], {"schema_version": 1, "differences": rows})
    return int(bool(found))


def _printed(items: list[Item]) -> str:
    """One sentence."""
    first = next(iter(items[0].printed.strip().splitlines()), "")
    return f"It printed something during {len(items)} items; the first is {items[0].id}: {first[:120]!r}"
