"""The smallest singular value of many rows."""

from __future__ import annotations

import numpy as np
import pytest

from verification.witnesses.unit_rows import smallest_singular_value


@pytest.mark.parametrize("spread", [1.0, 1e-2, 3e-5, 1e-5, 0.0])
def test_the_smallest_singular_value_is_never_overestimated(spread: float) -> None:
    rows = np.random.default_rng(0).standard_normal((130, 150))
    rows[1] = rows[0] + spread * rows[1]
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    found, exact = smallest_singular_value(rows), np.linalg.svd(rows, compute_uv=False)[-1]
    assert found <= exact * (1.0 + 1e-12)
    assert found >= exact * (1.0 - 1e-4)
