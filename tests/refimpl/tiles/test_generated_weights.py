"""Weights that are generated and never held whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import (
    GaussianInitialization,
)
from refimpl.errors import (
    InvalidParameterError,
)


@given(st.integers(1, 4), st.integers(1, 9000), st.integers(0, 2**40), st.data())
def test_generated_weights_depend_on_nothing_but_seed_scale_and_rows(m, d, seed, draw):
    start = draw.draw(st.integers(0, d - 1))
    stop = draw.draw(st.integers(start + 1, d))
    whole = GaussianInitialization(seed, 0.5).array(m, d)
    np.testing.assert_array_equal(
        GaussianInitialization(seed, 0.5).columns(m, d).read(start, stop), whole[:, start:stop]
    )
    np.testing.assert_array_equal(GaussianInitialization(seed, 0.5).array(m, stop), whole[:, :stop])
    np.testing.assert_array_equal(GaussianInitialization(seed, 1.0).array(m, d), 2.0 * whole)


def test_generated_weights_are_normal_and_blocks_independent():
    W = GaussianInitialization(7, 1.0).array(20, 3 * 4096)
    blocks = W.reshape(20, 3, 4096)
    correlations = np.einsum("ibk,jck->ibjc", blocks, blocks).reshape(60, 60) / 4096 - np.eye(60)
    assert abs(W.mean()) < 5.0 / np.sqrt(W.size)
    assert np.abs(correlations).max() < 6.0 * np.sqrt(2.0 / 4096)
    assert abs((W**4).mean() - 3.0) < 5.0 * np.sqrt(96.0 / W.size)


def test_bad_generated_weights_are_refused():
    for seed, scale in ((-1, 1.0), (0.5, 1.0), ((), 1.0), (0, -1.0), (0, np.nan), (True, 1.0)):
        with pytest.raises(InvalidParameterError):
            GaussianInitialization(seed, scale)
    with pytest.raises(InvalidParameterError, match="range of float64"):
        GaussianInitialization(0, 1e308).array(50, 50)
    with pytest.raises(InvalidParameterError, match="GiB"):
        GaussianInitialization(0, 1.0).array(10**6, 10**9)
