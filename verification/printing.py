"""Tables, on consoles that show text as it is: no markup, and only characters that the stream has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from verification.streams import HANDLER, printable

__all__ = ["FittingTable", "PlainConsole", "console_for", "sentence"]


class PlainConsole(Console):
    """A console on which a name of a file is shown as it is, whatever it looks like."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does, of text that the stream can take; tables measure this."""
        return super().render_str(self._shown(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The same for text that was made with a style."""
        if isinstance(renderable, Text) and self._shown(renderable.plain) != renderable.plain:
            shown, renderable = self._shown(renderable.plain), renderable.copy()
            renderable.plain = shown
        return super().render(renderable, options)

    def on_broken_pipe(self) -> None:
        """Whoever read standard output has gone: told to the caller (rich would exit with 1)."""
        raise BrokenPipeError

    def _shown(self, text: str) -> str:
        lines = "\n".join(printable(line) for line in text.split("\n"))
        return lines.encode(self.encoding, HANDLER).decode(self.encoding)


WIDE = 180
"""Characters in which every table has room for all of its columns."""


def console_for(stream: Any, wide: bool = False) -> PlainConsole:
    """A console as wide as the terminal; as wide as every table needs where there is none, or if `wide`."""
    found = PlainConsole(file=stream)
    return found if found.is_terminal and not wide else PlainConsole(file=stream, width=max(WIDE, found.width))


@dataclass(frozen=True, eq=False)
class FittingTable:
    """A table without frames, and in parts, where it does not fit; each part repeats the leading columns.

    Where these alone have no room, their cells are cut all the same.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    leading: int = 1
    title: str | None = None
    caption: str | None = None
    justify: JustifyMethod = "left"
    pad_edge: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or its parts one below the other."""
        every = list(range(len(self.head)))
        lead, rest = every[: self.leading], every[self.leading :]
        if self._fits(every, False, console, options):
            yield self._table(every, False)
            return
        while rest:
            count = len(rest)
            while count > 1 and not self._fits(lead + rest[:count], True, console, options):
                count -= 1
            part, rest = lead + rest[:count], rest[count:]
            yield self._table(part, True, last=not rest)

    def _fits(self, columns: Sequence[int], tight: bool, console: Console, options: ConsoleOptions) -> bool:
        table = self._table(columns, tight)
        return console.measure(table, options=options.update(max_width=10_000)).maximum <= options.max_width

    def _table(self, columns: Sequence[int], tight: bool, last: bool = True) -> Table:
        style: dict[str, Any] = {"box": None, "padding": (0, 1, 0, 0)} if tight else {}
        pad_edge = self.pad_edge and not tight
        table = Table(
            pad_edge=pad_edge, title=self.title, title_justify="left", caption=self.caption if last else None, **style
        )
        for k in columns:
            table.add_column(self.head[k], justify=self.justify, no_wrap=True)
        for row in self.rows:
            table.add_row(*(row[k] for k in columns))
        return table


def sentence(text: str) -> Text:
    """The last line of a command."""
    return Text(printable(text), style="bold")
