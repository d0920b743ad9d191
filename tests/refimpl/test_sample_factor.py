"""The samples as unit vectors in coordinates of their span."""

from __future__ import annotations

import numpy as np

from refimpl.spectrum import sample_factor


def test_unit_samples_keep_their_inner_products():
    """Against extended precision, on nearly collinear rows of very different norms, in both ways of the factor."""
    rng = np.random.default_rng(0)
    for n, d in ((2, 2), (5, 3), (20, 400), (40, 7)):
        for near in (0.0, 1e-7):
            X = rng.standard_normal((n, d))
            X = (X if near == 0.0 else X[:1] + near * X) * 10 ** rng.uniform(-3, 3, (n, 1))
            L, rounding = sample_factor(X, X @ X.T)
            wide = X.astype(np.longdouble)
            wide /= np.sqrt(np.sum(wide**2, axis=1))[:, None]
            off = np.abs(L.astype(np.longdouble) @ L.T.astype(np.longdouble) - wide @ wide.T).max()
            assert off <= 2.0 * rounding
            assert rounding < 1e-14


def test_several_blocks_of_columns_give_the_same_factor(monkeypatch):
    from refimpl import spectrum

    X = np.random.default_rng(0).standard_normal((4, 50))
    X[1] = X[0] + 1e-3 * X[1]
    once, _ = sample_factor(X, X @ X.T)
    monkeypatch.setattr(spectrum, "QR_BLOCK_ENTRIES", 28)
    blocks, _ = sample_factor(X, X @ X.T)
    np.testing.assert_allclose(blocks @ blocks.T, once @ once.T, atol=1e-15)
