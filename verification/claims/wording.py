"""Numbers, counts and lists in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["from_to", "listed", "number", "plural", "power_of_e", "with_and"]


def number(value: float | None) -> str:
    """Three digits, or whole thousands.

    Examples
    --------
    >>> number(0.00127), number(2553.2), number(None)
    ('0.00127', '2,553', '-')
    """
    if value is None:
        return "-"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"


def power_of_e(log: float) -> str:
    """e^log as a number, or as a power of e beyond the range of float64.

    Examples
    --------
    >>> power_of_e(-1.0), power_of_e(-1234.5)
    ('0.368', 'e^-1234')
    """
    return number(float(np.exp(log))) if abs(log) < 690.0 else f"e^{log:.0f}"


def plural(count: int, word: str) -> str:
    return word if count == 1 else f"{word}s"


def from_to(values: Iterable[int]) -> str:
    """Some whole numbers, as one or from the smallest to the largest.

    Examples
    --------
    >>> from_to([2, 2]), from_to([2, 5, 3])
    ('2', '2 to 5')
    """
    found = sorted(set(values))
    return str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def with_and(words: Sequence[str]) -> str:
    """With an "and" before the last.

    Examples
    --------
    >>> with_and(["1"]), with_and(["1", "2", "3"])
    ('1', '1, 2 and 3')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def listed(words: Sequence[str], most: int = 4) -> str:
    """The first few, and how many more.

    Examples
    --------
    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    rest = len(words) - most
    return ", ".join(words) if rest <= 0 else f"{', '.join(words[:most])} and {rest} more"
