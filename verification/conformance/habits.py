"""Other shapes and habits, by declaration: an attribute `habits` of the implementation, one line each.

habits = {"labels": "0/1", "samples": "columns", "reduction": "sum", "networks": "batch"}
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError
from verification.conformance.contract import ARGUMENTS

__all__ = ["HABITS", "Adapted", "adapted"]

HABITS = {
    "labels": ("-1/+1", "0/1"),
    "samples": ("rows", "columns"),
    "reduction": ("mean", "sum"),
    "networks": ("one", "batch"),
}
"""What can be declared; the first of each is what is taken otherwise.

labels: y is -1 and +1, or 0 and 1. samples: X is (n, d), or (d, n). reduction: loss and gradient are those of the mean
over the samples, or of the sum. networks: W, W0 (m, d) and a (m,), or a batch (2, m, d), (2, m) of which each
result has the leading axis.
"""


def adapted(implementation: Any) -> Any:
    """The implementation as the contract has it, if it declares habits; else itself.

    Raises
    ------
    InvalidParameterError
        If a habit is not known.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> net = SimpleNamespace(habits={"samples": "columns"}, forward=lambda W, a, slope, X: (W @ X)[0])
    >>> adapted(net).forward(np.ones((1, 2)), np.ones(1), 0.5, np.array([[1.0, 2.0]]))
    array([3.])
    """
    habits = getattr(implementation, "habits", None)
    if habits is None:
        return implementation
    for name, value in dict(habits).items():
        if value not in HABITS.get(name, ()):
            known = "; ".join(f"{habit}: {' or '.join(values)}" for habit, values in HABITS.items())
            raise InvalidParameterError("habits", f"be of {known}", f"{name}: {value}")
    return Adapted(implementation, {name: values[0] for name, values in HABITS.items()} | dict(habits))


class Adapted:
    """An implementation behind its habits; its other attributes are its own."""

    def __init__(self, implementation: Any, habits: dict[str, str]) -> None:
        self._implementation, self._habits = implementation, habits

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._implementation, name)
        if name == "with_dtype":
            return lambda dtype: Adapted(found(dtype), self._habits)
        if name not in ARGUMENTS:
            return found
        return lambda *arguments: self._call(name, found, dict(zip(ARGUMENTS[name], arguments, strict=True)))

    def _call(self, name: str, function: Any, given: dict[str, Any]) -> Any:
        habits, n = self._habits, len(given["y"]) if "y" in given else 1
        if habits["labels"] == "0/1" and "y" in given:
            given["y"] = (given["y"] + 1.0) / 2.0
        if habits["samples"] == "columns" and "X" in given:
            given["X"] = np.ascontiguousarray(given["X"].T)
        if habits["reduction"] == "sum" and "step_size" in given:
            given["step_size"] = given["step_size"] / n
        batch = habits["networks"] == "batch" and ("W" in given or "W0" in given)
        if batch:
            given |= {key: np.stack([given[key], -given[key]]) for key in ("W", "W0") if key in given}
            given |= {"a": np.stack([given["a"]] * 2)} if "a" in given else {}
        found = function(*given.values())
        found = found[0] if batch else found
        return found / n if habits["reduction"] == "sum" and name in ("loss", "gradient") else found
