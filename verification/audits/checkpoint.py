"""One state of a training run, in the format in which it was stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.validation import Array, as_count, as_finite_array, as_real_array

__all__ = ["EPS", "Checkpoint", "as_checkpoints", "as_stored", "check_together", "from_bfloat16"]

EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The spacing of the numbers of each format at 1, twice the unit roundoff."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """First-layer weights at one step of training, and the second layer if it is known.

    Attributes
    ----------
    step : int
    W : ndarray, shape (m, d)
        As stored; bfloat16 numbers are held as float32.
    second_layer : ndarray, shape (m,), optional
        a; None where the checkpoint does not say.
    bias : ndarray, shape (m,), optional
        Of the first layer: one more column of W, of samples with one more coordinate 1.
    format : str
        A key of `EPS`: what W was stored in.
    name : str
        What messages call it.
    numbered : bool
        Whether `step` is a number that the run gave; else it only counts.
    """

    step: int
    W: NDArray[Any]
    second_layer: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None
    format: str = "float64"
    name: str = ""
    numbered: bool = True

    def weights(self) -> Array:
        """W in float64, the bias as its last column; a sentence that names this checkpoint if it is not finite."""
        W = as_finite_array(f"W of {self.name}", self.W, 2)
        if self.bias is None:
            return W
        return np.column_stack([W, as_finite_array(f"bias of {self.name}", self.bias, 1)])

    @property
    def eps(self) -> float:
        """Of the format."""
        return EPS[self.format]


def as_stored(parameter: str, value: Any) -> tuple[NDArray[Any], str]:
    """An array of any framework as one of NumPy, without a copy where that can be, and its format.

    Through `__array__`, or DLPack where there is none; a tensor that records gradients is detached, one on another
    device fetched. bfloat16, which NumPy lacks, comes as float32; whole numbers and formats of other sizes as float64.

    Examples
    --------
    >>> as_stored("W", np.ones(2, dtype=np.float32))
    (array([1., 1.], dtype=float32), 'float32')
    >>> as_stored("W", [[1, 2]])
    (array([[1., 2.]]), 'float64')
    """
    name = str(getattr(value, "dtype", ""))
    try:
        if callable(getattr(value, "detach", None)):
            value = value.detach().cpu()
            value = (value.float() if name.endswith("bfloat16") else value).numpy()
        elif not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            value = np.from_dlpack(value)
        if name.endswith("bfloat16"):
            return np.asarray(value).astype(np.float32), "bfloat16"
    except Exception as error:  # code of other frameworks may raise anything
        reason = " ".join(str(error).split())[:200]
        raise InvalidParameterError(parameter, f"be an array of real numbers ({reason})", value) from error
    array = value if type(value) is np.ndarray else np.asarray(value) if hasattr(value, "__array__") else None
    if array is None or array.dtype.name not in EPS or np.ma.isMaskedArray(value):
        array = as_real_array(parameter, value)
    return array, array.dtype.name


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 numbers whose upper halves are given: bfloat16 exactly.

    Examples
    --------
    >>> from_bfloat16(np.array([0x3F80, 0xC049], dtype=np.uint16)).tolist()
    [1.0, -3.140625]
    """
    return (bits.astype(np.uint32) << 16).view(np.float32)


def as_checkpoints(value: Any) -> list[Checkpoint]:
    """What the argument `checkpoints` may be, in the order of its steps.

    Parameters
    ----------
    value : mapping of step to W, iterable of `Checkpoint` or of pairs (step, W), or one array of shape (steps, m, d)

    Raises
    ------
    InvalidParameterError, ShapeError
        For anything else, an empty one, and two checkpoints with one step.

    Examples
    --------
    >>> [c.step for c in as_checkpoints({10: np.eye(2), 0: np.eye(2)})]
    [0, 10]
    """
    if isinstance(value, Mapping):
        value = list(value.items())
    elif getattr(value, "ndim", None) == 3:
        run, form = as_stored("checkpoints", value)
        value = [Checkpoint(k, W, format=form, numbered=False) for k, W in enumerate(run)]
    if not isinstance(value, Iterable):
        raise InvalidParameterError("checkpoints", "be checkpoints, or pairs of a step and its W", value)
    found = [_as_checkpoint(item, k) for k, item in enumerate(value)]
    if not found:
        raise InvalidParameterError("checkpoints", "hold at least one checkpoint", value)
    return check_together(found)


def _as_checkpoint(item: Any, k: int) -> Checkpoint:
    if isinstance(item, Checkpoint):
        return item if item.name else replace(item, name=f"step {item.step}")
    if not (isinstance(item, tuple) and len(item) == 2):
        raise InvalidParameterError(f"checkpoints[{k}]", "be a Checkpoint, or a pair of a step and its W", item)
    step, (W, form) = as_count(f"step of checkpoints[{k}]", item[0], 0), as_stored(f"checkpoints[{k}]", item[1])
    return Checkpoint(step, W, format=form, name=f"step {step}")


def check_together(checkpoints: list[Checkpoint]) -> list[Checkpoint]:
    """Checkpoints of one run, in the order of their steps.

    Raises
    ------
    InvalidParameterError
        If two have one step, or some but not all know the second layer, or a bias.
    ShapeError
        If their shapes differ.
    """
    ordered = sorted(checkpoints, key=lambda c: c.step)
    first = ordered[0]
    for before, after in pairwise(ordered):
        if before.step == after.step:
            names = f"{before.name} and {after.name}"
            raise InvalidParameterError(
                "checkpoints", f"have different steps, and two are at one ({names})", after.step
            )
        if np.shape(after.W) != np.shape(first.W):
            raise ShapeError(f"W of {after.name}", f"{np.shape(first.W)}, which {first.name} has", np.shape(after.W))
        for part in ("second_layer", "bias"):
            here, there = getattr(first, part), getattr(after, part)
            if (here is None) != (there is None):
                has, lacks = (after, first) if here is None else (first, after)
                requirement = f"all have a {part.replace('_', ' ')}, or none: {has.name} has one and this one none"
                raise InvalidParameterError("checkpoints", requirement, lacks.name)
    return ordered
