"""The global optimum of (P) by enumeration of slopes, without the theorem (docs/theory.md, section 13).

    (P)  min ½‖W‖_F²  subject to  q_i = y_i Σ_j a_j φ(z_ji) >= 1,     z_ji = ⟨w_j, x_i⟩

A unit (j, i) with a_j y_i > 0 is given a slope s_ji in {γ, 1} of its own; one with a_j y_i < 0 keeps
-|a_j| max(γ z_ji, z_ji), which is concave. Each choice s is a convex program whose feasible set lies in
that of (P), and their union is that of (P), so the least of their optimal values is the global optimum.
Neurons with equal a_j may be permuted: their slope vectors count as a multiset.

Each program is solved through its dual. With -max(γz, z) = min over Φ in [γ, 1] of -Φz it reads

    max over λ >= 0, β of   Σ_i λ_i - ½‖R(β)‖²,    row j of R(β) = Σ_i a_j y_i β_ji x_i,
    β_ji = s_ji λ_i where a_j y_i > 0,   γ λ_i <= β_ji <= λ_i elsewhere,

and W = R(β) at the optimum. Along a ray of (λ, β) the best value is (Σλ)²/(2‖R‖²), which is unbounded
where the program has no solution. A choice of Φ in {γ, 1} for each concave unit of sample i is a corner, and gives a
linear constraint that W must meet; the active-set method of `supports.py` solves with few corners, and
those that its W violates most are added until there are none. The
answer is only a hint. Every (λ, β) that obeys the signs, which clipping ensures, gives a lower bound of
its program, and W = R(β) divided by its smallest true margin an upper bound of the global optimum; both
are computed here. A choice whose lower bound at the (λ, β) of another choice is above a value reached
already need not be solved.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import chain, islice
from math import comb, prod
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.span import weights_from_coefficients
from refimpl.spectrum import rank_of_limit
from refimpl.tiles.columns import scaled
from refimpl.validation import Array, as_callback, as_count
from verification.progress import Told
from verification.witnesses.least_norm import ACCEPTED_GAP, SolveStatus
from verification.witnesses.program_family import ProgramFamily, neuron_groups, samples_of_sign, solve_choice

__all__ = ["MAX_PROGRAMS", "GlobalOptimum", "can_be_enumerated", "count_programs", "global_optimum"]

MAX_PROGRAMS = 4096
"""No more programs are enumerated."""

MAX_UNITS = 400
"""`can_be_enumerated` says no where there are more units (j, i): each program would take seconds."""

CHUNK = 256
"""Programs that one worker solves with one compilation; the same for any number of workers."""

SOLVER = "NNLS"


@dataclass(frozen=True, eq=False)
class GlobalOptimum:
    """The global optimum of (P), between two bounds. If INFEASIBLE the arrays are 0 and the objective inf.

    Attributes
    ----------
    status : SolveStatus
        SOLVED if the relative gap is at most 1e-6. INFEASIBLE if every program has multipliers with R(β) = 0 to
        the rounding of the data: a norm below √(2 `lower_bound`) is then excluded. UNDECIDED if no weights were found
        and that is not so either.
    objective : float
        ½‖W‖_F² of `weights`, which are feasible for (P): an upper bound of the global optimum.
    lower_bound : float
        The least of the dual values of all programs, each recomputed in NumPy, as low as the rounding of the data
        allows: right whatever the solver did.
    coefficients : ndarray, shape (m, n)
        C with W = C X.
    X : ndarray, shape (n, d)
    slopes : ndarray, shape (m, n)
        The chosen slope of each unit with a_j y_i > 0, the slope on its side elsewhere.
    margins : ndarray, shape (n,)
        q of `weights`; the smallest is 1 to rounding.
    singular_values : ndarray, shape (min(m, n, d),)
        Of W.
    programs : int
        Number of choices up to symmetry.
    solved : int
        Programs given to the solver; the others were excluded by a lower bound.
    infeasible : int
        Solved programs that count as having no solution.
    """

    status: SolveStatus
    objective: float
    lower_bound: float
    coefficients: Array
    X: Array
    slopes: Array
    margins: Array
    singular_values: Array
    programs: int
    solved: int
    infeasible: int
    solver: str = SOLVER

    @property
    def feasible(self) -> bool:
        """Whether weights with q >= 1 were found."""
        return bool(np.isfinite(self.objective))

    @property
    def gap(self) -> float:
        """(objective - lower bound)/objective, at least 0; inf if there are no weights."""
        return max(0.0, 1.0 - self.lower_bound / self.objective) if self.feasible else float("inf")

    @property
    def rank(self) -> int:
        """Singular values of W above 1e-8 of the largest."""
        return rank_of_limit(self.singular_values)

    def weights(self) -> Array:
        """W, shape (m, d)."""
        return weights_from_coefficients(self.coefficients, self.X)

    def excess(self, objective: float) -> float:
        """How far another value of ½‖W‖_F² lies above the global optimum, relative to it."""
        return objective / self.objective - 1.0


def count_programs(network: TwoLayerNetwork, data: Dataset) -> int:
    """Number of slope choices up to permutation of neurons with equal a_j.

    A group of g neurons with k samples of its sign has binom(2^k + g - 1, g) multisets of slope vectors.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset

    Returns
    -------
    int

    References
    ----------
    docs/theory.md, section 13.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
    >>> count_programs(network, Dataset(np.eye(6), [1, -1, 1, -1, 1, -1]))      # binom(8 + 1, 2)²
    1296
    """
    check_problem(network, data, "count_programs")
    if network.slope == 1.0:
        return 1
    groups = neuron_groups(network)
    return prod(comb(2 ** samples_of_sign(a, data.y).size + size - 1, size) for a, size in groups)


def can_be_enumerated(network: TwoLayerNetwork, data: Dataset) -> bool:
    """Whether there are at most `MAX_PROGRAMS` programs, each of at most `MAX_UNITS` units.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> [can_be_enumerated(network, Dataset(np.eye(n), np.ones(n))) for n in (12, 13)]
    [True, False]
    """
    return network.m * data.n <= MAX_UNITS and count_programs(network, data) <= MAX_PROGRAMS


def global_optimum(
    network: TwoLayerNetwork,
    data: Dataset,
    n_jobs: int = 1,
    progress: Callable[[str], None] = lambda message: None,
) -> GlobalOptimum:
    """The global optimum of (P), with a lower bound.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset
    n_jobs : int >= 1
        Worker processes, no more than there are processors. The answer does not depend on it; so few programs are
        left to solve that starting a process rarely pays.
    progress : callable, optional
        Called with a sentence after each `CHUNK` programs.

    Returns
    -------
    GlobalOptimum
        A solver that fails gives a wider gap, and a status, not an exception.

    Raises
    ------
    InvalidParameterError
        If the activation is not a `LeakyReLU`, or there are more than `MAX_PROGRAMS` programs.

    References
    ----------
    docs/theory.md, section 13.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> found = global_optimum(network, Dataset([[1.0, 0.0], [0.0, 1.0]], [1, -1]))
    >>> found.status.name, found.programs, round(found.objective, 9)
    ('SOLVED', 4, 1.6)
    """
    check_problem(network, data, "global_optimum")
    progress = as_callback("progress", progress)
    jobs = min(as_count("n_jobs", n_jobs), os.cpu_count() or 1)
    programs = _checked_count(network, data)
    data, exponent = data.rescaled()
    family = ProgramFamily.of(network, data)
    reached = _solve_chunk(family, [next(family.choices())], float("inf")).upper
    found: list[_Part] = []
    for part in _solved_chunks(family, reached, jobs):
        found.append(part)
        done = sum(part.programs for part in found)
        progress(Told("global optimum by enumeration", f"{done} of {programs} programs", done / programs))
    best = min(found, key=lambda part: part.upper)
    return _result(network, data, exponent, family, best, found)


def _checked_count(network: TwoLayerNetwork, data: Dataset) -> int:
    programs = count_programs(network, data)
    if programs > MAX_PROGRAMS:
        shown = str(programs) if programs < 10**15 else f"about 2^{programs.bit_length() - 1}"
        raise InvalidParameterError("number of programs", f"be at most {MAX_PROGRAMS}", _Verbatim(shown))
    return programs


class _Verbatim(str):
    """Text that an error shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, eq=False)
