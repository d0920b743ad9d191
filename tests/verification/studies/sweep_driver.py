"""A sweep of cells that sleep and draw a number, as a program of its own that tests can kill.

    python sweep_driver.py STORE LOG CELLS SECONDS JOBS [SCHEDULER]

Each computation of a cell appends its number, process and time to LOG; the table is printed. The cell whose number is
DEADLY in the environment kills its process.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import numpy as np

from refimpl.errors import ImplicitBiasError
from verification.studies.sweep_run import sweep


def work(settings):
    with open(settings["log"], "a") as log:  # one short line is appended as a whole
        log.write(f"{settings['k']} {os.getpid()} {time.time():.4f}\n")
    if os.environ.get("DEADLY") == str(settings["k"]):
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(settings["seconds"])
    if settings["k"] % 29 == 28:
        raise ImplicitBiasError(f"cell {settings['k']} cannot be computed.")
    return {"drawn": np.random.default_rng(settings["k"]).standard_normal(3).tolist(), "nothing": None}


def cells(log: str, count: int, seconds: float) -> list[dict]:
    return [{"k": k, "log": log, "seconds": seconds} for k in range(count)]


def main(store: str, log: str, count: str, seconds: str, jobs: str, scheduler: str | None = None) -> None:
    began = time.perf_counter()
    found = sweep(cells(log, int(count), float(seconds)), store, work, "test", jobs=int(jobs), scheduler=scheduler)
    print(found.to_csv(), end="")
    print(f"{time.perf_counter() - began:.3f}", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
