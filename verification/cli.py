"""The command `implicit-bias` as a function; `verification.shell` is what it does, `verification.__main__` starts it.

This file imports nothing that takes time, so that Ctrl-C in the first moments ends the command as it does later.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from verification.shell import COMMANDS, build_parser

__all__ = ["COMMANDS", "build_parser", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command (`verification.shell.main`).

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit code.

    Raises
    ------
    SystemExit
        After --help, --version and bad options, as argparse does.
    """
    try:
        from verification import shell
    except KeyboardInterrupt:
        sys.stderr.write("implicit-bias: interrupted.\n")
        return 130
    return shell.main(arguments)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from verification import shell

    return getattr(shell, name)


if __name__ == "__main__":
    sys.exit(main())
