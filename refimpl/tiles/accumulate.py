"""Products of tiles, added up in the order of the columns: K = X Xᵀ, Z0 = W0 Xᵀ, W0 W0ᵀ.

Which tiles there are, what is computed of each and in which order the sum is taken depend on shapes alone: a budget, a
number of workers, a worker that dies change how long it takes, and no digit. The sum over tiles is compensated, so its
rounding does not grow with their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from refimpl.errors import ImplicitBiasError, InvalidParameterError, WorkerError
from refimpl.tiles.columns import ArrayColumns, Columns, SparseColumns, as_dense, one_line, tile_width
from refimpl.validation import Array

__all__ = ["DEFAULT_MEMORY", "Plan", "combination", "gram_matrix", "products_with_weights", "read_ahead"]

DEFAULT_MEMORY = 10**9
"""Bytes that a pass over tiles may take, unless a `Plan` says otherwise."""

WEIGHT_WIDTH = 2**12
"""Columns of W0 that exist at a time."""

SUM_ROWS = 2**8
"""Rows of a sum that are added at a time, so that the compensation needs no second matrix of the size."""

MOST_AHEAD = 3
"""Tiles that are read ahead at most."""


@dataclass(frozen=True)
class Plan:
    """How passes over tiles are made. No number depends on it.

    Attributes
    ----------
    memory : int
        Bytes that a pass may take; it decides how many tiles are read, or computed on other machines, at a time.
    executor : object, optional
        With `submit(function, *arguments)`, which returns a future, as those of `concurrent.futures` have;
        `verification.cluster.connect` makes one of a Dask cluster. By default tiles are multiplied here.
    progress : callable, optional
        Called with the number of tiles done and of all tiles.
    """

    memory: int = DEFAULT_MEMORY
    executor: Any = None
    progress: Callable[[int, int], None] | None = None


class CompensatedSum:
    """A sum of matrices whose rounding does not grow with their number (Neumaier's, entry by entry).

    Examples
    --------
    >>> total = CompensatedSum((1, 1))
    >>> for value in (1.0, 1e-16, 1e-16):
    ...     total.add(np.array([[value]]))
    >>> float(total.value[0, 0] - 1.0) > 0.0
    True
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._total, self._lost = np.zeros(shape), np.zeros(shape)

    def add(self, P: Array) -> None:
        """Add P: total + P = s + e exactly (Knuth's two-sum)."""
        for first in range(0, len(P), SUM_ROWS):
            rows = slice(first, first + SUM_ROWS)
            t, p = self._total[rows], P[rows]
            s = t + p
            back = s - t
            self._lost[rows] += (t - (s - back)) + (p - back)
            self._total[rows] = s

    @property
    def value(self) -> Array:
        """The sum; of what is not finite, as it is."""
        return np.where(np.isfinite(self._total), self._total + self._lost, self._total)


def gram_matrix(X: Columns) -> Array:
    """K = X Xᵀ, shape (n, n), exactly symmetric, in one pass; not finite where X, or a square, is not.

    The bound on its rounding stands in docs/numerics.md, "Data larger than memory".

    Examples
    --------
    >>> gram_matrix(ArrayColumns(np.array([[3.0, 4.0], [0.0, 2.0]])))
    array([[25.,  8.],
           [ 8.,  4.]])
    """
    total = CompensatedSum((X.shape[0], X.shape[0]))
    with np.errstate(over="ignore", invalid="ignore"):
        for (product,) in _products(X, _gram_of_tile, [total]):
            total.add(product)
        return total.value


def products_with_weights(X: Columns, weights: Sequence[Columns]) -> list[tuple[Array, Array]]:
    """(W Xᵀ, W Wᵀ) of shapes (m, n) and (m, m) for each W of shape (m, d), in one pass over X.

    Examples
    --------
    >>> products_with_weights(ArrayColumns(np.eye(2)), [ArrayColumns(np.array([[2.0, 1.0]]))])
    [(array([[2., 1.]]), array([[5.]]))]
    """
    sums = [(CompensatedSum((W.shape[0], X.shape[0])), CompensatedSum((W.shape[0], W.shape[0]))) for W in weights]
    flat = [total for pair in sums for total in pair]
    with np.errstate(over="ignore", invalid="ignore"):
        for products in _products(X, partial(_weights_of_tile, weights=tuple(weights)), flat, weights):
            for total, product in zip(flat, products, strict=True):
                total.add(product)
        return [(Z.value, B.value) for Z, B in sums]


def gram_of_remainder(X: Columns, W: Columns, coefficients: Array) -> Array:
    """R Rᵀ for R = W - coefficients · X, shape (m, m), in one pass: what of W is orthogonal to the samples."""
    total = CompensatedSum((W.shape[0], W.shape[0]))
    kernel = partial(_remainder_of_tile, W=W, coefficients=coefficients)
    for (product,) in _products(X, kernel, [total], [W]):
        total.add(product)
    return total.value


def combination(C: Array, X: Any) -> Array:
    """C X, shape (m, d), of an array X or tile by tile."""
    if not isinstance(X, Columns):
        return np.asarray(C @ X)
    result = np.empty((C.shape[0], X.shape[1]))
    for (start, stop), tile in read_ahead(X):
        result[:, start:stop] = C @ tile
    return result


def read_ahead(X: Columns, ahead: int = 1) -> Iterator[tuple[tuple[int, int], Any]]:
    """Each tile with its first column and the one after its last, read while the one before is worked with."""
    if isinstance(X, ArrayColumns) or ahead == 0:
        yield from ((tile, X.read(*tile)) for tile in X.tiles())
        return
    with ThreadPoolExecutor(1) as reader:
        tasks = ((tile, partial(reader.submit, X.read, *tile)) for tile in X.tiles())
        yield from _in_order(tasks, 1 + ahead)


# --- one pass --------------------------------------------------------------------------------------------------------


def _products(
    X: Columns, kernel: Callable[..., list[Array]], sums: Sequence[CompensatedSum], weights: Sequence[Columns] = ()
) -> Iterator[list[Array]]:
    """kernel(tile, start) for each tile, in order."""
    plan = X.plan or Plan()
    count = -(-X.shape[1] // tile_width(X.shape[0]))
    ahead = _room(plan, X, sums, weights)
    tell = plan.progress or (lambda done, of: None)
    if plan.executor is None:
        found: Iterator[Any] = (kernel(tile, start) for (start, _), tile in read_ahead(X, min(ahead, MOST_AHEAD)))
    else:
        found = (product for _, product in _in_order(_submitted(plan.executor, X, kernel), 1 + ahead))
    for done, products in enumerate(found, 1):
        yield products
        tell(done, count)


def _room(plan: Plan, X: Columns, sums: Sequence[CompensatedSum], weights: Sequence[Columns]) -> int:
    """Tiles that the budget holds beside the one that is worked with.

    Raises
    ------
    InvalidParameterError
        If it does not hold that one and the sums.
    """
    n = X.shape[0]
    held = 3 * sum(total._total.nbytes for total in sums)
    held += 16 * WEIGHT_WIDTH * max((W.shape[0] for W in weights), default=0)
    in_memory = isinstance(X, ArrayColumns | SparseColumns)
    tile = 0 if in_memory else 16 * n * tile_width(n)  # as it is stored, and as float64
    if held + tile > plan.memory:
        least = f"be at least {(held + tile) / 1e6:.0f} MB for {n} samples in tiles of {tile_width(n)} columns"
        raise InvalidParameterError("memory", least, plan.memory)
    product = sum(total._total.nbytes for total in sums)
    each = product if plan.executor is not None else tile
    return int((plan.memory - held - tile) // max(each, 1))


def _submitted(
    executor: Any, X: Columns, kernel: Callable[..., list[Array]]
) -> Iterator[tuple[tuple[int, int], Callable[[], Any]]]:
    for start, stop in X.tiles():
        yield (start, stop), partial(executor.submit, work_on_tile, X.part(start, stop), kernel, start, stop)


def _in_order(tasks: Iterable[tuple[Any, Callable[[], Any]]], most: int) -> Iterator[tuple[Any, Any]]:
    """What the tasks give, in their order, with at most so many of them under way."""
    pending: deque[tuple[Any, Any]] = deque()
    try:
        for key, start in tasks:
            pending.append((key, _result(start)))
            if len(pending) >= most:
                key, future = pending.popleft()
                yield key, _result(future.result)
        while pending:
            key, future = pending.popleft()
            yield key, _result(future.result)
    finally:
        for _, future in pending:
            future.cancel()


def _result(wait: Callable[[], Any]) -> Any:
    try:
        return wait()
    except ImplicitBiasError:
        raise
    except Exception as error:  # a cluster that is gone, a worker that died once too often, memory that ran out
        raise WorkerError(one_line(error)) from error


# --- what is computed of one tile, wherever that is ------------------------------------------------------------------


def work_on_tile(X: Columns, kernel: Callable[..., list[Array]], start: int, stop: int) -> list[Array]:
    """Read a tile and compute what is wanted of it."""
    with np.errstate(over="ignore", invalid="ignore"):
        return kernel(X.read(start, stop), start)


def _gram_of_tile(tile: Any, start: int) -> list[Array]:
    tile = tile if sparse.issparse(tile) else np.ascontiguousarray(tile)  # one order of the axes, one rounding
    return [as_dense(tile @ tile.T)]


def _weights_of_tile(tile: Any, start: int, weights: Sequence[Columns]) -> list[Array]:
    found = []
    for W in weights:
        Z, B = np.zeros((W.shape[0], tile.shape[0])), np.zeros((W.shape[0], W.shape[0]))
        for V, samples in _blocks(tile, start, W):
            Z += V @ samples.T
            B += V @ V.T
        found += [Z, B]
    return found


def _remainder_of_tile(tile: Any, start: int, W: Columns, coefficients: Array) -> list[Array]:
    total = np.zeros((W.shape[0], W.shape[0]))
    for V, samples in _blocks(tile, start, W):
        R = V - coefficients @ samples
        total += R @ R.T
    return [total]


def _blocks(tile: Any, start: int, W: Columns) -> Iterator[tuple[Array, Any]]:
    """Blocks of W, and of the samples, in a tile that begins with column `start`."""
    for first in range(0, tile.shape[1], WEIGHT_WIDTH):
        last = min(first + WEIGHT_WIDTH, tile.shape[1])
        yield W.dense(start + first, start + last), tile[:, first:last]
