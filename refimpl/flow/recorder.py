"""Collects the trajectory of a flow, with plain time in the log domain (docs/numerics.md)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp

from refimpl.flow.result import Trajectory
from refimpl.losses import Loss, log_sum_exp, mean_log_value
from refimpl.validation import Array

__all__ = ["TrajectoryRecorder"]


def _rule(nodes: int) -> tuple[Array, Array]:
    """Gauss-Legendre on [0, 1]: nodes, and logarithms of weights."""
    x, weights = np.polynomial.legendre.leggauss(nodes)
    return (1.0 + x) / 2.0, np.log(weights / 2.0)


_COARSE, _FINE = _rule(3), _rule(7)
_POINTS = np.concatenate([_COARSE[0], _FINE[0], [0.0, 1.0]])

AGREEMENT = 1e-5
"""Where three and seven Gauss points agree to this part, seven are right to about the 7/3rd power of it, 2e-12."""

FLAT = 0.2
"""Where 1/ḡ changes by less than this in the logarithm between three Gauss points they are right to 2e-10."""

AT_ONCE = 256
"""Steps whose plain time is computed at once."""

MOST_PARTS = 256
"""More parts of one step than this are refined no further: then it is rounding of margins that does not agree."""

NEGLIGIBLE = 40.0
"""A part of a step at most e^-40 of the whole is not refined."""


class TrajectoryRecorder:
    """Rows of a `Trajectory`, appended as the flow proceeds; what follows from margins comes at the end.

    Plain time is t = ∫ ds/ḡ with ḡ = (1/n) Σ g_i, added up step by step, all in the log domain: seven Gauss points
    on each part of a step, which is halved until three points agree with them (1/ḡ may grow by e^1000 in a step).

    Parameters
    ----------
    loss : Loss
    marks : ndarray, shape (k,)
        Ascending times.

    Attributes
    ----------
    mark : tuple of float and ndarray, or None
        (s, q) at the last of `marks` that was passed.
    """

    def __init__(self, loss: Loss, marks: Array) -> None:
        self._loss, self._marks = loss, marks
        self._log_time = -np.inf  # of the steps that are integrated
        self._flat: list[tuple[Array, float]] = []  # margins and lengths of steps that are not yet
        self._rows: list[tuple[float, int, Array, float]] = []
        self._log_times: list[float] = [-np.inf]
        self.mark: tuple[float, Array] | None = None

    def add(self, s: float, q: Array, norm: float) -> None:
        """Record the state at time s."""
        self._rows.append((s, len(self._log_times) - 1 + len(self._flat), q, norm))

    def log_loss(self) -> float:
        """log L at the last recorded time."""
        return mean_log_value(self._loss, self._rows[-1][2])

    def advance(self, s0: float, s1: float, margins_at: Callable[[Array], Array]) -> None:
        """Add the plain time from s0 to s1; `margins_at(times)` gives q within the step, shape (n, len(times))."""
        if s1 <= s0:
            return
        passed = int(self._marks.searchsorted(s1, side="right"))
        if passed and self._marks[passed - 1] >= s0:
            s = self._marks[passed - 1 : passed]
            self.mark = float(s[0]), margins_at(s)[:, 0]
        length = s1 - s0
        margins = margins_at(s0 + length * _COARSE[0])
        if np.abs(margins - margins[:, 1:2]).max() <= FLAT / 2.0:  # |Δ log g| <= |Δq|
            self._flat.append((margins, length))
            if len(self._flat) >= AT_ONCE:
                self._integrate_flat()
        else:
            self._integrate_flat()
            self._integrate_in_parts(s0, length, margins_at)
            self._log_times.append(self._log_time)

    def _integrate_flat(self) -> None:
        """Add up the steps on which 1/ḡ hardly changes, all at once."""
        if not self._flat:
            return
        margins, lengths = (np.array(column) for column in zip(*self._flat, strict=True))
        log_rate = self._log_rate(margins.transpose(1, 0, 2).reshape(margins.shape[1], -1)).reshape(-1, 3)
        parts = np.log(lengths) + logsumexp_of_columns(log_rate.T + _COARSE[1][:, None])
        times = np.logaddexp.accumulate(np.append(self._log_time, parts))[1:]
        self._log_times += times.tolist()
        self._log_time, self._flat = float(times[-1]), []

    def _integrate_in_parts(self, s0: float, length: float, margins_at: Callable[[Array], Array]) -> None:
        starts = np.array([s0])
        while starts.size:
            points = starts[:, None] + length * _POINTS
            log_rate = self._log_rate(margins_at(points.ravel())).reshape(points.shape).T
            coarse = np.log(length) + logsumexp_of_columns(log_rate[:3] + _COARSE[1][:, None])
            fine = np.log(length) + logsumexp_of_columns(log_rate[3:10] + _FINE[1][:, None])
            whole = max(self._log_time, float(fine.max()))
            done = (np.abs(coarse - fine) <= AGREEMENT) | (np.log(length) + log_rate.max(axis=0) < whole - NEGLIGIBLE)
            done |= (starts + length / 2.0 <= starts) | (starts.size > MOST_PARTS)  # rounding of s, or of margins
            if done.any():
                self._log_time = log_sum_exp(np.append(fine[done], self._log_time))
            length /= 2.0
            starts = np.concatenate([starts[~done], starts[~done] + length])

    def _log_rate(self, q: Array) -> Array:
        """log dt/ds = -log ḡ for each column of margins."""
        return np.asarray(np.log(len(q)) - logsumexp_of_columns(self._loss.log_weight(q)))

    def trajectory(self) -> Trajectory:
        """Everything recorded so far."""
        self._integrate_flat()
        s, steps, margins, norm = (np.array(column) for column in zip(*self._rows, strict=True))
        log_time = np.array(self._log_times)[steps]
        log_total = logsumexp(self._loss.log_value(margins), axis=1)  # log nL
        log_g = self._loss.log_weight(margins)
        with np.errstate(divide="ignore", invalid="ignore"):
            smoothed = np.where(norm > 0.0, self._loss.inverse_of_log_value(log_total) / norm, np.nan)
        return Trajectory(
            s=s,
            log_time=log_time,
            log_loss=log_total - np.log(margins.shape[1]),
            margins=margins,
            sample_weights=np.exp(log_g - logsumexp(log_g, axis=1, keepdims=True)),
            norm=norm,
            smoothed_margin=smoothed,
        )


def logsumexp_of_columns(x: Array) -> Array:
    """log Σ_i e^{x_ik} for each column k; `log_sum_exp` for several at once."""
    largest = x.max(axis=0)
    return np.asarray(largest + np.log(np.exp(x - largest).sum(axis=0)))
