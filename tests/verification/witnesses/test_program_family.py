"""One program of the family."""

from __future__ import annotations

import numpy as np

from refimpl import datasets
from verification.witnesses.program_family import ProgramFamily, _from_corners

from .enumeration_given import signs


def test_multipliers_are_clipped_to_their_signs():
    """Slopes outside [γ, 1] and negative weights, which no corner has, must not reach the lower bound."""
    network, data = signs(2, 1, 0.2), datasets.gaussian(3, 2, np.random.default_rng(5))
    family = ProgramFamily.of(network, data.rescaled()[0])
    s = next(family.choices())
    rng = np.random.default_rng(0)
    for _ in range(20):
        lam, extra = _from_corners(family, s, np.arange(3), rng.normal(0.5, 1.0, (3, 3)), rng.normal(1.0, 1.0, 3))
        assert np.all(lam >= 0.0)
        assert np.all((extra >= 0.0) & (extra <= 0.8 * lam) & (~family.own | (extra == 0.0)))
