"""Bars on a terminal: what is being done, how far it is, and the time left where that can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import perf_counter

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from verification.printing import PlainConsole
from verification.progress import Told
from verification.streams import printable

__all__ = ["Bars", "progress", "tell_passes"]

BAR = 24
"""Characters of a bar."""

REFRESHES = 4
"""A second."""

TIME_BEFORE_ESTIMATE, PART_BEFORE_ESTIMATE = 1.0, 0.01
"""Seconds, and the part of the work, before which no time left is estimated."""


class Bars:
    """What is shown of long work: a bar of its pieces, if they are counted, one of the present piece, a sentence.

    Parameters
    ----------
    clock : callable
        Gives the time in seconds.

    Examples
    --------
    >>> bars = Bars(iter([0.0, 10.0, 20.0, 20.0]).__next__)
    >>> for part in (0.0, 0.25):
    ...     bars.tell(Told("gradient flow 1 of 3", "12 events", part, steps=(10, 40), at_most=90.0))
    >>> console = PlainConsole(width=76, color_system=None)
    >>> console.print(bars.shown())  # doctest: +NORMALIZE_WHITESPACE
    0:00:20 ━━━━━━                   10 of 40 steps, at most 0:01:30 left
    0:00:10 ━━━━━━                   about 0:00:30 left
    gradient flow 1 of 3: 12 events
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._started = self._began = self._told_at = clock()
        self._told = Told("starting")
        self._from = 0.0

    def tell(self, message: str) -> None:
        """Take note of what is being done."""
        told = message if isinstance(message, Told) else Told(message)
        self._told_at = self._clock()
        if told.what != self._told.what:
            self._began, self._from = self._told_at, told.part or 0.0
        elif told.part is not None and told.part < (self._told.part or 0.0):
            self._began, self._from = self._told_at, told.part
        self._told = told

    def shown(self) -> RenderableType:
        """Two or three lines."""
        now, told = self._clock(), self._told
        lines = Table.grid(padding=(0, 1, 0, 0))
        for _ in range(3):
            lines.add_column(no_wrap=True)
        at_most = "" if told.at_most is None else f"at most {_time(told.at_most - (now - self._told_at))} left"
        if told.steps is not None:
            done, of = told.steps
            lines.add_row(_time(now - self._started), _bar(done / of, now), _joined(f"{done} of {of} steps", at_most))
            lines.add_row(_time(now - self._began), _bar(told.part, now), self._left(now))
        else:
            lines.add_row(_time(now - self._started), _bar(told.part, now), _joined(self._left(now), at_most))
        return Group(lines, Text(printable(told), no_wrap=True, overflow="crop"))

    def _left(self, now: float) -> str:
        """The time that the present piece will take, if it goes on as it did since it was first told of."""
        part, spent = self._told.part, now - self._began
        if part is None:
            return ""
        gained = part - self._from
        if spent < TIME_BEFORE_ESTIMATE or gained < PART_BEFORE_ESTIMATE:
            return ""
        at_last_word = self._told_at - self._began
        return f"about {_time(at_last_word * (1.0 - part) / gained - (now - self._told_at))} left"


def _joined(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _time(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(timedelta(seconds=int(max(0.0, seconds))))


def _bar(part: float | None, now: float) -> ProgressBar:
    """A bar that fills, or one that moves where the end is not known."""
    if part is None:
        return ProgressBar(total=None, width=BAR, pulse=True, animation_time=now)
    return ProgressBar(total=1.0, completed=part, width=BAR)


@contextmanager
def progress() -> Iterator[Callable[..., None]]:
    """A function that tells what is being done, shown with bars on standard error; silent where no terminal is.

    It takes a sentence, or a `Told` that knows how far the work is. With `lasting=True` it writes a line that stays,
    above those that change.
    """
    console = PlainConsole(stderr=True)
    if not console.is_terminal:
        yield lambda message, lasting=False: None
        return
    bars = Bars()
    with Live(console=console, get_renderable=bars.shown, refresh_per_second=REFRESHES, transient=True):

        def tell(message: str, lasting: bool = False) -> None:
            if lasting:
                console.print(message, highlight=False, no_wrap=True, overflow="ellipsis")
            else:
                bars.tell(message)

        _PASSES.append(tell)
        try:
            yield tell
        finally:
            _PASSES.pop()


_PASSES: list[Callable[..., None]] = []
"""Those who are to be told of passes over tiles of columns, wherever these are made; the last one is."""


def tell_passes(done: int, count: int) -> None:
    """The progress of a pass over tiles, for `refimpl.tiles.Plan`."""
    if _PASSES:
        _PASSES[-1](Told("tiles of columns", f"{done} of {count}", done / count))
