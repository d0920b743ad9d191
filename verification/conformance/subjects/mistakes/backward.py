"""Mistakes in the backward pass."""

from __future__ import annotations

import numpy as np

from refimpl.validation import Array
from verification.conformance.subjects.mistakes.registry import wrong
from verification.conformance.subjects.styles import Einsum

__all__ = []


@wrong("mean slope", "checks/gradient_central_differences", ("gradient",), "gradient")
class MeanSlope(Einsum):
    """Sums over the samples before it backpropagates: uses Φ̄_j = (1/n) Σ_i Φ_ji in place of Φ_ji."""

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.broadcast_to(super()._slopes(Z, slope).mean(axis=0), Z.shape)


@wrong("slope forgotten in the backward pass", "checks/gradient_central_differences", ("gradient",), "slope")
class SlopeForgottenBackward(Einsum):
    """Backpropagates as if φ were a ReLU: slope 0 on the negative side; the forward pass is right."""

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z > 0.0, 1.0, 0.0)


@wrong("slope forgotten", "checks/forward_scalar_loops", ("forward",), "slope")
class SlopeForgotten(Einsum):
    """A ReLU in both passes: gradient and loss agree with each other."""

    def _activation(self, Z: Array, slope: float) -> Array:
        return np.maximum(Z, 0.0)

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z > 0.0, 1.0, 0.0)


@wrong("sign of the second layer lost", "checks/gradient_scalar_loops", ("gradient",), "gradient")
class SignOfSecondLayerLost(Einsum):
    """Backpropagates |a_j|."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) with the sign of a_j lost."""
        return np.sign(a)[:, None] * super().gradient(W, a, slope, X, y, loss)


@wrong("1/n forgotten in the gradient", "checks/gradient_central_differences", ("gradient",), "gradient")
class MeanForgotten(Einsum):
    """The gradient of Σ ℓ(q_i) beside the mean (1/n) Σ ℓ(q_i)."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """n ∇L(W)."""
        return len(y) * super().gradient(W, a, slope, X, y, loss)


@wrong("sum in place of the mean", "checks/loss_values", ("loss",), "gradient")
class SumLoss(MeanForgotten):
    """Σ ℓ(q_i) in loss and gradient: they agree with each other."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """n L(W)."""
        return len(y) * super().loss(W, a, slope, X, y, loss)


@wrong("slope 0 at the kink", "checks/clarke_at_kinks", ("gradient",), "slope")
class DeadAtKink(Einsum):
    """φ'(0) = 0, which is no element of [γ, 1]."""

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z == 0.0, 0.0, super()._slopes(Z, slope))
