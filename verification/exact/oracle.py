"""The oracle: the project's quantities by formulas of its own, rounded to nearest with a proven error.

It takes floats as the exact dyadic rationals they are (a and γ too), computes in ball arithmetic (python-flint's
arb, the extra `exact`) or over the rationals, and doubles the precision until every number has one nearest float.
No number comes from refimpl. The formulas differ from refimpl's on purpose:

    φ(z) = ((1+γ) z + (1-γ)|z|)/2                             instead of max(γz, z)
    g = e^{-q/2} / (2 cosh(q/2))                              instead of σ(-q)
    σ₁² = the largest root of det(z I - W Wᵀ), over Z          instead of a singular value decomposition
    max margin, multipliers: an active-set method over Q, which ends at exact optimality conditions
    the limit of the flow: section 5's bounds b = F(b) as the exact solution of a linear system

(docs/theory.md, sections 1 to 7 and 12; docs/numerics.md, "Oracle".)
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "KKTOracle",
    "Rounded",
    "clarke_gradient",
    "descent",
    "flow_limit",
    "forward",
    "gradient",
    "intermediates",
    "kkt_residuals",
    "loss",
    "max_margin",
    "stable_rank",
]

FIRST_PRECISION, LAST_PRECISION = 128, 1 << 14  # bits
MAX_RAYS = 4096  # generators of the cone of multipliers at kinks

Ball = Any  # flint.arb
Rational = Any  # flint.fmpq
Vector = list[Any]
Matrix = list[list[Any]]


class Rounded(NamedTuple):
    """Floats nearest to the true values, and proven bounds of their distances.

    `error` is half a unit in the last place or less wherever the nearest float was unique at the last precision,
    and 0 where the value is a float.
    """

    value: NDArray[np.float64]
    error: NDArray[np.float64]


class KKTOracle(NamedTuple):
    """Section 12's residuals; all but `feasibility` are inf, the multipliers 0, if no margin scaling exists."""

    stationarity: Rounded
    feasibility: Rounded
    complementarity: Rounded
    duality_gap: Rounded
    multipliers: Rounded


class _UndecidedError(Exception):
    """A ball holds both signs: more precision is needed."""


# --- values at a point -------------------------------------------------------------------------------------


def forward(W: Any, a: Any, slope: float, X: Any) -> Rounded:
    """f(x_i; W) for every row of X.

    Parameters
    ----------
    W : array_like, shape (m, d)
    a : array_like, shape (m,)
    slope : float
        γ.
    X : array_like, shape (n, d)

    Returns
    -------
    Rounded, shape (n,)

    Raises
    ------
    MissingExtraError
        If python-flint is not installed.

    Examples
    --------
    >>> forward([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0], 0.5, [[2.0, -4.0]])
    Rounded(value=array([4.]), error=array([0.]))
    """
    return _rounded(lambda: _outputs(_balls(W), _balls(a), _ball(slope), _balls(X)), np.shape(X)[:1])


def loss(W: Any, a: Any, slope: float, X: Any, y: Any, kind: str) -> Rounded:
    """L(W) = (1/n) Σ ℓ(q_i), ℓ = log(1 + e^{-q}) or e^{-q} as `kind` is "logistic" or "exponential"; shape ().

    Examples
    --------
    >>> loss([[0.0]], [1.0], 0.5, [[1.0]], [1.0], "logistic").value
    array(0.69314718)
    """

    def compute() -> Vector:
        q = _margins(_balls(W), _balls(a), _ball(slope), _balls(X), _balls(y))
        values = [(-q_i).exp() if _exponential(kind) else (-q_i).exp().log1p() for q_i in q]
        return [sum(values) / len(values)]

    return _rounded(compute, ())


def gradient(W: Any, a: Any, slope: float, X: Any, y: Any, kind: str) -> Rounded:
    """∂L/∂W with φ'(0) = 1, shape (m, d)."""

    def compute() -> Vector:
        G = _gradient(_balls(W), _balls(a), _ball(slope), _balls(X), _balls(y), kind)
        return [entry for row in G for entry in row]

    return _rounded(compute, np.shape(W))


