"""Tables as people have them, turned into samples and labels, with a record of what was read and what was not.

Text (`.csv`, `.tsv`, compressed or not), Parquet and Arrow files, and data frames come through the same door:
a column of labels is found, columns are left out where that was asked for, the rest must be numbers.
Nothing is left out or converted without being said in the `ReadReport`.

**When is the first line of a text a header?** If it cannot be a row of data: it holds words, no number and nothing that
stands for a number or a missing one (a header's names begin with a letter; one of them may be empty, as pandas writes
its index), or it holds the word `label` or the name that `label_column` gives. Every other first line is a sample, and
refused if it is none. `header` says it where this rule does not do.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from refimpl.archive import LIMIT_BYTES
from refimpl.dataset import Dataset
from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError, MissingExtraError
from refimpl.files import open_regular
from refimpl.validation import Array

__all__ = ["DEFAULT", "Choices", "ReadReport", "read_arrays", "read_arrow", "read_frame", "read_text_table", "signs_of"]

TEXT_LIMIT_BYTES, LINE_LIMIT = 2**30, 2**26
"""A table of text may have 1 GiB once uncompressed, and 64 Mi characters a line."""

HEAD = 20
"""Lines from which the separator is told."""

MISSING = {"", "na", "n/a", "nan", "null", "none", "nil", "?", ".", "-", "--", "missing", "<na>", "#n/a", "nat"}
"""What stands for a number that is not known, in lower case."""

NUMBER_CHARACTERS = re.compile(r"[-+.0-9eE]*", re.ASCII)
LIKE_A_VALUE = re.compile(r"[-+]?\.?[0-9]|[-+]?(inf|infinity)$", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Choices:
    """How a table is to be read.

    Attributes
    ----------
    header : bool, optional
        Whether the first line of a text is a header; by default the module's rule decides.
    label_column : str or int, optional
        Name of the column of labels, or its number, counted from 1, or from -1 backwards. By default the column
        called `y` or `label`, and if there is none the last.
    positive_label : str, optional
        The label that becomes +1, if there are two others than +1 and -1.
    classes : (str, str), optional
        The labels that become +1 and -1; rows with others are left out.
    drop_columns : tuple of str or int
        Columns to leave out.
    """

    header: bool | None = None
    label_column: str | int | None = None
    positive_label: str | None = None
    classes: tuple[str, str] | None = None
    drop_columns: tuple[str | int, ...] = ()

    def __post_init__(self) -> None:
        if self.positive_label is not None and self.classes is not None:
            raise InvalidParameterError(
                "positive_label", "not go with `classes`, whose first is +1", self.positive_label
            )
        if self.classes is not None:
            first, second = (_key(str(name)) for name in self.classes)
            if first == second:
                raise InvalidParameterError("classes", "be two different labels", self.classes)


DEFAULT = Choices()


@dataclass(frozen=True)
class ReadReport:
    """What was read, and what was not.

    Attributes
    ----------
    source : str
        The file, or "a data frame".
    n, d : int
        Samples and dimension of the data set.
    names : tuple of str
        Of the columns that are features; empty if they have none.
    label : str
        The column of labels.
    classes : tuple of (str, int, int)
        Label as it stood in the table, as ±1, and how often.
    notes : tuple of str
        How it was read, and what was left out.
    warnings : tuple of str
        What looks like a mistake.
    """

    source: str
    n: int
    d: int
    names: tuple[str, ...]
    label: str
    classes: tuple[tuple[str, int, int], ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """What was read, on one line."""
        names = f" ({_listed(self.names, 8)})" if self.names else ""
        classes = ", ".join(f"{count} x {text} -> {sign:+d}" for text, sign, count in self.classes)
        more = "".join(f"; {note}" for note in self.notes)
        size = f"n = {self.n} samples, d = {self.d} features{names}"
        return _printable(f"{self.source}: {size}; labels in {self.label}: {classes}{more}")


@dataclass
class _Labels:
    """Labels as they are read, by class."""

    source: Any
    choices: Choices
    keys: list[Any] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    texts: dict[Any, str] = field(default_factory=dict)
    others: dict[Any, list[Any]] = field(default_factory=dict)
    seen: int = 0

    def __post_init__(self) -> None:
        classes = self.choices.classes
        self.wanted = None if classes is None else {_key(str(name)) for name in classes}

    def wants(self, text: str) -> bool:
        """Take the label `text` of the next row; False if it is of a class that was not asked for."""
        key = _key(text)
        self.seen += 1
        if self.wanted is not None and key not in self.wanted:
            self.others.setdefault(key, [text, 0])[1] += 1
            return False
        self.texts.setdefault(key, text if len(text) <= 16 or isinstance(key, str) else f"{key:g}")
        self.keys.append(key)
        self.rows.append(self.seen - 1)
        return True

    def signs(self) -> dict[Any, int]:
        """Each class as +1 or -1."""
        choices, found = self.choices, set(self.texts)
        if choices.classes is not None:
            absent = [str(name) for name in choices.classes if _key(str(name)) not in found]
            if absent:
                there = _listed([*self.texts.values(), *(text for text, _ in self.others.values())], 6)
                raise FileFormatError(self.source, f"no label is {absent[0]} (--classes); there are {there}")
            return {_key(str(name)): sign for name, sign in zip(choices.classes, (1, -1), strict=True)}
        if choices.positive_label is not None:
            return self._one_against_the_other(_key(str(choices.positive_label)))
        if found <= {1.0, -1.0}:
            return {1.0: 1, -1.0: -1}
        shown = _listed(list(self.texts.values()), 6)
        if len(found) <= 2:
            advice = f"--positive-label {next(iter(self.texts.values()))} makes that one +1 and the other -1"
        else:
            advice = "--classes A B takes two of them as +1 and -1; --label-column names another column"
        raise FileFormatError(self.source, f"its labels are {shown}, not +1 and -1: {advice}")

    def _one_against_the_other(self, positive: Any) -> dict[Any, int]:
        shown = _listed(list(self.texts.values()), 6)
        if positive not in self.texts:
            raise FileFormatError(
                self.source, f"no label is {self.choices.positive_label} (--positive-label); there are {shown}"
            )
        if len(self.texts) > 2:
            raise FileFormatError(
                self.source, f"it has {len(self.texts)} labels, {shown}: --classes A B takes two of them"
            )
        return {key: 1 if key == positive else -1 for key in self.texts}


# --- text -------------------------------------------------------------------------------------------


def read_text_table(path: str | Path, choices: Choices = DEFAULT) -> tuple[Dataset, ReadReport]:
    """Samples and labels from a text, one sample a line.

    Cells are separated by commas, semicolons, tabs, bars or blanks: the first of tab ; | , blank that cuts the
    first lines into equally many cells (in `.tsv` the tab). Where commas do not separate they may be decimal
    commas. Lines that begin with # are comments. Files whose names end in `.gz` are uncompressed.

    Raises
    ------
    FileFormatError
        If the file is missing, empty, too large, ragged, or holds something that is no number where a number must be,
        with line and column.
    InvalidParameterError
        If a column of that name is not there.
    """
    try:
        with _open_text(path) as handle:
            return _read_lines(path, _numbered_lines(path, handle), choices)
    except ImplicitBiasError:
        raise
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise FileFormatError(path, f"it is not readable text ({error})") from error


def _open_text(path: str | Path) -> IO[str]:
    handle: Any = open_regular(path)
    if Path(path).suffix.lower() == ".gz":
        handle = _GzipOfFile(handle)
    return io.TextIOWrapper(handle, encoding="utf-8-sig", newline="")


class _GzipOfFile(gzip.GzipFile):
    """Closes its file too."""

    def __init__(self, handle: IO[bytes]) -> None:
        super().__init__(fileobj=handle, mode="rb")
        self.handle = handle

    def close(self) -> None:
        super().close()
        self.handle.close()


@dataclass
class _Text:
    """What is known of a text while it is read."""

    path: Any
    separator: str = ","
    line: int = 0
    decimal: str | None = None
    comments: int = 0

    @property
    def notes(self) -> list[str]:
        """What is not as usual."""
        notes = [] if self.separator == "," else [f"separated by {SEPARATORS[self.separator]}"]
        if self.decimal == ",":
            notes.append("decimal comma")
        if self.comments:
            notes.append(f"lines of comments left out: {self.comments}")
        return notes


def _numbered_lines(path: Any, handle: IO[str]) -> Iterator[tuple[int, str]]:
    total, number = 0, 0
    while line := handle.readline(LINE_LIMIT + 1):
        number, total = number + 1, total + len(line)
        if len(line) > LINE_LIMIT:
            raise FileFormatError(path, f"line {number} has more than the {LINE_LIMIT} characters that are read")
        if total > TEXT_LIMIT_BYTES:
            raise FileFormatError(path, f"it has more than the {TEXT_LIMIT_BYTES / 2**30:g} GiB of text that are read")
        yield number, line


def _read_lines(path: Any, numbered: Iterator[tuple[int, str]], choices: Choices) -> tuple[Dataset, ReadReport]:
    text = _Text(path)
    lines = _without_comments(text, numbered)
    head = list(islice(lines, HEAD))
    if not head:
        raise FileFormatError(path, "it is empty")
    text.separator = _separator(path, [line for _, line in head])
    rows = _rows(text, chain(head, lines))
    first = next(rows)
    header = _is_header(first, choices)
    columns = _Columns(path, first if header else [""] * len(first), choices)
    labels, values = _Labels(path, choices), array("d")
    for cells in rows if header else chain([first], rows):
        if labels.wants(_label_in(text, cells, columns)):
            chosen = [cells[k] for k in columns.features]
            values.extend(_numbers_in(text, chosen, columns, first=cells is first and choices.header is None))
        if 8 * len(values) > LIMIT_BYTES:
            raise FileFormatError(path, f"it holds more than the {LIMIT_BYTES / 2**30:g} GiB of numbers that are read")
    if not labels.keys:
        raise FileFormatError(path, _why_empty(labels, header))
    X = np.frombuffer(values, dtype=np.float64).reshape(len(labels.keys), len(columns.features))
    return _finished(X, labels, columns, ["the first line is a header" if header else "no header", *text.notes])


SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "blanks"}


def _without_comments(text: _Text, numbered: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    for number, line in numbered:
        stripped = line.strip()
        if stripped.startswith("#"):
            text.comments += 1
        elif stripped:
            yield number, line


def _separator(path: Any, head: list[str]) -> str:
    if ".tsv" in Path(path).suffixes[-2:]:
        return "\t"
    for separator in SEPARATORS:
        widths = _widths(head, separator)
        if len(widths) == 1 and max(widths) > 1:
            return separator
    return next((separator for separator in SEPARATORS if separator in head[0].strip()), ",")


def _widths(lines: list[str], separator: str) -> set[int]:
    """Into how many cells each line is cut."""
    if separator == " ":
        return {len(line.split()) for line in lines}
    try:
        return {len(row) for row in csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)}
    except csv.Error:
        return set()


def _rows(text: _Text, lines: Iterable[tuple[int, str]]) -> Iterator[list[str]]:
    """Rows of cells; `text.line` is the number of the line that was read last."""

    def feed() -> Iterator[str]:
        for number, line in lines:
            text.line = number
            yield line

    if text.separator == " ":
        yield from (line.split() for line in feed())
        return
    for row in csv.reader(feed(), delimiter=text.separator, skipinitialspace=True, strict=True):
        yield [cell.strip() for cell in row]


def _is_header(cells: list[str], choices: Choices) -> bool:
    """The rule of the module's docstring."""
    if choices.header is not None:
        return choices.header
    named = choices.label_column in cells and not isinstance(_key(str(choices.label_column)), float)
    if named or "label" in (cell.lower() for cell in cells):
        return True
    blanks = cells.count("")
    values = [cell for cell in cells if cell and (cell.lower() in MISSING or LIKE_A_VALUE.match(cell))]
    return not values and blanks <= 1 and blanks < len(cells)


