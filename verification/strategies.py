"""Hypothesis strategies for networks, data, weights and margins, for everybody's property tests.

Dimensions are drawn small and entries as small dyadic rationals k/8 where the case allows it, so that a
failing case shrinks to one that can be read, and so that products of a few of them are exact in float64.
Gaussian and nearly orthogonal data are drawn through one integer seed.

`kkt_points` and `near_kkt_points` draw weights at and near solutions of the margin problem. Two kinds of weights
keep the kinks of the activation under control: `weights_away_from_kinks` keeps every
|z_ji| above a part of ‖w_j‖‖x_i‖, so that finite differences are safe, and `weights_at_exact_kinks` puts chosen
z_ji at exactly 0 (docs/theory.md, section 1: φ'(0) is any number of [γ, 1]).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.optimize import nnls

from refimpl import datasets
from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.errors import MissingExtraError
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array, BoolArray
from verification.witnesses.conditions import check_hypotheses
from verification.witnesses.limit_formula import closed_form

try:
    from hypothesis import assume
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtraError("hypothesis", "conformance") from error

__all__ = [
    "KKTPoint",
    "KinkCase",
    "data_below_conditions",
    "data_with_copies",
    "dyadic_data",
    "dyadics",
    "gaussian_data",
    "kkt_points",
    "margins",
    "near_kkt_points",
    "nearly_orthogonal_data",
    "networks",
    "same_draws_everywhere",
    "slopes",
    "weights_at_exact_kinks",
    "weights_away_from_kinks",
]

Range = tuple[int, int]
"""Smallest and largest value of a drawn integer, both included."""

SPECIAL_MARGINS = (0.0, 1e-300, 1e-16, 1e-8, 0.5, 1.0, 36.7, 40.0, 709.0, 710.0, 745.0, 746.0, 1e5, 1e16, 1e154, 1e300)
"""Where formulas for losses break: cancellation near 0, e^q at the edges of float64, squares that overflow."""


@contextmanager
def same_draws_everywhere() -> Iterator[None]:
    """Without the numbers that Hypothesis collects from the user's own source code, and keeps in .hypothesis/.

    They depend on which modules are loaded and on how they are installed. Hypothesis has no switch for them; where
    its insides are not as expected, nothing is changed.

    Examples
    --------
    >>> from hypothesis import find
    >>> with same_draws_everywhere():
    ...     find(margins(), lambda q: q > 1.0) > 1.0
    True
    """
    providers = import_module("hypothesis.internal.conjecture.providers")
    cache = getattr(providers, "CONSTANTS_CACHE", None)
    if cache is None or not hasattr(providers, "_get_local_constants") or not hasattr(providers, "Constants"):
        yield
        return
    none = providers.Constants()
    cache.cache.clear()
    try:
        with patch.object(providers, "_get_local_constants", lambda: none):
            yield
    finally:
        cache.cache.clear()


def slopes(edges: bool = False) -> st.SearchStrategy[float]:
    """γ: a few numbers of (0, 1), dyadic ones first.

    Parameters
    ----------
    edges : bool
        Also 0 (ReLU), 1 (linear), and slopes far below and just below 1.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(slopes(), lambda slope: slope < 0.2)
    0.125
    >>> find(slopes(edges=True), lambda slope: slope < 0.1)
    0.0
    """
    inside, ends = [0.5, 0.25, 0.125, 0.1, 0.9], [0.0, 1.0, 2.0**-8, 1e-3, 2.0**-20, 1.0 - 2.0**-20]
    return st.sampled_from([*inside, *ends] if edges else inside)


def dyadics(largest: int = 4, denominator: int = 8, nonzero: bool = False) -> st.SearchStrategy[float]:
    """k/denominator with |k/denominator| <= `largest`; exact in float64.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(dyadics(), lambda x: x > 0.3)
    0.375
    """
    whole = st.integers(-largest * denominator, largest * denominator)
    return (whole.filter(bool) if nonzero else whole).map(lambda k: k / denominator)


@st.composite
def networks(
    draw: st.DrawFn,
    slopes: st.SearchStrategy[float] = slopes(),  # noqa: B008
    neurons: Range = (1, 5),
    unequal: bool | None = None,
) -> TwoLayerNetwork:
    """Leaky ReLU networks with a few neurons of either sign.

    Parameters
    ----------
    slopes : strategy of float
        γ.
    neurons : (int, int)
        Smallest and largest m.
    unequal : bool, optional
        False: a = ±1/√m. True: a of nonzero dyadic rationals of any size and order of signs. By default either.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(networks(), lambda network: network.positive.any() and not network.positive.all()).m
    2
    """
    m = draw(st.integers(*neurons))
    activation = LeakyReLU(draw(slopes))
    if draw(st.booleans()) if unequal is None else unequal:
        return TwoLayerNetwork(np.array([draw(dyadics(2, 4, nonzero=True)) for _ in range(m)]), activation)
    positive = draw(st.integers(0, m))
    return TwoLayerNetwork.with_signs(positive, m - positive, activation)


def _labels(n: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.sampled_from([1.0, -1.0]), min_size=n, max_size=n)


@st.composite
def dyadic_data(draw: st.DrawFn, n: Range = (1, 4), d: Range = (1, 5)) -> Dataset:
    """Data with small dyadic entries and any labels; rows may depend on each other.

    Examples
    --------
    >>> from hypothesis import find
    >>> data = find(dyadic_data(), lambda data: data.d == 2)
    >>> bool((8.0 * data.X == (8.0 * data.X).round()).all())
    True
    """
    rows, columns = draw(st.integers(*n)), draw(st.integers(*d))
    X = _dyadic_matrix(draw, rows, columns)
    y = np.array(draw(_labels(rows)))
    assume(X.any(axis=1).all())
    equal = (X[:, None, :] == X[None, :, :]).all(axis=2)
    assume(not (equal & (y[:, None] != y)).any())
    return Dataset(X, y)


@st.composite
def data_with_copies(draw: st.DrawFn, n: Range = (1, 4), d: Range = (1, 5)) -> Dataset:
    """`dyadic_data` with one of its rows once more, as it is or moved by 2⁻²⁰ of its length, with the same label.

    Examples
    --------
    >>> from hypothesis import find
    >>> data = find(data_with_copies(), lambda data: data.n == 2)
    >>> bool((data.X[0] == data.X[1]).all())
    True
    """
    data = draw(dyadic_data(n, d))
    row = draw(st.integers(0, data.n - 1))
    copy = data.X[row] * draw(st.sampled_from([1.0, 1.0 + 2.0**-20]))
    X, y = np.vstack([data.X, copy]), np.append(data.y, data.y[row])
    equal = (copy == X).all(axis=1)
    assume(not (equal & (y != data.y[row])).any())
    return Dataset(X, y)


@st.composite
def gaussian_data(draw: st.DrawFn, n: Range = (1, 5), d: Range = (1, 12)) -> Dataset:
    """`refimpl.datasets.gaussian` with a drawn seed and drawn labels.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(gaussian_data(), lambda data: data.n > 1).n
    2
    """
    rows, columns = draw(st.integers(*n)), draw(st.integers(*d))
    data = datasets.gaussian(rows, columns, np.random.default_rng(draw(_seeds())))
    return Dataset(data.X, np.array(draw(_labels(rows))))


@st.composite
def nearly_orthogonal_data(
    draw: st.DrawFn,
    slope: float,
    n: Range = (2, 5),
    extra_dimensions: Range = (0, 8),
    slack: tuple[float, float] = (1.0, 8.0),
    norm_ratio: tuple[float, float] = (1.0, 2.0),
) -> Dataset:
    """`refimpl.datasets.nearly_orthogonal`: data that meet the paper's condition for γ = `slope` with a drawn slack.

    Parameters
    ----------
    slope : float in (0, 1]
    n : (int, int)
        Number of samples; d = n + one of `extra_dimensions`.
    slack : (float, float)
        Above 1/3 a positive definite Gram matrix always exists.
    norm_ratio : (float, float)
        R.

    Examples
    --------
    >>> from hypothesis import find
    >>> data = find(nearly_orthogonal_data(slope=0.5), lambda data: True)
    >>> (data.n, data.d), data.p < 0.5**3 / (3 * data.n) * 1.0001
    ((2, 2), True)
    """
    rows = draw(st.integers(*n))
    columns = rows + draw(st.integers(*extra_dimensions))
    rng = np.random.default_rng(draw(_seeds()))
    return datasets.nearly_orthogonal(rows, columns, draw(_between(*slack)), slope, rng, draw(_between(*norm_ratio)))


@st.composite
def data_below_conditions(draw: st.DrawFn, network: TwoLayerNetwork, n: Range = (2, 4)) -> Dataset:
    """Separable data for which none of the conditions of `check_hypotheses` holds.

    Rows x_i = b e_1 + e_{i+1} + small dyadic entries with both labels: K_ik is near b², so opposite samples pull
    each other's units over the kinks. The rows are independent, hence separable with any labels.

    Examples
    --------
    >>> from hypothesis import find
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> data = find(data_below_conditions(network, n=(2, 2)), lambda data: True)
    >>> data.d == data.n + 1, check_hypotheses(network, data).any_satisfied
    (True, False)
    """
    rows = draw(st.integers(*n))
    shared = draw(st.sampled_from([4.0, 8.0]))
    noise = np.triu(_dyadic_matrix(draw, rows, rows, largest=1, denominator=4), 1)
    X = np.hstack([np.full((rows, 1), shared), np.eye(rows) + noise])
    y = np.where(np.arange(rows) % 2 == 0, 1.0, -1.0) * draw(st.sampled_from([1.0, -1.0]))
    data = Dataset(X, y)
    assume(not check_hypotheses(network, data).any_satisfied)
    return data


@st.composite
def weights_away_from_kinks(
    draw: st.DrawFn, network: TwoLayerNetwork, data: Dataset, margin: float = 1.0 / 64.0
) -> Array:
    """W, shape (m, d), with |z_ji| >= margin · ‖w_j‖ ‖x_i‖ for every unit.

    Rows are dyadic combinations of the samples, plus a dyadic vector where d is small.

    Examples
    --------
    >>> from hypothesis import find
    >>> network = TwoLayerNetwork.with_signs(1, 0, LeakyReLU(0.5))
    >>> W = find(weights_away_from_kinks(network, Dataset([[1.0, 0.0]], [1])), lambda W: True)
    >>> bool(abs(W[0, 0]) >= abs(W[0, 1]) / 64.0)
    True
    """
    return np.array([draw(_row_away_from_kinks(data, margin)) for _ in range(network.m)])


@st.composite
def _row_away_from_kinks(draw: st.DrawFn, data: Dataset, margin: float) -> Array:
    w = _dyadic_matrix(draw, 1, data.n)[0] @ data.X
    if data.d <= 6:
        w = w + _dyadic_matrix(draw, 1, data.d)[0]
    assume(np.linalg.norm(w) >= 2.0**-6)
    assume(np.all(np.abs(data.X @ w) >= margin * np.linalg.norm(w) * data.norms))
    return np.asarray(w)


@dataclass(frozen=True, eq=False)
class KinkCase:
    """Weights with units exactly at their kinks.

    Attributes
    ----------
    network : TwoLayerNetwork
    data : Dataset
        Independent rows of small whole numbers.
    W : ndarray, shape (m, d)
        Whole numbers.
    Z : ndarray, shape (m, n)
        W Xᵀ, exact in floating point in any order of summation.
    at_kink : ndarray of bool, shape (m, n)
        Z == 0; true somewhere.
    """

    network: TwoLayerNetwork
    data: Dataset
    W: Array
    Z: Array
    at_kink: BoolArray


@st.composite
def weights_at_exact_kinks(
    draw: st.DrawFn,
    networks: st.SearchStrategy[TwoLayerNetwork] = networks(neurons=(1, 3)),  # noqa: B008
    n: Range = (1, 3),
) -> KinkCase:
    """Network, data and weights with z_ji == 0 for at least one unit.

    x_i = c_i e_0 + p_i e_{2i+1} + e_{2i+2} with whole c_i and p_i: the samples share only coordinate 0, so the last
    of its own coordinates in w_j gives z_ji any whole value that was drawn for it, 0 at the kinks.

    Examples
    --------
    >>> from hypothesis import find
    >>> case = find(weights_at_exact_kinks(), lambda case: True)
    >>> bool(case.at_kink.any()), bool(np.all(case.W @ case.data.X.T == case.Z))
    (True, True)
    """
    network, rows = draw(networks), draw(st.integers(*n))
    small = st.integers(-2, 2)
    X = np.zeros((rows, 2 * rows + 1))
    own = 2 * np.arange(rows)
    X[:, 0] = [draw(small) for _ in range(rows)]
    X[np.arange(rows), own + 1] = [draw(small) for _ in range(rows)]
    X[np.arange(rows), own + 2] = 1.0
    Z = np.array([[draw(small) for _ in range(rows)] for _ in range(network.m)], dtype=np.float64)
    Z[draw(st.integers(0, network.m - 1)), draw(st.integers(0, rows - 1))] = 0.0
    W = np.array([[draw(small) for _ in range(2 * rows + 1)] for _ in range(network.m)], dtype=np.float64)
    W[:, own + 2] = 0.0
    W[:, own + 2] = Z - W @ X.T
    return KinkCase(network, Dataset(X, np.array(draw(_labels(rows)))), W, Z, Z == 0.0)


@dataclass(frozen=True, eq=False)
class KKTPoint:
    """Weights at, or near, a KKT point of (P).

    Attributes
    ----------
    network : TwoLayerNetwork
    data : Dataset
    W : ndarray, shape (m, d)
        At the point, or moved from it by `distance` ‖W‖_F; smallest margin of the point itself 1.
    multipliers : ndarray, shape (n,)
        λ of the point.
    distance : float
        0 at the point.
    """

    network: TwoLayerNetwork
    data: Dataset
    W: Array
    multipliers: Array
    distance: float


_FEW_NEURONS = networks(st.sampled_from([0.5, 0.25]), neurons=(1, 4), unequal=False)


@st.composite
def kkt_points(
    draw: st.DrawFn,
    below: bool | None = None,
    networks: st.SearchStrategy[TwoLayerNetwork] = _FEW_NEURONS,
) -> KKTPoint:
    """KKT points of (P): the only one where the paper's condition holds, one of several below every condition.

    Below, each is the limit of the convex-concave procedure from drawn slopes: of any rank, often with units that
    rest on their kinks. It takes less than a millisecond, so that drawing is fast on a busy machine too.

    Parameters
    ----------
    below : bool, optional
        True: below every condition, where units may rest on their kinks. False: under the paper's condition. By
        default either.
    networks : strategy of TwoLayerNetwork
        With any second layer and slope below every condition; with slope > 0 and neurons of both signs under it.

    Examples
    --------
    >>> from hypothesis import find
    >>> from verification.witnesses.kkt import kkt_residuals
    >>> point = find(kkt_points(), lambda point: point.data.n == 2)
    >>> kkt_residuals(point.network, point.data, point.W).stationarity < 1e-9
    True
    """
    network = draw(networks)
    if draw(st.booleans()) if below is None else below:
        data = draw(st.one_of(data_below_conditions(network), _repelling_data(network)))
        bits = draw(st.lists(st.booleans(), min_size=network.m * data.n, max_size=network.m * data.n))
        found = _local_optimum(network, data, np.array(bits).reshape(network.m, data.n))
        assume(found is not None)
        assert found is not None
        return KKTPoint(network, data, *found, 0.0)
    data = draw(nearly_orthogonal_data(network.slope))
    solution = closed_form(network, data)
    return KKTPoint(network, data, solution.weights(), solution.multipliers, 0.0)


@st.composite
def _repelling_data(draw: st.DrawFn, network: TwoLayerNetwork) -> Dataset:
    """Three samples of one class, K_ik = -5/11 K_ii: section 14's family, with KKT points of rank three."""
    data = Dataset(np.eye(3) - 0.25, np.full(3, draw(st.sampled_from([1.0, -1.0]))))
    assume(not check_hypotheses(network, data).any_satisfied)
    return data


