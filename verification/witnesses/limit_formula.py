"""The limit in closed form, M λ = 1 (docs/theory.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.tiles.accumulate import combination
from refimpl.validation import Array
from verification.witnesses.least_norm import SolveStatus
from verification.witnesses.two_rows import TwoRows, relative_masses, slopes_by_sign

__all__ = ["ClosedForm", "closed_form"]


@dataclass(frozen=True, eq=False)
class ClosedForm(TwoRows):
    """The candidate with all constraints active: M λ = 1. If SINGULAR the arrays are 0.

    Attributes
    ----------
    v, u : ndarray, shape (d,)
    v_coefficients, u_coefficients : ndarray, shape (n,)
    second_layer : ndarray, shape (m,)
    X : ndarray, shape (n, d)
    status : SolveStatus
        SOLVED or SINGULAR.
    multipliers : ndarray, shape (n,)
        λ, of any sign.
    objective : float
        ½‖W‖_F² = ½ Σ λ_i; inf if SINGULAR.
    sign_slack : float
        Smallest cosine between a row v or u and a sample, counted positive where its sign is that
        of a_j y_i; above 0 the signs are strict.
    solves_program : bool
        λ >= 0: W is the solution of (C).
    is_kkt_point : bool
        λ >= 0 and (γ = 1 or strict signs): W is a KKT point of (P). Whether it is the only one is another matter.
    condition : float
        2-norm condition number of M after its diagonal is scaled to 1; inf where n exceeds what its rank can be.
    error_estimate : float
        Estimate of ‖W - W*‖_F/‖W‖_F from the residual of the system and the rounding of K.
    """

    status: SolveStatus
    multipliers: Array
    objective: float
    sign_slack: float
    solves_program: bool
    is_kkt_point: bool
    condition: float
    error_estimate: float


def closed_form(network: TwoLayerNetwork, data: Dataset) -> ClosedForm:
    """The limit as the solution of M λ = 1, and whether it is what it claims to be.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset

    Returns
    -------
    ClosedForm

    Raises
    ------
    InvalidParameterError
        If the activation is not a `LeakyReLU`.

    References
    ----------
    docs/theory.md, section 6.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> limit = closed_form(network, Dataset([[1.0, 0.0], [0.0, 1.0]], [1, -1]))
    >>> limit.multipliers, limit.solves_program, limit.is_kkt_point
    (array([1.6, 1.6]), True, True)
    """
    check_problem(network, data, "closed_form")
    a_plus, a_minus, unit = relative_masses(network, data)
    c, c_prime = slopes_by_sign(network, data.y)
    lam, condition, error = np.zeros(data.n), float("inf"), float("inf")
    if data.n <= ((a_plus > 0.0) + (a_minus > 0.0)) * data.d:  # else M = G Gᵀ has a kernel: so many columns has G
        S = data.signed_gram / float(data.squared_norms.max())
        M = S * (a_plus * np.outer(c, c) + a_minus * np.outer(c_prime, c_prime))
        lam, condition, error = _solve_all_active(M)
    root_m = np.sqrt(network.m)
    alpha = lam * data.y * c * (a_plus > 0.0)
    alpha_prime = -lam * data.y * c_prime * (a_minus > 0.0)
    singular = not lam.any()
    slack = 0.0 if singular else _sign_slack(alpha, alpha_prime, data)
    nonnegative = not singular and bool(lam.min() >= 0.0)
    alpha, alpha_prime = alpha / (unit * root_m), alpha_prime / (unit * root_m)
    v, u = (
        combination(np.stack([alpha, alpha_prime]), data.X) if data.in_tiles else (alpha @ data.X, alpha_prime @ data.X)
    )
    return ClosedForm(
        v=v,
        u=u,
        v_coefficients=alpha,
        u_coefficients=alpha_prime,
        second_layer=network.second_layer,
        X=data.X,
        status=SolveStatus.SINGULAR if singular else SolveStatus.SOLVED,
        multipliers=lam / unit,
        objective=float("inf") if singular else 0.5 * float(lam.sum()) / unit,
        sign_slack=slack,
        solves_program=nonnegative,
        is_kkt_point=nonnegative and (network.slope == 1.0 or slack > 0.0),
        condition=condition,
        error_estimate=error,
    )


def _solve_all_active(M: Array) -> tuple[Array, float, float]:
    """λ with M λ = 1 (0 if M is singular), the condition of M, the estimated relative error of W.

    ‖W - W*‖² = (λ - λ*)ᵀM(λ - λ*) = (1 - Mλ)ᵀ(λ* - λ) and ‖W*‖² = Σ λ*_i; rounding in K adds
    about n eps cond.
    """
    n, eps, inf = M.shape[0], float(np.finfo(np.float64).eps), float("inf")
    scale = np.sqrt(np.diagonal(M))
    if np.any(scale == 0.0):
        return np.zeros(n), inf, inf
    scaled = M / np.outer(scale, scale)
    eigenvalues = np.abs(np.linalg.eigvalsh(scaled))
    condition = float(eigenvalues.max() / eigenvalues.min()) if eigenvalues.min() > 0.0 else inf
    if not condition < 1.0 / (n * eps):
        return np.zeros(n), condition, inf
    mu = np.linalg.solve(scaled, 1.0 / scale)
    correction = np.linalg.solve(scaled, 1.0 / scale - scaled @ mu)
    mu = mu + correction
    residual = 1.0 / scale - scaled @ mu
    energy = float(np.abs(residual @ np.linalg.solve(scaled, residual))) / float(mu @ scaled @ mu)
    return mu / scale, condition, max(float(np.sqrt(energy)), 64.0 * n * eps * condition)


def _sign_slack(alpha: Array, alpha_prime: Array, data: Dataset) -> float:
    """Smallest y_i ⟨v, x_i⟩/(‖v‖‖x_i‖) and -y_i ⟨u, x_i⟩/(‖u‖‖x_i‖) over the rows that exist."""
    L = data.gram_factor
    smallest = float("inf")
    for row, sign in ((alpha, 1.0), (alpha_prime, -1.0)):
        norm = float(np.linalg.norm(row @ L))
        if norm > 0.0:
            smallest = min(smallest, float((sign * data.y * (data.gram @ row) / (norm * data.norms)).min()))
    return smallest
