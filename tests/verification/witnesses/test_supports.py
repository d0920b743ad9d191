"""The active-set method where all rows are tight."""

from __future__ import annotations

import numpy as np
import pytest

from verification.witnesses.least_norm import SolveStatus, least_norm


@pytest.mark.parametrize("n", [120, 310])
def test_many_rows_that_are_all_tight_are_solved_by_one_linear_system(n: int) -> None:
    """‖ξ‖² = 1ᵀ(U Uᵀ)⁻¹1, and no nonnegative least squares; from 300 on CVXPY's answer comes by way of faer."""
    U = np.random.default_rng(n).standard_normal((n, n + 60)) + 4.0
    U /= np.linalg.norm(U, axis=1)[:, None]
    found = least_norm(U)
    mu = np.linalg.solve(U @ U.T, np.ones(n))
    if mu.min() > 0.0:
        np.testing.assert_allclose(found.multipliers, mu, rtol=1e-7, atol=1e-9)
    assert found.status is SolveStatus.SOLVED
    assert found.tolerance is not None
    margins = U @ found.x
    assert margins.min() >= 1.0
    assert found.multipliers.min() >= 0.0
    np.testing.assert_allclose(U.T @ found.multipliers, found.x, atol=1e-7)  # with margins 1 where λ > 0: the KKT point
    np.testing.assert_allclose(margins[found.multipliers > 1e-6], 1.0, atol=1e-7)
    assert found.error_estimate < 1e-8
