"""What a neuron does at its kinks: cross, slide, or turn (docs/theory.md, section 7, "Several kinks at once").

At a point where the units i in Q of neuron j rest on their kinks (z_ji = 0), the future of row j is decided by

    ψ(v) = ½‖v‖² - Σ_{i not in Q} e_i Φ_i ⟨v, x_i⟩ - Σ_{i in Q} e_i φ(⟨v, x_i⟩),      e_i = a_j y_i w_i :

the row moves straight on with a velocity v at which ψ has a local minimum. Where e_i < 0 the kink attracts and the
term is convex; where e_i > 0 it repels and the term is the smaller of two linear ones. So with one slope chosen for
each repelling unit what remains is convex: a least-squares problem with bounds γ ≤ θ_i ≤ 1 for the slopes of the
attracting units. A choice that disagrees with the side to which the unit then moves is exchanged, which lowers ψ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import lsq_linear

from refimpl.spectrum import gram_factor
from refimpl.validation import Array, BoolArray, IndexArray, IntArray

__all__ = [
    "LIGHT",
    "RELEASE_DELAY",
    "Resolution",
    "independent_samples",
    "minimum_norm_slopes",
    "release_delay",
    "resolve_kinks",
    "resolve_one_kink",
    "sample_coordinates",
    "samples_in_span",
]

LIGHT = 1e-100
"""A sample of at most this part of the largest weight has no say: its units go where the others push them."""

_ALL_CHOICES_UP_TO = 6
"""Repelling units up to which every choice of their slopes is tried; for more, all +, all -, and each alone."""

TIE_BREAK = 1e-8
"""Weight of ‖θ‖ beside ‖V X‖ where slopes are not unique; it changes V X by its square."""

RELEASE_DELAY = 1e-7
"""A unit leaves a kink that attracts once its effective slope, or its speed, says so by this much. Weights carry
the solver's error, up to fifty times `atol`; a unit released by less might slide again at once, and so on for ever."""

MOST_GUESSES = 8
"""Active sets that are guessed before the general solver takes over."""

DEPENDENT = 1e-13
"""A sample belongs to the span of others if its squared distance from it is at most this part of ‖x_i‖²."""

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Resolution:
    """What a neuron does at its kinks.

    Attributes
    ----------
    sides : ndarray of int8, shape (n,)
        +1 or -1: the side that the unit leaves to; 0: it stays on its kink. Units outside Q keep theirs.
    unique : bool
        False if another velocity was found at which ψ has a local minimum, or if the row moves and could rest
        (`may_rest`): the flow has several futures here.
        Looked for only when asked.
    at_rest : bool
        Whether no unit of Q moves, within `release_delay`.
    speeds : ndarray, shape (n,)
        dz_j/ds, with rounding where a unit stays.
    """

    sides: IntArray
    unique: bool
    at_rest: bool
    speeds: Array


def resolve_kinks(
    sides: IntArray,
    at_kink: BoolArray,
    drive: Array,
    slope: float,
    gram: Array,
    factor: Array,
    look_for_others: bool = False,
) -> Resolution:
    """New sides of one neuron's units, of which those in `at_kink` rest on their kinks.

    Parameters
    ----------
    sides : ndarray of int8, shape (n,)
        +1, -1 (0 = slides). For a repelling unit in `at_kink` the side that is tried first.
    at_kink : ndarray of bool, shape (n,)
        Q; with a set of samples it holds all samples in their span.
    drive : ndarray, shape (n,)
        e_i = a_j y_i w_i, so that dC_ji/ds = e_i Φ_ji.
    slope : float
        γ.
    gram, factor : ndarray, shape (n, n)
        K = L Lᵀ and L.
    look_for_others : bool
        Try other first choices too, and say in `unique` whether one of them leads elsewhere.

    Returns
    -------
    Resolution

    References
    ----------
    docs/theory.md, section 7, "Several kinks at once".

    Examples
    --------
    Two opposite samples with opposite labels: both sides of the common kink push the same way, so the row
    crosses it, though one of the two kinks alone attracts.

    >>> K = np.array([[1.0, -1.0], [-1.0, 1.0]])
    >>> L = np.array([[1.0, 0.0], [-1.0, 0.0]])
    >>> resolve_kinks(np.array([1, -1], np.int8), np.array([True, True]), np.array([-0.5, 0.5]), 0.1, K, L).sides
    array([-1,  1], dtype=int8)
    """
    neuron = _AtKinks(sides, at_kink, drive, slope, gram, factor)
    choice, theta, speeds = neuron.settle(neuron.first_choice)
    unique = True
    if look_for_others and neuron.heavy.any():
        others = (neuron.settle(other)[2] for other in neuron.other_choices())
        unique = all(neuron.same_motion(speeds, other) for other in others)
        unique = unique and (neuron.at_rest(theta, speeds) or not neuron.may_rest())
    return Resolution(neuron.sides_after(choice, theta, speeds), unique, neuron.at_rest(theta, speeds), speeds)


