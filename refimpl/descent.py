"""Gradient descent, W(t+1) = W(t) - α ∇L(W(t)), in span coordinates (docs/theory.md, sections 4 and 7 to 10).

Every gradient is a combination of the samples, so W(t) = W0 + C(t) X exactly, with

    C_ji <- C_ji + (α/n) a_j y_i Φ_ji g_i ,    Z = Z0 + C K ,

and no array of length d is touched after the first products. `gradient_descent_in_weight_space` is
the same iteration written in R^{m x d}; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.archive import load_archive, save_archive, with_prefix
from refimpl.dataset import Dataset
from refimpl.display import Displayed, frame, shown
from refimpl.documents import as_plain
from refimpl.errors import InvalidParameterError, RunInterrupted
from refimpl.losses import Loss, as_loss, mean_log_value
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.reduction import as_initial_weights, with_start
from refimpl.span import SpanCoordinates, weights_from_coefficients
from refimpl.spectrum import row_norms, stable_rank_by_norms, stable_rank_of
from refimpl.tiles.npy import write_combination
from refimpl.validation import (
    Array,
    as_callback,
    as_count,
    as_positive,
    check_steps,
)

__all__ = [
    "DescentResult",
    "DescentStatus",
    "DescentTrajectory",
    "as_initial_weights",
    "gradient_descent",
    "gradient_descent_in_weight_space",
]

LEADING = 10
"""Singular values that are recorded, at most."""

RECORD_LIMIT_BYTES = 2**30
"""Largest size of a recorded trajectory, 1 GiB."""

GROWTH = 20
"""Unless told otherwise, t + max(1, t // GROWTH) is recorded after t: all steps up to 2 · GROWTH, then 5% more."""

FILE_VERSION = 1


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
        log L, finite also where L underflows.
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
        meta = {
            "version": FILE_VERSION,
            "status": self.status.name,
            "message": self.message,
            "diagnostics": self.diagnostics,
        }
        arrays = {f"trajectory_{name}": value for name, value in vars(self.trajectory).items()}
        save_archive(path, meta, arrays | {"coefficients": self.coefficients, "W0": self.W0, "X": self.X}, force)

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


def gradient_descent(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Any,
    step_size: float,
    steps: int,
    loss: Loss | str | None = None,
    record_every: int | None = None,
    progress: Callable[[int], None] | None = None,
    observe: Callable[[int, Array], None] | None = None,
) -> DescentResult:
    """Gradient descent on all samples with a constant step size.

    Parameters
    ----------
    network : TwoLayerNetwork
        With any activation.
    data : Dataset
    W0 : array_like, Columns or GaussianInitialization, shape (m, d)
        Initial weights.
    step_size : float > 0
        α.
    steps : int >= 1
    loss : Loss or str, optional
        Logistic by default.
    record_every : int >= 1, optional
        Steps between two records. By default steps 0 to 40 are recorded, and from there on steps that grow by 5%:
        a record takes the singular values of W, which for many neurons costs far more than a step. Steps 0 and
        the last are recorded always.
    progress : callable, optional
        Called with the number of steps taken, after each.
    observe : callable, optional
        Called with the step and the coefficients C (m, n) of each recorded state.

    Returns
    -------
    DescentResult
        Overflow ends the run early and is told by `.status`, never by an exception.

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments, if the records would take more than 1 GiB, the arrays more memory than there is, or the
        steps more than a week.
    RunInterrupted
        After Ctrl-C; its `.result` is the run up to there, with status INTERRUPTED.

    References
    ----------
    docs/theory.md, sections 4, 8, 9 and 10; docs/numerics.md, "Span coordinates".

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])
    >>> W0 = 1e-6 * np.random.default_rng(0).standard_normal((4, 3))
    >>> result = gradient_descent(network, data, W0, step_size=1.0, steps=200, record_every=100)
    >>> result.status.name, result.trajectory.step, bool(result.trajectory.stable_rank[-1] < 1.5)
    ('FINISHED', array([  0, 100, 200]), True)
    """
    started = perf_counter()
    check_problem(network, data)
    step_size, steps, loss = as_positive("step_size", step_size), as_count("steps", steps), as_loss(loss)
    record_every = None if record_every is None else as_count("record_every", record_every)
    tell, see = as_callback("progress", progress), as_callback("observe", observe)
    given, start = data, W0
    data, W0 = with_start(network, data, W0)
    check_steps("steps", steps, steps, 2 * network.m * data.n**2)
    _refuse_large_record(steps, record_every, network.m, data.n)
    span = SpanCoordinates.from_weights(network, data, W0)
    with np.errstate(over="ignore", invalid="ignore"):
        recorder = _Recorder(span, loss, given.d, see)
        status, state = _descend(span, loss, step_size, steps, record_every, recorder, tell)
    diagnostics = {
        "step_size": step_size,
        "steps": steps,
        "steps_taken": state.step,
        "record_every": record_every,
        "loss": loss.name,
        "seconds": perf_counter() - started,
    }
    message = f"{status.value} ({state.step} of {steps})"
    start = start if given.in_tiles else W0
    result = DescentResult(status, message, state.C, recorder.trajectory(), start, given.X, diagnostics)
    if status is DescentStatus.INTERRUPTED:
        raise RunInterrupted(result)
    return result


def gradient_descent_in_weight_space(
    network: TwoLayerNetwork, data: Dataset, W0: Any, step_size: float, steps: int, loss: Loss | str | None = None
) -> Array:
    """W(steps) by W <- W - α ∇L(W), written in R^{m x d}: the plain path beside `gradient_descent`.

    Parameters
    ----------
    network, data, W0, step_size, steps, loss
        As in `gradient_descent`.

    Returns
    -------
    ndarray, shape (m, d)

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments, if the steps would take more than a week, and if an iterate leaves the range of float64.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork([1.0], LeakyReLU(0.5))
    >>> gradient_descent_in_weight_space(network, Dataset([[2.0]], [1.0]), [[0.0]], step_size=1.0, steps=1)
    array([[1.]])
    """
    check_problem(network, data)
    step_size, steps, loss = as_positive("step_size", step_size), as_count("steps", steps), as_loss(loss)
    W = as_initial_weights(W0, network, data)
    check_steps("steps", steps, steps, 4 * network.m * data.n * data.d)
    for step in range(steps):
        _, gradient = network.loss_and_gradient(W, data, loss)
        with np.errstate(over="ignore", invalid="ignore"):
            W = W - step_size * gradient
        if not np.isfinite(W).all():
            raise InvalidParameterError("W", "stay below the largest float", f"an overflow in step {step + 1}")
    return W


@dataclass(frozen=True, eq=False)
class _State:
    step: int
    C: Array
    Z: Array
    q: Array
    G: Array


def _descend(
    span: SpanCoordinates,
    loss: Loss,
    step_size: float,
    steps: int,
    record_every: int | None,
    recorder: _Recorder,
    progress: Callable[[int], None],
) -> tuple[DescentStatus, _State]:
    """Take the steps; the state returned is the last complete and finite one, and is recorded."""
    state = _State(0, span.origin, span.Z0, span.margins_at(span.Z0), np.zeros(span.n))
    status, due = DescentStatus.FINISHED, 0
    try:
        while state.step < steps:
            if state.step == due:
                recorder.add(state)
                due = _next_record(due, record_every)
            following = _step(span, loss, step_size, state)
            if not np.isfinite(following.q).all():
                status = DescentStatus.DIVERGED
                break
            state = following
            progress(state.step)
    except KeyboardInterrupt:
        status = DescentStatus.INTERRUPTED
    recorder.add(state)
    return status, state


def _next_record(step: int, record_every: int | None) -> int:
    """The step that is recorded after `step`."""
    return step + (max(1, step // GROWTH) if record_every is None else record_every)


def _step(span: SpanCoordinates, loss: Loss, step_size: float, state: _State) -> _State:
    """C_ji <- C_ji + (α/n) a_j y_i Φ_ji g_i and what follows from it."""
    g = loss.weight(state.q)
    Phi = span.network.activation.derivative(state.Z)
    C = state.C + span.network.second_layer[:, None] * Phi * (step_size / span.n * span.y * g)
    Z = span.preactivations(C)
    return _State(state.step + 1, C, Z, span.margins_at(Z), state.G + step_size / span.n * g)


class _Recorder:
    """Rows of a `DescentTrajectory`, one for each recorded step."""

    def __init__(self, span: SpanCoordinates, loss: Loss, d: int, observe: Callable[[int, Array], None]) -> None:
        self._span, self._loss, self._d, self._observe = span, loss, d, observe
        self._rows: dict[int, tuple[Any, ...]] = {}

    def add(self, state: _State) -> None:
        """Record a state, once."""
        if state.step in self._rows:
            return
        C, q, increment = state.C, state.q, self._span.increment(state.C)
        norm, rank, sigma, stable_rank = self._spectrum(C)
        self._rows[state.step] = (
            state.step,
            float(np.mean(self._loss.value(q))),
            mean_log_value(self._loss, q),
            q,
            float(q.min()),
            norm,
            self._span.row_norms(C),
            sigma,
            rank,
            stable_rank,
            stable_rank_by_norms(increment),
            row_norms(increment),
            state.G,
        )
        self._observe(state.step, C)

    def _spectrum(self, C: Array) -> tuple[float, int, Array, float]:
        """‖W‖_F, rank, leading singular values, stable rank."""
        norm, shape = self._span.norm(C), (self._span.network.m, self._d)
        if not np.isfinite(norm):
            return norm, 0, np.full(min(*shape, LEADING), np.nan), float("nan")
        sigma = self._span.singular_values(C)
        rank = int(np.sum(sigma > max(shape) * np.finfo(np.float64).eps * sigma[0]))
        return norm, rank, sigma[: min(*shape, LEADING)], stable_rank_of(sigma) if norm > 0.0 else float("nan")

    def trajectory(self) -> DescentTrajectory:
        """Everything recorded so far."""
        return DescentTrajectory(*(np.array(column) for column in zip(*self._rows.values(), strict=True)))


def _refuse_large_record(steps: int, record_every: int | None, m: int, n: int) -> None:
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
