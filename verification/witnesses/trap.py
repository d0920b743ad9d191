"""When a flow cannot leave its cell any more (docs/theory.md, section 7, "Trapped")."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.flow import FlowLimit, FlowResult
from refimpl.flow.cell import Cell
from refimpl.flow.independence import independent_samples, sample_coordinates
from refimpl.losses import ExponentialLoss, Loss
from refimpl.validation import Array, BoolArray, IntArray

__all__ = ["Trap", "divergence", "in_last_pattern", "room"]

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Trap:
    """The ball about w* that the sample weights cannot leave once they are deep enough in it.

    Attributes
    ----------
    target : ndarray, shape (n,)
        w*, the minimizer of wᵀMw on the simplex.
    delta : float
        δ: while ‖w - w*‖₁ <= δ no unit changes its side or begins or ends to slide; 0 if there is no such ball.
    drift : float
        max |M_ik|/v for the logistic loss, v > 0 the least growth of a margin in the ball; 0 for the exponential one.
    rounding : float
        Relative error of w*.
    """

    target: Array
    delta: float
    drift: float
    rounding: float

    @classmethod
    def of(cls, cell: Cell, limit: FlowLimit, loss: Loss) -> Trap:
        """That of the cell in which a flow of this loss has this limit."""
        target = limit.multipliers / limit.multipliers.sum()
        M, rounding = cell.matrix, limit.error_estimate
        rho, spread = float((M @ target).min()), float(np.ptp(M, axis=1).max())
        delta = min(room(cell, target) - 2.0 * rounding, 2.0)
        drift = 0.0
        if not isinstance(loss, ExponentialLoss):
            delta = min(delta, rho / spread if spread > 0.0 else delta)
            least = rho - delta * spread / 2.0
            drift = float(np.abs(M).max()) / least if least > 0.0 else float("inf")
        return cls(target, max(delta, 0.0) if limit.polished else 0.0, drift, rounding)

    def largest_divergence(self, w: Array, q: Array, error: Array) -> Array:
        """The ε of (7.11) that KL(w*‖w) does not exceed from a recorded time on, for each of them, shape (T,).

        Parameters
        ----------
        w, q : ndarray, shape (T, n)
            Sample weights and margins.
        error : ndarray, shape (T,)
            Error of log w.
        """
        kl = divergence(self.target, w)
        S = self.target > 0.0
        with np.errstate(divide="ignore"):
            far = np.abs(np.log(w[:, S] / self.target[S])).max(axis=1)
        known = kl + np.sqrt(2.0 * kl) * error + error**2 / 2.0 + 2.0 * self.rounding * (far + self.rounding)
        late = self.delta * self.drift * np.exp(-q.min(axis=1)) if self.drift else 0.0
        return np.asarray(known + late)


def divergence(target: Array, w: Array) -> Array:
    """KL(w*‖w) of each row of w, without cancelling: Σ_S w*_i (x_i - log(1 + x_i)) + Σ_N w_i with x = w/w* - 1.

    Along a flow of the exponential loss it does not increase, docs/theory.md (7.6).

    Examples
    --------
    >>> divergence(np.array([0.5, 0.5]), np.array([[0.5, 0.5], [0.5 + 1e-9, 0.5 - 1e-9]]))
    array([0.e+00, 2.e-18])
    """
    S = target > 0.0
    x = (w[:, S] - target[S]) / target[S]
    with np.errstate(divide="ignore"):
        far = x - np.log1p(x)
    near = x**2 * (0.5 - x / 3.0 + x**2 / 4.0)  # to x⁵, where x - log(1 + x) is lost in rounding
    return np.asarray(np.where(np.abs(x) < 1e-3, near, far) @ target[S] + w[:, ~S].sum(axis=1))


def room(cell: Cell, target: Array) -> float:
    """The largest ‖w - w*‖₁ at which every unit surely moves as at w*, or stands still as there; below 0 if none.

    P_ji dz_ji/ds of a unit beside its kink, and r - γw_i and w_i - r of one that slides, r = (dC_ji/ds)/(a_j y_i), are
    linear in w, and w - w* sums to 0: f changes by at most half of max f - min f times ‖w - w*‖₁.
    """
    a, found = cell.network.second_layer, float("inf")
    factor = sample_coordinates(cell.gram) if cell.sliding_neurons else cell.gram
    signed = np.column_stack([np.sign(a), cell.pattern])
    for j in np.unique(signed, axis=0, return_index=True)[1]:
        forms = _forms(cell, int(j), factor)
        value = target @ forms - 64.0 * EPS * (target @ np.abs(forms))
        still = ~forms.any(axis=0)
        spread = np.ptp(forms, axis=0) / 2.0
        shares = np.divide(value, spread, out=np.where(value > 0.0, np.inf, -np.inf), where=spread > 0.0)
        found = min(found, float(np.where(still, np.inf, shares).min()))
    return found


def _forms(cell: Cell, j: int, factor: Array) -> Array:
    """What must stay above 0 in neuron j, as coefficients of w, one column each."""
    K, y, side = cell.gram, cell.y, cell.pattern[j]
    drive = np.diag(cell.network.second_layer[j] * y * cell.slopes[j])  # dC_ji/ds of w = e_k, (7.1)
    slides = np.flatnonzero(side == 0)
    if slides.size == 0:
        return np.asarray(side * (drive @ K))
    T = independent_samples(factor, slides)
    if T.size < slides.size:  # slopes of dependent samples are not unique
        return np.full((y.size, 1), -1.0)
    drive[:, T] = -np.linalg.solve(K[np.ix_(T, T)], K[T] @ drive.T).T  # (7.4)
    r, own = drive[:, T] / (cell.network.second_layer[j] * y[T]), np.eye(y.size)[:, T]
    beside = np.flatnonzero(side)
    return np.hstack([side[beside] * (drive @ K[:, beside]), r - cell.network.slope * own, own - r])


def in_last_pattern(flow: FlowResult, pattern: IntArray) -> BoolArray:
    """At which recorded times the flow has this pattern, shape (T,)."""
    now = flow.initial_pattern.copy()
    wrong = [int(np.sum(now != pattern))]
    for event in flow.events:
        before = now[event.neuron, event.sample] != pattern[event.neuron, event.sample]
        now[event.neuron, event.sample] = event.side
        after = event.side != pattern[event.neuron, event.sample]
        wrong.append(wrong[-1] + int(after) - int(before))
    done = np.searchsorted([event.s for event in flow.events], flow.trajectory.s, side="right")
    return np.asarray(np.array(wrong)[done] == 0)
