"""What a gradient flow tells of its way: events, progress, and the path at the recorded times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.display import frame
from refimpl.validation import Array

__all__ = ["FlowEvent", "FlowProgress", "Trajectory"]


@dataclass(frozen=True)
class FlowEvent:
    """One change of the activation pattern: unit (neuron, sample) at time s.

    `kind` is "crossed", "began to slide" or "released"; `side` is the side of the kink that the
    unit goes to, +1 or -1, and 0 while it slides.
    """

    s: float
    neuron: int
    sample: int
    kind: str
    side: int


@dataclass(frozen=True)
class FlowProgress:
    """How far a flow is: what `gradient_flow(progress=...)` tells.

    Attributes
    ----------
    s : float
        Loss-normalized time.
    events : int
        Changes of the pattern so far.
    steps : int
        Steps of the solver so far.
    growth_gap : float
        (wᵀMw - min_i (Mw)_i)/wᵀMw, check (a) of docs/theory.md, section 7: at most `GROWTH_GAP_TOLERANCE` at the
        limit; inf where the margins do not grow.
    seconds : float
        Wall time since the start.
    log_loss : float
        log L.
    opposed : int
        Units that are not on the side of their kink that a_j y_i has; 0 at limits under the conditions of section 5.

    Examples
    --------
    >>> print(FlowProgress(12.5, 340, 400, 0.02, 1.5, -3.0))
    s = 12.5, loss 0.0498, 340 events, growth gap 2e-02
    >>> print(FlowProgress(12.5, 340, 400, 0.02, 1.5, -3000.0))
    s = 12.5, loss e^-3000, 340 events, growth gap 2e-02
    """

    s: float
    events: int
    steps: int
    growth_gap: float
    seconds: float
    log_loss: float
    opposed: int = 0

    def __str__(self) -> str:
        loss = f"{np.exp(self.log_loss):.3g}" if abs(self.log_loss) < 700.0 else f"e^{self.log_loss:.0f}"
        return f"s = {self.s:.6g}, loss {loss}, {self.events} events, growth gap {self.growth_gap:.0e}"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The path at the recorded times, T of them.

    Attributes
    ----------
    s : ndarray, shape (T,)
        Loss-normalized time, ds = (1/n) Σ g_i dt; inf where X or a is so small that s leaves the range of float64.
    log_time : ndarray, shape (T,)
        log t, t the plain time of dW/dt = -∇L; -inf at the start.
    log_loss : ndarray, shape (T,)
        log L.
    margins : ndarray, shape (T, n)
        q_i.
    sample_weights : ndarray, shape (T, n)
        w = g/Σg.
    norm : ndarray, shape (T,)
        ‖W‖_F.
    smoothed_margin : ndarray, shape (T,)
        ℓ⁻¹(nL)/‖W‖_F; monotone once L < ℓ(0)/n. NaN where W = 0.
    """

    s: Array
    log_time: Array
    log_loss: Array
    margins: Array
    sample_weights: Array
    norm: Array
    smoothed_margin: Array

    def __repr__(self) -> str:
        """One line."""
        T, n = self.margins.shape
        end = f"s = {self.s[-1]:.6g}, log L = {self.log_loss[-1]:.4g}" if T else "empty"
        return f"<Trajectory: {T} times, {n} samples; at the end {end}>"

    def to_frame(self) -> Any:
        """A pandas frame with a row for each recorded time; the smallest margin stands for all of them."""
        names = ("s", "log_time", "log_loss", "norm", "smoothed_margin")
        return frame({name: getattr(self, name) for name in names} | {"smallest_margin": self.margins.min(axis=1)})
