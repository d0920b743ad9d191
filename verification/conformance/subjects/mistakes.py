"""Implementations that are wrong on purpose, each with one mistake that people make.

A mistake is a class with what is known about it in `@wrong`: its title, the item that must catch it, the kinds of
vectors that it fails, and the intermediate that most of its failures must name. Mistakes go from gross to one part
in 10⁷, and from every input to those of one size only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from scipy.optimize import nnls

from refimpl.activations import SmoothLeakyReLU
from refimpl.datasets import Dataset
from refimpl.flow import gradient_flow
from refimpl.flow.cell import Cell, simplex_minimizer
from refimpl.losses import loss_by_name
from refimpl.validation import Array
from verification.conformance.subjects.reference import ReferenceImplementation, network
from verification.conformance.subjects.styles import Einsum
from verification.witnesses.limit_formula import closed_form

__all__ = ["MISTAKES", "WRONG", "Mistake"]


@dataclass(frozen=True)
class Mistake:
    """One implementation that is wrong on purpose.

    Attributes
    ----------
    title : str
    implementation : object
    caught_by : str
        The id of the check or property that must fail.
    vectors : tuple of str
        The kinds of vectors of which some must fail; empty if no file can show the mistake.
    differs : str or None
        The intermediate that most of the failed vectors must name.
    """

    title: str
    implementation: Any
    caught_by: str
    vectors: tuple[str, ...]
    differs: str | None = None


MISTAKES: dict[str, Mistake] = {}
"""Every mistake by its title."""

Class = TypeVar("Class", bound=type)


def wrong(title: str, caught_by: str, vectors: tuple[str, ...], differs: str | None = None) -> Callable[[Class], Class]:
    """Put an instance of the class among `MISTAKES`."""

    def add(implementation: Class) -> Class:
        MISTAKES[title] = Mistake(title, implementation(), caught_by, vectors, differs)
        return implementation

    return add


# --- wrong: backward pass -----------------------------------------------------------------------------------------


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


# --- wrong: forward pass, loss, descent ---------------------------------------------------------------------------


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


# --- wrong: max margin, limit of the flow -------------------------------------------------------------------------


@wrong("negative multiplier", "checks/max_margin_kkt", ("max_margin",))
class NegativeMultiplier(ReferenceImplementation):
    """Takes the solution of M λ = 1 without a look at its signs: all margins are 1, and yet no minimizer."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u) from λ of any sign."""
        candidate = closed_form(network(a, slope), Dataset(X, y))
        return candidate.v, candidate.u


@wrong("flipped multiplier", "checks/max_margin_kkt", ("max_margin",))
class FlippedMultiplier(ReferenceImplementation):
    """(v, u) from the right multipliers with the sign of the largest one flipped."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u) from λ with one entry negated."""
        net, data = network(a, slope), Dataset(X, y)
        aligned = np.where(np.outer(a, y) > 0.0, 1, -1).astype(np.int8)  # the pattern of (C)
        lam = simplex_minimizer(Cell(net, y, data.gram, aligned).matrix)
        assert lam is not None
        lam[np.argmax(lam)] *= -1.0
        c, c_prime = np.where(y > 0.0, 1.0, slope), np.where(y > 0.0, slope, 1.0)
        root_m = math.sqrt(net.m)
        return (lam * y * c) @ X / root_m, -(lam * y * c_prime) @ X / root_m


@wrong("limit before the last crossing", "checks/flow_limit_is_kkt", ("flow_limit",))
class LimitBeforeLastCrossing(ReferenceImplementation):
    """Reads the limit off the first stationary velocity: check (b) of docs/theory.md, section 7, is skipped."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The velocity as soon as check (a) holds to 1e-8, though units may still be on their way to a kink."""
        net, data = network(a, slope), Dataset(X, y)
        flow = gradient_flow(net, data, W0, loss_by_name(loss))
        for s, w in zip(flow.trajectory.s, flow.trajectory.sample_weights, strict=True):
            cell = Cell(net, data.y, data.gram, flow.pattern_at(float(s)))
            if cell.growth_gap(w) <= 1e-8:
                break
        return np.asarray(cell.velocity(w) @ X / (cell.matrix @ w).min())


# --- wrong for some sizes, slopes and labels ----------------------------------------------------------------------


@wrong("slopes below 0.01 raised to 0.01", "checks/forward_scalar_loops", ("forward", "loss", "gradient"), "slope")
class TinySlopesRaised(Einsum):
    """Keeps the slope away from 0, as some libraries do; 0 itself is a ReLU."""

    def _activation(self, Z: Array, slope: float) -> Array:
        return super()._activation(Z, max(slope, 0.01) if slope > 0.0 else slope)

    def _slopes(self, Z: Array, slope: float) -> Array:
        return super()._slopes(Z, max(slope, 0.01) if slope > 0.0 else slope)