def intermediates(W: Any, a: Any, slope: float, X: Any, y: Any, kind: str) -> dict[str, Rounded]:
    """Preactivations z_ji, shape (m, n), margins q_i and weights g_i = -ℓ'(q_i), shape (n,).

    Examples
    --------
    >>> found = intermediates([[0.0]], [1.0], 0.5, [[1.0]], [1.0], "logistic")
    >>> {name: number.value.tolist() for name, number in found.items()}
    {'preactivation': [[0.0]], 'margin': [0.0], 'weight': [0.5]}
    """

    def margins() -> Vector:
        return _margins(_balls(W), _balls(a), _ball(slope), _balls(X), _balls(y))

    n = len(X)
    return {
        "preactivation": _rounded(lambda: [_dot(w, x) for w in _balls(W) for x in _balls(X)], (len(W), n)),
        "margin": _rounded(margins, (n,)),
        "weight": _rounded(lambda: _weights(margins(), kind), (n,)),
    }


def clarke_gradient(W: Any, a: Any, slope: float, X: Any, y: Any, kind: str) -> tuple[Rounded, Rounded]:
    """Entrywise ends (low, high) of the set that φ'(0) ∈ [γ, 1] leaves for ∂L/∂W, each of shape (m, d).

    Examples
    --------
    >>> low, high = clarke_gradient([[0.0]], [1.0], 0.5, [[1.0]], [1.0], "exponential")
    >>> low.value, high.value
    (array([[-1.]]), array([[-0.5]]))
    """

    def compute(end: Callable[[Ball, Ball], Ball]) -> Vector:
        balls, gamma = _balls(W), _ball(slope)
        second, rows, labels = _balls(a), _balls(X), _balls(y)
        g = _weights(_margins(balls, second, gamma, rows, labels), kind)
        entries = []
        for w_j, a_j in zip(balls, second, strict=True):
            kinks = [_slopes(_dot(w_j, x), gamma) for x in rows]
            for k in range(len(w_j)):
                parts = [-g_i * y_i * a_j * x[k] / len(rows) for g_i, y_i, x in zip(g, labels, rows, strict=True)]
                entries.append(
                    sum(end(low * part, high * part) for (low, high), part in zip(kinks, parts, strict=True))
                )
        return entries

    shape = np.shape(W)
    return _rounded(lambda: compute(lambda s, t: s.min(t)), shape), _rounded(
        lambda: compute(lambda s, t: s.max(t)), shape
    )


def descent(W: Any, a: Any, slope: float, X: Any, y: Any, kind: str, step_size: float, steps: int) -> Rounded:
    """W after `steps` steps W ← W - α ∂L/∂W with φ'(0) = 1, shape (m, d).

    Raises
    ------
    ArithmeticError
        If a unit meets its kink so closely after a step that 2^14 bits do not tell on which side it is.
    """

    def compute() -> Vector:
        balls, alpha, second, gamma = _balls(W), _ball(step_size), _balls(a), _ball(slope)
        rows, labels = _balls(X), _balls(y)
        for _ in range(steps):
            G = _gradient(balls, second, gamma, rows, labels, kind)
            balls = [[w - alpha * g for w, g in zip(*pair, strict=True)] for pair in zip(balls, G, strict=True)]
        return [entry for row in balls for entry in row]

    return _rounded(compute, np.shape(W))


def stable_rank(W: Any) -> Rounded:
    """‖W‖_F²/‖W‖₂², shape (); ValueError for W = 0.

    Examples
    --------
    >>> stable_rank([[3.0, 0.0], [0.0, 3.0]])
    Rounded(value=array(2.), error=array(0.))
    """
    flint = _flint()
    rows = np.asarray(W, dtype=np.float64)
    integers, _ = _integers(rows if rows.shape[0] <= rows.shape[1] else rows.T)
    gram = [[_dot(w, v) for v in integers] for w in integers]
    if not any(map(any, gram)):
        raise ValueError("`W` must not be zero: a zero matrix has no stable rank.")
    polynomial = flint.fmpz_mat(gram).charpoly()

    def compute() -> Vector:
        largest = flint.arb(0)
        for root, _ in polynomial.complex_roots():
            largest = largest.max(root.real)
        return [flint.arb(sum(gram[k][k] for k in range(len(gram)))) / largest]

    return _rounded(compute, ())


def _outputs(W: Matrix, a: Vector, gamma: Ball, X: Matrix) -> Vector:
    Z = [[_dot(w, x) for w in W] for x in X]
    return [sum(a_j * ((1 + gamma) * z + (1 - gamma) * abs(z)) / 2 for a_j, z in zip(a, row, strict=True)) for row in Z]


def _margins(W: Matrix, a: Vector, gamma: Ball, X: Matrix, y: Vector) -> Vector:
    return [y_i * f_i for y_i, f_i in zip(y, _outputs(W, a, gamma, X), strict=True)]


