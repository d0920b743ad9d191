"""`implicit-bias self-test`: the proof that the checks can fail."""

from __future__ import annotations

import argparse

from rich.table import Table
from rich.text import Text

from refimpl.display import shown
from verification.bars import progress
from verification.commands import delivery, options
from verification.printing import sentence
from verification.progress import Told
from verification.versions import environment

__all__ = ["add_parser", "run"]

EXAMPLES = """examples:
  implicit-bias self-test
  implicit-bias self-test --json self-test.json
  implicit-bias self-test --dtype float32
  implicit-bias self-test --dtype all

exit codes: 0 every wrong implementation was caught and every right one passed; 1 otherwise"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "self-test",
        description="Run each check against an implementation that is wrong on purpose, and against right ones.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "--dtype", metavar="NAME", help="only: mistakes that no vector shows in this format, or all, and why"
    )
    options.add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    delivery.check_outputs(args, "json")
    from verification.conformance.self_test import self_test

    if args.dtype:
        return _by_format(args)

    with progress() as tell:
        rows = self_test(tell)
    table = Table("implementation", "check", "measured", "tolerance", "outcome")
    for row in rows:
        outcome = "caught" if row.caught else "passed"
        style = "green" if row.as_expected else "bold red"
        cells = [row.implementation, row.named_check, shown(row.measured), shown(row.tolerance)]
        table.add_row(*cells, Text(outcome if row.as_expected else f"{outcome}: WRONG", style=style))
    wrong, right = [row for row in rows if row.wrong], [row for row in rows if not row.wrong]
    caught, passed = sum(row.caught for row in wrong), sum(not row.caught for row in right)
    summary = f"{caught} of {len(wrong)} wrong implementations caught, {passed} of {len(right)} right ones passed."
    content = [
        {"implementation": r.implementation, "check": r.named_check, "wrong": r.wrong, "caught": r.caught} for r in rows
    ]
    document = {"schema_version": 1, "rows": content, "summary": summary, "environment": environment()}
    delivery.deliver(args, [table, sentence(summary)], document)
    return 0 if all(row.as_expected for row in rows) else 1


def _by_format(args: argparse.Namespace) -> int:
    """The mistakes that some format hides, and why."""
    from verification.conformance.precision import FORMATS
    from verification.conformance.self_test import SEEN, standing_in

    names = [name for name in FORMATS if name != "float64"] if args.dtype == "all" else [args.dtype]
    found = {}
    with progress() as tell:
        for number, name in enumerate(names):
            tell(Told("mistakes", f"in {name}", number / len(names)))
            found[name] = standing_in(name)
    titles = [title for title in found[names[0]] if any(found[name][title] != SEEN for name in names)]
    table = Table("mistake", *names)
    for title in titles:
        table.add_row(Text(title), *(found[name][title] for name in names))
    counts = [sum(found[name][title] != SEEN for title in titles) for name in names]
    told = ", ".join(f"{count} in {name}" for count, name in zip(counts, names, strict=True))
    summary = f"Of {len(found[names[0]])} mistakes that a file can show are not seen: {told}."
    unseen = {name: {title: found[name][title] for title in titles if found[name][title] != SEEN} for name in names}
    delivery.deliver(args, [table, sentence(summary)], {"schema_version": 1, "dtype": args.dtype, "unseen": unseen})
    return 0
