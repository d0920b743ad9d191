"""Ranks and accumulated weights of a descent where every number is known (docs/theory.md, sections 4 and 8)."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.descent import gradient_descent
from refimpl.spectrum import rank_of_limit

EPS = float(np.finfo(np.float64).eps)


@pytest.mark.parametrize(("second", "rank"), [(50.0 * EPS, 1), (200.0 * EPS, 2), (1e-10, 2), (0.0, 1)])
@pytest.mark.parametrize("scale", [1.0, 2.0**40, 2.0**-40])
def test_the_rank_is_that_of_rounding_in_a_matrix_of_this_size(second: float, rank: int, scale: float) -> None:
    """σ = (1, second) in R^{2 x 100}, W(0) in the span of the data: the threshold is 100 eps σ₁."""
    W0 = np.zeros((2, 100))
    W0[0, 0], W0[1, 1] = scale, scale * second
    data = Dataset(np.eye(100)[:2], [1, -1])
    network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    path = gradient_descent(network, data, W0, 2.0**-80 * scale, 1).trajectory
    assert path.rank[0] == rank


def test_accumulated_weights_are_those_of_the_steps() -> None:
    """W = 0: g = 1/2, and G = (α/n) g after a step; α = 1/4, n = 2."""
    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    path = gradient_descent(network, Dataset(np.eye(2), [1, 1]), np.zeros((1, 2)), 0.25, 1).trajectory
    np.testing.assert_array_equal(path.accumulated_weights, [[0.0, 0.0], [0.0625, 0.0625]])


@pytest.mark.parametrize(("second", "rank"), [(1e-7, 2), (1.1e-8, 2), (0.9e-8, 1), (1e-12, 1)])
def test_the_rank_of_a_limit_is_known_to_eight_digits(second: float, rank: int) -> None:
    assert rank_of_limit(3.0 * np.array([1.0, second])) == rank
