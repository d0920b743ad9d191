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

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.errors import FileFormatError
from refimpl.files import read_text
from refimpl.network import TwoLayerNetwork, check_problem
from verification.exact.closed_form import (
    ExactClosedForm,
    exact_closed_form,
    first_surely_negative,
    integer_system,
)
from verification.exact.documents import Sealed, common, shown
from verification.exact.gram import IntMatrix, gram_of_samples
from verification.exact.network import ExactNetwork, exact_network, total
from verification.exact.section_five import MultiplierBounds, multiplier_bounds

__all__ = ["Certificate", "certify", "reject_early"]

SCHEMA = "implicit-bias-certificate"
SCHEMA_VERSION = 1

_Problem = tuple[ExactNetwork, IntMatrix, int, list[bool]]

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
class Certificate(Sealed):
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
        return None if multipliers is None or self.verdict == "rejected" else total(multipliers) / 2

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

    def document(self) -> dict[str, Any]:
        """The numbers that prove it, and what follows from them."""
        network, form, bounds = self.network, self.closed_form, self.bounds
        denominator, numerators = (None, None) if form.multipliers is None else common(form.multipliers)
        return {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "data": {"n": self.n, "d": self.d, "sha256": self.sha256},
            "network": {
                "slope": shown(network.slope),
                "slope_source": network.slope_source,
                "second_layer": network.second_layer,
                "positive": network.positive,
                "negative": network.negative,
                "mass_positive": shown(network.mass_positive),
                "mass_negative": shown(network.mass_negative),
            },
            "closed_form": {
                "denominator": denominator,
                "numerators": numerators,
                "kernel": None if form.kernel is None else [hex(k) for k in form.kernel],
                "objective": None if self.objective is None else shown(self.objective),
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
            "verdict": self.verdict,
            "conclusions": list(self.conclusions),
        }

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
    form = exact_closed_form(exact, S, exponent, positive_label, progress)
    progress("bounds of section 5")
    bounds = multiplier_bounds(exact, S, exponent, positive_label)
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
    negative = first_surely_negative(integer_system(exact, S, positive_label)[0])
    if negative is not None:
        return _negative_multiplier(negative)
    if exact.slope == 1:
        return None
    bounds = multiplier_bounds(exact, S, exponent, positive_label)
    return None if bounds.status == "holds" else _open_condition(bounds)


def _exact_problem(
    network: TwoLayerNetwork,
    data: Dataset,
    slope: Fraction | None,
    progress: Callable[[str], None] = lambda message: None,
) -> _Problem:
    """The network over Q, S = integers · 2^exponent, and which labels are positive."""
    exact = exact_network(network, slope)
    K, exponent = gram_of_samples(data, progress)
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


def _multipliers_from(form: dict[str, Any]) -> tuple[Fraction, ...] | None:
    if form["numerators"] is None:
        return None
    return tuple(Fraction(int(value, 16), int(form["denominator"], 16)) for value in form["numerators"])


def _parsed(text: str) -> Fraction:
    numerator, denominator = text.split("/")
    return Fraction(int(numerator, 16), int(denominator, 16))
