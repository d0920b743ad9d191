"""Make the golden vectors: the one generator of verification/conformance/vectors/*.json.

    python scripts/make_vectors.py --check      # compare with the files that are there, to the last digit
    python scripts/make_vectors.py              # write them again

Inputs are drawn from seeds and stored as numbers, on a grid so coarse (2⁻³⁰) that they do not depend on the machine's
rounding. Outputs come from `verification.exact.oracle` (ball arithmetic, rationals); tolerances, to two digits, from
bounds of rounding errors that are stated with each case (docs/conformance.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from refimpl.datasets import Dataset
from refimpl.errors import ImplicitBiasError
from refimpl.validation import Array
from verification.conformance.contract import OPERATIONS
from verification.conformance.vectors.format import (
    FOLDER,
    KINDS,
    NOTES,
    SCHEMA_VERSION,
    VECTORS_VERSION,
    canonical,
    seal_of,
)
from verification.exact import oracle

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


# --- points --------------------------------------------------------------------------------------------------------


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


# --- bounds of rounding errors -------------------------------------------------------------------------------------


def output_rounding(p: Point) -> Array:
    """(d + m + 4) eps Σ_j |a_j| Σ_k |w_jk x_ik| + the smallest normal float, for each f_i."""
    terms = np.abs(p.a) @ (np.abs(p.W) @ np.abs(p.X).T)
    return (p.X.shape[1] + p.a.size + 4) * EPS * terms + NORMAL


def weights_of(p: Point, loss: str) -> Array:
    """g_i = -ℓ'(q_i) to a few digits: bounds need no more."""
    return oracle.intermediates(p.W, p.a, p.slope, p.X, p.y, loss)["weight"].value


def loss_rounding(p: Point, loss: str) -> float:
    """(1/n) Σ (g_i e^{δ_i} δ_i + (n + 8) eps ℓ_i) with δ_i the rounding of q_i."""
    n, delta, g = len(p.y), output_rounding(p), weights_of(p, loss)
    value = float(oracle.loss(p.W, p.a, p.slope, p.X, p.y, loss).value)
    return float(np.mean(g * np.exp(np.minimum(delta, 1.0)) * delta)) + (n + 8) * EPS * value + NORMAL


def gradient_rounding(p: Point, loss: str) -> Array:
    """(1/n) Σ_i |a_j x_ik| g_i (e^{δ_i} δ_i + (n + 12) eps): a weight g moves by at most g e^δ δ."""
    n, delta = len(p.y), np.minimum(output_rounding(p), 1.0)
    relative = weights_of(p, loss) * (np.exp(delta) * delta + (n + 12) * EPS)
    return np.asarray(np.abs(p.a)[:, None] * (relative @ np.abs(p.X)) / n + NORMAL)


def assert_sides_are_clear(p: Point) -> None:
    """Every preactivation is exactly 0, of small whole numbers, or larger than its rounding."""
    Z, rounding = p.W @ p.X.T, (p.X.shape[1] + 2) * EPS * (np.abs(p.W) @ np.abs(p.X).T)
    whole = bool(np.array_equal(p.W, np.round(p.W)) and np.array_equal(p.X, np.round(p.X)))
    assert np.all((np.abs(Z) > 8.0 * rounding) | ((Z == 0.0) & (whole | (rounding == 0.0)))), p.comment


# --- cases ---------------------------------------------------------------------------------------------------------


def forward_cases() -> Iterator[Case]:
    """f(x_i; W)."""
    groups = (("shapes", shapes()), ("kinks", kinks()), ("scales", scales()), ("sizes", sizes()))
    for group, points in groups:
        for p in points:
            found = oracle.forward(p.W, p.a, p.slope, p.X)
            inputs = p.inputs("W", "a", "slope", "X")
            tolerance = {"absolute": output_rounding(p), "reason": ANY_ORDER}
            yield Case(group, p.comment, inputs, p.flags, single(found), tolerance)


def loss_cases() -> Iterator[Case]:
    """L(W)."""
    for group, p, loss in points_with_loss():
        found = oracle.loss(p.W, p.a, p.slope, p.X, p.y, loss)
        inputs = p.inputs("W", "a", "slope", "X", "y") | {"loss": loss}
        tolerance = {"absolute": loss_rounding(p, loss), "reason": ANY_ORDER}
        yield Case(group, f"{p.comment}; {loss} loss", inputs, p.flags, single(found), tolerance)


