"""Golden vectors of the limit of gradient flow: one limit from every start, and several, of which the start decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from vector_points import LIMIT, Case, grid, normal, on_grid, single
from vector_solutions import problems

from refimpl import LeakyReLU, TwoLayerNetwork, datasets
from refimpl.datasets import Dataset
from refimpl.validation import Array
from verification.conformance.lasting import pattern_lasts
from verification.exact import oracle

__all__ = ["flow_limit_cases"]

F = Fraction


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
    yield from two_sample_cases()
    yield from slack_cases()
    yield from relu_cases()
    data = on_grid(datasets.nearly_orthogonal(9, 17, 1.25, 0.5, np.random.default_rng([7, 100]), norm_ratio=1.5))
    network, flags = (
        TwoLayerNetwork.with_signs(6, 5, LeakyReLU(0.5)),
        ("many-neurons", "many-samples", "unbalanced-signs"),
    )
    W0 = 0.125 * normal(np.random.default_rng([7, 101]), 11, 17)
    yield one_limit("larger sizes", "eleven neurons, nine samples", network, data, W0, 0, flags)


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


def one_limit(
    group: str, comment: str, network: TwoLayerNetwork, data: Dataset, W0: Array, k: int, flags: tuple[str, ...]
) -> Case:
    found = oracle.flow_limit(network.second_layer, network.slope, data.X, data.y)
    assert found is not None, f"{comment}: no condition holds"
    inputs = {"W0": W0, "a": network.second_layer, "slope": network.slope, "X": data.X, "y": data.y}
    loss = ("logistic", "exponential")[k % 2]
    tolerance = {"absolute": 1e-6 * float(np.abs(found.value).max()), "reason": LIMIT}
    return Case(group, f"{comment}, {loss} loss", inputs | {"loss": loss}, flags, single(found), tolerance)


def two_sample_cases() -> Iterator[Case]:
    """Starts of which the scale, or the loss, decides: one unit lies next to its kink, and the weights of the samples
    say whether it crosses before they reach their limit.

    In each case the unit stays. From a tenth of the start, from ten times it, or with the other loss it crosses, and
    another limit is reached.
    """
    obtuse, even = np.array([[5.0, 0.0], [-2.0, 1.5]]), np.array([[5.0, 0.0], [-3.0, 4.0]])
    for loss, slope, X, Z0, what in (
        ("exponential", 0.125, obtuse, [[0.3125, 0.09375], [0.3125, 2.0**-8]], "a tenth of it, or the logistic loss"),
        ("logistic", 0.25, obtuse, [[0.5, 0.09375], [0.5, 2.0**-8]], "a tenth of it"),
        ("logistic", 0.25, even, [[0.8125, 0.0625], [2.0**-8, 0.0625]], "ten times it, or the exponential loss"),
        ("exponential", 0.25, even, [[0.15625, 0.03125], [2.0**-12, 0.03125]], "ten times it"),
    ):
        W0 = grid(np.linalg.solve(X, np.array(Z0).T).T)
        comment = f"slope {slope:g}, {loss} loss: another limit from {what}"
        yield one_of_two("scale and loss", comment, slope, X, W0, loss)
    start = [[0.84375, 0.03125], [2.0**-8, 0.03125]]
    W0 = grid(np.linalg.solve(even, np.array(start).T).T)
    twice = "a sample that occurs twice: another limit if it counts once"
    yield one_of_two("scale and loss", twice, 0.25, even, W0, "exponential", copies=(2, 1))
    W0 = grid(np.linalg.solve(even, np.array([[0.125, 0.0625], [0.25, 0.03125]]).T).T)
    yield one_of_two("scale and loss", "all labels -1 and all a_j negative", 0.25, even, W0, "logistic", sign=-1.0)


def slack_cases() -> Iterator[Case]:
    """A limit with a margin above 1: x_2 = 2 x_1 + e_2, and every unit only rises."""
    X = np.array([[1.0, 0.0], [2.0, 1.0]])
    for k, loss in enumerate(("logistic", "exponential")):
        start = Start(np.array([[0.25, 0.125], [0.5, -0.25]]) / (k + 1), np.array([1.0, 0.5]), 0.25, X, np.ones(2))
        yield one_rising("a margin above 1", f"margins 1 and 2, {loss} loss", start, loss)


@dataclass(frozen=True, eq=False)
class Start:
    """A start, no unit of which lies on its kink, and its pattern over the rationals.

    `Z` and `Phi` (m, n): preactivations and slopes; `S` = (y yᵀ) ∘ X Xᵀ; `M` = S ∘ Σ_j a_j² φ_j φ_jᵀ; `q` the margins.
    """

    W0: Array
    a: Array
    slope: float
    X: Array
    y: Array

    @property
    def Z(self) -> list[list[Fraction]]:
        Z = [[dot(w, x) for x in self.X] for w in self.W0]
        assert all(z != 0 for row in Z for z in row)
        return Z

    @property
    def Phi(self) -> list[list[Fraction]]:
        return [[F(1) if z > 0 else F(self.slope) for z in row] for row in self.Z]

    @property
    def S(self) -> list[list[Fraction]]:
        signed = [[F(y) * F(x) for x in row] for y, row in zip(self.y, self.X, strict=True)]
        return [[dot(x, z) for z in signed] for x in signed]

    @property
    def M(self) -> list[list[Fraction]]:
        S, Phi, n = self.S, self.Phi, len(self.y)
        return [
            [S[i][k] * sum(F(a) ** 2 * phi[i] * phi[k] for a, phi in zip(self.a, Phi, strict=True)) for k in range(n)]
            for i in range(n)
        ]

    @property
    def q(self) -> list[Fraction]:
        Z, Phi = self.Z, self.Phi
        return [F(y) * sum(F(a) * Phi[j][i] * Z[j][i] for j, a in enumerate(self.a)) for i, y in enumerate(self.y)]

    def pulls(self) -> Iterator[tuple[int, list[Fraction]]]:
        """For each unit: its side, ±1, and the coefficients of its speed, z_ji' = Σ_k pull_k w_k."""
        Z, Phi, S, n = self.Z, self.Phi, self.S, len(self.y)
        for j, a in enumerate(self.a):
            for i, y in enumerate(self.y):
                side = 1 if Z[j][i] > 0 else -1
                yield side, [F(y) * F(a) * Phi[j][k] * S[i][k] for k in range(n)]

    def weights(self, lam: list[Fraction]) -> Array:
        """w_j = Σ_i λ_i y_i a_j Φ_ji x_i."""
        Phi, samples = self.Phi, range(len(self.y))
        return np.array(
            [
                [
                    float(sum(lam[i] * F(self.y[i]) * F(a) * Phi[j][i] * F(self.X[i, k]) for i in samples))
                    for k in range(self.X.shape[1])
                ]
                for j, a in enumerate(self.a)
            ]
        )

    def case(self, group: str, comment: str, loss: str, lam: list[Fraction], flags: tuple[str, ...]) -> Case:
        W = self.weights(lam)
        expected = {"value": W, "error": np.spacing(np.abs(W))}
        inputs = {"W0": self.W0, "a": self.a, "slope": self.slope, "X": self.X, "y": self.y, "loss": loss}
        return Case(group, comment, inputs, flags, expected, {"absolute": 1e-6 * np.abs(W).max(), "reason": LIMIT})


