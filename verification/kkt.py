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
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear, nnls

from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError
from refimpl.flow.result import RANK_TOLERANCE
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.spectrum import singular_values
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

OPTIMALITY_TOLERANCE = 1e-10
"""The multipliers count as optimal if no ray's cosine, times ‖residual‖/‖W‖, exceeds this at the end."""


class KKTStatus(Enum):
    """What could be said about W; the value is a sentence for people."""

    MEASURED = "The residuals were measured."
    INACCURATE = "The multipliers are not optimal: the residuals are upper bounds."
    NOT_SEPARATING = "The smallest margin is not positive, so W cannot be scaled to margin 1."


@dataclass(frozen=True, eq=False)
class KKTResiduals:
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
        Σ λ_i (q_i - 1) / Σ λ_i.
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
        Units with |z_ji| <= tolerance ‖w_j‖ ‖x_i‖; none if γ = 1, which has no kink.
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
        A unit is at its kink if |z_ji| <= tolerance ‖w_j‖ ‖x_i‖.

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
    Z = network.preactivations(W, data.X)
    W, Z, exponent = _near_one(np.asarray(W, dtype=np.float64), Z)
    norm = float(np.linalg.norm(W))
    q = data.y * network.outputs(Z)
    pattern = _pattern(network, data, W, Z, tolerance)
    if not q.min() > 0.0:
        return _not_separating(network, data, W, norm, q, pattern, exponent)
    Q, R = np.linalg.qr(data.X.T)  # X = Rᵀ Qᵀ: from here on in coordinates of the span
    W_in = W @ Q
    outside = float(np.linalg.norm(W - W_in @ Q.T)) / norm
    margin = float(q.min())
    excess = q / margin - 1.0
    fit = _best_fit(_Rays(network, data, R.T, pattern), W_in / norm, excess)
    sigma = singular_values(W_in if outside <= 1e-13 else W)  # Weyl: each differs by `outside` at most
    stationarity = float(np.hypot(fit.residual, outside))
    lam = fit.multipliers * (norm / margin)
    penalty = float(lam @ excess)
    status = KKTStatus.MEASURED if fit.optimal else KKTStatus.INACCURATE
    return KKTResiduals(
        status=status,
        message=status.value,
        stationarity=stationarity,
        feasibility=0.0,
        complementarity=penalty / float(lam.sum()),
        duality_gap=stationarity**2 + penalty / (0.5 * (norm / margin) ** 2),
        multipliers=lam,
        slopes=fit.slopes,
        rank=int(np.sum(sigma > RANK_TOLERANCE * sigma[0])),
        singular_value_ratio=_third_ratio(sigma),
        smallest_margin=float(np.ldexp(margin, exponent)),
        units_at_kink=int(np.sum(pattern == 0)),
        pattern=pattern,
    )


def _near_one(W: Array, Z: Array) -> tuple[Array, Array, int]:
    """W and Z times 2^-e, exactly, with the largest entry of W in [1/2, 1), so that no square over- or underflows."""
    exponent = int(np.frexp(np.abs(W).max())[1])
    return np.ldexp(W, -exponent), np.ldexp(Z, -exponent), exponent


def _pattern(network: TwoLayerNetwork, data: Dataset, W: Array, Z: Array, tolerance: float) -> IntArray:
    """Sides of the kink; 0 where |z_ji| <= tolerance ‖w_j‖ ‖x_i‖ (never for γ = 1)."""
    pattern = np.where(Z >= 0.0, 1, -1).astype(np.int8)
    if network.slope < 1.0:
        reach = np.linalg.norm(W, axis=1)[:, None] * np.linalg.norm(data.X, axis=1)
        pattern[np.abs(Z) <= tolerance * reach] = 0
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

    def matrix(self, samples: NDArray[np.intp], slopes: Array) -> Array:
        """Rays as columns, shape (m·r, number of rays); `slopes` has shape (m, number of rays)."""
        left = self.network.second_layer[:, None] * slopes * self.data.y[samples]
        return np.einsum("jk,kr->jrk", left, self.X[samples]).reshape(-1, samples.size)


