"""How fast the loss falls and the gradient aligns; when the hinge loss ends (docs/theory.md, sections 16 and 17)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.datasets import Dataset
from refimpl.flow import FlowResult, Trajectory
from refimpl.flow.cell import Cell
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array, IndexArray

__all__ = [
    "LateStretch",
    "hinge_norm_bound",
    "hinge_step_bound",
    "log_growth_bounds",
    "share_of_weight",
]


def share_of_weight(log_loss: Array, n: int, exponential: bool) -> Array:
    """k <= ḡ/L <= 1 of (16.2): 1 for the exponential loss, (1 - e^{-nL})/(nL) for the logistic one.

    Examples
    --------
    >>> share_of_weight(np.array([np.log(0.5), -50.0]), 2, exponential=False).round(4)
    array([0.6321, 1.    ])
    """
    if exponential:
        return np.ones_like(log_loss)
    nL = n * np.exp(np.minimum(log_loss, 700.0))
    return np.where(nL > 1e-12, -np.expm1(-nL) / np.maximum(nL, 1e-300), 1.0)


def log_growth_bounds(
    path: Trajectory, network: TwoLayerNetwork, data: Dataset, z_norm: float, exponential: bool
) -> tuple[Array, Array]:
    """log of the least and of the largest 1/L(t) at the recorded times that (16.2) allows, shape (T,).

    (16.2) is used from each recorded time to the next, with the k there: 1/L(0) + Σ k² γ²A Δt/‖z*‖² from below,
    1/L(0) + A R_max² t from above.

    Parameters
    ----------
    path : Trajectory
    network, data
    z_norm : float
        ‖z*‖; inf where it is not known, which leaves 1/L(0) from below.
    exponential : bool
        Whether the loss is the exponential one; the logistic one otherwise.
    """
    k, log_time = share_of_weight(path.log_loss, data.n, exponential), np.maximum(path.log_time, -1e300)
    with np.errstate(divide="ignore"):
        slowest = 2.0 * np.log(network.slope * k[:-1] / z_norm) + np.log(network.mass)
        steps = log_time[1:] + np.log(-np.expm1(np.minimum(log_time[:-1] - log_time[1:], 0.0)))
        gained = np.logaddexp.accumulate(np.append(-np.inf, slowest + steps))
    fastest = np.log(network.mass) + 2.0 * np.log(data.R_max) + log_time
    return np.logaddexp(-path.log_loss[0], gained), np.logaddexp(-path.log_loss[0], fastest)


@dataclass(frozen=True, eq=False)
class LateStretch:
    """The records of a flow after its last event, which (16.5) and (16.6) are about.

    Attributes
    ----------
    path : Trajectory
    records : ndarray of int, shape (k,)
        Those after the last event, before the end, where nL <= log 2 (logistic loss), in order.
    M : ndarray, shape (n, n)
        Growth matrix of the last pattern.
    optimum : ndarray, shape (n,)
        w*.
    rho : float
        ρ = w*ᵀMw*, which is 1/‖W*‖² at a KKT point.
    limit_norm : float
        ‖W*‖, from the limit itself.
    size : float
        D = A R_max².
    exponential : bool
    """

    path: Trajectory
    records: IndexArray
    M: Array
    optimum: Array
    rho: float
    limit_norm: float
    size: float
    exponential: bool

    @classmethod
    def of(cls, flow: FlowResult, network: TwoLayerNetwork, data: Dataset, exponential: bool) -> LateStretch | None:
        """None where the flow has no limit or no such record."""
        path, limit = flow.trajectory, flow.limit
        if limit is None:
            return None
        late = path.s >= (flow.events[-1].s if flow.events else 0.0)
        low = exponential | (path.log_loss + np.log(data.n) <= np.log(np.log(2.0)))
        records = np.flatnonzero(late & low & np.isfinite(path.log_time))
        records = records[records < path.s.size - 1]
        if records.size == 0:
            return None
        lam, M = limit.multipliers, Cell(network, data.y, data.gram, limit.pattern).matrix
        star, norm = lam / lam.sum(), float(np.linalg.norm(limit.singular_values))
        return cls(path, records, M, star, float(star @ M @ star), norm, network.mass * data.R_max**2, exponential)

    def speeds(self, records: IndexArray) -> Array:
        """‖dW/ds‖² = wᵀMw."""
        w = self.path.sample_weights[records]
        return np.asarray(np.sum((w @ self.M) * w, axis=1))

    @property
    def h(self) -> Array:
        """h₁ of section 16 at each record: 2 log 2 · nL/ρ, 0 for the exponential loss."""
        nL = self.path.margins.shape[1] * np.exp(self.path.log_loss[self.records])
        return np.zeros_like(nL) if self.exponential else 2.0 * np.log(2.0) * nL / self.rho

    @property
    def time_times_loss(self) -> float:
        """T L(T)/‖W*‖² at the end, which tends to 1 (16.3)."""
        return float(np.exp(self.path.log_time[-1] + self.path.log_loss[-1] - 2.0 * np.log(self.limit_norm)))

    @property
    def time_times_loss_bound(self) -> float:
        """The most that (16.5) allows |T L(T) ρ - 1| to be, from the record that allows least."""
        k = share_of_weight(self.path.log_loss[self.records], self.path.margins.shape[1], self.exponential)
        rest = -np.expm1(self.path.log_time[self.records] - self.path.log_time[-1])  # (T - t₁)/T
        before = np.exp(-self.path.log_loss[self.records] - self.path.log_time[-1]) / self.rho  # 1/(L₁ T ρ)
        least = k**2 * rest + before
        most = (self.speeds(self.records) + 2.0 * self.size**2 * self.h) / self.rho * rest + before
        return max(0.0, float(np.maximum(1.0 / least - 1.0, 1.0 - 1.0 / most).min()))

    @property
    def sine(self) -> float:
        """sin(W, -∇L) at the end, from the cosine of (16.4)."""
        return float(np.sqrt(max(0.0, 1.0 - self.cosine**2)))

    @property
    def cosine(self) -> float:
        """cos(W, -∇L) = Σ w_i q_i/(‖W‖ ‖dW/ds‖) at the end (16.4)."""
        path = self.path
        speed = float(np.sqrt(self.speeds(np.array([-1]))[0]))
        return float(path.sample_weights[-1] @ path.margins[-1]) / (float(path.norm[-1]) * speed)

    @property
    def sine_bound(self) -> float:
        """The most that (16.6) allows the sine to be, from the record that allows least."""
        path, a, support = self.path, self.records, self.optimum > 0.0
        across = np.maximum(path.norm[a] ** 2 - (path.margins[a] @ self.optimum) ** 2 / self.rho, 0.0)
        w, star = path.sample_weights[a][:, support], self.optimum[support]
        with np.errstate(divide="ignore"):
            divergence = np.maximum(np.sum(star * np.log(star / w), axis=1), 0.0)  # KL(w*‖w)
        moved = (path.s[-1] - path.s[a]) * (divergence + 2.0 * self.size * self.h)
        growth = self.M @ path.sample_weights[-1]
        gap = max(0.0, float(path.sample_weights[-1] @ growth - growth.min()))
        return float(((np.sqrt(across) + np.sqrt(moved)) / path.norm[-1]).min() + np.sqrt(gap / self.rho))


# --- section 17: the hinge loss --------------------------------------------------------------------


def _b_and_c(network: TwoLayerNetwork, data: Dataset, z_norm: float, step_size: float) -> tuple[float, float]:
    """b and c of (17.1); b is inf where it is too large for a float."""
    with np.errstate(over="ignore", divide="ignore"):
        b = np.float64(z_norm) / np.float64(step_size * network.slope * np.sqrt(network.mass))
    return float(b), 2.0 * step_size + step_size**2 * network.mass * data.R_max**2


def hinge_step_bound(
    network: TwoLayerNetwork, data: Dataset, z_norm: float, step_size: float, start_norm: float = 0.0
) -> float:
    """The most that N_T = Σ_{t<T} |F_t|/n can be, F_t the samples of margin below 1 at step t (17.2).

    From W(0) = 0 that is b²c, of which (17.3) is n times.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a positive slope.
    data : Dataset
    z_norm : float
        ‖z*‖.
    step_size : float
        α.
    start_norm : float
        ‖W(0)‖_F.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork([1.0], LeakyReLU(1.0))
    >>> round(hinge_step_bound(network, Dataset([[1.0]], [1.0]), z_norm=1.0, step_size=0.5), 12)
    5.0
    """
    b, c = _b_and_c(network, data, z_norm, step_size)
    with np.errstate(over="ignore"):
        return float(np.square((b * np.sqrt(c) + np.sqrt(np.square(b) * c + 8.0 * b * start_norm)) / 2.0))


def hinge_norm_bound(
    network: TwoLayerNetwork, data: Dataset, z_norm: float, step_size: float, start_norm: float = 0.0
) -> float:
    """The most that ‖W(T)‖_F can be: √(‖W(0)‖² + c N) with the bound on N (17.1)."""
    _, c = _b_and_c(network, data, z_norm, step_size)
    return float(np.sqrt(start_norm**2 + c * hinge_step_bound(network, data, z_norm, step_size, start_norm)))
