"""The scoreboard: what was asked of an implementation, and what became of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from refimpl.errors import FileFormatError
from refimpl.files import read_json

__all__ = ["Item", "Outcome", "Scoreboard", "differences", "read_board"]


class Outcome(Enum):
    """What became of one item."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_OFFERED = "not offered"


@dataclass(frozen=True)
class Item:
    """One vector case, check or property.

    Attributes
    ----------
    id : str
        Such as "vectors/gradient-003", "checks/loss_values", "properties/homogeneity".
    section : str
        The line of the scoreboard it belongs to.
    outcome : Outcome
    message : str
        Why it failed, was skipped or was not asked; empty if it passed.
    first_difference : str or None
        Of a failed item: the first intermediate that differs.
    comment : str
        What the item is.
    printed : str
        What the implementation printed meanwhile, if it ran in a process of its own; shortened.
    """

    id: str
    section: str
    outcome: Outcome
    message: str = ""
    first_difference: str | None = None
    comment: str = ""
    printed: str = ""

    @staticmethod
    def from_dict(content: dict[str, Any]) -> Item:
        """The item that `to_dict` made the content from.

        Examples
        --------
        >>> item = Item("checks/loss_values", "checks", Outcome.FAILED, "raised SystemExit")
        >>> Item.from_dict(item.to_dict()) == item
        True
        """
        return Item(**(content | {"outcome": Outcome(content["outcome"])}))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self) | {"outcome": self.outcome.value}


@dataclass(frozen=True)
class Scoreboard:
    """All items of one run.

    Attributes
    ----------
    subject : str
        The implementation, or the folder with answers.
    items : tuple of Item
    dtype : str
        In which everything was asked.
    """

    subject: str
    items: tuple[Item, ...]
    dtype: str = "float64"

    @property
    def failed(self) -> list[Item]:
        """The items that failed."""
        return [item for item in self.items if item.outcome is Outcome.FAILED]

    @property
    def exit_code(self) -> int:
        """1 if an item failed, or none passed; else 0."""
        return int(bool(self.failed) or self.count(Outcome.PASSED) == 0)

    def count(self, outcome: Outcome, section: str | None = None) -> int:
        """Number of items with this outcome, in one section or in all."""
        return sum(item.outcome is outcome and section in (None, item.section) for item in self.items)

    @property
    def badge(self) -> str:
        """What people can publish: how many of the items that were asked passed.

        Examples
        --------
        >>> Scoreboard("mine", (Item("checks/a", "checks", Outcome.PASSED),), "float32").badge
        '1/1 float32'
        """
        passed = self.count(Outcome.PASSED)
        return f"{passed}/{passed + len(self.failed)} {self.dtype}"

    def summary(self) -> str:
        """One sentence."""
        counts = Counter(item.outcome for item in self.items)
        return ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome) + f": {self.subject}"

    @property
    def printed(self) -> list[Item]:
        """The items during which the implementation printed something."""
        return [item for item in self.items if item.printed]

    def table(self) -> Table:
        """One line a section."""
        table = Table("section", *(outcome.value for outcome in Outcome))
        for section in dict.fromkeys(item.section for item in self.items):
            counts = [self.count(outcome, section) for outcome in Outcome]
            style = "red" if counts[1] else "green" if counts[0] else "dim"
            table.add_row(Text(section, style=style), *(str(count or "-") for count in counts))
        return table

    def failures(self, of_each: int = 4) -> Table:
        """The first failed items of each section, with why and where; without frames, which leave words no room."""
        table = Table("failed", "first that differs", "what was found", box=None, padding=(0, 2, 0, 0), pad_edge=False)
        shown = [item for item in self.failed if self._place(item) < of_each]
        for item in shown:
            what = f"{item.comment}: {item.message}" if item.comment else item.message
            table.add_row(item.id, item.first_difference or "-", Text(what))
        if len(self.failed) > len(shown):
            table.add_row("...", "", f"and {len(self.failed) - len(shown)} more (--json FILE has all of them)")
        return table

    def diagnosis(self) -> str:
        """What differs first, and in how many of the failures; what to do where nothing was asked; or nothing.

        Examples
        --------
        >>> items = [Item(f"vectors/{k}", "vectors", Outcome.FAILED, "", "slope") for k in range(2)]
        >>> items.append(Item("checks/a", "checks", Outcome.FAILED))
        >>> Scoreboard("mine", tuple(items)).diagnosis()
        'What differs first: slope in 2 of 3 failures.'
        >>> Scoreboard("mine", (Item("checks/a", "checks", Outcome.NOT_OFFERED),)).diagnosis()
        'Nothing was asked: it offers none of the operations that `implicit-bias conformance --help` lists.'
        """
        if self.count(Outcome.NOT_OFFERED) and not self.failed and not self.count(Outcome.PASSED):
            return "Nothing was asked: it offers none of the operations that `implicit-bias conformance --help` lists."
        found = Counter(item.first_difference for item in self.failed if item.first_difference)
        if found:
            told = ", ".join(f"{name} in {count}" for name, count in found.most_common())
            return f"What differs first: {told} of {len(self.failed)} failures."
        if self.failed and self.dtype != "float64":
            return f"What differs first is looked for in float64 only, not in {self.dtype}."
        return ""

    def _place(self, item: Item) -> int:
        """How many items of its section failed before it."""
        return [other.id for other in self.failed if other.section == item.section].index(item.id)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "schema_version": 1,
            "subject": self.subject,
            "dtype": self.dtype,
            "badge": self.badge,
            "counts": {outcome.value: self.count(outcome) for outcome in Outcome},
            "items": [item.to_dict() for item in self.items],
            "exit_code": self.exit_code,
        }


def read_board(path: str | Path) -> dict[str, Any]:
    """What `implicit-bias conformance --json` wrote.

    Raises
    ------
    FileFormatError
        If the file is not that.
    """
    content = read_json(path)
    try:
        if content["schema_version"] != 1 or not isinstance(content["badge"], str):
            raise ValueError
        outcomes = {str(item["id"]): Outcome(item["outcome"]) for item in content["items"]}
    except (ValueError, KeyError, TypeError) as error:
        raise FileFormatError(path, "it is not what `conformance --json` writes") from error
    return {"subject": str(content["subject"]), "badge": content["badge"], "outcomes": outcomes}


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Items whose outcomes are not the same: (id, outcome in the first, in the second), "absent" if there is none."""
    a, b = first["outcomes"], second["outcomes"]
    ids = dict.fromkeys([*a, *b])
    return [(id, _word(a.get(id)), _word(b.get(id))) for id in ids if a.get(id) is not b.get(id)]


def _word(outcome: Outcome | None) -> str:
    return "absent" if outcome is None else outcome.value
