"""A Dask cluster of processes on loopback: the same digits, also when a worker dies; one sentence when all do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest

import verification.cluster
from refimpl import Dataset, GaussianInitialization, datasets
from refimpl.errors import ImplicitBiasError, InvalidParameterError, MissingExtraError, WorkerError
from refimpl.tiles import NpyColumns, Plan, gram_matrix, products_with_weights
from verification.cluster import connect

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
thorough = pytest.mark.skipif(not THOROUGH, reason="HYPOTHESIS_PROFILE=thorough")
pytestmark = pytest.mark.filterwarnings("default")


@contextmanager
def processes(*commands):
    """Processes in groups of their own, which end with the block."""
    started = []
    try:
        for command in commands:
            started.append(subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL))
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def cluster(tmp_path, workers=2):
    """The address of a scheduler, and worker processes without anybody who would start them again."""
    pytest.importorskip("distributed")
    file, place = tmp_path / "scheduler.json", ["--local-directory", str(tmp_path)]
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with processes([*scheduler, "--scheduler-file", str(file)]):
        deadline = time.monotonic() + 60.0
        while not file.exists() or not file.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        from distributed import Client

        with Client(scheduler_file=str(file), set_as_default=False) as client:
            address = client.scheduler.address
            worker = ["distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard", *place]
            with processes(*[worker] * workers) as running:
                client.wait_for_workers(workers, timeout=60)
                yield address, running


def saved(folder, n=40, d=24 * 2**15 - 7):
    X = np.random.default_rng(0).standard_normal((n, d), dtype=np.float32)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", np.where(np.arange(n) % 2 == 0, 1, -1))
    return folder / "X.npy", folder / "y.npy"


@thorough
def test_two_workers_one_of_them_killed_midway_give_the_same_digits(tmp_path):
    x_path, y_path = saved(tmp_path)
    local = datasets.load_npy_pair(x_path, y_path)
    start = [GaussianInitialization(1, 1.0).columns(8, local.d)]
    ((Z, B),) = products_with_weights(local.X, start)
    with cluster(tmp_path) as (address, workers), connect(address) as executor:
        told = []

        def kill_one(done, count):
            told.append(done)
            if done == count // 2:
                os.kill(workers[0].pid, signal.SIGKILL)

        far = datasets.load_npy_pair(x_path, y_path, Plan(executor=executor, progress=kill_one))
        assert workers[0].wait(30) == -signal.SIGKILL
        assert told == list(range(1, 25))
        np.testing.assert_array_equal(far.gram, local.gram)
        far.X.plan = Plan(executor=executor)
        ((far_Z, far_B),) = products_with_weights(far.X, start)
        np.testing.assert_array_equal(far_Z, Z)
        np.testing.assert_array_equal(far_B, B)


@thorough
def test_an_array_of_dask_on_a_cluster_and_without_one(tmp_path):
    array = pytest.importorskip("dask.array")
    X = array.random.default_rng(0).standard_normal((300, 30_000), chunks=(100, 7000))
    y = np.where(np.arange(300) % 2 == 0, 1, -1)
    local, here = Dataset(X.compute(), y), Dataset(X, y)
    assert here.in_tiles
    np.testing.assert_array_equal(here.gram, local.gram)
    with cluster(tmp_path) as (address, _), connect(address) as executor:
        here.X.plan = Plan(executor=executor)
        np.testing.assert_array_equal(gram_matrix(here.X), local.gram)


@thorough
def test_a_cluster_that_loses_all_workers_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(verification.cluster, "LONELY_SECONDS", 3.0)
    x_path, _ = saved(tmp_path)
    with cluster(tmp_path, 1) as (address, workers), connect(address) as executor:
        X = NpyColumns(x_path)
        X.plan = Plan(executor=executor, progress=lambda done, count: workers[0].kill() if done == 3 else None)
        with pytest.raises(WorkerError, match=r"a tile of columns was not computed: .*worker"):
            gram_matrix(X)


@thorough
def test_verify_on_a_cluster_prints_what_it_prints_here(tmp_path):
    x_path, y_path = saved(tmp_path, n=12)
    command = [sys.executable, "-m", "verification.cli", "verify", "--data", str(x_path), "--labels", str(y_path)]
    with cluster(tmp_path) as (address, _):
        runs = [subprocess.run([*command, *more], capture_output=True) for more in ([], ["--scheduler", address])]
    assert [run.returncode for run in runs] == [0, 0]
    here, there = (run.stdout.decode().rpartition(" claims in ")[0] for run in runs)
    assert here
    assert here == there


def test_where_nobody_listens(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(verification.cluster, "ANSWER_SECONDS", 0.2)
    with (
        pytest.raises(InvalidParameterError, match="`scheduler` must be the address of a Dask scheduler that answers"),
        connect("tcp://127.0.0.1:1"),
    ):
        pass


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"dask.distributed is not installed: .*\[dask\]"), connect("tcp://a:1"):
        pass
    assert issubclass(MissingExtraError, ImplicitBiasError)
