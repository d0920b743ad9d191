"""K = X Xᵀ without rounding: integers times a power of two (docs/theory.md, section 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse

from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError
from refimpl.tiles.columns import Columns, as_columns, as_dense
from refimpl.validation import Array
from verification.progress import Told

__all__ = ["IntMatrix", "exact_gram", "gram_of_samples"]

EXPONENTS = (-1100, 1100)  # below and above those of every float

LIMB_BITS, BLOCK = 21, 1024  # (2 * 2**20)**2 * 1024 = 2**52: squares of sums of two limbs add up exactly in float64
FEW = 1 / 32  # a limb with fewer entries than this part that are not 0 is kept sparse

IntMatrix = np.ndarray[Any, np.dtype[np.object_]]  # arrays of Python integers


def gram_of_samples(data: Dataset, progress: Callable[[str], None] = lambda message: None) -> tuple[IntMatrix, int]:
    """`exact_gram` of the samples of a data set.

    Raises
    ------
    InvalidParameterError
        If the data set holds coordinates of its samples, whose Gram matrix is theirs to rounding only.
    """
    if not data.exact:
        raise InvalidParameterError("data", "be the samples, not their coordinates, for a proof", data)
    return exact_gram(data.X, progress)


def exact_gram(X: Array | Columns, progress: Callable[[str], None] = lambda message: None) -> tuple[IntMatrix, int]:
    """K = X Xᵀ without rounding, as Python integers times a power of two.

    X is cut into limbs of 21 bits; products of limbs, and of sums of two of them, over blocks of 1,024 columns are
    integers below 2⁵³, so float64 matrix products add them up exactly, in whatever order. The last limbs, which only
    the smallest entries reach, are sparse.

    Parameters
    ----------
    X : ndarray or Columns, shape (n, d)
        Columns are gone through twice.
    progress : callable, optional
        Called with a sentence before each tile of columns.

    Returns
    -------
    integers : ndarray of int, shape (n, n)
    exponent : int
        K = integers · 2^exponent.

    Examples
    --------
    >>> integers, exponent = exact_gram(np.array([[1.0, 0.5]]))
    >>> integers[0, 0] * 2.0**exponent
    1.25
    """
    columns = as_columns(X)
    tiles = list(columns.tiles())
    ranges = [_exponents(columns.dense(*tile)) for tile in tiles]
    high = max(largest for _, largest in ranges)
    if high - min(smallest for smallest, _ in ranges) > 900:
        return _gram_of_wide_range(columns.array())
    top = high + 1
    sums: dict[int, Any] = {}  # power of two in units of 2^(2 top) -> integer matrix
    for k, tile in enumerate(tiles):
        if len(tiles) > 1:
            progress(Told("exact Gram matrix", f"tile {k + 1} of {len(tiles)}", k / len(tiles)))
        for place, product in _products_of_limbs(columns.dense(*tile), top).items():
            sums[place] = sums.get(place, 0) + product.astype(object)
    last = max(sums)
    K = sum(product * (1 << LIMB_BITS * (last - place)) for place, product in sums.items())
    return np.asarray(K, dtype=object), 2 * top - LIMB_BITS * last


def _exponents(X: Array) -> tuple[int, int]:
    """Smallest and largest exponent of the entries that are not 0; large and small numbers if there is none."""
    exponents = np.frexp(X)[1][X != 0.0]
    return int(exponents.min(initial=EXPONENTS[1])), int(exponents.max(initial=EXPONENTS[0]))


def _products_of_limbs(X: Array, top: int) -> dict[int, Any]:
    """Sums over at most 2^20 columns of products of limbs, as int64, by the sum of their places."""
    sums: dict[int, Any] = {}
    for start in range(0, X.shape[1], BLOCK):
        limbs = _limbs(np.ascontiguousarray(X[:, start : start + BLOCK].T), top)
        squares = {p: as_dense(limb.T @ limb) for p, limb in limbs.items()}
        for p, left in limbs.items():
            for r, right in limbs.items():
                if p <= r:
                    product = squares[p] if p == r else _both_ways(left, right, squares[p] + squares[r])
                    sums[p + r] = sums.get(p + r, 0) + product.astype(np.int64)
    return sums


def _both_ways(A: Any, B: Any, squares: Array) -> Array:
    """AᵀB + BᵀA, given AᵀA + BᵀB: a square of A + B takes half the time of a product, unless one of them is sparse."""
    if sparse.issparse(A) or sparse.issparse(B):
        product = as_dense(B.T @ A if sparse.issparse(B) else A.T @ B)
        return np.asarray(product + product.T)
    both = A + B
    return np.asarray(both.T @ both - squares)


def _limbs(X: Array, top: int) -> dict[int, Any]:
    """X = Σ_p limb_p · 2^(top - 21 p) with integers |limb_p| <= 2^20; limbs that are zero are left out."""
    limbs: dict[int, Any] = {}
    mantissa, exponent = np.frexp(X)  # scaled entry by entry, so that no subnormal number loses digits
    rest, p = np.ldexp(mantissa, np.where(X == 0.0, 0, exponent - top)), 0
    while rest.any():
        rest, p = rest * 2.0**LIMB_BITS, p + 1
        limb = np.rint(rest)
        rest = rest - limb
        if count := np.count_nonzero(limb):
            limbs[p] = sparse.csr_array(limb) if count < FEW * limb.size else limb
    return limbs


def _gram_of_wide_range(X: Array) -> tuple[IntMatrix, int]:
    """`exact_gram` with Python integers, for entries that span more than 2^900."""
    ratios = [[float(x).as_integer_ratio() for x in row] for row in X]
    shift = max(denominator for row in ratios for _, denominator in row)
    Y = np.array(
        [[numerator * (shift // denominator) for numerator, denominator in row] for row in ratios], dtype=object
    )
    return np.asarray(Y @ Y.T), -2 * (shift.bit_length() - 1)
