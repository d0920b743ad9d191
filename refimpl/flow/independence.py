"""Which samples lie in the span of others, to rounding: coordinates of the samples, and independent ones among them."""

from __future__ import annotations

import numpy as np

from refimpl.spectrum import gram_factor
from refimpl.validation import Array, BoolArray, IndexArray

__all__ = [
    "DEPENDENT",
    "all_independent",
    "distance_square",
    "independent_samples",
    "sample_coordinates",
    "samples_in_span",
]

DEPENDENT = 1e-13
"""A sample belongs to the span of others if its squared distance from it is at most this part of ‖x_i‖²."""


def sample_coordinates(gram: Array) -> Array:
    """L with K = L Lᵀ, each row as exact as its sample's norm allows, however different the norms are, shape (n, n).

    Examples
    --------
    >>> sample_coordinates(np.array([[4.0, 0.0], [0.0, 1e-20]]))
    array([[2.e+00, 0.e+00],
           [0.e+00, 1.e-10]])
    """
    norms = np.sqrt(np.diagonal(gram))
    return norms[:, None] * gram_factor(gram / norms[:, None] / norms)


def samples_in_span(factor: Array, chosen: BoolArray) -> BoolArray:
    """Which samples lie in the span of the chosen ones, to rounding, shape (n,).

    Parameters
    ----------
    factor : ndarray, shape (n, n)
        L with K = L Lᵀ: sample i has the coordinates L_i.
    chosen : ndarray of bool, shape (n,)

    Examples
    --------
    >>> samples_in_span(np.array([[1.0, 0.0], [-2.0, 0.0], [1.0, 1.0]]), np.array([True, False, False]))
    array([ True,  True, False])
    """
    return distance_square(factor, factor[chosen]) <= DEPENDENT * np.sum(factor**2, axis=1)


def distance_square(rows: Array, spanning: Array) -> Array:
    """Squared distances of the rows from the span of others, shape (len(rows),)."""
    directions = spanning / np.linalg.norm(spanning, axis=1, keepdims=True)
    if len(directions) == 1:
        rest = rows - (rows @ directions[0])[:, None] * directions
        rest -= (rest @ directions[0])[:, None] * directions
        return np.asarray(np.sum(rest**2, axis=1))
    _, sigma, Vt = np.linalg.svd(directions, full_matrices=False)
    basis = Vt[sigma > np.sqrt(DEPENDENT) * sigma.max(initial=0.0)]
    rest = rows - (rows @ basis.T) @ basis
    rest -= (rest @ basis.T) @ basis
    return np.asarray(np.sum(rest**2, axis=1))


def independent_samples(factor: Array, chosen: IndexArray) -> IndexArray:
    """Of the chosen samples, in their order, those that do not lie in the span of the ones before.

    Examples
    --------
    >>> independent_samples(np.array([[1.0, 0.0], [-2.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 2]))
    array([0, 2])
    """
    kept: list[int] = []
    room = np.zeros((min(chosen.size, factor.shape[1]) + 1, factor.shape[1]))
    for i in chosen:
        row, basis = factor[i], room[: len(kept)]
        rest = row - (basis @ row) @ basis
        rest -= (basis @ rest) @ basis
        length = float(np.linalg.norm(rest))
        if length**2 > DEPENDENT * float(row @ row):
            room[len(kept)] = rest / length
            kept.append(int(i))
    return np.array(kept, dtype=np.intp)


def all_independent(factor: Array) -> bool:
    """Whether no sample lies in the span of the ones before.

    The rows of a Cholesky factor before the i-th span the first i - 1 coordinates, so L_ii is the distance.

    Examples
    --------
    >>> all_independent(np.array([[1.0, 0.0], [-2.0, 1e-9]])), all_independent(np.array([[0.0, 1.0], [1.0, 0.0]]))
    (False, True)
    """
    n = len(factor)
    if factor.shape == (n, n) and not np.triu(factor, 1).any():
        return bool((np.diagonal(factor) ** 2 > DEPENDENT * np.sum(factor**2, axis=1)).all())
    return independent_samples(factor, np.arange(n)).size == n
