"""Reference implementation of gradient methods on two-layer leaky ReLU networks.

Everything is written out in NumPy and SciPy with hand-derived gradients; the formulas stand in
docs/theory.md in the same letters.
"""

from refimpl import datasets
from refimpl.activations import LeakyReLU, SmoothLeakyReLU
from refimpl.dataset import Dataset
from refimpl.descent import gradient_descent
from refimpl.flow import gradient_flow
from refimpl.initialization import GaussianInitialization, gaussian_weights
from refimpl.losses import ExponentialLoss, HingeLoss, LogisticLoss
from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import numerical_rank, stable_rank
from refimpl.stochastic import stochastic_gradient_descent

__all__ = [
    "Dataset",
    "ExponentialLoss",
    "GaussianInitialization",
    "HingeLoss",
    "LeakyReLU",
    "LogisticLoss",
    "SmoothLeakyReLU",
    "TwoLayerNetwork",
    "datasets",
    "gaussian_weights",
    "gradient_descent",
    "gradient_flow",
    "numerical_rank",
    "stable_rank",
    "stochastic_gradient_descent",
]
