"""Span coordinates W = W0 + C X: the dynamics in R^{m x n} (docs/theory.md, section 7).

Every gradient is a combination of the samples, so W(t) - W(0) = C(t) X for all t. Loss, velocity
and spectrum need only C, the Gram matrix K = X Xᵀ, Z0 = W0 Xᵀ and B0 = W0 W0ᵀ; the dimension d is
never touched again. In loss-normalized time s, with w = g/Σg,

    dC_ji/ds = a_j y_i Φ_ji w_i ,    Z = Z0 + C K .
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from refimpl.dataset import Dataset
from refimpl.errors import InvalidDataError, InvalidParameterError, ShapeError
from refimpl.initialization import GaussianInitialization
from refimpl.losses import Loss, as_loss, sample_weights
from refimpl.network import TwoLayerNetwork, as_network, check_problem
from refimpl.spectrum import frobenius_norm, gram_factor, row_norms, stable_rank_of
from refimpl.tiles.accumulate import combination
from refimpl.tiles.columns import Columns
from refimpl.validation import Array, as_finite_array, as_positive, check_memory

__all__ = ["SpanCoordinates", "coefficients_from_weights", "weights_from_coefficients"]

SAFE_GRAM_SPREAD = 1e-4
"""Where the smallest singular value of a matrix is at least this part of ‖·‖_F, roots of eigenvalues of
its Gram matrix are right to eps / SAFE_GRAM_SPREAD² = 2e-8 in the smallest and to eps in the largest."""

_BLOCK = 2**23
"""Entries of W0 that are projected at a time."""


@dataclass(frozen=True, eq=False)
class SpanCoordinates:
    """Everything that the dynamics need, with no array of length d.

    Parameters
    ----------
    network : TwoLayerNetwork
    y : ndarray, shape (n,)
        Labels.
    gram : ndarray, shape (n, n)
        K = X Xᵀ.
    Z0 : ndarray, shape (m, n)
        W0 Xᵀ.
    B0 : ndarray, shape (m, m)
        W0 W0ᵀ/ω², needed for norms and stable ranks of W only.
    orthogonal : ndarray, shape (m, m), optional
        (W0 - P)(W0 - P)ᵀ/ω², P the projection of W0 on the span of the data. `from_weights` takes it
        from W0; the default B0 - Z0 K⁺ Z0ᵀ/ω² sees singular values of W0 - P above √eps ‖W0‖ only.
    unit : float > 0
        ω, a power of two near the largest |W0_jk| where squares of W0 would leave the range of
        float64; else 1.
    factor_of_gram : ndarray, shape (n, n), optional
        L with K = L Lᵀ; `from_weights` takes that of the data set, where it is computed once. By default it is computed
        when it is first needed.
    projection : ndarray, shape (m, n), optional
        Z0 K⁺/ω, the coefficients of P; likewise.

    References
    ----------
    docs/theory.md, section 7; docs/numerics.md, "Span coordinates".

    Examples
    --------
    >>> from refimpl import Dataset, LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], [1, -1])
    >>> span = SpanCoordinates.from_weights(network, data, [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    >>> C = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> span.preactivations(C)
    array([[1., 0.],
           [0., 4.]])
    >>> round(span.norm(C) ** 2, 12)         # W = [[1, 0, 1], [0, 2, 0]]
    6.0
    """

    network: TwoLayerNetwork
    y: Array
    gram: Array
    Z0: Array
    B0: Array
    orthogonal: Array | None = None
    unit: float = 1.0
    factor_of_gram: Array | None = None
    projection: Array | None = None

    def __post_init__(self) -> None:
        as_network(self.network)
        object.__setattr__(self, "y", as_finite_array("y", self.y, 1))
        object.__setattr__(self, "unit", as_positive("unit", self.unit))
        object.__setattr__(self, "Z0", as_finite_array("Z0", self.Z0, 2))
        m, n = self.network.m, self.y.size
        with np.errstate(over="ignore"):
            if not np.isfinite(self.Z0 / self.unit).all():
                raise InvalidParameterError("unit", "keep Z0/unit within the range of float64", self.unit)
        for name, shape in (("gram", (n, n)), ("Z0", (m, n)), ("B0", (m, m)), ("orthogonal", (m, m))):
            if name == "orthogonal" and self.orthogonal is None:
                in_span = _coefficients_of_projection(self.gram, self.Z0 / self.unit)
                object.__setattr__(self, "projection", in_span)
                object.__setattr__(self, "orthogonal", self.B0 - in_span @ (self.Z0.T / self.unit))
            array = as_finite_array(name, getattr(self, name), 2)
            if array.shape != shape:
                raise ShapeError(name, str(shape), array.shape)
            object.__setattr__(self, name, array)

    @classmethod
    def from_weights(cls, network: TwoLayerNetwork, data: Dataset, W0: Any) -> SpanCoordinates:
        """Span coordinates around W0, shape (m, d).

        Raises
        ------
        InvalidParameterError, ShapeError
            For bad arguments, and if arrays of m x n, m x m and n x n would not fit into memory.
        """
        check_problem(network, data)
        m, n = network.m, data.n
        check_memory("(m, n)", (m, n), 4 * m * n + 4 * m * m + 3 * n * n)
        W0 = as_finite_array("W0", W0, 2)
        Z0 = network.preactivations(W0, data.X)
        unit = _safe_unit(W0)
        eigenvalues, vectors = data.gram_eigenvectors
        in_span = ((Z0 / unit) @ vectors / eigenvalues) @ vectors.T
        orthogonal = _gram_of_remainder(W0, in_span, data.X, unit)
        B0 = orthogonal + in_span @ (Z0.T / unit)
        return cls(network, data.y, data.gram, Z0, B0, orthogonal, unit, data.gram_factor, in_span)

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.y.size)

    @property
    def origin(self) -> Array:
        """C = 0, shape (m, n)."""
        return np.zeros_like(self.Z0)

    def preactivations(self, C: Array) -> Array:
        """Z = Z0 + C K, shape (m, n)."""
        return self.Z0 + C.dot(self.gram)  # of small arrays `@` costs twice as much

    def margins_at(self, Z: Array) -> Array:
        """q_i = y_i Σ_j a_j φ(z_ji) from the preactivations, shape (n,)."""
        return self.y * self.network.outputs(Z)

    def margins(self, C: Array) -> Array:
        """q_i = y_i f(x_i), shape (n,)."""
        return self.margins_at(self.preactivations(C))

    def loss(self, C: Array, loss: Loss | str | None = None) -> float:
        """L = (1/n) Σ ℓ(q_i)."""
        return float(np.mean(as_loss(loss).value(self.margins(C))))

    def velocity(self, C: Array, loss: Loss | str | None = None) -> Array:
        """dC/ds in loss-normalized time (7.1): a_j y_i φ'(z_ji) w_i with w = softmax(log g), shape (m, n)."""
        Z = self.preactivations(C)
        w = sample_weights(as_loss(loss), self.margins_at(Z))
        return self.network.second_layer[:, None] * self.network.activation.derivative(Z) * (self.y * w)

    def singular_values(self, C: Array) -> Array:
        """Singular values of W = W0 + C X, descending, shape (m,).

        With D = C + Z0 K⁺ the rows of D X are the part of W in the span of the data and the rest
        is W0's alone, so W has the singular values of [F, D L] with K = L Lᵀ and
        F Fᵀ = (W0 - P)(W0 - P)ᵀ. They are taken from this factor; of its two parts F is left out
        where it is below rounding, and where F alone keeps the smallest singular value away from 0
        (`SAFE_GRAM_SPREAD`) eigenvalues of the Gram matrix of the factor are as good, and cheaper.
        """
        return self.singular_values_with(self.rows_in_span(C))

    def singular_values_with(self, B: Array) -> Array:
        """`singular_values` from B = D L (`rows_in_span`)."""
        norm_F, norm_B = self._norm_of_orthogonal, frobenius_norm(B)
        if norm_F <= np.finfo(np.float64).eps * norm_B:
            sigma = np.linalg.svd(B, compute_uv=False)
        elif self._smallest_of_orthogonal >= SAFE_GRAM_SPREAD * np.hypot(norm_F, norm_B):
            sigma = self._roots_of_gram(B, np.hypot(norm_F, norm_B))
        else:
            sigma = np.linalg.svd(np.hstack([self._orthogonal_factor, B]), compute_uv=False)
        missing = self.network.m - sigma.size
        return np.asarray(np.append(sigma, np.zeros(missing)) if missing > 0 else sigma[: self.network.m])

    def factor(self, C: Array) -> Array:
        """[F, D L], shape (m, r): the rows of W = W0 + C X in orthonormal coordinates."""
        return np.hstack([self._orthogonal_factor, self.rows_in_span(C)])

    def rows_in_span(self, C: Array) -> Array:
        """D L, shape (m, n): the part of W in the span of the data, in orthonormal coordinates."""
        return np.asarray(self._in_span(C) @ self._gram_factor)

    def norm(self, C: Array) -> float:
        """‖W‖_F for W = W0 + C X."""
        return self.norm_with(self.rows_in_span(C))

    def norm_with(self, B: Array) -> float:
        """`norm` from B = D L (`rows_in_span`)."""
        return float(np.hypot(self._norm_of_orthogonal, frobenius_norm(B)))

    def row_norms(self, C: Array) -> Array:
        """‖w_j‖ for W = W0 + C X, shape (m,)."""
        return self.row_norms_with(self.rows_in_span(C))

    def row_norms_with(self, B: Array) -> Array:
        """`row_norms` from B = D L (`rows_in_span`)."""
        return np.hypot(self._row_norms_of_orthogonal, row_norms(B))

    def increment(self, C: Array) -> Array:
        """C L, shape (m, n): it has the singular values, and the row norms, of W - W0 = C X."""
        return np.asarray(C @ self._gram_factor)

    def stable_rank(self, C: Array) -> float:
        """‖W‖_F²/‖W‖₂² for W = W0 + C X."""
        return stable_rank_of(self.singular_values(C))

    def _roots_of_gram(self, B: Array, scale: float) -> Array:
        """Singular values of [F, B] from the eigenvalues of F Fᵀ + B Bᵀ, computed in units of `scale`.

        F Fᵀ is all of (W0 - P)(W0 - P)ᵀ here, because F has m columns.
        """
        B = B / scale
        eigenvalues = np.linalg.eigvalsh((self.unit / scale) ** 2 * self._orthogonal_gram + B @ B.T)
        return np.asarray(scale * np.sqrt(eigenvalues[::-1]))

    @cached_property
    def _gram_factor(self) -> Array:
        return gram_factor(self.gram) if self.factor_of_gram is None else self.factor_of_gram

    @cached_property
    def _initial_in_span(self) -> Array:
        """Z0 K⁺, shape (m, n): the coefficients of the projection P of W0 on the span of the data."""
        if self.projection is not None:
            return self.unit * self.projection
        return self.unit * _coefficients_of_projection(self.gram, self.Z0 / self.unit)

    @cached_property
    def _orthogonal_gram(self) -> Array:
        """(W0 - P)(W0 - P)ᵀ/ω², exactly symmetric, shape (m, m)."""
        assert self.orthogonal is not None
        return np.asarray((self.orthogonal + self.orthogonal.T) / 2.0)

    @cached_property
    def _orthogonal_factor(self) -> Array:
        """F with F Fᵀ = (W0 - P)(W0 - P)ᵀ and orthogonal columns, shape (m, r)."""
        eigenvalues, vectors = np.linalg.eigh(self._orthogonal_gram)
        above = eigenvalues > eigenvalues.size * np.finfo(np.float64).eps * np.trace(self.B0)
        return np.asarray(vectors[:, above] * (self.unit * np.sqrt(eigenvalues[above])))

    @cached_property
    def _norm_of_orthogonal(self) -> float:
        return frobenius_norm(self._orthogonal_factor)

    @cached_property
    def _row_norms_of_orthogonal(self) -> Array:
        return row_norms(self._orthogonal_factor)

    @cached_property
    def _smallest_of_orthogonal(self) -> float:
        """The smallest singular value of F as an m-rowed matrix: 0 if F has fewer than m columns."""
        F = self._orthogonal_factor  # its columns are orthogonal
        return float(row_norms(F.T).min()) if F.shape[1] == F.shape[0] else 0.0

    def _in_span(self, C: Array) -> Array:
        return C + self._initial_in_span


def _safe_unit(W0: Array) -> float:
    """1, or a power of two near max |W0_jk| if that lies outside [1e-100, 1e100]."""
    largest = float(max(W0.max(), -W0.min()))
    return 1.0 if largest == 0.0 or 1e-100 <= largest <= 1e100 else float(np.ldexp(1.0, int(np.frexp(largest)[1]) - 1))


def _coefficients_of_projection(K: Array, Z: Array) -> Array:
    """Z K⁺, shape (m, n)."""
    return np.asarray(np.linalg.lstsq(K, Z.T, rcond=None)[0].T)


def _gram_of_remainder(W0: Array, coefficients: Array, X: Array, unit: float) -> Array:
    """R Rᵀ for R = W0/unit - coefficients · X, a block of columns at a time, shape (m, m)."""
    m, d = W0.shape
    width = max(1, _BLOCK // m)
    total = np.zeros((m, m))
    for start in range(0, d, width):
        columns = slice(start, start + width)
        remainder = W0[:, columns] / unit - coefficients @ X[:, columns]
        total += remainder @ remainder.T
    return total


def weights_from_coefficients(C: Any, X: Any, W0: Any = None) -> Array:
    """W = W0 + C X.

    Parameters
    ----------
    C : array_like, shape (m, n)
    X : array_like or Columns, shape (n, d)
        Of samples in tiles one tile at a time is read; `refimpl.tiles.write_combination` writes W to a file without
        holding it.
    W0 : array_like or GaussianInitialization, shape (m, d), optional
        Zero by default.

    Returns
    -------
    ndarray, shape (m, d)

    Raises
    ------
    InvalidParameterError, ShapeError
        If an entry is not finite, the shapes do not fit, or W overflows.

    Examples
    --------
    >>> weights_from_coefficients([[2.0]], [[1.0, 3.0]])
    array([[2., 6.]])
    """
    C, X = as_finite_array("C", C, 2), X if isinstance(X, Columns) else as_finite_array("X", X, 2)
    if C.shape[1] != X.shape[0]:
        raise ShapeError("C", f"(m, {X.shape[0]})", C.shape)
    check_memory("(m, d)", (C.shape[0], X.shape[1]), 2 * C.shape[0] * X.shape[1])
    if isinstance(W0, GaussianInitialization):
        W0 = W0.columns(C.shape[0], X.shape[1])
    if isinstance(W0, Columns):
        W0 = W0.array()
    start = np.zeros((C.shape[0], X.shape[1])) if W0 is None else as_finite_array("W0", W0, 2)
    if start.shape != (C.shape[0], X.shape[1]):
        raise ShapeError("W0", str((C.shape[0], X.shape[1])), start.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        W = start + combination(C, X)
    if not np.isfinite(W).all():
        raise InvalidParameterError("W0 + C X", "stay below the largest float", "an overflow")
    return np.asarray(W)


def coefficients_from_weights(W: Any, X: Any, W0: Any = None, tolerance: float = 1e-9) -> Array:
    """C of smallest norm with W = W0 + C X.

    Parameters
    ----------
    W : array_like, shape (m, d)
    X : array_like, shape (n, d)
    W0 : array_like, shape (m, d), optional
        Zero by default.
    tolerance : float > 0
        Largest allowed ‖W - W0 - C X‖_F, relative to ‖W‖_F + ‖W0‖_F.

    Returns
    -------
    ndarray, shape (m, n)

    Raises
    ------
    InvalidParameterError, ShapeError
        If an entry is not finite or the shapes do not fit.
    InvalidDataError
        If W - W0 does not lie in the span of the rows of X.

    Examples
    --------
    >>> coefficients_from_weights([[2.0, 6.0]], [[1.0, 3.0]]).round(12)
    array([[2.]])
    """
    W, X = as_finite_array("W", W, 2), as_finite_array("X", X, 2)
    W0 = np.zeros_like(W) if W0 is None else as_finite_array("W0", W0, 2)
    tolerance = as_positive("tolerance", tolerance)
    if W.shape[1] != X.shape[1]:
        raise ShapeError("W", f"(m, {X.shape[1]})", W.shape)
    if W0.shape != W.shape:
        raise ShapeError("W0", str(W.shape), W0.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        increment = W - W0
        if not np.isfinite(increment).all():
            raise InvalidParameterError("W - W0", "stay below the largest float", "an overflow")
        C = np.linalg.lstsq(X.T, increment.T, rcond=None)[0].T
        remainder = increment - C @ X
    if not np.isfinite(remainder).all():
        raise InvalidParameterError("C X", "stay below the largest float", "an overflow")
    distance = frobenius_norm(remainder)
    if distance / tolerance > frobenius_norm(W) + frobenius_norm(W0):
        raise InvalidDataError(
            "W", f"`W` - `W0` does not lie in the span of the rows of `X`: the distance is {distance:.3g}."
        )
    return np.asarray(C)
