"""Tiles of columns on a Dask cluster, by the address of its scheduler (the extra `dask`).

`refimpl` knows no Dask: a pass over tiles takes any executor with `submit`. Products of tiles are formed where the
workers are, which must see the files under the same names; they are added up here, in the order of the columns. A
worker that dies costs time: its tiles are computed again by another, and the sum is the same digit for digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from time import monotonic
from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError, MissingExtraError, WorkerError
from refimpl.tiles.accumulate import work_on_tile
from refimpl.tiles.columns import ArrayColumns, SlicedColumns
from refimpl.validation import as_real_array

__all__ = ["Cluster", "connect"]

ANSWER_SECONDS, LONELY_SECONDS, LOOK_EVERY = 10.0, 60.0, 2.0
"""The scheduler answers within the first; without any worker for the second, the pass ends with a sentence."""


@contextmanager
def connect(address: str) -> Iterator[Cluster]:
    """An executor of the Dask cluster whose scheduler has this address, such as tcp://127.0.0.1:8786.

    Raises
    ------
    MissingExtraError
        If dask.distributed is not installed.
    InvalidParameterError
        If no scheduler answers there.
    """
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise MissingExtraError("dask.distributed", "dask") from error
    try:
        client = distributed.Client(address, timeout=ANSWER_SECONDS, set_as_default=False)
    except Exception as error:  # a name that is no address, a port where nobody listens
        raise InvalidParameterError("scheduler", "be the address of a Dask scheduler that answers", address) from error
    try:
        yield Cluster(client)
    finally:
        client.close(timeout=ANSWER_SECONDS)


class Cluster:
    """`submit` for a pass over tiles, on a client of Dask."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def submit(self, function: Any, X: Any, kernel: Any, start: int, stop: int) -> _Future:
        """`function(X, kernel, start, stop)` on a worker; of an array of Dask its own graph makes the tile."""
        if isinstance(X, SlicedColumns) and hasattr(X.source, "__dask_graph__"):
            task = import_module("dask").delayed(_work_on_numbers, pure=False)
            return _Future(self.client, self.client.compute(task(X.source[:, start:stop], kernel, start, X.shape[1])))
        return _Future(self.client, self.client.submit(function, X, kernel, start, stop, pure=False))


def _work_on_numbers(numbers: Any, kernel: Any, start: int, d: int) -> Any:
    tile = as_real_array("X", np.asarray(numbers), 2)
    return work_on_tile(ArrayColumns(tile, start, d), kernel, start, start + tile.shape[1])


class _Future:
    """A future of Dask that does not wait for ever for a cluster without workers."""

    def __init__(self, client: Any, future: Any) -> None:
        self._client, self._future = client, future

    def result(self) -> Any:
        """The product."""
        lonely: float | None = None
        while True:
            try:
                return self._future.result(timeout=LOOK_EVERY)
            except TimeoutError:
                if self._future.status == "error":
                    raise
                lonely = (lonely or monotonic()) if not self._workers() else None
                if lonely is not None and monotonic() - lonely > LONELY_SECONDS:
                    reason = f"the cluster has had no worker for {LONELY_SECONDS:g} s"
                    raise WorkerError(reason) from None

    def cancel(self) -> None:
        """Not wanted any more."""
        self._future.cancel()

    def _workers(self) -> int:
        if self._client.status != "running":
            raise WorkerError("the scheduler has gone")
        return len(self._client.scheduler_info()["workers"])
