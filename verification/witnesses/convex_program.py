"""The convex program (C) and the linear max margin.

    (C)  min ½(m₁‖v‖² + m₂‖u‖²)
         (m₁ v·x_i - γ m₂ u·x_i)/√m >= 1 where y_i = +1,   (m₂ u·x_i - γ m₁ v·x_i)/√m >= 1 where y_i = -1

(docs/theory.md, section 3). For a general second layer m₁/m and m₂/m become the masses
A₊ = Σ_{a_j > 0} a_j² and A₋, and the rows of W are √m |a_j| v on J₊ and √m |a_j| u on J₋.

With L the samples in orthonormal coordinates of their span, K = L Lᵀ, and γ-weights c_i = (1, γ), c'_i = (γ, 1) for
y_i = (+1, -1), the stacked vector x = √m (√A₊ v, -√A₋ u) in these coordinates turns (C) into

    min ½‖x‖²  subject to  G x >= 1,     G = [ y∘c √A₊ L | y∘c' √A₋ L ],     G Gᵀ = M of section 6,

a least-norm program (`least_norm.py`); its objective is ½‖W‖_F². The linear max margin is the same program with
G = diag(y) L.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from refimpl.datasets import Dataset, as_dataset
from refimpl.display import Displayed, shown
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.reduction import combine, reduced
from refimpl.spectrum import row_norms
from refimpl.validation import Array
from verification.witnesses.least_norm import LARGEST_ERROR, LeastNorm, SolveStatus, least_norm
from verification.witnesses.two_rows import TwoRows, relative_masses, slopes_by_sign

__all__ = [
    "LeastNorm",
    "LinearMaxMargin",
    "MaxMargin",
    "SolveStatus",
    "least_norm",
    "linear_max_margin",
    "max_margin",
]

CORRECTIONS = 3
"""Rounds of iterative refinement of a vector of the span."""


@dataclass(frozen=True, eq=False)
class MaxMargin(TwoRows, Displayed):
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
        CVXPY's tolerance, one of `TOLERANCE_LADDER`; None if it gave no answer, or was not asked (large programs).
    error_estimate : float
        Bound on ‖W - W*‖_F/‖W‖_F, as in `LeastNorm`, for `weights()` and for `coefficients`; at most 1e-3 if SOLVED.
    solver : str
        CLARABEL; NNLS if the active-set method stands alone.
    """

    status: SolveStatus
    multipliers: Array
    objective: float
    duality_gap: float
    feasibility: float
    tolerance: float | None
    error_estimate: float
    solver: str

    def __repr__(self) -> str:
        """One line."""
        support = int(np.sum(self.multipliers > 0.0))
        return (
            f"<MaxMargin {self.status.name}: m = {self.second_layer.size}, n = {len(self.X)}, d = {self.X.shape[1]}; "
            f"objective {self.objective:.6g}, {support} support vectors, duality gap {self.duality_gap:.1e}>"
        )

    def facts(self) -> list[tuple[str, str]]:
        """Objective, support, and how exact they are."""
        return [
            ("status", self.status.name),
            ("objective ½‖W‖²", f"{self.objective:.9g}"),
            ("support vectors", str(int(np.sum(self.multipliers > 0.0)))),
            ("relative duality gap", shown(self.duality_gap)),
            ("error estimate", shown(self.error_estimate)),
            ("solver", self.solver),
        ]


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

    def __repr__(self) -> str:
        """One line."""
        return (
            f"<LinearMaxMargin {self.status.name}: n = {len(self.X)}, d = {self.X.shape[1]}; ‖z*‖ = {self.norm:.6g}, "
            f"duality gap {self.duality_gap:.1e}>"
        )

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
        Of samples in tiles one pass over X is made for v and u.

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
    if data.in_tiles:
        small = reduced(data)
        found = max_margin(network, small.data)
        v, u = combine(small, np.stack([found.v, found.u]), data.X)
        return replace(found, v=v, u=u, X=data.X)
    a_plus, a_minus, unit = relative_masses(network, data)
    c, c_prime = slopes_by_sign(network, data.y)
    space = _Samples.of(data)
    G = max_margin_matrix(network, data, space.L)
    answer = least_norm(G, space.rounding, lambda i: _exact_row(network, data, i), data.exact)
    root_m = np.sqrt(network.m)
    alpha = data.y * c * (a_plus > 0.0) / root_m
    alpha_prime = -data.y * c_prime * (a_minus > 0.0) / root_m

    def margins(rows: Array) -> Array:
        P, Q = rows @ data.X.T
        return np.asarray(root_m * data.y * (c * a_plus * P - c_prime * a_minus * Q) / data.R_max**2)

    answer, rows = _with_vectors(
        G, answer, space.rounding, lambda mu: np.stack([mu * alpha, mu * alpha_prime]) @ data.X, margins
    )
    lam = answer.multipliers
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
        error_estimate=answer.error_estimate,
        solver=answer.solver,
    )


