"""Under descent the rows J₊, and the rows J₋, approach rank one, and the margins approach each other [KCG]."""

from __future__ import annotations

import numpy as np

from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.descents import DescentRun
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import near_orthogonality

__all__ = ["CLAIM"]

TOO_SHORT = "Within {} steps one of the quantities does not fall yet; more steps may tell."

SETTLED = 1e-12
"""An excess over 1, or a spread of margins, below this is rounding."""


def hypothesis(evidence: Evidence) -> HypothesisResult:
    """Near-orthogonality, as for the flow."""
    return near_orthogonality(evidence)


def measure(evidence: Evidence) -> Measurement:
    """Largest quotient, last step over a fifth of the way, of (stable rank - 1) by sign and of the spread of margins.

    The stable rank is that of W - W(0): as the norms tend to ∞ (section 8) it has W's limit, and a large start does
    not hide it.

    A limit cannot be measured; that both quantities fall from a fifth of the run to its end can. Where
    one does not fall yet, the run was too short to tell: a finite run does not refute a limit.
    """
    quotients = [largest_quotient(run) for run in evidence.descents]
    last = [run.stable_rank_by_sign[-1] for run in evidence.descents]
    return Measurement(
        quantity="excess at the end / at a fifth",
        value=max(quotients, default=None),
        bound=1.0,
        tolerance=0.0,
        tolerance_reason="none: two quantities that fall are compared at two times",
        undecided=evidence.missing_descents
        or (TOO_SHORT.format(evidence.descent_steps) if max(quotients) > 1.0 else ""),
        details={
            "stable_rank_of_positive_and_negative_rows": [[float(x) for x in pair] for pair in last],
            "margin_spread": [float(spread(run)[-1]) for run in evidence.descents],
        },
    )


def spread(run: DescentRun) -> np.ndarray:
    """(max q - min q)/max |q| at the recorded steps."""
    q = run.result.trajectory.margins
    return np.asarray((q.max(axis=1) - q.min(axis=1)) / np.maximum(np.abs(q).max(axis=1), 1e-300))


def largest_quotient(run: DescentRun) -> float:
    """Excess at the end over excess at a fifth of the run, of all three quantities."""
    early = len(run.stable_rank_by_sign) // 5
    excess = np.column_stack([run.stable_rank_by_sign - 1.0, spread(run)])
    excess = np.where(excess < SETTLED, 0.0, excess)
    before, after = excess[early], excess[-1]
    counted = np.isfinite(before) & np.isfinite(after) & (after > 0.0)
    return float((after[counted] / np.maximum(before[counted], 1e-300)).max(initial=0.0))


CLAIM = Claim(
    id="per-sign-stable-rank-tends-to-one",
    title="Rows of one sign approach rank one, and the margins approach each other",
    source="Kou, Chen, Gu, arXiv 2310.18935",
    hypothesis=hypothesis,
    measure=measure,
)
