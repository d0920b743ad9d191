"""What bounds a flow, and how its messages show time (docs/numerics.md, "Scale" and "Bounds")."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.flow.result import FlowLimit, FlowProgress, FlowStatus
from refimpl.flow.settings import Settings
from refimpl.validation import Array, IntArray

__all__ = ["Bounds", "Outcome", "Teller", "opposed_units", "slowness"]

TELL_EVERY = 0.1
"""Seconds between two calls of a progress function, at least."""

Outcome = tuple[FlowStatus, str, FlowLimit | None]
"""How a flow ended: status, message, and the limit if there is one."""


class Teller:
    """Tells how far a flow is, at most every `TELL_EVERY` seconds.

    Parameters
    ----------
    tell : callable
        Called with a `FlowProgress`.
    exponent : int
        s in the user's units is s · 2^exponent.
    """

    def __init__(self, tell: Callable[[FlowProgress], Any] | None = None, exponent: int = 0) -> None:
        self._tell, self._exponent = tell, exponent
        self._started = self._last = perf_counter()

    def __call__(
        self,
        s: float,
        events: int,
        steps: int,
        growth: Callable[[], tuple[Array, Array]],
        log_loss: Callable[[], float],
        opposed: Callable[[], int],
    ) -> None:
        """Tell, if it is time; `growth` gives w and M w, `log_loss` log L, `opposed` what `FlowProgress` has."""
        if self._tell is None or perf_counter() - self._last < TELL_EVERY:
            return
        w, grown = growth()
        mean = float(w @ grown)
        gap = (mean - float(grown.min())) / mean if mean > 0.0 else float("inf")
        with np.errstate(over="ignore"):
            s = float(np.ldexp(s, self._exponent))
        self._tell(FlowProgress(s, events, steps, gap, perf_counter() - self._started, log_loss(), opposed()))
        self._last = perf_counter()


@dataclass(frozen=True)
class Bounds:
    """Tolerances and bounds of one flow, in its own units of data, weights and time.

    Parameters
    ----------
    rtol, atol : float > 0
        Tolerances of the solver.
    max_time : float > 0
        Largest s.
    max_events, max_steps : int >= 1
        Largest number of changes of the pattern, of solver steps.
    time_limit : float > 0
        Largest wall time in seconds; inf for none.
    exponent : int
        s in the user's units is s · 2^exponent.
    started : float
        `perf_counter()` at the start, from which `time_limit` counts.
    tell : Teller
        Told how far the flow is.
    """

    rtol: float
    atol: float
    max_time: float
    max_events: int
    max_steps: int
    time_limit: float
    exponent: int
    started: float
    tell: Teller = field(default_factory=Teller)

    def settings(self, s: float, s_end: float | None = None, first_step: float | None = None) -> Settings:
        """Settings of a solver that begins at s; it ends at `max_time` by default."""
        return Settings(s, self.max_time if s_end is None else s_end, self.rtol, self.atol, first_step)

    def shown(self, s: float) -> str:
        """S in the user's units, for messages."""
        with np.errstate(over="ignore"):
            return f"{float(np.ldexp(s, self.exponent)):.6g}"

    def reached(self, s: float, events: int, steps: int) -> tuple[FlowStatus, str] | None:
        """The bound that is reached, if one is: its status, and a sentence."""
        if events >= self.max_events:
            return FlowStatus.MAX_EVENTS, f"{FlowStatus.MAX_EVENTS.value} ({events} events, s = {self.shown(s)})"
        if steps >= self.max_steps:
            return FlowStatus.MAX_EVENTS, f"{FlowStatus.MAX_EVENTS.value} ({steps} steps, s = {self.shown(s)})"
        if s >= self.max_time:
            return FlowStatus.MAX_TIME, f"{FlowStatus.MAX_TIME.value} (s = {self.shown(s)})"
        if perf_counter() - self.started >= self.time_limit:
            return (
                FlowStatus.TIME_LIMIT,
                f"{FlowStatus.TIME_LIMIT.value} ({self.time_limit:g} seconds, s = {self.shown(s)})",
            )
        return None

    def tightened(self, factor: float, smallest_rtol: float) -> Bounds:
        """The same with both tolerances multiplied by `factor`, rtol at least `smallest_rtol`, from now on."""
        return replace(
            self, rtol=max(factor * self.rtol, smallest_rtol), atol=factor * self.atol, started=perf_counter()
        )


def opposed_units(a: Array, y: Array, pattern: IntArray) -> int:
    """Units (j, i) that are not on the side of their kink that a_j y_i has: 0 in the limit under section 5.

    Examples
    --------
    >>> opposed_units(np.array([1.0, -1.0]), np.array([1.0, -1.0]), np.array([[1, 1], [0, 1]]))
    2
    """
    return int(np.sum(pattern * np.sign(a[:, None] * y) <= 0.0))


WIDE = 100.0
"""Condition of K, and spread of |a_j|, from which it is worth a word."""


def slowness(a: Array, gram: Array, growth: float) -> str:
    """What makes a flow slow, and what would help, in a few sentences.

    Parameters
    ----------
    a : ndarray, shape (m,)
        Second layer.
    gram : ndarray, shape (n, n)
        K.
    growth : float
        wᵀMw now, in units in which R_max² Σa² is near 1.

    Examples
    --------
    >>> slowness(np.array([1.0, -1.0]), np.diag([1.0, 1e-4]), 0.01).split(". ")[-1]
    'Centring the columns of X and bringing them to one scale often helps.'
    >>> slowness(np.array([1.0, -1e-5]), np.eye(2), 0.01).split(". ")[-1]
    'The |a_j| differ by the factor 1.0e+05, and neuron j moves in proportion to |a_j|.'
    """
    eigenvalues = np.linalg.eigvalsh(gram)
    positive = eigenvalues[eigenvalues > eigenvalues.size * np.finfo(np.float64).eps * eigenvalues[-1]]
    condition, spread = float(positive[-1] / positive[0]), float(np.abs(a).max() / np.abs(a).min())
    words = [
        f"The margins grow at {growth:.1e} R_max² Σa² now, and cond(K) = {condition:.1e}; a flow takes times in "
        "proportion to 1/growth and to cond(K)."
    ]
    if condition > WIDE:
        words.append("Centring the columns of X and bringing them to one scale often helps.")
    if spread > WIDE:
        words.append(f"The |a_j| differ by the factor {spread:.1e}, and neuron j moves in proportion to |a_j|.")
    return " ".join(words)
