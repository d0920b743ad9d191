"""Coordinates in which distances are those of W, and the quadrature of plain time."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, TwoLayerNetwork
from refimpl.flow.cell import Cell
from refimpl.flow.isometric import IsometricCoordinates
from refimpl.flow.limit import limit_ahead, vanished
from refimpl.flow.recorder import TrajectoryRecorder
from refimpl.losses import sample_weights


def cell_of(seed: int, n: int = 5, d: int = 7) -> tuple[Cell, np.ndarray]:
    rng = np.random.default_rng(seed)
    network = TwoLayerNetwork(np.array([0.4, 0.8, -0.6]), LeakyReLU(0.3))
    data = Dataset(rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n))
    pattern = rng.choice([-1, 1], (3, n)).astype(np.int8)
    pattern[2, 0] = 0  # slides; the other neurons keep M invertible
    return Cell(network, data.y, data.gram, pattern), data.X


@pytest.mark.parametrize("seed", range(5))
def test_distances_are_those_of_the_weights(seed: int) -> None:
    """dC is linear in c, so W(c) - W(0) = V(c) X for any c."""
    cell, X = cell_of(seed)
    coordinates = IsometricCoordinates(cell.matrix, np.zeros(5), ExponentialLoss())
    for b in np.random.default_rng(seed).standard_normal((4, 5)):
        W = cell.velocity(coordinates.c(b)) @ X
        assert np.linalg.norm(W) == pytest.approx(np.linalg.norm(b), rel=1e-9)
        np.testing.assert_allclose(coordinates.margins(b), cell.matrix @ coordinates.c(b), atol=1e-11)


@pytest.mark.parametrize("start", [0.0, 50.0])
@pytest.mark.parametrize("loss", [LogisticLoss(), ExponentialLoss()], ids=lambda loss: loss.name)
def test_rate_and_jacobian(loss, start: float) -> None:
    rng = np.random.default_rng(3)
    B = rng.standard_normal((4, 6))
    M, q = B @ B.T, start + rng.standard_normal(4)
    coordinates = IsometricCoordinates(M, q, loss)
    b = 0.1 * rng.standard_normal(4)
    c = coordinates.c(b)
    np.testing.assert_allclose(coordinates.c(coordinates.rate(0.0, b)), sample_weights(loss, q + M @ c), rtol=1e-11)
    h = 1e-6
    for k in range(4):
        e = h * np.eye(4)[k]
        column = (coordinates.rate(0.0, b + e) - coordinates.rate(0.0, b - e)) / (2.0 * h)
        np.testing.assert_allclose(coordinates.jacobian(0.0, b)[:, k], column, atol=1e-8)


def test_tolerances_bound_errors_of_margins_and_of_weights() -> None:
    """M = diag(4, 1e-8): √λ = (2, 1e-4) in ascending order of eigenvalues (1e-4, 2)."""
    coordinates = IsometricCoordinates(np.diag([4.0, 1e-8]), np.zeros(2), ExponentialLoss())
    np.testing.assert_allclose(coordinates.tolerance(1e-9, 0.0), [1e-9, 5e-10])
    np.testing.assert_allclose(coordinates.tolerance(1e-9, 1e-7), [1e-7, 5e-10])
    np.testing.assert_allclose(coordinates.tolerance(1e-9, 1.0), [1e-5, 5e-10])


# --- has the growth vanished? --------------------------------------------------------------------------------------


def one_neuron(slope: float, K: np.ndarray, pattern: list[int], a: float = 1.0) -> Cell:
    y = np.ones(len(pattern))
    return Cell(TwoLayerNetwork([a], LeakyReLU(slope)), y, K, np.array([pattern], dtype=np.int8))


def is_vanished(cell: Cell, w: np.ndarray) -> bool:
    return vanished(lambda: cell, w, float(w @ cell.matrix @ w))


def test_small_growth_is_not_vanished_growth() -> None:
    w = np.array([0.5, 0.5])
    assert not is_vanished(one_neuron(1e-7, np.eye(2), [-1, -1]), w)
    assert not is_vanished(one_neuron(0.5, np.eye(2), [1, 1], a=1e-9), w)
    assert not is_vanished(one_neuron(1e-7, np.eye(2), [1, -1]), np.array([1e-14, 1.0]))


def test_vanished_growth() -> None:
    w = np.array([0.5, 0.5])
    assert is_vanished(one_neuron(0.0, np.eye(2), [-1, -1]), w)  # dead
    assert is_vanished(one_neuron(0.5, np.array([[1.0, -1.0], [-1.0, 1.0]]), [1, 1]), w)  # cancels
    assert is_vanished(one_neuron(0.0, np.eye(2), [1, -1]), np.array([1e-8, 1.0]))  # one margin cannot grow
    assert not is_vanished(one_neuron(0.0, np.eye(2), [1, -1]), np.array([1e-3, 1.0]))  # and that is not yet all


# --- a limit that w has not reached yet ----------------------------------------------------------------------------


def ahead(z: float, departure: float) -> bool:
    """K = [[1, -0.8], [-0.8, 1]], both active, w* = (½, ½): μ = λ_max/2 = 0.9, r = (δ, -δ), u = δ, B = 2 δ/√0.9."""
    cell = one_neuron(0.5, np.array([[1.0, -0.8], [-0.8, 1.0]]), [1, 1])
    q = np.array([10.0 - departure, 10.0 + departure])
    w = sample_weights(ExponentialLoss(), q)
    return limit_ahead(cell, np.array([[z, 10.0]]), q, w, np.linalg.cholesky(cell.gram)) is not None


def test_limit_ahead_needs_units_to_be_farther_from_their_kinks_than_the_way_that_remains() -> None:
    delta = 5e-4
    way = 2.0 * delta / np.sqrt(0.9)
    assert ahead(1.01 * way, delta)
    assert not ahead(0.99 * way, delta)
    assert not ahead(1.0, 2e-3)  # not linear


# --- plain time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.05, 3.0, 1e3, 1e6, -1e6])
def test_plain_time_of_one_step(rate: float) -> None:
    """q = βs for one sample: t = ∫_0^1 e^{βs} ds = (e^β - 1)/β."""
    recorder = TrajectoryRecorder(ExponentialLoss(), np.zeros(0))
    recorder.advance(0.0, 1.0, lambda s: rate * s[None])
    recorder.add(1.0, np.array([rate]), 1.0)
    exact = rate + np.log(-np.expm1(-rate)) - np.log(rate) if rate > 0 else np.log(-np.expm1(rate)) - np.log(-rate)
    assert recorder.trajectory().log_time[0] == pytest.approx(exact, rel=1e-15, abs=2e-10)


def test_plain_time_is_bounded_work_where_margins_are_noise() -> None:
    rng, calls = np.random.default_rng(0), []

    def noise(s: np.ndarray) -> np.ndarray:
        calls.append(s.size)
        return rng.standard_normal((1, s.size))

    TrajectoryRecorder(ExponentialLoss(), np.zeros(0)).advance(0.0, 1.0, noise)
    assert sum(calls) < 50_000


def test_marks() -> None:
    recorder = TrajectoryRecorder(ExponentialLoss(), np.array([0.0, 0.5, 1.5, 7.0]))
    recorder.advance(0.0, 1.0, lambda s: 2.0 * s[None])
    assert recorder.mark == (0.5, np.array([1.0]))
    recorder.advance(1.0, 2.0, lambda s: 2.0 * s[None])
    recorder.advance(2.0, 3.0, lambda s: 2.0 * s[None])
    assert recorder.mark == (1.5, np.array([3.0]))
