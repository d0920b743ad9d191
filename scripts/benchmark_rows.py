"""One measurement of `benchmark.py`: seconds against those of a peer or a limit, and how they are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

__all__ = ["Accuracy", "Row", "Rows", "Skipped", "fastest", "from_peer", "once"]


@dataclass(frozen=True)
class Accuracy:
    """What was compared, by how much it is off, and by how much it may be."""

    what: str
    value: float
    gate: float

    def __str__(self) -> str:
        return f"{self.what} {self.value:.0e} ({'met' if self.value <= self.gate else 'NOT MET'}: {self.gate:.0e})"


@dataclass(frozen=True)
class Row:
    """One measurement: `ours` against `peer`, or against a limit, both in seconds."""

    name: str
    what: str
    ours: float
    against: str
    peer: float
    gate: float | None
    aim: float | None = None
    accuracy: Accuracy | None = None
    note: str = ""
    profile: dict[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """ours / peer."""
        return self.ours / self.peer


class Skipped(Exception):  # noqa: N818  (not an error: it is said and the run goes on)
    """A peer that is not installed."""


def fastest(work: Callable[[], Any], repetitions: int = 5) -> float:
    """Smallest wall time of several calls, after one that is not counted."""
    work()
    return min(once(work)[1] for _ in range(repetitions))


def once(work: Callable[[], Any]) -> tuple[Any, float]:
    """The answer of one call and its wall time."""
    started = perf_counter()
    answer = work()
    return answer, perf_counter() - started


def from_peer(work: Callable[..., Any], *arguments: Any) -> Any:
    """What the peer answers, or Skipped."""
    try:
        return work(*arguments)
    except ImportError as error:
        raise Skipped(f"{work.__name__}: {error} (it comes with the extra `bench`)") from error
    except LookupError as error:
        raise Skipped(f"{work.__name__}: {error}") from error


Rows = Iterator[Row | Skipped]
