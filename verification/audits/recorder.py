"""What a training loop calls: it keeps weights now and measures them later."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.validation import as_count, as_positive
from verification.audits.checkpoint import Checkpoint, as_stored
from verification.audits.report import AuditReport
from verification.audits.run import audit

__all__ = ["Recorder"]

MEMORY = 2.0**29
"""Bytes of weights that a recorder keeps, unless it is told otherwise."""

FEWEST, MOST = 4, 64
"""At least and at most so many checkpoints are held, whatever the memory."""


class Recorder:
    """Keeps checkpoints of a training loop, for `audit`.

    `record` copies W, in its own format, into memory that its first call reserves, and does nothing else: a call costs
    one pass through W. Once the memory is full every second checkpoint is let go, and later ones are kept half as
    often; the first and the last recorded step always stay.

    Parameters
    ----------
    network : TwoLayerNetwork
    data : Dataset
        The samples that the loop trains on.
    memory : float > 0
        Bytes; they hold at least `FEWEST` checkpoints, and no more than `MOST` of them are kept.

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
        self._kept: list[tuple[int, int]] = []
        self._newest: tuple[int, int] | None = None
        self._every, self._count, self._format = 1, 0, ""
        self._free: list[int] = []
        self._pool: NDArray[Any] = np.zeros((0, 0, 0))

    @property
    def steps(self) -> list[int]:
        """The steps that are kept."""
        return [step for step, _ in self._held()]

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
            If the step is not larger than the last one, or W is no array of this shape and of the format before.
        """
        step = as_count("step", step, 0)
        if self._newest is not None and step <= self._newest[0]:
            raise InvalidParameterError("step", f"be larger than the one before, {self._newest[0]}", step)
        array, form = as_stored("W", W)
        if array.shape != (self.network.m, self.data.d):
            raise ShapeError("W", f"({self.network.m}, {self.data.d})", array.shape)
        if not self._format:
            self._reserve(array, form)
        if form != self._format:
            raise InvalidParameterError("W", f"be {self._format}, as at the steps before", form)
        self._keep(step, array)

    def _reserve(self, array: NDArray[Any], form: str) -> None:
        """Memory for the checkpoints, written to once, so that no later call waits for the system to find it."""
        slots = int(np.clip(self._memory // max(1, array.nbytes), FEWEST, MOST))
        self._pool, self._free, self._format = np.empty((slots, *array.shape), array.dtype), list(range(slots)), form
        self._pool.fill(0)

    def _keep(self, step: int, array: NDArray[Any]) -> None:
        if self._newest is not None and self._newest not in self._kept:
            self._free.append(self._newest[1])
        slot = self._free.pop()
        np.copyto(self._pool[slot], array)
        self._newest = (step, slot)
        if self._count % self._every == 0:
            self._kept.append(self._newest)
        self._count += 1
        if not self._free:
            self._free += [slot for _, slot in self._kept[1::2] if slot != self._newest[1]]
            self._kept, self._every = self._kept[::2], 2 * self._every

    def report(self, **options: Any) -> AuditReport:
        """`audit` of what was recorded; `options` are its further arguments.

        Raises
        ------
        InvalidParameterError
            If nothing was recorded; and what `audit` raises.
        """
        held = self._held()
        if not held:
            raise InvalidParameterError("Recorder", "have recorded a step", "none")
        checkpoints = [Checkpoint(step, self._pool[k], format=self._format, name=f"step {step}") for step, k in held]
        return audit(self.network, self.data, checkpoints, **options)

    def _held(self) -> list[tuple[int, int]]:
        """Steps and their places in the pool: what is kept, and the newest."""
        if self._newest is None or self._newest in self._kept:
            return list(self._kept)
        return [*self._kept, self._newest]
