"""Gradient descents that the claims look at (docs/theory.md, sections 4 and 8 to 10)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.datasets import Dataset
from refimpl.descent import DescentResult, gradient_descent
from refimpl.losses import Loss
from refimpl.network import TwoLayerNetwork
from refimpl.span import SpanCoordinates
from refimpl.spectrum import stable_rank_by_norms
from refimpl.validation import Array

__all__ = ["DescentRun", "increment_bound", "run_descent", "unit_step"]


@dataclass(frozen=True, eq=False)
class DescentRun:
    """A descent, and the stable rank of the rows J₊ and of the rows J₋ at each recorded step.

    Attributes
    ----------
    scale : float
        Of the initialization.
    result : DescentResult
    stable_rank_by_sign : ndarray, shape (T, 2)
        J₊, then J₋; NaN for a sign without neurons or rows that are 0.
    """

    scale: float
    result: DescentResult
    stable_rank_by_sign: Array


def run_descent(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Array,
    scale: float,
    step_size: float,
    steps: int,
    loss: Loss,
    record_every: int,
) -> DescentRun:
    """Descend and record."""
    span = SpanCoordinates.from_weights(network, data, W0)
    by_sign: list[list[float]] = []

    def observe(step: int, C: Array) -> None:
        W = span.factor(C)
        groups = (W[network.positive], W[~network.positive])
        by_sign.append([stable_rank_by_norms(rows) if rows.size else float("nan") for rows in groups])

    result = gradient_descent(network, data, W0, step_size, steps, loss, record_every, observe=observe)
    return DescentRun(scale, result, np.array(by_sign))


def unit_step(network: TwoLayerNetwork, data: Dataset) -> float:
    """n/(R_max² Σa²): the step size after which a sample alone gains a margin of about g_i."""
    return data.n / (data.R_max**2 * network.mass)


def increment_bound(network: TwoLayerNetwork, data: Dataset) -> float:
    """1 + cond(K) (1-γ)²/(4γ), a bound on the stable rank of W(t) - W(0) (section 8); inf if γ = 0 or K is singular."""
    eigenvalues = np.linalg.eigvalsh(data.gram)
    gamma = network.slope
    if gamma == 0.0 or eigenvalues[0] <= data.n * np.finfo(np.float64).eps * eigenvalues[-1]:
        return float("inf")
    return 1.0 + float(eigenvalues[-1] / eigenvalues[0]) * (1.0 - gamma) ** 2 / (4.0 * gamma)