@wrong("slope 0 taken for no slope", "checks/forward_scalar_loops", ("forward",), "slope")
class DefaultSlope(Einsum):
    """`slope or 0.01`: 0 counts as missing."""

    def _activation(self, Z: Array, slope: float) -> Array:
        return super()._activation(Z, slope or 0.01)


@wrong("neurons beyond a multiple of 8 left out", "checks/forward_scalar_loops", ("forward", "loss"))
class VectorizedWithoutTail(Einsum):
    """The loop over neurons goes in steps of 8, and its tail is forgotten where there is more than one step."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) without the last neurons."""
        whole = len(a) - len(a) % 8 if len(a) > 8 else len(a)
        return super().forward(W[:whole], a[:whole], slope, X)


@wrong("samples beyond 64 left at 0", "checks/forward_scalar_loops", ("forward",))
class FixedBuffer(Einsum):
    """A buffer for 64 samples."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), 0 from the 65th sample on."""
        f = super().forward(W, a, slope, X)
        f[64:] = 0.0
        return f


class MeanOfMeans(Einsum):
    """Averages the averages of batches, the last of which may be shorter."""

    batch = 32

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """The mean of the batches' means."""
        loss_of = super().loss
        return float(np.mean([loss_of(W, a, slope, X[part], y[part], loss) for part in self._batches(y)]))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The mean of the batches' gradients."""
        gradient_of = super().gradient
        return np.asarray(
            np.mean([gradient_of(W, a, slope, X[part], y[part], loss) for part in self._batches(y)], axis=0)
        )

    def _batches(self, y: Array) -> list[slice]:
        return [slice(k, k + self.batch) for k in range(0, len(y), self.batch)]


wrong("mean of means of batches of 32", "checks/loss_scalar_loops", ("loss", "gradient"))(MeanOfMeans)


@wrong("mean of means of batches of 8", "checks/gradient_scalar_loops", ("loss", "gradient"))
class MeanOfMeansOfEight(MeanOfMeans):
    """Batches of 8."""

    batch = 8


@wrong("duplicated rows dropped", "checks/loss_scalar_loops", ("loss", "gradient"))
class DuplicatesDropped(Einsum):
    """Takes equal samples for one."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W) of the different samples."""
        keep = np.unique(np.column_stack([X, y]), axis=0, return_index=True)[1]
        return super().loss(W, a, slope, X[keep], y[keep], loss)

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) of the different samples."""
        keep = np.unique(np.column_stack([X, y]), axis=0, return_index=True)[1]
        return super().gradient(W, a, slope, X[keep], y[keep], loss)


@wrong("last of many neurons takes its neighbour's slope", "checks/gradient_scalar_loops", ("gradient",))
class NeighboursSlope(Einsum):
    """An index that ends one too early, from ten neurons on."""

    def _slopes(self, Z: Array, slope: float) -> Array:
        Phi = np.array(super()._slopes(Z, slope))
        if Phi.shape[1] >= 10:
            Phi[:, -1] = Phi[:, -2]
        return Phi


@wrong("gradient of a single sample halved", "checks/gradient_scalar_loops", ("gradient",), "weight")
class SingleSample(Einsum):
    """Divides by n + 1 where n = 1."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W), half of it for n = 1."""
        return super().gradient(W, a, slope, X, y, loss) / (2.0 if len(y) == 1 else 1.0)


@wrong("gradient balanced by class", "checks/gradient_scalar_loops", ("gradient",))
class MajorityWeighted(Einsum):
    """Weighs the samples where most labels are negative, so that both classes count alike."""

    def _weights(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        g, positive = super()._weights(W, a, slope, X, y, loss), np.mean(y > 0.0)
        if not 0.0 < positive < 0.5:
            return g
        return np.asarray(g * np.where(y > 0.0, 0.5 / positive, 0.5 / (1.0 - positive)))


@wrong("one dimension squeezed away", "checks/forward_scalar_loops", ("forward",))
class OneDimension(Einsum):
    """Takes X with one column for one sample after another of the same sign."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(|x_i|; W) for d = 1."""
        return super().forward(W, a, slope, np.abs(X) if X.shape[1] == 1 else X)


@wrong("second layer taken for ±1/√m", "checks/forward_scalar_loops", ("forward", "loss", "gradient"))
class EqualSecondLayer(Einsum):
    """Keeps the signs of a_j only."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) for a_j = ±1/√m."""
        return super().forward(W, np.sign(a) / np.sqrt(len(a)), slope, X)


@wrong("margins clipped at -5", "checks/loss_values", ("loss", "gradient"))
class ClippedFromBelow(Einsum):
    """Bounds the loss of outliers."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W)."""
        return super().forward(W, a, slope, X)

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W) with q_i >= -5."""
        q = np.maximum(y * self.forward(W, a, slope, X), -5.0)
        return float(np.mean(np.logaddexp(0.0, -q) if loss == "logistic" else np.exp(-q)))

    def _weights(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        q = np.maximum(y * self.forward(W, a, slope, X), -5.0)
        return np.asarray(np.exp(-np.logaddexp(0.0, q)) if loss == "logistic" else np.exp(-q))


# --- wrong for some runs of descent -------------------------------------------------------------------------------


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


# --- wrong for some memory layouts, and with state ----------------------------------------------------------------


def _as_c_ordered(x: Array) -> Array:
    """What code sees that takes the memory of x for rows one after the other."""
    return np.asarray(x.ravel(order="K").reshape(x.shape))


@wrong("forward and loss take W for C-ordered", "checks/layouts", ())
class WeightsTakenForCOrdered(Einsum):
    """Passes the address of W on, without its strides."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) for C-ordered W."""
        return super().forward(_as_c_ordered(W), a, slope, X)


