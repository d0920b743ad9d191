"""What a result looks like in an interactive session: a line or two, with its status and its sizes."""

from __future__ import annotations

import numpy as np

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gradient_descent, gradient_flow
from verification import kkt_residuals, linear_max_margin, max_margin, verify

NETWORK = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
DATA = Dataset([[1.0, 0.125, 0.0, 0.0], [0.0, 1.0, 0.125, 0.0]], [1, -1])
W0 = 0.01 * np.random.default_rng(0).standard_normal((3, 4))


def results():
    flow = gradient_flow(NETWORK, DATA, W0)
    yield flow, ("CONVERGED", "rank 2", "m = 3", "n = 2", "d = 4")
    yield gradient_flow(NETWORK, DATA, W0, max_events=1), ("MAX_EVENTS", "no limit")
    yield flow.limit, ("rank 2", "2 support vectors", "0 units on kinks", "d = 4")
    yield flow.trajectory, (f"{flow.trajectory.s.size} times",)
    descent = gradient_descent(NETWORK, DATA, W0, 0.1, 20)
    yield descent, ("FINISHED", "21 steps", "m = 3")
    yield descent.trajectory, ("21 steps", "2 samples")
    yield kkt_residuals(NETWORK, DATA, flow.limit.weights()), ("MEASURED", "rank 2", "stationarity")
    yield max_margin(NETWORK, DATA), ("SOLVED", "2 support vectors", "n = 2")
    yield linear_max_margin(DATA), ("SOLVED", "‖z*‖")
    yield verify(NETWORK, DATA, descent_steps=20), ("claims in", "n = 2")


def test_a_result_is_a_line_or_two() -> None:
    for result, words in results():
        text = repr(result)
        assert len(text) < 400
        assert text.count("\n") <= 1
        assert "array(" not in text
        for word in words:
            assert word in text
