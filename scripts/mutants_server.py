"""Runs pytest again and again, each time in a fork of a process that has imported modules of others.

    python scripts/mutants_server.py MODULE ...

Started by scripts/mutants.py in the copy that it tests; it imports nothing of the project, so every fork imports the
project as it lies there then. It reads lines [arguments, output, seconds] in JSON from standard input and answers each
with the exit code of pytest, or null if it took longer; what pytest prints goes to the file `output`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import sys

import pytest


def run_in_fork(arguments: list[str], output: str, seconds: float) -> int | None:
    """Exit code of pytest; None if it did not end in time. What it started is ended with it."""
    child = os.fork()
    if child == 0:
        _be_pytest(arguments, output)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except TimeoutError:
        return None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _out_of_time(*_: object) -> None:
    raise TimeoutError


def _be_pytest(arguments: list[str], output: str) -> None:
    """Pytest in this process, which ends with it."""
    os.setsid()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with open(output, "wb", buffering=0) as file, open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 3  # pytest's own code for an internal error
    try:
        code = int(pytest.main(arguments))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Answer until standard input ends."""
    for name in sys.argv[1:]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGALRM, _out_of_time)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    for line in sys.stdin:
        print(json.dumps(run_in_fork(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
