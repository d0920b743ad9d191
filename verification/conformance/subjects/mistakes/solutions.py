"""Mistakes in what is solved: stable rank, max margin, limit of the flow, KKT residuals."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import nnls

from refimpl.datasets import Dataset
from refimpl.flow import gradient_flow
from refimpl.flow.cell import Cell, simplex_minimizer
from refimpl.losses import loss_by_name
from refimpl.validation import Array
from verification.conformance.subjects.mistakes.memory import _as_c_ordered
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


@wrong("limit before the last crossing", "checks/flow_limit_is_kkt", ("flow_limit",))
class LimitBeforeLastCrossing(ReferenceImplementation):
    """Reads the limit off the first stationary velocity: check (b) of docs/theory.md, section 7, is skipped."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The velocity as soon as check (a) holds to 1e-8, though units may still be on their way to a kink."""
        net, data = network(a, slope), Dataset(X, y)
        flow = gradient_flow(net, data, W0, loss_by_name(loss))
        for s, w in zip(flow.trajectory.s, flow.trajectory.sample_weights, strict=True):
            cell = Cell(net, data.y, data.gram, flow.pattern_at(float(s)))
            if cell.growth_gap(w) <= 1e-8:
                break
        return np.asarray(cell.velocity(w) @ X / (cell.matrix @ w).min())


@wrong("stable rank from the ten largest singular values", "checks/stable_rank_values", ("stable_rank",))
class TenSingularValues(ReferenceImplementation):
    """A truncated decomposition."""

    def stable_rank(self, W: Array) -> float:
        """Σ_{k ≤ 10} σ_k²/σ₁²."""
        sigma = np.linalg.svd(W / np.abs(W).max(), compute_uv=False)
        return float(np.sum((sigma[:10] / sigma[0]) ** 2))


@wrong("stable rank takes W for C-ordered", "checks/layouts", ())
class RankTakenForCOrdered(ReferenceImplementation):
    """Passes the address of W on, without its strides."""

    def stable_rank(self, W: Array) -> float:
        """‖W‖_F²/σ₁² for C-ordered W."""
        return super().stable_rank(_as_c_ordered(W))


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


@wrong("flow limit is always the closed form", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class AlwaysClosedForm(ReferenceImplementation):
    """Leaves the start out."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The solution of (C) for every start."""
        return closed_form(network(a, slope), Dataset(X, y)).weights()


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


@wrong("flow limit of mean margin 1", "checks/flow_limit_is_kkt", ("flow_limit",))
class MeanMargin(ReferenceImplementation):
    """Scales by the mean of the margins, which is the smallest one where all are tight."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit, too short."""
        W = super().flow_limit(W0, a, slope, X, y, loss)
        return W / np.mean(y * self.forward(W, a, slope, X))


@wrong("limit from a smaller start", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class SmallerStart(ReferenceImplementation):
    """Takes the limit of small starts for that of every start."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit from W0/10."""
        return super().flow_limit(W0 / 10.0, a, slope, X, y, loss)


@wrong("limit from a larger start", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class LargerStart(ReferenceImplementation):
    """Normalizes the weights, as some initializations do."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit from a start of norm 10."""
        return super().flow_limit(10.0 * W0 / np.linalg.norm(W0), a, slope, X, y, loss)


@wrong("limit of the logistic loss always", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class LogisticLimit(ReferenceImplementation):
    """Takes the limit for the same with both losses, as it is for linear networks."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit for the logistic loss."""
        return super().flow_limit(W0, a, slope, X, y, "logistic")


@wrong("limit of the exponential loss always", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class ExponentialLimit(ReferenceImplementation):
    """The same with the simpler one."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit for the exponential loss."""
        return super().flow_limit(W0, a, slope, X, y, "exponential")