def _label_in(text: _Text, cells: list[str], columns: _Columns) -> str:
    """The label of one row, whose width is looked at too."""
    if len(cells) != len(columns.names):
        raise FileFormatError(text.path, f"line {text.line} has {len(cells)} columns, not {len(columns.names)}")
    label = cells[columns.label]
    if label.lower() in MISSING:
        raise FileFormatError(text.path, f"the label in line {text.line}, {columns.called(columns.label)}, is missing")
    return label


def _numbers_in(text: _Text, cells: list[str], columns: _Columns, first: bool) -> list[float]:
    """The cells of one row as numbers."""
    joined = "".join(cells)
    if "," in joined and text.separator != ",":
        _require_one_decimal(text, ",")
        if "." in joined:
            raise FileFormatError(text.path, f"line {text.line} has decimal commas and decimal points")
        cells = [cell.replace(",", ".") if cell.count(",") == 1 else cell for cell in cells]
        joined = "".join(cells)
    elif "." in joined:
        _require_one_decimal(text, ".")
    if NUMBER_CHARACTERS.fullmatch(joined):  # float() reads 1_0, nan and other digits too
        try:
            values = [float(cell) for cell in cells]
        except ValueError:
            pass
        else:
            if all(map(math.isfinite, values)):
                return values
    k, cell = next((k, cell) for k, cell in zip(columns.features, cells, strict=True) if not _is_number(cell))
    what = f"is missing ({cell!r})" if cell.lower() in MISSING else _why_no_number(cell)
    hint = f"; --drop-column {k + 1} (drop_columns) leaves a column out that is no feature"
    if cell.lower() in MISSING:
        hint = f"; fill it in, or leave out the line or, by --drop-column {k + 1} (drop_columns), the column"
    if first:
        hint = "; if this line is a header, --header (header=True) says so"
    raise FileFormatError(text.path, f"line {text.line}, {columns.called(k)} {what}{hint}")


