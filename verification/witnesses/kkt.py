"""How far a given W is from a KKT point of (P), each residual scale-free (docs/theory.md, section 12).

A KKT point has w_j = Σ_i λ_i y_i a_j Φ_ji x_i with Φ_ji ∈ ∂φ(z_ji), λ >= 0, q >= 1 and λ_i (q_i - 1) = 0
(section 2). For a given W the multipliers are those that come nearest,

    min ‖W - Σ_i λ_i y_i (a_j Φ_ji)_j x_iᵀ‖_F  over λ >= 0 and Φ_ji ∈ ∂φ(z_ji),

which is convex in λ_i and β_ji = λ_i Φ_ji, γλ_i <= β_ji <= λ_i at a kink. For each sample the pairs
(λ_i, β_·i) form a cone over a cube, and the cone's extreme rays are the corners: every unit at its kink
takes the slope γ or 1. So the problem is nonnegative least squares over rays. The ray of sample i that
decreases the residual ρ = W - Σ... fastest is known at once, slope 1 where a_j y_i ⟨ρ_j, x_i⟩ > 0 and γ
elsewhere; rays are added until none decreases it. The constraints hold exactly at every stage, and no
solver's tolerance enters. Without kinks there is one ray a sample: plain NNLS.

Rays have the form (left of sample i) x_iᵀ, so products with them, and of them with each other, are products of
(m, rays) and (rays, r) matrices, r the rank of X. Memory is O(m n + m r + rays²), the time that of these products.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular
from scipy.optimize import linprog, lsq_linear, nnls

from refimpl.datasets import Dataset
from refimpl.display import Displayed, shown
from refimpl.errors import InvalidParameterError
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.reduction import reduced
from refimpl.spectrum import certainly_independent, rank_of_limit, singular_values, third_ratio
from refimpl.tiles.columns import Columns
from refimpl.validation import Array, BoolArray, IntArray, as_positive

__all__ = ["KKTResiduals", "KKTStatus", "kkt_residuals"]

MAX_ROUNDS = 300
"""Rounds of adding rays; each round adds at most one ray a sample."""

PRICE_TOLERANCE = 1e-13
"""A ray is added if its cosine with the residual, times ‖residual‖/‖W‖, exceeds this."""

TIGHT = 1e-6
"""A sample whose margin exceeds the smallest one by at most this part counts as tight."""

AS_NEAR = 1e-10
"""Two distances from W that differ by at most this part of ‖W‖ count as equal."""

PROGRAM_ENTRIES = 2**22
"""Dependent samples share by a linear program of up to this many numbers; beyond, as the rays come."""

ALL_AT_ONCE = 100
"""From so many rays on, it is looked first whether all of them have a positive coefficient: then least squares do."""

VANISHING = 1e-150
"""Margins and rays below this part of the largest possible are 0: their quotients leave the range of float64."""

SMALLEST_SHARE = 1e-6
"""Rows shorter than this part of ‖W‖ are held to the kink tolerance of a row of that length."""

REFINEMENTS = 2
"""Steps of iterative refinement of the multipliers."""

EXPLICIT_ENTRIES = 2**23
"""Rays are written out as columns up to this many numbers (64 MiB); beyond, their Gram matrix is used."""

ROUNDING = 1e-13
"""Two points whose distance is at most this part of ‖W‖ are the same to rounding."""

FACE, DAMPING = 1e-9, 1e-6
"""Reduced costs, and parts of the largest weight, that count as 0; the pull towards the point of least norm."""

OPTIMALITY_TOLERANCE = 1e-10
"""The multipliers count as optimal if no ray's cosine, times ‖residual‖/‖W‖, exceeds this at the end."""


class KKTStatus(Enum):
    """What could be said about W; the value is a sentence for people."""

    MEASURED = "The residuals were measured."
    INACCURATE = "The multipliers are not optimal: the residuals are upper bounds."
    NOT_SEPARATING = (
        "The smallest margin is not positive, or nothing beside ‖a‖ ‖W‖ ‖x_i‖, so W cannot be scaled to margin 1."
    )


