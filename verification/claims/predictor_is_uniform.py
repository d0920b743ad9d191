"""The linear predictor of the limit is τ-uniform: every sample has about the same say (docs/theory.md (15.2))."""

from __future__ import annotations

from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import near_orthogonality
from verification.claims.multipliers_within_bounds import ERROR_OF_MULTIPLIERS, applies, multiplier_error
from verification.claims.ratios import worst
from verification.witnesses.bounds import predictor_weights, printed_uniformity

__all__ = ["CLAIM", "against"]


def measure(evidence: Evidence) -> Measurement:
    """Largest max s/min s of z = Σ s_i y_i x_i over limits, against max(λ̄β)/min(ℓβ) (15.2)."""
    lower, upper = evidence.hypotheses.multiplier_lower, evidence.hypotheses.multiplier_upper
    beta = predictor_weights(evidence.network, evidence.data.y)
    positive = lower is not None and upper is not None and float(lower.min()) > 0.0
    bound = float((upper * beta).max() / (lower * beta).min()) if positive else float("inf")  # type: ignore[operator]
    return against(evidence, bound)


def against(evidence: Evidence, bound: float) -> Measurement:
    """max s/min s of every limit, s_i read off the limit's own coefficients: z = Σ_j a_j w_j."""
    a, y = evidence.network.second_layer, evidence.data.y
    weights = [y * (a @ limit.coefficients) for limit in evidence.limits]
    found = [float(s.max() / s.min()) if s.min() > 0.0 else float("inf") for s in weights]
    errors = [
        2.0 * multiplier_error(limit, evidence) * min(ratio, bound)
        for limit, ratio in zip(evidence.limits, found, strict=True)
    ]
    value, tolerance = worst(found, errors, bound)
    slope = evidence.network.slope
    return Measurement(
        quantity="largest max s/min s",
        value=value,
        bound=bound,
        tolerance=tolerance,
        tolerance_reason=f"twice the {ERROR_OF_MULTIPLIERS}",
        undecided=evidence.missing_limits,
        details={
            "ratios": found,
            "printed": printed_uniformity(evidence.network, evidence.data) if slope > 0.0 else float("inf"),
        },
        trivial=1.0 if evidence.data.n == 1 else float("inf"),
        trivial_reason="there is only one sample",
    )


CLAIM = Claim(
    id="predictor-is-uniform",
    title="The linear predictor of the limit is a nearly uniform sum of the samples",
    source="docs/theory.md, section 15",
    hypothesis=near_orthogonality,
    measure=measure,
    applies=applies,
)