def _weights(q: Vector, kind: str) -> Vector:
    """g = -ℓ'(q)."""
    if _exponential(kind):
        return [(-q_i).exp() for q_i in q]
    return [(-q_i / 2).exp() / (2 * (q_i / 2).cosh()) for q_i in q]


def _gradient(W: Matrix, a: Vector, gamma: Ball, X: Matrix, y: Vector, kind: str) -> Matrix:
    g = _weights(_margins(W, a, gamma, X, y), kind)
    G = []
    for w_j, a_j in zip(W, a, strict=True):
        factors = [-a_j * _slopes(_dot(w_j, x), gamma)[1] * g_i * y_i for x, g_i, y_i in zip(X, g, y, strict=True)]
        G.append([_dot(factors, column) / len(X) for column in zip(*X, strict=True)])
    return G


def _slopes(z: Ball, gamma: Ball) -> tuple[Any, Any]:
    """Ends of ∂φ(z)."""
    if z > 0:
        return 1, 1
    if z < 0:
        return gamma, gamma
    if z.is_zero():
        return gamma, 1
    raise _UndecidedError


def _exponential(kind: str) -> bool:
    if kind not in ("logistic", "exponential"):
        raise ValueError(f'`kind` must be "logistic" or "exponential"; got {kind!r}.')
    return kind == "exponential"


# --- exact optimization ------------------------------------------------------------------------------------


def max_margin(a: Any, slope: float, X: Any, y: Any) -> tuple[Rounded, Rounded]:
    """(v, u), the solution of the convex program (C), each of shape (d,); 0 where a has no such sign.

    The dual min ½ λᵀMλ - Σλ over λ ≥ 0 is solved over Q; at the end M λ ≥ 1 with equality where λ_i > 0 holds
    exactly, which proves optimality.

    Raises
    ------
    ValueError
        If (C) is infeasible: an exact ray λ ≥ 0, M λ = 0, Σλ > 0 was found.

    Examples
    --------
    >>> v, u = max_margin([1.0], 0.5, [[2.0, 0.0], [0.0, 1.0]], [1.0, -1.0])
    >>> v.value, u.value
    (array([ 0.5, -2. ]), array([0., 0.]))
    """
    problem = _Problem.of(a, slope, X, y)
    lam = nonnegative_minimizer(problem.M, [_rational(1)] * len(problem.y))
    V, U = problem.directions(lam)
    root = [lambda vector=vector: [_as_ball(x) / _as_ball(len(problem.a)).sqrt() for x in vector] for vector in (V, U)]
    return _rounded(root[0], (len(V),)), _rounded(root[1], (len(U),))


def flow_limit(a: Any, slope: float, X: Any, y: Any) -> Rounded | None:
    """The limit of the direction of gradient flow, the same from every start, or None.

    Given only where section 5's bounds, as the exact solution of b_i K_ii η_i = 1 + β_i U_i⁻(b), prove that the
    closed form of section 6 is the only KKT point. Scaled so that all margins are 1; shape (m, d).

    Examples
    --------
    >>> flow_limit([1.0], 0.5, [[2.0, 0.0], [0.0, 1.0]], [1.0, -1.0]).value
    array([[ 0.5, -2. ]])
    """
    problem = _Problem.of(a, slope, X, y)
    if not problem.refined_condition():
        return None
    lam = _solve(problem.M, [_rational(1)] * len(problem.y))
    assert lam is not None  # the condition makes M regular
    V, U = problem.directions(lam)
    sizes = [abs(a_j) for a_j in problem.a]
    rows = [[size * x for x in (V if a_j > 0 else U)] for a_j, size in zip(problem.a, sizes, strict=True)]
    return _rounded(lambda: [_as_ball(x) for row in rows for x in row], (len(rows), len(V)))


