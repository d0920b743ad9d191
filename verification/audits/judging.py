"""The claims that speak about a given trajectory, held against checkpoints (docs/theory.md, sections 7, 8 and 10).

Section 8 asks that W - W(0) has the rows a_j Σ_i y_i c_ji x_i with γG_i <= c_ji <= G_i, which descent with any step
sizes, batches and momentum gives it, and Adam, weight decay or other samples do not. Checkpoints show whether it is so:
c is unique where K is invertible, and G_i = max_j c_ji is the least that will do. So the hypothesis is measured too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np
from scipy.special import expit

from refimpl.descent import DescentResult, DescentStatus, DescentTrajectory
from refimpl.losses import Loss
from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import row_norms, stable_rank_by_norms
from refimpl.validation import Array
from verification.audits.checkpoint import Checkpoint
from verification.audits.frame import CheckpointFrame
from verification.audits.measuring import Measured
from verification.claims import (
    descent_converges,
    descent_norms_grow,
    descent_stable_rank_bounded,
    smoothed_margin_monotone,
)
from verification.claims.base import LARGEST_TOLERANCE, ClaimResult, HypothesisResult, Measurement
from verification.claims.descents import DescentRun
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import log_threshold
from verification.witnesses.bounds import largest_rho, rate_of_descent, smallest_eigenvalue

__all__ = ["AuditedRun", "Increment", "increment_of", "judged"]

NO_STEP_SIZE = "This needs the run's step size (--step-size, step_size), and the numbers of its steps."


@dataclass(frozen=True, eq=False)
class Increment:
    """W(t) - W(0) as a sum of gradients.

    Attributes
    ----------
    norms : ndarray, shape (m,)
        Of its rows.
    stable_rank : float
        NaN for 0.
    least_sums : ndarray, shape (n,)
        max_j c_ji, the least G_i that would do.
    slack : float
        min over units of c_ji/(γ max_j c_ji), after what rounding may have taken; at least 1 where the form is met.
        0 where c is not unique.
    outside : float
        Part of it outside of the span of the samples, beside what rounding may have put there; at most 1 where met.
    rounding : float
        What the format may have changed in it, as a part of its norm.
    is_unique : bool
        Whether K is invertible, and c unique; without it nothing is told of the form.
    """

    norms: Array
    stable_rank: float
    least_sums: Array
    slack: float
    outside: float
    rounding: float
    is_unique: bool = True

    @property
    def is_sum_of_gradients(self) -> bool:
        """Whether it has the form of section 8."""
        return self.slack >= 1.0 and self.outside <= 1.0


def increment_of(
    network: TwoLayerNetwork, frame: CheckpointFrame, W0: Array, W: Array, eps: float, steps: int
) -> Increment:
    """Take W - W(0) apart, W having been rounded to a format at each of `steps` steps.

    Rounding is at most u (steps + 2) ‖W‖ for the weights, and 2 (n + 4) u ‖a‖ Σ G_i ‖x_i‖ for sums of n terms.
    """
    data, delta, a = frame.data, W - W0, network.second_layer[:, None]
    grown = float(np.linalg.norm(delta))
    if grown == 0.0:
        return Increment(np.zeros(len(W)), float("nan"), np.zeros(data.n), float("inf"), 0.0, 0.0)
    C, outside = frame.coefficients(delta)
    c = C * data.y / a
    sums = c.max(axis=0)
    largest = max(float(np.linalg.norm(W)), float(np.linalg.norm(W0)))
    terms = float(np.sqrt(network.mass) * np.maximum(sums, 0.0) @ data.norms)
    error = 0.5 * eps * ((steps + 2) * largest + 2.0 * (data.n + 4) * terms)
    smallest = smallest_eigenvalue(data)
    if smallest > 0.0:
        of_c = error / np.sqrt(smallest) / np.abs(a)
        low, high = c + of_c, network.slope * np.maximum(sums - of_c, 0.0)
        ratios = np.divide(low, high, out=np.where(low >= 0.0, np.inf, 0.0), where=high > 0.0)
    else:
        ratios = np.zeros(1)
    return Increment(
        row_norms(delta),
        stable_rank_by_norms(delta),
        sums,
        float(ratios.min()),
        outside / error,
        error / grown,
        smallest > 0.0,
    )


@dataclass(frozen=True, eq=False)
class AuditedRun:
    """A run as the claims look at it: its checkpoints, and what was measured of them.

    Attributes
    ----------
    network : TwoLayerNetwork
        With the second layer of the first checkpoint.
    frame : CheckpointFrame
    loss : Loss
    checkpoints : sequence of Checkpoint
    rows : sequence of Measured
        Of the same length.
    increments : sequence of Increment
        The same.
    step_size : float or None
        α of the run; 0 says that it is a gradient flow, None that it is not known.
    """

    network: TwoLayerNetwork
    frame: CheckpointFrame
    loss: Loss
    checkpoints: Sequence[Checkpoint]
    rows: Sequence[Measured]
    increments: Sequence[Increment]
    step_size: float | None

    @property
    def eps(self) -> float:
        """Of the coarsest format."""
        return max(checkpoint.eps for checkpoint in self.checkpoints)

    @property
    def second_layer_moved(self) -> bool:
        """Whether a is another at some checkpoint."""
        return any(row.second_layer_moved > 0.0 for row in self.rows)

    @property
    def may_be_a_flow(self) -> bool:
        """Whether nothing shows that it is no descent and no flow: a fixed, and no increment where none can go."""
        return not self.second_layer_moved and all(increment.outside <= 1.0 for increment in self.increments)

    def may_have_step_size(self, alpha: float) -> bool:
        """Whether G_i <= αt/n, as g <= 1 for the logistic loss."""
        first, n = self.rows[0].step, self.frame.data.n
        most = [alpha * (row.step - first) / n for row in self.rows]
        reached = [float(increment.least_sums.max()) for increment in self.increments]
        return all(g <= 1.001 * bound for g, bound in zip(reached, most, strict=True))

    def evidence(self) -> Evidence:
        """What the claims of `verify` on descents ask for, with G_i replaced by the least that will do."""
        found = Evidence(self.network, self.frame.data, self.loss, (), step_size=self.step_size)
        return found.supposing(descents=(DescentRun(float("nan"), self._as_descent(), np.zeros((0, 2))),))

    def _as_descent(self) -> DescentResult:
        rows, nothing = self.rows, np.zeros((len(self.rows), 0))
        path = DescentTrajectory(
            step=np.array([row.step for row in rows]),
            loss=np.array([row.loss for row in rows]),
            log_loss=np.array([row.log_loss for row in rows]),
            margins=np.array([row.margins for row in rows]),
            smallest_margin=np.array([row.smallest_margin for row in rows]),
            norm=np.array([row.norm for row in rows]),
            neuron_norms=np.array([row_norms(c.weights()) for c in (self.checkpoints[0], self.checkpoints[-1])]),
            singular_values=nothing,
            rank=np.array([row.rank for row in rows]),
            stable_rank=nothing,
            increment_stable_rank=np.array([increment.stable_rank for increment in self.increments]),
            increment_norms=np.array([increment.norms for increment in self.increments]),
            accumulated_weights=np.array([np.maximum(x.least_sums, 0.0) for x in self.increments]),
        )
        zero = np.zeros((self.network.m, self.frame.data.n))
        return DescentResult(DescentStatus.FINISHED, "", zero, path, np.zeros((0, 0)), self.frame.data.X)


def judged(trajectory: AuditedRun) -> tuple[ClaimResult, ...]:
    """The rows of the four claims; with one checkpoint there is no trajectory, and none."""
    if len(trajectory.rows) < 2:
        return ()
    evidence = trajectory.evidence()
    bounded, grow = descent_stable_rank_bounded.CLAIM, descent_norms_grow.CLAIM
    rank_of = partial(_in_format, trajectory, evidence, bounded.measure, _change_of_stable_rank)
    growth_of = partial(_in_format, trajectory, evidence, grow.measure, _change_of_growth)
    claims = [
        replace(bounded, hypothesis=lambda _: _sum_of_gradients(trajectory, evidence), measure=lambda _: rank_of()),
        replace(grow, hypothesis=lambda _: _sum_of_gradients(trajectory, evidence), measure=lambda _: growth_of()),
        replace(
            smoothed_margin_monotone.CLAIM,
            hypothesis=lambda _: _gradient_flow(trajectory, evidence),
            measure=lambda _: _monotone(trajectory, evidence),
        ),
        replace(
            descent_converges.CLAIM,
            hypothesis=lambda _: _full_descent(trajectory, evidence),
            measure=lambda _: _converges(trajectory, evidence),
        ),
    ]
    return tuple(claim.evaluate(evidence, perf_counter) for claim in claims)


# --- section 8 --------------------------------------------------------------------------------------------------------


def _sum_of_gradients(trajectory: AuditedRun, evidence: Evidence) -> HypothesisResult:
    name = "K invertible, W - W(0) a sum of gradients"
    if trajectory.second_layer_moved:
        return HypothesisResult("second layer fixed", False, None)
    slack = min(increment.slack for increment in trajectory.increments)
    met = all(increment.is_sum_of_gradients for increment in trajectory.increments)
    return HypothesisResult(name, met and bool(np.isfinite(evidence.increment_bound)), slack)


def _change_of_stable_rank(value: float, bound: float, e: float) -> float:
    """What a change of Δ by e ‖Δ‖_F may make of its stable rank s.

    √(s - 1) is the distance of Δ from rank 1 over σ₁. Both change by at most e ‖Δ‖_F = e √s σ₁, so √(s - 1) becomes at
    most (√(s - 1) + e √s)/(1 - e √s). The other way s changes by less. Near s = 1 this is of the order of e².

    Examples
    --------
    >>> round(_change_of_stable_rank(1.0, 1.0, 1e-3), 9)
    1.002e-06
    """
    moved = e * float(np.sqrt(value))
    return (
        ((float(np.sqrt(max(0.0, value - 1.0))) + moved) / (1.0 - moved)) ** 2 - (value - 1.0)
        if moved < 1.0
        else float("inf")
    )


def _change_of_growth(value: float, bound: float, e: float) -> float:
    """What a change of norms by e of them may make of a quotient of their squares, e < 1/6."""
    return 6.0 * e * max(value, bound if np.isfinite(bound) else 0.0)


def _in_format(
    trajectory: AuditedRun,
    evidence: Evidence,
    measure: Callable[[Evidence], Measurement],
    change: Callable[[float, float, float], float],
) -> Measurement:
    """A measurement of `verify`, with what the rounding of W(t) and W(0) to their format may have changed."""
    with np.errstate(divide="ignore"):  # a row that stayed as it was, which no sum of gradients does
        found = measure(evidence)
    if found.value is None or not np.isfinite(found.value):
        return found
    worst = max(increment.rounding for increment in trajectory.increments)
    error = change(found.value, found.bound, worst)
    largest = LARGEST_TOLERANCE * max(1.0, found.bound if np.isfinite(found.bound) else 1.0)
    clear = worst < 1.0 / 6.0 and abs(found.value - found.bound) > error
    undecided = "" if clear or error <= largest else f"Rounding to the format may have changed it by {error:.1e}."
    return replace(
        found,
        tolerance=min(max(found.tolerance, error), largest),
        tolerance_reason="rounding of W(t) and W(0) to the format in which they are stored",
        undecided=found.undecided or undecided,
        details=found.details | {"outside": [x.outside for x in trajectory.increments], "rounding": worst},
    )


# --- section 7, "Monotone" --------------------------------------------------------------------------------------------


def _gradient_flow(trajectory: AuditedRun, evidence: Evidence) -> HypothesisResult:
    """L < ℓ(0)/n, and steps of size 0."""
    below = [row.log_loss < log_threshold(evidence) for row in trajectory.rows]
    flows = trajectory.step_size == 0.0 and trajectory.may_be_a_flow
    return HypothesisResult("gradient flow (step size 0), loss < ℓ(0)/n", flows and any(below), None)


def _monotone(trajectory: AuditedRun, evidence: Evidence) -> Measurement:
    """Largest decrease of the smoothed margin between checkpoints with L < ℓ(0)/n, relative to it."""
    late = [row for row in trajectory.rows if row.log_loss < log_threshold(evidence)]
    quantity = "largest relative decrease"
    if len(late) < 2:
        return Measurement.missing(quantity, 0.0, "Fewer than two checkpoints have L < ℓ(0)/n.")
    values = np.array([row.smoothed_margin for row in late])
    drops = (values[:-1] - values[1:]) / values[1:]
    through = np.sqrt(trajectory.network.mass) * trajectory.frame.data.R_max
    error = float((2.0 * trajectory.eps * through / values).max())
    value = float(drops.max())
    unclear = error > LARGEST_TOLERANCE and 0.0 < value <= error
    note = "" if trajectory.step_size == 0.0 else "The theorem is on gradient flow, and descent takes steps."
    return Measurement(
        quantity=quantity,
        value=max(0.0, value),
        bound=0.0,
        tolerance=min(error, LARGEST_TOLERANCE),
        tolerance_reason="rounding of W to the format, in the margins",
        undecided="The decrease is within the rounding of the format." if unclear else "",
        note=note,
    )


# --- section 10 -------------------------------------------------------------------------------------------------------


def _full_descent(trajectory: AuditedRun, evidence: Evidence) -> HypothesisResult:
    if not _has_steps(trajectory):
        return HypothesisResult("step size of full-batch descent", False, None)
    found = descent_converges.hypothesis(evidence)
    met = found.satisfied and trajectory.may_be_a_flow and trajectory.may_have_step_size(evidence.alpha)
    return replace(found, name="ργK_ii > r_i, logistic, full batch", satisfied=met)


def _has_steps(trajectory: AuditedRun) -> bool:
    return bool(trajectory.step_size) and all(checkpoint.numbered for checkpoint in trajectory.checkpoints)


def _converges(trajectory: AuditedRun, evidence: Evidence) -> Measurement:
    """Largest of L(t)/bound(t), and of (least gain of the smallest margin)/(its gain), between checkpoints.

    A gain below the rounding of margins in the format is not seen.
    """
    quantity = "largest loss / bound, gain bound / gain"
    if not _has_steps(trajectory):
        return Measurement.missing(quantity, 1.0, NO_STEP_SIZE)
    network, data, alpha = trajectory.network, trajectory.frame.data, evidence.alpha
    rate = alpha * rate_of_descent(network, data, alpha) / data.n
    if rate <= 0.0:
        return Measurement.missing(quantity, 1.0, "αδ/n is not positive: there is no bound to compare with.")
    step = np.array([row.step for row in trajectory.rows], dtype=np.float64) - trajectory.rows[0].step
    q, norm, loss = (
        np.array([getattr(row, name) for row in trajectory.rows]) for name in ("smallest_margin", "norm", "loss")
    )
    t0 = float(np.ceil(2.0 * max(0.0, -q[0]) / rate))
    late = step > t0
    losses = loss[late] * rate * (step[late] - t0) / 2.0
    seen = 4.0 * trajectory.eps * np.sqrt(network.mass) * data.R_max * norm[1:]
    gained = np.maximum(np.diff(q), np.maximum(seen, 1e-300))
    gains = np.diff(step) * rate * expit(-q[1:]) / gained
    at_end = 2.0 / (rate * (step[-1] - t0)) if step[-1] > t0 else float("inf")
    at_zero = float(np.exp(evidence.loss.log_value(np.zeros(1))[0]))
    details = {"delta": rate * data.n / alpha, "rho": largest_rho(network, data, alpha), "step_size": alpha}
    return Measurement(
        quantity=quantity,
        value=float(max(losses.max(initial=0.0), gains.max(initial=0.0))),
        bound=1.0,
        tolerance=LARGEST_TOLERANCE,
        tolerance_reason="rounding of the loss; gains of margins below the rounding of the format do not count",
        details=details | {"loss_bound_at_the_end": at_end},
        trivial=float("inf") if at_end < at_zero else 1.0,
        trivial_reason=f"in so many steps the bound on the loss comes down to {at_end:.3g}; W = 0 has {at_zero:.3g}",
    )
