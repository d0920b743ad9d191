"""One step of the flow within a pattern, by Taylor series in balls, and the first event in it."""

from __future__ import annotations

from fractions import Fraction
from operator import mul
from typing import Any, NamedTuple

import numpy as np

from refimpl.validation import Array
from verification.exact.pattern import Balls, Pace, PatternDynamics, PatternState
from verification.exact.rational import flint, midpoint

__all__ = ["Event", "Step", "event_within", "taylor_step"]

BITS_PER_ORDER = 3
"""Orders of the series: the precision divided by this; a step of τ/5 gains about so many bits by each."""

BOX_BITS = 96
"""Precision of the remainder, which need not be known well."""


class Step(NamedTuple):
    """A step of length h: c = ∫w in balls, and the Taylor coefficients of c and w in units of h, as balls."""

    h: Fraction
    c: Balls
    series: list[Balls]
    weights: list[Balls]


class Event(NamedTuple):
    """The first event in a step: at which part of it, and (j, i, side of release or 0)."""

    fraction: Fraction
    unit: tuple[int, int, int]


def taylor_step(cell: PatternDynamics, state: PatternState, pace: Pace, h: Fraction, bits: int) -> Step:
    """c(h) = ∫w of dc/ds = w(q + M c), with Lagrange's remainder over a box that w and q do not leave (19.2)."""
    arb, order, width = flint().arb, bits // BITS_PER_ORDER + 4, cell.ball(h)
    c, speeds = _series(cell, state, width, order)
    with flint().ctx.workprec(BOX_BITS):
        around = arb(0, pace.change(width).upper()).exp()
        q = [x + arb(0, (width * pace.V).upper()) for x in state.q]
        last = [
            row[-1] for row in _series(cell, PatternState(q, [x * around for x in state.w], []), width, order + 1)[0]
        ]
    values = [width * (sum(row, arb(0)) + rest) for row, rest in zip(c, last, strict=True)]
    return Step(h, values, c, speeds)


def _series(cell: PatternDynamics, state: PatternState, h: Any, order: int) -> tuple[list[Balls], list[Balls]]:
    """Taylor coefficients 0 .. order of c/h and 0 .. order - 1 of w, in units of h.

    w = g/Σg with g = exp(log w - M̃ c) for the exponential loss, M̃ the centred M; for the logistic one it is divided by
    (1 + G)/(1 + G(0)), G = exp(-q). So come the coefficients of `E' = E (-M̃ w)`, `G' = G (-M w)`, `(1 + G) g = E` and
    `w Σg = g`, one after another.
    """
    zero, parts = flint().arb(0), [_Exponential(state.w, cell.centred, h)]
    if cell.logistic:
        G = _Exponential([(-x).exp() for x in state.q], cell.M, h)
        parts = [_Exponential([x * (1 + y[0]) for x, y in zip(state.w, G.rows, strict=True)], cell.centred, h), G]
    g = [[x] for x in state.w] if cell.logistic else parts[0].rows
    total = [sum((x[0] for x in g), zero)]
    w, c = [[x[0] / total[0]] for x in g], [[zero] for _ in g]
    for k in range(1, order + 1):
        latest = [x[-1] for x in w]
        for row, x in zip(c, latest, strict=True):
            row.append(x / k)
        if k == order:
            break
        for part in parts:
            part.append(latest, k)
        if cell.logistic:
            for E, x, y in zip(parts[0].rows, parts[1].rows, g, strict=True):
                y.append((E[k] - sum(map(mul, x[1:], reversed(y)), zero)) / (1 + x[0]))
        total.append(sum((x[k] for x in g), zero))
        for x, y in zip(w, g, strict=True):
            x.append((y[k] - sum(map(mul, total[1:], reversed(x)), zero)) / total[0])
    return c, w


class _Exponential:
    """Taylor coefficients of exp(-M c) times what it is at c = 0, in units of h, from those of w = dc/ds."""

    def __init__(self, start: Balls, M: list[Balls], h: Any) -> None:
        self.rows, self._rates = [[x] for x in start], [list[Any]() for _ in start]
        self._Mh = [[x * h for x in row] for row in M]

    def append(self, w: Balls, k: int) -> None:
        """The next coefficient, of order k, from that of w of order k - 1: f' = -(M w) f."""
        zero = flint().arb(0)
        for rates, row, f in zip(self._rates, self._Mh, self.rows, strict=True):
            rates.append(-sum(map(mul, row, w), zero))
            f.append(sum(map(mul, rates, reversed(f)), zero) / k)


def event_within(cell: PatternDynamics, t: list[Balls], step: Step, fresh: dict[tuple[int, int], str]) -> Event | None:
    """The earliest zero of a unit's t_ji, or of what sliding asks for, on the polynomials' midpoints."""
    best: Event | None = None
    c = np.array([[float(x.mid()) for x in row] for row in step.series]) * float(step.h)
    w = np.array([[float(x.mid()) for x in row] for row in step.weights])
    for j, i in cell.units:
        if cell.sides[j, i] == 0:
            for side in (1, -1):
                row = cell.guards[j, i, side]
                floats = np.array([float(x.mid()) for x in row]) @ w
                best = _earlier(best, floats, (j, i, side), row, step.weights, None)
            continue
        floats = cell.floats[j, i] @ c
        floats[0] = float(t[j][i].mid())
        skip = {"crossed": 1, "released": 2}.get(fresh.get((j, i), ""), 0)
        best = _earlier(best, floats[skip:], (j, i, 0), cell.D[j][i], step.series, (t[j][i], step.h, skip))
    return best


def _earlier(
    best: Event | None, floats: Array, unit: tuple[int, int, int], row: Any, series: list[Balls], at: Any
) -> Event | None:
    """`best`, or the zero of this polynomial in (0, 1] if it comes before."""
    if abs(floats[0]) > np.abs(floats[1:]).sum():
        return best
    scale = np.abs(floats).max()
    roots = np.polynomial.polynomial.polyroots(
        np.trim_zeros(np.where(np.abs(floats) > 1e-18 * scale, floats, 0.0), "b")
    )
    real = [float(x.real) for x in roots if abs(x.imag) < 1e-7 and 0.0 < x.real <= 1.0 + 1e-9]
    if not real or (best is not None and min(real) > best.fraction):
        return best
    coefficients = [
        sum((x * y[k].mid() for x, y in zip(row, series, strict=True)), PatternDynamics.ball(0))
        for k in range(len(series[0]))
    ]
    if at is not None:
        start, h, skip = at
        coefficients = [x * PatternDynamics.ball(h) for x in coefficients]
        coefficients[0] = start
        coefficients = coefficients[skip:]
    return Event(_newton(coefficients, min(real)), unit)


def _newton(coefficients: Balls, x: float) -> Fraction:
    """The zero of a polynomial near x, to the working precision; where it is does not need to be proven."""
    flint_poly, root = flint().arb_poly([y.mid() for y in coefficients]), flint().arb(x)
    slope = flint_poly.derivative()
    for _ in range(12):
        down = slope(root).mid()
        if down == 0:
            break
        root = (root - flint_poly(root) / down).mid()
    return midpoint(root)
