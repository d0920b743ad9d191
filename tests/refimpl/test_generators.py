"""Drawn data sets have the norms, angles and slack that were asked for."""

import itertools
import math

import numpy as np
import pytest

from refimpl import datasets
from refimpl.errors import (
    ImplicitBiasError,
    InvalidParameterError,
    UnreachableSlackError,
)

from .data_given import gram_in_loops

EPS = float(np.finfo(np.float64).eps)


def slack_in_loops(X, slope):
    """R_min² / (3 γ⁻³ R² n p), from sums that are exact before one rounding."""
    K, n = gram_in_loops(X), len(X)
    squares = [K[i][i] for i in range(n)]
    p = max(abs(K[i][k]) for i, k in itertools.permutations(range(n), 2))
    return min(squares) / (3.0 * slope**-3 * (max(squares) / min(squares)) * n * p)


# --- generators ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("norm_ratio", [1.0, 2.5])
@pytest.mark.parametrize(("n", "d"), [(2, 2), (3, 50), (12, 12), (12, 200)])
@pytest.mark.parametrize("slack", [0.9, 1.0, 1.0000001, 37.0])
def test_nearly_orthogonal_hits_the_slack_to_rounding(n, d, slack, slope, norm_ratio):
    data = datasets.nearly_orthogonal(n, d, slack, slope, np.random.default_rng(n + d), norm_ratio)
    K, R = np.array(gram_in_loops(data.X)), norm_ratio
    p = slope**3 / (3.0 * R**2 * n * slack)
    # an inner product of rows of norm R carries n eps R² at most: that is the error of p, and so of the slack
    assert slack_in_loops(data.X, slope) == pytest.approx(slack, rel=2.0 * math.sqrt(n) * 8 * EPS * R**2 / p + 8 * EPS)
    np.testing.assert_allclose(np.diagonal(K), np.linspace(1.0, R, n) ** 2, rtol=1e-13)
    off = np.abs(K[~np.eye(n, dtype=bool)])
    assert off.min() >= 0.499 * off.max()  # no entry is negligible
    assert data.y.tolist() == [1.0 if i % 2 == 0 else -1.0 for i in range(n)]


def test_nearly_orthogonal_has_inner_products_of_both_signs_and_depends_on_the_generator():
    first = datasets.nearly_orthogonal(8, 30, 1.0, 0.5, np.random.default_rng(0))
    again = datasets.nearly_orthogonal(8, 30, 1.0, 0.5, np.random.default_rng(0))
    other = datasets.nearly_orthogonal(8, 30, 1.0, 0.5, np.random.default_rng(1))
    assert np.array_equal(first.X, again.X)
    assert not np.array_equal(np.sign(first.gram), np.sign(other.gram))
    off = first.gram[np.triu_indices(8, 1)]
    assert (off > 0).sum() >= 5
    assert (off < 0).sum() >= 5
    assert len(set(np.abs(off).round(6))) > 20  # sizes vary


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((5, 4, 1.0, 0.5), InvalidParameterError, "`d` must be at least n = 5"),
        ((1, 4, 1.0, 0.5), InvalidParameterError, "`n` must be a whole number, at least 2"),
        ((3, 4, 0.0, 0.5), InvalidParameterError, "`slack` must be finite and positive"),
        ((3, 4, float("inf"), 0.5), InvalidParameterError, "`slack` must be finite and positive"),
        ((3, 4, 1.0, 1.5), InvalidParameterError, r"`slope` must lie in \[0, 1\]"),
        ((3, 4, 1.0, 0.0), UnreachableSlackError, "`slope` is 0"),
        ((3, 4, 1e9, 0.5), UnreachableSlackError, "rounding in X"),
        ((3, 4, 1e-3, 0.5), UnreachableSlackError, "no definite Gram matrix"),
        ((3, 4, 1.0, 0.5, 0.5), InvalidParameterError, "`norm_ratio` must be at least 1 and at most 1e\\+150; got 0.5"),
        ((2.0, 4, 1.0, 0.5), InvalidParameterError, "`n` must be a whole number"),
    ],
)
def test_nearly_orthogonal_refuses_what_cannot_be(arguments, error, words):
    *first, ratio = arguments if len(arguments) == 5 else (*arguments, 1.0)
    with pytest.raises(error, match=words) as caught:
        datasets.nearly_orthogonal(*first, np.random.default_rng(0), ratio)
    assert isinstance(caught.value, ImplicitBiasError)


