"""How far the limit of a flow may be from the KKT point that it stands for (docs/theory.md, sections 7 and 12)."""

from __future__ import annotations

import numpy as np

from refimpl.datasets import Dataset
from refimpl.flow import FlowLimit
from refimpl.flow.cell import Cell
from refimpl.flow.independence import independent_samples, sample_coordinates
from refimpl.network import TwoLayerNetwork
from refimpl.tiles.checks import equal_rows
from refimpl.tiles.columns import as_columns
from refimpl.validation import Array, IndexArray

__all__ = ["EPS", "limit_error"]

EPS = float(np.finfo(np.float64).eps)

ROUNDING = 16.0 * EPS
"""Rounding of a sum of products, relative to the sum of the lengths of its terms."""


def limit_error(limit: FlowLimit, network: TwoLayerNetwork, data: Dataset) -> float:
    """Error of a limit W, relative to ‖W‖: the root of its duality gap, or that of its linear system if it is less.

    By (12.1) of docs/theory.md, ‖W - W_opt‖² <= 2 Σ λ_i |q_i - 1| on W's own pattern, whatever λ >= 0 is used.
    """
    rounding = ROUNDING * rounded_terms(limit, data)
    gap = 2.0 * float(np.abs(limit.multipliers) @ (np.abs(limit.margins - 1.0) + of_margins(rounding, network)))
    root = float(np.sqrt(gap)) / float(np.linalg.norm(limit.singular_values))
    return min(root, error_on_support(limit, network, data, rounding)) if limit.polished else root


def rounded_terms(limit: FlowLimit, data: Dataset) -> Array:
    """‖x_i‖ Σ_k |C_jk| ‖x_k‖, the size of the terms of z_ji, shape (m, n)."""
    norms = data.norms
    return np.outer(np.abs(limit.coefficients) @ norms, norms)


def of_margins(rounding: Array, network: TwoLayerNetwork) -> Array:
    """What errors of z_ji, shape (m, n), are in q_i, shape (n,)."""
    return np.asarray(np.abs(network.second_layer) @ rounding)


def error_on_support(limit: FlowLimit, network: TwoLayerNetwork, data: Dataset, rounding: Array) -> float:
    """Distance to the point with z_ji = 0 on W's sliding units and q_i = 1 on the support S of λ, relative to ‖W‖.

    Row j loses its part in the span of its sliding samples T, of length (z_jTᵀK_TT⁻¹z_jT)^{1/2}. Then
    W - Σ_S δλ_i H_i, M_SS δλ = r := q_S - 1 with M of (7.5), is that point, at the distance (rᵀM_SS⁻¹r)^{1/2}.
    It is the KKT point if W's direction lies in its own cell, which the polish has checked, λ - δλ >= 0, and the
    other margins are above 1; where the latter two are not sure the answer is inf. z and q count with their rounding,
    and equal samples once: they share a multiplier, and W does not depend on how it is split.
    """
    y, K, a = data.y, data.gram, np.abs(network.second_layer)
    cell = Cell(network, y, K, limit.pattern)
    factor = sample_coordinates(K) if cell.sliding_neurons else K
    lost, off_kink = np.zeros(a.size), np.abs(limit.coefficients @ K) + rounding
    for j in cell.sliding_neurons:
        T = independent_samples(factor, np.flatnonzero(limit.pattern[j] == 0))
        lost[j] = energy_bound(K[np.ix_(T, T)], off_kink[j, T])
    off = np.abs(limit.margins - 1.0) + of_margins(rounding + np.outer(lost, data.norms), network)
    S, total, others = support(limit, y, data.gram)
    M = cell.matrix[np.ix_(S, S)]
    distance = float(np.linalg.norm(lost)) + energy_bound(M, off[S])
    if not distance < float("inf"):
        return float("inf")
    near = limit.margins[others] - 1.0 < np.sqrt(network.mass) * data.norms[others] * distance
    unsure = near.any() or np.any(np.abs(np.linalg.inv(M)) @ off[S] > total)
    return float("inf") if unsure else distance / float(np.linalg.norm(limit.singular_values))


def energy_bound(A: Array, r: Array) -> float:
    """A bound on (rᵀA⁻¹r)^{1/2} from the smallest eigenvalue of A, its diagonal scaled to 1; inf if that is rounding.

    Examples
    --------
    >>> round(energy_bound(np.array([[4.0, 0.0], [0.0, 1.0]]), np.array([2.0, 0.0])), 9)
    1.0
    """
    scale = np.sqrt(np.diagonal(A))
    if not scale.min() > 0.0:
        return float("inf")
    eigenvalues = np.linalg.eigvalsh(A / scale / scale[:, None])
    smallest = eigenvalues[0] - len(A) * EPS * eigenvalues[-1]
    return float(np.linalg.norm(r / scale) / np.sqrt(smallest)) if smallest > 0.0 else float("inf")


def support(limit: FlowLimit, y: Array, K: Array) -> tuple[IndexArray, Array, IndexArray]:
    """Samples with λ_i > 0, the first of equal ones; the sums of λ over equal ones; and the samples without λ."""
    lam = limit.multipliers
    first = np.arange(y.size)
    for i, k in equal_rows(as_columns(limit.X), K, y[:, None] == y):
        first[k] = first[i]
    total = np.bincount(first, lam, y.size)
    kept = total > 1e-12 * total.max()
    S = np.flatnonzero(kept)
    return S, np.asarray(total[S], dtype=np.float64), np.flatnonzero(~kept[first])
