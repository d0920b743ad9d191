"""verification/bars.py and progress.py: what is shown of long work, and the time that is left."""

from __future__ import annotations

import io
import os
import pty
import select

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_flow
from refimpl.flow import bounds
from verification import bars, check_hypotheses, verify
from verification.bars import BAR, Bars, progress, tell_passes
from verification.printing import PlainConsole
from verification.progress import FlowTold, Steps, StepsTold, Told


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(bars: Bars, width: int = 80, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    PlainConsole(file=stream, width=width, color_system=None).print(bars.shown())
    stream.flush()
    return stream.buffer.getvalue().decode(encoding).splitlines()


def left(line: str) -> str:
    return line[8 + BAR + 1 :].rstrip()


def test_the_time_left_is_that_of_the_work_so_far() -> None:
    clock = Clock()
    bars = Bars(clock)
    clock.now = 5.0
    bars.tell(Told("cells", "40 of 100", 0.4))  # these lay in the store
    assert left(lines(bars)[0]) == ""
    clock.now = 25.0
    bars.tell(Told("cells", "60 of 100", 0.6))  # 20 in 20 s
    assert left(lines(bars)[0]) == "about 0:00:40 left"
    clock.now = 35.0  # nothing was told since: the time goes on
    assert left(lines(bars)[0]) == "about 0:00:30 left"
    assert lines(bars)[0].startswith("0:00:35 ")
    clock.now = 100.0
    assert left(lines(bars)[0]) == "about 0:00:00 left"
    bars.tell(Told("other work", "", 0.5))
    assert left(lines(bars)[0]) == ""


def test_no_time_left_where_the_end_is_not_known() -> None:
    clock = Clock()
    bars = Bars(clock)
    bars.tell("max margin by CVXPY")
    clock.now = 50.0
    assert [line.rstrip() for line in lines(bars)][1:] == ["max margin by CVXPY"]
    assert "left" not in lines(bars)[0]
    bars.tell(Told("gradient flow", "9 events", at_most=70.0))
    clock.now = 60.0
    assert left(lines(bars)[0]) == "at most 0:01:00 left"


@pytest.mark.parametrize("width", [200, 80, 72])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_pieces_of_work_have_a_bar_of_their_own_and_nothing_is_wider_than_the_terminal(width, encoding) -> None:
    clock = Clock()
    bars = Bars(clock)
    bars.tell(Told("gradient flow 1 of 3 (initialization scale 0.0001)", "s = 12.5, σ " + 80 * "x", 0.0, (3, 12), 99.0))
    clock.now = 20.0
    bars.tell(Told("gradient flow 1 of 3 (initialization scale 0.0001)", "s = 12.5, σ " + 80 * "x", 0.5, (3, 12), 79.0))
    first, second, text = lines(bars, width, encoding)
    assert left(first) == "3 of 12 steps, at most 0:01:19 left"
    assert left(second) == "about 0:00:20 left"
    assert text.startswith("gradient flow 1 of 3")
    assert max(map(len, (first, second, text))) <= width


def test_a_bar_is_as_full_as_the_work_is_done() -> None:
    bars = Bars(Clock())
    for part, full in ((0.0, 0), (0.5, BAR // 2), (1.0, BAR)):
        bars.tell(Told("work", "", part))
        assert lines(bars)[0].count("━") == full


def instance(correlation: float):
    data = datasets.correlated(6, 4000, 0, correlation)
    return TwoLayerNetwork.with_signs(6, 6, LeakyReLU(0.5)), data, gaussian_weights(12, 4000, 1e-3, 0)


def test_what_is_left_of_a_flow_is_estimated_where_a_condition_holds_only(monkeypatch) -> None:
    monkeypatch.setattr(bounds, "TELL_EVERY", 0.0)
    for correlation, condition in ((0.0, True), (0.9, False)):
        network, data, W0 = instance(correlation)
        assert check_hypotheses(network, data).refined.satisfied is condition
        told: list[Told] = []
        states = []
        tell = FlowTold(told.append, "gradient flow", condition)
        flow = gradient_flow(network, data, W0, progress=lambda state: (states.append(state), tell(state)))  # noqa: B023
        assert len(told) > 10
        if not condition:
            assert {sentence.part for sentence in told} == {None}
            continue
        parts = [sentence.part for sentence in told]
        assert parts == sorted(parts)
        assert (parts[0], parts[-1]) == (0.0, 0.99)
        sides = network.second_layer[:, None] * data.y
        assert states[0].opposed == (flow.initial_pattern * sides < 0).sum()
        assert all(state.opposed == states[0].opposed - state.events for state in states)


def test_steps_are_counted() -> None:
    told: list[Told] = []
    tell = StepsTold(told.append, "descent", 40)
    tell(10)
    assert (told[0], told[0].part) == ("descent: step 10 of 40", 0.25)


def test_runs_count_only_where_they_were_counted() -> None:
    counted, others = Steps(1, 2), Steps(1)
    for steps in (counted, others):
        for _ in range(2):
            steps.finish_run()
        assert steps.told == ((2, 3) if steps is counted else (0, 1))
        for _ in range(2):
            steps.finish()
        assert steps.told == ((3, 3) if steps is counted else (1, 1))
    assert Steps().told is None


def test_verify_tells_its_steps_and_the_most_time() -> None:
    network, data = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5)), Dataset(np.eye(3), [1, -1, 1])
    told: list[Told] = []
    only = ["flow-zero-loss", "descent-norms-grow"]
    verify(network, data, time_limit=500.0, descent_steps=20, progress=told.append, only=only)
    assert all(0.0 < sentence.at_most <= 500.0 for sentence in told)
    assert {sentence.steps for sentence in told if sentence.what.startswith("gradient flow")} == {(0, 2)}
    assert {sentence.steps for sentence in told if sentence.what.startswith("gradient descent")} == {(1, 2)}
    assert {sentence.what for sentence in told} >= {"gradient flow 2 of 3 (initialization scale 0.01)"}
    assert any(sentence.part for sentence in told if sentence.what.startswith("gradient descent"))


def test_a_terminal_shows_bars_and_what_lasts(monkeypatch) -> None:
    """Each sentence is in a refresh before the next one; passes over tiles are told of in the same place."""
    terminal, end = pty.openpty()
    try:
        with os.fdopen(end, "w") as stream:
            monkeypatch.setattr("sys.stderr", stream)
            monkeypatch.setenv("TERM", "xterm")
            monkeypatch.setenv("COLUMNS", "80")
            with progress() as tell:
                tell(Told("descent", "step 3 of 4", 0.75))
                assert "step 3 of 4" in until(terminal, "step 3 of 4")
                tell("flow-zero-loss: HOLDS", lasting=True)
                tell_passes(2, 5)
                seen = until(terminal, "tiles of columns: 2 of 5")
                assert "flow-zero-loss: HOLDS" in seen
            tell_passes(3, 5)  # nobody is there
            assert bars._PASSES == []
    finally:
        os.close(terminal)


def until(terminal: int, word: str) -> str:
    """What the terminal gets until the word comes, for a minute at most."""
    seen = ""
    while word not in seen and select.select([terminal], [], [], 60.0)[0]:
        seen += os.read(terminal, 4096).decode()
    return seen


def test_nothing_is_shown_elsewhere(capsys) -> None:
    with progress() as tell:
        tell(Told("work", "", 0.5))
        tell("a line", lasting=True)
    assert capsys.readouterr().err == ""
