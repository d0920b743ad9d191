"""Weights, networks and data of the golden vectors, drawn from seeds and put on a grid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.validation import Array
from verification.conformance.contract import OPERATIONS
from verification.exact import oracle

__all__ = [
    "ANY_ORDER",
    "EPS",
    "LIMIT",
    "NORMAL",
    "PROGRAM",
    "RESIDUAL",
    "SPECTRUM",
    "STEPS",
    "Case",
    "Point",
    "drawn",
    "grid",
    "interval",
    "kinks",
    "larger_sizes",
    "margins",
    "more_margins",
    "normal",
    "on_grid",
    "power_of_ten",
    "scales",
    "shapes",
    "single",
    "sizes",
]

EPS, NORMAL = float(np.finfo(np.float64).eps), float(np.finfo(np.float64).tiny)

ANY_ORDER, STEPS, SPECTRUM, PROGRAM, LIMIT, RESIDUAL = (
    OPERATIONS[name].tolerance
    for name in ("forward", "descent", "stable_rank", "max_margin", "flow_limit", "kkt_residuals")
)
"""Where tolerances come from: the contract says it."""


@dataclass
class Case:
    """A case before its id is known."""

    group: str
    comment: str
    inputs: dict[str, Any]
    flags: Sequence[str] = ()
    expected: dict[str, Any] = field(default_factory=dict)
    tolerance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Point:
    """Weights, network and data, and what to say about them."""

    comment: str
    W: Array
    a: Array
    slope: float
    X: Array
    y: Array
    flags: tuple[str, ...] = ()

    def inputs(self, *names: str) -> dict[str, Any]:
        """Those of W, a, slope, X, y that are named."""
        return {name: getattr(self, name) for name in names}


def grid(x: Array, bits: int = 30) -> Array:
    """The nearest multiples of 2^-bits: the same numbers on every machine."""
    return np.ldexp(np.rint(np.ldexp(x, bits)), -bits)


def normal(rng: np.random.Generator, *shape: int) -> Array:
    """Gaussian numbers on the grid."""
    return grid(rng.standard_normal(shape))


def on_grid(data: Dataset) -> Dataset:
    """The data with samples on the grid."""
    return Dataset(grid(data.X), data.y)


def power_of_ten(exponent: int) -> float:
    """10^exponent, correctly rounded."""
    return float(f"1e{exponent}")


def shapes() -> Iterator[Point]:
    """Gaussian weights and samples of several shapes, away from kinks."""
    for k, (m, n, d, slope) in enumerate(
        [(2, 3, 2, 0.5), (3, 2, 4, 0.1), (5, 4, 3, 0.25), (4, 6, 5, 0.9), (6, 3, 8, 0.01), (3, 5, 2, 0.3)]
    ):
        yield drawn(f"m={m}, n={n}, d={d}, slope {slope:g}", 10 + k, m, n, d, slope)
    yield drawn("one neuron", 20, 1, 3, 3, 0.2, flags=("single-neuron", "unbalanced-signs"))
    yield drawn("one sample", 21, 4, 1, 3, 0.2, flags=("single-sample",))
    yield drawn("one neuron, one sample, one dimension", 22, 1, 1, 1, 0.4, flags=("single-neuron", "single-sample"))
    yield drawn("a ReLU network", 23, 4, 3, 3, 0.0, flags=("slope-zero",))
    yield drawn("a linear network", 24, 4, 3, 3, 1.0, flags=("slope-one",))
    yield drawn("five positive neurons, one negative", 25, 6, 3, 4, 0.3, positive=5, flags=("unbalanced-signs",))
    yield drawn("positive neurons only", 26, 3, 3, 4, 0.3, positive=3, flags=("unbalanced-signs",))
    yield drawn("more samples than dimensions", 27, 3, 7, 2, 0.3, flags=("dependent-samples",))
    unequal = np.array([0.125, -2.0, 1.5, -0.03125])
    yield drawn("a second layer of unequal size", 28, 4, 3, 3, 0.3, a=unequal, flags=("unequal-second-layer",))


def sizes() -> Iterator[Point]:
    """Sizes that are multiples of nothing, copies of samples, slopes next to 0 and 1, labels in great minority."""
    for k, (m, n, d, slope) in enumerate([(9, 3, 2, 0.3), (17, 2, 3, 0.1), (11, 5, 4, 0.2), (13, 1, 2, 0.5)]):
        yield drawn(f"{m} neurons, n={n}, d={d}", 60 + k, m, n, d, slope, flags=("many-neurons", "unbalanced-signs"))
    for k, (m, n, d) in enumerate([(2, 9, 3), (3, 33, 2), (2, 37, 3), (2, 67, 2)]):
        flags = ("dependent-samples", "many-samples")
        yield drawn(f"{n} samples, m={m}, d={d}", 70 + k, m, n, d, 0.3, flags=flags)
    yield drawn("one dimension, samples of both signs", 80, 4, 5, 1, 0.25, flags=("dependent-samples",))
    yield drawn("31 dimensions", 81, 2, 3, 31, 0.25, flags=())
    copied = drawn("", 82, 3, 3, 4, 0.3)
    rows = [0, 1, 1, 2, 1]
    yield Point("a sample three times", copied.W, copied.a, 0.3, copied.X[rows], copied.y[rows], ("dependent-samples",))
    for k, slope in enumerate((2.0**-8, 1e-3, 1e-6, 2.0**-30, 1.0 - 2.0**-20)):
        yield drawn(f"slope {slope:.6g}", 90 + k, 3, 3, 3, slope, flags=("slope-near-an-end", "unbalanced-signs"))
    rare = ("unbalanced-labels", "unbalanced-signs")
    for sign in (1.0, -1.0):
        many = drawn("", 100, 3, 9, 4, 0.3)
        y = np.where(np.arange(9) == 4, sign, -sign)
        yield Point(f"one label {sign:+g} of nine", many.W, many.a, 0.3, many.X, y, ("dependent-samples", *rare))
        one = drawn("", 101, 3, 1, 3, 0.3)
        yield Point(
            f"one sample with label {sign:+g}", one.W, one.a, 0.3, one.X, np.array([sign]), ("single-sample", *rare)
        )


def larger_sizes() -> Iterator[Point]:
    """Widths, dimensions and counts beyond any block of 64 or 256; slopes between 1/2 and 9/10."""
    many = ("many-neurons", "unbalanced-signs")
    yield drawn("67 neurons, slope 3/4", 130, 67, 1, 1, 0.75, flags=("single-sample", *many))
    yield drawn("259 neurons, slope 1/16", 131, 259, 1, 1, 0.0625, flags=("single-sample", *many))
    yield drawn("261 dimensions, slope 5/8", 132, 1, 1, 261, 0.625, flags=("single-neuron", "single-sample"))
    flags: tuple[str, ...] = ("dependent-samples", "many-samples", "single-neuron")
    p = drawn("", 133, 1, 259, 1, 0.8)
    y = np.where(p.X[:, 0] > 0.0, 1.0, -1.0)  # so that samples that a short format rounds to one have one label
    yield Point("259 samples, slope 4/5", p.W, p.a, p.slope, p.X, y, flags)
    for k, (m, n, d) in enumerate([(5, 5, 5), (5, 5, 2), (5, 2, 5), (2, 5, 5)]):
        dependent = ("dependent-samples",) if n > d else ()
        yield drawn(f"equal sizes: m={m}, n={n}, d={d}", 140 + k, m, n, d, 0.3, flags=dependent)
    yield drawn("negative neurons only", 150, 4, 3, 3, 0.3, positive=0, flags=("unbalanced-signs",))
    for label in (1.0, -1.0):
        p = drawn("", 151, 4, 5, 3, 0.3)
        one_class = ("dependent-samples", "unbalanced-labels")
        yield Point(f"all labels {label:+g}", p.W, p.a, p.slope, p.X, np.full(5, label), one_class)


def drawn(
    comment: str,
    seed: int,
    m: int,
    n: int,
    d: int,
    slope: float,
    positive: int | None = None,
    a: Array | None = None,
    flags: tuple[str, ...] = (),
) -> Point:
    """A Gaussian point whose units keep 1e-2 of ‖w_j‖ ‖x_i‖ from their kinks."""
    rng = np.random.default_rng([1, seed])
    plus = (m + 1) // 2 if positive is None else positive
    second = np.where(np.arange(m) < plus, 1.0, -1.0) / np.sqrt(m) if a is None else a
    X, y = normal(rng, n, d), np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    while True:
        W = normal(rng, m, d)
        size = np.linalg.norm(W, axis=1)[:, None] * np.linalg.norm(X, axis=1)
        if np.all(np.abs(W @ X.T) > 1e-2 * size):
            return Point(comment, W, second, slope, X, y, flags)


def kinks() -> Iterator[Point]:
    """Small whole numbers, so that z_ji = 0 holds in any order of summation."""
    a, X = np.array([0.5, -0.75, 1.0]), np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 0.0, -1.0]])
    y = np.array([1.0, -1.0, 1.0])
    some = np.array([[1.0, -1.0, 0.0, 2.0], [2.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    flags = ("kink-at-zero", "unequal-second-layer")
    for slope in (0.25, 0.1):
        yield Point(f"some units at kinks, slope {slope:g}", some, a, slope, X, y, flags)
    yield Point("W = 0: every unit at its kink", np.zeros((3, 4)), a, 0.5, X, y, flags)
    one = np.array([[1.0, 0.0]])
    two = np.array([[0.0, 2.0], [1.0, 1.0]])
    yield Point("one unit, at its kink", one, np.ones(1), 0.25, two[:1], y[:1], ("kink-at-zero", "single-neuron"))
    yield Point("one neuron, one of two units at its kink", one, -np.ones(1), 0.25, two, y[:2], ("kink-at-zero",))
    relu = ("kink-at-zero", "slope-zero", "unequal-second-layer")
    yield Point("ReLU units at kinks", some, a, 0.0, X, y, relu)
    yield Point("no kink for slope 1", some, a, 1.0, X, y, ("slope-one", "unequal-second-layer"))
    signed = np.array([[-0.0, 0.0], [0.0, -0.0]])
    eye = np.eye(2)
    second = np.array([1.0, -1.0]) / np.sqrt(2.0)
    yield Point("zeros of both signs in W", signed, second, 0.3, eye, y[:2], ("kink-at-zero", "signed-zero"))
    minus = np.array([[1.0, -0.0], [-0.0, 1.0]])
    yield Point("-0.0 in W and X, away from kinks", minus + eye, second, 0.3, minus, y[:2], ("signed-zero",))
    zeros = ("signed-zero", "kink-at-zero")
    yield Point("a preactivation of -0.0", np.array([[-0.0, 3.0]]), np.ones(1), 0.25, one, y[:1], zeros)


def scales() -> Iterator[Point]:
    """One point with its weights and samples at extreme scales."""
    base = drawn("", 30, 3, 3, 3, 0.2)
    for w, x in ((-150, 150), (150, -150), (-100, 100), (140, -150), (-150, 140), (-300, 0)):
        comment = f"weights times 1e{w}, samples times 1e{x}"
        yield Point(
            comment, power_of_ten(w) * base.W, base.a, base.slope, power_of_ten(x) * base.X, base.y, ("extreme-scale",)
        )


def margins() -> Iterator[tuple[Point, str]]:
    """Chosen margins: X = I and one neuron of each sign, so that q_i is the number that stands in W."""
    lists = [
        ("all margins 0", [0.0, 0.0], "both", ("kink-at-zero",)),
        ("margins of size 1", [-2.0, 0.5, 3.0], "both", ()),
        ("margins 20 and 30", [20.0, 30.0], "both", ("tail-cancellation",)),
        ("margins 37 to 60", [37.0, 40.0, 60.0], "both", ("tail-cancellation",)),
        ("margin 100", [100.0], "both", ("tail-cancellation", "single-sample")),
        ("margins 700 and 708", [700.0, 708.0], "both", ("tail-cancellation",)),
        ("margins of which one is small", [1e-3, 50.0], "both", ()),
        ("margins -1, -10 and -36.5", [-1.0, -10.0, -36.5], "both", ()),
        ("margins -20.5 and -21: a threshold at 20 is seen", [-20.5, -21.0], "both", ()),
        ("margins -700 and 700", [-700.0, 700.0], "both", ("margins-beyond-underflow",)),
        ("margin 740: a subnormal weight", [740.0], "both", ("margins-beyond-underflow", "single-sample")),
        ("margin 800: the weight underflows", [800.0], "both", ("margins-beyond-underflow", "single-sample")),
        ("margins -800 and 1: a naive loss overflows", [-800.0, 1.0], "logistic", ("margins-beyond-underflow",)),
        ("margins -1e5 and 1e5", [-1e5, 1e5], "logistic", ("margins-beyond-underflow",)),
        ("margin -1e300", [-1e300], "logistic", ("margins-beyond-underflow", "single-sample")),
        ("margin 1e300", [1e300], "both", ("margins-beyond-underflow", "single-sample")),
        ("margin 1e-300", [1e-300], "both", ("extreme-scale", "single-sample")),
    ]
    for comment, q, losses, flags in lists:
        for loss in ("logistic", "exponential") if losses == "both" else (losses,):
            yield at_margins(comment, q, flags), loss


def more_margins() -> Iterator[tuple[Point, str]]:
    """Margins where losses are clipped from below, and beyond the range of e^q."""
    for q, losses in (([-5.5, -7.0], 2), ([-20.0], 2), ([-750.0], 1), ([750.0], 2), ([-750.0, 750.0], 1)):
        flags: tuple[str, ...] = ("margins-beyond-underflow",) if max(map(abs, q)) > 740.0 else ()
        flags += ("single-sample",) if len(q) == 1 else ()
        for loss in ("logistic", "exponential")[:losses]:
            yield at_margins(f"margins {', '.join(f'{x:g}' for x in q)}", q, flags), loss


def at_margins(comment: str, q: list[float], flags: tuple[str, ...]) -> Point:
    """f(x_i) = y_i q_i, through max(z, z/2) with a = 1: z_i = f_i, or 2 f_i where that is negative."""
    y = np.where(np.arange(len(q)) % 2 == 0, 1.0, -1.0)
    f = y * np.array(q)
    return Point(comment, np.where(f < 0.0, 2.0 * f, f)[None, :], np.ones(1), 0.5, np.eye(len(q)), y, flags)


def single(number: oracle.Rounded) -> dict[str, Any]:
    """A value and its proven error."""
    return {"value": number.value, "error": number.error}


def interval(low: oracle.Rounded, high: oracle.Rounded) -> dict[str, Any]:
    """Two ends and the larger of their proven errors."""
    return {"low": low.value, "high": high.value, "error": np.maximum(low.error, high.error)}
