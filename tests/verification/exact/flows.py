"""Small random instances of flows."""

from __future__ import annotations

import numpy as np

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork

__all__ = ["instance"]


def instance(seed):
    """Small, with n <= d <= n + 1, so that what is found is proven fast."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 4))
    counts = [(1, 1), (2, 1), (2, 2), (3, 0), (0, 2), (1, 3)][rng.integers(6)]
    network = TwoLayerNetwork.with_signs(*counts, LeakyReLU(float(rng.choice([0.1, 0.3, 0.5, 0.9]))))
    data = Dataset(rng.standard_normal((n, n + int(rng.integers(2)))), rng.choice([-1.0, 1.0], n))
    return network, data, rng.standard_normal((network.m, data.d)) * 10.0 ** rng.integers(-3, 1)
