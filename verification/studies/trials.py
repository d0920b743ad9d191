"""What the search tries: a network, a direction of data sets, and the slack of a condition along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.errors import MissingExtraError
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array
from verification.witnesses.conditions import check_hypotheses

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtraError("hypothesis", "conformance") from error

__all__ = ["CONDITIONS", "FIRST_SLACK", "GRAIN", "SLOPES", "SMALL", "Trial", "changed", "slack_of", "trials"]

CONDITIONS = ("refined", "instance_wise", "paper")
SLOPES = (0.5, 0.3, 0.2, 0.1, 0.05)
FIRST_SLACK = 0.25
"""A direction along which nothing fails at this slack is given up."""
GRAIN = 8
"""Entries of N are whole multiples of 1/8 from -1 to 1."""

SMALL = 2.0**-4
"""The ε at which the slack of a direction is measured; inner products are linear in ε."""

SMALLEST_EIGENVALUE = 1e-3
"""Of K: directions are followed no further, so that the data stay far from dependent."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A direction, and a network.

    Attributes
    ----------
    N : ndarray, shape (n, n)
        Symmetric, 0 on the diagonal.
    y : ndarray, shape (n,)
    positive, negative : int
        m₁ and m₂.
    slope : float
    seed : int
        Of the starts.
    """

    N: Array
    y: Array
    positive: int
    negative: int
    slope: float
    seed: int

    @property
    def network(self) -> TwoLayerNetwork:
        """Of these signs and this slope."""
        return TwoLayerNetwork.with_signs(self.positive, self.negative, LeakyReLU(self.slope))

    def data(self, epsilon: float) -> Dataset | None:
        """Samples with Gram matrix I + εN; None if that is not positive definite."""
        K = np.eye(self.y.size) + epsilon * self.N
        if float(np.linalg.eigvalsh(K)[0]) < SMALLEST_EIGENVALUE:
            return None
        return Dataset(np.asarray(np.linalg.cholesky(K), dtype=np.float64), self.y)


def slack_of(network: TwoLayerNetwork, data: Dataset, condition: str) -> float:
    """The slack of one condition."""
    return float(getattr(check_hypotheses(network, data), condition).slack)


def changed(trial: Trial, rng: np.random.Generator) -> Trial:
    """A trial whose direction differs a little; sometimes with other starts."""
    n = trial.y.size
    step = np.triu(rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.5), 1) * float(rng.choice([0.01, 0.05, 0.2]))
    N = np.clip(trial.N + step + step.T, -1.0, 1.0)
    seed = int(rng.integers(8)) if rng.random() < 0.3 else trial.seed
    return Trial(N, trial.y, trial.positive, trial.negative, trial.slope, seed)


@st.composite
def trials(draw: st.DrawFn, samples: int, neurons: int) -> Trial:
    """Directions and networks for Hypothesis.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(trials(3, 2), lambda trial: bool(trial.N.any())).N
    array([[0.   , 0.125],
           [0.125, 0.   ]])
    """
    n, m = draw(st.integers(2, samples)), draw(st.integers(1, neurons))
    entries = draw(st.lists(st.integers(-GRAIN, GRAIN), min_size=n * (n - 1) // 2, max_size=n * (n - 1) // 2))
    N = np.zeros((n, n))
    N[np.triu_indices(n, 1)] = np.array(entries) / GRAIN
    y = np.array(draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=n, max_size=n)))
    positive = draw(st.integers(0, m))
    return Trial(N + N.T, y, positive, m - positive, draw(st.sampled_from(SLOPES)), draw(st.integers(0, 7)))
