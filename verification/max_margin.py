"""The convex program (C), its closed form, the linear max margin, and the bound between them.

    (C)  min ½(m₁‖v‖² + m₂‖u‖²)
         (m₁ v·x_i - γ m₂ u·x_i)/√m >= 1 where y_i = +1,   (m₂ u·x_i - γ m₁ v·x_i)/√m >= 1 where y_i = -1

(docs/theory.md, sections 3, 6 and 11). For a general second layer m₁/m and m₂/m become the masses
A₊ = Σ_{a_j > 0} a_j² and A₋, and the rows of W are √m |a_j| v on J₊ and √m |a_j| u on J₋.

With K = L Lᵀ and γ-weights c_i = (1, γ), c'_i = (γ, 1) for y_i = (+1, -1), the stacked vector
x = √m (√A₊ v, -√A₋ u), in orthonormal coordinates of the span of the data, turns (C) into

    min ½‖x‖²  subject to  G x >= 1,     G = [ y∘c √A₊ L | y∘c' √A₋ L ],     G Gᵀ = M of section 6,

a least-norm program of size n; its objective is ½‖W‖_F². The linear max margin is the same program
with G = diag(y) L. CVXPY solves it with Clarabel; what is reported about the answer is recomputed here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Any

import numpy as np
from scipy.optimize import nnls

from refimpl.datasets import Dataset, as_dataset
from refimpl.errors import InvalidParameterError
from refimpl.network import TwoLayerNetwork, as_network, check_problem
from refimpl.paper import PAPER_CONSTANTS
from refimpl.span import weights_from_coefficients
from refimpl.spectrum import gram_factor
from refimpl.validation import Array, as_real_array

__all__ = [
    "ClosedForm",
    "LeastNorm",
    "LinearMaxMargin",
    "MaxMargin",
    "SolveStatus",
    "closed_form",
    "least_norm",
    "linear_max_margin",
    "margin_bound",
    "max_margin",
    "paper_margin_bound",
]

SOLVER = "CLARABEL"

TOLERANCE_LADDER = (1e-12, 1e-10, 1e-8)
"""Tolerances given to the solver, tried in this order: the tightest can fail for n in the hundreds."""

ACCEPTED_GAP = 1e-6
"""A recomputed relative duality gap above this is reported as INACCURATE."""

FARKAS_TOLERANCE = 1e-8
"""λ >= 0 with ‖Gᵀλ‖ at most this part of Σ λ_i ‖G_i‖ confirms that G x >= 1 has no solution."""


class SolveStatus(Enum):
    """How a program ended; the value is a sentence for people."""

    SOLVED = "The program was solved; the duality gap is recomputed."
    INACCURATE = "The solver stopped before it reached a tolerance that can be relied on."
    INFEASIBLE = "No weights meet the constraints."
    SINGULAR = "The linear system for the multipliers is singular to working precision."


@dataclass(frozen=True, eq=False)
class LeastNorm:
    """Answer to min ½‖x‖² subject to G x >= 1.

    Attributes
    ----------
    status : SolveStatus
    x : ndarray, shape (k,)
        Scaled so that min_i (G x)_i = 1 to rounding; 0 if there is none.
    multipliers : ndarray, shape (n,)
        λ >= 0, scaled for the best dual value; 0 if there is no x.
    duality_gap : float
        (½‖x‖² - dual value at λ)/½‖x‖², evaluated as a sum of nonnegative terms; inf if there is no x.
    feasibility : float
        max(0, 1 - min_i (G x)_i) for the solver's x before it was scaled; inf if there is none.
    tolerance : float or None
        Where on `TOLERANCE_LADDER` the answer comes from; None if the solver gave none.
    error_estimate : float
        Bound on ‖x - x*‖/‖x‖ (rounding aside): the square root of the gap, by strong convexity, or
        the smaller bound through the support of λ where that is established.
    """

    status: SolveStatus
    x: Array
    multipliers: Array
    duality_gap: float
    feasibility: float
    tolerance: float | None
    error_estimate: float


@dataclass(frozen=True, eq=False)
class _TwoRows:
    """Weights whose rows are √m |a_j| v on J₊ and √m |a_j| u on J₋, with v = αᵀX, u = α'ᵀX."""

    v_coefficients: Array
    u_coefficients: Array
    second_layer: Array
    X: Array

    @property
    def v(self) -> Array:
        """v = Σ_i α_i x_i, shape (d,); 0 if J₊ is empty."""
        return np.asarray(self.v_coefficients @ self.X)

    @property
    def u(self) -> Array:
        """u = Σ_i α'_i x_i, shape (d,); 0 if J₋ is empty."""
        return np.asarray(self.u_coefficients @ self.X)

    @property
    def coefficients(self) -> Array:
        """C with W = C X, shape (m, n)."""
        a = self.second_layer[:, None]
        rows = np.where(a > 0.0, self.v_coefficients, self.u_coefficients)
        return np.asarray(np.sqrt(a.size) * np.abs(a) * rows)

    def weights(self) -> Array:
        """W, shape (m, d)."""
        return weights_from_coefficients(self.coefficients, self.X)


