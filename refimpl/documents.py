"""Results as JSON: what plain values are, and what stands for the numbers that JSON lacks.

One convention in every file and every command: inf, -inf and nan are the strings "inf", "-inf" and "nan", in golden
vectors too, and null says that there is no such number (no limit, no solution, no such option).
"""

from __future__ import annotations

import json
import math
from enum import Enum
from typing import Any

import numpy as np

__all__ = ["SPECIAL", "as_plain", "json_text", "with_numbers"]

SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
"""The words for the numbers that JSON lacks."""


def as_plain(value: Any) -> Any:
    """`value` in what JSON has: dicts, lists, strings, numbers; an `Enum` by its name, a special number by its word.

    Examples
    --------
    >>> as_plain({"slack": np.float64(np.inf), "rows": np.array([[1.5, np.nan]]), "counts": (1, None)})
    {'slack': 'inf', 'rows': [[1.5, 'nan']], 'counts': [1, None]}
    """
    if isinstance(value, dict):
        return {key: as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return as_plain(value.tolist())
    if isinstance(value, Enum):
        return value.name
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def with_numbers(value: Any) -> Any:
    """What JSON gave, with the special numbers in place of their words.

    Examples
    --------
    >>> with_numbers({"slack": "inf", "names": ["a"]})
    {'slack': inf, 'names': ['a']}
    """
    if isinstance(value, dict):
        return {key: with_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_numbers(item) for item in value]
    return SPECIAL.get(value, value) if isinstance(value, str) else value


def json_text(document: Any, indent: int | None = 2) -> str:
    """The text of a document, in UTF-8 where it is written, with a line end.

    Examples
    --------
    >>> print(json_text({"σ₃/σ₁": float("nan")}, indent=None), end="")
    {"σ₃/σ₁": "nan"}
    """
    return json.dumps(as_plain(document), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