@dataclass(frozen=True, eq=False)
class KKTResiduals(Displayed):
    """Distance of W, scaled to smallest margin 1, from the KKT conditions of (P).

    Attributes
    ----------
    status : KKTStatus
        If NOT_SEPARATING, stationarity, complementarity and gap are inf and the multipliers 0.
    message : str
    stationarity : float
        ‖W - Σ_i λ_i y_i (a_j Φ_ji)_j x_iᵀ‖_F / ‖W‖_F, the part of W outside the span of the data included.
    feasibility : float
        max(0, -min_i q_i/(‖a‖ ‖W‖_F ‖x_i‖)) of W as given, in [0, 1]; 0 once the smallest margin is positive.
    complementarity : float
        Σ λ_i (q_i - 1) / Σ λ_i; 0 if all λ_i are 0, where stationarity is 1.
    duality_gap : float
        Relative gap of the convex program that fixes W's pattern and slopes,
        (½ stationarity² ‖W‖² + Σ λ_i (q_i - 1)) / ½‖W‖².
    multipliers : ndarray, shape (n,)
        λ, for the scaled W.
    slopes : ndarray, shape (m, n)
        Φ_ji = β_ji/λ_i, within [γ, 1] at a kink.
    rank : int
        Singular values of W above 1e-8 of the largest.
    singular_value_ratio : float
        σ₃/σ₁; 0 if W has fewer than three singular values.
    smallest_margin : float
        min_i q_i of W as given.
    units_at_kink : int
        Units at their kink, to the tolerance; none if γ = 1, which has no kink.
    pattern : ndarray of int8, shape (m, n)
        +1 or -1: the side of the kink; 0: at the kink.
    """

    status: KKTStatus
    message: str
    stationarity: float
    feasibility: float
    complementarity: float
    duality_gap: float
    multipliers: Array
    slopes: Array
    rank: int
    singular_value_ratio: float
    smallest_margin: float
    units_at_kink: int
    pattern: IntArray

    def __repr__(self) -> str:
        """One line."""
        m, n = self.pattern.shape
        return (
            f"<KKTResiduals {self.status.name}: m = {m}, n = {n}; stationarity {self.stationarity:.1e}, feasibility "
            f"{self.feasibility:.1e}, complementarity {self.complementarity:.1e}, gap {self.duality_gap:.1e}, "
            f"rank {self.rank}>"
        )

    def facts(self) -> list[tuple[str, str]]:
        """Residuals, rank and margins."""
        return [
            ("status", self.status.name),
            ("stationarity", shown(self.stationarity)),
            ("feasibility", shown(self.feasibility)),
            ("complementarity", shown(self.complementarity)),
            ("duality gap", shown(self.duality_gap)),
            ("rank", str(self.rank)),
            ("smallest margin", shown(self.smallest_margin)),
            ("units at their kink", str(self.units_at_kink)),
            ("support vectors", str(int(np.sum(self.multipliers > 0.0)))),
        ]

    @property
    def distance_bound(self) -> float:
        """Bound on ‖W - W_opt‖/‖W‖, W_opt the optimum of the program with W's pattern: √gap."""
        return float(np.sqrt(self.duality_gap))


