"""Single calls for `benchmark.py`: gradients, descent, records, the convex program, certificates."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import benchmark_peers as peers
import numpy as np
from benchmark_rows import Accuracy, Row, Rows, Skipped, fastest, from_peer, once

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_descent
from refimpl.validation import Array
from verification import Recorder, certify, max_margin, reject_early

__all__ = ["certificates", "command", "descent", "gradient", "margin", "recorder"]


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


def command() -> Rows:
    """`implicit-bias verify` without options, as it is now and at an earlier version in turn: medians of pairs."""
    here, pairs = Path(__file__).parent.parent, 7
    with ExitStack() as stack:
        try:
            code = stack.enter_context(peers.earlier_version("refimpl", "verification"))
        except LookupError as missing:
            yield Skipped(f"earlier_version: {missing}")
            return
        then = ",".join(row["id"] for row in peers.verify_command(code)["claims"])
        for what, options in (("the claims of then", ("--only", then)), ("all claims", ())):
            found = [(peers.verify_command(here, *options), peers.verify_command(code)) for _ in range(pairs)]
            ours, earlier = np.median([[report["seconds"] for report in pair] for pair in found], axis=0)
            told = f"{len(found[0][0]['claims'])} claims, {len(found[0][1]['claims'])} then"
            against = f"version {peers.EARLIER}"
            yield Row("command", f"verify, {what}", float(ours), against, float(earlier), 0.5, note=told)
