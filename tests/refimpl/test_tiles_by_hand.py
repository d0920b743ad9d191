"""Products of tiles and coordinates of the span in numbers by hand (docs/numerics.md, "Data larger than memory")."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import Dataset
from refimpl.reduction import reduced
from refimpl.tiles import accumulate
from refimpl.tiles.accumulate import products_with_weights
from refimpl.tiles.columns import ArrayColumns


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_blocks_of_weights_add_up(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One tile of five columns, W in blocks of so many: W Xᵀ and W Wᵀ are whole numbers."""
    monkeypatch.setattr(accumulate, "WEIGHT_WIDTH", width)
    X, W = np.arange(10.0).reshape(2, 5), np.array([[1.0, -1.0, 2.0, 0.0, 3.0], [0.0, 1.0, 1.0, 1.0, -2.0]])
    ((Z, B),) = products_with_weights(ArrayColumns(X), [ArrayColumns(W)])
    np.testing.assert_array_equal(Z, [[15.0, 40.0], [-2.0, 3.0]])
    np.testing.assert_array_equal(B, [[15.0, -5.0], [-5.0, 7.0]])


def test_the_largest_part_across_the_span_is_kept() -> None:
    """d = 3, one sample: of three rows across it two columns are left, and they carry all of W0 W0ᵀ."""
    W = np.array([[1.0, 3.0, 0.0], [2.0, 0.0, 4.0], [3.0, 3.0, 4.0]])
    small = reduced(Dataset([[2.0, 0.0, 0.0]], [1.0]), [W], 3)
    V = small.weights[0]
    assert V.shape == (3, 3)
    np.testing.assert_allclose(np.abs(V[:, 0]), [1.0, 2.0, 3.0], rtol=1e-13)
    np.testing.assert_allclose(V @ V.T, W @ W.T, atol=1e-12)
    assert not small.data.exact
