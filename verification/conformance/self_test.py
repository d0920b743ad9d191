"""The proof that the checks can fail: every mistake is caught by the check named for it, every right one passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from verification.conformance.calls import call, offers
from verification.conformance.checks import CHECKS, applicable_checks
from verification.conformance.contract import ARGUMENTS, REFUSES
from verification.conformance.judge import judge
from verification.conformance.precision import Format, InFormat, case_in, cases_in, format_named
from verification.conformance.subjects.mistakes import MISTAKES, WRONG, Mistake
from verification.conformance.subjects.styles import RIGHT
from verification.conformance.vectors import VectorCase, load_vectors
from verification.progress import Told

__all__ = ["NAMED_CHECK", "SelfTestRow", "self_test", "standing_in", "unseen_in"]

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


def self_test(progress: Callable[[str], None] = lambda message: None) -> list[SelfTestRow]:
    """Every wrong implementation against the check named for it, and every right one against all checks.

    Parameters
    ----------
    progress : callable
        Called with a sentence before each check.

    Returns
    -------
    list of SelfTestRow
        The checks work if every row is `as_expected`.

    Examples
    --------
    >>> all(row.as_expected for row in self_test())
    True
    """
    pairs = [(name, WRONG[name], check, True) for name, check in NAMED_CHECK.items()]
    for name, implementation in RIGHT.items():
        pairs += [(name, implementation, check, False) for check in applicable_checks(implementation)]
    rows = []
    for number, (name, implementation, check, wrong) in enumerate(pairs, 1):
        counts = f"{number} of {len(pairs)}, {check} of the implementation “{name}”"
        progress(Told("checks", counts, (number - 1) / len(pairs)))
        rows.append(_row(name, implementation, check, wrong))
    return rows


def _row(name: str, implementation: Any, check: str, wrong: bool) -> SelfTestRow:
    result = CHECKS[check](implementation)
    return SelfTestRow(name, check, not result.passed, result.measured, result.tolerance, wrong)


SEEN, HIDDEN = "seen", "in the bound"
"""Some vector shows the mistake; or those that show it in float64 are asked, and its error is within their bounds."""

WHY = {"no a-priori bound": "not asked", "overflow": "overflow", "": "bound too wide"}
"""Why those vectors are not asked, by what `case_in` says."""


def standing_in(dtype: str, titles: Iterable[str] = MISTAKES) -> dict[str, str]:
    """For each mistake that a file can show in float64: whether some vector shows it in this format, or why none does.

    Where several reasons hold, the one that comes first: in the bound, bound too wide, overflow, not asked.

    Parameters
    ----------
    dtype : str
        A key of `verification.conformance.precision.FORMATS`.
    titles : iterable of str
        Keys of `MISTAKES`.

    Examples
    --------
    >>> titles = ["slope forgotten", "slope off by 1e-7", "residuals with slopes fixed at kinks"]
    >>> list(standing_in("bfloat16", titles).values())
    ['seen', 'in the bound', 'not asked']
    """
    form, cases = format_named(dtype), cases_in(dtype)
    asked = [mistake for mistake in map(MISTAKES.__getitem__, titles) if mistake.vectors]
    return {mistake.title: SEEN if _is_seen(mistake, form, cases) else _why_unseen(mistake, form) for mistake in asked}


def _is_seen(mistake: Mistake, form: Format, cases: Iterable[VectorCase]) -> bool:
    asked = InFormat(_Cast(mistake.implementation, form), form)
    return any(_fails(asked, case) for case in cases)


def _why_unseen(mistake: Mistake, form: Format) -> str:
    shown = [case for case in load_vectors() if case.kind in mistake.vectors and _fails(mistake.implementation, case)]
    reasons = set()
    for case in shown:
        other = case_in(case, form)
        told = next(name for key, name in WHY.items() if key in other) if isinstance(other, str) else HIDDEN
        reasons.add(told)
    return next(reason for reason in (HIDDEN, *reversed(WHY.values())) if reason in reasons)


def unseen_in(dtype: str) -> list[str]:
    """Titles of the mistakes that some vectors show in float64, and none shows in this format.

    Parameters
    ----------
    dtype : str
        A key of `verification.conformance.precision.FORMATS`.

    Examples
    --------
    >>> "slope forgotten" in unseen_in("bfloat16"), "slope off by 1e-7" in unseen_in("bfloat16")
    (False, True)
    """
    form, cases = format_named(dtype), cases_in(dtype)
    shown = [mistake for mistake in MISTAKES.values() if mistake.vectors]
    return [mistake.title for mistake in shown if not _is_seen(mistake, form, cases)]


def _fails(implementation: Any, case: VectorCase) -> bool:
    if not offers(implementation, case.function) or (case.kind == "refusals" and not hasattr(implementation, REFUSES)):
        return False
    try:
        return not judge(case, call(implementation, case.function, case.arguments)).right
    except Exception:
        return case.kind != "refusals"


class _Cast:
    """Computes in float64, and rounds what comes out to the format."""

    def __init__(self, implementation: Any, form: Format) -> None:
        self._implementation, self._form = implementation, form

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._implementation, name)
        return self._rounded(found) if name in ARGUMENTS else found

    def _rounded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def rounded(*arguments: Any) -> Any:
            wide = [x.astype(np.float64) if isinstance(x, np.ndarray) else x for x in arguments]
            return self._given_back(function(*wide))

        return rounded

    def _given_back(self, found: Any) -> Any:
        if isinstance(found, tuple):
            return tuple(map(self._given_back, found))
        return self._form.round(found).astype(self._form.carrier) if isinstance(found, np.ndarray) else found
