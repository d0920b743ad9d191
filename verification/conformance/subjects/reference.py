"""`refimpl` and `verification` behind the functions of an implementation under test."""

from __future__ import annotations

import numpy as np

from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.descent import gradient_descent
from refimpl.errors import InvalidDataError
from refimpl.flow import gradient_flow
from refimpl.losses import loss_by_name
from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import stable_rank
from refimpl.validation import Array
from verification.witnesses.convex_program import SolveStatus, max_margin
from verification.witnesses.kkt import kkt_residuals

__all__ = ["Descent", "ReferenceImplementation", "network", "reference_implementation"]


class Descent:
    """Descent from the class's own gradient."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        raise NotImplementedError

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps W - α∇L(W), shape (m, d)."""
        W = np.array(W)
        for _ in range(steps):
            W = W - step_size * self.gradient(W, a, slope, X, y, loss)
        return W


class ReferenceImplementation(Descent):
    """`refimpl` and `verification` behind the functions of an implementation under test; φ'(0) = 1.

    Examples
    --------
    >>> import numpy as np
    >>> reference_implementation.forward(np.eye(2), np.array([1.0, -1.0]), 0.5, np.array([[2.0, -4.0]]))
    array([4.])
    """

    refuses_bad_input = True

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        return network(a, slope).forward(W, X)

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> float:
        """L(W)."""
        return network(a, slope).loss(W, Dataset(X, y), loss_by_name(loss))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """∇L(W), shape (m, d)."""
        return network(a, slope).loss_and_gradient(W, Dataset(X, y), loss_by_name(loss))[1]

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, loss: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps in span coordinates, shape (m, d)."""
        if steps == 0:
            return W.copy()
        data, own = Dataset(X, y), loss_by_name(loss)
        return gradient_descent(network(a, slope), data, W, step_size, steps, own, max(steps, 1)).weights()

    def stable_rank(self, W: Array) -> float:
        """‖W‖_F²/‖W‖₂²."""
        return stable_rank(W)

    def kkt_residuals(self, W: Array, a: Array, slope: float, X: Array, y: Array) -> tuple[float, float, float, float]:
        """Stationarity, feasibility, complementarity, duality gap."""
        found = kkt_residuals(network(a, slope), Dataset(X, y), W)
        return found.stationarity, found.feasibility, found.complementarity, found.duality_gap

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """The solution (v, u) of the convex program (C)."""
        solution = max_margin(network(a, slope), Dataset(X, y))
        if solution.status is SolveStatus.INFEASIBLE:
            raise InvalidDataError("X", "the convex program (C) has no solution: the data are not separable by it")
        return solution.v, solution.u

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, loss: str) -> Array:
        """The limit of gradient flow from W0, scaled so that the smallest margin is 1; NaN if there is none."""
        limit = gradient_flow(network(a, slope), Dataset(X, y), W0, loss_by_name(loss)).limit
        return np.full_like(W0, np.nan) if limit is None else limit.weights()


reference_implementation = ReferenceImplementation()


def network(a: Array, slope: float) -> TwoLayerNetwork:
    """The network of section 1."""
    return TwoLayerNetwork(a, LeakyReLU(slope))
