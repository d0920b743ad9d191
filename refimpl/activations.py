"""Activations: the leaky ReLU and its smooth relative (docs/theory.md, section 1).

Both are γ-leaky: every slope lies in [γ, 1]. The letter γ is `slope`, H is `smoothness`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.validation import Array, as_positive, as_real_array, as_unit_interval

__all__ = ["Activation", "LeakyReLU", "SmoothLeakyReLU"]


@runtime_checkable
class Activation(Protocol):
    """What a network needs of an activation φ."""

    @property
    def slope(self) -> float:
        """γ, the smallest slope."""
        ...

    def value(self, z: Any) -> Array:
        """φ(z)."""
        ...

    def derivative(self, z: Any) -> Array:
        """φ'(z)."""
        ...

    def clarke_interval(self, z: Any, tolerance: Any = 0.0) -> tuple[Array, Array]:
        """Ends of the Clarke subdifferential ∂φ(z)."""
        ...


@dataclass(frozen=True)
class LeakyReLU:
    """Leaky ReLU φ(z) = max(γz, z).

    Parameters
    ----------
    slope : float in [0, 1]
        γ. 0 gives the ReLU and 1 the identity.

    Raises
    ------
    InvalidParameterError
        If `slope` lies outside [0, 1] or is not a number.

    Notes
    -----
    At the kink z = 0 (of either sign) the derivative is 1 by convention; the whole Clarke
    interval is [γ, 1].

    References
    ----------
    docs/theory.md, section 1.

    Examples
    --------
    >>> phi = LeakyReLU(0.1)
    >>> phi.value([-2.0, 0.0, 3.0])
    array([-0.2,  0. ,  3. ])
    >>> phi.derivative([-2.0, 0.0, 3.0])
    array([0.1, 1. , 1. ])
    >>> phi.clarke_interval(0.0)
    (array(0.1), array(1.))
    """

    slope: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", as_unit_interval("slope", self.slope))

    def value(self, z: Any) -> Array:
        """φ(z) = max(γz, z), elementwise."""
        z = as_real_array("z", z)
        return np.maximum(self.slope * z if self.slope > 0.0 else 0.0, z)  # 0 · inf is no number

    def derivative(self, z: Any) -> Array:
        """φ'(z): 1 where z >= 0, else γ. The value at the kink z = 0 is 1."""
        z = as_real_array("z", z)
        return np.where(z >= 0.0, 1.0, self.slope)

    def clarke_interval(self, z: Any, tolerance: Any = 0.0) -> tuple[Array, Array]:
        """Ends (low, high) of ∂φ(z): [γ, 1] where |z| <= `tolerance`, else the point φ'(z)."""
        z = as_real_array("z", z)
        at_kink = np.abs(z) <= _checked_tolerance(tolerance, z)
        slope = self.derivative(z)
        return np.where(at_kink, self.slope, slope), np.where(at_kink, 1.0, slope)


@dataclass(frozen=True)
class SmoothLeakyReLU:
    """γ-leaky, H-smooth activation: quadratic on |z| < 1/H and of slope γ or 1 outside.

    φ(z) = z - (1-γ)/(4H) for z >= 1/H, (1-γ)Hz²/4 + (1+γ)z/2 for |z| < 1/H and
    γz - (1-γ)/(4H) for z <= -1/H. It is not homogeneous.

    Parameters
    ----------
    slope : float in [0, 1]
        γ.
    smoothness : float > 0
        H; φ' is H-Lipschitz, and φ tends to the leaky ReLU as H grows.

    Raises
    ------
    InvalidParameterError
        If `slope` lies outside [0, 1] or `smoothness` is not finite and positive.

    References
    ----------
    docs/theory.md, section 1; the activation of the paper's part on gradient descent.

    Examples
    --------
    >>> phi = SmoothLeakyReLU(0.5, smoothness=2.0)
    >>> phi.derivative([-1.0, -0.5, 0.0, 0.5, 1.0])
    array([0.5 , 0.5 , 0.75, 1.  , 1.  ])
    """

    slope: float
    smoothness: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "slope", as_unit_interval("slope", self.slope))
        H = as_positive("smoothness", self.smoothness)
        if float("inf") == 1.0 / H:
            raise InvalidParameterError("smoothness", "have a reciprocal within the range of float64", H)
        object.__setattr__(self, "smoothness", H)

    def value(self, z: Any) -> Array:
        """φ(z), elementwise."""
        z = as_real_array("z", z)
        gamma, H = self.slope, self.smoothness
        middle = np.clip(z, -1.0 / H, 1.0 / H)  # keeps the unused branch of `where` in range
        quadratic = (1.0 - gamma) * (H * middle) * middle / 4.0 + (1.0 + gamma) * middle / 2.0
        linear = np.maximum(gamma * z if gamma > 0.0 else 0.0, z) - (1.0 - gamma) / (4.0 * H)
        return np.where(np.abs(z) < 1.0 / H, quadratic, linear)

    def derivative(self, z: Any) -> Array:
        """φ'(z) = (1-γ)Hz/2 + (1+γ)/2 on |z| < 1/H, else γ or 1."""
        z = as_real_array("z", z)
        with np.errstate(over="ignore"):
            middle = np.clip(self.smoothness * z, -1.0, 1.0)
        return (1.0 - self.slope) * middle / 2.0 + (1.0 + self.slope) / 2.0

    def clarke_interval(self, z: Any, tolerance: Any = 0.0) -> tuple[Array, Array]:
        """Ends (low, high) of φ' over [z - tolerance, z + tolerance]; a point if tolerance = 0."""
        z = as_real_array("z", z)
        reach = _checked_tolerance(tolerance, z)
        with np.errstate(over="ignore"):
            return self.derivative(z - reach), self.derivative(z + reach)


def _checked_tolerance(tolerance: Any, z: Array) -> Array:
    """`tolerance` as an array of numbers >= 0 that goes with z entry by entry."""
    reach = as_real_array("tolerance", tolerance)
    if not (reach >= 0.0).all() or np.isinf(reach).any():
        raise InvalidParameterError("tolerance", "hold finite numbers that are at least 0", tolerance)
    try:
        np.broadcast_shapes(reach.shape, z.shape)
    except ValueError as error:
        raise ShapeError("tolerance", f"() or that of z, {z.shape}", reach.shape) from error
    return reach