def one_trapped(comment: str, a: Array, slope: float, X: Array, y: Array, W0: Array) -> Case:
    """The limit of the flow from W0, exponential loss, by docs/theory.md, sections 7 and 14, over the rationals.

    With W0's slopes Φ: λ solves M λ = 1, w* = λ/Σλ. KL(w*‖w) does not increase while the pattern lasts (7.6), and
    ‖w - w*‖₁ ≤ √(2 KL) (Pinsker), so the pattern lasts for ever if at w* every z_ji goes away from its kink faster than
    that times the largest |coefficient| of its speed.
    """
    start = Start(W0, a, slope, X, y)
    lam = solve_rationals(start.M, [F(1)] * len(y))
    assert min(lam) > 0, comment
    star, q = [x / sum(lam) for x in lam], start.q
    weights = np.exp(-np.array([float(x - min(q)) for x in q]))
    weights /= weights.sum()
    kl = sum(float(s) * np.log(float(s) / w) for s, w in zip(star, weights, strict=True))
    reach = 1.001 * np.sqrt(2.0 * max(kl, 0.0)) + 1e-9
    for side, pull in start.pulls():
        away = side * float(dot(pull, star))
        assert away > reach * float(max(map(abs, pull))), f"{comment}: a unit may reach its kink"
    return start.case("several limits", comment, "exponential", lam, ("below-conditions", "unbalanced-labels"))


