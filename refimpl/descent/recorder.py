"""Which states of a descent are recorded, and what is measured of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refimpl.descent.result import DescentTrajectory
from refimpl.errors import InvalidParameterError
from refimpl.losses import Loss, mean_log_value
from refimpl.span import SpanCoordinates
from refimpl.spectrum import rank_above, row_norms, stable_rank_by_norms, stable_rank_of
from refimpl.validation import Array

__all__ = ["DescentRecorder", "State", "next_record", "refuse_large_record"]

LEADING = 10
"""Singular values that are recorded, at most."""

RECORD_LIMIT_BYTES = 2**30
"""Largest size of a recorded trajectory, 1 GiB."""

GROWTH = 20
"""Unless told otherwise, t + max(1, t // GROWTH) is recorded after t: all steps up to 2 · GROWTH, then 5% more."""


class State(NamedTuple):
    """Where a descent is: C (m, n), Z and q of it, and the accumulated weights G (n,) of section 8."""

    step: int
    C: Array
    Z: Array
    q: Array
    G: Array


def next_record(step: int, record_every: int | None) -> int:
    """The step that is recorded after `step`."""
    return step + (max(1, step // GROWTH) if record_every is None else record_every)


class DescentRecorder:
    """Rows of a `DescentTrajectory`, one for each recorded step."""

    def __init__(self, span: SpanCoordinates, loss: Loss, d: int, observe: Callable[[int, Array], None]) -> None:
        self._span, self._loss, self._d, self._observe = span, loss, d, observe
        self._rows: dict[int, tuple[Any, ...]] = {}

    def add(self, state: State) -> None:
        """Record a state, once."""
        if state.step in self._rows:
            return
        C, q, increment, rows = state.C, state.q, self._span.increment(state.C), self._span.rows_in_span(state.C)
        norm, rank, sigma, stable_rank = self._spectrum(rows)
        self._rows[state.step] = (
            state.step,
            float(np.mean(self._loss.value(q))),
            mean_log_value(self._loss, q),
            q,
            float(q.min()),
            norm,
            self._span.row_norms_with(rows),
            sigma,
            rank,
            stable_rank,
            stable_rank_by_norms(increment),
            row_norms(increment),
            state.G,
        )
        self._observe(state.step, C)

    def _spectrum(self, rows: Array) -> tuple[float, int, Array, float]:
        """‖W‖_F, rank, leading singular values, stable rank, from `SpanCoordinates.rows_in_span`."""
        norm, shape = self._span.norm_with(rows), (self._span.network.m, self._d)
        if not np.isfinite(norm):
            return norm, 0, np.full(min(*shape, LEADING), np.nan), float("nan")
        sigma = self._span.singular_values_with(rows)
        rank = rank_above(sigma, max(shape) * float(np.finfo(np.float64).eps))
        return norm, rank, sigma[: min(*shape, LEADING)], stable_rank_of(sigma) if norm > 0.0 else float("nan")

    def trajectory(self) -> DescentTrajectory:
        """Everything recorded so far."""
        return DescentTrajectory(*(np.array(column) for column in zip(*self._rows.values(), strict=True)))


def refuse_large_record(steps: int, record_every: int | None, m: int, n: int) -> None:
    if record_every is None:  # a few hundred
        return
    records = 2 + steps // record_every
    size = 8 * records * (2 * m + 2 * n + LEADING + 8)
    if size > RECORD_LIMIT_BYTES:
        least = 1 + steps * size // records // RECORD_LIMIT_BYTES
        raise InvalidParameterError(
            "record_every",
            f"be larger, about {least}: {records} records would take {size / 2**30:.1f} GiB of at most 1 GiB",
            record_every,
        )
