"""Which arrays of a checkpoint are the two layers: by their shapes, or by the names that the user gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FileFormatError

__all__ = ["Layers", "Names", "find_layers"]

TRAINED = ("weight", "negative_slope")
"""How the names of single numbers end that PyTorch's and Flax's `PReLU` train."""

AUDITED = "two layers with one fixed slope are audited"

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Names:
    """Names of arrays, as the user gives them; None where the shapes shall tell."""

    first: str | None = None
    second: str | None = None
    bias: str | None = None


@dataclass(frozen=True, eq=False)
class Layers:
    """W, shape (m, d); a, shape (m,), and the bias, shape (m,), or None; and the name of the array that is W."""

    W: NDArray[Any]
    second_layer: NDArray[Any] | None
    bias: NDArray[Any] | None
    first_name: str


def find_layers(path: str, arrays: Arrays, d: int, names: Names) -> Layers:
    """W, a and the bias among the arrays of a file.

    W is the one matrix with d rows or columns that another array fits as second layer: (1, m), (m, 1), or (m,) if that
    is no bias. PyTorch keeps (m, d), Keras and Flax (d, m). Where m = d the second layer decides, (m, 1) for the
    latter, or a name that ends in "kernel".

    Parameters
    ----------
    path : str
        For messages.
    arrays : mapping of str to ndarray
        Of floating-point numbers.
    d : int
        Dimension of the samples.
    names : Names

    Raises
    ------
    FileFormatError
        If an array that is named is missing, several could be a layer, none could, or the network has more outputs,
        more layers, a trained slope, or an output bias.

    Examples
    --------
    >>> state = {"fc1.weight": np.ones((3, 5)), "fc1.bias": np.ones(3), "fc2.weight": np.ones((1, 3))}
    >>> layers = find_layers("a.pt", state, 5, Names())
    >>> layers.W.shape, layers.second_layer, layers.bias
    ((3, 5), array([1., 1., 1.]), array([1., 1., 1.]))
    """
    for name in (names.first, names.second, names.bias):
        if name is not None and name not in arrays:
            raise FileFormatError(path, f"it has no array {name}; it holds {_listed(arrays)}")
    first = _first(path, arrays, d, names)
    a_name = _second(path, arrays, d, names, first)
    W = _upright(arrays[first], d, first, None if a_name is None else arrays[a_name])
    bias = _bias(path, arrays, names, len(W), {first, a_name})
    _check_others(path, arrays, names, {first, a_name or "", bias or ""}, a_name is not None)
    a = None if a_name is None else np.ravel(arrays[a_name])
    return Layers(W, a, None if bias is None else _vector(path, arrays, bias, len(W)), first)


def _first(path: str, arrays: Arrays, d: int, names: Names) -> str:
    if names.first is not None:
        return names.first
    fitting = [name for name, x in arrays.items() if x.ndim == 2 and d in x.shape and name != names.second]
    with_second = [name for name in fitting if _seconds(arrays, d, name, names)]
    found = with_second or fitting
    if len(found) == 1:
        return found[0]
    if not found:
        raise FileFormatError(path, f"no matrix in it has d = {d} rows or columns; it holds {_listed(arrays)}")
    raise FileFormatError(path, f"{_listed(arrays, found)} could each be the first layer: --first-layer names it")


def _second(path: str, arrays: Arrays, d: int, names: Names, first: str) -> str | None:
    m = _width(arrays[first], d)
    if names.second is not None:
        shape = arrays[names.second].shape
        one_output = len(shape) == 1 or (len(shape) == 2 and 1 in shape)
        if not one_output or arrays[names.second].size != (m or arrays[names.second].size):
            raise FileFormatError(
                path, f"{names.second} of shape {shape} is no second layer of {m} neurons, one output"
            )
        return names.second
    found = _seconds(arrays, d, first, names)
    if len(found) > 1:
        raise FileFormatError(path, f"{_listed(arrays, found)} could each be the second layer: --second-layer names it")
    return found[0] if found else None


def _seconds(arrays: Arrays, d: int, first: str, names: Names) -> list[str]:
    """What fits `first` as second layer: rows or columns if there are any, else vectors that are no bias."""
    m = _width(arrays[first], d)
    others = {name: x for name, x in arrays.items() if name not in (first, names.bias) and x.size == m}
    if names.second is not None:
        return [names.second] if names.second in others else []
    flat = [name for name, x in others.items() if x.ndim == 2 and 1 in x.shape]
    return flat or [name for name, x in others.items() if x.ndim == 1 and not _is_bias(name)]


def _bias(path: str, arrays: Arrays, names: Names, m: int, taken: set[str | None]) -> str | None:
    if names.bias is not None:
        return names.bias
    found = [name for name, x in arrays.items() if name not in taken and x.shape == (m,) and m > 1]
    if len(found) > 1:
        raise FileFormatError(
            path, f"{_listed(arrays, found)} could each be the first layer's bias: --first-bias names it"
        )
    if found and not _is_bias(found[0]):
        what = "is no bias by its name, and could be a norm's or a trained slope: --first-bias says that it is one"
        raise FileFormatError(path, f"{_listed(arrays, found)} {what}")
    return found[0] if found else None


def _check_others(path: str, arrays: Arrays, names: Names, taken: set[str], complete: bool) -> None:
    """Refuse what would make the network another one; arrays beside two layers that the user named are left alone."""
    rest = {name: x for name, x in arrays.items() if name not in taken}
    biases = [name for name, x in rest.items() if x.size == 1 and _is_bias(name) and np.any(x != 0.0)]
    if biases:
        raise FileFormatError(path, f"{biases[0]} is an output bias, and the theory speaks of networks without one")
    if names.first is not None and names.second is not None:
        return
    slopes = [name for name, x in rest.items() if x.size == 1 and name.lower().endswith(TRAINED)]
    if slopes:
        raise FileFormatError(path, f"{slopes[0]} is a trained slope, or one more layer: {AUDITED}")
    outputs = [name for name, x in rest.items() if x.ndim >= 2 and x.size > max(x.shape)]
    if outputs and not complete:
        what = "is a second layer with more outputs, or one more layer: one output is audited"
        raise FileFormatError(path, f"{_listed(rest, outputs)} {what}")
    if outputs:
        raise FileFormatError(path, f"{_listed(rest, outputs)} is one more layer: {AUDITED}")


def _width(x: NDArray[Any], d: int) -> int | None:
    """The m of a matrix with d rows or columns."""
    if x.ndim != 2 or d not in x.shape:
        return None
    return int(x.shape[0] if x.shape[1] == d else x.shape[1])


def _upright(x: NDArray[Any], d: int, name: str, second: NDArray[Any] | None) -> NDArray[Any]:
    """The matrix with a row for each neuron."""
    if x.ndim == 2 and x.shape[0] == d and (x.shape[1] != d or _is_kernel(name, second)):
        return x.T
    return x


def _is_kernel(name: str, second: NDArray[Any] | None) -> bool:
    if second is not None and second.ndim == 2 and second.shape[0] != second.shape[1]:
        return second.shape[1] == 1
    return name.lower().endswith("kernel")


def _is_bias(name: str) -> bool:
    last = name.lower().replace("/", ".").split(".")[-1]
    return last.endswith("bias") or last in ("b", "b1", "b2")


def _vector(path: str, arrays: Arrays, name: str, m: int) -> NDArray[Any]:
    if arrays[name].size != m:
        raise FileFormatError(path, f"{name} of shape {arrays[name].shape} is no bias of {m} neurons")
    return np.ravel(arrays[name])


def _listed(arrays: Arrays, names: Iterable[str] | None = None) -> str:
    """Names with shapes, at most eight of them."""
    told = [f"{name} {arrays[name].shape}" for name in (arrays if names is None else names)]
    rest = len(told) - 8
    return ", ".join(told[:8]) + (f" and {rest} more" if rest > 0 else "") if told else "nothing"
