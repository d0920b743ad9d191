"""The closed form over the rationals on systems that are solved by hand (docs/theory.md, section 6)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from refimpl.dataset import with_gram
from refimpl.errors import InvalidParameterError
from verification.exact.closed_form import _primitive, _solve_ones_slowly, exact_closed_form
from verification.exact.gram import gram_of_samples
from verification.exact.network import ExactNetwork
from verification.exact.section_five import _SectionFive

ONE_NEURON = ExactNetwork(Fraction(1, 2), "float", "signs", 1, 0, Fraction(1), Fraction(0))


def integers(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, dtype=object)


@pytest.mark.parametrize(
    ("S", "multipliers", "negative"),
    [
        ([[2, 2], [2, 5]], [Fraction(1, 2), 0], None),
        ([[1, 2], [2, 5]], [3, -1], 1),
        ([[5, 2], [2, 1]], [-1, 3], 0),
    ],
)
def test_a_multiplier_of_zero_is_not_negative(S, multipliers, negative: int | None) -> None:
    """One neuron, all slopes 1: M = S."""
    found = exact_closed_form(ONE_NEURON, integers(S), 0, [True, True], lambda message: None)
    assert found.multipliers == tuple(multipliers)
    assert found.first_negative_multiplier == negative


@pytest.mark.parametrize(("exponent", "scale"), [(0, 1), (3, Fraction(1, 8)), (-2, 4)])
def test_multipliers_carry_the_exponent_and_the_slope(exponent: int, scale) -> None:
    """One negative neuron, γ = 1/2, K = 2^k: M = 2^k/4."""
    network = ExactNetwork(Fraction(1, 2), "float", "signs", 0, 1, Fraction(0), Fraction(1))
    found = exact_closed_form(network, integers([[1]]), exponent, [True], lambda message: None)
    assert found.multipliers == (4 * scale,)
    assert (found.first_wrong_sign, found.rank) == (None, 1)


def test_elimination_takes_a_pivot_from_below() -> None:
    assert _solve_ones_slowly(integers([[0, 2], [1, 1]])) == ([1, 1], 2, None)
    assert _solve_ones_slowly(integers([[0, 1, 0], [0, 0, 1], [2, 0, 0]])) == ([1, 2, 2], 2, None)


def test_kernels_are_primitive() -> None:
    assert _solve_ones_slowly(integers([[2, -3], [4, -6]]))[2] == (3, 2)
    assert _primitive([4, -6, 0]) == (2, -3, 0)


def test_coordinates_of_samples_prove_nothing() -> None:
    X, y = np.eye(2), np.array([1.0, -1.0])
    with pytest.raises(InvalidParameterError, match="not their coordinates"):
        gram_of_samples(with_gram(X, y, np.eye(2), exact=False))


@pytest.mark.parametrize(("b", "failure"), [(0, None), (1, 0), (2, 0)])
def test_equality_in_section_five_is_a_failure(b: int, failure: int | None) -> None:
    """One neuron, γ = 1/2, S_12 = -1, b in halves: γ = η U⁻ at b = 1/2."""
    problem = _SectionFive.of(ONE_NEURON, integers([[3, -1], [-1, 3]]), 0, [True, True])
    assert problem.first_failure(1, np.array([b, b], dtype=object)) == failure
