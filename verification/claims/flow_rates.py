"""What the claims about plain time share: which losses, the late stretch of each flow, the error of a recorded loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from refimpl.flow import FlowResult
from refimpl.losses import ExponentialLoss
from refimpl.validation import Array, kept
from verification.claims.evidence import Evidence
from verification.claims.smoothed_margin_monotone import error_of_steps, rounding
from verification.witnesses.rates import LateStretch

__all__ = ["ERROR_OF_LOSS", "KNOWN", "is_exponential", "late_stretches", "loss_error"]

TIME_ERROR = 1e-8
"""Relative error of plain time: seven Gauss points where three agree with them to 1e-5 (`TrajectoryRecorder`)."""

KNOWN = 4e-7
"""Records at which t L(t) has a larger relative error are left out; twice that is small enough for a verdict."""

ERROR_OF_LOSS = "errors of the solver's steps in q, each damped like 1/L, and of plain time; 0 where not needed"


def is_exponential(evidence: Evidence) -> bool:
    """Whether the loss is the exponential one."""
    return isinstance(evidence.loss, ExponentialLoss)


def late_stretches(evidence: Evidence) -> list[tuple[LateStretch, float]]:
    """Of the flows that have one, as far as t L(t) is known, with its relative error at the end."""
    return kept(evidence, "late_stretches", lambda: _late_stretches(evidence))


def _late_stretches(evidence: Evidence) -> list[tuple[LateStretch, float]]:
    found = []
    for flow in evidence.flows:
        error = loss_error(flow, evidence)
        end = int(np.flatnonzero(error <= KNOWN).max(initial=-1)) + 1
        path = replace(flow.trajectory, **{name: value[:end] for name, value in vars(flow.trajectory).items()})
        known = replace(flow, trajectory=path)
        stretch = LateStretch.of(known, evidence.network, evidence.data, is_exponential(evidence))
        if stretch is not None:
            found.append((stretch, float(error[end - 1])))
    return found


def loss_error(flow: FlowResult, evidence: Evidence) -> Array:
    """Relative error of t L(t) at each recorded time, shape (T,).

    A step that is off by e in ℓ⁻¹(nL) changes 1/L by the part e there and then; 1/L grows on as it should (16.1), so
    at a later time that is the part e L(t)/L of 1/L(t).
    """
    steps = (error_of_steps(flow, evidence) + rounding(flow, evidence).max(axis=1)) / 2.0  # of one end of each step
    log_loss, total = flow.trajectory.log_loss, np.empty_like(steps)
    carried = 0.0
    for k, error in enumerate(steps):
        damped = carried * float(np.exp(min(0.0, log_loss[k] - log_loss[k - 1]))) if k else 0.0
        carried = total[k] = damped + float(error)
    return total + TIME_ERROR