def kkt_residuals(network: TwoLayerNetwork, data: Dataset, W: Any, tolerance: float = 1e-9) -> KKTResiduals:
    """Residuals of the KKT conditions of (P) at W, of any scale and whether or not in the span of the data.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset
    W : array_like, shape (m, d)
    tolerance : float > 0
        A unit is at its kink if |z_ji| <= tolerance ‖x_i‖ max(‖w_j‖, |a_j| ‖W‖_F/‖a‖, 1e-6 ‖W‖_F): a row that is
        0 to rounding beside W has no side.

    Returns
    -------
    KKTResiduals

    Raises
    ------
    InvalidParameterError, ShapeError
        If the activation is not a `LeakyReLU`, W has the wrong shape or is not finite, or
        `tolerance` is not in (0, 1).

    References
    ----------
    docs/theory.md, sections 2 and 12.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 0, LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.0], [0.0, 1.0]], [1, -1])
    >>> at_kkt = kkt_residuals(network, data, [[1.0, -2.0]])
    >>> at_kkt.multipliers, round(at_kkt.stationarity, 12), at_kkt.rank
    (array([1., 4.]), 0.0, 1)
    >>> round(kkt_residuals(network, data, [[1.0, -4.0]]).duality_gap, 3)    # q = (1, 2)
    0.941
    """
    check_problem(network, data, "kkt_residuals")
    tolerance = as_positive("tolerance", tolerance)
    if tolerance >= 1.0:
        raise InvalidParameterError("tolerance", "lie in (0, 1)", tolerance)
    if data.in_tiles:
        small = reduced(data, [W], network.m, "W")
        data, W = small.data, small.weights[0]
    elif isinstance(W, Columns):
        W = W.array()
    Z = network.preactivations(W, data.X)
    W, Z, exponent = _near_one(np.asarray(W, dtype=np.float64), Z)
    norm = float(np.linalg.norm(W))
    q = data.y * network.outputs(Z)
    pattern = _pattern(network, data, W, Z, tolerance)
    largest = float(np.linalg.norm(network.second_layer)) * norm * np.linalg.norm(data.X, axis=1)
    if not np.all(q > VANISHING * largest.max()):
        return _not_separating(network, W, q, largest, pattern, exponent)
    Q, R = np.linalg.qr(data.X.T)  # X = Rᵀ Qᵀ: from here on in coordinates of the span
    W_in = W @ Q
    outside = float(np.linalg.norm(W - W_in @ Q.T)) / norm
    margin = float(q.min())
    excess = q / margin - 1.0
    fit = _best_fit(_Rays(network, data, R.T, pattern), W_in / norm, excess)
    sigma = singular_values(W_in if outside <= 1e-13 else W)  # Weyl: each differs by `outside` at most
    stationarity = float(np.hypot(fit.residual, outside))
    penalty, total = float(fit.multipliers @ excess), float(fit.multipliers.sum())
    status = KKTStatus.MEASURED if fit.optimal else KKTStatus.INACCURATE
    return KKTResiduals(
        status=status,
        message=status.value,
        stationarity=stationarity,
        feasibility=0.0,
        complementarity=penalty / total if total > 0.0 else 0.0,
        duality_gap=stationarity**2 + 2.0 * penalty * (margin / norm),  # (12.1)
        multipliers=fit.multipliers * (norm / margin),
        slopes=fit.slopes,
        rank=rank_of_limit(sigma),
        singular_value_ratio=third_ratio(sigma),
        smallest_margin=float(np.ldexp(margin, exponent)),
        units_at_kink=int(np.sum(pattern == 0)),
        pattern=pattern,
    )


def _near_one(W: Array, Z: Array) -> tuple[Array, Array, int]:
    """W and Z times 2^-e, exactly, with the largest entry of W in [1/2, 1), so that no square over- or underflows."""
    exponent = int(np.frexp(np.abs(W).max())[1])
    return np.ldexp(W, -exponent), np.ldexp(Z, -exponent), exponent


def _pattern(network: TwoLayerNetwork, data: Dataset, W: Array, Z: Array, tolerance: float) -> IntArray:
    """Sides of the kink; 0 at the kink, to the tolerance (never for γ = 1).

    Rounding of W moves z_ji by a part of ‖W‖ ‖x_i‖, however short w_j is. |a_j|/‖a‖ is the part of ‖W‖ that row j
    has where no unit holds another back; a row far shorter than that, and than ‖W‖, is 0 to rounding.
    """
    pattern = np.where(Z >= 0.0, 1, -1).astype(np.int8)
    if network.slope < 1.0:
        shares = np.abs(network.second_layer) / np.linalg.norm(network.second_layer)
        sizes = np.maximum(np.linalg.norm(W, axis=1), np.maximum(shares, SMALLEST_SHARE) * np.linalg.norm(W))
        pattern[np.abs(Z) <= tolerance * sizes[:, None] * np.linalg.norm(data.X, axis=1)] = 0
    return pattern


