"""Section 5 of docs/theory.md decided over the rationals by one short vector of bounds, found with outward rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from verification.exact.gram import IntMatrix
from verification.exact.network import ExactNetwork

__all__ = ["MultiplierBounds", "multiplier_bounds"]

FIRST_BITS, LAST_BITS = 64, 1024  # length of the bounds, doubled while the condition is open


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


def multiplier_bounds(network: ExactNetwork, S: IntMatrix, exponent: int, label: list[bool]) -> MultiplierBounds:
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
