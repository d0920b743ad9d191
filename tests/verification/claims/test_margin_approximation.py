"""The margin of the linear predictor: how z is scaled, and where it does not separate."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest

from verification.claims import Verdict
from verification.claims.evidence import Evidence

from .given import BY_ID, measured, moved, shorter_sample, with_limits


def test_margin_approximation_scales_z_to_its_smallest_margin(honest: Evidence) -> None:
    """‖z‖/‖z*‖ with y_i⟨z, x_i⟩ >= 1, from W in R^d and z* of the linear program."""
    for change in (lambda limit: limit, shorter_sample, lambda limit: moved(limit, 0.01 * limit.coefficients)):
        evidence = with_limits(honest, change)
        network, data, star = evidence.network, evidence.data, evidence.linear
        expected = 0.0
        for limit in evidence.limits:
            z = network.second_layer @ limit.weights()
            scale = min(1.0, float((data.y * (data.X @ z)).min()))
            expected = max(expected, float(np.linalg.norm(z) / np.linalg.norm(star.z)) / scale)
        assert measured("margin-approximation", evidence).value == pytest.approx(expected, rel=1e-9)


def test_a_z_that_does_not_separate_is_told(honest: Evidence) -> None:

    def of_another_label(limit):
        C = limit.coefficients.copy()
        C[:, 0] *= -1.0
        return moved(limit, C)

    row = BY_ID["margin-approximation"].evaluate(with_limits(honest, of_another_label), perf_counter)
    assert row.verdict is Verdict.VIOLATED
    assert row.measurement.value == float("inf")
    assert "does not separate" in row.reason
