"""The active-set method: nonnegative least squares finds the support of a least-norm program, QR solves on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from refimpl.validation import Array
from verification.witnesses.unit_rows import ALL_AT_ONCE, EPS

__all__ = ["active_set"]

REPAIRS = 6
"""Rounds of correcting the support that nonnegative least squares found."""


SINGULAR = 1e-60
"""Rows of norm 1 are rounded to 1e-16: those that are independent by so little are dependent, and ξ would overflow."""


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
    if np.abs(np.diagonal(R)).min() < SINGULAR:
        return None
    target = solve_triangular(R, b[S], trans="T")
    mu = np.zeros(len(b))
    mu[S] = np.maximum(solve_triangular(R, target), 0.0)
    return Q @ (target + solve_triangular(R, np.full(S.size, lift * np.linalg.norm(target)), trans="T")), mu