def gradient_cases() -> Iterator[Case]:
    """∂L/∂W, an interval at kinks."""
    for group, p, loss in points_with_loss():
        low, high = oracle.clarke_gradient(p.W, p.a, p.slope, p.X, p.y, loss)
        between = oracle.intermediates(p.W, p.a, p.slope, p.X, p.y, loss)
        expected = single(low) if np.array_equal(low.value, high.value) else interval(low, high)
        expected["intermediates"] = {name: number.value for name, number in between.items()}
        inputs = p.inputs("W", "a", "slope", "X", "y") | {"loss": loss}
        tolerance = {"absolute": gradient_rounding(p, loss), "reason": ANY_ORDER}
        yield Case(group, f"{p.comment}; {loss} loss", inputs, p.flags, expected, tolerance)


def points_with_loss() -> Iterator[tuple[str, Point, str]]:
    """Points for loss and gradient; where both losses do the same, one is enough."""
    for k, p in enumerate(shapes()):
        yield "shapes", p, ("logistic", "exponential")[k % 2]
    for p in kinks():
        assert_sides_are_clear(p)
        yield "kinks", p, "logistic"
    for p in list(kinks())[:3]:
        yield "kinks", p, "exponential"
    for p in scales():
        if np.abs(p.W).max() * np.abs(p.X).max() < 100.0:
            yield "scales", p, "logistic"
    for p, loss in margins():
        yield "margins", p, loss
    for k, p in enumerate(sizes()):
        yield "sizes", p, ("logistic", "exponential")[k % 2]
    for p, loss in more_margins():
        yield "more margins", p, loss


def descent_cases() -> Iterator[Case]:
    """W after 1 and 10 steps."""
    for k, p in enumerate(shapes()):
        for steps in (1, 10):
            yield one_descent("shapes", p, ("logistic", "exponential")[k % 2], 0.25, steps)
    for seed, step_size in ((40, 1e-3), (41, 4.0), (42, 0.0625)):
        p = drawn(f"step size {step_size:g}", seed, 3, 4, 5, 0.1)
        yield one_descent("step sizes", p, "logistic", step_size, 10)
    for p, step_size, steps in long_runs():
        yield one_descent("long runs", p, "logistic", step_size, steps)
    for k, p in enumerate(sizes()):
        yield one_descent("sizes", p, ("logistic", "exponential")[k % 2], 0.0625, 2)


def long_runs() -> Iterator[tuple[Point, float, int]]:
    """Runs that a schedule, a bound on the number of steps, a stop or a clipped gradient would end or turn."""
    eye = np.eye(2)
    even = Point("orthogonal samples", np.full((2, 2), 0.5), np.array([1.0, -0.5]), 0.5, eye, np.ones(2))
    for steps in (40, 130):
        yield even, 0.0625, steps
    base = drawn("", 110, 3, 5, 2, 0.25, flags=("dependent-samples",))
    yield Point("a gradient of norm 10", base.W, base.a, base.slope, 16.0 * base.X, base.y), 2.0**-8, 3
    signs = np.array([[1.0, 1.0], [-1.0, -1.0]])
    yield Point("a gradient of norm 2e-8", signs, even.a, 0.5, 16.0 * eye, np.ones(2)), 64.0, 40
    base = drawn("", 124, 1, 3, 2, 0.25)
    flags = ("dependent-samples", "single-neuron", "unbalanced-signs")
    rising = Point("the loss falls from 1.19 to 0.36, and rises", base.W, base.a, 0.25, 2.0 * base.X, base.y, flags)
    for steps in (3, 4):
        yield rising, 8.0, steps


def one_descent(group: str, p: Point, loss: str, step_size: float, steps: int) -> Case:
    found = oracle.descent(p.W, p.a, p.slope, p.X, p.y, loss, step_size, steps)
    inputs = p.inputs("W", "a", "slope", "X", "y") | {"loss": loss, "step_size": step_size, "steps": steps}
    tolerance = {"absolute": descent_rounding(p, loss, step_size, steps), "reason": STEPS}
    return Case(group, f"{p.comment}; {steps} steps, {loss} loss", inputs, p.flags, single(found), tolerance)


def descent_rounding(p: Point, loss: str, step_size: float, steps: int) -> float:
    """e ← (1 + αΛ) e + α ‖rounding of the gradient‖ + 2 eps ‖W‖, and no unit comes near its kink on the way."""
    error, W = 0.0, p.W
    for step in range(steps):
        if step:
            W = oracle.descent(W, p.a, p.slope, p.X, p.y, loss, step_size, 1).value  # to the last digit
        q = Point(p.comment, W, p.a, p.slope, p.X, p.y)
        Z, size = W @ p.X.T, np.linalg.norm(p.X, axis=1)
        assert p.slope == 1.0 or np.all(np.abs(Z) > 100.0 * error * size), f"{p.comment}: too near a kink"
        lipschitz = float(np.mean(weights_of(q, loss) * size**2) * np.sum(p.a**2))
        local = step_size * float(np.linalg.norm(gradient_rounding(q, loss))) + 2.0 * EPS * float(np.linalg.norm(W))
        error = (1.0 + step_size * lipschitz) * error + local
    return error


