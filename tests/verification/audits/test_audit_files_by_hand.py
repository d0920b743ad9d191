"""Names, orders and files of checkpoints, the recorder and the words of an audit, in small cases by hand."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.errors import FileFormatError, InvalidParameterError
from refimpl.validation import remember
from verification.audits import reading, report, words
from verification.audits.checkpoint import Checkpoint, check_together, from_bfloat16
from verification.audits.frame import CheckpointFrame
from verification.audits.layers import Names, find_layers
from verification.audits.measuring import Measured
from verification.audits.reading import expand, read_checkpoints, step_in_name
from verification.audits.recorder import Recorder
from verification.audits.report import AuditReport
from verification.audits.road import Road
from verification.audits.run import _increment, _measured
from verification.claims.base import Verdict

ALONG = Dataset([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], [1.0, -1.0])
PAIR = TwoLayerNetwork([2.0, -1.0], LeakyReLU(0.25))


# --- names, orders, files ---------------------------------------------------------------------------------------------


def test_names_with_and_without_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No number: counted as they are given, and not numbered; some with and some without: refused."""
    monkeypatch.chdir(tmp_path)
    for name in ("late", "early", "step7", "step10", "step9"):
        np.save(f"{name}.npy", np.ones((2, 3)))
    found = read_checkpoints(["late.npy", "early.npy"], 3)
    assert [(c.name, c.step, c.numbered) for c in found] == [("late.npy", 0, False), ("early.npy", 1, False)]
    found = read_checkpoints(["step10.npy", "step9.npy"], 3)
    assert [(c.step, c.numbered) for c in found] == [(9, True), (10, True)]
    for paths in (["step7.npy", "late.npy"], ["late.npy", "step7.npy"]):
        with pytest.raises(InvalidParameterError, match="all have a step number"):
            read_checkpoints(paths, 3)
    assert expand(["step*.npy"]) == ["step7.npy", "step9.npy", "step10.npy"]


def test_checkpoints_stand_in_the_order_of_their_steps() -> None:
    made = [Checkpoint(step, np.ones((1, 2)), name=str(step)) for step in (3, 1, 2)]
    assert [c.step for c in check_together(made)] == [1, 2, 3]
    with pytest.raises(InvalidParameterError, match="two are at one"):
        check_together([*made, Checkpoint(3, np.ones((1, 2)), name="again")])


def test_a_bias_is_the_last_column() -> None:
    W = Checkpoint(0, np.array([[1.0, 2.0], [3.0, 4.0]]), bias=np.array([5.0, 6.0])).weights()
    assert W.tolist() == [[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]]


def test_bits_of_bfloat16() -> None:
    """Sign, eight bits of exponent, seven of fraction: 1, -3.140625, the smallest normal number."""
    bits = np.array([0x3F80, 0xC049, 0x0080], dtype=np.uint16)
    assert from_bfloat16(bits).tolist() == [1.0, -3.140625, 2.0**-126]


def test_square_kernels_and_output_biases() -> None:
    """A second layer (m, 1) says that the first is a kernel; an output bias other than 0, of any sign, is refused."""
    W = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert find_layers("f", {"w": W, "v": np.ones((2, 1))}, 2, Names(first="w")).W.tolist() == W.T.tolist()
    assert find_layers("f", {"w": W, "v": np.ones((1, 2))}, 2, Names(first="w")).W.tolist() == W.tolist()
    for value in (-1.0, 1.0):
        with pytest.raises(FileFormatError, match="output bias"):
            find_layers("f", {"w": np.ones((3, 2)), "v": np.ones((1, 3)), "out.bias": np.array([value])}, 2, Names())
    state = {"w": np.ones((3, 2)), "v": np.ones((1, 3)), "a.bias": np.ones(3), "b.bias": np.ones(3)}
    with pytest.raises(FileFormatError, match="could each be the first layer's bias"):
        find_layers("f", state, 2, Names())


