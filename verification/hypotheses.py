"""Near-orthogonality of the data: three sufficient conditions, each with its slack (docs/theory.md, sections 3, 5).

    paper          R_min² >= 3 γ⁻³ R² n p                             (constant recalled: †)
    instance-wise  K_kk η_k > max_i r_i (η_i/γ + β_i) + r_k β_k        for all k
    refined        γ ℓ_i K_ii > U_i⁻ for all i, with multiplier bounds ℓ <= λ <= λ̄ iterated to a fixed point

Each implies the next. Under any of them every KKT point of (P) has all margins equal to 1, every
activation z_ji of the sign of a_j y_i, rank at most 2, and is the one solution of (C).

The slack of a condition is one number of one meaning: the factor by which all the inner products
⟨x_i, x_k⟩, i ≠ k, could be multiplied before the condition fails. So the three can be compared. Everything is
float64 without outward rounding: a slack within 1e-9 of 1 decides nothing (`verification.certificate` does).

Masses: μ_i = Σ_{a_j y_i > 0} a_j², ν_i = Σ_{a_j y_i < 0} a_j², β = μ + νγ, η = μ + νγ².
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.paper import PAPER_CONSTANTS, flow_condition_slack
from refimpl.validation import Array

__all__ = ["Condition", "Hypotheses", "check_hypotheses"]

MAX_ITERATIONS = 1000
"""Passes of the refined iteration; every pass is valid, so stopping early is safe."""

RELATIVE_CHANGE = 1e-15
"""The refined iteration stops when no bound changes by more than this part."""

SLACK_ACCURACY = 1e-10
"""Relative width at which the bisection for the refined slack stops."""


@dataclass(frozen=True)
class Condition:
    """One sufficient condition and how far the data are from its boundary.

    Attributes
    ----------
    name : str
        "paper", "instance-wise" or "refined".
    title : str
        The condition in words.
    slack : float
        Factor by which all inner products ⟨x_i, x_k⟩, i ≠ k, could be multiplied before the condition
        fails: at least 1 where it is satisfied, below 1 where it is not; inf if they are all 0.
    satisfied : bool
    note : str
        What a reader must know; may be empty.
    """

    name: str
    title: str
    slack: float
    satisfied: bool
    note: str = ""


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """The three conditions on one network and data set.

    Attributes
    ----------
    paper, instance_wise, refined : Condition
        From the strongest condition to the weakest: each implies the next.
    multiplier_lower, multiplier_upper : ndarray of shape (n,), or None
        ℓ and λ̄ with ℓ_i <= λ_i <= λ̄_i at every KKT point of (P), whether or not the refined
        condition holds; None where its start γK_ii > r_i⁻ fails, or γ = 0.
    iterations : int
        Passes of the refined iteration; 0 if it did not start.
    """

    paper: Condition
    instance_wise: Condition
    refined: Condition
    multiplier_lower: Array | None
    multiplier_upper: Array | None
    iterations: int

    @property
    def best(self) -> Condition | None:
        """The strongest condition that is satisfied, or None."""
        return next((c for c in (self.paper, self.instance_wise, self.refined) if c.satisfied), None)

    @property
    def any_satisfied(self) -> bool:
        """Whether one of the conditions is satisfied."""
        return self.best is not None


def check_hypotheses(network: TwoLayerNetwork, data: Dataset) -> Hypotheses:
    """The paper's, the instance-wise and the refined condition.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`; second layer arbitrary (the paper's condition needs equal |a_j|).
    data : Dataset

    Returns
    -------
    Hypotheses

    Raises
    ------
    InvalidParameterError
        If the activation is not a `LeakyReLU`.

    References
    ----------
    docs/theory.md, section 3 (paper), section 5 (instance-wise and refined, with proofs).

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
    >>> found = check_hypotheses(network, Dataset([[1.0, 0.1], [0.0, 1.0]], [1, 1]))
    >>> round(found.paper.slack, 3), round(found.instance_wise.slack, 3), round(found.refined.slack, 3)
    (0.206, 2.273, 8.333)
    >>> found.best.name, found.multiplier_upper.round(3)
    ('instance-wise', array([1.584, 1.6  ]))
    """
    check_problem(network, data, "check_hypotheses")
    paper = _paper_condition(network, data)
    if network.slope == 0.0:
        note = "The proof needs a positive slope."
        return Hypotheses(
            paper,
            Condition("instance-wise", _INSTANCE_WISE, 0.0, False, note),
            Condition("refined", _REFINED, 0.0, False, note),
            None,
            None,
            0,
        )
    problem = _Problem.of(network, data)
    slack = _instance_wise_slack(problem)
    instance_wise = Condition("instance-wise", _INSTANCE_WISE, slack, slack > 1.0)
    bounds = _iterate(problem, 1.0)
    slack, satisfied = _refined_slack(problem)
    if bounds is None:
        note = "The iteration does not start: γK_ii > r_i⁻ fails for some i."
        return Hypotheses(paper, instance_wise, Condition("refined", _REFINED, slack, satisfied, note), None, None, 0)
    lower, upper, iterations = bounds
    refined = Condition("refined", _REFINED, slack, satisfied)
    return Hypotheses(paper, instance_wise, refined, lower / problem.unit, upper / problem.unit, iterations)


_PAPER = "R_min² >= 3 γ⁻³ R² n max |⟨x_i, x_k⟩|"
_INSTANCE_WISE = "multiplier bounds from the absolute row sums of the Gram matrix, one pass"
_REFINED = "multiplier bounds from the signed Gram matrix, iterated to a fixed point"


def _paper_condition(network: TwoLayerNetwork, data: Dataset) -> Condition:
    title = _PAPER + PAPER_CONSTANTS["flow_condition"].mark
    sizes = np.abs(network.second_layer)
    if sizes.max() - sizes.min() > 1e-12 * sizes.max():
        return Condition("paper", title, 0.0, False, "The paper's network has equal |a_j|; these differ.")
    if network.slope == 0.0:
        return Condition("paper", title, 0.0, False, "The condition has γ⁻³ and the slope is 0.")
    slack = flow_condition_slack(data.R_min, data.R_max, data.p, data.n, network.slope)
    checked = PAPER_CONSTANTS["flow_condition"].checked
    note = "" if checked else "† The constant 3 was recalled; the instance-wise condition is implied for any n."
    return Condition("paper", title, slack, slack >= 1.0, note)


@dataclass(frozen=True, eq=False)
class _Problem:
    """K_ii, the parts of S off its diagonal, and the masses, with max K_ii = 1 and Σ a_j² = 1.

    Multipliers are then λ · unit, unit = max K_ii · Σ a_j².
    """

    gamma: float
    K: Array  # the diagonal, shape (n,)
    pull: Array  # max(-S_ik, 0) off the diagonal, shape (n, n)
    push: Array  # max(S_ik, 0) off the diagonal, shape (n, n)
    beta: Array
    eta: Array
    unit: float

    @classmethod
    def of(cls, network: TwoLayerNetwork, data: Dataset) -> _Problem:
        gamma, scale = network.slope, float(np.diagonal(data.gram).max())
        mass = network.mass_positive + network.mass_negative
        mu = np.where(data.y > 0.0, network.mass_positive, network.mass_negative) / mass
        nu = np.where(data.y > 0.0, network.mass_negative, network.mass_positive) / mass
        S = data.signed_gram / scale
        K = np.diagonal(S).copy()
        S = S - np.diag(K)
        pull, push = np.maximum(-S, 0.0), np.maximum(S, 0.0)
        return cls(gamma, K, pull, push, mu + nu * gamma, mu + nu * gamma**2, scale * mass)


def _instance_wise_slack(problem: _Problem) -> float:
    """min_k K_kk η_k / (ρ + r_k β_k), ρ = max_i r_i (η_i/γ + β_i).

    One pass has λ̄ = Λ = max_k 1/D_k with D_k = K_kk η_k - r_k β_k and U_i = r_i Λ. The conclusion
    γ(1 - U_i β_i)/η_i > U_i for all i says ρΛ < 1, that is ρ < D_k for all k, which implies the start
    γK_kk > r_k because ρ >= r_k (η_k/γ + β_k). With r scaled by s: s (ρ + r_k β_k) < K_kk η_k.
    """
    r = (problem.pull + problem.push).sum(axis=1)
    rho = float((r * (problem.eta / problem.gamma + problem.beta)).max())
    return _smallest_ratio(problem.K * problem.eta, rho + r * problem.beta)


def _iterate(problem: _Problem, s: float, until_decided: bool = False) -> tuple[Array, Array, int] | None:
    """(ℓ, λ̄, passes) for S scaled by s off its diagonal; None where the start fails.

    Each pass takes the smaller of the old and the new bound, so λ̄ decreases and every pass is a
    valid bound; ℓ depends on λ̄ only. Cut at 0, as λ >= 0. `until_decided` stops at the first pass
    that satisfies the condition.
    """
    gamma, K, beta, eta = problem.gamma, problem.K, problem.beta, problem.eta
    r_minus = s * problem.pull.sum(axis=1)
    if not np.all(gamma * K > r_minus):
        return None
    upper = np.full(K.size, np.max(1.0 / (K * eta - r_minus * beta)))  # Λ = max 1/D_i
    passes, finished = 0, False
    while not finished and passes < MAX_ITERATIONS:
        U_minus = s * (problem.pull @ upper)
        new = np.maximum(U_minus / (gamma * K), (1.0 + U_minus * beta) / (K * eta))
        new = np.minimum(upper, new)
        finished = bool(np.all(upper - new <= RELATIVE_CHANGE * upper))
        upper, passes = new, passes + 1
        if until_decided and _signs_are_fixed(problem, s, _lower(problem, s, upper), upper):
            break
    return _lower(problem, s, upper), upper, passes


def _lower(problem: _Problem, s: float, upper: Array) -> Array:
    """ℓ_i = max(0, (1 - U_i⁺ β_i)/(K_ii η_i))."""
    U_plus = s * (problem.push @ upper)
    return np.maximum(0.0, (1.0 - U_plus * problem.beta) / (problem.K * problem.eta))


def _signs_are_fixed(problem: _Problem, s: float, lower: Array, upper: Array) -> bool:
    """γ ℓ_i K_ii > U_i⁻ for all i."""
    return bool(np.all(problem.gamma * lower * problem.K > s * (problem.pull @ upper)))


def _refined_holds(problem: _Problem, s: float) -> bool:
    bounds = _iterate(problem, s, until_decided=True)
    return bounds is not None and _signs_are_fixed(problem, s, bounds[0], bounds[1])


def _refined_slack(problem: _Problem) -> tuple[float, bool]:
    """Largest s at which the condition holds, by bisection, and whether it holds at s = 1.

    It holds near s = 0 and is monotone: a larger s raises r⁻, λ̄ and U and lowers ℓ. The returned s
    is the lower end of the bracket, a factor at which the condition was seen to hold (or 0).
    """
    satisfied = _refined_holds(problem, 1.0)
    ceiling = _refined_ceiling(problem)
    if np.isinf(ceiling):
        return ceiling, satisfied
    low, high = (1.0, max(1.0, ceiling)) if satisfied else (0.0, min(1.0, ceiling))
    while high - low > SLACK_ACCURACY * high:
        middle = (low + high) / 2.0
        if _refined_holds(problem, middle):
            low = middle
        else:
            high = middle
    return low, satisfied


def _refined_ceiling(problem: _Problem) -> float:
    """An s beyond which the condition fails, from λ̄_k >= 1/(K_kk η_k): U_i⁺ β_i < 1 and U_i⁻ η_i < γ."""
    least = 1.0 / (problem.K * problem.eta)
    ones = np.ones_like(least)
    return min(
        _smallest_ratio(ones, problem.beta * (problem.push @ least)),
        _smallest_ratio(problem.gamma * ones, problem.eta * (problem.pull @ least)),
    )


def _smallest_ratio(numerator: Array, denominator: Array) -> float:
    """min of numerator/denominator over the positive denominators; inf if there is none."""
    positive = denominator > 0.0
    return float((numerator[positive] / denominator[positive]).min()) if positive.any() else float("inf")
