"""M λ = 1 by python-flint, as functions and as a program of its own.

One native call of minutes cannot be interrupted; a program can. `run_apart` starts this file and kills it on Ctrl-C.
"""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

TELL_SECONDS = 5.0
"""Time between two reports of progress."""


def solve_ones(flint: Any, rows: list[list[int]], _: int = 0) -> dict[str, Any]:
    """A x = 1 over Q: {"numerators", "denominator"}, or {"kernel"} if A is singular."""
    n, matrix = len(rows), flint.fmpz_mat(rows)
    try:
        numerators, denominator = matrix.solve(flint.fmpz_mat(n, 1, [1] * n)).numer_denom()
    except ZeroDivisionError:
        basis, _ = matrix.nullspace()
        return {"kernel": [int(basis[i, 0]) for i in range(n)]}
    return {"numerators": [int(numerators[i, 0]) for i in range(n)], "denominator": int(denominator)}


def surely_negative(flint: Any, rows: list[list[int]], bits: int) -> dict[str, Any]:
    """{"sample"}: the first i with x_i < 0 for every solution of A x = 1 in balls of `bits` bits, or None."""
    n = len(rows)
    with flint.ctx.workprec(bits):
        try:
            x = flint.arb_mat(rows).solve(flint.arb_mat(n, 1, [1] * n))
        except ZeroDivisionError:
            return {"sample": None}
        return {"sample": next((i for i in range(n) if bool(x[i, 0] < 0)), None)}


TASKS: dict[str, Callable[[Any, list[list[int]], int], dict[str, Any]]] = {
    "solve_ones": solve_ones,
    "surely_negative": surely_negative,
}


def run_apart(task: str, rows: list[list[int]], bits: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """The answer of a task, computed in a process that ends when this one is interrupted.

    Raises
    ------
    MemoryError
        If the process ended without an answer.
    """
    question: str | None = json.dumps({"task": task, "rows": [[hex(x) for x in row] for row in rows], "bits": bits})
    start, text = time.monotonic(), None
    with subprocess.Popen(
        [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            while text is None:
                try:
                    text, _ = process.communicate(question, timeout=TELL_SECONDS)
                except subprocess.TimeoutExpired:
                    question = None  # it is on its way
                    progress(f"{len(rows)} linear equations over the integers, {time.monotonic() - start:.0f} s")
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode != 0:
        raise MemoryError(f"the exact solution of {len(rows)} equations ended with code {process.returncode}")
    return {name: _decoded(value) for name, value in json.loads(text).items()}


def _encoded(value: Any) -> Any:
    return [hex(x) for x in value] if isinstance(value, list) else None if value is None else hex(value)


def _decoded(value: Any) -> Any:
    return [int(x, 16) for x in value] if isinstance(value, list) else None if value is None else int(value, 16)


def main() -> None:
    """Read a question from standard input, write the answer to standard output."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the default of the system ends a native call at once
    question = json.load(sys.stdin)
    rows = [[int(x, 16) for x in row] for row in question["rows"]]
    answer = TASKS[question["task"]](importlib.import_module("flint"), rows, question["bits"])
    json.dump({name: _encoded(value) for name, value in answer.items()}, sys.stdout)


if __name__ == "__main__":
    main()
