"""Any implementation against the golden vectors and the properties: a scoreboard (docs/conformance.md).

`run_conformance` asks a Python object with the functions of `verification.implementation_checks.Implementation`;
`judge_answers` reads what an implementation in another language wrote beside exported cases. The same items run
under pytest: `pytest --pyargs verification.conformance --implementation package.module:object`.
"""

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
