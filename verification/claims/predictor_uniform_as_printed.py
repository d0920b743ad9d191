"""The linear predictor of the limit is as uniform as [FVBS], Proposition 4, prints (docs/theory.md (15.4))."""

from __future__ import annotations

from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.multipliers_within_printed_bounds import applies, as_printed
from verification.claims.predictor_is_uniform import against
from verification.witnesses.bounds import printed_uniformity

__all__ = ["CLAIM"]


def measure(evidence: Evidence) -> Measurement:
    """Largest max s/min s over limits, against (R²/γ²)(1 + 2/(γPR² - 2))."""
    positive = evidence.network.slope > 0.0
    return against(evidence, printed_uniformity(evidence.network, evidence.data) if positive else float("inf"))


CLAIM = Claim(
    id="predictor-uniform-as-printed",
    title="The linear predictor of the limit is as uniform as printed",
    source="Frei, Vardi, Bartlett, Srebro, COLT 2023, Proposition 4; docs/theory.md (15.4)",
    hypothesis=as_printed,
    measure=measure,
    applies=applies,
)
