"""(C), the linear max margin and (P) over the rationals, by all supports of the multipliers: no floats, no tolerance.

A program min ½‖x‖² subject to G x >= 1 with M = G Gᵀ has the solution x = Gᵀλ if λ >= 0, M λ >= 1 and λ_i = 0 where
(M λ)_i > 1. Among the λ of a solution one has rows G_i, λ_i > 0, that are linearly independent, hence M_SS regular on
its support S; so all S with M_SS regular are tried, and if none gives such a λ there is no solution.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product


def solve(matrix, right):
    """The solution of a regular system, or None, by elimination over Q."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for k in range(len(rows)):
        pivot = next((i for i in range(k, len(rows)) if rows[i][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(len(rows)):
            if i != k and rows[i][k]:
                rows[i] = [p - rows[i][k] * q for p, q in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]


def multipliers(M):
    """λ of min ½‖x‖² subject to G x >= 1, M = G Gᵀ; None if it has no solution."""
    n = len(M)
    for size in range(1, n + 1):
        for S in combinations(range(n), size):
            part = solve([[M[i][k] for k in S] for i in S], [Fraction(1)] * size)
            if part is None or min(part) < 0:
                continue
            lam = [Fraction(0)] * n
            for i, value in zip(S, part, strict=True):
                lam[i] = value
            if all(sum(M[i][k] * lam[k] for k in S) >= 1 for i in range(n)):
                return lam
    return None


def dot(u, v):
    return sum((p * q for p, q in zip(u, v, strict=True)), Fraction(0))


def rationals(A):
    return [[Fraction(value) for value in row] for row in A.tolist()]


def linear(data):
    """z* over Q, or None."""
    rows = [[int(y) * value for value in row] for row, y in zip(rationals(data.X), data.y, strict=True)]
    lam = multipliers([[dot(p, q) for q in rows] for p in rows])
    return None if lam is None else [dot(lam, column) for column in zip(*rows, strict=True)]


def weight_rows(network, data, slopes):
    """Row i is the gradient of q_i with the slopes given, y_i a_j Φ_ji x_i for all j, over Q."""
    a = [Fraction(value) for value in network.second_layer.tolist()]
    return [
        [int(y) * a_j * slope * value for a_j, slope in zip(a, column, strict=True) for value in x]
        for x, y, column in zip(rationals(data.X), data.y, slopes, strict=True)
    ]


def convex_program(network, data):
    """W of (C) over Q, flattened, or None: the slopes are 1 where a_j y_i > 0 and γ elsewhere."""
    gamma = Fraction(network.slope)
    slopes = [[Fraction(1) if a_j * y > 0 else gamma for a_j in network.second_layer] for y in data.y]
    rows = weight_rows(network, data, slopes)
    lam = multipliers([[dot(p, q) for q in rows] for p in rows])
    return None if lam is None else [dot(lam, column) for column in zip(*rows, strict=True)]


def global_objective(network, data):
    """The least ½‖W‖² of (P) over Q, or None, by all sides of all units, which are constraints.

    Every W has sides: P_ji = 1 with z_ji >= 0 or P_ji = γ with z_ji <= 0. On given sides (P) is min ½‖W‖² subject to
    G W >= 1 and H W >= 0; its solution is W = Gᵀλ + Hᵀν, and ½‖W‖² = ½Σλ. Nothing is dropped and nothing relaxed.
    """
    gamma, best = Fraction(network.slope), None
    m, d = network.m, data.d
    X = rationals(data.X)
    for sides in product((True, False), repeat=m * data.n):
        side = [[sides[i * m + j] for j in range(m)] for i in range(data.n)]
        rows = weight_rows(network, data, [[Fraction(1) if s else gamma for s in column] for column in side])
        for i in range(data.n):
            for j in range(m):
                row = [Fraction(0)] * (m * d)
                row[j * d : (j + 1) * d] = [value if side[i][j] else -value for value in X[i]]
                rows.append(row)
        value = _least(rows, data.n)
        if value is not None and (best is None or value < best):
            best = value
    return best


def _least(rows, n):
    """Least ½‖W‖² subject to ⟨row_i, W⟩ >= 1 for the first n rows and >= 0 for the others."""
    right = [Fraction(1)] * n + [Fraction(0)] * (len(rows) - n)
    M = [[dot(p, q) for q in rows] for p in rows]
    for size in range(1, len(rows) + 1):
        for S in combinations(range(len(rows)), size):
            part = solve([[M[i][k] for k in S] for i in S], [right[i] for i in S])
            if part is None or min(part) < 0:
                continue
            margins = [sum(M[i][k] * value for k, value in zip(S, part, strict=True)) for i in range(len(rows))]
            if all(q >= b for q, b in zip(margins, right, strict=True)):
                return sum((value for i, value in zip(S, part, strict=True) if i < n), Fraction(0)) / 2
    return None
