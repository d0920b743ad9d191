"""What a descent returns: status, trajectory, the last state; as JSON, frames and files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.archive import load_archive, save_run, with_prefix
from refimpl.display import Displayed, frame, shown
from refimpl.documents import as_plain
from refimpl.span import weights_from_coefficients
from refimpl.tiles.columns import scaled
from refimpl.tiles.npy import write_combination
from refimpl.validation import Array

__all__ = ["DescentResult", "DescentStatus", "DescentTrajectory"]

LENGTHS = ("norm", "neuron_norms", "singular_values", "increment_norms")
"""What of a trajectory is measured like W."""


class DescentStatus(Enum):
    """How a descent ended; the value is a sentence for people."""

    FINISHED = "All steps were taken."
    INTERRUPTED = "The run was interrupted; everything up to there is kept."
    DIVERGED = "The next step left the range of float64; everything before it is kept."


@dataclass(frozen=True, eq=False)
class DescentTrajectory:
    """The path at the recorded steps, T of them.

    Attributes
    ----------
    step : ndarray of int, shape (T,)
        0, every `record_every`-th or those of the default, and the last.
    loss : ndarray, shape (T,)
        L.
    log_loss : ndarray, shape (T,)
        log L, finite also where L underflows; -inf where it is 0, which that of the hinge loss becomes.
    margins : ndarray, shape (T, n)
        q_i.
    smallest_margin : ndarray, shape (T,)
        min_i q_i.
    norm : ndarray, shape (T,)
        ‖W‖_F.
    neuron_norms : ndarray, shape (T, m)
        ‖w_j‖.
    singular_values : ndarray, shape (T, min(m, d, 10))
        The largest of W, descending.
    rank : ndarray of int, shape (T,)
        Number of singular values of W above max(m, d) · eps times the largest.
    stable_rank : ndarray, shape (T,)
        ‖W‖_F²/‖W‖₂²; NaN where W = 0.
    increment_stable_rank : ndarray, shape (T,)
        That of W - W0, which docs/theory.md, section 8 bounds; NaN where W = W0.
    increment_norms : ndarray, shape (T, m)
        ‖w_j - w_j(0)‖.
    accumulated_weights : ndarray, shape (T, n)
        G_i = (α/n) Σ g_i over the steps so far (section 8).
    """

    step: Array
    loss: Array
    log_loss: Array
    margins: Array
    smallest_margin: Array
    norm: Array
    neuron_norms: Array
    singular_values: Array
    rank: Array
    stable_rank: Array
    increment_stable_rank: Array
    increment_norms: Array
    accumulated_weights: Array

    def __repr__(self) -> str:
        """One line."""
        T, n = self.margins.shape
        return f"<DescentTrajectory: {T} steps, {n} samples; step {self.step[-1]} has loss {self.loss[-1]:.4g}>"

    def to_frame(self) -> Any:
        """A pandas frame with a row for each recorded step."""
        names = ("step", "loss", "log_loss", "smallest_margin", "norm", "rank", "stable_rank", "increment_stable_rank")
        return frame({name: getattr(self, name) for name in names})


@dataclass(frozen=True, eq=False)
class DescentResult(Displayed):
    """Result of `gradient_descent`.

    Attributes
    ----------
    status : DescentStatus
    message : str
        What happened, in one sentence.
    coefficients : ndarray, shape (m, n)
        C of the last state, with W = W0 + C X.
    trajectory : DescentTrajectory
    W0 : ndarray, shape (m, d)
    X : ndarray, shape (n, d)
    diagnostics : dict
        Step size, steps asked for and taken, loss, seconds.
    """

    status: DescentStatus
    message: str
    coefficients: Array
    trajectory: DescentTrajectory
    W0: Array
    X: Array
    diagnostics: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line."""
        (m, n), path = self.coefficients.shape, self.trajectory
        return (
            f"<DescentResult {self.status.name}: m = {m}, n = {n}, d = {self.X.shape[1]}; {path!r}, "
            f"rank {int(path.rank[-1])}, stable rank {path.stable_rank[-1]:.4g}>"
        )

    def facts(self) -> list[tuple[str, str]]:
        """Where the descent went."""
        path = self.trajectory
        return [
            ("status", self.status.name),
            ("steps", str(int(path.step[-1]))),
            ("loss", shown(float(path.loss[-1]))),
            ("smallest margin", shown(float(path.smallest_margin[-1]))),
            ("rank", str(int(path.rank[-1]))),
            ("stable rank, at the start and now", f"{path.stable_rank[0]:.4g}, {path.stable_rank[-1]:.4g}"),
            ("stable rank of W(t) - W(0)", shown(float(path.increment_stable_rank[-1]))),
        ]

    def in_units_of(self, X: Any, k: int, e: int) -> DescentResult:
        """This result of a descent with X/2ᵏ and a/2ᵉ as one with X and a: W is divided by 2ᵏ⁺ᵉ, α and G by 4ᵏ⁺ᵉ."""
        h, path = k + e, self.trajectory
        with np.errstate(over="ignore"):
            lengths = {name: np.ldexp(getattr(path, name), -h) for name in LENGTHS}
            path = replace(path, **lengths, accumulated_weights=np.ldexp(path.accumulated_weights, -2 * h))
            step_size = float(np.ldexp(self.diagnostics.get("step_size", 0.0), -2 * h))
        coefficients, W0 = np.ldexp(self.coefficients, -2 * k - e), scaled(self.W0, -h)
        diagnostics = self.diagnostics | {"step_size": step_size}
        return replace(self, coefficients=coefficients, trajectory=path, W0=W0, X=X, diagnostics=diagnostics)

    def weights(self) -> Array:
        """W = W0 + C X of the last state, shape (m, d)."""
        return weights_from_coefficients(self.coefficients, self.X, self.W0)

    def write_weights(self, path: str | Path, force: bool = False) -> None:
        """Write `weights()` to a `.npy` file a tile of columns at a time (`refimpl.tiles.write_combination`)."""
        write_combination(path, self.coefficients, self.X, self.W0, force)

    def to_dict(self) -> dict[str, Any]:
        """A summary as plain values, ready for JSON (`refimpl.documents`): "nan" where a number is undefined."""
        path = self.trajectory
        names = ("step", "loss", "log_loss", "smallest_margin", "norm", "rank", "stable_rank", "increment_stable_rank")
        final = {name: getattr(path, name)[-1] for name in names}
        return as_plain(
            {
                "status": self.status,
                "message": self.message,
                "final": final,
                "singular_values": path.singular_values[-1],
                "diagnostics": self.diagnostics,
            }
        )

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write everything to a `.npz` archive of plain arrays (no pickle).

        Raises
        ------
        OutputFileError
            If the file exists and `force` is not set, or cannot be written.
        """
        save_run(path, self, {"coefficients": self.coefficients, "W0": self.W0, "X": self.X}, force)

    @classmethod
    def load(cls, path: str | Path) -> DescentResult:
        """Read what `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged, or was not written by `save`.
        """
        return load_archive(path, "gradient_descent", cls._from_archive)

    @classmethod
    def _from_archive(cls, meta: dict[str, Any], arrays: dict[str, Array]) -> DescentResult:
        return cls(
            DescentStatus[meta["status"]],
            meta["message"],
            arrays["coefficients"],
            DescentTrajectory(**with_prefix(arrays, "trajectory_")),
            arrays["W0"],
            arrays["X"],
            meta["diagnostics"],
        )