def kkt_residuals(W: Any, a: Any, slope: float, X: Any, y: Any, kink_tolerance: float = 0.0) -> KKTOracle:
    """Residuals of the KKT conditions of (P) at W, with the nearest multipliers found over Q.

    Parameters
    ----------
    W, a, slope, X, y
        As in `gradient`.
    kink_tolerance : float >= 0
        A unit is at its kink if |z_ji| <= tolerance ‖w_j‖ ‖x_i‖, decided exactly.

    Raises
    ------
    ValueError
        If the kinks leave more than 4,096 corners (i, slopes).
    """
    problem, rows = _Problem.of(a, slope, X, y), _rationals(W)
    Z = [[_dot(w, x) for x in problem.X] for w in rows]
    q = problem.margins(Z)
    norm2 = sum(_dot(w, w) for w in rows)
    feasibility = _rounded(lambda: [_relative_violation(problem, q, norm2)], ())
    if min(q) <= 0:
        n, inf = len(q), Rounded(np.array(np.inf), np.array(0.0))
        return KKTOracle(inf, feasibility, inf, inf, Rounded(np.zeros(n), np.zeros(n)))
    rays = problem.rays(rows, Z, Fraction(kink_tolerance))
    G, h = problem.normal_equations(rays, Z)
    weights = nonnegative_minimizer(G, h)  # for W as given; the scaled W has these over min q
    lam = [sum((w for w, (k, _) in zip(weights, rays, strict=True) if k == i), _rational(0)) for i in range(len(q))]
    image = [_dot(row, weights) for row in G]
    residual2 = norm2 - 2 * _dot(weights, h) + _dot(weights, image)
    excess = sum(lam_i * (q_i - min(q)) for lam_i, q_i in zip(lam, q, strict=True))
    total = sum(lam) * min(q)
    return KKTOracle(
        stationarity=_rounded(lambda: [_as_ball(residual2 / norm2).sqrt()], ()),
        feasibility=feasibility,
        complementarity=_rounded(lambda: [_as_ball(excess / total)], ()),
        duality_gap=_rounded(lambda: [_as_ball((residual2 + 2 * excess) / norm2)], ()),
        multipliers=_rounded(lambda: [_as_ball(lam_i / min(q)) for lam_i in lam], (len(q),)),
    )


def _relative_violation(problem: _Problem, q: Vector, norm2: Rational) -> Ball:
    """max(0, -min_i q_i/(‖a‖ ‖W‖_F ‖x_i‖))."""
    worst = _as_ball(0)
    for q_i, row in zip(q, problem.X, strict=True):
        if q_i < 0:
            worst = worst.max(_as_ball(q_i * q_i / (_dot(problem.a, problem.a) * norm2 * _dot(row, row))).sqrt())
    return worst


