"""A small problem, and how far two matrices are from each other."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import ExponentialLoss, LeakyReLU, LogisticLoss, SmoothLeakyReLU, TwoLayerNetwork, datasets
from refimpl.errors import RunInterrupted

EPS = float(np.finfo(np.float64).eps)
ACTIVATIONS = [LeakyReLU(0.1), LeakyReLU(0.7), SmoothLeakyReLU(0.3, 2.0), LeakyReLU(0.0), LeakyReLU(1.0)]
LOSSES = [LogisticLoss(), ExponentialLoss()]


def problem(activation=ACTIVATIONS[0], n=6, d=30, scale=0.1, seed=0):
    """Data with some correlation, a second layer of general weights, and W0."""
    rng = np.random.default_rng(seed)
    data = datasets.correlated(n, d, rng, 0.2)
    network = TwoLayerNetwork([0.9, -0.4, 0.3, -1.1, 0.05], activation)
    return network, data, scale * rng.standard_normal((5, d))


# --- how a run ends -------------------------------------------------------------------------------


class Interrupt:
    """A callback that presses Ctrl-C after some steps."""

    def __init__(self, after):
        self.after = after

    def __call__(self, done):
        if done == self.after:
            raise KeyboardInterrupt


def kept(run):
    """What an interrupted run hands to the caller who wants it; the others stop, as at any Ctrl-C."""
    with pytest.raises(RunInterrupted) as stop:
        run()
    assert isinstance(stop.value, KeyboardInterrupt)
    return stop.value.result
