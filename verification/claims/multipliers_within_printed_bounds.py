"""The multipliers of the limit lie within the printed bounds of [FVBS], Lemma 16 (docs/theory.md (15.3))."""

from __future__ import annotations

import numpy as np

from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.evidence import Evidence
from verification.claims.multipliers_within_bounds import within
from verification.witnesses.bounds import printed_multipliers

__all__ = ["CLAIM", "as_printed"]


def as_printed(evidence: Evidence) -> HypothesisResult:
    """Equal |a_j|, m₁ = m₂, and R_min² >= 3 γ⁻³ R² n p; slack: that of the paper's condition."""
    balanced = 2 * int(np.sum(evidence.network.positive)) == evidence.network.m
    found = evidence.hypotheses.paper
    return HypothesisResult("m₁ = m₂, P >= 3γ⁻³", balanced and found.satisfied, found.slack if balanced else 0.0)


def applies(evidence: Evidence) -> bool:
    """Whether the data are as the printed statement asks."""
    return as_printed(evidence).satisfied


def measure(evidence: Evidence) -> Measurement:
    """Largest of λ_i/(3/(2γ²R_min²)) and (1/(2R_max²))/λ_i over samples and limits."""
    if evidence.network.slope == 0.0:
        return Measurement.missing("largest λ/upper, lower/λ", 1.0, "For slope 0 there is no printed bound.")
    return within(evidence, *printed_multipliers(evidence.network, evidence.data))


CLAIM = Claim(
    id="multipliers-within-printed-bounds",
    title="The multipliers of the limit lie within the printed bounds",
    source="Frei, Vardi, Bartlett, Srebro, COLT 2023, Lemma 16; docs/theory.md (15.3)",
    hypothesis=as_printed,
    measure=measure,
    applies=applies,
)
