"""Slope 0: on orthogonal samples the pattern of the start decides the limit (docs/theory.md (15.6))."""

from __future__ import annotations

import numpy as np

from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import stable_rank
from refimpl.validation import Array
from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.evidence import SMALLEST_TOLERANCE, Evidence

__all__ = ["CLAIM", "predicted_coefficients"]


def applies(evidence: Evidence) -> bool:
    """Whether the activation is the ReLU."""
    return evidence.network.slope == 0.0


def predicted_coefficients(network: TwoLayerNetwork, gram: Array, y: Array, Z: Array) -> Array | None:
    """C of (15.6) from the preactivations Z at the start; None where some sample has no live unit of its own sign."""
    a = network.second_layer[:, None]
    alive = (a * y > 0.0) & (Z > 0.0)
    mass = np.sum(np.where(alive, a**2, 0.0), axis=0)
    return None if mass.min() == 0.0 else np.asarray(a * y * alive / (np.diagonal(gram) * mass))


def hypothesis(evidence: Evidence) -> HypothesisResult:
    """γ = 0, orthogonal samples, no z_ji(0) = 0, and a live unit of its own sign for each sample, at every start."""
    starts = [start.W0 @ evidence.data.X.T for start in evidence.starts]
    data, network = evidence.data, evidence.network
    decided = all(
        bool(np.all(Z != 0.0)) and predicted_coefficients(network, data.gram, data.y, Z) is not None for Z in starts
    )
    return HypothesisResult("slope 0, samples orthogonal", applies(evidence) and data.p == 0.0 and decided, None)


def measure(evidence: Evidence) -> Measurement:
    """Largest relative distance of a limit from the W of (15.6); stable ranks of J₊ and J₋ beside it."""
    quantity, network, data = "‖W - (15.6)‖/‖·‖", evidence.network, evidence.data
    starts = [
        (flow.limit, C)
        for start, flow in zip(evidence.starts, evidence.flows, strict=True)
        if (C := predicted_coefficients(network, data.gram, data.y, start.W0 @ data.X.T)) is not None and flow.limit
    ]
    if not starts:
        return Measurement.missing(quantity, 0.0, evidence.missing_limits or "A sample has no live unit of its sign.")
    found, predicted = (
        np.array([ranks_by_sign(network, C @ evidence.factor) for C in several])
        for several in ([limit.coefficients for limit, _ in starts], [C for _, C in starts])
    )
    return Measurement(
        quantity=quantity,
        value=max(evidence.distance(limit.coefficients, C) for limit, C in starts),
        bound=0.0,
        tolerance=max(2.0 * evidence.flow_error, SMALLEST_TOLERANCE),
        tolerance_reason="twice the error of the limit",
        undecided=evidence.missing_limits,
        details={"stable_ranks": found.tolist(), "predicted": predicted.tolist()},
        note=RANKS.format(*(", ".join(f"{x:.3g}" for x in column) for column in (*found.T, *predicted.T))),
    )


RANKS = "Stable rank of the rows J₊ {} and J₋ {} from the starts; (15.6) has {} and {}."


def ranks_by_sign(network: TwoLayerNetwork, rows: Array) -> Array:
    """Stable rank of J₊ and of J₋; NaN for a sign without neurons or rows that are 0."""
    groups = (rows[network.positive], rows[~network.positive])
    return np.array([stable_rank(group) if group.any() else np.nan for group in groups])


CLAIM = Claim(
    id="relu-limit-from-start",
    title="For slope 0 and orthogonal samples the start decides the limit",
    source="docs/theory.md (15.6)",
    hypothesis=hypothesis,
    measure=measure,
    applies=applies,
)
