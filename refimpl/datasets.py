"""Data sets: the container and generators (docs/theory.md, sections 1 and 3); `refimpl.readers` reads files.

Generators take a `numpy.random.Generator`, or the seed of one, so that every draw can be repeated. Samples may lie
in a memory-mapped file larger than memory: `Dataset` goes through them in blocks of `BLOCK_BYTES`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np

from refimpl.errors import InvalidDataError, InvalidParameterError, ShapeError, UnreachableSlackError
from refimpl.paper import PAPER_CONSTANTS
from refimpl.spectrum import gram_factor
from refimpl.tiles.accumulate import gram_matrix
from refimpl.tiles.checks import (
    check_equal_rows,
    check_tiles,
    exponent_of_largest_norm,
    refuse_not_finite,
    refuse_zero_row,
)
from refimpl.tiles.columns import TILE_ENTRIES, ArrayColumns, Columns, ScaledColumns, as_columns, is_columnwise, scaled
from refimpl.validation import (
    Array,
    as_count,
    as_frozen_array,
    as_generator,
    as_nonnegative,
    as_number,
    as_positive,
    as_unit_interval,
    check_memory,
    freeze_arrays,
)

__all__ = [
    "Dataset",
    "as_dataset",
    "correlated",
    "from_frame",
    "gaussian",
    "gaussian_mixture",
    "load",
    "load_cifar10",
    "load_csv",
    "load_npy_pair",
    "load_npz",
    "nearly_orthogonal",
    "read",
]

BLOCK_BYTES = 2**26
"""Samples are gone through in blocks of at most 64 MiB."""

LARGEST_NORM_RATIO = 1e150
"""Its square is within the range of float64."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples x_i in R^d with labels y_i = ±1.

    Parameters
    ----------
    X : array_like, shape (n, d)
        Samples as rows, finite, none of them zero. Kept read-only, as a copy that later changes of the
        caller's array do not reach; what nobody can write to (the X of another data set, a file memory-mapped with mode
        "r") is shared. Or what is gone through by columns: a SciPy sparse matrix, an array of Dask, zarr or h5py,
        `refimpl.tiles.Columns`. Where that has more numbers than a tile (`TILE_ENTRIES`) and n < d, it stays where it
        is: X is `Columns` then, and the Gram matrix, from which X is checked, is made in one pass at once.
    y : array_like, shape (n,)
        Labels, +1 or -1; kept in the same way.

    Raises
    ------
    InvalidParameterError
        If an entry is NaN, infinite, masked, or no real number that float64 holds.
    ShapeError
        If the shapes do not fit or there is no sample.
    InvalidDataError
        If a label is not ±1, a row is zero, or two equal samples have opposite labels.

    Examples
    --------
    >>> data = Dataset([[3.0, 4.0], [0.0, 2.0]], [1, -1])
    >>> data.n, data.d, data.R_max, data.p
    (2, 2, 5.0, 8.0)
    >>> data.gram
    array([[25.,  8.],
           [ 8.,  4.]])
    """

    X: Array
    y: Array

    def __post_init__(self) -> None:
        if is_columnwise(self.X):
            columns = as_columns(self.X)
            if _stays_in_tiles(columns):
                self._keep_tiles(columns)
                return
            object.__setattr__(self, "X", _owned(columns.array()))
        X = as_frozen_array("X", self.X, 2)
        if 0 in X.shape:
            raise ShapeError("X", "(n, d) with n >= 1 and d >= 1", X.shape)
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", _checked_labels(self.y, X.shape[0]))
        _check_rows(X, self.y)

    def _keep_tiles(self, X: Columns) -> None:
        """X as it is, with K from one pass over it; what is wrong with X shows in K."""
        check_memory("(n, n)", (X.shape[0],) * 2, 4 * X.shape[0] ** 2)
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", _checked_labels(self.y, X.shape[0]))
        K = gram_matrix(X)
        if not np.isfinite(K).all() or not np.diagonal(K).all():
            check_tiles(X)
        check_equal_rows(X, self.y, K)
        if _in_range(K):
            self.__dict__["gram"] = _owned(K)

    @property
    def exact(self) -> bool:
        """Whether X is the data, number for number, and not their coordinates in some basis, which are rounded."""
        return not self.__dict__.get("rounded", False)

    @property
    def in_tiles(self) -> bool:
        """Whether X is gone through in tiles of columns and is no array."""
        return isinstance(self.X, Columns)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(freeze_arrays(state))

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.X.shape[0])

    @property
    def d(self) -> int:
        """Dimension of the samples."""
        return int(self.X.shape[1])

    @cached_property
    def gram(self) -> Array:
        """K = X Xᵀ, shape (n, n); computed once, as a sum over tiles of columns (`refimpl.tiles`)."""
        K = gram_matrix(as_columns(self.X))
        if not _in_range(K):
            raise InvalidDataError(
                "X",
                "`X` has rows whose squared norms leave the range of float64: multiply all of `X` by a power of two "
                "that brings the largest norm near 1 (in Python, Dataset.rescaled() does it exactly).",
            )
        K.setflags(write=False)
        return K

    @cached_property
    def gram_factor(self) -> Array:
        """L with K = L Lᵀ, shape (n, n): rows of C L are rows of C X in orthonormal coordinates of the span."""
        L = gram_factor(self.gram)
        L.setflags(write=False)
        return L

    @cached_property
    def signed_gram(self) -> Array:
        """S_ik = y_i y_k K_ik, shape (n, n)."""
        S = self.gram * self.y[:, None] * self.y
        S.setflags(write=False)
        return S

    @property
    def norms(self) -> Array:
        """‖x_i‖, shape (n,)."""
        return np.asarray(np.sqrt(np.diagonal(self.gram)))

    @property
    def R_max(self) -> float:
        """Largest ‖x_i‖."""
        return float(self.norms.max())

    @property
    def R_min(self) -> float:
        """Smallest ‖x_i‖."""
        return float(self.norms.min())

    @property
    def p(self) -> float:
        """max over i ≠ k of |K_ik|; 0 for a single sample."""
        off = np.abs(self.gram)
        np.fill_diagonal(off, 0.0)
        return float(off.max())

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the bytes of X, then y, as little-endian float64 in C order."""
        digest = hashlib.sha256()
        for piece in self.X.row_blocks() if isinstance(self.X, Columns) else (piece for _, _, piece in _pieces(self.X)):
            digest.update(np.ascontiguousarray(piece, dtype="<f8").data)
        digest.update(np.ascontiguousarray(self.y, dtype="<f8").data)
        return digest.hexdigest()

    def rescaled(self) -> tuple[Dataset, int]:
        """The same samples in units in which the largest norm lies in [1, 2).

        Every network and claim here is the same in any units of X, but squared norms must stay
        within the range of float64: do this before forming the Gram matrix of samples of extreme
        size. X/2ᵏ is exact, except that entries below 2⁻¹⁰²² of the new unit may lose bits.

        Returns
        -------
        data : Dataset
            With X/2ᵏ, a copy; the data set itself if k = 0.
        k : int
            The largest norm lies in [2ᵏ, 2ᵏ⁺¹), to rounding.

        Examples
        --------
        >>> data, k = Dataset([[3e-200, 4e-200], [1e-200, 0.0]], [1, -1]).rescaled()
        >>> k, round(data.R_max * 2.0**k, 210)
        (-663, 5e-200)
        """
        if isinstance(self.X, Columns):
            return self._tiles_rescaled(self.X)
        k = _exponent_of_largest_norm(self.X)
        if k == 0:
            return self, 0
        X, K = _owned(np.ldexp(self.X, -k)), self.__dict__.get("gram")
        return (Dataset(X, self.y) if K is None else with_gram(X, self.y, np.ldexp(K, -2 * k), self.exact)), k

    def scaled_by(self, exponent: int, K: Array) -> Dataset:
        """2^exponent X, given its Gram matrix K."""
        return with_gram(scaled(self.X, exponent), self.y, K, self.exact)

    def _tiles_rescaled(self, X: Columns) -> tuple[Dataset, int]:
        """`rescaled` without a pass, K being known; where its entries leave the range of float64, with two."""
        K = self.__dict__.get("gram")
        k = exponent_of_largest_norm(X) if K is None else int(np.frexp(np.sqrt(np.diagonal(K).max()))[1]) - 1
        if k == 0:
            return self, 0
        if K is None:
            return Dataset(cast("Any", ScaledColumns(X, -k)), self.y), k
        return self.scaled_by(-k, np.ldexp(K, -2 * k)), k


