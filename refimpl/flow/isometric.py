"""Coordinates of c in which distances are those of W, for the implicit solver (docs/numerics.md).

Within one pattern ‖W(c) - W(c')‖_F² = (c - c')ᵀM(c - c'). With M = Q Λ Qᵀ and b = Λ^{1/2} Qᵀ c,

    ‖W - W'‖_F = |b - b'|,   |z_ji - z'_ji| <= ‖x_i‖ |b - b'|,   q = q_start + F b,  F = Q Λ^{1/2},   db/ds = Fᵀ w,

so a tolerance for b is one for W and for everything that is computed from it. Where samples are nearly dependent, c has
directions that hardly move W. A tolerance for c forces tiny steps there, and its rounding is noise in w.
"""

from __future__ import annotations

import numpy as np

from refimpl.losses import Loss, sample_weights
from refimpl.validation import Array

__all__ = ["EXPONENTIAL_FROM", "IsometricCoordinates"]

EXPONENTIAL_FROM = 40.0
"""Margins from which log(1 + e^{-q}) = e^{-q} to rounding."""

FLOOR = 1e-12
"""Eigenvalues of M below this part of the largest count as that: b determines c, and rounding of M is no direction."""


class IsometricCoordinates:
    """b for one pattern, and the flow in it.

    Parameters
    ----------
    M : ndarray, shape (n, n)
        dq/ds = M w.
    q : ndarray, shape (n,)
        Margins at b = 0.
    loss : Loss

    Examples
    --------
    >>> from refimpl.losses import ExponentialLoss
    >>> b = IsometricCoordinates(np.diag([4.0, 1.0]), np.zeros(2), ExponentialLoss())
    >>> b.c(b.rate(0.0, np.zeros(2)))                    # dc/ds = w = (1/2, 1/2)
    array([0.5, 0.5])
    >>> float(np.sum(b.rate(0.0, np.zeros(2)) ** 2))     # ‖dW/ds‖² = wᵀMw
    1.25
    """

    def __init__(self, M: Array, q: Array, loss: Loss) -> None:
        eigenvalues, Q = np.linalg.eigh(M)
        largest = float(eigenvalues[-1])
        root = np.sqrt(np.maximum(eigenvalues, FLOOR * largest)) if largest > 0.0 else np.ones(q.size)
        self._q, self._loss, self._root = q, loss, root
        self._from_c, self._to_c = (Q * root).T, Q / root
        self._F = Q * (np.maximum(eigenvalues, 0.0) / root)
        k = int(np.argmin(q))
        self._excess, self._difference = q - q[k], self._F - self._F[k]

    def tolerance(self, atol: float, for_weights: float) -> Array:
        """Absolute tolerances of b: √λ_k |δb_k| <= atol, which bounds errors of q, and |δb_k| <= `for_weights`."""
        return np.asarray(np.minimum(atol / self._root, max(atol, for_weights)))

    def c(self, b: Array) -> Array:
        """c, shape (n,), or a column for each column of b."""
        return np.asarray(self._to_c @ b)

    def margins(self, b: Array) -> Array:
        """Q, shape (n,), or a column for each column of b."""
        return np.asarray((self._q + (self._F @ b).T).T)

    def weights(self, b: Array) -> Array:
        """w; for large margins from differences of margins alone, as in `Segment.weights`."""
        q = self._q + self._F @ b
        if q.min() < EXPONENTIAL_FROM:
            return sample_weights(self._loss, q)
        lag = self._excess + self._difference @ b
        g = np.exp(lag.min() - lag)
        return np.asarray(g / g.sum())

    def rate(self, s: float, b: Array) -> Array:
        """db/ds = Fᵀw: docs/theory.md (7.2) in b."""
        return np.asarray(self._from_c @ self.weights(b))

    def jacobian(self, s: float, b: Array) -> Array:
        """∂(db/ds)/∂b = -Λ^{1/2} Qᵀ (diag w - w wᵀ) diag(η) F: docs/theory.md (7.3) in b."""
        w = self.weights(b)
        eta_F = self._loss.log_weight_decay(self._q + self._F @ b)[:, None] * self._F
        return np.asarray(-self._from_c @ (w[:, None] * (eta_F - w @ eta_F)))
