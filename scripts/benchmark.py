"""Timings as ratios against a peer or a limit of the same run; a peer that is not installed is skipped and said.

    python scripts/benchmark.py
    python scripts/benchmark.py --only gradient --json timings.json
    python scripts/benchmark.py --only tiles          # 4 GB of disk, some minutes
    OMP_NUM_THREADS=1 python scripts/benchmark.py --only samples --largest 2000

The peers (`benchmark_peers.py`) come with the extra `bench`. Short calls are timed as the smallest wall time of
several, long ones once. docs/numerics.md explains the methods and shows the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

import benchmark_peers as peers
import benchmark_samples as many
import benchmark_tiles as large
import numpy as np
from rich.console import Console
from rich.table import Table

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_descent, gradient_flow
from refimpl.documents import json_text
from refimpl.errors import ImplicitBiasError
from refimpl.files import check_output_path, open_output
from refimpl.flow import FlowResult
from refimpl.validation import Array
from verification import Recorder, certify, closed_form, kkt_residuals, max_margin, reject_early
from verification.bars import progress
from verification.progress import Told
from verification.versions import environment

LIBRARIES = ("torch", "torchdiffeq", "jax", "diffrax", "clarabel")


@dataclass(frozen=True)
class Accuracy:
    """What was compared, by how much it is off, and by how much it may be."""

    what: str
    value: float
    gate: float

    def __str__(self) -> str:
        return f"{self.what} {self.value:.0e} ({'met' if self.value <= self.gate else 'NOT MET'}: {self.gate:.0e})"


@dataclass(frozen=True)
class Row:
    """One measurement: `ours` against `peer`, or against a limit, both in seconds."""

    name: str
    what: str
    ours: float
    against: str
    peer: float
    gate: float | None
    aim: float | None = None
    accuracy: Accuracy | None = None
    note: str = ""
    profile: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """ours / peer."""
        return self.ours / self.peer


class Skipped(Exception):  # noqa: N818  (not an error: it is said and the run goes on)
    """A peer that is not installed."""


def fastest(work: Callable[[], Any], repetitions: int = 5) -> float:
    """Smallest wall time of several calls, after one that is not counted."""
    work()
    return min(once(work)[1] for _ in range(repetitions))


def once(work: Callable[[], Any]) -> tuple[Any, float]:
    """The answer of one call and its wall time."""
    started = perf_counter()
    answer = work()
    return answer, perf_counter() - started


def from_peer(work: Callable[..., Any], *arguments: Any) -> Any:
    """What the peer answers, or Skipped."""
    try:
        return work(*arguments)
    except ImportError as error:
        raise Skipped(f"{work.__name__}: {error} (it comes with the extra `bench`)") from error
    except LookupError as error:
        raise Skipped(f"{work.__name__}: {error}") from error


Rows = Iterator[Row | Skipped]


def recorder() -> Rows:
    """What `Recorder.record` at every tenth step costs of a float32 step of PyTorch's SGD: median of pairs."""
    rng, pairs = np.random.default_rng(0), 15
    data = datasets.gaussian(100, 10_000, rng)
    network = TwoLayerNetwork.with_signs(256, 256, LeakyReLU(0.1))
    try:
        step, W = from_peer(peers.torch_sgd, gaussian_weights(512, 10_000, 0.01, rng), network.second_layer, 0.1, data)
    except Skipped as skipped:
        yield skipped
        return
    found = Recorder(network, data)
    found.record(0, W)  # reserves its memory
    step()
    times = np.array([(once(partial(found.record, k, W))[1] / 10.0, once(step)[1]) for k in range(1, pairs + 1)])
    share = float(np.median(times[:, 0] / times[:, 1]))
    seconds = float(np.median(times[:, 1]))
    what = "a tenth of Recorder.record, n=100 d=10000 m=512"
    yield Row("recorder", what, share * seconds, "a step of PyTorch's SGD, float32", seconds, 0.02)


