"""What is wrong with samples in tiles: found from K where that tells, and by a pass only where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from refimpl.errors import InvalidDataError, InvalidParameterError
from refimpl.tiles.columns import Columns
from refimpl.validation import Array

__all__ = [
    "check_equal_rows",
    "check_tiles",
    "equal_rows",
    "exponent_of_largest_norm",
    "refuse_not_finite",
    "refuse_zero_row",
]

NEAR = 1e-9
"""‖x_i - x_k‖² below this part of ‖x_i‖² + ‖x_k‖² may be rounding of K: such rows are compared number by number."""


def check_tiles(X: Columns) -> None:
    """Refuse entries that are not finite, and zero rows, in one pass."""
    nonzero = np.zeros(X.shape[0], dtype=np.bool_)
    for start, stop in X.tiles():
        tile = X.dense(start, stop)
        refuse_not_finite(tile, 0, start)
        nonzero |= tile.any(axis=1)
    refuse_zero_row(nonzero)


def check_equal_rows(X: Columns, y: Array, K: Array) -> None:
    """Refuse equal rows with opposite labels."""
    for i, k in equal_rows(X, K, y[:, None] != y):
        raise InvalidDataError("X", f"`X` has equal rows with opposite labels: rows {i} and {k}.")


def equal_rows(X: Columns, K: Array, among: Any) -> Iterator[tuple[int, int]]:
    """Pairs i < k, in order, of equal rows that `among`, shape (n, n), names.

    Only those are compared number by number whose distance, from K, may be rounding.

    Examples
    --------
    >>> from refimpl.tiles.columns import as_columns
    >>> X = np.array([[1.0, 2.0], [3.0, 0.0], [1.0, 2.0]])
    >>> list(equal_rows(as_columns(X), X @ X.T, np.full((3, 3), True)))
    [(0, 2)]
    """
    squares = np.diagonal(K)
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = squares[:, None] + squares
        near = np.triu(~(sizes - 2.0 * K > NEAR * sizes) & among, 1)
    for i, k in np.argwhere(near):
        if all(np.array_equal(*X.dense(start, stop)[[i, k]]) for start, stop in X.tiles()):
            yield int(i), int(k)


def refuse_not_finite(piece: Array, first_row: int, first_column: int) -> None:
    """One sentence with the place of the first entry of a piece of X that is not finite, if there is one."""
    finite = np.isfinite(piece)
    if not finite.all():
        i, k = (int(index) for index in np.argwhere(~finite)[0])
        raise InvalidParameterError(f"X[{first_row + i}, {first_column + k}]", "be finite", float(piece[i, k]))


def refuse_zero_row(nonzero: Any) -> None:
    """One sentence with the first row that is 0, if there is one."""
    if not nonzero.all():
        place = int(np.argmin(nonzero))
        raise InvalidDataError("X", f"`X` has a zero row: row {place}; no network of this kind has a margin there.")


def exponent_of_largest_norm(X: Columns) -> int:
    """k with 2ᵏ <= max ‖x_i‖ < 2ᵏ⁺¹, to rounding, whatever the size of X; two passes."""
    largest = max(float(np.abs(X.dense(start, stop)).max()) for start, stop in X.tiles())
    unit, squares = int(np.frexp(largest)[1]), np.zeros(X.shape[0])
    for start, stop in X.tiles():
        squares += np.sum(np.ldexp(X.dense(start, stop), -unit) ** 2, axis=1)
    return unit + int(np.frexp(np.sqrt(squares.max()))[1]) - 1
