"""What a flow tells while it runs, and what Ctrl-C leaves."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_flow
from refimpl.errors import InvalidParameterError, RunInterrupted
from refimpl.flow import FlowStatus, bounds


def instance(scale: float = 1.0):
    rng = np.random.default_rng(0)
    data, network = datasets.gaussian(8, 10, rng), TwoLayerNetwork.with_signs(4, 4, LeakyReLU(0.1))
    return network, type(data)(scale * data.X, data.y), gaussian_weights(8, 10, 1e-2, rng) / scale


@pytest.mark.parametrize("method", ["piecewise", "adaptive"])
def test_every_step_is_told_if_time_allows_and_changes_nothing(method: str, monkeypatch) -> None:
    """Times, events and gaps are those of the path, in the units of the user, here X of size 1024."""
    monkeypatch.setattr(bounds, "TELL_EVERY", 0.0)
    network, data, W0 = instance(1024.0)
    told = []
    result = gradient_flow(network, data, W0, method=method, max_steps=60, progress=told.append)
    silent = gradient_flow(network, data, W0, method=method, max_steps=60)
    np.testing.assert_array_equal(result.trajectory.margins, silent.trajectory.margins)
    assert [state.steps for state in told] == sorted(state.steps for state in told)
    assert {state.steps for state in told} >= set(range(1, 60))
    assert {state.s for state in told} <= {0.0, *result.trajectory.s}
    assert told[-1].s == result.trajectory.s[-1]
    assert told[-1].events == len(result.events)
    logs = dict(zip(result.trajectory.s, result.trajectory.log_loss, strict=True))
    assert all(state.log_loss == pytest.approx(logs[state.s], rel=1e-12) for state in told if state.s > 0.0)
    last = result.trajectory.sample_weights[-1]
    pattern = result.pattern_at(result.trajectory.s[-1])
    Phi = np.where(pattern > 0, 1.0, 0.1)
    if (pattern != 0).all():
        M = data.gram * np.outer(data.y, data.y) * (Phi.T @ (Phi * network.second_layer[:, None] ** 2))
        assert told[-1].growth_gap == pytest.approx(1.0 - (M @ last).min() / (last @ M @ last), abs=1e-6)


def test_calls_are_a_tenth_of_a_second_apart(monkeypatch) -> None:
    clock = iter(np.arange(0.0, 1e6, 0.01))  # every look at the clock takes a hundredth
    monkeypatch.setattr(bounds, "perf_counter", lambda: float(next(clock)))
    told = []
    gradient_flow(*instance(), progress=told.append)
    assert len(told) > 3
    assert np.diff([state.seconds for state in told]).min() >= 0.1


@pytest.mark.parametrize("method", ["piecewise", "adaptive"])
def test_an_interrupt_while_telling_keeps_the_path(method: str, monkeypatch) -> None:
    monkeypatch.setattr(bounds, "TELL_EVERY", 0.0)

    def interrupt(state) -> None:
        if state.steps == 7:
            raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as stopped:
        gradient_flow(*instance(), method=method, progress=interrupt)
    result = stopped.value.result
    assert result.status is FlowStatus.INTERRUPTED
    assert result.diagnostics["steps"] == 7
    assert result.trajectory.s[-1] > 0.0


def test_progress_must_be_a_function() -> None:
    with pytest.raises(InvalidParameterError, match="`progress` must be a function"):
        gradient_flow(*instance(), progress=3)
