"""How far data are from the conditions of docs/theory.md, section 5, in samples and in dimensions.

A condition that holds on some samples holds on each part of them: norms stay, and sums of inner products, p and n
shrink. So there is a largest part on which it holds; a greedy search gives one that cannot be enlarged by a sample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.paper import flow_condition_slack
from refimpl.validation import Array, IndexArray
from verification.witnesses.conditions import ScaledProblem, has_equal_sizes, instance_wise_slack, refined_slack

__all__ = ["CONDITIONS", "Reach", "gaussian_dimension", "holds_on", "largest_subset", "reach"]

CONDITIONS = ("paper", "instance-wise", "refined")

DRAWS = 5
"""Gaussian Gram matrices whose median slack is taken."""


@dataclass(frozen=True)
class Reach:
    """How far a condition is from holding.

    Attributes
    ----------
    samples : int
        Size of a largest part of the samples on which it holds, as a greedy search finds it.
    gaussian_dimension : float
        Estimate of the dimension from which Gaussian samples of this number, with these labels, meet it; inf if none.
    """

    samples: int
    gaussian_dimension: float


def reach(network: TwoLayerNetwork, data: Dataset, check: Callable[[], None] = lambda: None) -> dict[str, Reach]:
    """The reach of each condition, by its name.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset
    check : callable, optional
        Called now and then; what it raises ends the work.

    Returns
    -------
    dict

    References
    ----------
    docs/theory.md, section 5.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> data = Dataset([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]], [1, -1, -1])
    >>> reach(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), data)["refined"].samples
    2
    """
    check_problem(network, data, "reach")
    found = {}
    for name in CONDITIONS:
        size = largest_subset(network, data, name, check).size
        found[name] = Reach(size, gaussian_dimension(network, data.y, name, check))
    return found


def largest_subset(
    network: TwoLayerNetwork, data: Dataset, name: str, check: Callable[[], None] = lambda: None
) -> IndexArray:
    """Samples on which the condition holds, such that it fails with any further one; none for γ = 0.

    The samples are ranked by taking out, again and again, the one of the largest row and column sum of what the
    condition bounds. The longest beginning of the ranking on which the condition holds is found by bisection, and each
    of the other samples is added if the condition survives it.
    """

    def holds(chosen: list[int]) -> bool:
        check()
        part = np.ix_(chosen, chosen)
        return holds_on(network, data.gram[part], data.y[chosen], name)

    ranking = _ranking(network, data, name)
    if not holds(ranking[:1]):
        return np.zeros(0, dtype=np.intp)
    low, high = 1, len(ranking) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(ranking[:middle]) else (low, middle)
    kept = ranking[:low]
    for i in ranking[low:]:
        if holds([*kept, i]):
            kept = [*kept, i]
    return np.array(sorted(kept), dtype=np.intp)


def holds_on(network: TwoLayerNetwork, gram: Array, y: Array, name: str) -> bool:
    """Whether a condition holds for samples of this Gram matrix."""
    slack = _slack(network, gram, y, name)
    return slack >= 1.0 if name == "paper" else slack > 1.0


def gaussian_dimension(
    network: TwoLayerNetwork, y: Array, name: str, check: Callable[[], None] = lambda: None
) -> float:
    """The d at which K = I + G/√d has slack 1, with independent standard normal G_ik, i < k: slack(I + G)⁻².

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> y = np.array([1.0, -1.0] * 10)
    >>> 1000 < gaussian_dimension(TwoLayerNetwork.with_signs(8, 8, LeakyReLU(0.5)), y, "refined") < 3000
    True
    """
    rng, slacks = np.random.default_rng(5), []
    for _ in range(DRAWS):
        check()
        G = np.triu(rng.standard_normal((y.size, y.size)), 1)
        slacks.append(_slack(network, np.eye(y.size) + G + G.T, y, name))
    slack = float(np.median(slacks))
    return 1.0 / slack / slack if slack > 0.0 else float("inf")


def _slack(network: TwoLayerNetwork, gram: Array, y: Array, name: str) -> float:
    if network.slope == 0.0:
        return 0.0
    if name == "paper":
        if not has_equal_sizes(network):
            return 0.0
        squares, off = np.diagonal(gram), np.abs(gram)
        np.fill_diagonal(off, 0.0)
        low, high = float(np.sqrt(squares.min())), float(np.sqrt(squares.max()))
        return flow_condition_slack(low, high, float(off.max()), y.size, network.slope)
    problem = ScaledProblem.of(network, gram, y)
    return refined_slack(problem) if name == "refined" else instance_wise_slack(problem)


def _ranking(network: TwoLayerNetwork, data: Dataset, name: str) -> list[int]:
    """The samples, those first that disturb the condition least."""
    if name == "refined" and network.slope > 0.0:
        terms = ScaledProblem.of(network, data.gram, data.y).series[1]
    else:
        terms = np.abs(data.gram) / np.diagonal(data.gram)
    terms = np.minimum(terms, 1e300)
    np.fill_diagonal(terms, 0.0)
    terms = terms + terms.T
    left, taken = np.ones(data.n, dtype=np.bool_), []
    for _ in range(data.n):
        loads = np.where(left, terms @ left, -1.0)
        taken.append(int(np.argmax(loads)))
        left[taken[-1]] = False
    return taken[::-1]
