"""Near-orthogonality of the data: three sufficient conditions, each with its slack (docs/theory.md, sections 3, 5).

    paper          R_min² >= 3 γ⁻³ R² n p                             (restated in [FVBS], Lemma 16)
    instance-wise  K_kk η_k > max_i r_i (η_i/γ + β_i) + r_k β_k        for all k
    refined        some b > 0 has b >= F(b) and γ ℓ_i K_ii > U_i⁻(b) for all i

Each implies the next. Under any of them every KKT point of (P) has all margins equal to 1, every
preactivation z_ji of the sign of a_j y_i, rank at most 2, and is the one solution of (C).

The slack of a condition is one number of one meaning: the factor by which all the inner products
⟨x_i, x_k⟩, i ≠ k, could be multiplied before the condition fails. So the three can be compared. Everything is
float64 without outward rounding: a slack within 1e-9 of 1 decides nothing (`verification.certify` does).

Masses: μ_i = Σ_{a_j y_i > 0} a_j², ν_i = Σ_{a_j y_i < 0} a_j², β = μ + νγ, η = μ + νγ².
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.paper import PAPER_CONSTANTS, flow_condition_slack
from refimpl.validation import Array, BoolArray

__all__ = [
    "Condition",
    "Hypotheses",
    "ScaledProblem",
    "check_hypotheses",
    "has_equal_sizes",
    "instance_wise_slack",
    "refined_slack",
]

MAX_PASSES = 1000
"""Passes of the multiplier bounds; every pass is valid, so stopping early is safe."""

RELATIVE_CHANGE = 1e-15
"""The passes stop when no bound changes by more than this part."""

TERMS = 64
"""Terms of the series for b; at the slack what is left out is at most 2^-64 of b (docs/theory.md, section 5)."""

NEWTON_STEPS = 100
"""A bound; Newton's method for the refined slack takes fewer than ten, and ends where it no longer falls."""


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """The three conditions on one network and data set.

    Attributes
    ----------
    paper, instance_wise, refined : Condition
        From the strongest condition to the weakest: each implies the next.
    multiplier_lower, multiplier_upper : ndarray of shape (n,), or None
        ℓ and λ̄ with ℓ_i <= λ_i <= λ̄_i at every KKT point of (P). They exist where the refined condition
        holds, and beyond it where γK_ii > r_i⁻ for all i; elsewhere, and for γ = 0, None.
    iterations : int
        Passes that the bounds took; 0 if there are none.
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
    problem = ScaledProblem.of(network, data.gram, data.y)
    slack = instance_wise_slack(problem)
    instance_wise = Condition("instance-wise", _INSTANCE_WISE, slack, slack > 1.0)
    slack = refined_slack(problem)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # for γ near the smallest float
        bounds = _refined_bounds(problem) if slack > 1.0 else _iterated_bounds(problem)
    note = "" if bounds else "There are no bounds on the multipliers: γK_ii > r_i⁻ fails for some i."
    if bounds and not np.isfinite(bounds[1]).all():
        bounds, note = None, "The bounds on the multipliers are too large for floats."
    refined = Condition("refined", _REFINED, slack, slack > 1.0, note)
    lower, upper, passes = bounds or (None, None, 0)
    return Hypotheses(paper, instance_wise, refined, lower, upper, passes)


_PAPER = "R_min² >= 3 γ⁻³ R² n max |⟨x_i, x_k⟩|"
_INSTANCE_WISE = "multiplier bounds from the absolute row sums of the Gram matrix, one pass"
_REFINED = "one vector of multiplier bounds from the signed Gram matrix, the least fixed point"


def _paper_condition(network: TwoLayerNetwork, data: Dataset) -> Condition:
    title = f"{_PAPER} ({PAPER_CONSTANTS['flow_condition'].source})"
    if not has_equal_sizes(network):
        return Condition("paper", title, 0.0, False, "The paper's network has equal |a_j|; these differ.")
    if network.slope == 0.0:
        return Condition("paper", title, 0.0, False, "The condition has γ⁻³ and the slope is 0.")
    slack = flow_condition_slack(data.R_min, data.R_max, data.p, data.n, network.slope)
    return Condition("paper", title, slack, slack >= 1.0)


def has_equal_sizes(network: TwoLayerNetwork) -> bool:
    """Whether all |a_j| are equal, to rounding, as in the paper's network."""
    sizes = np.abs(network.second_layer)
    return bool(sizes.max() - sizes.min() <= 1e-12 * sizes.max())


