"""The state of the piecewise-smooth flow, and its linear structure between two events.

While the activation pattern is fixed everything is linear in c(s) = ∫ w ds (`refimpl/flow/pattern.py`), and
dc/ds = w(q + M c), docs/theory.md (7.2), is an ODE in R^n whatever m and d.

An event changes one neuron only, so the m x n arrays C and Z are brought up to date at *anchors*, not at
events: between them Z = Z_anchor + increment(c since the anchor) K. Only units that may reach their kinks on
the next steps are watched (`refimpl/flow/watch.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.flow.cell import Cell, sides_of
from refimpl.flow.independence import all_independent, independent_samples, sample_coordinates, samples_in_span
from refimpl.flow.kinks import Resolution, resolve_arrival, resolve_kinks
from refimpl.flow.margin_matrix import MarginMatrix
from refimpl.flow.pattern import Pattern, slopes_of
from refimpl.flow.sliding import SlidingUnits
from refimpl.flow.watch import NearUnits
from refimpl.losses import Loss, sample_weights
from refimpl.span import SpanCoordinates
from refimpl.validation import Array, BoolArray, IndexArray, IntArray

__all__ = ["Changes", "Segment"]

EVENTS_PER_ANCHOR = 64
"""Events after which C, Z and M are brought up to date from scratch, which removes accumulated rounding."""

ROUNDING_IN_SPAN = 1e-11
"""A sample in the span of others, all at their kinks, has |z_ji| at most this part of ‖w_j‖ ‖x_i‖: rounding of z and of
the time of the event. One with more is near the span, not in it, and not at its kink."""

_EPS = float(np.finfo(np.float64).eps)

EXPONENTIAL_FROM = 40.0
"""Margins from which log(1 + e^{-q}) = e^{-q} to rounding."""


@dataclass(frozen=True, eq=False)
class Changes:
    """What an event changed: samples of its neuron, and their sides before and after.

    `unique` is False where the neuron is known to have had other futures.
    """

    samples: IndexArray
    before: IntArray
    after: IntArray
    unique: bool = True

    def of_units(self) -> list[tuple[int, int, int]]:
        """Sample, side before and side after of each."""
        return list(zip(self.samples.tolist(), self.before.tolist(), self.after.tolist(), strict=True))


class Segment:
    """Everything about the flow since the last event; c counts from that event.

    Attributes
    ----------
    pattern : ndarray of int8, shape (m, n)
        +1, -1, 0 = slides.
    matrix : MarginMatrix
        M, and what events change of it.
    K : ndarray, shape (n, n)
    slope : float
        γ.
    q : ndarray, shape (n,)
        Margins at the last event.
    sliding : SlidingUnits
        The units that slide.
    units : NearUnits
        The units that may reach their kinks on the next steps.
    seconds_at_anchors : float
        Wall time of `anchor` so far.
    """

    def __init__(self, span: SpanCoordinates, loss: Loss) -> None:
        self.span, self.loss = span, loss
        self._a, self._y, self.K, self.slope = span.network.second_layer, span.y, span.gram, span.network.slope
        self._factor, self._sizes = sample_coordinates(span.gram), np.sqrt(np.diagonal(span.gram))
        self._abs_a, self._largest_size = np.abs(self._a), self._sizes.max()
        self._independent = all_independent(self._factor)
        self._C, self._Z = span.origin.copy(), span.Z0.copy()
        self._w: Array | None = None
        self._c = np.zeros(span.n)  # c from the anchor to the last event
        self.pattern: IntArray = sides_of(self._Z)
        self.q = span.margins_at(self._Z)
        self.forks: list[dict[str, Any]] = []
        self._resolve_start()
        self._changes = 0
        self.seconds_at_anchors, self._norm_square = 0.0, 0.0
        self._differences: tuple[Array, Array] | None = None
        self._build_patterns()
        self.units = NearUnits(self, self._a, self._y)
        self.matrix = MarginMatrix(self.K, lambda: self.cell().matrix)
        self.anchor()

    @property
    def M(self) -> Array:
        """dq/ds = M w: docs/theory.md (7.2)."""
        return self.matrix.M

    # --- between events: everything is linear in c ----------------------------------------------

    def increment(self, c: Array) -> Array:
        """The change of C that goes with c under the present pattern, shape (m, n)."""
        U = self._E * c
        if self.sliding.of_neuron:
            U[self.sliding.neurons, self.sliding.samples] = self.sliding.rows @ c
        return U

    def coefficients(self, c: Array) -> Array:
        """C after c, shape (m, n)."""
        return self._C + self.increment(self._c + c)

    def preactivations(self, c: Array) -> Array:
        """Z after c, shape (m, n); rounding where a unit slides."""
        return self.all_at(self._c + c)

    def margins(self, c: Array) -> Array:
        """q after c, shape (n,), or after each column of c: docs/theory.md (7.2)."""
        return np.asarray((self.q if c.ndim == 1 else self.q[:, None]) + self.M @ c)

    def weights(self, c: Array) -> Array:
        """w after c, or after each column of c: the right-hand side of dc/ds = w.

        For margins above 40 both losses have log g = -q to rounding, and only differences of margins
        count; they are formed without the large common part, whose rounding would be noise in w.
        """
        q = self.margins(c)
        if q.min() < EXPONENTIAL_FROM:
            return sample_weights(self.loss, q)
        if self._differences is None:
            k = int(np.argmin(self.q))
            self._differences = self.q - self.q[k], self.M - self.M[k]
        excess, growth = self._differences
        lag = (excess if c.ndim == 1 else excess[:, None]) + growth @ c
        g = np.exp(lag.min(axis=0) - lag)
        return np.asarray(g / g.sum(axis=0))

    @property
    def w(self) -> Array:
        """w at the last event, shape (n,)."""
        if self._w is None:
            least = self.q.min()
            if least >= EXPONENTIAL_FROM:
                g = np.exp(least - self.q)
                self._w = g / g.sum()
            else:
                self._w = sample_weights(self.loss, self.q)
        return self._w

    def jacobian(self, c: Array) -> Array:
        """∂(dc/ds)/∂c = -(diag w - w wᵀ) diag(η) M, shape (n, n): docs/theory.md (7.3)."""
        q = self.margins(c)
        w = sample_weights(self.loss, q)
        eta_M = self.loss.log_weight_decay(q)[:, None] * self.M
        return np.asarray(-w[:, None] * (eta_M - w @ eta_M))

    def norm(self, c: Array) -> float:
        """‖W‖_F after c: ‖W‖² grows by 2 ∫ q·dc = 2 q·c + cᵀMc, since W·∂q_i/∂W = q_i."""
        return float(np.sqrt(max(0.0, self._norm_square + float(c @ (2.0 * self.q + self.M @ c)))))

    @property
    def size(self) -> float:
        """‖W‖_F at the last event."""
        return float(np.sqrt(self._norm_square))

    def rounding(self, c: Array, j: IndexArray, i: IndexArray) -> Array:
        """Size of rounding errors of z_ji after c, for pairs (j, i): of neuron j's own size, and sample i's."""
        return self.rounding_since_anchor(self._c + c, j, i)

    def all_rounding(self, c: Array) -> Array:
        """`rounding_since_anchor` of all units, shape (m, n)."""
        return self.rounding_since_anchor(c, np.arange(self._a.size)[:, None], slice(None))

    def rounding_since_anchor(self, c: Array, j: IndexArray | int, i: IndexArray | slice) -> Array:
        """`rounding` for c counted from the anchor."""
        travelled = self._abs_a[j] * (float(c.sum()) * self._largest_size)
        return np.asarray(64.0 * _EPS * (self._largest_z[j] + travelled) * self._sizes[i])

    def anchored(self, j: IndexArray | int, i: IndexArray) -> Array:
        """z with z_ji = z + row · c, c counted from the anchor."""
        return np.asarray(self._Z[j, i])

    def all_at(self, c: Array) -> Array:
        """Z after c, counted from the anchor, shape (m, n)."""
        return np.asarray(self._Z + self.increment(c) @ self.K)

    def row_at(self, j: int, c: Array, samples: IndexArray | slice = slice(None)) -> Array:
        """Row j of `all_at`, or z_ji for some samples i."""
        return np.asarray(self._Z[j, samples] + self.K[samples] @ self._patterns[j].increment(c))

    def row_near_kinks(self, j: int, i: int) -> Array:
        """z_j at the last event where it may be 0, or unit i, is or was watched or slides; inf elsewhere.

        Only where samples are dependent may other units rest on their kinks.
        """
        if not self._independent:
            return self.row_at(j, self._c)
        near = self.pattern[j] == 0
        near[self.units.samples_of(j)] = near[i] = True
        samples, z = near.nonzero()[0], np.full(near.size, np.inf)
        z[samples] = self.row_at(j, self._c, samples)
        return z

    def unit_rows(self, j: int, samples: IndexArray) -> Array:
        """∂z_ji/∂c for the given samples i, shape (len(samples), n)."""
        return self._patterns[j].unit_rows(samples)

    def rows_of(self, j: IndexArray, i: IndexArray) -> Array:
        """∂z_ji/∂c for pairs (j, i) in the order of neurons, shape (len(j), n)."""
        rows = self.K[i]
        rows *= self._E[j]
        neurons = list(self.sliding.of_neuron)
        starts, ends = np.searchsorted(j, neurons), np.searchsorted(j, neurons, side="right")
        for neuron, start, end in zip(neurons, starts, ends, strict=True):
            if start < end:
                slides = self.sliding.of_neuron[neuron]
                rows[start:end] += self.K[i[start:end, None], slides.samples] @ slides.rows
        return np.asarray(rows)

    def since_anchor(self, c: Array | float) -> Array:
        """c counted from the anchor."""
        return self._c + c

    def cell(self) -> Cell:
        """The present cell, for the limit."""
        return Cell(self.span.network, self._y, self.K, self.pattern)

    # --- changes ------------------------------------------------------------------------------

    def advance(self, c: Array, moved: Array | None = None) -> None:
        """Count from here: c becomes 0; `moved` is M c, if that is known."""
        moved = self.M @ c if moved is None else moved
        self._norm_square = max(0.0, self._norm_square + float(c @ (2.0 * self.q + moved)))
        self._differences = self._w = None
        self.q = self.q + moved
        self._c = self._c + c

    def anchor(self) -> None:
        """Bring C, Z, q and ‖W‖ up to date, and M now and then."""
        started = perf_counter()
        U = self.increment(self._c)
        self._C += U
        self._Z += U @ self.K
        self._Z[self.pattern == 0] = 0.0
        self.units.count_from(self._c)
        self._c = np.zeros(self._c.size)
        self.q = self.span.margins_at(self._Z)
        self.matrix.build_if_due(settled=self._changes == 0)
        self._norm_square = self.span.norm(self._C) ** 2
        self._largest_z = np.max(np.abs(self._Z) / self._sizes, axis=1)
        self._changes, self._differences, self._w = 0, None, None
        self.seconds_at_anchors += perf_counter() - started

    def anchor_if_due(self) -> None:
        """`anchor` after `EVENTS_PER_ANCHOR` events."""
        if self._changes >= EVENTS_PER_ANCHOR:
            self.anchor()

    def reach_kink(self, j: int, i: int) -> Changes:
        """Unit (j, i) has arrived at its kink, or no longer stays there: decide where its neuron goes.

        All of the neuron's units that rest on their kinks are decided together: those that slide, those
        within rounding of their kinks, and with them every sample in their span.
        """
        z = self.row_near_kinks(j, i)
        at_kink = self._resting(j, i, z)
        sides, drive = self.pattern[j].copy(), self._drive(j)
        arrivals = at_kink & (sides != 0)
        several = bool(np.count_nonzero(arrivals) > 1)
        if arrivals[i] and not several and (self._independent or np.count_nonzero(at_kink) == 1):
            side = resolve_arrival(i, self._patterns[j], drive, self.slope)
            if side is not None:
                sides[i] = side
                return self._set_row(j, sides, at_kink, z)
        if several:
            speeds = self.unit_rows(j, np.arange(sides.size)) @ self.w
            sides[arrivals & (sides * speeds < 0.0)] *= -1
        sides[i] = -self.pattern[j, i]
        found = self._resolved(drive, sides, at_kink, look_for_others=several)
        return replace(self._set_row(j, found.sides, at_kink, z), unique=found.unique)

    def release(self, j: int, i: int, side: int) -> Changes:
        """Unit (j, i) stops sliding and leaves its kink to `side`."""
        row = self.pattern[j].copy()
        row[i] = side
        return self._set_row(j, row, self.pattern[j] == 0, self.row_near_kinks(j, i))

    def stays(self, j: int, w: Array) -> bool:
        """Whether the units of neuron j that rest on their kinks stay there at weights w.

        For neurons whose resting samples are dependent, where slopes say nothing on their own.
        """
        resting = self.pattern[j] == 0
        drive = self._a[j] * self._y * w
        return resolve_kinks(self.pattern[j], resting, drive, self.slope, self.K, self._factor).at_rest

    def _resolve_start(self) -> None:
        """Sides of the units that start on their kinks; neurons that start alike are resolved once."""
        norm = self._start_norms = np.sqrt(np.maximum(np.diagonal(self.span.B0), 0.0)) * self.span.unit
        close = 8.0 * _EPS * norm[:, None] * self._sizes
        known: dict[bytes, Resolution] = {}
        for j in np.flatnonzero((np.abs(self._Z) <= close).any(axis=1)):
            at_kink = self._with_span(np.abs(self._Z[j]) <= close[j], self._Z[j], float(norm[j]))
            self._Z[j, at_kink] = 0.0
            sides = np.where(at_kink, 1, self.pattern[j]).astype(np.int8)
            key = np.where(at_kink, 0, sides).tobytes() + bytes([bool(self._a[j] > 0.0)])
            if key not in known:
                known[key] = self._resolved(self._drive(int(j)), sides, at_kink, look_for_others=True)
            self.pattern[j] = known[key].sides
            if not known[key].unique:
                self.forks.append({"s": 0.0, "neuron": int(j)})

    def _resting(self, j: int, i: int, z: Array) -> BoolArray:
        at_kink = (self.pattern[j] == 0) | (np.abs(z) <= self.rounding_since_anchor(self._c, j, slice(None)))
        at_kink[i] = True
        if self._independent:
            return at_kink
        longest = float(self._start_norms[j] + np.abs(self._C[j] + self._patterns[j].increment(self._c)) @ self._sizes)
        if not np.any(~at_kink & (np.abs(z) <= ROUNDING_IN_SPAN * longest * self._sizes)):
            return at_kink
        return self._with_span(at_kink, z, self._row_norm(j))

    def _with_span(self, at_kink: BoolArray, z: Array, norm: float) -> BoolArray:
        """Q with the samples in its span whose z is 0 to rounding, as it is where they are that exactly."""
        if self._independent:
            return at_kink
        zero = np.abs(z) <= ROUNDING_IN_SPAN * norm * self._sizes
        return at_kink | (zero & samples_in_span(self._factor, at_kink))

    def _row_norm(self, j: int) -> float:
        """‖w_j(0)‖ + ‖w_j - w_j(0)‖ at the last event."""
        moved = self.span.increment((self._C[j] + self._patterns[j].increment(self._c))[None])
        return float(self._start_norms[j] + np.linalg.norm(moved))

    def _drive(self, j: int) -> Array:
        return np.asarray(self._a[j] * self._y * self.w)

    def _resolved(self, drive: Array, sides: IntArray, at_kink: BoolArray, look_for_others: bool) -> Resolution:
        slope = self.slope
        return resolve_kinks(sides, at_kink, drive, slope, self.K, self._factor, look_for_others)

    def _set_row(self, j: int, row: IntArray, at_kink: BoolArray, z_j: Array) -> Changes:
        """Change neuron j's pattern; M changes by neuron j's part, C_j and Z_j (= z_j) keep their values here."""
        before = self._patterns[j]
        changed = (before.sides != row).nonzero()[0]
        after = self._pattern_of(j, row, changed)
        self._differences = None
        self.pattern[j], self._E[j], self._patterns[j] = row, after.drive, after
        self.matrix.exchange(before, after, changed)  # builds it from `pattern` where much cancels
        if before.samples.size or after.samples.size:
            self.sliding.set_neuron(j, after)
        U_j = before.increment(self._c) - after.increment(self._c)
        moved = U_j.nonzero()[0]
        self._C[j] += U_j
        self._Z[j] += U_j[moved] @ self.K[moved]
        self._Z[j, at_kink] -= z_j[at_kink]
        self._largest_z[j] = (np.abs(self._Z[j]) / self._sizes).max()
        self._changes += 1
        changes = Changes(changed, before.sides[changed], row[changed])
        self.units.update_neuron(j, changed[changes.after != 0])
        return changes

    def _pattern_of(self, j: int, row: IntArray, changed: IndexArray) -> Pattern:
        """The pattern of neuron j with the sides `row`, of which those `changed` are not what they were."""
        before, resting = self._patterns[j], (row == 0).nonzero()[0]
        samples = resting if self._independent or resting.size < 2 else independent_samples(self._factor, resting)
        drive = before.drive.copy()
        drive[changed] = self._a[j] * self._y[changed] * slopes_of(row[changed], self.slope)
        return before.with_sides(row.copy(), drive, samples)

    def _build_patterns(self) -> None:
        self._E, none, everywhere = np.zeros_like(self._Z), np.zeros(0, dtype=np.intp), np.arange(self._y.size)
        self._patterns = [Pattern(self.K, sides, E_j, none) for sides, E_j in zip(self.pattern, self._E, strict=True)]
        self.sliding = SlidingUnits(self._a, self._y, self.slope)
        for j, sides in enumerate(self.pattern):
            pattern = self._patterns[j] = self._pattern_of(j, sides, everywhere)
            self._E[j] = pattern.drive
            if pattern.samples.size:
                self.sliding.set_neuron(j, pattern)
