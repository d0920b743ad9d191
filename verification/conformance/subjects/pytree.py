"""A function of a pytree of parameters as an implementation: `--implementation jax:mypackage.net`.

As flax and its like have it: `net.params`, nested containers that hold the arrays of two layers, and `net.apply`, a
function (params, X, slope) -> f of shape (n,) or (n, 1) that JAX can differentiate. `net` is an object or a module; or,
for what holds its width itself, a function (d, m) that makes one. The weights of each case are put into a tree of the
same structure; what is left of the gradient is that of the first layer.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError
from refimpl.validation import Array
from verification.conformance.subjects.jax import jax, jnp

__all__ = ["ApplyImplementation"]


class ApplyImplementation:
    """Two arrays and a function.

    Parameters
    ----------
    net : object, or callable
        With `params` and `apply`, and `habits` where it has them; or what makes one, called with d and m.
    name : str
        For messages.
    dtype : str

    Raises
    ------
    InvalidParameterError
        If `params` does not hold two arrays from whose shapes the layers can be told: (d, m) or (m, d), and (m,),
        (m, 1) or (1, m), with 1 < m ≠ d > 1.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> def apply(params, X, slope):
    ...     return jax.nn.leaky_relu(X @ params["Dense_0"]["kernel"], slope) @ params["Dense_1"]["kernel"]
    >>> params = {"Dense_0": {"kernel": jnp.zeros((3, 2))}, "Dense_1": {"kernel": jnp.zeros((2, 1))}}
    >>> net = ApplyImplementation(SimpleNamespace(params=params, apply=apply), "net")
    >>> net.forward(np.eye(2), np.array([1.0, -1.0]), 0.5, np.array([[2.0, -4.0]]))
    array([4.])
    """

    slope_at_kink = "1"

    def __init__(self, net: Any, name: str, dtype: str = "float64") -> None:
        self._given, self.name, self.dtype = net, name, jnp.dtype(dtype)
        self.habits = getattr(net, "habits", None)
        makes = callable(net) and not hasattr(net, "params")
        self._net = cache(net) if makes else lambda d, m: net
        net = self._made(net) if makes else net
        if not (hasattr(net, "params") and callable(getattr(net, "apply", None))):
            raise self._refused("have a pytree `params` and a function `apply(params, X, slope)`, or make it of (d, m)")
        leaves, self._tree = jax.tree_util.tree_flatten(net.params)
        shapes = [tuple(np.shape(leaf)) for leaf in leaves]
        wide = [k for k, shape in enumerate(shapes) if len(shape) == 2 and min(shape) > 1]
        if len(shapes) != 2 or len(wide) != 1:
            raise self._refused(f"hold two arrays, (d, m) or (m, d) and (m,), and holds {shapes}")
        self._first = wide[0]
        first, self._second = shapes[self._first], shapes[1 - self._first]
        m = int(np.prod(self._second))
        if first[0] == first[1] or m not in first or max(self._second) != m:
            raise self._refused(f"have layers that shapes tell apart, m neurons and d ≠ m inputs, and has {shapes}")
        self._rows = first[0] == m

    def with_dtype(self, dtype: str) -> ApplyImplementation:
        """The same in another format; bfloat16 numbers come and go as float32 arrays."""
        return ApplyImplementation(self._given, self.name, dtype)

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        return self._array(jax.jit(self._outputs)(self._native(W), self._native(a), slope, self._native(X)))

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)."""
        return float(jax.jit(self._loss, static_argnums=5)(*self._all(W, a, slope, X, y), loss))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) by `jax.grad`, shape (m, d)."""
        return self._array(jax.jit(self._gradient, static_argnums=5)(*self._all(W, a, slope, X, y), loss))

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps on the first layer, shape (m, d)."""
        weights, a_, slope, X_, y_ = self._all(W, a, slope, X, y)
        step = jax.jit(lambda weights: weights - step_size * self._gradient(weights, a_, slope, X_, y_, loss))
        for _ in range(steps):
            weights = step(weights)
        return self._array(weights)

    def _all(self, W: Array, a: Array, slope: float, X: Array, y: Array) -> list[Any]:
        """In this machine's order of bytes: `jax.jit` reads others as if they were."""
        return [self._native(W), self._native(a), slope, self._native(X), self._native(y)]

    def _params(self, W: Any, a: Any) -> Any:
        """A tree like that of the network, with these weights."""
        shape = tuple(len(a) if size > 1 else 1 for size in self._second)
        layers = [W if self._rows else W.T, a.reshape(shape)]
        return jax.tree_util.tree_unflatten(self._tree, layers if self._first == 0 else layers[::-1])

    def _made(self, make: Any) -> Any:
        """A network of three inputs and two neurons."""
        try:
            return make(3, 2)
        except Exception as error:
            raise self._refused(f"make a network of the sizes (d, m) ({type(error).__name__}: {error})") from error

    def _outputs(self, W: Any, a: Any, slope: Any, X: Any) -> Any:
        return self._of(self._params(W, a), slope, X)

    def _of(self, params: Any, slope: Any, X: Any) -> Any:
        m = np.size(jax.tree_util.tree_leaves(params)[1 - self._first])
        return self._net(X.shape[1], m).apply(params, X, slope).reshape(len(X))

    def _loss(self, W: Any, a: Any, slope: Any, X: Any, y: Any, loss: str) -> Any:
        return self._loss_of(self._params(W, a), slope, X, y, loss)

    def _loss_of(self, params: Any, slope: Any, X: Any, y: Any, loss: str) -> Any:
        q = y * self._of(params, slope, X)
        return jnp.mean(jax.nn.softplus(-q) if loss == "logistic" else jnp.exp(-q))

    def _gradient(self, W: Any, a: Any, slope: Any, X: Any, y: Any, loss: str) -> Any:
        """That of the first layer, from the gradient of the whole tree."""
        found = jax.grad(self._loss_of)(self._params(W, a), slope, X, y, loss)
        first = jax.tree_util.tree_leaves(found)[self._first]
        return first if self._rows else first.T

    def _native(self, x: Any) -> Any:
        return jnp.asarray(np.asarray(x, dtype=np.float64), dtype=self.dtype)

    def _array(self, x: Any) -> Array:
        return np.array(x, dtype=np.float32 if self.dtype == jnp.bfloat16 else None)

    def _refused(self, why: str) -> InvalidParameterError:
        return InvalidParameterError("implementation", why, self.name)
