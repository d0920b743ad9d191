"""The flow within one activation pattern, over Q and in balls (docs/theory.md, (7.4), (7.5) and section 19)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cached_property
from operator import mul
from typing import Any, NamedTuple

import numpy as np

from refimpl.validation import Array, IntArray
from verification.exact.point import SignedProblem
from verification.exact.rational import consistent_solution, flint

__all__ = ["Balls", "Motion", "Pace", "PatternDynamics", "PatternState"]

Balls = list[Any]

SIDES = 1, -1

BOUNDS = 0.5, 0.125, 0.03125, 0.0078125
"""Values of U in (19.4)."""

MARGIN = 1.0625
"""The prover asks for a little more than a trap, so that a checker with errors of its own finds it too."""


class PatternState(NamedTuple):
    """Margins q, weights w = softmax(log g), and ζ = 1 - η with η = -d log g/dq: 0 for the exponential loss."""

    q: Balls
    w: Balls
    zeta: Balls


class Pace(NamedTuple):
    """a, b, τ, V and U of (19.4)."""

    a: Any
    b: Any
    tau: Any
    V: Any
    U: Any

    def change(self, H: Any) -> Any:
        """By how much log w_i can change over a time H ≤ τ."""
        return self.a * H * (self.b * H).exp() / (1 + self.U)


class PatternDynamics:
    """M, the speeds of the t_ji and the effective slopes of sliding units; exact, and as balls.

    Parameters
    ----------
    problem : SignedProblem
    sides : ndarray of int8, shape (m, n)
        +1, -1, or 0 for a unit that slides.
    shape : tuple of int
        m and n.
    logistic : bool
        The logistic loss in place of the exponential one.
    """

    def __init__(self, problem: SignedProblem, sides: IntArray, shape: tuple[int, int], logistic: bool) -> None:
        self.problem, self.sides, (self.m, self.n), self.logistic = problem, sides, shape, logistic
        self.alike = [[positive == (label > 0) for label in problem.labels] for positive in problem.positive]
        self.units = [(j, i) for j in range(self.m) for i in range(self.n)] if problem.gamma != 1 else []
        self._eliminate()
        n = self.n
        self.size = [self.ball(square).sqrt() for square in problem.squares]
        self.radii = [self.ball(problem.S[i][i]).sqrt() for i in range(n)]
        self.norm = self.ball(sum(problem.squares)).sqrt()
        self.reach_of_q = 2 * self.norm * self.ball(max(problem.S[i][i] for i in range(n))).sqrt()
        self.M = [[self.ball(x) for x in row] for row in self.rational]
        self.D = [[[self.ball(x) for x in row] for row in rows] for rows in self.speeds]
        self.floats = {(j, i): np.array([float(x) for x in self.speeds[j][i]]) for j, i in self.units}
        self.share = [[self.ball(a * f) for f in phi] for a, phi in zip(problem.squares, self.phi, strict=True)]
        self.guards = {
            (*unit, side): list(map(self.ball, self._guard(*unit, side))) for unit in self.slopes for side in SIDES
        }
        columns = list(zip(*self.rational, strict=True))
        middle = [(max(column) + min(column)) / 2 for column in columns]
        centred = [[x - y for x, y in zip(row, middle, strict=True)] for row in self.rational]
        self.middle, self.centred = [self.ball(x) for x in middle], [[self.ball(x) for x in row] for row in centred]
        self.reduced = self.M if logistic else self.centred  # log w does not change by it (section 19)
        largest = max(map(max, self.rational))
        self.mu = self.ball(max(abs(x) for row in centred for x in row) or largest).upper()
        self.B = self.ball(
            max(self.rational[i][i] for i in range(n))
        ).upper()  # max |M_ik|, as M is positive semidefinite
        self.inverse = _inverse(self.rational)

    def with_sides(self, sides: IntArray) -> PatternDynamics:
        """The same network in another pattern."""
        return PatternDynamics(self.problem, sides, (self.m, self.n), self.logistic)

    @staticmethod
    def ball(x: Any) -> Any:
        """A ball around a fraction, an integer or a float."""
        x = Fraction(x)
        return flint().arb(flint().fmpq(x.numerator, x.denominator))

    @staticmethod
    def _dot(x: Balls, y: Balls) -> Any:
        return sum(map(mul, x, y), flint().arb(0))

    def _eliminate(self) -> None:
        """S/S_TT, its products with Φ, the slopes -S_TT⁻¹ S_TN Φ_N of sliding units, and M (7.5)."""
        n, gamma = self.n, self.problem.gamma
        self.schur: list[list[list[Fraction]]] = []
        self.speeds: list[list[list[Fraction]]] = []
        self.slopes: dict[tuple[int, int], list[Fraction]] = {}
        self.phi: list[list[Fraction]] = []
        M = [[Fraction(0)] * n for _ in range(n)]
        for j in range(self.m):
            side = [1 if gamma == 1 else int(s) for s in self.sides[j]]
            phi = [Fraction(1) if s > 0 else gamma if s < 0 else Fraction(0) for s in side]
            A, solved = [list(row) for row in self.problem.S], dict[int, list[Fraction]]()
            for p in (i for i in range(n) if side[i] == 0):
                pivot = A[p][p]
                if pivot <= 0:
                    raise ZeroDivisionError("sliding samples are dependent")
                # what a unit of force along x_p must cancel: row p of A, with earlier sliding samples eliminated
                solved = {
                    i: [x - row[p] * y / pivot for x, y in zip(row, A[p], strict=True)] for i, row in solved.items()
                }
                solved[p] = [x / pivot for x in A[p]]
                A = [[A[i][k] - A[i][p] * A[p][k] / pivot for k in range(n)] for i in range(n)]
            for i, row in solved.items():
                self.slopes[j, i] = [-x * f for x, f in zip(row, phi, strict=True)]
            D = [[x * f for x, f in zip(row, phi, strict=True)] for row in A]
            for i in range(n):
                if phi[i]:
                    factor = self.problem.squares[j] * phi[i]
                    M[i] = [x + factor * y for x, y in zip(M[i], D[i], strict=True)]
            self.schur.append(A)
            self.speeds.append(D)
            self.phi.append(phi)
        self.rational = M

    def products(self, lam: Array) -> list[list[float]]:
        """λ_i Φ_ji in floats, θ_ji λ_i where a unit slides."""
        values = [float(x) for x in lam]
        return [
            [
                sum(float(s) * x for s, x in zip(self.slopes[j, i], values, strict=True))
                if (j, i) in self.slopes
                else values[i] * float(self.phi[j][i])
                for i in range(self.n)
            ]
            for j in range(self.m)
        ]

    def sign(self, j: int, i: int) -> int:
        """The sign of t_ji on the unit's side."""
        return int(self.sides[j, i]) * (1 if self.alike[j][i] else -1)

    def error(self, j: int, i: int, e: Any) -> Any:
        """|t_ji of W - t_ji of W̃| ≤ ‖x_i‖ e/|a_j|."""
        return self.radii[i] * e / self.size[j]

    def state(self, t: list[Balls]) -> PatternState:
        """q_i = Σ_j a_j² Φ_ji t_ji, and what follows from it."""
        q = [
            sum((share[i] * row[i] for share, row in zip(self.share, t, strict=True)), self.ball(0))
            for i in range(self.n)
        ]
        if not self.logistic:
            return PatternState(
                q, [1 / sum(((q_i - q_k).exp() for q_k in q), self.ball(0)) for q_i in q], [q[0] * 0] * self.n
            )
        g = [1 / (1 + q_i.exp()) for q_i in q]
        return PatternState(q, [g_i / sum(g, self.ball(0)) for g_i in g], g)

    def reach(self, e: Any) -> Any:
        """2‖a‖R_max e: by so much the logarithms of w of W and of W̃ may differ, and those of g by half of it."""
        return (self.reach_of_q * e).upper()

    def widened(self, w: Balls, e: Any, change: Any = 0) -> Balls:
        """w_i e^{±(2‖a‖R_max e + change)}: w or ζ of W while their logarithms change by `change` at most."""
        factor = flint().arb(0, (self.reach(e) + change).upper()).exp()
        return [x * factor for x in w]

    def velocity(self, j: int, i: int, w: Balls) -> Any:
        """dt_ji/ds = Σ_k D_ik w_k, docs/theory.md (19.1)."""
        return self._dot(self.D[j][i], w)

    def together(self, j: int, i: int, side: int) -> list[tuple[int, int]]:
        """The unit of an event; with a release (side not 0) those of all neurons of the same slopes there, in order."""
        return [(p, i) for p in range(self.m) if p == j or (side and self.slopes.get((p, i)) == self.slopes[j, i])]

    def _guard(self, j: int, i: int, side: int) -> list[Fraction]:
        """What w_i(1 - θ_ji) (side 1) or w_i(θ_ji - γ) (side -1) of (19.3) is, as a linear function of w."""
        own = [Fraction(int(k == i)) for k in range(self.n)]
        slope, gamma = self.slopes[j, i], self.problem.gamma
        if side > 0:
            return [x - y for x, y in zip(own, slope, strict=True)]
        return [y - gamma * x for x, y in zip(own, slope, strict=True)]

    def guard_value(self, j: int, i: int, side: int, w: Balls) -> Any:
        """The guard of a sliding unit at w."""
        return self._dot(self.guards[j, i, side], w)

    def growth(self, w: Balls) -> tuple[Balls, Any]:
        """(Mw)_i and wᵀMw."""
        growth = [self._dot(row, w) for row in self.M]
        return growth, self._dot(w, growth)

    def decay(self, w: Balls, zeta: Balls) -> Balls:
        """p_i - wᵀp with p_i = (1 - ζ_i)(Mw)_i: by so much log w_i falls."""
        p = [(1 - x) * self._dot(row, w) for x, row in zip(zeta, self.reduced, strict=True)]
        mean = self._dot(w, p)
        return [x - mean for x in p]

    def pace(self, state: PatternState) -> Pace:
        """a, b, τ and V of (19.4), for the U and the z of some that give the largest τ."""

        def largest(values: Iterable[Any]) -> Any:
            return max((abs(x).upper() for x in values), key=float)

        w, first = state.w, largest(state.zeta)
        delta = (self.mu / 2**20).max(largest(self.decay(w, state.zeta)))
        inner = largest(self._dot(row, w) for row in self.centred)
        outer = largest(self._dot(row, w) for row in [self.middle, *self.M])
        found = []
        for U in BOUNDS:
            v, V = inner + U * self.mu, outer + U * self.B
            for z in (3 * first / 2, first.sqrt()) if self.logistic else (first,):
                a, b = (1 + U) * delta, (1 + U) * (1 + z) * ((2 + U) * self.mu + v)
                b += (1 + U) * z * ((2 + U) * self.B + V)
                tau = (1 + U * b / a).log() / b
                if self.logistic:
                    T = tau.min((z / first).log() / ((1 + z) * V))
                    a += (1 + U) * (2 + U) * (1 + z) * z * V * (V + v) * T
                    tau = T.min((1 + U * b / a).log() / b)
                found.append(Pace(a.upper(), b.upper(), tau.lower(), V.upper(), self.ball(U)))
        return max(found, key=lambda pace: float(pace.tau))

    def motion(self, state: PatternState, e: Any, pace: Pace, H: Fraction, window: Any) -> Motion:
        """Ranges of velocities and guards over a step of length H, and over the window before it."""
        h = self.ball(H)
        box, zeta = self.widened(state.w, e, pace.change(h)), self.widened(state.zeta, e, h * pace.V)
        return Motion(self, self.widened(state.w, e), box, zeta, h, window)

    def goes_on(self, j: int, units: Sequence[int], w: Balls) -> bool:
        """Whether each of these samples' units of neuron j leaves to its side, or slides strictly."""
        return all(
            all(self.guard_value(j, i, side, w) > 0 for side in (1, -1))
            if self.sides[j, i] == 0
            else self.sign(j, i) * self.velocity(j, i, w) > 0
            for i in units
        )

    def moved(self, t: list[Balls], e: Any, step: Any) -> tuple[list[Balls], Any]:
        """W̃ moved by the midpoint of c = ∫w; the radius goes into e."""
        c = [x.mid() for x in step.c]
        e = e + self.norm * sum((R * x.rad() for R, x in zip(self.radii, step.c, strict=True)), self.ball(0))
        new = [
            [x if self.sides[j, i] == 0 and self.units else x + self.velocity(j, i, c) for i, x in enumerate(row)]
            for j, row in enumerate(t)
        ]
        return new, e.upper()

    def projected(self, t: list[Balls], j: int, i: int) -> list[Balls]:
        """Row j of W̃, on all hyperplanes but that of x_i, on those of all units that slide in this pattern."""
        T = [k for k in range(self.n) if self.sides[j, k] == 0]
        x = consistent_solution(
            [[self.problem.S[p][k] for k in T] for p in T], [Fraction(int(k == i)) for k in T], [Fraction(0)] * len(T)
        )
        if x is None:
            raise ZeroDivisionError("sliding samples are dependent")
        row = [self.ball(0) if k in T else t[j][k] - self._pull(k, T, x) * t[j][i] for k in range(self.n)]
        return [row if k == j else other for k, other in enumerate(t)]

    def _pull(self, k: int, T: list[int], x: list[Fraction]) -> Any:
        return self.ball(sum((self.problem.S[k][p] * x_p for p, x_p in zip(T, x, strict=True)), Fraction(0)))

    def is_trap(self, multipliers: Sequence[Fraction], state: PatternState, e: Any) -> bool:
        """(19.5): from W on, every unit moves away from its kink or slides strictly, for ever."""
        total = sum(multipliers, Fraction(0))
        target, rho = [self.ball(x / total) for x in multipliers], self.ball(1 / total)
        w, zeta = self.widened(state.w, e), self.widened(state.zeta, e)
        total_loss = -sum(((1 - x).log() for x in zeta), self.ball(0))  # Λ = nL of the logistic loss, else 0
        half = (total_loss.exp() - 1 - total_loss).upper() / 2
        chi2 = sum((x - y) * (x - y) / x for x, y in zip(w, target, strict=True))
        reach = (2 * chi2).upper().sqrt() + total_loss.upper()
        excess = (self.growth(w)[1] - rho).upper().max(self.ball(0))
        if self.units and not half < 1:
            return False
        excess = ((excess + rho * half) / (1 - half)).upper().sqrt()
        for row, half_spread, length in self._bounds_of_rows:
            bound = half_spread * reach if length is None else (half_spread * reach).min(length * excess)
            if not self._dot(row, target) > bound * MARGIN:
                return False
        return True

    @cached_property
    def _bounds_of_rows(self) -> list[tuple[Balls, Any, Any]]:
        """Each row b of (19.5), ½(max b - min b), and √(bᵀM⁻¹b) or None; those of M for the logistic loss."""
        rows = [self._guard(j, i, side) for j, i in self.slopes for side in SIDES]
        rows += [[self.sign(j, i) * x for x in self.speeds[j][i]] for j, i in self.units if (j, i) not in self.slopes]
        rows += self.rational if self.logistic and self.units else []
        found = []
        for row in rows:
            length = None
            if self.inverse is not None:
                image = [sum((x * y for x, y in zip(line, row, strict=True)), Fraction(0)) for line in self.inverse]
                length = self.ball(sum(x * y for x, y in zip(row, image, strict=True))).sqrt()
            found.append(([self.ball(x) for x in row], self.ball((max(row) - min(row)) / 2), length))
        return found


