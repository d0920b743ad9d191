"""Evidence on built-in data, with limits, paths and descents that are changed on purpose."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np

from refimpl import LogisticLoss
from verification.claims import CLAIMS, Measurement, Verdict
from verification.claims.evidence import Evidence
from verification.claims.run import DEFAULT_SCALES, _starts
from verification.presets import PRESETS

BY_ID = {claim.id: claim for claim in CLAIMS}


def fresh(preset: str = "theorem", **changes) -> Evidence:
    chosen = PRESETS[preset]
    network, data = chosen.network(), chosen.data(0)
    starts = _starts(network, data, None, 0, DEFAULT_SCALES)
    return replace(Evidence(network, data, LogisticLoss(), starts, descent_steps=50), **changes)


def verdict(claim: str, evidence: Evidence) -> Verdict:
    return BY_ID[claim].evaluate(evidence, perf_counter).verdict


def with_limits(honest: Evidence, change) -> Evidence:
    """A copy whose flows end in changed limits; everything else is computed anew."""
    evidence = fresh()
    flows = tuple(replace(flow, limit=change(flow.limit)) for flow in honest.flows)
    return evidence.supposing(flows=flows)


def moved(limit, C):
    sigma = np.linalg.svd(C @ limit.X, compute_uv=False)
    return replace(limit, coefficients=C, singular_values=sigma)


HOLD = {Verdict.HOLDS_NUMERICALLY, Verdict.HOLDS_CERTIFIED}


def with_paths(honest: Evidence, **changes) -> Evidence:
    evidence = fresh()
    return evidence.supposing(
        flows=tuple(
            replace(flow, trajectory=replace(flow.trajectory, **{k: f(flow.trajectory) for k, f in changes.items()}))
            for flow in honest.flows
        )
    )


# --- each number from another route ---------------------------------------------------------------


def measured(claim: str, evidence: Evidence) -> Measurement:
    return BY_ID[claim].measure(evidence)


def shorter_sample(limit):
    C = limit.coefficients.copy()
    C[:, 0] *= 0.05
    return moved(limit, C)
