"""Golden vectors of what is computed: outputs, loss, gradient, descent, stable rank."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from vector_points import (
    ANY_ORDER,
    EPS,
    NORMAL,
    SPECTRUM,
    STEPS,
    Case,
    Point,
    drawn,
    grid,
    interval,
    kinks,
    larger_sizes,
    margins,
    more_margins,
    normal,
    power_of_ten,
    scales,
    shapes,
    single,
    sizes,
)

from refimpl.validation import Array
from verification.exact import oracle

__all__ = ["descent_cases", "forward_cases", "gradient_cases", "loss_cases", "stable_rank_cases"]


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


def forward_cases() -> Iterator[Case]:
    """f(x_i; W)."""
    groups = [("shapes", shapes()), ("kinks", kinks()), ("scales", scales()), ("sizes", sizes())]
    groups.append(("larger sizes", larger_sizes()))
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
    for k, p in enumerate(larger_sizes()):
        yield "larger sizes", p, ("logistic", "exponential")[k % 2]


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
    for k, p in enumerate(larger_sizes()):
        yield one_descent("larger sizes", p, ("logistic", "exponential")[k % 2], 2.0**-6, 2)
    for p, step_size, steps in more_runs():
        yield one_descent("more runs", p, "logistic", step_size, steps)


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


def more_runs() -> Iterator[tuple[Point, float, int]]:
    """More steps than a byte counts, steps that are very long and very short, a run that ends where it begins."""
    even = Point("orthogonal samples", np.full((2, 2), 0.5), np.array([1.0, -0.5]), 0.5, np.eye(2), np.ones(2))
    yield even, 0.0625, 260
    signs = np.array([[1.0, 1.0], [-1.0, -1.0]])
    yield Point("a gradient of norm 2e-8", signs, even.a, 0.5, 16.0 * np.eye(2), np.ones(2)), 2.0**14, 3
    p = drawn("", 160, 3, 4, 5, 0.1)
    yield Point("a short step", p.W, p.a, p.slope, p.X, p.y), 2.0**-16, 3
    yield Point("no step", p.W, p.a, p.slope, p.X, p.y), 0.25, 0


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
    return max(error, 2.0 * EPS * float(np.linalg.norm(p.W)))  # the latter where there is no step


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
    matrices.append(("Gaussian, 67 x 3", normal(rng, 67, 3), ("many-neurons",)))
    matrices.append(("Gaussian, 5 x 67", normal(rng, 5, 67), ()))
    matrices.append(("22 equal singular values and a larger one", np.diag([2.0] + [1.0] * 22), ("many-neurons",)))
    for comment, W, flags in matrices:
        found = oracle.stable_rank(W)
        tolerance = {"absolute": 64.0 * max(W.shape) * EPS * float(found.value), "reason": SPECTRUM}
        yield Case("matrices", comment, {"W": W}, flags, single(found), tolerance)
