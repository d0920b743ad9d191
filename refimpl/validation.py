"""Checks of arguments, shared by every public function: one clear sentence for each bad input.

Arrays come as anything that NumPy reads as real numbers: nested lists, arrays of any layout and byte order,
frames, tensors. What would change the numbers without a word is refused: masked entries, strings,
objects, complex numbers, and whole numbers that float64 does not hold. Nothing of the caller's is changed.
"""

from __future__ import annotations

import mmap
import operator
import os
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import InvalidParameterError, ShapeError

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int8]
IndexArray = NDArray[np.intp]
T = TypeVar("T")

__all__ = [
    "Array",
    "BoolArray",
    "IndexArray",
    "IntArray",
    "as_callback",
    "as_choice",
    "as_count",
    "as_finite_array",
    "as_flag",
    "as_frozen_array",
    "as_generator",
    "as_nonnegative",
    "as_number",
    "as_positive",
    "as_real_array",
    "as_unit_interval",
    "check_memory",
    "check_steps",
    "freeze_arrays",
    "kept",
    "memory_limit",
    "remember",
    "remembered",
]

EXACT_INTEGERS = 2**53
"""Up to here float64 holds every whole number."""

MEMORY_IF_UNKNOWN = 2**36
"""64 GiB: the limit of `check_memory` where the system does not say how much memory there is."""

SECONDS_A_STEP, FLOPS_A_SECOND = 1e-5, 1e11
"""What no step of any method here undercuts: a few calls of NumPy, and the arithmetic on a fast machine."""

LONGEST_RUN = 7
"""Days: a run that must take longer is refused before it starts."""

_LARGE = 2**24  # entries from which on it is asked whether an array fits into memory: views may repeat few bytes

HUGE = 10**300
"""Whole numbers above it have no float."""


# --- arrays ----------------------------------------------------------------------------------------------------------


def as_real_array(parameter: str, value: Any, ndim: int | None = None) -> Array:
    """`value` as a float64 array of `ndim` axes (any number if None); no copy is made if it is one already.

    Raises
    ------
    InvalidParameterError
        If NumPy cannot read `value` as real numbers, an entry is masked, or a number does not fit float64.
    ShapeError
        If the number of axes is another.

    Examples
    --------
    >>> as_real_array("X", [[1, 2], [3, 4]], 2).dtype
    dtype('float64')
    >>> try:
    ...     as_real_array("X", np.ma.array([1.0, 2.0], mask=[False, True]), 1)
    ... except InvalidParameterError as error:
    ...     print(str(error).partition(";")[0])
    `X` must hold no masked entries
    """
    array = value if type(value) is np.ndarray else _read(parameter, value)
    if array.dtype.kind not in "fiu":
        raise InvalidParameterError(parameter, f"hold real numbers (float64), not dtype {array.dtype}", value)
    if ndim is not None and array.ndim != ndim:
        raise ShapeError(parameter, f"with {ndim} {'axis' if ndim == 1 else 'axes'}", array.shape)
    if array.size > _LARGE and not isinstance(_owner(array), mmap.mmap):
        check_memory(parameter, array.shape, array.size)
    return array if array.dtype == np.float64 else _converted(parameter, array)


def as_finite_array(parameter: str, value: Any, ndim: int) -> Array:
    """`as_real_array`, and neither NaN nor infinity anywhere."""
    array = as_real_array(parameter, value, ndim)
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(int(k) for k in np.argwhere(~finite)[0])
        index = ", ".join(map(str, place))
        raise InvalidParameterError(f"{parameter}[{index}]", "be finite", float(array[place]))
    return array


def as_frozen_array(parameter: str, value: Any, ndim: int) -> Array:
    """`as_real_array`, read-only: a copy, unless nobody can write to `value` through NumPy either.

    So a data set, or one memory-mapped with mode "r", is shared, and an array that its owner may change is not.

    Examples
    --------
    >>> X = np.eye(2)
    >>> frozen = as_frozen_array("X", X, 2)
    >>> X[0, 0] = 7.0
    >>> frozen[0, 0], as_frozen_array("X", frozen, 2) is frozen
    (np.float64(1.0), True)
    """
    array = as_real_array(parameter, value, ndim)
    if not _is_frozen(array):
        array = np.array(array, dtype=np.float64)
        array.setflags(write=False)
    return array


