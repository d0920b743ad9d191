"""The checks catch what they must catch, and let every right implementation pass."""

import pytest

from verification.conformance.cases import inactive_support_problem
from verification.conformance.checks import CHECKS, applicable_checks
from verification.conformance.self_test import NAMED_CHECK, SelfTestRow, self_test
from verification.conformance.subjects.mistakes import WRONG
from verification.conformance.subjects.styles import RIGHT
from verification.witnesses.limit_formula import closed_form


@pytest.mark.parametrize("name", WRONG)
def test_named_check_catches_the_mistake(name):
    result = CHECKS[NAMED_CHECK[name]](WRONG[name])
    assert result.name == NAMED_CHECK[name]
    assert not result.passed
    assert result.measured > 100.0 * result.tolerance  # a mistake, not a matter of rounding
    assert "violated" in result.message


@pytest.mark.parametrize(("name", "check"), [(name, c) for name in RIGHT for c in applicable_checks(RIGHT[name])])
def test_right_implementations_pass(name, check):
    result = CHECKS[check](RIGHT[name])
    assert result.passed, result.message
    assert "violated" not in result.message


def test_mistakes_that_gradient_checks_alone_would_miss():
    """Loss and gradient of these agree with each other: only values tell."""
    for name in ("slope forgotten", "sum in place of the mean"):
        assert CHECKS["gradient_central_differences"](WRONG[name]).passed


def test_every_check_has_a_mistake_that_it_catches_and_every_mistake_a_check():
    assert set(NAMED_CHECK) == set(WRONG)
    assert set(NAMED_CHECK.values()) == set(CHECKS)


def test_all_margins_one_is_no_proof_of_optimality():
    """The negative multiplier is a real one: M λ = 1 has a negative entry on these data."""
    candidate = closed_form(*inactive_support_problem())
    assert candidate.multipliers.min() < -0.1 * candidate.multipliers.max()
    assert not candidate.solves_program


def test_self_test_covers_everything_and_is_as_expected():
    rows = self_test()
    assert all(isinstance(row, SelfTestRow) and row.as_expected for row in rows)
    assert {row.implementation for row in rows if row.wrong} == set(WRONG)
    assert {row.implementation for row in rows if not row.wrong} == set(RIGHT)
    assert {row.named_check for row in rows if not row.wrong} == set(CHECKS)
    assert not SelfTestRow("x", "loss_values", False, 0.0, 1.0, wrong=True).as_expected


class Broken:
    """Returns what is not a number, or of the wrong shape."""

    def forward(self, W, a, slope, X):
        return X[:, :1] * float("nan")

    def flow_limit(self, W0, a, slope, X, y, kind):
        return W0 * float("nan")


@pytest.mark.parametrize("check", ["forward_scalar_loops", "flow_limit_is_kkt"])
def test_nan_and_wrong_shapes_do_not_pass(check):
    result = CHECKS[check](Broken())
    assert not result.passed
    assert result.measured == float("inf")
