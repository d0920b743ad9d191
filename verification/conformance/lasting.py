"""Starts of gradient flow with two samples whose pattern provably lasts for ever: their limit is known."""

from __future__ import annotations

import numpy as np

from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array

__all__ = ["pattern_lasts"]


def pattern_lasts(slope: float, X: Array, W0: Array, loss: str, copies: tuple[int, int] = (1, 1)) -> bool:
    """Whether no unit of a = (1, 1), y = (1, 1) ever comes to its kink: r = n₂g₂/(n₁g₁) never leaves an interval.

    While the pattern lasts, q_i' is proportional to R_i(r) = M_i1 + M_i2 r (docs/theory.md (7.2)), and (log r)' to
    σ₁ R₁ - σ₂ R₂ with σ = -g'/g: 1 for the exponential loss, 1/(1 + e^{-q}) for the logistic one. Where R₁, R₂ > 0 the
    margins grow, so s ≤ σ_i ≤ 1 with s that of the smallest margin of the start. Then r grows where s R₁ > R₂ and falls
    where R₁ < s R₂: it stays between the least and the largest of r(0) and the two roots. If there R_i > 0 and every
    unit goes away from its kink (both are linear in r: the ends are enough), the pattern lasts for ever; q → ∞ and
    σ → 1, so r → λ₂/λ₁ with M λ = 1.

    Parameters
    ----------
    slope : float
    X : ndarray, shape (2, d)
    W0 : ndarray, shape (2, d)
        No unit on its kink.
    loss : {"logistic", "exponential"}
    copies : (int, int)
        How often each sample occurs: n₁, n₂.

    Returns
    -------
    bool
        False where this does not prove it.

    Examples
    --------
    >>> X = np.array([[5.0, 0.0], [-3.0, 4.0]])
    >>> W0 = np.tile(X.sum(axis=0), (2, 1)) / 64.0
    >>> pattern_lasts(0.25, X, W0, "exponential"), pattern_lasts(0.25, X, -W0, "exponential")
    (True, False)
    """
    Z, S = W0 @ X.T, X @ X.T
    Phi = LeakyReLU(slope).derivative(Z)
    M = S * (Phi.T @ Phi)
    q = TwoLayerNetwork(np.ones(2), LeakyReLU(slope)).margins(W0, Dataset(X, np.ones(2)))
    s, r = 1.0, float(np.exp(q[0] - q[1]))
    if loss == "logistic":
        s, r = 1.0 / (1.0 + float(np.exp(-q.min()))), float((1.0 + np.exp(q[0])) / (1.0 + np.exp(q[1])))
    r *= copies[1] / copies[0]
    if not min(s * M[1, 1] - M[0, 1], s * M[0, 0] - M[1, 0]) > 0.0:
        return False
    roots = ((s * M[0, 0] - M[1, 0]) / (M[1, 1] - s * M[0, 1]), (M[0, 0] - s * M[1, 0]) / (s * M[1, 1] - M[0, 1]))
    for end in (min(r, *roots) * (1.0 - 1e-9), max(r, *roots) * (1.0 + 1e-9)):
        weights = np.array([1.0, end])
        speeds = (Phi * weights) @ S  # of z_ji, up to a common factor
        if not (np.all(M @ weights > 0.0) and np.all(np.sign(Z) * speeds > 0.0)):
            return False
    return True
