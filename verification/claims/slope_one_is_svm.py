"""For slope 1 the limit is the hard-margin support vector machine through the origin (docs/theory.md, section 15)."""

from __future__ import annotations

from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.evidence import SMALLEST_TOLERANCE, Evidence
from verification.claims.hypotheses import separability
from verification.witnesses.convex_program import SolveStatus

__all__ = ["CLAIM"]


def applies(evidence: Evidence) -> bool:
    """Whether the network is linear."""
    return evidence.network.slope == 1.0


def hypothesis(evidence: Evidence) -> HypothesisResult:
    """γ = 1 and separable data."""
    found = separability(evidence)
    return HypothesisResult("slope 1, data separable", applies(evidence) and found.satisfied, None, found.undecided)


def measure(evidence: Evidence) -> Measurement:
    """Largest relative distance of a limit from the W of rows a_j z*/A, z* the support vector machine by CVXPY."""
    quantity, linear, network = "‖W - (a_j z*/A)_j‖/‖·‖", evidence.linear, evidence.network
    if linear.status is not SolveStatus.SOLVED:
        return Measurement.missing(quantity, 0.0, f"Linear max margin by CVXPY: {linear.status.value}")
    C = network.second_layer[:, None] * linear.coefficients / network.mass
    distances = [evidence.distance(limit.coefficients, C) for limit in evidence.limits]
    return Measurement(
        quantity=quantity,
        value=max(distances, default=None),
        bound=0.0,
        tolerance=max(linear.error_estimate + 2.0 * evidence.flow_error, SMALLEST_TOLERANCE),
        tolerance_reason="CVXPY's error bound for z*, plus twice the error of the limit",
        undecided=evidence.missing_limits,
        details={"distances": distances, "support_vectors": int((abs(linear.coefficients) > 0.0).sum())},
    )


CLAIM = Claim(
    id="slope-one-is-svm",
    title="For slope 1 the limit is the hard-margin support vector machine",
    source="Soudry et al., JMLR 2018, arXiv 1710.10345; docs/theory.md, section 15",
    hypothesis=hypothesis,
    measure=measure,
    applies=applies,
)