def freeze_arrays(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes of an object that was pickled or deeply copied, its arrays read-only again."""
    for value in state.values():
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    return state


def remember(owner: Any, **known: Any) -> None:
    """Give a frozen object what is known of it beforehand, where `cached_property` keeps what it computes.

    Examples
    --------
    >>> from refimpl import Dataset
    >>> data = Dataset([[1.0]], [1])
    >>> remember(data, gram=np.eye(1))
    >>> data.gram is remembered(data, "gram")
    True
    """
    vars(owner).update(known)


def remembered(owner: Any, name: str) -> Any:
    """What an object has computed, or was given by `remember`, under this name; None if nothing."""
    return vars(owner).get(name)


def kept(owner: Any, name: str, work: Callable[[], T]) -> T:
    """What is `remembered` under this name, and if that is nothing what `work()` gives, which is kept.

    Examples
    --------
    >>> from refimpl import Dataset
    >>> data = Dataset([[1.0]], [1])
    >>> [kept(data, "rank", lambda: print("computed") or 1) for _ in range(2)]
    computed
    [1, 1]
    """
    if remembered(owner, name) is None:
        remember(owner, **{name: work()})
    found: T = remembered(owner, name)
    return found


def _read(parameter: str, value: Any) -> NDArray[Any]:
    if _has_masked_entries(value):
        raise InvalidParameterError(parameter, "hold no masked entries", value)
    try:
        return np.asarray(value)
    except Exception as error:  # __array__ and __float__ of others may raise anything
        reason = " ".join(str(error).split())[:200]
        requirement = f"be a rectangular array of real numbers (NumPy says: {reason})"
        raise InvalidParameterError(parameter, requirement, value) from error


def _has_masked_entries(value: Any, depth: int = 3) -> bool:
    """Whether an entry of `value`, or of an array within nested lists, is masked: NumPy would drop the mask."""
    if isinstance(value, (list, tuple)) and depth > 0:
        return any(_has_masked_entries(entry, depth - 1) for entry in value)
    return isinstance(value, np.ma.MaskedArray) and bool(np.ma.is_masked(value))


def _converted(parameter: str, array: NDArray[Any]) -> Array:
    """Float64 in this machine's byte order; whole numbers exactly, and no overflow to infinity."""
    with np.errstate(over="ignore"):
        result = array.astype(np.float64)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        for whole in array[np.abs(result) >= EXACT_INTEGERS].tolist():
            if int(float(whole)) != whole:
                raise InvalidParameterError(parameter, "hold whole numbers that float64 holds exactly", whole)
    elif array.dtype.itemsize > 8 and not np.array_equal(np.isinf(result), np.isinf(array)):
        raise InvalidParameterError(parameter, "hold numbers within the range of float64", array)
    return result


def _is_frozen(array: NDArray[Any]) -> bool:
    """Whether neither the array nor what it is a view of can be written to."""
    if array.flags.writeable or (isinstance(array.base, np.ndarray) and not _is_frozen(array.base)):
        return False
    return isinstance(_owner(array), (type(None), bytes, mmap.mmap))


def _owner(array: NDArray[Any]) -> Any:
    """What holds the memory of an array, if it is no array itself."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base


# --- numbers ---------------------------------------------------------------------------------------------------------


def as_count(parameter: str, value: Any, minimum: int = 1) -> int:
    """`value` as an int that is at least `minimum`; a bool is no number, and neither is 2.0 whole."""
    try:
        count = operator.index(value) if not isinstance(value, (bool, np.bool_, np.ma.MaskedArray)) else None
    except Exception:  # __index__ of others may raise anything
        count = None
    if count is None or count < minimum or getattr(value, "dtype", None) == np.bool_:
        raise InvalidParameterError(parameter, f"be a whole number, at least {minimum}", value)
    return int(count)


def as_number(parameter: str, value: Any) -> float:
    """`value` as a float: a number of Python or NumPy, a fraction, a 0-d array; no bool, no string.

    Examples
    --------
    >>> from fractions import Fraction
    >>> as_number("slope", Fraction(1, 8)), as_number("slope", np.array(0.5, dtype=">f4"))
    (0.125, 0.5)
    """
    try:
        if isinstance(value, (Real, Decimal)) and not isinstance(value, bool):
            return float(value)
        array = as_real_array(parameter, value, 0)
    except Exception as error:  # __float__ of others may raise anything; a whole number may exceed every float
        raise InvalidParameterError(parameter, "be a real number", value) from error
    if isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_:
        raise InvalidParameterError(parameter, "be a real number", value)
    return float(array)


def as_positive(parameter: str, value: Any) -> float:
    """`value` as a finite float > 0."""
    number = as_number(parameter, value)
    if not (np.isfinite(number) and number > 0):
        raise InvalidParameterError(parameter, "be finite and positive", value)
    return number


def as_nonnegative(parameter: str, value: Any) -> float:
    """`value` as a finite float >= 0."""
    number = as_number(parameter, value)
    if not (np.isfinite(number) and number >= 0.0):
        raise InvalidParameterError(parameter, "be finite and at least 0", value)
    return number


def as_unit_interval(parameter: str, value: Any) -> float:
    """`value` as a float in [0, 1]."""
    number = as_number(parameter, value)
    if not 0.0 <= number <= 1.0:
        raise InvalidParameterError(parameter, "lie in [0, 1]", value)
    return number


# --- everything else -------------------------------------------------------------------------------------------------


def as_flag(parameter: str, value: Any) -> bool:
    """`value` as a bool; nothing else is one, because "no" and an array would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidParameterError(parameter, "be True or False", value)
    return bool(value)


def as_choice(parameter: str, value: Any, choices: Any) -> str:
    """`value`, if it is one of the strings `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidParameterError(parameter, f"be one of {', '.join(choices)}", value)
    return value


def as_callback(parameter: str, value: Any) -> Callable[..., None]:
    """`value`, if it can be called; for None a function that does nothing."""
    if value is None:
        return _nothing
    if not callable(value):
        raise InvalidParameterError(parameter, "be a function", value)
    return cast("Callable[..., None]", value)


def _nothing(*arguments: Any) -> None:
    """Called where nobody asked to be told."""


def as_generator(parameter: str, value: Any) -> np.random.Generator:
    """`value`, if it is a `numpy.random.Generator`; a whole number >= 0 is the seed of a new one.

    Examples
    --------
    >>> as_generator("rng", 0).random() == np.random.default_rng(0).random()
    True
    """
    if isinstance(value, np.random.Generator):
        return value
    try:
        return np.random.default_rng(as_count(parameter, value, 0))
    except InvalidParameterError as error:
        raise InvalidParameterError(parameter, "be a numpy.random.Generator or a seed (int >= 0)", value) from error


# --- sizes -----------------------------------------------------------------------------------------------------------


@cache
def memory_limit() -> int:
    """Bytes of memory that this process may have: the machine's, or its container's if that is less."""
    limits = []
    try:
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (AttributeError, OSError, ValueError):  # not on this system, or "max"
        pass
    return min((limit for limit in limits if limit > 0), default=MEMORY_IF_UNKNOWN)


def check_memory(parameter: str, value: Any, entries: int) -> None:
    """Refuse `value` if the `entries` numbers of 8 bytes that it calls for exceed `memory_limit`.

    Examples
    --------
    >>> try:
    ...     check_memory("n", 10**12, entries=10**15)
    ... except InvalidParameterError as error:
    ...     print(str(error).partition(" of at most")[0])
    `n` must be smaller: it calls for 7.45e+06 GiB
    """
    limit = memory_limit()
    if 8 * entries > limit:
        needed = f"it calls for {min(entries, HUGE) / 2**27:.3g} GiB of at most {limit / 2**30:.3g} GiB of memory"
        raise InvalidParameterError(parameter, f"be smaller: {needed}", value)


def check_steps(parameter: str, value: Any, steps: int, flops: int = 0) -> None:
    """Refuse `value` if `steps` steps of `flops` operations each must take more than `LONGEST_RUN`.

    Examples
    --------
    >>> try:
    ...     check_steps("steps", 10**12, 10**12)
    ... except InvalidParameterError as error:
    ...     print(error)
    `steps` must be smaller: it calls for at least 116 days of at most 7; got 1000000000000.
    """
    days = min(steps, HUGE) * max(SECONDS_A_STEP, flops / FLOPS_A_SECOND) / 86400
    if days > LONGEST_RUN:
        needed = f"it calls for at least {days:.3g} days of at most {LONGEST_RUN}"
        raise InvalidParameterError(parameter, f"be smaller: {needed}", value)
