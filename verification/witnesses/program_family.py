"""The convex programs that the enumeration goes through, one for each choice of slopes (docs/theory.md, section 13)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement, product

import numpy as np
from numpy.typing import NDArray

from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array, BoolArray
from verification.witnesses.supports import active_set

__all__ = ["ProgramFamily", "neuron_groups", "samples_of_sign", "solve_choice"]

MAX_ROUNDS = 100
"""Rounds of adding corners to one program; each adds at least one, and few are ever needed."""


def neuron_groups(network: TwoLayerNetwork) -> list[tuple[float, int]]:
    """Each a that occurs, with the number of neurons that have it."""
    values, sizes = np.unique(network.second_layer, return_counts=True)
    return list(zip(values.tolist(), sizes.tolist(), strict=True))


def samples_of_sign(a: float, y: Array) -> NDArray[np.intp]:
    """The samples with a y_i > 0."""
    return np.flatnonzero(a * y > 0.0)


@dataclass(frozen=True, eq=False)
class ProgramFamily:
    """The programs of one network and data set, in units in which ‖a‖ = 1 and R_max = 1.

    U, shape (n, r), holds the unit samples in coordinates of their span, each right up to `rounding`; `norms` are the
    ‖x_i‖, and `signed` is a_j y_i, shape (m, n).
    """

    network: TwoLayerNetwork
    y: Array
    U: Array
    rounding: float
    norms: Array
    signed: Array

    @classmethod
    def of(cls, network: TwoLayerNetwork, data: Dataset) -> ProgramFamily:
        a = network.second_layer / np.abs(network.second_layer).max()
        unit = TwoLayerNetwork(a / np.linalg.norm(a), network.activation)
        U, rounding = data.sample_factor
        return cls(unit, data.y, U, rounding, data.norms / data.R_max, unit.second_layer[:, None] * data.y)

    @property
    def L(self) -> Array:
        """The samples in coordinates of their span, shape (n, r)."""
        return self.norms[:, None] * self.U

    @property
    def slope(self) -> float:
        return self.network.slope

    @property
    def own(self) -> BoolArray:
        """Units with a_j y_i > 0, whose slope is chosen; shape (m, n)."""
        return np.asarray(self.signed > 0.0)

    def choices(self) -> Iterator[Array]:
        """Every choice up to symmetry as s, shape (m, n), γ where nothing is chosen; slope 1 throughout first."""
        a = self.network.second_layer
        values = (1.0,) if self.slope == 1.0 else (1.0, self.slope)
        members = [np.flatnonzero(a == value) for value, _ in neuron_groups(self.network)]
        samples = [samples_of_sign(a[group[0]], self.y) for group in members]
        multisets = (
            combinations_with_replacement(list(product(values, repeat=own.size)), group.size)
            for group, own in zip(members, samples, strict=True)
        )
        for choice in product(*multisets):
            s = np.full(self.signed.shape, self.slope)
            for group, own, vectors in zip(members, samples, choice, strict=True):
                s[np.ix_(group, own)] = vectors
            yield s

    def coefficients(self, s: Array, lam: Array, extra: Array) -> Array:
        """a_j y_i β_ji with β = sλ + extra."""
        return np.asarray(self.signed * (s * lam + extra))

    def lower_bound(self, s: Array, lam: Array, extra: Array) -> float:
        """(Σλ)²/(2‖R‖²), a lower bound of the program s where 0 <= extra <= (1 - γ)λ off the own units.

        ‖R‖ is taken as long as rounding allows.
        """
        total, longest = float(lam.sum()), sum(self._length(s, lam, extra))
        if total == 0.0:
            return 0.0
        return 0.5 * (total / longest) ** 2 if longest > 0.0 else float("inf")

    def vanishes(self, s: Array, lam: Array, extra: Array) -> bool:
        """Whether R = 0 to rounding, λ ≠ 0."""
        length, rounding = self._length(s, lam, extra)
        return bool(lam.any()) and length <= 4.0 * rounding

    def _length(self, s: Array, lam: Array, extra: Array) -> tuple[float, float]:
        """‖R‖ and the rounding of it."""
        C = self.coefficients(s, lam, extra)
        rounding = self.rounding * float(np.linalg.norm(np.abs(C) @ self.norms))
        return float(np.linalg.norm(C @ self.L)), rounding

    def margins(self, C: Array) -> Array:
        """q of W = C X with the activation itself."""
        return self.y * self.network.outputs(C @ self.L @ self.L.T)

    def upper_bound(self, C: Array) -> float:
        """½‖W‖² for W = C X divided by its smallest margin; inf where that is not positive."""
        smallest = float(self.margins(C).min())
        return 0.5 * float(np.sum((C @ self.L) ** 2)) / smallest**2 if smallest > 0.0 else float("inf")


def solve_choice(family: ProgramFamily, s: Array) -> tuple[Array, Array]:
    """λ, shape (n,), and β - sλ, shape (m, n), of the best lower bound found for the program s; clipped to their signs.

    Each sample starts with the corner in which concave units have slope γ. At a W the corner that binds has slope 1
    where z_ji > 0; it is added where W violates it.
    """
    n = len(family.y)
    samples, corners = list(range(n)), [np.where(family.own[:, i], s[:, i], family.slope) for i in range(n)]
    seen = {(i, corner.tobytes()) for i, corner in zip(samples, corners, strict=True)}
    best, size = (np.ones(n), np.zeros_like(s)), 1.0
    for _ in range(MAX_ROUNDS):
        chosen = np.array(samples)
        slopes = np.array(corners)
        gradients = family.signed[:, chosen].T * slopes
        lengths = np.linalg.norm(gradients, axis=1) * family.norms[chosen]
        if np.any(lengths == 0.0):  # a sample whose margin is 0 whatever W is
            lam = np.zeros(n)
            lam[chosen[np.argmin(lengths)]] = 1.0
            return lam, np.zeros_like(s)
        rows = (gradients * family.norms[chosen, None])[:, :, None] * family.U[chosen, None, :] / lengths[:, None, None]
        U, b = rows.reshape(len(chosen), -1), lengths.min() / lengths
        xi = np.zeros(U.shape[1])
        for point, mu in active_set(U, b, size):
            xi, candidate = point, _from_corners(family, s, chosen, slopes, mu / lengths)
            best = max(best, candidate, key=lambda answer: family.lower_bound(s, *answer))
        size = float(np.linalg.norm(xi)) or 1.0
        Z = xi.reshape(s.shape[0], -1) @ family.U.T
        binding = np.where(family.own, s, np.where(Z > 0.0, 1.0, family.slope))
        new = [i for i in range(n) if (i, binding[:, i].tobytes()) not in seen]
        if family.vanishes(s, *best) or not new:
            break
        for i in new:
            seen.add((i, binding[:, i].tobytes()))
            samples.append(i)
            corners.append(binding[:, i].copy())
    return best


def _from_corners(
    family: ProgramFamily, s: Array, samples: NDArray[np.intp], slopes: Array, weights: Array
) -> tuple[Array, Array]:
    """λ and β - sλ of a combination of corners, clipped to their signs."""
    lam, beta = np.zeros(len(family.y)), np.zeros_like(s)
    weights = np.maximum(weights, 0.0)
    np.add.at(lam, samples, weights)
    np.add.at(beta.T, samples, weights[:, None] * slopes)
    extra = np.where(family.own, 0.0, beta - s * lam)
    return lam, np.clip(extra, 0.0, (1.0 - family.slope) * lam)