def with_gram(X: Any, y: Array, K: Array, exact: bool = True) -> Dataset:
    """The data set (X, y), both checked before, with the K that is known of it."""
    data = object.__new__(Dataset)
    data.__dict__.update(X=X, y=y, gram=_owned(K), rounded=not exact)
    return data


def in_memory(data: Dataset, purpose: str) -> Dataset:
    """`data`, if its samples are held in memory; else one sentence that says what needs that.

    Raises
    ------
    InvalidParameterError
    """
    if data.in_tiles:
        raise InvalidParameterError("data", f"be held in memory for {purpose}; it is gone through in tiles", data.X)
    return data


def as_dataset(data: Any, parameter: str = "data") -> Dataset:
    """`data`, if it is a `Dataset`; else one sentence.

    Examples
    --------
    >>> try:
    ...     as_dataset(([[1.0]], [1]))
    ... except InvalidParameterError as error:
    ...     print(error)
    `data` must be a Dataset, such as Dataset(X, y); got ([[1.0]], [1]).
    """
    if not isinstance(data, Dataset):
        raise InvalidParameterError(parameter, "be a Dataset, such as Dataset(X, y)", data)
    return data


def gaussian(n: int, d: int, rng: np.random.Generator | int, norm_ratio: float = 1.0) -> Dataset:
    """Gaussian rows: x_i = s_i ξ_i/√d with ξ_i ~ N(0, I_d) and alternating labels +1, -1, ...

    Parameters
    ----------
    n, d : int
        Number of samples, dimension. ‖x_i‖ is about s_i.
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.
    norm_ratio : float >= 1
        s_i runs linearly from s_min to s_max = norm_ratio · s_min with mean 1; at most 1e150.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidParameterError
        For bad arguments, and if the samples would not fit into memory.

    Examples
    --------
    >>> data = gaussian(4, 1000, np.random.default_rng(0))
    >>> data.y
    array([ 1., -1.,  1., -1.])
    """
    n, d, rng = _checked_sizes(n, d, rng)
    s = _norms_with_ratio(n, norm_ratio)
    X = rng.standard_normal((n, d)) / np.sqrt(d)
    return _drawn(X * (s / s.mean())[:, None], _alternating_labels(n))


