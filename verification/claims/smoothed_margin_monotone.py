"""The smoothed normalized margin never decreases once L < ℓ(0)/n (docs/theory.md, section 7, "Monotone")."""

from __future__ import annotations

import numpy as np

from refimpl.flow import FlowResult
from refimpl.flow.piecewise import LONGEST_SEGMENT
from refimpl.validation import Array
from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import log_threshold, loss_below_threshold

__all__ = ["CLAIM"]


def measure(evidence: Evidence) -> Measurement:
    """Largest decrease of ℓ⁻¹(nL)/‖W‖ between recorded times, in units of max(1, ℓ⁻¹(nL))/‖W‖.

    An unfinished flow counts as far as it went.
    """
    found = [decreases(flow, evidence) for flow in evidence.flows]
    drops = [drop for drop, _ in found]
    return Measurement(
        quantity="largest relative decrease",
        value=max(drops),
        bound=0.0,
        tolerance=max(tolerance for _, tolerance in found),
        tolerance_reason="error of one solver step in q, and rounding of q, relative to the smoothed margin",
        undecided="" if max(drops) > -np.inf else "The loss did not fall below ℓ(0)/n.",
        details={"drops": drops, "recorded_times": [int(flow.trajectory.s.size) for flow in evidence.flows]},
    )


def decreases(flow: FlowResult, evidence: Evidence) -> tuple[float, float]:
    """The largest relative decrease while L < ℓ(0)/n, at least 0, and what the solver may account for."""
    path = flow.trajectory
    late = np.flatnonzero(path.log_loss < log_threshold(evidence))
    if late.size == 0:
        return float("-inf"), 0.0
    margin, norm = path.smoothed_margin[late], path.norm[late]
    value = np.maximum(1.0, margin * norm)
    drops = (margin[:-1] - margin[1:]) * norm[1:] / value[1:]
    allowed = error_of_steps(flow, evidence)[late[1:]] / value[1:]
    return float(max(0.0, drops.max(initial=0.0))), float(allowed.max(initial=0.0))


def error_of_steps(flow: FlowResult, evidence: Evidence) -> Array:
    """Error of ℓ⁻¹(nL) that one solver step may make up to each recorded time, and its rounding, shape (T,).

    A step changes c by e with |e_i| <= atol + rtol c_i as a root mean square, and q by M e. Q = ℓ⁻¹(nL) has
    dQ = Σ g_i dq_i/g(Q), and Σ g_i <= 2 log 2 · g(Q) where all ℓ_i <= log 2. As M is symmetric,
    |wᵀM e| = |(dq/ds)ᵀe| <= √n ‖atol + rtol c‖ max_i |dq_i/ds|, with dq/ds from the recorded margins. Σc is at most
    the larger of the step and of 30 atol/rtol, from where c is counted afresh. Both ends of the step count.
    """
    path, n, mass = flow.trajectory, evidence.data.n, float(np.sum(evidence.network.second_layer**2))
    rtol, atol = flow.diagnostics["rtol"], flow.diagnostics["atol"]
    ds = np.diff(path.s, prepend=0.0)
    moved = np.abs(np.diff(path.margins, axis=0, prepend=path.margins[:1])).max(axis=1)
    speed = np.divide(moved, ds, out=np.zeros_like(ds), where=ds > 0.0)
    error = np.sqrt(n) * (np.sqrt(n) * atol + np.maximum(rtol * ds, LONGEST_SEGMENT * atol))
    through = np.sqrt(mass) * evidence.data.R_max * path.norm
    rounding = 16.0 * float(np.finfo(np.float64).eps) * np.maximum(through, np.abs(path.margins).max(axis=1))
    return np.asarray(4.0 * np.log(2.0) * error * speed + rounding)


CLAIM = Claim(
    id="smoothed-margin-monotone",
    title="The smoothed normalized margin never decreases",
    source="Lyu & Li, arXiv 1906.05890; docs/theory.md, section 7",
    hypothesis=loss_below_threshold,
    measure=measure,
)
