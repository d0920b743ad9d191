"""Slope 0: on orthogonal samples the start decides the stable rank of each sign (docs/theory.md (15.6))."""

from __future__ import annotations

import numpy as np

from refimpl.flow import FlowLimit
from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import stable_rank
from refimpl.validation import Array
from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.evidence import SMALLEST_TOLERANCE, Evidence, limit_error

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
    """Largest distance of a stable rank of the rows J₊, or J₋, of a limit from that of (15.6)."""
    quantity, network, data = "stable rank of J₊, J₋: distance", evidence.network, evidence.data
    found, predicted, errors = [], [], []
    for start, flow in zip(evidence.starts, evidence.flows, strict=True):
        C = predicted_coefficients(network, data.gram, data.y, start.W0 @ data.X.T)
        if flow.limit is None or C is None:
            continue
        found.append(ranks_by_sign(network, flow.limit.coefficients @ evidence.factor))
        predicted.append(ranks_by_sign(network, C @ evidence.factor))
        errors.append(error_of_ranks(flow.limit, evidence))
    details = {"stable_ranks": [r.tolist() for r in found], "predicted": [r.tolist() for r in predicted]}
    if not found:
        return Measurement.missing(quantity, 0.0, evidence.missing_limits or "A sample has no live unit of its sign.")
    return Measurement(
        quantity=quantity,
        value=float(np.nanmax(np.abs(np.array(found) - np.array(predicted)))),
        bound=0.0,
        tolerance=max(errors),
        tolerance_reason="error of the limit, through the stable rank of its rows",
        undecided=evidence.missing_limits,
        details=details,
    )


def ranks_by_sign(network: TwoLayerNetwork, rows: Array) -> Array:
    """Stable rank of J₊ and of J₋; NaN for a sign without neurons or rows that are 0."""
    groups = (rows[network.positive], rows[~network.positive])
    return np.array([stable_rank(group) if group.any() else np.nan for group in groups])


def error_of_ranks(limit: FlowLimit, evidence: Evidence) -> float:
    """‖W‖_F²/‖W‖₂² of a block changes by at most the part 2δ/‖·‖_F + 2δ/‖·‖₂, δ the error of W."""
    rows, size = limit.coefficients @ evidence.factor, float(np.linalg.norm(limit.singular_values))
    delta, largest = size * max(limit_error(limit, evidence), SMALLEST_TOLERANCE), 0.0
    for block in (rows[evidence.network.positive], rows[~evidence.network.positive]):
        if block.any():
            F, sigma = float(np.linalg.norm(block)), float(np.linalg.norm(block, 2))
            largest = max(largest, (F / sigma) ** 2 * (2.0 * delta / F + 2.0 * delta / sigma))
    return largest


CLAIM = Claim(
    id="relu-limit-from-start",
    title="For slope 0 and orthogonal samples the start decides the stable rank of each sign",
    source="docs/theory.md (15.6)",
    hypothesis=hypothesis,
    measure=measure,
    applies=applies,
)
