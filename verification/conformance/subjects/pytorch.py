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

    def __init__(self, dtype: str = "float64") -> None:
        self.dtype = getattr(torch, dtype)

    def with_dtype(self, dtype: str) -> PyTorchImplementation:
        """The same in another format; bfloat16 numbers come and go as float32 arrays."""
        return PyTorchImplementation(dtype)

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        return self._array(self._outputs(self._tensor(W), self._tensor(a), slope, self._tensor(X)))

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)."""
        return float(self._loss(self._tensor(W), a, slope, X, y, loss))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) by autograd, shape (m, d)."""
        weights = self._tensor(W).requires_grad_(True)
        self._loss(weights, a, slope, X, y, loss).backward()
        return self._array(weights.grad)

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps of `torch.optim.SGD`, shape (m, d)."""
        weights = self._tensor(W).requires_grad_(True)
        optimizer = torch.optim.SGD([weights], lr=step_size)
        for _ in range(steps):
            optimizer.zero_grad()
            self._loss(weights, a, slope, X, y, loss).backward()
            optimizer.step()
        return self._array(weights)

    def stable_rank(self, W: Array) -> float:
        """‖W‖_F²/‖W‖₂² from singular values."""
        wide = (
            torch.float32 if self.dtype in (torch.float16, torch.bfloat16) else self.dtype
        )  # no decomposition in those
        sigma = torch.linalg.svdvals(self._tensor(W).to(wide))
        return float(((sigma / sigma[0]) ** 2).sum())

    def _tensor(self, x: Array) -> Any:
        """A copy, so that nothing is written into the caller's array, of any memory layout and order of bytes."""
        return torch.tensor(np.array(x, dtype=np.float64, order="C"), dtype=torch.float64).to(self.dtype)

    def _array(self, x: Any) -> Array:
        x = x.detach()
        return np.asarray((x.float() if x.dtype == torch.bfloat16 else x).numpy())

    def _outputs(self, W: Any, a: Any, slope: float, X: Any) -> Any:
        return torch.nn.functional.leaky_relu(X @ W.T, slope) @ a

    def _loss(self, W: Any, a: Array, slope: float, X: Array, y: Array, loss: str) -> Any:
        q = self._tensor(y) * self._outputs(W, self._tensor(a), slope, self._tensor(X))
        return (-torch.nn.functional.logsigmoid(q) if loss == "logistic" else torch.exp(-q)).mean()


implementation = PyTorchImplementation()
"""For `--implementation verification.adapters.pytorch:implementation`."""
