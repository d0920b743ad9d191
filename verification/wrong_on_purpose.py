"""Implementations that are right in several styles, and others that are wrong on purpose.

The checks of `verification.implementation_checks` are worth what they catch: each wrong implementation has one
mistake that people make, and names the check that must find it. The right ones differ in style, in the order of
their sums and in φ'(0) (1, γ or their mean), and must pass every check. Mistakes go from gross to one part in 10⁷.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.activations import LeakyReLU, SmoothLeakyReLU
from refimpl.datasets import Dataset
from refimpl.descent import gradient_descent
from refimpl.flow import gradient_flow
from refimpl.flow.cell import Cell, simplex_minimizer
from refimpl.losses import loss_by_name
from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import stable_rank
from refimpl.validation import Array
from verification.implementation_checks import CHECKS, applicable_checks
from verification.kkt import kkt_residuals
from verification.max_margin import closed_form, max_margin

__all__ = [
    "NAMED_CHECK",
    "RIGHT",
    "WRONG",
    "Einsum",
    "ReferenceImplementation",
    "ScalarLoops",
    "SelfTestRow",
    "reference_implementation",
    "self_test",
]


class _Descent:
    """Descent from the class's own gradient."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        raise NotImplementedError

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps W - α∇L(W), shape (m, d)."""
        W = np.array(W, dtype=np.float64)
        for _ in range(steps):
            W = W - step_size * self.gradient(W, a, slope, X, y, kind)
        return W


# --- right --------------------------------------------------------------------------------------------------------


class ReferenceImplementation(_Descent):
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
        return _network(a, slope).forward(W, X)

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> float:
        """L(W)."""
        return _network(a, slope).loss(W, Dataset(X, y), loss_by_name(kind))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """∇L(W), shape (m, d)."""
        return _network(a, slope).loss_and_gradient(W, Dataset(X, y), loss_by_name(kind))[1]

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps in span coordinates, shape (m, d)."""
        if steps == 0:
            return W.copy()
        data, loss = Dataset(X, y), loss_by_name(kind)
        return gradient_descent(_network(a, slope), data, W, step_size, steps, loss, max(steps, 1)).weights()

    def stable_rank(self, W: Array) -> float:
        """‖W‖_F²/‖W‖₂²."""
        return stable_rank(W)

    def kkt_residuals(self, W: Array, a: Array, slope: float, X: Array, y: Array) -> tuple[float, float, float, float]:
        """Stationarity, feasibility, complementarity, duality gap."""
        found = kkt_residuals(_network(a, slope), Dataset(X, y), W)
        return found.stationarity, found.feasibility, found.complementarity, found.duality_gap

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """The solution (v, u) of the convex program (C)."""
        solution = max_margin(_network(a, slope), Dataset(X, y))
        return solution.v, solution.u

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """The limit of gradient flow from W0, scaled so that the smallest margin is 1; NaN if there is none."""
        limit = gradient_flow(_network(a, slope), Dataset(X, y), W0, loss_by_name(kind)).limit
        return np.full_like(W0, np.nan) if limit is None else limit.weights()


reference_implementation = ReferenceImplementation()