@dataclass(frozen=True, eq=False)
class ScaledProblem:
    """K_ii, the parts of S off its diagonal, and the masses, with max K_ii = 1 and Σ a_j² = 1.

    Multipliers are then λ · unit, unit = max K_ii · Σ a_j². With b_i = b̃_i/(K_ii η_i), (5.3) and (5.4) read

        b̃ >= 1 + s A b̃,   s B b̃ < 1,   A_ik = β_i P_ik/(K_kk η_k),   B_ik = (β_i Q_ik + (η_i/γ) P_ik)/(K_kk η_k),

    P and Q being the pull and the push and s the factor of the slack. A <= B, as γβ_i <= η_i. The shares of the two
    masses are rational: one minus the larger, in floats, would lose the smaller, which decides where γ² is smaller yet.
    """

    gamma: float
    K: Array  # the diagonal, shape (n,)
    pull: Array  # max(-S_ik, 0) off the diagonal, shape (n, n)
    push: Array  # max(S_ik, 0) off the diagonal, shape (n, n)
    positive_label: BoolArray
    shares: tuple[Fraction, Fraction]  # A₊ and A₋, of sum 1
    unit: float

    @classmethod
    def of(cls, network: TwoLayerNetwork, gram: Array, y: Array) -> ScaledProblem:
        """From K and the labels; of K only the diagonal must be positive."""
        gamma, scale = network.slope, float(np.diagonal(gram).max())
        mass = network.mass
        plus, minus = Fraction(network.mass_positive), Fraction(network.mass_negative)
        shares = plus / (plus + minus), minus / (plus + minus)
        S = y[:, None] * y * gram / scale
        K = np.diagonal(S).copy()
        S = S - np.diag(K)
        return cls(gamma, K, np.maximum(-S, 0.0), np.maximum(S, 0.0), y > 0.0, shares, scale * mass)

    @cached_property
    def beta_by_label(self) -> tuple[Fraction, Fraction]:
        """β where y_i = +1 and where y_i = -1."""
        gamma, (plus, minus) = Fraction(self.gamma), self.shares
        return plus + minus * gamma, minus + plus * gamma

    @cached_property
    def eta_by_label(self) -> tuple[Fraction, Fraction]:
        """η where y_i = +1 and where y_i = -1."""
        gamma, (plus, minus) = Fraction(self.gamma), self.shares
        return plus + minus * gamma**2, minus + plus * gamma**2

    def by_sample(self, positive: Fraction, negative: Fraction) -> Array:
        """One number for each label as one for each sample, shape (n,); inf where it is too large for a float."""
        return np.where(self.positive_label, _as_float(positive), _as_float(negative))

    @cached_property
    def beta(self) -> Array:
        """β."""
        return self.by_sample(*self.beta_by_label)

    @cached_property
    def eta(self) -> Array:
        """η."""
        return self.by_sample(*self.eta_by_label)

    @cached_property
    def series(self) -> tuple[Array, Array]:
        """A and B of (5.3) and (5.4); inf where an entry is too large for a float, 0 where P_ik and Q_ik are 0."""
        gamma, beta, eta = Fraction(self.gamma), self.beta_by_label, self.eta_by_label
        kind = np.where(self.positive_label, 0, 1)

        def factors(numerator: Sequence[Fraction]) -> Array:
            table = np.array([[_as_float(numerator[i] / eta[k]) for k in (0, 1)] for i in (0, 1)])
            return np.asarray(table[kind[:, None], kind])

        pulled, pushed = self.pull / self.K, self.push / self.K
        A = _product(factors(beta), pulled)
        return A, _product(factors(beta), pushed) + _product(factors([value / gamma for value in eta]), pulled)


def _as_float(value: Fraction) -> float:
    """The nearest float, or inf."""
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _product(factor: Array, matrix: Array) -> Array:
    """Entry by entry, with 0 where the matrix is 0 though the factor be inf."""
    with np.errstate(over="ignore"):
        return np.multiply(factor, matrix, out=np.zeros_like(matrix), where=matrix > 0.0)