def resolve_one_kink(i: int, sides: IntArray, drive: Array, slope: float, gram: Array) -> int | None:
    """What `resolve_kinks` says where sample i, which arrives from its side, is the only one at its kink.

    One speed v(θ) = Σ_{k≠i} e_k θ_k K_ki + e_i θ K_ii decides, at θ = γ and 1.

    Returns
    -------
    int or None
        The side that the unit leaves to, 0 if it slides; None where it hardly moves and pushes, or says nothing.

    Examples
    --------
    The same drive from the other samples; the unit's own attracts, and is strong enough to hold it or is not.

    >>> K = np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> [resolve_one_kink(0, np.array([-1, 1], np.int8), np.array([e, 1.0]), 0.1, K) for e in (-2.0, -0.4)]
    [0, 1]
    """
    e, K_i, theta = float(drive[i]), gram[i], _slopes_of(sides, slope)
    terms = drive * theta * K_i
    terms[i] = 0.0
    others, own = float(terms.sum()), e * float(K_i[i])
    size = float(np.abs(drive) @ np.abs(K_i))
    light = abs(e) <= LIGHT * float(np.abs(drive).max()) or slope == 1.0
    if e < 0.0 and not light:
        held = min(max(-others / own, slope), 1.0)
        rounding = 64.0 * _EPS * (float(np.abs(terms).sum()) - own * held)
        if slope < held < 1.0 or abs(others + own * held) <= release_delay(slope) * size + rounding:
            return 0
        return 1 if held >= 1.0 else -1
    for side in (1, -1) if sides[i] < 0 else (-1, 1):
        speed = side * (others + own * (1.0 if side > 0 else slope))
        if abs(speed) <= 64.0 * _EPS * size and not light:
            return None
        if speed >= -64.0 * _EPS * size:
            return side
    return None


