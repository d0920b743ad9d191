"""Slopes of sliding units: a least-squares problem with bounds, docs/theory.md (7.10)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import lsq_linear

from refimpl.validation import Array, BoolArray, IntArray

__all__ = ["minimum_norm_slopes"]

TIE_BREAK = 1e-8
"""Weight of ‖θ‖ beside ‖V X‖ where slopes are not unique; it changes V X by its square."""

MOST_GUESSES = 8
"""Active sets that are guessed before the general solver takes over."""

_EPS = float(np.finfo(np.float64).eps)


def minimum_norm_slopes(theta: Array, free: BoolArray, drive: Array, slope: float, factor: Array) -> Array:
    """θ over the units `free`, in [γ, 1], that minimize ‖(drive∘θ) L‖ (7.10); exactly γ or 1 where a bound is active.

    `theta` holds the slopes of the other units. At a bound the field pushes the unit
    to that side; a unit inside, however near to an end, slides.
    """
    if not free.any():
        return theta[free]
    fixed = (drive * theta)[~free] @ factor[~free]
    columns = (drive[:, None] * factor)[free].T
    size = np.linalg.norm(columns, axis=0)
    if size.size == 1:
        return np.clip(-(columns[:, 0] @ fixed) / size**2, slope, 1.0)
    columns = columns / size
    found = _slopes_of_independent(columns.T @ columns, -(fixed @ columns), slope * size, size)
    if found is None:  # dependent columns leave θ open, which BVLS does not bear: a little weight on ‖θ‖ picks one
        columns = np.vstack([columns, TIE_BREAK * np.eye(size.size)])
        target = np.concatenate([-fixed, np.zeros(size.size)])
        solution = lsq_linear(columns, target, bounds=(slope * size, size), method="bvls", tol=1e-15, max_iter=1000)
        found = solution.x, solution.active_mask
    x, active = found
    inside = np.clip(x / size, np.nextafter(slope, 1.0), np.nextafter(1.0, 0.0))
    return np.where(active < 0, slope, np.where(active > 0, 1.0, inside))


def _slopes_of_independent(G: Array, r: Array, lower: Array, upper: Array) -> tuple[Array, IntArray] | None:
    """The x between bounds that minimizes ½xᵀGx - rᵀx, and where it is at a lower (-1) or an upper (+1) one.

    Which bounds are active is guessed, and guessed anew from the signs of what comes out; a guess that agrees with
    itself meets the optimality conditions. A bound is active only if x is pushed against it beyond rounding. None
    where samples are not so independent that G, of diagonal 1, has eigenvalues of 1/2 or more, or if no guess agrees.
    """
    if np.abs(G).sum(axis=0).max() > 1.5:
        return None
    active = np.zeros(r.size, dtype=np.int8)
    for _ in range(MOST_GUESSES):
        x, free = np.where(active < 0, lower, np.where(active > 0, upper, 0.0)), active == 0
        if free.any():
            x[free] = np.linalg.solve(G[np.ix_(free, free)], (r - G @ x)[free])
        rounding = 64.0 * _EPS * (np.abs(r) + np.abs(x).sum())
        below, beyond = x < lower - rounding, x > upper + rounding
        pushed = active * (G @ x - r) < -rounding
        guess = np.where(free, beyond.astype(np.int8) - below, np.where(pushed, active, 0))
        if np.array_equal(guess, active):
            return x, active
        active = guess.astype(np.int8)
    return None
