"""Calls of an implementation under test: its arguments stay as they were, and what comes back is judged as it is."""

from __future__ import annotations

import inspect
import os
import select
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError
from refimpl.validation import Array
from verification.conformance.contract import ARGUMENTS
from verification.conformance.habits import adapted
from verification.conformance.vectors import Answer
from verification.user_code import load

__all__ = [
    "ArgumentChangedError",
    "SideEffectError",
    "WrongTypeError",
    "call",
    "load_implementation",
    "offers",
    "raised",
    "watched",
]


class ArgumentChangedError(Exception):
    """A function wrote into an array that it was given."""


class SideEffectError(Exception):
    """A function ended the program, closed standard output, or left a copy of the process behind."""


class WrongTypeError(Exception):
    """A function returned something other than float64."""


before_each_call: Callable[[], Any] | None = None
"""Called before each function of the implementation, where a time limit is kept."""


def load_implementation(name: str) -> Any:
    """The object that `package.module:object` names; a module if there is no object; an instance if it is a class.

    `torch:package.MyModule` names a `torch.nn.Module` (`subjects/module.py`), `jax:package.net` a function of a pytree
    of parameters (`subjects/pytree.py`). Declared habits: `habits.py`.

    Raises
    ------
    InvalidParameterError
        If it cannot be imported.

    Examples
    --------
    >>> type(load_implementation("verification.conformance.subjects.styles:ScalarLoops")).__name__
    'ScalarLoops'
    """
    framework, colon, rest = name.partition(":")
    if framework in ("torch", "jax") and colon:
        module, dot, last = rest.rpartition(".")
        path = f"{module}:{last}" if dot and ":" not in rest else rest
        if framework == "jax":  # which is told to have float64 before the network makes its parameters
            from verification.conformance.subjects.pytree import ApplyImplementation

            return adapted(ApplyImplementation(_found(path, name), name))
        from verification.conformance.subjects.module import ModuleImplementation

        return ModuleImplementation(_found(path, name), name)
    found = _found(name, name)
    try:
        return adapted(found() if inspect.isclass(found) else found)
    except (InvalidParameterError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _cannot_import(error, name) from error


def _found(path: str, name: str) -> Any:
    try:
        return load(path)
    except (InvalidParameterError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too
        raise _cannot_import(error, name) from error


def _cannot_import(error: BaseException, name: str) -> InvalidParameterError:
    why = f"name something that can be imported, such as package.module:object ({_told(error)})"
    return InvalidParameterError("implementation", why, name)


def offers(implementation: Any, function: str) -> bool:
    """Whether the implementation has the function."""
    try:
        return callable(getattr(implementation, function, None))
    except Exception:
        return False


def call(implementation: Any, function: str, inputs: dict[str, Any], as_it_is: bool = False) -> Answer:
    """The answer of a function to copies of the inputs.

    Parameters
    ----------
    implementation : object
    function : str
        A key of `verification.conformance.contract.OPERATIONS`.
    inputs : dict
        At least its arguments, by name.
    as_it_is : bool
        Give the arrays themselves, in their memory layout, and not copies.

    Raises
    ------
    ArgumentChangedError, SideEffectError, WrongTypeError
    Exception
        Whatever the function raises; `SideEffectError` in place of SystemExit and the like.
    """
    given = [inputs[name] if as_it_is else _copy(inputs[name]) for name in ARGUMENTS[function]]
    kept = [_copy(value) for value in given]
    method: Callable[..., Any] = getattr(implementation, function)
    if before_each_call is not None:
        before_each_call()
    with warnings.catch_warnings(), np.errstate(all="ignore"), watched():
        warnings.simplefilter("ignore")
        found = method(*given)
    for name, before, after in zip(ARGUMENTS[function], kept, given, strict=True):
        if isinstance(before, np.ndarray) and _bytes(before) != _bytes(after):
            raise ArgumentChangedError(f"`{name}` was changed in place")
        if isinstance(after, np.ndarray) and isinstance(found, np.ndarray) and np.shares_memory(found, after):
            raise WrongTypeError(f"the result is a view of `{name}`: what is done to one is done to the other")
    return Answer(_as_float64(found))


def raised(error: BaseException) -> str:
    """In words, for the scoreboard.

    Examples
    --------
    >>> raised(SystemExit(0))
    'raised SystemExit: 0'
    """
    if isinstance(error, ArgumentChangedError | SideEffectError | WrongTypeError):
        return str(error)
    return f"raised {_told(error)}"


def _told(error: BaseException) -> str:
    """Name and text of an exception, on one line, also if its text cannot be had."""
    try:
        text = " ".join(str(error).split())[:160]
    except BaseException:
        text = "its text cannot be shown"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def watched() -> Iterator[None]:
    """Turn what would end the program, or spoil it, into a `SideEffectError`."""
    owner, stdout, forks = os.getpid(), getattr(sys, "stdout", None), _Forks.count
    _Forks.watched += 1
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit, GeneratorExit, classes of its own
        raise SideEffectError(f"raised {_told(error)}") from error
    finally:
        _Forks.watched -= 1
        if os.getpid() != owner:  # a copy of the process that came back from the function
            _Forks.tell_and_end()
        now, sys.stdout = getattr(sys, "stdout", None), stdout
        if _Forks.count > forks and _Forks.copy_came_back():
            raise SideEffectError("forked, and the copy of the process came back from the function as well")
        if stdout is not None and stdout.closed:
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
            raise SideEffectError("closed sys.stdout")
        if now is not stdout:
            raise SideEffectError("deleted sys.stdout" if now is None else "left another sys.stdout behind")


class _Forks:
    """Forks of this process while a function of the implementation runs."""

    count, watched = 0, 0
    pipe: tuple[int, int] | None = None

    @classmethod
    def before(cls) -> None:
        """Make the pipe through which a copy tells that it came back."""
        if cls.watched:
            cls.count += 1
            cls.pipe = cls.pipe or os.pipe()

    @classmethod
    def tell_and_end(cls) -> None:
        """End the copy."""
        if cls.pipe is not None:
            os.write(cls.pipe[1], b"1")
        os._exit(0)

    @classmethod
    def copy_came_back(cls) -> bool:
        """Whether a copy told, within half a second."""
        if cls.pipe is None or not select.select([cls.pipe[0]], [], [], 0.5)[0]:
            return False
        os.read(cls.pipe[0], 1)
        return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_Forks.before)


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _bytes(x: Array) -> bytes:
    return np.ascontiguousarray(x).tobytes()


def _as_float64(found: Any) -> Array:
    """float64 as it is; pairs such as (v, u) stacked."""
    if isinstance(found, tuple | list):
        parts = [_as_float64(part) for part in found]
        if len({part.shape for part in parts}) > 1:
            raise WrongTypeError(f"the parts of the result have shapes {', '.join(str(part.shape) for part in parts)}")
        return np.array(parts)
    if isinstance(found, np.matrix | np.ma.MaskedArray):
        raise WrongTypeError(f"the result is a {type(found).__name__} and must be an ndarray")
    try:
        array = np.asarray(found)
    except Exception as error:
        raise WrongTypeError(f"the result is a {type(found).__name__}, not an array") from error
    if array.dtype != np.float64 and not (isinstance(found, int) and not isinstance(found, bool)):
        raise WrongTypeError(f"the result is {array.dtype} and must be float64")
    return np.asarray(array, dtype=np.float64)
