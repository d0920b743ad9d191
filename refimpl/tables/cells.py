"""What a cell says, a number, nothing or a word; and how cells are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

__all__ = ["MISSING", "NUMBER_CHARACTERS", "is_number", "key_of", "listed", "printable"]

MISSING = {"", "na", "n/a", "nan", "null", "none", "nil", "?", ".", "-", "--", "missing", "<na>", "#n/a", "nat"}
"""What stands for a number that is not known, in lower case."""

NUMBER_CHARACTERS = re.compile(r"[-+.0-9eE]*", re.ASCII)


def is_number(cell: str) -> bool:
    """Whether it is a finite decimal number."""
    try:
        return NUMBER_CHARACTERS.fullmatch(cell) is not None and math.isfinite(float(cell))
    except ValueError:
        return False


def key_of(text: str) -> Any:
    """Labels are the same if they are the same number, or the same text."""
    text = text.strip()
    return float(text) + 0.0 if is_number(text) else text


def listed(names: Sequence[str], most: int) -> str:
    """Names separated by commas, the first ones if there are many."""
    shown = ", ".join(name[:40] for name in names[:most])
    return shown if len(names) <= most else f"{shown}, ... ({len(names)} in all)"


def printable(text: str) -> str:
    r"""With escapes in place of characters that a terminal would act on.

    Examples
    --------
    >>> print(printable("a\x1b[31m, \udcff"))
    a\x1b[31m, \xff
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is no text
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")
