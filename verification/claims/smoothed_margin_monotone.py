"""The smoothed normalized margin never decreases once L < ℓ(0)/n (docs/theory.md, section 7, "Monotone")."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refimpl.flow import FlowResult
from refimpl.flow.piecewise import LONGEST_SEGMENT
from refimpl.validation import Array, BoolArray
from verification.claims.base import LARGEST_TOLERANCE, Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import log_threshold, loss_below_threshold

__all__ = ["CLAIM"]

ROUNDING = 64.0
"""Rounding of a sum, in eps times the sum of the sizes of its terms, as `Segment.rounding` of the flow has it."""

EPS = float(np.finfo(np.float64).eps)


def measure(evidence: Evidence) -> Measurement:
    """Largest decrease of ℓ⁻¹(nL)/‖W‖ between recorded times, in units of max(1, ℓ⁻¹(nL))/‖W‖.

    An unfinished flow counts as far as it went. Each decrease is held against what may be error there. Times at which
    that is too large for a verdict and the decrease is within it tell nothing, and are counted; they hide no decrease
    elsewhere.
    """
    drops, errors, starts = zip(*(decreases(flow, evidence) for flow in evidence.flows), strict=True)
    telling = [(error <= LARGEST_TOLERANCE) | (drop > error) for drop, error in zip(drops, errors, strict=True)]
    silent = any(tells.size and not tells.any() for tells in telling)
    chosen = np.concatenate([np.ones_like(tells) if silent else tells for tells in telling])
    drop, allowed = np.concatenate(drops)[chosen], np.concatenate(errors)[chosen]
    real = np.flatnonzero((drop > allowed) & (allowed <= LARGEST_TOLERANCE))
    shown = real[[np.argmax(drop[real])]] if real.size else np.arange(drop.size)
    hidden = sum(int(np.sum(~tells)) for tells in telling)
    return Measurement(
        quantity="largest relative decrease",
        value=float(drop[shown].max(initial=0.0)) if max(starts) > -np.inf else None,
        bound=0.0,
        tolerance=float(allowed[shown].max(initial=0.0)),
        tolerance_reason="error of one solver step in q, and rounding of q and ‖W‖, relative to the smoothed margin",
        undecided="" if max(starts) > -np.inf else "The loss did not fall below ℓ(0)/n.",
        details={
            "drops": [float(drop.max(initial=start)) for drop, start in zip(drops, starts, strict=True)],
            "recorded_times": [int(flow.trajectory.s.size) for flow in evidence.flows],
            "times_that_tell": [int(tells.sum()) for tells in telling],
        },
        note=HIDDEN.format(hidden, sum(tells.size for tells in telling)) if hidden else "",
    )


HIDDEN = "At {} of {} recorded times rounding of the margins hides whether it decreases."


def decreases(flow: FlowResult, evidence: Evidence) -> tuple[Array, Array, float]:
    """The relative decreases while L < ℓ(0)/n, what may be error of each, and 0, or -inf where L stays above.

    Errors are of both ends of a step, where ‖W‖ is the same. It may grow by far within one, when W starts near 0.
    """
    path = flow.trajectory
    late = np.flatnonzero(path.log_loss < log_threshold(evidence))
    if late.size == 0:
        return np.zeros(0), np.zeros(0), float("-inf")
    margin, norm = path.smoothed_margin[late], path.norm[late]
    value = np.maximum(1.0, margin * norm)
    drops = (margin[:-1] - margin[1:]) * norm[1:] / value[1:]
    log_weight = evidence.loss.log_weight
    part = np.exp(log_weight(path.margins[late]) - log_weight(margin * norm)[:, None])  # g_i/g(Q)
    rounded, passed = rounding(flow, evidence)[late], weight_passed(flow)[late]
    through_norm = np.maximum(margin, 0.0) / norm * np.sum(passed * rounded, axis=1)  # Q (Σ c_i δ_i)/‖W‖²
    stored = ROUNDING * EPS * value  # Q comes from log L: dQ = ℓ/g d(log L), ℓ/g <= 2 log 2 and |log ℓ| <= 1 + Q
    error = error_of_steps(flow, evidence)[late] + np.sum(part * rounded, axis=1) + through_norm + stored
    grown = np.maximum(norm[1:] / norm[:-1] - 1.0, 0.0)  # Q/‖W‖ before, its error too, times ‖W‖ after
    return drops, (error[1:] + grown * error[:-1]) / value[1:], 0.0


def error_of_steps(flow: FlowResult, evidence: Evidence) -> Array:
    """Error of ℓ⁻¹(nL) that one solver step may make up to each recorded time, shape (T,).

    A step changes c by e with |e_i| <= atol + rtol c_i as a root mean square, and q by M e. Q = ℓ⁻¹(nL) has
    dQ = Σ g_i dq_i/g(Q), and Σ g_i <= 2 log 2 · g(Q) where all ℓ_i <= log 2. As M is symmetric,
    |wᵀM e| = |(dq/ds)ᵀe| <= √n ‖atol + rtol c‖ max_i |dq_i/ds|, with dq/ds from the recorded margins. Σc is at most
    the larger of the step and of 30 atol/rtol, from where c is counted afresh. Both ends of the step count.
    """
    path, n = flow.trajectory, evidence.data.n
    rtol, atol = flow.diagnostics["rtol"], flow.diagnostics["atol"]
    ds = np.diff(path.s, prepend=0.0)
    moved = np.abs(np.diff(path.margins, axis=0, prepend=path.margins[:1])).max(axis=1)
    speed = np.divide(moved, ds, out=np.zeros_like(ds), where=ds > 0.0)
    error = np.sqrt(n) * (np.sqrt(n) * atol + np.maximum(rtol * ds, LONGEST_SEGMENT * atol))
    return np.asarray(4.0 * np.log(2.0) * error * speed)


def rounding(flow: FlowResult, evidence: Evidence) -> Array:
    """Rounding of each margin at the two ends of a step up to each recorded time, shape (T, n).

    q_i is the sum of a_j Φ_ji z_ji, and z_ji that of its start and of C_jk K_ki, terms that may cancel. As dC_jk/ds =
    a_j Φ_jk y_k w_k, |C_jk| is at most |a_j| D_jk, D_jk = ∫Φ_jk w_k ds: a unit that has slope γ for most of the time
    collects γ times ∫w_k, and counts γ times in q_i. Over each of the `stretches` Φ is at most P, so D is at most
    D⁰ + P (c - c⁰), with c = ∫w, and D⁰ and c⁰ where it begins. With S = Pᵀ diag(a²) P the terms add up to at most

        Σ_j a_j² P_ji (D⁰ |K|)_ji + Σ_k S_ik |K_ik| (c_k - c⁰_k) + (Σ_j a_j² P_ji²)^½ max ‖W‖ ‖x_i‖,

    the last by the inequality of Cauchy and Schwarz over j. Below 64 eps times that the flow does not know on which
    side of its kink a unit is. ‖W‖² is the integral of 2 Σ q_i w_i: errors of q that are at most δ_i so far make one of
    2 Σ δ_i ∫w_i, which is also what rounding of C K Cᵀ can be; so δ is the largest so far.
    """
    path, network, data = flow.trajectory, evidence.network, evidence.data
    squares, K = network.second_layer[:, None] ** 2, np.abs(data.gram)
    passed, start = weight_passed(flow), np.maximum.accumulate(path.norm)[:, None] * data.norms
    terms, D, before = np.zeros_like(passed), np.zeros(flow.initial_pattern.shape), np.zeros(data.n)
    for times, high in stretches(flow):
        Phi = np.where(high, 1.0, network.slope)
        c = passed[times] - before
        known = np.sum(squares * Phi * (D @ K), axis=0)
        S, of_start = (squares * Phi).T @ Phi, np.sqrt(np.sum(squares * Phi**2, axis=0))
        terms[times] = known + c @ (S * K) + of_start * start[times]
        D, before = D + Phi * c[-1], before + c[-1]
    sizes = np.maximum.accumulate(np.maximum(terms, np.abs(path.margins)), axis=0)
    return np.asarray(2.0 * ROUNDING * EPS * sizes)


def stretches(flow: FlowResult) -> Iterator[tuple[slice, BoolArray]]:
    """Recorded times in a row, and where a unit may have slope 1 from the time before them to the last, shape (m, n).

    They end at the last event, the second from the end, the fourth, the eighth and so on, since most of ∫w comes late.
    A unit that slides has some slope up to 1.
    """
    s, events = flow.trajectory.s, flow.events
    cuts = [events[-(2**k)].s for k in range(len(events).bit_length())]
    ends = sorted({int(np.searchsorted(s, cut, side="right")) for cut in cuts} | {s.size})
    side, done, first = np.array(flow.initial_pattern), 0, 0
    for end in ends:
        if end == first:
            continue
        high = side >= 0
        while done < len(events) and (end == s.size or events[done].s <= s[end - 1]):
            event = events[done]
            side[event.neuron, event.sample] = event.side
            high[event.neuron, event.sample] |= event.side >= 0
            done += 1
        yield slice(first, end), high
        first = end


def weight_passed(flow: FlowResult) -> Array:
    """∫w ds up to each recorded time, each w_i as large as at the larger end of each step, at most s, shape (T, n)."""
    s, w = flow.trajectory.s, flow.trajectory.sample_weights
    larger = np.maximum(w[1:], w[:-1]) * np.diff(s)[:, None]
    return np.minimum(np.vstack([np.zeros_like(w[:1]), np.cumsum(larger, axis=0)]), s[:, None])


CLAIM = Claim(
    id="smoothed-margin-monotone",
    title="The smoothed normalized margin never decreases",
    source="Lyu & Li, arXiv 1906.05890; docs/theory.md, section 7",
    hypothesis=loss_below_threshold,
    measure=measure,
)
