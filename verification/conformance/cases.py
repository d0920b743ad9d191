"""The cases of the fixed checks: what no draw of a few small numbers reaches.

Sizes (one of everything; more than 8 neurons, more than 32 samples, prime numbers of both), slopes next to 0 and 1,
duplicated rows, chosen margins, kinks, long runs of descent, a start whose last crossing comes late. Each function
yields titles and cases.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from refimpl import datasets
from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array
from verification.conformance.contract import LOSSES
from verification.conformance.scalar import Case

__all__ = [
    "anything",
    "both_losses",
    "far",
    "flows",
    "inactive_support_problem",
    "kinks",
    "last_crossing_problem",
    "lasting_start",
    "margins",
    "matrices",
    "points",
    "programs",
    "runs",
    "single_margins",
    "sizes",
    "small",
    "starts",
    "unseparable",
]


def inactive_support_problem() -> tuple[TwoLayerNetwork, Dataset]:
    """Data on which M λ = 1 has a negative entry, so that not every sample supports the solution of (C).

    x_2 = 2 x_0 + small, with the label of x_0: its margin is above 1 wherever that of x_0 is 1.

    Examples
    --------
    >>> from verification.witnesses.convex_program import max_margin
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


def programs() -> Iterator[tuple[str, Case]]:
    network = TwoLayerNetwork(np.array([0.5, 1.0, -0.75]), LeakyReLU(0.25))
    yield "tight", _case_of(network, datasets.gaussian(5, 400, np.random.default_rng(1), norm_ratio=1.5))
    yield "inactive support", _case_of(*inactive_support_problem())
    many = datasets.gaussian(11, 40, np.random.default_rng(2))
    yield "eleven samples", _case_of(network, many)
    for label in (1.0, -1.0):
        one_class = Dataset(many.X[:3], np.full(3, label))
        yield f"all labels {label:+g}", _case_of(network, one_class)
    yield "a linear network", _case_of(TwoLayerNetwork.with_signs(1, 2, LeakyReLU(1.0)), many)
    yield "samples times 2^40", _case_of(network, Dataset(2.0**40 * many.X, many.y))
    tall = Dataset(np.array([[3.0, 1.0], [-2.0, 0.5], [2.0, -1.0]]), np.array([1.0, -1.0, 1.0]))
    yield "more samples than dimensions", _case_of(network, tall)
    for sign in (1, -1):
        one_sign = TwoLayerNetwork(sign * np.array([0.5, 1.0]), LeakyReLU(0.25))
        yield f"all a_j of sign {sign:+d}", _case_of(one_sign, Dataset(many.X[:3], many.y[:3]))


def flows() -> Iterator[tuple[str, Case]]:
    network, data, W0 = last_crossing_problem()
    yield "late crossing", _case_of(network, data) | {"W0": W0, "loss": "logistic"}
    network, data = inactive_support_problem()  # a margin above 1 in the limit
    W0 = (
        0.125 * (network.second_layer[:, None] > 0.0) * data.X[0]
        + 0.125 * (network.second_layer[:, None] < 0.0) * data.X[1]
    )
    yield "inactive support", _case_of(network, data) | {"W0": W0, "loss": "logistic"}


def unseparable() -> Iterator[tuple[str, Case]]:
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    yield "x and -x with one label", _case_of(network, Dataset(np.array([[1.0], [-1.0]]), np.ones(2)))


