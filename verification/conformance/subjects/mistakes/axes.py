"""Mistakes that only arrays with equal sides, one class, one sign or many of something show."""

from __future__ import annotations

import numpy as np

from refimpl.validation import Array
from verification.conformance.subjects.mistakes.registry import wrong
from verification.conformance.subjects.styles import Einsum

__all__ = []


@wrong("square W taken for its transpose", "checks/forward_scalar_loops", ("forward", "loss"))
class SquareWeights(Einsum):
    """Guesses the layout of W from its shape, and guesses wrong for m = d."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; Wᵀ) where W is square."""
        return super().forward(W.T if W.shape[0] == W.shape[1] else W, a, slope, X)


@wrong("square X taken for its transpose", "checks/forward_scalar_loops", ("forward", "loss"))
class SquareSamples(Einsum):
    """Guesses the layout of X from its shape, and guesses wrong for n = d."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f of the columns of X where X is square."""
        return super().forward(W, a, slope, X.T if X.shape[0] == X.shape[1] else X)


@wrong("square gradient transposed", "checks/gradient_scalar_loops", ("gradient", "descent"), "gradient")
class SquareGradient(Einsum):
    """Gives (d, m) for (m, d), which no shape shows for m = d."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W)ᵀ where W is square."""
        G = super().gradient(W, a, slope, X, y, loss)
        return G.T.copy() if G.shape[0] == G.shape[1] else G


@wrong("labels broadcast along the neurons", "checks/gradient_scalar_loops", ("gradient", "descent"))
class LabelsAlongNeurons(Einsum):
    """Multiplies by y along the wrong axis, which no shape shows for m = n."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """-(1/n) Σ g_i y_j a_j Φ_ji x_i for m = n."""
        if len(a) != len(y):
            return super().gradient(W, a, slope, X, y, loss)
        Z, g = np.einsum("jk,ik->ij", W, X), self._weights(W, a, slope, X, y, loss)
        return -np.asarray(np.einsum("i,j,j,ij,ik->jk", g, y, a, self._slopes(Z, slope), X)) / len(y)


@wrong("second layer broadcast along the samples", "checks/forward_scalar_loops", ("forward", "loss"))
class SecondLayerAlongSamples(Einsum):
    """Sums over the wrong axis, which no shape shows for m = n."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """Σ_i a_i φ(z_ji) for m = n."""
        if len(a) != len(X):
            return super().forward(W, a, slope, X)
        return np.asarray(np.einsum("i,ij->j", a, self._activation(np.einsum("jk,ik->ij", W, X), slope)))


@wrong("sign lost where every a_j is negative", "checks/forward_scalar_loops", ("forward", "loss"))
class AllNegative(Einsum):
    """Takes the sign of the first class for that of the larger one."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W, |a|) where several a_j are all negative."""
        return super().forward(W, np.abs(a) if len(a) > 1 and np.all(a < 0.0) else a, slope, X)


@wrong("loss of one negative class halved", "checks/loss_scalar_loops", ("loss",))
class OneNegativeClass(Einsum):
    """The mean over two classes, one of which is empty."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)/2 where several labels are all negative."""
        return super().loss(W, a, slope, X, y, loss) / (2.0 if len(y) > 1 and np.all(y < 0.0) else 1.0)


@wrong("no gradient where there is one class", "checks/gradient_scalar_loops", ("gradient", "descent"))
class NothingToTell(Einsum):
    """Nothing is to be told apart."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """0 where several labels are all the same."""
        return super().gradient(W, a, slope, X, y, loss) * (0.0 if len(y) > 1 and np.all(y == y[0]) else 1.0)


@wrong("samples beyond 256 left out", "checks/loss_scalar_loops", ("loss", "gradient"))
class FirstBatch(Einsum):
    """One batch for all."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W) of the first 256 samples."""
        return super().loss(W, a, slope, X[:256], y[:256], loss)

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) of the first 256 samples."""
        return super().gradient(W, a, slope, X[:256], y[:256], loss)


@wrong("gradient of neurons beyond 64 left at 0", "checks/gradient_scalar_loops", ("gradient", "descent"))
class FirstBlock(Einsum):
    """A block of fixed size that was never looped over."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W), 0 from the 65th row on."""
        G = super().gradient(W, a, slope, X, y, loss)
        G[64:] = 0.0
        return G


@wrong("gradient below 1e-200 flushed to 0", "checks/weight_values", ("gradient",))
class FlushedGradient(Einsum):
    """A threshold far above the smallest number."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W), where its entries are large enough."""
        G = super().gradient(W, a, slope, X, y, loss)
        return np.where(np.abs(G) < 1e-200, 0.0, G)


@wrong("1e-12 inside the logarithm", "checks/loss_values", ("loss",))
class EpsilonInLogarithm(Einsum):
    """-log(σ(q) + 10⁻¹²), so that nothing is infinite."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W), a little too small."""
        if loss == "exponential":
            return super().loss(W, a, slope, X, y, loss)
        q = y * self.forward(W, a, slope, X)
        return float(np.mean(-np.log(np.exp(-np.logaddexp(0.0, -q)) + 1e-12)))
