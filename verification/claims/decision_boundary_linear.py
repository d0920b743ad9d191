"""The limit's decision boundary is a hyperplane: sign f(x) = sign ⟨z, x⟩ (docs/theory.md, section 3, (4)).

For z = Σ_j a_j w_j more is true: γ <= f(x)/⟨z, x⟩ <= 1 for every x, which is measured beside the signs.
"""

from __future__ import annotations

import numpy as np

from refimpl.validation import Array
from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import near_orthogonality_or_linear

__all__ = ["CLAIM"]

RANDOM_POINTS = 2000
COSINES = (1e-2, 1e-4, 1e-6)
"""|cos| of the angle between z and the points near the boundary, on both sides of it."""

VANISHES = "z = Σ_j a_j w_j of a limit is 0 to its error: there is no linear predictor to compare with."


def measure(evidence: Evidence) -> Measurement:
    """Points at which the network and the linear predictor disagree.

    Points are left out where γ|⟨z, x⟩|, which |f(x)| must reach, is below the error of the limit's outputs.
    """
    rng = np.random.default_rng([evidence.seed, 4])
    gamma, counts, ratios, tested = evidence.network.slope, [], [], 0
    error = evidence.margin_error / evidence.data.R_max
    for limit in evidence.limits:
        W = limit.coefficients @ evidence.factor  # in orthonormal coordinates of the span of the data
        z = evidence.network.second_layer @ W
        if float(np.linalg.norm(z)) <= error:
            return Measurement.missing("disagreements", 0.0, VANISHES)
        disagreements, low, high = 0, np.inf, -np.inf
        for points in [evidence.factor, *sample_points(z, rng)]:
            linear = points @ z
            known = np.abs(linear) * (gamma or 1.0) > error * np.linalg.norm(points, axis=1)
            f, linear = evidence.network.outputs(W @ points.T)[known], linear[known]
            ratio = f / linear
            disagreements += int(np.sum(np.sign(f) != np.sign(linear)))
            low, high = float(ratio.min(initial=low)), float(ratio.max(initial=high))
            tested += linear.size
        counts.append(disagreements)
        ratios.append([low, high])
    return Measurement(
        quantity=f"disagreements at {tested} points",
        value=float(sum(counts)) if counts else None,
        bound=0.0,
        tolerance=0.0,
        tolerance_reason="none: signs are compared where both numbers are above the limit's error",
        undecided=evidence.missing_limits,
        details={"disagreements": counts, "range_of_f_over_linear": ratios, "points": tested},
        trivial=0.0 if gamma > 0.0 and evidence.one_of_each_sign else float(tested),
        trivial_reason="a network with one neuron of each sign has a linear boundary whatever its weights"
        if tested
        else "no point was far enough from the boundary to be compared",
    )


def sample_points(z: Array, rng: np.random.Generator) -> list[Array]:
    """Random points, and random points moved close to the hyperplane ⟨z, x⟩ = 0, both sides.

    Only the projection of x on the span of the data enters f and ⟨z, x⟩, so points of R^d are drawn
    by their coordinates there.
    """
    unit = z / np.linalg.norm(z)
    random = rng.standard_normal((RANDOM_POINTS, z.size))
    along = random - np.outer(random @ unit, unit)
    lengths = np.linalg.norm(along, axis=1)
    if lengths.max() < 1e-12:  # one dimension: the boundary is a point
        return [random]
    near = [along + side * cosine * lengths[:, None] * unit for cosine in COSINES for side in (1.0, -1.0)]
    return [random, *near]


CLAIM = Claim(
    id="decision-boundary-linear",
    title="The decision boundary of the limit is linear",
    source="Frei et al., arXiv 2210.07082, (4); docs/theory.md, section 3",
    hypothesis=near_orthogonality_or_linear,
    measure=measure,
    about_kkt_points=True,
)