def starts() -> Iterator[tuple[str, Case]]:
    """Two samples with K = (25, -15; -15, 25), two equal neurons, γ = 1/4: two limits (docs/theory.md, section 14).

    At the start of each the velocity is along W by symmetry, so it is the limit, up to its length.
    """
    network, data = _opposed(0.25)
    special = np.array([data.X[0] + 0.25 * data.X[1], data.X[1] + 0.25 * data.X[0]])
    common = np.tile(data.X.sum(axis=0), (2, 1))
    for name, W in (("specialists", special), ("common", common)):
        limit = W / network.margins(W, data).min()
        start = {"W0": W / 8.0, "loss": "exponential", "limit": limit}
        yield f"start of the {name}", _case_of(network, data) | start
    for loss, slope, second, Z0 in (
        ("exponential", 0.125, [-2.0, 1.5], [[0.3125, 0.09375], [0.3125, 2.0**-8]]),
        ("logistic", 0.25, [-2.0, 1.5], [[0.5, 0.09375], [0.5, 2.0**-8]]),
        ("logistic", 0.25, [-3.0, 4.0], [[0.8125, 0.0625], [2.0**-8, 0.0625]]),
        ("exponential", 0.25, [-3.0, 4.0], [[0.15625, 0.03125], [2.0**-12, 0.03125]]),
    ):
        yield (
            f"{loss} loss, the scale decides",
            lasting_start(np.array([[5.0, 0.0], second]), np.array(Z0), slope, loss),
        )
    even = np.array([[5.0, 0.0], [-3.0, 4.0]])
    case = lasting_start(even, np.array([[0.84375, 0.03125], [2.0**-8, 0.03125]]), 0.25, "exponential")
    yield "a sample twice", case | {name: np.repeat(case[name], [2, 1], axis=0) for name in ("X", "y")}
    case = lasting_start(even, np.array([[0.125, 0.0625], [0.25, 0.03125]]), 0.25, "logistic")
    yield "all labels -1", case | {"a": -case["a"], "y": -case["y"]}
    eye = {"W0": np.array([[1.0, -2.0], [-1.0, 0.5]]), "slope": 0.0, "X": np.eye(2)}
    eye |= {"y": np.array([1.0, -1.0]), "loss": "logistic"}  # the limit is that of docs/theory.md (15.6)
    yield "slope 0, unequal |a_j|", eye | {"a": np.array([1.0, -0.5]), "limit": np.diag([1.0, 2.0])}


def lasting_start(X: Array, Z0: Array, slope: float, loss: str) -> Case:
    """A start of two equal neurons with these preactivations, all positive, that stay so: q_i = 2 w·x_i = 1 at last.

    `lasting.pattern_lasts` says whether they do; a start of another scale, or the other loss, may go elsewhere.
    """
    network, data = TwoLayerNetwork(np.ones(2), LeakyReLU(slope)), Dataset(X, np.ones(2))
    limit = np.tile(np.linalg.solve(X, np.full(2, 0.5)), (2, 1))
    return _case_of(network, data) | {"W0": np.linalg.solve(X, Z0.T).T, "loss": loss, "limit": limit}


def points() -> Iterator[tuple[str, Case]]:
    """KKT points below every condition (docs/theory.md, section 14), and one with a unit on its kink."""
    for slope in (0.25, 0.0):
        network, data = _opposed(slope)
        W = np.array([data.X[0] + slope * data.X[1], data.X[1] + slope * data.X[0]])
        yield f"specialists, slope {slope:g}", _case_of(network, data) | {"W": W / network.margins(W, data).min()}
    network = TwoLayerNetwork(np.array([1.0, -3.0]), LeakyReLU(0.5))
    data = Dataset(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, 1.0]))
    W = np.array([[1.0, 1.0], [-1.5, -1.5]])  # λ = 1/(1 + 9/4) by symmetry, slopes 1 and 1/2
    yield "unequal |a_j|", _case_of(network, data) | {"W": W / network.margins(W, data).min()}
    # w_1 = λ(x_1 - 3/5 x_2) is orthogonal to x_2 and w_2 = λ(x_2 - 3/5 x_1) to x_1: two units rest on their kinks
    network = TwoLayerNetwork(np.array([1.0, -1.0]), LeakyReLU(0.25))
    data = Dataset(np.array([[5.0, 0.0], [3.0, 4.0]]), np.array([1.0, -1.0]))
    yield "two units on their kinks", _case_of(network, data) | {"W": np.array([[4.0, -3.0], [0.0, 5.0]])}


def far() -> Iterator[tuple[str, Case]]:
    """w = (3, -1), x = (1, 0), (1, 1): least squares has λ = (4, -1); λ ≥ 0 leaves (0, -1) of (3, -1).

    The margins are 3 and 2, so w/2 has λ = (3/2, 0) and the excess 3/2 · 1/2; its square is 5/2, the rest's 1/4.
    """
    network = TwoLayerNetwork(np.ones(1), LeakyReLU(0.5))
    data = Dataset(np.array([[1.0, 0.0], [1.0, 1.0]]), np.ones(2))
    stated = {"W": np.array([[3.0, -1.0]]), "residuals": np.array([0.1**0.5, 0.0, 0.5, 0.7])}
    yield "a multiplier at 0", _case_of(network, data) | stated
    feasibility = 0.5 / 10.0**0.5  # the margins of (1, -2) are 1 and -1/2
    stated = {"W": np.array([[1.0, -2.0]]), "residuals": np.array([np.inf, feasibility, np.inf, np.inf])}
    yield "a margin below 0", _case_of(network, data) | stated


