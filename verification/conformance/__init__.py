"""Any implementation against the golden vectors, the checks and the properties: a scoreboard (docs/conformance.md).

`run_in_process` asks what `package.module:object` names, in a process of its own; `run_conformance` asks a Python
object; `judge_answers` reads what an implementation in another language wrote beside exported cases. The same items run
under pytest: `pytest --pyargs verification.conformance --implementation package.module:object`.

`contract.py` says what an implementation offers. Nothing is imported until it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verification.conformance.board import Item, Outcome, Scoreboard
    from verification.conformance.calls import load_implementation
    from verification.conformance.process import run_in_process
    from verification.conformance.run import (
        Skips,
        ask,
        item_ids,
        judge_answers,
        read_skips,
        run_conformance,
    )

_HOMES = {
    "Item": "board",
    "Outcome": "board",
    "Scoreboard": "board",
    "Skips": "run",
    "ask": "run",
    "item_ids": "run",
    "judge_answers": "run",
    "load_implementation": "calls",
    "read_skips": "run",
    "run_conformance": "run",
    "run_in_process": "process",
}

__all__ = [
    "Item",
    "Outcome",
    "Scoreboard",
    "Skips",
    "ask",
    "item_ids",
    "judge_answers",
    "load_implementation",
    "read_skips",
    "run_conformance",
    "run_in_process",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