def gaussian_mixture(
    n: int, d: int, rng: np.random.Generator | int, mean_norm: float, noise: float = 1.0, flip_probability: float = 0.0
) -> Dataset:
    """Two Gaussian clusters: x_i = ŷ_i μ + noise · ξ_i, ξ_i ~ N(0, I_d), ŷ_i = ±1 alternating.

    Parameters
    ----------
    n, d : int
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.
    mean_norm : float >= 0
        ‖μ‖; μ has a uniformly random direction.
    noise : float > 0
        Standard deviation of each coordinate about the cluster's mean.
    flip_probability : float in [0, 1]
        Each label y_i is -ŷ_i with this probability, independently.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidParameterError, InvalidDataError
        For bad arguments, and if the samples would not fit into memory or leave the range of float64.

    Examples
    --------
    >>> data = gaussian_mixture(6, 500, np.random.default_rng(0), mean_norm=3.0)
    >>> bool(np.all(data.y[:2] == [1.0, -1.0]))
    True
    """
    n, d, rng = _checked_sizes(n, d, rng)
    noise, flip_probability = as_positive("noise", noise), as_unit_interval("flip_probability", flip_probability)
    mean_norm = as_nonnegative("mean_norm", mean_norm)
    direction = rng.standard_normal(d)
    clusters = _alternating_labels(n)
    with np.errstate(over="ignore", invalid="ignore"):
        mu = mean_norm * direction / np.linalg.norm(direction)
        X = clusters[:, None] * mu + noise * rng.standard_normal((n, d))
    flipped = rng.random(n) < flip_probability
    return _drawn(X, np.where(flipped, -clusters, clusters))


def correlated(n: int, d: int, rng: np.random.Generator | int, correlation: float) -> Dataset:
    """Rows that share one direction: x_i = √ρ e + √(1-ρ) ξ_i/√d, so that ⟨x_i, x_k⟩ is about ρ.

    Parameters
    ----------
    n, d : int
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.
    correlation : float in [0, 1]
        ρ; e is a uniformly random unit vector, labels alternate.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidParameterError
        For bad arguments, and if the samples would not fit into memory.
    InvalidDataError
        If ρ is so near 1 that two samples with opposite labels are equal to rounding.

    Examples
    --------
    >>> data = correlated(4, 10_000, np.random.default_rng(0), correlation=0.5)
    >>> bool(abs(data.gram[0, 1] - 0.5) < 0.05)
    True
    """
    n, d, rng = _checked_sizes(n, d, rng)
    rho = as_unit_interval("correlation", correlation)
    direction = rng.standard_normal(d)
    e = direction / np.linalg.norm(direction)
    X = np.sqrt(rho) * e + np.sqrt(1.0 - rho) * rng.standard_normal((n, d)) / np.sqrt(d)
    return _drawn(X, _alternating_labels(n))