class ScalarLoops(_Descent):
    """Python numbers and loops only; φ'(0) = γ."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        outputs = []
        for x in X:
            total = 0.0
            for a_j, w in zip(a, W, strict=True):
                z = _dot(w, x)
                total += float(a_j) * max(slope * z, z)
            outputs.append(total)
        return np.array(outputs)

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> float:
        """L(W)."""
        total = 0.0
        for y_i, f in zip(y, self.forward(W, a, slope, X), strict=True):
            total += _loss_value(kind, float(y_i * f))
        return total / len(y)

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """∇L(W), shape (m, d)."""
        gradient = np.zeros(W.shape)
        for x, y_i, f in zip(X, y, self.forward(W, a, slope, X), strict=True):
            g = _loss_weight(kind, float(y_i * f))
            for j in range(len(a)):
                phi = 1.0 if _dot(W[j], x) > 0.0 else slope
                for k in range(len(x)):
                    gradient[j, k] -= g * y_i * a[j] * phi * x[k] / len(y)
        return gradient


class Einsum(_Descent):
    """Whole arrays with `numpy.einsum`, every axis named; φ'(0) = (1 + γ)/2."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        Z = np.einsum("jk,ik->ij", W, X)
        return np.asarray(np.einsum("j,ij->i", a, self._activation(Z, slope)))

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> float:
        """L(W)."""
        q = y * self.forward(W, a, slope, X)
        return float(np.mean(np.logaddexp(0.0, -q) if kind == "logistic" else np.exp(-q)))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """∇L(W), shape (m, d)."""
        Z = np.einsum("jk,ik->ij", W, X)
        g = self._weights(W, a, slope, X, y, kind)
        return -np.asarray(np.einsum("i,i,j,ij,ik->jk", g, y, a, self._slopes(Z, slope), X)) / len(y)

    def _activation(self, Z: Array, slope: float) -> Array:
        return np.where(Z > 0.0, Z, slope * Z)

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z > 0.0, 1.0, np.where(Z < 0.0, slope, (1.0 + slope) / 2.0))

    def _weights(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """g_i = -ℓ'(q_i)."""
        q = y * self.forward(W, a, slope, X)
        return np.asarray(np.exp(-np.logaddexp(0.0, q)) if kind == "logistic" else np.exp(-q))


RIGHT: dict[str, Any] = {
    "reference": reference_implementation,
    "scalar loops": ScalarLoops(),
    "einsum": Einsum(),
}
"""Implementations that must pass every check."""


# --- wrong: backward pass -----------------------------------------------------------------------------------------


class MeanSlope(Einsum):
    """Sums over the samples before it backpropagates: uses Φ̄_j = (1/n) Σ_i Φ_ji in place of Φ_ji."""

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.broadcast_to(super()._slopes(Z, slope).mean(axis=0), Z.shape)


class SlopeForgottenBackward(Einsum):
    """Backpropagates as if φ were a ReLU: slope 0 on the negative side; the forward pass is right."""

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z > 0.0, 1.0, 0.0)


class SlopeForgotten(Einsum):
    """A ReLU in both passes: gradient and loss agree with each other."""

    def _activation(self, Z: Array, slope: float) -> Array:
        return np.maximum(Z, 0.0)

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z > 0.0, 1.0, 0.0)


class SignOfSecondLayerLost(Einsum):
    """Backpropagates |a_j|."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """∇L(W) with the sign of a_j lost."""
        return np.sign(a)[:, None] * super().gradient(W, a, slope, X, y, kind)


class MeanForgotten(Einsum):
    """The gradient of Σ ℓ(q_i) beside the mean (1/n) Σ ℓ(q_i)."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """n ∇L(W)."""
        return len(y) * super().gradient(W, a, slope, X, y, kind)


class SumLoss(MeanForgotten):
    """Σ ℓ(q_i) in loss and gradient: they agree with each other."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> float:
        """n L(W)."""
        return len(y) * super().loss(W, a, slope, X, y, kind)


class DeadAtKink(Einsum):
    """φ'(0) = 0, which is no element of [γ, 1]."""

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z == 0.0, 0.0, super()._slopes(Z, slope))


# --- wrong: forward pass, loss, descent ---------------------------------------------------------------------------


class BeyondOneAtKink(Einsum):
    """φ'(0) = 1 + 10⁻⁷, just outside [γ, 1]."""

    def _slopes(self, Z: Array, slope: float) -> Array:
        return np.where(Z == 0.0, 1.0 + 1e-7, super()._slopes(Z, slope))


