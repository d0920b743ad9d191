"""Minibatch stochastic gradient descent in R^d, for the paper's experiment on images.

The samples are shuffled anew in every epoch and cut into batches B; each batch moves

    w_j <- w_j + (α/|B|) Σ_{i in B} g_i y_i a_j Φ_ji x_i

(docs/theory.md, section 1). Any activation will do, the ReLU (γ = 0) included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.archive import load_archive, save_run, with_prefix
from refimpl.dataset import Dataset, as_dataset, in_memory
from refimpl.descent import DescentStatus, as_initial_weights
from refimpl.errors import RunInterrupted, ShapeError
from refimpl.losses import Loss, as_loss, mean_log_value
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.spectrum import frobenius_norm, stable_rank_by_norms
from refimpl.validation import Array, as_callback, as_count, as_generator, as_positive, check_memory, check_steps

__all__ = ["StochasticResult", "StochasticTrajectory", "stochastic_gradient_descent"]

NUMBERS_AN_EPOCH = 64
"""What a row of the trajectory takes, in units of 8 bytes: eight Python floats and a tuple, and the arrays."""


@dataclass(frozen=True, eq=False)
class StochasticTrajectory:
    """The path at the ends of the epochs and at the start, T of them.

    Attributes
    ----------
    epoch : ndarray of int, shape (T,)
        0, 1, 2, ...
    loss, log_loss : ndarray, shape (T,)
        L on all training samples, and log L.
    smallest_margin : ndarray, shape (T,)
        min_i q_i on the training samples.
    train_accuracy : ndarray, shape (T,)
        Part of the training samples with q_i > 0.
    held_out_accuracy : ndarray, shape (T,)
        The same on the samples held out; NaN if there are none.
    norm : ndarray, shape (T,)
        ‖W‖_F.
    stable_rank : ndarray, shape (T,)
        ‖W‖_F²/‖W‖₂²; NaN where W = 0.
    """

    epoch: Array
    loss: Array
    log_loss: Array
    smallest_margin: Array
    train_accuracy: Array
    held_out_accuracy: Array
    norm: Array
    stable_rank: Array


@dataclass(frozen=True, eq=False)
class StochasticResult:
    """Result of `stochastic_gradient_descent`.

    Attributes
    ----------
    status : DescentStatus
    message : str
        What happened, in one sentence.
    final_weights : ndarray, shape (m, d)
        W after the last complete batch.
    trajectory : StochasticTrajectory
    diagnostics : dict
        Step size, batch size, batches taken, loss, seconds.
    """

    status: DescentStatus
    message: str
    final_weights: Array
    trajectory: StochasticTrajectory
    diagnostics: dict[str, Any] = field(default_factory=dict)

    def weights(self) -> Array:
        """W after the last complete batch, shape (m, d)."""
        return self.final_weights

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write everything to a `.npz` archive of plain arrays (no pickle).

        Raises
        ------
        OutputFileError
            If the file exists and `force` is not set, or cannot be written.
        """
        save_run(path, self, {"final_weights": self.final_weights}, force)

    @classmethod
    def load(cls, path: str | Path) -> StochasticResult:
        """Read what `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged, or was not written by `save`.
        """
        return load_archive(path, "stochastic_gradient_descent", cls._from_archive)

    @classmethod
    def _from_archive(cls, meta: dict[str, Any], arrays: dict[str, Array]) -> StochasticResult:
        path = StochasticTrajectory(**with_prefix(arrays, "trajectory_"))
        return cls(DescentStatus[meta["status"]], meta["message"], arrays["final_weights"], path, meta["diagnostics"])


