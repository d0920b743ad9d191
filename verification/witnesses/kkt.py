"""How far a given W is from a KKT point of (P), each residual scale-free (docs/theory.md, section 12).

A KKT point has w_j = Σ_i λ_i y_i a_j Φ_ji x_i with Φ_ji ∈ ∂φ(z_ji), λ >= 0, q >= 1 and λ_i (q_i - 1) = 0
(section 2). For a given W the multipliers are those that come nearest (`multipliers.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.display import Displayed, shown
from refimpl.errors import InvalidParameterError
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.reduction import reduced
from refimpl.spectrum import rank_of_limit, singular_values, third_ratio
from refimpl.tiles.columns import Columns
from refimpl.validation import Array, IntArray, as_positive
from verification.witnesses.multipliers import VANISHING, Rays, best_fit

__all__ = ["KKTResiduals", "KKTStatus", "kkt_residuals"]

SMALLEST_SHARE = 1e-6
"""Rows shorter than this part of ‖W‖ are held to the kink tolerance of a row of that length."""


class KKTStatus(Enum):
    """What could be said about W; the value is a sentence for people."""

    MEASURED = "The residuals were measured."
    INACCURATE = "The multipliers are not optimal: the residuals are upper bounds."
    NOT_SEPARATING = (
        "The smallest margin is not positive, or nothing beside ‖a‖ ‖W‖ ‖x_i‖, so W cannot be scaled to margin 1."
    )


@dataclass(frozen=True, eq=False)
class KKTResiduals(Displayed):
    """Distance of W, scaled to smallest margin 1, from the KKT conditions of (P).

    Attributes
    ----------
    status : KKTStatus
        If NOT_SEPARATING, stationarity, complementarity and gap are inf and the multipliers 0.
    message : str
    stationarity : float
        ‖W - Σ_i λ_i y_i (a_j Φ_ji)_j x_iᵀ‖_F / ‖W‖_F, the part of W outside the span of the data included.
    feasibility : float
        max(0, -min_i q_i/(‖a‖ ‖W‖_F ‖x_i‖)) of W as given, in [0, 1]; 0 once the smallest margin is positive.
    complementarity : float
        Σ λ_i (q_i - 1) / Σ λ_i; 0 if all λ_i are 0, where stationarity is 1.
    duality_gap : float
        Relative gap of the convex program that fixes W's pattern and slopes,
        (½ stationarity² ‖W‖² + Σ λ_i (q_i - 1)) / ½‖W‖².
    multipliers : ndarray, shape (n,)
        λ, for the scaled W.
    slopes : ndarray, shape (m, n)
        Φ_ji = β_ji/λ_i, within [γ, 1] at a kink.
    rank : int
        Singular values of W above 1e-8 of the largest.
    singular_value_ratio : float
        σ₃/σ₁; 0 if W has fewer than three singular values.
    smallest_margin : float
        min_i q_i of W as given.
    units_at_kink : int
        Units at their kink, to the tolerance; none if γ = 1, which has no kink.
    pattern : ndarray of int8, shape (m, n)
        +1 or -1: the side of the kink; 0: at the kink.
    """

    status: KKTStatus
    message: str
    stationarity: float
    feasibility: float
    complementarity: float
    duality_gap: float
    multipliers: Array
    slopes: Array
    rank: int
    singular_value_ratio: float
    smallest_margin: float
    units_at_kink: int
    pattern: IntArray

    def __repr__(self) -> str:
        """One line."""
        m, n = self.pattern.shape
        return (
            f"<KKTResiduals {self.status.name}: m = {m}, n = {n}; stationarity {self.stationarity:.1e}, feasibility "
            f"{self.feasibility:.1e}, complementarity {self.complementarity:.1e}, gap {self.duality_gap:.1e}, "
            f"rank {self.rank}>"
        )

    def facts(self) -> list[tuple[str, str]]:
        """Residuals, rank and margins."""
        return [
            ("status", self.status.name),
            ("stationarity", shown(self.stationarity)),
            ("feasibility", shown(self.feasibility)),
            ("complementarity", shown(self.complementarity)),
            ("duality gap", shown(self.duality_gap)),
            ("rank", str(self.rank)),
            ("smallest margin", shown(self.smallest_margin)),
            ("units at their kink", str(self.units_at_kink)),
            ("support vectors", str(int(np.sum(self.multipliers > 0.0)))),
        ]

    @property
    def distance_bound(self) -> float:
        """Bound on ‖W - W_opt‖/‖W‖, W_opt the optimum of the program with W's pattern: √gap."""
        return float(np.sqrt(self.duality_gap))


