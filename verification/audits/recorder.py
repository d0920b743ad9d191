"""What a training loop calls: it keeps weights now and measures them later."""

from __future__ import annotations

from typing import Any

from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.validation import as_count, as_positive
from verification.audits.checkpoint import Checkpoint, as_stored
from verification.audits.report import AuditReport
from verification.audits.run import audit

__all__ = ["Recorder"]

MEMORY = 2.0**30
"""Bytes of weights that a recorder keeps, unless it is told otherwise."""


class Recorder:
    """Keeps checkpoints of a training loop, for `audit`.

    `record` copies W, in its own format, and does nothing else, so that a call costs a pass through its memory. Once
    the copies fill `memory`, every second one is let go and later steps are kept half as often; the first and the last
    recorded step always stay.

    Parameters
    ----------
    network : TwoLayerNetwork
    data : Dataset
        The samples that the loop trains on.
    memory : float > 0
        Bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])
    >>> recorder, W = Recorder(network, data), np.zeros((2, 3))
    >>> for step in range(5):
    ...     recorder.record(step, W)
    ...     W -= 2.0 * network.loss_and_gradient(W, data)[1]
    >>> recorder.steps, recorder.report().rows[-1].rank
    ([0, 1, 2, 3, 4], 2)
    """

    def __init__(self, network: TwoLayerNetwork, data: Dataset, memory: float = MEMORY) -> None:
        check_problem(network, data, "Recorder")
        self.network, self.data = network, data
        self._memory = as_positive("memory", memory)
        self._kept: list[Checkpoint] = []
        self._newest: Checkpoint | None = None
        self._every, self._count = 1, 0

    @property
    def steps(self) -> list[int]:
        """The steps that are kept."""
        return [checkpoint.step for checkpoint in self._checkpoints()]

    def record(self, step: int, W: Any) -> None:
        """Keep W as it is now.

        Parameters
        ----------
        step : int >= 0
            Larger than at the call before.
        W : array of any framework, shape (m, d)
            Read through `__array__` or DLPack.

        Raises
        ------
        InvalidParameterError, ShapeError
            If the step is not larger than the last one, or W is no array of this shape.
        """
        step = as_count("step", step, 0)
        if self._newest is not None and step <= self._newest.step:
            raise InvalidParameterError("step", f"be larger than the one before, {self._newest.step}", step)
        array, form = as_stored("W", W, copy=True)
        if array.shape != (self.network.m, self.data.d):
            raise ShapeError("W", f"({self.network.m}, {self.data.d})", array.shape)
        self._newest = Checkpoint(step, array, format=form, name=f"step {step}")
        if self._count % self._every == 0:
            self._kept.append(self._newest)
        self._count += 1
        if len(self._kept) > 2 and array.nbytes * (len(self._kept) + 1) > self._memory:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def report(self, **options: Any) -> AuditReport:
        """`audit` of what was recorded; `options` are its further arguments."""
        checkpoints = self._checkpoints()
        if not checkpoints:
            raise InvalidParameterError("Recorder", "have recorded a step", "none")
        return audit(self.network, self.data, checkpoints, **options)

    def _checkpoints(self) -> list[Checkpoint]:
        """What is kept, and the newest."""
        if self._newest is None or self._kept[-1] is self._newest:
            return list(self._kept)
        return [*self._kept, self._newest]