def stable_rank_cases() -> Iterator[Case]:
    """‖W‖_F²/‖W‖₂²."""
    rng = np.random.default_rng([2, 0])
    matrices: list[tuple[str, Array, tuple[str, ...]]] = [
        ("one row", np.array([[3.0, 4.0]]), ("single-neuron",)),
        ("the identity", np.eye(4), ()),
        ("a diagonal", np.diag([4.0, 2.0, 1.0]), ()),
        ("rank one", np.outer([1.0, -2.0, 0.5], [3.0, 1.0, 0.25, -1.0]), ()),
        ("nearly rank two in R^{4 x 6}", grid(normal(rng, 4, 2) @ normal(rng, 2, 6)), ()),
        ("zeros of both signs", np.array([[0.0, -0.0], [-0.0, 2.0]]), ("signed-zero",)),
        ("two nearly equal singular values", np.diag([1.0, 1.0 - 2.0**-40]), ()),
        ("a small second singular value", np.diag([1.0, 1e-6]), ()),
    ]
    for m, d in ((2, 2), (3, 5), (5, 3), (6, 6), (8, 2)):
        matrices.append((f"Gaussian, {m} x {d}", normal(rng, m, d), ()))
    for power in (-150, 150):
        matrices.append((f"Gaussian times 1e{power}", power_of_ten(power) * normal(rng, 3, 3), ("extreme-scale",)))
    matrices.append(("the identity of size 12", np.eye(12), ()))
    matrices.append(("Gaussian, 13 x 11", normal(rng, 13, 11), ("many-neurons",)))
    matrices.append(("eleven equal singular values and a larger one", np.diag([2.0] + [1.0] * 11), ()))
    for comment, W, flags in matrices:
        found = oracle.stable_rank(W)
        tolerance = {"absolute": 64.0 * max(W.shape) * EPS * float(found.value), "reason": SPECTRUM}
        yield Case("matrices", comment, {"W": W}, flags, single(found), tolerance)


def problems() -> Iterator[tuple[str, TwoLayerNetwork, Dataset, tuple[str, ...]]]:
    """Networks with neurons of both signs, and data."""
    near = [(2, 3, 0.5, (1, 1)), (3, 5, 0.25, (2, 2)), (4, 9, 0.6, (3, 2)), (5, 8, 0.75, (2, 1))]
    for k, (n, d, slope, m) in enumerate(near):
        data = datasets.nearly_orthogonal(n, d, 1.25, slope, np.random.default_rng([3, k]), norm_ratio=1.5)
        comment = f"the paper's condition with slack 1.25, n={n}"
        yield comment, TwoLayerNetwork.with_signs(*m, LeakyReLU(slope)), on_grid(data), unbalanced(*m)
    for k, (n, d, slope, m) in enumerate([(4, 120, 0.3, (2, 2)), (6, 300, 0.5, (3, 3)), (3, 40, 0.9, (1, 4))]):
        data = datasets.gaussian(n, d, np.random.default_rng([4, k]), norm_ratio=1.5)
        network = TwoLayerNetwork.with_signs(*m, LeakyReLU(slope))
        yield f"Gaussian data, n={n}, d={d}", network, on_grid(data), unbalanced(*m)
    eye = Dataset(np.diag([1.0, 2.0, 0.5]), np.array([1.0, -1.0, 1.0]))
    yield "orthogonal samples", TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), eye, ()
    yield "a linear network", TwoLayerNetwork.with_signs(1, 1, LeakyReLU(1.0)), eye, ("slope-one",)
    one = Dataset(np.array([[3.0, 4.0]]), np.array([-1.0]))
    yield "one sample", TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.25)), one, ("single-sample",)
    unequal = TwoLayerNetwork(np.array([0.5, 1.0, -0.75]), LeakyReLU(0.4))
    data = on_grid(datasets.gaussian(4, 80, np.random.default_rng([5, 0])))
    yield "a second layer of unequal size", unequal, data, ("unequal-second-layer", "unbalanced-signs")
    for power in (-60, 60):
        scaled = Dataset(power_of_ten(power) * eye.X, eye.y)
        yield f"samples times 1e{power}", TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), scaled, ("extreme-scale",)


def unbalanced(positive: int, negative: int) -> tuple[str, ...]:
    """The flag, where there is reason."""
    return ("unbalanced-signs",) if positive != negative else ()


