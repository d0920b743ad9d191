"""Gradient descent in span coordinates, and the same in R^{m x d} (docs/theory.md, sections 4 and 7 to 10)."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.dataset import Dataset
from refimpl.descent.recorder import DescentRecorder, State, next_record, refuse_large_record
from refimpl.descent.result import DescentResult, DescentStatus
from refimpl.errors import InvalidParameterError, RunInterrupted
from refimpl.losses import Loss, as_loss
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.reduction import as_initial_weights, with_start
from refimpl.span import SpanCoordinates
from refimpl.validation import Array, as_callback, as_count, as_positive, check_steps

__all__ = ["gradient_descent", "gradient_descent_in_weight_space"]


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
    refuse_large_record(steps, record_every, network.m, data.n)
    span = SpanCoordinates.from_weights(network, data, W0)
    with np.errstate(over="ignore", invalid="ignore"):
        recorder = DescentRecorder(span, loss, given.d, see)
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


def _descend(
    span: SpanCoordinates,
    loss: Loss,
    step_size: float,
    steps: int,
    record_every: int | None,
    recorder: DescentRecorder,
    progress: Callable[[int], None],
) -> tuple[DescentStatus, State]:
    """Take the steps; the state returned is the last complete and finite one, and is recorded."""
    state = State(0, span.origin, span.Z0, span.margins_at(span.Z0), np.zeros(span.n))
    step, status, due = _Step(span, loss, step_size), DescentStatus.FINISHED, 0
    try:
        while state.step < steps:
            if state.step == due:
                recorder.add(state)
                due = next_record(due, record_every)
            following = step(state)
            if not np.isfinite(following.q).all():
                status = DescentStatus.DIVERGED
                break
            state = following
            progress(state.step)
    except KeyboardInterrupt:
        status = DescentStatus.INTERRUPTED
    recorder.add(state)
    return status, state


class _Step:
    """One step of descent: C_ji <- C_ji + (α/n) a_j y_i Φ_ji g_i and what follows from it."""

    def __init__(self, span: SpanCoordinates, loss: Loss, step_size: float) -> None:
        self._span, self._loss, self._derivative = span, loss, span.network.activation.derivative
        self._a, self._share = span.network.second_layer[:, None], step_size / span.n
        self._signed = self._share * span.y

    def __call__(self, state: State) -> State:
        """The state after `state`."""
        span, g = self._span, self._loss.weight(state.q)
        C = state.C + self._a * self._derivative(state.Z) * (self._signed * g)
        Z = span.preactivations(C)
        return State(state.step + 1, C, Z, span.margins_at(Z), state.G + self._share * g)
