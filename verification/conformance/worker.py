"""The process that an implementation runs in: it answers one request after another, whatever the implementation does.

Requests and answers go over copies of standard input and output that the implementation does not know; what it
prints itself goes to standard error, which the parent collects (`verification.conformance.process`). A line of
its own before each call tells the parent that the time of that call begins.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import IO, Any

from refimpl.errors import ImplicitBiasError

__all__ = ["main"]

CALL, UP = "call", "up"
"""Lines that are no answers: a call begins; the process has started."""


def main() -> None:
    """Load what the first request names, then answer the items that the others name, until there are no more."""
    requests, answers = _private_streams()
    owner = os.getpid()

    def tell(content: Any) -> None:
        if os.getpid() != owner:  # a forked copy of this process has no say
            os._exit(0)
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    tell(UP)
    first = json.loads(requests.readline())
    try:
        implementation = _load(first["implementation"])
    except ImplicitBiasError as error:
        tell({"refused": str(error)})
        return
    tell({"loaded": True})
    for line in requests:
        item = _answer(implementation, json.loads(line), first, tell)
        _flush()
        tell({"item": item, "marked": _mark()})


def _private_streams() -> tuple[IO[str], IO[str]]:
    """Requests and answers; afterwards descriptor 0 is empty, and 1 goes where 2 goes."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, answers


def _load(name: str) -> Any:
    from refimpl.errors import InvalidParameterError
    from verification.conformance.calls import load_implementation

    try:
        return load_implementation(name)
    except KeyboardInterrupt as error:  # of the implementation: nobody types at this process
        raise InvalidParameterError("implementation", "not interrupt its own import", name) from error


def _answer(implementation: Any, id: str, terms: dict[str, Any], tell: Any) -> dict[str, Any]:
    from verification.conformance import calls
    from verification.conformance.run import ask, failed

    def begin() -> None:
        tell(CALL)
        _end_if_forgotten(terms["time_limit"])

    calls.before_each_call = begin
    try:
        return ask(implementation, id, dtype=terms["dtype"]).to_dict()
    except BaseException as error:  # KeyboardInterrupt, raised by the implementation
        return failed(id, calls.raised(error)).to_dict()
    finally:
        calls.before_each_call = None
        _end_if_forgotten(0.0)


def _end_if_forgotten(time_limit: float) -> None:
    """The parent ends this process at the time limit; if the parent is gone, the alarm does at twice the limit."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 2.0 * time_limit)


def _mark() -> bool:
    """Tell the parent where the output of an item ends; false if the implementation has closed descriptor 2."""
    try:
        os.write(2, b"\0")
    except OSError:
        return False
    return True


def _flush() -> None:
    for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None)):
        with contextlib.suppress(Exception):  # closed or deleted by the implementation
            stream.flush()  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