def max_margin_cases() -> Iterator[Case]:
    """(v, u) of the convex program (C), as two rows."""
    for comment, network, data, flags in problems():
        yield one_max_margin("conditions", comment, network, data, flags)
    X = np.array([[1.0, 0.25, 0.0, 0.0], [0.125, 1.0, 0.0, 0.0], [2.0, 0.5, 0.25, 0.0], [0.0, 0.125, 0.0, 1.0]])
    slack = Dataset(X, np.array([1.0, -1.0, 1.0, -1.0]))
    network = TwoLayerNetwork.with_signs(3, 2, LeakyReLU(0.25))
    flags = ("inactive-constraint", "unbalanced-signs", "below-conditions")
    yield one_max_margin("below the conditions", "x_2 is nearly 2 x_0: its margin is above 1", network, slack, flags)
    for seed, n, d in ((0, 4, 4), (1, 6, 3), (2, 5, 12)):
        data = separable(n, d, seed)
        flags = ("below-conditions", "dependent-samples") if n > d else ("below-conditions",)
        balanced = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.2))
        yield one_max_margin("below the conditions", f"a common direction, n={n}, d={d}", balanced, data, flags)
    for comment, network, data, flags in one_sided():
        yield one_max_margin("one label, one sign, many samples", comment, network, data, flags)


def one_sided() -> Iterator[tuple[str, TwoLayerNetwork, Dataset, tuple[str, ...]]]:
    """One label only, one sign of a only, and more than eight samples."""
    data = on_grid(datasets.gaussian(3, 40, np.random.default_rng([10, 0])))
    for label in (1.0, -1.0):
        one_class = Dataset(data.X, np.full(3, label))
        flags = ("unbalanced-labels", "unbalanced-signs")
        yield f"all labels {label:+g}", TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.3)), one_class, flags
        a = label * np.array([0.5, 1.0])
        flags = ("unbalanced-signs", "unequal-second-layer")
        yield f"all a_j of sign {label:+g}", TwoLayerNetwork(a, LeakyReLU(0.3)), data, flags
    for n, d in ((9, 60), (12, 90)):
        many = on_grid(datasets.gaussian(n, d, np.random.default_rng([10, n])))
        yield f"Gaussian data, n={n}, d={d}", TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5)), many, ()
    eye = Dataset(np.diag([1.0, 2.0, 0.5]), np.array([1.0, -1.0, 1.0]))
    for slope in (0.0, 1e-3):
        flag = "slope-zero" if slope == 0.0 else "slope-near-an-end"
        yield f"orthogonal samples, slope {slope:g}", TwoLayerNetwork.with_signs(1, 1, LeakyReLU(slope)), eye, (flag,)


def separable(n: int, d: int, seed: int) -> Dataset:
    """Gaussian samples moved by 2 y_i e_1, of which few support the solution."""
    rng = np.random.default_rng([6, seed])
    y = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    X = 0.5 * normal(rng, n, d)
    X[:, 0] += 2.0 * y
    return Dataset(X, y)


def one_max_margin(group: str, comment: str, network: TwoLayerNetwork, data: Dataset, flags: tuple[str, ...]) -> Case:
    inputs: dict[str, Any] = {"a": network.second_layer, "slope": network.slope, "X": data.X, "y": data.y}
    v, u = oracle.max_margin(**inputs)
    expected = {"value": np.array([v.value, u.value]), "error": np.array([v.error, u.error])}
    tolerance = {"absolute": 1e-6 * float(np.abs(expected["value"]).max()), "reason": PROGRAM}
    return Case(group, comment, inputs, flags, expected, tolerance)


def flow_limit_cases() -> Iterator[Case]:
    """The limit of gradient flow, from starts of several scales."""
    for k, (comment, network, data, flags) in enumerate(problems()):
        rng = np.random.default_rng([7, k])
        scale = 2.0 ** (-20, -7, 0, 5)[k % 4]
        W0 = np.ldexp(scale * normal(rng, network.m, data.d), -int(np.frexp(data.R_max)[1]))
        yield one_limit("starts", f"{comment}; start of scale {scale:g}", network, data, W0, k, flags)
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.25))
    data = Dataset(np.array([[1.0, 0.125, 0.0], [0.0, 1.0, 0.125]]), np.array([1.0, -1.0]))
    W0 = grid(np.linalg.lstsq(data.X, np.array([[-300.0, 1.0], [-1.0, 2.0]]), rcond=None)[0].T)
    yield one_limit("late crossing", "z_00 starts at -300", network, data, W0, 0, ("late-crossing",))
    yield from trapped_cases()


