"""Mistakes in what is solved: stable rank, max margin, limit of the flow, KKT residuals."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import nnls

from refimpl.datasets import Dataset
from refimpl.flow.cell import Cell, simplex_minimizer
from refimpl.validation import Array
from verification.conformance.subjects.mistakes.registry import wrong
from verification.conformance.subjects.reference import ReferenceImplementation, network
from verification.witnesses.limit_formula import closed_form

__all__ = []


@wrong("negative multiplier", "checks/max_margin_kkt", ("max_margin",))
class NegativeMultiplier(ReferenceImplementation):
    """Takes the solution of M λ = 1 without a look at its signs: all margins are 1, and yet no minimizer."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u) from λ of any sign."""
        candidate = closed_form(network(a, slope), Dataset(X, y))
        return candidate.v, candidate.u


@wrong("flipped multiplier", "checks/max_margin_kkt", ("max_margin",))
class FlippedMultiplier(ReferenceImplementation):
    """(v, u) from the right multipliers with the sign of the largest one flipped."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u) from λ with one entry negated."""
        net, data = network(a, slope), Dataset(X, y)
        aligned = np.where(np.outer(a, y) > 0.0, 1, -1).astype(np.int8)  # the pattern of (C)
        lam = simplex_minimizer(Cell(net, y, data.gram, aligned).matrix)
        assert lam is not None
        lam[np.argmax(lam)] *= -1.0
        c, c_prime = np.where(y > 0.0, 1.0, slope), np.where(y > 0.0, slope, 1.0)
        root_m = math.sqrt(net.m)
        return (lam * y * c) @ X / root_m, -(lam * y * c_prime) @ X / root_m


@wrong("max margin: sign of u where all labels are +1", "checks/max_margin_kkt", ("max_margin",))
class SignOfU(ReferenceImplementation):
    """Takes -u for u where no label is negative."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, ±u)."""
        v, u = super().max_margin(a, slope, X, y)
        return v, -u if np.all(y > 0.0) else u


@wrong("max margin: NaN where no neuron is negative", "checks/max_margin_kkt", ("max_margin",))
class DividedByNoMass(ReferenceImplementation):
    """0/0 for the vector of a sign that a does not have."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, NaN)."""
        v, u = super().max_margin(a, slope, X, y)
        return v, u if np.any(a < 0.0) else np.full_like(u, np.nan)


@wrong("max margin: 1e-3 off beyond eight samples", "checks/max_margin_kkt", ("max_margin",))
class LooseSolver(ReferenceImplementation):
    """A solver that stops early on larger problems."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u), a little too long for n > 8."""
        v, u = super().max_margin(a, slope, X, y)
        factor = 1.001 if len(y) > 8 else 1.0
        return factor * v, factor * u


@wrong("max margin: zeros where no separator exists", "checks/no_separator", ("refusals",))
class ZerosForRefusal(ReferenceImplementation):
    """Answers what has no answer."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u), or zeros."""
        try:
            return super().max_margin(a, slope, X, y)
        except Exception:
            return np.zeros(X.shape[1]), np.zeros(X.shape[1])


class _OwnResiduals(ReferenceImplementation):
    """Section 12 with choices of its own, by nonnegative least squares over fixed slopes."""

    def kkt_residuals(self, W: Array, a: Array, slope: float, X: Array, y: Array) -> tuple[float, float, float, float]:
        """Stationarity, feasibility, complementarity, duality gap."""
        a = self._second_layer(a)
        Z = W @ X.T
        q = y * (a @ np.where(Z > 0.0, Z, slope * Z))
        if q.min() <= 0.0:
            return super().kkt_residuals(W, a, slope, X, y)
        W, q = W / q.min(), q / q.min()
        H = [(y[i] * a * np.where(Z[:, i] > 0.0, 1.0, slope))[:, None] * X[i] for i in range(len(y))]
        columns = np.array([h.ravel() for h in H]).T
        lam = self._multipliers(columns, W.ravel())
        stationarity = float(np.linalg.norm(columns @ lam - W.ravel()) / np.linalg.norm(W))
        excess, total = float(lam @ (q - 1.0)), float(lam.sum())
        return stationarity, 0.0, excess / total, stationarity**2 + 2.0 * excess / float(np.sum(W**2))

    def _second_layer(self, a: Array) -> Array:
        return a

    def _multipliers(self, columns: Array, W: Array) -> Array:
        return np.asarray(nnls(columns, W)[0])


