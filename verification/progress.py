"""What long work tells of itself: sentences that know how much of it is done."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from refimpl.flow import FlowProgress

__all__ = ["FlowTold", "Steps", "StepsTold", "Told"]

TELL_EVERY = 0.1
"""Seconds between two sentences on steps that are counted, at least."""

ALMOST = 0.99
"""The largest part of a flow that is told as done while it still goes on."""


class Told(str):
    """A sentence on what is being done, and how far that is; shown as text where no terminal is.

    Parameters
    ----------
    what : str
        The work, in words that stay the same while it goes on.
    counts : str, optional
        How far it is, in words; the sentence is "what: counts".
    part : float in [0, 1], optional
        The part of the work that is done; None where its end cannot be estimated.
    steps : (int, int), optional
        How many pieces of work of this kind are finished, and how many there are.
    at_most : float, optional
        Seconds after which all of it ends in any case.

    Examples
    --------
    >>> told = Told("gradient descent", "step 25 of 100", part=0.25)
    >>> told, told.part
    ('gradient descent: step 25 of 100', 0.25)
    """

    __slots__ = ("at_most", "part", "steps", "what")

    what: str
    part: float | None
    steps: tuple[int, int] | None
    at_most: float | None

    def __new__(
        cls,
        what: str,
        counts: str = "",
        part: float | None = None,
        steps: tuple[int, int] | None = None,
        at_most: float | None = None,
    ) -> Told:
        told = super().__new__(cls, f"{what}: {counts}" if counts else what)
        told.what, told.part, told.steps, told.at_most = what, part, steps, at_most
        return told

    @classmethod
    def among(cls, message: str, steps: tuple[int, int] | None, at_most: float | None) -> Told:
        """A sentence, with what is known of the work that it is one piece of."""
        told = cls(message, "", getattr(message, "part", None), steps, at_most)
        told.what = getattr(message, "what", message)
        return told


class Steps:
    """How many pieces of a long work there are, and how many are finished.

    Parameters
    ----------
    claims, runs : int
        How many claims, and how many flows and descents; 0 where these are not counted beforehand.

    Examples
    --------
    >>> steps = Steps(12)
    >>> steps.finish()
    >>> steps.finish_run()
    >>> steps.told
    (1, 12)
    """

    def __init__(self, claims: int = 0, runs: int = 0) -> None:
        self.done, self.total, self.runs = 0, claims + runs, runs

    def finish(self) -> None:
        """One piece is finished."""
        self.done += 1

    def finish_run(self) -> None:
        """One flow or descent is finished."""
        self.done += self.runs > 0

    @property
    def told(self) -> tuple[int, int] | None:
        """For `Told`; None where the pieces were not counted beforehand."""
        return (min(self.done, self.total), self.total) if self.total else None


class StepsTold:
    """Tells, at most ten times a second, how many of equal steps were taken.

    Parameters
    ----------
    tell : callable
    what : str
    steps : int
        How many there are.

    Examples
    --------
    >>> told = StepsTold(print, "gradient descent", 100)
    >>> told(25)
    gradient descent: step 25 of 100
    """

    def __init__(self, tell: Callable[[str], Any], what: str, steps: int) -> None:
        self.tell, self.what, self.steps, self.next = tell, what, steps, 0.0

    def __call__(self, step: int) -> None:
        """Tell that `step` steps were taken."""
        now = perf_counter()
        if now >= self.next:
            self.next = now + TELL_EVERY
            self.tell(Told(self.what, f"step {step} of {self.steps}", step / self.steps))


class FlowTold:
    """Tells how far a flow is, and how much of it is done where that can be estimated.

    Where one of the conditions of docs/theory.md, section 5, holds, every unit ends on the side that the signs of a_j
    and y_i give it, and crosses its kink once: what is left of a flow goes with the units that are still to cross.
    Elsewhere sides say nothing of the end, and nothing is estimated.

    Parameters
    ----------
    tell : callable
    what : str
    condition_holds : bool

    Examples
    --------
    >>> told = FlowTold(lambda told: print(told.part), "gradient flow", True)
    >>> for opposed in (80, 60, 20):
    ...     told(FlowProgress(1.0, 80 - opposed, 100, 0.1, 1.0, -3.0, opposed))
    0.0
    0.25
    0.75
    """

    def __init__(self, tell: Callable[[str], Any], what: str, condition_holds: bool) -> None:
        self.tell, self.what, self.condition_holds, self.most = tell, what, condition_holds, 0

    def __call__(self, state: FlowProgress) -> None:
        """Tell what the flow tells."""
        self.most = max(self.most, state.opposed)
        estimated = self.condition_holds and self.most > 0
        part = min(ALMOST, 1.0 - state.opposed / self.most) if estimated else None
        self.tell(Told(self.what, str(state), part))