@dataclass(frozen=True, eq=False)
class _Rays:
    """Rays Σ_j e_j (y_i a_j Φ_ji x_i)ᵀ of the samples, with slopes Φ from a pattern; X in span coordinates."""

    network: TwoLayerNetwork
    data: Dataset
    X: Array
    pattern: IntArray

    @property
    def at_kink(self) -> BoolArray:
        """Shape (m, n)."""
        return np.asarray(self.pattern == 0)

    @property
    def fixed_slopes(self) -> Array:
        """Φ with 1 at the kinks, shape (m, n)."""
        return np.where(self.pattern >= 0, 1.0, self.network.slope)

    def steepest(self, residual: Array) -> tuple[Array, Array]:
        """Slopes of each sample's ray that decreases the residual fastest, and its cosine with it."""
        signed = self.network.second_layer[:, None] * self.data.y
        products = signed * (residual @ self.X.T)  # a_j y_i ⟨ρ_j, x_i⟩
        slopes = np.where(self.at_kink & (products <= 0.0), self.network.slope, self.fixed_slopes)
        lengths = np.linalg.norm(self.X, axis=1) * np.linalg.norm(self.network.second_layer[:, None] * slopes, axis=0)
        gains = np.sum(products * slopes, axis=0)
        return slopes, np.divide(gains, lengths, out=np.zeros_like(gains), where=lengths > 0.0)

    def combination(self, fit: _Fit) -> Array:
        """Σ_i λ_i H_i(Φ), shape (m, r)."""
        return np.asarray((self.network.second_layer[:, None] * fit.slopes * self.data.y * fit.multipliers) @ self.X)

    def columns(self, samples: NDArray[np.intp], slopes: Array) -> _RayColumns:
        """These rays, scaled to length 1; `slopes` has shape (m, number of rays)."""
        left, right = self.network.second_layer[:, None] * slopes * self.data.y[samples], self.X[samples]
        lengths = np.linalg.norm(left, axis=0) * np.linalg.norm(right, axis=1)
        left = np.where(lengths > VANISHING * lengths.max(initial=0.0), left, 0.0)
        lengths = np.where(left.any(axis=0), lengths, 1.0)
        return _RayColumns(left / lengths, right, lengths)


@dataclass(frozen=True, eq=False)
class _RayColumns:
    """Matrices left_k right_kᵀ of length 1, k = 1, ..., N, as the columns of A: R^N -> R^(m x r)."""

    left: Array  # (m, N)
    right: Array  # (N, r)
    lengths: Array  # (N,), before scaling

    def times(self, x: Array) -> Array:
        """A x, shape (m, r)."""
        return np.asarray((self.left * x) @ self.right)

    def products(self, residual: Array) -> Array:
        """Aᵀ ρ, shape (N,)."""
        return np.asarray(np.sum(self.left * (residual @ self.right.T), axis=0))

    def reduced(self, W: Array) -> tuple[Array, Array]:
        """T and t with ‖T x - t‖² = ‖A x - W‖² + const: by QR of A, or from AᵀA where A is too large."""
        if W.size * self.lengths.size <= EXPLICIT_ENTRIES:
            A = np.einsum("jk,kr->jrk", self.left, self.right).reshape(-1, self.lengths.size)
            if A.shape[0] <= A.shape[1]:
                return A, W.ravel()
            Q, triangle = np.linalg.qr(A)
            return triangle, Q.T @ W.ravel()
        squares, vectors = np.linalg.eigh((self.left.T @ self.left) * (self.right @ self.right.T))
        large = squares > squares.size * np.finfo(np.float64).eps * squares[-1]
        roots, vectors = np.sqrt(squares[large]), vectors[:, large]
        return (vectors * roots).T, (vectors.T @ self.products(W)) / roots


@dataclass(frozen=True, eq=False)
class _Fit:
    multipliers: Array
    slopes: Array
    residual: float
    optimal: bool


def _best_fit(rays: _Rays, W: Array, excess: Array) -> _Fit:
    """The nearest multipliers; of those that are as near, ones on tight samples, then of least penalty and norm.

    Where samples are dependent the nearest λ is not unique, and one on samples with slack margins
    says nothing about W. So a fit to the tight samples alone is taken if it is as near, to rounding.
    """
    fit = _nearest_multipliers(rays, W, np.ones(excess.size, dtype=bool))
    tight = excess <= TIGHT
    if not tight.all() and float(fit.multipliers @ excess) > 1e-14 * float(fit.multipliers.sum()):
        other = _nearest_multipliers(rays, W, tight)
        fit = other if other.residual <= fit.residual + AS_NEAR else fit
    return _least_penalty(rays, W, excess, fit)