class LabelsForgotten(Einsum):
    """Backpropagates without y_i."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """-(1/n) Σ g_i a_j Φ_ji x_i."""
        Z, g = np.einsum("jk,ik->ij", W, X), self._weights(W, a, slope, X, y, kind)
        return -np.asarray(np.einsum("i,j,ij,ik->jk", g, a, self._slopes(Z, slope), X)) / len(y)


class LogisticWeightOnly(Einsum):
    """Uses the logistic loss's weight for both losses."""

    def _weights(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        return super()._weights(W, a, slope, X, y, "logistic")


class CancelledWeight(Einsum):
    """g = 1 - σ(q) as it is written: 0 at q = 37."""

    def _weights(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        if kind == "exponential":
            return super()._weights(W, a, slope, X, y, kind)
        q = y * self.forward(W, a, slope, X)
        return np.asarray(1.0 - np.exp(-np.logaddexp(0.0, -q)))


class OneSampleDropped(Einsum):
    """The gradient's sum over the samples ends one too early."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """∇L(W) without the last of several samples."""
        if len(y) == 1:
            return super().gradient(W, a, slope, X, y, kind)
        return super().gradient(W, a, slope, X[:-1], y[:-1], kind) * (len(y) - 1) / len(y)


class GradientPartInTenMillion(Einsum):
    """(1 + 10⁻⁷) ∇L: finite differences do not see it."""

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """∇L(W), a little too long."""
        return (1.0 + 1e-7) * super().gradient(W, a, slope, X, y, kind)


class SinglePrecision(Einsum):
    """float32 inside, float64 outside."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) to seven digits."""
        return super().forward(_single(W), _single(a), slope, _single(X))

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """∇L(W) to seven digits."""
        return _single(super().gradient(_single(W), _single(a), slope, _single(X), y, kind))


class SlopePartInTenMillion(Einsum):
    """A slope that is off by one part in 10⁷, in both passes."""

    def _activation(self, Z: Array, slope: float) -> Array:
        return super()._activation(Z, slope * (1.0 + 1e-7))

    def _slopes(self, Z: Array, slope: float) -> Array:
        return super()._slopes(Z, slope * (1.0 + 1e-7))


class Offset(Einsum):
    """Adds 10⁻⁷ to f, as to keep it away from 0."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W) + 10⁻⁷."""
        return super().forward(W, a, slope, X) + 1e-7


class RoundedKink(Einsum):
    """Rounds the kink off, as [F]'s smooth activation does: no longer homogeneous."""

    def _activation(self, Z: Array, slope: float) -> Array:
        return SmoothLeakyReLU(slope, 1e3).value(Z)


class OverflowingLoss(Einsum):
    """log(1 + e^{-q}) as it is written: inf at q = -1000."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> float:
        """L(W), where e^{-q} does not overflow."""
        q = y * self.forward(W, a, slope, X)
        with np.errstate(over="ignore"):
            return float(np.mean(np.log(1.0 + np.exp(-q)) if kind == "logistic" else np.exp(-q)))


class ClippedMargins(Einsum):
    """Clips margins to [-30, 30] before the loss."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> float:
        """L(W) with clipped margins."""
        q = np.clip(y * self.forward(W, a, slope, X), -30.0, 30.0)
        return float(np.mean(np.logaddexp(0.0, -q) if kind == "logistic" else np.exp(-q)))


class CancelledLoss(Einsum):
    """-log σ(q) with σ(q) = 1/(1 + e^{-q}): 0 at q = 37."""

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> float:
        """L(W), where nothing cancels."""
        q = y * self.forward(W, a, slope, X)
        with np.errstate(all="ignore"):
            values = -np.log(1.0 / (1.0 + np.exp(-q))) if kind == "logistic" else np.exp(-q)
        return float(np.mean(values))


class StaleGradient(Einsum):
    """Takes every step along the first gradient."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str, step_size: float, steps: int
    ) -> Array:
        """W - steps α ∇L(W(0))."""
        return np.asarray(W - steps * step_size * self.gradient(W, a, slope, X, y, kind))


class StepSizePartInTenMillion(Einsum):
    """A step size that is off by one part in 10⁷."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps, each a little too long."""
        return super().descent(W, a, slope, X, y, kind, step_size * (1.0 + 1e-7), steps)


class SamplesNormalizedInPlace(Einsum):
    """Normalizes the samples for itself, and for the caller."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W); X is scaled on the way and not back to the last digit."""
        size = np.linalg.norm(X, axis=1)
        X /= size[:, None]
        return super().forward(W, a, slope, X) * size


class OneStepTooMany(Einsum):
    """Counts steps from 0 to `steps`, both included."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str, step_size: float, steps: int
    ) -> Array:
        """W after steps + 1 steps."""
        return super().descent(W, a, slope, X, y, kind, step_size, steps + 1)


class DescentInPlace(Einsum):
    """Writes its steps into the array it is given."""

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps, and the argument with it."""
        for _ in range(steps):
            W -= step_size * self.gradient(W, a, slope, X, y, kind)
        return W


# --- wrong: max margin, limit of the flow -------------------------------------------------------------------------


class NegativeMultiplier(ReferenceImplementation):
    """Takes the solution of M λ = 1 without a look at its signs: all margins are 1, and yet no minimizer."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u) from λ of any sign."""
        candidate = closed_form(_network(a, slope), Dataset(X, y))
        return candidate.v, candidate.u


class FlippedMultiplier(ReferenceImplementation):
    """(v, u) from the right multipliers with the sign of the largest one flipped."""

    def max_margin(self, a: Array, slope: float, X: Array, y: Array) -> tuple[Array, Array]:
        """(v, u) from λ with one entry negated."""
        network, data = _network(a, slope), Dataset(X, y)
        aligned = np.where(np.outer(a, y) > 0.0, 1, -1).astype(np.int8)  # the pattern of (C)
        lam = simplex_minimizer(Cell(network, y, data.gram, aligned).matrix)
        assert lam is not None
        lam[np.argmax(lam)] *= -1.0
        c, c_prime = np.where(y > 0.0, 1.0, slope), np.where(y > 0.0, slope, 1.0)
        root_m = math.sqrt(network.m)
        return (lam * y * c) @ X / root_m, -(lam * y * c_prime) @ X / root_m


class LimitBeforeLastCrossing(ReferenceImplementation):
    """Reads the limit off the first stationary velocity: check (b) of docs/theory.md, section 7, is skipped."""

    def flow_limit(self, W0: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """The velocity as soon as check (a) holds to 1e-8, though units may still be on their way to a kink."""
        network, data = _network(a, slope), Dataset(X, y)
        flow = gradient_flow(network, data, W0, loss_by_name(kind))
        for s, w in zip(flow.trajectory.s, flow.trajectory.sample_weights, strict=True):
            cell = Cell(network, data.y, data.gram, flow.pattern_at(float(s)))
            if cell.growth_gap(w) <= 1e-8:
                break
        return np.asarray(cell.velocity(w) @ X / (cell.matrix @ w).min())


WRONG: dict[str, Any] = {
    "mean slope": MeanSlope(),
    "slope forgotten in the backward pass": SlopeForgottenBackward(),
    "slope forgotten": SlopeForgotten(),
    "sign of the second layer lost": SignOfSecondLayerLost(),
    "1/n forgotten in the gradient": MeanForgotten(),
    "sum in place of the mean": SumLoss(),
    "slope 0 at the kink": DeadAtKink(),
    "slope above 1 at the kink": BeyondOneAtKink(),
    "labels forgotten": LabelsForgotten(),
    "logistic weight for both losses": LogisticWeightOnly(),
    "cancelled weight": CancelledWeight(),
    "one sample dropped": OneSampleDropped(),
    "gradient off by 1e-7": GradientPartInTenMillion(),
    "single precision inside": SinglePrecision(),
    "slope off by 1e-7": SlopePartInTenMillion(),
    "offset of 1e-7": Offset(),
    "rounded kink": RoundedKink(),
    "clipped margins": ClippedMargins(),
    "cancelled loss": CancelledLoss(),
    "stale gradient": StaleGradient(),
    "step size off by 1e-7": StepSizePartInTenMillion(),
    "samples normalized in place": SamplesNormalizedInPlace(),
    "overflowing loss": OverflowingLoss(),
    "one step too many": OneStepTooMany(),
    "descent in place": DescentInPlace(),
    "negative multiplier": NegativeMultiplier(),
    "flipped multiplier": FlippedMultiplier(),
    "limit before the last crossing": LimitBeforeLastCrossing(),
}
"""Implementations that are wrong on purpose."""

NAMED_CHECK: dict[str, str] = {
    "mean slope": "gradient_central_differences",
    "slope forgotten in the backward pass": "gradient_central_differences",
    "slope forgotten": "forward_scalar_loops",
    "sign of the second layer lost": "gradient_scalar_loops",
    "1/n forgotten in the gradient": "gradient_central_differences",
    "sum in place of the mean": "loss_values",
    "slope 0 at the kink": "clarke_at_kinks",
    "slope above 1 at the kink": "clarke_at_kinks",
    "labels forgotten": "gradient_scalar_loops",
    "logistic weight for both losses": "gradient_scalar_loops",
    "cancelled weight": "weight_values",
    "one sample dropped": "gradient_scalar_loops",
    "gradient off by 1e-7": "gradient_scalar_loops",
    "single precision inside": "forward_scalar_loops",
    "slope off by 1e-7": "forward_scalar_loops",
    "offset of 1e-7": "forward_homogeneity",
    "rounded kink": "forward_homogeneity",
    "clipped margins": "loss_values",
    "cancelled loss": "loss_values",
    "stale gradient": "descent_steps",
    "step size off by 1e-7": "descent_steps",
    "samples normalized in place": "inputs_untouched",
    "overflowing loss": "loss_values",
    "one step too many": "descent_steps",
    "descent in place": "inputs_untouched",
    "negative multiplier": "max_margin_kkt",
    "flipped multiplier": "max_margin_kkt",
    "limit before the last crossing": "flow_limit_is_kkt",
}
"""For each wrong implementation, the check that must catch it."""


# --- self test ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SelfTestRow:
    """One implementation and one check.

    Attributes
    ----------
    implementation : str
        A key of `RIGHT` or `WRONG`.
    named_check : str
        A key of `CHECKS`.
    caught : bool
        Whether the check failed.
    measured, tolerance : float
        As in `CheckResult`.
    wrong : bool
        Whether the implementation is wrong on purpose.
    """

    implementation: str
    named_check: str
    caught: bool
    measured: float
    tolerance: float
    wrong: bool

    @property
    def as_expected(self) -> bool:
        """Whether a wrong implementation was caught, or a right one passed."""
        return self.caught == self.wrong


def self_test(progress: Callable[[str], None] = lambda message: None) -> list[SelfTestRow]:
    """Every wrong implementation against the check named for it, and every right one against all checks.

    Parameters
    ----------
    progress : callable
        Called with a sentence before each check.

    Returns
    -------
    list of SelfTestRow
        The checks work if every row is `as_expected`.

    Examples
    --------
    >>> all(row.as_expected for row in self_test())
    True
    """
    pairs = [(name, WRONG[name], check, True) for name, check in NAMED_CHECK.items()]
    for name, implementation in RIGHT.items():
        pairs += [(name, implementation, check, False) for check in applicable_checks(implementation)]
    rows = []
    for number, (name, implementation, check, wrong) in enumerate(pairs, 1):
        progress(f"check {number} of {len(pairs)}: {check} of the implementation “{name}”")
        rows.append(_row(name, implementation, check, wrong))
    return rows


def _row(name: str, implementation: Any, check: str, wrong: bool) -> SelfTestRow:
    result = CHECKS[check](implementation)
    return SelfTestRow(name, check, not result.passed, result.measured, result.tolerance, wrong)


# --- small helpers ------------------------------------------------------------------------------------------------


def _network(a: Array, slope: float) -> TwoLayerNetwork:
    return TwoLayerNetwork(a, LeakyReLU(slope))


def _single(x: Array) -> Array:
    """x rounded to float32."""
    with np.errstate(over="ignore"):
        return x.astype(np.float32).astype(np.float64)


def _dot(w: Array, x: Array) -> float:
    total = 0.0
    for p, q in zip(w, x, strict=True):
        total += float(p) * float(q)
    return total


def _loss_value(kind: str, q: float) -> float:
    if kind == "exponential":
        return math.exp(-q)
    return max(-q, 0.0) + math.log1p(math.exp(-abs(q)))


def _loss_weight(kind: str, q: float) -> float:
    """g = -ℓ'(q)."""
    if kind == "exponential":
        return math.exp(-q)
    small = math.exp(-abs(q))
    return (small if q > 0.0 else 1.0) / (1.0 + small)