def gradient() -> Rows:
    """Loss and gradient at n = 100, d = 10,000, m = 512 against the two matrix products in it, PyTorch and JAX."""
    rng, slope, repetitions = np.random.default_rng(0), 0.1, 15
    data = datasets.gaussian(100, 10_000, rng)
    network = TwoLayerNetwork.with_signs(256, 256, LeakyReLU(slope))
    W, G = gaussian_weights(512, 10_000, 0.01, rng), rng.standard_normal((512, 100))
    ours = fastest(lambda: network.loss_and_gradient(W, data), repetitions)
    expected = network.loss_and_gradient(W, data)[1]
    what = "loss and gradient, n=100 d=10000 m=512"
    products = fastest(lambda: (W @ data.X.T, G @ data.X), repetitions)
    yield Row("gradient", what, ours, "its two matrix products", products, 1.4)
    for name, peer in (("PyTorch autograd", peers.torch_loss_and_gradient), ("JAX", peers.jax_loss_and_gradient)):
        try:
            work = from_peer(peer, W, network.second_layer, slope, data.X, data.y)
        except Skipped as skipped:
            yield skipped
            continue
        difference = float(np.linalg.norm(work() - expected) / np.linalg.norm(expected))
        accuracy = Accuracy("gradients differ by", difference, 1e-12)
        yield Row("gradient", what, ours, name, fastest(work, repetitions), None, accuracy=accuracy)


