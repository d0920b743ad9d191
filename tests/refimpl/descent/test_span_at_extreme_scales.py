"""Span coordinates of weights whose squares leave the range of float64."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.span import SpanCoordinates

from .given import problem


def test_default_orthogonal_part_comes_from_the_gram_matrix_of_the_initial_weights():
    network, data, W0 = problem()
    full = SpanCoordinates.from_weights(network, data, W0)
    plain = SpanCoordinates(network, data.y, data.gram, W0 @ data.X.T, W0 @ W0.T)
    C = np.random.default_rng(0).standard_normal(plain.origin.shape)
    assert plain.singular_values(C) == pytest.approx(full.singular_values(C), rel=1e-10)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e150])
def test_span_coordinates_of_weights_whose_squares_leave_the_range(scale):
    network, data, W0 = problem(scale=1.0)
    span = SpanCoordinates.from_weights(network, data, scale * W0)
    unit = SpanCoordinates.from_weights(network, data, W0)
    assert span.stable_rank(span.origin) == pytest.approx(np.linalg.norm(W0) ** 2 / np.linalg.norm(W0, 2) ** 2)
    assert span.norm(span.origin) / scale == pytest.approx(np.linalg.norm(W0), rel=1e-12)
    assert span.row_norms(span.origin) / scale == pytest.approx(unit.row_norms(unit.origin), rel=1e-12)