@dataclass(frozen=True, eq=False)
class _Fit:
    multipliers: Array
    slopes: Array
    residual: float
    optimal: bool


def _best_fit(rays: _Rays, W: Array, excess: Array) -> _Fit:
    """The nearest multipliers; of those that are as near, ones on tight samples.

    Where samples are dependent the nearest λ is not unique, and one on samples with slack margins
    says nothing about W. So a fit to the tight samples alone is taken if it is as near, to rounding.
    """
    fit = _nearest_multipliers(rays, W, np.ones(excess.size, dtype=bool))
    tight = excess <= TIGHT
    if tight.all() or float(fit.multipliers @ excess) <= 1e-14 * float(fit.multipliers.sum()):
        return fit
    other = _nearest_multipliers(rays, W, tight)
    return other if other.residual <= fit.residual + AS_NEAR else fit


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
    for _ in range(MAX_ROUNDS):
        A = rays.matrix(samples, slopes)
        weights = _nnls(A, W.ravel())
        residual = W - (A @ weights).reshape(W.shape)
        size = float(np.linalg.norm(residual))
        steepest, gains = rays.steepest(residual)
        new = np.flatnonzero((gains > PRICE_TOLERANCE) & has_kink & allowed)
        if new.size == 0 or size > last * (1.0 - 1e-12):
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


def _nnls(A: Array, b: Array) -> Array:
    """argmin ‖A x - b‖ over x >= 0, with columns scaled to length 1 and A reduced to a triangle first."""
    lengths = np.linalg.norm(A, axis=0)
    lengths = np.where(lengths > 0.0, lengths, 1.0)
    triangle, target = A / lengths, b
    if A.shape[0] > A.shape[1]:
        Q, triangle = np.linalg.qr(triangle)
        target = Q.T @ b
    count = A.shape[1]
    try:
        x, _ = nnls(triangle, target, maxiter=100 * count + 100)
    except RuntimeError:  # it cycled; the caller checks optimality itself
        x = lsq_linear(triangle, target, bounds=(0.0, np.inf)).x
    return _refined(triangle, target, x) / lengths


def _refined(A: Array, b: Array, x: Array) -> Array:
    """x solved again by least squares on its support, if that keeps it nonnegative."""
    S = x > 0.0
    solved = np.zeros_like(x)
    solved[S] = np.linalg.lstsq(A[:, S], b, rcond=None)[0]
    better = np.linalg.norm(A @ solved - b) <= np.linalg.norm(A @ x - b)
    return solved if solved.min() >= 0.0 and better else x


def _third_ratio(sigma: Array) -> float:
    return float(sigma[2] / sigma[0]) if sigma.size > 2 and sigma[0] > 0.0 else 0.0


def _not_separating(
    network: TwoLayerNetwork, data: Dataset, W: Array, norm: float, q: Array, pattern: IntArray, exponent: int
) -> KKTResiduals:
    inf, smallest = float("inf"), float(np.ldexp(q.min(), exponent))
    largest_output = float(np.linalg.norm(network.second_layer)) * norm * np.linalg.norm(data.X, axis=1)
    relative = np.divide(q, largest_output, out=np.zeros_like(q), where=largest_output > 0.0)
    sigma = singular_values(W)
    place = int(np.argmin(q))
    return KKTResiduals(
        status=KKTStatus.NOT_SEPARATING,
        message=f"{KKTStatus.NOT_SEPARATING.value} The margin of sample {place} is {smallest:.6g}.",
        stationarity=inf,
        feasibility=max(0.0, -float(relative.min())),
        complementarity=inf,
        duality_gap=inf,
        multipliers=np.zeros(data.n),
        slopes=np.where(pattern >= 0, 1.0, network.slope),
        rank=int(np.sum(sigma > RANK_TOLERANCE * sigma[0])),
        singular_value_ratio=_third_ratio(sigma),
        smallest_margin=smallest,
        units_at_kink=int(np.sum(pattern == 0)),
        pattern=pattern,
    )
