"""Hypothesis properties of any implementation (docs/theory.md, sections 1 to 3, 7).

Each property draws from `verification.strategies`, so that a failing case is shrunk to one that a person can read,
and is derandomized: the same cases for everybody. Errors are measured in units of what rounding explains: the sum
of the absolute values of all terms that are added up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np

from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.errors import MissingExtraError
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array
from verification.conformance.calls import call, raised
from verification.implementation_checks import (
    Case,
    convex_kkt_error,
    distance_to_clarke_set,
    loss_of_margin,
    weight_of_margin,
)
from verification.kkt import kkt_residuals

try:
    from hypothesis import HealthCheck, Phase, Verbosity, assume, given, settings
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtraError("hypothesis", "conformance") from error

from verification import strategies

__all__ = ["PROPERTIES", "Property", "run_property"]

ROUNDING, SOLVED, FLOW = 1e-12, 1e-6, 1e-3
"""As in `verification.implementation_checks`: sums of a few terms, convex programs, flows in plain time."""

EXAMPLES = 60

SHRINKS = 200
"""A case that violates a property is made smaller in at most this many attempts."""


@dataclass(frozen=True)
class Property:
    """One property.

    Attributes
    ----------
    name, statement : str
    needs : tuple of str
        The functions it calls.
    strategy : SearchStrategy
    error : callable
        (implementation, drawn case) -> what was found to be off, in units of its natural size.
    tolerance : float
    examples : int
    """

    name: str
    statement: str
    needs: tuple[str, ...]
    strategy: Any
    error: Callable[[Any, Any], float]
    tolerance: float = ROUNDING
    examples: int = EXAMPLES


@dataclass(frozen=True)
class _Violation:
    error: float
    case: str


class _ViolatedError(Exception):
    pass


def run_property(prop: Property, implementation: Any, examples: int | None = None) -> str | None:
    """None if no case that was drawn violates the property; else a sentence with the smallest one found.

    Examples
    --------
    >>> from verification.wrong_on_purpose import WRONG
    >>> prop = next(prop for prop in PROPERTIES if prop.name == "homogeneity")
    >>> print(run_property(prop, WRONG["rounded kink"]).split(":")[0])
    f(x; cW) = c f(x; W) is violated
    """

    violations: list[_Violation] = []
    attempts = 0

    @settings(
        max_examples=examples or prop.examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    @given(prop.strategy)
    def check(case: Any) -> None:
        nonlocal attempts
        attempts += bool(violations)
        if attempts > SHRINKS:
            return
        with np.errstate(all="ignore"):
            error = prop.error(implementation, case)
        if not error <= prop.tolerance:
            violations.append(_Violation(error, _shown(case)))
            raise _ViolatedError

    try:
        with _same_draws_everywhere():
            check()
    except Exception as error:  # after SHRINKS attempts Hypothesis takes the property for flaky: it is not
        if not violations:
            return f"{prop.statement}: {raised(error)}"
    if not violations:
        return None
    smallest = min(violations, key=lambda violation: len(violation.case))
    return f"{prop.statement} is violated: off by {smallest.error:.1e} for {smallest.case}"


@contextmanager
def _same_draws_everywhere() -> Iterator[None]:
    """Without the numbers that Hypothesis collects from the user's own source code, and keeps in .hypothesis/.

    They depend on which modules are loaded and on how they are installed. Hypothesis has no switch for them; where
    its insides are not as expected, nothing is changed.
    """
    providers = import_module("hypothesis.internal.conjecture.providers")
    cache = getattr(providers, "CONSTANTS_CACHE", None)
    if cache is None or not hasattr(providers, "_get_local_constants") or not hasattr(providers, "Constants"):
        yield
        return
    none = providers.Constants()
    cache.cache.clear()
    with patch.object(providers, "_get_local_constants", lambda: none):
        yield
    cache.cache.clear()


# --- cases ---------------------------------------------------------------------------------------------------------


@st.composite
def _away_from_kinks(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments by name: small dyadic numbers."""
    network, data = draw(strategies.networks()), draw(strategies.dyadic_data())
    W = draw(strategies.weights_away_from_kinks(network, data))
    return _inputs(network, data, W) | {"loss": draw(st.sampled_from(["logistic", "exponential"]))}


