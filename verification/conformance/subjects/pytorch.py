"""PyTorch's autograd in float64; φ'(0) = γ, which is what `torch.nn.functional.leaky_relu` backpropagates.

The logistic loss is -logsigmoid(q): `softplus` replaces log(1 + e^x) by x from x = 20 on, which is off by e^{-20}.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from refimpl.errors import MissingExtraError
from refimpl.validation import Array

try:
    torch: Any = import_module("torch")
except ImportError as error:
    raise MissingExtraError("torch", "torch") from error

__all__ = ["PyTorchImplementation", "implementation"]


class PyTorchImplementation:
    """Forward pass and losses as a user of PyTorch writes them.

    Examples
    --------
    >>> implementation.forward(np.eye(2), np.array([1.0, -1.0]), 0.5, np.array([[2.0, -4.0]]))
    array([4.])
    """

    slope_at_kink = "γ"

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        return np.asarray(self._outputs(_tensor(W), _tensor(a), slope, _tensor(X)).numpy())

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)."""
        return float(self._loss(_tensor(W), a, slope, X, y, loss))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) by autograd, shape (m, d)."""
        weights = _tensor(W).requires_grad_(True)
        self._loss(weights, a, slope, X, y, loss).backward()
        return np.asarray(weights.grad.numpy())

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps of `torch.optim.SGD`, shape (m, d)."""
        weights = _tensor(W).requires_grad_(True)
        optimizer = torch.optim.SGD([weights], lr=step_size)
        for _ in range(steps):
            optimizer.zero_grad()
            self._loss(weights, a, slope, X, y, loss).backward()
            optimizer.step()
        return np.asarray(weights.detach().numpy())

    def stable_rank(self, W: Array) -> float:
        """‖W‖_F²/‖W‖₂² from singular values."""
        sigma = torch.linalg.svdvals(_tensor(W))
        return float(((sigma / sigma[0]) ** 2).sum())

    def _outputs(self, W: Any, a: Any, slope: float, X: Any) -> Any:
        return torch.nn.functional.leaky_relu(X @ W.T, slope) @ a

    def _loss(self, W: Any, a: Array, slope: float, X: Array, y: Array, loss: str) -> Any:
        q = _tensor(y) * self._outputs(W, _tensor(a), slope, _tensor(X))
        return (-torch.nn.functional.logsigmoid(q) if loss == "logistic" else torch.exp(-q)).mean()


def _tensor(x: Array) -> Any:
    """A copy, so that nothing is written into the caller's array, of any memory layout and order of bytes."""
    return torch.tensor(np.array(x, dtype=np.float64, order="C"), dtype=torch.float64)


implementation = PyTorchImplementation()
"""For `--implementation verification.adapters.pytorch:implementation`."""
