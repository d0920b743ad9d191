"""Singular values, ranks and stable ranks of matrices whose singular values are known (docs/numerics.md)."""

import numpy as np
import pytest

from refimpl import numerical_rank, stable_rank
from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.spectrum import INDEPENDENT, certainly_independent, gram_factor, singular_values

EPS = float(np.finfo(np.float64).eps)


def orthonormal(rows, columns, seed):
    """`rows` x `columns` with orthonormal columns."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((rows, columns)))[0]


def with_singular_values(sigma, m, d, seed=0):
    sigma = np.asarray(sigma)
    return orthonormal(m, sigma.size, seed) * sigma @ orthonormal(d, sigma.size, seed + 1).T


def coefficients_with_singular_values(sigma, m, n, d, seed=0):
    """C and K such that W = C X has the given singular values: X = A Qᵀ, C = U Σ Vᵀ A⁻¹ with A of condition 3 or so."""
    rng = np.random.default_rng(seed + 7)
    A = np.eye(n) + 0.5 * rng.standard_normal((n, n)) / np.sqrt(n)
    X = A @ orthonormal(d, n, seed + 3).T
    return with_singular_values(sigma, m, n, seed) @ np.linalg.inv(A), X


@pytest.mark.parametrize("small", [1e-3, 1e-8, 1e-12])
@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (4, 4)])
def test_tiny_singular_values_of_a_matrix_are_seen(shape, small):
    W = with_singular_values([1.0, 0.5, small], *shape)
    found = singular_values(W)
    assert found.shape == (min(shape),)
    np.testing.assert_allclose(found[:3], [1.0, 0.5, small], atol=16 * EPS)  # backward stable: eps·σ₁ each
    assert np.all(np.abs(found[3:]) < 16 * EPS)
    assert numerical_rank(W, tolerance=1e-13) == 3
    assert numerical_rank(W, tolerance=2 * small) == 2


@pytest.mark.parametrize("small", [1e-3, 1e-8, 1e-12])
def test_tiny_singular_values_are_seen_through_the_gram_factor(small):
    """Roots of eigenvalues of C K Cᵀ would lose everything below 1e-8."""
    C, X = coefficients_with_singular_values([2.0, 1.0, small], 6, 5, 40)
    found = singular_values(C, X @ X.T)
    np.testing.assert_allclose(found[:3], [2.0, 1.0, small], atol=100 * EPS)
    assert np.all(np.abs(found[3:]) < 100 * EPS)
    assert numerical_rank(C, X @ X.T, tolerance=1e-13) == 3
    assert numerical_rank(C, X @ X.T, tolerance=2 * small) == 2
    assert numerical_rank(C @ X, tolerance=1e-13) == 3


@pytest.mark.parametrize("scale", [1e-140, 1e-7, 1.0, 1e140])
def test_ranks_do_not_depend_on_the_scale(scale):
    W = with_singular_values([3.0, 2.0, 1e-12], 5, 8)
    assert stable_rank(scale * W) == pytest.approx(13.0 / 9.0, rel=1e-13)
    assert numerical_rank(scale * W, tolerance=1e-13) == 3
    C, X = coefficients_with_singular_values([3.0, 2.0], 5, 4, 9)
    assert stable_rank(scale * C, X @ X.T) == pytest.approx(13.0 / 9.0, rel=1e-13)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_exact_low_rank_of_whole_numbers_by_the_default_tolerance(rank):
    rng = np.random.default_rng(rank)
    W = rng.integers(-5, 6, (7, rank)) @ rng.integers(-5, 6, (rank, 11))
    assert numerical_rank(W) == np.linalg.matrix_rank(W) == rank
    assert numerical_rank(W.T) == rank


def test_zero_and_identity():
    assert numerical_rank(np.zeros((3, 4))) == 0
    assert numerical_rank(np.eye(5)) == 5
    assert stable_rank(np.eye(5)) == pytest.approx(5.0, rel=1e-15)
    assert stable_rank([[1.0, 2.0, 3.0]]) == 1.0
    with pytest.raises(InvalidParameterError, match="`W` must not be zero"):
        stable_rank(np.zeros((2, 2)))


def test_stable_rank_lies_between_one_and_the_rank():
    for seed in range(20):
        W = np.random.default_rng(seed).standard_normal((4, 6))
        largest = np.sqrt(np.linalg.eigvalsh(W @ W.T)[-1])
        assert stable_rank(W) == pytest.approx(np.sum(W**2) / largest**2, rel=1e-13)
        assert 1.0 <= stable_rank(W) <= 4.0


@pytest.mark.parametrize("n", [1, 3, 20])
def test_gram_factor_of_a_definite_matrix(n):
    A = np.random.default_rng(n).standard_normal((n, n + 5))
    K = A @ A.T
    L = gram_factor(K)
    np.testing.assert_allclose(L @ L.T, K, atol=8 * n * EPS * np.abs(K).max())


def test_gram_factor_of_a_singular_matrix():
    X = np.random.default_rng(0).integers(-3, 4, (6, 2)).astype(float)
    K = X @ X.T
    L = gram_factor(K)
    np.testing.assert_allclose(L @ L.T, K, atol=50 * EPS * np.abs(K).max())
    assert numerical_rank(L, tolerance=1e-12) == 2  # what is rounding was dropped, not kept at 1e-8
    C = np.random.default_rng(1).standard_normal((4, 6))
    np.testing.assert_allclose(singular_values(C, K)[:2], singular_values(C @ X)[:2], rtol=1e-13)
    assert np.all(singular_values(C, K)[2:] < 1e-13)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: gram_factor(np.ones((2, 3))), ShapeError, r"`K` must have shape \(n, n\) with n >= 1; got \(2, 3\)"),
        (lambda: singular_values(np.ones((2, 3)), np.eye(2)), ShapeError, r"`gram` must have shape \(3, 3\)"),
        (lambda: singular_values([1.0]), ShapeError, "`W` must have shape with 2 axes"),
        (lambda: gram_factor(np.ones((0, 0))), ShapeError, r"`K` must have shape \(n, n\) with n >= 1; got \(0, 0\)"),
        (lambda: gram_factor([[1.0, 0.5], [0.0, 1.0]]), InvalidParameterError, "`K` must be symmetric"),
        (
            lambda: gram_factor([[1.0, 2.0], [2.0, 1.0]]),
            InvalidParameterError,
            "semidefinite; it has the eigenvalue -1;",
        ),
        (lambda: stable_rank([[np.nan]]), InvalidParameterError, r"`W\[0, 0\]` must be finite"),
        (lambda: numerical_rank(np.eye(2), tolerance=1.0), InvalidParameterError, r"`tolerance` must lie in \[0, 1\)"),
        (lambda: numerical_rank(np.eye(2), tolerance=-1e-9), InvalidParameterError, "`tolerance`"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_rows_that_are_called_independent_are() -> None:
    """Beside singular values, for rows that come nearer and nearer to dependence; more rows than columns never are."""
    rng = np.random.default_rng(0)
    for spread in (1.0, 1e-3, 1e-6, 1e-12, 0.0):
        rows = rng.standard_normal((40, 60))
        rows[1] = rows[0] + spread * rows[1]
        sigma = np.linalg.svd(rows, compute_uv=False)
        share = sigma[-1] ** 2 / np.sum(sigma**2)
        assert certainly_independent(rows) is bool(share > INDEPENDENT), spread
        assert not certainly_independent(rows.T)