def _local_optimum(network: TwoLayerNetwork, data: Dataset, active: BoolArray) -> tuple[Array, Array] | None:
    """(W, λ) at a KKT point of (P) by the convex-concave procedure; None if it does not get there.

    q_i = Σ_j a_j y_i φ(z_ji). Terms with a_j y_i < 0 are concave in W and stay. Terms with a_j y_i > 0 are the larger
    of two linear functions; each is replaced by one of the two, that of `active`, and then by that of the solution
    (docs/theory.md, section 13). Where the two agree, the KKT conditions of the convex program are those of (P).
    """
    gives = np.outer(network.second_layer, data.y) > 0.0
    for _ in range(30):
        rays = [(i, phi) for i in range(data.n) for phi in _corners(network.slope, gives[:, i], active[:, i])]
        H = np.array([(data.y[i] * network.second_layer * phi)[:, None] * data.X[i] for i, phi in rays])
        found = _least_norm(H.reshape(len(rays), -1))
        if found is None:
            return None
        W = found[0].reshape(network.m, data.d)
        reached = W @ data.X.T > 0.0
        if np.array_equal(reached[gives], active[gives]):
            return W, np.asarray(np.bincount([i for i, _ in rays], found[1], data.n), dtype=np.float64)
        active = reached
    return None


