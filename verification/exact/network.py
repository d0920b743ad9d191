"""The network over the rationals: γ, A₊ and A₋, and how they were read from floats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError
from refimpl.network import TwoLayerNetwork

__all__ = ["ExactNetwork", "exact_network", "squares_of", "total"]

SLOPE_BITS = 2400  # largest length of γ's numerator and denominator; a float needs 1,127


@dataclass(frozen=True)
class ExactNetwork:
    """The network as the certificate reads it.

    Attributes
    ----------
    slope : Fraction
        γ.
    slope_source : {"float", "fraction"}
        Whether γ is the exact value of the network's float or a fraction given as one.
    second_layer : {"signs", "floats"}
        Whether a is read as the exact ±1/√m or as the exact values of its floats.
    positive, negative : int
        m₁ and m₂.
    mass_positive, mass_negative : Fraction
        A₊ and A₋.
    """

    slope: Fraction
    slope_source: str
    second_layer: str
    positive: int
    negative: int
    mass_positive: Fraction
    mass_negative: Fraction


def exact_network(network: TwoLayerNetwork, slope: Fraction | None = None) -> ExactNetwork:
    """γ, A₊ and A₋ as rationals, and how they were read."""
    gamma = network.require_leaky_relu("a certificate").slope
    if gamma == 0.0:
        raise InvalidParameterError("slope", "be positive for a certificate (section 5 does not cover γ = 0)", gamma)
    if slope is not None and not (isinstance(slope, Fraction) and 0 < slope <= 1 and float(slope) == gamma):
        raise InvalidParameterError("slope", f"be a Fraction whose nearest float is the network's {gamma!r}", slope)
    if slope is not None and slope.denominator.bit_length() > SLOPE_BITS:
        raise InvalidParameterError("slope", f"have a denominator below 2^{SLOPE_BITS}", float(slope))
    squares, signs = squares_of(network)
    mass_positive = total(square for square, positive in zip(squares, network.positive, strict=True) if positive)
    positive = int(network.positive.sum())
    return ExactNetwork(
        slope=Fraction(gamma) if slope is None else slope,
        slope_source="float" if slope is None else "fraction",
        second_layer="signs" if signs else "floats",
        positive=positive,
        negative=network.m - positive,
        mass_positive=mass_positive,
        mass_negative=total(squares) - mass_positive,
    )


def squares_of(network: TwoLayerNetwork) -> tuple[list[Fraction], bool]:
    """The a_j², and whether a is read as the exact ±1/√m.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> squares_of(TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5)))
    ([Fraction(1, 3), Fraction(1, 3), Fraction(1, 3)], True)
    """
    a, m = network.second_layer, network.m
    signs = bool(np.all(np.abs(a) == 1.0 / np.sqrt(m)))
    return [Fraction(1, m) if signs else Fraction(float(a_j)) ** 2 for a_j in a], signs


def total(values: Any) -> Fraction:
    """Σ of fractions, over their common denominator at once."""
    values = list(values)
    denominator = math.lcm(*(value.denominator for value in values))
    return Fraction(sum(value.numerator * (denominator // value.denominator) for value in values), denominator)
