"""Implementations that are wrong on purpose, each with one mistake that people make.

A mistake is a class with what is known about it in `@wrong`: its title, the item that must catch it, the kinds of
vectors that it fails, and the intermediate that most of its failures must name. Mistakes go from gross to one part
in 10⁷, and from every input to those of one size only.
"""

from __future__ import annotations

from typing import Any

from verification.conformance.subjects.mistakes import backward, forward, memory, runs, sizes, solutions
from verification.conformance.subjects.mistakes.registry import MISTAKES, Mistake

__all__ = [
    "MISTAKES",
    "WRONG",
    "Mistake",
    "backward",
    "forward",
    "memory",
    "runs",
    "sizes",
    "solutions",
]

WRONG: dict[str, Any] = {title: mistake.implementation for title, mistake in MISTAKES.items()}
"""The implementations alone."""


def __getattr__(name: str) -> Any:
    """A mistake by its class name, as `--implementation verification.conformance.subjects.mistakes:NAME` asks."""
    for module in (backward, forward, memory, runs, sizes, solutions):
        if name in vars(module):
            return vars(module)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