def stochastic_gradient_descent(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Any,
    step_size: float,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator | int,
    loss: Loss | str | None = None,
    evaluate: Dataset | None = None,
    progress: Callable[[int], None] | None = None,
) -> StochasticResult:
    """Minibatch SGD with a constant step size; the order of the samples is new in every epoch.

    Parameters
    ----------
    network : TwoLayerNetwork
        With any activation, the ReLU `LeakyReLU(0)` included.
    data : Dataset
        The training samples.
    W0 : array_like, shape (m, d)
        Initial weights; not changed.
    step_size : float > 0
        α.
    epochs : int >= 1
    batch_size : int >= 1
        |B|; the last batch of an epoch takes what is left, and a number above n means n.
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one. Epoch by epoch, `rng.permutation(n)` is the order.
    loss : Loss or str, optional
        Logistic by default.
    evaluate : Dataset, optional
        Samples held out, on which the accuracy is measured too.
    progress : callable, optional
        Called with the number of epochs done, after each.

    Returns
    -------
    StochasticResult
        Overflow ends the run early and is told by `.status`, never by an exception.

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments, and if the epochs would take more than a week or their records more memory than there is.
    RunInterrupted
        After Ctrl-C; its `.result` has the epochs done, with status INTERRUPTED.

    References
    ----------
    docs/theory.md, sections 1 and 4.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> from refimpl.datasets import gaussian_mixture
    >>> rng = np.random.default_rng(0)
    >>> data = gaussian_mixture(40, 100, rng, mean_norm=5.0)
    >>> network = TwoLayerNetwork.with_signs(4, 4, LeakyReLU(0.0))
    >>> W0 = 0.01 * rng.standard_normal((8, 100))
    >>> result = stochastic_gradient_descent(network, data, W0, 0.01, epochs=3, batch_size=8, rng=rng)
    >>> result.trajectory.epoch, result.trajectory.train_accuracy[-1].item()
    (array([0, 1, 2, 3]), 1.0)
    """
    started = perf_counter()
    check_problem(network, data)
    step_size, epochs = as_positive("step_size", step_size), as_count("epochs", epochs)
    batch_size, rng, loss = as_count("batch_size", batch_size), as_generator("rng", rng), as_loss(loss)
    tell = as_callback("progress", progress)
    if evaluate is not None and as_dataset(evaluate, "evaluate").d != data.d:
        raise ShapeError("evaluate.X", f"(n, {data.d})", evaluate.X.shape)
    data = in_memory(data, "stochastic gradient descent, which takes rows of them")
    W0 = as_initial_weights(W0, network, data)
    batches = -(-data.n // batch_size)
    check_steps("epochs", epochs, epochs * batches, 4 * network.m * data.d * data.n // batches)
    check_memory("epochs", epochs, NUMBERS_AN_EPOCH * epochs)
    run = _Epochs(network, data, evaluate, loss, step_size, batch_size, rng, W0)
    with np.errstate(over="ignore", invalid="ignore"):
        status, rows = _run_epochs(run, epochs, tell)
    diagnostics = {
        "step_size": step_size,
        "batch_size": batch_size,
        "epochs": epochs,
        "batches_taken": run.batches,
        "loss": run.loss.name,
        "seconds": perf_counter() - started,
    }
    path = StochasticTrajectory(*(np.array(column) for column in zip(*rows, strict=True)))
    message = f"{status.value} ({len(rows) - 1} of {epochs} epochs)"
    result = StochasticResult(status, message, run.W, path, diagnostics)
    if status is DescentStatus.INTERRUPTED:
        raise RunInterrupted(result)
    return result


class _Epochs:
    """W, and how it moves."""

    def __init__(
        self,
        network: TwoLayerNetwork,
        data: Dataset,
        evaluate: Dataset | None,
        loss: Loss,
        step_size: float,
        batch_size: int,
        rng: np.random.Generator,
        W: Array,
    ) -> None:
        self.network, self.data, self.evaluate, self.loss, self.rng, self.W = network, data, evaluate, loss, rng, W
        self.step_size, self.batch_size, self.batches = step_size, batch_size, 0

    def epoch(self) -> bool:
        """One pass through the shuffled samples; False if a batch would leave the range of float64."""
        order = self.rng.permutation(self.data.n)
        for start in range(0, self.data.n, self.batch_size):
            batch = order[start : start + self.batch_size]
            W = self.W + self.increment(self.data.X[batch], self.data.y[batch])
            if not np.isfinite(W).all():
                return False
            self.W = W
            self.batches += 1
        return True

    def increment(self, X: Array, y: Array) -> Array:
        """-α times the gradient on one batch, shape (m, d); the sum over its samples comes last."""
        Z = self.W @ X.T
        g = self.loss.weight(y * self.network.outputs(Z))
        backward = self.network.activation.derivative(Z)  # Φ
        backward *= self.network.second_layer[:, None]
        backward *= self.step_size / y.size * (g * y)
        return np.asarray(backward @ X)

    def measured(self) -> tuple[float, ...]:
        """The columns of `StochasticTrajectory` after the first, for the present W."""
        q = self.margins(self.data)
        return (
            float(np.mean(self.loss.value(q))),
            mean_log_value(self.loss, q),
            float(q.min()),
            float(np.mean(q > 0.0)),
            float(np.mean(self.margins(self.evaluate) > 0.0)) if self.evaluate is not None else float("nan"),
            frobenius_norm(self.W),
            stable_rank_by_norms(self.W),
        )

    def margins(self, data: Dataset) -> Array:
        return data.y * self.network.outputs(self.W @ data.X.T)


def _run_epochs(
    run: _Epochs, epochs: int, progress: Callable[[int], None]
) -> tuple[DescentStatus, list[tuple[Any, ...]]]:
    """Go through the epochs and note the rows of the trajectory."""
    rows: list[tuple[Any, ...]] = [(0, *run.measured())]
    try:
        for epoch in range(1, epochs + 1):
            if not run.epoch():
                return DescentStatus.DIVERGED, rows
            rows.append((epoch, *run.measured()))
            progress(epoch)
    except KeyboardInterrupt:
        return DescentStatus.INTERRUPTED, rows
    return DescentStatus.FINISHED, rows
