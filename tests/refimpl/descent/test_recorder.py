"""Which states of a descent are recorded, and what is measured of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refimpl.descent import (
    gradient_descent,
    gradient_descent_in_weight_space,
)
from refimpl.descent.recorder import refuse_large_record
from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.span import SpanCoordinates

from .given import EPS, problem


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e-9, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize(("n", "d"), [(3, 40), (6, 4), (4, 4)])
def test_recorded_spectrum_is_that_of_the_weights(scale, n, d):
    network, data, W0 = problem(n=n, d=d, scale=scale)
    path = gradient_descent(network, data, W0, 0.5, 3).trajectory
    W = W0
    for t in range(4):
        unit = np.abs(W).max()  # squares of 1e-200 underflow
        sigma = unit * np.linalg.svd(W / unit, compute_uv=False)
        # a factor of K costs √cond(K) < 1e3 roundings in the small singular values
        assert path.singular_values[t] == pytest.approx(sigma, rel=1e-10, abs=1e-12 * sigma[0])
        assert path.stable_rank[t] == pytest.approx(np.sum((sigma / sigma[0]) ** 2), rel=1e-12)
        assert path.rank[t] == np.sum(sigma > 40 * EPS * sigma[0])
        assert path.norm[t] == pytest.approx(unit * np.linalg.norm(W / unit), rel=1e-12)
        assert path.neuron_norms[t] == pytest.approx(unit * np.linalg.norm(W / unit, axis=1), rel=1e-9)
        W = gradient_descent_in_weight_space(network, data, W, 0.5, 1)


def test_eigenvalues_and_singular_values_agree_where_the_spectrum_is_recorded_by_eigenvalues():
    network, data, W0 = problem(scale=0.5)
    span = SpanCoordinates.from_weights(network, data, W0)
    C = np.random.default_rng(1).standard_normal(span.origin.shape)
    assert span._smallest_of_orthogonal > 1e-2 * span.norm(C)  # so the fast path is the one taken
    expected = np.linalg.svd(W0 + C @ data.X, compute_uv=False)
    assert span.singular_values(C) == pytest.approx(expected, rel=1e-11)


def test_stable_rank_of_the_increment_and_values_on_the_samples():
    network, data, W0 = problem(scale=1.0)
    path = gradient_descent(network, data, W0, 0.5, 4).trajectory
    W = W0
    assert np.isnan(path.increment_stable_rank[0])
    for t in range(5):
        q = [data.y[i] * network.forward(W, data.X[i : i + 1])[0] for i in range(data.n)]
        assert path.margins[t] == pytest.approx(np.array(q), rel=1e-11)
        assert path.smallest_margin[t] == min(path.margins[t])
        assert path.loss[t] == pytest.approx(np.mean([math.log1p(math.exp(-q_i)) for q_i in q]), rel=1e-11)
        assert path.log_loss[t] == pytest.approx(math.log(path.loss[t]), rel=1e-11)
        if t > 0:
            sigma = np.linalg.svd(W - W0, compute_uv=False)
            assert path.increment_stable_rank[t] == pytest.approx(np.sum(sigma**2) / sigma[0] ** 2, rel=1e-11)
        W = gradient_descent_in_weight_space(network, data, W, 0.5, 1)


def test_records_are_taken_at_the_start_at_every_kth_step_and_at_the_end():
    network, data, W0 = problem()
    every = gradient_descent(network, data, W0, 0.5, 17)
    some = gradient_descent(network, data, W0, 0.5, 17, record_every=5)
    assert every.trajectory.step.tolist() == list(range(18))
    assert some.trajectory.step.tolist() == [0, 5, 10, 15, 17]
    for name, values in vars(some.trajectory).items():
        np.testing.assert_array_equal(values, getattr(every.trajectory, name)[[0, 5, 10, 15, 17]])
    assert gradient_descent(network, data, W0, 0.5, 2, record_every=9).trajectory.step.tolist() == [0, 2]


def test_by_default_records_grow_apart_by_a_twentieth():
    network, data, W0 = problem()
    every = gradient_descent(network, data, W0, 0.5, 300, record_every=1)
    some = gradient_descent(network, data, W0, 0.5, 300)
    step = some.trajectory.step
    assert step[:41].tolist() == list(range(41))
    assert step[41:48].tolist() == [42, 44, 46, 48, 50, 52, 54]
    assert step[-1] == 300
    gaps = np.diff(step[:-1])
    assert np.all(gaps == np.maximum(1, step[:-2] // 20))
    for name, values in vars(some.trajectory).items():
        np.testing.assert_array_equal(values, getattr(every.trajectory, name)[step])


def test_zero_weights_have_no_stable_rank_and_a_first_step():
    network, data, _ = problem()
    path = gradient_descent(network, data, np.zeros((5, data.d)), 0.5, 1).trajectory
    assert path.rank.tolist() == [0, 1]  # φ'(0) = 1 everywhere: all rows are parallel
    assert np.isnan(path.stable_rank[0])
    assert path.stable_rank[1] == pytest.approx(1.0, abs=1e-12)


def test_a_trajectory_larger_than_memory_is_refused_with_a_number_that_works():
    network, data, W0 = problem()
    with pytest.raises(InvalidParameterError, match="`record_every` must be larger, about 30") as caught:
        gradient_descent(network, data, W0, 0.1, 10**8, record_every=1)
    bytes_each = 8 * (2 * 5 + 2 * 6 + 10 + 8)  # two columns per neuron, two per sample, 10 singular values, 8 numbers
    assert 29 < 10**8 * bytes_each / 2**30 < 30
    assert "got 1." in str(caught.value)
    refuse_large_record(10**8, 30, network.m, data.n)


@pytest.mark.parametrize("shape", [(5, 29), (4, 30), (30, 5), (5,), (5, 30, 1)])
@pytest.mark.parametrize("descend", [gradient_descent, gradient_descent_in_weight_space])
def test_initial_weights_of_the_wrong_shape(descend, shape):
    network, data, _ = problem()
    with pytest.raises(ShapeError, match="`W0` must have shape"):
        descend(network, data, np.zeros(shape), 0.1, 1)
