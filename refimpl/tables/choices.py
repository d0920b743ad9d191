"""How a table is to be read, and the record of what was read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from refimpl.errors import InvalidParameterError
from refimpl.tables.cells import key_of, listed, printable

__all__ = ["DEFAULT", "Choices", "ReadReport"]


@dataclass(frozen=True)
class Choices:
    """How a table is to be read.

    Attributes
    ----------
    header : bool, optional
        Whether the first line of a text is a header; by default the rule of `refimpl.tables.text` decides.
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
            first, second = (key_of(str(name)) for name in self.classes)
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
        names = f" ({listed(self.names, 8)})" if self.names else ""
        classes = ", ".join(f"{count} x {text} -> {sign:+d}" for text, sign, count in self.classes)
        more = "".join(f"; {note}" for note in self.notes)
        size = f"n = {self.n} samples, d = {self.d} features{names}"
        return printable(f"{self.source}: {size}; labels in {self.label}: {classes}{more}")