def _corners(slope: float, gives: BoolArray, active: BoolArray) -> list[Array]:
    """The slopes Φ_j of one sample: one choice where the kink repels, both where it attracts."""
    choices = [(1.0 if on else slope,) if gain else (1.0, slope) for gain, on in zip(gives, active, strict=True)]
    return [np.array(corner) for corner in product(*choices)]


def _least_norm(H: Array) -> tuple[Array, Array] | None:
    """The smallest V with H V >= 1 and its multipliers μ, V = Hᵀμ; None if there is no V.

    Lawson and Hanson's least distance programming: nonnegative least squares for (Hᵀ; 1ᵀ) u ≈ (0; 1).
    """
    system = np.vstack([H.T, np.ones(len(H))])
    target = np.zeros(len(system))
    target[-1] = 1.0
    u = nnls(system, target)[0]
    residual = target - system @ u
    if residual[-1] <= 1e-10:
        return None
    return -residual[:-1] / residual[-1], u / residual[-1]


@st.composite
def near_kkt_points(
    draw: st.DrawFn, points: st.SearchStrategy[KKTPoint] | None = None, distance: tuple[float, float] = (1e-6, 1e-2)
) -> KKTPoint:
    """KKT points moved in a drawn direction by a drawn part of ‖W‖_F, a power of two times `distance[1]`.

    Residuals there are small and not zero: at most of the order of `distance`, above the kinks' share.

    Examples
    --------
    >>> from hypothesis import find
    >>> point = find(near_kkt_points(), lambda point: point.distance < 1e-4)
    >>> 1e-6 <= point.distance < 1e-4
    True
    """
    point = draw(kkt_points() if points is None else points)
    halvings = draw(st.integers(0, int(np.log2(distance[1] / distance[0]))))
    size = distance[1] * 2.0**-halvings
    direction = np.array(
        [draw(st.lists(dyadics(), min_size=point.data.d, max_size=point.data.d)) for _ in range(point.network.m)]
    )
    assume(direction.any())
    step = size * np.linalg.norm(point.W) / np.linalg.norm(direction)
    return KKTPoint(point.network, point.data, point.W + step * direction, point.multipliers, size)


def margins(largest: float = 1e300) -> st.SearchStrategy[float]:
    """Margins q from -largest to largest: special values, moderate ones, and every order of magnitude.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(margins(), lambda q: q < -1e250) < -1e250
    True
    """
    special = [sign * q for q in SPECIAL_MARGINS if q <= largest for sign in (1.0, -1.0)]
    return st.one_of(
        st.sampled_from(special),
        st.floats(-min(50.0, largest), min(50.0, largest)),
        st.floats(-min(800.0, largest), min(800.0, largest)),
        st.floats(-largest, largest),
    )


def _dyadic_matrix(draw: Any, rows: int, columns: int, largest: int = 4, denominator: int = 8) -> Array:
    entries = st.lists(dyadics(largest, denominator), min_size=rows * columns, max_size=rows * columns)
    return np.array(draw(entries), dtype=np.float64).reshape(rows, columns)


def _between(low: float, high: float) -> st.SearchStrategy[float]:
    """low + (high - low) k/16."""
    return st.integers(0, 16).map(lambda k: low + (high - low) * k / 16.0)


def _seeds() -> st.SearchStrategy[int]:
    return st.integers(0, 2**16 - 1)
