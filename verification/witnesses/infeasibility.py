"""Proofs that U ξ >= b has no solution: a nonnegative combination of rows that vanishes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from refimpl.validation import Array
from verification.witnesses.unit_rows import ExactRow, Program

__all__ = ["no_solution"]

MAX_EXACT_WORK = 200_000
"""Rational operations spent on one proof that there is no solution; beyond, the answer may be UNDECIDED."""


def no_solution(program: Program, exact_row: ExactRow, provable: bool = True) -> bool:
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


def _robust_combination(program: Program, S: NDArray[np.intp], mu: Array) -> bool:
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
