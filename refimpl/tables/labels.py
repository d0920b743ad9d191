"""Labels of any kind, turned into +1 and -1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refimpl.errors import FileFormatError, InvalidParameterError
from refimpl.tables.cells import key_of, listed
from refimpl.tables.choices import DEFAULT, Choices
from refimpl.validation import Array

__all__ = ["Labels", "signs_of", "why_empty"]


@dataclass
class Labels:
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
        self.wanted = None if classes is None else {key_of(str(name)) for name in classes}

    def wants(self, text: str) -> bool:
        """Take the label `text` of the next row; False if it is of a class that was not asked for."""
        key = key_of(text)
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
            absent = [str(name) for name in choices.classes if key_of(str(name)) not in found]
            if absent:
                there = listed([*self.texts.values(), *(text for text, _ in self.others.values())], 6)
                raise FileFormatError(self.source, f"no label is {absent[0]}; there are {there}")
            return {key_of(str(name)): sign for name, sign in zip(choices.classes, (1, -1), strict=True)}
        if choices.positive_label is not None:
            return self._one_against_the_other(key_of(str(choices.positive_label)))
        if found <= {1.0, -1.0}:
            return {1.0: 1, -1.0: -1}
        shown = listed(list(self.texts.values()), 6)
        if len(found) <= 2:
            advice = f"--positive-label {next(iter(self.texts.values()))} makes that one +1 and the other -1"
        else:
            advice = "--classes A B takes two of them as +1 and -1; --label-column names another column"
        raise FileFormatError(self.source, f"its labels are {shown}, not +1 and -1: {advice}")

    def _one_against_the_other(self, positive: Any) -> dict[Any, int]:
        shown = listed(list(self.texts.values()), 6)
        if positive not in self.texts:
            raise FileFormatError(self.source, f"no label is {self.choices.positive_label}; there are {shown}")
        if len(self.texts) > 2:
            raise FileFormatError(
                self.source, f"it has {len(self.texts)} labels, {shown}: --classes A B takes two of them"
            )
        return {key: 1 if key == positive else -1 for key in self.texts}


def why_empty(labels: Labels, header: bool) -> str:
    if labels.others:
        return f"no label is one of {listed([str(c) for c in labels.choices.classes or ()], 2)}"
    return "it has a header and no samples" if header else "it has no samples"


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
    found = Labels(source, choices)
    kept = np.array([found.wants(str(label)) for label in labels], dtype=np.bool_)
    signs = found.signs()
    counts = tuple((text, signs[key], found.keys.count(key)) for key, text in found.texts.items())
    others = [f"{count} of {text}" for text, count in found.others.values()]
    notes = (f"left out: rows of other classes, {listed(others, 6)}",) if others else ()
    return np.array([signs[key] for key in found.keys], dtype=np.float64), kept, {"classes": counts, "notes": notes}