def _least_penalty(rays: _Rays, W: Array, excess: Array, fit: _Fit) -> _Fit:
    """Of all λ and Φ with the same Σ_i λ_i H_i, those of least Σλ_i (q_i - 1), and of these the ones of least norm.

    They differ only where samples are dependent. A linear program in x_i = λ_i, u_ji = λ_i (Φ_ji - γ) and
    v_ji = λ_i (1 - Φ_ji) at kinks, all >= 0, finds the penalty; least squares on the columns of reduced cost 0 the
    point of its face. What comes out does not depend on the order of samples. `fit` is kept where the program is
    too large to be written out or its answer is not as near.
    """
    nearest = rays.combination(fit)
    samples = np.flatnonzero(rays.steepest(W - nearest)[1] >= -AS_NEAR)  # the others have λ_i = 0
    X, kinks = rays.X[samples], np.argwhere(rays.at_kink[:, samples])
    size = samples.size + 2 * len(kinks)
    if (
        certainly_independent(X)
        or np.linalg.matrix_rank(X) == samples.size
        or (W.size + len(kinks)) * size > PROGRAM_ENTRIES
    ):
        return fit
    slopes = np.where(rays.at_kink, rays.network.slope, rays.fixed_slopes)[:, samples]
    columns = rays.columns(samples, slopes)
    E = np.zeros((W.size + len(kinks), size))
    E[: W.size, : samples.size] = np.einsum("jk,kr->jrk", columns.left, columns.right).reshape(W.size, -1)
    for place, (j, k) in enumerate(kinks):
        u, v, row = samples.size + place, samples.size + len(kinks) + place, W.size + place
        r = X.shape[1]
        E[j * r : (j + 1) * r, u] = rays.network.second_layer[j] * rays.data.y[samples[k]] * X[k] / columns.lengths[k]
        E[row, [k, u, v]] = rays.network.slope - 1.0, 1.0, 1.0
    f, cost = np.append(nearest.ravel(), np.zeros(len(kinks))), np.zeros(size)
    cost[: samples.size] = excess[samples] / columns.lengths
    x = _least_cost_point(E, f, cost / cost.max(initial=1e-300))
    if x is None:
        return fit
    weights, raised = x[: samples.size], slopes * x[: samples.size]
    np.add.at(raised, (kinks[:, 0], kinks[:, 1]), x[samples.size : samples.size + len(kinks)])
    lam, Phi = np.zeros(rays.data.n), rays.fixed_slopes
    lam[samples] = weights / columns.lengths
    Phi[:, samples] = np.where(weights > 0.0, raised / np.where(weights > 0.0, weights, 1.0), Phi[:, samples])
    found = _Fit(lam, np.clip(Phi, rays.network.slope, 1.0), 0.0, fit.optimal)
    residual = float(np.linalg.norm(W - rays.combination(found)))
    return replace(found, residual=residual) if residual <= fit.residual + ROUNDING else fit


def _least_cost_point(E: Array, f: Array, cost: Array) -> Array | None:
    """The x of least norm that minimizes cost · x over E x = f, x >= 0; None if none is found to rounding."""
    if E.shape[0] > E.shape[1]:
        Q, E = np.linalg.qr(E)
        f = Q.T @ f
    solved = linprog(cost, A_eq=E, b_eq=f, bounds=(0.0, None), method="highs")
    if solved.status != 0:
        return None
    face = np.flatnonzero(solved.lower.marginals <= FACE)
    x = np.zeros(cost.size)
    damped = np.vstack([E[:, face], DAMPING * np.eye(face.size)])
    near, _ = nnls(damped, np.append(f, np.zeros(face.size)), maxiter=100 * face.size + 100)
    support = face[near > FACE * near.max(initial=0.0)]
    x[support] = np.linalg.lstsq(E[:, support], f, rcond=None)[0]
    exact = float(np.linalg.norm(E @ x - f)) <= ROUNDING
    return x if exact and x.min(initial=0.0) >= 0.0 else None


