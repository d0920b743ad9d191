"""Strategies for weights away from kinks, and at them (docs/theory.md, section 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array, BoolArray
from verification.strategies.drawing import Range, assume, dyadic_matrix, labels, networks, st

__all__ = ["KinkCase", "weights_at_exact_kinks", "weights_away_from_kinks"]


@st.composite
def weights_away_from_kinks(
    draw: st.DrawFn, network: TwoLayerNetwork, data: Dataset, margin: float = 1.0 / 64.0
) -> Array:
    """W, shape (m, d), with |z_ji| >= margin · ‖w_j‖ ‖x_i‖ for every unit.

    Rows are dyadic combinations of the samples, plus a dyadic vector where d is small.

    Examples
    --------
    >>> from hypothesis import find
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 0, LeakyReLU(0.5))
    >>> W = find(weights_away_from_kinks(network, Dataset([[1.0, 0.0]], [1])), lambda W: True)
    >>> bool(abs(W[0, 0]) >= abs(W[0, 1]) / 64.0)
    True
    """
    return np.array([draw(_row_away_from_kinks(data, margin)) for _ in range(network.m)])


@st.composite
def _row_away_from_kinks(draw: st.DrawFn, data: Dataset, margin: float) -> Array:
    w = dyadic_matrix(draw, 1, data.n)[0] @ data.X
    if data.d <= 6:
        w = w + dyadic_matrix(draw, 1, data.d)[0]
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
    return KinkCase(network, Dataset(X, np.array(draw(labels(rows)))), W, Z, Z == 0.0)
