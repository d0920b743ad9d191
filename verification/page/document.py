"""What a page is made of, and its HTML, which escapes every text that it is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jinja2

from verification.page.pictures import svg

__all__ = ["Page", "Picture", "Section", "Table", "TableCell"]


@dataclass(frozen=True)
class TableCell:
    """Text of a table's cell; `tone`, "good", "bad", "doubt", "unmet" or "empty", colours it."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under a heading; the first cell of each row names it."""

    caption: str
    head: tuple[str, ...]
    rows: Sequence[Sequence[str | TableCell]]
    numbers: tuple[int, ...] = ()

    @property
    def cells(self) -> list[list[TableCell]]:
        """Every cell as a `TableCell`."""
        return [[cell if isinstance(cell, TableCell) else TableCell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Picture:
    """What `draw` puts on a pair of axes; `says` tells it to those who do not see it, `caption` to all."""

    draw: Callable[[Any], None]
    says: str
    caption: str
    square: bool = False

    @property
    def svg(self) -> str:
        """The picture as an element of the page."""
        return svg(self.draw, self.says, square=self.square)


@dataclass(frozen=True)
class Section:
    """A part of a page: sentences, then tables, then pictures, then parts that open on demand."""

    title: str
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    more: Sequence[Section] = ()

    @property
    def anchor(self) -> str:
        """What links to it."""
        return "".join(c if c.isalnum() else "-" for c in self.title.lower())


@dataclass(frozen=True)
class Page:
    """A title, what matters most in a few sentences, the sections, and how it was made.

    Attributes
    ----------
    title : str
    lead : str
        One sentence: the outcome.
    answer : sequence of str
        The answer in words.
    sections : sequence of Section
    command : str
        The command line that makes the page again; empty if there is none.
    environment : dict
        Versions of everything that the numbers depend on.

    Examples
    --------
    >>> page = Page("A report", "All is well.", ["Labels like <b> & co. stay text."])
    >>> "&lt;b&gt; &amp; co." in page.html(), "http" in page.html().replace("http://www.w3.org", "")
    (True, False)
    """

    title: str
    lead: str
    answer: Sequence[str] = ()
    sections: Sequence[Section] = ()
    command: str = ""
    environment: dict[str, Any] = field(default_factory=dict)

    def html(self) -> str:
        """The page, complete in itself."""
        loader = jinja2.PackageLoader("verification.page")
        made = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
        return made.get_template("page.html").render(page=self)