@dataclass(frozen=True, eq=False)
class MaxMargin(_TwoRows):
    """Solution of (C). If the status is INFEASIBLE the arrays are 0 and the numbers inf.

    Attributes
    ----------
    v_coefficients, u_coefficients : ndarray, shape (n,)
        v and u as combinations of the samples.
    second_layer : ndarray, shape (m,)
    X : ndarray, shape (n, d)
    status : SolveStatus
    multipliers : ndarray, shape (n,)
        λ of section 2.
    objective : float
        ½‖W‖_F².
    duality_gap : float
        Relative gap between the objective and the dual value at λ, recomputed in NumPy.
    feasibility : float
        Largest violation of a constraint by the solver's answer, before W is scaled so that the
        smallest margin is 1.
    tolerance : float or None
        The solver's tolerance, one of `TOLERANCE_LADDER`.
    error_estimate : float
        Bound on ‖W - W*‖_F/‖W‖_F, as in `LeastNorm`.
    solver : str
    """

    status: SolveStatus
    multipliers: Array
    objective: float
    duality_gap: float
    feasibility: float
    tolerance: float | None
    error_estimate: float
    solver: str = SOLVER


@dataclass(frozen=True, eq=False)
class ClosedForm(_TwoRows):
    """The candidate with all constraints active: M λ = 1. If SINGULAR the arrays are 0.

    Attributes
    ----------
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
        2-norm condition number of M after its diagonal is scaled to 1.
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


@dataclass(frozen=True, eq=False)
class LinearMaxMargin:
    """z* = argmin ‖z‖ subject to y_i ⟨z, x_i⟩ >= 1. If INFEASIBLE the arrays are 0, the numbers inf.

    Attributes
    ----------
    status : SolveStatus
        INFEASIBLE if no half-space through the origin separates the labels.
    coefficients : ndarray, shape (n,)
        z* = Σ_i coefficients_i x_i.
    X : ndarray, shape (n, d)
    norm : float
        ‖z*‖.
    duality_gap, feasibility, tolerance, error_estimate
        As in `MaxMargin`.
    """

    status: SolveStatus
    coefficients: Array
    X: Array
    norm: float
    duality_gap: float
    feasibility: float
    tolerance: float | None
    error_estimate: float
    solver: str = SOLVER

    @property
    def z(self) -> Array:
        """z*, shape (d,)."""
        return np.asarray(self.coefficients @ self.X)


def max_margin(network: TwoLayerNetwork, data: Dataset) -> MaxMargin:
    """Solve (C) in the span of the data.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`. If no a_j is positive, v is dropped (0); if none is negative, u.
    data : Dataset

    Returns
    -------
    MaxMargin
        A solver that fails gives a status, not an exception.

    Raises
    ------
    InvalidParameterError
        If the activation is not a `LeakyReLU`.

    References
    ----------
    docs/theory.md, section 3.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> solution = max_margin(network, Dataset([[1.0, 0.0], [0.0, 1.0]], [1, -1]))
    >>> solution.status.name, round(solution.objective, 9)
    ('SOLVED', 1.6)
    >>> (solution.v + 0.0).round(6)
    array([ 1.131371, -0.565685])
    """
    check_problem(network, data, "max_margin")
    a_plus, a_minus, unit = _relative_masses(network, data)
    G, L = max_margin_matrix(network, data)
    answer = least_norm(G)
    V, minus_U = np.split(answer.x, 2)
    scale = unit * np.sqrt(network.m)
    return MaxMargin(
        v_coefficients=_row_coefficients(L, V, a_plus) / scale,
        u_coefficients=-_row_coefficients(L, minus_U, a_minus) / scale,
        second_layer=network.second_layer,
        X=data.X,
        status=answer.status,
        multipliers=answer.multipliers / unit,
        objective=_half_square(answer) / unit,
        duality_gap=answer.duality_gap,
        feasibility=answer.feasibility,
        tolerance=answer.tolerance,
        error_estimate=answer.error_estimate,
    )


def max_margin_matrix(network: TwoLayerNetwork, data: Dataset) -> tuple[Array, Array]:
    """G of shape (n, 2n) with (C) as min ½‖x‖² subject to G x >= 1, and the factor L in it."""
    a_plus, a_minus, _ = _relative_masses(network, data)
    L = gram_factor(data.gram / float(np.diagonal(data.gram).max()))
    c, c_prime = _slopes(network, data.y)
    signs = data.y[:, None]
    return np.hstack([signs * c[:, None] * np.sqrt(a_plus) * L, signs * c_prime[:, None] * np.sqrt(a_minus) * L]), L


def linear_max_margin(data: Dataset) -> LinearMaxMargin:
    """The linear max-margin predictor z*: min ‖z‖ subject to y_i ⟨z, x_i⟩ >= 1.

    Parameters
    ----------
    data : Dataset

    Returns
    -------
    LinearMaxMargin

    References
    ----------
    docs/theory.md, section 3, conclusion (5).

    Examples
    --------
    >>> found = linear_max_margin(Dataset([[2.0, 0.0], [0.0, 1.0]], [1, -1]))
    >>> found.z.round(8), round(found.norm**2, 8)
    (array([ 0.5, -1. ]), 1.25)
    >>> linear_max_margin(Dataset([[1.0], [2.0]], [1, -1])).status.name
    'INFEASIBLE'
    """
    unit = float(np.diagonal(as_dataset(data).gram).max())
    L = gram_factor(data.gram / unit)
    answer = least_norm(data.y[:, None] * L)
    return LinearMaxMargin(
        status=answer.status,
        coefficients=_row_coefficients(L, answer.x, 1.0) / unit,
        X=data.X,
        norm=float(np.sqrt(2.0 * _half_square(answer) / unit)),
        duality_gap=answer.duality_gap,
        feasibility=answer.feasibility,
        tolerance=answer.tolerance,
        error_estimate=answer.error_estimate,
    )


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
    a_plus, a_minus, unit = _relative_masses(network, data)
    c, c_prime = _slopes(network, data.y)
    S = data.signed_gram / float(np.diagonal(data.gram).max())
    M = S * (a_plus * np.outer(c, c) + a_minus * np.outer(c_prime, c_prime))
    lam, condition, error = _solve_all_active(M)
    root_m = np.sqrt(network.m)
    alpha = lam * data.y * c * (a_plus > 0.0)
    alpha_prime = -lam * data.y * c_prime * (a_minus > 0.0)
    singular = not lam.any()
    slack = 0.0 if singular else _sign_slack(alpha, alpha_prime, data)
    nonnegative = not singular and bool(lam.min() >= 0.0)
    return ClosedForm(
        v_coefficients=alpha / (unit * root_m),
        u_coefficients=alpha_prime / (unit * root_m),
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


def margin_bound(network: TwoLayerNetwork, labels: Any = None) -> float:
    """The factor B of ‖z‖ <= B ‖z*‖ for z = (m₁ v - m₂ u)/√m at the solution of (C).

    v = c₁ z*, u = -c₂ z* are feasible for (C) where P = A₊c₁√m, Q = A₋c₂√m obey P + γQ >= 1 (label
    +1) and Q + γP >= 1 (label -1). Cauchy-Schwarz gives B² = (A₊ + A₋) min (P²/A₊ + Q²/A₋). With both
    labels and κ² = min(A₊, A₋)/max(A₊, A₋) that is

        B = (κ + 1/κ)/(1 + γ) if κ² >= γ,   B = √((1 + κ²)/(κ² + γ²)) otherwise,

    the two constraints being active in the first case and one in the second. κ = 0 (one sign of
    a_j only) is the second case: B = 1/γ. With one label only its constraint stands alone, and
    B² = (A₊ + A₋)/(A_y + γ²A₋y), A_y the mass of the sign y.

    Parameters
    ----------
    network : TwoLayerNetwork
    labels : array_like of ±1, optional
        The data's; without them both labels are taken to occur, which is right for any data.

    Returns
    -------
    float
        inf if γ = 0 and a label occurs for which no a_j has its sign.

    References
    ----------
    docs/theory.md, section 11.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> round(margin_bound(TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.25))), 12)
    1.6
    >>> margin_bound(TwoLayerNetwork.with_signs(2, 0, LeakyReLU(0.25)))
    4.0
    >>> margin_bound(TwoLayerNetwork.with_signs(2, 0, LeakyReLU(0.25)), labels=[1, 1])
    1.0
    """
    gamma = as_network(network).require_leaky_relu("margin_bound").slope
    A_plus, A_minus = network.mass_positive, network.mass_negative
    occurring = _occurring_labels(labels)
    if len(occurring) == 1:
        same, other = (A_plus, A_minus) if 1.0 in occurring else (A_minus, A_plus)
        return _root_of_ratio(A_plus + A_minus, same + gamma**2 * other)
    kappa = _kappa(network)
    if kappa > 0.0 and kappa**2 >= gamma:
        return (kappa + 1.0 / kappa) / (1.0 + gamma)
    return _root_of_ratio(1.0 + kappa**2, kappa**2 + gamma**2)


def paper_margin_bound(network: TwoLayerNetwork) -> float:
    """The paper's factor 2/(κ + γ) †, κ = √(min(A₊, A₋)/max(A₊, A₋)); never below `margin_bound`.

    References
    ----------
    docs/theory.md, section 3, conclusion (5), and section 11.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> paper_margin_bound(TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.25)))
    1.6
    """
    gamma = as_network(network).require_leaky_relu("paper_margin_bound").slope
    denominator = _kappa(network) + gamma
    return PAPER_CONSTANTS["margin_bound"].value / denominator if denominator > 0.0 else float("inf")


def least_norm(G: Array) -> LeastNorm:
    """min ½‖x‖² subject to G x >= 1, by CVXPY and Clarabel, checked in NumPy.

    Parameters
    ----------
    G : ndarray, shape (n, k)
        Scaled so that its largest row norm is near 1.

    Returns
    -------
    LeastNorm

    Examples
    --------
    >>> least_norm(np.array([[2.0, 0.0], [0.0, 1.0]])).x.round(8)
    array([0.5, 1. ])
    >>> least_norm(np.array([[1.0], [-1.0]])).status.name
    'INFEASIBLE'
    """
    best: LeastNorm | None = None
    for tolerance in TOLERANCE_LADDER:
        answer = _solve_once(G, tolerance)
        if answer is None:
            continue
        if answer.status is not SolveStatus.INACCURATE:
            return answer
        if best is None or answer.duality_gap < best.duality_gap:
            best = answer
    return best or _no_answer(G, SolveStatus.INACCURATE, None)


def _solve_once(G: Array, tolerance: float) -> LeastNorm | None:
    """One attempt of the solver; None if it broke down without an answer."""
    cp: Any = import_module("cvxpy")  # here, because importing it takes longer than most commands need
    x = cp.Variable(G.shape[1])
    margins = G @ x >= 1.0
    program = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(x)), [margins])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an inaccurate answer is a status here
        try:
            program.solve(
                solver=cp.CLARABEL, tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance, max_iter=200
            )
        except cp.error.SolverError:
            return None
    if program.status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE) and _has_farkas_multipliers(G):
        return _no_answer(G, SolveStatus.INFEASIBLE, tolerance)
    if x.value is None or margins.dual_value is None:
        return None
    return _checked_answer(G, x.value, margins.dual_value, program.status == cp.OPTIMAL, tolerance)


def _checked_answer(G: Array, x: Array, lam: Array, optimal: bool, tolerance: float) -> LeastNorm:
    """Scale x to be feasible and λ to its best dual value, and recompute the gap.

    ½‖x‖² - (Σλ - ½‖Gᵀλ‖²) = ½‖x - Gᵀλ‖² + Σ λ_i ((G x)_i - 1), nonnegative terms without
    cancellation; scaled along its ray, λ is best where Σλ = ‖Gᵀλ‖².
    """
    smallest = float((G @ x).min())
    if not smallest > 0.0:
        return _no_answer(G, SolveStatus.INACCURATE, tolerance)
    x = x / smallest
    lam = np.maximum(lam, 0.0)
    square = float(np.sum((G.T @ lam) ** 2))
    lam = lam * (lam.sum() / square) if square > 0.0 else lam
    excess = np.maximum(G @ x - 1.0, 0.0)
    gap = (0.5 * float(np.sum((x - G.T @ lam) ** 2)) + float(lam @ excess)) / (0.5 * float(x @ x))
    solved = optimal and gap <= ACCEPTED_GAP
    status = SolveStatus.SOLVED if solved else SolveStatus.INACCURATE
    # ½‖x‖² is 1-strongly convex and x* minimizes it over a convex set that holds x, so
    # ½‖x - x*‖² <= ½‖x‖² - ½‖x*‖² <= gap · ½‖x‖².
    error = min(float(np.sqrt(gap)), _error_through_support(G, x, lam))
    return LeastNorm(status, x, lam, gap, max(0.0, 1.0 - smallest), tolerance, error)


def _error_through_support(G: Array, x: Array, lam: Array) -> float:
    """Bound on ‖x - x*‖/‖x‖ where the support S of λ is seen to be that of λ*; inf where it is not.

    Let x' = G_Sᵀλ' with G_S G_Sᵀ λ' = 1. With e = x - G_Sᵀλ_S and r = G_S x - 1, the difference
    x - x' is (1 - P) e + G_S⁺ r, P the projection on the rows of G_S, so ‖x - x'‖ <= b = ‖e‖ + ‖r‖/σ_min,
    and ‖λ_S - λ'‖ <= b/σ_min. If λ_S > b/σ_min, then λ' > 0; if (G x)_i - 1 > ‖G_i‖ b off S, then x'
    is feasible. Both together are the KKT conditions, so x' = x*.
    """
    S = lam > 1e-6 * lam.max(initial=0.0)
    rows, rest = G[S], G[~S]
    if not 0 < len(rows) <= G.shape[1]:
        return float("inf")
    sigma = float(np.linalg.svd(rows, compute_uv=False)[-1])
    rounding = 16.0 * len(G) * float(np.finfo(np.float64).eps)
    if sigma <= rounding:
        return float("inf")
    size = float(np.linalg.norm(x))
    bound = float(np.linalg.norm(x - rows.T @ lam[S]) + np.linalg.norm(rows @ x - 1.0) / sigma)
    bound += rounding * size / sigma
    positive = bool(np.all(lam[S] > bound / sigma))
    feasible = bool(np.all(rest @ x - 1.0 > np.linalg.norm(rest, axis=1) * bound))
    return bound / size if positive and feasible else float("inf")


def _no_answer(G: Array, status: SolveStatus, tolerance: float | None) -> LeastNorm:
    inf = float("inf")
    return LeastNorm(status, np.zeros(G.shape[1]), np.zeros(G.shape[0]), inf, inf, tolerance, inf)


def _has_farkas_multipliers(G: Array) -> bool:
    """Whether some λ >= 0, λ ≠ 0, has Gᵀλ = 0 to rounding: then no x has G x >= 1."""
    norms = np.linalg.norm(G, axis=1)
    if np.any(norms == 0.0):
        return True
    unit_rows = G / norms[:, None]
    n = norms.size
    mu, _ = nnls(np.vstack([unit_rows.T, np.ones(n)]), np.append(np.zeros(G.shape[1]), 1.0), maxiter=30 * n + 30)
    return bool(np.linalg.norm(unit_rows.T @ mu) <= FARKAS_TOLERANCE * mu.sum())


def _half_square(answer: LeastNorm) -> float:
    """½‖x‖², inf if there is no x."""
    return 0.5 * float(answer.x @ answer.x) if answer.x.any() else float("inf")


def _row_coefficients(L: Array, V: Array, mass: float) -> Array:
    """α with αᵀL = V/√mass; 0 if the mass is 0."""
    if mass == 0.0:
        return np.zeros(L.shape[0])
    return np.asarray(np.linalg.lstsq(L.T, V / np.sqrt(mass), rcond=None)[0])


def _relative_masses(network: TwoLayerNetwork, data: Dataset) -> tuple[float, float, float]:
    """A₊/A, A₋/A with A = A₊ + A₋, and the unit A · max K_ii in which 1/λ is measured."""
    mass = network.mass_positive + network.mass_negative
    unit = mass * float(np.diagonal(data.gram).max())
    return network.mass_positive / mass, network.mass_negative / mass, unit


def _slopes(network: TwoLayerNetwork, y: Array) -> tuple[Array, Array]:
    """c = (1, γ) and c' = (γ, 1) for y = (+1, -1): the slopes of J₊ and of J₋."""
    return np.where(y > 0.0, 1.0, network.slope), np.where(y > 0.0, network.slope, 1.0)


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
    condition = float(np.linalg.cond(scaled))
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
    L = gram_factor(data.gram)
    smallest = float("inf")
    for row, sign in ((alpha, 1.0), (alpha_prime, -1.0)):
        norm = float(np.linalg.norm(row @ L))
        if norm > 0.0:
            smallest = min(smallest, float((sign * data.y * (data.gram @ row) / (norm * data.norms)).min()))
    return smallest


def _kappa(network: TwoLayerNetwork) -> float:
    masses = (network.mass_positive, network.mass_negative)
    return float(np.sqrt(min(masses) / max(masses)))


def _root_of_ratio(numerator: float, denominator: float) -> float:
    return float(np.sqrt(numerator / denominator)) if denominator > 0.0 else float("inf")


def _occurring_labels(labels: Any) -> set[float]:
    if labels is None:
        return {1.0, -1.0}
    y = as_real_array("labels", labels, 1)
    if y.size == 0 or not np.isin(y, (-1.0, 1.0)).all():
        raise InvalidParameterError("labels", "hold at least one label, each +1 or -1", labels)
    return set(y.tolist())