def trapped_cases() -> Iterator[Case]:
    """Data with several limits: section 14's family, from starts whose pattern provably lasts for ever."""
    X = np.array([[5.0, 0.0], [-3.0, 4.0]])
    for slope in (0.25, 0.125):
        special = np.array([X[0] + slope * X[1], X[1] + slope * X[0]])
        common = np.tile(X.sum(axis=0), (2, 1))
        for name, W0, nudge in (
            ("specialists", special, 0.0),
            ("specialists", special, 0.125),
            ("common", common, 0.0),
        ):
            moved = W0 + nudge * np.array([[1.0, 0.0], [0.0, -1.0]])
            comment = f"two limits, slope {slope:g}: the {name}" + (", from near them" if nudge else "")
            yield one_trapped(comment, np.array([1.0, 1.0]), slope, X, np.ones(2), moved / 8.0)
    rows = np.eye(3) - 0.25  # K = 11/16 and -5/16
    W0 = 0.5 * (rows.sum(axis=0) + rows)  # slope 1 on the own sample, 1/2 on the others
    yield one_trapped("rank three", np.ones(3), 0.5, rows, np.ones(3), W0)


def one_trapped(comment: str, a: Array, slope: float, X: Array, y: Array, W0: Array) -> Case:
    """The limit of the flow from W0, exponential loss, by docs/theory.md, sections 7 and 14, over the rationals.

    With W0's slopes Φ: λ solves M λ = 1, w* = λ/Σλ. KL(w*‖w) does not increase while the pattern lasts (7.6), and
    ‖w - w*‖₁ ≤ √(2 KL) (Pinsker), so the pattern lasts for ever if at w* every z_ji goes away from its kink faster than
    that times the largest |coefficient| of its speed.
    """
    F = Fraction
    n, m, gamma = len(y), len(a), F(slope)
    exact = [[F(x) for x in row] for row in X]
    start = [[F(w) for w in row] for row in W0]
    Z = [[sum(w * x for w, x in zip(row, sample, strict=True)) for sample in exact] for row in start]
    assert all(z != 0 for row in Z for z in row), comment
    Phi = [[F(1) if z > 0 else gamma for z in row] for row in Z]
    K = [[sum(p * q for p, q in zip(x, z, strict=True)) for z in exact] for x in exact]
    S = [[F(y[i] * y[k]) * K[i][k] for k in range(n)] for i in range(n)]
    M = [[S[i][k] * sum(F(a[j]) ** 2 * Phi[j][i] * Phi[j][k] for j in range(m)) for k in range(n)] for i in range(n)]
    lam = solve_rationals(M, [F(1)] * n)
    assert min(lam) > 0, comment
    star = [x / sum(lam) for x in lam]
    q = [F(y[i]) * sum(F(a[j]) * Phi[j][i] * Z[j][i] for j in range(m)) for i in range(n)]
    weights = np.exp(-np.array([float(x - min(q)) for x in q]))
    weights /= weights.sum()
    kl = sum(float(s) * np.log(float(s) / w) for s, w in zip(star, weights, strict=True))
    reach = 1.001 * np.sqrt(2.0 * max(kl, 0.0)) + 1e-9
    for j in range(m):
        for i in range(n):
            # speed of y_i a_j z_ji: Σ_k a_j² Φ_jk S_ik w_k
            pull = [F(a[j]) ** 2 * Phi[j][k] * S[i][k] for k in range(n)]
            away = sum(p * s for p, s in zip(pull, star, strict=True)) * (1 if y[i] * a[j] * Z[j][i] > 0 else -1)
            assert float(away) > reach * float(max(map(abs, pull))), f"{comment}: unit {j}, {i} may reach its kink"
    W = np.array(
        [
            [float(sum(lam[i] * F(y[i] * a[j]) * Phi[j][i] * exact[i][k] for i in range(n))) for k in range(X.shape[1])]
            for j in range(m)
        ]
    )
    expected = {"value": W, "error": np.spacing(np.abs(W))}
    inputs = {"W0": W0, "a": a, "slope": slope, "X": X, "y": y, "loss": "exponential"}
    tolerance = {"absolute": 1e-6 * float(np.abs(W).max()), "reason": LIMIT}
    return Case("several limits", comment, inputs, ("below-conditions", "unbalanced-labels"), expected, tolerance)


def solve_rationals(A: list[list[Fraction]], b: list[Fraction]) -> list[Fraction]:
    """x with A x = b, by Gauss and Jordan."""
    rows = [[*row, value] for row, value in zip(A, b, strict=True)]
    for k in range(len(rows)):
        pivot = next(i for i in range(k, len(rows)) if rows[i][k] != 0)
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [x / rows[k][k] for x in rows[k]]
        for i in range(len(rows)):
            if i != k:
                rows[i] = [x - rows[i][k] * p for x, p in zip(rows[i], rows[k], strict=True)]
    return [row[-1] for row in rows]


