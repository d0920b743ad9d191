"""Tables of text, one sample a line.

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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

import numpy as np

from refimpl.archive import LIMIT_BYTES
from refimpl.dataset import Dataset
from refimpl.errors import FileFormatError, ImplicitBiasError
from refimpl.files import open_regular
from refimpl.tables.cells import MISSING, NUMBER_CHARACTERS, is_number, key_of
from refimpl.tables.choices import DEFAULT, Choices, ReadReport
from refimpl.tables.columns import ColumnRoles, finished
from refimpl.tables.labels import Labels, why_empty

__all__ = ["read_text_table"]

TABLE_LIMIT_BYTES, LINE_LIMIT = 2**30, 2**26
"""A table of text may have 1 GiB once uncompressed, and 64 Mi characters a line."""

HEAD = 20
"""Lines from which the separator is told."""
LIKE_A_VALUE = re.compile(r"[-+]?\.?[0-9]|[-+]?(inf|infinity)$", re.ASCII | re.IGNORECASE)


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
        if total > TABLE_LIMIT_BYTES:
            raise FileFormatError(path, f"it has more than the {TABLE_LIMIT_BYTES / 2**30:g} GiB of text that are read")
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
    columns = ColumnRoles(path, first if header else [""] * len(first), choices)
    labels, values = Labels(path, choices), array("d")
    for cells in rows if header else chain([first], rows):
        if labels.wants(_label_in(text, cells, columns)):
            chosen = [cells[k] for k in columns.features]
            values.extend(_numbers_in(text, chosen, columns, first=cells is first and choices.header is None))
        if 8 * len(values) > LIMIT_BYTES:
            raise FileFormatError(path, f"it holds more than the {LIMIT_BYTES / 2**30:g} GiB of numbers that are read")
    if not labels.keys:
        raise FileFormatError(path, why_empty(labels, header))
    X = np.frombuffer(values, dtype=np.float64).reshape(len(labels.keys), len(columns.features))
    return finished(X, labels, columns, ["the first line is a header" if header else "no header", *text.notes])


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
    named = choices.label_column in cells and not isinstance(key_of(str(choices.label_column)), float)
    if named or "label" in (cell.lower() for cell in cells):
        return True
    blanks = cells.count("")
    values = [cell for cell in cells if cell and (cell.lower() in MISSING or LIKE_A_VALUE.match(cell))]
    return not values and blanks <= 1 and blanks < len(cells)


def _label_in(text: _Text, cells: list[str], columns: ColumnRoles) -> str:
    """The label of one row, whose width is looked at too."""
    if len(cells) != len(columns.names):
        raise FileFormatError(text.path, f"line {text.line} has {len(cells)} columns, not {len(columns.names)}")
    label = cells[columns.label]
    if label.lower() in MISSING:
        raise FileFormatError(text.path, f"the label in line {text.line}, {columns.called(columns.label)}, is missing")
    return label


def _numbers_in(text: _Text, cells: list[str], columns: ColumnRoles, first: bool) -> list[float]:
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
    k, cell = next((k, cell) for k, cell in zip(columns.features, cells, strict=True) if not is_number(cell))
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


def _require_one_decimal(text: _Text, sign: str) -> None:
    text.decimal = text.decimal or sign
    if text.decimal != sign:
        which = "comma" if sign == "," else "point"
        raise FileFormatError(text.path, f"line {text.line} has a decimal {which}, and lines before have the other one")
