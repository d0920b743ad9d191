"""Measurements of samples in tiles of columns, for `benchmark.py --only tiles`; 4 GB of disk and some minutes.

A file of 3.2 GB is written to the folder for temporary files (TMPDIR), read, and removed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from scipy import sparse

from refimpl import Dataset, GaussianInitialization, LeakyReLU, TwoLayerNetwork, gradient_flow
from refimpl.reduction import reduced
from refimpl.tiles import NpyColumns, gram_matrix
from refimpl.validation import Array
from verification import kkt_residuals, max_margin

PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def signs(n: int) -> Array:
    """+1, -1, ..."""
    return np.where(np.arange(n) % 2 == 0, 1.0, -1.0)


def written(folder: Path, n: int, d: int, dtype: str = "<f8") -> tuple[Path, Path]:
    """Gaussian samples of norm about 1 and labels, in files that are written row by row."""
    X = np.lib.format.open_memmap(folder / "X.npy", mode="w+", dtype=dtype, shape=(n, d))
    rng = np.random.Generator(np.random.SFC64(1))
    for row in X:
        row[:] = rng.standard_normal(d) / np.sqrt(d)
    X.flush()
    np.save(folder / "y.npy", signs(n))
    return folder / "X.npy", folder / "y.npy"


def pass_and_parts(path: Path) -> tuple[float, float, float]:
    """Seconds of the Gram pass, and of its two parts: reading all tiles, and multiplying as many tiles."""
    X = NpyColumns(path)
    for tile in X.tiles():  # the first reading fills the system's cache
        X.read(*tile)
    whole, read, product = [], [], []
    for _ in range(3):
        whole.append(_seconds(lambda: gram_matrix(X)))
        read.append(_seconds(lambda: [X.read(*tile) is None for tile in X.tiles()]))
        product.append(_products_alone(X))
    return min(whole), min(read), min(product)


def _products_alone(X: NpyColumns) -> float:
    tiles = list(X.tiles())
    B = X.read(*tiles[0])
    return _seconds(lambda: [(B @ B.T) is None for _ in tiles])


def by_dimension(n: int = 20, m: int = 16) -> Iterator[tuple[int, float, float]]:
    """d from 10³ to 10⁷, seconds of the passes for K and W0, and of flow, KKT residuals and max margin after them."""
    network = TwoLayerNetwork.with_signs(m // 2, m // 2, LeakyReLU(0.5))
    for exponent in (3, 3, 4, 5, 6, 7):  # the first time is for warming up
        d = 10**exponent
        X: Any = GaussianInitialization(1, d**-0.5).columns(n, d)
        began = perf_counter()
        small = reduced(Dataset(X, signs(n)), [GaussianInitialization(2, 0.01)], m)
        passed = perf_counter()
        limit = gradient_flow(network, small.data, small.weights[0]).limit
        assert limit is not None
        kkt_residuals(network, small.data, limit.weights())
        max_margin(network, small.data)
        yield d, passed - began, perf_counter() - passed


def documents(n: int = 1000, d: int = 10**6, words: int = 200) -> tuple[float, float]:
    """Seconds for a data set of sparse documents, Gram matrix included, and how far K is from SciPy's."""
    rng = np.random.default_rng(0)
    row, column = np.repeat(np.arange(n), words), (d * rng.random(n * words) ** 3).astype(np.int64)
    X = sparse.csr_array((rng.integers(1, 5, n * words).astype(np.float64), (row, column)), shape=(n, d))
    began = perf_counter()
    K = Dataset(X, signs(n)).gram
    seconds = perf_counter() - began
    return seconds, float(np.abs(K - (X @ X.T).toarray()).max())  # whole numbers: exact


def peak_of_verify(x_path: Path, y_path: Path) -> tuple[float, int, float]:
    """Seconds, exit code and peak resident memory in bytes of `verify` in a process of its own."""
    verify = [sys.executable, "-m", "verification.cli", "verify", "--slope", "0.5", "--time-limit", "inf"]
    command = [sys.executable, "-c", PEAK, *verify, "--data", str(x_path), "--labels", str(y_path)]
    began = perf_counter()
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return perf_counter() - began, int(found[0]), 1024.0 * int(found[1])


def _seconds(work: Callable[[], Any]) -> float:
    began = perf_counter()
    work()
    return perf_counter() - began
