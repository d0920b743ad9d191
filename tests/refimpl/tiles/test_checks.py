"""What is wrong with samples in tiles is found."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import (
    Dataset,
    LeakyReLU,
    TwoLayerNetwork,
    datasets,
)
from refimpl.errors import (
    FileFormatError,
    InvalidDataError,
    InvalidParameterError,
)

from .given import samples, saved


@pytest.mark.parametrize(("place", "value"), [((0, 0), np.nan), ((5, 999), np.inf), ((3, 500), -np.inf)])
def test_numbers_that_are_not_finite_are_found_in_any_tile(tmp_path, small_tiles, place, value):
    X, y = samples()
    X[place] = value
    with pytest.raises(FileFormatError, match=rf"`X\[{place[0]}, {place[1]}\]` must be finite"):
        datasets.load_npy_pair(*saved(tmp_path, X, y))


def test_zero_rows_and_contradictions_are_found(tmp_path, small_tiles):
    X, y = samples()
    zero, equal = X.copy(), X.copy()
    zero[4], equal[5] = 0.0, equal[2]
    with pytest.raises(FileFormatError, match="zero row: row 4"):
        datasets.load_npy_pair(*saved(tmp_path, zero, y))
    with pytest.raises(FileFormatError, match="equal rows with opposite labels: rows 2 and 5"):
        datasets.load_npy_pair(*saved(tmp_path, equal, y))
    equal[5, 999] = np.nextafter(equal[5, 999], 1.0)  # equal in K, and not in X
    assert datasets.load_npy_pair(*saved(tmp_path, equal, y)).in_tiles
    for scale in (1e-200, 1e200):
        tiny = datasets.load_npy_pair(*saved(tmp_path, scale * X, y))
        with pytest.raises(InvalidDataError, match="leave the range of float64"):
            tiny.gram  # noqa: B018
        rescaled, k = tiny.rescaled()
        assert 1.0 <= rescaled.R_max < 2.0
        assert abs(np.ldexp(rescaled.R_max, k) / (scale * Dataset(X, y).R_max) - 1.0) < 1e-12


def test_what_needs_an_array_says_so(tmp_path, small_tiles):
    data = datasets.load_npy_pair(*saved(tmp_path, *samples()))
    for work in (lambda: np.asarray(data.X), lambda: data.X @ np.ones(1000)):
        with pytest.raises((InvalidParameterError, TypeError)):
            work()
    from refimpl.preparation import prepare
    from refimpl.stochastic import stochastic_gradient_descent

    network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    with pytest.raises(InvalidParameterError, match="held in memory"):
        prepare(data, "centre")
    with pytest.raises(InvalidParameterError, match="held in memory"):
        stochastic_gradient_descent(network, data, np.zeros((1, 1000)), 0.1, 1, 2, 0)
