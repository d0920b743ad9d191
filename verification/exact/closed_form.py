"""The closed form over the rationals: M λ = 1, the signs of all units and the rank (docs/theory.md, section 6)."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from refimpl.errors import MissingExtraError
from verification.exact.gram import IntMatrix
from verification.exact.network import ExactNetwork
from verification.exact.solve import run_apart, solve_ones, surely_negative

__all__ = ["ExactClosedForm", "exact_closed_form", "first_surely_negative"]

SLOW_PATH_LIMIT = 12  # largest n that is solved with Python's fractions when python-flint is missing
APART = 100  # from this n on, systems are solved in a process of their own, which Ctrl-C ends
BALL_BITS = 128  # precision of the balls that reject early; where they are too wide nothing is rejected


@dataclass(frozen=True)
class ExactClosedForm:
    """The solution of M λ = 1, or a kernel vector of M (docs/theory.md, section 6).

    Attributes
    ----------
    multipliers : tuple of Fraction, or None if M is singular
        λ.
    kernel : tuple of int, or None
        A vector k ≠ 0 with M k = 0, if M is singular.
    first_negative_multiplier : int or None
        The first i with λ_i < 0.
    first_wrong_sign : tuple (i, "positive" | "negative") or None
        The first unit whose z_ji does not have the sign of a_j y_i. For γ = 1 there is none, as t_i = 1/A.
    rank : int or None
        Rank of W*, exactly.
    """

    multipliers: tuple[Fraction, ...] | None
    kernel: tuple[int, ...] | None = None
    first_negative_multiplier: int | None = None
    first_wrong_sign: tuple[int, str] | None = None
    rank: int | None = None


def exact_closed_form(
    network: ExactNetwork, S: IntMatrix, exponent: int, label: list[bool], progress: Callable[[str], None]
) -> ExactClosedForm:
    """λ with M λ = 1, its signs, the signs of all units and the rank; K is S up to signs and 2^exponent."""
    q = network.slope.denominator
    A, c, c_prime, D = integer_system(network, S, label)
    numerators, denominator, kernel = _solve_ones(A, progress)
    if numerators is None:
        return ExactClosedForm(None, kernel)
    scale = Fraction(D * q * q) / Fraction(2) ** exponent  # M = S H 2^exponent / (D q²)
    N = np.array(numerators, dtype=object)
    t, t_prime = S @ (c * N), S @ (c_prime * N)
    return ExactClosedForm(
        multipliers=tuple(Fraction(value, denominator) * scale for value in numerators),
        first_negative_multiplier=next((i for i, value in enumerate(numerators) if value < 0), None),
        first_wrong_sign=_first_wrong_sign(network, t, t_prime),
        rank=_rank(network, N, c, c_prime, t, t_prime),
    )


def integer_system(
    network: ExactNetwork, S: IntMatrix, label: list[bool]
) -> tuple[IntMatrix, IntMatrix, IntMatrix, int]:
    """D q² M up to the power of two of S, q c, q c' and D, with γ = p/q and D A₊, D A₋ integers."""
    p, q = network.slope.numerator, network.slope.denominator
    c = np.array([q if plus else p for plus in label], dtype=object)
    c_prime = np.array([p if plus else q for plus in label], dtype=object)
    D = math.lcm(network.mass_positive.denominator, network.mass_negative.denominator)
    H = int(network.mass_positive * D) * np.outer(c, c) + int(network.mass_negative * D) * np.outer(c_prime, c_prime)
    return S * H, c, c_prime, D


def first_surely_negative(A: IntMatrix) -> int | None:
    """The first i with x_i < 0 for every solution of A x = 1 in balls; None if the balls are too wide."""
    try:
        flint = importlib.import_module("flint")
    except ImportError:
        return None
    rows = A.tolist()
    if len(rows) < APART:
        sample = surely_negative(flint, rows, BALL_BITS)["sample"]
    else:
        sample = run_apart("surely_negative", rows, BALL_BITS, lambda message: None)["sample"]
    return None if sample is None else int(sample)


def _first_wrong_sign(network: ExactNetwork, t: IntMatrix, t_prime: IntMatrix) -> tuple[int, str] | None:
    """The first sample with z_ji a_j y_i <= 0, that is t_i <= 0 in J₊ or t'_i <= 0 in J₋."""
    for i in range(t.size):
        if network.positive and t[i] <= 0:
            return i, "positive"
        if network.negative and t_prime[i] <= 0:
            return i, "negative"
    return None


def _rank(
    network: ExactNetwork, N: IntMatrix, c: IntMatrix, c_prime: IntMatrix, t: IntMatrix, t_prime: IntMatrix
) -> int:
    """1 or 2: whether v and u are dependent, by equality in ⟨v, u⟩² ≤ ‖v‖²‖u‖²."""
    if not (network.positive and network.negative):
        return 1
    vv, uu, vu = np.sum(N * c * t), np.sum(N * c_prime * t_prime), np.sum(N * c * t_prime)
    return 1 if vu * vu == vv * uu else 2


def _solve_ones(
    A: IntMatrix, progress: Callable[[str], None]
) -> tuple[list[int], int, None] | tuple[None, int, tuple[int, ...]]:
    """x = numerators/denominator with A x = 1, or an integer kernel vector if A is singular."""
    try:
        flint = importlib.import_module("flint")
    except ImportError as error:
        if A.shape[0] > SLOW_PATH_LIMIT:
            raise MissingExtraError("python-flint", "exact") from error
        return _solve_ones_slowly(A)
    rows = A.tolist()
    found = solve_ones(flint, rows) if len(rows) < APART else run_apart("solve_ones", rows, 0, progress)
    return (
        (None, 1, _primitive(found["kernel"]))
        if "kernel" in found
        else (found["numerators"], found["denominator"], None)
    )


def _solve_ones_slowly(
    A: IntMatrix,
) -> tuple[list[int], int, None] | tuple[None, int, tuple[int, ...]]:
    """`_solve_ones` by Gauss-Jordan elimination with Python's fractions."""
    n = A.shape[0]
    rows = [[Fraction(value) for value in row] + [Fraction(1)] for row in A.tolist()]
    for k in range(n):
        pivot = next((i for i in range(k, n) if rows[i][k]), None)
        if pivot is None:
            kernel = [-rows[i][k] for i in range(k)] + [Fraction(1)] + [Fraction(0)] * (n - k - 1)
            common = math.lcm(*(value.denominator for value in kernel))
            return None, 1, _primitive([int(value * common) for value in kernel])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(n):
            if i != k and rows[i][k]:
                rows[i] = [x - rows[i][k] * y for x, y in zip(rows[i], rows[k], strict=True)]
    denominator = math.lcm(*(row[-1].denominator for row in rows))
    return [int(row[-1] * denominator) for row in rows], denominator, None


def _primitive(vector: list[int]) -> tuple[int, ...]:
    """`vector` divided by the greatest common divisor of its entries."""
    divisor = math.gcd(*vector)
    return tuple(value // divisor for value in vector)
