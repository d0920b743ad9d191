"""Preparation of samples before training: centre, standardize, unit_norm, add_bias (docs/numerics.md, "Preparation").

Each step is fitted to the samples, recorded as a `Step`, and applies to other samples as well, such as those of a test:

    centre        x - x̄                         x̄ the mean of the samples
    standardize   (x - x̄)/sd, by columns         sd with 1/n; a constant column becomes 0
    unit_norm     x/‖x‖
    add_bias      (x, 1)

They compose in any order. The command line takes them in the order of this table, in which none undoes another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.dataset import Dataset, as_dataset, in_memory
from refimpl.errors import InvalidDataError, InvalidParameterError, ShapeError
from refimpl.reduction import reduced
from refimpl.spectrum import row_norms
from refimpl.validation import Array, as_choice, as_finite_array, check_memory

__all__ = ["STEPS", "Conditioning", "Prepared", "Step", "conditioning", "prepare"]

STEPS = ("centre", "standardize", "unit_norm", "add_bias")
"""Names of the steps, in the order in which the command line takes them."""

CONSTANT = 8.0 * float(np.finfo(np.float64).eps)
"""A column whose entries differ by at most this part of the largest is constant: its deviations are rounding."""

MOST_OPERATIONS = 3e10
"""Singular values of X are computed where that takes at most so many operations, a few seconds."""


@dataclass(frozen=True, eq=False)
class Step:
    """One step, with the numbers that it took from the samples it was fitted to.

    Attributes
    ----------
    name : str
        One of `STEPS`.
    sentence : str
        What it did, for people.
    shift, scale : ndarray, shape (d,), or None
        x becomes (x - shift)/scale; None where the step needs none. The scale of a constant column is inf.
    constant_columns : tuple of int
        Columns, from 0, that `standardize` found constant.
    """

    name: str
    sentence: str
    shift: Array | None = None
    scale: Array | None = None
    constant_columns: tuple[int, ...] = ()

    def apply(self, X: Any) -> Array:
        """The samples `X`, shape (k, d), after this step.

        Raises
        ------
        InvalidParameterError, ShapeError
            If X is not finite, or has another number of columns than the samples of the fit.
        InvalidDataError
            If `unit_norm` meets a row that is 0.
        """
        X = as_finite_array("X", X, 2)
        if self.name == "add_bias":
            return np.hstack([X, np.ones((X.shape[0], 1))])
        if self.name == "unit_norm":
            norms = row_norms(X)
            if not norms.all():
                raise InvalidDataError("X", f"`X` has a zero row, which has no direction: row {int(norms.argmin())}.")
            return np.asarray(X / norms[:, None])
        if self.shift is not None and X.shape[1] != self.shift.size:
            raise ShapeError("X", f"(k, {self.shift.size})", X.shape)
        with np.errstate(over="ignore"):
            X = X if self.shift is None else X - self.shift
            return np.asarray(X if self.scale is None else X / self.scale)

    def to_dict(self) -> dict[str, Any]:
        """Name, sentence and constant columns (counted from 1), ready for JSON."""
        return {
            "name": self.name,
            "sentence": self.sentence,
            "constant_columns": [k + 1 for k in self.constant_columns],
        }


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data after some steps.

    Attributes
    ----------
    data : Dataset
    steps : tuple of Step
        In the order in which they were taken.
    """

    data: Dataset
    steps: tuple[Step, ...]

    def apply(self, X: Any) -> Array:
        """Other samples, shape (k, d), after the same steps: what was fitted is not fitted again.

        Raises
        ------
        InvalidParameterError, ShapeError, InvalidDataError
            As `Step.apply`.
        """
        X = as_finite_array("X", X, 2)
        for step in self.steps:
            X = step.apply(X)
        return X


