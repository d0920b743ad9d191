"""The first step of descent: its prediction and its sampling error."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork, datasets
from verification.claims import Measurement
from verification.claims.evidence import Evidence
from verification.claims.run import DEFAULT_SCALES, _starts

from .given import measured


def first_step(X, y, slope: float, a=(1.0, -1.0), seed: int = 0) -> Measurement:
    network = TwoLayerNetwork(np.array(a) / np.linalg.norm(a), LeakyReLU(slope))
    data = Dataset(X, y)
    starts = _starts(network, data, None, seed, DEFAULT_SCALES)
    return measured(
        "descent-one-step-rank-drop", Evidence(network, data, LogisticLoss(), starts, seed, descent_steps=10)
    )


@pytest.mark.parametrize("angle", [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6])
def test_neurons_that_are_never_drawn_are_no_violation(angle: float) -> None:
    """Opposite labels an angle apart: a neuron between them is rare, and without one the sample shows no error."""
    found = first_step([[1.0, angle], [1.0, -angle]], [1, -1], 0.5)
    assert found.tolerance > 0.0
    assert found.agrees or found.undecided


def test_more_neurons_are_drawn_where_rare_ones_matter() -> None:
    """A hundred samples about one direction, as tables of positive columns are: 10,000 neurons leave 36% open."""
    rng, y = np.random.default_rng(0), np.where(np.arange(100) % 2, 1.0, -1.0)
    X = np.column_stack([np.ones(100), 0.02 * (rng.standard_normal((100, 2)) + y[:, None])])
    found = first_step(X, y, 0.1)
    assert not found.undecided
    assert found.agrees
    assert found.details["width"] > 100_000


@pytest.mark.parametrize("distance", [1e-9, 1e-10])
def test_samples_equal_to_rounding_with_opposite_labels_are_told(distance: float) -> None:
    found = first_step([[1.0, distance], [1.0, 0.0]], [1, -1], 0.5)
    assert found.value is None
    assert "opposite labels" in found.reason_for_doubt


def test_the_sampling_error_covers_the_deviations_and_is_not_vast() -> None:
    """Over forty seeds no deviation exceeds its bound, and the largest is at least a fiftieth of it."""
    X = datasets.gaussian(5, 8, np.random.default_rng(3)).X
    found = [first_step(X, [1, -1, 1, 1, -1], 0.3, a=(1.0, -0.5, 0.7), seed=seed) for seed in range(40)]
    shares = np.array([row.value / row.tolerance for row in found])
    assert 0.02 < shares.max() < 1.0
    assert max(row.tolerance for row in found) < 0.02


def test_the_bound_of_the_sampling_error_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two orthogonal samples of length 1, equal labels: v = (Φ₁, Φ₂), u = (1, 1)/√2, everything in closed form."""
    from verification.claims import descent_one_step_rank_drop as module

    gamma = 0.5
    network = TwoLayerNetwork([1.0], LeakyReLU(gamma))
    evidence = Evidence(network, Dataset(np.eye(2), [1, 1]), LogisticLoss(), ())
    mean, spread = ((1.0 + gamma) / 2.0) ** 2, ((1.0 - gamma) / 2.0) ** 2
    s = 2.0 * (mean + spread) / (2.0 * mean + spread)
    law = module.FirstStepLaw.of(evidence, s)
    assert law.largest == pytest.approx(2.0 * mean + spread)
    assert law.along == pytest.approx(np.sqrt(2.0))
    assert law.across >= (1.0 - gamma) / np.sqrt(2.0) - 1e-15  # attained at (1, γ)
    assert law.across <= (1.0 - gamma) / np.sqrt(2.0) + 1e-15
    D = np.tile([[1.0, 1.0], [1.0, gamma], [gamma, 1.0], [gamma, gamma]], (1000, 1))  # the law itself, exactly
    measured_rank, error = law.measured_with_error(D, np.ones(4000))
    assert measured_rank == pytest.approx(s)
    lam, ell = law.largest, np.log(4e6)
    h = np.array([2.0, 1.0 + gamma**2, 1.0 + gamma**2, 2.0 * gamma**2])
    h = (h - s * np.array([2.0, (1.0 + gamma) ** 2 / 2.0, (1.0 + gamma) ** 2 / 2.0, 2.0 * gamma**2])) / lam
    width = ((1.0 - gamma) ** 2 / 2.0 + (s - 1.0) * 2.0) / lam
    first = np.sqrt(2.0 * np.mean(h**2) * 4000 / 3999 * ell / 4000) + 7.0 * width * ell / (3.0 * 3999)
    r = np.sqrt(2.0) * (1.0 - gamma) / np.sqrt(2.0) * (1.0 + np.sqrt(2.0 * ell)) / np.sqrt(4000)
    gap = lam - spread
    second = (np.sqrt(gap**2 + 4.0 * r**2) - gap) / 2.0
    assert error == pytest.approx((lam * first + s * second) / lam, rel=1e-12)
