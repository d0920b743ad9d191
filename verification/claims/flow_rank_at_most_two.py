"""The limit of gradient flow has rank at most two (docs/theory.md, sections 3 and 5)."""

from __future__ import annotations

from refimpl.spectrum import third_ratio
from verification.claims.base import LIMIT_ERROR, Claim, Measurement
from verification.claims.evidence import SMALLEST_TOLERANCE, Evidence
from verification.claims.hypotheses import near_orthogonality_or_linear

__all__ = ["CLAIM"]


def measure(evidence: Evidence) -> Measurement:
    """Largest σ₃/σ₁ of a limit."""
    ratios = [third_ratio(limit.singular_values) for limit in evidence.limits]
    return Measurement(
        quantity="largest σ₃/σ₁",
        value=max(ratios, default=None),
        bound=0.0,
        tolerance=max(evidence.flow_error, SMALLEST_TOLERANCE),
        tolerance_reason=LIMIT_ERROR,
        undecided=evidence.missing_limits,
        details={"ranks": [limit.rank for limit in evidence.limits], "ratios": ratios},
        trivial=0.0 if evidence.room <= 2 else 1.0,
        trivial_reason="no weights in the span of these data have a rank above 2",
    )


CLAIM = Claim(
    id="flow-rank-at-most-two",
    title="The limit of gradient flow has rank at most two",
    source="Frei et al., arXiv 2210.07082, (2); docs/theory.md, section 5",
    hypothesis=near_orthogonality_or_linear,
    measure=measure,
    about_kkt_points=True,
    exact=lambda evidence, point: point.rank <= 2,
)
