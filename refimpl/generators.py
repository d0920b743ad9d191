"""Data sets that are drawn: Gaussian, correlated, nearly orthogonal (docs/theory.md, sections 1 and 3).

Each takes a `numpy.random.Generator`, or the seed of one, so that every draw can be repeated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.dataset import LARGEST_NORM_RATIO, Dataset, owned
from refimpl.errors import InvalidDataError, InvalidParameterError, UnreachableSlackError
from refimpl.paper import PAPER_CONSTANTS
from refimpl.validation import (
    Array,
    as_count,
    as_generator,
    as_nonnegative,
    as_number,
    as_positive,
    as_unit_interval,
    check_memory,
)

__all__ = ["correlated", "gaussian", "gaussian_mixture", "nearly_orthogonal"]


def gaussian(n: int, d: int, rng: np.random.Generator | int, norm_ratio: float = 1.0) -> Dataset:
    """Gaussian rows: x_i = s_i ξ_i/√d with ξ_i ~ N(0, I_d) and alternating labels +1, -1, ...

    Parameters
    ----------
    n, d : int
        Number of samples, dimension. ‖x_i‖ is about s_i.
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.
    norm_ratio : float >= 1
        s_i runs linearly from s_min to s_max = norm_ratio · s_min with mean 1; at most 1e150.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidParameterError
        For bad arguments, and if the samples would not fit into memory.

    Examples
    --------
    >>> data = gaussian(4, 1000, np.random.default_rng(0))
    >>> data.y
    array([ 1., -1.,  1., -1.])
    """
    n, d, rng = _checked_sizes(n, d, rng)
    s = _norms_with_ratio(n, norm_ratio)
    X = rng.standard_normal((n, d)) / np.sqrt(d)
    return _drawn(X * (s / s.mean())[:, None], _alternating_labels(n))


def gaussian_mixture(
    n: int, d: int, rng: np.random.Generator | int, mean_norm: float, noise: float = 1.0, flip_probability: float = 0.0
) -> Dataset:
    """Two Gaussian clusters: x_i = ŷ_i μ + noise · ξ_i, ξ_i ~ N(0, I_d), ŷ_i = ±1 alternating.

    Parameters
    ----------
    n, d : int
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.
    mean_norm : float >= 0
        ‖μ‖; μ has a uniformly random direction.
    noise : float > 0
        Standard deviation of each coordinate about the cluster's mean.
    flip_probability : float in [0, 1]
        Each label y_i is -ŷ_i with this probability, independently.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidParameterError, InvalidDataError
        For bad arguments, and if the samples would not fit into memory or leave the range of float64.

    Examples
    --------
    >>> data = gaussian_mixture(6, 500, np.random.default_rng(0), mean_norm=3.0)
    >>> bool(np.all(data.y[:2] == [1.0, -1.0]))
    True
    """
    n, d, rng = _checked_sizes(n, d, rng)
    noise, flip_probability = as_positive("noise", noise), as_unit_interval("flip_probability", flip_probability)
    mean_norm = as_nonnegative("mean_norm", mean_norm)
    direction = rng.standard_normal(d)
    clusters = _alternating_labels(n)
    with np.errstate(over="ignore", invalid="ignore"):
        mu = mean_norm * direction / np.linalg.norm(direction)
        X = clusters[:, None] * mu + noise * rng.standard_normal((n, d))
    flipped = rng.random(n) < flip_probability
    return _drawn(X, np.where(flipped, -clusters, clusters))


def correlated(n: int, d: int, rng: np.random.Generator | int, correlation: float) -> Dataset:
    """Rows that share one direction: x_i = √ρ e + √(1-ρ) ξ_i/√d, so that ⟨x_i, x_k⟩ is about ρ.

    Parameters
    ----------
    n, d : int
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.
    correlation : float in [0, 1]
        ρ; e is a uniformly random unit vector, labels alternate.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidParameterError
        For bad arguments, and if the samples would not fit into memory.
    InvalidDataError
        If ρ is so near 1 that two samples with opposite labels are equal to rounding.

    Examples
    --------
    >>> data = correlated(4, 10_000, np.random.default_rng(0), correlation=0.5)
    >>> bool(abs(data.gram[0, 1] - 0.5) < 0.05)
    True
    """
    n, d, rng = _checked_sizes(n, d, rng)
    rho = as_unit_interval("correlation", correlation)
    direction = rng.standard_normal(d)
    e = direction / np.linalg.norm(direction)
    X = np.sqrt(rho) * e + np.sqrt(1.0 - rho) * rng.standard_normal((n, d)) / np.sqrt(d)
    return _drawn(X, _alternating_labels(n))


def nearly_orthogonal(
    n: int, d: int, slack: float, slope: float, rng: np.random.Generator | int, norm_ratio: float = 1.0
) -> Dataset:
    """Data that meet R_min² = slack · 3 γ⁻³ R² n p to rounding, for any d >= n >= 2.

    A Gram matrix is drawn first: norms from 1 to R = `norm_ratio`, off-diagonal entries of random
    sign and of sizes between p/2 and p, the largest of them p = γ³/(3 R² n · slack). Then
    X = L Qᵀ with K = L Lᵀ and a random d x n matrix Q with orthonormal columns. Labels alternate.

    Parameters
    ----------
    n, d : int
        2 <= n <= d.
    slack : float > 0
        Wanted slack; 1 is the boundary of the paper's condition for gradient flow.
    slope : float in (0, 1]
        γ.
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.
    norm_ratio : float >= 1
        R = R_max/R_min; R_min = 1, and R is at most 1e150.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidParameterError
        For bad arguments, and if the samples would not fit into memory.
    UnreachableSlackError
        If rounding in X changes the slack by more than a part in 10⁶ (p is too small against
        R_max²), or if no positive definite Gram matrix was found for it (p is too large).

    References
    ----------
    docs/theory.md, section 3.

    Examples
    --------
    >>> from refimpl.paper import flow_condition_slack
    >>> data = nearly_orthogonal(5, 40, slack=1.25, slope=0.5, rng=np.random.default_rng(0))
    >>> round(flow_condition_slack(data.R_min, data.R_max, data.p, data.n, 0.5), 10)
    1.25
    """
    n, d, rng = _checked_sizes(as_count("n", n, 2), d, rng)
    if d < n:
        raise InvalidParameterError("d", f"be at least n = {n}: n nearly orthogonal rows are independent", d)
    slack, slope = as_positive("slack", slack), as_unit_interval("slope", slope)
    if slope == 0.0:
        raise UnreachableSlackError(slack, "the paper's condition has γ⁻³, and `slope` is 0")
    norms = _norms_with_ratio(n, norm_ratio)
    R = float(norms[-1])
    p = slope**3 / (PAPER_CONSTANTS["flow_condition"].value * R**2 * n * slack)
    if p < 1e6 * _gram_rounding(n) * R**2:
        raise UnreachableSlackError(
            slack, f"the inner products would be at most {p:.1e}, which rounding in X does not keep to a part in 10⁶"
        )
    L = _cholesky_or_none(_gram_with_coherence(norms, p, rng)) if p < R**2 else None
    if L is None:
        raise UnreachableSlackError(
            slack,
            f"inner products up to {p:.3g} with squared norms from 1 to {R**2:.3g} gave no definite Gram matrix",
        )
    Q, _ = np.linalg.qr(rng.standard_normal((d, n)))
    return _drawn(L @ Q.T, _alternating_labels(n))


def _checked_sizes(n: Any, d: Any, rng: Any) -> tuple[int, int, np.random.Generator]:
    """n, d and a generator, if the samples, their squares on the way and the Gram matrix fit into memory."""
    n, d = as_count("n", n), as_count("d", d)
    check_memory("n · d", n * d, 3 * n * d + 2 * n * n)
    return n, d, as_generator("rng", rng)


def _drawn(X: Array, y: Array) -> Dataset:
    if not np.isfinite(X).all():
        raise InvalidDataError("X", "The samples drawn leave the range of float64: ask for smaller norms.")
    return Dataset(owned(X), owned(y))


def _alternating_labels(n: int) -> Array:
    return np.where(np.arange(n) % 2 == 0, 1.0, -1.0)


def _norms_with_ratio(n: int, norm_ratio: float) -> Array:
    """Norms from 1 to `norm_ratio`, linearly."""
    ratio = as_number("norm_ratio", norm_ratio)
    if not 1.0 <= ratio <= LARGEST_NORM_RATIO:
        raise InvalidParameterError("norm_ratio", f"be at least 1 and at most {LARGEST_NORM_RATIO:g}", norm_ratio)
    return np.linspace(1.0, ratio, n)


def _gram_rounding(n: int) -> float:
    """Size of the rounding error of an entry of (L Qᵀ)(L Qᵀ)ᵀ, relative to R_max²."""
    return 4.0 * float(np.finfo(np.float64).eps) * float(np.sqrt(n))


def _gram_with_coherence(norms: Array, p: float, rng: np.random.Generator) -> Array:
    n = norms.size
    sizes = rng.uniform(0.5, 1.0, (n, n)) * rng.choice([-1.0, 1.0], (n, n))
    off = np.triu(sizes, 1)
    off *= p / np.abs(off).max()
    return np.asarray(off + off.T + np.diag(norms**2))


def _cholesky_or_none(K: Array) -> Array | None:
    try:
        return np.asarray(np.linalg.cholesky(K))
    except np.linalg.LinAlgError:
        return None
