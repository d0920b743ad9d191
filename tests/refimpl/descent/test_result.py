"""Results of descents in files and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl.descent import (
    DescentResult,
    gradient_descent,
)
from refimpl.errors import FileFormatError, OutputFileError
from refimpl.flow.result import FlowResult

from .given import Interrupt, kept, problem


def test_a_result_survives_a_file(tmp_path):
    network, data, W0 = problem()
    result = gradient_descent(network, data, W0, 0.5, 7, record_every=2)
    result.save(tmp_path / "run.npz")
    copy = DescentResult.load(tmp_path / "run.npz")
    assert (copy.status, copy.message, copy.diagnostics) == (result.status, result.message, result.diagnostics)
    for name, values in vars(result.trajectory).items():
        np.testing.assert_array_equal(getattr(copy.trajectory, name), values)
    np.testing.assert_array_equal(copy.weights(), result.weights())
    with pytest.raises(OutputFileError, match="exists"):
        result.save(tmp_path / "run.npz")
    result.save(tmp_path / "run.npz", force=True)


def test_files_of_other_kinds_are_refused(tmp_path):
    network, data, W0 = problem()
    gradient_descent(network, data, W0, 0.5, 1).save(tmp_path / "descent.npz")
    with pytest.raises(FileFormatError, match="gradient_flow"):
        FlowResult.load(tmp_path / "descent.npz")
    whole = (tmp_path / "descent.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "other.npz", X=data.X)
    for name, why in [("half.npz", "complete"), ("other.npz", "complete"), ("none.npz", "no such file")]:
        with pytest.raises(FileFormatError, match=why):
            DescentResult.load(tmp_path / name)


def test_summary_is_json_without_nan():
    network, data, _ = problem()
    result = kept(lambda: gradient_descent(network, data, np.zeros((5, data.d)), 0.5, 2, progress=Interrupt(1)))
    summary = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert summary["status"] == "INTERRUPTED"
    assert summary["final"]["step"] == 1
    assert summary["final"]["smallest_margin"] == result.trajectory.smallest_margin[-1]