class _AtKinks:
    """The local problem at one neuron's kinks."""

    def __init__(
        self, sides: IntArray, at_kink: BoolArray, drive: Array, slope: float, gram: Array, factor: Array
    ) -> None:
        self.sides, self.at_kink, self.drive, self.slope = sides, at_kink, drive, slope
        self.gram, self.factor = gram, factor
        light = (np.abs(drive) <= LIGHT * np.abs(drive).max()) | (slope == 1.0)
        self.pulling = at_kink & (drive < 0.0) & ~light
        self.pushing = np.flatnonzero(at_kink & ~self.pulling)
        self.heavy = ~light[self.pushing]
        self.first_choice = np.where(sides[self.pushing] < 0, -1, 1)
        self._size = np.abs(drive) @ np.abs(gram)

    def settle(self, choice: IntArray) -> tuple[IntArray, Array, Array]:
        """Sides, slopes and dz_j/ds at the local minimum of ψ that is reached from a choice of sides."""
        seen = set()
        while True:
            seen.add(choice.tobytes())
            theta, speeds = self._convex(choice)
            wrong = choice * speeds[self.pushing] < -self._floor[self.pushing]
            if wrong.any():
                choice = np.where(wrong, -choice, choice)
                if choice.tobytes() not in seen:
                    continue
            better = None if wrong.any() else self._better_choice(choice, speeds)
            if better is None or better.tobytes() in seen:
                return choice, theta, speeds
            choice = better

    def _convex(self, choice: IntArray) -> tuple[Array, Array]:
        theta = _slopes_of(self.sides, self.slope)
        theta[self.pushing] = _slopes_of(choice, self.slope)
        theta[self.pulling] = minimum_norm_slopes(theta, self.pulling, self.drive, self.slope, self.factor)
        return theta, (self.drive * theta) @ self.gram

    def _better_choice(self, choice: IntArray, speeds: Array) -> IntArray | None:
        """Another choice for repelling units that stand still, under which they would not: then ψ is lower there."""
        still = np.flatnonzero((np.abs(speeds[self.pushing]) <= self._floor[self.pushing]) & self.heavy)
        for flips in _sign_choices(still.size):
            other = choice.copy()
            other[still] *= flips
            if not np.array_equal(other, choice) and not self.same_motion(self._convex(other)[1], speeds):
                return other
        return None

    def other_choices(self) -> Iterator[IntArray]:
        """First choices of sides to compare with."""
        movable = np.flatnonzero(self.heavy)
        for signs in _sign_choices(movable.size):
            choice = self.first_choice.copy()
            choice[movable] *= signs
            yield choice

    def same_motion(self, one: Array, other: Array) -> bool:
        """Whether two velocities are the same, seen from the samples."""
        return bool((np.abs(one - other) <= 1e-9 * self._size).all())

    def at_rest(self, theta: Array, speeds: Array) -> bool:
        """Whether nothing at its kink moves, within `release_delay` and rounding."""
        floor = release_delay(self.slope) * self._size + 64.0 * _EPS * (np.abs(self.drive * theta) @ np.abs(self.gram))
        return bool((np.abs(speeds) <= floor)[self.at_kink].all())

    def may_rest(self) -> bool:
        """Whether 0 ∈ -∂F(0), where that is one small problem: samples of Q that are independent, or on one line.

        Then the row may stay where it is, though ψ need not have a local minimum at 0.
        """
        Q = np.flatnonzero(self.at_kink)
        rank = independent_samples(self.factor, Q).size
        if self.slope == 1.0 or 1 < rank < Q.size:
            return False
        theta = _slopes_of(self.sides, self.slope)
        if rank == Q.size:
            free = self.at_kink & (np.abs(self.drive) > LIGHT * np.abs(self.drive).max())
            theta[free] = minimum_norm_slopes(theta, free, self.drive, self.slope, self.factor)
            left = (self.drive * theta) @ self.factor
        else:
            left = self._shortest_on_a_line(Q, theta)
        return bool(np.linalg.norm(left) <= 1e-9 * (np.abs(self.drive) @ np.linalg.norm(self.factor, axis=1)))

    def _shortest_on_a_line(self, Q: IndexArray, theta: Array) -> Array:
        """The shortest of -∂F(0) where the samples of Q are collinear: between the fields on the two sides."""
        side = np.sign(self.factor[Q] @ self.factor[Q[0]])
        ends = []
        for sign in (1.0, -1.0):
            theta[Q] = _slopes_of(sign * side, self.slope)
            ends.append((self.drive * theta) @ self.factor)
        way = ends[1] - ends[0]
        length = float(way @ way)
        share = np.clip(-(ends[0] @ way) / length, 0.0, 1.0) if length > 0.0 else 0.0
        return np.asarray(ends[0] + share * way)

    def sides_after(self, choice: IntArray, theta: Array, speeds: Array) -> IntArray:
        """The sides that go with a choice for the repelling units and slopes θ of the attracting ones."""
        after = self.sides.copy()
        after[self.pushing] = choice
        inside = (theta > self.slope) & (theta < 1.0) | self.at_rest(theta, speeds)
        after[self.pulling] = np.where(inside, 0, np.where(theta >= 1.0, 1, -1))[self.pulling]
        slides = self.pulling & (after == 0)
        others = np.flatnonzero(self.at_kink & ~slides)
        if slides.any() and others.size:
            rows = self.factor[others]
            in_span = _distance_square(rows, self.factor[slides]) <= DEPENDENT * np.sum(rows**2, axis=1)
            after[others[in_span]] = 0
        return after

    @property
    def _floor(self) -> Array:
        return 64.0 * _EPS * self._size


def _sign_choices(number: int) -> Iterator[IntArray]:
    """Sign vectors: all of them for few units, else all -, and each alone."""
    if number <= _ALL_CHOICES_UP_TO:
        yield from (np.array(signs, dtype=np.int8) for signs in product((1, -1), repeat=number))
        return
    yield -np.ones(number, dtype=np.int8)
    yield from (np.where(np.arange(number) == k, -1, 1).astype(np.int8) for k in range(number))


def _slopes_of(sides: IntArray | Array, slope: float) -> Array:
    return np.where(sides > 0, 1.0, np.where(sides < 0, slope, 0.0))


def minimum_norm_slopes(theta: Array, free: BoolArray, drive: Array, slope: float, factor: Array) -> Array:
    """θ over the units `free`, in [γ, 1], that minimize ‖(drive∘θ) L‖; exactly γ or 1 where a bound is active.

    `theta` holds the slopes of the other units. At a bound the field pushes the unit
    to that side; a unit inside, however near to an end, slides.
    """
    if not free.any():
        return theta[free]
    fixed = (drive * theta)[~free] @ factor[~free]
    columns = (drive[:, None] * factor)[free].T
    size = np.linalg.norm(columns, axis=0)
    if size.size == 1:
        return np.clip(-(columns[:, 0] @ fixed) / size**2, slope, 1.0)
    columns = columns / size
    found = _slopes_of_independent(columns.T @ columns, -(fixed @ columns), slope * size, size)
    if found is None:  # dependent columns leave θ open, which BVLS does not bear: a little weight on ‖θ‖ picks one
        columns = np.vstack([columns, TIE_BREAK * np.eye(size.size)])
        target = np.concatenate([-fixed, np.zeros(size.size)])
        solution = lsq_linear(columns, target, bounds=(slope * size, size), method="bvls", tol=1e-15, max_iter=1000)
        found = solution.x, solution.active_mask
    x, active = found
    inside = np.clip(x / size, np.nextafter(slope, 1.0), np.nextafter(1.0, 0.0))
    return np.where(active < 0, slope, np.where(active > 0, 1.0, inside))


