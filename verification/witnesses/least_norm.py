"""The least-norm program min ½‖x‖² subject to G x >= 1, with bounds that are bounds (docs/numerics.md).

Rows are brought to norm 1 first: with G_i = ‖G_i‖ U_i the program reads

    min ½‖ξ‖²  subject to  U ξ >= b,     b_i = g/‖G_i‖ <= 1,     x = ξ/g,     λ_i = μ_i b_i/g²,     g = min_k ‖G_k‖,

in coordinates of the span of the rows, and ξ = Uᵀμ at the optimum. Two methods solve it: CVXPY with Clarabel, and an
active-set method (nonnegative least squares finds the support, a QR decomposition solves on it), which takes the size
of ξ from CVXPY. Neither is trusted: each (ξ, μ) is made feasible and its error is bounded here, the rounding of U
included. They must agree within their bounds; the smaller bound wins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction

import numpy as np

from refimpl.spectrum import certainly_independent, row_norms
from refimpl.validation import Array, BoolArray
from verification.witnesses.cvxpy_solver import SOLVER, load_cvxpy, solve
from verification.witnesses.infeasibility import no_solution
from verification.witnesses.supports import active_set
from verification.witnesses.unit_rows import EPS, ExactRow, Program

__all__ = ["ACCEPTED_GAP", "LARGEST_ERROR", "TOLERANCE_LADDER", "LeastNorm", "SolveStatus", "least_norm"]

TOLERANCE_LADDER = (1e-12, 1e-10, 1e-8)
"""Tolerances given to the solver, tried in this order: the tightest can fail for n in the hundreds."""

LARGEST_ERROR = 1e-3
"""Largest error estimate of a SOLVED program."""

ACCEPTED_GAP = LARGEST_ERROR**2
"""What the gap is where its root is the largest error estimate."""

MOST_OPERATIONS = 200_000_000
"""n k² of the largest program that CVXPY is asked about first: 585 independent samples."""

ENOUGH = 1e-6
"""Error estimate with which the active-set method answers alone of larger programs."""


class SolveStatus(Enum):
    """How a program ended; the value is a sentence for people."""

    SOLVED = "The program was solved; the duality gap is recomputed."
    INACCURATE = "Weights that meet the constraints exist, but the least norm was not found to a usable accuracy."
    INFEASIBLE = "No weights meet the constraints."
    UNDECIDED = "No weights that meet the constraints were found, and it was not proven that there are none."
    SINGULAR = "The linear system for the multipliers is singular to working precision."


@dataclass(frozen=True, eq=False)
class LeastNorm:
    """Answer to min ½‖x‖² subject to G x >= 1. If the status is not SOLVED, x and λ are 0 and the numbers inf.

    Attributes
    ----------
    status : SolveStatus
        SOLVED and INACCURATE rest on an x for which G x > 0 is proven, INFEASIBLE on a proof that there is none.
    x : ndarray, shape (k,)
        Feasible for every G within the rounding: (G x)_i >= 1 + twice `rounding` ‖G_i‖ ‖x‖.
    multipliers : ndarray, shape (n,)
        λ >= 0, scaled for the best dual value; where several fit, those with the least Σ (λ_i ‖G_i‖)².
    duality_gap : float
        (½‖x‖² - dual value at λ)/½‖x‖², evaluated as a sum of nonnegative terms.
    feasibility : float
        max(0, 1 - min_i (G x)_i) before x was made feasible.
    tolerance : float or None
        Where on `TOLERANCE_LADDER` CVXPY's answer comes from; None if it gave none, or was not asked, and the
        active-set method stands alone.
    error_estimate : float
        Bound on ‖x - x*‖/‖x‖ and ‖Gᵀλ - x*‖/‖x‖, the rounding of G included.
    """

    status: SolveStatus
    x: Array
    multipliers: Array
    duality_gap: float
    feasibility: float
    tolerance: float | None
    error_estimate: float

    @property
    def solver(self) -> str:
        """Who answered: CLARABEL, or NNLS alone."""
        return SOLVER if self.tolerance is not None else "NNLS"

    @property
    def half_square(self) -> float:
        """½‖x‖²; inf if there is no x."""
        return 0.5 * float(self.x @ self.x) if self.x.any() else float("inf")

    def without_arrays(self, status: SolveStatus) -> LeastNorm:
        """What is left of this answer where it is not SOLVED after all."""
        inf = float("inf")
        zeros = np.zeros_like(self.x), np.zeros_like(self.multipliers)
        return LeastNorm(status, *zeros, self.duality_gap, inf, self.tolerance, inf)


@dataclass(frozen=True, eq=False)
class _Answer:
    """A feasible ξ and μ >= 0, ‖ξ - Uᵀμ‖ and the bound on ‖ξ - ξ*‖, both relative to ‖ξ‖, rounding included."""

    xi: Array
    mu: Array
    gap: float
    violation: float
    distance: float
    error: float

    @property
    def estimate(self) -> float:
        """Bound for both ξ and Uᵀμ."""
        return self.error + self.distance


def least_norm(G: Array, rounding: float = 0.0, exact_row: ExactRow | None = None, provable: bool = True) -> LeastNorm:
    """min ½‖x‖² subject to G x >= 1.

    Parameters
    ----------
    G : ndarray, shape (n, k)
    rounding : float
        Bound on the error of each row of G, relative to its norm.
    exact_row : callable, optional
        Rows of which those of G are the rounded images; by default G's own. Used for proofs only.
    provable : bool
        Whether `exact_row` gives the true rows: if not, they prove nothing that rounding could change.

    Returns
    -------
    LeastNorm

    References
    ----------
    docs/numerics.md, "The convex programs".

    Examples
    --------
    >>> least_norm(np.array([[2.0, 0.0], [0.0, 1.0]])).x.round(8)
    array([0.5, 1. ])
    >>> least_norm(np.array([[1.0], [-1.0]])).status.name
    'INFEASIBLE'
    >>> least_norm(np.array([[1.0, 0.0], [-1.0, 1e-17]])).status.name
    'UNDECIDED'
    """
    norms = row_norms(G)
    exact_row = exact_row or (lambda i: [Fraction(g) for g in G[i].tolist()])
    if np.any(norms == 0.0):
        proven = any(not any(exact_row(int(i))) for i in np.flatnonzero(norms == 0.0))
        return _no_answer(G, SolveStatus.INFEASIBLE if proven else SolveStatus.UNDECIDED)
    unit = float(norms.min())
    U, Q = _in_span(G / norms[:, None])
    program = Program(U, unit / norms, rounding + EPS * (8.0 + 2.0 * float(np.sqrt(U.shape[1]))))
    answer, tolerance, proven = _decided(program, lambda: no_solution(program, exact_row, provable))
    if answer is None:
        return _no_answer(G, SolveStatus.INFEASIBLE if proven else SolveStatus.UNDECIDED, tolerance)
    if answer.estimate > LARGEST_ERROR:
        return _no_answer(G, SolveStatus.INACCURATE, tolerance, answer.gap)
    x = (answer.xi if Q is None else Q @ answer.xi) / unit
    lam = answer.mu / norms / unit
    return LeastNorm(SolveStatus.SOLVED, x, lam, answer.gap, answer.violation, tolerance, answer.estimate)


def _in_span(U: Array) -> tuple[Array, Array | None]:
    """U in orthonormal coordinates Q of the span of its rows, where these are fewer than its columns."""
    if U.shape[0] >= U.shape[1]:
        return U, None
    Q, R = np.linalg.qr(U.T)
    return np.asarray(R.T), np.asarray(Q)


def _no_answer(G: Array, status: SolveStatus, tolerance: float | None = None, gap: float = float("inf")) -> LeastNorm:
    inf = float("inf")
    return LeastNorm(status, np.zeros(G.shape[1]), np.zeros(G.shape[0]), gap, inf, tolerance, inf)


def _decided(program: Program, refuted: Callable[[], bool]) -> tuple[_Answer | None, float | None, bool]:
    """The best answer, CVXPY's tolerance, and, if there is none, whether there is proven to be none.

    A step of Clarabel costs about n k² operations. Of large programs the active-set method is asked first, and Clarabel
    only where that answers to less than `ENOUGH`.
    """
    n, k = program.U.shape
    if n * k**2 > MOST_OPERATIONS:
        answer = _best(program, None)
        if answer is not None and answer.estimate <= ENOUGH:
            return answer, None, False
        if answer is None and refuted():
            return None, None, True
    hint, tolerance = _by_cvxpy(program)
    answer = _best(program, hint)
    return answer, tolerance, answer is None and refuted()


# --- two methods ---------------------------------------------------------------------------------------------------


def _by_cvxpy(program: Program) -> tuple[tuple[Array, Array] | None, float | None]:
    """(ξ, μ) of the first tolerance at which the solver calls its answer optimal, and that tolerance."""
    cp = load_cvxpy()
    xi = cp.Variable(program.U.shape[1])
    constraint = program.U @ xi >= program.b
    problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(xi)), [constraint])
    for tolerance in TOLERANCE_LADDER:
        if not solve(problem, tolerance):
            continue
        if problem.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
            return None, tolerance
        if problem.status == cp.OPTIMAL:
            return (xi.value, np.maximum(constraint.dual_value, 0.0)), tolerance
    return None, None


# --- the check -----------------------------------------------------------------------------------------------------


def _best(program: Program, hint: tuple[Array, Array] | None) -> _Answer | None:
    """The answer with the smallest error bound, its multipliers made unique; None if no ξ is feasible."""
    size = float(np.linalg.norm(hint[0])) if hint is not None else 1.0
    found = [] if hint is None else [hint]
    found.extend(active_set(program.U, program.b, size if size > 0.0 else 1.0, 2.5 * program.rounding))
    checked = [answer for xi, mu in found if (answer := _checked(program, xi, mu)) is not None]
    if not checked:
        return None
    best = min(checked, key=lambda answer: answer.estimate)
    if not all(_agree(best, other) for other in checked):
        return replace(best, error=float("inf"))
    mu = _least_multipliers(program, best)
    again = None if mu is None else _checked(program, best.xi, mu)
    if again is None or again.gap > max(4.0 * best.gap, program.rounding):
        return best
    return replace(again, violation=best.violation, error=min(best.error, again.error))


def _agree(one: _Answer, other: _Answer) -> bool:
    """Whether two ξ are as near to each other as their error bounds say."""
    allowed = one.error * float(np.linalg.norm(one.xi)) + other.error * float(np.linalg.norm(other.xi))
    return bool(np.linalg.norm(one.xi - other.xi) <= allowed)


def _checked(program: Program, xi: Array, mu: Array) -> _Answer | None:
    """Make ξ feasible and scale μ for its best dual value; None if ξ cannot be made feasible.

    Rows that differ from U by the rounding ε change U ξ by ε‖ξ‖, so s ξ with s (U ξ - 2ε‖ξ‖) >= b is feasible for
    them all, and after a sum of the samples has been rounded. Scaled along its ray, μ is best where bᵀμ = ‖Uᵀμ‖². The
    gap

        ½‖ξ‖² - (bᵀμ - ½‖Uᵀμ‖²)  =  ½‖ξ - Uᵀμ‖² + Σ μ_i ((U ξ)_i - b_i)

    is a sum of nonnegative terms. ½‖ξ‖² is 1-strongly convex, so ½‖ξ - ξ*‖² <= gap.
    """
    U, b, eps = program.U, program.b, program.rounding
    if not (np.isfinite(xi).all() and np.isfinite(mu).all()):
        return None
    size = float(np.linalg.norm(xi))
    safe = U @ xi - 2.0 * eps * size
    if not safe.min() > 0.0:
        return None
    violation = max(0.0, 1.0 - float((U @ xi / b).min()))
    scale = float((b / safe).max())
    xi, size = scale * xi, scale * size
    square = float(np.sum((U.T @ mu) ** 2))
    mu = mu * (float(b @ mu) / square) if square > 0.0 else mu
    total = float(mu.sum())
    slack = np.maximum(U @ xi - b, 0.0)
    distance = float(np.linalg.norm(xi - U.T @ mu))
    rounded = distance + eps * total
    gap = (distance**2 + 2.0 * float(mu @ slack)) / size**2
    rounded_gap = (rounded**2 + 2.0 * float(mu @ slack) + 4.0 * eps * size * total) / size**2
    supports = (mu > 0.0, mu > 1e-6 * mu.max(initial=0.0))
    error = min(float(np.sqrt(rounded_gap)), *(_error_through_support(program, xi, mu, S) for S in supports))
    return _Answer(xi, mu, float(gap), violation, float(rounded / size), float(error))


def _error_through_support(program: Program, xi: Array, mu: Array, S: BoolArray) -> float:
    """Bound on ‖ξ - ξ*‖/‖ξ‖ where S is seen to be the support of μ*; inf where it is not.

    Let Û be the true rows and ξ' = Û_Sᵀμ' with Û_S Û_Sᵀ μ' = b_S. With e = ξ - Û_Sᵀμ_S and r = Û_S ξ - b_S, the
    difference ξ - ξ' is (1 - P) e + Û_S⁺ r, P the projection on the rows of Û_S, so ‖ξ - ξ'‖ <= B = ‖e‖ + ‖r‖/σ, σ the
    smallest singular value of Û_S, and ‖μ_S - μ'‖ <= B/σ. If μ_S > B/σ, then μ' > 0; if (Û ξ)_i - b_i > B off S,
    then ξ' is feasible. Both together are the KKT conditions, so ξ' = ξ*. Rows that are off by ε
    move e by ε Σμ, r by 2ε√|S| ‖ξ‖ (b included) and σ by ε√|S|.
    """
    U, b, eps = program.U, program.b, program.rounding
    count = int(S.sum())
    if not 0 < count <= U.shape[1]:
        return float("inf")
    spread = eps * float(np.sqrt(count))
    sigma = program.smallest_singular_value(S) - spread
    if sigma <= spread:
        return float("inf")
    size = float(np.linalg.norm(xi))
    e = float(np.linalg.norm(xi - U[S].T @ mu[S])) + eps * float(mu[S].sum())
    r = float(np.linalg.norm(U[S] @ xi - b[S])) + 2.0 * spread * size
    bound = e + r / sigma
    positive = bool(np.all(mu[S] > bound / sigma))
    feasible = bool(np.all(U[~S] @ xi - b[~S] > bound + 2.0 * eps * size))
    return float(bound / size) if positive and feasible else float("inf")


def _least_multipliers(program: Program, answer: _Answer) -> Array | None:
    """The μ >= 0 of least norm with Uᵀμ = ξ on the tight rows T; None if it is unique or not found.

    With U_Tᵀ μ₀ = ξ, μ₀ of least norm, and N a basis of the kernel of U_Tᵀ, all solutions are μ₀ + N t. If μ₀ >= 0 it
    is the answer; otherwise min ‖t‖ subject to N t >= -μ₀ is a program of the same kind.
    """
    U, b = program.U, program.b
    size = float(np.linalg.norm(answer.xi))
    tight = np.flatnonzero((answer.mu > 0.0) | (U @ answer.xi - b <= 64.0 * program.rounding * size))
    if certainly_independent(U[tight]):
        return None
    P, sigma, Qt = np.linalg.svd(U[tight])
    rank = int(np.sum(sigma > len(b) * program.rounding * sigma[0]))
    if rank == tight.size:
        return None
    mu = np.zeros(len(b))
    start = P[:, :rank] @ ((Qt[:rank] @ answer.xi) / sigma[:rank])
    floor = 64.0 * program.rounding * float(np.abs(start).max())
    if start.min() < -floor:
        N = P[:, rank:]
        for t, _ in active_set(N, -start, float(np.linalg.norm(start))):
            corrected = start + N @ t
            if corrected.min() >= -floor:
                break
        else:
            return None
        start = corrected
    mu[tight] = np.maximum(start, 0.0)
    return mu
