"""Mistakes that only some sizes, slopes and labels show."""

from __future__ import annotations

import numpy as np

from refimpl.validation import Array
from verification.conformance.subjects.mistakes.registry import wrong
from verification.conformance.subjects.styles import Einsum

__all__ = []


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


@wrong("neurons beyond 64 left out", "checks/forward_scalar_loops", ("forward", "loss"))
class SixtyFourNeurons(Einsum):
    """As a block of fixed size that was never looped over."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) of the first 64 neurons."""
        return super().forward(W[:64], a[:64], slope, X)


@wrong("dimensions beyond 256 left out", "checks/forward_scalar_loops", ("forward", "loss"))
class Dimensions256(Einsum):
    """The same over the inputs."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) of the first 256 coordinates."""
        return super().forward(W[:, :256], a, slope, X[:, :256])


@wrong("slopes between 1/2 and 9/10 taken as 1/2", "checks/forward_scalar_loops", ("forward", "loss"))
class SlopeAtMostHalf(Einsum):
    """A range check of another parametrization."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) with another slope."""
        return super().forward(W, a, min(slope, 0.5) if slope < 0.9 else slope, X)
