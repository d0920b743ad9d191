"""Keras 3 on the backend that it runs on (TensorFlow, JAX or PyTorch); in float64 on TensorFlow only.

Everything is in `keras.ops`, but for the gradient, which each backend takes in its own way. `KERAS_BACKEND` names the
backend; where it is not set, the first one that is installed is taken. On JAX and PyTorch the operations of Keras
promote float64 to float32 (a mean, a product of matrices), so there it can be asked with --dtype float32 and below.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError, MissingExtraError
from refimpl.validation import Array

BACKENDS = ("tensorflow", "jax", "torch")

try:
    installed = [name for name in BACKENDS if find_spec(name) is not None]
    os.environ.setdefault("KERAS_BACKEND", (installed or ["tensorflow"])[0])
    keras: Any = import_module("keras")
except ImportError as error:
    raise MissingExtraError("keras", "keras") from error

BACKEND: str = keras.backend.backend()
backend: Any = import_module(BACKEND)
if BACKEND == "jax":
    backend.config.update("jax_enable_x64", True)
ops = keras.ops

__all__ = ["BACKEND", "KerasImplementation", "implementation"]


class KerasImplementation:
    """Forward pass and losses as a user of Keras writes them.

    Examples
    --------
    >>> single = KerasImplementation("float32")
    >>> single.forward(np.eye(2), np.array([1.0, -1.0]), 0.5, np.array([[2.0, -4.0]])).tolist()
    [4.0]
    """

    def __init__(self, dtype: str = "float64") -> None:
        self.dtype = dtype

    def with_dtype(self, dtype: str) -> KerasImplementation:
        """The same in another format; bfloat16 numbers come and go as float32 arrays."""
        return KerasImplementation(dtype)

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        return self._array(self._outputs(self._tensor(W), a, slope, X))

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)."""
        return float(self._array(self._loss(self._tensor(W), a, slope, X, y, loss)))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) by the backend, shape (m, d)."""
        return self._array(GRADIENTS[BACKEND](lambda V: self._loss(V, a, slope, X, y, loss), self._tensor(W)))

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps of `keras.optimizers.SGD`, shape (m, d)."""
        weights = keras.Variable(self._tensor(W), dtype=self.dtype)
        optimizer = keras.optimizers.SGD(learning_rate=step_size)
        for _ in range(steps):
            now = self._array(ops.copy(weights.value))
            optimizer.apply([self._tensor(self.gradient(now, a, slope, X, y, loss))], [weights])
        return self._array(weights.value)

    def stable_rank(self, W: Array) -> float:
        """‖W‖_F²/‖W‖₂² from singular values."""
        wide = "float32" if self.dtype in ("float16", "bfloat16") else self.dtype  # no decomposition in those
        sigma = ops.svd(ops.cast(self._tensor(W), wide), compute_uv=False)
        return float(self._array(ops.sum((sigma / sigma[0]) ** 2)))

    def _outputs(self, W: Any, a: Array, slope: float, X: Array) -> Any:
        hidden = ops.matmul(self._tensor(X), ops.transpose(W))
        return ops.matmul(ops.leaky_relu(hidden, negative_slope=slope), self._tensor(a))

    def _loss(self, W: Any, a: Array, slope: float, X: Array, y: Array, loss: str) -> Any:
        q = self._tensor(y) * self._outputs(W, a, slope, X)
        return ops.mean(-ops.log_sigmoid(q) if loss == "logistic" else ops.exp(-q))

    def _tensor(self, x: Array) -> Any:
        """A copy, so that nothing is written into the caller's array, of any memory layout and order of bytes.

        Means, slopes and step sizes are taken in `floatx`, whatever the tensors are.
        """
        if self.dtype == "float64" and BACKEND != "tensorflow":
            why = f"be float32, float16 or bfloat16 where Keras runs on {BACKEND}, whose float64 it computes in float32"
            raise InvalidParameterError("dtype", why, self.dtype)
        keras.config.set_floatx(self.dtype)
        return ops.convert_to_tensor(np.array(x, dtype=np.float64, order="C"), dtype=self.dtype)

    def _array(self, x: Any) -> Array:
        return np.array(ops.convert_to_numpy(ops.cast(x, "float32") if self.dtype == "bfloat16" else x))


def _by_torch(f: Callable[[Any], Any], W: Any) -> Any:
    W = W.detach().requires_grad_(True)
    return backend.autograd.grad(f(W), W)[0]


def _by_jax(f: Callable[[Any], Any], W: Any) -> Any:
    return backend.grad(f)(W)


def _by_tensorflow(f: Callable[[Any], Any], W: Any) -> Any:
    with backend.GradientTape() as tape:
        tape.watch(W)
        value = f(W)
    return backend.convert_to_tensor(tape.gradient(value, W))


GRADIENTS = {"torch": _by_torch, "jax": _by_jax, "tensorflow": _by_tensorflow}
"""The gradient of f at W by each backend."""

implementation = KerasImplementation()
"""For `--implementation verification.adapters.keras:implementation`."""
