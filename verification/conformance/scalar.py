"""The network, its loss and its gradient in Python numbers and exact sums: what checks and properties compare with.

A case is a dict with W, a, slope, X and, where they matter, y and loss. No number comes from refimpl.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refimpl.validation import Array

__all__ = [
    "Case",
    "gradient",
    "loss_of_margin",
    "outputs",
    "preactivations",
    "sizes",
    "slopes",
    "terms_of_gradient",
    "weight_of_margin",
    "weights",
]

Case = dict[str, Any]


def loss_of_margin(loss: str, q: float) -> float:
    """ℓ(q) for every q; e^{-q} is 0 beyond underflow.

    Examples
    --------
    >>> loss_of_margin("logistic", 0.0) == math.log(2.0), loss_of_margin("logistic", -1e300)
    (True, 1e+300)
    """
    small = math.exp(-min(abs(q), 800.0))
    if loss == "exponential":
        return small if q > 0.0 else math.exp(-q)
    return math.log1p(small) if q > 0.0 else -q + math.log1p(small)


def weight_of_margin(loss: str, q: float) -> float:
    """g(q) = -ℓ'(q) for every q."""
    small = math.exp(-min(abs(q), 800.0))
    if loss == "exponential":
        return small if q > 0.0 else math.exp(-q)
    return (small if q > 0.0 else 1.0) / (1.0 + small)


def preactivations(case: Case) -> Array:
    """z_ji with exact summation of rounded products, shape (m, n)."""
    return np.array([[math.fsum(w * x) for x in case["X"]] for w in case["W"]])


def outputs(case: Case) -> Array:
    """f(x_i), shape (n,)."""
    Z = preactivations(case)
    return np.array([math.fsum(case["a"] * np.where(z > 0.0, z, case["slope"] * z)) for z in Z.T])


def sizes(case: Case) -> Array:
    """Σ_j |a_j| Σ_k |w_jk x_ik|: the terms of f(x_i), shape (n,)."""
    return np.asarray(np.abs(case["a"]) @ (np.abs(case["W"]) @ np.abs(case["X"]).T))


def weights(case: Case) -> Array:
    """g_i, shape (n,)."""
    return np.array([weight_of_margin(case["loss"], q) for q in case["y"] * outputs(case)])


def slopes(case: Case) -> Array:
    """Φ_ji with φ'(0) = γ, shape (m, n)."""
    return np.where(preactivations(case) > 0.0, 1.0, case["slope"])


def terms_of_gradient(case: Case, Phi: Array) -> Array:
    """-g_i y_i a_j Φ_ji x_ik/n, shape (m, n, d)."""
    factors = -(weights(case) * case["y"] / len(case["y"]))[None, :] * case["a"][:, None] * Phi
    return np.asarray(factors[:, :, None] * case["X"])


def gradient(case: Case) -> Array:
    """∇L(W) with φ'(0) = γ, shape (m, d)."""
    terms = terms_of_gradient(case, slopes(case))
    return np.array([[math.fsum(column) for column in rows.T] for rows in terms])