wrong("residuals with slopes fixed at kinks", "checks/kkt_residuals_vanish", ("kkt_residuals",))(_OwnResiduals)


@wrong("residuals with multipliers of any sign", "checks/kkt_residuals_far", ("kkt_residuals",))
class AnySign(_OwnResiduals):
    """Least squares in place of nonnegative least squares."""

    def _multipliers(self, columns: Array, W: Array) -> Array:
        return np.asarray(np.linalg.lstsq(columns, W, rcond=None)[0])


@wrong("residuals with |a_j| taken as equal", "checks/kkt_residuals_vanish", ("kkt_residuals",))
class EqualSizes(_OwnResiduals):
    """Keeps the signs of a_j only, and their mean square."""

    def _second_layer(self, a: Array) -> Array:
        return np.asarray(np.sign(a) * np.sqrt(np.mean(a**2)))


@wrong("residuals: feasibility not relative", "checks/kkt_residuals_far", ("kkt_residuals",))
class AbsoluteFeasibility(ReferenceImplementation):
    """The smallest margin as it is."""

    def kkt_residuals(self, W: Array, a: Array, slope: float, X: Array, y: Array) -> tuple[float, float, float, float]:
        """Stationarity, max(0, -min q), complementarity, duality gap."""
        found = super().kkt_residuals(W, a, slope, X, y)
        return found[0], max(0.0, -float(np.min(y * self.forward(W, a, slope, X)))), found[2], found[3]


@wrong("residuals of weights that are not scaled", "checks/kkt_residuals_far", ("kkt_residuals",))
class NotScaled(ReferenceImplementation):
    """Compares margins with 1 before W has smallest margin 1."""

    def kkt_residuals(self, W: Array, a: Array, slope: float, X: Array, y: Array) -> tuple[float, float, float, float]:
        """Stationarity, feasibility, Σλ(q - 1)/Σλ of W as given, duality gap."""
        found = super().kkt_residuals(W, a, slope, X, y)
        smallest = float(np.min(y * self.forward(W, a, slope, X)))
        return found[0], found[1], smallest * (found[2] + 1.0) - 1.0 if smallest > 0.0 else found[2], found[3]


@wrong("residuals: 1 for what is infinite", "checks/kkt_residuals_far", ("kkt_residuals",))
class AtMostOne(ReferenceImplementation):
    """Keeps numbers finite."""

    def kkt_residuals(self, W: Array, a: Array, slope: float, X: Array, y: Array) -> tuple[float, float, float, float]:
        """The four residuals, at most 1 where a margin is not positive."""
        one, two, three, four = super().kkt_residuals(W, a, slope, X, y)
        return (one, two, three, four) if np.isfinite(one) else (1.0, two, 1.0, 1.0)


@wrong("max margin: |a_j| taken as equal", "checks/max_margin_kkt", ("max_margin",))
class EqualMasses(ReferenceImplementation):
    """Keeps the signs of a_j only, and their mean square."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u) of another network."""
        return super().max_margin(np.sign(a) * np.sqrt(np.mean(a**2)), slope, X, y)


@wrong("max margin: no u for a linear network", "checks/max_margin_kkt", ("max_margin",))
class OneVector(ReferenceImplementation):
    """One vector is enough where the network is linear, but it is another one."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, 0) for slope 1."""
        v, u = super().max_margin(a, slope, X, y)
        return v, u * (slope < 1.0)
