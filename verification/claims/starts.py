"""What a verification begins with and ends by: its starts, and the limit on its time."""

from __future__ import annotations

from dataclasses import dataclass

from refimpl.errors import ImplicitBiasError
from refimpl.validation import Array

__all__ = ["Start", "TimeLimitError"]


class TimeLimitError(ImplicitBiasError):
    """The time limit of `verify` was reached."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"time: the limit of {seconds:g} s was reached.")


@dataclass(frozen=True, eq=False)
class Start:
    """One initialization: its weights W0 and the scale that names it."""

    scale: float
    W0: Array
