"""Calls of an implementation under test: its arguments stay as they were, and what comes back is judged as it is."""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError
from refimpl.validation import Array
from verification.vectors import Answer

__all__ = ["ArgumentChangedError", "WrongTypeError", "call", "load_implementation", "offers"]

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "forward": ("W", "a", "slope", "X"),
    "loss": ("W", "a", "slope", "X", "y", "loss"),
    "gradient": ("W", "a", "slope", "X", "y", "loss"),
    "descent": ("W", "a", "slope", "X", "y", "loss", "step_size", "steps"),
    "stable_rank": ("W",),
    "max_margin": ("a", "slope", "X", "y"),
    "flow_limit": ("W0", "a", "slope", "X", "y", "loss"),
    "kkt_residuals": ("W", "a", "slope", "X", "y"),
}
"""The arguments of each function, in order."""


class ArgumentChangedError(Exception):
    """A function wrote into an array that it was given."""


class WrongTypeError(Exception):
    """A function returned something other than float64."""


def load_implementation(name: str) -> Any:
    """The object that `package.module:object` names; a module if there is no object; an instance if it is a class.

    Raises
    ------
    InvalidParameterError
        If it cannot be imported.

    Examples
    --------
    >>> type(load_implementation("verification.wrong_on_purpose:ScalarLoops")).__name__
    'ScalarLoops'
    """
    module, _, attribute = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the user's own folder
    try:
        found: Any = importlib.import_module(module)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
        return found() if inspect.isclass(found) else found
    except InvalidParameterError:
        raise
    except Exception as error:
        why = f"name something that can be imported, such as package.module:object ({type(error).__name__}: {error})"
        raise InvalidParameterError("implementation", why, name) from error


def offers(implementation: Any, function: str) -> bool:
    """Whether the implementation has the function."""
    return callable(getattr(implementation, function, None))


def call(implementation: Any, function: str, inputs: dict[str, Any], as_it_is: bool = False) -> Answer:
    """The answer of a function to copies of the inputs.

    Parameters
    ----------
    implementation : object
    function : str
        A key of `ARGUMENTS`.
    inputs : dict
        At least its arguments, by name.
    as_it_is : bool
        Give the arrays themselves, in their memory layout, and not copies.

    Raises
    ------
    ArgumentChangedError, WrongTypeError
    Exception
        Whatever the function raises.
    """
    given = [inputs[name] if as_it_is else _copy(inputs[name]) for name in ARGUMENTS[function]]
    kept = [_copy(value) for value in given]
    method: Callable[..., Any] = getattr(implementation, function)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = method(*given)
    for name, before, after in zip(ARGUMENTS[function], kept, given, strict=True):
        if isinstance(before, np.ndarray) and before.tobytes() != after.tobytes():
            raise ArgumentChangedError(f"`{name}` was changed in place")
    return Answer(_as_float64(found))


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _as_float64(found: Any) -> Array:
    """float64 as it is; pairs such as (v, u) stacked."""
    if isinstance(found, tuple | list):
        return np.array([_as_float64(part) for part in found])
    array = np.asarray(found)
    if array.dtype != np.float64 and not (isinstance(found, int) and not isinstance(found, bool)):
        raise WrongTypeError(f"the result is {array.dtype} and must be float64")
    return np.asarray(array, dtype=np.float64)
