"""Flows to their limits for `benchmark.py`, against general ODE solvers and an earlier version of this project."""

from __future__ import annotations

from time import process_time

import benchmark_peers as peers
import numpy as np
from benchmark_rows import Accuracy, Row, Rows, Skipped, from_peer

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_flow
from refimpl.errors import ImplicitBiasError
from refimpl.flow import FlowResult
from refimpl.validation import Array
from verification import closed_form, kkt_residuals

__all__ = ["flow", "large_flow"]


def unit_instance(m: int, slope: float) -> tuple[TwoLayerNetwork, Dataset, Array]:
    """n = 20, d = 20,000: Gaussian rows with norms from 0.5 to 1.5, alternating labels, W0 of scale 1e-4."""
    rng = np.random.default_rng(0)
    data = datasets.gaussian(20, 20_000, rng, norm_ratio=3.0)
    network = TwoLayerNetwork.with_signs(m // 2, m // 2, LeakyReLU(slope))
    return network, data, gaussian_weights(m, 20_000, 1e-4, rng)


def timed_flow(network: TwoLayerNetwork, data: Dataset, W0: Array) -> tuple[FlowResult, Array, float]:
    """The flow, its limit and processor seconds, Gram matrix included: the data set is made anew and keeps nothing."""
    began = process_time()
    result = gradient_flow(network, Dataset(data.X, data.y), W0)
    seconds = process_time() - began
    if result.limit is None:
        raise ImplicitBiasError(f"The flow has no limit: {result.status.name}.")
    return result, result.limit.weights(), seconds


def distance_from_closed_form(network: TwoLayerNetwork, data: Dataset, W: Array) -> float:
    """‖W/‖W‖ - V/‖V‖‖, V the closed form."""
    V = closed_form(network, data).weights()
    return float(np.linalg.norm(W / np.linalg.norm(W) - V / np.linalg.norm(V)))


def story(result: FlowResult) -> str:
    """Events, sliding and rank of a flow that has a limit."""
    sliding = sum(event.kind == "began to slide" for event in result.events)
    rank = result.limit.rank if result.limit else "-"
    return f"{len(result.events)} events, {sliding} of them sliding; rank {rank}"


def flow() -> Rows:
    """The flow to its limit against general ODE solvers, and two larger flows with a profile by phase."""
    network, data, W0 = unit_instance(16, 0.5)
    result, limit, seconds = min((timed_flow(network, data, W0) for _ in range(3)), key=lambda found: found[2])
    what = "flow to its limit, n=20 d=20000 m=16 slope 0.5"
    accuracy = Accuracy("closed form", distance_from_closed_form(network, data, limit), 1e-10)
    reference = None
    for name, peer, gate, aim in (
        ("torchdiffeq dopri5 to t=1e7", peers.torchdiffeq_flow, 1 / 25, 1 / 50),
        ("diffrax Tsit5 to t=1e7", peers.diffrax_flow, None, None),
    ):
        try:
            W, peer_seconds = from_peer(peer, W0, network.second_layer, 0.5, data.X, data.y)
        except Skipped as skipped:
            yield skipped
            continue
        reference = reference or (name, peer_seconds)
        note = f"{story(result)}; the peer is off by {distance_from_closed_form(network, data, W):.0e}"
        yield Row("flow", what, seconds, name, peer_seconds, gate, aim, accuracy, note)
    if reference is None:
        yield Row("flow", what, seconds, "limit in s", 1.0, 1.0, None, accuracy, story(result))
    yield wide_flow(reference)


def wide_flow(reference: tuple[str, float] | None) -> Row:
    """m = 256 and slope 0.1, against the ODE solver's time at m = 16."""
    network, data, W0 = unit_instance(256, 0.1)
    result, limit, seconds = timed_flow(network, data, W0)
    accuracy = Accuracy("closed form", distance_from_closed_form(network, data, limit), 1e-10)
    name, peer_seconds, gate, aim = "limit in s", 15.0, 1.0, None
    if reference is not None:
        name, peer_seconds, gate, aim = f"{reference[0].split()[0]} at m=16, slope 0.5", reference[1], 0.3, 0.15
    what, profile = "flow to its limit, n=20 d=20000 m=256 slope 0.1", result.diagnostics["seconds_by_phase"]
    return Row("flow", what, seconds, name, peer_seconds, gate, aim, accuracy, story(result), profile)


def large_flow(before: str | None = None) -> Rows:
    """n = 100, d = 10,000, m = 512, slope 0.1: where sliding units and limits of high rank are.

    It is timed beside the flow of another checkout of this project, `before`, or of the version `peers.EARLIER`.
    """
    rng = np.random.default_rng(0)
    data = datasets.gaussian(100, 10_000, rng)
    network = TwoLayerNetwork.with_signs(256, 256, LeakyReLU(0.1))
    W0 = gaussian_weights(512, 10_000, 1e-4, rng)
    result, limit, seconds = timed_flow(network, data, W0)
    found = kkt_residuals(network, data, limit)
    worst = max(found.stationarity, found.complementarity, found.feasibility)
    accuracy, profile = Accuracy("KKT", worst, 1e-8), result.diagnostics["seconds_by_phase"]
    what = "flow to its limit, n=100 d=10000 m=512 slope 0.1"
    try:
        events, peer_seconds = from_peer(peers.earlier_flow, W0, network.second_layer, 0.1, data.X, data.y, before)
    except Skipped as skipped:
        yield skipped
        yield Row("large-flow", what, seconds, "limit in s", 240.0, 1.0, None, accuracy, story(result), profile)
        return
    note, against = f"{story(result)}; {events} events before", before or f"version {peers.EARLIER}"
    yield Row("large-flow", what, seconds, against, peer_seconds, 1 / 3, 1 / 5, accuracy, note, profile)