@wrong("gradient takes X for C-ordered", "checks/layouts", ())
class SamplesTakenForCOrdered(Einsum):
    """Passes the address of X on, without its strides."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) for C-ordered X."""
        return super().gradient(W, a, slope, _as_c_ordered(X), y, loss)


@wrong("labels read with unit stride", "checks/layouts", ())
class LabelsOfUnitStride(Einsum):
    """Passes the address of y on, without its stride."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) for y without gaps."""
        gaps = y.strides[0] > y.itemsize
        return super().gradient(W, a, slope, X, np.full_like(y, 7.0) if gaps else y, loss)


@wrong("big-endian numbers read as they lie", "checks/layouts", ())
class BytesTaken(Einsum):
    """Forgets the order of bytes."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) for numbers of this machine's order."""
        return super().forward(W, a, slope, np.frombuffer(X.tobytes(), dtype=np.float64).reshape(X.shape))


@wrong("answers remembered by shape", "checks/forward_homogeneity", ("forward",))
class Remembered(Einsum):
    """A cache whose key is too short."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, ...], Array] = {}

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) of the first W of this shape with this sum of |X|."""
        key = (*W.shape, *X.shape, hash(float(np.abs(X).sum())))
        if key not in self.known:
            self.known[key] = super().forward(W, a, slope, X)
        return self.known[key].copy()


@wrong("one buffer for all results", "checks/repeated_calls", ())
class OneBuffer(Einsum):
    """Returns the array that the next call writes into."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[int, ...], Array] = {}

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) until the next call."""
        buffer = self.buffers.setdefault(W.shape, np.zeros(W.shape))
        buffer[:] = super().gradient(W, a, slope, X, y, loss)
        return buffer


@wrong("writes into what it was given", "checks/inputs_untouched", ("gradient",))
class LabelsInPlace(Einsum):
    """Makes y an array of 0 and 1 in place, and back in loss only."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W); y is 0 and 1 afterwards."""
        G = super().gradient(W, a, slope, X, y, loss)
        y[y < 0.0] = 0.0
        return G


@wrong("result is a view of an argument", "checks/inputs_untouched", ("forward",))
class ViewOfArgument(Einsum):
    """Writes its result into the first column of X and returns that, as code for speed does."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), a view."""
        f = super().forward(W, a, slope, X)
        column = X[:, 0]
        column[:] = f
        return np.asarray(column)


# --- wrong stable rank, max margin, limit, residuals --------------------------------------------------------------


@wrong("stable rank from the ten largest singular values", "checks/stable_rank_values", ("stable_rank",))
class TenSingularValues(ReferenceImplementation):
    """A truncated decomposition."""

    def stable_rank(self, W: Array) -> float:
        """Σ_{k ≤ 10} σ_k²/σ₁²."""
        sigma = np.linalg.svd(W / np.abs(W).max(), compute_uv=False)
        return float(np.sum((sigma[:10] / sigma[0]) ** 2))


@wrong("stable rank takes W for C-ordered", "checks/layouts", ())
class RankTakenForCOrdered(ReferenceImplementation):
    """Passes the address of W on, without its strides."""

    def stable_rank(self, W: Array) -> float:
        """‖W‖_F²/σ₁² for C-ordered W."""
        return super().stable_rank(_as_c_ordered(W))


@wrong("max margin: sign of u where all labels are +1", "checks/max_margin_kkt", ("max_margin",))
class SignOfU(ReferenceImplementation):
    """Takes -u for u where no label is negative."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, ±u)."""
        v, u = super().max_margin(a, slope, X, y)
        return v, -u if np.all(y > 0.0) else u


@wrong("max margin: NaN where no neuron is negative", "checks/max_margin_kkt", ("max_margin",))
class DividedByNoMass(ReferenceImplementation):
    """0/0 for the vector of a sign that a does not have."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, NaN)."""
        v, u = super().max_margin(a, slope, X, y)
        return v, u if np.any(a < 0.0) else np.full_like(u, np.nan)


