"""What (C) and the closed form share: weights of two rows, the masses of the signs, the slopes c and c' (section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array

__all__ = ["TwoRows", "relative_masses", "slopes_by_sign"]


@dataclass(frozen=True, eq=False)
class TwoRows:
    """Weights whose rows are √m |a_j| v on J₊ and √m |a_j| u on J₋."""

    v: Array
    u: Array
    v_coefficients: Array
    u_coefficients: Array
    second_layer: Array
    X: Array

    @property
    def coefficients(self) -> Array:
        """C with W = C X, shape (m, n)."""
        return self.rows_of((self.v_coefficients, self.u_coefficients))

    def weights(self) -> Array:
        """W, shape (m, d)."""
        return self.rows_of((self.v, self.u))

    def rows_of(self, pair: Sequence[Array] | Array) -> Array:
        """√m |a_j| times the first of the pair on J₊, and the second on J₋."""
        a = self.second_layer[:, None]
        return np.asarray(np.sqrt(a.size) * np.abs(a) * np.where(a > 0.0, *pair))


def relative_masses(network: TwoLayerNetwork, data: Dataset) -> tuple[float, float, float]:
    """A₊/A, A₋/A with A = A₊ + A₋, and the unit A · max K_ii in which 1/λ is measured."""
    mass = network.mass
    unit = mass * float(data.squared_norms.max())
    return network.mass_positive / mass, network.mass_negative / mass, unit


def slopes_by_sign(network: TwoLayerNetwork, y: Array) -> tuple[Array, Array]:
    """c = (1, γ) and c' = (γ, 1) for y = (+1, -1): the slopes of J₊ and of J₋."""
    return np.where(y > 0.0, 1.0, network.slope), np.where(y > 0.0, network.slope, 1.0)