def nearly_orthogonal(
    n: int, d: int, slack: float, slope: float, rng: np.random.Generator | int, norm_ratio: float = 1.0
) -> Dataset:
    """Data that meet R_min² = slack · 3 γ⁻³ R² n p to rounding, for any d >= n >= 2.

    A Gram matrix is drawn first: norms from 1 to R = `norm_ratio`, off-diagonal entries of random
    sign and of sizes between p/2 and p, the largest of them p = γ³/(3 R² n · slack). Then
    X = L Qᵀ with K = L Lᵀ and a random d x n matrix Q with orthonormal columns. Labels alternate.

    Parameters
    ----------
    n, d : int
        2 <= n <= d.
    slack : float > 0
        Wanted slack; 1 is the boundary of the paper's condition for gradient flow.
    slope : float in (0, 1]
        γ.
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.
    norm_ratio : float >= 1
        R = R_max/R_min; R_min = 1, and R is at most 1e150.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidParameterError
        For bad arguments, and if the samples would not fit into memory.
    UnreachableSlackError
        If rounding in X changes the slack by more than a part in 10⁶ (p is too small against
        R_max²), or if no positive definite Gram matrix was found for it (p is too large).

    References
    ----------
    docs/theory.md, section 3.

    Examples
    --------
    >>> from refimpl.paper import flow_condition_slack
    >>> data = nearly_orthogonal(5, 40, slack=1.25, slope=0.5, rng=np.random.default_rng(0))
    >>> round(flow_condition_slack(data.R_min, data.R_max, data.p, data.n, 0.5), 10)
    1.25
    """
    n, d, rng = _checked_sizes(as_count("n", n, 2), d, rng)
    if d < n:
        raise InvalidParameterError("d", f"be at least n = {n}: n nearly orthogonal rows are independent", d)
    slack, slope = as_positive("slack", slack), as_unit_interval("slope", slope)
    if slope == 0.0:
        raise UnreachableSlackError(slack, "the paper's condition has γ⁻³, and `slope` is 0")
    norms = _norms_with_ratio(n, norm_ratio)
    R = float(norms[-1])
    p = slope**3 / (PAPER_CONSTANTS["flow_condition"].value * R**2 * n * slack)
    if p < 1e6 * _gram_rounding(n) * R**2:
        raise UnreachableSlackError(
            slack, f"the inner products would be at most {p:.1e}, which rounding in X does not keep to a part in 10⁶"
        )
    L = _cholesky_or_none(_gram_with_coherence(norms, p, rng)) if p < R**2 else None
    if L is None:
        raise UnreachableSlackError(
            slack,
            f"inner products up to {p:.3g} with squared norms from 1 to {R**2:.3g} gave no definite Gram matrix",
        )
    Q, _ = np.linalg.qr(rng.standard_normal((d, n)))
    return _drawn(L @ Q.T, _alternating_labels(n))


def _checked_sizes(n: Any, d: Any, rng: Any) -> tuple[int, int, np.random.Generator]:
    """n, d and a generator, if the samples, their squares on the way and the Gram matrix fit into memory."""
    n, d = as_count("n", n), as_count("d", d)
    check_memory("n · d", n * d, 3 * n * d + 2 * n * n)
    return n, d, as_generator("rng", rng)


def _drawn(X: Array, y: Array) -> Dataset:
    if not np.isfinite(X).all():
        raise InvalidDataError("X", "The samples drawn leave the range of float64: ask for smaller norms.")
    return Dataset(_owned(X), _owned(y))


def _owned(array: Array) -> Array:
    """`array`, which nobody else has, read-only, so that `Dataset` need not copy it."""
    array.setflags(write=False)
    return array


def _checked_labels(y: Any, n: int) -> Array:
    labels = as_frozen_array("y", y, 1)
    if labels.shape != (n,):
        raise ShapeError("y", f"({n},), one label for each row of `X`", labels.shape)
    wrong = ~np.isin(labels, (-1.0, 1.0))
    if not wrong.any():
        return labels
    if np.isin(labels, (0.0, 1.0)).all():
        raise InvalidDataError("y", "`y` must be +1 or -1; it holds 0 and 1: convert it with y = 2*y - 1.", labels)
    place = int(np.flatnonzero(wrong)[0])
    raise InvalidDataError("y", f"`y` must be +1 or -1; y[{place}] is {labels[place]:g}.", labels)


