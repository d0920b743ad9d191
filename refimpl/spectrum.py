"""Singular values, numerical rank and stable rank, from W or from (C, K) (docs/numerics.md).

For W = C X the singular values of W are those of C L with K = X Xᵀ = L Lᵀ. They are taken from
such a factor, because roots of eigenvalues of W Wᵀ lose everything below 1e-8 of the largest;
where only the largest counts (`stable_rank_by_norms`) those are good enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.tiles.columns import Columns, as_columns
from refimpl.validation import Array, as_finite_array, as_number

__all__ = [
    "certainly_independent",
    "frobenius_norm",
    "gram_factor",
    "numerical_rank",
    "rank_above",
    "rank_of_limit",
    "row_norms",
    "sample_factor",
    "singular_values",
    "stable_rank",
    "stable_rank_by_norms",
    "stable_rank_of",
    "third_ratio",
]

RANK_TOLERANCE = 1e-8
"""Singular values of a limit below this part of the largest count as zero: a polished limit has its zeros
at 1e-14 or less, an unpolished one at its distance from the limit."""

QR_BLOCK_ENTRIES = 2**23
"""Numbers that one step of a QR decomposition goes through, so that X may be larger than memory."""


_SEMIDEFINITE = float(np.sqrt(np.finfo(np.float64).eps))
"""How far a Gram matrix may be from symmetric and semidefinite, relative to its largest entry: rounding of a product
in float32 is still allowed."""


INDEPENDENT = 1e-10
"""What the smallest squared singular value is of all of them together, at least, for rows to be called independent."""


def certainly_independent(rows: Array) -> bool:
    """Whether the rows are seen to be independent, by far: σ_min² >= 1e-10 Σσ².

    A Cholesky decomposition of rows rowsᵀ - 1e-10 Σσ² I decides, which costs a small part of a singular value
    decomposition; its rounding is below n² eps Σσ². False says nothing.

    Parameters
    ----------
    rows : ndarray, shape (n, k)

    Examples
    --------
    >>> certainly_independent(np.eye(3)), certainly_independent(np.ones((2, 3)))
    (True, False)
    """
    gram = rows @ rows.T
    total = float(np.trace(gram))
    if not 0.0 < total < float("inf") or rows.shape[0] > rows.shape[1]:
        return False
    np.fill_diagonal(gram, np.diagonal(gram) - INDEPENDENT * total)
    try:
        np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return False
    return True


def gram_factor(K: Any) -> Array:
    """L with K = L Lᵀ, shape (n, n): Cholesky, or an eigenvector factor if K is singular.

    The eigenvector factor drops eigenvalues below n · eps · λ_max(K), which are rounding.

    Parameters
    ----------
    K : array_like, shape (n, n)
        Symmetric and positive semidefinite, both to √eps.

    Returns
    -------
    ndarray, shape (n, n)

    Raises
    ------
    InvalidParameterError
        If K is not finite, not symmetric, or has a negative eigenvalue.
    ShapeError
        If K is not square, or empty.

    Examples
    --------
    >>> gram_factor([[4.0, 2.0], [2.0, 2.0]])
    array([[2., 0.],
           [1., 1.]])
    """
    K = as_finite_array("K", K, 2)
    if K.shape[0] != K.shape[1] or K.size == 0:
        raise ShapeError("K", "(n, n) with n >= 1", K.shape)
    largest = float(np.abs(K).max())
    if np.abs(K / 2.0 - K.T / 2.0).max() > _SEMIDEFINITE * largest:
        raise InvalidParameterError("K", "be symmetric", K)
    floor = K.shape[0] * np.finfo(np.float64).eps
    try:
        L = np.linalg.cholesky(K)
        if np.min(np.diagonal(L) ** 2) > floor * np.max(np.diagonal(K)):
            return np.asarray(L)
    except np.linalg.LinAlgError:
        pass
    eigenvalues, vectors = np.linalg.eigh(K)
    if eigenvalues[0] < -_SEMIDEFINITE * largest:
        raise InvalidParameterError("K", f"be positive semidefinite; it has the eigenvalue {eigenvalues[0]:.3g}", K)
    eigenvalues = np.where(eigenvalues > floor * eigenvalues[-1], eigenvalues, 0.0)
    return np.asarray(vectors * np.sqrt(eigenvalues))


def sample_factor(X: Array | Columns, gram: Array | None) -> tuple[Array, float]:
    """The samples as unit vectors in orthonormal coordinates, and the rounding of each row.

    Row i of L is x_i/‖x_i‖ in coordinates of the span. L comes from a QR decomposition of Xᵀ, whose error is relative
    to each column: forming K would square the condition number of nearly dependent samples. It is
    the Cholesky factor of K only where that loses nothing, its singular values being large.

    Parameters
    ----------
    X : ndarray or Columns, shape (n, d)
        No row is 0.
    gram : ndarray, shape (n, n), or None
        K = X Xᵀ; not needed where n > d and X is an array.

    Returns
    -------
    L : ndarray, shape (n, min(n, d)), or fewer columns where columns of X are 0
    rounding : float
        Estimate of the largest distance of a row from the true one, for some rotation of the coordinates.

    References
    ----------
    docs/numerics.md, "The convex programs".

    Examples
    --------
    >>> L, rounding = sample_factor(np.array([[3.0, 0.0], [3.0, 3e-9]]), np.full((2, 2), 9.0))
    >>> f"{abs(L[1, 1] / L[1, 0]):.0e}", rounding < 1e-14
    ('1e-09', True)
    """
    n, d = X.shape
    rounding = float(np.finfo(np.float64).eps * (8.0 + 2.0 * np.sqrt(min(n, d))))
    if n <= d and gram is not None:
        norms = np.sqrt(np.diagonal(gram))
        try:
            L = np.linalg.cholesky(gram / np.outer(norms, norms))
            if np.diagonal(L).min() > 0.5 and np.linalg.svd(L, compute_uv=False)[-1] > 0.25:
                return np.asarray(L), 2.0 * rounding
        except np.linalg.LinAlgError:
            pass
    elif n > d:
        X = X.array() if isinstance(X, Columns) else X
        X = X[:, X.any(axis=0)]
    norms = np.sqrt(np.diagonal(gram)) if isinstance(X, Columns) and gram is not None else row_norms(np.asarray(X))
    width, columns = max(n, QR_BLOCK_ENTRIES // n), as_columns(X)
    R: Array = np.zeros((0, n))
    for start in range(0, X.shape[1], width):
        block = (columns.dense(start, min(start + width, X.shape[1])) / norms[:, None]).T
        R = np.asarray(np.linalg.qr(np.vstack([R, block]), mode="r"))
    return np.asarray(R.T), rounding


def singular_values(W: Any, gram: Any = None) -> Array:
    """Singular values in descending order, of W, or of W = C X from C and K = X Xᵀ.

    Parameters
    ----------
    W : array_like, shape (m, d), or (m, n) if `gram` is given
        W itself, or its coefficients C.
    gram : array_like, shape (n, n), optional
        K.

    Returns
    -------
    ndarray, shape (min(m, d),) or (min(m, n),)

    Raises
    ------
    InvalidParameterError
        If an entry is not finite, `gram` is no Gram matrix, or the product of C with its factor overflows.
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> singular_values([[0.0, 2.0], [1.0, 0.0]])
    array([2., 1.])
    """
    W = as_finite_array("W", W, 2)
    if gram is not None:
        L = gram_factor(gram)
        if L.shape[0] != W.shape[1]:
            raise ShapeError("gram", f"({W.shape[1]}, {W.shape[1]})", L.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            W = W @ L
        if not np.isfinite(W).all():
            raise InvalidParameterError("W", "stay below the largest float in C L", "an overflow")
    return np.asarray(np.linalg.svd(W, compute_uv=False))


def numerical_rank(W: Any, gram: Any = None, tolerance: float | None = None) -> int:
    """Number of singular values above `tolerance` times the largest.

    Parameters
    ----------
    W, gram
        As in `singular_values`.
    tolerance : float in [0, 1), optional
        By default max(shape) · eps, the size of the rounding of an exact product; for a W that an
        iteration produced, take the error estimate of that iteration instead.

    Returns
    -------
    int

    Raises
    ------
    InvalidParameterError, ShapeError
        As in `singular_values`, and if `tolerance` is not in [0, 1).

    Examples
    --------
    >>> numerical_rank([[1.0, 2.0], [2.0, 4.0]]), numerical_rank([[0.0]])
    (1, 0)
    """
    sigma = singular_values(W, gram)
    if tolerance is None:
        tolerance = max(as_finite_array("W", W, 2).shape) * float(np.finfo(np.float64).eps)
    relative = as_number("tolerance", tolerance)
    if not 0.0 <= relative < 1.0:
        raise InvalidParameterError("tolerance", "lie in [0, 1)", tolerance)
    return rank_above(sigma, relative) if sigma.size else 0


def rank_above(sigma: Array, tolerance: float) -> int:
    """The number of singular values, in descending order, above `tolerance` times the largest.

    Examples
    --------
    >>> rank_above(np.array([2.0, 1.0, 1e-12]), 1e-13), rank_above(np.zeros(2), 1e-13)
    (3, 0)
    """
    return int(np.sum(sigma > tolerance * sigma[0]))


def stable_rank(W: Any, gram: Any = None) -> float:
    """‖W‖_F² / ‖W‖₂², between 1 and the rank.

    Parameters
    ----------
    W, gram
        As in `singular_values`.

    Returns
    -------
    float

    Raises
    ------
    InvalidParameterError, ShapeError
        As in `singular_values`, and if W = 0, which has no stable rank.

    Examples
    --------
    >>> stable_rank([[3.0, 0.0], [0.0, 3.0]])
    2.0
    """
    return stable_rank_of(singular_values(W, gram))


def stable_rank_of(sigma: Array) -> float:
    """Σ σ_k² / σ₁² for singular values in descending order."""
    if sigma.size == 0 or sigma[0] == 0.0:
        raise InvalidParameterError("W", "not be zero: a zero matrix has no stable rank", 0.0)
    return float(np.sum((sigma / sigma[0]) ** 2))


def rank_of_limit(sigma: Array) -> int:
    """The number of singular values above `RANK_TOLERANCE` times the largest: the zeros of a limit are not exact.

    Examples
    --------
    >>> rank_of_limit(np.array([2.0, 1.0, 1e-12])), rank_of_limit(np.zeros(2))
    (2, 0)
    """
    return rank_above(sigma, RANK_TOLERANCE)


def third_ratio(sigma: Array) -> float:
    """σ₃/σ₁ for singular values in descending order; 0 if there is no third one, or all are 0.

    Examples
    --------
    >>> third_ratio(np.array([2.0, 1.0, 0.5])), third_ratio(np.array([2.0, 1.0])), third_ratio(np.zeros(3))
    (0.25, 0.0, 0.0)
    """
    return float(sigma[2] / sigma[0]) if sigma.size > 2 and sigma[0] > 0.0 else 0.0


def stable_rank_by_norms(W: Array) -> float:
    """`stable_rank(W)` from the eigenvalues of the smaller Gram matrix: the fast path; NaN if W = 0.

    Squares lose what is small, and the largest singular value is not: both agree to rounding. NumPy's routine
    and not SciPy's, which could find one eigenvalue alone: the two bring a BLAS each, whose threads
    wait for each other where calls alternate, for much longer than the call itself takes.

    Examples
    --------
    >>> stable_rank_by_norms(np.array([[3.0, 0.0], [0.0, 3.0]]))
    2.0
    """
    largest = float(np.abs(W).max(initial=0.0))
    if largest == 0.0:
        return float("nan")
    W = W / largest
    G = W @ W.T if W.shape[0] <= W.shape[1] else W.T @ W
    return float(G.trace() / np.linalg.eigvalsh(G)[-1])


def frobenius_norm(A: Array) -> float:
    """‖A‖_F, also where the squares of the entries leave the range of float64.

    Examples
    --------
    >>> frobenius_norm(np.array([[3e-200, 4e-200]]))
    5e-200
    """
    largest = float(np.abs(A).max(initial=0.0))
    return largest * float(np.linalg.norm(A / largest)) if largest > 0.0 else 0.0


def row_norms(A: Array) -> Array:
    """The norm of each row, also where the squares of the entries leave the range of float64.

    Examples
    --------
    >>> row_norms(np.array([[3e200, 4e200], [0.0, 0.0]]))
    array([5.e+200, 0.e+000])
    """
    largest = np.abs(A).max(axis=1, initial=0.0)
    unit = np.where(largest > 0.0, largest, 1.0)
    return np.asarray(unit * np.linalg.norm(A / unit[:, None], axis=1))
