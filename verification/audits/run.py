"""From checkpoints to a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from refimpl.datasets import Dataset
from refimpl.display import shown
from refimpl.errors import InvalidParameterError, RunInterrupted, ShapeError
from refimpl.losses import Loss, as_loss
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.preparation import prepare
from refimpl.spectrum import frobenius_norm
from refimpl.validation import as_callback, as_count, as_nonnegative
from verification.audits.checkpoint import Checkpoint, as_checkpoints
from verification.audits.frame import CheckpointFrame
from verification.audits.judging import AuditedRun, Increment, increment_of, judged
from verification.audits.measuring import RANK_MULTIPLE, Measured, Measurer
from verification.audits.report import AuditReport
from verification.audits.words import in_words
from verification.progress import Told
from verification.reports import network_record
from verification.versions import environment
from verification.witnesses.conditions import check_hypotheses

__all__ = ["audit"]

FLOW_SECONDS = 60.0
"""All flows together may take so long, unless `flow_time_limit` says otherwise."""

LARGEST = 1e100
"""No W may be longer: squares of its entries, times those of X, are formed."""


def audit(
    network: TwoLayerNetwork,
    data: Dataset,
    checkpoints: Any,
    loss: Loss | str | None = None,
    step_size: float | None = None,
    flow_time_limit: float | None = FLOW_SECONDS,
    seed: int = 0,
    progress: Callable[[str], None] = lambda message: None,
) -> AuditReport:
    """What the theory says of a network that was trained elsewhere.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`; its second layer is that of checkpoints that have none of their own.
    data : Dataset
        The samples that it was trained on.
    checkpoints : iterable of Checkpoint or of (step, W), mapping of step to W, or ndarray of shape (steps, m, d)
        W may be an array of any framework. The first one is W(0), whatever its step.
    loss : Loss or str, optional
        Logistic by default.
    step_size : float >= 0, optional
        α of the run, if it was full-batch gradient descent; 0 for gradient flow.
    flow_time_limit : float >= 0 or None
        Seconds for the flows from all checkpoints together; None for no limit, 0 for no flow. That from the last
        checkpoint comes first.
    seed : int
        Of the test points of the decision boundary.
    progress : callable, optional
        Called with a sentence before each long piece of work.

    Returns
    -------
    AuditReport

    Raises
    ------
    InvalidParameterError, ShapeError, InvalidDataError
        For bad arguments, and checkpoints that do not fit each other or the data; the sentence names the checkpoint.
    RunInterrupted
        After Ctrl-C once a checkpoint was measured; its `.result` is the report on those that were.

    References
    ----------
    docs/audit.md.

    Examples
    --------
    >>> import numpy as np
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])
    >>> W0 = np.zeros((2, 3))
    >>> report = audit(network, data, {0: W0, 1: W0 - 9.0 * network.loss_and_gradient(W0, data)[1]})
    >>> [row.smallest_margin > 0.0 for row in report.rows], report.rows[1].rank, report.claims[0].verdict.name
    ([False, True], 1, 'HOLDS_NUMERICALLY')
    """
    check_problem(network, data, "audit")
    loss, seed, progress = as_loss(loss), as_count("seed", seed, 0), as_callback("progress", progress)
    alpha = None if step_size is None else as_nonnegative("step_size", step_size)
    seconds = float("inf") if flow_time_limit is None else as_nonnegative("flow_time_limit", flow_time_limit)
    began, found = perf_counter(), as_checkpoints(checkpoints)
    with_bias = found[0].bias is not None
    if with_bias:
        data = prepare(data, "add_bias").data
    _check_fit(found, network, data)
    frame = CheckpointFrame(data, len(found[0].W))
    conditions = check_hypotheses(network, frame.data)
    measurer = Measurer(network, frame, found[0], loss, conditions.refined.satisfied, seed)
    network = measurer.network_of(found[0])
    if found[0].second_layer is not None:
        conditions = check_hypotheses(network, frame.data)
        measurer.unique = conditions.refined.satisfied
    rows, interrupted = _measured(measurer, found, seconds, progress)
    kept = [checkpoint for checkpoint, row in zip(found, rows, strict=True) if row is not None]
    done = [row for row in rows if row is not None]
    increments = [_increment(network, frame, measurer, checkpoint, found[0]) for checkpoint in kept]
    claims = judged(AuditedRun(network, frame, loss, kept, done, increments, alpha))
    report = AuditReport(
        rows=tuple(done),
        claims=claims,
        words=in_words(done, increments, conditions, claims, alpha, network.slope),
        notes=tuple(_notes(kept, done, with_bias)),
        network=network_record(network, loss),
        data={"n": data.n, "d": data.d, "sha256": data.sha256, "bias_column": with_bias},
        conditions=[
            condition.to_dict() for condition in (conditions.paper, conditions.instance_wise, conditions.refined)
        ],
        environment=environment(),
        step_size=alpha,
        seconds=perf_counter() - began,
        interrupted=interrupted,
    )
    if interrupted:
        raise RunInterrupted(report)
    return report


def _check_fit(checkpoints: Iterable[Checkpoint], network: TwoLayerNetwork, data: Dataset) -> None:
    """Shapes of each checkpoint beside those of the problem, and finite entries."""
    for checkpoint in checkpoints:
        W = checkpoint.weights()
        if not frobenius_norm(W) <= LARGEST:
            requirement = f"have a norm of at most {LARGEST:g}: its square must not leave the range of float64"
            raise InvalidParameterError(f"W of {checkpoint.name}", requirement, frobenius_norm(W))
        m = network.m if checkpoint.second_layer is None else len(checkpoint.second_layer)
        if W.shape != (m, data.d):
            raise ShapeError(f"W of {checkpoint.name}", f"({m}, {data.d}), of the second layer and X", W.shape)


def _measured(
    measurer: Measurer, checkpoints: list[Checkpoint], seconds: float, progress: Callable[[str], None]
) -> tuple[list[Measured | None], bool]:
    """The rows in the order of the checkpoints, the last one measured first; whether Ctrl-C ended it.

    Each flow may take an equal part of the time that is left.
    """
    rows: list[Measured | None] = [None] * len(checkpoints)
    order = [len(rows) - 1, *range(len(rows) - 1)]
    for number, k in enumerate(order):
        counts = f"{checkpoints[k].name} ({number + 1} of {len(order)})"
        progress(Told("checkpoints", counts, number / len(order)))
        share = seconds / (len(order) - number)
        started = perf_counter()
        try:
            rows[k] = measurer.measured(checkpoints[k], _flow_seconds(share))
        except KeyboardInterrupt as stop:
            if number == 0:
                raise KeyboardInterrupt from stop  # what a flow had until then is no report
            return rows, True
        seconds = max(0.0, seconds - (perf_counter() - started))
    return rows, False


def _flow_seconds(share: float) -> float | None:
    """Seconds for one flow; None for none."""
    return min(share, 1e9) if share > 1e-3 else None


def _increment(
    network: TwoLayerNetwork, frame: CheckpointFrame, measurer: Measurer, checkpoint: Checkpoint, start: Checkpoint
) -> Increment:
    eps, steps = max(checkpoint.eps, start.eps), checkpoint.step - start.step
    return increment_of(network, frame, measurer.W0, checkpoint.weights(), eps, steps)


def _notes(checkpoints: list[Checkpoint], rows: list[Measured], with_bias: bool) -> Iterable[str]:
    if with_bias:
        yield "The first layer's bias is its weights on one more coordinate of every sample, 1: this is exact."
    moved = max(row.second_layer_moved for row in rows)
    if moved > 0.0:
        yield f"The second layer was trained: it moved by {shown(moved)} of its length, and the claims need it fixed."
    formats = list(dict.fromkeys(checkpoint.format for checkpoint in checkpoints))
    eps = max(checkpoint.eps for checkpoint in checkpoints)
    told = sorted({name for row in rows[-1:] for name in row.below})
    below = f" Below what it can tell at the end: {', '.join(told).replace('_', ' ')}." if told else ""
    if formats != ["float64"]:
        yield (
            f"Weights are stored in {', '.join(formats)} (eps {shown(eps)}): units within {shown(eps)} of their kink "
            f"count as at it, ranks count singular values above {RANK_MULTIPLE:g} eps ‖W‖.{below}"
        )
    if not all(checkpoint.numbered for checkpoint in checkpoints):
        yield "The checkpoints say no step number: they are counted from 0."
