"""Plain time times the loss tends to the squared norm of the limit (docs/theory.md (16.3) and (16.5))."""

from __future__ import annotations

import numpy as np

from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.flow_rates import ERROR_OF_LOSS, late_stretches
from verification.claims.hypotheses import has_known_loss, loss_falls_below_threshold

__all__ = ["CLAIM"]


def applies(evidence: Evidence) -> bool:
    """Whether some flow was followed beyond its last event."""
    return has_known_loss(evidence) and bool(late_stretches(evidence))


def measure(evidence: Evidence) -> Measurement:
    """|T L(T)/‖W*‖² - 1| at the last time where it is known, against what (16.5) allows; the flow nearest to that."""
    found = late_stretches(evidence) if has_known_loss(evidence) else []
    if not found:
        return Measurement.missing("|t L/‖W*‖² - 1|", float("inf"), "No flow was followed beyond its last event.")
    distances = np.array([abs(stretch.time_times_loss - 1.0) for stretch, _ in found])
    bounds = np.array([stretch.time_times_loss_bound for stretch, _ in found])
    errors = np.array([error + 4.0 * evidence.flow_error for _, error in found])
    k = int(np.argmax(distances - bounds - errors))
    return Measurement(
        quantity="|t L/‖W*‖² - 1| at the end",
        value=float(distances[k]),
        bound=float(bounds[k]),
        tolerance=0.0 if distances[k] + errors[k] <= bounds[k] else float(errors[k]),
        tolerance_reason=ERROR_OF_LOSS,
        details={
            "distances": distances.tolist(),
            "bounds": bounds.tolist(),
            "errors": errors.tolist(),
        },
    )


CLAIM = Claim(
    id="loss-times-time",
    title="Plain time times the loss tends to the squared norm of the limit",
    source="docs/theory.md, section 16",
    hypothesis=loss_falls_below_threshold,
    measure=measure,
    applies=applies,
)