class _Part:
    """What became of some programs: bounds of their optimal values, and C and s of the best."""

    upper: float
    lower: float
    C: Array
    s: Array
    programs: int
    solved: int
    infeasible: int


def _solved_chunks(family: ProgramFamily, reached: float, jobs: int) -> Iterator[_Part]:
    """One part for each `CHUNK` choices, in order; in worker processes if there is more than one."""
    choices = family.choices()
    chunks = iter(lambda: list(islice(choices, CHUNK)), [])
    head = list(islice(chunks, 2))
    chunks = chain(head, chunks)
    if jobs == 1 or len(head) < 2:
        yield from (_solve_chunk(family, chunk, reached) for chunk in chunks)
        return
    joblib: Any = import_module("joblib")
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator")
    yield from parallel(joblib.delayed(_solve_chunk)(family, chunk, reached) for chunk in chunks)


def _solve_chunk(family: ProgramFamily, choices: Sequence[Array], reached: float) -> _Part:
    """Solve each choice unless the (λ, extra) of an earlier one shows that it lies above `reached`."""
    upper, lower, solved, infeasible = float("inf"), float("inf"), 0, 0
    best_C, best_s = np.zeros_like(family.signed), choices[0]
    known: list[tuple[Array, Array]] = []
    for s in choices:
        bound = max((family.lower_bound(s, lam, extra) for lam, extra in reversed(known)), default=0.0)
        if bound < min(reached, upper):
            lam, extra = solve_choice(family, s)
            known.append((lam, extra))
            bound = max(bound, family.lower_bound(s, lam, extra))
            C = family.coefficients(s, lam, extra)
            value = family.upper_bound(C)
            solved, infeasible = solved + 1, infeasible + int(family.vanishes(s, lam, extra))
            if value < upper:
                upper, best_C, best_s = value, C, s
        lower = min(lower, bound)
    return _Part(upper, lower, best_C, best_s, len(choices), solved, infeasible)


