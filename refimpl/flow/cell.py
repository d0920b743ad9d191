"""One cell of the flow: a fixed activation pattern, and the limit within it (docs/theory.md, section 7).

Where every unit (j, i) has a fixed side of its kink, +1, -1, or 0 for a unit that slides along it,
the velocity of the loss-normalized flow is linear in the sample weights w on the simplex:

    dC/ds by docs/theory.md (7.1), and (7.4) where units slide;      dq/ds = M w, M by (7.5).

`refimpl/flow/pattern.py` has these of one neuron. Within its last cell the flow's w tends to the minimizer of wᵀMw over
the simplex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import nnls

from refimpl.flow.independence import independent_samples, sample_coordinates
from refimpl.flow.kinks import LIGHT, release_delay
from refimpl.flow.least_slopes import minimum_norm_slopes
from refimpl.flow.pattern import Pattern, slopes_of
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array, IntArray

_EPS = float(np.finfo(np.float64).eps)

__all__ = ["Cell", "sides_of", "simplex_minimizer"]


def sides_of(Z: Array) -> IntArray:
    """+1 where z >= 0 (φ'(0) = 1), -1 elsewhere."""
    return np.where(Z >= 0.0, 1, -1).astype(np.int8)


@dataclass(frozen=True, eq=False)
class Cell:
    """A region of weight space with one activation pattern.

    Parameters
    ----------
    network : TwoLayerNetwork
    y : ndarray, shape (n,)
    gram : ndarray, shape (n, n)
    pattern : ndarray of int8, shape (m, n)
        +1, -1, or 0 for a unit that slides along its kink.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 0, LeakyReLU(0.5))
    >>> cell = Cell(network, np.array([1.0, 1.0]), np.eye(2), np.array([[1, -1]], dtype=np.int8))
    >>> cell.matrix
    array([[1.  , 0.  ],
           [0.  , 0.25]])
    >>> cell.velocity(np.array([0.5, 0.5]))
    array([[0.5 , 0.25]])
    """

    network: TwoLayerNetwork
    y: Array
    gram: Array
    pattern: IntArray

    @cached_property
    def slopes(self) -> Array:
        """Φ, with 0 where a unit slides (it adds nothing to q), shape (m, n)."""
        return slopes_of(self.pattern, self.network.slope)

    @cached_property
    def sliding_neurons(self) -> list[int]:
        """Neurons with at least one sliding unit."""
        return [int(j) for j in np.flatnonzero((self.pattern == 0).any(axis=1))]

    @cached_property
    def matrix(self) -> Array:
        """M with dq/ds = M w, shape (n, n), symmetric and positive semidefinite: docs/theory.md (7.2) and (7.5)."""
        sliding = self.sliding_neurons
        others = np.delete(self.slopes, sliding, axis=0)
        shared = others.T @ (others * np.delete(self.network.second_layer**2, sliding)[:, None])
        M = self.y[:, None] * self.y * (self.gram * shared)
        for pattern in self._sliding.values():
            M += pattern.part_of_matrix()
        return np.asarray((M + M.T) / 2.0)

    def velocity(self, w: Array) -> Array:
        """dC/ds for sample weights w, shape (m, n): docs/theory.md (7.1)."""
        V = self.network.second_layer[:, None] * self.slopes * (self.y * w)
        for j, pattern in self._sliding.items():
            V[j] = pattern.increment(w)
        return V

    @cached_property
    def _sliding(self) -> dict[int, Pattern]:
        """The patterns of the neurons that slide; of dependent samples independent ones carry all of dC_j X."""
        a, slope, patterns = self.network.second_layer, self.network.slope, {}
        for j in self.sliding_neurons:
            samples = independent_samples(self._factor, np.flatnonzero(self.pattern[j] == 0))
            patterns[j] = Pattern.of(a[j] * self.y, slope, self.gram, self.pattern[j], samples)
        return patterns

    @cached_property
    def _factor(self) -> Array:
        return sample_coordinates(self.gram)

    def unit_speeds(self, w: Array) -> Array:
        """dZ/ds = (dC/ds) K, exactly 0 where a unit slides, shape (m, n)."""
        speeds = self.velocity(w) @ self.gram
        speeds[self.pattern == 0] = 0.0
        return speeds

    def effective_slopes(self, w: Array) -> Array:
        """θ_ji = dC_ji/(a_j y_i w_i) of the sliding units (7.4), Φ_ji of the others, shape (m, n)."""
        scale = self.network.second_layer[:, None] * (self.y * w)
        with np.errstate(divide="ignore", invalid="ignore"):
            theta = self.velocity(w) / scale
        return np.where(self.pattern == 0, theta, self.slopes)

    def sliding_range(self, w: Array) -> Array:
        """How far the sliding margins can move where each w_i changes by a factor e^{±1} or less, to first order."""
        ranges = []
        for j in self.sliding_neurons:
            T = self.pattern[j] == 0
            G = np.linalg.lstsq(self.gram[np.ix_(T, T)], self.gram[np.ix_(T, ~T)], rcond=None)[0]
            ranges.append(np.abs(G) @ (self.slopes[j] * w)[~T] + w[T])
        return np.concatenate(ranges) if ranges else np.zeros(0)

    def growth_gap(self, w: Array) -> float:
        """(wᵀMw - min_i (Mw)_i) / wᵀMw: check (a), docs/theory.md (7.7); inf if wᵀMw = 0."""
        growth = self.matrix @ w
        mean = float(w @ growth)
        return (mean - float(growth.min())) / mean if mean > 0.0 else float("inf")

    def approach_time(self, Z: Array, w: Array) -> tuple[float, int, int]:
        """Time -z/ż until the first unit reaches its kink at constant w: check (b).

        Returns
        -------
        time : float
            inf if every unit that does not slide moves away from its kink or stands still.
        neuron, sample : int
            The unit; -1 if there is none.
        """
        speeds = self.unit_speeds(w)
        toward = (self.pattern * speeds < -self._speed_floor(w)) & (self.pattern != 0)
        if not toward.any():
            return float("inf"), -1, -1
        with np.errstate(divide="ignore", invalid="ignore"):
            times = np.where(toward, np.maximum(-Z / speeds, 0.0), np.inf)
        neuron, sample = np.unravel_index(int(np.argmin(times)), times.shape)
        return float(times[neuron, sample]), int(neuron), int(sample)

    def agrees_with(self, w: Array) -> bool:
        """Whether the direction V(w) lies in this cell: sides and sliding slopes are its own.

        A unit that stands still (a dead neuron of a ReLU) belongs to either side.
        """
        speeds = self.unit_speeds(w)
        on_its_side = np.where(self.pattern == 0, True, self.pattern * speeds >= -self._speed_floor(w))
        return bool(on_its_side.all()) and all(self._rests(j, w) for j in self.sliding_neurons)

    def sliding_margins(self, w: Array) -> tuple[Array, Array]:
        """r - γ w_i and w_i - r of the sliding units, r = dC_ji/(a_j y_i); both are >= 0 where they can slide.

        θ_ji = r/w_i is then in [γ, 1]. A sample of weight 0 has no θ, and its unit slides if r = 0. Dependent
        samples have no slopes of their own; theirs are those of independent ones that span them.
        """
        j, i = np.nonzero(self.pattern == 0)
        r = self.velocity(w)[j, i] / (self.network.second_layer[j] * self.y[i])
        return r - self.network.slope * w[i], w[i] - r

    def leaving(self, w: Array) -> list[tuple[int, int, int]]:
        """(j, i, side) of the sliding units whose slopes at w are outside [γ, 1], of neurons that do not rest there."""
        j, i = np.nonzero(self.pattern == 0)
        low, high = self.sliding_margins(w)
        side = np.where(low < 0.0, -1, np.where(high < 0.0, 1, 0))
        moving = [k for k in self.sliding_neurons if not self._rests(k, w)]
        return [(int(j[k]), int(i[k]), int(side[k])) for k in np.flatnonzero(np.isin(j, moving) & (side != 0))]

    def _rests(self, j: int, w: Array) -> bool:
        """Whether slopes in [γ, 1] of neuron j's sliding units keep them on their kinks: docs/theory.md (7.10).

        Slopes of dependent samples are not unique, and those of samples without weight do not matter.
        """
        drive = self.network.second_layer[j] * self.y * w
        resting = (self.pattern[j] == 0) & (np.abs(drive) > LIGHT * np.abs(drive).max())
        theta = self.slopes[j].copy()
        theta[resting] = minimum_norm_slopes(theta, resting, drive, self.network.slope, self._factor)
        speeds = (drive * theta) @ self.gram
        terms = np.stack([release_delay(self.network.slope, 1e-9) * drive, 64.0 * _EPS * drive * theta])
        floor = np.sum(np.abs(terms), axis=0) @ np.abs(self.gram)
        return bool((np.abs(speeds) <= floor)[self.pattern[j] == 0].all())

    def _speed_floor(self, w: Array) -> Array:
        """Rounding level of unit speeds: 64 eps ‖dw_j/ds‖ ‖x_i‖-like, shape (m, n)."""
        size = np.abs(self.velocity(w)) @ np.abs(self.gram)
        return 64.0 * float(np.finfo(np.float64).eps) * size


def simplex_minimizer(M: Array) -> Array | None:
    """λ = w/(wᵀMw) for the minimizer w of wᵀMw over the simplex; None if the minimum is 0.

    λ minimizes ½λᵀMλ - Σλ over λ >= 0, so Mλ >= 1 with equality where λ > 0. With M = D N D, D powers of
    two that bring the diagonal of N near 1, and h = D⁻¹1, μ = Dλ minimizes ½μᵀNμ - hᵀμ. Nonnegative least squares on
    [Bᵀ; hᵀ] μ ≈ (0, 1) with N = B Bᵀ finds the support; one linear system on the support then gives λ to
    rounding. So margins that grow at very different rates are as good as any.

    Parameters
    ----------
    M : ndarray, shape (n, n)
        Symmetric positive semidefinite.

    Returns
    -------
    ndarray, shape (n,), or None

    Examples
    --------
    >>> simplex_minimizer(np.diag([1.0, 4.0]))
    array([1.  , 0.25])
    >>> simplex_minimizer(np.zeros((2, 2))) is None
    True
    """
    diagonal = np.diagonal(M)
    if diagonal.min() <= 0.0:  # a margin that cannot grow
        return None
    exponents = np.frexp(diagonal)[1] // 2
    N = np.ldexp(np.ldexp(M, -exponents), -exponents[:, None])
    least = int(exponents.min())
    h = np.ldexp(np.ones(diagonal.size), least - exponents)
    eigenvalues, vectors = np.linalg.eigh(N)
    B = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    n = h.size
    mu, _ = nnls(np.vstack([B.T, h]), np.append(np.zeros(n), 1.0), maxiter=30 * n + 30)
    rest = 1.0 - float(h @ mu)  # = ρ/(1 + ρ), ρ the least of xᵀNx over hᵀx = 1, x >= 0
    if rest <= 64.0 * n * np.finfo(np.float64).eps:
        return None
    return np.asarray(np.ldexp(_refined(N, h, mu / rest), -exponents - least))


def _refined(N: Array, h: Array, mu: Array) -> Array:
    """μ with N_SS μ_S = h_S solved on its support S, if that keeps it feasible.

    Rows of tiny h, which nonnegative least squares takes for rounding, join S if their constraints are violated.
    """
    S = mu > 0.0
    while True:
        solved, A = np.zeros_like(mu), N[np.ix_(S, S)]
        try:
            solved[S] = np.linalg.solve(A, h[S])
            solved[S] += np.linalg.solve(A, h[S] - A @ solved[S])
        except np.linalg.LinAlgError:
            return mu
        violated = N @ solved < (1.0 - 1e-9) * h
        if solved.min() < 0.0 or np.any(violated & S):
            return mu
        if not violated.any():
            return solved
        S |= violated