class _Problem(NamedTuple):
    """One problem over Q: a, γ, X, y and S = (y yᵀ) ∘ X Xᵀ."""

    a: Vector
    gamma: Rational
    X: Matrix
    y: Vector
    S: Matrix

    @classmethod
    def of(cls, a: Any, slope: float, X: Any, y: Any) -> _Problem:
        rows, labels = _rationals(X), _rationals(y)
        integers, scale = _integers(np.asarray(X, dtype=np.float64))
        upper = [[_dot(x, z) for z in integers[: i + 1]] for i, x in enumerate(integers)]
        n, unit = len(rows), _rational(scale) * _rational(scale)
        S = [[labels[i] * labels[k] * upper[max(i, k)][min(i, k)] * unit for k in range(n)] for i in range(n)]
        return cls(_rationals(a), _rational(slope), rows, labels, S)

    def slope_at(self, j: int, i: int) -> Rational:
        """Φ_ji of the pattern in which every unit has the sign of a_j y_i."""
        return 1 if self.a[j] * self.y[i] > 0 else self.gamma

    @property
    def M(self) -> Matrix:
        """Σ_j a_j² Φ_ji Φ_jk S_ik, summed neuron by neuron."""
        m, n = len(self.a), len(self.y)
        H = [
            [sum(self.a[j] ** 2 * self.slope_at(j, i) * self.slope_at(j, k) for j in range(m)) for k in range(n)]
            for i in range(n)
        ]
        return [[H[i][k] * self.S[i][k] for k in range(n)] for i in range(n)]

    def directions(self, lam: Vector) -> tuple[Vector, Vector]:
        """Σ_i λ_i y_i Φ_ji x_i for a neuron of J₊ and its negative for one of J₋; 0 if there is none."""
        vectors = []
        for sign in (1, -1):
            neuron = next((j for j, a_j in enumerate(self.a) if sign * a_j > 0), None)
            terms = [] if neuron is None else [l_i * self.slope_at(neuron, i) * self.y[i] for i, l_i in enumerate(lam)]
            vectors.append([sign * _dot(terms, [x[k] for x in self.X][: len(terms)]) for k in range(len(self.X[0]))])
        return vectors[0], vectors[1]

    def margins(self, Z: Matrix) -> Vector:
        """q_i = y_i Σ_j a_j φ(z_ji)."""
        return [
            y_i * sum(a_j * (z[i] if z[i] > 0 else self.gamma * z[i]) for a_j, z in zip(self.a, Z, strict=True))
            for i, y_i in enumerate(self.y)
        ]

    def refined_condition(self) -> bool:
        """Whether b > 0 solves b_i K_ii η_i = 1 + β_i U_i⁻(b) and γ(1 - β_i U_i⁺(b)) > η_i U_i⁻(b) for all i."""
        n, m = len(self.y), len(self.a)
        slopes = [[self.slope_at(j, i) for j in range(m)] for i in range(n)]
        beta = [sum(a_j**2 * phi for a_j, phi in zip(self.a, row, strict=True)) for row in slopes]
        eta = [sum(a_j**2 * phi * phi for a_j, phi in zip(self.a, row, strict=True)) for row in slopes]
        pull = [
            [max(-s, _rational(0)) if i != k else _rational(0) for k, s in enumerate(row)]
            for i, row in enumerate(self.S)
        ]
        push = [
            [max(s, _rational(0)) if i != k else _rational(0) for k, s in enumerate(row)]
            for i, row in enumerate(self.S)
        ]
        system = [[(self.S[i][i] * eta[i] if i == k else 0) - beta[i] * pull[i][k] for k in range(n)] for i in range(n)]
        b = _solve(system, [_rational(1)] * n)
        if b is None or min(b) <= 0:
            return False
        return all(self.gamma * (1 - beta[i] * _dot(push[i], b)) > eta[i] * _dot(pull[i], b) for i in range(n))

    def rays(self, W: Matrix, Z: Matrix, tolerance: Fraction) -> list[tuple[int, Vector]]:
        """(i, (Φ_ji)_j) for every sample and every corner that its units at kinks leave open."""
        tolerance2, rays = _rational(tolerance) ** 2, list[tuple[int, Vector]]()
        for i, x in enumerate(self.X):
            choices = []
            for w, z in zip(W, Z, strict=True):
                at_kink = z[i] ** 2 <= tolerance2 * _dot(w, w) * _dot(x, x) and self.gamma != 1
                choices.append([_rational(1), self.gamma] if at_kink else [_rational(1) if z[i] > 0 else self.gamma])
            if math.prod(map(len, choices)) > MAX_RAYS - len(rays):
                raise ValueError(f"too many units are at their kinks: more than {MAX_RAYS} corners.")
            rays += [(i, list(corner)) for corner in product(*choices)]
        return rays

    def normal_equations(self, rays: list[tuple[int, Vector]], Z: Matrix) -> tuple[Matrix, Vector]:
        """Gram matrix of the rays y_i (a_j Φ_j)_j x_iᵀ and their products with W."""
        squares = [a_j**2 for a_j in self.a]
        G = [
            [self.S[i][k] * sum(s * f * g for s, f, g in zip(squares, phi, psi, strict=True)) for k, psi in rays]
            for i, phi in rays
        ]
        h = [self.y[i] * sum(a_j * f * z[i] for a_j, f, z in zip(self.a, phi, Z, strict=True)) for i, phi in rays]
        return G, h


def nonnegative_minimizer(G: Matrix, h: Vector) -> Vector:
    """λ ≥ 0 that minimizes ½ λᵀGλ - hᵀλ for a positive semidefinite G, over Q.

    An active-set method: the objective falls strictly each time the solution on a set of indices is reached, so no
    set comes back. ValueError if the objective has no minimum.
    """
    lam, support = [_rational(0)] * len(h), list[int]()
    while True:
        slack = [h_i - _dot(row, lam) for h_i, row in zip(h, G, strict=True)]
        entering = max(range(len(h)), key=lambda i: slack[i])
        if slack[entering] <= 0:
            return lam
        support.append(entering)
        while not _step(G, h, lam, support):
            support[:] = [i for i in support if lam[i] > 0]


def _step(G: Matrix, h: Vector, lam: Vector, support: list[int]) -> bool:
    """Go to the minimum on `support`, or as far as λ ≥ 0 allows; whether the minimum was reached."""
    block = [[G[i][k] for k in support] for i in support]
    target = _solve(block, [h[i] for i in support])
    if target is None:
        direction = _kernel_vector(block)
        gain = _dot(direction, [h[i] for i in support])
        if gain < 0 or (gain == 0 and min(direction) >= 0):
            direction = [-x for x in direction]
        if min(direction) >= 0:
            raise ValueError("the minimum does not exist: the data are not separable by this network.")
    else:
        direction = [x - lam[i] for x, i in zip(target, support, strict=True)]
    limits = [-lam[i] / x for x, i in zip(direction, support, strict=True) if x < 0]
    reached = target is not None and all(limit >= 1 for limit in limits)
    length = _rational(1) if reached else min(limits)
    for x, i in zip(direction, support, strict=True):
        lam[i] += length * x
    return reached


