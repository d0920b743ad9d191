"""`implicit-bias vectors`: the golden vectors, and their export for other languages."""

from __future__ import annotations

import argparse

from rich.table import Table

from verification.commands import delivery
from verification.conformance.vectors import KINDS, VECTORS_VERSION, export_cases, load_vectors
from verification.printing import sentence

__all__ = ["add_parser", "run"]

EXAMPLES = """examples:
  implicit-bias vectors list
  implicit-bias vectors export cases/
  implicit-bias conformance --answers cases/      (after your program wrote its answers there)"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "vectors",
        description="Golden vectors: inputs as numbers, outputs with proven errors, a tolerance for each case.",
        epilog=EXAMPLES,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="what there is, by kind", description="Number of cases by kind and flag.")
    listing.set_defaults(run=_list, json=None)
    export = actions.add_parser(
        "export",
        help="write each case as ID.json and ID.txt",
        description="Write each case as ID.json and ID.txt; answers go beside them as ID.answer.json or ID.answer.txt.",
    )
    export.add_argument("folder", metavar="DIR", help="folder of the files, made where it is missing")
    export.add_argument(
        "--dtype", default="float64", metavar="NAME", help="float64 (default), float32, float16, bfloat16"
    )
    export.add_argument("--force", action="store_true", help="overwrite files that exist")
    export.set_defaults(run=_export, json=None)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    return int(args.run(args))


def _list(args: argparse.Namespace) -> int:
    table = Table("kind", "cases", "flags")
    total = 0
    for kind in KINDS:
        cases = load_vectors(kind)
        total += len(cases)
        table.add_row(kind, str(len(cases)), ", ".join(sorted({flag for case in cases for flag in case.flags})))
    delivery.deliver(args, [table, sentence(f"{total} cases, version {VECTORS_VERSION}")])
    return 0


def _export(args: argparse.Namespace) -> int:
    from verification.conformance.precision import cases_in

    count = export_cases(args.folder, args.force, cases_in(args.dtype))
    delivery.deliver(args, [sentence(f"{count} cases written to {args.folder}")])
    return 0
