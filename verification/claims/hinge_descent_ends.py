"""Descent on the hinge loss ends in finite time (docs/theory.md (17.1) and (17.2))."""

from __future__ import annotations

import math

import numpy as np

from refimpl.losses import HingeLoss
from refimpl.spectrum import frobenius_norm
from refimpl.validation import Array
from verification.claims.base import Claim, Measurement
from verification.claims.descents import DescentRun, run_descent
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import separability
from verification.witnesses.rates import hinge_norm_bound, hinge_step_bound

__all__ = ["CLAIM"]

ROUNDING = 1e-9
"""Of ‖W‖ and of sums of whole numbers over n, relative; what they are compared with is far larger."""

NOT_ENDED = "Within {} steps the descent from scale {:g} did not end; the bound allows {:.3g} steps, and held so far."


def measure(evidence: Evidence) -> Measurement:
    """Largest of N/(bound of (17.2)) and ‖W‖/(bound of (17.1)), N = Σ_t |F_t|/n, F_t the samples of margin below 1.

    Both bounds hold at every step, so a descent that was cut short counts as far as it went.
    """
    network, data, z_norm = evidence.network, evidence.data, evidence.linear.norm
    if not np.isfinite(largest_bound(evidence)):
        return Measurement.missing("largest steps/bound, ‖W‖/bound", 1.0, "There is no bound: slope 0, or no z*.")
    counts, norms, runs = [], [], []
    for start in evidence.starts:
        size = frobenius_norm(start.W0)
        allowed = hinge_step_bound(network, data, z_norm, evidence.alpha, size)
        steps = int(min(evidence.descent_steps, math.floor(data.n * min(allowed, 1e9)) + 1))
        run = hinge_descent(evidence, start.W0, start.scale, steps)
        path = run.result.trajectory
        runs.append((run, steps, data.n * allowed))
        counts.append(float(path.accumulated_weights[-1].sum()) / evidence.alpha / allowed)
        norms.append(float(path.norm[-1]) / hinge_norm_bound(network, data, z_norm, evidence.alpha, size))
    open_ = [(run, steps, most) for run, steps, most in runs if run.result.trajectory.smallest_margin[-1] < 1.0]
    beyond = [steps for _, steps, most in open_ if steps > most]
    return Measurement(
        quantity="largest steps/bound, ‖W‖/bound",
        value=float("inf") if beyond else max(*counts, *norms),
        bound=1.0,
        tolerance=ROUNDING,
        tolerance_reason="rounding of ‖W‖ and of a sum of whole numbers",
        undecided=next((run.failure for run, _, _ in runs if run.failure), ""),
        details={
            "steps_over_bound": counts,
            "norm_over_bound": norms,
            "smallest_margins": [float(run.result.trajectory.smallest_margin[-1]) for run, _, _ in runs],
            "most_steps": [most for _, _, most in runs],
        },
        note=NOT_ENDED.format(open_[0][1], open_[0][0].scale, open_[0][2]) if open_ else "",
    )


def largest_bound(evidence: Evidence) -> float:
    """The bound on the steps from the largest start; inf where there is none."""
    size = max(frobenius_norm(start.W0) for start in evidence.starts)
    if evidence.network.slope == 0.0:
        return float("inf")
    return hinge_step_bound(evidence.network, evidence.data, evidence.linear.norm, evidence.alpha, size)


def hinge_descent(evidence: Evidence, W0: Array, scale: float, steps: int) -> DescentRun:
    """Descend on the hinge loss, recording the two ends."""
    told = evidence.counted(f"hinge descent (initialization scale {scale:g})", steps)
    network, data = evidence.network, evidence.data
    return run_descent(network, data, W0, scale, evidence.alpha, steps, HingeLoss(), record_every=steps, progress=told)


def applies(evidence: Evidence) -> bool:
    """Whether the slope is positive, the data are separable, and the bound is a float."""
    return separability(evidence).satisfied and np.isfinite(largest_bound(evidence))


CLAIM = Claim(
    id="hinge-descent-ends",
    title="Descent on the hinge loss ends after finitely many steps",
    source="docs/theory.md, section 17",
    hypothesis=separability,
    measure=measure,
    applies=applies,
)
