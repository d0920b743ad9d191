"""The rows of a least-norm program, brought to norm 1 (docs/numerics.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from refimpl.validation import Array

__all__ = ["EPS", "ExactRow", "Program"]

EPS = float(np.finfo(np.float64).eps)

ExactRow = Callable[[int], Sequence[Fraction]]
"""Row i before any rounding, up to a positive factor and an invertible map of all rows alike."""


@dataclass(frozen=True, eq=False)
class Program:
    """min ½‖ξ‖² subject to U ξ >= b; the rows of U have norm 1 and are right up to `rounding`."""

    U: Array
    b: Array
    rounding: float
