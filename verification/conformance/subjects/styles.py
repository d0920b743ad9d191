"""Implementations that are right, in two other styles, other orders of their sums, and with another φ'(0)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refimpl.validation import Array
from verification.conformance.subjects.reference import Descent, reference_implementation

__all__ = ["RIGHT", "Einsum", "ScalarLoops"]


class ScalarLoops(Descent):
    """Python numbers and loops only; φ'(0) = γ."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        outputs = []
        for x in X:
            total = 0.0
            for a_j, w in zip(a, W, strict=True):
                z = _dot(w, x)
                total += float(a_j) * max(slope * z, z)
            outputs.append(total)
        return np.array(outputs)

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)."""
        total = 0.0
        for y_i, f in zip(y, self.forward(W, a, slope, X), strict=True):
            total += _loss_value(loss, float(y_i * f))
        return total / len(y)

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W), shape (m, d)."""
        gradient = np.zeros(W.shape)
        for x, y_i, f in zip(X, y, self.forward(W, a, slope, X), strict=True):
            g = _loss_weight(loss, float(y_i * f))
            for j in range(len(a)):
                phi = 1.0 if _dot(W[j], x) > 0.0 else slope
                for k in range(len(x)):
                    gradient[j, k] -= g * y_i * a[j] * phi * x[k] / len(y)
        return gradient


class Einsum(Descent):
    """Whole arrays with `numpy.einsum`, every axis named, in the arrays' own precision; φ'(0) = (1 + γ)/2."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        Z = np.einsum("jk,ik->ij", W, X)
        return np.asarray(np.einsum("j,ij->i", a, self._activation(Z, slope)))

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)."""
        q = y * self.forward(W, a, slope, X)
        return float(np.mean(np.logaddexp(0.0, -q) if loss == "logistic" else np.exp(-q)))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W), shape (m, d)."""
        Z = np.einsum("jk,ik->ij", W, X)
        g = self._weights(W, a, slope, X, y, loss)
        return -np.asarray(np.einsum("i,i,j,ij,ik->jk", g, y, a, self._slopes(Z, slope), X)) / len(y)

    def _activation(self, Z: Array, slope: float) -> Array:
        return np.where(Z > 0.0, Z, slope * Z)

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z > 0.0, 1.0, np.where(Z < 0.0, slope, (1.0 + slope) / 2.0)).astype(Z.dtype)

    def _weights(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """g_i = -ℓ'(q_i)."""
        q = y * self.forward(W, a, slope, X)
        return np.asarray(np.exp(-np.logaddexp(0.0, q)) if loss == "logistic" else np.exp(-q))


RIGHT: dict[str, Any] = {
    "reference": reference_implementation,
    "scalar loops": ScalarLoops(),
    "einsum": Einsum(),
}
"""Implementations that must pass everything."""


def _dot(w: Array, x: Array) -> float:
    total = 0.0
    for p, q in zip(w, x, strict=True):
        total += float(p) * float(q)
    return total


def _loss_value(loss: str, q: float) -> float:
    if loss == "exponential":
        return math.exp(-q)
    return max(-q, 0.0) + math.log1p(math.exp(-abs(q)))


def _loss_weight(loss: str, q: float) -> float:
    """g = -ℓ'(q)."""
    if loss == "exponential":
        return math.exp(-q)
    small = math.exp(-abs(q))
    return (small if q > 0.0 else 1.0) / (1.0 + small)
