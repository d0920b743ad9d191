"""The recorder: it keeps what it was given, as it was then, in bounded memory, and reports what `audit` reports."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import LeakyReLU, TwoLayerNetwork, datasets
from refimpl.errors import InvalidParameterError, ShapeError
from verification import Recorder, audit

DATA = datasets.gaussian(4, 60, np.random.default_rng(0))
NETWORK = TwoLayerNetwork.with_signs(1, 2, LeakyReLU(0.5))
SIZE = 3 * 60 * 4


def step(W: np.ndarray) -> None:
    W -= 3.0 * NETWORK.loss_and_gradient(W, DATA)[1].astype(np.float32)


def test_it_reports_what_audit_reports_of_copies() -> None:
    W, recorder, kept = np.zeros((3, 60), dtype=np.float32), Recorder(NETWORK, DATA), {}
    for k in range(5):
        recorder.record(10 * k, W)
        kept[10 * k] = W.copy()
        step(W)  # in place: the recorder must have copied
    ours, direct = recorder.report(step_size=3.0), audit(NETWORK, DATA, kept, step_size=3.0)
    without_time = [{**report.to_dict(), "seconds": 0, "claims": 0} for report in (ours, direct)]
    assert without_time[0] == without_time[1]
    assert [row.format for row in ours.rows] == ["float32"] * 5


@pytest.mark.parametrize("slots", [4, 5, 6, 7, 16])
def test_memory_is_bounded_and_the_ends_stay(slots) -> None:
    recorder = Recorder(NETWORK, DATA, memory=slots * SIZE)
    for k in range(200):
        W = np.full((3, 60), k, dtype=np.float32)
        recorder.record(k, W)
        held = recorder.steps
        assert (held[0], held[-1]) == (0, k)
        assert len(held) <= slots
        assert held == sorted(set(held))
        assert all((recorder._pool[place] == number).all() for number, place in recorder._held())
    assert len(held) >= slots // 2
    gaps = np.diff(held[:-1])
    assert (gaps == gaps[0]).all()


def test_it_takes_arrays_of_pytorch_and_jax() -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    W = np.random.default_rng(0).standard_normal((3, 60)).astype(np.float32)
    tensor = torch.nn.Parameter(torch.tensor(W))
    for array in (tensor, tensor.detach().bfloat16(), torch.tensor(W.T.copy()).T, jax.numpy.asarray(W)):
        recorder = Recorder(NETWORK, DATA)
        recorder.record(0, array)
        (held,) = recorder._pool[[place for _, place in recorder._held()]]
        assert np.allclose(held, W, atol=0.02)
    recorder.record(1, W)  # JAX's float32 and NumPy's are one format


def test_wrong_calls_get_one_sentence() -> None:
    recorder = Recorder(NETWORK, DATA)
    with pytest.raises(InvalidParameterError, match="have recorded a step"):
        recorder.report()
    recorder.record(3, np.zeros((3, 60), dtype=np.float32))
    with pytest.raises(InvalidParameterError, match="`step` must be larger than the one before, 3; got 3"):
        recorder.record(3, np.zeros((3, 60), dtype=np.float32))
    with pytest.raises(ShapeError, match=r"`W` must have shape \(3, 60\); got \(60, 3\)"):
        recorder.record(4, np.zeros((60, 3), dtype=np.float32))
    with pytest.raises(InvalidParameterError, match="`W` must be float32, as at the steps before; got 'float64'"):
        recorder.record(4, np.zeros((3, 60)))
    with pytest.raises(InvalidParameterError, match="`network` must be a TwoLayerNetwork"):
        Recorder("net", DATA)
    assert recorder.steps == [3]
