"""The checker of KKT points on numbers written by hand: what each requirement keeps out (docs/theory.md, section 18).

t = B S is that of the rows divided by a_j, in signed samples, so a margin is q_i = Σ_j a_j² Φ_ji t_ji.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from verification.exact.point_checker import Network, checked_network, checked_point, rank_of

EYE = [[1, 0], [0, 1]]
ONE_OF_TWO = [[1, 2], [2, 5]]
"""S λ = (1, 1) has λ = (3, -1); the KKT point is λ = (1, 0), of margins 1 and 2."""
PULL = [[Fraction(1), Fraction(-1, 2)], [Fraction(-1, 2), Fraction(1)]]
"""Two neurons, each on the kink of one sample: λ = 4/3 and λΦ = 2/3 there, t = (1, 0; 0, 1)."""
STEEP = [[1, -2], [-2, 8]]
"""The same with λ = (2, 1/4): λΦ = 1/2, which is 2 λ_2, and 1/2, which is λ_1/4."""


def point(
    S: Any,
    multipliers: list[int],
    pattern: list[str],
    kinks: tuple[tuple[int, int, int], ...] = (),
    denominator: int = 1,
    gamma: Fraction = Fraction(1, 2),
    signs: tuple[int, ...] = (1,),
    labels: tuple[float, ...] = (1.0, 1.0),
) -> Any:
    document = {
        "multipliers": [hex(x) for x in multipliers],
        "denominator": hex(denominator),
        "pattern": pattern,
        "at_kinks": [[j, i, hex(x)] for j, i, x in kinks],
    }
    network = Network(gamma, [Fraction(1)] * len(signs), list(signs), {})
    return checked_point(document, network, [[Fraction(x) for x in row] for row in S], list(labels[: len(S)]), 64)


def test_points_by_hand_are_accepted() -> None:
    even = point(EYE, [1, 1], ["++"])
    assert even.document["objective"] == "0x1/0x1"  # ½ Σ λ
    assert even.document["rank"] == 1
    slack = point(ONE_OF_TWO, [1, 0], ["++"])
    assert slack.document["margins_above_one"] == [[1, "0x2/0x1"]]
    assert point(EYE, [2, 2], ["++"], denominator=2).document == even.document
    down = point([[1]], [4], ["-"], signs=(-1,))  # Φ = 1/2: q = λ/4
    assert (down.t, down.sides) == ([[2]], [[-1]])
    both = point(EYE, [4, 4], ["+-", "-+"], denominator=5, signs=(1, -1), labels=(1.0, -1.0))
    assert [both.document[key] for key in ("objective", "rank")] == ["0x4/0x5", 2]


@pytest.mark.parametrize(
    ("S", "multipliers", "reason"),
    [
        (ONE_OF_TWO, [3, -1], "a multiplier is negative"),
        (EYE, [2, 1], "a margin is not what it has to be"),  # λ > 0 and q = 2
        (EYE, [1, 0], "not on the side it is said to be"),  # q_2 = 0
        (ONE_OF_TWO, [0, 1], "a margin is not what it has to be"),  # λ_2 > 0 and q_2 = 5
        ([[2, 1], [1, 2]], [0, 0], "a multiplier is negative"),
        ([[4, 1], [1, 4]], [1, 0], "a margin is not what it has to be"),
        ([[1]], [1, 1], "it is of 2 samples, and the data have 1"),
    ],
)
def test_what_is_no_kkt_point_is_refused(S: Any, multipliers: list[int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        point(S, multipliers, ["+" * len(S)])


def test_a_margin_below_one_is_refused_whatever_its_multiplier() -> None:
    """S = (1, 1/2; 1/2, 1), λ = (1, 0): q_2 = 1/2."""
    S = [[Fraction(1), Fraction(1, 2)], [Fraction(1, 2), Fraction(1)]]
    with pytest.raises(ValueError, match="a margin is not what it has to be"):
        point(S, [1, 0], ["++"])
    assert point(S, [2, 2], ["++"], denominator=3).document["rank"] == 1


def test_a_negative_denominator_is_no_way_around_the_signs() -> None:
    with pytest.raises(ValueError, match="λ is malformed"):
        point(EYE, [-1, -1], ["++"], denominator=-1)


def test_units_are_on_their_own_sides() -> None:
    """z > 0, said to be below: Φ = 1/2 gives t = λ/2 = 1, and the margin q = 1 comes out."""
    with pytest.raises(ValueError, match="not on the side it is said to be"):
        point([[1]], [2], ["-"])
    with pytest.raises(ValueError, match="not on the side it is said to be"):
        point([[1]], [1], ["+"], signs=(-1,))


@pytest.mark.parametrize(("gamma", "inside"), [(Fraction(1, 4), True), (Fraction(1, 2), True), (Fraction(3, 4), False)])
def test_slopes_at_kinks_are_not_below_gamma(gamma: Fraction, inside: bool) -> None:
    def found() -> Any:
        return point(PULL, [4, 4], ["+0", "0+"], ((0, 1, 2), (1, 0, 2)), 3, gamma, (1, 1))

    if inside:
        assert found().document["rank"] == 2
        assert found().b == [[Fraction(4, 3), Fraction(2, 3)], [Fraction(2, 3), Fraction(4, 3)]]
    else:
        with pytest.raises(ValueError, match="a slope outside"):
            found()


def test_slopes_at_kinks_are_not_above_one() -> None:
    with pytest.raises(ValueError, match="a slope outside"):
        point(STEEP, [8, 1], ["+0", "0+"], ((0, 1, 2), (1, 0, 2)), 4, Fraction(1, 8), (1, 1))


@pytest.mark.parametrize("kinks", [(), ((0, 1, 2),), ((1, 0, 2), (0, 1, 2)), ((0, 1, 2), (1, 0, 2), (0, 0, 4))])
def test_products_are_those_of_the_units_at_kinks_in_order(kinks: Any) -> None:
    with pytest.raises(ValueError, match="not those of the units at kinks"):
        point(PULL, [4, 4], ["+0", "0+"], kinks, 3, Fraction(1, 4), (1, 1))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"slope": "0x1/0x1"}, ""),
        ({"slope": "0x0/0x1"}, "not in"),
        ({"slope": "-0x1/0x2"}, "not in"),
        ({"slope": "0x3/0x2"}, "not in"),
        ({"slope": "0x1/0x3"}, "not a float"),
        ({"slope": "0x1/0x3", "slope_source": "fraction"}, ""),
        ({"slope_source": "other"}, "not a float"),
        ({"signs": ""}, "no signs"),
        ({"signs": "+0"}, "no signs"),
        ({"second_layer": [(0.5).hex()]}, "neither floats nor"),
        ({"second_layer": [(0.5).hex(), (0.5).hex()]}, "other signs"),
        ({"second_layer": [(-0.5).hex(), (-0.5).hex()]}, "other signs"),
        ({"second_layer": [(0.5).hex(), (-0.0).hex()]}, "no floats|other signs"),
        ({"second_layer": ["0x1.0p-1", (-0.5).hex()]}, "no floats"),
        ({"second_layer": [(0.5).hex(), (-3.0).hex()]}, ""),
    ],
)
def test_networks_are_read_as_they_are_named(changes: dict[str, Any], reason: str) -> None:
    named = {"slope": "0x1/0x2", "slope_source": "float", "signs": "+-", "second_layer": "signs"} | changes
    if reason:
        with pytest.raises(ValueError, match=reason):
            checked_network(named)
        return
    found = checked_network(named)
    assert found.signs == [1, -1]
    assert found.squares == ([Fraction(1, 4), 9] if "second_layer" in changes else [Fraction(1, 2)] * 2)
    assert found.document == named


@pytest.mark.parametrize(
    ("rows", "rank"),
    [([[0, 1], [0, 2]], 1), ([[0, 1], [1, 0]], 2), ([[1, 2, 3], [4, 5, 6], [7, 8, 9]], 2), ([[1, 0, 1], [1, 1, 0]], 2)],
)
def test_the_rank_is_that_of_elimination(rows: Any, rank: int) -> None:
    assert rank_of([[Fraction(x) for x in row] for row in rows]) == rank
    assert rank_of([[Fraction(x) for x in column] for column in zip(*rows, strict=True)]) == rank
