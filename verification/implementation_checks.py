"""Checks of any implementation of the network, its loss, its gradient and descent (docs/theory.md, sections 1 and 2).

An implementation under test is an object or module with

    forward(W, a, slope, X) -> (n,)                     loss(W, a, slope, X, y, kind) -> float
    gradient(W, a, slope, X, y, kind) -> (m, d)         descent(W, a, slope, X, y, kind, step_size, steps) -> (m, d)

and optionally max_margin(a, slope, X, y) -> (v, u) and flow_limit(W0, a, slope, X, y, kind) -> (m, d). Each check
makes its own cases, compares with another formula (scalar loops, finite differences, exact values, KKT conditions)
and returns what it measured beside its tolerance. `verification.wrong_on_purpose` shows what each check catches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.optimize import nnls

from refimpl import datasets
from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array
from verification.kkt import kkt_residuals

__all__ = [
    "CHECKS",
    "NEEDS",
    "CheckResult",
    "Implementation",
    "applicable_checks",
    "check_clarke_at_kinks",
    "check_descent_steps",
    "check_flow_limit_is_kkt",
    "check_forward_homogeneity",
    "check_forward_scalar_loops",
    "check_gradient_central_differences",
    "check_gradient_scalar_loops",
    "check_inputs_untouched",
    "check_loss_values",
    "check_max_margin_kkt",
    "check_weight_values",
    "inactive_support_problem",
    "last_crossing_problem",
]

KINDS = ("logistic", "exponential")

ROUNDING = 1e-12
"""Sums of at most a few hundred terms of size 1, in any order, differ by less than this part of their size."""

DIFFERENCES = 1e-7
"""Central differences with h near eps^(1/3) are off by h² and eps/h, both near 1e-10; a wrong term is off by 1e-2."""

SOLVED = 1e-6
"""Solvers of convex programs at their default tolerances reach 1e-8; a wrong multiplier leaves 1e-2 or more."""

FLOW = 1e-3
"""An integration in plain time reaches 1e-4 at best; a pattern that is not the last one leaves 1e-2 or more."""


class Implementation(Protocol):
    """What every implementation under test offers; kind is "logistic" or "exponential"."""

    def forward(self, W: Array, a: Array, slope: float, X: Array) -> Array:
        """f(x_i; W), shape (n,)."""
        ...

    def loss(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> float:
        """L(W)."""
        ...

    def gradient(self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str) -> Array:
        """∇L(W), shape (m, d)."""
        ...

    def descent(
        self, W: Array, a: Array, slope: float, X: Array, y: Array, kind: str, step_size: float, steps: int
    ) -> Array:
        """W after `steps` steps, shape (m, d)."""
        ...


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check.

    Attributes
    ----------
    name : str
        The check's name in `CHECKS`.
    passed : bool
        measured <= tolerance, and `measured` is a number.
    measured : float
        The largest relative error that was seen; inf if something that must be finite is not.
    tolerance : float
    message : str
        What was compared, and where it was worst.
    """

    name: str
    passed: bool
    measured: float
    tolerance: float
    message: str


Check = Callable[[Implementation], CheckResult]


@dataclass(frozen=True, eq=False)
class Case:
    """One network with weights and data; `name` is for messages."""

    name: str
    W: Array
    a: Array
    slope: float
    X: Array
    y: Array


# --- gradient, forward pass, loss ---------------------------------------------------------------------------------


def check_gradient_central_differences(implementation: Implementation) -> CheckResult:
    """The gradient against central differences of the implementation's own loss, away from kinks.

    Examples
    --------
    >>> from verification.wrong_on_purpose import reference_implementation
    >>> check_gradient_central_differences(reference_implementation).passed
    True
    """
    worst = _Worst("gradient_central_differences", DIFFERENCES, "gradient and central differences of the loss agree")
    for case in _smooth_cases():
        for kind in KINDS:
            found = implementation.gradient(*_arguments(case), kind)
            worst.see(_relative(found, _central_differences(implementation, case, kind)), f"{case.name}, {kind} loss")
    return worst.result()


