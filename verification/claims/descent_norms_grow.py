"""Every neuron grows with the accumulated weights of the samples (docs/theory.md, section 8)."""

from __future__ import annotations

import numpy as np

from refimpl.spectrum import row_norms
from verification.claims.base import Claim, Measurement
from verification.claims.descent_stable_rank_bounded import invertible_gram
from verification.claims.descents import SMALLEST_INCREMENT, DescentRun
from verification.claims.evidence import Evidence
from verification.witnesses.bounds import smallest_eigenvalue

__all__ = ["CLAIM"]


def measure(evidence: Evidence) -> Measurement:
    """Largest (λ_min(K) γ² a_j² Σ G_i²)/‖w_j(t) - w_j(0)‖² over neurons, recorded steps and starts.

    The right-hand sides grow without bound as long as the loss goes to 0, because Σ G_i diverges.
    """
    ratios = [largest_least_growth(run, evidence) for run in evidence.descents]
    norms = [run.result.trajectory.neuron_norms for run in evidence.descents]
    return Measurement(
        quantity="largest least growth / growth",
        value=max(ratios, default=None),
        bound=1.0,
        tolerance=1e-9,
        tolerance_reason="rounding of λ_min(K) and of the norms",
        undecided=evidence.missing_descents,
        details={
            "smallest_norm_at_the_start": [evidence.as_given(x[0].min(), -1) for x in norms],
            "smallest_norm_at_the_end": [evidence.as_given(x[-1].min(), -1) for x in norms],
        },
        trivial=float("inf") if smallest_eigenvalue(evidence.data) * evidence.network.slope > 0.0 else 0.0,
        trivial_reason="γ or λ_min(K) is 0, and so is the least growth",
    )


def largest_least_growth(run: DescentRun, evidence: Evidence) -> float:
    """The ratio at the recorded steps after the start."""
    path = run.result.trajectory
    root = evidence.network.slope * np.sqrt(smallest_eigenvalue(evidence.data))
    least = root * np.outer(row_norms(path.accumulated_weights[1:]), np.abs(evidence.network.second_layer))
    grown = path.increment_norms[1:]
    roots = np.divide(least, grown, out=np.zeros_like(least), where=least > SMALLEST_INCREMENT)
    return float(roots.max(initial=0.0)) ** 2


CLAIM = Claim(
    id="descent-norms-grow",
    title="Every neuron's weights grow as the loss goes to 0",
    source="Frei et al., arXiv 2210.07082; docs/theory.md, section 8",
    hypothesis=invertible_gram,
    measure=measure,
)