def prepare(data: Dataset, *steps: str) -> Prepared:
    """The data after these steps, in this order.

    Parameters
    ----------
    data : Dataset
        Shape (n, d); it is not changed.
    *steps : str
        Each one of `STEPS`.

    Returns
    -------
    Prepared
        `.data`, with d + 1 columns for each "add_bias"; `.steps`; `.apply(X)`.

    Raises
    ------
    InvalidParameterError
        If a step has another name, or the data do not fit into memory.
    InvalidDataError
        If a sample becomes 0, two with opposite labels become equal, or the data leave the range of float64.

    References
    ----------
    docs/numerics.md, "Preparation".

    Examples
    --------
    >>> prepared = prepare(Dataset([[3.0, 5.0], [1.0, 5.0], [5.0, 5.0]], [1, -1, 1]), "standardize", "add_bias")
    >>> prepared.data.X.round(3)
    array([[ 0.   ,  0.   ,  1.   ],
           [-1.225,  0.   ,  1.   ],
           [ 1.225,  0.   ,  1.   ]])
    >>> prepared.steps[0].sentence.partition("; ")[2]
    'column 2 is constant and became 0'
    >>> prepared.apply([[3.0, 6.0]])
    array([[0., 0., 1.]])
    """
    data = as_dataset(data)
    names = [as_choice("steps", name, STEPS) for name in steps]
    if not names:
        return Prepared(data, ())
    data = in_memory(data, "a preparation, which changes every number of them")
    check_memory("X", data.X.shape, 3 * data.X.size)
    X, taken = data.X, list[Step]()
    try:
        for name in names:
            taken.append(_fitted(name, X))
            X = taken[-1].apply(X)
        return Prepared(Dataset(X, data.y), tuple(taken))
    except (InvalidDataError, InvalidParameterError) as error:
        raise InvalidDataError("steps", f"After {', '.join(step.name for step in taken)}: {error}", names) from error


def _fitted(name: str, X: Array) -> Step:
    if name == "unit_norm":
        return Step(name, "unit_norm: each sample divided by its norm")
    if name == "add_bias":
        return Step(name, f"add_bias: a column of ones added, column {X.shape[1] + 1}")
    shift = _mean(X)
    if name == "centre":
        return Step(name, "centre: the mean of the samples subtracted", shift)
    scale = _deviations(X, shift)
    constant = tuple(map(int, np.flatnonzero(np.isinf(scale))))
    sentence = "standardize: the mean of each column subtracted, then divided by its standard deviation"
    return Step(name, sentence + _constant_columns(constant), shift, scale, constant)


def _mean(X: Array) -> Array:
    """Mean of the rows to the last place, so that what is left of it is rounding of X itself; inf on overflow."""
    n = X.shape[0]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = (X / n).sum(axis=0)
        return np.asarray(mean + ((X - mean) / n).sum(axis=0))


def _deviations(X: Array, mean: Array) -> Array:
    """Standard deviation of each column, with 1/n; inf where the column is constant to rounding."""
    with np.errstate(over="ignore", invalid="ignore"):
        rest = X - mean
        largest = np.abs(rest).max(axis=0)
        unit = np.where(largest > 0.0, largest, 1.0)
        deviations = unit * np.sqrt(np.mean((rest / unit) ** 2, axis=0))
    return np.where(largest > CONSTANT * np.abs(X).max(axis=0), deviations, np.inf)


def _constant_columns(constant: tuple[int, ...]) -> str:
    if not constant:
        return ""
    shown = ", ".join(str(k + 1) for k in constant[:8]) + (f", ... ({len(constant)} in all)" if constant[8:] else "")
    return f"; column{'s' if constant[1:] else ''} {shown} {'are' if constant[1:] else 'is'} constant and became 0"


# --- conditioning -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conditioning:
    """How far K = X Xᵀ is from singular.

    Attributes
    ----------
    n, rank : int
        Size of K; its eigenvalues above n · eps · λ_max, below which they are rounding of K.
    condition : float
        λ_max over the least of these: cond(K) where the rank is n.
    """

    n: int
    rank: int
    condition: float

    @property
    def singular(self) -> bool:
        """Whether K is singular to its rounding."""
        return self.rank < self.n

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {"rank": self.rank, "singular": self.singular, "condition": self.condition}


def conditioning(data: Dataset) -> Conditioning | None:
    """Rank and condition of K, from the singular values of X; None where that takes long (`MOST_OPERATIONS`).

    The singular values are those of X and no roots of eigenvalues of K: they are good to eps λ_max^½, so that the
    smallest eigenvalue that counts has digits.

    Examples
    --------
    >>> found = conditioning(Dataset([[3.0, 0.0], [0.0, 1.0], [0.0, 2.0]], [1, -1, -1]))
    >>> found.rank, found.singular, round(found.condition, 12)
    (2, True, 1.8)
    """
    X = reduced(data).data.X if data.in_tiles else data.X
    n, d = X.shape
    if 4.0 * n * d * min(n, d) > MOST_OPERATIONS:
        return None
    squares = np.linalg.svd(X / np.abs(X).max(), compute_uv=False) ** 2
    rank = int(np.sum(squares > n * np.finfo(np.float64).eps * squares[0]))
    return Conditioning(n, rank, float(squares[0] / squares[rank - 1]))