def check_gradient_scalar_loops(implementation: Implementation) -> CheckResult:
    """The gradient against -(1/n) Σ_i g_i y_i a_j φ'(z_ji) x_i, in Python loops with exact summation."""
    worst = _Worst("gradient_scalar_loops", ROUNDING, "gradient and the formula in scalar loops agree")
    for case in _smooth_cases():
        for kind in KINDS:
            found = implementation.gradient(*_arguments(case), kind)
            worst.see(_relative(found, _gradient_in_loops(case, kind)), f"{case.name}, {kind} loss")
    return worst.result()


def check_forward_scalar_loops(implementation: Implementation) -> CheckResult:
    """f against Σ_j a_j max(γ z_ji, z_ji), in Python loops with exact summation."""
    worst = _Worst("forward_scalar_loops", ROUNDING, "forward pass and the formula in scalar loops agree")
    for case in _smooth_cases():
        found = implementation.forward(case.W, case.a, case.slope, case.X)
        worst.see(_relative(found, np.array(_outputs_in_loops(case))), case.name)
    return worst.result()


def check_forward_homogeneity(implementation: Implementation) -> CheckResult:
    """f(x; cW) = c f(x; W) for c > 0, from c = 2⁻⁴⁰ to 2⁴⁰."""
    worst = _Worst("forward_homogeneity", ROUNDING, "f(x; cW) = c f(x; W)")
    for case in _smooth_cases():
        base = np.asarray(implementation.forward(case.W, case.a, case.slope, case.X))
        for c in (2.0**-40, 0.3, 7.0, 2.0**40):
            scaled = np.asarray(implementation.forward(c * case.W, case.a, case.slope, case.X))
            worst.see(_relative(scaled / c, base), f"{case.name}, c = {c:g}")
    return worst.result()


def check_loss_values(implementation: Implementation) -> CheckResult:
    """L against (1/n) Σ ℓ(q_i) at chosen margins; ±1000 included for the logistic loss.

    One linear sample a row: the i-th margin is what is asked for, exactly, and n = 4.
    """
    worst = _Worst("loss_values", ROUNDING, "loss and the mean of ℓ at known margins agree")
    for kind in KINDS:
        for q in ([0.0, 0.0, 0.0, 0.0], [-2.0, 0.5, 3.0, 20.0], [30.0, 40.0, 50.0, 60.0], [-700.0, -3.0, 1.0, 700.0]):
            worst.see(*_loss_error(implementation, kind, q))
    worst.see(*_loss_error(implementation, "logistic", [-1000.0, 1000.0, 0.0, 5.0]))
    return worst.result()


def check_weight_values(implementation: Implementation) -> CheckResult:
    """Each entry of the gradient against -(1/n) g(q_i) y_i φ'(z_i) at chosen margins up to 700, relative."""
    worst = _Worst("weight_values", ROUNDING, "g read off the gradient at known margins and g agree")
    for kind in KINDS:
        for q in ([-2.0, 0.5, 3.0, 20.0], [30.0, 40.0, 50.0, 60.0], [-700.0, -3.0, 1.0, 700.0]):
            W, X, y = _at_margins(q)
            found = np.asarray(implementation.gradient(W, np.ones(1), 0.5, X, y, kind))
            expected = np.array([[_entry(kind, q_i, y_i, w) for q_i, y_i, w in zip(q, y, W[0], strict=True)]]) / len(q)
            error = np.abs(found / expected - 1.0).max() if found.shape == expected.shape else math.inf
            worst.see(float(error), f"{kind} loss, margins {q}")
    return worst.result()


def check_clarke_at_kinks(implementation: Implementation) -> CheckResult:
    """Where z_ji = 0 exactly, the gradient is some element of the Clarke set: slopes θ_ji in [γ, 1].

    The samples are independent, so that θ can be read off the gradient.
    """
    worst = _Worst("clarke_at_kinks", ROUNDING, "slopes at kinks lie in [γ, 1], all others are γ or 1")
    for case in _kink_cases():
        for kind in KINDS:
            found = np.asarray(implementation.gradient(*_arguments(case), kind))
            worst.see(distance_to_clarke_set(case, kind, found), f"{case.name}, {kind} loss")
    return worst.result()