def unit_instance(m: int, slope: float) -> tuple[TwoLayerNetwork, Dataset, Array]:
    """n = 20, d = 20,000: Gaussian rows with norms from 0.5 to 1.5, alternating labels, W0 of scale 1e-4."""
    rng = np.random.default_rng(0)
    data = datasets.gaussian(20, 20_000, rng, norm_ratio=3.0)
    network = TwoLayerNetwork.with_signs(m // 2, m // 2, LeakyReLU(slope))
    return network, data, gaussian_weights(m, 20_000, 1e-4, rng)


def timed_flow(network: TwoLayerNetwork, data: Dataset, W0: Array) -> tuple[FlowResult, Array, float]:
    """The flow, its limit and the seconds, Gram matrix included: the data set is made anew, so that nothing is kept."""
    result, seconds = once(lambda: gradient_flow(network, Dataset(data.X, data.y), W0))
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


def large_flow() -> Rows:
    """n = 100, d = 10,000, m = 512, slope 0.1: where sliding units and limits of high rank are."""
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
        events, before = from_peer(peers.earlier_flow, W0, network.second_layer, 0.1, data.X, data.y)
    except Skipped as skipped:
        yield skipped
        yield Row("large-flow", what, seconds, "limit in s", 240.0, 1.0, None, accuracy, story(result), profile)
        return
    note, against = f"{story(result)}; {events} events before", f"version {peers.EARLIER}"
    yield Row("large-flow", what, seconds, against, before, 1 / 3, 1 / 5, accuracy, note, profile)


def descent() -> Rows:
    """300 steps with the stable rank every 10, against PyTorch with svdvals(W)."""
    rng, step_size, steps, every = np.random.default_rng(0), 10.0, 300, 10
    data = datasets.gaussian(100, 10_000, rng)
    network = TwoLayerNetwork.with_signs(256, 256, LeakyReLU(0.1))
    W0 = gaussian_weights(512, 10_000, 1e-3, rng)

    def ours() -> Array:
        fresh = Dataset(data.X, data.y)
        return gradient_descent(network, fresh, W0, step_size, steps, record_every=every).trajectory.stable_rank[1:]

    ranks, seconds = min((once(ours) for _ in range(3)), key=lambda found: found[1])
    what = "300 steps of descent, stable rank every 10"
    try:
        arguments = (W0, network.second_layer, 0.1, data.X, data.y, step_size, steps, every)
        expected, peer_seconds = from_peer(peers.torch_descent, *arguments)
    except Skipped as skipped:
        yield skipped
        return
    accuracy = Accuracy("stable ranks differ by", float(np.max(np.abs(ranks / np.array(expected) - 1.0))), 1e-10)
    yield Row("descent", what, seconds, "PyTorch, svdvals(W)", peer_seconds, 1 / 50, accuracy=accuracy)


def margin() -> Rows:
    """Max margin at n = 200: CVXPY in the span against a direct call of Clarabel."""
    import clarabel
    from scipy import sparse

    from verification.witnesses.convex_program import max_margin_matrix
    from verification.witnesses.least_norm import TOLERANCE_LADDER

    rng = np.random.default_rng(0)
    data = datasets.gaussian(200, 20_000, rng)
    network = TwoLayerNetwork.with_signs(8, 8, LeakyReLU(0.1))
    data.gram  # noqa: B018  (formed once, outside both timings)
    G = max_margin_matrix(network, data)

    def direct() -> None:
        options = clarabel.DefaultSettings()
        options.verbose = False
        options.tol_gap_abs = options.tol_gap_rel = options.tol_feas = TOLERANCE_LADDER[0]
        cones = [clarabel.NonnegativeConeT(len(G))]
        P = sparse.identity(G.shape[1], format="csc")
        solver = clarabel.DefaultSolver(
            P, np.zeros(G.shape[1]), sparse.csc_matrix(-G), -np.ones(len(G)), cones, options
        )
        solver.solve()

    ours, peer = fastest(lambda: max_margin(network, data), 3), fastest(direct, 3)
    accuracy = Accuracy("relative gap", max_margin(network, data).duality_gap, 1e-9)
    yield Row("margin", "max margin, n=200", ours, "Clarabel alone", peer, 3.0, accuracy=accuracy)


def certificates() -> Rows:
    """Exact certificates and early rejections, against the limits of patience."""
    for n, limit in ((40, 2.0), (200, 30.0)):
        data = datasets.gaussian(n, 10_000, np.random.default_rng(0))
        network = TwoLayerNetwork.with_signs(8, 8, LeakyReLU(0.1))
        found, seconds = once(partial(certify, network, data))
        yield Row("certificates", f"certify, n={n} d=10000", seconds, "limit in s", limit, 1.0, note=found.verdict)
        reason, quick = once(partial(reject_early, network, data))
        word = "rejected" if reason else "left open"
        yield Row(
            "certificates", f"ball arithmetic, n={n} d=10000", quick, "the exact certificate", seconds, 1.0, note=word
        )


def tiles() -> Rows:
    """Samples larger than memory: the Gram pass, what d costs after it, sparse documents, the memory of `verify`."""
    with tempfile.TemporaryDirectory() as folder:
        files = large.written(Path(folder), 200, 2_000_000)
        ours, read, product = large.pass_and_parts(files[0])
        yield Row("tiles", "Gram pass, n=200 d=2e6, 3.2 GB", ours, "matrix product plus read", read + product, 1.5)
        seconds, code, peak = large.peak_of_verify(*files)
        note = f"exit code {code}, peak resident memory {peak / 1e9:.2f} GB"
        yield Row("tiles", "verify, n=200 d=2e6, 3.2 GB", seconds, "the Gram pass", ours, None, note=note)
    first = None
    for d, passed, after in list(large.by_dimension())[1:]:
        first = after if first is None else first
        note = f"passes for K and W0: {passed:.2g} s"
        yield Row("tiles", f"after the Gram pass, n=20 m=16 d={d:.0e}", after, "d=1e+03", first, 1.5, note=note)
    seconds, off = large.documents()
    accuracy = Accuracy("off from SciPy's by", off, 0.0)
    yield Row("tiles", "1000 documents, d=1e6", seconds, "limit in s", 10.0, 1.0, accuracy=accuracy)


def samples(largest: int = many.LARGEST) -> Rows:
    """How calls grow with the number of samples: processor seconds beside those of half as many."""
    for found in many.growth_by_samples(largest):
        told = f"exponent {found.exponent:.1f}{'; ' if found.note else ''}{found.note}"
        yield Row("samples", f"{found.what}, n = {found.n}", found.seconds, "n/2", found.before, None, note=told)


MEASUREMENTS: dict[str, Callable[[], Rows]] = {
    "gradient": gradient,
    "flow": flow,
    "large-flow": large_flow,
    "descent": descent,
    "margin": margin,
    "certificates": certificates,
    "recorder": recorder,
    "tiles": tiles,
    "samples": samples,
}
ON_REQUEST = ("tiles", "samples")
"""Measured only where --only asks for them: they take some minutes, and tiles 4 GB of disk."""


def main(arguments: list[str] | None = None) -> int:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="measure this one (may be repeated)")
    parser.add_argument("--largest", type=int, default=many.LARGEST, metavar="N", help="samples go up to this number")
    parser.add_argument("--json", metavar="FILE", help="write the measurements as JSON")
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    args = parser.parse_args(arguments)
    try:
        if args.json:
            check_output_path(args.json, args.force)
        chosen = args.only or [name for name in MEASUREMENTS if name not in ON_REQUEST]
        rows = measured(chosen, args.largest)
        console = Console(width=None if sys.stdout.isatty() else 190)
        console.print(table_of(rows), "", profiles_of(rows), sep="\n")
        if args.json:
            with open_output(args.json, args.force) as handle:
                handle.write(json_text(document(rows)).encode())
    except ImplicitBiasError as error:
        print(f"benchmark: error: {error}", file=sys.stderr)
        return 2
    return 0


