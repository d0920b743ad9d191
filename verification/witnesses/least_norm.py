"""The least-norm program min ½‖x‖² subject to G x >= 1, with bounds that are bounds (docs/numerics.md).

Rows are brought to norm 1 first: with G_i = ‖G_i‖ U_i the program reads

    min ½‖ξ‖²  subject to  U ξ >= b,     b_i = g/‖G_i‖ <= 1,     x = ξ/g,     λ_i = μ_i b_i/g²,     g = min_k ‖G_k‖,

in coordinates of the span of the rows, and ξ = Uᵀμ at the optimum. Two methods solve it: CVXPY with Clarabel, and an
active-set method (nonnegative least squares finds the support, a QR decomposition solves on it), which takes the size
of ξ from CVXPY. Neither is trusted: each (ξ, μ) is made feasible and its error is bounded here, the rounding of U
included. They must agree within their bounds; the smaller bound wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from refimpl.spectrum import certainly_independent, row_norms
from refimpl.validation import Array, BoolArray
from verification.witnesses.cvxpy_solver import SOLVER, load_cvxpy, solve

__all__ = [
    "ACCEPTED_GAP",
    "LARGEST_ERROR",
    "TOLERANCE_LADDER",
    "ExactRow",
    "LeastNorm",
    "SolveStatus",
    "active_set",
    "least_norm",
]

TOLERANCE_LADDER = (1e-12, 1e-10, 1e-8)
"""Tolerances given to the solver, tried in this order: the tightest can fail for n in the hundreds."""

LARGEST_ERROR = 1e-3
"""Largest error estimate of a SOLVED program."""

ACCEPTED_GAP = LARGEST_ERROR**2
"""What the gap is where its root is the largest error estimate."""

MAX_EXACT_WORK = 200_000
"""Rational operations spent on one proof that there is no solution; beyond, the answer may be UNDECIDED."""

REPAIRS = 6
"""Rounds of correcting the support that nonnegative least squares found."""

ALL_AT_ONCE = 100
"""From so many rows on, and no more than columns, the active-set method looks first whether all of them are tight."""

EPS = float(np.finfo(np.float64).eps)

ExactRow = Callable[[int], Sequence[Fraction]]
"""Row i before any rounding, up to a positive factor and an invertible map of all rows alike."""


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
        Where on `TOLERANCE_LADDER` CVXPY's answer comes from; None if it gave none, and the active-set method stands
        alone.
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
class _Program:
    """min ½‖ξ‖² subject to U ξ >= b; the rows of U have norm 1 and are right up to `rounding`."""

    U: Array
    b: Array
    rounding: float
    smallest: dict[bytes, float] = field(default_factory=dict)

    def smallest_singular_value(self, S: BoolArray) -> float:
        """Of U_S, or a little less; each once, because answers have few different supports."""
        key = np.packbits(S).tobytes()
        if key not in self.smallest:
            self.smallest[key] = _smallest_singular_value(self.U[S])
        return self.smallest[key]


def _smallest_singular_value(rows: Array) -> float:
    """Of rows of norm 1. Of many that are far from dependent the square root of the least eigenvalue of their Gram
    matrix, less its rounding: a part of the cost of a singular value decomposition."""
    count, k = rows.shape
    if count >= ALL_AT_ONCE:
        rounding = 4.0 * count * k * EPS
        least = float(np.linalg.eigvalsh(rows @ rows.T)[0])
        if least > 1e4 * rounding:
            return float(np.sqrt(least - rounding))
    return float(np.linalg.svd(rows, compute_uv=False)[-1])


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
    program = _Program(U, unit / norms, rounding + EPS * (8.0 + 2.0 * float(np.sqrt(U.shape[1]))))
    hint, tolerance = _by_cvxpy(program)
    answer = _best(program, hint)
    if answer is None:
        proven = _no_solution(program, exact_row, provable)
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


# --- two methods ---------------------------------------------------------------------------------------------------


def _by_cvxpy(program: _Program) -> tuple[tuple[Array, Array] | None, float | None]:
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


def active_set(U: Array, b: Array, size: float = 1.0, lift: float = 0.0) -> Iterator[tuple[Array, Array]]:
    """(ξ, μ) of min ½‖ξ‖² subject to U ξ >= b by nonnegative least squares, better and better.

    min ‖Uᵀμ‖² + (bᵀμ - 1)² over μ >= 0 has the support S of the solution, with a residual of 1/(1 + ‖ξ‖²): b is divided
    by `size`, an estimate of ‖ξ‖, which keeps that away from 0 and 1. With U_Sᵀ = Q R then ξ = Q R⁻ᵀ b_S and
    μ_S = R⁻¹ R⁻ᵀ b_S. Where ‖ξ‖ was not near the estimate, the next round takes it.

    Parameters
    ----------
    U : ndarray, shape (n, k)
    b : ndarray, shape (n,)
    size : float
        Estimate of ‖ξ‖.
    lift : float
        ξ is given for b_S + lift · ‖ξ‖, so that it is feasible in spite of rounding.

    Yields
    ------
    tuple of ndarray
        ξ, shape (k,), and μ >= 0, shape (n,), each up to a factor. Where there is no solution, Uᵀμ = 0 to rounding.
    """
    n = len(b)
    if ALL_AT_ONCE <= n <= U.shape[1]:
        found = _on_support(U, b, np.arange(n), lift)
        if found is not None and found[1].min() > 0.0:
            yield found
            return
    for _ in range(6):
        try:
            u, _ = nnls(np.vstack([U.T, b / size]), np.append(np.zeros(U.shape[1]), 1.0), maxiter=30 * n + 30)
        except RuntimeError:
            return
        rest = 1.0 - float(b @ u) / size
        u = u * (size / rest) if rest > EPS else u
        yield U.T @ u, u
        found = None
        for found in _repaired(U, b, np.flatnonzero(u), lift):
            yield found
        if found is None:
            return
        reached = float(np.linalg.norm(found[0]))
        if 0.1 * size <= reached <= 10.0 * size or not 0.0 < reached < 1.0 / EPS:
            return
        size = reached


def _repaired(U: Array, b: Array, S: NDArray[np.intp], lift: float) -> Iterator[tuple[Array, Array]]:
    """Answers on S, then on S with the violated rows and without those whose μ is negative, while that changes S.

    Rows of tiny b can escape nonnegative least squares, whose tolerance is absolute.
    """
    for _ in range(REPAIRS):
        found = _on_support(U, b, S, lift)
        if found is None:
            return
        yield found
        xi, mu = found
        violated = U @ xi < b + 0.5 * lift * float(np.linalg.norm(xi))
        repaired = np.flatnonzero((mu > 0.0) | violated)
        if np.array_equal(repaired, S):
            return
        S = repaired


def _on_support(U: Array, b: Array, S: NDArray[np.intp], lift: float) -> tuple[Array, Array] | None:
    """ξ of least norm with U_S ξ = b_S, lifted, and its μ, clipped at 0; None if U_S is singular."""
    if not 0 < S.size <= U.shape[1]:
        return None
    Q, R = np.linalg.qr(U[S].T)
    if np.abs(np.diagonal(R)).min() == 0.0:
        return None
    target = solve_triangular(R, b[S], trans="T")
    mu = np.zeros(len(b))
    mu[S] = np.maximum(solve_triangular(R, target), 0.0)
    return Q @ (target + solve_triangular(R, np.full(S.size, lift * np.linalg.norm(target)), trans="T")), mu


# --- the check -----------------------------------------------------------------------------------------------------


def _best(program: _Program, hint: tuple[Array, Array] | None) -> _Answer | None:
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


def _checked(program: _Program, xi: Array, mu: Array) -> _Answer | None:
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


def _error_through_support(program: _Program, xi: Array, mu: Array, S: BoolArray) -> float:
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


def _least_multipliers(program: _Program, answer: _Answer) -> Array | None:
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


# --- proofs that there is no solution ------------------------------------------------------------------------------


def _no_solution(program: _Program, exact_row: ExactRow, provable: bool = True) -> bool:
    """Whether some μ >= 0, μ ≠ 0, with Ûᵀμ = 0 is proven to exist for the true rows Û: then no ξ has Û ξ > 0."""
    U, n = program.U, len(program.b)
    try:
        mu, _ = nnls(np.vstack([U.T, np.ones(n)]), np.append(np.zeros(U.shape[1]), 1.0), maxiter=30 * n + 30)
    except RuntimeError:
        return False
    S = np.flatnonzero(mu)
    if S.size == 0 or np.linalg.norm(U.T @ mu) > 1e-6 * mu.sum():
        return False
    if _robust_combination(program, S, mu[S]):
        return True
    if not provable or len(exact_row(int(S[0]))) * S.size**2 > MAX_EXACT_WORK:
        return False
    return _exact_combination(
        [exact_row(int(i)) for i in S], [Fraction(value) for value in (mu * program.b)[S].tolist()]
    )


def _robust_combination(program: _Program, S: NDArray[np.intp], mu: Array) -> bool:
    """Whether the rows of S span the whole space so well that μ can be corrected to Û_Sᵀμ' = 0 with μ' > 0.

    μ' = μ - Û_S (Û_Sᵀ Û_S)⁻¹ Û_Sᵀ μ is off by at most ‖Û_Sᵀ μ‖/σ, σ the least singular value of Û_S, whose column rank
    is full.
    """
    rows, eps = program.U[S], program.rounding
    if len(rows) <= rows.shape[1]:
        return False
    sigma = float(np.linalg.svd(rows, compute_uv=False)[-1]) - eps * np.sqrt(len(rows))
    residual = float(np.linalg.norm(rows.T @ mu)) + eps * float(mu.sum())
    return sigma > 0.0 and bool(mu.min() > 2.0 * residual / sigma)


def _exact_combination(rows: Sequence[Sequence[Fraction]], guess: Sequence[Fraction]) -> bool:
    """Whether Σ μ_i row_i = 0 for some rational μ >= 0, μ ≠ 0: the guess, some of whose entries are made to solve it.

    Examples
    --------
    >>> third, one, two = Fraction(1, 3), Fraction(1), Fraction(2)
    >>> _exact_combination([[third], [-two]], [one, one]), _exact_combination([[one], [two]], [one, one])
    (True, False)
    """
    pivots: dict[int, list[Fraction]] = {}  # reduced echelon form of the equations, one for each coordinate
    for equation in zip(*rows, strict=True):
        reduced = list(equation)
        for column, row in pivots.items():
            reduced = _eliminated(reduced, row, column)
        column = next((k for k, value in enumerate(reduced) if value), -1)
        if column < 0:
            continue
        reduced = [value / reduced[column] for value in reduced]
        pivots = {other: _eliminated(row, reduced, column) for other, row in pivots.items()}
        pivots[column] = reduced
    free = [k for k in range(len(rows)) if k not in pivots]
    solved = [-sum((row[k] * guess[k] for k in free), Fraction(0)) for row in pivots.values()]
    return any(guess[k] for k in free) and min(solved, default=Fraction(0)) >= 0


def _eliminated(row: list[Fraction], pivot: list[Fraction], column: int) -> list[Fraction]:
    """`row` minus the multiple of `pivot` that makes its entry at `column` 0."""
    factor = row[column]
    return [p - factor * q for p, q in zip(row, pivot, strict=True)] if factor else row
