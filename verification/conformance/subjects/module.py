"""A plain `torch.nn.Module` as an implementation: `--implementation torch:mypackage.MyModule`.

Two linear layers without bias, and a leaky ReLU between them. The weights of each case are copied in, the second
layer is frozen, and the module's own `forward` is called with X; its gradient is autograd's.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError, MissingExtraError
from refimpl.validation import Array

try:
    torch: Any = import_module("torch")
except ImportError as error:
    raise MissingExtraError("torch", "torch") from error

__all__ = ["ModuleImplementation"]

SLOPES = ("negative_slope", "slope")
"""Attributes, of a part of the module or of itself, that hold γ."""


class ModuleImplementation:
    """A module, or a class or function that makes one of the sizes (d, m), (d, m, 1) or none.

    Parameters
    ----------
    module : torch.nn.Module, or callable
    name : str
        For messages.
    dtype : str

    Raises
    ------
    InvalidParameterError
        If the module has not two linear layers without bias, one after the other, and one slope.
    """

    def __init__(self, module: Any, name: str, dtype: str = "float64") -> None:
        self.given, self.name, self.dtype = module, name, dtype
        self._module = module if isinstance(module, torch.nn.Module) else _made(module, name)
        self._layers(self._module)

    def with_dtype(self, dtype: str) -> ModuleImplementation:
        """The same in another format; bfloat16 numbers come and go as float32 arrays."""
        return ModuleImplementation(self._module, self.name, dtype)

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        with torch.no_grad():
            return _array(self._outputs(self._with(W, a, slope), X))

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)."""
        with torch.no_grad():
            return float(self._loss(self._with(W, a, slope), X, y, loss))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W) by autograd, shape (m, d)."""
        module = self._with(W, a, slope)
        self._loss(module, X, y, loss).backward()
        return _array(self._layers(module)[0].weight.grad)

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps of `torch.optim.SGD` on the first layer, shape (m, d)."""
        module = self._with(W, a, slope)
        weight = self._layers(module)[0].weight
        optimizer = torch.optim.SGD([weight], lr=step_size)
        for _ in range(steps):
            optimizer.zero_grad()
            self._loss(module, X, y, loss).backward()
            optimizer.step()
        return _array(weight)

    def _with(self, W: Array, a: Array, slope: float) -> Any:
        """A copy of the module with these weights and this slope."""
        module = copy.deepcopy(self._module)
        first, second = self._layers(module)
        first.weight = torch.nn.Parameter(self._tensor(W))
        second.weight = torch.nn.Parameter(self._tensor(a)[None, :], requires_grad=False)
        for part, attribute in _slopes(module):
            setattr(part, attribute, slope)
        return module

    def _layers(self, module: Any) -> list[Any]:
        """The first and the second one, in whatever order they were made: the second has one output."""
        layers = [part for part in module.modules() if isinstance(part, torch.nn.Linear)]
        layers.sort(key=lambda layer: layer.out_features == 1)
        biased = sum(layer.bias is not None for layer in layers)
        if len(layers) != 2 or biased:
            raise self._refused(
                f"have two linear layers without bias, and has {len(layers)}, {biased} of them with a bias"
            )
        if layers[1].out_features != 1 or layers[1].in_features != layers[0].out_features:
            shapes = " and ".join(f"{layer.in_features} to {layer.out_features}" for layer in layers)
            raise self._refused(f"have a layer from d inputs to m and one from m to 1, and has {shapes}")
        if any("weight" not in layer._parameters for layer in layers):
            raise self._refused("hold its weights as they are: those of a linear layer are computed from others")
        if not _slopes(module):
            raise self._refused(
                "hold its slope in a torch.nn.LeakyReLU, or in an attribute `slope` or `negative_slope`"
            )
        return layers

    def _refused(self, why: str) -> InvalidParameterError:
        return InvalidParameterError("implementation", why, self.name)

    def _outputs(self, module: Any, X: Array) -> Any:
        return module(self._tensor(X)).reshape(len(X))

    def _loss(self, module: Any, X: Array, y: Array, loss: str) -> Any:
        q = self._tensor(y) * self._outputs(module, X)
        return (-torch.nn.functional.logsigmoid(q) if loss == "logistic" else torch.exp(-q)).mean()

    def _tensor(self, x: Array) -> Any:
        return torch.tensor(np.array(x, dtype=np.float64, order="C")).to(getattr(torch, self.dtype))


def _made(make: Callable[..., Any], name: str) -> Any:
    """A module of three inputs and two neurons, or of its own sizes."""
    try:
        required = [p for p in inspect.signature(make).parameters.values() if p.default is p.empty]
        module = make(*(3, 2, 1)[: len(required)])
    except Exception as error:
        why = f"be a torch.nn.Module, or be made by (), (d, m) or (d, m, 1) ({type(error).__name__}: {error})"
        raise InvalidParameterError("implementation", why, name) from error
    if not isinstance(module, torch.nn.Module):
        raise InvalidParameterError("implementation", "be a torch.nn.Module", name)
    return module


def _slopes(module: Any) -> list[tuple[Any, str]]:
    return [
        (part, attribute)
        for part in module.modules()
        for attribute in SLOPES
        if isinstance(getattr(part, attribute, None), float | int)
    ]


def _array(x: Any) -> Array:
    x = x.detach()
    return np.array((x.float() if x.dtype == torch.bfloat16 else x).numpy())
