"""Modules and objects of the user's, by name."""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["load"]


def load(name: str) -> Any:
    """What `package.module` or `package.module:object.attribute` stands for.

    The current folder is searched first, as `python -m` does and a console script does not. It stays on the path,
    because a module may import others of its folder when it is used.

    Raises
    ------
    BaseException
        Whatever the module raises when it is imported.

    Examples
    --------
    >>> load("fractions:Fraction.from_float")(0.5)
    Fraction(1, 2)
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    path, _, attribute = name.partition(":")
    found: Any = importlib.import_module(path)
    for part in filter(None, attribute.split(".")):
        found = getattr(found, part)
    return found
