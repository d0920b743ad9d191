"""KKT points of (P) proven one by one, below every condition (docs/theory.md, section 18).

With w_j = a_j Σ_i y_i b_ji x_i, b_ji = λ_i Φ_ji, and t_ji = y_i ⟨w_j/a_j, x_i⟩ = Σ_k S_ik b_jk, all is rational:

    z_ji = a_j y_i t_ji ,    q_i = Σ_j a_j² Φ_ji t_ji ,    rank W = rank (t_ji) ,    ½‖W‖² = ½ Σ λ_i .

Floats give the support of λ and the side of every unit; λ and the b_ji at kinks then solve a linear system over Q, and
what solves it is verified. The file is read by `verification/exact/point_checker.py`, which shares nothing with this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import linprog

from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError
from refimpl.flow import FlowLimit
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.validation import Array, IntArray
from verification.exact.documents import NotProven, Sealed, common, shown
from verification.exact.gram import gram_of_samples
from verification.exact.network import exact_network, squares_of
from verification.exact.rational import consistent_solution, rational_rank
from verification.witnesses.kkt import KKTResiduals, KKTStatus, kkt_residuals

__all__ = ["PointCertificate", "SignedProblem", "certify_point", "signed_problem", "solution_of_pattern"]

Row = tuple[Fraction, ...]

SUPPORT = (1e-9, 1e-12, 1e-6)
"""Multipliers above this part of the largest count as positive; tried in this order."""

KINKS = (1e-9, 1e-7, 1e-11)
"""`kkt_residuals` tolerances for weights given as an array, in this order."""


class SignedProblem(NamedTuple):
    """One problem over Q: S_ik = y_i y_k ⟨x_i, x_k⟩, γ, the a_j², the signs of a_j, and how γ and a were read."""

    S: tuple[Row, ...]
    gamma: Fraction
    squares: Row
    positive: tuple[bool, ...]
    labels: tuple[int, ...]
    slope_source: str
    second_layer: tuple[str, ...] | str

    def side(self, j: int, i: int, t: Any) -> int:
        """The sign of z_ji = a_j y_i t_ji."""
        same = self.positive[j] == (self.labels[i] > 0)
        return 0 if t == 0 else 1 if (t > 0) == same else -1


def signed_problem(network: TwoLayerNetwork, data: Dataset, slope: Fraction | None = None) -> SignedProblem:
    """The problem over Q, γ and a read as `certify` reads them."""
    exact = exact_network(network, slope)
    K, exponent = gram_of_samples(data)
    unit, labels = Fraction(2) ** exponent, tuple(1 if label > 0 else -1 for label in data.y)
    S = tuple(tuple(labels[i] * labels[k] * int(K[i, k]) * unit for k in range(data.n)) for i in range(data.n))
    squares, signs = squares_of(network)
    layer = tuple(float(a_j).hex() for a_j in network.second_layer)
    positive = tuple(bool(sign) for sign in network.positive)
    return SignedProblem(
        S, exact.slope, tuple(squares), positive, labels, exact.slope_source, "signs" if signs else layer
    )


@dataclass(frozen=True)
class PointCertificate(Sealed):
    """One KKT point of (P), proven.

    Attributes
    ----------
    n, d : int
    sha256 : str
        `Dataset.sha256` of the data.
    problem : SignedProblem
    multipliers : tuple of Fraction
        λ, of length n.
    products : tuple of tuples of Fraction
        b_ji = λ_i Φ_ji, m rows of length n: w_j = a_j Σ_i y_i b_ji x_i.
    t : tuple of tuples of Fraction
        t_ji = z_ji/(a_j y_i).
    margins : tuple of Fraction
        q_i, exactly 1 where λ_i > 0 and at least 1 elsewhere.
    rank : int
        Of W, exactly.

    References
    ----------
    docs/theory.md, sections 2 and 18.
    """

    n: int
    d: int
    sha256: str
    problem: SignedProblem
    multipliers: Row
    products: tuple[Row, ...]
    t: tuple[Row, ...]
    margins: Row
    rank: int

    proven = True

    @property
    def objective(self) -> Fraction:
        """½‖W‖_F² = ½ Σ λ_i."""
        return sum(self.multipliers, Fraction(0)) / 2

    @property
    def pattern(self) -> tuple[tuple[int, ...], ...]:
        """The side of its kink of every unit, +1, -1 or 0; m rows of length n."""
        return tuple(tuple(self.problem.side(j, i, t) for i, t in enumerate(row)) for j, row in enumerate(self.t))

    @property
    def units_on_kinks(self) -> int:
        """Number of units that rest exactly on their kinks."""
        return sum(row.count(0) for row in self.pattern)

    @property
    def slack(self) -> dict[int, Fraction]:
        """The margins above 1, by sample."""
        return {i: q for i, q in enumerate(self.margins) if q > 1}

    def document(self) -> dict[str, Any]:
        """The numbers that prove it, and what follows from them."""
        at_kinks = [
            (j, i)
            for j, row in enumerate(self.pattern)
            for i, side in enumerate(row)
            if side == 0 and self.multipliers[i] > 0
        ]
        numbers = [*self.multipliers, *(self.products[j][i] for j, i in at_kinks)]
        denominator, numerators = common(numbers)
        return {
            "schema": "implicit-bias-point",
            "schema_version": 1,
            "data": {"n": self.n, "d": self.d, "sha256": self.sha256},
            "network": network_document(self.problem),
            "denominator": denominator,
            "multipliers": numerators[: self.n],
            "pattern": ["".join("-0+"[side + 1] for side in row) for row in self.pattern],
            "at_kinks": [[j, i, b] for (j, i), b in zip(at_kinks, numerators[self.n :], strict=True)],
            "margins_above_one": [[i, shown(q)] for i, q in self.slack.items()],
            "objective": shown(self.objective),
            "rank": self.rank,
            "verdict": "proven_kkt_point",
        }

    def weights(self, network: TwoLayerNetwork, data: Dataset) -> Array:
        """W in floats, shape (m, d)."""
        b = np.array([[float(x) for x in row] for row in self.products])
        return np.asarray(network.second_layer[:, None] * ((b * data.y) @ data.X))


def network_document(problem: SignedProblem) -> dict[str, Any]:
    """How a certificate names its network: γ, the signs of a_j, and the floats a_j unless they are ±1/√m."""
    return {
        "slope": shown(problem.gamma),
        "slope_source": problem.slope_source,
        "signs": "".join("+" if positive else "-" for positive in problem.positive),
        "second_layer": problem.second_layer if isinstance(problem.second_layer, str) else list(problem.second_layer),
    }


def certify_point(
    network: TwoLayerNetwork,
    data: Dataset,
    limit: FlowLimit | Any,
    slope: Fraction | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> PointCertificate | NotProven:
    """Prove over the rationals that the point that `limit` is near to is a KKT point of (P).

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU` of slope γ > 0, read as `certify` reads it.
    data : Dataset
    limit : FlowLimit, or array_like of shape (m, d)
        Where to look: the limit of a flow, or weights of any scale.
    slope : Fraction, optional
        γ as a fraction, such as Fraction(1, 10) for 0.1. By default the exact value of the network's float.
    progress : callable, optional
        Told, in a few words, what is being done.

    Returns
    -------
    PointCertificate or NotProven
        `.proven` tells which; a `NotProven` has a `.reason`.

    Raises
    ------
    InvalidParameterError, ShapeError
        If the activation is not a leaky ReLU, γ = 0, or the weights do not fit.
    MissingExtraError
        If python-flint (the extra `exact`) is not installed.

    References
    ----------
    docs/theory.md, sections 2 and 18.

    Examples
    --------
    Two samples of one label with inner product -1/4 and γ = 1/8: each neuron deserts one of them (section 14).

    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork([1.0, 1.0], LeakyReLU(0.125))
    >>> data = Dataset([[1.0, 0.0, 0.0], [-0.25, 0.75, 0.5]], [1, 1])
    >>> point = certify_point(network, data, [[1.0, -0.2, -0.1], [-0.2, 1.0, 0.7]])
    >>> point.proven, point.rank, point.pattern, point.units_on_kinks
    (True, 2, ((1, -1), (-1, 1)), 0)
    """
    check_problem(network, data, "certify_point")
    problem, reason = signed_problem(network, data, slope), "no pattern of sides could be read off the weights"
    tried: set[tuple[bytes, bytes, bytes]] = set()
    for pattern, lam, products in _hints(network, data, limit):
        for share in SUPPORT:
            support = lam > share * lam.max()
            key = (pattern.tobytes(), support.tobytes(), (products[pattern == 0] / lam.max()).round(6).tobytes())
            if key in tried:
                continue
            tried.add(key)
            progress(f"a linear system over the rationals, {int(support.sum())} multipliers")
            found = point_of_pattern(problem, data, pattern, support, lam, products)
            if isinstance(found, PointCertificate):
                return found
            reason = found.reason if len(tried) == 1 else reason
    return NotProven(reason)


def _hints(network: TwoLayerNetwork, data: Dataset, limit: Any) -> Iterator[tuple[IntArray, Array, Array]]:
    """Sides of the units, λ and λ_i Φ_ji in floats, the likeliest first."""
    if isinstance(limit, FlowLimit):
        if limit.pattern.shape != (network.m, data.n):
            raise InvalidParameterError("limit", "be of this network and these data", limit)
        yield limit.pattern, limit.multipliers, limit.coefficients / (network.second_layer[:, None] * data.y)
        limit = limit.weights()
    for tolerance in KINKS:
        found = kkt_residuals(network, data, limit, tolerance)
        if found.status is not KKTStatus.NOT_SEPARATING and found.multipliers.max() > 0.0:
            yield found.pattern, found.multipliers, found.slopes * found.multipliers
            yield found.pattern, found.multipliers, _with_room(network, data, found) * found.multipliers


def _with_room(network: TwoLayerNetwork, data: Dataset, found: KKTResiduals) -> Array:
    """Slopes at kinks of the same W, as far from γ and 1 as they can be: where they are not unique, those found by
    least squares may lie on these bounds, and rounding would carry the solution over Q beyond them."""
    slopes, S = found.slopes.copy(), data.y[:, None] * data.gram * data.y
    for row, sides in zip(slopes, found.pattern, strict=True):
        kinks = np.flatnonzero((sides == 0) & (found.multipliers > 0.0))
        if kinks.size == 0:
            continue
        A = S[:, kinks] * found.multipliers[kinks]
        one, zero = np.ones((kinks.size, 1)), np.zeros((data.n, 1))
        best = linprog(  # the largest room r with γ + r <= φ <= 1 - r
            np.append(np.zeros(kinks.size), -1.0),
            A_ub=np.block([[np.eye(kinks.size), one], [-np.eye(kinks.size), one]]),
            b_ub=np.repeat([1.0, -network.slope], kinks.size),
            A_eq=np.hstack([A, zero]),
            b_eq=A @ row[kinks],
            bounds=[(None, None)] * kinks.size + [(0.0, None)],
        )
        if best.status == 0:
            row[kinks] = best.x[:-1]
    return slopes


def point_of_pattern(
    problem: SignedProblem, data: Dataset, pattern: IntArray, support: Any, lam: Array, products: Array
) -> PointCertificate | NotProven:
    """The KKT point of one pattern and support, verified; `lam` and `products` choose where it is not unique."""
    solution = solution_of_pattern(problem, pattern, support, lam, products)
    if solution is None:
        return NotProven("the linear system of this pattern and support has no solution")
    return verified_point(problem, data, *solution)


def solution_of_pattern(
    problem: SignedProblem, pattern: IntArray, support: Any, lam: Array, products: Array
) -> tuple[list[Fraction], list[list[Fraction]]] | None:
    """λ and b with q_i = 1 on the support and t_ji = 0 where the pattern is 0; nothing is verified."""
    S, gamma, (m, n) = problem.S, problem.gamma, pattern.shape
    samples = [i for i in range(n) if support[i]]
    units = [(j, i) for j in range(m) for i in samples if pattern[j, i] == 0 and gamma != 1]
    column = {unit: len(samples) + k for k, unit in enumerate(units)}

    def row_of_t(j: int, i: int) -> list[Fraction]:
        """t_ji as a linear function of the unknowns."""
        row = [Fraction(0)] * (len(samples) + len(units))
        for place, k in enumerate(samples):
            if (j, k) in column:
                row[column[j, k]] += S[i][k]
            else:
                row[place] += S[i][k] * (1 if pattern[j, k] >= 0 else gamma)
        return row

    matrix = []
    for i in samples:
        total = [Fraction(0)] * (len(samples) + len(units))
        for j in range(m):
            if (j, i) not in column:
                slope = problem.squares[j] * (1 if pattern[j, i] >= 0 else gamma)
                total = [x + slope * y for x, y in zip(total, row_of_t(j, i), strict=True)]
        matrix.append(total)
    matrix += [row_of_t(j, i) for j, i in units]
    right = [Fraction(1)] * len(samples) + [Fraction(0)] * len(units)
    near = [Fraction(float(lam[i])) for i in samples] + [Fraction(float(products[unit])) for unit in units]
    solution = consistent_solution(matrix, right, near)
    if solution is None:
        return None
    exact = [Fraction(0)] * n
    for place, i in enumerate(samples):
        exact[i] = solution[place]
    b = [
        [
            solution[column[j, i]] if (j, i) in column else exact[i] * (1 if pattern[j, i] >= 0 else gamma)
            for i in range(n)
        ]
        for j in range(m)
    ]
    return exact, b


def verified_point(
    problem: SignedProblem, data: Dataset, lam: list[Fraction], b: list[list[Fraction]]
) -> PointCertificate | NotProven:
    """Whether λ and b_ji are those of a KKT point: every condition of section 2, over Q."""
    S, gamma, n = problem.S, problem.gamma, len(lam)
    negative = next((i for i in range(n) if lam[i] < 0), None)
    if negative is not None:
        return NotProven(f"the multiplier of sample {negative} is negative")
    t = [[sum((S[i][k] * row[k] for k in range(n) if row[k]), Fraction(0)) for i in range(n)] for row in b]
    q = [Fraction(0)] * n
    for j, row in enumerate(t):
        for i, t_ji in enumerate(row):
            side = problem.side(j, i, t_ji)
            low, high = (gamma if side <= 0 else 1) * lam[i], (1 if side >= 0 else gamma) * lam[i]
            if not low <= b[j][i] <= high:
                where = {1: "on the positive side of", -1: "on the negative side of", 0: "on"}[side]
                return NotProven(f"unit ({j}, {i}) lies {where} its kink with a slope that is not its own there")
            q[i] += problem.squares[j] * (1 if side >= 0 else gamma) * t_ji
    for i in range(n):
        if q[i] < 1 or (lam[i] > 0 and q[i] != 1):
            return NotProven(f"the margin of sample {i} is {'below' if q[i] < 1 else 'above'} 1")
    rows, heights = tuple(map(tuple, b)), tuple(map(tuple, t))
    return PointCertificate(n, data.d, data.sha256, problem, tuple(lam), rows, heights, tuple(q), rational_rank(t))
