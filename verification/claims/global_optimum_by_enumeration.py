"""The limit is the global optimum of (P), found without the theorem (docs/theory.md, section 13)."""

from __future__ import annotations

import numpy as np

from refimpl.flow import FlowLimit
from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import near_orthogonality_or_linear
from verification.exact.optimum import OptimumCertificate
from verification.exact.point import PointCertificate
from verification.witnesses.convex_program import SolveStatus
from verification.witnesses.enumeration import can_be_enumerated, count_programs

__all__ = ["CLAIM"]

QUANTITY = "½‖W‖²/global optimum - 1"


def applies(evidence: Evidence) -> bool:
    """Whether there are few enough programs."""
    return can_be_enumerated(evidence.network, evidence.data)


def measure(evidence: Evidence) -> Measurement:
    """Largest excess of ½‖W‖_F² at a limit, W scaled to smallest margin 1, over the global optimum of (P).

    Below the conditions a limit may be a KKT point that is not global: then this is a finding.
    """
    if not applies(evidence):
        return Measurement.missing(QUANTITY, 0.0, "There are too many programs to enumerate.")
    found = evidence.global_optimum
    details = {
        "programs": count_programs(evidence.network, evidence.data),
        "solved": found.solved,
        "solver_status": found.status.name,
        "relative_gap": found.gap,
        "rank_of_the_global_optimum": found.rank,
    }
    if found.status is not SolveStatus.SOLVED:
        undecided = evidence.missing_limits or f"Enumeration: {found.status.value}"
        return Measurement.missing(QUANTITY, 0.0, undecided, details)
    excesses = [found.excess(objective_at(limit, evidence)) for limit in evidence.limits]
    tolerance = found.gap + 2.0 * (evidence.flow_error + evidence.margin_error)
    below = min(excesses, default=0.0) < -tolerance
    return Measurement(
        quantity=QUANTITY,
        value=max(excesses, default=None),
        bound=0.0,
        tolerance=tolerance,
        tolerance_reason="gap to the least dual value, plus errors of ‖W‖² and of the smallest margin",
        undecided=evidence.missing_limits or ("A limit lies below the least dual value." if below else ""),
        details={**details, "excess": excesses},
    )


def objective_at(limit: FlowLimit, evidence: Evidence) -> float:
    """½‖W‖_F² for the limit divided by its smallest margin; inf if that is not positive."""
    C = limit.coefficients
    smallest = float((evidence.data.y * evidence.network.outputs(C @ evidence.data.gram)).min())
    return 0.5 * float(np.sum((C @ evidence.factor) ** 2)) / smallest**2 if smallest > 0.0 else float("inf")


def is_proven_optimum(evidence: Evidence, point: PointCertificate) -> bool | None:
    """Whether ½‖W‖² of a proven KKT point is the global optimum, over Q; False if another proven limit has less."""
    others = [proof.point for proof in evidence.proofs if isinstance(proof.point, PointCertificate)]
    if any(other.objective < point.objective for other in others):
        return False
    best = evidence.proven_optimum
    return point.objective == best.point.objective if isinstance(best, OptimumCertificate) else None


CLAIM = Claim(
    id="global-optimum-by-enumeration",
    title="The limit is the global optimum of the margin problem",
    source="derived: docs/theory.md, section 13",
    hypothesis=near_orthogonality_or_linear,
    measure=measure,
    about_kkt_points=True,
    applies=applies,
    exact=is_proven_optimum,
)