def _inverse(M: list[list[Fraction]]) -> list[list[Fraction]] | None:
    """M⁻¹, or None if M is singular."""
    n, rational = len(M), flint().fmpq
    try:
        found = flint().fmpq_mat(n, n, [rational(x.numerator, x.denominator) for row in M for x in row]).inv()
    except ZeroDivisionError:
        return None
    return [[Fraction(int(found[i, k].p), int(found[i, k].q)) for k in range(n)] for i in range(n)]


class Motion:
    """Enclosures of velocities and of sliding's guards over a step: value at the start plus [0, H] times the rate."""

    def __init__(self, cell: PatternDynamics, now: Balls, box: Balls, zeta: Balls, H: Any, window: Any) -> None:
        self.cell, self.now = cell, now
        self.time = flint().arb((H - window).mid() / 2, ((H + window) / 2).upper())
        self.window = flint().arb(0, window)
        self.change = [-x * y for x, y in zip(box, cell.decay(box, zeta), strict=True)]

    def unit(self, j: int, i: int) -> tuple[Any, Any]:
        """Velocity of a unit away from its kink, and the rate of that."""
        sign = self.cell.sign(j, i)
        rate = self.cell.velocity(j, i, self.change)
        return sign * (self.cell.velocity(j, i, self.now) + self.time * rate), sign * rate

    def guard(self, j: int, i: int, side: int) -> tuple[Any, Any, Any]:
        """The guard of a sliding unit over the window, over the step, and its rate."""
        rate = self.cell.guard_value(j, i, side, self.change)
        start = self.cell.guard_value(j, i, side, self.now)
        return start + self.window * rate, start + self.time * rate, rate
