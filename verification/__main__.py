"""`python -m verification`, and where the command `implicit-bias` starts.

Before anything that takes time is imported, Ctrl-C ends the process as it does later: one sentence, exit code 130.
Only a command imports this file; `import verification` changes no signal.
"""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["main"]


def _end_at_once(number: int, frame: object) -> None:
    os.write(2, b"implicit-bias: interrupted.\n")
    os._exit(128 + number)


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # until the handler of `verification.shell` stands
    signal.signal(signal.SIGINT, _end_at_once)

from verification.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