def measured(names: list[str], largest: int = many.LARGEST) -> list[Row]:
    """The rows of the named measurements; what is measured and skipped is said."""
    lines, rows = Console(stderr=True), list[Row]()
    with progress() as tell:
        for number, name in enumerate(names):
            lines.print(f"... {name}", highlight=False)
            tell(Told(name, steps=(number, len(names))))
            for row in samples(largest) if name == "samples" else MEASUREMENTS[name]():
                if isinstance(row, Skipped):
                    lines.print(f"... {name} skipped {row}", highlight=False)
                    continue
                rows.append(row)
                tell(Told(f"{name}, after {row.what}", steps=(number, len(names))))
    return rows


def table_of(rows: list[Row]) -> Table:
    """One line a measurement."""
    table = Table("what", "seconds", "against", "seconds", "ratio", "gate", "aim", "accuracy", "remark")
    for row in rows:
        gate, aim = (
            "-" if limit is None else f"{limit:.3g} {'met' if row.ratio <= limit else 'NOT MET'}"
            for limit in (row.gate, row.aim)
        )
        seconds = (f"{row.ours:.3g}", row.against, f"{row.peer:.3g}", f"{row.ratio:.3g}")
        table.add_row(row.what, *seconds, gate, aim, str(row.accuracy or "-"), row.note)
    return table


def profiles_of(rows: list[Row]) -> Table:
    """Where the time of the longer flows goes."""
    table = Table("profile of", "phase", "seconds", "share")
    for row in rows:
        total = sum(row.profile.values())
        for k, (phase, seconds) in enumerate(sorted(row.profile.items(), key=lambda item: -item[1])):
            table.add_row("" if k else row.what, phase, f"{seconds:.3g}", f"{seconds / total:.0%}")
    return table


def document(rows: list[Row]) -> dict[str, Any]:
    """Everything that was measured, and where."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    measurements = [asdict(row) | {"ratio": row.ratio} for row in rows]
    return {"cores": os.cpu_count(), "environment": environment(), "peers": versions, "rows": measurements}


if __name__ == "__main__":
    sys.exit(main())
