"""What a gradient flow returns: status and limit, with the trajectory and the events (`refimpl/flow/trajectory.py`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.archive import load_archive, save_run, with_prefix
from refimpl.display import Displayed, shown
from refimpl.documents import as_plain
from refimpl.flow.trajectory import FlowEvent, FlowProgress, Trajectory
from refimpl.span import weights_from_coefficients
from refimpl.spectrum import rank_of_limit
from refimpl.tiles.npy import write_combination
from refimpl.validation import Array, IndexArray, IntArray

__all__ = ["FlowEvent", "FlowLimit", "FlowProgress", "FlowResult", "FlowStatus", "Trajectory"]

GROWTH_GAP_TOLERANCE = 1e-8
"""Check (a) of docs/theory.md, section 7: wᵀMw - min_i (Mw)_i may be at most this part of wᵀMw. Within the
last cell the gap falls exponentially; the polish then removes what is left of it."""


class FlowStatus(Enum):
    """How a flow ended; the value is a sentence for people."""

    CONVERGED = "The direction of the weights converged; the limit is known."
    MAX_TIME = "The largest loss-normalized time was reached before the direction converged."
    MAX_EVENTS = "The limit on events or steps was reached before the direction converged."
    TIME_LIMIT = "The limit on wall time was reached before the direction converged."
    STALLED = "The flow cannot be continued to a limit."
    INTERRUPTED = "The flow was interrupted; the path up to there is kept."


@dataclass(frozen=True, eq=False)
class FlowLimit:
    """The limit direction of the flow, scaled so that the smallest margin is 1.

    Attributes
    ----------
    coefficients : ndarray, shape (m, n)
        C with W = C X.
    multipliers : ndarray, shape (n,)
        λ = w/(wᵀMw) of the KKT conditions (docs/theory.md, section 2).
    margins : ndarray, shape (n,)
        q_i = y_i f(x_i; W).
    pattern : ndarray of int8, shape (m, n)
        +1 or -1: the side of the kink; 0: the unit rests on its kink.
    singular_values : ndarray, shape (min(m, n),)
        Of W, descending.
    polished : bool
        Whether the last cell's small problem was solved exactly (section 7, "Polish").
    polish_distance : float
        ‖polished - read off the velocity‖_F / ‖polished‖_F; 0 if not polished.
    condition : float
        2-norm condition number of M on the support of λ, which bounds how rounding is amplified.
    X : ndarray, shape (n, d)
        The samples.
    """

    coefficients: Array
    multipliers: Array
    margins: Array
    pattern: IntArray
    singular_values: Array
    polished: bool
    polish_distance: float
    condition: float
    X: Array

    def __repr__(self) -> str:
        """One line."""
        (m, n), d = self.coefficients.shape, self.X.shape[1]
        return (
            f"<FlowLimit: m = {m}, n = {n}, d = {d}; rank {self.rank}, {int(np.sum(self.multipliers > 0.0))} support "
            f"vectors, {int(np.sum(self.pattern == 0))} units on kinks, error {self.error_estimate:.1e}>"
        )

    @property
    def rank(self) -> int:
        """Number of singular values above 1e-8 of the largest (`refimpl.spectrum.rank_of_limit`)."""
        return rank_of_limit(self.singular_values)

    def weights(self) -> Array:
        """W = C X, shape (m, d), scaled so that the smallest margin is 1."""
        return weights_from_coefficients(self.coefficients, self.X)

    def write_weights(self, path: str | Path, force: bool = False) -> None:
        """Write `weights()` to a `.npy` file a tile of columns at a time (`refimpl.tiles.write_combination`)."""
        write_combination(path, self.coefficients, self.X, force=force)

    @property
    def error_estimate(self) -> float:
        """Estimate of the relative error of W: amplified rounding, and √gap if it is not polished."""
        n = self.margins.size
        rounding = 64.0 * n * float(np.finfo(np.float64).eps) * self.condition
        return rounding if self.polished else max(rounding, float(np.sqrt(GROWTH_GAP_TOLERANCE)))


@dataclass(frozen=True, eq=False)
class FlowResult(Displayed):
    """Result of `gradient_flow`.

    Attributes
    ----------
    status : FlowStatus
    message : str
        What happened, in one or two sentences.
    limit : FlowLimit or None
        None unless the status is CONVERGED.
    trajectory : Trajectory
    initial_pattern : ndarray of int8, shape (m, n)
        Sides of the kinks at the start: +1, -1, or 0 for a unit that slides from the start.
    events : tuple of FlowEvent
        Every change of the pattern, in order.
    diagnostics : dict
        Method, tolerances, number of evaluations of the right-hand side, steps, seconds, ...; `forks` lists where
        the flow has more than one future (docs/theory.md, section 7, "Several kinks at once"), with s and neuron.
    """

    status: FlowStatus
    message: str
    limit: FlowLimit | None
    trajectory: Trajectory
    initial_pattern: IntArray
    events: tuple[FlowEvent, ...] = ()
    diagnostics: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Two lines at most."""
        told = "no limit" if self.limit is None else repr(self.limit)
        return f"<FlowResult {self.status.name}: {len(self.events)} events, {self.trajectory!r};\n {told}>"

    def facts(self) -> list[tuple[str, str]]:
        """Where the flow went, and what its limit is."""
        path, limit = self.trajectory, self.limit
        facts = [
            ("status", self.status.name),
            ("loss-normalized time s", shown(float(path.s[-1]))),
            ("log of plain time t", shown(float(path.log_time[-1]))),
            ("log of the loss", shown(float(path.log_loss[-1]))),
            ("events", str(len(self.events))),
            ("steps", str(self.diagnostics.get("steps", "-"))),
        ]
        if limit is None:
            return facts
        return [
            *facts,
            ("rank of the limit", str(limit.rank)),
            ("singular values", ", ".join(shown(float(x)) for x in limit.singular_values[:4])),
            ("margins of the limit", f"{limit.margins.min():.12g} to {limit.margins.max():.12g}"),
            ("units on their kink", str(int((limit.pattern == 0).sum()))),
            ("polish moved it by", shown(limit.polish_distance) if limit.polished else "not polished"),
            ("error estimate", shown(limit.error_estimate)),
        ]

    def reordered(self, neurons: IndexArray, samples: IndexArray) -> FlowResult:
        """This result of a flow whose neuron j and sample i are neuron neurons[j] and sample samples[i] of another."""
        rows, columns = np.argsort(neurons), np.argsort(samples)
        limit, path = self.limit, self.trajectory
        if limit is not None:
            limit = replace(
                limit,
                coefficients=limit.coefficients[np.ix_(rows, columns)],
                multipliers=limit.multipliers[columns],
                margins=limit.margins[columns],
                pattern=limit.pattern[np.ix_(rows, columns)],
                X=limit.X[columns],
            )
        path = replace(path, margins=path.margins[:, columns], sample_weights=path.sample_weights[:, columns])
        events = tuple(
            FlowEvent(event.s, int(neurons[event.neuron]), int(samples[event.sample]), event.kind, event.side)
            for event in self.events
        )
        forks = [fork | {"neuron": int(neurons[fork["neuron"]])} for fork in self.diagnostics.get("forks", [])]
        return replace(
            self,
            limit=limit,
            trajectory=path,
            initial_pattern=self.initial_pattern[np.ix_(rows, columns)],
            events=events,
            diagnostics=self.diagnostics | {"forks": forks},
        )

    def in_units_of(self, X: Array, k: int, e: int) -> FlowResult:
        """This result of a flow with X/2ᵏ and a/2ᵉ as one with X and a: W is divided by 2ᵏ⁺ᵉ, s by 4ᵏ⁺ᵉ; W = C X."""
        h, limit = k + e, self.limit
        if limit is not None:
            limit = replace(
                limit,
                coefficients=np.ldexp(limit.coefficients, -2 * k - e),
                multipliers=np.ldexp(limit.multipliers, -2 * h),
                singular_values=np.ldexp(limit.singular_values, -h),
                X=X,
            )
        with np.errstate(over="ignore"):
            path = replace(
                self.trajectory,
                s=np.ldexp(self.trajectory.s, -2 * h),
                log_time=self.trajectory.log_time - 2 * h * np.log(2.0),
                norm=np.ldexp(self.trajectory.norm, -h),
                smoothed_margin=np.ldexp(self.trajectory.smoothed_margin, h),
            )
            times = np.ldexp(np.array([event.s for event in self.events]), -2 * h).tolist()
            events = tuple(
                FlowEvent(s, event.neuron, event.sample, event.kind, event.side)
                for s, event in zip(times, self.events, strict=True)
            )
            forks = [fork | {"s": float(np.ldexp(fork["s"], -2 * h))} for fork in self.diagnostics.get("forks", [])]
        diagnostics = self.diagnostics | {"forks": forks}
        return replace(self, limit=limit, trajectory=path, events=events, diagnostics=diagnostics)

    def pattern_at(self, s: float) -> IntArray:
        """The activation pattern at time s (after the events at s), shape (m, n)."""
        pattern = self.initial_pattern.copy()
        for event in self.events:
            if event.s > s:
                break
            pattern[event.neuron, event.sample] = event.side
        return pattern

    def to_dict(self) -> dict[str, Any]:
        """A summary as plain values, ready for JSON (`refimpl.documents`): log_time is "-inf" at the start."""
        path = self.trajectory
        summary: dict[str, Any] = {
            "status": self.status.name,
            "message": self.message,
            "final": {
                "s": float(path.s[-1]),
                "log_time": float(path.log_time[-1]),
                "log_loss": float(path.log_loss[-1]),
                "norm": float(path.norm[-1]),
                "smallest_margin": float(path.margins[-1].min()),
            },
            "events": len(self.events),
            "diagnostics": self.diagnostics,
            "limit": None,
        }
        if self.limit is not None:
            limit = self.limit
            summary["limit"] = {
                "rank": limit.rank,
                "singular_values": limit.singular_values.tolist(),
                "margins": limit.margins.tolist(),
                "multipliers": limit.multipliers.tolist(),
                "units_on_kink": int(np.sum(limit.pattern == 0)),
                "polished": limit.polished,
                "polish_distance": limit.polish_distance,
                "error_estimate": limit.error_estimate,
            }
        return as_plain(summary)

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write everything to a `.npz` archive of plain arrays (no pickle).

        Raises
        ------
        OutputFileError
            If the file exists and `force` is not set, or cannot be written.
        """
        limit = {} if self.limit is None else vars(self.limit)
        arrays = {f"limit_{name}": np.asarray(value) for name, value in limit.items()}
        events = [asdict(event) for event in self.events]
        save_run(path, self, arrays | {"initial_pattern": self.initial_pattern}, force, {"events": events})

    @classmethod
    def load(cls, path: str | Path) -> FlowResult:
        """Read what `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged, or was not written by `save`.
        """
        return load_archive(path, "gradient_flow", cls._from_archive)

    @classmethod
    def _from_archive(cls, meta: dict[str, Any], arrays: dict[str, Array]) -> FlowResult:
        limit_fields = with_prefix(arrays, "limit_")
        return cls(
            FlowStatus[meta["status"]],
            meta["message"],
            FlowLimit(**_scalars_unwrapped(limit_fields)) if limit_fields else None,
            Trajectory(**with_prefix(arrays, "trajectory_")),
            np.asarray(arrays["initial_pattern"], dtype=np.int8),
            tuple(FlowEvent(**event) for event in meta["events"]),
            meta["diagnostics"],
        )


def _scalars_unwrapped(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value.item() if value.ndim == 0 else value for name, value in fields.items()}
