"""The rows of a least-norm program, brought to norm 1 (docs/numerics.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from refimpl.validation import Array, BoolArray

__all__ = ["ALL_AT_ONCE", "EPS", "ExactRow", "Program", "smallest_singular_value"]

EPS = float(np.finfo(np.float64).eps)

ALL_AT_ONCE = 100
"""From so many rows on the cheaper ways are tried first: the Gram matrix for σ_min, all rows tight for the support."""

ExactRow = Callable[[int], Sequence[Fraction]]
"""Row i before any rounding, up to a positive factor and an invertible map of all rows alike."""


@dataclass(frozen=True, eq=False)
class Program:
    """min ½‖ξ‖² subject to U ξ >= b; the rows of U have norm 1 and are right up to `rounding`."""

    U: Array
    b: Array
    rounding: float
    smallest: dict[bytes, float] = field(default_factory=dict)

    def smallest_singular_value(self, S: BoolArray) -> float:
        """Of U_S, or a little less; each once, because answers have few different supports."""
        key = np.packbits(S).tobytes()
        if key not in self.smallest:
            self.smallest[key] = smallest_singular_value(self.U[S])
        return self.smallest[key]


def smallest_singular_value(rows: Array) -> float:
    """Of rows of norm 1. Of many that are far from dependent the square root of the least eigenvalue of their Gram
    matrix, less its rounding: a part of the cost of a singular value decomposition."""
    count, k = rows.shape
    if count >= ALL_AT_ONCE:
        rounding = 4.0 * count * k * EPS
        least = float(np.linalg.eigvalsh(rows @ rows.T)[0])
        if least > 1e4 * rounding:
            return float(np.sqrt(least - rounding))
    return float(np.linalg.svd(rows, compute_uv=False)[-1])
