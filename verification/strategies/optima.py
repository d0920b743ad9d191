"""Strategies for weights at and near solutions of the margin problem (docs/theory.md, section 2)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import nnls

from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array, BoolArray
from verification.strategies.data import data_below_conditions, nearly_orthogonal_data
from verification.strategies.drawing import assume, dyadics, networks, st
from verification.witnesses.conditions import check_hypotheses
from verification.witnesses.limit_formula import closed_form

__all__ = ["KKTPoint", "kkt_points", "near_kkt_points"]


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
