"""The bounds and predictions of docs/theory.md, sections 8, 9, 10, 11 and 15, each in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import lambertw

from refimpl.datasets import Dataset
from refimpl.descent import DescentTrajectory
from refimpl.errors import InvalidParameterError
from refimpl.network import TwoLayerNetwork, as_network
from refimpl.paper import PAPER_CONSTANTS
from refimpl.spectrum import row_norms
from refimpl.validation import Array, as_real_array

__all__ = [
    "cosines_of",
    "expected_products",
    "increment_bound",
    "largest_rho",
    "largest_stable_rank_with_start",
    "margin_bound",
    "off_diagonal_sums",
    "orthogonality",
    "paper_margin_bound",
    "predicted_stable_rank",
    "predictor_weights",
    "printed_linear_uniformity",
    "printed_multipliers",
    "printed_uniformity",
    "rate_of_descent",
    "smallest_eigenvalue",
]

# --- section 8: stable rank along any trajectory ---------------------------------------------------


def increment_bound(network: TwoLayerNetwork, data: Dataset) -> float:
    """1 + cond(K) (1-γ)²/(4γ), a bound on the stable rank of W(t) - W(0) (section 8); inf if γ = 0 or K is singular."""
    smallest, gamma = smallest_eigenvalue(data), network.slope
    if gamma == 0.0 or smallest == 0.0:
        return float("inf")
    condition = float(data.gram_eigenvalues[-1]) / smallest
    return 1.0 + condition * (1.0 - gamma) ** 2 / gamma / 4.0


def smallest_eigenvalue(data: Dataset) -> float:
    """λ_min(K) less its rounding n eps λ_max(K), so that bounds that rest on it hold; 0 if nothing is left."""
    eigenvalues = data.gram_eigenvalues
    return max(0.0, float(eigenvalues[0] - data.n * np.finfo(np.float64).eps * eigenvalues[-1]))


def largest_stable_rank_with_start(path: DescentTrajectory, bound: float) -> float:
    """What section 8 allows W(t) = W(0) + Δ at the recorded t >= 1, the stable rank of Δ being at most `bound`.

    With share = ‖W(0)‖_F/‖Δ‖₂ that is ((√bound + share)/(1 - share))²; inf where the share is not below 1.
    """
    grown = row_norms(path.increment_norms[1:])
    share = np.divide(
        path.norm[0] * np.sqrt(path.increment_stable_rank[1:]), grown, out=np.ones_like(grown), where=grown > 0.0
    )
    largest = float(share.max(initial=0.0))
    return ((float(np.sqrt(bound)) + largest) / (1.0 - largest)) ** 2 if largest < 1.0 else float("inf")


# --- section 9: one step of descent ----------------------------------------------------------------


def predicted_stable_rank(gram: Array, y: Array, slope: float) -> float:
    """tr(E S)/λ_max(E S), E_ik = ((1+γ)/2)² + ((1-γ)/2)² (2/π) arcsin(K_ik/√(K_ii K_kk)).

    Parameters
    ----------
    gram : ndarray, shape (n, n)
    y : ndarray, shape (n,)
    slope : float

    Examples
    --------
    >>> round(predicted_stable_rank(np.eye(3), np.ones(3), slope=1.0), 12)
    1.0
    """
    # similar to a positive semidefinite matrix: real eigenvalues
    product = expected_products(cosines_of(gram), slope) @ (gram * np.outer(y, y))
    return float(np.trace(product) / np.linalg.eigvals(product).real.max())


def cosines_of(gram: Array) -> Array:
    """K_ik/√(K_ii K_kk), within [-1, 1]."""
    norms = np.sqrt(np.diagonal(gram))
    return np.asarray(np.clip(gram / np.outer(norms, norms), -1.0, 1.0))


def expected_products(cosines: Array, slope: float) -> Array:
    """E_ik = E[Φ_ji Φ_jk] = ((1+γ)/2)² + ((1-γ)/2)² (2/π) arcsin(cos)."""
    return np.asarray(((1.0 + slope) / 2.0) ** 2 + ((1.0 - slope) / 2.0) ** 2 * (2.0 / np.pi) * np.arcsin(cosines))


# --- section 10: descent converges -----------------------------------------------------------------


def largest_rho(network: TwoLayerNetwork, data: Dataset, step_size: float) -> float:
    """The largest ρ <= 1 that allows the step size: log(1/ρ) = κρ with κ = αAγR_max²/n, so ρ = W(κ)/κ, Lambert's W."""
    rate = step_size * network.mass * network.slope * data.R_max**2 / data.n
    return float(lambertw(rate).real) / rate if 0.0 < rate < np.inf else float(rate == 0.0)


def off_diagonal_sums(gram: Array) -> Array:
    """r_i = Σ_{k≠i} |K_ik|, shape (n,)."""
    K = np.abs(gram)
    return np.asarray(K.sum(axis=1) - np.diagonal(K))


def rate_of_descent(network: TwoLayerNetwork, data: Dataset, step_size: float) -> float:
    """δ = γA min_i (ργK_ii - r_i) of section 10, with the largest ρ that the step size allows; may be negative."""
    gamma, rho = network.slope, largest_rho(network, data, step_size)
    margin = rho * gamma * np.diagonal(data.gram) - off_diagonal_sums(data.gram)
    return gamma * network.mass * float(margin.min())


# --- section 11: margin of the linear predictor -----------------------------------------------------


