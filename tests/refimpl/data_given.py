"""Gram matrices and slacks in loops."""

import math


def gram_in_loops(X):
    rows = X.tolist()
    return [[math.fsum(p * q for p, q in zip(a, b, strict=True)) for b in rows] for a in rows]