def _check_rows(X: Array, y: Array) -> None:
    """Refuse entries that are not finite, zero rows, and equal rows with opposite labels, in one pass."""
    nonzero = np.zeros(X.shape[0], dtype=np.bool_)
    digests = [hashlib.blake2b(digest_size=16) for _ in y]
    for first_row, first_column, piece in _pieces(X):
        refuse_not_finite(piece, first_row, first_column)
        nonzero[first_row : first_row + len(piece)] |= piece.any(axis=1)
        for i, row in enumerate(piece, first_row):
            digests[i].update((row + 0.0).data)  # + 0.0 makes -0.0 and 0.0 alike
    refuse_zero_row(nonzero)
    seen: dict[bytes, int] = {}
    for i, digest in enumerate(digests):
        first = seen.setdefault(digest.digest(), i)
        if y[first] != y[i]:
            raise InvalidDataError("X", f"`X` has equal rows with opposite labels: rows {first} and {i}.")


def _pieces(X: Array) -> Iterator[tuple[int, int, Array]]:
    """X in blocks of rows, (first row, first column, block); a row longer than a block comes in parts."""
    n, d = X.shape
    entries = BLOCK_BYTES // X.itemsize
    height, width = max(1, entries // d), min(d, entries)
    for row in range(0, n, height):
        for column in range(0, d, width):
            yield row, column, X[row : row + height, column : column + width]


def _in_range(K: Array) -> bool:
    """Whether K is finite, and no square of a norm so small that it has lost digits."""
    least = np.finfo(np.float64).tiny / np.finfo(np.float64).eps
    return bool(np.isfinite(K).all() and np.diagonal(K).min() >= least)


def _stays_in_tiles(X: Columns) -> bool:
    """Whether X is larger than a tile, and than K, which is held in memory in any case."""
    n, d = X.shape
    return n < d and n > 0 and X.size > TILE_ENTRIES and not isinstance(X, ArrayColumns)


def _exponent_of_largest_norm(X: Array) -> int:
    """k with 2ᵏ <= max ‖x_i‖ < 2ᵏ⁺¹, to rounding, whatever the size of X."""
    largest = max(float(np.abs(piece).max()) for _, _, piece in _pieces(X))
    unit = int(np.frexp(largest)[1])
    squares = np.zeros(X.shape[0])
    for row, _, piece in _pieces(X):
        squares[row : row + len(piece)] += np.sum(np.ldexp(piece, -unit) ** 2, axis=1)
    return unit + int(np.frexp(np.sqrt(squares.max()))[1]) - 1


def _alternating_labels(n: int) -> Array:
    return np.where(np.arange(n) % 2 == 0, 1.0, -1.0)


def _norms_with_ratio(n: int, norm_ratio: float) -> Array:
    """Norms from 1 to `norm_ratio`, linearly."""
    ratio = as_number("norm_ratio", norm_ratio)
    if not 1.0 <= ratio <= LARGEST_NORM_RATIO:
        raise InvalidParameterError("norm_ratio", f"be at least 1 and at most {LARGEST_NORM_RATIO:g}", norm_ratio)
    return np.linspace(1.0, ratio, n)


def _gram_rounding(n: int) -> float:
    """Size of the rounding error of an entry of (L Qᵀ)(L Qᵀ)ᵀ, relative to R_max²."""
    return 4.0 * float(np.finfo(np.float64).eps) * float(np.sqrt(n))


def _gram_with_coherence(norms: Array, p: float, rng: np.random.Generator) -> Array:
    n = norms.size
    sizes = rng.uniform(0.5, 1.0, (n, n)) * rng.choice([-1.0, 1.0], (n, n))
    off = np.triu(sizes, 1)
    off *= p / np.abs(off).max()
    return np.asarray(off + off.T + np.diag(norms**2))


def _cholesky_or_none(K: Array) -> Array | None:
    try:
        return np.asarray(np.linalg.cholesky(K))
    except np.linalg.LinAlgError:
        return None


# At the end, because the readers need Dataset.
from refimpl.readers import (  # noqa: E402
    from_frame,
    load,
    load_cifar10,
    load_csv,
    load_npy_pair,
    load_npz,
    read,
)
