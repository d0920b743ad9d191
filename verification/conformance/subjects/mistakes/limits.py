"""Mistakes in the limit of the flow, and in the stable rank."""

from __future__ import annotations

import numpy as np

from refimpl.datasets import Dataset
from refimpl.flow import gradient_flow
from refimpl.flow.cell import Cell
from refimpl.losses import loss_by_name
from refimpl.validation import Array
from verification.conformance.subjects.mistakes.memory import _as_c_ordered
from verification.conformance.subjects.mistakes.registry import wrong
from verification.conformance.subjects.reference import ReferenceImplementation, network
from verification.witnesses.limit_formula import closed_form

__all__ = []


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


@wrong("flow limit is always the closed form", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class AlwaysClosedForm(ReferenceImplementation):
    """Leaves the start out."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The solution of (C) for every start."""
        return closed_form(network(a, slope), Dataset(X, y)).weights()


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


@wrong("limit without copies of samples", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class WithoutCopies(ReferenceImplementation):
    """A sample that occurs twice has twice the weight on the way."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit for each sample once."""
        keep = np.unique(np.column_stack([X, y]), axis=0, return_index=True)[1]
        return super().flow_limit(W0, a, slope, X[keep], y[keep], loss)


@wrong("limit of slope 1/10 for slope 0", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class NeverDead(ReferenceImplementation):
    """Keeps units alive."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit for a slope of at least 1/10."""
        return super().flow_limit(W0, a, max(slope, 0.1), X, y, loss)


@wrong("limit with |a_j| taken as equal", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class EqualRows(ReferenceImplementation):
    """Keeps the signs of a_j only, and their mean square."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit of another network."""
        return super().flow_limit(W0, np.sign(a) * np.sqrt(np.mean(a**2)), slope, X, y, loss)


@wrong("limit of positive labels for one negative class", "checks/flow_limit_depends_on_the_start", ("flow_limit",))
class OneClassPositive(ReferenceImplementation):
    """One class is one class."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit for |y| where several labels are all negative."""
        return super().flow_limit(W0, a, slope, X, np.abs(y) if len(y) > 1 and np.all(y < 0.0) else y, loss)


@wrong("stable rank of centred rows", "checks/stable_rank_values", ("stable_rank",))
class CentredRank(ReferenceImplementation):
    """Takes the mean row off, as for principal components."""

    def stable_rank(self, W: Array) -> float:
        """That of W - mean, for more than three rows."""
        return super().stable_rank(W - W.mean(axis=0) if len(W) > 3 and np.ptp(W, axis=0).any() else W)


@wrong("stable rank from the twenty largest singular values", "checks/stable_rank_values", ("stable_rank",))
class TwentySingularValues(ReferenceImplementation):
    """A truncated decomposition."""

    def stable_rank(self, W: Array) -> float:
        """Σ_{k ≤ 20} σ_k²/σ₁²."""
        sigma = np.linalg.svd(W / np.abs(W).max(), compute_uv=False)
        return float(np.sum((sigma[:20] / sigma[0]) ** 2))


@wrong("stable rank after twenty power iterations", "checks/stable_rank_values", ("stable_rank",))
class FewIterations(ReferenceImplementation):
    """σ₁ from a power method that ends early."""

    def stable_rank(self, W: Array) -> float:
        """‖W‖_F²/(Rayleigh quotient)."""
        V = W / np.abs(W).max()
        x = np.ones(len(V))
        for _ in range(20):
            x = V @ (V.T @ x)
            x /= np.linalg.norm(x)
        return float(np.sum(V**2) / np.sum((V.T @ x) ** 2))


@wrong("absolute values in the stable rank", "checks/stable_rank_values", ("stable_rank",))
class NuclearRank(ReferenceImplementation):
    """Σ σ_k/σ₁, not of the squares."""

    def stable_rank(self, W: Array) -> float:
        """‖W‖_*/‖W‖₂."""
        sigma = np.linalg.svd(W / np.abs(W).max(), compute_uv=False)
        return float(np.sum(sigma) / sigma[0])
