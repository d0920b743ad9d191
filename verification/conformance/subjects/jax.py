"""JAX's `grad` in float64; φ'(0) = 1, which is what `jax.nn.leaky_relu` backpropagates.

Importing this module switches JAX to float64 for the whole process (`jax_enable_x64`).
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from refimpl.errors import MissingExtraError
from refimpl.validation import Array

try:
    jax: Any = import_module("jax")
except ImportError as error:
    raise MissingExtraError("jax", "jax") from error

jax.config.update("jax_enable_x64", True)
jnp = jax.numpy

__all__ = ["JaxImplementation", "implementation"]


class JaxImplementation:
    """Forward pass and losses as a user of JAX writes them.

    Examples
    --------
    >>> implementation.forward(np.eye(2), np.array([1.0, -1.0]), 0.5, np.array([[2.0, -4.0]]))
    array([4.])
    """

    slope_at_kink = "1"

    def __init__(self, dtype: str = "float64") -> None:
        self.dtype = jnp.dtype(dtype)

    def with_dtype(self, dtype: str) -> JaxImplementation:
        """The same in another format; bfloat16 numbers come and go as float32 arrays."""
        return JaxImplementation(dtype)

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        W, a, X = self._native(W, a, X)
        return self._array(_outputs(W, a, slope, X))

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)."""
        W, a, X, y = self._native(W, a, X, y)
        return float(_loss(W, a, slope, X, y, loss))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) by `jax.grad`, shape (m, d)."""
        W, a, X, y = self._native(W, a, X, y)
        return self._array(_gradient(W, a, slope, X, y, loss))

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps, shape (m, d)."""
        weights, a, X, y = self._native(W, a, X, y)
        for _ in range(steps):
            weights = weights - step_size * _gradient(weights, a, slope, X, y, loss)
        return self._array(weights)

    def stable_rank(self, W: Array) -> float:
        """‖W‖_F²/‖W‖₂² from singular values."""
        weights = self._native(W)[0]
        wide = weights.astype(jnp.float32) if self.dtype.itemsize < 4 else weights  # no decomposition in fewer bits
        sigma = jnp.linalg.svd(wide, compute_uv=False)
        return float(jnp.sum((sigma / sigma[0]) ** 2))

    def _native(self, *arrays: Array) -> list[Any]:
        """In this machine's order of bytes: `jax.jit` reads others as if they were."""
        return [jnp.asarray(np.asarray(x, dtype=np.float64), dtype=self.dtype) for x in arrays]

    def _array(self, x: Any) -> Array:
        return np.array(x, dtype=np.float32 if self.dtype == jnp.bfloat16 else None)


def _outputs(W: Any, a: Any, slope: Any, X: Any) -> Any:
    return jax.nn.leaky_relu(jnp.asarray(X) @ jnp.asarray(W).T, slope) @ jnp.asarray(a)


def _loss(W: Any, a: Any, slope: Any, X: Any, y: Any, loss: str) -> Any:
    q = jnp.asarray(y) * _outputs(W, a, slope, X)
    return jnp.mean(jax.nn.softplus(-q) if loss == "logistic" else jnp.exp(-q))


@partial(jax.jit, static_argnames="loss")
def _gradient(W: Any, a: Any, slope: Any, X: Any, y: Any, loss: str) -> Any:
    return jax.grad(_loss)(W, a, slope, X, y, loss)


implementation = JaxImplementation()
"""For `--implementation verification.adapters.jax:implementation`."""