@wrong("max margin: 1e-3 off beyond eight samples", "checks/max_margin_kkt", ("max_margin",))
class LooseSolver(ReferenceImplementation):
    """A solver that stops early on larger problems."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u), a little too long for n > 8."""
        v, u = super().max_margin(a, slope, X, y)
        factor = 1.001 if len(y) > 8 else 1.0
        return factor * v, factor * u


@wrong("max margin: zeros where no separator exists", "checks/no_separator", ("refusals",))
class ZerosForRefusal(ReferenceImplementation):
    """Answers what has no answer."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u), or zeros."""
        try:
            return super().max_margin(a, slope, X, y)
        except Exception:
            return np.zeros(X.shape[1]), np.zeros(X.shape[1])


@wrong("flow limit is always the closed form", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class AlwaysClosedForm(ReferenceImplementation):
    """Leaves the start out."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The solution of (C) for every start."""
        return closed_form(network(a, slope), Dataset(X, y)).weights()


class _OwnResiduals(ReferenceImplementation):
    """Section 12 with choices of its own, by nonnegative least squares over fixed slopes."""

    def kkt_residuals(self, W: Array, a: Array, slope: float, X: Array, y: Array) -> tuple[float, float, float, float]:
        """Stationarity, feasibility, complementarity, duality gap."""
        a = self._second_layer(a)
        Z = W @ X.T
        q = y * (a @ np.where(Z > 0.0, Z, slope * Z))
        if q.min() <= 0.0:
            return super().kkt_residuals(W, a, slope, X, y)
        W, q = W / q.min(), q / q.min()
        H = [(y[i] * a * np.where(Z[:, i] > 0.0, 1.0, slope))[:, None] * X[i] for i in range(len(y))]
        columns = np.array([h.ravel() for h in H]).T
        lam = self._multipliers(columns, W.ravel())
        stationarity = float(np.linalg.norm(columns @ lam - W.ravel()) / np.linalg.norm(W))
        excess, total = float(lam @ (q - 1.0)), float(lam.sum())
        return stationarity, 0.0, excess / total, stationarity**2 + 2.0 * excess / float(np.sum(W**2))

    def _second_layer(self, a: Array) -> Array:
        return a

    def _multipliers(self, columns: Array, W: Array) -> Array:
        return np.asarray(nnls(columns, W)[0])


wrong("residuals with slopes fixed at kinks", "checks/kkt_residuals_vanish", ("kkt_residuals",))(_OwnResiduals)


@wrong("residuals with multipliers of any sign", "checks/kkt_residuals_far", ("kkt_residuals",))
class AnySign(_OwnResiduals):
    """Least squares in place of nonnegative least squares."""

    def _multipliers(self, columns: Array, W: Array) -> Array:
        return np.asarray(np.linalg.lstsq(columns, W, rcond=None)[0])


@wrong("residuals with |a_j| taken as equal", "checks/kkt_residuals_vanish", ("kkt_residuals",))
class EqualSizes(_OwnResiduals):
    """Keeps the signs of a_j only, and their mean square."""

    def _second_layer(self, a: Array) -> Array:
        return np.asarray(np.sign(a) * np.sqrt(np.mean(a**2)))


# --- wrong: sizes and slopes that no file has, and a limit that not every sample supports -------------------------


@wrong("neurons beyond 64 left out", "checks/forward_scalar_loops", ())
class SixtyFourNeurons(Einsum):
    """As a block of fixed size that was never looped over."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        return super().forward(W[:64], a[:64], slope, X)


@wrong("dimensions beyond 256 left out", "checks/forward_scalar_loops", ())
class Dimensions256(Einsum):
    """The same over the inputs."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        return super().forward(W[:, :256], a, slope, X[:, :256])


@wrong("slopes between 1/2 and 9/10 taken as 1/2", "checks/forward_scalar_loops", ())
class SlopeAtMostHalf(Einsum):
    """A range check of another parametrization."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        return super().forward(W, a, min(slope, 0.5) if slope < 0.9 else slope, X)


@wrong("flow limit of mean margin 1", "checks/flow_limit_is_kkt", ())
class MeanMargin(ReferenceImplementation):
    """Scales by the mean of the margins, which is the smallest one where all are tight."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        W = super().flow_limit(W0, a, slope, X, y, loss)
        return W / np.mean(y * self.forward(W, a, slope, X))


# --- small helpers ------------------------------------------------------------------------------------------------


def _single(x: Array) -> Array:
    """x rounded to float32."""
    with np.errstate(over="ignore"):
        return x.astype(np.float32).astype(np.float64)


WRONG: dict[str, Any] = {title: mistake.implementation for title, mistake in MISTAKES.items()}
"""The implementations alone."""
