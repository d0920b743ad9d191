"""Fixed checks of any implementation: cases that no draw of a few small numbers reaches.

The cases stand in `cases.py`, and what is compared in `relations.py`; the golden vectors judge the same functions
without a formula of the runner's own, and `properties.py` draws small cases that shrink.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from verification.conformance import cases, relations
from verification.conformance.calls import offers, raised
from verification.conformance.scalar import Case

__all__ = ["CHECKS", "Check", "CheckResult", "applicable_checks"]

ROUNDING = 1e-12
"""Sums of at most a few hundred terms of size 1, in any order, differ by less than this part of their size."""

DIFFERENCES = 1e-7
"""Central differences with h near eps^(1/3) are off by h² and eps/h, both near 1e-10; a wrong term is off by 1e-2."""

SOLVED = 1e-6
"""Solvers of convex programs at their default tolerances reach 1e-8; a wrong multiplier leaves 1e-2 or more."""

FLOW = 1e-3
"""An integration in plain time reaches 1e-4 at best; a pattern that is not the last one leaves 1e-2 or more."""


@dataclass(frozen=True)
class CheckResult:
    """Outcome of one check.

    Attributes
    ----------
    name : str
        The check's name in `CHECKS`.
    passed : bool
        measured <= tolerance, and `measured` is a number.
    measured : float
        The largest relative error that was seen; inf if something that must be finite is not.
    tolerance : float
    message : str
        What was compared, and where it was worst.
    """

    name: str
    passed: bool
    measured: float
    tolerance: float
    message: str


@dataclass(frozen=True)
class Check:
    """One relation on fixed cases.

    Attributes
    ----------
    name, statement : str
    needs : tuple of str
        The functions that it is about; it is asked of an implementation that offers them.
    error : callable
        A function of `verification.conformance.relations`.
    cases : callable
        () -> (what is special, the case), one after the other.
    tolerance : float
    """

    name: str
    statement: str
    needs: tuple[str, ...]
    error: Callable[[Any, Case], float]
    cases: Callable[[], Iterator[tuple[str, Case]]]
    tolerance: float = ROUNDING

    def __call__(self, implementation: Any) -> CheckResult:
        """Ask every case.

        Examples
        --------
        >>> from verification.conformance.subjects.styles import Einsum
        >>> CHECKS["loss_values"](Einsum()).passed
        True
        """
        measured, place = 0.0, "no case"
        for name, case in self.cases():
            try:
                with np.errstate(all="ignore"):
                    error = self.error(implementation, case)
            except Exception as exception:
                message = f"violated: {self.statement}; {raised(exception)}, at {name}"
                return CheckResult(self.name, False, math.inf, self.tolerance, message)
            if not error < measured:
                measured, place = math.inf if math.isnan(error) else error, name
        passed = measured <= self.tolerance
        verb = "" if passed else "violated: "
        message = f"{verb}{self.statement}; largest error {measured:.2e} at {place}"
        return CheckResult(self.name, passed, measured, self.tolerance, message)


def applicable_checks(implementation: Any) -> list[str]:
    """Names of the checks whose functions `implementation` offers.

    Examples
    --------
    >>> from verification.conformance.subjects.styles import ScalarLoops
    >>> "max_margin_kkt" in applicable_checks(ScalarLoops())
    False
    """
    return [name for name, check in CHECKS.items() if all(offers(implementation, needed) for needed in check.needs)]


CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("forward_scalar_loops", "f = Σ_j a_j max(γz, z)", ("forward",), relations.forward_error, cases.sizes),
        Check("forward_homogeneity", "f(x; cW) = c f(x; W)", ("forward",), relations.homogeneity_error, cases.sizes),
        Check("loss_values", "L = (1/n) Σ ℓ(q_i)", ("loss",), relations.loss_error, cases.margins),
        Check("loss_scalar_loops", "L = (1/n) Σ ℓ(q_i)", ("loss",), relations.loss_error, cases.both_losses),
        Check(
            "weight_values",
            "ℓ and g of a known margin, relative",
            ("loss", "gradient"),
            relations.tail_error,
            cases.single_margins,
        ),
        Check(
            "gradient_scalar_loops",
            "∇L = -(1/n) Σ g_i y_i a_j Φ_ji x_i",
            ("gradient",),
            relations.gradient_error,
            cases.both_losses,
        ),
        Check(
            "gradient_central_differences",
            "gradient and central differences of the loss agree",
            ("loss", "gradient"),
            relations.differences_error,
            cases.small,
            DIFFERENCES,
        ),
        Check(
            "clarke_at_kinks",
            "slopes at kinks lie in [γ, 1], all others are γ or 1",
            ("gradient",),
            relations.clarke_error,
            cases.kinks,
        ),
        Check(
            "descent_steps",
            "descent and W - α∇L, step by step in scalar loops, agree",
            ("descent",),
            relations.steps_error,
            cases.runs,
            100 * ROUNDING,
        ),
        Check("stable_rank_values", "‖W‖_F²/σ₁²", ("stable_rank",), relations.stable_rank_error, cases.matrices),
        Check(
            "inputs_untouched",
            "the arguments keep their values, and no result is a view of one",
            ("forward",),
            relations.called_error,
            cases.anything,
            0.0,
        ),
        Check("layouts", "arrays of any memory layout", ("forward",), relations.layout_error, cases.anything, SOLVED),
        Check(
            "repeated_calls",
            "the same answer twice, in any order of calls",
            ("forward",),
            relations.repeated_call_error,
            cases.anything,
            0.0,
        ),
        Check(
            "max_margin_kkt",
            "(v, u) meets the KKT conditions of the convex program (C)",
            ("max_margin",),
            relations.program_error,
            cases.programs,
            SOLVED,
        ),
        Check(
            "flow_limit_is_kkt",
            "the limit of the flow is a KKT point with smallest margin 1",
            ("flow_limit",),
            relations.limit_error,
            cases.flows,
            FLOW,
        ),
        Check(
            "no_separator",
            "what has no separator is refused",
            ("max_margin",),
            relations.refusal_error,
            cases.unseparable,
            0.0,
        ),
        Check(
            "flow_limit_depends_on_the_start",
            "the limit is that of the start",
            ("flow_limit",),
            relations.other_limit_error,
            cases.starts,
            FLOW,
        ),
        Check(
            "kkt_residuals_far",
            "residuals of points that are none, λ >= 0",
            ("kkt_residuals",),
            relations.stated_residuals_error,
            cases.far,
            SOLVED,
        ),
        Check(
            "kkt_residuals_vanish",
            "all four residuals are 0 at a KKT point",
            ("kkt_residuals",),
            relations.residuals_error,
            cases.points,
            SOLVED,
        ),
    )
}
"""Every check by its name."""
