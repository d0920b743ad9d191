"""Gradient flow converges in direction to a KKT point of (P) (docs/theory.md, section 2)."""

from __future__ import annotations

from verification.claims.base import LIMIT_ERROR, Claim, Measurement
from verification.claims.evidence import SMALLEST_TOLERANCE, Evidence
from verification.claims.hypotheses import loss_falls_below_threshold
from verification.witnesses.kkt import KKTStatus

__all__ = ["CLAIM"]


def measure(evidence: Evidence) -> Measurement:
    """Largest stationarity, infeasibility or complementarity residual of a limit (section 12).

    The residuals come from `kkt_residuals`, which knows W only: it finds its own multipliers.
    """
    found = evidence.kkt
    worst = [max(r.stationarity, r.feasibility, r.complementarity) for r in found]
    tolerance = max(evidence.flow_error, SMALLEST_TOLERANCE)
    unknown = [r for r, w in zip(found, worst, strict=True) if r.status is KKTStatus.INACCURATE and w > tolerance]
    return Measurement(
        quantity="largest KKT residual",
        value=max(worst, default=None),
        bound=0.0,
        tolerance=tolerance,
        tolerance_reason=LIMIT_ERROR,
        undecided=evidence.missing_limits or (unknown[0].message if unknown else ""),
        details={
            "stationarity": [r.stationarity for r in found],
            "complementarity": [r.complementarity for r in found],
            "duality_gap": [r.duality_gap for r in found],
            "units_on_kink": [r.units_at_kink for r in found],
        },
        trivial=1.0,
        trivial_reason="no stationarity exceeds 1",
    )


CLAIM = Claim(
    id="flow-limit-is-kkt",
    title="The limit of gradient flow is a KKT point of the margin problem",
    source="Lyu & Li, arXiv 1906.05890; Ji & Telgarsky, arXiv 2006.06657",
    hypothesis=loss_falls_below_threshold,
    measure=measure,
    exact=lambda evidence, point: True,
)
