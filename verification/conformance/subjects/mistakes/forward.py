"""Mistakes in the forward pass, the loss and a step of descent."""

from __future__ import annotations

import numpy as np

from refimpl.activations import SmoothLeakyReLU
from refimpl.validation import Array
from verification.conformance.subjects.mistakes.registry import wrong
from verification.conformance.subjects.styles import Einsum

__all__ = []


@wrong("slope above 1 at the kink", "checks/clarke_at_kinks", ("gradient",), "slope")
class BeyondOneAtKink(Einsum):
    """φ'(0) = 1 + 10⁻⁷, just outside [γ, 1]."""

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z == 0.0, 1.0 + 1e-7, super()._slopes(Z, slope))


@wrong("labels forgotten", "checks/gradient_scalar_loops", ("gradient",), "weight")
class LabelsForgotten(Einsum):
    """Backpropagates without y_i."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """-(1/n) Σ g_i a_j Φ_ji x_i."""
        Z, g = np.einsum("jk,ik->ij", W, X), self._weights(W, a, slope, X, y, loss)
        return -np.asarray(np.einsum("i,j,ij,ik->jk", g, a, self._slopes(Z, slope), X)) / len(y)


@wrong("logistic weight for both losses", "checks/gradient_scalar_loops", ("gradient",), "weight")
class LogisticWeightOnly(Einsum):
    """Uses the logistic loss's weight for both losses."""

    def _weights(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        return super()._weights(W, a, slope, X, y, "logistic")


@wrong("cancelled weight", "checks/weight_values", ("gradient",), "weight")
class CancelledWeight(Einsum):
    """g = 1 - σ(q) as it is written: 0 at q = 37."""

    def _weights(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        if loss == "exponential":
            return super()._weights(W, a, slope, X, y, loss)
        q = y * self.forward(W, a, slope, X)
        return np.asarray(1.0 - np.exp(-np.logaddexp(0.0, -q)))


@wrong("one sample dropped", "checks/gradient_scalar_loops", ("gradient",), "gradient")
class OneSampleDropped(Einsum):
    """The gradient's sum over the samples ends one too early."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) without the last of several samples."""
        if len(y) == 1:
            return super().gradient(W, a, slope, X, y, loss)
        return super().gradient(W, a, slope, X[:-1], y[:-1], loss) * (len(y) - 1) / len(y)


@wrong("gradient off by 1e-7", "checks/gradient_scalar_loops", ("gradient",), "weight")
class GradientPartInTenMillion(Einsum):
    """(1 + 10⁻⁷) ∇L: finite differences do not see it."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W), a little too long."""
        return (1.0 + 1e-7) * super().gradient(W, a, slope, X, y, loss)


@wrong("single precision inside", "checks/forward_scalar_loops", ("forward",), "preactivation")
class SinglePrecision(Einsum):
    """float32 inside, float64 outside."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) to seven digits."""
        return super().forward(_single(W), _single(a), slope, _single(X))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) to seven digits."""
        return _single(super().gradient(_single(W), _single(a), slope, _single(X), y, loss))


@wrong("slope off by 1e-7", "checks/forward_scalar_loops", ("forward",), "slope")
class SlopePartInTenMillion(Einsum):
    """A slope that is off by one part in 10⁷, in both passes."""

    def _activation(self, Z: Array, slope: float) -> Array:
        return super()._activation(Z, slope * (1.0 + 1e-7))

    def _slopes(self, Z: Array, slope: float) -> Array:
        return super()._slopes(Z, slope * (1.0 + 1e-7))


@wrong("offset of 1e-7", "checks/forward_homogeneity", ("forward",), "preactivation")
class Offset(Einsum):
    """Adds 10⁻⁷ to f, as to keep it away from 0."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) + 10⁻⁷."""
        return super().forward(W, a, slope, X) + 1e-7


@wrong("rounded kink", "checks/forward_homogeneity", ("forward",), "preactivation")
class RoundedKink(Einsum):
    """Rounds the kink off, as [F]'s smooth activation does: no longer homogeneous."""

    def _activation(self, Z: Array, slope: float) -> Array:
        return SmoothLeakyReLU(slope, 1e3).value(Z)


@wrong("overflowing loss", "checks/loss_values", ("loss",), "loss value")
class OverflowingLoss(Einsum):
    """log(1 + e^{-q}) as it is written: inf at q = -1000."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W), where e^{-q} does not overflow."""
        q = y * self.forward(W, a, slope, X)
        with np.errstate(over="ignore"):
            return float(np.mean(np.log(1.0 + np.exp(-q)) if loss == "logistic" else np.exp(-q)))


@wrong("clipped margins", "checks/loss_values", ("loss",), "loss value")
class ClippedMargins(Einsum):
    """Clips margins to [-30, 30] before the loss."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W) with clipped margins."""
        q = np.clip(y * self.forward(W, a, slope, X), -30.0, 30.0)
        return float(np.mean(np.logaddexp(0.0, -q) if loss == "logistic" else np.exp(-q)))


@wrong("cancelled loss", "checks/loss_values", ("loss",), "loss value")
class CancelledLoss(Einsum):
    """-log σ(q) with σ(q) = 1/(1 + e^{-q}): 0 at q = 37."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W), where nothing cancels."""
        q = y * self.forward(W, a, slope, X)
        with np.errstate(all="ignore"):
            values = -np.log(1.0 / (1.0 + np.exp(-q))) if loss == "logistic" else np.exp(-q)
        return float(np.mean(values))


@wrong("stale gradient", "checks/descent_steps", ("descent",), "step")
class StaleGradient(Einsum):
    """Takes every step along the first gradient."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W - steps α ∇L(W(0))."""
        return np.asarray(W - steps * step_size * self.gradient(W, a, slope, X, y, loss))


@wrong("step size off by 1e-7", "checks/descent_steps", ("descent",), "step")
class StepSizePartInTenMillion(Einsum):
    """A step size that is off by one part in 10⁷."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps, each a little too long."""
        return super().descent(W, a, slope, X, y, loss, step_size * (1.0 + 1e-7), steps)


@wrong("samples normalized in place", "checks/inputs_untouched", ("forward",))
class SamplesNormalizedInPlace(Einsum):
    """Normalizes the samples for itself, and for the caller."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W); X is scaled on the way and not back to the last digit."""
        size = np.linalg.norm(X, axis=1)
        X /= size[:, None]
        return super().forward(W, a, slope, X) * size


@wrong("one step too many", "checks/descent_steps", ("descent",), "step")
class OneStepTooMany(Einsum):
    """Counts steps from 0 to `steps`, both included."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after steps + 1 steps."""
        return super().descent(W, a, slope, X, y, loss, step_size, steps + 1)


@wrong("descent in place", "checks/inputs_untouched", ("descent",))
class DescentInPlace(Einsum):
    """Writes its steps into the array it is given."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps, and the argument with it."""
        for _ in range(steps):
            W -= step_size * self.gradient(W, a, slope, X, y, loss)
        return W


def _single(x: Array) -> Array:
    """x rounded to float32."""
    with np.errstate(over="ignore"):
        return x.astype(np.float32).astype(np.float64)