def _opposed(slope: float) -> tuple[TwoLayerNetwork, Dataset]:
    network = TwoLayerNetwork(np.array([1.0, 1.0]), LeakyReLU(slope))
    return network, Dataset(np.array([[5.0, 0.0], [-3.0, 4.0]]), np.ones(2))


def _case_of(network: TwoLayerNetwork, data: Dataset) -> Case:
    return {"a": network.second_layer, "slope": network.slope, "X": data.X, "y": data.y}


SIZES = [(3, 4, 5, 0.25), (4, 1, 2, 0.1), (1, 3, 3, 0.5), (6, 5, 2, 0.9), (5, 3, 40, 0.5), (1, 1, 1, 0.5)]
SIZES += [
    (67, 3, 2, 0.75),
    (3, 2, 261, 0.625),
    (1, 259, 1, 0.8),
]  # widths, dimensions, counts beyond any block of 64 or 256
SIZES += [(5, 5, 5, 0.25), (9, 9, 4, 0.375), (9, 4, 9, 0.2), (4, 9, 9, 0.3)]  # axes that could be exchanged
SIZES += [(11, 9, 3, 2.0**-9), (17, 37, 2, 1e-3), (3, 67, 4, 0.0), (9, 33, 1, 1.0), (2, 131, 3, 1e-6)]
"""m, n, d, γ: small ones, and numbers that are multiples of nothing."""


def sizes() -> Iterator[tuple[str, Case]]:
    for m, n, d, slope in SIZES:
        yield f"m={m} n={n} d={d} γ={slope:.3g}", smooth_case(m, n, d, slope)
    case = smooth_case(3, 4, 5, 0.25)
    rows = [0, 1, 1, 2, 3, 1]
    yield "duplicated rows", case | {"X": case["X"][rows], "y": case["y"][rows]}
    for label in (1.0, -1.0):
        yield f"one label {-label:+g} of 12", smooth_case(3, 12, 5, 0.25) | {"y": np.append(np.full(11, label), -label)}
        yield f"one sample with label {label:+g}", smooth_case(3, 1, 2, 0.25) | {"y": np.array([label])}
        yield f"all labels {label:+g}", case | {"y": np.full(4, label)}
        yield f"all a_j of sign {label:+g}", case | {"a": label * np.abs(case["a"])}


def both_losses() -> Iterator[tuple[str, Case]]:
    for name, case in sizes():
        for loss in LOSSES:
            yield f"{name}, {loss} loss", case | {"loss": loss}


def small() -> Iterator[tuple[str, Case]]:
    yield from list(both_losses())[:8]


def smooth_case(m: int, n: int, d: int, slope: float) -> Case:
    """Units stay away from their kinks, by a part of 1e-4 of ‖w_j‖‖x_i‖, and |a_j| is unequal."""
    rng = np.random.default_rng([m, n, d])
    a = rng.uniform(0.25, 1.0, m) * np.where(np.arange(m) % 2 == 0, 1.0, -1.0)
    X, y = rng.standard_normal((n, d)), np.where(np.arange(n) % 3 == 0, -1.0, 1.0)
    while True:
        W = rng.standard_normal((m, d))
        size = np.outer(np.linalg.norm(W, axis=1), np.linalg.norm(X, axis=1))
        if np.all(np.abs(W @ X.T) > 1e-4 * size):
            return {"W": W, "a": a, "slope": slope, "X": X, "y": y, "loss": "logistic"}


def margins() -> Iterator[tuple[str, Case]]:
    """One linear sample a row: the i-th margin is what is asked for, exactly."""
    lists = [[0.0] * 4, [-2.0, 0.5, 3.0, 20.0], [-7.0, -5.5, -20.5], [30.0, 40.0, 50.0, 60.0], [-700.0, -3.0, 700.0]]
    for loss in LOSSES:
        for q in [*lists, [750.0], [-1000.0, 1000.0, 0.0, 5.0], [-750.0]]:
            if loss == "logistic" or min(q) >= -700.0:
                yield f"{loss} loss, margins {q}", at_margins(q) | {"loss": loss}


def at_margins(q: list[float]) -> Case:
    """W, X = I and y for one neuron with a = 1, γ = 1/2 and these margins, exactly."""
    y = np.where(np.arange(len(q)) % 2 == 0, 1.0, -1.0)
    f = y * np.array(q)
    W = np.where(f > 0.0, f, 2.0 * f)[None, :]
    return {"W": W, "a": np.ones(1), "slope": 0.5, "X": np.eye(len(q)), "y": y}


