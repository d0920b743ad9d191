"""Golden vectors of what is solved: max margin, KKT residuals; and what must be refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from vector_points import PROGRAM, RESIDUAL, Case, drawn, grid, normal, on_grid, power_of_ten

from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from refimpl.datasets import Dataset
from refimpl.validation import Array
from verification.exact import oracle

__all__ = ["kkt_cases", "max_margin_cases", "problems", "refusal_cases"]


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
    many = on_grid(datasets.gaussian(17, 40, np.random.default_rng([10, 17])))
    flags = ("many-neurons", "many-samples", "unbalanced-signs")
    network = TwoLayerNetwork.with_signs(6, 5, LeakyReLU(0.25))
    yield one_max_margin("larger sizes", "eleven neurons, n=17, d=40", network, many, flags)


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
    yield "a smallest margin of 1/4", opposite, 0.25, tall, labels, np.array([[2.0, -3.0], [-1.0, -2.0]]), flags
    yield (
        "a margin of 0",
        np.ones(1),
        0.5,
        eye,
        plus,
        np.array([[1.0, 0.0]]),
        ("infeasible", "kink-at-zero", "single-neuron"),
    )
    for comment, W in (
        ("one margin below 0", np.array([[2.0, -6.0], [-1.0, -2.0]])),
        ("every margin below 0", np.array([[-2.0, -1.0], [1.0, 2.0]])),
    ):
        yield comment, opposite, 0.25, tall, labels, W, (*flags, "infeasible")
    many = np.where(np.arange(11) < 6, 1.0, -1.0)
    W = np.outer(many, [1.0, 0.5, 0.25]) + np.arange(33.0).reshape(11, 3) / 64.0
    flags = ("many-neurons", "unbalanced-signs", "infeasible")
    yield "eleven neurons", many / 4.0, 0.25, np.eye(3) + 0.125, np.array([1.0, -1.0, 1.0]), W, flags
    yield "eleven neurons, margins above 0", many / 4.0, 0.25, np.eye(3) + 0.125, np.ones(3), W, flags[:2]


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
