"""The proof that the checks can fail: every mistake is caught by the check named for it, every right one passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from verification.conformance.checks import CHECKS, applicable_checks
from verification.conformance.subjects.mistakes import MISTAKES, WRONG
from verification.conformance.subjects.styles import RIGHT

__all__ = ["NAMED_CHECK", "SelfTestRow", "self_test"]

NAMED_CHECK: dict[str, str] = {title: mistake.caught_by.removeprefix("checks/") for title, mistake in MISTAKES.items()}
"""For each wrong implementation, the check that must catch it."""


@dataclass(frozen=True)
class SelfTestRow:
    """One implementation and one check.

    Attributes
    ----------
    implementation : str
        A key of `RIGHT` or `MISTAKES`.
    named_check : str
        A key of `CHECKS`.
    caught : bool
        Whether the check failed.
    measured, tolerance : float
        As in `CheckResult`.
    wrong : bool
        Whether the implementation is wrong on purpose.
    """

    implementation: str
    named_check: str
    caught: bool
    measured: float
    tolerance: float
    wrong: bool

    @property
    def as_expected(self) -> bool:
        """Whether a wrong implementation was caught, or a right one passed."""
        return self.caught == self.wrong


def self_test() -> list[SelfTestRow]:
    """Every wrong implementation against the check named for it, and every right one against all checks.

    Returns
    -------
    list of SelfTestRow
        The checks work if every row is `as_expected`.

    Examples
    --------
    >>> all(row.as_expected for row in self_test())
    True
    """
    rows = [_row(name, WRONG[name], check, wrong=True) for name, check in NAMED_CHECK.items()]
    for name, implementation in RIGHT.items():
        rows += [_row(name, implementation, check, wrong=False) for check in applicable_checks(implementation)]
    return rows


def _row(name: str, implementation: Any, check: str, wrong: bool) -> SelfTestRow:
    result = CHECKS[check](implementation)
    return SelfTestRow(name, check, not result.passed, result.measured, result.tolerance, wrong)