def check_descent_steps(implementation: Implementation) -> CheckResult:
    """Descent against W ← W - α∇L in scalar loops, for 0, 1 and 5 steps."""
    worst = _Worst("descent_steps", 100 * ROUNDING, "descent and W - α∇L, step by step in scalar loops, agree")
    for case in _smooth_cases()[:3]:
        W = case.W.copy()
        for steps in range(6):
            if steps in (0, 1, 5):
                found = implementation.descent(*_arguments(case), "logistic", 0.125, steps)
                worst.see(_relative(found, W), f"{case.name}, {steps} steps")
            W = W - 0.125 * _gradient_in_loops(_with_weights(case, W), "logistic")
    return worst.result()


def check_inputs_untouched(implementation: Implementation) -> CheckResult:
    """No function writes into the arrays it is given; `measured` is the largest change."""
    worst = _Worst("inputs_untouched", 0.0, "the arguments keep their values")
    case = _smooth_cases()[0]
    W, a, X, y = case.W.copy(), case.a.copy(), case.X.copy(), case.y.copy()
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("forward", lambda: implementation.forward(W, a, case.slope, X)),
        ("loss", lambda: implementation.loss(W, a, case.slope, X, y, "logistic")),
        ("gradient", lambda: implementation.gradient(W, a, case.slope, X, y, "logistic")),
        ("descent", lambda: implementation.descent(W, a, case.slope, X, y, "logistic", 0.5, 2)),
    ]
    for name, call in calls:
        call()
        before, after = (case.W, case.a, case.X, case.y), (W, a, X, y)
        worst.see(max(float(np.max(np.abs(p - q))) for p, q in zip(before, after, strict=True)), name)
    return worst.result()


# --- max margin and limit -----------------------------------------------------------------------------------------


def check_max_margin_kkt(implementation: Any) -> CheckResult:
    """(v, u) against the KKT conditions of (C): margins >= 1, multipliers >= 0, complementarity.

    (C) is convex, so its KKT conditions suffice. The data include some on which the linear system M λ = 1 has a
    negative entry: there the point with all margins 1 is stationary, but not a minimizer.

    References
    ----------
    docs/theory.md, sections 3 and 6.
    """
    worst = _Worst("max_margin_kkt", SOLVED, "(v, u) meets the KKT conditions of the convex program (C)")
    for name, (network, data) in (("tight", _tight_problem()), ("inactive support", inactive_support_problem())):
        v, u = implementation.max_margin(network.second_layer, network.slope, data.X, data.y)
        worst.see(convex_kkt_error(network, data, np.asarray(v), np.asarray(u)), name)
    return worst.result()


def check_flow_limit_is_kkt(implementation: Any) -> CheckResult:
    """The limit of the flow against the KKT conditions of (P), from a start whose last crossing comes late.

    References
    ----------
    docs/theory.md, sections 2 and 7 (check (b)), section 12.
    """
    worst = _Worst("flow_limit_is_kkt", FLOW, "the limit of the flow is a KKT point with smallest margin 1")
    network, data, W0 = last_crossing_problem()
    W = np.asarray(implementation.flow_limit(W0, network.second_layer, network.slope, data.X, data.y, "logistic"))
    if W.shape != W0.shape or not np.isfinite(W).all():
        worst.see(math.inf, "an array of finite weights")
        return worst.result()
    found = kkt_residuals(network, data, W)
    worst.see(abs(found.smallest_margin - 1.0), "smallest margin")
    worst.see(found.stationarity, "stationarity")
    return worst.result()


