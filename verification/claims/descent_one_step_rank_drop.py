"""One step of descent from a small Gaussian start brings the stable rank down to a known number
(docs/theory.md, section 9).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array
from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.evidence import Evidence
from verification.witnesses.bounds import cosines_of, expected_products, predicted_stable_rank

__all__ = ["CLAIM"]

LEAST_WIDTH, DRAWS = 4096, (2**20, 2**22, 2**24)
"""At least so many neurons, and more as long as m n stays below so many units: the first number of them that tells."""

BLOCK = 4096
"""Neurons whose first steps are computed at once."""

LOG_RISK = float(np.log(4e6))
"""log(4/δ): the bounds of section 9 on the sampling error fail with probability δ = 1e-6 each."""

LARGEST_SHARE = 0.1
"""A sampling error above this part of the prediction decides nothing."""

VANISHING_SCALE = 1e-9


def hypothesis(evidence: Evidence) -> HypothesisResult:
    """Gaussian start of vanishing scale: met by construction, on a wide copy of the network."""
    return HypothesisResult("wide, Gaussian start → 0", True, None)


def measure(evidence: Evidence) -> Measurement:
    """Relative distance of the stable rank of W(1) - W(0) from the prediction, at a width of thousands.

    The data are replaced by their coordinates in an orthonormal basis of their span, which changes
    nothing; the second layer is repeated until the width is reached.
    """
    data, rounding = evidence.data, error_of_prediction(evidence)
    if not rounding < LARGEST_SHARE:
        return Measurement.missing("distance from the predicted", 0.0, ALMOST_CONTRADICTORY)
    predicted = predicted_stable_rank(data.gram, data.y, evidence.network.slope)
    law = FirstStepLaw.of(evidence, predicted)
    for units in DRAWS:
        evidence.check_time()
        wide = widened(evidence.network, data.n, units)
        measured, error = law.measured_with_error(first_step(wide, evidence), wide.second_layer**2)
        share = error / predicted
        if share <= LARGEST_SHARE:
            break
    own = [float(run.result.trajectory.stable_rank[0]) for run in evidence.descents]
    return Measurement(
        quantity=f"distance from the predicted {predicted:.4g}",
        value=abs(measured - predicted) / predicted,
        bound=0.0,
        tolerance=share + rounding + 1e-12,
        tolerance_reason="sampling error of the neurons (9.1), exceeded with probability 2e-6, and rounding",
        undecided=SAMPLING.format(share, wide.m) if share > LARGEST_SHARE else "",
        details={"predicted": predicted, "measured": measured, "width": wide.m, "before_the_step": own},
        statistical=True,
        trivial=max(predicted - 1.0, evidence.room - predicted) / predicted,
        trivial_reason=f"every stable rank lies between 1 and {evidence.room}",
    )


ALMOST_CONTRADICTORY = "The prediction is lost in rounding: samples of opposite labels are almost equal."

SAMPLING = "The sampling error, {:.2g} of the prediction, is too large with {} neurons: rare ones matter."


def widened(network: TwoLayerNetwork, n: int, units: int) -> TwoLayerNetwork:
    """The network with its second layer repeated to about `units` units (j, i), and Σa² kept."""
    copies = -(-max(LEAST_WIDTH, units // n) // network.m)
    return TwoLayerNetwork(np.tile(network.second_layer, copies) / np.sqrt(copies), network.activation)


def first_step(wide: TwoLayerNetwork, evidence: Evidence) -> Array:
    """W(1) - W(0) in units of αg(0)/n: rows a_j Σ_i y_i Φ_ji (g_i/g(0)) x_i in coordinates of the span.

    Neurons come in blocks that stay in the cache: arrays for all of them at once would cost more than their entries.
    """
    y, L, rng = evidence.data.y, evidence.factor, np.random.default_rng([evidence.seed, 9])
    a, phi, unit = wide.second_layer, wide.activation, VANISHING_SCALE / evidence.data.R_max
    blocks = [slice(first, first + BLOCK) for first in range(0, wide.m, BLOCK)]
    Z, D, f = np.empty((wide.m, y.size)), np.empty((wide.m, L.shape[1])), np.zeros(y.size)
    for rows in blocks:
        np.matmul(unit * rng.standard_normal((a[rows].size, L.shape[1])), L.T, out=Z[rows])
        f += a[rows] @ phi.value(Z[rows])
    g = evidence.loss.weight(y * f) / evidence.loss.weight(np.zeros(1))
    for rows in blocks:
        np.multiply(a[rows, None], (phi.derivative(Z[rows]) * (y * g)) @ L, out=D[rows])
    return D


def error_of_prediction(evidence: Evidence) -> float:
    """Bound on the relative error that the rounding of K makes in the prediction; inf where nothing is left of it.

    The cosines carry d eps, which arcsin multiplies where they are near ±1. With e the sum of
    ‖x_i‖‖x_k‖ times the errors of E_ik and of the cosine, tr(E S) and λ_max(E S) are wrong by at most e.
    """
    data, slope = evidence.data, evidence.network.slope
    cosines, eps = cosines_of(data.gram), evidence.dimension * float(np.finfo(np.float64).eps)
    low, high = (expected_products(np.clip(cosines + side, -1.0, 1.0), slope) for side in (-eps, eps))
    np.fill_diagonal(errors := high - low, 0.0)
    e = float(data.norms @ (errors + 2.0 * eps) @ data.norms)
    largest = float(np.linalg.eigvalsh(second_moment(evidence))[-1])
    return 2.0 * e / (largest - e) if largest > e else float("inf")


def second_moment(evidence: Evidence) -> Array:
    """E[v vᵀ] of v = Σ_i y_i Φ_ji x_i in coordinates of the span: Lᵀ (E ∘ yyᵀ) L, symmetric."""
    E = expected_products(cosines_of(evidence.data.gram), evidence.network.slope)
    L = evidence.data.y[:, None] * evidence.factor
    return np.asarray(L.T @ E @ L)


@dataclass(frozen=True, eq=False)
class FirstStepLaw:
    """What section 9 says of v = Σ_i y_i Φ_ji x_i, and of the sampling error that follows.

    Attributes
    ----------
    stable_rank : float
        s, the prediction.
    largest : float
        λ, the largest eigenvalue of E[v vᵀ].
    u : ndarray, shape (r,)
        Its eigenvector.
    along, across : float
        Bounds T on |⟨u, v⟩| and P on ‖v - ⟨u, v⟩u‖ over all slopes in [γ, 1].
    """

    stable_rank: float
    largest: float
    u: Array
    along: float
    across: float

    @classmethod
    def of(cls, evidence: Evidence, predicted: float) -> FirstStepLaw:
        """From K, y and γ."""
        eigenvalues, vectors = np.linalg.eigh(second_moment(evidence))
        L, gamma, u = evidence.data.y[:, None] * evidence.factor, evidence.network.slope, vectors[:, -1]
        b = L @ u
        up, down = float(np.maximum(b, 0.0).sum()), float(np.maximum(-b, 0.0).sum())
        rest = L - np.outer(b, u)
        half = float(np.sqrt(len(L)) * np.linalg.norm(rest, 2))
        across = (1.0 + gamma) / 2.0 * float(np.linalg.norm(rest.sum(axis=0))) + (1.0 - gamma) / 2.0 * half
        return cls(predicted, float(eigenvalues[-1]), u, max(up - gamma * down, down - gamma * up), across)

    def measured_with_error(self, D: Array, squares: Array) -> tuple[float, float]:
        """Stable rank of D, whose rows are a_j v_j, and the bound (9.1) on its distance from s; squares are a_j²."""
        A, count, s = float(squares.sum()), len(D), self.stable_rank
        G = D.T @ D / A
        top = float(np.linalg.eigvalsh(G)[-1])
        along = D @ self.u
        h = count / (A * self.largest) * (np.sum(D**2, axis=1) - s * along**2)
        width = count * float(squares.max()) / (A * self.largest) * (self.across**2 + abs(s - 1.0) * self.along**2)
        first = np.sqrt(2.0 * h.var(ddof=1) * LOG_RISK / count) + 7.0 * width * LOG_RISK / (3.0 * (count - 1))
        r = float(np.linalg.norm(squares)) / A * self.along * self.across * (1.0 + np.sqrt(2.0 * LOG_RISK))
        rho = float(self.u @ G @ self.u)
        across = G - np.outer(self.u, G @ self.u)
        mu = float(np.linalg.eigvalsh(across - np.outer(across @ self.u, self.u))[-1])
        second = (mu - rho + np.hypot(mu - rho, 2.0 * r)) / 2.0
        return float(np.trace(G)) / top, float(self.largest * first + s * second) / top


CLAIM = Claim(
    id="descent-one-step-rank-drop",
    title="One step from a small start brings the stable rank to the predicted number",
    source="Frei et al., arXiv 2210.07082; docs/theory.md, section 9",
    hypothesis=hypothesis,
    measure=measure,
)
