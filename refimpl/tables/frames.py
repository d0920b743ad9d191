"""Data frames, and Parquet and Arrow files."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.archive import LIMIT_BYTES
from refimpl.dataset import Dataset
from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError, MissingExtraError
from refimpl.files import open_regular
from refimpl.tables.cells import MISSING, is_number
from refimpl.tables.choices import DEFAULT, Choices, ReadReport
from refimpl.tables.columns import ColumnRoles, finished
from refimpl.tables.labels import Labels, why_empty
from refimpl.validation import Array

__all__ = ["read_arrow", "read_frame"]


def read_frame(frame: Any, choices: Choices = DEFAULT, source: str = "a data frame") -> tuple[Dataset, ReadReport]:
    """Samples and labels from a pandas data frame or a table of pyarrow.

    Raises
    ------
    InvalidParameterError
        If it is neither, or has no column of that name.
    FileFormatError
        If a feature is missing or no number, or the labels are not two.
    """
    if choices.header is not None:
        raise InvalidParameterError("header", "go with a text: a frame has names", choices.header)
    names, series = _columns_of(frame)
    columns = ColumnRoles(source, names, choices)
    labels = Labels(source, choices)
    texts = [_cell_text(value) for value in series(columns.label)]
    if any(text.lower() in MISSING for text in texts):
        row = next(k for k, text in enumerate(texts) if text.lower() in MISSING)
        raise FileFormatError(source, f"the label in row {row} (from 0), {columns.called(columns.label)}, is missing")
    kept = [k for k, text in enumerate(texts) if labels.wants(text)]
    if not kept:
        raise FileFormatError(source, why_empty(labels, header=False))
    if 8 * len(kept) * len(columns.features) > LIMIT_BYTES:
        raise FileFormatError(source, f"it holds more than the {LIMIT_BYTES / 2**30:g} GiB of numbers that are read")
    X = np.empty((len(kept), len(columns.features)))
    for j, k in enumerate(columns.features):
        X[:, j] = _as_numbers(source, series(k), kept, columns.called(k))
    index = getattr(frame, "index", None)
    notes = ["the index is left out"] if index is not None and type(index).__name__ != "RangeIndex" else []
    return finished(X, labels, columns, notes)


def read_arrow(path: str | Path, choices: Choices = DEFAULT) -> tuple[Dataset, ReadReport]:
    """Samples and labels from a Parquet file (.parquet) or an Arrow file (.arrow, .feather); needs pyarrow.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed (extra `frames`).
    FileFormatError
        If the file is missing, damaged or too large, or as in `read_frame`.
    """
    try:
        pyarrow, ipc, parquet = map(import_module, ("pyarrow", "pyarrow.ipc", "pyarrow.parquet"))
    except ImportError as error:
        raise MissingExtraError("pyarrow", "frames") from error
    with open_regular(path) as handle:
        try:
            if Path(path).suffix.lower() == ".parquet":
                file = parquet.ParquetFile(handle)
                _require_room(path, file.metadata.num_rows, file.metadata.num_columns)
                table = file.read()
            else:
                file = ipc.open_file(handle)
                batches: list[Any] = []
                for k in range(file.num_record_batches):
                    batches.append(file.get_batch(k))
                    _require_room(path, sum(batch.num_rows for batch in batches), len(file.schema))
                table = pyarrow.Table.from_batches(batches, file.schema)
        except ImplicitBiasError:
            raise
        except Exception as error:  # pyarrow's errors are of many classes
            raise FileFormatError(path, "it is not a complete file of its kind") from error
    return read_frame(table, choices, str(path))


def _require_room(path: Any, rows: int, columns: int) -> None:
    if 8 * rows * columns > LIMIT_BYTES:
        size = 8 * rows * columns / 2**30
        raise FileFormatError(path, f"it would take {size:.3g} GiB, and at most {LIMIT_BYTES / 2**30:g} GiB are read")


def _columns_of(frame: Any) -> tuple[list[str], Any]:
    """Names of the columns, and a function from the number of a column to its values."""
    if hasattr(frame, "iloc") and hasattr(frame, "columns"):
        return [str(name) for name in frame.columns], lambda k: frame.iloc[:, k].to_numpy()
    if hasattr(frame, "column_names") and hasattr(frame, "column"):
        return list(frame.column_names), lambda k: frame.column(k).to_numpy()
    raise InvalidParameterError("frame", "be a pandas data frame or a table of pyarrow", frame)


def _cell_text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _as_numbers(source: Any, column: Any, kept: list[int], called: str) -> Array:
    values = np.asarray(column)[kept]
    if values.dtype.kind in "mM":  # as a list these may be whole numbers of nanoseconds
        raise FileFormatError(source, f"{called} holds a date or time, which is not a number")
    if values.dtype.kind in "iu":
        inexact = (int(row) for row in np.flatnonzero(np.abs(values.astype(np.float64)) >= 2.0**53))
        if (row := next((row for row in inexact if int(float(values[row])) != int(values[row])), None)) is not None:
            what = f"holds {values[row]}, which float64 does not hold"
            raise FileFormatError(source, f"row {kept[row]} (from 0), {called} {what}")
    if values.dtype.kind in "fiub":
        numbers = values.astype(np.float64)
        missing = np.isnan(numbers)
        if missing.any():
            place = kept[int(np.argmax(missing))]
            raise FileFormatError(source, f"row {place} (from 0), {called} is missing")
        return numbers
    numbers = np.empty(len(kept))
    for j, (row, value) in enumerate(zip(kept, values.tolist(), strict=True)):
        text = _cell_text(value)
        if not isinstance(value, (str, bytes)) and is_number(text):
            numbers[j] = float(text)
        elif text.lower() in MISSING:
            raise FileFormatError(source, f"row {row} (from 0), {called} is missing")
        else:
            raise FileFormatError(source, f"row {row} (from 0), {called} holds {text[:40]!r}, which is not a number")
    return numbers