@st.composite
def _one_margin(draw: st.DrawFn) -> dict[str, Any]:
    """One sample, one neuron, γ = 1/2, and a margin that is exact: q = y max(z, z/2)."""
    loss = draw(st.sampled_from(["logistic", "exponential"]))
    q, y = draw(strategies.margins(1e300 if loss == "logistic" else 700.0)), draw(st.sampled_from([1.0, -1.0]))
    assume(q == 0.0 or abs(q) >= float(np.finfo(np.float64).tiny))  # some hardware takes smaller ones for 0
    f = y * q
    W = np.array([[f if f > 0.0 else 2.0 * f]])
    return {"W": W, "a": np.ones(1), "slope": 0.5, "X": np.ones((1, 1)), "y": np.array([y]), "loss": loss, "q": q}


@st.composite
def _programs(draw: st.DrawFn) -> tuple[TwoLayerNetwork, Dataset]:
    """Separable data above and below the conditions, for networks with neurons of both signs."""
    network = draw(
        strategies.networks(neurons=(2, 4)).filter(lambda net: net.positive.any() and not net.positive.all())
    )
    if draw(st.booleans()):
        return network, draw(strategies.nearly_orthogonal_data(network.slope))
    return network, draw(strategies.data_below_conditions(network))


@st.composite
def _flows(draw: st.DrawFn) -> dict[str, Any]:
    """Nearly orthogonal data and a start of size 1/8."""
    network = draw(strategies.networks(st.sampled_from([0.5, 0.25]), neurons=(1, 3), unequal=False))
    data = draw(strategies.nearly_orthogonal_data(network.slope, n=(2, 3), extra_dimensions=(0, 2)))
    seed = draw(st.integers(0, 100))
    W0 = np.random.default_rng(seed).standard_normal((network.m, data.d)) / 8.0
    return {name: x for name, x in _inputs(network, data, W0).items() if name != "W"} | {"W0": W0, "loss": "logistic"}


def _inputs(network: TwoLayerNetwork, data: Dataset, W: Array) -> dict[str, Any]:
    return {"W": W, "a": network.second_layer, "slope": network.slope, "X": data.X, "y": data.y}


# --- errors --------------------------------------------------------------------------------------------------------


def _sizes(case: dict[str, Any]) -> Array:
    """Σ_j |a_j| Σ_k |w_jk x_ik|, shape (n,)."""
    return np.asarray(np.abs(case["a"]) @ (np.abs(case["W"]) @ np.abs(case["X"]).T))


def _outputs(case: dict[str, Any]) -> list[float]:
    """f(x_i) with exact summation of rounded products."""
    W, a, slope, X = (case[name] for name in ("W", "a", "slope", "X"))
    Z = [[math.fsum(w * x) for w in W] for x in X]
    return [math.fsum(a_j * (z if z > 0.0 else slope * z) for a_j, z in zip(a, row, strict=True)) for row in Z]


def _forward_error(implementation: Any, case: dict[str, Any]) -> float:
    return _largest(_ask(implementation, "forward", case) - np.array(_outputs(case)), _sizes(case))


def _loss_error(implementation: Any, case: dict[str, Any]) -> float:
    q, kind = case["y"] * np.array(_outputs(case)), case["loss"]
    values = [loss_of_margin(kind, q_i) for q_i in q]
    size = sum(v + weight_of_margin(kind, q_i) * s for v, q_i, s in zip(values, q, _sizes(case), strict=True))
    return _largest(_ask(implementation, "loss", case) - math.fsum(values) / len(q), np.array(size / len(q)))


def _gradient_error(implementation: Any, case: dict[str, Any]) -> float:
    W, a, slope, X, y = (case[name] for name in ("W", "a", "slope", "X", "y"))
    q, Z = y * np.array(_outputs(case)), np.array([[math.fsum(w * x) for x in X] for w in W])
    g = np.array([weight_of_margin(case["loss"], q_i) for q_i in q])
    slopes = np.where(Z > 0.0, 1.0, slope)
    expected, size = np.zeros(W.shape), np.zeros(W.shape)
    for j, k in np.ndindex(*W.shape):
        terms = -a[j] * slopes[j] * g * y * X[:, k] / len(y)
        expected[j, k], size[j, k] = math.fsum(terms), float(np.abs(terms) @ (1.0 + _sizes(case)))
    return _largest(_ask(implementation, "gradient", case) - expected, size)