def _nearest_multipliers(rays: _Rays, W: Array, allowed: BoolArray) -> _Fit:
    """λ and Φ that bring Σ_i λ_i y_i (a_j Φ_ji)_j x_iᵀ nearest to W (norm 1), by adding rays.

    `weights` holds the coefficient of each ray; λ_i is the sum over sample i's rays and Φ_ji their
    weighted mean. Rays of weight 0 are dropped between rounds, except the only ray of a sample without a
    unit at its kink, which may be needed again; rounds end where no ray decreases the residual, or the
    decrease is rounding.
    """
    samples, has_kink = np.flatnonzero(allowed), np.asarray(rays.at_kink.any(axis=0))
    slopes = rays.steepest(W)[0][:, samples]
    last = np.inf
    for rounds in range(1, MAX_ROUNDS + 1):
        columns = rays.columns(samples, slopes)
        x = _nnls(columns, W)
        residual, weights = W - columns.times(x), x / columns.lengths
        size = float(np.linalg.norm(residual))
        steepest, gains = rays.steepest(residual)
        new = np.flatnonzero((gains > PRICE_TOLERANCE) & has_kink & allowed)
        if new.size == 0 or size > last * (1.0 - 1e-12) or rounds == MAX_ROUNDS:
            break
        last, kept = size, (weights > 0.0) | ~has_kink[samples]
        samples, slopes = np.append(samples[kept], new), np.hstack([slopes[:, kept], steepest[:, new]])
    lam, Phi = _multipliers_and_slopes(rays, samples, slopes, weights)
    return _Fit(lam, Phi, size, bool(gains[allowed].max(initial=0.0) <= OPTIMALITY_TOLERANCE))


def _multipliers_and_slopes(
    rays: _Rays, samples: NDArray[np.intp], slopes: Array, weights: Array
) -> tuple[Array, Array]:
    """λ_i = Σ weights of sample i's rays, and Φ_·i their weighted mean."""
    lam: Array = np.bincount(samples, weights, minlength=rays.data.n).astype(np.float64)
    Phi = rays.fixed_slopes
    for i in np.flatnonzero(lam > 0.0):
        own = samples == i
        Phi[:, i] = slopes[:, own] @ weights[own] / lam[i]
    return lam, Phi


def _nnls(columns: _RayColumns, W: Array) -> Array:
    """argmin ‖A x - W‖ over x >= 0."""
    T, t = columns.reduced(W)
    if ALL_AT_ONCE <= T.shape[1] == T.shape[0]:
        with suppress(np.linalg.LinAlgError):
            x = np.asarray(np.linalg.solve(T, t), dtype=np.float64)
            if x.min() > 0.0:
                return _refined(columns, T, W, x)
    try:
        x, _ = nnls(T, t, maxiter=100 * T.shape[1] + 100)
    except RuntimeError:  # it cycled; the caller checks optimality itself
        x = lsq_linear(T, t, bounds=(0.0, np.inf)).x
    return _refined(columns, T, W, x)


def _refined(columns: _RayColumns, T: Array, W: Array, x: Array) -> Array:
    """x, refined on its support while that keeps it nonnegative and brings A x no farther from W.

    The residual is formed from the columns themselves, so that what T has lost to rounding comes back.
    """
    S, residual = x > 0.0, W - columns.times(x)
    R, order = qr(T[:, S], mode="r", pivoting=True)
    diagonal = np.abs(np.diagonal(R))
    rank = int(np.sum(diagonal > R.shape[1] * np.finfo(np.float64).eps * diagonal.max(initial=0.0)))
    R, places = R[:rank, :rank], np.flatnonzero(S)[order[:rank]]
    for _ in range(REFINEMENTS):
        products = columns.products(residual)[places]
        better = x.copy()
        better[places] += solve_triangular(R, solve_triangular(R, products, trans="T"))
        rest = W - columns.times(better)
        if better.min(initial=0.0) < 0.0 or np.linalg.norm(rest) > np.linalg.norm(residual):
            break
        x, residual = better, rest
    return x


def _not_separating(
    network: TwoLayerNetwork, W: Array, q: Array, largest: Array, pattern: IntArray, exponent: int
) -> KKTResiduals:
    inf, smallest = float("inf"), float(np.ldexp(q.min(), exponent))
    relative = np.divide(q, largest, out=np.zeros_like(q), where=largest > 0.0)
    sigma = singular_values(W)
    place = int(np.argmin(q))
    return KKTResiduals(
        status=KKTStatus.NOT_SEPARATING,
        message=f"{KKTStatus.NOT_SEPARATING.value} The margin of sample {place} is {smallest:.6g}.",
        stationarity=inf,
        feasibility=max(0.0, -float(relative.min())),
        complementarity=inf,
        duality_gap=inf,
        multipliers=np.zeros(q.size),
        slopes=np.where(pattern >= 0, 1.0, network.slope),
        rank=rank_of_limit(sigma),
        singular_value_ratio=third_ratio(sigma),
        smallest_margin=smallest,
        units_at_kink=int(np.sum(pattern == 0)),
        pattern=pattern,
    )
