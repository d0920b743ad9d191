"""Conditions, (C) and the closed form at the edges of what they promise (docs/theory.md, sections 3, 5 and 6)."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets
from verification.witnesses.conditions import check_hypotheses
from verification.witnesses.convex_program import SolveStatus, _with_vectors, least_norm, max_margin
from verification.witnesses.infeasibility import _exact_combination, _robust_combination
from verification.witnesses.limit_formula import closed_form
from verification.witnesses.program_family import ProgramFamily
from verification.witnesses.unit_rows import Program

least_norm_module = import_module("verification.witnesses.least_norm")

TOUCHING = Dataset([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]], [1, -1])
"""K = 1 and S_12 = -1/2."""


def test_a_unit_on_its_kink_is_not_certified() -> None:
    """γ = 1/2, A₊ = A₋: M = (5/8, -1/4; -1/4, 5/8), λ = 8/3, and ⟨v, x_2⟩ ∝ λ₁/2 - λ₂/2 = 0: no strict sign."""
    found = closed_form(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), TOUCHING)
    np.testing.assert_allclose(found.multipliers, [8.0 / 3.0] * 2, rtol=1e-14)
    assert (found.sign_slack, found.solves_program, found.is_kkt_point) == (0.0, True, False)


def test_the_start_of_section_five_is_strict() -> None:
    """γK_ii = 1/2 = r_i⁻: the start proves nothing there, and there are no bounds; just inside there are."""
    at_the_edge = check_hypotheses(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), TOUCHING)
    assert at_the_edge.multiplier_upper is None
    assert "γK_ii > r_i⁻ fails" in at_the_edge.refined.note
    inside = check_hypotheses(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5 + 2.0**-20)), TOUCHING)
    assert inside.multiplier_upper is not None


@pytest.mark.parametrize("counts", [(2, 0), (0, 2), (1, 0), (0, 3)])
def test_a_vector_of_a_sign_that_a_has_not_is_zero(counts: tuple[int, int]) -> None:
    data = datasets.gaussian(3, 20, np.random.default_rng(0))
    for found in (
        program(TwoLayerNetwork.with_signs(*counts, LeakyReLU(0.5)), data) for program in (max_margin, closed_form)
    ):
        absent, there = (found.u, found.v) if counts[0] else (found.v, found.u)
        coefficients = found.u_coefficients if counts[0] else found.v_coefficients
        assert not absent.any()
        assert not coefficients.any()
        assert there.any()


@pytest.mark.parametrize("seed", range(6))
def test_solutions_meet_their_constraints_over_the_rationals(seed: int) -> None:
    """m = 4, a = ±1/2, so that no root is rounded: every margin of (v, u) is at least 1, exactly."""
    rng = np.random.default_rng([17, seed])
    n, d = int(rng.integers(2, 6)), int(rng.integers(6, 30))
    data = Dataset(rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n))
    gamma = Fraction(1, 4)
    found = max_margin(TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.25)), data)
    assert found.status is SolveStatus.SOLVED
    v, u = ([Fraction(x) for x in row.tolist()] for row in (found.v, found.u))
    for x, y in zip(data.X.tolist(), data.y, strict=True):
        along_v, along_u = (sum(Fraction(s) * t for s, t in zip(x, row, strict=True)) for row in (v, u))
        margin = along_v - gamma * along_u if y > 0 else along_u - gamma * along_v  # √m A₊ = √m A₋ = 1
        assert margin >= 1


def test_vectors_that_rounding_makes_too_short_are_made_longer_and_that_counts() -> None:
    """G = I, x = (1, 1), sums short by 1e-6, rows known to 1e-6: 1 - (1 + √2) 1e-6 is brought to 1."""
    short, rounding = 1.0 - 1e-6, 1e-6
    answer = least_norm(np.eye(2))
    found, vectors = _with_vectors(np.eye(2), answer, rounding, lambda mu: short * mu, lambda x: x)
    factor = 1.0 / (short - np.sqrt(2.0) * rounding)
    np.testing.assert_allclose(vectors, factor * short, rtol=1e-12)
    assert vectors.min() >= 1.0
    assert found.error_estimate >= factor - 1.0 > 2e-6


def test_sums_that_are_off_are_corrected_before_they_are_made_longer() -> None:
    """One of two margins is short by 1e-4: that one is corrected, and the other is not made longer."""
    off = np.array([1.0, 1.0 - 1e-4])
    found, vectors = _with_vectors(np.eye(2), least_norm(np.eye(2)), 1e-12, lambda mu: off * mu, lambda x: x)
    assert found.status is SolveStatus.SOLVED
    np.testing.assert_allclose(vectors, 1.0, atol=1e-7)


# --- the least-norm program: what it promises of its own answer ---------------------------------------


@pytest.mark.parametrize(("rounding", "status"), [(1e-5, SolveStatus.SOLVED), (1e-3, SolveStatus.INACCURATE)])
def test_solved_means_an_error_of_a_thousandth_at_most(rounding: float, status: SolveStatus) -> None:
    """G = I with rows known to ε: x = (1, 1) is off by ε √2 at the least; at 1e-3 that is more than 1e-3."""
    found = least_norm(np.eye(2), rounding)
    assert found.status is status
    assert found.x.any() == (status is SolveStatus.SOLVED)
    assert found.error_estimate >= np.sqrt(2.0) * rounding


@pytest.mark.parametrize("wrong", [[1.0, -1e-3], [-1e-3, 1.0]])
def test_negative_multipliers_of_the_solver_count_as_zero(wrong: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """With μ < 0 on a row with slack the gap would come out too small, and with it the error."""
    solve = least_norm_module.solve

    def badly(problem, tolerance):
        solved = solve(problem, tolerance)
        problem.constraints[0].save_dual_value(np.array(wrong))
        return solved

    monkeypatch.setattr(least_norm_module, "solve", badly)
    hint, _ = least_norm_module._by_cvxpy(Program(np.eye(2), np.ones(2), 1e-15))
    np.testing.assert_array_equal(hint[1], np.maximum(wrong, 0.0))


@pytest.mark.parametrize(
    ("rows", "guess", "proof"),
    [
        ([[1], [-2]], [1, 1], True),  # 2 · 1 + 1 · (-2) = 0
        ([[1], [2]], [1, 1], False),  # only with a weight of -2
        ([[1, 0], [0, 1], [-1, -1]], [1, 1, 1], True),
        ([[1, 0], [0, 1], [-1, 1]], [1, 1, 1], False),  # (1, -1, 1)
        ([[1, 0], [0, 1], [1, 1], [-1, -1]], [1, 1, 1, 1], True),  # (0, 0, 1, 1)
        ([[1, 0], [0, 1]], [1, 1], False),  # only with weights 0
    ],
)
def test_a_combination_proves_something_with_weights_of_one_sign_only(rows, guess, proof: bool) -> None:
    found = _exact_combination([[Fraction(x) for x in row] for row in rows], [Fraction(x) for x in guess])
    assert found is proof


def test_a_robust_combination_has_positive_weights() -> None:
    """Three rows at 120°: μ = (1, 1, 1) combines them to 0; two of them with their difference do not, (1, 1, -1)."""
    half, root = 0.5, np.sqrt(0.75)
    star = np.array([[1.0, 0.0], [-half, root], [-half, -root]])
    other = np.array([[1.0, 0.0], [-half, root], [half, root]])
    for U, mu, proof in ((star, [1.0, 1.0, 1.0], True), (other, [1.0, 1.0, -1.0], False)):
        program = Program(U, np.ones(3), 1e-15)
        np.testing.assert_allclose(np.array(mu) @ U, 0.0, atol=1e-15)
        assert _robust_combination(program, np.arange(3), np.array(mu)) is proof


# --- the enumeration: its bounds --------------------------------------------------------------------


def test_bounds_of_one_program_by_hand() -> None:
    """One sample, one neuron: λ = 1 gives ½ · 1²/(1 + ε)², and W = 2 has q = 2, so that ½ · 2²/2² = ½."""
    family = ProgramFamily.of(TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[1.0]], [1]))
    one, none = np.ones((1, 1)), np.zeros((1, 1))
    for rounding in (0.0, 0.25, 1.0):
        rough = replace(family, rounding=rounding)
        assert rough.lower_bound(one, np.ones(1), none) == pytest.approx(0.5 / (1.0 + rounding) ** 2, rel=1e-14)
        assert rough.vanishes(one, np.ones(1), none) is (rounding >= 0.25)
    for W in (1.0, 2.0, 0.25):
        assert family.upper_bound(np.array([[W]])) == pytest.approx(0.5, rel=1e-14)
    assert family.upper_bound(np.array([[-1.0]])) == np.inf
