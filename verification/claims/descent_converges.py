"""Gradient descent on the leaky ReLU converges at rate 1/t (docs/theory.md, section 10)."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.descents import DescentRun
from verification.claims.evidence import Evidence
from verification.witnesses.bounds import largest_rho, off_diagonal_sums, rate_of_descent

__all__ = ["CLAIM"]


def hypothesis(evidence: Evidence) -> HypothesisResult:
    """Logistic loss and ργK_ii > r_i for all i; slack: min ργK_ii/r_i."""
    network, data = evidence.network, evidence.data
    rho = largest_rho(network, data, evidence.alpha)
    r, wanted = off_diagonal_sums(data.gram), rho * network.slope * np.diagonal(data.gram)
    slack = float(np.min(np.divide(wanted, r, out=np.where(wanted > 0.0, np.inf, 0.0), where=r > 0.0)))
    logistic = evidence.loss.name == "logistic"
    return HypothesisResult("ργK_ii > r_i, logistic", logistic and slack > 1.0, slack if logistic else 0.0)


def measure(evidence: Evidence) -> Measurement:
    """Largest of L(t)/bound(t) and of (least gain of the smallest margin)/(its gain), over recorded steps."""
    network, data = evidence.network, evidence.data
    delta, rho = (formula(network, data, evidence.alpha) for formula in (rate_of_descent, largest_rho))
    losses = [float(run.result.trajectory.loss[-1]) for run in evidence.descents]
    details = {
        "delta": evidence.as_given(delta, 2),
        "rho": rho,
        "final_losses": losses,
        "step_size": evidence.as_given(evidence.alpha, -2),
    }
    rate = evidence.alpha * delta / data.n
    through = float(np.sqrt(network.mass)) * data.R_max
    ratios = [worst_of_both_inequalities(run, rate, through) for run in evidence.descents] if rate > 0.0 else []
    reached = min((loss_bound(run, rate) for run in evidence.descents), default=np.inf) if rate > 0.0 else np.inf
    at_zero = float(np.exp(evidence.loss.log_value(np.zeros(1))[0]))
    return Measurement(
        quantity="largest loss / bound, gain bound / gain",
        value=max(ratios, default=None),
        bound=1.0,
        tolerance=1e-9,
        tolerance_reason="rounding of margins and of their differences",
        undecided=evidence.missing_descents
        if rate > 0.0
        else "αδ/n is not positive: there is no bound to compare with.",
        details=details | {"loss_bound_at_the_end": reached},
        trivial=float("inf") if reached < at_zero else 1.0,
        trivial_reason=f"in so many steps the bound on the loss comes down to {reached:.3g}; W = 0 has {at_zero:.3g}",
    )


def loss_bound(run: DescentRun, rate: float) -> float:
    """2/(rate (t - t₀)) at the last step, which section 10 puts above the loss; inf up to t₀."""
    path = run.result.trajectory
    late = float(path.step[-1]) - step_of_nonnegative_margin(run, rate)
    return 2.0 / (rate * late) if late > 0.0 else float("inf")


def step_of_nonnegative_margin(run: DescentRun, rate: float) -> float:
    """t₀: from there on the smallest margin is not negative."""
    return float(np.ceil(2.0 * max(0.0, -float(run.result.trajectory.smallest_margin[0])) / rate))


def worst_of_both_inequalities(run: DescentRun, rate: float, through: float) -> float:
    """Both inequalities of section 10, with rate = αδ/n, between recorded steps.

    The terms of q_i add up to at most `through` · ‖W‖, ‖a‖R_max‖W‖, in size; a gain below their rounding is not seen.
    """
    path = run.result.trajectory
    q = path.smallest_margin
    t0 = step_of_nonnegative_margin(run, rate)
    late = path.step > t0
    losses = path.loss[late] * rate * (path.step[late] - t0) / 2.0
    least = np.diff(path.step) * rate * expit(-q[1:])
    gained = np.maximum(np.diff(q), 8.0 * np.finfo(np.float64).eps * through * path.norm[1:])
    return float(max(losses.max(initial=0.0), (least / gained).max(initial=0.0)))


CLAIM = Claim(
    id="descent-converges",
    title="The loss of gradient descent falls at least like 1/t",
    source="docs/theory.md, section 10",
    hypothesis=hypothesis,
    measure=measure,
)
