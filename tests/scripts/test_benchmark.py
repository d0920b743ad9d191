"""The benchmark: its arithmetic, its files, what it skips; and that its peers compute the same thing."""

from __future__ import annotations

import json
from pathlib import Path

import benchmark
import benchmark_peers as peers
import benchmark_samples as many
import numpy as np
import pytest
from benchmark_rows import from_peer
from rich.console import Console

from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gradient_descent, gradient_flow


def shown(renderable) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def a_row(ours: float = 1.0, peer: float = 4.0, gate: float | None = 0.5, **more):
    return benchmark.Row("name", "what it is", ours, "somebody", peer, gate, **more)


def test_gates_are_about_the_ratio() -> None:
    assert a_row().ratio == 0.25
    assert "0.5 met" in shown(benchmark.table_of([a_row()]))
    assert "0.2 NOT MET" in shown(benchmark.table_of([a_row(gate=0.2)]))
    assert "0.1 NOT MET" in shown(benchmark.table_of([a_row(aim=0.1)]))
    assert "(NOT MET: 1e-10)" in shown(benchmark.table_of([a_row(accuracy=benchmark.Accuracy("off", 2e-10, 1e-10))]))
    assert "(met: 1e-10)" in shown(benchmark.table_of([a_row(accuracy=benchmark.Accuracy("off", 1e-10, 1e-10))]))


def test_profile_is_in_parts_of_the_whole() -> None:
    text = shown(benchmark.profiles_of([a_row(profile={"integration": 1.0, "events": 3.0})]))
    assert "75%" in text
    assert text.index("events") < text.index("integration")


def test_json_file_and_skipped_peers(tmp_path, monkeypatch, capsys) -> None:
    def rows():
        yield benchmark.Skipped("peer: No module named 'peer'")
        yield a_row()

    monkeypatch.setattr(benchmark, "MEASUREMENTS", {"fake": rows})
    path = tmp_path / "b.json"
    assert benchmark.main(["--json", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "what it is" in out
    assert "skipped peer: No module" in err
    document = json.loads(path.read_text())
    assert document["rows"][0]["ratio"] == 0.25
    assert set(document["peers"]) == set(benchmark.LIBRARIES)
    before = path.read_bytes()
    assert benchmark.main(["--json", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert benchmark.main(["--json", str(path), "--force"]) == 0


def test_a_missing_peer_skips_its_rows_only() -> None:
    def work() -> None:
        raise ModuleNotFoundError("No module named 'torchdiffeq'")

    with pytest.raises(benchmark.Skipped, match=r"torchdiffeq.*extra `bench`"):
        from_peer(work)


def an_instance():
    rng = np.random.default_rng(0)
    data = datasets.gaussian(6, 40, rng)
    network = TwoLayerNetwork.with_signs(2, 3, LeakyReLU(0.3))
    return network, data, rng.standard_normal((5, 40))


@pytest.mark.parametrize(
    ("library", "peer"), [("torch", peers.torch_loss_and_gradient), ("jax", peers.jax_loss_and_gradient)]
)
def test_peers_compute_the_same_gradient(library, peer) -> None:
    pytest.importorskip(library)
    network, data, W = an_instance()
    gradient = peer(W, network.second_layer, 0.3, data.X, data.y)()
    np.testing.assert_allclose(gradient, network.loss_and_gradient(W, data)[1], rtol=1e-12, atol=1e-15)


def test_peers_descend_alike() -> None:
    pytest.importorskip("torch")
    network, data, W = an_instance()
    ranks, _ = peers.torch_descent(W, network.second_layer, 0.3, data.X, data.y, 2.0, 20, 5)
    ours = gradient_descent(network, data, W, 2.0, 20, record_every=5).trajectory.stable_rank[1:]
    np.testing.assert_allclose(ours, ranks, rtol=1e-12)


def test_growth_is_that_of_each_call_on_each_data_set(monkeypatch) -> None:
    """With a clock by which a call takes n³ seconds: exponent 3, from the second size on."""
    now = [0.0]
    monkeypatch.setattr(many, "process_time", lambda: now[0])
    monkeypatch.setattr(many, "data_sets", lambda n: [("one", datasets.gaussian(n // 125 + 1, 3, 0))])

    def work(n: int) -> int:
        now[0] += float((n - 1) ** 3)
        return n

    monkeypatch.setattr(
        many, "calls", lambda data: [("call", lambda: work(data.n), lambda found, _: f"{found} samples")]
    )
    found = list(many.growth_by_samples(500))
    assert [(row.what, row.n, row.seconds, row.before) for row in found] == [
        ("call, one", 250, 8.0, 1.0),
        ("call, one", 500, 64.0, 8.0),
    ]
    assert [row.exponent for row in found] == [3.0, 3.0]
    rows = [row for row in benchmark.samples(500) if isinstance(row, benchmark.Row)]
    assert [row.note for row in rows] == ["exponent 3.0; 3 samples", "exponent 3.0; 5 samples"]


def test_every_call_on_few_samples_answers() -> None:
    answers = {what: tell(call(), 2.0) for what, call, tell in many.calls(datasets.gaussian(4, 100, 0))}
    events = int(answers["flow, 400 events"].split()[0])
    assert answers["flow, 400 events"] == f"{events} events, {2000.0 / events:.3g} ms each"
    assert answers["kkt_residuals"].startswith("MEASURED")
    assert answers["verify, 1 s a flow"].endswith("claims")


def test_another_checkout_is_timed_beside_this_one(tmp_path, capsys) -> None:
    network, data, W0 = an_instance()
    here = str(Path(benchmark.__file__).parent.parent)
    events, seconds = peers.earlier_flow(W0, network.second_layer, 0.3, data.X, data.y, here)
    assert events == len(gradient_flow(network, data, W0).events) > 0
    assert seconds > 0.0
    assert benchmark.main(["--only", "large-flow", "--before", str(tmp_path)]) == 2
    assert "`--before` must be a checkout" in capsys.readouterr().err