def _why_no_number(cell: str) -> str:
    try:
        what = "a number" if math.isfinite(float(cell)) else "a finite number"  # float() reads 1_0 too
    except ValueError:
        what = "a number"
    return f"holds {cell[:40]!r}, which is not {what}"


def _is_number(cell: str) -> bool:
    """Whether it is a finite decimal number."""
    try:
        return NUMBER_CHARACTERS.fullmatch(cell) is not None and math.isfinite(float(cell))
    except ValueError:
        return False


def _require_one_decimal(text: _Text, sign: str) -> None:
    text.decimal = text.decimal or sign
    if text.decimal != sign:
        which = "comma" if sign == "," else "point"
        raise FileFormatError(text.path, f"line {text.line} has a decimal {which}, and lines before have the other one")


def _why_empty(labels: _Labels, header: bool) -> str:
    if labels.others:
        return f"no label is one of {_listed([str(c) for c in labels.choices.classes or ()], 2)}"
    return "it has a header and no samples" if header else "it has no samples"


# --- arrays, frames, files of columns ---------------------------------------------------------------


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
    labels = _Labels(source, choices)
    kept = np.array([labels.wants(str(label)) for label in y.tolist()], dtype=np.bool_)
    columns = _Columns(source, [""] * X.shape[1], choices, label=False)
    return _finished(X[kept][:, columns.features], labels, columns, [])


