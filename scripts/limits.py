"""Limits of random flows, most of them below every condition: are they KKT points (docs/theory.md, section 2)?

    OMP_NUM_THREADS=1 python scripts/limits.py --instances 3000       # hours; Ctrl-C prints what has been found
    OMP_NUM_THREADS=1 python scripts/limits.py --first 1000 --instances 100 --time-limit 600

Each instance has 4 to 10 samples in up to 40 dimensions, 2 to 20 neurons, γ = 1/10, and a start of scale 1e-6 to
10. The residual of a limit is the largest of stationarity, complementarity and infeasibility of `kkt_residuals`. The
exit code is 1 if one is above 1e-9, or a flow has no limit.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import islice
from multiprocessing import get_context
from signal import SIG_IGN, SIGINT, signal
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gaussian_weights, gradient_flow
from refimpl.errors import ImplicitBiasError
from refimpl.validation import Array, as_count, as_positive
from verification import kkt_residuals
from verification.bars import progress
from verification.progress import Told

__all__ = ["Found", "any_instance", "residual_of_limit", "summary"]

GATE = 1e-9
INSTANCES, PROCESSES = 3000, 2

TELL_EVERY = 20
"""Instances after which what has been found is said on standard error, in case the rest is cut off."""


class Found(NamedTuple):
    """What the flow of one instance led to: `residual` is None where it has no limit."""

    seed: int
    residual: float | None
    status: str
    events: int
    seconds: float


def any_instance(seed: int) -> tuple[TwoLayerNetwork, Dataset, Array]:
    """n = 4..10, d = n..40, 2 to 20 neurons, starts of every scale: most of these are below every condition."""
    rng = np.random.default_rng([77, seed])
    n = int(rng.integers(4, 11))
    d, m = int(rng.integers(n, 41)), int(rng.choice([2, 4, 6, 10, 20]))
    data = Dataset(rng.standard_normal((n, d)), rng.choice([-1.0, 1.0], n))
    network = TwoLayerNetwork.with_signs(m // 2, m - m // 2, LeakyReLU(0.1))
    return network, data, gaussian_weights(m, d, 10.0 ** rng.uniform(-6, 1), rng)


def residual_of_limit(seed: int) -> Found:
    """The flow of instance `seed`, and the KKT residual of its limit; processor seconds."""
    began = process_time()
    network, data, W0 = any_instance(seed)
    flow = gradient_flow(network, data, W0)
    residual = None
    if flow.limit is not None:
        found = kkt_residuals(network, data, flow.limit.weights())
        residual = max(found.stationarity, found.complementarity, found.feasibility)
    return Found(seed, residual, flow.status.name, len(flow.events), process_time() - began)


def all_found(seeds: range, processes: int, time_limit: float) -> Iterator[Found]:
    """Instance after instance as they end, until the time limit: those that have begun are waited for."""
    started, waiting = perf_counter(), iter(seeds)
    context, ignored = get_context("spawn"), (SIGINT, SIG_IGN)  # Ctrl-C is for this process
    with ProcessPoolExecutor(processes, mp_context=context, initializer=signal, initargs=ignored) as pool:
        running = {pool.submit(residual_of_limit, seed) for seed in islice(waiting, 2 * processes)}
        try:
            while running:
                done = next(as_completed(running))
                running.remove(done)
                yield done.result()
                if perf_counter() - started < time_limit:
                    running |= {pool.submit(residual_of_limit, seed) for seed in islice(waiting, 1)}
        finally:
            pool.shutdown(cancel_futures=True)


def summary(found: list[Found], asked: int) -> str:
    """How many, which is the worst, and what has no limit.

    Examples
    --------
    >>> print(summary([Found(3, 2e-14, "CONVERGED", 40, 1.5), Found(5, 1e-15, "CONVERGED", 10, 0.5)], 2))
    2 of 2 instances, 2 with a limit; 50 events in 2 processor seconds.
    The worst residual is 2e-14, that of instance 3.
    """
    limits = [one for one in found if one.residual is not None]
    lines = [
        f"{len(found)} of {asked} instances, {len(limits)} with a limit; {sum(one.events for one in found)} events in "
        f"{sum(one.seconds for one in found):.3g} processor seconds."
    ]
    if limits:
        worst = max(limits, key=lambda one: one.residual or 0.0)
        lines.append(f"The worst residual is {worst.residual:.2g}, that of instance {worst.seed}.")
    lines += [f"Instance {one.seed} has no limit: {one.status}." for one in found if one.residual is None]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the instances and print what was found, also after Ctrl-C; 1 if a limit is no KKT point, or is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=INSTANCES, metavar="N", help="how many")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="number of the first one")
    parser.add_argument(
        "--processes", type=int, default=PROCESSES, metavar="N", help=f"at a time (default {PROCESSES})"
    )
    parser.add_argument("--time-limit", type=float, default=np.inf, metavar="SECONDS", help="begin none after this")
    args = parser.parse_args(arguments)
    found: list[Found] = []
    try:
        number = as_count("--instances", args.instances)
        first, processes = as_count("--first", args.first, 0), as_count("--processes", args.processes)
        limit = np.inf if args.time_limit == np.inf else as_positive("--time-limit", args.time_limit)
        with progress() as tell:
            for one in all_found(range(first, first + number), processes, limit):
                found.append(one)
                tell(Told("limits", f"{len(found)} of {number}", len(found) / number))
                if len(found) % TELL_EVERY == 0:
                    print(summary(found, number), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print(summary(found, number))
        return 130
    except ImplicitBiasError as error:
        print(f"limits: error: {error}", file=sys.stderr)
        return 2
    print(summary(found, number))
    return int(any(one.residual is None or not one.residual <= GATE for one in found))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that it starts
    sys.exit(main())