def one_limit(
    group: str, comment: str, network: TwoLayerNetwork, data: Dataset, W0: Array, k: int, flags: tuple[str, ...]
) -> Case:
    found = oracle.flow_limit(network.second_layer, network.slope, data.X, data.y)
    assert found is not None, f"{comment}: no condition holds"
    inputs = {"W0": W0, "a": network.second_layer, "slope": network.slope, "X": data.X, "y": data.y}
    loss = ("logistic", "exponential")[k % 2]
    tolerance = {"absolute": 1e-6 * float(np.abs(found.value).max()), "reason": LIMIT}
    return Case(group, f"{comment}, {loss} loss", inputs | {"loss": loss}, flags, single(found), tolerance)


def kkt_cases() -> Iterator[Case]:
    """Stationarity, feasibility, complementarity and duality gap (docs/theory.md, section 12)."""
    for comment, network, data, flags in list(problems())[:8]:
        exact = oracle.flow_limit(network.second_layer, network.slope, data.X, data.y)
        assert exact is not None
        W = exact.value
        yield one_kkt("KKT points", f"the KKT point: {comment}", W, network, data, flags)
        rng = np.random.default_rng([8, data.n])
        near = grid(W + 1e-3 * float(np.abs(W).max()) * rng.standard_normal(W.shape))
        yield one_kkt("near KKT points", f"moved by 1e-3: {comment}", near, network, data, flags)
    for seed in (0, 1):
        rng = np.random.default_rng([9, seed])
        data = on_grid(datasets.gaussian(3, 5, rng))
        network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.3))
        limit = gradient_flow(network, data, rng.standard_normal((3, 5))).limit
        assert limit is not None
        W = grid(limit.weights() + 0.05 * rng.standard_normal((3, 5)), 12)
        yield one_kkt("any weights", "far from every KKT point", W, network, data, ("unbalanced-signs",))
    network, data = TwoLayerNetwork.with_signs(1, 0, LeakyReLU(0.5)), Dataset(np.eye(2), np.array([1.0, -1.0]))
    flags = ("single-neuron", "unbalanced-signs")
    yield one_kkt("any weights", "one sample with margin 2", np.array([[1.0, -4.0]]), network, data, flags)
    for comment, a, slope, X, y, W, flags in whole_points():
        yield one_kkt("kinks and limits", comment, W, TwoLayerNetwork(a, LeakyReLU(slope)), Dataset(X, y), flags)


def whole_points() -> Iterator[tuple[str, Array, float, Array, Array, Array, tuple[str, ...]]]:
    """Whole numbers: units on kinks, unequal |a_j|, slopes 0 and 1, n > d, a margin below 0, a multiplier at 0."""
    opposite, plus = np.array([1.0, -1.0]), np.ones(2)
    X = np.array([[5.0, 0.0], [3.0, 4.0]])
    W = np.array([[4.0, -3.0], [0.0, 5.0]])
    flags: tuple[str, ...] = ("kink-at-zero", "below-conditions")
    for slope in (0.25, 0.0):
        more = ("slope-zero",) if slope == 0.0 else ()
        yield f"a KKT point, two units on kinks, slope {slope:g}", opposite, slope, X, opposite, W, flags + more
    yield "slopes at kinks beyond their bound", opposite, 0.75, X, opposite, W, flags
    yield "no KKT point, two units on kinks", opposite, 0.25, X, opposite, W + np.array([[0.0, 0.0], [1.0, 0.0]]), flags
    uneven = np.array([2.0, -3.0])
    yield "unequal |a_j|, units on kinks", uneven, 0.25, X, opposite, W, (*flags, "unequal-second-layer")
    eye = np.eye(2)
    third = np.array([[2.0, 2.0], [-3.0, -3.0]])
    yield "a KKT point, unequal |a_j|", np.array([1.0, -3.0]), 0.5, eye, plus, third, ("unequal-second-layer",)
    yield "a linear network", opposite, 1.0, eye, opposite, np.array([[2.0, -1.0], [-1.0, 3.0]]), ("slope-one",)
    both = np.array([[1.0, 0.0], [1.0, 1.0]])
    flags = ("single-neuron", "unbalanced-labels")
    yield "a multiplier at 0", np.ones(1), 0.5, both, plus, np.array([[3.0, -1.0]]), flags
    tall = np.array([[2.0, 1.0], [1.0, 2.0], [-1.0, -1.0], [3.0, 0.0]])
    labels = np.array([1.0, 1.0, -1.0, 1.0])
    flags = ("dependent-samples",)
    yield "more samples than dimensions", opposite, 0.25, tall, labels, np.array([[2.0, 1.0], [-1.0, -2.0]]), flags
    yield (
        "a margin below 0",
        opposite,
        0.25,
        tall,
        labels,
        np.array([[2.0, -3.0], [-1.0, -2.0]]),
        (*flags, "infeasible"),
    )
    yield (
        "a margin of 0",
        np.ones(1),
        0.5,
        eye,
        plus,
        np.array([[1.0, 0.0]]),
        ("infeasible", "kink-at-zero", "single-neuron"),
    )