CHECKS: dict[str, Check] = {
    "forward_scalar_loops": check_forward_scalar_loops,
    "forward_homogeneity": check_forward_homogeneity,
    "loss_values": check_loss_values,
    "weight_values": check_weight_values,
    "gradient_scalar_loops": check_gradient_scalar_loops,
    "gradient_central_differences": check_gradient_central_differences,
    "clarke_at_kinks": check_clarke_at_kinks,
    "descent_steps": check_descent_steps,
    "inputs_untouched": check_inputs_untouched,
    "max_margin_kkt": check_max_margin_kkt,
    "flow_limit_is_kkt": check_flow_limit_is_kkt,
}
"""Every check by its name."""

NEEDS: dict[str, str] = {"max_margin_kkt": "max_margin", "flow_limit_is_kkt": "flow_limit"}
"""Checks of optional functions, and the function each needs."""


def applicable_checks(implementation: Any) -> list[str]:
    """Names of the checks whose functions `implementation` offers.

    Examples
    --------
    >>> from verification.wrong_on_purpose import ScalarLoops
    >>> "max_margin_kkt" in applicable_checks(ScalarLoops())
    False
    """
    return [name for name in CHECKS if name not in NEEDS or hasattr(implementation, NEEDS[name])]


# --- problems -----------------------------------------------------------------------------------------------------


def inactive_support_problem() -> tuple[TwoLayerNetwork, Dataset]:
    """Data on which M λ = 1 has a negative entry, so that not every sample supports the solution of (C).

    x_2 = 2 x_0 + small, with the label of x_0: its margin is above 1 wherever that of x_0 is 1.

    Examples
    --------
    >>> from verification.max_margin import max_margin
    >>> network, data = inactive_support_problem()
    >>> bool(max_margin(network, data).multipliers.min() < 1e-6)
    True
    """
    network = TwoLayerNetwork.with_signs(3, 2, LeakyReLU(0.25))
    X = [[1.0, 0.25, 0.0, 0.0], [0.125, 1.0, 0.0, 0.0], [2.0, 0.5, 0.25, 0.0], [0.0, 0.125, 0.0, 1.0]]
    return network, Dataset(np.array(X), np.array([1.0, -1.0, 1.0, -1.0]))


def last_crossing_problem() -> tuple[TwoLayerNetwork, Dataset, Array]:
    """A flow whose velocity is stationary long before its last unit crosses.

    Unit (0, 0) has a_0 y_0 > 0 and starts at z = -300, on the wrong side; near s = 1900 it crosses.
    """
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.25))
    data = Dataset(np.array([[1.0, 0.125, 0.0], [0.0, 1.0, 0.125]]), np.array([1.0, -1.0]))
    Z0 = np.array([[-300.0, -1.0], [1.0, 2.0]])
    return network, data, np.asarray(np.linalg.lstsq(data.X, Z0.T, rcond=None)[0].T)


def _tight_problem() -> tuple[TwoLayerNetwork, Dataset]:
    network = TwoLayerNetwork(np.array([0.5, 1.0, -0.75]), LeakyReLU(0.25))
    return network, datasets.gaussian(5, 400, np.random.default_rng(1), norm_ratio=1.5)


def _smooth_cases() -> list[Case]:
    """Networks whose units all stay away from their kinks, by a part of 1e-2 of ‖w_j‖‖x_i‖."""
    shapes = [(3, 4, 5, 0.25), (4, 1, 2, 0.1), (1, 3, 3, 0.5), (6, 5, 2, 0.9), (5, 3, 40, 0.5)]
    return [_smooth_case(f"m={m} n={n} d={d} γ={slope}", m, n, d, slope) for m, n, d, slope in shapes]


def _smooth_case(name: str, m: int, n: int, d: int, slope: float) -> Case:
    rng = np.random.default_rng([m, n, d])
    a = rng.uniform(0.25, 1.0, m) * np.where(np.arange(m) % 2 == 0, 1.0, -1.0)
    X, y = rng.standard_normal((n, d)), np.where(np.arange(n) % 3 == 0, -1.0, 1.0)
    while True:
        W = rng.standard_normal((m, d))
        size = np.outer(np.linalg.norm(W, axis=1), np.linalg.norm(X, axis=1))
        if np.all(np.abs(W @ X.T) > 1e-2 * size):
            return Case(name, W, a, slope, X, y)


