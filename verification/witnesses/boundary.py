"""What a linear boundary does on new samples, and how far the given ones are from it (docs/theory.md (15.7))."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.validation import Array, as_finite_array, as_positive, as_unit_interval

__all__ = ["mixture_error", "robust_radii"]


def mixture_error(z: Any, mean: Any, noise: float = 1.0, flip_probability: float = 0.0) -> float:
    """Probability that sign⟨z, x⟩ is not the label, for x = yμ + noise · ξ, ξ ~ N(0, I): no sampling.

    Parameters
    ----------
    z, mean : array_like, shape (d,)
        The predictor and μ; z ≠ 0.
    noise : float > 0
        σ.
    flip_probability : float in [0, 1]
        With which the label that counts is -y instead of y.

    Returns
    -------
    float
        Φ(-⟨z, μ⟩/(σ‖z‖)); with flips ε + (1 - 2ε) of that.

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments.

    References
    ----------
    docs/theory.md (15.7).

    Examples
    --------
    >>> round(mixture_error([2.0, 0.0], [1.0, 5.0]), 6)   # Φ(-1)
    0.158655
    >>> round(mixture_error([2.0, 0.0], [1.0, 5.0], flip_probability=0.1), 6)
    0.226924
    """
    z, mean = as_finite_array("z", z, 1), as_finite_array("mean", mean, 1)
    if mean.shape != z.shape:
        raise ShapeError("mean", f"({z.size},)", mean.shape)
    noise, flips = as_positive("noise", noise), as_unit_interval("flip_probability", flip_probability)
    with np.errstate(over="ignore"):
        clean = float(ndtr(-(unit(z) @ mean) / noise))
    return flips + (1.0 - 2.0 * flips) * clean


def robust_radii(z: Any, X: Any) -> Array:
    """|⟨z, x_i⟩|/‖z‖: how far each sample may be moved before the boundary of z is reached, shape (n,).

    The smallest of them is at most 1/‖z*‖, z* the max-margin predictor, wherever z separates the labels.

    Parameters
    ----------
    z : array_like, shape (d,)
        Not 0.
    X : array_like, shape (n, d)

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments.

    References
    ----------
    docs/theory.md, section 15, "Test error and radius of a linear boundary".

    Examples
    --------
    >>> robust_radii([0.0, 2.0], [[5.0, 1.0], [0.0, -3.0]])
    array([1., 3.])
    """
    z, X = as_finite_array("z", z, 1), as_finite_array("X", X, 2)
    if X.shape[1] != z.size:
        raise ShapeError("X", f"(n, {z.size})", X.shape)
    return np.abs(X @ unit(z))


def unit(z: Array) -> Array:
    """z/‖z‖, also where the square of an entry leaves the range of float64."""
    largest = float(np.abs(z).max(initial=0.0))
    if largest == 0.0:
        raise InvalidParameterError("z", "not be zero: it has no boundary", z)
    scaled = z / largest
    return np.asarray(scaled / np.linalg.norm(scaled))
