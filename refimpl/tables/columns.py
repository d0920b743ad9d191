"""What all tables have in common: which column is the labels', and samples and labels put together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from refimpl.dataset import Dataset
from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError
from refimpl.tables.cells import listed, printable
from refimpl.tables.choices import DEFAULT, Choices, ReadReport
from refimpl.tables.labels import Labels

__all__ = ["ColumnRoles", "finished", "read_arrays"]


def read_arrays(source: Any, X: Any, y: Any, choices: Choices = DEFAULT) -> tuple[Dataset, ReadReport]:
    """Samples and labels from an array X (n, d) and an array y (n,) of labels of any kind.

    Raises
    ------
    FileFormatError
        If they make no data set.
    InvalidParameterError
        If `choices` speak of a header or a column of labels, or of a column that is not there.
    """
    if choices.label_column is not None or choices.header is not None:
        name = "label_column" if choices.label_column is not None else "header"
        raise InvalidParameterError(name, "go with a table: here the labels are the array y", getattr(choices, name))
    X, y = np.asarray(X), np.asarray(y)
    if choices.positive_label is None and choices.classes is None and not choices.drop_columns:
        data = _dataset(source, X, y)
        counts = tuple((f"{sign:+d}", sign, int(np.sum(data.y == sign))) for sign in (1, -1) if sign in data.y)
        return data, ReadReport(
            str(source), data.n, data.d, (), "y", counts, (), _suspicious(data, [""] * data.d, np.arange(data.n))
        )
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise FileFormatError(source, f"X and y must have shapes (n, d) and (n,), not {X.shape} and {y.shape}")
    labels = Labels(source, choices)
    kept = np.array([labels.wants(str(label)) for label in y.tolist()], dtype=np.bool_)
    columns = ColumnRoles(source, [""] * X.shape[1], choices, label=False)
    return finished(X[kept][:, columns.features], labels, columns, [])


class ColumnRoles:
    """Which column is the labels', which are features and which are left out; counted from 0 in here."""

    def __init__(self, source: Any, names: Sequence[str], choices: Choices, label: bool = True) -> None:
        self.source, self.names = source, list(names)
        self.label = self._label(choices.label_column) if label else -1
        self.dropped = sorted({self._find("drop_columns", wanted) for wanted in choices.drop_columns})
        if self.label in self.dropped:
            raise InvalidParameterError("drop_columns", "not hold the column of labels", self.called(self.label))
        self.features = [k for k in range(len(self.names)) if k != self.label and k not in set(self.dropped)]
        if not self.features:
            raise FileFormatError(source, "it needs at least one feature column and a label column")

    def called(self, k: int) -> str:
        """Column k for people: its number, counted from 1, and its name."""
        return f"column {k + 1} ({self.names[k]})" if self.names[k] else f"column {k + 1}"

    def _label(self, wanted: str | int | None) -> int:
        if wanted is not None:
            return self._find("label_column", wanted)
        found = [k for k, name in enumerate(self.names) if name.lower() in ("y", "label")]
        if len(found) > 1:
            both = " and ".join(self.called(k) for k in found)
            raise FileFormatError(self.source, f"{both} could both be the labels: --label-column says which")
        return found[0] if found else len(self.names) - 1

    def _find(self, parameter: str, wanted: str | int) -> int:
        """A column by its name, or else by its number."""
        count = len(self.names)
        if isinstance(wanted, str) and self.names.count(wanted) == 1:
            return self.names.index(wanted)
        number = wanted if isinstance(wanted, int) else int(wanted) if re.fullmatch(r"-?[0-9]{1,9}", wanted) else 0
        if 1 <= abs(number) <= count and not isinstance(wanted, bool):
            return number - 1 if number > 0 else count + number
        names = [name for name in self.names if name]
        there = f"1 to {count}" + (f" ({listed(names, 8)})" if names else "")
        raise InvalidParameterError(parameter, f"be one of the columns of `{self.source}`, {there}", wanted)


def finished(X: Any, labels: Labels, columns: ColumnRoles, notes: list[str]) -> tuple[Dataset, ReadReport]:
    signs = labels.signs()
    data = _dataset(labels.source, X, np.array([signs[key] for key in labels.keys], dtype=np.float64))
    if columns.dropped:
        notes.append(f"left out: {listed([columns.called(k) for k in columns.dropped], 8)}")
    if labels.others:
        rows = [f"{count} of {text}" for text, count in labels.others.values()]
        notes.append(f"left out: rows of other classes, {listed(rows, 6)}")
    counts = tuple((text, signs[key], labels.keys.count(key)) for key, text in labels.texts.items())
    names = tuple(columns.names[k] or f"column {k + 1}" for k in columns.features) if any(columns.names) else ()
    label = columns.called(columns.label) if columns.label >= 0 else "y"
    suspicious = _suspicious(data, [columns.called(k) for k in columns.features], np.array(labels.rows))
    nameless = [k for k in columns.features if any(columns.names) and re.match(r"$|Unnamed: ", columns.names[k])]
    if not suspicious and nameless:
        what = "has no name, like an index that pandas writes; --drop-column leaves it out"
        suspicious = (f"{columns.called(nameless[0])} {what}",)
    return data, ReadReport(str(labels.source), data.n, data.d, names, label, counts, tuple(notes), suspicious)


def _suspicious(data: Dataset, called: Sequence[str], rows: Any) -> tuple[str, ...]:
    """Features that look like something else: the number of the row (`rows`, from 0), or the labels once more."""
    X, y, found = data.X, data.y, []
    if data.n >= 3:
        start = X[0] - rows[0]
        for k in map(int, np.flatnonzero(np.isin(start, (0.0, 1.0)) & (X[-1] - rows[-1] == start))):
            if np.array_equal(X[:, k], start[k] + rows):
                what = f"counts {start[k]:g}, {start[k] + 1:g}, {start[k] + 2:g}, ... like an index"
                found.append(f"{called[k] or f'column {k + 1} of X'} {what}; --drop-column leaves it out")
    positive, negative = np.flatnonzero(y > 0.0), np.flatnonzero(y < 0.0)
    if min(positive.size, negative.size) >= 2:
        i, j = positive[0], negative[0]
        equal = (X[positive[1]] == X[i]) & (X[negative[1]] == X[j]) & (X[i] != X[j])
        for k in map(int, np.flatnonzero(equal)):
            if np.array_equal(X[:, k], np.where(y > 0.0, X[i, k], X[j, k])):
                what = f"is {X[i, k]:g} where the label is +1 and {X[j, k]:g} where it is -1, like the labels once more"
                found.append(f"{called[k] or f'column {k + 1} of X'} {what}; --drop-column leaves it out")
    more = [f"{len(found) - 3} more columns look like that"] if len(found) > 3 else []
    return tuple(map(printable, found[:3] + more))


def _dataset(source: Any, X: Any, y: Any) -> Dataset:
    try:
        return Dataset(X, y)
    except ImplicitBiasError as error:
        raise FileFormatError(source, str(error).rstrip(".")) from error