def _result(
    network: TwoLayerNetwork, data: Dataset, exponent: int, family: ProgramFamily, best: _Part, found: Sequence[_Part]
) -> GlobalOptimum:
    """The answer for the network and the data as they were given: X = 2^exponent · data.X."""
    unit = network.mass * data.R_max**2
    lower = min(part.lower for part in found)
    C, L, q, objective = np.zeros_like(best.C), data.R_max * family.L, np.zeros(data.n), float("inf")
    if np.isfinite(best.upper):
        q = data.y * network.outputs(best.C @ L @ L.T)
        C, q = best.C / q.min(), q / q.min()
        objective = 0.5 * float(np.sum((C @ L) ** 2))
        accurate = 1.0 - lower / unit / objective <= ACCEPTED_GAP
        status = SolveStatus.SOLVED if accurate else SolveStatus.INACCURATE
    else:
        nowhere = all(part.infeasible == part.solved for part in found)  # the others have a lower bound of inf
        status = SolveStatus.INFEASIBLE if nowhere else SolveStatus.UNDECIDED
    sides = np.where(C @ L @ L.T >= 0.0, 1.0, network.slope)
    return GlobalOptimum(
        status=status,
        objective=float(np.ldexp(objective, -2 * exponent)),
        lower_bound=float(np.ldexp(lower / unit, -2 * exponent)),
        coefficients=np.ldexp(C, -2 * exponent),
        X=scaled(data.X, exponent),
        slopes=np.where(family.own, best.s, sides),
        margins=q,
        singular_values=np.ldexp(np.linalg.svd(C @ L, compute_uv=False), -exponent),
        programs=sum(part.programs for part in found),
        solved=sum(part.solved for part in found),
        infeasible=sum(part.infeasible for part in found),
    )
