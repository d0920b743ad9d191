"""The command `implicit-bias`: subcommands, one sentence for each error, exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from refimpl.errors import ImplicitBiasError
from verification.commands import (
    certify,
    conformance,
    descend,
    flow,
    kkt,
    max_margin,
    search,
    self_test,
    vectors,
    verify,
)
from verification.report import package_version

__all__ = ["main"]

COMMANDS = (verify, flow, descend, max_margin, kkt, certify, search, conformance, vectors, self_test)

BAD_INPUT, INTERRUPTED = 2, 130

EXAMPLES = """examples:
  implicit-bias verify                        the claims on built-in data
  implicit-bias verify --data data.csv        the claims on yours
  implicit-bias flow --plot flow.png          one gradient flow, drawn

`implicit-bias COMMAND --help` shows the options of a command."""


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="implicit-bias",
        description="Is the theory of implicit bias true of your numbers, and is your implementation right?",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"implicit-bias {package_version()}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 2, with one sentence on standard error, for bad input.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
    """
    args = build_parser().parse_args(arguments)
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except ImplicitBiasError as error:
        return _refuse(str(error))
    except MemoryError:
        return _refuse("this needs more memory than there is.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        print("implicit-bias: interrupted.", file=sys.stderr)
        return INTERRUPTED
    return code


def _refuse(sentence: str) -> int:
    print(f"implicit-bias: error: {sentence}", file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
