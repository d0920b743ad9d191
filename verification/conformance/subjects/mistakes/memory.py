"""Mistakes that only some memory layouts show, and mistakes with state."""

from __future__ import annotations

import numpy as np

from refimpl.validation import Array
from verification.conformance.subjects.mistakes.registry import wrong
from verification.conformance.subjects.styles import Einsum

__all__ = []


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
