"""What is known about each mistake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["MISTAKES", "Mistake", "wrong"]


@dataclass(frozen=True)
class Mistake:
    """One implementation that is wrong on purpose.

    Attributes
    ----------
    title : str
    implementation : object
    caught_by : str
        The id of the check or property that must fail.
    vectors : tuple of str
        The kinds of vectors of which some must fail; empty if no file can show the mistake.
    differs : str or None
        The intermediate that most of the failed vectors must name.
    """

    title: str
    implementation: Any
    caught_by: str
    vectors: tuple[str, ...]
    differs: str | None = None


MISTAKES: dict[str, Mistake] = {}
"""Every mistake by its title."""

Class = TypeVar("Class", bound=type)


def wrong(title: str, caught_by: str, vectors: tuple[str, ...], differs: str | None = None) -> Callable[[Class], Class]:
    """Put an instance of the class among `MISTAKES`."""

    def add(implementation: Class) -> Class:
        MISTAKES[title] = Mistake(title, implementation(), caught_by, vectors, differs)
        return implementation

    return add