def instance_wise_slack(problem: ScaledProblem) -> float:
    """min_k K_kk η_k / (ρ + r_k β_k), ρ = max_i r_i (η_i/γ + β_i): the slack of (5.5).

    One pass has λ̄ = Λ = max_k 1/D_k with D_k = K_kk η_k - r_k β_k and U_i = r_i Λ. The conclusion
    γ(1 - U_i β_i)/η_i > U_i for all i says ρΛ < 1, that is ρ < D_k for all k, which implies the start
    γK_kk > r_k because ρ >= r_k (η_k/γ + β_k). With r scaled by s: s (ρ + r_k β_k) < K_kk η_k.
    """
    r = (problem.pull + problem.push).sum(axis=1)
    gamma, beta, eta = Fraction(problem.gamma), problem.beta_by_label, problem.eta_by_label
    factor = problem.by_sample(eta[0] / gamma + beta[0], eta[1] / gamma + beta[1])
    rho = float(_product(factor, r).max())
    return _smallest_ratio(problem.K * problem.eta, rho + r * problem.beta)


def refined_slack(problem: ScaledProblem) -> float:
    """The s at which h(s) = max_i (s B b̃(s))_i = 1 (5.6), b̃(s) = Σ_k (sA)^k 1 the least vector with b̃ >= 1 + sAb̃.

    In units of s₀ = 1/max_i (B1)_i the slack σ lies in [1/2, 1], and Σ_k σ^{k+1} (s₀B (s₀A)^k 1)_i is convex in σ:
    Newton's method for the largest of them falls from σ = 1 to the root.
    """
    A, B = problem.series
    largest = float(B.sum(axis=1).max())
    if largest == 0.0:
        return float("inf")
    if np.isinf(largest):
        return 0.0
    coefficients, power = np.empty((problem.K.size, TERMS)), np.ones(problem.K.size)
    for k in range(TERMS):
        coefficients[:, k] = B @ power / largest
        power = A @ power / largest
    sigma, exponents = 1.0, np.arange(TERMS)
    for _ in range(NEWTON_STEPS):
        terms = coefficients * sigma**exponents
        worst = int(np.argmax(terms.sum(axis=1)))
        excess = sigma * float(terms[worst].sum()) - 1.0
        lower = sigma - excess / float(terms[worst] @ (exponents + 1.0))
        if not lower < sigma:
            break
        sigma = lower
    return sigma / largest


def _refined_bounds(problem: ScaledProblem) -> tuple[Array, Array, int]:
    """(ℓ, b, terms) with the least b of (5.3), where that holds: b_i = b̃_i/(K_ii η_i), b̃ = Σ_k A^k 1."""
    A, _ = problem.series
    total = power = np.ones(problem.K.size)
    for _ in range(TERMS):
        power = A @ power
        total = total + power
    upper = total / (problem.K * problem.eta)
    return _lower(problem, upper) / problem.unit, upper / problem.unit, TERMS


def _iterated_bounds(problem: ScaledProblem) -> tuple[Array, Array, int] | None:
    """(ℓ, λ̄, passes) from the start of section 5 by its passes; None where the start fails.

    Each pass takes the smaller of the old and the new bound, so λ̄ decreases and every pass is a
    valid bound; ℓ depends on λ̄ only.
    """
    gamma, K, beta, eta = problem.gamma, problem.K, problem.beta, problem.eta
    r_minus = problem.pull.sum(axis=1)
    if not np.all(gamma * K > r_minus):
        return None
    upper = np.full(K.size, np.max(1.0 / (K * eta - r_minus * beta)))  # Λ = max 1/D_i
    passes, finished = 0, False
    while not finished and passes < MAX_PASSES:
        U_minus = problem.pull @ upper
        new = np.maximum(U_minus / (gamma * K), (1.0 + U_minus * beta) / (K * eta))
        new = np.minimum(upper, new)
        finished = bool(np.all(upper - new <= RELATIVE_CHANGE * upper))
        upper, passes = new, passes + 1
    return _lower(problem, upper) / problem.unit, upper / problem.unit, passes


def _lower(problem: ScaledProblem, upper: Array) -> Array:
    """ℓ_i = max(0, (1 - U_i⁺ β_i)/(K_ii η_i)), as λ >= 0: the ℓ of (5.3)."""
    U_plus = problem.push @ upper
    return np.maximum(0.0, (1.0 - U_plus * problem.beta) / (problem.K * problem.eta))


def _smallest_ratio(numerator: Array, denominator: Array) -> float:
    """min of numerator/denominator over the positive denominators; inf if there is none."""
    positive = denominator > 0.0
    return float((numerator[positive] / denominator[positive]).min()) if positive.any() else float("inf")
