"""Initial weights: W0 with independent N(0, ω²) entries (docs/theory.md, section 4), an array or generated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refimpl.errors import InvalidParameterError
from refimpl.tiles.accumulate import WEIGHT_WIDTH
from refimpl.tiles.columns import Columns
from refimpl.validation import Array, as_count, as_generator, as_nonnegative, check_memory

__all__ = ["GaussianInitialization", "GaussianWeights", "gaussian_weights"]


def gaussian_weights(m: int, d: int, scale: float, rng: np.random.Generator | int) -> Array:
    """W0 of shape (m, d) with independent N(0, scale²) entries.

    Parameters
    ----------
    m, d : int >= 1
    scale : float >= 0
        ω; 0 gives the zero matrix.
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.

    Returns
    -------
    ndarray, shape (m, d)

    Raises
    ------
    InvalidParameterError
        For bad arguments, and if W0 would not fit into memory.

    Examples
    --------
    >>> gaussian_weights(2, 3, 0.01, np.random.default_rng(0)).shape
    (2, 3)
    """
    m, d, scale = as_count("m", m), as_count("d", d), as_nonnegative("scale", scale)
    rng = as_generator("rng", rng)
    check_memory("m · d", m * d, 2 * m * d)
    W0 = rng.standard_normal((m, d))
    _scale(W0, scale)
    return W0


@dataclass(frozen=True)
class GaussianInitialization:
    """W0 with independent N(0, ω²) entries that is never held whole: accepted wherever W0 is.

    Columns are generated in blocks of 4,096, block k by the counter-based generator Philox with its counter at k 2¹²⁸,
    column by column. So W0 depends on seed, scale and m alone, on no budget and no number of workers, and for a smaller
    d it is the first columns of that for a larger one.

    Parameters
    ----------
    seed : int >= 0, or a sequence of such
    scale : float >= 0
        ω.

    Raises
    ------
    InvalidParameterError
        For bad arguments.

    Examples
    --------
    >>> start = GaussianInitialization(seed=0, scale=1e-3)
    >>> W0 = start.columns(512, 10**7)
    >>> W0, W0.read(9_999_998, 10_000_000).shape
    (<GaussianWeights: 512 rows, 10000000 columns>, (512, 2))
    >>> from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gradient_flow
    >>> network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    >>> gradient_flow(network, Dataset([[1.0, 0.1], [0.0, 1.0]], [1, -1]), start).status.name
    'CONVERGED'
    """

    seed: int | Sequence[int]
    scale: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", as_nonnegative("scale", self.scale))
        seeds = self.seed if isinstance(self.seed, (list, tuple)) else [self.seed]
        checked = tuple(as_count("seed", seed, 0) for seed in seeds)
        if not checked:
            raise InvalidParameterError("seed", "be a whole number, at least 0, or several", self.seed)
        object.__setattr__(self, "seed", checked)

    def columns(self, m: int, d: int) -> GaussianWeights:
        """W0 of shape (m, d) in tiles of columns."""
        return GaussianWeights(as_count("m", m), as_count("d", d), self)

    def array(self, m: int, d: int) -> Array:
        """W0 of shape (m, d) in memory.

        Raises
        ------
        InvalidParameterError
            If it does not fit.
        """
        check_memory("m · d", m * d, 2 * m * d)
        return self.columns(m, d).read(0, d)


@dataclass(eq=False, repr=False)
class GaussianWeights(Columns):
    """The columns of a `GaussianInitialization`, with m rows.

    Examples
    --------
    >>> start = GaussianInitialization(1, 1.0)
    >>> tile = start.columns(2, 10_000).read(4000, 5000)       # out of two blocks
    >>> bool(np.array_equal(tile, start.array(2, 5000)[:, 4000:]))
    True
    """

    m: int
    d: int
    start: GaussianInitialization
    _last: tuple[int, Array] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.shape = (self.m, self.d)

    def read(self, start: int, stop: int) -> Array:
        """Columns start to stop - 1, generated."""
        found = np.empty((self.m, stop - start))
        for block in range(start // WEIGHT_WIDTH, -(-stop // WEIGHT_WIDTH)):
            first = block * WEIGHT_WIDTH
            low, high = max(start, first), min(stop, first + WEIGHT_WIDTH)
            found[:, low - start : high - start] = self._block(block)[low - first : high - first].T
        _scale(found, self.start.scale)
        return found

    def rows(self, first: int, last: int) -> Array:
        """Rows first to last - 1: all columns are generated."""
        return np.hstack([self.read(*tile)[first:last] for tile in self._ranges()])

    def _ranges(self) -> Iterator[tuple[int, int]]:
        return ((k, min(k + WEIGHT_WIDTH, self.d)) for k in range(0, self.d, WEIGHT_WIDTH))

    def _block(self, block: int) -> Array:
        """N(0, 1) numbers of a block by columns; the last one is kept, for tiles narrower than a block."""
        last = self._last
        if last is None or last[0] != block:
            key = np.random.SeedSequence(self.start.seed).generate_state(2, np.uint64)
            rng = np.random.Generator(np.random.Philox(counter=[0, 0, block, 0], key=key))
            width = min(WEIGHT_WIDTH, self.d - block * WEIGHT_WIDTH)
            self._last = last = block, rng.standard_normal((width, self.m))
        return last[1]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_last": None}


def _scale(W0: Array, scale: float) -> None:
    """W0 times the scale, in place."""
    with np.errstate(over="ignore"):
        W0 *= scale
    if not np.isfinite(W0).all():
        raise InvalidParameterError("scale", "keep W0 within the range of float64", scale)
