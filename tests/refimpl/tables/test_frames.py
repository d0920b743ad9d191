"""Data frames, Parquet and Arrow files: what is read is what is meant, or refused with row and column."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from refimpl import datasets
from refimpl.errors import FileFormatError, InvalidParameterError, MissingExtraError
from refimpl.tables import Choices, frames, read_frame

X3 = np.array([[1.5, -2.0], [0.25, 3.0], [4.0, 0.0]])
Y3 = np.array([1.0, -1.0, 1.0])


# --- frames -------------------------------------------------------------------------------------------


def frame_of(**columns):
    return pytest.importorskip("pandas").DataFrame(columns)


def test_frames_of_pandas():
    frame = frame_of(a=[1.5, 0.25, 4.0], b=[-2, 3, 0], kind=["u", "v", "u"])
    data = datasets.from_frame(frame, positive_label="u")
    np.testing.assert_array_equal(data.X, X3)
    np.testing.assert_array_equal(data.y, Y3)
    assert datasets.from_frame(frame, positive_label="u", drop_columns=["b"]).d == 1
    frame["kind"] = frame["kind"].astype("category")
    np.testing.assert_array_equal(datasets.from_frame(frame, classes=("v", "u")).y, -Y3)
    frame["kind"], frame["b"] = [True, False, True], frame["b"].astype("Int64")
    data, report = read_frame(frame.set_index(frame["a"] * 2), Choices(positive_label="True"))
    np.testing.assert_array_equal(data.X, X3)
    assert "the index is left out" in report.notes


def test_frames_that_are_refused():
    pandas = pytest.importorskip("pandas")
    for values, why in [
        ([1.0, np.nan, 2.0], r"row 1 \(from 0\), column 1 \(a\) is missing"),
        ([1.0, None, 2.0], "is missing"),
        (pandas.array([1, None, 2], dtype="Int64"), "is missing"),
        (["1", "2", "x"], "holds '1', which is not a number"),
        ([1.0, 2.0, np.inf], "must be finite"),
        ([1.0, 2.0, 1j], "not a number"),
        (pandas.to_datetime(["2020-01-01"] * 3), "not a number"),
    ]:
        with pytest.raises(FileFormatError, match=why):
            datasets.from_frame(frame_of(a=values, y=[1, -1, 1]))
    with pytest.raises(FileFormatError, match="the label in row 1"):
        datasets.from_frame(frame_of(a=[1.0, 2.0], y=["u", None]))
    for other in (None, [[1.0]], np.eye(2), "a.csv"):
        with pytest.raises(InvalidParameterError, match="`frame` must be a pandas data frame"):
            datasets.from_frame(other)
    twice = pandas.concat([frame_of(a=[1.0, 2.0], y=[1, -1]), frame_of(a=[3.0, 5.0])], axis=1)
    np.testing.assert_array_equal(datasets.from_frame(twice).X, [[1.0, 3.0], [2.0, 5.0]])


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
@pytest.mark.parametrize("kind", ["datetime64", "timedelta64"])
def test_dates_and_times_are_no_numbers(kind, unit):
    frame = frame_of(a=np.array([1, 2, 3], f"{kind}[{unit}]"), y=[1, -1, 1])
    with pytest.raises(FileFormatError, match=r"column 1 \(a\) holds a date or time, which is not a number"):
        datasets.from_frame(frame)


def test_whole_numbers_that_float64_does_not_hold_are_refused():
    frame = frame_of(a=[2**60, 2**53 + 1, 3], y=[1, -1, 1])
    with pytest.raises(
        FileFormatError, match=r"row 1 \(from 0\), column 1 \(a\) holds 9007199254740993, which float64"
    ):
        datasets.from_frame(frame)
    kept = frame_of(a=[2**60, -(2**54), 3], y=[1, -1, 1])
    np.testing.assert_array_equal(datasets.from_frame(kept).X[:, 0], [2.0**60, -(2.0**54), 3.0])


@pytest.mark.parametrize("ending", ["parquet", "arrow", "feather"])
def test_parquet_and_arrow(tmp_path, monkeypatch, ending):
    pyarrow = pytest.importorskip("pyarrow")
    content = pyarrow.table({"a": [1.5, 0.25, 4.0], "b": [-2, 3, 0], "y": ["u", "v", "u"]})
    path = tmp_path / f"data.{ending}"
    if ending == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(content, path)
    else:
        pytest.importorskip("pyarrow.feather").write_feather(content, str(path))
    np.testing.assert_array_equal(datasets.load(path, positive_label="u").X, X3)
    np.testing.assert_array_equal(datasets.from_frame(content, positive_label="u").y, Y3)
    whole = path.read_bytes()
    for part in (b"", whole[:20], whole[: len(whole) // 2], whole[:-1], b"x" * 100):
        path.write_bytes(part)
        with pytest.raises(FileFormatError, match="it is not a complete file of its kind"):
            datasets.load(path)
    path.write_bytes(whole)
    monkeypatch.setattr(frames, "LIMIT_BYTES", 64)
    with pytest.raises(FileFormatError, match=r"at most .* GiB are read"):
        datasets.load(path)


def test_without_pyarrow_the_extra_is_named_and_text_needs_none(tmp_path, table, monkeypatch):
    for name in ("pyarrow", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[frames\]"):
        datasets.load(tmp_path / "a.parquet")
    assert table("a;b;y\n1.5;-2;1\n0.25;3;-1\n4;0;1\n")[0].n == 3