def _kink_cases() -> list[Case]:
    """Whole numbers, so that z_ji = 0 holds exactly in any order of summation; the samples are independent."""
    X = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 0.0, -1.0]])
    y, a = np.array([1.0, -1.0, 1.0]), np.array([0.5, -0.75, 1.0])
    some = np.array([[1.0, -1.0, 0.0, 2.0], [2.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    return [Case("some units at kinks", some, a, 0.25, X, y), Case("W = 0", np.zeros((3, 4)), a, 0.5, X, y)]


# --- oracles in scalar loops --------------------------------------------------------------------------------------


def _outputs_in_loops(case: Case) -> list[float]:
    outputs = []
    for x in case.X.tolist():
        terms = []
        for a_j, w in zip(case.a.tolist(), case.W.tolist(), strict=True):
            z = math.fsum(p * q for p, q in zip(w, x, strict=True))
            terms.append(a_j * (z if z > 0.0 else case.slope * z))
        outputs.append(math.fsum(terms))
    return outputs


def _preactivation(case: Case, j: int, i: int) -> float:
    return math.fsum(p * q for p, q in zip(case.W[j].tolist(), case.X[i].tolist(), strict=True))


def loss_of_margin(kind: str, q: float) -> float:
    if kind == "exponential":
        return math.exp(-q)
    return math.log1p(math.exp(-q)) if q > 0.0 else -q + math.log1p(math.exp(q))


def weight_of_margin(kind: str, q: float) -> float:
    """g = -ℓ'(q)."""
    if kind == "exponential":
        return math.exp(-q)
    return math.exp(-q) / (1.0 + math.exp(-q)) if q > 0.0 else 1.0 / (1.0 + math.exp(q))


def _gradient_in_loops(case: Case, kind: str) -> Array:
    """-(1/n) Σ_i g_i y_i a_j φ'(z_ji) x_i with φ'(0) = 1."""
    n, labels = len(case.y), case.y.tolist()
    g = [weight_of_margin(kind, y_i * f) for y_i, f in zip(labels, _outputs_in_loops(case), strict=True)]
    gradient = np.empty(case.W.shape)
    for j, a_j in enumerate(case.a.tolist()):
        phi = [1.0 if _preactivation(case, j, i) >= 0.0 else case.slope for i in range(n)]
        for k in range(case.W.shape[1]):
            terms = (g[i] * labels[i] * a_j * phi[i] * float(case.X[i, k]) for i in range(n))
            gradient[j, k] = -math.fsum(terms) / n
    return gradient


def _central_differences(implementation: Implementation, case: Case, kind: str) -> Array:
    h = 2.0**-17  # near eps^(1/3), and a power of two: W ± h is nearly exact
    differences = np.empty(case.W.shape)
    for place in np.ndindex(*case.W.shape):
        values = []
        for sign in (1.0, -1.0):
            W = case.W.copy()
            W[place] += sign * h
            values.append(implementation.loss(*_arguments(_with_weights(case, W)), kind))
        differences[place] = (values[0] - values[1]) / (2.0 * h)
    return differences


def distance_to_clarke_set(case: Case, kind: str, gradient: Array) -> float:
    """How far the slopes that explain `gradient` lie outside ∂φ(z_ji); inf if nothing explains it."""
    n = len(case.y)
    g = [weight_of_margin(kind, float(y_i) * f) for y_i, f in zip(case.y, _outputs_in_loops(case), strict=True)]
    worst = 0.0
    for j, a_j in enumerate(case.a):
        rows = np.array([-g[i] * case.y[i] * a_j / n * case.X[i] for i in range(n)])
        theta = np.linalg.lstsq(rows.T, gradient[j], rcond=None)[0]
        worst = max(worst, _relative(theta @ rows, gradient[j]))
        for i in range(n):
            z = _preactivation(case, j, i)
            low, high = (case.slope, 1.0) if z == 0.0 else (1.0, 1.0) if z > 0.0 else (case.slope, case.slope)
            worst = max(worst, low - float(theta[i]), float(theta[i]) - high)
    return worst


def _at_margins(q: list[float]) -> tuple[Array, Array, Array]:
    """W, X = I and y for one neuron with a = 1, γ = 1/2 and these margins, exactly."""
    y = np.where(np.arange(len(q)) % 2 == 0, 1.0, -1.0)
    W = np.array([[y_i * q_i if y_i * q_i > 0.0 else 2.0 * y_i * q_i for y_i, q_i in zip(y, q, strict=True)]])
    return W, np.eye(len(q)), y


def _entry(kind: str, q: float, y: float, z: float) -> float:
    """-g(q) y φ'(z), for γ = 1/2."""
    return -weight_of_margin(kind, q) * float(y) * (1.0 if z > 0.0 else 0.5)


def _loss_error(implementation: Implementation, kind: str, q: list[float]) -> tuple[float, str]:
    W, X, y = _at_margins(q)
    found = implementation.loss(W, np.ones(1), 0.5, X, y, kind)
    expected = math.fsum(loss_of_margin(kind, q_i) for q_i in q) / len(q)
    error = abs(found - expected) / expected if math.isfinite(found) else math.inf
    return error, f"{kind} loss, margins {q}"


def convex_kkt_error(network: TwoLayerNetwork, data: Dataset, v: Array, u: Array) -> float:
    """Largest violation of the KKT conditions of (C) at (v, u); zero there only."""
    if not (np.isfinite(v).all() and np.isfinite(u).all()):
        return math.inf
    gamma, plus, minus = network.slope, network.mass_positive, network.mass_negative
    c, c_prime = np.where(data.y > 0.0, 1.0, gamma), np.where(data.y > 0.0, gamma, 1.0)
    root_m = math.sqrt(network.m)
    q = root_m * data.y * (plus * c * (data.X @ v) - minus * c_prime * (data.X @ u))
    normals = data.y * np.vstack([math.sqrt(plus) * c * data.X.T, -math.sqrt(minus) * c_prime * data.X.T])
    point = root_m * np.concatenate([math.sqrt(plus) * v, math.sqrt(minus) * u])
    lam, distance = nnls(normals, point)
    stationarity = distance / float(np.linalg.norm(point))
    complementarity = float(lam @ np.abs(q - 1.0)) / max(float(lam.sum()), 1e-300)
    return max(stationarity, complementarity, 1.0 - float(q.min()))


# --- small helpers ------------------------------------------------------------------------------------------------


class _Worst:
    """Keeps the largest error seen and where it was seen."""

    def __init__(self, name: str, tolerance: float, statement: str) -> None:
        self.name, self.tolerance, self.statement = name, tolerance, statement
        self.measured, self.place = 0.0, "no case"

    def see(self, error: float, place: str) -> None:
        error = float(error) if not math.isnan(error) else math.inf
        if error >= self.measured:
            self.measured, self.place = error, place

    def result(self) -> CheckResult:
        passed = self.measured <= self.tolerance
        verb = "" if passed else "violated: "
        message = f"{verb}{self.statement}; largest error {self.measured:.2e} at {self.place}"
        return CheckResult(self.name, passed, self.measured, self.tolerance, message)


def _arguments(case: Case) -> tuple[Array, Array, float, Array, Array]:
    return case.W, case.a, case.slope, case.X, case.y


def _with_weights(case: Case, W: Array) -> Case:
    return Case(case.name, W, case.a, case.slope, case.X, case.y)


def _relative(found: Any, expected: Array) -> float:
    """‖found - expected‖/‖expected‖; inf if the shapes differ or something is not finite."""
    found = np.asarray(found, dtype=np.float64)
    if found.shape != expected.shape or not np.isfinite(found).all():
        return math.inf
    return float(np.linalg.norm(found - expected)) / max(float(np.linalg.norm(expected)), 1e-300)
