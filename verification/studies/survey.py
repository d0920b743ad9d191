"""The limits that gradient flow reaches from several starts, and what they are (docs/theory.md, sections 5 to 7, 14).

Below the conditions the flow may have several limits, of any rank, with units that rest on their kinks. A survey
tells how many there are, and how far each is from the closed form; the phase diagram and the search are made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from refimpl.datasets import Dataset
from refimpl.flow import FlowLimit, gradient_flow
from refimpl.losses import Loss
from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import third_ratio
from refimpl.validation import Array
from verification.witnesses.limit_formula import closed_form

__all__ = ["SAME", "LimitFacts", "Survey", "facts_of", "fraction", "number_limits", "survey"]

SAME = 1e-6
"""Limits nearer than this, relative to their norm, are one limit; a margin above 1 + this is not tight."""


@dataclass(frozen=True)
class LimitFacts:
    """One limit.

    Attributes
    ----------
    rank : int
    third_ratio : float
        σ₃/σ₁; 0 if there are fewer than three singular values.
    units_on_kinks : int
    largest_margin : float
        max_i q_i, where the smallest is 1.
    objective : float
        ½‖W‖_F².
    closed_form_distance : float or None
        ‖W - W*‖/‖W*‖, W* the closed form; None where there is none.
    number : int
        Which of the different limits it is, up to permutation of neurons with equal a_j: 0, 1, ...
    """

    rank: int
    third_ratio: float
    units_on_kinks: int
    largest_margin: float
    objective: float
    closed_form_distance: float | None
    number: int


@dataclass(frozen=True)
class Survey:
    """What several starts led to.

    Attributes
    ----------
    limits : tuple of LimitFacts
        Of the starts that have a limit.
    unfinished : int
        Starts without one: the flow ended in another status.
    """

    limits: tuple[LimitFacts, ...]
    unfinished: int

    @property
    def different(self) -> int:
        """The number of different limits."""
        return len({limit.number for limit in self.limits})


def fraction(holds: Sequence[bool]) -> float:
    """The part of the limits for which something holds; NaN if there is no limit.

    Examples
    --------
    >>> fraction([True, True, False, True]), fraction([])
    (0.75, nan)
    """
    return float(np.mean(holds)) if len(holds) else float("nan")


def survey(
    network: TwoLayerNetwork,
    data: Dataset,
    starts: Sequence[Array],
    loss: Loss | None = None,
    max_events: int = 200_000,
    before_each: Callable[[], None] = lambda: None,
    time_limit: float | None = None,
) -> Survey:
    """Follow the flow from each start to its limit.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset
    starts : sequence of ndarray, shape (m, d)
    loss : Loss, optional
        Logistic by default.
    max_events : int >= 1
        Of `gradient_flow`: a flow with more is unfinished.
    before_each : callable
        Called before each flow; what it raises ends the survey.
    time_limit : float > 0, optional
        Of `gradient_flow`: a flow that takes more seconds is unfinished.

    Returns
    -------
    Survey

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(2, 0, LeakyReLU(0.25))
    >>> data = Dataset([[1.0, 0.0], [-0.5, 0.75**0.5]], [1, 1])     # docs/theory.md, section 14
    >>> common, specialists = np.ones((2, 1)) * data.X.sum(axis=0), data.X - 0.5 * data.X[::-1]
    >>> survey(network, data, [common, specialists]).different
    2
    """
    L = data.gram_factor
    exact = closed_form(network, data)
    reference = exact.coefficients @ L if exact.is_kkt_point else None
    limits, unfinished = [], 0
    for W0 in starts:
        before_each()
        limit = gradient_flow(network, data, W0, loss, max_events=max_events, time_limit=time_limit).limit
        if limit is None:
            unfinished += 1
            continue
        limits.append(limit)
    rows = [limit.coefficients @ L for limit in limits]
    numbers = number_limits(network, rows)
    facts = (facts_of(limit, W, reference, k) for limit, W, k in zip(limits, rows, numbers, strict=True))
    return Survey(tuple(facts), unfinished)


def facts_of(limit: FlowLimit, W: Array, reference: Array | None, number: int = 0) -> LimitFacts:
    """One limit, W in the coordinates of `reference`, the closed form (None where there is none)."""
    sigma = limit.singular_values
    distance = None if reference is None else float(np.linalg.norm(W - reference) / np.linalg.norm(reference))
    return LimitFacts(
        rank=limit.rank,
        third_ratio=third_ratio(sigma),
        units_on_kinks=int(np.sum(limit.pattern == 0)),
        largest_margin=float(limit.margins.max() / limit.margins.min()),
        objective=0.5 * float(np.sum(W**2)),
        closed_form_distance=distance,
        number=number,
    )


def number_limits(network: TwoLayerNetwork, limits: Sequence[Array]) -> list[int]:
    """Which of the different limits each one is: 0, 1, ... in the order in which they come first.

    Two limits are the same if neurons of equal a_j can be exchanged so that they are `SAME`. The exchange that brings
    them nearest is an assignment problem for each a_j; sorting rows would depend on rounding where their entries tie.

    Parameters
    ----------
    network : TwoLayerNetwork
    limits : sequence of ndarray, shape (m, r)
        In coordinates of one orthonormal basis, such as C L with K = L Lᵀ.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(2, 0, LeakyReLU(0.25))
    >>> one, exchanged, other = np.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]])
    >>> number_limits(network, [one, exchanged, other])
    [0, 0, 1]
    """
    numbers, seen = [], list[Array]()
    for W in limits:
        near = (k for k, V in enumerate(seen) if _distance(network, W, V) <= SAME * np.linalg.norm(V))
        number = next(near, len(seen))
        if number == len(seen):
            seen.append(W)
        numbers.append(number)
    return numbers


def _distance(network: TwoLayerNetwork, W: Array, V: Array) -> float:
    """‖W - V‖_F, the neurons of equal a_j of V exchanged so that it is least."""
    squares = 0.0
    for value in np.unique(network.second_layer):
        rows = np.flatnonzero(network.second_layer == value)
        costs = cdist(W[rows], V[rows], "sqeuclidean")
        squares += float(costs[linear_sum_assignment(costs)].sum())
    return float(np.sqrt(squares))