def _solve(A: Matrix, b: Vector) -> Vector | None:
    """x with A x = b over Q; None if A is singular."""
    flint, n = _flint(), len(b)
    try:
        x = flint.fmpq_mat(n, n, [entry for row in A for entry in row]).solve(flint.fmpq_mat(n, 1, b))
    except ZeroDivisionError:
        return None
    return [x[i, 0] for i in range(n)]


def _kernel_vector(A: Matrix) -> Vector:
    flint, n = _flint(), len(A)
    integers, _ = flint.fmpq_mat(n, n, [entry for row in A for entry in row]).numer_denom()
    basis, _ = integers.nullspace()
    return [_rational(Fraction(int(basis[i, 0]))) for i in range(n)]


# --- exact numbers and rounding ----------------------------------------------------------------------------


def _flint() -> Any:
    try:
        return importlib.import_module("flint")
    except ImportError as error:
        from refimpl.errors import MissingExtraError  # the sentence for people; no number comes from there

        raise MissingExtraError("python-flint", "exact") from error


def _ball(x: float) -> Ball:
    return _flint().arb(float(x))


def _balls(x: Any) -> Any:
    """The exact balls of an array of one or two axes."""
    array = np.asarray(x, dtype=np.float64)
    return [_balls(row) for row in array] if array.ndim > 1 else [_ball(value) for value in array]


def _rational(x: float | Fraction) -> Rational:
    return _flint().fmpq(*x.as_integer_ratio())


def _rationals(x: Any) -> Any:
    """The exact rationals of an array of one or two axes."""
    array = np.asarray(x, dtype=np.float64)
    return [_rationals(row) for row in array] if array.ndim > 1 else [_rational(float(value)) for value in array]


def _integers(X: NDArray[np.float64]) -> tuple[list[list[int]], Fraction]:
    """Integers and a power of two with X = integers · power."""
    ratios = [[float(x).as_integer_ratio() for x in row] for row in X]
    common = max(denominator for row in ratios for _, denominator in row)
    return [[number * (common // denominator) for number, denominator in row] for row in ratios], Fraction(1, common)


def _as_ball(x: Any) -> Ball:
    return _flint().arb(x)


def _dot(a: Sequence[Any], b: Sequence[Any]) -> Any:
    return sum(s * t for s, t in zip(a, b, strict=True))


def _rounded(compute: Callable[[], Vector], shape: tuple[int, ...]) -> Rounded:
    """The numbers that `compute` encloses, at the first precision at which each has one nearest float."""
    flint, precision = _flint(), FIRST_PRECISION
    while True:
        last = precision >= LAST_PRECISION
        try:
            with flint.ctx.workprec(precision):
                pairs = [_nearest(_as_ball(ball), last) for ball in compute()]
            values, errors = zip(*pairs, strict=True)
            return Rounded(np.array(values).reshape(shape), np.array(errors).reshape(shape))
        except _UndecidedError:
            if last:
                raise ArithmeticError(
                    f"{LAST_PRECISION} bits do not decide on which side of its kink a unit is."
                ) from None
            precision *= 2


def _nearest(ball: Ball, last: bool) -> tuple[float, float]:
    """The float nearest to all numbers of the ball, and the largest distance from it."""
    if not ball.is_finite():
        raise _UndecidedError
    middle, radius = _fraction(ball.mid()), _fraction(ball.rad())
    value = float(middle)
    if not last and not float(middle - radius) == value == float(middle + radius):
        raise _UndecidedError
    distance = max(abs(middle - radius - Fraction(value)), abs(middle + radius - Fraction(value)))
    error = float(distance)
    return value, error if Fraction(error) >= distance else math.nextafter(error, math.inf)


def _fraction(ball: Ball) -> Fraction:
    """The exact value of a ball of radius 0; far below the smallest float, a power of two of the same sign."""
    mantissa, exponent = (int(part) for part in ball.man_exp())
    if mantissa and exponent + mantissa.bit_length() < -2000:
        return Fraction(1 if mantissa > 0 else -1, 1 << 2000)
    return Fraction(mantissa) * Fraction(2) ** exponent
