"""The gradient turns into the direction of the weights (Ji, Telgarsky; docs/theory.md (16.4) and (16.6))."""

from __future__ import annotations

import numpy as np

from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.flow_rates import late_stretches
from verification.claims.hypotheses import has_known_loss, loss_falls_below_threshold
from verification.claims.limit_error import EPS
from verification.claims.loss_times_time import applies
from verification.witnesses.rates import LateStretch

__all__ = ["CLAIM"]

RELATIVE_ERROR = 1e-8
"""Of q and ‖W‖, from the tolerances of the flow's solver, and of their products."""


def measure(evidence: Evidence) -> Measurement:
    """sin(W, -∇L) late in a flow, against what (16.6) allows there; the flow that is nearest to it."""
    found = [stretch for stretch, _ in late_stretches(evidence)] if has_known_loss(evidence) else []
    if not found:
        return Measurement.missing("sin(W, -∇L)", float("inf"), "No flow was followed beyond its last event.")
    sines, bounds = (np.array([getattr(f, name) for f in found]) for name in ("sine", "sine_bound"))
    errors = np.array([sine_error(f) for f in found])
    k = int(np.argmax(sines - bounds - errors))
    return Measurement(
        quantity="sin(W, -∇L) at the end",
        value=float(sines[k]),
        bound=float(bounds[k]),
        tolerance=0.0 if sines[k] + errors[k] <= bounds[k] else float(errors[k]),
        tolerance_reason="error of the cosine, through √(1 - cos²); 0 where not needed",
        details={"sines": sines.tolist(), "bounds": bounds.tolist(), "errors": errors.tolist()},
        trivial=1.0,
        trivial_reason="no sine exceeds 1",
    )


def sine_error(stretch: LateStretch) -> float:
    """Error of √(1 - c²) for an error of c: 2δ of its square, or less once the sine is larger."""
    square = 2.0 * (RELATIVE_ERROR * (1.0 - min(1.0, stretch.cosine)) + 64.0 * stretch.M.shape[0] * EPS)
    return float(np.sqrt(square) if stretch.sine**2 <= square else square / stretch.sine)


CLAIM = Claim(
    id="gradient-aligns",
    title="The gradient turns into the direction of the weights",
    source="Ji & Telgarsky, arXiv 2006.06657; docs/theory.md, section 16",
    hypothesis=loss_falls_below_threshold,
    measure=measure,
    applies=applies,
)