def _tail_error(implementation: Any, case: dict[str, Any]) -> float:
    q, kind = case["q"], case["loss"]
    with np.errstate(all="ignore"):
        value, weight = _loss_at(kind, q), _weight_at(kind, q)
    loss = _ask(implementation, "loss", case)
    slope = 1.0 if case["W"][0, 0] > 0.0 else 0.5
    errors = [_largest(loss - value, np.array(value + 1e-305))]
    if case["W"][0, 0] != 0.0:
        G = _ask(implementation, "gradient", case)
        expected = np.array([[-case["y"][0] * weight * slope]])
        errors.append(_largest(G - expected, np.abs(expected) + 1e-305))
    return max(errors)


def _loss_at(kind: str, q: float) -> float:
    """ℓ(q) for every q: e^{-q} is 0 beyond underflow."""
    return q * -1.0 if q < -700.0 else 0.0 if q > 760.0 else loss_of_margin(kind, q)


def _weight_at(kind: str, q: float) -> float:
    """g(q) for every q."""
    return 1.0 if q < -700.0 else 0.0 if q > 760.0 else weight_of_margin(kind, q)


def _clarke_error(implementation: Any, kink: strategies.KinkCase) -> float:
    network, data = kink.network, kink.data
    case = Case("", kink.W, network.second_layer, network.slope, data.X, data.y)
    gradient = _ask(implementation, "gradient", _inputs(network, data, kink.W) | {"loss": "logistic"})
    return distance_to_clarke_set(case, "logistic", gradient)


def _homogeneity_error(implementation: Any, case: dict[str, Any]) -> float:
    base, worst = _ask(implementation, "forward", case), 0.0
    for c in (2.0**-20, 3.0, 2.0**30):
        scaled = _ask(implementation, "forward", case | {"W": c * case["W"]}) / c
        worst = max(worst, _largest(scaled - base, _sizes(case)))
    return worst


def _permutation_error(implementation: Any, case: dict[str, Any]) -> float:
    turned = case | {"X": case["X"][::-1].copy(), "y": case["y"][::-1].copy()}
    turned |= {"W": case["W"][::-1].copy(), "a": case["a"][::-1].copy()}
    f, G = _ask(implementation, "forward", case), _ask(implementation, "gradient", case)
    errors = [_largest(_ask(implementation, "forward", turned)[::-1] - f, _sizes(case))]
    errors.append(_gradients_differ(_ask(implementation, "gradient", turned)[::-1], G, case))
    return max(errors)


def _sign_error(implementation: Any, case: dict[str, Any]) -> float:
    """f(x; W, -a) = -f(x; W, a): with -y the loss and its gradient are the same."""
    other = case | {"a": -case["a"], "y": -case["y"]}
    loss, G = _ask(implementation, "loss", case), _ask(implementation, "gradient", case)
    errors = [_largest(_ask(implementation, "loss", other) - loss, loss)]
    return max(*errors, _gradients_differ(_ask(implementation, "gradient", other), G, case))


def _repetition_error(implementation: Any, case: dict[str, Any]) -> float:
    """Each sample twice: a mean does not change."""
    twice = case | {"X": np.vstack([case["X"]] * 2), "y": np.concatenate([case["y"]] * 2)}
    loss, G = _ask(implementation, "loss", case), _ask(implementation, "gradient", case)
    errors = [_largest(_ask(implementation, "loss", twice) - loss, loss)]
    return max(*errors, _gradients_differ(_ask(implementation, "gradient", twice), G, case))


def _gradients_differ(G: Array, expected: Array, case: dict[str, Any]) -> float:
    q = case["y"] * np.array(_outputs(case))
    g = np.array([weight_of_margin(case["loss"], q_i) for q_i in q]) * (1.0 + _sizes(case))
    size = np.abs(case["a"])[:, None] * (g @ np.abs(case["X"])) / len(q)
    return _largest(G - expected, np.broadcast_to(size, G.shape))


def _layout_error(implementation: Any, case: dict[str, Any]) -> float:
    """Arrays in Fortran order, and views with gaps."""
    wide = np.repeat(case["X"], 2, axis=1)[:, ::2]
    other = case | {"W": np.asfortranarray(case["W"]), "X": wide}
    found = call(implementation, "gradient", other, as_it_is=True).value
    assert found is not None
    return _gradients_differ(found, _ask(implementation, "gradient", case), case)


def _repeated_call_error(implementation: Any, case: dict[str, Any]) -> float:
    first, second = (_ask(implementation, "gradient", case) for _ in range(2))
    return 0.0 if np.array_equal(first, second) else math.inf


