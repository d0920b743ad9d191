"""Checker of proven KKT points (docs/theory.md, section 18): integers, fractions and the standard library.

Only λ, the products λ_i Φ_ji at kinks, the sides of the units and what names the network are taken from the file;
they are verified by exact multiplication. Everything else is computed again, and the text must be the file's.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any, NamedTuple

from verification.exact.checker import (
    bits_of,
    data_of,
    integers,
    rational,
    require,
    sealed,
    shown,
)

KEYS = {"schema", "schema_version", "data", "network", "denominator", "multipliers", "pattern", "at_kinks"}
KEYS |= {"margins_above_one", "objective", "rank", "verdict", "seal"}


class Network(NamedTuple):
    """γ, the a_j², the signs of a_j, and the document that names them."""

    gamma: Fraction
    squares: list[Fraction]
    signs: list[int]
    document: dict[str, Any]


class Point(NamedTuple):
    """λ, b_ji = λ_i Φ_ji, t_ji = Σ_k S_ik b_jk (18.1) and the sides of the units of a verified KKT point."""

    lam: list[Fraction]
    b: list[list[Fraction]]
    t: list[list[Fraction]]
    sides: list[list[int]]
    document: dict[str, Any]


def recomputed_point(document: Any, rows: Any, labels: list[float], S: Any, scale: Fraction) -> dict[str, Any]:
    """The whole document again, from the data and the numbers in it that prove something."""
    require(set(document) == KEYS, "the keys are not those of a point")
    network = checked_network(document["network"])
    signed = [[scale * x for x in row] for row in S]
    bits = bits_of(S, scale, network.gamma, *network.squares)
    point = checked_point(document, network, signed, labels, bits)
    return sealed({**point.document, "data": data_of(rows, labels), "network": network.document})


def checked_network(network: Any) -> Network:
    """γ in (0, 1], signs, and a_j: ±1/√m or floats of these signs."""
    require(set(network) == {"slope", "slope_source", "signs", "second_layer"}, "the keys are not those of a network")
    gamma, source = rational(network["slope"]), network["slope_source"]
    signs, layer = network["signs"], network["second_layer"]
    require(0 < gamma <= 1, "γ is not in (0, 1]")
    require(source == "fraction" or (source == "float" and Fraction(float(gamma)) == gamma), "γ is not a float")
    require(type(signs) is str and 0 < len(signs) < 2**12 and set(signs) <= {"+", "-"}, "the signs are no signs")
    if layer == "signs":
        squares = [Fraction(1, len(signs))] * len(signs)
    else:
        require(type(layer) is list and len(layer) == len(signs), "the second layer is neither floats nor ±1/√m")
        require(
            all(type(x) is str and re.fullmatch(r"-?0x[01]\.[0-9a-f]{13}p[+-]\d{1,4}", x) for x in layer), "no floats"
        )
        a = [float.fromhex(x) for x in layer]
        require(all(x.hex() == text for x, text in zip(a, layer, strict=True)), "no floats")
        require(all((x > 0) == (s == "+") and x != 0 for x, s in zip(a, signs, strict=True)), "a has other signs")
        squares = [Fraction(x) ** 2 for x in a]
    fields = {"slope": shown(gamma), "slope_source": source, "signs": signs, "second_layer": layer}
    return Network(gamma, squares, [1 if s == "+" else -1 for s in signs], fields)


def checked_point(document: Any, network: Network, S: Any, labels: list[float], bits: int) -> Point:
    """The conditions (18.2) of docs/theory.md on the λ, sides and products in `document`."""
    m, n, kinks, pattern = len(network.signs), len(S), document["at_kinks"], document["pattern"]
    require(type(kinks) is list and len(kinks) <= m * n, "the units at kinks are no list")
    require(all(type(k) is list and len(k) == 3 and type(k[0]) is type(k[1]) is int for k in kinks), "no units")
    size = (n + len(kinks) + 2) * (bits + 1100)
    numerators = integers([*document["multipliers"], *(k[2] for k in kinks)], size)
    denominator = integers([document["denominator"]], size)[0]
    of = len(document["multipliers"])
    require(of == n, f"it is of {of} samples, and the data have {n}")
    require(denominator > 0, "λ is malformed")
    require(type(pattern) is list and len(pattern) == m, "the pattern is malformed")
    require(all(type(row) is str and len(row) == n and set(row) <= set("+-0") for row in pattern), "no pattern")
    lam = [Fraction(x, denominator) for x in numerators[:n]]
    require(min(lam) >= 0 and max(lam) > 0, "a multiplier is negative")
    products = {(j, i): Fraction(x, denominator) for (j, i, _), x in zip(kinks, numerators[n:], strict=True)}
    units = [(j, i) for j in range(m) for i in range(n) if pattern[j][i] == "0" and lam[i] > 0]
    require([(j, i) for j, i, _ in kinks] == units, "the products are not those of the units at kinks")
    slope = {"+": Fraction(1), "-": network.gamma, "0": Fraction(0)}
    b = [[products.get((j, i), lam[i] * slope[pattern[j][i]]) for i in range(n)] for j in range(m)]
    require(all(network.gamma * lam[i] <= x <= lam[i] for (j, i), x in products.items()), "a slope outside [γ, 1]")
    t = [[sum((S[i][k] * row[k] for k in range(n)), Fraction(0)) for i in range(n)] for row in b]
    sides = [
        [a_j * int(y) * ((x > 0) - (x < 0)) for x, y in zip(row, labels, strict=True)]
        for a_j, row in zip(network.signs, t, strict=True)
    ]
    require(
        pattern == ["".join("0+-"[side] for side in row) for row in sides], "a unit is not on the side it is said to be"
    )
    q = [
        sum(
            (
                s * (network.gamma if side[i] < 0 else 1) * row[i]
                for s, side, row in zip(network.squares, sides, t, strict=True)
            ),
            Fraction(0),
        )
        for i in range(n)
    ]
    require(
        all(x == 1 or (x > 1 and weight == 0) for x, weight in zip(q, lam, strict=True)),
        "a margin is not what it has to be",
    )
    divisor = math.gcd(denominator, *numerators)
    digits = [hex(x // divisor) for x in numerators]
    fields: dict[str, Any] = {"schema": "implicit-bias-point", "schema_version": 1, "verdict": "proven_kkt_point"}
    fields |= {"denominator": hex(denominator // divisor), "multipliers": digits[:n], "pattern": pattern}
    fields |= {"at_kinks": [[j, i, x] for (j, i), x in zip(units, digits[n:], strict=True)]}
    fields |= {"margins_above_one": [[i, shown(x)] for i, x in enumerate(q) if x > 1]}
    fields |= {"objective": shown(sum(lam, Fraction(0)) / 2), "rank": rank_of(t)}
    return Point(lam, b, t, sides, fields)


def rank_of(t: list[list[Fraction]]) -> int:
    """The rank of the t_ji, which is that of W: t = B S, and S = (YX)(YX)ᵀ vanishes only where B YX does."""
    rows, rank = [list(row) for row in t], 0
    for column in range(len(rows[0])):
        pivot = next((r for r in range(rank, len(rows)) if rows[r][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for r in range(rank + 1, len(rows)):
            factor = rows[r][column] / rows[rank][column]
            rows[r] = [x - factor * y for x, y in zip(rows[r], rows[rank], strict=True)]
        rank += 1
    return rank
