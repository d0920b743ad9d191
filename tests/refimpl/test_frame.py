"""refimpl/frame.py: flows on one data set share what depends on the data alone, and nothing changes by that."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import refimpl.dataset
from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_flow
from refimpl.frame import frame_of

NETWORK = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))


def starts(data: Dataset, count: int) -> list[np.ndarray]:
    return [gaussian_weights(4, data.d, 1e-2, k) for k in range(count)]


def test_one_gram_matrix_serves_all_flows(monkeypatch) -> None:
    """One of the samples in their order; that of the samples as given is asked for by nobody here."""
    made = []
    count = refimpl.dataset.gram_matrix
    monkeypatch.setattr(refimpl.dataset, "gram_matrix", lambda X: made.append(1) or count(X))
    data = datasets.gaussian(6, 40, 0)
    for W0 in starts(data, 3):
        gradient_flow(NETWORK, data, W0)
    assert len(made) == 1


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_a_flow_is_the_same_whether_it_is_the_first_or_not(factor: float) -> None:
    fresh = datasets.gaussian(6, 40, 0)
    used = Dataset(factor * fresh.X, fresh.y)
    for W0 in starts(used, 3):
        alone = gradient_flow(NETWORK, Dataset(used.X, used.y), W0 / factor)
        shared = gradient_flow(NETWORK, used, W0 / factor)
        np.testing.assert_array_equal(alone.limit.coefficients, shared.limit.coefficients)
        np.testing.assert_array_equal(alone.trajectory.margins, shared.trajectory.margins)


def test_the_frame_has_the_same_samples_in_other_units() -> None:
    data = Dataset(1000.0 * datasets.gaussian(6, 40, 0).X, [1, -1, 1, -1, -1, 1])
    frame = frame_of(data)
    np.testing.assert_array_equal(2.0**frame.exponent * frame.data.X, data.X[frame.samples])
    np.testing.assert_array_equal(frame.data.y, data.y[frame.samples])
    assert 1.0 <= frame.data.R_max < 2.0


@pytest.mark.parametrize("limit", [None, 100])
def test_the_frame_does_not_depend_on_the_order_of_the_samples(limit: int | None, monkeypatch) -> None:
    """Up to a size; beyond it the samples stay as they are."""
    data = datasets.gaussian(6, 40, 0)
    turned = Dataset(data.X[::-1].copy(), data.y[::-1].copy())
    if limit is not None:
        monkeypatch.setattr("refimpl.frame.ORDERED_UP_TO", limit)
    frame, other = frame_of(data), frame_of(turned)
    same = limit is None
    assert frame.ordered is other.ordered is same
    assert np.array_equal(frame.data.X, other.data.X) is same
    assert np.array_equal(frame.data.X, other.data.X[::-1]) is not same


def test_what_is_kept_is_not_pickled() -> None:
    data = datasets.gaussian(6, 40, 0)
    size = len(pickle.dumps(data))
    gradient_flow(NETWORK, data, starts(data, 1)[0])
    assert frame_of(data).data.gram_eigenvectors[0].size == 6
    assert len(pickle.dumps(data)) == size
    assert pickle.loads(pickle.dumps(data)).n == 6


def test_the_coefficients_of_a_projection_on_dependent_samples() -> None:
    """K⁺ by eigenvectors beside least squares: X has rank 3, and W0 a part outside its span."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 3)) @ rng.standard_normal((3, 9))
    data, W0 = Dataset(X, [1, -1, 1, -1, 1, -1]), rng.standard_normal((4, 9))
    eigenvalues, vectors = data.gram_eigenvectors
    assert eigenvalues.size == 3
    C = ((W0 @ X.T) @ vectors / eigenvalues) @ vectors.T
    np.testing.assert_allclose(C, np.linalg.lstsq(X.T, W0.T, rcond=None)[0].T, atol=1e-12)
