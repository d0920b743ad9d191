"""The one root of every error that this project raises on purpose.

Each subclass keeps the offending values as attributes and puts them into one sentence, with the
parameter in backticks, so that a caller can test for the class and a person can read the message.
"""

from __future__ import annotations

import reprlib
from typing import Any

__all__ = [
    "FileFormatError",
    "ImplicitBiasError",
    "InvalidDataError",
    "InvalidParameterError",
    "MissingExtraError",
    "OutputFileError",
    "RunInterrupted",
    "ShapeError",
    "UnreachableSlackError",
    "WorkerError",
]


class ImplicitBiasError(Exception):
    """Root of all errors raised by `refimpl` and `verification`.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> from refimpl.errors import ImplicitBiasError
    >>> try:
    ...     LeakyReLU(1.5)
    ... except ImplicitBiasError as error:
    ...     print(error)
    `slope` must lie in [0, 1]; got 1.5.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by attributes: the arguments of a subclass are not those of `Exception`."""
        return _rebuilt, (type(self), self.args, vars(self))


class InvalidParameterError(ImplicitBiasError, ValueError):
    """A parameter has a value outside the set where the mathematics is defined."""

    def __init__(self, parameter: str, requirement: str, value: Any) -> None:
        self.parameter = parameter
        self.requirement = requirement
        self.value = value
        super().__init__(f"`{parameter}` must {requirement}; got {_shown(value)}.")


class ShapeError(ImplicitBiasError, ValueError):
    """An array does not have the shape that the other arguments call for."""

    def __init__(self, parameter: str, expected: str, shape: tuple[int, ...]) -> None:
        self.parameter = parameter
        self.expected = expected
        self.shape = shape
        super().__init__(f"`{parameter}` must have shape {expected}; got {shape}.")


class InvalidDataError(ImplicitBiasError, ValueError):
    """Data on which no claim of the theory can be stated (a zero row, contradictory labels, ...)."""

    def __init__(self, parameter: str, message: str, value: Any = None) -> None:
        self.parameter = parameter
        self.value = value
        super().__init__(message)


class UnreachableSlackError(ImplicitBiasError, ValueError):
    """A wanted slack of the paper's condition cannot be represented, or cannot exist."""

    def __init__(self, slack: float, reason: str) -> None:
        self.slack = slack
        self.reason = reason
        super().__init__(f"`slack` = {slack:g} cannot be reached: {reason}.")


class FileFormatError(ImplicitBiasError):
    """A file is missing, truncated, or does not hold what the reader needs."""

    def __init__(self, path: Any, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot read `{path}`: {reason}.")


class OutputFileError(ImplicitBiasError):
    """A result cannot be written where it was asked for."""

    def __init__(self, path: Any, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot write `{path}`: {reason}.")


class MissingExtraError(ImplicitBiasError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f'the package {package} is not installed: pip install "implicit-bias-refimpl[{extra}]" installs it.'
        )


class WorkerError(ImplicitBiasError):
    """Work on a tile of columns was lost: a worker died, a cluster went away."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"a tile of columns was not computed: {reason}.")


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C during a long run; `result` has what was computed until then.

    It is no `ImplicitBiasError`: a loop over runs stops as at any other Ctrl-C, and whoever wants to keep what there is
    catches it.

    Attributes
    ----------
    result : object
        As the interrupted function would have returned it, with a status that says so.

    Examples
    --------
    >>> try:
    ...     raise RunInterrupted("what there is")
    ... except KeyboardInterrupt as stop:
    ...     print(stop.result)
    what there is
    """

    def __init__(self, result: Any) -> None:
        self.result = result
        super().__init__("interrupted")


def _short_repr() -> reprlib.Repr:
    """`repr` that looks at the first entries of a long collection only."""
    short = reprlib.Repr()
    short.maxlist = short.maxtuple = short.maxdict = short.maxset = short.maxfrozenset = 20
    short.maxstring = short.maxlong = short.maxother = 1000
    return short


def _rebuilt(kind: type[ImplicitBiasError], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    error = kind.__new__(kind)
    error.args = arguments
    vars(error).update(attributes)
    return error


def _shown(value: Any) -> str:
    """`value` on one short line."""
    try:
        if hasattr(value, "item") and getattr(value, "size", 0) == 1:
            value = value.item()
        text = " ".join(_short_repr().repr(value).split())
    except Exception:  # __repr__ of others may raise anything, and so does that of a very long int
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."