def one_kkt(
    group: str, comment: str, W: Array, network: TwoLayerNetwork, data: Dataset, flags: tuple[str, ...]
) -> Case:
    inputs: dict[str, Any] = {"W": W, "a": network.second_layer, "slope": network.slope, "X": data.X, "y": data.y}
    found = oracle.kkt_residuals(**inputs)
    numbers = [found.stationarity, found.feasibility, found.complementarity, found.duality_gap]
    expected = {name: np.array([getattr(number, name) for number in numbers]) for name in ("value", "error")}
    return Case(group, comment, inputs, flags, expected, {"absolute": 1e-7, "reason": RESIDUAL})


def refusal_cases() -> Iterator[Case]:
    """Inputs that have no answer."""
    p = drawn("", 50, 2, 2, 2, 0.5)
    good = p.inputs("W", "a", "slope", "X", "y") | {"loss": "logistic"}
    changes: list[tuple[str, dict[str, Any]]] = [
        ("NaN in W", {"W": with_entry(p.W, "nan")}),
        ("infinity in W", {"W": with_entry(p.W, "inf")}),
        ("NaN in X", {"X": with_entry(p.X, "nan")}),
        ("infinity in X", {"X": with_entry(p.X, "-inf")}),
        ("NaN in a", {"a": ["nan", 1.0]}),
        ("zero in a", {"a": [0.0, 1.0]}),
        ("labels 0 and 1", {"y": [0.0, 1.0]}),
        ("a label of 2", {"y": [1.0, 2.0]}),
        ("NaN among the labels", {"y": ["nan", 1.0]}),
        ("slope -0.1", {"slope": -0.1}),
        ("slope 1.5", {"slope": 1.5}),
        ("slope NaN", {"slope": "nan"}),
        ("more labels than samples", {"y": [1.0, -1.0, 1.0]}),
        ("fewer weights than neurons", {"W": p.W[:1]}),
        ("W and X of different dimension", {"W": p.W[:, :1]}),
        ("X with one axis", {"X": p.X[0]}),
        ("a row of zeros in X", {"X": [[0.0, 0.0], [1.0, 2.0]]}),
        ("equal samples with opposite labels", {"X": [[1.0, 2.0], [1.0, 2.0]]}),
        ("an unknown loss", {"loss": "hinge"}),
    ]
    for comment, change in changes:
        yield refusal("gradient", comment, good | change)
    yield refusal("loss", "labels 0 and 1", good | {"y": [0.0, 1.0]})
    yield refusal("forward", "slope 1.5", {**p.inputs("W", "a", "X"), "slope": 1.5})
    yield refusal("forward", "NaN in X", {**p.inputs("W", "a", "slope"), "X": with_entry(p.X, "nan")})
    steps = good | {"step_size": 0.5, "steps": 3}
    for comment, change in (
        ("step size 0", {"step_size": 0.0}),
        ("a negative step size", {"step_size": -1.0}),
        ("step size NaN", {"step_size": "nan"}),
        ("infinite step size", {"step_size": "inf"}),
        ("a negative number of steps", {"steps": -1}),
    ):
        yield refusal("descent", comment, steps | change)

    problem = {name: good[name] for name in ("a", "slope", "X", "y")}
    opposed = {"X": [[1.0, 0.0], [-1.0, 0.0]], "y": [1.0, 1.0]}
    yield refusal("max_margin", "x and -x with the same label: no separator", problem | opposed)
    yield refusal(
        "max_margin", "a ReLU network without neurons of the label's sign", problem | {"slope": 0.0, "a": [1.0, 1.0]}
    )
    yield refusal("max_margin", "labels 0 and 1", problem | {"y": [0.0, 1.0]})
    yield refusal("max_margin", "NaN in X", problem | {"X": with_entry(p.X, "nan")})
    yield refusal("max_margin", "slope -0.1", problem | {"slope": -0.1})
    yield refusal("kkt_residuals", "NaN in W", problem | {"W": with_entry(p.W, "nan")})
    yield refusal("kkt_residuals", "fewer weights than neurons", problem | {"W": p.W[:1]})
    yield refusal("stable_rank", "W = 0", {"W": [[0.0, 0.0], [0.0, 0.0]]})
    yield refusal("stable_rank", "infinity in W", {"W": with_entry(p.W, "inf")})