def _composition_error(implementation: Any, case: dict[str, Any]) -> float:
    """One step is W - α∇L, and three steps are two and one."""
    steps = case | {"step_size": 0.125, "loss": "logistic"}
    one, two, three = (_ask(implementation, "descent", steps | {"steps": k}) for k in (1, 2, 3))
    G = _ask(implementation, "gradient", steps)
    again = _ask(implementation, "descent", steps | {"W": two, "steps": 1})
    size = np.abs(case["W"]).max() + np.abs(G).max()
    return max(_largest(one - (case["W"] - 0.125 * G), size), _largest(three - again, size))


def _program_error(implementation: Any, problem: tuple[TwoLayerNetwork, Dataset]) -> float:
    network, data = problem
    inputs = _inputs(network, data, np.zeros((network.m, data.d)))
    v, u = _ask(implementation, "max_margin", inputs)
    return convex_kkt_error(network, data, v, u)


def _limit_error(implementation: Any, case: dict[str, Any]) -> float:
    W = _ask(implementation, "flow_limit", case)
    if W.shape != case["W0"].shape or not np.isfinite(W).all():
        return math.inf
    network = TwoLayerNetwork(case["a"], LeakyReLU(case["slope"]))
    found = kkt_residuals(network, Dataset(case["X"], case["y"]), W)
    return max(abs(found.smallest_margin - 1.0), found.stationarity, found.complementarity)


def _ask(implementation: Any, function: str, case: dict[str, Any]) -> Array:
    value = call(implementation, function, case).value
    assert value is not None
    return value


def _largest(difference: Array, size: Any) -> float:
    if not np.isfinite(difference).all():
        return math.inf
    size = np.broadcast_to(np.maximum(np.asarray(size, dtype=np.float64), 1e-305), np.shape(difference))
    return float(np.max(np.abs(difference) / size, initial=0.0))


def _shown(case: Any) -> str:
    """The case on one line, numbers as short as they are."""
    if isinstance(case, strategies.KinkCase):
        case = _inputs(case.network, case.data, case.W)
    elif isinstance(case, tuple):
        network, data = case
        case = {"a": network.second_layer, "slope": network.slope, "X": data.X, "y": data.y}
    return ", ".join(f"{name} = {_short(value)}" for name, value in case.items())


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return np.array2string(value, separator=",", max_line_width=10**6, threshold=60, precision=6).replace("\n", "")
    return str(value)


_ALL = ("forward", "loss", "gradient")
_STEPS = ("descent", "gradient")

PROPERTIES: tuple[Property, ...] = (
    Property("forward", "f = Σ_j a_j max(γz, z)", _ALL[:1], _away_from_kinks(), _forward_error),
    Property("homogeneity", "f(x; cW) = c f(x; W)", _ALL[:1], _away_from_kinks(), _homogeneity_error),
    Property("loss", "L = (1/n) Σ ℓ(q_i)", ("loss",), _away_from_kinks(), _loss_error),
    Property("gradient", "∇L = -(1/n) Σ g_i y_i a_j Φ_ji x_i", ("gradient",), _away_from_kinks(), _gradient_error),
    Property("tails", "ℓ and g at any margin, relative", _ALL[1:], _one_margin(), _tail_error, examples=150),
    Property("clarke", "slopes at kinks in [γ, 1]", ("gradient",), strategies.weights_at_exact_kinks(), _clarke_error),
    Property("permutation", "any order of samples and neurons", _ALL, _away_from_kinks(), _permutation_error),
    Property("sign", "-a and -y: the same loss", _ALL[1:], _away_from_kinks(), _sign_error),
    Property("repetition", "each sample twice: the same mean", _ALL[1:], _away_from_kinks(), _repetition_error),
    Property("layout", "arrays of any memory layout", ("gradient",), _away_from_kinks(), _layout_error, examples=20),
    Property(
        "repeated-call", "the same answer twice", ("gradient",), _away_from_kinks(), _repeated_call_error, 0.0, 20
    ),
    Property(
        "descent",
        "steps compose, one is W - α∇L",
        ("descent", "gradient"),
        _away_from_kinks(),
        _composition_error,
        1e-10,
    ),
    Property("max_margin", "the KKT conditions of (C)", ("max_margin",), _programs(), _program_error, SOLVED, 12),
    Property("flow_limit", "the KKT conditions of (P)", ("flow_limit",), _flows(), _limit_error, FLOW, 5),
)
"""Every property, in order."""
