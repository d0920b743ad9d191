"""Strategies for data sets."""

from __future__ import annotations

import numpy as np

from refimpl import datasets
from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from verification.strategies.drawing import Range, assume, between, dyadic_matrix, labels, seeds, st
from verification.witnesses.conditions import check_hypotheses

__all__ = ["data_below_conditions", "data_with_copies", "dyadic_data", "gaussian_data", "nearly_orthogonal_data"]


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
    X = dyadic_matrix(draw, rows, columns)
    y = np.array(draw(labels(rows)))
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
    data = datasets.gaussian(rows, columns, np.random.default_rng(draw(seeds())))
    return Dataset(data.X, np.array(draw(labels(rows))))


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
    rng = np.random.default_rng(draw(seeds()))
    return datasets.nearly_orthogonal(rows, columns, draw(between(*slack)), slope, rng, draw(between(*norm_ratio)))


@st.composite
def data_below_conditions(draw: st.DrawFn, network: TwoLayerNetwork, n: Range = (2, 4)) -> Dataset:
    """Separable data for which none of the conditions of `check_hypotheses` holds.

    Rows x_i = b e_1 + e_{i+1} + small dyadic entries with both labels: K_ik is near b², so opposite samples pull
    each other's units over the kinks. The rows are independent, hence separable with any labels.

    Examples
    --------
    >>> from hypothesis import find
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> data = find(data_below_conditions(network, n=(2, 2)), lambda data: True)
    >>> data.d == data.n + 1, check_hypotheses(network, data).any_satisfied
    (True, False)
    """
    rows = draw(st.integers(*n))
    shared = draw(st.sampled_from([4.0, 8.0]))
    noise = np.triu(dyadic_matrix(draw, rows, rows, largest=1, denominator=4), 1)
    X = np.hstack([np.full((rows, 1), shared), np.eye(rows) + noise])
    y = np.where(np.arange(rows) % 2 == 0, 1.0, -1.0) * draw(st.sampled_from([1.0, -1.0]))
    data = Dataset(X, y)
    assume(not check_hypotheses(network, data).any_satisfied)
    return data
