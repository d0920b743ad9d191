"""Checker of proven optima (docs/theory.md, sections 13 and 18): integers, fractions and the standard library.

Only the KKT points and the integers λ, β of the dual bounds are taken from the file. All choices of slopes are
enumerated again, and each must have a bound (18.3) that reaches ½‖W‖² of the point.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations_with_replacement, product
from typing import Any

from verification.exact.checker import bits_of, data_of, integers, require, sealed
from verification.exact.point_checker import Network, checked_network, checked_point

KEYS = {"schema", "schema_version", "data", "network", "point", "above", "programs", "bounds", "verdict", "seal"}
POINT_KEYS = {"denominator", "multipliers", "pattern", "at_kinks", "margins_above_one", "objective", "rank"}
MOST_PROGRAMS = 4096

Choice = tuple[tuple[int, ...], ...]


def recomputed_optimum(document: Any, rows: Any, labels: list[float], S: Any, scale: Fraction) -> dict[str, Any]:
    """The whole document again, from the data and the numbers in it that prove something."""
    require(set(document) == KEYS, "the keys are not those of an optimum")
    network, signed = checked_network(document["network"]), [[scale * x for x in row] for row in S]
    bits = bits_of(S, scale, network.gamma, *network.squares)
    points: list[Any] = []
    for name in ("point", "above"):
        if document[name] is None:
            require(name == "above" and bool(document["bounds"]), "nothing is claimed")
            points.append(None)
            continue
        require(set(document[name]) == POINT_KEYS, "the keys are not those of a point")
        points.append(checked_point(document[name], network, signed, labels, bits))
    best, above = points
    objective = sum(best.lam, Fraction(0)) / 2
    require(above is None or sum(above.lam, Fraction(0)) / 2 > objective, "the other point does not lie above")
    bounds, programs = checked_bounds(document["bounds"], network, S, scale, labels, bits, objective)
    new: dict[str, Any] = {"schema": "implicit-bias-optimum", "schema_version": 1, "network": network.document}
    shown = [x and {key: value for key, value in x.document.items() if key in POINT_KEYS} for x in points]
    new |= {"data": data_of(rows, labels), "point": shown[0], "above": shown[1], "bounds": bounds}
    verdict = "not_global" if not bounds else "global_optimum" if above is None else "not_global_and_optimum"
    return sealed({**new, "programs": programs, "verdict": f"proven_{verdict}"})


def checked_bounds(
    bounds: Any, network: Network, S: Any, scale: Fraction, labels: list[float], bits: int, objective: Fraction
) -> tuple[list[list[str]], int]:
    """The bounds again, and the number of programs, each of which one of them must bound by `objective`."""
    require(type(bounds) is list and len(bounds) <= MOST_PROGRAMS, "the bounds are no list, or too many")
    if not bounds:
        return [], 0
    m, n = len(network.signs), len(labels)
    own = [[i for i in range(n) if sign * labels[i] > 0] for sign in network.signs]
    count = n + m * n - sum(map(len, own))
    require(all(type(bound) is list and len(bound) == count for bound in bounds), "a bound is malformed")
    texts = [[hex(x) for x in integers(bound, (m * n + n + 2) * (bits + 1100))] for bound in bounds]
    known = [Bound([int(x, 16) for x in bound], network, S, own) for bound in texts]
    sizes = [2 ** len(i) for i in own] if network.gamma != 1 else [1] * m
    members = groups(network)
    total = math.prod(math.comb(sizes[group[0]] + len(group) - 1, len(group)) for group in members)
    require(total <= MOST_PROGRAMS, "there are more programs than can be enumerated")
    target = 2 * objective * scale
    for choice in choices(network, own, members):
        at = next((at for at, bound in enumerate(known) if bound.reaches(choice, target)), None)
        require(at is not None, "a choice of slopes has no dual bound that reaches the point")
        known.insert(0, known.pop(at or 0))
    return texts, total


def groups(network: Network) -> list[list[int]]:
    """Neurons with equal a_j, in the order of a_j as a float."""
    layer = network.document["second_layer"]
    a = network.signs if layer == "signs" else [float.fromhex(x) for x in layer]
    return [[j for j, x in enumerate(a) if x == value] for value in sorted(set(a))]


def choices(network: Network, own: list[list[int]], members: list[list[int]]) -> Iterator[Choice]:
    """One choice of every orbit: 0 for slope 1 and 1 for slope γ on the own units, ascending within a group."""
    values = (0,) if network.gamma == 1 else (0, 1)
    ascending = (
        combinations_with_replacement(list(product(values, repeat=len(own[group[0]]))), len(group)) for group in members
    )
    for parts in product(*ascending):
        rows = {j: row for group, part in zip(members, parts, strict=True) for j, row in zip(group, part, strict=True)}
        yield tuple(rows[j] for j in range(len(own)))


class Bound:
    """λ and β of one dual bound, in integers, times the denominator of γ."""

    def __init__(self, values: list[int], network: Network, S: Any, own: list[list[int]]) -> None:
        n, p, q = len(S), network.gamma.numerator, network.gamma.denominator
        lam, rest = values[:n], iter(values[n:])
        require(min(lam) >= 0 and max(lam) > 0, "a multiplier of a bound is negative")
        self.rows = [[0 if i in units else q * next(rest) for i in range(n)] for units in own]
        for row, units in zip(self.rows, own, strict=True):
            inside = all(p * lam[i] <= row[i] <= q * lam[i] for i in range(n) if i not in units)
            require(inside, "β of a bound lies outside [γλ, λ]")
        self.S, self.own, self.squares, self.lengths = S, own, network.squares, dict[Any, Fraction]()
        self.steep, self.total = [(q * x, p * x) for x in lam], (q * sum(lam)) ** 2

    def length(self, j: int, slopes: tuple[int, ...]) -> Fraction:
        """a_j² β_jᵀSβ_j."""
        if (j, slopes) not in self.lengths:
            row = list(self.rows[j])
            for i, slope in zip(self.own[j], slopes, strict=True):
                row[i] = self.steep[i][slope]
            image = [sum(map(operator.mul, line, row)) for line in self.S]
            self.lengths[j, slopes] = self.squares[j] * sum(map(operator.mul, row, image))
        return self.lengths[j, slopes]

    def reaches(self, choice: Choice, target: Fraction) -> bool:
        """Whether (Σλ)² >= 2 · objective · Σ_j a_j² β_jᵀSβ_j (18.3)."""
        return self.total >= target * sum((self.length(j, row) for j, row in enumerate(choice)), Fraction(0))
