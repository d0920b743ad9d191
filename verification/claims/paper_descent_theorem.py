"""The paper's own theorem on gradient descent, with its own constants (docs/theory.md, section 4).

All of its constants are †, recalled and not checked; no other row rests on them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from refimpl.activations import SmoothLeakyReLU
from refimpl.network import TwoLayerNetwork
from refimpl.paper import DescentSettings, descent_settings
from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.descents import run_descent
from verification.claims.evidence import Evidence
from verification.witnesses.bounds import largest_stable_rank_with_start

__all__ = ["CLAIM"]

SMOOTHNESS, DELTA = 1.0, 0.01
STREAM = 10
"""Of the random numbers of the start, beside the seed."""

STEPS, LONG = 100, 50_000
"""Steps of the descent; the second number where the hypothesis holds: steps as small as it asks show little."""


@lru_cache(maxsize=4)
def settings(evidence: Evidence) -> DescentSettings:
    """Slack, step size and scale that the theorem asks for."""
    data, network = evidence.data, evidence.network
    d = evidence.dimension
    return descent_settings(data.R_min, data.R_max, data.p, data.n, d, network.m, network.slope, SMOOTHNESS, DELTA)


def hypothesis(evidence: Evidence) -> HypothesisResult:
    """R_min² >= 5 γ⁻² C_R n p †, logistic loss, a = ±1/√m."""
    a = np.abs(evidence.network.second_layer)
    equal = evidence.second_layer_exponent == 0 and bool(np.allclose(a, 1.0 / np.sqrt(a.size), rtol=1e-12, atol=0.0))
    slack = settings(evidence).slack if equal and evidence.loss.name == "logistic" else 0.0
    return HypothesisResult("the paper's, for descent†", slack >= 1.0, slack)


def measure(evidence: Evidence) -> Measurement:
    """Largest stable rank of W(t), t >= 1, from the theorem's start and step, with the smooth activation.

    The theorem's constant depends on γ and R only and is not given a number; the bound of section 8,
    widened by the start, takes its place.
    """
    found, network = settings(evidence), evidence.network
    bound = evidence.increment_bound
    if found.scale == 0.0 or not np.isfinite(bound):
        return Measurement.missing("largest stable rank", bound, "The slope is 0, or too small, or K is singular.")
    smooth = TwoLayerNetwork(network.second_layer, SmoothLeakyReLU(network.slope, SMOOTHNESS))
    W0 = evidence.gaussian_start(found.scale, STREAM)
    steps = LONG if hypothesis(evidence).satisfied else STEPS
    told = evidence.counted("gradient descent as in the paper's theorem", steps)
    run = run_descent(smooth, evidence.data, W0, found.scale, found.step_size, steps, evidence.loss, steps // 20, told)
    path = run.result.trajectory
    room = min(network.m, evidence.dimension)
    alpha, scale = evidence.as_given(found.step_size, -2), evidence.as_given(found.scale, -1)
    return Measurement(
        quantity="largest stable rank from step 1 on",
        value=float(path.stable_rank[1:].max(initial=1.0)),
        bound=largest_stable_rank_with_start(path, bound),
        tolerance=1e-9,
        tolerance_reason="rounding of the stable rank",
        undecided=run.failure,
        note="" if steps == STEPS else TOLD.format(steps, alpha, scale, *path.loss[[0, -1]], path.stable_rank[0]),
        details={
            "step_size": alpha,
            "scale": scale,
            "at_the_start": float(path.stable_rank[0]),
            "losses": [float(path.loss[0]), float(path.loss[-1])],
            "smallest_margin": float(path.smallest_margin[-1]),
            "steps": steps,
            "smoothness": SMOOTHNESS,
        },
        trivial=float(room),
        trivial_reason=f"no matrix of this size has a stable rank above {room}",
    )


TOLD = (
    "In {} steps of the size {:.2g} from the scale {:.2g} the loss goes from {:.3f} to {:.3f}; the stable rank of W(0) "
    "is {:.3g}."
)


CLAIM = Claim(
    id="paper-descent-theorem",
    title="The paper's theorem on gradient descent, with its own constants",
    source="Frei et al., arXiv 2210.07082; docs/theory.md, section 4 (constants †)",
    hypothesis=hypothesis,
    measure=measure,
)
