"""What happens where several units of a neuron rest on their kinks (docs/theory.md, section 7)."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, TwoLayerNetwork, gradient_flow
from refimpl.flow import FlowStatus
from refimpl.flow.independence import all_independent, independent_samples, sample_coordinates, samples_in_span
from refimpl.flow.kinks import resolve_kinks, resolve_one_kink
from refimpl.losses import sample_weights


def flow_of(X, y, a, slope, W0, loss=None, **options):
    network = TwoLayerNetwork(np.array(a, float), LeakyReLU(slope))
    return gradient_flow(network, Dataset(np.array(X, float), np.array(y, float)), np.array(W0, float), loss, **options)


def euler(X, y, a, slope, W0, loss, s_end: float, steps: int) -> np.ndarray:
    """Margins after explicit Euler steps in R^d: it crosses kinks and chatters about them, and decides nothing."""
    W, h = np.array(W0, float), s_end / steps
    for step in range(steps + 1):
        Z = W @ X.T
        Phi = np.where(Z >= 0.0, 1.0, slope)
        q = y * (a @ (Phi * Z))
        if step < steps:
            W += h * (a[:, None] * Phi * (y * sample_weights(loss, q))) @ X
    return q


# --- the local problem ---------------------------------------------------------------------------


def psi(v, X, drive, slope, at_kink, sides):
    """ψ of docs/theory.md, section 7, in R^d."""
    z = X @ v
    phi = np.where(z > 0.0, z, slope * z)
    fixed = np.where(sides > 0, z, slope * z)
    return 0.5 * v @ v - float(np.sum(drive * np.where(at_kink, phi, fixed)))


@pytest.mark.parametrize("seed", range(60))
def test_the_velocity_is_a_local_minimum(seed: int) -> None:
    """Held against the function itself at points near by, with dependent samples and drives of both signs."""
    rng = np.random.default_rng([31, seed])
    n, d, slope = int(rng.integers(2, 7)), int(rng.integers(1, 4)), float(rng.choice([0.0, 0.1, 0.5]))
    X = rng.integers(-2, 3, (n, d)).astype(float)
    X[~X.any(axis=1)] = 1.0
    K = X @ X.T
    L = sample_coordinates(K)
    at_kink = samples_in_span(L, rng.random(n) < 0.6)
    drive = rng.choice([-1.0, 1.0], n) * rng.random(n)
    sides = rng.choice([-1, 1], n).astype(np.int8)
    found = resolve_kinks(sides, at_kink, drive, slope, K, L)
    v = np.linalg.lstsq(X, found.speeds, rcond=None)[0]
    lowest = psi(v, X, drive, slope, at_kink, sides)
    for size in (1e-6, 1e-4, 1e-3):
        for u in rng.standard_normal((200, d)):
            assert psi(v + size * u, X, drive, slope, at_kink, sides) >= lowest - 1e-13
    moves = np.abs(found.speeds) > 1e-8
    np.testing.assert_array_equal(found.sides[at_kink & moves], np.sign(found.speeds)[at_kink & moves])
    np.testing.assert_array_equal(found.sides[~at_kink], sides[~at_kink])


def test_a_repelling_kink_has_two_futures_and_a_crossing_one() -> None:
    alone = (np.array([1], np.int8), np.array([True]), np.array([1.0]), 0.5)
    start = resolve_kinks(*alone, np.eye(1), np.eye(1), look_for_others=True)
    assert (start.sides.tolist(), start.unique) == ([1], True)  # nothing pulls to the negative side: ψ has one minimum
    K = np.array([[1.0, -1.0], [-1.0, 4.0]])  # the other sample pushes z_0 down at half the speed
    sides, at_kink, drive = np.array([1, 1], np.int8), np.array([True, False]), np.array([1.0, 0.75])
    fork = resolve_kinks(sides, at_kink, drive, 0.5, K, sample_coordinates(K), look_for_others=True)
    assert (fork.sides.tolist(), fork.unique) == ([1, 1], False)
    sides[0] = -1
    other = resolve_kinks(sides, at_kink, drive, 0.5, K, sample_coordinates(K), look_for_others=True)
    assert (other.sides.tolist(), other.unique) == ([-1, 1], False)


def test_span_of_samples() -> None:
    X = np.array([[1.0, 0.0, 0.0], [0.0, 1e-6, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    L = sample_coordinates(X @ X.T)
    assert samples_in_span(L, np.array([True, True, False, False])).tolist() == [True, True, True, False]
    assert samples_in_span(L, np.array([False, True, False, False])).tolist() == [False, True, False, False]
    assert independent_samples(L, np.array([2, 0, 1, 3])).tolist() == [2, 0, 3]


# --- flows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize(("s", "margins"), [(0.84, (0.0190, 0.1900, 0.9465)), (4.0, (0.0722, 0.7215, 1.0359))])
def test_opposite_samples_cross_together(order, s: float, margins) -> None:
    """The values come from a network whose kink is smoothed."""
    order = list(order)
    X, y = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 1.0]])[order], np.array([1.0, -1.0, -1.0])[order]
    path = flow_of(X, y, [-1.0], 0.1, [[0.05, 1.0]], ExponentialLoss(), max_time=s).trajectory
    np.testing.assert_allclose(path.margins[-1], np.array(margins)[order], atol=2e-4)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_relu_passes_through_zero(order) -> None:
    X, y = np.array([[-1.0], [1.0]])[order], np.array([1.0, -1.0])[order]
    result = flow_of(X, y, [1.0, -1.0, -1.0], 0.0, [[-1.0], [1.0], [-0.1]])
    assert result.status is FlowStatus.CONVERGED
    np.testing.assert_allclose(result.limit.weights().ravel(), [-1.0, 0.5, 0.5], atol=1e-12)


def dependent_instance(seed: int):
    """Samples that are multiples or sums of others, in up to three dimensions."""
    rng = np.random.default_rng([5, seed])
    n, d, m = (int(rng.integers(low, high)) for low, high in ((2, 6), (1, 4), (1, 4)))
    X = rng.standard_normal((n, d))
    for k in range(1, n):
        kind = rng.random()
        if kind < 0.5:
            X[k] = X[rng.integers(k)] * rng.choice([-1.0, -1.0, 1.0, 0.5, -2.0, -0.3])
        elif kind < 0.7:
            X[k] = X[:k].T @ rng.integers(-1, 2, k)
        if np.abs(X[k]).max() < 1e-6:
            X[k] = rng.standard_normal(d)
    y, a = rng.choice([-1.0, 1.0], n), rng.choice([-1.0, 1.0, 0.5, -2.0], m)
    W0 = rng.standard_normal((m, d)) * rng.choice([0.03, 0.3, 1.0])
    return X, y, a, float(rng.choice([0.0, 0.1, 0.5, 0.9])), W0, [LogisticLoss(), ExponentialLoss()][seed % 2]


def consistent(X, y) -> bool:
    return not any(np.array_equal(X[i], X[k]) and y[i] != y[k] for i in range(len(y)) for k in range(i))


DEPENDENT = [seed for seed in range(60) if consistent(*dependent_instance(seed)[:2])]


@pytest.mark.parametrize("seed", DEPENDENT)
def test_dependent_samples_against_euler(seed: int) -> None:
    X, y, a, slope, W0, loss = dependent_instance(seed)
    s_end = 6.0 / float(np.sum(a**2) * np.sum(X**2, axis=1).max())
    result = flow_of(X, y, a, slope, W0, loss, max_time=s_end, max_events=1000)
    assert result.status is not FlowStatus.MAX_EVENTS
    path, steps = result.trajectory, 3000
    coarse, fine = (euler(X, y, a, slope, W0, loss, float(path.s[-1]), k * steps) for k in (1, 2))
    error = 5.0 * np.abs(fine - coarse).max() + 2e-3 * np.abs(fine).max() + 1e-4
    assert np.abs(path.margins[-1] - fine).max() < error


@pytest.mark.parametrize("seed", DEPENDENT[:12])
def test_the_order_changes_nothing(seed: int) -> None:
    X, y, a, slope, W0, loss = dependent_instance(seed)
    rng = np.random.default_rng(seed)
    first = flow_of(X, y, a, slope, W0, loss, max_time=20.0, max_events=1000)
    samples, neurons = rng.permutation(y.size), rng.permutation(a.size)
    second = flow_of(X[samples], y[samples], a[neurons], slope, W0[neurons], loss, max_time=20.0, max_events=1000)
    assert second.status is first.status
    np.testing.assert_array_equal(second.trajectory.margins, first.trajectory.margins[:, samples])
    rows = [(*X[i], y[i]) for i in range(y.size)]  # equal samples are one and the same
    moved = [(event.s, int(neurons[event.neuron]), rows[samples[event.sample]], event.side) for event in second.events]
    assert moved == [(event.s, event.neuron, rows[event.sample], event.side) for event in first.events]


XOR = np.array([[1.0, 1.0, 1.0], [-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])


@pytest.mark.parametrize("norm", [1.0, 1e6])
def test_a_sample_near_the_span_of_others_is_at_its_own_kink_only(norm: float) -> None:
    """Two samples opposite but for 3e-7. With ‖w‖ = 1e6 the second one's z is 0.3 where the first one's is 0."""
    X, y, a, W0 = np.array([[1.0, 0.0], [-1.0, 3e-7]]), np.array([1.0, -1.0]), np.ones(1), [[-0.3, norm]]
    result = flow_of(X, y, a, 0.3, W0, "exponential", max_time=0.6)
    expected = euler(X, y, a, 0.3, W0, ExponentialLoss(), 0.6, 6_000)
    np.testing.assert_allclose(result.trajectory.margins[-1], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("X", "y", "a", "slope", "W0", "fork"),
    [
        ([[1.0]], [1], [1.0], 0.0, [[0.0]], True),  # ReLU from 0: w = 0 for ever has φ' = 0, which Clarke allows
        ([[1.0]], [1], [1.0], 0.3, [[0.0]], False),  # no slope in [0.3, 1] is 0
        ([[1.0]], [-1], [1.0], 0.0, [[0.0]], False),  # attracts: it rests, and has no other choice
        ([[1.0], [-1.0]], [1, 1], [1.0], 0.0, [[0.0]], True),  # XOR on the line: left, right, or not at all
        ([[1.0, 0.0], [0.0, 1.0]], [1, 1], [1.0], 0.0, [[0.0, 0.0]], True),
        ([[1.0, 0.0], [-0.5, 1.0]], [1, 1], [1.0], 0.1, [[0.0, 1.0]], True),  # repels: left or right
    ],
)
def test_a_row_that_could_also_rest_has_several_futures(X, y, a, slope: float, W0, fork: bool) -> None:
    result = flow_of(X, y, a, slope, W0, max_time=1.0)
    assert bool(result.diagnostics["forks"]) is fork
    assert ("more than one future" in result.message) is fork


def test_symmetric_data_take_one_future_and_say_that_there_are_more() -> None:
    y, W0 = np.array([1.0, 1.0, -1.0, -1.0]), [[0.0, 0.0, -3.75], [0.0, 0.0, -0.25]]
    ends = []
    for order in map(list, permutations(range(4))):
        result = flow_of(XOR[order], y[order], [-1.0, -1.0], 0.3, W0, max_time=20.0)
        ends.append(result.trajectory.margins[-1][np.argsort(order)])
        assert [fork["neuron"] for fork in result.diagnostics["forks"]] == [1]
        assert "more than one future" in result.message
    np.testing.assert_array_equal(ends, [ends[0]] * len(ends))


def test_xor_in_the_plane_ends() -> None:
    """The samples of one label end with margins that do not grow; a unit rests at the very end of its range."""
    X, y = XOR[:, :2], [1.0, 1.0, -1.0, -1.0]
    W0 = np.random.default_rng(1).standard_normal((3, 2))
    result = flow_of(X, y, [1.0, 1.0, -1.0], 0.9, W0, max_time=3000.0)
    assert result.status is FlowStatus.MAX_TIME
    assert result.diagnostics["resolutions"] == 2
    assert {event.kind for event in result.events} == {"began to slide"}


def test_every_resolution_counts() -> None:
    """A limit on events bounds the work also where an event changes nothing."""
    X, y, a, slope, W0, loss = dependent_instance(DEPENDENT[0])
    result = flow_of(X, y, a, slope, W0, loss, max_events=1)
    assert result.diagnostics["resolutions"] <= 1


def test_one_unit_at_its_kink_goes_where_the_local_problem_says() -> None:
    """Against `resolve_kinks`, the least-squares problem: crossing, sliding, turning, drives of all sizes."""
    answers = []
    for seed in range(400):
        rng = np.random.default_rng([5, seed])
        n, slope = int(rng.integers(1, 6)), float(rng.choice([0.0, 1e-12, 0.1, 0.9, 1.0]))
        X = rng.standard_normal((n, n + 1))
        K, i = X @ X.T, int(rng.integers(n))
        sides = rng.choice(np.array([-1, 1], np.int8), n)
        drive = rng.standard_normal(n) * 10.0 ** (rng.choice([0.0, -8.0, -120.0]) * rng.random(n))
        started = np.where(np.arange(n) == i, -sides, sides).astype(np.int8)
        expected = resolve_kinks(started, np.arange(n) == i, drive, slope, K, sample_coordinates(K)).sides
        found = resolve_one_kink(i, sides, drive, slope, K[i])
        assert found in (None, expected[i])
        answers.append(
            "open" if found is None else "slides" if found == 0 else "turns" if found == sides[i] else "crosses"
        )
    assert min(answers.count(answer) for answer in ("slides", "turns", "crosses")) > 20
    assert answers.count("open") < 60  # no other sample, or slope 0, and nothing moves on one side


@pytest.mark.parametrize("seed", range(60))
def test_samples_are_independent_if_none_lies_in_the_span_of_those_before(seed: int) -> None:
    rng = np.random.default_rng([91, seed])
    n, d = int(rng.integers(2, 7)), int(rng.integers(1, 8))
    X = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-3, 3, (n, 1))
    X[-1] = rng.standard_normal(n - 1) @ X[:-1] + 10.0 ** rng.uniform(-12, 0) * rng.standard_normal(d)
    factor = sample_coordinates(X @ X.T)
    assert all_independent(factor) == (independent_samples(factor, np.arange(n)).size == n)
