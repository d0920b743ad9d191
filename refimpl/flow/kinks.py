"""What a neuron does at its kinks: cross, or slide (docs/theory.md, section 7, "Events").

At a point where the units i in Q of neuron j rest on their kinks (z_ji = 0), the velocity of row j
is V_j = a_j y∘Φ_j∘w with Φ_ji = θ_i in [γ, 1] to be found for i in Q, and ż_j = V_j K.

- Where a_j y_i < 0 the kink attracts. The velocity is the one of minimum norm ‖V_j X‖ over
  θ in [γ, 1]^Q; a unit whose θ_i lies strictly inside slides, at θ_i = 1 (or γ) it leaves to the
  positive (negative) side.
- Where a_j y_i > 0, or w_i is negligible, or γ = 1, the kink does not attract. A unit that arrives
  with speed crosses. A unit that starts on its kink goes to the positive side, φ'(0) = 1, unless the
  field there carries it to the other.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import lsq_linear

from refimpl.validation import Array, BoolArray, IntArray

__all__ = ["resolve_kinks"]

_LIGHT = 1e-100
"""A sample of at most this part of the largest weight has no say: its units go where the others push them."""


def resolve_kinks(
    sides: IntArray, at_kink: BoolArray, attracts: BoolArray, drive: Array, slope: float, gram: Array, factor: Array
) -> IntArray:
    """New sides of one neuron's units, of which those in `at_kink` rest on their kinks.

    Parameters
    ----------
    sides : ndarray of int8, shape (n,)
        +1, -1 (0 = slides). Units outside `at_kink` keep theirs. A repelling unit in `at_kink`
        keeps the side given here if the field agrees, else takes the other.
    at_kink : ndarray of bool, shape (n,)
        Q.
    attracts : ndarray of bool, shape (n,)
        Where a_j y_i < 0.
    drive : ndarray, shape (n,)
        a_j y_i w_i, so that V_ji = drive_i Φ_ji.
    slope : float
        γ.
    gram, factor : ndarray, shape (n, n)
        K = L Lᵀ and L.

    Returns
    -------
    ndarray of int8, shape (n,)
    """
    sides = sides.copy()
    light = (np.abs(drive) <= _LIGHT * np.abs(drive).max()) | (slope == 1.0)
    pulling, pushing = at_kink & attracts & ~light, np.flatnonzero(at_kink & ~(attracts & ~light))
    flipped: set[int] = set()
    while True:
        sides[pulling] = 0
        theta = _slopes_of(sides, slope)
        theta[pulling] = _minimum_norm_slopes(theta, pulling, drive, slope, factor)
        speeds = (drive * theta) @ gram
        wrong = [int(i) for i in pushing if sides[i] * speeds[i] < 0.0 and i not in flipped]
        if not wrong:
            break
        sides[wrong[0]] *= -1
        flipped.add(wrong[0])
    sides[pulling] = np.where(theta >= 1.0, 1, np.where(theta <= slope, -1, 0))[pulling]
    return sides


def _slopes_of(sides: IntArray, slope: float) -> Array:
    return np.where(sides > 0, 1.0, np.where(sides < 0, slope, 0.0))


def _minimum_norm_slopes(theta: Array, free: BoolArray, drive: Array, slope: float, factor: Array) -> Array:
    """θ over the units `free`, in [γ, 1], that minimize ‖(drive∘θ) L‖; exactly γ or 1 where a bound is active.

    There the field pushes the unit to that side; a unit inside, however near to an end, slides.
    """
    if not free.any():
        return theta[free]
    fixed = (drive * theta)[~free] @ factor[~free]
    columns = (drive[:, None] * factor)[free].T
    size = np.linalg.norm(columns, axis=0)
    if size.size == 1:
        return np.clip(-(columns[:, 0] @ fixed) / size**2, slope, 1.0)
    solution = lsq_linear(columns / size, -fixed, bounds=(slope * size, size), method="bvls", tol=1e-15, max_iter=200)
    inside = np.clip(solution.x / size, np.nextafter(slope, 1.0), np.nextafter(1.0, 0.0))
    return np.where(solution.active_mask < 0, slope, np.where(solution.active_mask > 0, 1.0, inside))
