"""Measurements of up to thousands of samples with m = 64 neurons, for `benchmark.py --only samples`; some minutes.

Seconds are those of the processor, so that what else the machine does counts little: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log2
from time import process_time
from typing import Any, NamedTuple

import numpy as np

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_descent, gradient_flow
from verification import (
    check_hypotheses,
    closed_form,
    kkt_residuals,
    linear_max_margin,
    max_margin,
    reject_early,
    verify,
)

__all__ = ["LARGEST", "Growth", "growth_by_samples"]

LARGEST = 500
SLOPE, NEURONS = 0.5, 64
EVENTS, STEPS = 400, 100
VERIFIED_UP_TO = 250


class Growth(NamedTuple):
    """Processor seconds of one call on n samples and on half as many, and what was done in them."""

    what: str
    n: int
    seconds: float
    before: float
    note: str

    @property
    def exponent(self) -> float:
        """log₂ of the quotient: 3 for what costs n³."""
        return log2(self.seconds / self.before)


def data_sets(n: int) -> Iterator[tuple[str, Dataset]]:
    """Nearly orthogonal samples at the paper's condition, and samples that share a direction; d = 2n."""
    yield "nearly orthogonal", datasets.nearly_orthogonal(n, 2 * n, 1.25, SLOPE, 0)
    yield "correlation 0.5", datasets.correlated(n, 2 * n, 0, 0.5)


def calls(data: Dataset) -> Iterator[tuple[str, Callable[[], Any], Callable[[Any, float], str]]]:
    """What is called on one data set, and what is told of the answer and the seconds it took."""
    network = TwoLayerNetwork.with_signs(NEURONS // 2, NEURONS // 2, LeakyReLU(SLOPE))
    W0 = gaussian_weights(NEURONS, data.d, 1e-2 / data.R_max, 0)
    linear = linear_max_margin(data)
    W = np.outer(network.second_layer, linear.z)  # separates, and is no KKT point
    yield "Gram matrix", lambda: Dataset(data.X, data.y).gram_factor, lambda *_: ""
    yield "check_hypotheses", lambda: check_hypotheses(network, data), lambda *_: ""
    yield "closed_form", lambda: closed_form(network, data), lambda *_: ""
    yield "max_margin", lambda: max_margin(network, data), lambda found, _: f"error {found.error_estimate:.0e}"
    yield "linear_max_margin", lambda: linear_max_margin(data), lambda found, _: f"error {found.error_estimate:.0e}"
    yield (
        "kkt_residuals",
        lambda: kkt_residuals(network, data, W),
        lambda found, _: f"{found.status.name}, stationarity {found.stationarity:.0e}",
    )
    yield "certify --quick", lambda: reject_early(network, data), lambda found, _: found or "not rejected"
    yield f"descent, {STEPS} steps", lambda: gradient_descent(network, data, W0, 1.0, STEPS), lambda *_: ""
    yield (
        f"flow, {EVENTS} events",
        lambda: gradient_flow(network, data, W0, max_events=EVENTS),
        lambda found, seconds: f"{len(found.events)} events, {1e3 * seconds / len(found.events):.3g} ms each",
    )
    if data.n <= VERIFIED_UP_TO:
        yield (
            "verify, 1 s a flow",
            lambda: verify(network, data, flow_time_limit=1.0),
            lambda report, _: f"{len(report.claims)} claims",
        )


def growth_by_samples(largest: int = LARGEST) -> Iterator[Growth]:
    """Each call on each data set of n = 125, 250, ... samples, beside half as many."""
    sizes = [n for n in (125 * 2**k for k in range(20)) if n <= largest]
    before: dict[tuple[str, str], float] = {}
    warm = datasets.gaussian(4, 100, 0)
    for _, call, _ in calls(warm):
        call()
    for n in sizes:
        for kind, data in data_sets(n):
            for what, call, tell in calls(data):
                began = process_time()
                answer = call()
                seconds = process_time() - began
                if (kind, what) in before:
                    yield Growth(f"{what}, {kind}", n, seconds, before[kind, what], tell(answer, seconds))
                before[kind, what] = seconds
