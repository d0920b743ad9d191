"""At the limit every margin is equal to 1: every sample is a support vector (docs/theory.md, section 3)."""

from __future__ import annotations

import numpy as np

from verification.claims.base import LIMIT_ERROR, Claim, Measurement
from verification.claims.evidence import SMALLEST_TOLERANCE, Evidence
from verification.claims.hypotheses import near_orthogonality

__all__ = ["CLAIM"]


def measure(evidence: Evidence) -> Measurement:
    """Largest |q_i - 1| over samples and limits, q_i from a forward pass with W in R^d."""
    deviations = [
        float(np.abs(evidence.network.margins(limit.weights(), evidence.data) - 1.0).max()) for limit in evidence.limits
    ]
    return Measurement(
        quantity="largest |q_i - 1|",
        value=max(deviations, default=None),
        bound=0.0,
        tolerance=max(evidence.margin_error, SMALLEST_TOLERANCE),
        tolerance_reason=f"‖a‖‖W‖R_max times {LIMIT_ERROR}",
        undecided=evidence.missing_limits,
        details={"deviations": deviations},
        trivial=0.0 if evidence.data.n == 1 else float("inf"),
        trivial_reason="W is scaled so that its smallest margin is 1, and there is only one",
    )


CLAIM = Claim(
    id="all-margins-tight",
    title="Every margin of the limit is tight",
    source="Frei et al., arXiv 2210.07082, (1); docs/theory.md, section 5",
    hypothesis=near_orthogonality,
    measure=measure,
    about_kkt_points=True,
    exact=lambda evidence, point: not point.slack,
)
