"""Sweeps that are killed: nothing that was finished is lost, no process stays behind, the table is the same.

HYPOTHESIS_PROFILE=thorough kills a sweep of 1,000 cells ten times, and measures the rate of two workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from refimpl.errors import InvalidParameterError
from verification.studies.sweep_run import DEATHS, sweep

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
DRIVER = Path(__file__).with_name("sweep_driver.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, where drivers keep store.sqlite and log."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def driver(cells: int, seconds: float, jobs: int, *scheduler: str, **environment: str) -> subprocess.Popen:
    words = [
        sys.executable,
        str(DRIVER),
        "store.sqlite",
        os.path.abspath("log"),
        str(cells),
        str(seconds),
        str(jobs),
        *scheduler,
    ]
    where = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(words, env=ENVIRONMENT | environment, start_new_session=True, **where)


def table(process: subprocess.Popen, timeout: float = 100.0) -> str:
    out, error = process.communicate(timeout=timeout)
    assert process.returncode == 0, error
    return out


def computed() -> list[list[str]]:
    """The lines of the log: cell, process, time."""
    return [line.split() for line in Path("log").read_text().splitlines()] if Path("log").exists() else []


def session(leader: int) -> dict[int, int]:
    """The living processes of a session, and the parent of each."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(of) == leader and state != "Z":
                    found[int(entry.name)] = int(parent)
    return found


def wait_until(holds, seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.02)


def kill_driver(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not session(process.pid), 20.0)  # its workers end, too


def kill_worker(process: subprocess.Popen, rng: random.Random) -> None:
    workers = {int(line[1]) for line in computed()} & session(process.pid).keys()
    if workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(sorted(workers)), signal.SIGKILL)


def expected(cells: int) -> list[list[str]]:
    """Number and outcome of each cell: those with k % 29 == 28 fail."""
    return [[str(k), "failed" if k % 29 == 28 else "done"] for k in range(cells)]


def outcomes(csv: str) -> list[list[str]]:
    import csv as reader

    return [[row["k"], row["status"]] for row in reader.DictReader(csv.splitlines())]


def test_kills_change_nothing(folder) -> None:
    """A sweep without interruption, and one whose driver and workers are killed at random times."""
    cells, seconds, kills = (1000, 0.02, 10) if THOROUGH else (60, 0.02, 2)
    rng = random.Random(5)
    whole = table(driver(cells, seconds, 2))
    assert outcomes(whole) == expected(cells)
    Path("store.sqlite").unlink()
    Path("log").unlink()
    process, killed = driver(cells, seconds, 2), []
    for k in range(kills):
        goal = len(computed()) + rng.randint(1, cells // kills // 2)
        wait_until(lambda: len(computed()) >= goal or process.poll() is not None)  # noqa: B023
        time.sleep(rng.random() * seconds)
        killed.append("worker" if k % 3 == 1 else "driver")
        if killed[-1] == "worker":
            kill_worker(process, rng)
        else:
            kill_driver(process)
            process = driver(cells, seconds, 2)
    assert table(process) == whole
    wait_until(lambda: not session(process.pid), 20.0)
    counts = Counter(line[0] for line in computed())
    again = sum(counts.values()) - len(counts)
    assert len(counts) == cells
    assert again <= 4 * kills  # what two workers had, and what lay ready for them


def test_two_sweeps_on_one_store_share_the_cells(folder) -> None:
    cells = 200 if THOROUGH else 40
    one, other = driver(cells, 0.05, 2), driver(cells, 0.05, 1)
    first, second = table(one), table(other)
    assert first == second
    assert outcomes(first) == expected(cells)
    assert set(Counter(line[0] for line in computed()).values()) == {1}
    assert len({line[1] for line in computed()}) >= 2


def test_a_cell_that_kills_its_process_fails_alone(folder) -> None:
    out = table(driver(8, 0.01, 2, DEADLY="3"))
    assert outcomes(out) == [[str(k), "failed" if k == 3 else "done"] for k in range(8)]
    assert f"its process ended {DEATHS} times" in out
    assert DEATHS <= sum(line[0] == "3" for line in computed()) <= DEATHS + 1  # once among others, at most, then alone


# --- a cluster -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Dask scheduler and two workers on the loopback: the address, and the process that runs the workers."""
    pytest.importorskip("distributed")
    where = tmp_path_factory.mktemp("cluster")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": ENVIRONMENT, "cwd": where}
    start = [sys.executable, "-W", "ignore", "-m"]
    file = where / "scheduler.json"
    ends = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = subprocess.Popen(
        [*start, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *ends], **quiet
    )
    options = ["--nworkers", "2", "--nthreads", "1", "--host", "127.0.0.1"]
    workers = subprocess.Popen(
        [*start, "distributed.cli.dask_worker", *options, *ends], start_new_session=True, **quiet
    )
    try:
        wait_until(lambda: file.exists() and file.stat().st_size > 0)
        yield json.loads(file.read_text())["address"], workers.pid
    finally:
        for process in (workers, scheduler):
            process.terminate()
            process.wait(timeout=60)


def test_a_cluster_finds_the_same_whatever_is_killed(cluster, folder) -> None:
    """First the driver is killed, then a worker of the cluster; the table is that of a sweep in one process."""
    address, leader = cluster
    cells = 200 if THOROUGH else 50
    process = driver(cells, 0.05, 1, address)
    wait_until(lambda: len(computed()) >= 8 or process.poll() is not None)
    kill_driver(process)
    assert len(computed()) < cells
    process = driver(cells, 0.05, 1, address)
    wait_until(lambda: len(computed()) >= 25 or process.poll() is not None)
    victim = int(computed()[-1][1])
    assert victim in session(leader)
    os.kill(victim, signal.SIGKILL)
    found = table(process)
    assert outcomes(found) == expected(cells)
    assert len(computed()) <= cells + 8  # twice two that ran, and two that lay ready
    Path("store.sqlite").unlink()
    assert table(driver(cells, 0.0, 1)).replace(",0.0,", ",0.05,") == found


def test_a_scheduler_that_does_not_answer_is_told_in_one_sentence(folder, monkeypatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("verification.studies.sweep_workers.CONNECT", 0.3)
    with pytest.raises(InvalidParameterError, match="`scheduler` must be the address of a Dask scheduler that answers"):
        sweep([{"k": 1}], "s.sqlite", lambda settings: settings, scheduler="tcp://127.0.0.1:9")


# --- rate ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not THOROUGH, reason="takes a minute; HYPOTHESIS_PROFILE=thorough")
def test_two_workers_reach_nine_tenths_of_twice_the_rate_of_one(folder) -> None:
    """Cells of 0.2 s that sleep, so that others on this machine do not count; from the first start to the last."""
    rates = []
    for jobs in (1, 2):
        for name in ("store.sqlite", "log"):
            Path(name).unlink(missing_ok=True)
        table(driver(100, 0.2, jobs))
        times = sorted(float(line[2]) for line in computed())
        rates.append((len(times) - 1) / (times[-1] - times[0]))
    assert rates[1] >= 0.9 * 2.0 * rates[0]
