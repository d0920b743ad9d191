"""The convex program (C), its closed form, the linear max margin, and the bound between them.

    (C)  min ½(m₁‖v‖² + m₂‖u‖²)
         (m₁ v·x_i - γ m₂ u·x_i)/√m >= 1 where y_i = +1,   (m₂ u·x_i - γ m₁ v·x_i)/√m >= 1 where y_i = -1

(docs/theory.md, sections 3, 6 and 11). For a general second layer m₁/m and m₂/m become the masses
A₊ = Σ_{a_j > 0} a_j² and A₋, and the rows of W are √m |a_j| v on J₊ and √m |a_j| u on J₋.

With L the samples in orthonormal coordinates of their span, K = L Lᵀ, and γ-weights c_i = (1, γ), c'_i = (γ, 1) for
y_i = (+1, -1), the stacked vector x = √m (√A₊ v, -√A₋ u) in these coordinates turns (C) into

    min ½‖x‖²  subject to  G x >= 1,     G = [ y∘c √A₊ L | y∘c' √A₋ L ],     G Gᵀ = M of section 6,

a least-norm program (`verification/least_norm.py`); its objective is ½‖W‖_F². The linear max margin is the same program
with G = diag(y) L.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.datasets import Dataset, as_dataset
from refimpl.errors import InvalidParameterError
from refimpl.network import TwoLayerNetwork, as_network, check_problem
from refimpl.paper import PAPER_CONSTANTS
from refimpl.spectrum import gram_factor, row_norms, sample_factor
from refimpl.validation import Array, as_real_array
from verification.least_norm import LeastNorm, SolveStatus, least_norm

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

CORRECTIONS = 3
"""Rounds of iterative refinement of a vector of the span."""


@dataclass(frozen=True, eq=False)
class _TwoRows:
    """Weights whose rows are √m |a_j| v on J₊ and √m |a_j| u on J₋."""

    v: Array
    u: Array
    v_coefficients: Array
    u_coefficients: Array
    second_layer: Array
    X: Array

    @property
    def coefficients(self) -> Array:
        """C with W = C X, shape (m, n)."""
        a = self.second_layer[:, None]
        rows = np.where(a > 0.0, self.v_coefficients, self.u_coefficients)
        return np.asarray(np.sqrt(a.size) * np.abs(a) * rows)

    def weights(self) -> Array:
        """W, shape (m, d)."""
        a = self.second_layer[:, None]
        return np.asarray(np.sqrt(a.size) * np.abs(a) * np.where(a > 0.0, self.v, self.u))


@dataclass(frozen=True, eq=False)
class MaxMargin(_TwoRows):
    """Solution of (C). If the status is not SOLVED the arrays are 0 and the numbers inf.

    Attributes
    ----------
    v, u : ndarray, shape (d,)
        0 where a_j has no such sign.
    v_coefficients, u_coefficients : ndarray, shape (n,)
        v and u as combinations of the samples, from λ. Where samples nearly depend on each other their
        rounding is amplified in the constraints, that of v and u is not.
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
        Largest violation of a constraint before W was made feasible, as in `LeastNorm`.
    tolerance : float or None
        CVXPY's tolerance, one of `TOLERANCE_LADDER`; None if it gave no answer.
    error_estimate : float
        Bound on ‖W - W*‖_F/‖W‖_F, as in `LeastNorm`, for `weights()` and for `coefficients`.
    solver : str
        CLARABEL; NNLS if it gave no answer and the active-set method stands alone.
    """

    status: SolveStatus
    multipliers: Array
    objective: float
    duality_gap: float
    feasibility: float
    tolerance: float | None
    error_estimate: float
    solver: str


@dataclass(frozen=True, eq=False)
class ClosedForm(_TwoRows):
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
    """z* = argmin ‖z‖ subject to y_i ⟨z, x_i⟩ >= 1. If the status is not SOLVED the arrays are 0, the numbers inf.

    Attributes
    ----------
    status : SolveStatus
        INFEASIBLE if it is proven that no half-space through the origin separates the labels; SOLVED and INACCURATE
        if it is proven that one does.
    z : ndarray, shape (d,)
    coefficients : ndarray, shape (n,)
        z* = Σ_i coefficients_i x_i.
    X : ndarray, shape (n, d)
    norm : float
        ‖z*‖.
    duality_gap, feasibility, tolerance, error_estimate
        As in `MaxMargin`.
    """

    status: SolveStatus
    z: Array
    coefficients: Array
    X: Array
    norm: float
    duality_gap: float
    feasibility: float
    tolerance: float | None
    error_estimate: float
    solver: str

    @property
    def separable(self) -> bool:
        """Whether a separating half-space is proven to exist."""
        return self.status in (SolveStatus.SOLVED, SolveStatus.INACCURATE)


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
    c, c_prime = _slopes(network, data.y)
    space = _Samples.of(data)
    G = max_margin_matrix(network, data, space.L)
    answer = least_norm(G, space.rounding, lambda i: _exact_row(network, data, i))
    lam, root_m = answer.multipliers, np.sqrt(network.m)
    alpha = data.y * c * (a_plus > 0.0) / root_m
    alpha_prime = -data.y * c_prime * (a_minus > 0.0) / root_m

    def margins(rows: Array) -> Array:
        P, Q = rows @ data.X.T
        return np.asarray(root_m * data.y * (c * a_plus * P - c_prime * a_minus * Q) / data.R_max**2)

    rows, error = _vectors(
        G, answer, space.rounding, lambda mu: np.stack([mu * alpha, mu * alpha_prime]) @ data.X, margins
    )
    return MaxMargin(
        v=rows[0] / unit,
        u=rows[1] / unit,
        v_coefficients=lam * alpha / unit,
        u_coefficients=lam * alpha_prime / unit,
        second_layer=network.second_layer,
        X=data.X,
        status=answer.status,
        multipliers=lam / unit,
        objective=answer.half_square / unit,
        duality_gap=answer.duality_gap,
        feasibility=answer.feasibility,
        tolerance=answer.tolerance,
        error_estimate=float(answer.error_estimate + error),
        solver=answer.solver,
    )


def max_margin_matrix(network: TwoLayerNetwork, data: Dataset, L: Array | None = None) -> Array:
    """G with (C) as min ½‖x‖² subject to G x >= 1.

    The slopes of one sample, (c_i √A₊, c'_i √A₋), are one vector for each label. Where these span a line only (one
    label, one sign of a_j, γ = 1), v and u are multiples of each other and x is their part along that line.

    L holds the unit samples in coordinates of their span, shape (n, r). G has shape (n, r) or (n, 2r); the units are
    those in which ‖a‖ = R_max = 1.
    """
    a_plus, a_minus, _ = _relative_masses(network, data)
    L = _Samples.of(data).L if L is None else L
    slopes = np.column_stack(_slopes(network, data.y)) * np.sqrt([a_plus, a_minus])
    longest = slopes[np.argmax(np.sum(slopes**2, axis=1))]
    line = network.slope == 1.0 or 0.0 in (a_plus, a_minus) or np.all(data.y == data.y[0])
    E = (longest / np.linalg.norm(longest))[:, None] if line and longest.any() else np.eye(2)
    rows = (data.y * data.norms / data.R_max)[:, None] * (slopes @ E)
    return np.hstack([row[:, None] * L for row in rows.T])


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
    space = _Samples.of(as_dataset(data))
    G = (data.y * data.norms / data.R_max)[:, None] * space.L
    answer = least_norm(G, space.rounding, lambda i: _exact_sample(data, i))
    scale = data.R_max**2

    def margins(z: Array) -> Array:
        return np.asarray(data.y * (data.X @ z) / scale)

    z, error = _vectors(G, answer, space.rounding, lambda mu: (mu * data.y) @ data.X, margins)
    return LinearMaxMargin(
        status=answer.status,
        z=z / scale,
        coefficients=data.y * answer.multipliers / scale,
        X=data.X,
        norm=float(np.sqrt(2.0 * answer.half_square)) / data.R_max,
        duality_gap=answer.duality_gap,
        feasibility=answer.feasibility,
        tolerance=answer.tolerance,
        error_estimate=float(answer.error_estimate + error),
        solver=answer.solver,
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
    alpha, alpha_prime = alpha / (unit * root_m), alpha_prime / (unit * root_m)
    return ClosedForm(
        v=alpha @ data.X,
        u=alpha_prime @ data.X,
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


@dataclass(frozen=True, eq=False)
class _Samples:
    """The data with L and the rounding of `sample_factor`."""

    data: Dataset
    L: Array
    rounding: float

    @classmethod
    def of(cls, data: Dataset) -> _Samples:
        return cls(data, *sample_factor(data.X, data.gram))


def _vectors(
    G: Array, answer: LeastNorm, rounding: float, combine: Callable[[Array], Array], margins: Callable[[Array], Array]
) -> tuple[Array, float]:
    """The vectors of R^d that x stands for, feasible, and a bound on what rounding adds to their relative error.

    `combine(λ)` sums the samples, `margins` returns G x of such vectors. Nearly dependent samples make λ large, and the
    rounding of the sum shows in the margins: `_corrected` takes it out. Then the vectors are made as much longer as
    brings all margins, less the rounding with which they are known, to 1.
    """
    if not answer.multipliers.any():
        return combine(answer.multipliers), 0.0
    vectors, error = _corrected(G, answer, rounding, combine, margins)
    known = margins(vectors) - rounding * row_norms(G) * float(np.linalg.norm(answer.x))
    factor = max(1.0, 1.0 / float(known.min()))
    return factor * vectors, error + factor - 1.0


def _corrected(
    G: Array, answer: LeastNorm, rounding: float, combine: Callable[[Array], Array], margins: Callable[[Array], Array]
) -> tuple[Array, float]:
    """Vectors whose margins on the support S of λ are those of x, by Δλ = (G_S G_Sᵀ)⁺ (their difference).

    Margins of unit rows that are off by ε move x by ε√|S|/σ at most, σ the least singular value of these rows. Where
    the sum has the margins already, nothing is corrected.
    """
    lam, x, norms = answer.multipliers, answer.x, row_norms(G)
    size, vectors = float(np.linalg.norm(x)), combine(lam)
    residual = (G @ x - margins(vectors)) / norms
    if np.abs(residual).max() <= 2.0 * rounding * size:
        return vectors, 0.0
    S, P, sigma = _well_conditioned(G / norms[:, None], lam * norms)
    keep = sigma > len(S) * rounding * sigma[0]
    for _ in range(CORRECTIONS):
        change = np.zeros_like(lam)
        change[S] = P[:, keep] @ ((P[:, keep].T @ residual[S]) / sigma[keep] ** 2) / norms[S]
        candidate = vectors + combine(change)
        remaining = (G @ x - margins(candidate)) / norms
        if not np.abs(remaining).max() < 0.5 * np.abs(residual).max():
            break
        vectors, residual = candidate, remaining
    off = max(float(np.abs(residual).max()) / size, rounding)
    return vectors, off * float(np.sqrt(S.size)) / float(sigma[keep][-1])


def _well_conditioned(U: Array, mu: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """The support S of μ and U_S = P diag(σ) Qᵀ; without entries of little weight if these make U_S ill-conditioned."""
    best = None
    for S in (np.flatnonzero(mu > 1e-6 * mu.max()), np.flatnonzero(mu)):
        P, sigma, _ = np.linalg.svd(U[S], full_matrices=False)
        if best is None or sigma[-1] > 0.1 * best[2][-1]:
            best = S, P, sigma
    assert best is not None
    return best


def _exact_sample(data: Dataset, i: int) -> list[Fraction]:
    """y_i x_i over the rationals."""
    sign = int(data.y[i])
    return [sign * Fraction(value) for value in data.X[i].tolist()]


def _exact_row(network: TwoLayerNetwork, data: Dataset, i: int) -> list[Fraction]:
    """(c_i y_i x_i, c'_i y_i x_i) for the signs that a_j has: row i of G up to one map of all rows."""
    row, slope = _exact_sample(data, i), Fraction(network.slope)
    c, c_prime = (Fraction(1), slope) if data.y[i] > 0.0 else (slope, Fraction(1))
    parts = ((network.mass_positive, c), (network.mass_negative, c_prime))
    return [factor * value for mass, factor in parts if mass > 0.0 for value in row]


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
