"""Exact certificates: the closed form, and that it is the only KKT point, decided over Q.

Floats are dyadic rationals, so the Gram matrix, the multipliers M λ = 1, their signs, the sign of every unit,
the rank and ½‖W‖² = ½ Σ λ_i are computed without any rounding (docs/theory.md, section 6). Section 5's refined
condition is decided through one short vector of bounds b, found with outward rounding. With

    F(b)_i = (1 + β_i U_i⁻(b)) / (K_ii η_i) ,   ℓ_i = (1 - β_i U_i⁺(b)) / (K_ii η_i)

every b > 0 with b ≥ F(b) and γ ℓ_i K_ii > U_i⁻(b) for all i proves that every KKT point is the closed form, with
λ ≤ b. Conversely b ≤ F(b) puts b below every vector that could do this (F is monotone and, where such a vector
exists, contracts), so if γ ℓ_i K_ii > U_i⁻(b) fails there, it fails for all: a failure is a proof too.

All masses are exact: A₊ = Σ_{a_j > 0} a_j² and A₋; `certify` says in the certificate whether it read the second
layer as the paper's ±1/√m (all |a_j| are the float nearest to 1/√m; a_j² = 1/m is then rational) or as floats.
The file is read by `verification/exact/checker.py`, which shares nothing with this one.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from refimpl.datasets import Dataset
from refimpl.errors import FileFormatError, InvalidParameterError, MissingExtraError
from refimpl.files import open_output, read_text
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.tiles.columns import Columns, as_columns, as_dense
from refimpl.validation import Array
from verification.exact.solve import run_apart, solve_ones, surely_negative

__all__ = ["Certificate", "ExactClosedForm", "ExactNetwork", "MultiplierBounds", "certify", "reject_early"]

SCHEMA = "implicit-bias-certificate"
SCHEMA_VERSION = 1
SLOW_PATH_LIMIT = 12  # largest n that is solved with Python's fractions when python-flint is missing
APART = 100  # from this n on, systems are solved in a process of their own, which Ctrl-C ends
SLOPE_BITS = 2400  # largest length of γ's numerator and denominator; a float needs 1,127
FIRST_BITS, LAST_BITS = 64, 1024  # length of the bounds, doubled while the condition is open
BALL_BITS = 128  # precision of the balls that reject early; where they are too wide nothing is rejected
LIMB_BITS, BLOCK = 21, 1024  # (2 * 2**20)**2 * 1024 = 2**52: squares of sums of two limbs add up exactly in float64
FEW = 1 / 32  # a limb with fewer entries than this part that are not 0 is kept sparse

EXPONENTS = (-1100, 1100)  # below and above those of every float

IntMatrix = np.ndarray[Any, np.dtype[np.object_]]  # arrays of Python integers

_Problem = tuple["ExactNetwork", IntMatrix, int, list[bool]]

CONCLUSIONS = {
    "solves_convex_program": "(v, u) is the unique solution of the convex program (C)",
    "kkt_point": "the closed form is a KKT point of (P)",
    "tight_margins": "every margin is exactly 1",
    "rank": "its rank is at most 2, exactly the `rank` given",
    "collapse": "its rows w_j/|a_j| coincide within J₊ and within J₋",
    "linear_boundary": "its decision boundary is linear",
    "margin_bound": "z separates the data with margin 1 and obeys the bound of section 11",
    "every_kkt_point": "every KKT point of (P) is this one",
    "global_optimum": "it is the global optimum of (P)",
}
PROVEN_BY_VERDICT = {"rejected": 0, "convex_optimum": 1, "kkt_point": 7, "unique_kkt_point": 9}


@dataclass(frozen=True)
class ExactNetwork:
    """The network as the certificate reads it.

    Attributes
    ----------
    slope : Fraction
        γ.
    slope_source : {"float", "fraction"}
        Whether γ is the exact value of the network's float or a fraction given as one.
    second_layer : {"signs", "floats"}
        Whether a is read as the exact ±1/√m or as the exact values of its floats.
    positive, negative : int
        m₁ and m₂.
    mass_positive, mass_negative : Fraction
        A₊ and A₋.
    """

    slope: Fraction
    slope_source: str
    second_layer: str
    positive: int
    negative: int
    mass_positive: Fraction
    mass_negative: Fraction


@dataclass(frozen=True)
class ExactClosedForm:
    """The solution of M λ = 1, or a kernel vector of M (docs/theory.md, section 6).

    Attributes
    ----------
    multipliers : tuple of Fraction, or None if M is singular
        λ.
    kernel : tuple of int, or None
        A vector k ≠ 0 with M k = 0, if M is singular.
    first_negative_multiplier : int or None
        The first i with λ_i < 0.
    first_wrong_sign : tuple (i, "positive" | "negative") or None
        The first unit whose z_ji does not have the sign of a_j y_i. For γ = 1 there is none, as t_i = 1/A.
    rank : int or None
        Rank of W*, exactly.
    """

    multipliers: tuple[Fraction, ...] | None
    kernel: tuple[int, ...] | None = None
    first_negative_multiplier: int | None = None
    first_wrong_sign: tuple[int, str] | None = None
    rank: int | None = None


@dataclass(frozen=True)
class MultiplierBounds:
    """Section 5 decided: b_i = values_i / 2^exponent.

    Attributes
    ----------
    exponent : int
    values : tuple of int
    rounding : {"up", "down"}
        "up": b ≥ F(b), so the condition holds where `first_failure` is None. "down": b ≤ F(b), so no vector
        of bounds meets the condition.
    first_failure : int or None
        The first sample with γ ℓ_i K_ii ≤ U_i⁻(b). With `rounding` "up" nothing was decided.
    """

    exponent: int
    values: tuple[int, ...]
    rounding: str
    first_failure: int | None

    @property
    def status(self) -> str:
        """ "holds", "fails" or "undecided"."""
        if self.first_failure is None:
            return "holds"
        return "fails" if self.rounding == "down" else "undecided"


@dataclass(frozen=True)
class Certificate:
    """What was proven about one data set and one network, with the numbers that prove it.

    Attributes
    ----------
    n, d : int
    sha256 : str
        `Dataset.sha256` of the data.
    network : ExactNetwork
    closed_form : ExactClosedForm
    bounds : MultiplierBounds

    References
    ----------
    docs/theory.md, sections 5 and 6.
    """

    n: int
    d: int
    sha256: str
    network: ExactNetwork
    closed_form: ExactClosedForm
    bounds: MultiplierBounds

    @property
    def verdict(self) -> str:
        """ "unique_kkt_point", "kkt_point", "convex_optimum" or "rejected"."""
        form, linear = self.closed_form, self.network.slope == 1
        if form.multipliers is None or form.first_negative_multiplier is not None:
            return "rejected"
        if form.first_wrong_sign is not None:
            return "convex_optimum"
        return "unique_kkt_point" if linear or self.bounds.status == "holds" else "kkt_point"

    @property
    def conclusions(self) -> tuple[str, ...]:
        """The names of everything that is proven; `CONCLUSIONS` has a sentence for each."""
        return tuple(CONCLUSIONS)[: PROVEN_BY_VERDICT[self.verdict]]

    @property
    def proves_every_kkt_point(self) -> bool:
        """Whether every KKT point of (P), and so the limit of the flow, is the closed form."""
        return self.verdict == "unique_kkt_point"

    @property
    def objective(self) -> Fraction | None:
        """½‖W*‖² = ½ Σ λ_i; None where the closed form is rejected, so that it is no norm of a solution."""
        multipliers = self.closed_form.multipliers
        return None if multipliers is None or self.verdict == "rejected" else _total(multipliers) / 2

    @property
    def failed_step(self) -> str | None:
        """The first step that failed, as a sentence; None if everything was proven."""
        form, verdict = self.closed_form, self.verdict
        if verdict == "unique_kkt_point":
            return None
        if form.multipliers is None:
            return "the matrix M is singular, so the multipliers are not determined"
        if verdict == "rejected":
            return _negative_multiplier(form.first_negative_multiplier)
        if form.first_wrong_sign is not None:
            sample, layer = form.first_wrong_sign
            return f"sample {sample} has the wrong sign in the neurons with {layer} a_j: no KKT point of this pattern"
        return _open_condition(self.bounds)

    def to_json(self) -> str:
        """The canonical text: sorted keys, numbers in hexadecimal, sealed with its own SHA-256."""
        document = _document(self)
        document["seal"] = hashlib.sha256(_canonical(document).encode()).hexdigest()
        return _canonical(document)

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write `to_json()` to `path`; an existing file is overwritten only with `force`."""
        with open_output(path, force) as handle:
            handle.write(self.to_json().encode())

    @classmethod
    def load(cls, path: str | Path) -> Certificate:
        """Read a file that `save` wrote. Nothing is verified: that is `check_certificate`'s."""
        try:
            return cls.from_json(read_text(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
            raise FileFormatError(path, "it is not a certificate of this schema") from error

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """The certificate in `text`; ValueError, KeyError or TypeError if it is none."""
        document = json.loads(text)
        if document["schema"] != SCHEMA or document["schema_version"] != SCHEMA_VERSION:
            raise ValueError("unknown schema")
        data, network, form, bounds = (document[key] for key in ("data", "network", "closed_form", "bounds"))
        rational = {key: _parsed(network[key]) for key in ("slope", "mass_positive", "mass_negative")}
        wrong, values = form["first_wrong_sign"], tuple(int(value, 16) for value in bounds["values"])
        return cls(
            **data,
            network=ExactNetwork(**{**network, **rational}),
            closed_form=ExactClosedForm(
                _multipliers_from(form),
                None if form["kernel"] is None else tuple(int(k, 16) for k in form["kernel"]),
                form["first_negative_multiplier"],
                None if wrong is None else (int(wrong[0]), str(wrong[1])),
                form["rank"],
            ),
            bounds=MultiplierBounds(bounds["exponent"], values, bounds["rounding"], bounds["first_failure"]),
        )


def certify(
    network: TwoLayerNetwork,
    data: Dataset,
    slope: Fraction | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> Certificate:
    """Decide sections 5 and 6 over the rationals for one data set.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU` of slope γ > 0. A second layer whose entries all are ± the float nearest to 1/√m is
        read as the exact ±1/√m; any other as the exact values of its floats.
    data : Dataset
    slope : Fraction, optional
        γ as a fraction, such as Fraction(1, 10) for 0.1; it must round to the network's slope. By default γ is
        the exact value of that float.
    progress : callable, optional
        Told, in a few words, what is being done. From n = 100 on the equations are solved in a process of
        their own, so that Ctrl-C ends it.

    Returns
    -------
    Certificate
        Also where something fails: `verdict`, `conclusions` and `failed_step` say what is proven.

    Raises
    ------
    InvalidParameterError
        If the activation is not a leaky ReLU, γ = 0, or `slope` is not the network's.
    MissingExtraError
        If python-flint (the extra `exact`) is not installed and n > 12.

    References
    ----------
    docs/theory.md, sections 5 and 6.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> certificate = certify(network, Dataset([[1.0, 0.0], [0.0, 2.0]], [1, -1]))
    >>> certificate.verdict, certificate.objective
    ('unique_kkt_point', Fraction(1, 1))
    """
    check_problem(network, data)
    return _certified(data, _exact_problem(network, data, slope, progress), progress)


def certify_unless_rejected(
    network: TwoLayerNetwork, data: Dataset, progress: Callable[[str], None] = lambda message: None
) -> Certificate | str:
    """`reject_early`, and where it leaves that open `certify`, with one exact Gram matrix, which costs d.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> certify_unless_rejected(network, Dataset([[1.0, 0.0], [4.0, 0.1]], [1, 1]))
    'the multiplier of sample 1 is negative: not all margins are tight'
    """
    check_problem(network, data)
    problem = _exact_problem(network, data, None, progress)
    failed = _rejected(problem)
    return _certified(data, problem, progress) if failed is None else failed


def _certified(data: Dataset, problem: _Problem, progress: Callable[[str], None]) -> Certificate:
    exact, S, exponent, positive_label = problem
    progress(f"{data.n} linear equations over the integers")
    form = _closed_form(exact, S, exponent, positive_label, progress)
    progress("bounds of section 5")
    bounds = _bounds(exact, S, exponent, positive_label)
    return Certificate(data.n, data.d, data.sha256, exact, form, bounds)


def reject_early(network: TwoLayerNetwork, data: Dataset, slope: Fraction | None = None) -> str | None:
    """Whether balls of a few digits already show that not every KKT point can be proven to be the closed form.

    The system M λ = 1 is solved in ball arithmetic (where python-flint is installed) and section 5 is decided with
    bounds rounded outward. This needs no number longer than the entries of M, and so takes a small part of
    `certify`'s time, which finds the exact λ. A rejection is a proof; silence is none.

    Parameters
    ----------
    network, data, slope
        As for `certify`.

    Returns
    -------
    str or None
        The step that fails, as a sentence; None if the balls leave it open or nothing fails.

    Raises
    ------
    InvalidParameterError
        As `certify`.

    References
    ----------
    docs/theory.md, sections 5 and 6.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    >>> reject_early(network, Dataset([[1.0, 0.0], [4.0, 0.1]], [1, 1]))
    'the multiplier of sample 1 is negative: not all margins are tight'
    >>> reject_early(network, Dataset([[1.0, 0.0], [0.0, 2.0]], [1, -1])) is None
    True
    """
    check_problem(network, data)
    return _rejected(_exact_problem(network, data, slope))


def _rejected(problem: _Problem) -> str | None:
    exact, S, exponent, positive_label = problem
    negative = _surely_negative(_integer_system(exact, S, positive_label)[0])
    if negative is not None:
        return _negative_multiplier(negative)
    if exact.slope == 1:
        return None
    bounds = _bounds(exact, S, exponent, positive_label)
    return None if bounds.status == "holds" else _open_condition(bounds)


def _exact_problem(
    network: TwoLayerNetwork,
    data: Dataset,
    slope: Fraction | None,
    progress: Callable[[str], None] = lambda message: None,
) -> _Problem:
    """The network over Q, S = integers · 2^exponent, and which labels are positive."""
    exact = exact_network(network, slope)
    if not data.exact:
        raise InvalidParameterError("data", "be the samples, not their coordinates, for a certificate", data)
    K, exponent = exact_gram(data.X, progress)
    positive_label = [bool(label > 0) for label in data.y]
    signs = np.array([1 if label else -1 for label in positive_label], dtype=object)
    return exact, K * signs[:, None] * signs, exponent, positive_label


def _negative_multiplier(sample: int | None) -> str:
    return f"the multiplier of sample {sample} is negative: not all margins are tight"


def _open_condition(bounds: MultiplierBounds) -> str:
    word = "fails" if bounds.status == "fails" else "is not decided"
    return (
        f"the refined condition {word} at sample {bounds.first_failure}: "
        "the closed form is not proven to be the only KKT point"
    )


def exact_network(network: TwoLayerNetwork, slope: Fraction | None = None) -> ExactNetwork:
    """γ, A₊ and A₋ as rationals, and how they were read."""
    gamma = network.require_leaky_relu("a certificate").slope
    if gamma == 0.0:
        raise InvalidParameterError("slope", "be positive for a certificate (section 5 does not cover γ = 0)", gamma)
    if slope is not None and not (isinstance(slope, Fraction) and 0 < slope <= 1 and float(slope) == gamma):
        raise InvalidParameterError("slope", f"be a Fraction whose nearest float is the network's {gamma!r}", slope)
    if slope is not None and slope.denominator.bit_length() > SLOPE_BITS:
        raise InvalidParameterError("slope", f"have a denominator below 2^{SLOPE_BITS}", float(slope))
    a, positive = network.second_layer, int(network.positive.sum())
    negative, m = network.m - positive, network.m
    signs = bool(np.all(np.abs(a) == 1.0 / np.sqrt(m)))
    squares = [Fraction(1, m) if signs else Fraction(float(a_j)) ** 2 for a_j in a]
    mass_positive = _total(squares[j] for j in range(m) if a[j] > 0.0)
    return ExactNetwork(
        slope=Fraction(gamma) if slope is None else slope,
        slope_source="float" if slope is None else "fraction",
        second_layer="signs" if signs else "floats",
        positive=positive,
        negative=negative,
        mass_positive=mass_positive,
        mass_negative=_total(squares) - mass_positive,
    )


# --- the Gram matrix ---------------------------------------------------------------------------------------


def exact_gram(X: Array | Columns, progress: Callable[[str], None] = lambda message: None) -> tuple[IntMatrix, int]:
    """K = X Xᵀ without rounding, as Python integers times a power of two.

    X is cut into limbs of 21 bits; products of limbs, and of sums of two of them, over blocks of 1,024 columns are
    integers below 2⁵³, so float64 matrix products add them up exactly, in whatever order. The last limbs, which only
    the smallest entries reach, are sparse.

    Parameters
    ----------
    X : ndarray or Columns, shape (n, d)
        Columns are gone through twice.
    progress : callable, optional
        Called with a sentence before each tile of columns.

    Returns
    -------
    integers : ndarray of int, shape (n, n)
    exponent : int
        K = integers · 2^exponent.

    Examples
    --------
    >>> integers, exponent = exact_gram(np.array([[1.0, 0.5]]))
    >>> integers[0, 0] * 2.0**exponent
    1.25
    """
    columns = as_columns(X)
    tiles = list(columns.tiles())
    ranges = [_exponents(columns.dense(*tile)) for tile in tiles]
    high = max(largest for _, largest in ranges)
    if high - min(smallest for smallest, _ in ranges) > 900:
        return _gram_of_wide_range(columns.array())
    top = high + 1
    sums: dict[int, Any] = {}  # power of two in units of 2^(2 top) -> integer matrix
    for k, tile in enumerate(tiles):
        if len(tiles) > 1:
            progress(f"exact Gram matrix, tile {k + 1} of {len(tiles)}")
        for place, product in _products_of_limbs(columns.dense(*tile), top).items():
            sums[place] = sums.get(place, 0) + product.astype(object)
    last = max(sums)
    K = sum(product * (1 << LIMB_BITS * (last - place)) for place, product in sums.items())
    return np.asarray(K, dtype=object), 2 * top - LIMB_BITS * last


def _exponents(X: Array) -> tuple[int, int]:
    """Smallest and largest exponent of the entries that are not 0; large and small numbers if there is none."""
    exponents = np.frexp(X)[1][X != 0.0]
    return int(exponents.min(initial=EXPONENTS[1])), int(exponents.max(initial=EXPONENTS[0]))


def _products_of_limbs(X: Array, top: int) -> dict[int, Any]:
    """Sums over at most 2^20 columns of products of limbs, as int64, by the sum of their places."""
    sums: dict[int, Any] = {}
    for start in range(0, X.shape[1], BLOCK):
        limbs = _limbs(np.ascontiguousarray(X[:, start : start + BLOCK].T), top)
        squares = {p: as_dense(limb.T @ limb) for p, limb in limbs.items()}
        for p, left in limbs.items():
            for r, right in limbs.items():
                if p <= r:
                    product = squares[p] if p == r else _both_ways(left, right, squares[p] + squares[r])
                    sums[p + r] = sums.get(p + r, 0) + product.astype(np.int64)
    return sums


def _both_ways(A: Any, B: Any, squares: Array) -> Array:
    """AᵀB + BᵀA, given AᵀA + BᵀB: a square of A + B takes half the time of a product, unless one of them is sparse."""
    if sparse.issparse(A) or sparse.issparse(B):
        product = as_dense(B.T @ A if sparse.issparse(B) else A.T @ B)
        return np.asarray(product + product.T)
    both = A + B
    return np.asarray(both.T @ both - squares)


def _limbs(X: Array, top: int) -> dict[int, Any]:
    """X = Σ_p limb_p · 2^(top - 21 p) with integers |limb_p| <= 2^20; limbs that are zero are left out."""
    limbs: dict[int, Any] = {}
    mantissa, exponent = np.frexp(X)  # scaled entry by entry, so that no subnormal number loses digits
    rest, p = np.ldexp(mantissa, np.where(X == 0.0, 0, exponent - top)), 0
    while rest.any():
        rest, p = rest * 2.0**LIMB_BITS, p + 1
        limb = np.rint(rest)
        rest = rest - limb
        if count := np.count_nonzero(limb):
            limbs[p] = sparse.csr_array(limb) if count < FEW * limb.size else limb
    return limbs


def _gram_of_wide_range(X: Array) -> tuple[IntMatrix, int]:
    """`exact_gram` with Python integers, for entries that span more than 2^900."""
    ratios = [[float(x).as_integer_ratio() for x in row] for row in X]
    shift = max(denominator for row in ratios for _, denominator in row)
    Y = np.array(
        [[numerator * (shift // denominator) for numerator, denominator in row] for row in ratios], dtype=object
    )
    return np.asarray(Y @ Y.T), -2 * (shift.bit_length() - 1)


# --- the closed form ---------------------------------------------------------------------------------------


def _closed_form(
    network: ExactNetwork, S: IntMatrix, exponent: int, label: list[bool], progress: Callable[[str], None]
) -> ExactClosedForm:
    """λ with M λ = 1, its signs, the signs of all units and the rank; K is S up to signs and 2^exponent."""
    q = network.slope.denominator
    A, c, c_prime, D = _integer_system(network, S, label)
    numerators, denominator, kernel = _solve_ones(A, progress)
    if numerators is None:
        return ExactClosedForm(None, kernel)
    scale = Fraction(D * q * q) / Fraction(2) ** exponent  # M = S H 2^exponent / (D q²)
    N = np.array(numerators, dtype=object)
    t, t_prime = S @ (c * N), S @ (c_prime * N)
    return ExactClosedForm(
        multipliers=tuple(Fraction(value, denominator) * scale for value in numerators),
        first_negative_multiplier=next((i for i, value in enumerate(numerators) if value < 0), None),
        first_wrong_sign=_first_wrong_sign(network, t, t_prime),
        rank=_rank(network, N, c, c_prime, t, t_prime),
    )


def _integer_system(
    network: ExactNetwork, S: IntMatrix, label: list[bool]
) -> tuple[IntMatrix, IntMatrix, IntMatrix, int]:
    """D q² M up to the power of two of S, q c, q c' and D, with γ = p/q and D A₊, D A₋ integers."""
    p, q = network.slope.numerator, network.slope.denominator
    c = np.array([q if plus else p for plus in label], dtype=object)
    c_prime = np.array([p if plus else q for plus in label], dtype=object)
    D = math.lcm(network.mass_positive.denominator, network.mass_negative.denominator)
    H = int(network.mass_positive * D) * np.outer(c, c) + int(network.mass_negative * D) * np.outer(c_prime, c_prime)
    return S * H, c, c_prime, D


def _surely_negative(A: IntMatrix) -> int | None:
    """The first i with x_i < 0 for every solution of A x = 1 in balls; None if the balls are too wide."""
    try:
        flint = importlib.import_module("flint")
    except ImportError:
        return None
    rows = A.tolist()
    if len(rows) < APART:
        sample = surely_negative(flint, rows, BALL_BITS)["sample"]
    else:
        sample = run_apart("surely_negative", rows, BALL_BITS, lambda message: None)["sample"]
    return None if sample is None else int(sample)


def _first_wrong_sign(network: ExactNetwork, t: IntMatrix, t_prime: IntMatrix) -> tuple[int, str] | None:
    """The first sample with z_ji a_j y_i <= 0, that is t_i <= 0 in J₊ or t'_i <= 0 in J₋."""
    for i in range(t.size):
        if network.positive and t[i] <= 0:
            return i, "positive"
        if network.negative and t_prime[i] <= 0:
            return i, "negative"
    return None


def _rank(
    network: ExactNetwork, N: IntMatrix, c: IntMatrix, c_prime: IntMatrix, t: IntMatrix, t_prime: IntMatrix
) -> int:
    """1 or 2: whether v and u are dependent, by equality in ⟨v, u⟩² ≤ ‖v‖²‖u‖²."""
    if not (network.positive and network.negative):
        return 1
    vv, uu, vu = np.sum(N * c * t), np.sum(N * c_prime * t_prime), np.sum(N * c * t_prime)
    return 1 if vu * vu == vv * uu else 2


def _solve_ones(
    A: IntMatrix, progress: Callable[[str], None]
) -> tuple[list[int], int, None] | tuple[None, int, tuple[int, ...]]:
    """x = numerators/denominator with A x = 1, or an integer kernel vector if A is singular."""
    try:
        flint = importlib.import_module("flint")
    except ImportError as error:
        if A.shape[0] > SLOW_PATH_LIMIT:
            raise MissingExtraError("python-flint", "exact") from error
        return _solve_ones_slowly(A)
    rows = A.tolist()
    found = solve_ones(flint, rows) if len(rows) < APART else run_apart("solve_ones", rows, 0, progress)
    return (
        (None, 1, _primitive(found["kernel"]))
        if "kernel" in found
        else (found["numerators"], found["denominator"], None)
    )


def _solve_ones_slowly(
    A: IntMatrix,
) -> tuple[list[int], int, None] | tuple[None, int, tuple[int, ...]]:
    """`_solve_ones` by Gauss-Jordan elimination with Python's fractions."""
    n = A.shape[0]
    rows = [[Fraction(value) for value in row] + [Fraction(1)] for row in A.tolist()]
    for k in range(n):
        pivot = next((i for i in range(k, n) if rows[i][k]), None)
        if pivot is None:
            kernel = [-rows[i][k] for i in range(k)] + [Fraction(1)] + [Fraction(0)] * (n - k - 1)
            common = math.lcm(*(value.denominator for value in kernel))
            return None, 1, _primitive([int(value * common) for value in kernel])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(n):
            if i != k and rows[i][k]:
                rows[i] = [x - rows[i][k] * y for x, y in zip(rows[i], rows[k], strict=True)]
    denominator = math.lcm(*(row[-1].denominator for row in rows))
    return [int(row[-1] * denominator) for row in rows], denominator, None


def _primitive(vector: list[int]) -> tuple[int, ...]:
    """`vector` divided by the greatest common divisor of its entries."""
    divisor = math.gcd(*vector)
    return tuple(value // divisor for value in vector)


# --- section 5 ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _SectionFive:
    """β_i = beta_i/D, η_i = eta_i/D and the parts of S = 2^exponent (plus - minus + diagonal), as integers."""

    slope: Fraction
    exponent: int
    D: int
    beta: IntMatrix
    eta: IntMatrix
    diagonal: IntMatrix
    plus: IntMatrix
    minus: IntMatrix

    @classmethod
    def of(cls, network: ExactNetwork, S: IntMatrix, exponent: int, label: list[bool]) -> _SectionFive:
        gamma, masses = network.slope, (network.mass_positive, network.mass_negative)
        mu = [masses[0] if plus else masses[1] for plus in label]
        nu = [masses[1] if plus else masses[0] for plus in label]
        beta = [mu_i + nu_i * gamma for mu_i, nu_i in zip(mu, nu, strict=True)]
        eta = [mu_i + nu_i * gamma**2 for mu_i, nu_i in zip(mu, nu, strict=True)]
        D = math.lcm(*(value.denominator for value in beta + eta))
        beta_D, eta_D = (np.array([int(value * D) for value in values], dtype=object) for values in (beta, eta))
        diagonal = np.diagonal(S).copy()
        off = S - np.diag(diagonal)
        return cls(gamma, exponent, D, beta_D, eta_D, diagonal, np.maximum(off, 0), np.maximum(-off, 0))

    def scale_of(self, bits: int) -> int:
        """k, such that the smallest 2^k/(K_ii η_i) has about `bits` bits."""
        largest = max(k * eta // self.D for k, eta in zip(self.diagonal, self.eta, strict=True))
        return bits + max(int(largest), 1).bit_length() + self.exponent

    def fixed_point(self, k: int, rounded: Callable[[IntMatrix, IntMatrix], IntMatrix]) -> IntMatrix:
        """2^k b with b = min(cap, F(b)), rounded; the least one, reached from b = 0.

        cap_i = (1 + γβ_i/η_i)/(K_ii η_i). Where b_i is that large, U_i⁻ ≥ γ/η_i and the condition fails, and as
        γβ_i ≤ η_i the iteration contracts at least by 1/2 wherever b_i is not.
        """
        p, q = self.slope.numerator, self.slope.denominator
        one = 1 << (k - self.exponent)
        cap = rounded(one * self.D * (q * self.eta + p * self.beta), self.diagonal * self.eta * q * self.eta)
        b = np.zeros_like(cap)
        while True:
            F = rounded(one * self.D + self.beta * (self.minus @ b), self.diagonal * self.eta)
            following = np.minimum(F, cap)
            if np.array_equal(following, b):
                return b
            b = following

    def first_failure(self, k: int, b: IntMatrix) -> int | None:
        """The first i where γ ℓ_i K_ii > U_i⁻, that is γ (1 - β_i U_i⁺) > η_i U_i⁻, fails."""
        one = 1 << (k - self.exponent)
        left = self.slope.numerator * (one * self.D - self.beta * (self.plus @ b))
        right = self.slope.denominator * self.eta * (self.minus @ b)
        return next((i for i in range(b.size) if not left[i] > right[i]), None)


def _bounds(network: ExactNetwork, S: IntMatrix, exponent: int, label: list[bool]) -> MultiplierBounds:
    """Decide section 5 with bounds of 64 bits, or more where those leave it open."""
    problem, bits = _SectionFive.of(network, S, exponent, label), FIRST_BITS
    while True:
        k = problem.scale_of(bits)
        above = problem.fixed_point(k, lambda numerator, denominator: -(-numerator // denominator))
        failure = problem.first_failure(k, above)
        if failure is None:
            return MultiplierBounds(k, tuple(above.tolist()), "up", None)
        below = problem.fixed_point(k, lambda numerator, denominator: numerator // denominator)
        proven_failure = problem.first_failure(k, below)
        if proven_failure is not None:
            return MultiplierBounds(k, tuple(below.tolist()), "down", proven_failure)
        if bits >= LAST_BITS:
            return MultiplierBounds(k, tuple(above.tolist()), "up", failure)
        bits *= 2


# --- the file ----------------------------------------------------------------------------------------------


def _document(certificate: Certificate) -> dict[str, Any]:
    network, form, bounds = certificate.network, certificate.closed_form, certificate.bounds
    denominator, numerators = _over_common_denominator(form.multipliers)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "data": {"n": certificate.n, "d": certificate.d, "sha256": certificate.sha256},
        "network": {
            "slope": _shown(network.slope),
            "slope_source": network.slope_source,
            "second_layer": network.second_layer,
            "positive": network.positive,
            "negative": network.negative,
            "mass_positive": _shown(network.mass_positive),
            "mass_negative": _shown(network.mass_negative),
        },
        "closed_form": {
            "denominator": denominator,
            "numerators": numerators,
            "kernel": None if form.kernel is None else [hex(k) for k in form.kernel],
            "objective": None if certificate.objective is None else _shown(certificate.objective),
            "rank": form.rank,
            "first_negative_multiplier": form.first_negative_multiplier,
            "first_wrong_sign": None if form.first_wrong_sign is None else list(form.first_wrong_sign),
        },
        "bounds": {
            "exponent": bounds.exponent,
            "values": [hex(value) for value in bounds.values],
            "rounding": bounds.rounding,
            "first_failure": bounds.first_failure,
        },
        "verdict": certificate.verdict,
        "conclusions": list(certificate.conclusions),
    }


def _over_common_denominator(values: tuple[Fraction, ...] | None) -> tuple[str | None, list[str] | None]:
    if values is None:
        return None, None
    denominator = math.lcm(*(value.denominator for value in values))
    return hex(denominator), [hex(value.numerator * (denominator // value.denominator)) for value in values]


def _multipliers_from(form: dict[str, Any]) -> tuple[Fraction, ...] | None:
    if form["numerators"] is None:
        return None
    return tuple(Fraction(int(value, 16), int(form["denominator"], 16)) for value in form["numerators"])


def _shown(value: Fraction) -> str:
    return f"{hex(value.numerator)}/{hex(value.denominator)}"


def _parsed(text: str) -> Fraction:
    numerator, denominator = text.split("/")
    return Fraction(int(numerator, 16), int(denominator, 16))


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _total(values: Any) -> Fraction:
    """Σ of fractions, over their common denominator at once."""
    values = list(values)
    denominator = math.lcm(*(value.denominator for value in values))
    return Fraction(sum(value.numerator * (denominator // value.denominator) for value in values), denominator)
