"""The global optimum of (P) proven, and KKT points proven not to be it (docs/theory.md, sections 13 and 18).

Every choice s of slopes in {γ, 1} for the units with a_j y_i > 0 is a convex program, and any integers

    λ >= 0,    β_ji = s_ji λ_i  where a_j y_i > 0,    γ λ_i <= β_ji <= λ_i  elsewhere

bound it from below by (Σλ)²/(2 Σ_j a_j² β_jᵀ S β_j), which is rational (18.3). Floats give λ and β; they are
rounded, and the bound is computed over Q. The choice of the optimum itself is met with equality by its multipliers.
`verification/exact/optimum_checker.py` computes all bounds again and shares nothing with this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.flow import FlowLimit, gradient_flow
from refimpl.losses import ExponentialLoss
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.validation import Array
from verification.exact.documents import NotProven, Sealed
from verification.exact.point import (
    PointCertificate,
    SignedProblem,
    certify_point,
    signed_problem,
    solution_of_pattern,
)
from verification.progress import Told
from verification.witnesses.enumeration import can_be_enumerated, global_optimum
from verification.witnesses.program_family import ProgramFamily, solve_choice

__all__ = ["OptimumCertificate", "certify_optimum"]

POINT_FIELDS = ("denominator", "multipliers", "pattern", "at_kinks", "margins_above_one", "objective", "rank")

DUAL_BITS = 40
"""λ and β of the solver are rounded to this part of the largest multiplier."""

KINK = 1e-7
"""Concave units this near to their kinks, relative to the largest z, are taken to lie on them."""

OTHER_STARTS = 16
"""Flows that are searched for a better point where the optimum cannot be enumerated."""


@dataclass(frozen=True)
class OptimumCertificate(Sealed):
    """A KKT point of (P) that is the global optimum, or lies above a better one, or both.

    Attributes
    ----------
    point : PointCertificate
        The global optimum where `bounds` are not empty; else the better point.
    bounds : tuple of tuples of int
        λ_i, then β_ji for the units with a_j y_i < 0 in order, of one dual bound each; together they show that every
        program's optimal value is at least `point.objective`. Empty: nothing is claimed about the optimum.
    programs : int
        Number of choices of slopes, neurons with equal a_j being exchangeable.
    above : PointCertificate or None
        A KKT point of larger ½‖W‖², which therefore is not the global optimum.

    References
    ----------
    docs/theory.md, sections 13 and 18.
    """

    point: PointCertificate
    bounds: tuple[tuple[int, ...], ...]
    programs: int
    above: PointCertificate | None = None

    proven = True

    @property
    def verdict(self) -> str:
        """What is proven."""
        if self.above is None:
            return "proven_global_optimum"
        return "proven_not_global" if not self.bounds else "proven_not_global_and_optimum"

    @property
    def excess(self) -> Fraction:
        """By which part ½‖W‖² of the point above exceeds that of the better one."""
        return Fraction(0) if self.above is None else self.above.objective / self.point.objective - 1

    def document(self) -> dict[str, Any]:
        """The points, and the integers of the bounds."""
        point, above = self.point.document(), None if self.above is None else self.above.document()
        return {
            "schema": "implicit-bias-optimum",
            "schema_version": 1,
            "data": point["data"],
            "network": point["network"],
            "point": {name: point[name] for name in POINT_FIELDS},
            "above": None if above is None else {name: above[name] for name in POINT_FIELDS},
            "programs": self.programs,
            "bounds": [[hex(x) for x in bound] for bound in self.bounds],
            "verdict": self.verdict,
        }


def certify_optimum(
    network: TwoLayerNetwork,
    data: Dataset,
    limit: FlowLimit | Any | None = None,
    slope: Fraction | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> OptimumCertificate | NotProven:
    """Prove over the rationals what the global optimum of (P) is, or that a KKT point is not it.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU` of slope γ > 0, read as `certify` reads it.
    data : Dataset
    limit : FlowLimit, or array_like of shape (m, d), optional
        A KKT point, as in `certify_point`, of which to decide whether it is the global optimum.
    slope : Fraction, optional
        γ as a fraction, such as Fraction(1, 10) for 0.1. By default the exact value of the network's float.
    progress : callable, optional
        Told, in a few words, what is being done.

    Returns
    -------
    OptimumCertificate or NotProven
        `.proven` tells which; a `NotProven` has a `.reason`. Where there are too many programs to enumerate, only "not
        global" can be proven, by a better limit of gradient flow from another start.

    Raises
    ------
    InvalidParameterError, ShapeError
        If the activation is not a leaky ReLU, γ = 0, or the weights do not fit.
    MissingExtraError
        If python-flint (the extra `exact`) is not installed.

    References
    ----------
    docs/theory.md, sections 13 and 18.

    Examples
    --------
    Two samples of one label with inner product -1/4 and γ = 1/8: that each neuron deserts one of them is a KKT point
    (section 14), and not the best one.

    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork([1.0, 1.0], LeakyReLU(0.125))
    >>> data = Dataset([[1.0, 0.0, 0.0], [-0.25, 0.75, 0.5]], [1, 1])
    >>> found = certify_optimum(network, data, [[1.0, -0.2, -0.1], [-0.2, 1.0, 0.7]])
    >>> found.verdict, found.point.rank, found.above.rank, round(float(found.excess), 6)
    ('proven_not_global_and_optimum', 1, 2, 0.545056)
    """
    check_problem(network, data, "certify_optimum")
    problem, asked = signed_problem(network, data, slope), None
    if limit is not None:
        found = certify_point(network, data, limit, slope, progress)
        if isinstance(found, NotProven):
            return found
        asked = found
    if not can_be_enumerated(network, data):
        reason = "there are too many programs, so the optimum is not enumerated"
        return NotProven(reason) if asked is None else _better(network, data, asked, slope, reason, progress)
    best = global_optimum(network, data, progress=progress)
    if not best.feasible:
        return NotProven(f"the enumeration found no weights with positive margins: {best.status.name}")
    point = certify_point(network, data, best.weights(), slope, progress)
    if asked is not None and (isinstance(point, NotProven) or asked.objective <= point.objective):
        point = asked
    if isinstance(point, NotProven):
        return NotProven(f"the enumerated optimum is not proven to be a KKT point: {point.reason}")
    bounds = _all_bounded(network, data, problem, point, progress)
    above = None if asked is point else asked
    above = above if above is not None and above.objective > point.objective else None
    if isinstance(bounds, NotProven):
        return bounds if above is None else OptimumCertificate(point, (), best.programs, above)
    return OptimumCertificate(point, bounds, best.programs, above)


def _better(
    network: TwoLayerNetwork,
    data: Dataset,
    asked: PointCertificate,
    slope: Fraction | None,
    reason: str,
    progress: Callable[[str], None],
) -> OptimumCertificate | NotProven:
    """A limit of gradient flow from another start with a smaller norm, proven."""
    for seed in range(OTHER_STARTS):
        progress(Told("gradient flow from other starts", f"{seed + 1} of {OTHER_STARTS}", seed / OTHER_STARTS))
        W0 = np.random.default_rng(seed).standard_normal((network.m, data.d)) * 1e-2 / data.R_max
        limit = gradient_flow(network, data, W0, ExponentialLoss()).limit
        if limit is None or float(np.sum(limit.multipliers)) / 2.0 >= float(asked.objective) * (1.0 - 1e-9):
            continue
        found = certify_point(network, data, limit, slope)
        if isinstance(found, PointCertificate) and found.objective < asked.objective:
            return OptimumCertificate(found, (), 0, asked)
    return NotProven(f"{reason}, and {OTHER_STARTS} flows from other starts reached no better point")


class DualBound:
    """One (λ, β) in integers; its bound of every choice of slopes, over Q."""

    def __init__(self, problem: SignedProblem, values: Sequence[int]) -> None:
        self.problem, self.values = problem, tuple(values)
        n = len(problem.labels)
        self.lam, rest = self.values[:n], iter(self.values[n:])
        self.own = [[same == (label > 0) for label in problem.labels] for same in problem.positive]
        self.beta = [[0 if own else next(rest) for own in row] for row in self.own]
        self.squares: dict[tuple[int, tuple[Fraction, ...]], Fraction] = {}

    def square(self, j: int, slopes: tuple[Fraction, ...]) -> Fraction:
        """a_j² βᵀSβ of neuron j with these slopes on its own units."""
        if (j, slopes) not in self.squares:
            chosen = iter(slopes)
            row = [
                next(chosen) * x if own else Fraction(b)
                for own, x, b in zip(self.own[j], self.lam, self.beta[j], strict=True)
            ]
            image = [sum((s * x for s, x in zip(line, row, strict=True) if x), Fraction(0)) for line in self.problem.S]
            self.squares[j, slopes] = self.problem.squares[j] * sum(
                (x * y for x, y in zip(row, image, strict=True)), Fraction(0)
            )
        return self.squares[j, slopes]

    def reaches(self, choice: Sequence[tuple[Fraction, ...]], objective: Fraction) -> bool:
        """Whether (Σλ)²/(2‖R‖²) of this choice is at least `objective` (18.3)."""
        length = sum((self.square(j, slopes) for j, slopes in enumerate(choice)), Fraction(0))
        return sum(self.lam) ** 2 >= 2 * objective * length


def _all_bounded(
    network: TwoLayerNetwork,
    data: Dataset,
    problem: SignedProblem,
    point: PointCertificate,
    progress: Callable[[str], None],
) -> tuple[tuple[int, ...], ...] | NotProven:
    """Dual bounds that reach ½‖W‖² of the point on every program, or which program has none."""
    family = ProgramFamily.of(network, data.rescaled()[0])
    exact = {1.0: Fraction(1), family.slope: problem.gamma}
    known: list[DualBound] = []
    for k, s in enumerate(family.choices()):
        choice = [tuple(exact[x] for x in row[own].tolist()) for row, own in zip(s, family.own, strict=True)]
        at = next((at for at, bound in enumerate(known) if bound.reaches(choice, point.objective)), None)
        if at is not None:
            known.insert(0, known.pop(at))  # what bounds one choice is likely to bound the next
            continue
        progress(f"program {k + 1}: a dual bound of its own, {len(known)} so far")
        made = (DualBound(problem, values) for values in _candidates(family, problem, point, s))
        found = next((bound for bound in made if bound.reaches(choice, point.objective)), None)
        if found is None:
            return NotProven(f"program {k + 1} has no dual bound that reaches ½‖W‖² of the point exactly")
        known.insert(0, found)
    return tuple(bound.values for bound in known)


def _candidates(
    family: ProgramFamily, problem: SignedProblem, point: PointCertificate, s: Array
) -> Iterator[tuple[int, ...]]:
    """(λ, β) in integers for one choice: those of the point if it fits, the solver's, and what these solve exactly."""
    fitting = _fitted(family, problem, point, s)
    if fitting is not None:
        yield _integers(problem, point.multipliers, fitting)
    lam, extra = solve_choice(family, s)
    if not lam.max() > 0.0:
        return
    yield _rounded(problem, lam, s * lam + extra)
    Z = family.coefficients(s, lam, extra) @ family.L @ family.L.T
    sides = np.where(np.abs(Z) <= KINK * np.abs(Z).max(), 0, np.sign(Z)).astype(np.int8)
    sides = np.where(family.own, np.where(s == 1.0, 1, -1), sides).astype(np.int8)
    for share in (1e-9, 1e-6):
        solution = solution_of_pattern(problem, sides, lam > share * lam.max(), lam, s * lam + extra)
        if solution is not None and min(solution[0]) >= 0 and _admitted(family, problem, *solution):
            yield _integers(problem, *solution)


def _fitted(
    family: ProgramFamily, problem: SignedProblem, point: PointCertificate, s: Array
) -> list[Sequence[Fraction]] | None:
    """The rows b of the point, neurons with equal a_j exchanged so that they have the slopes s; None if they cannot."""
    left, rows = list(range(family.network.m)), list[Sequence[Fraction]]()
    exact = {1.0: Fraction(1), family.slope: problem.gamma}
    for j in range(family.network.m):
        wanted = {i: exact[float(s[j, i])] * point.multipliers[i] for i in np.flatnonzero(family.own[j])}
        match = next(
            (
                p
                for p in left
                if family.network.second_layer[p] == family.network.second_layer[j]
                and all(point.products[p][i] == b for i, b in wanted.items())
            ),
            None,
        )
        if match is None:
            return None
        left.remove(match)
        rows.append(point.products[match])
    return rows


def _admitted(family: ProgramFamily, problem: SignedProblem, lam: Sequence[Fraction], b: Any) -> bool:
    """γλ_i <= b_ji <= λ_i where a_j y_i < 0."""
    return all(
        problem.gamma * x <= y <= x
        for own, row in zip(family.own, b, strict=True)
        for chosen, x, y in zip(own, lam, row, strict=True)
        if not chosen
    )


def _integers(problem: SignedProblem, lam: Sequence[Fraction], b: Any) -> tuple[int, ...]:
    """λ, and b of the units with a_j y_i < 0, times their common denominator."""
    concave = [
        x
        for same, row in zip(problem.positive, b, strict=True)
        for label, x in zip(problem.labels, row, strict=True)
        if same != (label > 0)
    ]
    denominator = math.lcm(*(x.denominator for x in chain(lam, concave)))
    return tuple(int(x * denominator) for x in chain(lam, concave))


def _rounded(problem: SignedProblem, lam: Array, beta: Array) -> tuple[int, ...]:
    """λ and β in multiples of 2^-40 of the largest multiplier, β within [γλ, λ]."""
    unit = 2.0**DUAL_BITS / lam.max()
    whole = [Fraction(round(float(x) * unit)) for x in lam]
    rows = [
        [
            min(max(Fraction(round(float(b) * unit)), math.ceil(problem.gamma * x)), x)
            for b, x in zip(row, whole, strict=True)
        ]
        for row in beta
    ]
    return _integers(problem, whole, rows)
