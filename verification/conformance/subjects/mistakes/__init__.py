"""Implementations that are wrong on purpose, each with one mistake that people make.

A mistake is a class with what is known about it in `@wrong`: its title, the item that must catch it, the kinds of
vectors that it fails, and the intermediate that most of its failures must name. Mistakes go from gross to one part
in 10⁷, and from every input to those of one size only.
"""

from __future__ import annotations

from typing import Any

from verification.conformance.subjects.mistakes import axes, backward, forward, limits, memory, runs, sizes, solutions
from verification.conformance.subjects.mistakes.registry import MISTAKES, Mistake

__all__ = [
    "MISTAKES",
    "WRONG",
    "Mistake",
    "axes",
    "backward",
    "forward",
    "limits",
    "memory",
    "runs",
    "sizes",
    "solutions",
]

WRONG: dict[str, Any] = {title: mistake.implementation for title, mistake in MISTAKES.items()}
"""The implementations alone."""


def __getattr__(name: str) -> Any:
    """A mistake by the name of its class, as `--implementation` asks for it."""
    for module in (axes, backward, forward, limits, memory, runs, sizes, solutions):
        if name in vars(module):
            return vars(module)[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
