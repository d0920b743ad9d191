"""What a neuron does at its kinks: cross, slide, or turn (docs/theory.md, section 7, "Several kinks at once").

At a point where the units i in Q of neuron j rest on their kinks (z_ji = 0), docs/theory.md (7.9) decides the future:

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

from refimpl.flow.independence import DEPENDENT, distance_square, independent_samples
from refimpl.flow.least_slopes import minimum_norm_slopes
from refimpl.flow.pattern import Pattern, slopes_of
from refimpl.validation import Array, BoolArray, IndexArray, IntArray

__all__ = [
    "LIGHT",
    "RELEASE_DELAY",
    "Resolution",
    "release_delay",
    "resolve_arrival",
    "resolve_kinks",
    "resolve_one_kink",
]

LIGHT = 1e-100
"""A sample of at most this part of the largest weight has no say: its units go where the others push them."""

_ALL_CHOICES_UP_TO = 6
"""Repelling units up to which every choice of their slopes is tried; for more, all +, all -, and each alone."""

RELEASE_DELAY = 1e-7
"""A unit leaves a kink that attracts once its effective slope, or its speed, says so by this much. Weights carry
the solver's error, up to fifty times `atol`; a unit released by less might slide again at once, and so on for ever."""

WELL_INSIDE = 1e-6
"""Slopes of sliding units that keep this part of 1 - γ from γ and 1 are not at an end, whatever rounding."""

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


def resolve_arrival(i: int, pattern: Pattern, drive: Array, slope: float) -> int | None:
    """What `resolve_kinks` says where unit i arrives alone, and the units of its neuron that slide go on sliding.

    With them K/K_TT takes the place of K (docs/theory.md, section 7, "Sliding"). Their slopes follow from (7.4), and if
    they lie inside [γ, 1] all conditions of the least-squares problem (7.10) are met. The samples are independent.

    Returns
    -------
    int or None
        As `resolve_one_kink`; None also where a unit might stop sliding.
    """
    T = pattern.samples
    side = resolve_one_kink(i, pattern.sides, drive, slope, pattern.gram[i], pattern.schur_row(i))
    if side is None or T.size == 0:
        return side
    if drive[i] >= 0.0 and side == pattern.sides[i]:
        return None
    theta = slopes_of(pattern.sides, slope)
    theta[i] = 1.0 if side > 0 else slope
    if side == 0:
        theta[i] = 0.0
        S_i = pattern.schur_row(i)
        theta[i] = np.clip(-float((drive * theta) @ S_i) / float(drive[i] * S_i[i]), slope, 1.0)
    forces, heavy = pattern.regression @ (drive * theta), -LIGHT * float(np.abs(drive).max())
    if np.any(drive[T] >= heavy):
        return None
    of_sliding = -forces / drive[T]
    inside = (of_sliding > slope + WELL_INSIDE * (1.0 - slope)) & (of_sliding < 1.0 - WELL_INSIDE * (1.0 - slope))
    return side if inside.all() else None


def resolve_one_kink(
    i: int, sides: IntArray, drive: Array, slope: float, K_i: Array, S_i: Array | None = None
) -> int | None:
    """What `resolve_kinks` says where sample i, which arrives from its side, is the only one at its kink.

    One speed v(θ) = Σ_{k≠i} e_k θ_k K_ki + e_i θ K_ii decides, at θ = γ and 1.

    Parameters
    ----------
    i : int
    sides : ndarray of int8, shape (n,)
    drive : ndarray, shape (n,)
        e.
    slope : float
        γ.
    K_i : ndarray, shape (n,)
        Row i of K.
    S_i : ndarray, shape (n,), optional
        Row i of K/K_TT, where units T slide.

    Returns
    -------
    int or None
        The side that the unit leaves to, 0 if it slides; None where it hardly moves and pushes, or says nothing.

    Examples
    --------
    The same drive from the other samples; the unit's own attracts, and is strong enough to hold it or is not.

    >>> K_0 = np.array([1.0, 0.5])
    >>> [resolve_one_kink(0, np.array([-1, 1], np.int8), np.array([e, 1.0]), 0.1, K_0) for e in (-2.0, -0.4)]
    [0, 1]
    """
    e, theta, S_i = float(drive[i]), slopes_of(sides, slope), K_i if S_i is None else S_i
    terms = drive * theta * S_i
    terms[i] = 0.0
    others, own = float(terms.sum()), e * float(S_i[i])
    sizes = np.abs(drive)
    size = float(sizes @ np.abs(K_i))
    light = abs(e) <= LIGHT * float(sizes.max()) or slope == 1.0
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
        """Sides, slopes and dz_j/ds at the local minimum of ψ (7.9) that is reached from a choice of sides."""
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
        theta = slopes_of(self.sides, self.slope)
        theta[self.pushing] = slopes_of(choice, self.slope)
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
        theta = slopes_of(self.sides, self.slope)
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
            theta[Q] = slopes_of(sign * side, self.slope)
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
            in_span = distance_square(rows, self.factor[slides]) <= DEPENDENT * np.sum(rows**2, axis=1)
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


def release_delay(slope: float, delay: float = RELEASE_DELAY) -> float:
    """`delay`, but no more than a thousandth of γ > 0: a slope of 0 is not one of γ, however small γ is.

    Examples
    --------
    >>> release_delay(0.5), release_delay(2.0**-30) == 1e-3 * 2.0**-30, release_delay(0.0)
    (1e-07, True, 1e-07)
    """
    return min(delay, 1e-3 * slope) if slope > 0.0 else delay
