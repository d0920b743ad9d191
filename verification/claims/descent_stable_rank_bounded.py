"""The stable rank of what descent has learned is bounded at every step (docs/theory.md, section 8)."""

from __future__ import annotations

import numpy as np

from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.descents import SMALLEST_INCREMENT, DescentRun
from verification.claims.evidence import Evidence

__all__ = ["CLAIM", "invertible_gram"]


def invertible_gram(evidence: Evidence) -> HypothesisResult:
    """γ > 0 and K invertible, which the bound of section 8 needs."""
    return HypothesisResult("slope > 0, K invertible", bool(np.isfinite(evidence.increment_bound)), None)


def measure(evidence: Evidence) -> Measurement:
    """Largest (stable rank of W(t) - W(0))/(1 + cond(K) (1-γ)²/(4γ)) over starts and recorded steps."""
    bound = evidence.increment_bound
    largest = [largest_stable_rank(run) for run in evidence.descents]
    return Measurement(
        quantity="largest stable rank of W(t) - W(0)",
        value=max(largest),
        bound=bound,
        tolerance=1e-9,
        tolerance_reason="rounding of the stable rank and of cond(K)",
        undecided=evidence.missing_descents,
        details={"largest_by_start": largest},
        trivial=float(evidence.room),
        trivial_reason=f"no matrix of this size has a stable rank above {evidence.room}",
    )


def largest_stable_rank(run: DescentRun) -> float:
    """Of W(t) - W(0) over the recorded steps t >= 1 at which it lies well above the smallest floats; at least 1."""
    path = run.result.trajectory
    large = path.increment_norms.max(axis=1, initial=0.0) > SMALLEST_INCREMENT
    return float(path.increment_stable_rank[large].max(initial=1.0))


CLAIM = Claim(
    id="descent-stable-rank-bounded",
    title="The stable rank of W(t) - W(0) stays below the bound at every step",
    source="docs/theory.md, section 8",
    hypothesis=invertible_gram,
    measure=measure,
)
