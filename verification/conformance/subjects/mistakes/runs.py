"""Mistakes that only some runs of descent show."""

from __future__ import annotations

import numpy as np

from refimpl.validation import Array
from verification.conformance.subjects.mistakes.registry import wrong
from verification.conformance.subjects.styles import Einsum

__all__ = []


class _Schedule(Einsum):
    """Descent with something added to the step W - α∇L."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps of this schedule."""
        path = [np.array(W, dtype=np.float64)]
        for k in range(steps):
            path.append(path[-1] + self._step(step_size, k, self.gradient(path[-1], a, slope, X, y, loss)))
        return self._chosen(path, [self.loss(V, a, slope, X, y, loss) for V in path])

    def _step(self, step_size: float, k: int, G: Array) -> Array:
        return -step_size * G

    def _chosen(self, path: list[Array], losses: list[float]) -> Array:
        return path[-1]


@wrong("step size divided by 10 from step 30 on", "checks/descent_steps", ("descent",), "step")
class DecayingStep(_Schedule):
    """A schedule that nobody asked for."""

    def _step(self, step_size: float, k: int, G: Array) -> Array:
        return -step_size * (0.1 if k >= 30 else 1.0) * G


@wrong("at most 100 steps", "checks/descent_steps", ("descent",), "step")
class AtMostHundred(_Schedule):
    """A bound on the number of steps, kept without a word."""

    def _step(self, step_size: float, k: int, G: Array) -> Array:
        return -step_size * (0.0 if k >= 100 else 1.0) * G


@wrong("best iterate instead of the last", "checks/descent_steps", ("descent",), "step")
class BestIterate(_Schedule):
    """Returns the iterate of smallest loss."""

    def _chosen(self, path: list[Array], losses: list[float]) -> Array:
        return path[int(np.argmin(losses))]


@wrong("early stop", "checks/descent_steps", ("descent",), "step")
class EarlyStop(_Schedule):
    """Stops where the gradient is shorter than 10⁻⁶."""

    def _step(self, step_size: float, k: int, G: Array) -> Array:
        return -step_size * (0.0 if np.linalg.norm(G) < 1e-6 else 1.0) * G


@wrong("gradient clipped to norm 5", "checks/descent_steps", ("descent",), "step")
class ClippedGradient(_Schedule):
    """Long gradients are shortened."""

    def _step(self, step_size: float, k: int, G: Array) -> Array:
        return -step_size * G / max(float(np.linalg.norm(G)) / 5.0, 1.0)


@wrong("momentum", "checks/descent_steps", ("descent",), "step")
class Momentum(Einsum):
    """A heavy ball of 10⁻³."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps, each with a part of the last."""
        W, velocity = np.array(W, dtype=np.float64), np.zeros_like(W)
        for _ in range(steps):
            velocity = 1e-3 * velocity - step_size * self.gradient(W, a, slope, X, y, loss)
            W = W + velocity
        return W


@wrong("steps counted in a byte", "checks/descent_steps", ("descent",), "step")
class StepsInByte(Einsum):
    """A counter that begins anew after 255."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` mod 256 steps."""
        return super().descent(W, a, slope, X, y, loss, step_size, steps % 256)


@wrong("step size at most 100", "checks/descent_steps", ("descent",), "step")
class BoundedStep(_Schedule):
    """Keeps long steps short."""

    def _step(self, step_size: float, k: int, G: Array) -> Array:
        return -min(step_size, 100.0) * G


@wrong("descent of the logistic loss always", "checks/descent_steps", ("descent",))
class LogisticDescent(Einsum):
    """Forgets to pass the loss on."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps for the logistic loss."""
        return super().descent(W, a, slope, X, y, "logistic", step_size, steps)


@wrong("weight decay", "checks/descent_steps", ("descent",), "step")
class WeightDecay(Einsum):
    """A penalty of 10⁻³ that is on by default."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps, each of which shortens it."""
        W = np.array(W)
        for _ in range(steps):
            W = (1.0 - 1e-3 * step_size) * W - step_size * self.gradient(W, a, slope, X, y, loss)
        return W


@wrong("ends where every margin is 3", "checks/descent_steps", ("descent",), "step")
class StopsWhenFitted(Einsum):
    """Good enough."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after at most `steps` steps."""
        W = np.array(W)
        for _ in range(steps):
            if np.min(y * self.forward(W, a, slope, X)) > 3.0:
                break
            W = W - step_size * self.gradient(W, a, slope, X, y, loss)
        return W


@wrong("one neuron after another", "checks/descent_steps", ("descent",), "step")
class NeuronByNeuron(Einsum):
    """Each neuron moves with the gradient after the ones before have moved."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` rounds."""
        W = np.array(W)
        for _ in range(steps):
            for j in range(len(a)):
                W[j] -= step_size * self.gradient(W, a, slope, X, y, loss)[j]
        return W
