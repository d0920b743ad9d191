"""Gradient descents that the claims look at (docs/theory.md, sections 4 and 8 to 10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refimpl.datasets import Dataset
from refimpl.descent import DescentResult, DescentStatus, gradient_descent
from refimpl.losses import Loss
from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import stable_rank_by_norms
from refimpl.validation import Array

__all__ = ["SMALLEST_INCREMENT", "DescentRun", "run_descent", "unit_step"]

SMALLEST_INCREMENT = 1e-290
"""Rows of W - W(0) that are not longer have lost digits to the end of the range of float64: margins in the hundreds."""


@dataclass(frozen=True, eq=False)
class DescentRun:
    """A descent, and the stable ranks of what the rows J₊, and the rows J₋, have learned at each recorded step.

    Attributes
    ----------
    scale : float
        Of the initialization.
    result : DescentResult
    stable_rank_by_sign : ndarray, shape (T, 2)
        Of the rows of W - W(0) in J₊, then in J₋; NaN for a sign without neurons or rows that are 0.
    """

    scale: float
    result: DescentResult
    stable_rank_by_sign: Array

    @property
    def failure(self) -> str:
        """Why the descent is incomplete, in one sentence; empty if it is not."""
        if self.result.status is DescentStatus.FINISHED:
            return ""
        return f"The descent from scale {self.scale:g} is incomplete: {self.result.message}"


def run_descent(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Array,
    scale: float,
    step_size: float,
    steps: int,
    loss: Loss,
    record_every: int,
    progress: Callable[[int], None] | None = None,
) -> DescentRun:
    """Descend and record; Ctrl-C (`RunInterrupted`), and what `progress` raises, are passed on."""
    by_sign: list[list[float]] = []

    def observe(step: int, C: Array) -> None:
        learned = C @ data.gram_factor  # W - W(0) in orthonormal coordinates
        groups = (learned[network.positive], learned[~network.positive])
        by_sign.append([stable_rank_by_norms(rows) if rows.size else float("nan") for rows in groups])

    result = gradient_descent(network, data, W0, step_size, steps, loss, record_every, progress, observe)
    return DescentRun(scale, result, np.array(by_sign))


def unit_step(network: TwoLayerNetwork, data: Dataset) -> float:
    """n/(R_max² Σa²): the step size after which a sample alone gains a margin of about g_i."""
    return data.n / (data.R_max**2 * network.mass)
