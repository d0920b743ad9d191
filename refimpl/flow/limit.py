"""Reading the limit off the velocity, and the polish (docs/theory.md, section 7, "The limit is a KKT point")."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refimpl.flow.cell import Cell, simplex_minimizer
from refimpl.flow.result import FlowLimit
from refimpl.spectrum import gram_factor, singular_values
from refimpl.validation import Array

__all__ = ["limit_ahead", "limit_from_cell", "vanished", "why_vanished"]

NEARLY_THERE = 1e-3
"""How far log w may be from log w* for the motion to w* to be linear, to the square of this."""

VANISHING_GROWTH = 1e-13
"""wᵀMw = ‖dW/ds‖² below this part of what its terms would give without cancelling is rounding."""


SMALLEST_GROWTH = 1e-290
"""wᵀMw, in units of R_max² Σa², below which float64 holds fewer and fewer of its digits: γ² for slopes below 1e-145."""


def vanished(cell_now: Callable[[], Cell], w: Array, growth: float) -> bool:
    """Whether the margins no longer grow, to rounding (docs/theory.md, section 7, "The limit is a KKT point").

    Either the rows of dW/ds are rounding, beside the lengths of their terms dC_ji x_i; or wᵀMw is below the range of
    float64; or it tends to 0 in
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
    growth = float(w @ cell.matrix @ w)  # of parts that do not cancel between neurons
    lengths = np.abs(cell.velocity(w)) @ np.sqrt(np.diagonal(cell.gram))
    if growth <= max(SMALLEST_GROWTH, VANISHING_GROWTH * float(lengths @ lengths)):
        return True
    fastest = float(np.diagonal(cell.matrix).max())
    return growth < VANISHING_GROWTH * fastest and simplex_minimizer(cell.matrix) is None


def why_vanished(cell: Cell) -> str:
    """What is known where the growth of the margins has `vanished`, in one or two sentences.

    There is no limit where some margin cannot grow at all (a zero on the diagonal of M). Otherwise that is what
    float64 sees: for γ > 0 and separable data margins grow for ever, (7.8), however slowly.
    """
    slope = cell.network.slope
    if slope > 0.0 and slope**2 <= SMALLEST_GROWTH:
        return f"The margins no longer grow, to rounding: float64 does not hold γ² for γ = {slope:g}."
    if slope == 0.0 and np.diagonal(cell.matrix).min() == 0.0:
        return "The velocity vanished: the margins no longer grow, so there is no limit."
    K = cell.gram / np.outer(np.sqrt(np.diagonal(cell.gram)), np.sqrt(np.diagonal(cell.gram)))
    smallest = max(float(np.linalg.eigvalsh(K)[0]), 0.0)
    return (
        "The margins no longer grow, to rounding: the parts of dW/ds cancel. If the data cannot be separated there is "
        "no limit; if they can, their margin is too small for float64 (brought to norm 1, samples are dependent but "
        f"for {np.sqrt(smallest):.1e}, and 3e-7 counts as rounding here)."
    )


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
        return _limit(cell, read[0], read[1], X, polished=False, change=np.zeros_like(read[0]))
    C, lam = _coefficients_with_unit_margin(cell, lam / lam.sum())
    return _limit(cell, C, lam, X, polished=True, change=C - read[0])


def _coefficients_with_unit_margin(cell: Cell, w: Array) -> tuple[Array, Array]:
    """V(w) and w, divided by the smallest growth min_i (Mw)_i, so that the smallest margin is 1."""
    slowest = float((cell.matrix @ w).min())
    return cell.velocity(w) / slowest, w / slowest


def _limit(cell: Cell, C: Array, lam: Array, X: Array, polished: bool, change: Array) -> FlowLimit:
    """W = C X as a limit; `change`, shape (m, n), is what the polish added to C."""
    L = gram_factor(cell.gram)
    Z = C @ cell.gram
    Z[cell.pattern == 0] = 0.0
    q = cell.y * cell.network.outputs(Z)
    S = lam > 1e-12 * lam.max()
    return FlowLimit(
        coefficients=C,
        multipliers=lam,
        margins=q,
        pattern=cell.pattern.copy(),
        singular_values=singular_values(C @ L),
        polished=polished,
        polish_distance=float(np.linalg.norm(change @ L) / np.linalg.norm(C @ L)),
        condition=float(np.linalg.cond(cell.matrix[np.ix_(S, S)])),
        X=X,
    )


def limit_ahead(cell: Cell, Z: Array, q: Array, w: Array, X: Array) -> FlowLimit | None:
    """The limit if w is still on its way to w*, but nothing can happen on that way (docs/theory.md, section 7).

    Where samples are nearly dependent ‖V(w*)‖ is small beside the terms that it is made of, and check (a) asks for more
    digits of w than there are. What remains of the way of W, beside the ray in the direction of the limit, is at most
    B = (Σ_k u_k²/μ_k)^{1/2} long: the modes of r = log(w/w*), which decay like e^{-μ_k s}. A unit that is farther than
    ‖x_i‖ B from its kink, and moves away from it in the limit, does not reach it.

    Parameters
    ----------
    cell : Cell
        The present cell.
    Z : ndarray, shape (m, n)
        Preactivations.
    q, w : ndarray, shape (n,)
        Margins and sample weights.
    X : ndarray, shape (n, d)

    Returns
    -------
    FlowLimit or None
        None unless |log(w/w*)| is at most `NEARLY_THERE`, units are as far from their kinks as said, and effective
        slopes as far from their ends as w can still carry them.
    """
    lam = simplex_minimizer(cell.matrix)
    if lam is None:
        return None
    target = lam / lam.sum()
    S = target > 0.0
    growth = cell.matrix @ target
    rho = float(target @ growth)
    if (
        w[S].min() == 0.0
        or w[~S].sum() > NEARLY_THERE * target.min(where=S, initial=np.inf)
        or np.any(growth[~S] <= rho)
    ):
        return None
    departures = [np.log(w[S] / target[S]), -q[S] - np.log(target[S])]  # now, and for large margins
    departures = [r - target[S] @ r for r in departures]
    largest = max(float(np.abs(r).max()) for r in departures)
    if largest > NEARLY_THERE or not cell.agrees_with(target):
        return None
    B = sum(_remaining_way(cell.matrix[np.ix_(S, S)], target[S], r) for r in departures)
    B += float(np.sqrt(np.max(np.diagonal(cell.matrix))) * np.sum(w[~S] / (growth[~S] - rho)))
    far = np.abs(Z) >= B * np.sqrt(np.diagonal(cell.gram))
    low, high = cell.sliding_margins(target)
    reach = largest * cell.sliding_range(target)
    if np.any(~far & (cell.pattern != 0)) or np.any(np.minimum(low, high) < reach):
        return None
    return limit_from_cell(cell, w, X)


def _remaining_way(M: Array, target: Array, r: Array) -> float:
    """(Σ_k u_k²/μ_k)^{1/2}: u = √w* ∘ r in the eigenvectors of √w* M √w* without the direction √w*."""
    root = np.sqrt(target)
    A = root[:, None] * M * root
    A -= np.outer(root, root @ A)
    A -= np.outer(A @ root, root)
    mu, modes = np.linalg.eigh((A + A.T) / 2.0)
    u = modes.T @ (root * r)
    moving = mu > mu.size * float(np.finfo(np.float64).eps) * mu[-1]  # the others do not move W
    return float(np.sqrt(np.sum(u[moving] ** 2 / mu[moving])))
