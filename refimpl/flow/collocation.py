"""The flow within one pattern as a polynomial: collocation at Lobatto points, solved by Picard iteration.

On a step w is the polynomial of degree 4 in x = (s - s_a)/h through its values at five Lobatto points, c(x) its
integral, and the values are those of w at c there. Each iteration evaluates w at all points at once, and the error
shrinks by about h times the eigenvalues of ∂w/∂c (docs/numerics.md, "How a step is taken"). While events are frequent
steps are short, and the polynomial of the step before is right to many digits: one or two iterations are enough.
"""

from __future__ import annotations

import numpy as np

from refimpl.flow.bernstein import Path, from_powers
from refimpl.flow.segments import Segment
from refimpl.flow.settings import Settings
from refimpl.validation import Array

__all__ = ["Explicit"]

_ROOT = np.sqrt(3.0 / 7.0)
NODES = np.array([0.0, (1.0 - _ROOT) / 2.0, 0.5, (1.0 + _ROOT) / 2.0, 1.0])
"""Lobatto points on [0, 1]."""

_ORDERS = np.arange(NODES.size)
_TO_POWERS = np.linalg.inv(NODES[None, :] ** _ORDERS[:, None])
"""Coefficients of x^k from values at the nodes: values @ this, shape (5, 5)."""

_INTEGRALS = _TO_POWERS @ (NODES[None, :] ** (_ORDERS[:, None] + 1) / (_ORDERS[:, None] + 1))
"""Integrals from 0 to each node of the polynomial with given values, shape (5, 5)."""

_TO_BERNSTEIN = (_TO_POWERS / (_ORDERS + 1)) @ from_powers(NODES.size)[1:]
"""Bernstein coefficients of the integral of the polynomial with given values, shape (5, 6)."""

_TOP = np.polynomial.Legendre.basis(NODES.size - 1, domain=[0.0, 1.0])
_LARGEST_INTEGRAL = float(np.abs(_TOP.integ(lbnd=0.0)(np.linspace(0.0, 1.0, 201))).max())
_HIGHEST = _TO_POWERS[:, -1] / _TOP.convert(kind=np.polynomial.Polynomial).coef[-1]
"""Coefficient of the Legendre polynomial of degree 4 from values at the nodes; its largest value is 1."""

CONVERGED = 1e-2
"""Part of `atol` to which the iteration solves the collocation equations."""

MOST_ITERATIONS = 12
"""More than these are a sign that the step is too long."""

SLOW = 6
"""Iterations from which on the next step is not longer."""

GROWTH = 10.0
"""A step is at most this many times as long as the one before."""

SAFETY = 0.9

FIRST_STEP = 1e-2
"""First step of a flow, or this over the largest eigenvalue of ∂w/∂c."""

_EPS = float(np.finfo(np.float64).eps)


class Explicit:
    """Collocation for dc/ds = w(q + M c), docs/theory.md (7.2), from c = 0.

    The error estimate is what the highest Legendre coefficient of w contributes to c anywhere in the step; it must be
    at most atol + rtol |c|. So c(x) is as good inside the step as at its end.

    Parameters
    ----------
    segment : Segment
    settings : Settings
        The tolerances are those of c.

    Attributes
    ----------
    t, y : float, ndarray
        s and c now.
    h_abs : float
        Length of the next step.
    nfev : int
        Evaluations of w, those at all nodes counted once.
    status : str
        "running", "finished" or "failed".
    """

    def __init__(self, segment: Segment, settings: Settings) -> None:
        self._segment, self.nfev, self._h = segment, 0, 0.0
        self.t = self.t_old = settings.s
        self.begin(settings)

    def begin(self, settings: Settings) -> None:
        """Begin at c = 0: at the start, or anew after an event at s, within the last step."""
        segment, s, s_end, first_step = self._segment, settings.s, settings.s_end, settings.first_step
        self.rtol, self.atol = settings.rtol, settings.atol
        if self._h and s > self.t:
            self._h = 0.0
        self._since = (s - self.t_old) / self._h if self._h else 0.0
        self.t, self.t_bound, self.y, self.status = s, s_end, np.zeros(segment.q.size), "running"
        self._w = segment.w
        self.nfev += 1
        self._rate = float(self._w @ segment.M.diagonal())
        if not self._h:
            self._powers = self._w[:, None] * (_ORDERS == 0)
        if first_step is None:
            first_step = min(FIRST_STEP / max(self._rate, 1.0), s_end - s)
        self.h_abs = first_step

    def step(self) -> str | None:
        """Take a step; a sentence if there is none."""
        shortest = 10.0 * float(np.spacing(self.t))
        h, longest = max(self.h_abs, shortest), GROWTH
        while True:
            s = min(self.t + h, self.t_bound)
            h = s - self.t
            values, iterations = self._collocate(h)
            if iterations is None:
                shrink = 0.25
            else:
                c = self.y + h * (values @ _INTEGRALS[:, -1])
                part = h * _LARGEST_INTEGRAL * np.abs(values @ _HIGHEST)
                error = float((part / (self.atol + self.rtol * np.abs(c))).max())
                shrink = SAFETY * error**-0.2 if error > 0.0 else GROWTH
                if error <= 1.0:
                    break
            if h <= shortest:
                self.status = "failed"
                return "The step would be shorter than the spacing between numbers."
            h, longest = max(h * min(max(shrink, 0.2), SAFETY), shortest), 1.0
        if iterations >= SLOW:
            longest = 1.0
        self.t_old, self._c_old, self._h, self._values = self.t, self.y, h, values
        self._powers, self._since = values @ _TO_POWERS, 1.0
        self.t, self.y, self._w, self.h_abs = s, c, values[:, -1], h * min(shrink, longest)
        self.status = "finished" if s >= self.t_bound else "running"
        return None

    def _collocate(self, h: float) -> tuple[Array, int | None]:
        """w at the nodes of a step of length h, and the number of iterations; None if they do not converge."""
        weights, c = self._segment.weights, self.y[:, None]
        x = self._since + (h / self._h if self._h else 0.0) * NODES
        values = self._powers @ x ** _ORDERS[:, None]
        values += (self._w - values[:, 0])[:, None]
        enough, before = CONVERGED * self.atol, np.inf
        for iteration in range(1, MOST_ITERATIONS + 1):
            new = weights(c + h * (values @ _INTEGRALS[:, 1:]))
            self.nfev += 1
            change = h * float(np.abs(new - values[:, 1:]).max())
            values[:, 1:], self._change = new, change / h
            shrinks = 2.0 * h * self._rate if before == np.inf else change / before
            if change * min(shrinks, 1.0) <= enough or change <= 64.0 * _EPS * h:
                return values, iteration
            if change > before:
                return values, None
            before = change
        return values, None

    @property
    def c(self) -> Array:
        """c now, shape (n,)."""
        return self.y

    def weights(self) -> Array:
        """w now, shape (n,)."""
        return self._w

    def path(self) -> Path:
        """c(s) within the last step."""
        B = self._c_old[:, None] + self._h * (self._values @ _TO_BERNSTEIN)
        B[:, -1] = self.y
        error, defect = self.atol + self.rtol * np.abs(self.y), np.abs(self._values @ _HIGHEST) + self._change
        self._last = Path(self.t_old, self.t, B, error, defect, self._h * defect)
        return self._last

    def margins(self, s: Array) -> Array:
        """Q at times within the step of the last `path`, shape (n, number of times)."""
        return self._segment.margins(self._last(s))