def kkt_residuals(network: TwoLayerNetwork, data: Dataset, W: Any, tolerance: float = 1e-9) -> KKTResiduals:
    """Residuals of the KKT conditions of (P) at W, of any scale and whether or not in the span of the data.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset
    W : array_like, shape (m, d)
    tolerance : float > 0
        A unit is at its kink if |z_ji| <= tolerance ‖x_i‖ max(‖w_j‖, |a_j| ‖W‖_F/‖a‖, 1e-6 ‖W‖_F): a row that is
        0 to rounding beside W has no side.

    Returns
    -------
    KKTResiduals

    Raises
    ------
    InvalidParameterError, ShapeError
        If the activation is not a `LeakyReLU`, W has the wrong shape or is not finite, or
        `tolerance` is not in (0, 1).

    References
    ----------
    docs/theory.md, sections 2 and 12.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 0, LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.0], [0.0, 1.0]], [1, -1])
    >>> at_kkt = kkt_residuals(network, data, [[1.0, -2.0]])
    >>> at_kkt.multipliers, round(at_kkt.stationarity, 12), at_kkt.rank
    (array([1., 4.]), 0.0, 1)
    >>> round(kkt_residuals(network, data, [[1.0, -4.0]]).duality_gap, 3)    # q = (1, 2)
    0.941
    """
    check_problem(network, data, "kkt_residuals")
    tolerance = as_positive("tolerance", tolerance)
    if tolerance >= 1.0:
        raise InvalidParameterError("tolerance", "lie in (0, 1)", tolerance)
    if data.in_tiles:
        small = reduced(data, [W], network.m, "W")
        data, W = small.data, small.weights[0]
    elif isinstance(W, Columns):
        W = W.array()
    Z = network.preactivations(W, data.X)
    W, Z, exponent = _near_one(np.asarray(W, dtype=np.float64), Z)
    norm = float(np.linalg.norm(W))
    q = data.y * network.outputs(Z)
    pattern = _pattern(network, data, W, Z, tolerance)
    largest = float(np.linalg.norm(network.second_layer)) * norm * np.linalg.norm(data.X, axis=1)
    if not np.all(q > VANISHING * largest.max()):
        return _not_separating(network, W, q, largest, pattern, exponent)
    Q, R = np.linalg.qr(data.X.T)  # X = Rᵀ Qᵀ: from here on in coordinates of the span
    W_in = W @ Q
    outside = float(np.linalg.norm(W - W_in @ Q.T)) / norm
    margin = float(q.min())
    excess = q / margin - 1.0
    fit = best_fit(Rays(network, data, R.T, pattern), W_in / norm, excess)
    sigma = singular_values(W_in if outside <= 1e-13 else W)  # Weyl: each differs by `outside` at most
    stationarity = float(np.hypot(fit.residual, outside))
    penalty, total = float(fit.multipliers @ excess), float(fit.multipliers.sum())
    status = KKTStatus.MEASURED if fit.optimal else KKTStatus.INACCURATE
    return KKTResiduals(
        status=status,
        message=status.value,
        stationarity=stationarity,
        feasibility=0.0,
        complementarity=penalty / total if total > 0.0 else 0.0,
        duality_gap=stationarity**2 + 2.0 * penalty * (margin / norm),  # (12.1)
        multipliers=fit.multipliers * (norm / margin),
        slopes=fit.slopes,
        rank=rank_of_limit(sigma),
        singular_value_ratio=third_ratio(sigma),
        smallest_margin=float(np.ldexp(margin, exponent)),
        units_at_kink=int(np.sum(pattern == 0)),
        pattern=pattern,
    )


def _near_one(W: Array, Z: Array) -> tuple[Array, Array, int]:
    """W and Z times 2^-e, exactly, with the largest entry of W in [1/2, 1), so that no square over- or underflows."""
    exponent = int(np.frexp(np.abs(W).max())[1])
    return np.ldexp(W, -exponent), np.ldexp(Z, -exponent), exponent


def _pattern(network: TwoLayerNetwork, data: Dataset, W: Array, Z: Array, tolerance: float) -> IntArray:
    """Sides of the kink; 0 at the kink, to the tolerance (never for γ = 1).

    Rounding of W moves z_ji by a part of ‖W‖ ‖x_i‖, however short w_j is. |a_j|/‖a‖ is the part of ‖W‖ that row j
    has where no unit holds another back; a row far shorter than that, and than ‖W‖, is 0 to rounding.
    """
    pattern = np.where(Z >= 0.0, 1, -1).astype(np.int8)
    if network.slope < 1.0:
        shares = np.abs(network.second_layer) / np.linalg.norm(network.second_layer)
        sizes = np.maximum(np.linalg.norm(W, axis=1), np.maximum(shares, SMALLEST_SHARE) * np.linalg.norm(W))
        pattern[np.abs(Z) <= tolerance * sizes[:, None] * np.linalg.norm(data.X, axis=1)] = 0
    return pattern


def _not_separating(
    network: TwoLayerNetwork, W: Array, q: Array, largest: Array, pattern: IntArray, exponent: int
) -> KKTResiduals:
    inf, smallest = float("inf"), float(np.ldexp(q.min(), exponent))
    relative = np.divide(q, largest, out=np.zeros_like(q), where=largest > 0.0)
    sigma = singular_values(W)
    place = int(np.argmin(q))
    return KKTResiduals(
        status=KKTStatus.NOT_SEPARATING,
        message=f"{KKTStatus.NOT_SEPARATING.value} The margin of sample {place} is {smallest:.6g}.",
        stationarity=inf,
        feasibility=max(0.0, -float(relative.min())),
        complementarity=inf,
        duality_gap=inf,
        multipliers=np.zeros(q.size),
        slopes=np.where(pattern >= 0, 1.0, network.slope),
        rank=rank_of_limit(sigma),
        singular_value_ratio=third_ratio(sigma),
        smallest_margin=smallest,
        units_at_kink=int(np.sum(pattern == 0)),
        pattern=pattern,
    )
