"""Polynomials on one step of the solver in Bernstein form (docs/numerics.md, "No crossing is missed").

With x = (s - s_a)/h in [0, 1] the dense output is c(x) = Σ_k B_k β_k(x), β_k(x) = binom(p, k) x^k (1 - x)^{p-k}. The
β_k are nonnegative and add up to 1. So a polynomial lies between its smallest and its largest coefficient; and it has
at most as many zeros in (0, 1) as its coefficients have changes of sign, and as many but for an even number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from math import comb

import numpy as np

from refimpl.validation import Array

__all__ = ["SMALLEST_PART", "Path", "basis", "earliest_zeros", "first_crossing", "from_powers"]

SMALLEST_PART = 2.0**-52
"""An interval of x is not halved below this length."""


@dataclass(frozen=True, eq=False)
class Path:
    """c(s) on one step.

    Parameters
    ----------
    s_a, s_b : float
        The step.
    B : ndarray, shape (n, p + 1)
        Bernstein coefficients; the first and the last column are c at the ends.
    error : ndarray, shape (n,), or float
        Tolerance of the solver for c; a number if it is one for every z.
    defect : ndarray, shape (n,), or None
        By how much dc/ds of the path may differ from w(c) inside the step; None if that is not known.
    drift : ndarray, shape (n,), or float
        ∫ |dc/ds - w(c)| ds over the step, as far as it can be estimated.

    Examples
    --------
    >>> path = Path.from_powers(2.0, 4.0, np.array([[1.0, 0.0, 3.0]]))        # c = 1 + 3 x²
    >>> path.B, path(np.array([2.0, 3.0, 4.0]))
    (array([[1., 1., 4.]]), array([[1.  , 1.75, 4.  ]]))
    >>> path.derivative                                                       # dc/ds = 6 x/2
    array([[0., 3.]])
    """

    s_a: float
    s_b: float
    B: Array
    error: Array | float = 0.0
    defect: Array | None = None
    drift: Array | float = 0.0

    @classmethod
    def from_powers(
        cls, s_a: float, s_b: float, powers: Array, error: Array | float = 0.0, drift: Array | float = 0.0
    ) -> Path:
        """The path c(x) = Σ_k powers_k x^k, x = (s - s_a)/(s_b - s_a); `powers` has shape (n, p + 1)."""
        return cls(s_a, s_b, powers @ from_powers(powers.shape[1] - 1), error, None, drift)

    def at(self, x: float | Array) -> Array:
        """c at x, shape (n,), or a column for each x."""
        return np.asarray(self.B @ basis(self.B.shape[1] - 1, x))

    def part(self, s: float | Array) -> float | Array:
        """x at time s."""
        return (s - self.s_a) / (self.s_b - self.s_a)

    def __call__(self, s: float | Array) -> Array:
        """c at time s, shape (n,), or a column for each time."""
        return self.at(self.part(s))

    def time(self, x: float) -> float:
        """S at x."""
        return self.s_b if x == 1.0 else self.s_a + x * (self.s_b - self.s_a)

    def rest(self, x: float) -> Array:
        """Bernstein coefficients of c on [x, 1], shape (n, p + 1)."""
        return np.asarray(self.B @ _restriction(self.B.shape[1] - 1, x))

    @cached_property
    def derivative(self) -> Array:
        """Bernstein coefficients of dc/ds, shape (n, p)."""
        return np.asarray((self.B[:, 1:] - self.B[:, :-1]) * ((self.B.shape[1] - 1) / (self.s_b - self.s_a)))


def basis(p: int, x: float | Array) -> Array:
    """β_k(x), k = 0..p, shape (p + 1,), or a column for each x."""
    y = 1.0 - x
    if isinstance(x, float):
        return np.array([b * x**k * y ** (p - k) for k, b in enumerate(_binomials(p))])
    k, binomials = _orders(p)
    return np.asarray(binomials * x**k * y ** (p - k))


@cache
def _binomials(p: int) -> tuple[float, ...]:
    return tuple(float(comb(p, k)) for k in range(p + 1))


@cache
def _orders(p: int) -> tuple[Array, Array]:
    """k and binom(p, k) as columns."""
    return np.arange(p + 1.0)[:, None], np.array(_binomials(p))[:, None]


@cache
def _places(p: int) -> Array:
    """k/p, k = 1..p, where the control points stand behind the first one."""
    return np.asarray(np.arange(1, p + 1) / p)


@cache
def _of_rest(p: int) -> tuple[Array, Array]:
    """R_lk of `_restriction` without powers, and l - k where that is not negative, shape (p + 1, p + 1)."""
    steps = np.array([[max(index - k, 0) for k in range(p + 1)] for index in range(p + 1)])
    binomial = [[float(comb(p - k, index - k)) if index >= k else 0.0 for k in range(p + 1)] for index in range(p + 1)]
    return np.array(binomial), steps


def _restriction(p: int, x: float) -> Array:
    """R with b R the coefficients on [x, 1]: R_lk = binom(p - k, l - k) x^{l-k} (1 - x)^{p-l}, by de Casteljau."""
    binomial, steps = _of_rest(p)
    y, powers = 1.0 - x, np.array([x**k for k in range(p + 1)])
    return np.asarray(binomial * powers[steps] * np.array([[y ** (p - index)] for index in range(p + 1)]))


@cache
def from_powers(p: int) -> Array:
    """T with x^l = Σ_k T_lk β_k(x): T_lk = binom(k, l)/binom(p, l), shape (p + 1, p + 1)."""
    return np.array([[comb(k, power) / comb(p, power) for k in range(p + 1)] for power in range(p + 1)])


def earliest_zeros(b: Array) -> Array:
    """A bound below of the first zero of each polynomial.

    It lies above the lowest line from (0, b_0) through a control point (k/p, b_k).

    Parameters
    ----------
    b : ndarray, shape (r, p + 1)
        Bernstein coefficients, a polynomial in each row.

    Examples
    --------
    >>> earliest_zeros(np.array([[1.0, 0.0, -1.0], [1.0, 2.0, 3.0], [0.0, 1.0, 1.0]]))
    array([0.5, inf, 0. ])
    """
    p, start = b.shape[1] - 1, np.maximum(b[:, :1], 0.0)
    place = _places(p)
    earliest = np.divide(place * start, start - b[:, 1:], out=np.full((len(b), p), np.inf), where=b[:, 1:] < start)
    return np.where(b[:, 0] > 0.0, earliest.min(axis=1), 0.0)


def first_crossing(coefficients: Sequence[float], rounding: float) -> float | None:
    """The x in [0, 1] at which a polynomial first passes from positive to negative values beyond rounding.

    A polynomial that starts at 0, to rounding, is divided by x: it crosses at 0 if it falls from there, and else where
    it comes back. One that starts below 0 counts from where it starts.

    Parameters
    ----------
    coefficients : sequence of float
        Of the Bernstein form.
    rounding : float >= 0
        What lies above -`rounding` has not crossed.

    Returns
    -------
    float or None
        None if [0, 1] could be cut into parts on which no coefficient is below -`rounding`, which proves it.

    Examples
    --------
    >>> first_crossing([1.0, -1.0, 1.0], 0.0), first_crossing([1.0, -0.5, 1.0], 0.0)    # 1 - 4x + 4x²: it touches 0
    (None, None)
    >>> round(first_crossing([1.0, -2.0, 1.0], 0.0), 15) == round(0.5 - 12**-0.5, 15)    # 1 - 6x + 6x²
    True
    >>> first_crossing([0.0, 1.0, -1.0], 1e-15), first_crossing([0.0, -1.0, 1.0], 1e-15)
    (0.6666666666666666, 0.0)
    """
    b = list(coefficients)
    if min(b) >= -rounding:
        return None
    if b[0] <= rounding:
        b = _divided_by_x(b)
        while abs(b[0]) <= rounding and len(b) > 1:
            b = _divided_by_x(b)
        if b[0] < -rounding:
            return 0.0
    parts = [(0.0, 1.0, b)]
    while parts:
        lower, length, b = parts.pop()
        if min(b) >= -rounding:
            continue
        if b[0] > 0.0 and _one_change(b):
            return lower + length * _only_zero(b)
        if max(b) <= 0.0 or length <= SMALLEST_PART:
            return lower
        left, right = _halves(b)
        parts += [(lower + length / 2.0, length / 2.0, right), (lower, length / 2.0, left)]
    return None


def _divided_by_x(b: list[float]) -> list[float]:
    """Bernstein coefficients of (f(x) - f(0))/x, one degree less."""
    p = len(b) - 1
    return [(b_k - b[0]) * (p / k) for k, b_k in enumerate(b) if k]


def _one_change(b: list[float]) -> bool:
    """Whether the coefficients, of which the first is positive, change their sign once: then there is one zero."""
    first = next((k for k, b_k in enumerate(b) if b_k < 0.0), len(b))
    return first < len(b) and max(b[first:]) <= 0.0 and b[-1] < 0.0


def _halves(b: list[float]) -> tuple[list[float], list[float]]:
    """Coefficients on [0, 1/2] and [1/2, 1], by de Casteljau's algorithm."""
    left, right = [b[0]], [b[-1]]
    while len(b) > 1:
        b = [(u + v) / 2.0 for u, v in pairwise(b)]
        left.append(b[0])
        right.append(b[-1])
    return left, right[::-1]


def _value_and_slope(b: list[float], x: float) -> tuple[float, float]:
    """f(x) and f'(x), by de Casteljau's algorithm."""
    p, y = len(b) - 1, 1.0 - x
    while len(b) > 2:
        b = [y * u + x * v for u, v in pairwise(b)]
    return y * b[0] + x * b[1], p * (b[1] - b[0])


def _only_zero(b: list[float]) -> float:
    """The only zero in (0, 1), where the sign changes from + to -: Newton's method, and bisection where that leaves."""
    lower, upper = 0.0, 1.0
    x = b[0] / (b[0] - b[-1])
    for _ in range(100):
        value, slope = _value_and_slope(b, x)
        lower, upper = (x, upper) if value > 0.0 else (lower, x)
        closer = x - value / slope if slope < 0.0 else float("nan")
        if not lower < closer < upper:
            if value == 0.0 or abs(closer - x) <= 2.0 * SMALLEST_PART * x:
                return x
            closer = lower + (upper - lower) / 2.0
        if abs(closer - x) <= SMALLEST_PART * x:
            return closer
        x = closer
    return x
