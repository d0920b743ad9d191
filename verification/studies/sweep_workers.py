"""What computes the cells: this process, processes of this machine (joblib's loky), or a Dask cluster.

All three are executors of `concurrent.futures`, and run the same function. A process of this machine computes with one
BLAS thread, leaves Ctrl-C to the one that started it, and ends when that one ends, however it does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

from refimpl.documents import json_text
from refimpl.errors import ImplicitBiasError, InvalidParameterError, MissingExtraError
from verification.versions import package_version

__all__ = ["CellOutcome", "Work", "Workers", "attempt", "cluster_workers", "local_workers"]

Work = Callable[[dict[str, Any]], dict[str, Any]]
"""Settings of a cell -> its result, plain values."""

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)

IDLE = 60
"""Seconds after which a process without work ends."""

CONNECT = 10.0
"""Seconds to wait for the scheduler of a cluster."""

PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux."""


@dataclass(frozen=True)
class CellOutcome:
    """What came of one attempt: the text of a result, or an error; one of the two is None."""

    result: str | None
    error: str | None
    seconds: float


def attempt(work: Work, settings: dict[str, Any], version: str) -> CellOutcome:
    """Compute one cell; what goes wrong is kept as a sentence.

    Examples
    --------
    >>> attempt(lambda settings: {"double": 2 * settings["x"]}, {"x": 2}, package_version()).result
    '{"double": 4}'
    >>> attempt(lambda settings: {"x": settings["y"]}, {}, package_version()).error.partition(" (")[0]
    "KeyError: 'y'"
    """
    began = time.perf_counter()
    result = error = None
    try:
        if version != package_version():
            raise ImplicitBiasError(f"a worker has version {package_version()} of this package, and not {version}.")
        result = json_text(work(settings), indent=None).strip()
    except ImplicitBiasError as stop:
        error = str(stop)
    except Exception as stop:
        error = _where(stop)
    return CellOutcome(result, error, time.perf_counter() - began)


def _where(error: Exception) -> str:
    """An unexpected error with the line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return " ".join(f"{type(error).__name__}: {error}".split()) + place


class Workers(Protocol):
    """Something that computes cells."""

    executor: Executor

    def capacity(self) -> int:
        """How many cells to hand out before one has come back."""

    def restart(self) -> None:
        """Begin anew after a process has died."""


# --- this machine ----------------------------------------------------------------------------------------------------


class _Here(Executor):
    """Computes in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class _InThisProcess:
    """One cell at a time."""

    def __init__(self) -> None:
        self.executor: Executor = _Here()

    def capacity(self) -> int:
        return 1

    def restart(self) -> None:
        """Nothing can have died."""


class _Processes:
    """Processes of this machine."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.executor = self._started()

    def _started(self) -> Executor:
        from joblib.externals.loky import ProcessPoolExecutor

        start: Executor = ProcessPoolExecutor(
            self.jobs, timeout=IDLE, initializer=_begin_worker, initargs=(os.getpid(),), env=ONE_THREAD
        )
        return start

    def capacity(self) -> int:
        return 2 * self.jobs  # the next one lies ready when one is finished

    def restart(self) -> None:
        self.stop()
        self.executor = self._started()

    def stop(self) -> None:
        self.executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]


@contextmanager
def local_workers(jobs: int | None, cells: int) -> Iterator[Workers]:
    """This process if `jobs` is 1; else so many processes, by default one for each core, but no more than `cells`."""
    if jobs is None:
        from joblib import cpu_count

        jobs = int(cpu_count())
    if jobs == 1:
        yield _InThisProcess()
        return
    workers = _Processes(min(jobs, cells))
    try:
        yield workers
    finally:
        workers.stop()


def _begin_worker(parent: int) -> None:
    """In a new process: end with the one that started it, and leave Ctrl-C to that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":  # at once, even in the middle of a call into compiled code
        with suppress(OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
    Thread(target=_end_with, args=(parent,), name="watch of the parent", daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


# --- a cluster -------------------------------------------------------------------------------------------------------


class _Cluster:
    """The workers of a Dask scheduler; those that join later count too."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.executor: Executor = client.get_executor()

    def capacity(self) -> int:
        return 2 * max(1, sum(self.client.nthreads().values()))

    def restart(self) -> None:
        """The scheduler does that."""


@contextmanager
def cluster_workers(address: str) -> Iterator[Workers]:
    """The Dask cluster whose scheduler is at `address`, such as tcp://127.0.0.1:8786.

    Raises
    ------
    MissingExtraError
        Without the package `distributed`.
    InvalidParameterError
        If no scheduler answers there.
    """
    try:
        connect: Any = import_module("distributed").Client
    except ImportError as error:
        raise MissingExtraError("dask.distributed", "dask") from error
    try:
        client = connect(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InvalidParameterError("scheduler", "be the address of a Dask scheduler that answers", address) from error
    workers = _Cluster(client)
    try:
        yield workers
    finally:
        with suppress(Exception):  # the cluster may have gone
            workers.executor.shutdown(wait=False)
            client.close(timeout=CONNECT)