def relu_cases() -> Iterator[Case]:
    """γ = 0 and orthogonal samples: the limit is that of the units alive at the start (docs/theory.md (15.6))."""
    X, y, a = np.diag([1.0, 2.0, 0.5]), np.array([1.0, -1.0, 1.0]), np.array([1.0, -0.5, 0.5])
    for comment, Z0 in (
        ("every unit alive", np.array([[1.0, 2.0, 0.5], [0.25, 1.0, 2.0], [0.5, 0.5, 1.0]])),
        ("some units dead", np.array([[1.0, -2.0, -0.5], [-0.25, 1.0, -2.0], [-0.5, 0.5, 1.0]])),
    ):
        W = np.zeros((3, 3))
        for i in range(3):
            alive = (a * y[i] > 0.0) & (Z0[:, i] > 0.0)
            W[:, i] = np.where(alive, a * y[i], 0.0) / (X[i, i] * np.sum(a[alive] ** 2))
        inputs = {"W0": Z0 / np.diagonal(X), "a": a, "slope": 0.0, "X": X, "y": y, "loss": "logistic"}
        flags = ("slope-zero", "unequal-second-layer", "unbalanced-signs", "below-conditions")
        tolerance = {"absolute": 1e-6 * np.abs(W).max(), "reason": LIMIT}
        yield Case("a ReLU network", comment, inputs, flags, {"value": W, "error": np.spacing(np.abs(W))}, tolerance)


def one_of_two(
    group: str,
    comment: str,
    slope: float,
    X: Array,
    W0: Array,
    loss: str,
    copies: tuple[int, int] = (1, 1),
    sign: float = 1.0,
) -> Case:
    """The limit for two samples of one label, a = ± (1, 1) of its sign, whose pattern `pattern_lasts` proves to last.

    Copies of a sample change its weight on the way, and not the limit of a pattern.
    """
    assert pattern_lasts(slope, X, W0, loss, copies), f"{comment}: a unit may reach its kink"
    start = Start(W0, np.full(2, sign), slope, X, np.full(2, sign))
    lam = solve_rationals(start.M, [F(1), F(1)])
    case = start.case(group, comment, loss, lam, ("below-conditions", "unbalanced-labels"))
    for name, rows in (("X", X), ("y", start.y)):
        case.inputs[name] = np.repeat(rows, copies, axis=0)
    return case


def one_rising(group: str, comment: str, start: Start, loss: str) -> Case:
    """The limit where no unit can come to its kink, whatever the weights are: that of a linear separable problem.

    Gradient descent there tends to the least-norm separator [SHNGS]: λ ≥ 0 minimizes ½ λᵀ M λ - Σλ.
    """
    assert all(side * p >= 0 for side, pull in start.pulls() for p in pull), f"{comment}: a unit may cross"
    found = oracle.nonnegative_minimizer(oracle._rationals(start.M), [oracle._rational(1)] * len(start.y))
    lam = [F(int(x.p), int(x.q)) for x in found]
    assert min(lam) == 0, f"{comment}: every margin is 1"
    return start.case(group, comment, loss, lam, ("inactive-constraint", "unbalanced-labels", "below-conditions"))


def dot(a: Iterable[Any], b: Iterable[Any]) -> Fraction:
    """Σ a_k b_k over the rationals."""
    return sum((F(p) * F(q) for p, q in zip(a, b, strict=True)), F(0))


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