def _slopes_of_independent(G: Array, r: Array, lower: Array, upper: Array) -> tuple[Array, IntArray] | None:
    """The x between bounds that minimizes ½xᵀGx - rᵀx, and where it is at a lower (-1) or an upper (+1) one.

    Which bounds are active is guessed, and guessed anew from the signs of what comes out; a guess that agrees with
    itself meets the optimality conditions. A bound is active only if x is pushed against it beyond rounding. None
    where samples are not so independent that G, of diagonal 1, has eigenvalues of 1/2 or more, or if no guess agrees.
    """
    if np.abs(G).sum(axis=0).max() > 1.5:
        return None
    active = np.zeros(r.size, dtype=np.int8)
    for _ in range(MOST_GUESSES):
        x, free = np.where(active < 0, lower, np.where(active > 0, upper, 0.0)), active == 0
        if free.any():
            x[free] = np.linalg.solve(G[np.ix_(free, free)], (r - G @ x)[free])
        rounding = 64.0 * _EPS * (np.abs(r) + np.abs(x).sum())
        below, beyond = x < lower - rounding, x > upper + rounding
        pushed = active * (G @ x - r) < -rounding
        guess = np.where(free, beyond.astype(np.int8) - below, np.where(pushed, active, 0))
        if np.array_equal(guess, active):
            return x, active
        active = guess.astype(np.int8)
    return None


def release_delay(slope: float, delay: float = RELEASE_DELAY) -> float:
    """`delay`, but no more than a thousandth of γ > 0: a slope of 0 is not one of γ, however small γ is.

    Examples
    --------
    >>> release_delay(0.5), release_delay(2.0**-30) == 1e-3 * 2.0**-30, release_delay(0.0)
    (1e-07, True, 1e-07)
    """
    return min(delay, 1e-3 * slope) if slope > 0.0 else delay


def sample_coordinates(gram: Array) -> Array:
    """L with K = L Lᵀ, each row as exact as its sample's norm allows, however different the norms are, shape (n, n).

    Examples
    --------
    >>> sample_coordinates(np.array([[4.0, 0.0], [0.0, 1e-20]]))
    array([[2.e+00, 0.e+00],
           [0.e+00, 1.e-10]])
    """
    norms = np.sqrt(np.diagonal(gram))
    return norms[:, None] * gram_factor(gram / norms[:, None] / norms)


def samples_in_span(factor: Array, chosen: BoolArray) -> BoolArray:
    """Which samples lie in the span of the chosen ones, to rounding, shape (n,).

    Parameters
    ----------
    factor : ndarray, shape (n, n)
        L with K = L Lᵀ: sample i has the coordinates L_i.
    chosen : ndarray of bool, shape (n,)

    Examples
    --------
    >>> samples_in_span(np.array([[1.0, 0.0], [-2.0, 0.0], [1.0, 1.0]]), np.array([True, False, False]))
    array([ True,  True, False])
    """
    return _distance_square(factor, factor[chosen]) <= DEPENDENT * np.sum(factor**2, axis=1)


def _distance_square(rows: Array, spanning: Array) -> Array:
    """Squared distances of the rows from the span of others, shape (len(rows),)."""
    directions = spanning / np.linalg.norm(spanning, axis=1, keepdims=True)
    if len(directions) == 1:
        rest = rows - (rows @ directions[0])[:, None] * directions
        rest -= (rest @ directions[0])[:, None] * directions
        return np.asarray(np.sum(rest**2, axis=1))
    _, sigma, Vt = np.linalg.svd(directions, full_matrices=False)
    basis = Vt[sigma > np.sqrt(DEPENDENT) * sigma.max(initial=0.0)]
    rest = rows - (rows @ basis.T) @ basis
    rest -= (rest @ basis.T) @ basis
    return np.asarray(np.sum(rest**2, axis=1))


def independent_samples(factor: Array, chosen: IndexArray) -> IndexArray:
    """Of the chosen samples, in their order, those that do not lie in the span of the ones before.

    Examples
    --------
    >>> independent_samples(np.array([[1.0, 0.0], [-2.0, 0.0], [1.0, 1.0]]), np.array([0, 1, 2]))
    array([0, 2])
    """
    kept: list[int] = []
    basis = np.zeros((0, factor.shape[1]))
    for i in chosen:
        row = factor[i]
        rest = row - (basis @ row) @ basis
        rest -= (basis @ rest) @ basis
        length = float(np.linalg.norm(rest))
        if length**2 > DEPENDENT * float(row @ row):
            kept.append(int(i))
            basis = np.vstack([basis, rest / length])
    return np.array(kept, dtype=np.intp)