def test_gaussian_rows_have_the_norms_and_angles_of_gaussians():
    """‖x_i‖² = s_i² χ²_d/d: s_i² ± s_i²√(2/d); ⟨x_i, x_k⟩ has deviation s_i s_k/√d. Five deviations are allowed."""
    n, d = 40, 4000
    data = datasets.gaussian(n, d, np.random.default_rng(0), norm_ratio=3.0)
    s = np.linspace(0.5, 1.5, n)  # ratio 3, mean 1
    assert np.all(np.abs(data.norms**2 / s**2 - 1.0) < 5.0 * math.sqrt(2.0 / d))
    cosines = data.gram[np.triu_indices(n, 1)] / np.outer(s, s)[np.triu_indices(n, 1)]
    assert np.abs(cosines).max() < 5.0 / math.sqrt(d)
    assert np.std(cosines) * math.sqrt(d) == pytest.approx(1.0, abs=0.1)  # 780 pairs: deviation 0.025
    assert data.y[:4].tolist() == [1.0, -1.0, 1.0, -1.0]


def test_gaussian_mixture_has_its_mean_its_noise_and_its_flips():
    """The label-weighted mean estimates (1 - 2·flip) μ; the clusters come back by the sign of ⟨μ, x⟩."""
    n, d, mean_norm, noise, flip = 4000, 20, 6.0, 0.5, 0.2
    data = datasets.gaussian_mixture(n, d, np.random.default_rng(0), mean_norm, noise, flip)
    clusters = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    mu = (clusters[:, None] * data.X).mean(axis=0)
    assert np.linalg.norm(mu) == pytest.approx(mean_norm, abs=5 * noise / math.sqrt(n))
    residual = data.X - clusters[:, None] * mu
    assert residual.std() == pytest.approx(noise, rel=5 / math.sqrt(2 * n * d))
    flips = data.y != clusters
    assert flips.mean() == pytest.approx(flip, abs=5 * math.sqrt(flip * (1 - flip) / n))
    assert flips[::2].mean() == pytest.approx(flips[1::2].mean(), abs=0.06)  # both clusters alike
    assert np.array_equal(datasets.gaussian_mixture(50, 5, np.random.default_rng(3), 1.0).y, clusters[:50])


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
def test_correlated_rows_share_their_direction(rho):
    """⟨x_i, x_k⟩ = ρ + O(1/√d), K_ii = 1 + O(1/√d)."""
    n, d = 10, 20_000
    data = datasets.correlated(n, d, np.random.default_rng(0), rho)
    assert np.all(np.abs(data.gram - rho - (1.0 - rho) * np.eye(n)) < 6.0 * 2.0 / math.sqrt(d))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda rng: datasets.gaussian(0, 3, rng), "`n` must be a whole number, at least 1; got 0"),
        (lambda rng: datasets.gaussian(3, 2.5, rng), "`d` must be a whole number"),
        (lambda rng: datasets.gaussian(3, True, rng), "`d` must be a whole number"),
        (lambda rng: datasets.gaussian(3, 3, rng, norm_ratio=0.9), "`norm_ratio`"),
        (lambda rng: datasets.gaussian_mixture(3, 3, rng, mean_norm=-1.0), "`mean_norm`"),
        (lambda rng: datasets.gaussian_mixture(3, 3, rng, 1.0, noise=0.0), "`noise`"),
        (lambda rng: datasets.gaussian_mixture(3, 3, rng, 1.0, flip_probability=1.5), "`flip_probability`"),
        (lambda rng: datasets.correlated(3, 3, rng, 1.2), "`correlation`"),
    ],
)
def test_bad_parameters_of_generators_are_refused_by_name(make, words):
    with pytest.raises(InvalidParameterError, match=words):
        make(np.random.default_rng(0))
