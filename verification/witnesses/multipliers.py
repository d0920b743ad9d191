"""The multipliers that come nearest to a given W: nonnegative least squares over rays (docs/theory.md, section 12).

    min ‖W - Σ_i λ_i y_i (a_j Φ_ji)_j x_iᵀ‖_F  over λ >= 0 and Φ_ji ∈ ∂φ(z_ji),

is convex in λ_i and β_ji = λ_i Φ_ji, γλ_i <= β_ji <= λ_i at a kink. For each sample the pairs
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

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular
from scipy.optimize import linprog, lsq_linear, nnls

from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import certainly_independent
from refimpl.validation import Array, BoolArray, IntArray

__all__ = ["VANISHING", "Rays", "best_fit"]

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


@dataclass(frozen=True, eq=False)
class Rays:
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


def best_fit(rays: Rays, W: Array, excess: Array) -> _Fit:
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


def _least_penalty(rays: Rays, W: Array, excess: Array, fit: _Fit) -> _Fit:
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


def _nearest_multipliers(rays: Rays, W: Array, allowed: BoolArray) -> _Fit:
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
    rays: Rays, samples: NDArray[np.intp], slopes: Array, weights: Array
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