def signs_of(source: Any, labels: Sequence[Any], choices: Choices) -> tuple[Array, Any, dict[str, Any]]:
    """±1 for the labels that are kept, which ones those are, and what a `ReadReport` says of them.

    Parameters
    ----------
    source : path
        What messages call it.
    labels : sequence
        One label of any kind for each sample.
    choices : Choices
        `positive_label` and `classes`; the other options go with a table.

    Raises
    ------
    FileFormatError
        If the labels are not two.
    InvalidParameterError
        If `choices` speak of columns.

    Examples
    --------
    >>> signs_of("two.svm", ["cat", "dog", "cow"], Choices(classes=("dog", "cat")))[:2]
    (array([-1.,  1.]), array([ True,  True, False]))
    """
    for name in ("header", "label_column", "drop_columns"):
        if getattr(choices, name) != getattr(DEFAULT, name):
            raise InvalidParameterError(name, "go with a table, which has columns with names", getattr(choices, name))
    found = _Labels(source, choices)
    kept = np.array([found.wants(str(label)) for label in labels], dtype=np.bool_)
    signs = found.signs()
    counts = tuple((text, signs[key], found.keys.count(key)) for key, text in found.texts.items())
    others = [f"{count} of {text}" for text, count in found.others.values()]
    notes = (f"left out: rows of other classes, {_listed(others, 6)}",) if others else ()
    return np.array([signs[key] for key in found.keys], dtype=np.float64), kept, {"classes": counts, "notes": notes}


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
    columns = _Columns(source, names, choices)
    labels = _Labels(source, choices)
    texts = [_cell_text(value) for value in series(columns.label)]
    if any(text.lower() in MISSING for text in texts):
        row = next(k for k, text in enumerate(texts) if text.lower() in MISSING)
        raise FileFormatError(source, f"the label in row {row} (from 0), {columns.called(columns.label)}, is missing")
    kept = [k for k, text in enumerate(texts) if labels.wants(text)]
    if not kept:
        raise FileFormatError(source, _why_empty(labels, header=False))
    if 8 * len(kept) * len(columns.features) > LIMIT_BYTES:
        raise FileFormatError(source, f"it holds more than the {LIMIT_BYTES / 2**30:g} GiB of numbers that are read")
    X = np.empty((len(kept), len(columns.features)))
    for j, k in enumerate(columns.features):
        X[:, j] = _as_numbers(source, series(k), kept, columns.called(k))
    index = getattr(frame, "index", None)
    notes = ["the index is left out"] if index is not None and type(index).__name__ != "RangeIndex" else []
    return _finished(X, labels, columns, notes)


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
        if not isinstance(value, (str, bytes)) and _is_number(text):
            numbers[j] = float(text)
        elif text.lower() in MISSING:
            raise FileFormatError(source, f"row {row} (from 0), {called} is missing")
        else:
            raise FileFormatError(source, f"row {row} (from 0), {called} holds {text[:40]!r}, which is not a number")
    return numbers