def single_margins() -> Iterator[tuple[str, Case]]:
    for loss in LOSSES:
        for q in (-7.0, -2.0, 0.5, 3.0, 20.0, 30.0, 37.0, 60.0, 700.0, -700.0):
            for y in (1.0, -1.0):
                f = y * q
                W = np.array([[f if f > 0.0 else 2.0 * f]])
                case = {"W": W, "a": np.ones(1), "slope": 0.5, "X": np.ones((1, 1)), "y": np.array([y])}
                yield f"{loss} loss, margin {q:g}, label {y:+g}", case | {"loss": loss}


def kinks() -> Iterator[tuple[str, Case]]:
    """Whole numbers, so that z_ji = 0 holds exactly in any order of summation; the samples are independent."""
    X = np.array([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 0.0, -1.0]])
    y, a = np.array([1.0, -1.0, 1.0]), np.array([0.5, -0.75, 1.0])
    some = np.array([[1.0, -1.0, 0.0, 2.0], [2.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    for loss in LOSSES:
        for name, W, slope in (("some units at kinks", some, 0.25), ("W = 0", np.zeros((3, 4)), 0.5)):
            yield f"{name}, {loss} loss", {"W": W, "a": a, "slope": slope, "X": X, "y": y, "loss": loss}


def runs() -> Iterator[tuple[str, Case]]:
    for case, counts in ((smooth_case(3, 4, 5, 0.25), (0, 1, 5)), (smooth_case(4, 1, 2, 0.1), (1, 5))):
        for count in counts:
            yield f"{count} steps", case | {"step_size": 0.125, "steps": count}
    yield (
        "5 steps, exponential loss",
        smooth_case(3, 4, 5, 0.25) | {"loss": "exponential", "step_size": 2.0**-10, "steps": 5},
    )
    for m, n, d in ((67, 3, 2), (3, 2, 261), (2, 131, 3)):
        yield f"m={m} n={n} d={d}", smooth_case(m, n, d, 0.25) | {"step_size": 2.0**-8, "steps": 2}
    orthogonal = {"W": 0.5 * np.ones((2, 2)), "a": np.array([1.0, -0.5]), "slope": 0.5, "X": np.eye(2)}
    orthogonal |= {"y": np.array([1.0, 1.0]), "loss": "logistic"}
    yield "150 steps", orthogonal | {"step_size": 0.0625, "steps": 150}
    for scale, shape, step_size, count, what in (
        (16.0, (3, 5, 2), 2.0**-8, 3, "a gradient of norm 10"),
        (2.0, (2, 6, 2), 8.0, 4, "a loss that rises from 0.93 to 2.2"),
    ):
        case = smooth_case(*shape, 0.25)
        yield what, case | {"X": scale * case["X"], "step_size": step_size, "steps": count}
    yield "260 steps", orthogonal | {"step_size": 0.0625, "steps": 260}
    short = orthogonal | {"X": 16.0 * np.eye(2), "W": np.array([[1.0, 1.0], [-1.0, -1.0]])}
    yield "a gradient of norm 2e-8", short | {"step_size": 64.0, "steps": 40}
    yield "long steps", short | {"step_size": 2.0**14, "steps": 3}


def matrices() -> Iterator[tuple[str, Case]]:
    rng = np.random.default_rng(5)
    for m, d in ((3, 5), (14, 13), (2, 40)):
        yield f"{m} x {d}", {"W": rng.standard_normal((m, d))}
    yield "the identity of size 23", {"W": np.eye(23)}
    yield "two nearly equal singular values", {"W": np.diag([1.0, 1.0 - 2.0**-20])}
    yield "small singular values", {"W": np.diag([1.0] + [1e-5] * 20)}


def anything() -> Iterator[tuple[str, Case]]:
    """A case for every function."""
    network = TwoLayerNetwork(np.array([0.5, 1.0, -0.75, -0.25]), LeakyReLU(0.25))
    data = datasets.gaussian(3, 40, np.random.default_rng(3))
    W = np.outer(network.second_layer, data.y @ data.X) + np.random.default_rng(4).standard_normal((4, 40)) / 16.0
    rest = {"W": W, "W0": W, "loss": "logistic", "step_size": 0.125, "steps": 3}
    yield "four neurons, three samples", _case_of(network, data) | rest
