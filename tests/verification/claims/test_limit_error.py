"""The error of a limit, against the rationals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from verification.claims.evidence import Evidence
from verification.claims.run import DEFAULT_SCALES, _starts

from .given import HOLD, moved, verdict, with_limits


def test_the_rounding_of_a_singular_system_is_not_an_error_of_the_limit() -> None:
    """Equal samples: the limit is that of the distinct ones with weights, whatever cond M says."""
    X = np.eye(3)[[0, 1, 2, 0, 1]]
    data = Dataset(X, [1.0, -1.0, 1.0, 1.0, -1.0])
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    starts = _starts(network, data, None, 0, DEFAULT_SCALES)
    evidence = Evidence(network, data, LogisticLoss(), starts)
    a, gamma = np.sqrt(0.5), 0.5
    lam = 1.0 / (0.5 + 0.5 * gamma**2)  # K = I: λ_i (a²·1 + a²γ²) = 1
    W = lam * a * np.array([[1.0, -gamma, 1.0], [-gamma, 1.0, -gamma]])
    for limit in evidence.limits:
        np.testing.assert_allclose(limit.weights(), W, rtol=0.0, atol=1e-13)
    assert evidence.flow_error < 1e-12
    split = [
        replace(f, limit=replace(f.limit, multipliers=lam * np.array([0.5, 0.5, 1.0, 0.5, 0.5])))
        for f in evidence.flows
    ]
    evidence = evidence.supposing(flows=tuple(split))
    assert evidence.flow_error < 1e-12


def test_a_cancellation_in_a_sliding_units_matrix_is_an_error_of_the_limit() -> None:
    """Samples 2e-4 apart with opposite labels slide: K loses eight digits, and margins of the limit are off by 1e-9."""
    data = Dataset([[1.0, 2e-4], [1.0, -2e-4]], [1.0, -1.0])
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    evidence = Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))
    off = max(float(np.abs(network.margins(limit.weights(), data) - 1.0).max()) for limit in evidence.limits)
    assert off <= evidence.margin_error
    assert verdict("flow-limit-is-kkt", evidence) in HOLD


def test_the_error_of_a_limit_holds_it_against_the_rationals() -> None:
    """Nearly dependent samples: λ_min(M) is 1e-8 of its terms, and W is known to eight digits more than λ is.

    One neuron, all units active, so that M = K and W = Σ λ_i x_i with K λ = 1, solved by fractions.
    """
    X = np.array([[1.0, 1e-3, 0.0], [1.0, -1e-3, 1e-4], [1.0, 0.0, -1e-4]])
    data, network = Dataset(X, [1.0, 1.0, 1.0]), TwoLayerNetwork([1.0], LeakyReLU(0.5))
    evidence = Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))
    exact = least_norm_by_fractions(X)
    limit = evidence.limits[0]
    off = np.linalg.norm(limit.weights()[0] - exact) / np.linalg.norm(exact)
    assert off <= evidence.flow_error < 1e-9


def least_norm_by_fractions(X: np.ndarray) -> np.ndarray:
    """The w with X w = 1, X square."""
    rows = [[Fraction(float(x)) for x in row] + [Fraction(1)] for row in X]
    for i in range(len(rows)):
        pivot = next(r for r in range(i, len(rows)) if rows[r][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for r in range(len(rows)):
            if r != i:
                rows[r] = [x - rows[r][i] * p for x, p in zip(rows[r], rows[i], strict=True)]
    return np.array([float(row[-1]) for row in rows])


def test_a_limit_that_is_not_polished_has_the_root_of_its_gap(honest: Evidence) -> None:
    """λ that is off by 1e-4 in one sample: ‖W - W*‖² = δλᵀMδλ, and the gap knows it."""

    def off(limit):
        C = limit.coefficients.copy()
        C[:, 0] *= 1.0 + 1e-4
        lam = limit.multipliers.copy()
        lam[0] *= 1.0 + 1e-4
        margins = honest.network.margins(C @ limit.X, honest.data)
        return replace(moved(limit, C), multipliers=lam, margins=margins, polished=False)

    evidence = with_limits(honest, off)
    moved_by = max(
        float(np.linalg.norm(new.weights() - old.weights()) / np.linalg.norm(old.weights()))
        for new, old in zip(evidence.limits, honest.limits, strict=True)
    )
    assert moved_by <= evidence.flow_error < 1e3 * moved_by


def test_rows_that_are_zero_to_rounding_are_on_no_side(honest: Evidence) -> None:
    """A dead neuron of a ReLU left at 1e-16 of ‖W‖, on the wrong side of every kink, changes no verdict."""
    data = Dataset([[1.0, 0.2], [0.9, -0.1]], [1.0, 1.0])
    network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    evidence = Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))
    limit = evidence.limits[0]
    C = limit.coefficients.copy()
    C[1] *= 1e-16 / np.abs(C[1]).max()
    np.testing.assert_array_equal(evidence._weights(moved(limit, C))[1], 0.0)
    np.testing.assert_array_equal(evidence._weights(moved(limit, 1e6 * C))[0], 1e6 * limit.weights()[0])