def refusal(function: str, comment: str, inputs: dict[str, Any]) -> Case:
    return Case(function, comment, {"function": function, **inputs}, ("must-refuse",))


def with_entry(A: Array, token: str) -> list[Any]:
    rows = A.tolist()
    rows[-1][0] = token
    return list(rows)


CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "forward": forward_cases,
    "loss": loss_cases,
    "gradient": gradient_cases,
    "descent": descent_cases,
    "stable_rank": stable_rank_cases,
    "max_margin": max_margin_cases,
    "flow_limit": flow_limit_cases,
    "kkt_residuals": kkt_cases,
    "refusals": refusal_cases,
}

SUBJECTS = {
    "forward": "f(x_i; W) = Σ_j a_j max(γ z_ji, z_ji)",
    "loss": "L(W) = (1/n) Σ_i ℓ(y_i f(x_i; W))",
    "gradient": "the derivative of L with respect to W; an interval for each entry where units are at kinks",
    "descent": "W after `steps` steps of W - step_size · gradient",
    "stable_rank": "‖W‖_F²/‖W‖₂²",
    "max_margin": "the solution (v, u) of the convex program (C), as two rows",
    "flow_limit": "the limit of the direction of gradient flow from W0, scaled so that the smallest margin is 1",
    "kkt_residuals": "stationarity, feasibility, complementarity, relative duality gap, in this order",
    "refusals": "inputs that must be refused",
}


# --- files ---------------------------------------------------------------------------------------------------------


def single(number: oracle.Rounded) -> dict[str, Any]:
    """A value and its proven error."""
    return {"value": number.value, "error": number.error}


def interval(low: oracle.Rounded, high: oracle.Rounded) -> dict[str, Any]:
    """Two ends and the larger of their proven errors."""
    return {"low": low.value, "high": high.value, "error": np.maximum(low.error, high.error)}


def document_of(kind: str) -> dict[str, Any]:
    """The vector file of one kind."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in CASES[kind]():
        assert set(case.flags) <= set(NOTES), case.flags
        if case.tolerance:
            case.tolerance["absolute"] = two_digits(np.asarray(case.tolerance["absolute"]))
        entry = {"id": "", "comment": case.comment, "flags": sorted(set(case.flags))}
        parts = {"inputs": case.inputs, "expected": case.expected, "tolerance": case.tolerance}
        groups.setdefault(case.group, []).append(entry | {name: plain(part) for name, part in parts.items() if part})
    count = 0
    for count, entry in enumerate((entry for cases in groups.values() for entry in cases), 1):
        entry["id"] = f"{kind}-{count:03d}"
    flags = sorted({flag for cases in groups.values() for case in cases for flag in case["flags"]})
    document: dict[str, Any] = {
        "schema": "implicit-bias-vectors",
        "schema_version": SCHEMA_VERSION,
        "vectors_version": VECTORS_VERSION,
        "kind": kind,
        "subject": SUBJECTS[kind],
        "source": "verification/exact/oracle.py: ball arithmetic and rationals, rounded to nearest",
        "generator": "scripts/make_vectors.py",
        "count": count,
        "notes": {flag: NOTES[flag] for flag in flags},
    }
    body = {"groups": [{"name": name, "cases": cases} for name, cases in groups.items()]}
    return document | {"sha256": seal_of(document | body)} | body


def two_digits(x: Array) -> Array:
    """x to two digits, rounded up by a little: bounds need no more, and their last digits depend on the machine."""
    return np.array([float(f"{1.05 * value:.1e}") for value in x.ravel()]).reshape(x.shape)


def plain(value: Any) -> Any:
    """What JSON has: lists, floats, whole numbers, words."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float) and np.isinf(value):
        return "inf"
    if isinstance(value, np.floating):
        return float(value)
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="where the files are")
    args = parser.parse_args(arguments)
    try:
        return check(args.out) if args.check else write(args.out)
    except (ImplicitBiasError, OSError) as error:
        print(f"make_vectors: error: {error}", file=sys.stderr)
        return 2


def write(folder: Path) -> int:
    """Write every file."""
    total = 0
    for kind in KINDS:
        document = document_of(kind)
        (folder / f"{kind}.json").write_text(canonical(document), encoding="utf-8")
        total += document["count"]
        print(f"{kind}: {document['count']} cases")
    print(f"{total} cases in all")
    return 0


def check(folder: Path) -> int:
    """1 if a file differs from what is generated."""
    different = []
    for kind in KINDS:
        path = folder / f"{kind}.json"
        if not path.exists() or path.read_text(encoding="utf-8") != canonical(document_of(kind)):
            different.append(path.name)
    print(f"different: {', '.join(different)}" if different else "every file is as generated, to the last digit")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
