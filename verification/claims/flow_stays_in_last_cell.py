"""Once a flow is deep enough in its last cell it stays there, and tends to the KKT point that was read off
(docs/theory.md, section 7, "Trapped").

This needs no condition on the data: its hypothesis is about the flow itself, at one time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.flow import FlowResult
from refimpl.flow.cell import Cell
from refimpl.validation import kept
from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import UNKNOWN_LOSS, has_known_loss
from verification.claims.smoothed_margin_monotone import error_of_steps, rounding
from verification.witnesses.trap import Trap, divergence, in_last_pattern

__all__ = ["CLAIM"]

NAME = "deep in the last cell"


@dataclass(frozen=True)
class Trapped:
    """What is found of one flow.

    Attributes
    ----------
    slack : float
        The largest (δ²/2)/ε at a recorded time in the last pattern; above 1 the flow is trapped.
    since : float
        The first recorded s at which it is above 1; inf if there is none.
    events : int
        Changes of the pattern after that; the claim says that there are none.
    largest : float
        The largest KL(w*‖w)/ε after that, less the errors of w; the claim says that it is at most 1.
    """

    slack: float
    since: float
    events: int
    largest: float

    @classmethod
    def of(cls, flow: FlowResult, evidence: Evidence) -> Trapped:
        """From the recorded weights and margins, and the events; `since` in the units of the evidence."""
        limit, path = flow.limit, flow.trajectory
        if limit is None:
            return cls(0.0, float("inf"), 0, 0.0)
        cell = Cell(evidence.network, evidence.data.y, evidence.data.gram, limit.pattern)
        trap = Trap.of(cell, limit, evidence.loss)
        error = error_of_steps(flow, evidence) + rounding(flow, evidence).max(axis=1)
        with np.errstate(over="ignore", divide="ignore"):
            bound = trap.largest_divergence(path.sample_weights, path.margins, error)
            slack = np.where(in_last_pattern(flow, limit.pattern), trap.delta**2 / 2.0 / bound, 0.0)
        inside = np.flatnonzero(slack > 1.0)
        if inside.size == 0:
            return cls(float(slack.max()), float("inf"), 0, 0.0)
        first = int(inside[0])
        since = float(path.s[first])
        kl = divergence(trap.target, path.sample_weights[first + 1 :])
        known = kl - np.sqrt(2.0 * kl) * error[first + 1 :] - error[first + 1 :] ** 2 / 2.0
        later = sum(event.s > since for event in flow.events)
        return cls(float(slack.max()), since, later, max(0.0, float(known.max(initial=0.0) / bound[first])))


def hypothesis(evidence: Evidence) -> HypothesisResult:
    """Every flow has at some recorded time its last pattern and KL(w*‖w) so small that nothing can change (7.11).

    On the logistic or the exponential loss, for which that is proven.
    """
    if not has_known_loss(evidence):
        return UNKNOWN_LOSS
    slack = min(found.slack for found in _found(evidence))
    return HypothesisResult(NAME, slack > 1.0, slack)


def measure(evidence: Evidence) -> Measurement:
    """Whether the pattern lasts from there on, and KL(w*‖w) does not exceed ε, as (7.11) says.

    The value is 1 plus the number of changes of the pattern where there are any.
    """
    found = [one for one in _found(evidence) if one.since < float("inf")]
    worst = max((1.0 + one.events if one.events else one.largest for one in found), default=None)
    return Measurement(
        quantity="largest KL(w*‖w)/ε, or 1 + events",
        value=worst,
        bound=1.0,
        tolerance=1e-9,
        tolerance_reason="rounding; the errors of w are added to ε and taken off KL(w*‖w)",
        undecided=evidence.missing_limits or ("" if len(found) == len(evidence.flows) else NOT_TRAPPED),
        details={"trapped_since": [evidence.as_given(one.since, -2) for one in _found(evidence)]},
    )


NOT_TRAPPED = "A flow is at no recorded time deep enough in its last cell: a unit beside its kink there may still move."


def _found(evidence: Evidence) -> list[Trapped]:
    return kept(evidence, "trapped", lambda: [Trapped.of(flow, evidence) for flow in evidence.flows])


CLAIM = Claim(
    id="flow-stays-in-last-cell",
    title="From this start the pattern lasts, and the flow tends to the KKT point that was found",
    source="docs/theory.md, section 7",
    hypothesis=hypothesis,
    measure=measure,
)
