"""Linear algebra over Q by python-flint, for Python's fractions; and dyadic numbers, of any exponent."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

from refimpl.errors import MissingExtraError

__all__ = ["consistent_solution", "flint", "midpoint", "power_of_two", "rational_rank"]


@cache
def flint() -> Any:
    """The module, or a sentence that names the extra."""
    try:
        return importlib.import_module("flint")
    except ImportError as error:
        raise MissingExtraError("python-flint", "exact") from error


def consistent_solution(
    A: Sequence[Sequence[Fraction]], b: Sequence[Fraction], near: Sequence[Fraction]
) -> list[Fraction] | None:
    """x with A x = b, its free unknowns as in `near`; None if there is none.

    Examples
    --------
    >>> one = Fraction(1)
    >>> consistent_solution([[one, one], [2 * one, 2 * one]], [one, 2 * one], [one, one / 4])
    [Fraction(3, 4), Fraction(1, 4)]
    >>> consistent_solution([[one, one], [one, one]], [one, 2 * one], [one, one]) is None
    True
    """
    size, rows = len(near), [_integers([*row, value]) for row, value in zip(A, b, strict=True)]
    if len(rows) == size:
        try:
            found = flint().fmpz_mat([row[:-1] for row in rows]).solve(flint().fmpz_mat([row[-1:] for row in rows]))
            return [Fraction(int(found[i, 0].p), int(found[i, 0].q)) for i in range(size)]
        except ZeroDivisionError:
            pass  # singular: by elimination
    reduced, denominator, rank = flint().fmpz_mat(rows).rref()
    R = [[int(reduced[i, k]) for k in range(size + 1)] for i in range(rank)]
    pivots = [next(k for k in range(size + 1) if row[k]) for row in R]
    if size in pivots:
        return None
    x = list(near)
    for pivot, row in zip(pivots, R, strict=True):
        free = sum((row[k] * near[k] for k in range(size) if k not in pivots), Fraction(0))
        x[pivot] = (row[size] - free) / int(denominator)
    return x


def rational_rank(A: Sequence[Sequence[Fraction]]) -> int:
    """The rank of a matrix of fractions.

    Examples
    --------
    >>> rational_rank([[Fraction(1), Fraction(1, 2)], [Fraction(2), Fraction(1)]])
    1
    """
    return int(flint().fmpz_mat([_integers(row) for row in A]).rank())


def midpoint(ball: Any) -> Fraction:
    """The midpoint of a ball, exactly.

    Examples
    --------
    >>> midpoint(flint().arb(0.75)), midpoint(flint().arb(3) * flint().arb(2) ** -2000) == Fraction(3, 2**2000)
    (Fraction(3, 4), True)
    """
    mantissa, exponent = (int(part) for part in ball.mid().man_exp())
    return Fraction(mantissa) * Fraction(2) ** exponent


def power_of_two(value: Fraction) -> Fraction:
    """The least power of two that is no smaller than a positive number.

    Examples
    --------
    >>> [power_of_two(Fraction(*x)) for x in [(5, 1), (4, 1), (1, 3)]]
    [Fraction(8, 1), Fraction(4, 1), Fraction(1, 2)]
    """
    power = Fraction(2) ** (value.numerator.bit_length() - value.denominator.bit_length() - 1)
    while power < value:
        power *= 2
    return power


def _integers(row: Sequence[Fraction]) -> list[int]:
    """The row times its least common denominator."""
    denominator = math.lcm(*(x.denominator for x in row))
    return [x.numerator * (denominator // x.denominator) for x in row]