def test_the_recorder_thins_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight places, one of them for the newest: 0, 4, ..., 28 and 29 would be nine, so every eighth step is kept."""
    monkeypatch.setattr("verification.audits.recorder.FEWEST", 8)
    recorder, W = Recorder(PAIR, ALONG, 1.0), np.zeros((2, 3))
    for step in range(30):
        recorder.record(step, W)
        W += 1.0
    held = recorder._held()
    gaps = np.diff([step for step, _ in held[:-1]])
    assert held[0][0] == 0
    assert held[-1][0] == 29
    assert set(gaps) == {8}
    assert [float(recorder._pool[k][0, 0]) for _, k in held] == [float(step) for step, _ in held]
    with pytest.raises(InvalidParameterError, match="larger than the one before"):
        recorder.record(29, W)


def test_the_last_checkpoint_is_measured_first_and_time_is_shared() -> None:
    seconds: list[float] = []
    order: list[str] = []

    def measured(checkpoint: Checkpoint, allowed: float) -> str:
        seconds.append(allowed)
        order.append(checkpoint.name)
        return checkpoint.name

    found, interrupted = _measured(
        SimpleNamespace(measured=measured), [Checkpoint(k, np.ones((1, 1)), name=str(k)) for k in range(4)], 8.0, print
    )
    assert (found, interrupted, order) == (["0", "1", "2", "3"], False, ["3", "0", "1", "2"])
    np.testing.assert_allclose(seconds, [2.0, 8.0 / 3.0, 4.0, 8.0], rtol=0.1)


def test_an_increment_is_counted_from_the_first_checkpoint_in_the_coarser_format(monkeypatch) -> None:
    given = []
    monkeypatch.setattr("verification.audits.run.increment_of", lambda *arguments: given.append(arguments))
    start = Checkpoint(100, np.zeros((2, 3)), format="bfloat16")
    _increment(
        PAIR, CheckpointFrame(ALONG, 2), SimpleNamespace(W0=start.weights()), Checkpoint(130, np.ones((2, 3))), start
    )
    assert given[0][-2:] == (2.0**-7, 30)


# --- words ------------------------------------------------------------------------------------------------------------


def test_some_of_the_rows_are_the_first_and_the_last_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_ROWS", 3)
    assert report.some_rows(list(range(5))) == [0, 2, 4]
    assert report.some_rows(list(range(2))) == [0, 1]


@pytest.mark.parametrize(("exponent", "word"), [(2.0, "100"), (-2.0, "0.01"), (7.0, "10^7"), (-7.0, "10^-7")])
def test_powers_of_ten(exponent: float, word: str) -> None:
    assert words.power_of_ten(exponent) == word


def test_the_first_step_that_is_off_is_named() -> None:
    made = [SimpleNamespace(step=10 * k, outside_span=0.1 * k, second_layer_moved=0.0) for k in range(4)]
    increments = [SimpleNamespace(outside=x, is_unique=True, is_sum_of_gradients=True) for x in (0.0, 0.5, 1.5, 9.0)]
    assert "at step 20 a part 0.2" in words._next(made, increments, [])
    increments = [
        SimpleNamespace(outside=0.0, is_unique=True, is_sum_of_gradients=x) for x in (True, False, False, True)
    ]
    assert "at step 10 W - W(0) is not a sum" in words._next(made, increments, [])


def test_the_larger_residual_is_told() -> None:
    last = SimpleNamespace(
        step=3, loss=0.1, smallest_margin=1.0, stable_rank=1.0, singular_value_ratio=0.0, kkt_status="MEASURED",
        floors={"stationarity": 1e-9}, below=[], stationarity=0.25, complementarity=0.5, format="float32",
    )  # fmt: skip
    before = SimpleNamespace(stationarity=0.75, complementarity=0.625, step=1)
    told = words._stands(last, [before, last])
    assert "it is 0.5 from the KKT conditions" in told
    assert "was 0.75 at step 1" in told


def test_exit_codes_of_an_audit() -> None:
    def code(*verdicts: Verdict, status: str = "MEASURED", interrupted: bool = False) -> int:
        claims = [SimpleNamespace(verdict=verdict) for verdict in verdicts]
        rows = [SimpleNamespace(kkt_status="NOT_SEPARATING"), SimpleNamespace(kkt_status=status)]
        stub = AuditReport.__new__(AuditReport)
        remember(stub, interrupted=interrupted, claims=claims, rows=rows)
        return stub.exit_code

    verdict = Verdict
    assert code(verdict.HOLDS_NUMERICALLY, verdict.HYPOTHESIS_NOT_MET) == 0
    assert code(verdict.INCONCLUSIVE, verdict.VIOLATED) == 1
    assert code(verdict.INCONCLUSIVE) == 3
    assert code(status="NOT_SEPARATING") == 3
    assert code(verdict.VIOLATED, interrupted=True) == 130


def test_what_the_format_cannot_tell_is_at_most_its_floor() -> None:
    row = Measured.__new__(Measured)
    remember(row, floors={"a": 0.5, "b": 0.5, "c": 0.5}, a=0.5, b=0.75, c=None)
    assert Measured.below.fget(row) == ["a"]


def test_a_road_of_no_length() -> None:
    assert Road(0.001, -math.inf, True).arrived
    assert not Road(0.1, 0.0, True).arrived


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("v2-300.npy", 300),
        ("step3-step40.pt", 40),
        ("iter_7-v9.npy", 7),
        ("w-float32.npy", None),
        ("runs5/w.npy", None),
    ],
)
def test_the_number_of_a_name(name: str, step: int | None) -> None:
    """That after "step" or "iter", else the last one, of the file and not of its folder or format."""
    assert step_in_name(name) == step


def test_numbers_of_tensors_count_as_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verification.audits.reading.LIMIT_BYTES", 16_000)
    reading._check_numbers("W.pt", 2_000)
    with pytest.raises(FileFormatError, match="its tensors would take more than"):
        reading._check_numbers("W.pt", 2_001)


def test_a_tensor_that_repeats_its_bytes_counts_as_float64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"W": torch.zeros(1).expand(1000, 2)}, tmp_path / "W.pt")
    for limit, fits in ((16_000, True), (15_999, False)):
        monkeypatch.setattr("verification.audits.reading.LIMIT_BYTES", limit)
        if fits:
            assert read_checkpoints([str(tmp_path / "W.pt")], 2)[0].W.shape == (1000, 2)
        else:
            with pytest.raises(FileFormatError, match="its tensors would take more than"):
                read_checkpoints([str(tmp_path / "W.pt")], 2)