def margin_bound(network: TwoLayerNetwork, labels: Any = None) -> float:
    """The factor B of ‖z‖ <= B ‖z*‖ for z = (m₁ v - m₂ u)/√m at the solution of (C).

    v = c₁ z*, u = -c₂ z* are feasible for (C) where P = A₊c₁√m, Q = A₋c₂√m obey P + γQ >= 1 (label
    +1) and Q + γP >= 1 (label -1). Cauchy-Schwarz gives B² = (A₊ + A₋) min (P²/A₊ + Q²/A₋). With both
    labels and κ² = min(A₊, A₋)/max(A₊, A₋) that is

        B = (κ + 1/κ)/(1 + γ) if κ² >= γ,   B = √((1 + κ²)/(κ² + γ²)) otherwise,

    the two constraints being active in the first case and one in the second. κ = 0 (one sign of
    a_j only) is the second case: B = 1/γ. With one label only its constraint stands alone, and
    B² = (A₊ + A₋)/(A_y + γ²A₋y), A_y the mass of the sign y.

    Parameters
    ----------
    network : TwoLayerNetwork
    labels : array_like of ±1, optional
        The data's; without them both labels are taken to occur, which is right for any data.

    Returns
    -------
    float
        inf if γ = 0 and a label occurs for which no a_j has its sign.

    References
    ----------
    docs/theory.md, section 11.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> round(margin_bound(TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.25))), 12)
    1.6
    >>> margin_bound(TwoLayerNetwork.with_signs(2, 0, LeakyReLU(0.25)))
    4.0
    >>> margin_bound(TwoLayerNetwork.with_signs(2, 0, LeakyReLU(0.25)), labels=[1, 1])
    1.0
    """
    gamma = as_network(network).require_leaky_relu("margin_bound").slope
    A_plus, A_minus = network.mass_positive, network.mass_negative
    occurring = _occurring_labels(labels)
    if len(occurring) == 1:
        same, other = (A_plus, A_minus) if 1.0 in occurring else (A_minus, A_plus)
        return _root_of_ratio(A_plus + A_minus, same + gamma**2 * other)
    kappa = _kappa(network)
    if kappa > 0.0 and kappa**2 >= gamma:
        return (kappa + 1.0 / kappa) / (1.0 + gamma)
    return _root_of_ratio(1.0 + kappa**2, kappa**2 + gamma**2)


def paper_margin_bound(network: TwoLayerNetwork) -> float:
    """The paper's factor 2/(κ + γ) †, κ = √(min(A₊, A₋)/max(A₊, A₋)); never below `margin_bound`.

    References
    ----------
    docs/theory.md, section 3, conclusion (5), and section 11.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> paper_margin_bound(TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.25)))
    1.6
    """
    gamma = as_network(network).require_leaky_relu("paper_margin_bound").slope
    denominator = _kappa(network) + gamma
    return PAPER_CONSTANTS["margin_bound"].value / denominator if denominator > 0.0 else float("inf")


def _kappa(network: TwoLayerNetwork) -> float:
    masses = (network.mass_positive, network.mass_negative)
    return float(np.sqrt(min(masses) / max(masses)))


def _root_of_ratio(numerator: float, denominator: float) -> float:
    return float(np.sqrt(numerator / denominator)) if denominator > 0.0 else float("inf")


def _occurring_labels(labels: Any) -> set[float]:
    if labels is None:
        return {1.0, -1.0}
    y = as_real_array("labels", labels, 1)
    if y.size == 0 or not np.isin(y, (-1.0, 1.0)).all():
        raise InvalidParameterError("labels", "hold at least one label, each +1 or -1", labels)
    return set(y.tolist())


# --- section 15: multipliers and uniformity ---------------------------------------------------------


def predictor_weights(network: TwoLayerNetwork, y: Array) -> Array:
    """β_i = A₊ + γA₋ where y_i = +1 and A₋ + γA₊ elsewhere: z = Σ λ_i β_i y_i x_i (15.1), shape (n,)."""
    plus, minus, gamma = network.mass_positive, network.mass_negative, network.slope
    return np.where(y > 0.0, plus + gamma * minus, minus + gamma * plus)


def orthogonality(data: Dataset) -> float:
    """P = R_min²/(R² n p), R = R_max/R_min: the data are P-orthogonal (section 15); inf where p = 0.

    Examples
    --------
    >>> orthogonality(Dataset([[1.0, 0.0], [0.25, 1.0]], [1, -1])) < 2.0
    True
    """
    return (data.R_min / data.R_max) ** 2 * data.R_min**2 / (data.n * data.p) if data.p > 0.0 else float("inf")


def printed_multipliers(network: TwoLayerNetwork, data: Dataset) -> tuple[float, float]:
    """The interval of (15.3) for every λ_i, divided by A = Σ a_j²; it asks for P >= 3γ⁻³."""
    least = 0.5 / (data.R_max**2 * network.mass)
    return least, 1.5 / (network.slope**2 * data.R_min**2 * network.mass)


def printed_uniformity(network: TwoLayerNetwork, data: Dataset) -> float:
    """(R²/γ²)(1 + 2/(γPR² - 2)), the printed bound of (15.4) on max s/min s; inf where γPR² <= 2."""
    R, gamma = data.R_max / data.R_min, network.slope
    return (R / gamma) ** 2 * _one_and(gamma * orthogonality(data) * R**2)


def printed_linear_uniformity(data: Dataset) -> float:
    """R² (1 + 2/(PR² - 2)), the printed bound of (15.5); inf where PR² <= 2."""
    R = data.R_max / data.R_min
    return R**2 * _one_and(orthogonality(data) * R**2)


def _one_and(product: float) -> float:
    """1 + 2/(product - 2)."""
    return 1.0 + 2.0 / (product - 2.0) if product > 2.0 else float("inf")
