"""That there is no solution is said only where it is proven."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import separability
from verification.witnesses.convex_program import linear_max_margin, max_margin
from verification.witnesses.infeasibility import _robust_combination
from verification.witnesses.least_norm import SolveStatus
from verification.witnesses.unit_rows import Program

from . import exact_programs as exact
from .programs_given import distance


@pytest.mark.parametrize("n", [6, 20, 60])
@pytest.mark.parametrize("overlap", [True, False])
def test_separability_against_linear_programming(n, overlap):
    """HiGHS on max t subject to y_i ⟨z, x_i⟩ >= t ‖x_i‖, |z| <= 1: t* > 0 means separable."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        y = np.resize([1.0, -1.0], n)
        X = rng.standard_normal((n, 4)) + (0.0 if overlap else 3.0) * y[:, None] * np.array([1.0, 0.5, 0.0, 0.0])
        X = X * 10 ** rng.uniform(-3, 3, (n, 1))
        norms = np.linalg.norm(X, axis=1)
        rows = np.hstack([-y[:, None] * X / norms[:, None], np.ones((n, 1))])
        best = linprog([0, 0, 0, 0, -1], rows, np.zeros(n), bounds=[(-1, 1)] * 4 + [(None, 1)])
        found = linear_max_margin(Dataset(X, y))
        assert found.separable == (-best.fun > 1e-9)
        assert found.status is (SolveStatus.SOLVED if found.separable else SolveStatus.INFEASIBLE)


def test_separability_within_rounding_is_undecided_and_not_guessed():
    """Opposite but for 1e-17: separable by z = (1, 2e17) alone, which floats of unit size cannot tell from opposite."""
    near = Dataset([[1.0, 0.0], [-1.0, 1e-17]], [1, 1])
    assert linear_max_margin(near).status is SolveStatus.UNDECIDED
    assert not linear_max_margin(near).separable
    opposite = Dataset([[1.0, 0.0], [-1.0, 0.0]], [1, 1])
    assert linear_max_margin(opposite).status is SolveStatus.INFEASIBLE
    clear = Dataset([[1.0, 0.0], [-1.0, 1e-6]], [1, 1])
    found = linear_max_margin(clear)
    assert found.status is SolveStatus.SOLVED
    assert distance(found.z, exact.linear(clear)) <= found.error_estimate < 1e-6
    network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
    hypotheses = [separability(Evidence(network, data, LogisticLoss(), ())) for data in (near, opposite, clear)]
    assert [hypothesis.satisfied for hypothesis in hypotheses] == [False, False, True]


def test_a_row_that_is_zero_by_underflow_proves_nothing():
    """ReLU, y = -1: only the neuron of mass 1e-306 meets ⟨w, x⟩ >= 1e153, and its share of the masses is 1e-612."""
    network = TwoLayerNetwork([1e153, -1e-153], LeakyReLU(0.0))
    assert max_margin(network, Dataset([[1.0]], [-1])).status is SolveStatus.UNDECIDED
    assert max_margin(TwoLayerNetwork([1e153], LeakyReLU(0.0)), Dataset([[1.0]], [-1])).status is SolveStatus.INFEASIBLE


def test_a_combination_that_is_nearly_zero_proves_nothing():
    """Rows that all have y > 0 are separable by (0, 1), although their combination is 0 up to 1e-9."""
    for height in (1e-9, 1e-6, 0.0):
        U = np.array([[1.0, height], [-1.0, height], [0.6, 0.8], [-0.6, 0.8 if height else -1.6]])
        U /= np.linalg.norm(U, axis=1)[:, None]
        program = Program(U, np.ones(4), 1e-15)
        mu, S = np.array([0.5, 0.5, 1e-10, 1e-10]), np.arange(4)
        if height == 0.0:  # here they positively span the plane: a combination with sizeable weights proves it
            mu = np.array([1.0, 1.0, 0.8, 0.0]) + np.array([0.0, 0.0, 0.0, 0.8 * U[2, 1] / -U[3, 1]])
            mu[:2] += np.array([max(0.0, -(U[:, 0] @ mu)), max(0.0, U[:, 0] @ mu)])
        assert _robust_combination(program, S, mu) == (height == 0.0)
