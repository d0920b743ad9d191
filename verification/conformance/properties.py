"""Hypothesis properties of any implementation: small cases, drawn, and shrunk to one that a person can read.

What is compared stands in `relations.py`; sizes, layouts and long runs that no draw reaches are in `checks.py`. The
draws are derandomized: the same cases for everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.errors import MissingExtraError
from refimpl.network import TwoLayerNetwork
from verification.conformance import relations
from verification.conformance.calls import raised
from verification.conformance.cases import lasting_start
from verification.conformance.lasting import pattern_lasts
from verification.conformance.scalar import Case

try:
    from hypothesis import HealthCheck, Phase, Verbosity, assume, given, settings
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtraError("hypothesis", "conformance") from error

from verification import strategies

__all__ = ["PROPERTIES", "Property", "run_property"]

ROUNDING, SOLVED, FLOW = 1e-12, 1e-6, 1e-3
"""As in `checks.py`: sums of a few terms, convex programs, flows in plain time."""

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
    error: Callable[[Any, Case], float]
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
    >>> from verification.conformance.subjects.mistakes import WRONG
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
    def check(case: Case) -> None:
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
        with strategies.same_draws_everywhere():
            check()
    except Exception as error:  # after SHRINKS attempts Hypothesis takes the property for flaky: it is not
        if not violations:
            return f"{prop.statement}: {raised(error)}"
    if not violations:
        return None
    smallest = min(violations, key=lambda violation: len(violation.case))
    return f"{prop.statement} is violated: off by {smallest.error:.1e} for {smallest.case}"


# --- cases ---------------------------------------------------------------------------------------------------------


@st.composite
def _away_from_kinks(draw: st.DrawFn) -> Case:
    """Arguments by name: small dyadic numbers."""
    network = draw(strategies.networks(strategies.slopes(edges=True)))
    data = draw(st.one_of(strategies.dyadic_data(), strategies.data_with_copies()))
    W = draw(strategies.weights_away_from_kinks(network, data))
    return _inputs(network, data) | {"W": W, "loss": draw(st.sampled_from(["logistic", "exponential"]))}


@st.composite
def _one_margin(draw: st.DrawFn) -> Case:
    """One sample, one neuron, γ = 1/2, and a margin that is exact: q = y max(z, z/2)."""
    loss = draw(st.sampled_from(["logistic", "exponential"]))
    q, y = draw(strategies.margins(1e300 if loss == "logistic" else 700.0)), draw(st.sampled_from([1.0, -1.0]))
    assume(q == 0.0 or abs(q) >= float(np.finfo(np.float64).tiny))  # some hardware takes smaller ones for 0
    f = y * q
    W = np.array([[f if f > 0.0 else 2.0 * f]])
    return {"W": W, "a": np.ones(1), "slope": 0.5, "X": np.ones((1, 1)), "y": np.array([y]), "loss": loss}


@st.composite
def _programs(draw: st.DrawFn) -> Case:
    """Separable data above and below the conditions, in any units, for networks with neurons of one sign or both.

    Slopes 0 and 1 too; slope 0 with neurons of both signs, for with those of one a sample of the other has no margin.
    """
    network = draw(strategies.networks(st.sampled_from([0.5, 0.25, 0.125, 0.9, 1.0, 0.0]), neurons=(1, 4)))
    if network.slope == 0.0:
        assume(0 < int(network.positive.sum()) < network.m)
    nearly = strategies.nearly_orthogonal_data(network.slope or 0.5)
    below = strategies.data_below_conditions(network)
    gaussian = strategies.gaussian_data(n=(1, 6), d=(6, 12))  # independent rows: separable with any labels
    data = draw(st.one_of(nearly, below, gaussian))
    return _inputs(network, Dataset(draw(st.sampled_from([1.0, 2.0**-6, 2.0**6])) * data.X, data.y))


@st.composite
def _flows(draw: st.DrawFn) -> Case:
    """Nearly orthogonal data, or three samples of one class that repel each other; a start of size 1/8."""
    network = draw(strategies.networks(st.sampled_from([0.5, 0.25]), neurons=(1, 3), unequal=False))
    repelling = Dataset(np.eye(3) - 0.25, np.ones(3))  # below every condition: docs/theory.md, section 14
    orthogonal = strategies.nearly_orthogonal_data(network.slope, n=(2, 3), extra_dimensions=(0, 2))
    data = draw(st.one_of(orthogonal, st.just(repelling)))
    seed = draw(st.integers(0, 100))
    W0 = np.random.default_rng(seed).standard_normal((network.m, data.d)) / 8.0
    return _inputs(network, data) | {"W0": W0, "loss": "logistic"}


@st.composite
def _starts(draw: st.DrawFn) -> Case:
    """Slope 0 and samples along the axes: the limit depends on which units are positive at the start."""
    n, pairs = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    a = np.array([draw(st.sampled_from([1.0, 0.5])) * sign for _ in range(pairs) for sign in (1.0, -1.0)])
    y = np.array([draw(st.sampled_from([1.0, -1.0])) for _ in range(n)])
    sizes = np.array([draw(st.sampled_from([1.0, -1.0, 1.5])) for _ in range(n)])
    Z = np.array([[draw(strategies.dyadics(1, 4, nonzero=True)) for _ in range(n)] for _ in a]) / 2.0
    for i in range(n):  # each sample has a live neuron of its own sign
        first = 0 if y[i] > 0.0 else 1
        Z[first, i] = abs(Z[first, i])
    return {"W0": Z / sizes, "a": a, "slope": 0.0, "X": np.diag(sizes), "y": y, "loss": "logistic"}


@st.composite
def _two_samples(draw: st.DrawFn) -> Case:
    """Two samples that repel each other, and a unit next to its kink that provably does not cross it.

    The weights of the samples decide, and with them the scale of the start and the loss: another one may cross.
    """
    second, near = draw(st.sampled_from([([-2.0, 1.5], 1), ([-3.0, 4.0], 0)]))
    X = np.array([[5.0, 0.0], second])
    large = draw(st.integers(4, 10)) / 8.0
    Z0 = np.array([[large, 0.0625], [large, 0.0625]])
    Z0[1, near] = 2.0 ** -draw(st.integers(8, 12))
    slope, loss = draw(st.sampled_from([0.125, 0.25])), draw(st.sampled_from(["logistic", "exponential"]))
    case = lasting_start(X, draw(st.sampled_from([0.25, 0.5, 1.0])) * Z0, slope, loss)
    assume(pattern_lasts(slope, X, case["W0"], loss))
    return case


@st.composite
def _at_kinks(draw: st.DrawFn) -> Case:
    kink = draw(strategies.weights_at_exact_kinks())
    return _inputs(kink.network, kink.data) | {"W": kink.W, "loss": "logistic"}


@st.composite
def _steps(draw: st.DrawFn) -> Case:
    return draw(_away_from_kinks()) | {"step_size": 0.125, "loss": "logistic"}


@st.composite
def _points(draw: st.DrawFn) -> Case:
    """KKT points above and below the conditions, units on their kinks and unequal |a_j| among them."""
    networks = strategies.networks(strategies.slopes(edges=True), neurons=(1, 3))
    below = draw(strategies.kkt_points(below=True, networks=networks))
    point = below if draw(st.booleans()) else draw(strategies.kkt_points(below=False))
    return _inputs(point.network, point.data) | {"W": point.W}


def _inputs(network: TwoLayerNetwork, data: Dataset) -> Case:
    return {"a": network.second_layer, "slope": network.slope, "X": data.X, "y": data.y}


def _shown(case: Case) -> str:
    """The case on one line, numbers as short as they are."""
    return ", ".join(f"{name} = {_short(value)}" for name, value in case.items())


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        kinds: Any = {"float_kind": lambda x: f"{x:.6g}"}
        return np.array2string(value, separator=", ", max_line_width=10**6, threshold=60, formatter=kinds).replace(
            "\n", ""
        )
    return str(value)


PROPERTIES: tuple[Property, ...] = (
    Property("forward", "f = Σ_j a_j max(γz, z)", ("forward",), _away_from_kinks(), relations.forward_error),
    Property("homogeneity", "f(x; cW) = c f(x; W)", ("forward",), _away_from_kinks(), relations.homogeneity_error),
    Property("loss", "L = (1/n) Σ ℓ(q_i)", ("loss",), _away_from_kinks(), relations.loss_error),
    Property(
        "gradient",
        "∇L = -(1/n) Σ g_i y_i a_j Φ_ji x_i",
        ("gradient",),
        _away_from_kinks(),
        relations.gradient_error,
    ),
    Property(
        "tails",
        "ℓ and g at any margin, relative",
        ("loss", "gradient"),
        _one_margin(),
        relations.tail_error,
        examples=150,
    ),
    Property("clarke", "slopes at kinks in [γ, 1]", ("gradient",), _at_kinks(), relations.clarke_error),
    Property(
        "permutation",
        "any order of samples and neurons",
        ("forward", "gradient"),
        _away_from_kinks(),
        relations.permutation_error,
    ),
    Property("sign", "-a and -y: the same loss", ("loss", "gradient"), _away_from_kinks(), relations.sign_error),
    Property(
        "repetition",
        "each sample twice: the same mean",
        ("loss", "gradient"),
        _away_from_kinks(),
        relations.repetition_error,
    ),
    Property(
        "descent",
        "steps compose, one is W - α∇L",
        ("descent", "gradient"),
        _steps(),
        relations.composition_error,
        1e-10,
    ),
    Property(
        "max_margin", "the KKT conditions of (C)", ("max_margin",), _programs(), relations.program_error, SOLVED, 12
    ),
    Property("flow_limit", "the KKT conditions of (P)", ("flow_limit",), _flows(), relations.limit_error, FLOW, 8),
    Property(
        "flow_limit_from_start",
        "slope 0, orthogonal samples: the limit is that of the units alive at the start",
        ("flow_limit",),
        _starts(),
        relations.start_error,
        FLOW,
        12,
    ),
    Property(
        "flow_limit_of_two_samples",
        "a unit next to its kink that does not cross: scale and loss decide",
        ("flow_limit",),
        _two_samples(),
        relations.other_limit_error,
        FLOW,
        16,
    ),
    Property(
        "kkt_residuals",
        "all four are 0 at KKT points",
        ("kkt_residuals",),
        _points(),
        relations.residuals_error,
        SOLVED,
        40,
    ),
)
"""Every property, in order."""