def max_margin_matrix(network: TwoLayerNetwork, data: Dataset, L: Array | None = None) -> Array:
    """G with (C) as min ½‖x‖² subject to G x >= 1.

    The slopes of one sample, (c_i √A₊, c'_i √A₋), are one vector for each label. Where these span a line only (one
    label, one sign of a_j, γ = 1), v and u are multiples of each other and x is their part along that line.

    L holds the unit samples in coordinates of their span, shape (n, r). G has shape (n, r) or (n, 2r); the units are
    those in which ‖a‖ = R_max = 1.
    """
    a_plus, a_minus, _ = relative_masses(network, data)
    L = _Samples.of(data).L if L is None else L
    slopes = np.column_stack(slopes_by_sign(network, data.y)) * np.sqrt([a_plus, a_minus])
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
        Of samples in tiles one pass over X is made for z.

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
    if as_dataset(data).in_tiles:
        small = reduced(data)
        found = linear_max_margin(small.data)
        return replace(found, z=combine(small, found.z[None], data.X)[0], X=data.X)
    space = _Samples.of(data)
    G = (data.y * data.norms / data.R_max)[:, None] * space.L
    answer = least_norm(G, space.rounding, lambda i: _exact_sample(data, i), data.exact)
    scale = data.R_max**2

    def margins(z: Array) -> Array:
        return np.asarray(data.y * (data.X @ z) / scale)

    answer, z = _with_vectors(G, answer, space.rounding, lambda mu: (mu * data.y) @ data.X, margins)
    return LinearMaxMargin(
        status=answer.status,
        z=z / scale,
        coefficients=data.y * answer.multipliers / scale,
        X=data.X,
        norm=float(np.sqrt(2.0 * answer.half_square)) / data.R_max,
        duality_gap=answer.duality_gap,
        feasibility=answer.feasibility,
        tolerance=answer.tolerance,
        error_estimate=answer.error_estimate,
        solver=answer.solver,
    )


@dataclass(frozen=True, eq=False)
class _Samples:
    """The data with L and the rounding of `sample_factor`."""

    data: Dataset
    L: Array
    rounding: float

    @classmethod
    def of(cls, data: Dataset) -> _Samples:
        return cls(data, *data.sample_factor)


def _with_vectors(
    G: Array, answer: LeastNorm, rounding: float, combine: Callable[[Array], Array], margins: Callable[[Array], Array]
) -> tuple[LeastNorm, Array]:
    """The answer for the vectors of R^d that x stands for, and these, feasible.

    `combine(λ)` sums the samples, `margins` returns G x of such vectors. Nearly dependent samples make λ large, and the
    rounding of the sum shows in the margins: `_corrected` takes it out. Then the vectors are made as much longer as
    brings all margins, less the rounding with which they are known, to 1. What that adds to the error counts: where
    the sum is above `LARGEST_ERROR`, or no length makes the vectors feasible, the answer is INACCURATE.
    """
    if answer.status is not SolveStatus.SOLVED:
        return answer, combine(answer.multipliers)
    vectors, error = _corrected(G, answer, rounding, combine, margins)
    known = float((margins(vectors) - rounding * row_norms(G) * float(np.linalg.norm(answer.x))).min())
    factor = max(1.0, 1.0 / known) if known > 0.0 else float("inf")
    error = float(answer.error_estimate + error + factor - 1.0)
    if not error <= LARGEST_ERROR:
        answer = answer.without_arrays(SolveStatus.INACCURATE)
        return answer, combine(answer.multipliers)
    return replace(answer, error_estimate=error), factor * vectors


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