# --- what all tables have in common -----------------------------------------------------------------


class _Columns:
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
        there = f"1 to {count}" + (f" ({_listed(names, 8)})" if names else "")
        raise InvalidParameterError(parameter, f"be one of the columns of `{self.source}`, {there}", wanted)


def _finished(X: Any, labels: _Labels, columns: _Columns, notes: list[str]) -> tuple[Dataset, ReadReport]:
    signs = labels.signs()
    data = _dataset(labels.source, X, np.array([signs[key] for key in labels.keys], dtype=np.float64))
    if columns.dropped:
        notes.append(f"left out: {_listed([columns.called(k) for k in columns.dropped], 8)}")
    if labels.others:
        rows = [f"{count} of {text}" for text, count in labels.others.values()]
        notes.append(f"left out: rows of other classes, {_listed(rows, 6)}")
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
    return tuple(map(_printable, found[:3] + more))


def _dataset(source: Any, X: Any, y: Any) -> Dataset:
    try:
        return Dataset(X, y)
    except ImplicitBiasError as error:
        raise FileFormatError(source, str(error).rstrip(".")) from error


def _key(text: str) -> Any:
    """Labels are the same if they are the same number, or the same text."""
    text = text.strip()
    return float(text) + 0.0 if _is_number(text) else text


def _listed(names: Sequence[str], most: int) -> str:
    """Names separated by commas, the first ones if there are many."""
    shown = ", ".join(name[:40] for name in names[:most])
    return shown if len(names) <= most else f"{shown}, ... ({len(names)} in all)"


def _printable(text: str) -> str:
    r"""With escapes in place of characters that a terminal would act on.

    Examples
    --------
    >>> print(_printable("a\x1b[31m, \udcff"))
    a\x1b[31m, \xff
    """
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is no text
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")
