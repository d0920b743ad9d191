"""An order of samples and neurons that depends on their values only.

Sums in floating point depend on the order of their terms, and where symmetric data let a flow go either way
rounding would decide. The flow is computed in this order, so that its result is the same for every order of
samples and neurons that it is given.
"""

from __future__ import annotations

from functools import cmp_to_key

import numpy as np

from refimpl.validation import Array, IndexArray

__all__ = ["canonical_order"]

_COLUMNS = 4096
"""Columns that are compared at a time."""


def canonical_order(key: Array, rows: Array) -> IndexArray:
    """Indices that sort rows by a number each, then by their entries from the first column on.

    Parameters
    ----------
    key : ndarray, shape (n,)
        Labels, or entries of the second layer.
    rows : ndarray, shape (n, d)

    Returns
    -------
    ndarray of int, shape (n,)

    Examples
    --------
    >>> canonical_order(np.array([1.0, -1.0, 1.0]), np.array([[2.0, 0.0], [5.0, 5.0], [2.0, -1.0]]))
    array([1, 2, 0])
    """

    def compare(i: int, k: int) -> int:
        if key[i] != key[k]:
            return -1 if key[i] < key[k] else 1
        for start in range(0, rows.shape[1], _COLUMNS):
            one, other = rows[i, start : start + _COLUMNS], rows[k, start : start + _COLUMNS]
            differ = np.flatnonzero(one != other)
            if differ.size:
                return -1 if one[differ[0]] < other[differ[0]] else 1
        return 0

    return np.array(sorted(range(key.size), key=cmp_to_key(compare)), dtype=np.intp)
