"""Reading the limit off the velocity, and the polish (docs/theory.md, section 7, "Limit")."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refimpl.flow.cell import Cell, simplex_minimizer
from refimpl.flow.result import FlowLimit
from refimpl.spectrum import gram_factor, singular_values
from refimpl.validation import Array

__all__ = ["limit_from_cell", "vanished"]

VANISHING_GROWTH = 1e-13
"""wᵀMw = ‖dW/ds‖² below this part of what its terms would give without cancelling is rounding."""


def vanished(cell_now: Callable[[], Cell], w: Array, growth: float) -> bool:
    """Whether the margins no longer grow, to rounding (docs/theory.md, section 7, "The limit is a KKT point").

    Either the rows of dW/ds are rounding, beside the lengths of their terms dC_ji x_i; or wᵀMw tends to 0 in
    this pattern (ρ = 0), and is small beside the growth of any one margin on its own. A growth that is small because
    slopes, samples or a_j are small is neither.

    Parameters
    ----------
    cell_now : callable
        The present cell; called only if the growth is small.
    w : ndarray, shape (n,)
    growth : float
        wᵀMw, in units in which R_max² Σa² is at least 1/2.
    """
    if growth >= 8.0 * VANISHING_GROWTH:
        return False
    cell = cell_now()
    lengths = np.abs(cell.velocity(w)) @ np.sqrt(np.diagonal(cell.gram))
    if growth <= VANISHING_GROWTH * float(lengths @ lengths):
        return True
    fastest = float(np.diagonal(cell.matrix).max())
    return growth < VANISHING_GROWTH * fastest and simplex_minimizer(cell.matrix) is None


def limit_from_cell(cell: Cell, w: Array, X: Array) -> FlowLimit:
    """The limit of a flow that stays in `cell`, from its present sample weights `w`.

    The velocity V(w)/(wᵀMw) already has the limit's direction up to the growth gap. The polish
    replaces w by the exact minimizer of wᵀMw over the simplex and is kept only if the direction it
    gives lies in the cell: own sides, own sliding slopes.

    Parameters
    ----------
    cell : Cell
        The last cell; checks (a) and (b) hold there.
    w : ndarray, shape (n,)
    X : ndarray, shape (n, d)

    Returns
    -------
    FlowLimit
    """
    read = _coefficients_with_unit_margin(cell, w)
    lam = simplex_minimizer(cell.matrix)
    if lam is None or not cell.agrees_with(lam / lam.sum()):
        return _limit(cell, read[0], read[1], X, polished=False, distance=0.0)
    C, lam = _coefficients_with_unit_margin(cell, lam / lam.sum())
    L = gram_factor(cell.gram)
    distance = float(np.linalg.norm((C - read[0]) @ L) / np.linalg.norm(C @ L))
    return _limit(cell, C, lam, X, polished=True, distance=distance)


def _coefficients_with_unit_margin(cell: Cell, w: Array) -> tuple[Array, Array]:
    """V(w) and w, divided by the smallest growth min_i (Mw)_i, so that the smallest margin is 1."""
    slowest = float((cell.matrix @ w).min())
    return cell.velocity(w) / slowest, w / slowest


def _limit(cell: Cell, C: Array, lam: Array, X: Array, polished: bool, distance: float) -> FlowLimit:
    Z = C @ cell.gram
    Z[cell.pattern == 0] = 0.0
    q = cell.y * cell.network.outputs(Z)
    S = lam > 1e-12 * lam.max()
    return FlowLimit(
        coefficients=C,
        multipliers=lam,
        margins=q,
        pattern=cell.pattern.copy(),
        singular_values=singular_values(C, cell.gram),
        polished=polished,
        polish_distance=distance,
        condition=float(np.linalg.cond(cell.matrix[np.ix_(S, S)])),
        X=X,
    )
