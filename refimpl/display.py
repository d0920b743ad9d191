"""Results in a notebook: a table in HTML, a figure, a data frame.

Tables need nothing. Figures are drawn by what is installed under the entry point `implicit_bias.pictures`, and frames
by pandas; this package imports neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from refimpl.errors import ImplicitBiasError, MissingExtraError

__all__ = ["Displayed", "frame", "html_table", "shown"]

GROUP = "implicit_bias.pictures"


class Displayed:
    """A result that a notebook shows as a table of `facts`, and that can be drawn."""

    def facts(self) -> list[tuple[str, str]]:
        """What is to be known of it, as pairs of a name and a value in words."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return html_table(type(self).__name__, ("what", "value"), self.facts())

    def plot(self) -> Any:
        """A matplotlib figure of it.

        Raises
        ------
        ImplicitBiasError
            If nothing that is installed draws such a result.
        """
        name = type(self).__name__
        for entry in entry_points(group=GROUP, name=name):
            return entry.load()(self)
        raise ImplicitBiasError(f"no picture of {name} can be drawn: nothing that is installed draws one.")


def html_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in HTML; every text is escaped.

    Examples
    --------
    >>> html_table("a < b", ("name", "value"), [("x", "1")])
    '<table><caption>a &lt; b</caption><tr><th>name</th><th>value</th></tr><tr><td>x</td><td>1</td></tr></table>'
    """
    lines = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><tr>{_cells('th', head)}</tr>{lines}</table>"


def shown(value: float | None) -> str:
    """A number in few characters.

    Examples
    --------
    >>> [shown(x) for x in (0.0, 1.25, 3.2e-13, 20000.0, None)]
    ['0', '1.25', '3.2e-13', '2e+04', '-']
    """
    if value is None:
        return "-"
    if value == 0.0:
        return "0"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}".replace(".0e", "e")


def _cells(tag: str, texts: Sequence[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)


def frame(columns: Mapping[str, Any]) -> Any:
    """A pandas frame of columns of one length.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise MissingExtraError("pandas", "frames") from error
    return pandas.DataFrame(dict(columns))
