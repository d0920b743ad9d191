"""Descents within the bounds of docs/theory.md, sections 8, 9 and 10."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refimpl import LeakyReLU, SmoothLeakyReLU, TwoLayerNetwork, datasets
from refimpl.descent import (
    gradient_descent,
    gradient_descent_in_weight_space,
)

from .given import EPS, LOSSES


@pytest.mark.parametrize("scale", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_convergence_guarantee(scale, seed):
    """Section 10: the smallest margin grows by (αδ/n) σ(-q_min) and L(t) <= 2n/(αδ(t - t₀))."""
    gamma, rho, steps, n = 0.5, 0.5, 400, 6
    rng = np.random.default_rng(seed)
    data = datasets.gaussian(n, 5000, rng, norm_ratio=1.2)
    network = TwoLayerNetwork.with_signs(3, 2, LeakyReLU(gamma))
    K = data.gram
    r = np.array([sum(abs(K[i, k]) for k in range(n) if k != i) for i in range(n)])
    delta = gamma * np.min(rho * gamma * np.diagonal(K) - r)
    assert delta > 0.0
    alpha = n * math.log(1.0 / rho) / (rho * gamma * data.R_max**2)
    W0 = scale * rng.standard_normal((5, 5000))
    path = gradient_descent(network, data, W0, alpha, steps, record_every=1).trajectory
    q_min = path.smallest_margin
    sigma = 1.0 / (1.0 + np.exp(q_min[:-1]))
    rounding = 64 * EPS * np.abs(path.margins).max()
    assert np.all(np.diff(q_min) >= alpha * delta / n * sigma - rounding)
    t_0 = math.ceil(2 * n * max(0.0, -q_min[0]) / (alpha * delta))
    later = path.step > t_0
    assert later.sum() > 10
    assert np.all(path.loss[later] <= 2 * n / (alpha * delta * (path.step[later] - t_0)))


def stable_rank_bound(data, gamma):
    return 1.0 + np.linalg.cond(data.X @ data.X.T) * (1.0 - gamma) ** 2 / (4.0 * gamma)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("alpha", [1e-6, 0.1, 10.0, 1e4, 1e9])
@pytest.mark.parametrize("activation", [LeakyReLU(0.05), LeakyReLU(0.4), SmoothLeakyReLU(0.1, 3.0)], ids=repr)
def test_stable_rank_of_the_increment_never_exceeds_its_bound(activation, alpha, loss):
    """Section 8, for tame and for absurd step sizes; the bound is for every t > 0."""
    network = TwoLayerNetwork.with_signs(10, 10, activation)
    data = datasets.gaussian(8, 200, np.random.default_rng(3))
    W0 = np.random.default_rng(4).standard_normal((20, 200))
    measured = gradient_descent(network, data, W0, alpha, 60, loss).trajectory.increment_stable_rank[1:]
    assert np.all(measured <= stable_rank_bound(data, activation.slope) * (1.0 + 1e-12))


def test_stable_rank_bound_with_step_sizes_that_change_at_random():
    """Section 8 with a new step size in each step; a fifth of the bound is reached, so it is not idle."""
    gamma, rng = 0.05, np.random.default_rng(0)
    network = TwoLayerNetwork.with_signs(20, 20, LeakyReLU(gamma))
    data = datasets.gaussian(12, 600, rng)
    W0 = rng.standard_normal((40, 600))
    bound, largest, W = stable_rank_bound(data, gamma), 0.0, W0
    for _ in range(60):
        W = gradient_descent(network, data, W, 10.0 ** rng.uniform(-3.0, 5.0), 1).weights()
        sigma = np.linalg.svd(W - W0, compute_uv=False)
        largest = max(largest, float(np.sum(sigma**2) / sigma[0] ** 2))
    assert bound / 5.0 < largest <= bound


def test_stable_rank_after_one_step_is_the_predicted_one():
    """Section 9: tr(E S)/λ_max(E S), within four standard errors of 8 initializations."""
    n, d, m, gamma = 30, 300, 2000, 0.1
    data = datasets.gaussian_mixture(n, d, np.random.default_rng(0), mean_norm=d**0.26)
    cosine = np.clip(data.gram / np.outer(data.norms, data.norms), -1.0, 1.0)
    E = ((1 + gamma) / 2) ** 2 + ((1 - gamma) / 2) ** 2 * (2 / np.pi) * np.arcsin(cosine)
    ES = E @ data.signed_gram
    predicted = np.trace(ES) / np.linalg.eigvals(ES).real.max()
    network = TwoLayerNetwork.with_signs(m // 2, m // 2, LeakyReLU(gamma))
    measured = []
    for seed in range(8):
        W0 = 1e-12 * np.random.default_rng(seed).standard_normal((m, d))
        C = gradient_descent_in_weight_space(network, data, W0, 0.01, 1) - W0
        squares = np.linalg.eigvalsh(C.T @ C)
        measured.append(squares.sum() / squares[-1])
    error = 4.0 * np.std(measured, ddof=1) / math.sqrt(len(measured))
    assert error < 0.02 * predicted
    assert abs(np.mean(measured) - predicted) < error
