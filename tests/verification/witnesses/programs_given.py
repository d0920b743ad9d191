"""Programs on data of many kinds."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt

import numpy as np

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.errors import InvalidDataError

KINDS = ("plain", "collinear", "scaled", "multiples", "opposite", "one label", "integers", "collinear and scaled")


def instance(seed):
    """A network and data of one of the kinds, n <= 5, or None where the draw is no data set."""
    rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
    n, d, m = int(rng.integers(1, 6)), int(rng.integers(1, 5)), int(rng.integers(1, 4))
    X, y = rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n)
    if kind.startswith("collinear"):
        X = X[:1] * rng.choice([-1, 1], (n, 1)) * rng.uniform(0.5, 2.0, (n, 1)) + 10 ** rng.uniform(-8, -1) * X
    if kind.endswith("scaled"):
        X = X * 10 ** rng.uniform(-3, 3, (n, 1))
    if kind == "multiples":
        X[-1], y[-1] = X[0] * rng.choice([1.0, 2.0, 0.3]), y[0]
    if kind == "opposite" and n > 1:
        X[1] = -X[0] * rng.choice([1.0, 0.5, 3.0])
    if kind == "one label":
        y[:] = 1.0
    if kind == "integers":
        X = rng.integers(-2, 3, (n, d)).astype(float)
        X[~X.any(axis=1)] = 1.0
    a = rng.choice([-1.0, 1.0], m) * (10 ** rng.uniform(-1, 1, m) if seed % 2 else 1.0)
    a = np.abs(a) if seed % 5 == 0 else a
    network = TwoLayerNetwork(a, LeakyReLU(float(rng.choice([0.0, 1e-6, 0.01, 0.1, 0.5, 0.9, 1.0]))))
    try:
        return network, Dataset(X, y)
    except InvalidDataError:
        return None


def distance(found, expected):
    """‖found - expected‖/‖expected‖, the difference over Q."""
    found = [Fraction(value) for value in np.ravel(found).tolist()]
    off = sum((p - q) ** 2 for p, q in zip(found, expected, strict=True))
    return sqrt(off / sum(q * q for q in expected))
