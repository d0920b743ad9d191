"""Two-layer network with a fixed second layer: forward and backward pass written out.

    f(x; W) = Σ_j a_j φ(⟨w_j, x⟩),   W in R^{m x d} trained, a in R^m fixed
    ∂L/∂w_j = -(1/n) Σ_i g_i y_i a_j φ'(z_ji) x_i,   Z = W Xᵀ

(docs/theory.md, section 1). The sum over samples comes last, as one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refimpl.activations import Activation, LeakyReLU
from refimpl.dataset import Dataset, as_dataset
from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.losses import Loss, as_loss
from refimpl.tiles.accumulate import combination, products_with_weights
from refimpl.tiles.columns import ArrayColumns, Columns
from refimpl.validation import (
    Array,
    BoolArray,
    as_count,
    as_finite_array,
    as_frozen_array,
    as_real_array,
    check_memory,
    freeze_arrays,
    remember,
)

__all__ = ["TwoLayerNetwork", "as_network", "check_problem"]


@dataclass(frozen=True, eq=False)
class TwoLayerNetwork:
    """Two-layer network f(x; W) = Σ_j a_j φ(⟨w_j, x⟩) of which only W is trained.

    Parameters
    ----------
    second_layer : array_like, shape (m,)
        a, finite and without zeros; kept read-only, as a copy. The paper's is ±1/√m; see `with_signs`.
    activation : Activation
        φ, such as a `LeakyReLU` or a `SmoothLeakyReLU`.

    Raises
    ------
    InvalidParameterError
        If an entry of `second_layer` is zero, NaN, infinite or masked, or the squares a_j² leave the range of
        float64; if `activation` is none.
    ShapeError
        If `second_layer` is empty or not one-dimensional.

    References
    ----------
    docs/theory.md, section 1.

    Examples
    --------
    >>> network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    >>> network.forward([[1.0, 0.0], [0.0, 1.0]], [[2.0, -4.0]])
    array([4.])
    """

    second_layer: Array
    activation: Activation

    def __post_init__(self) -> None:
        a = as_finite_array("second_layer", self.second_layer, 1)
        if a.size == 0:
            raise ShapeError("second_layer", "(m,) with m >= 1", a.shape)
        if np.any(a == 0.0):
            place = int(np.flatnonzero(a == 0.0)[0])
            raise InvalidParameterError(f"second_layer[{place}]", "not be zero", 0.0)
        with np.errstate(over="ignore"):
            squares = a * a
            if squares.min() < np.finfo(np.float64).tiny or not np.isfinite(squares.sum()):
                raise InvalidParameterError("second_layer", "have squares within the range of float64", a)
        if isinstance(self.activation, type) or not isinstance(self.activation, Activation):
            raise InvalidParameterError("activation", "be an activation such as LeakyReLU(0.1)", self.activation)
        object.__setattr__(self, "second_layer", as_frozen_array("second_layer", a, 1))

    def __setstate__(self, state: dict[str, Any]) -> None:
        remember(self, **freeze_arrays(state))

    @classmethod
    def with_signs(cls, positive: int, negative: int, activation: Activation) -> TwoLayerNetwork:
        """The paper's second layer: a_j = +1/√m for `positive` neurons, then -1/√m for `negative`.

        Parameters
        ----------
        positive, negative : int >= 0, not both zero
            m₁ and m₂.
        activation : Activation
            φ.

        Returns
        -------
        TwoLayerNetwork

        Raises
        ------
        InvalidParameterError
            For bad arguments, and if so many neurons would not fit into memory.

        Examples
        --------
        >>> TwoLayerNetwork.with_signs(3, 1, LeakyReLU(0.1)).second_layer
        array([ 0.5,  0.5,  0.5, -0.5])
        """
        positive = as_count("positive", positive, 0)
        negative = as_count("negative", negative, 0)
        m = positive + negative
        if m == 0:
            raise InvalidParameterError("positive + negative", "be at least 1", 0)
        check_memory("positive + negative", m, 4 * m)
        signs = np.concatenate([np.ones(positive), -np.ones(negative)])
        return cls(signs / np.sqrt(m), activation)

    @property
    def m(self) -> int:
        """Number of neurons."""
        return int(self.second_layer.size)

    @property
    def slope(self) -> float:
        """γ, the smallest slope of the activation."""
        return self.activation.slope

    @property
    def positive(self) -> BoolArray:
        """J₊ as a mask: the neurons with a_j > 0, shape (m,)."""
        return self.second_layer > 0.0

    @property
    def mass_positive(self) -> float:
        """A₊ = Σ_{j in J₊} a_j²; equal to m₁/m for a = ±1/√m."""
        return float(np.sum(self.second_layer[self.positive] ** 2))

    @property
    def mass_negative(self) -> float:
        """A₋ = Σ_{j in J₋} a_j²; equal to m₂/m for a = ±1/√m."""
        return float(np.sum(self.second_layer[~self.positive] ** 2))

    @cached_property
    def mass(self) -> float:
        """A = Σ_j a_j² = A₊ + A₋ = ‖a‖²; equal to 1 for a = ±1/√m, to rounding."""
        return float(np.sum(self.second_layer**2))

    def require_leaky_relu(self, purpose: str) -> LeakyReLU:
        """The activation, if it is a `LeakyReLU`; else one sentence that says what needs it."""
        if not isinstance(self.activation, LeakyReLU):
            raise InvalidParameterError("activation", f"be a LeakyReLU for {purpose}", self.activation)
        return self.activation

    def preactivations(self, W: Any, X: Any) -> Array:
        """Z = W Xᵀ.

        Parameters
        ----------
        W : array_like, shape (m, d)
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (m, n)

        Raises
        ------
        ShapeError
            If the shapes do not fit.
        InvalidParameterError
            If an entry of W or X is NaN or infinite, or the product overflows.
        """
        W = self._checked_weights(W)
        if isinstance(X, Columns):
            return _preactivations_in_tiles(W, X)
        X = as_real_array("X", X, 2)
        if X.shape[1] != W.shape[1]:
            raise ShapeError("X", f"(n, {W.shape[1]})", X.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            Z = W @ X.T
        if not np.isfinite(Z).all():  # a NaN or infinity in W or X always reaches Z
            as_finite_array("W", W, 2)
            as_finite_array("X", X, 2)
            _refuse_overflow("W Xᵀ", Z)
        return np.asarray(Z)

    def forward(self, W: Any, X: Any) -> Array:
        """f(x_i; W) = Σ_j a_j φ(z_ji) for every row x_i of X.

        Parameters
        ----------
        W : array_like, shape (m, d)
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        ShapeError, InvalidParameterError
            As in `preactivations`, and if the sum over neurons overflows.
        """
        return self._outputs_in_range(self.preactivations(W, X))

    def outputs(self, Z: Array) -> Array:
        """f from the preactivations: Σ_j a_j φ(z_ji), shape (n,)."""
        return np.asarray(self.second_layer.dot(self.activation.value(Z)))

    def margins(self, W: Any, data: Dataset) -> Array:
        """q_i = y_i f(x_i; W), shape (n,); raises what `forward` raises."""
        return as_dataset(data).y * self.forward(W, data.X)

    def loss(self, W: Any, data: Dataset, loss: Loss | str | None = None) -> float:
        """L(W) = (1/n) Σ_i ℓ(q_i), inf above the largest float; logistic unless `loss` says otherwise."""
        return _mean(as_loss(loss).value(self.margins(W, data)))

    def loss_and_gradient(self, W: Any, data: Dataset, loss: Loss | str | None = None) -> tuple[float, Array]:
        """L(W) and its gradient with respect to W.

        ∂L/∂w_j = -(1/n) Σ_i g_i y_i a_j Φ_ji x_i with Φ_ji = φ'(z_ji). At a kink (z_ji = 0) of the
        leaky ReLU the derivative is taken to be 1; any number of [γ, 1] would be a Clarke
        subgradient. Everything of size (m, n) is finished before the one product with X, so the
        sum over samples comes last.

        Parameters
        ----------
        W : array_like, shape (m, d)
        data : Dataset
        loss : Loss or str, optional
            ℓ; logistic by default.

        Returns
        -------
        value : float
        gradient : ndarray, shape (m, d)

        Raises
        ------
        ShapeError, InvalidParameterError
            As in `forward`, and if the gradient overflows (exponential loss at margins below -700).

        References
        ----------
        docs/theory.md, section 1.

        Examples
        --------
        >>> network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
        >>> value, gradient = network.loss_and_gradient([[0.0]], Dataset([[1.0]], [1.0]))
        >>> print(round(value, 6), gradient)
        0.693147 [[-0.5]]
        """
        loss = as_loss(loss)
        Z = self.preactivations(W, as_dataset(data).X)
        q = data.y * self._outputs_in_range(Z)
        g = loss.weight(q)
        with np.errstate(over="ignore", invalid="ignore"):
            backward = self.activation.derivative(Z)  # Φ
            backward *= self.second_layer[:, None]
            backward *= -(g * data.y) / data.n
            gradient = combination(backward, data.X)
        _refuse_overflow("∇L(W)", gradient)
        return _mean(loss.value(q)), gradient

    def input_gradient(self, W: Any, X: Any) -> Array:
        """∇_x f(x_i; W) = Σ_j a_j φ'(z_ji) w_j for every row of X.

        Parameters
        ----------
        W : array_like, shape (m, d)
        X : array_like, shape (n, d)

        Returns
        -------
        ndarray, shape (n, d)

        Raises
        ------
        ShapeError, InvalidParameterError
            As in `preactivations`, and if the sum over neurons overflows.
        """
        Z = self.preactivations(W, X)
        with np.errstate(over="ignore", invalid="ignore"):
            backward = self.second_layer[:, None] * self.activation.derivative(Z)
            gradient = np.asarray(backward.T @ self._checked_weights(W))
        _refuse_overflow("∇f(x; W)", gradient)
        return gradient

    def _outputs_in_range(self, Z: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            f = self.outputs(Z)
        _refuse_overflow("f(x; W)", f)
        return f

    def _checked_weights(self, W: Any) -> Array:
        W = as_real_array("W", W, 2)
        if W.shape[0] != self.m:
            raise ShapeError("W", f"({self.m}, d)", W.shape)
        return W


def as_network(network: Any) -> TwoLayerNetwork:
    """`network`, if it is a `TwoLayerNetwork`; else one sentence."""
    if not isinstance(network, TwoLayerNetwork):
        raise InvalidParameterError("network", "be a TwoLayerNetwork", network)
    return network


def check_problem(network: Any, data: Any, purpose: str | None = None) -> None:
    """One sentence unless `network` is a `TwoLayerNetwork` and `data` a `Dataset`.

    Parameters
    ----------
    network, data
        What the caller passed.
    purpose : str, optional
        Name of a function that needs a `LeakyReLU`; without it any activation will do.

    Raises
    ------
    InvalidParameterError
        If one is something else.

    Examples
    --------
    >>> try:
    ...     check_problem("resnet", Dataset([[1.0]], [1]))
    ... except InvalidParameterError as error:
    ...     print(error)
    `network` must be a TwoLayerNetwork; got 'resnet'.
    """
    as_network(network)
    as_dataset(data)
    if purpose is not None:
        network.require_leaky_relu(purpose)


def _preactivations_in_tiles(W: Array, X: Columns) -> Array:
    if X.shape[1] != W.shape[1]:
        raise ShapeError("X", f"(n, {W.shape[1]})", X.shape)
    ((Z, _),) = products_with_weights(X, [ArrayColumns(as_finite_array("W", W, 2))])
    _refuse_overflow("W Xᵀ", Z)
    return Z


def _mean(values: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.mean(values))


def _refuse_overflow(name: str, values: Array) -> None:
    if not np.isfinite(values).all():
        raise InvalidParameterError(name, "stay below the largest float", "an overflow")
