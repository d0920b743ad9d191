"""The runner: every item is asked, and what comes back is an `Item` of the scoreboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from refimpl.errors import FileFormatError
from refimpl.files import read_text
from verification.conformance.board import Item, Outcome, Scoreboard
from verification.conformance.calls import SideEffectError, call, offers, raised
from verification.conformance.checks import CHECKS
from verification.conformance.contract import REFUSES
from verification.conformance.judge import judge, judge_intermediates
from verification.conformance.precision import InFormat, case_in, format_named
from verification.conformance.probe import first_difference
from verification.conformance.vectors import Answer, VectorCase, load_vectors, read_answers
from verification.progress import Told

__all__ = [
    "NO_SKIPS",
    "Skips",
    "ask",
    "failed",
    "item_ids",
    "judge_answers",
    "read_skips",
    "run_conformance",
    "section_of",
    "skipped",
]


@dataclass(frozen=True)
class Skips:
    """Patterns of items that are not asked, each with its reason.

    Attributes
    ----------
    reasons : dict
        Pattern -> reason, in the order of the file.
    """

    reasons: dict[str, str]

    def reason(self, id: str) -> str | None:
        """Why the item is skipped; None if it is not."""
        return next((reason for pattern, reason in self.reasons.items() if fnmatchcase(id, pattern)), None)


NO_SKIPS = Skips({})

ONLY_FLOAT64 = "compares to the rounding of float64: asked in float64"


def read_skips(path: str | Path) -> Skips:
    """A skips file: a line is an id or a pattern, then # and the reason.

    Parameters
    ----------
    path : path

    Returns
    -------
    Skips

    Raises
    ------
    FileFormatError
        If there is no such file, a line has no reason, or a pattern fits no item.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
    ...     _ = file.write("properties/flow_limit   # too slow here\\n")
    ...     file.flush()
    ...     read_skips(file.name).reason("properties/flow_limit")
    'too slow here'
    """
    lines = read_text(path).splitlines()
    reasons: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        pattern, _, reason = (part.strip() for part in line.partition("#"))
        if not pattern:
            continue
        if not reason:
            raise FileFormatError(path, f"line {number} has no reason: write `{pattern}  # why`")
        if not any(fnmatchcase(id, pattern) for id in item_ids()):
            raise FileFormatError(path, f"line {number}: no item is called `{pattern}`")
        reasons[pattern] = reason
    return Skips(reasons)


def item_ids() -> list[str]:
    """The ids of all items, in order.

    Examples
    --------
    >>> ids = item_ids()
    >>> ids[0], "properties/clarke" in ids
    ('vectors/forward-001', True)
    """
    from verification.conformance.properties import PROPERTIES  # needs Hypothesis, which answers in files do not

    vectors = [f"vectors/{case.id}" for case in _cases().values()]
    return [*vectors, *(f"checks/{name}" for name in CHECKS), *(f"properties/{prop.name}" for prop in PROPERTIES)]


def run_conformance(
    implementation: Any,
    subject: str = "",
    skips: Skips = NO_SKIPS,
    progress: Callable[[str], None] = lambda message: None,
    dtype: str = "float64",
) -> Scoreboard:
    """Ask an implementation everything.

    Parameters
    ----------
    implementation : object or module
        With functions of `verification.conformance.contract.OPERATIONS`; bad input is tried only if
        `refuses_bad_input` is true.
    subject : str
        Its name on the scoreboard.
    skips : Skips
    progress : callable
        Called with a sentence before each section.
    dtype : str
        A key of `verification.conformance.precision.FORMATS`; other than in float64 the vectors alone are asked.

    Returns
    -------
    Scoreboard

    Examples
    --------
    >>> from verification.conformance.subjects.styles import Einsum
    >>> run_conformance(Einsum(), skips=Skips({"properties/*": "to be quick"})).exit_code
    0
    """
    items, ids = [], item_ids()
    for number, id in enumerate(ids):
        progress(Told("items", f"{number + 1} of {len(ids)}", number / len(ids)))
        items.append(ask(implementation, id, skips, dtype))
    return Scoreboard(subject or type(implementation).__name__, tuple(items), dtype)


def ask(implementation: Any, id: str, skips: Skips = NO_SKIPS, dtype: str = "float64") -> Item:
    """Ask an implementation one item."""
    form = format_named(dtype)
    kind, _, name = id.partition("/")
    reason = skips.reason(id)
    if reason is not None:
        return skipped(id, reason)
    case = case_in(_cases()[name], form) if kind == "vectors" else ONLY_FLOAT64 if dtype != "float64" else ""
    if isinstance(case, str) and case:
        return skipped(id, case)
    if isinstance(case, VectorCase):
        asked = implementation if dtype == "float64" else InFormat(implementation, form)
        return _vector_item(asked, case, id, section_of(id))
    return _check_item(implementation, name, id) if kind == "checks" else _property_item(implementation, name, id)


def section_of(id: str) -> str:
    """The line of the scoreboard that the item belongs to.

    Examples
    --------
    >>> section_of("vectors/loss-001"), section_of("checks/loss_values")
    ('vectors: loss', 'checks')
    """
    kind, _, name = id.partition("/")
    return f"vectors: {_cases()[name].kind}" if kind == "vectors" else kind


def skipped(id: str, reason: str) -> Item:
    """The item, not asked."""
    return Item(id, section_of(id), Outcome.SKIPPED, reason)


def failed(id: str, message: str, printed: str = "") -> Item:
    """The item, failed without a judgement."""
    kind, _, name = id.partition("/")
    comment = _cases()[name].comment if kind == "vectors" else ""
    return Item(id, section_of(id), Outcome.FAILED, message, comment=comment, printed=printed)


def judge_answers(folder: str | Path, dtype: str = "float64") -> Scoreboard:
    """Judge the answers in a folder that `verification.conformance.vectors.export_cases` wrote.

    A case without an answer is not offered.

    Raises
    ------
    FileFormatError
        If a case was changed, or an answer cannot be read.
    """
    form, items = format_named(dtype), list[Item]()
    cases = {id: case_in(case, form) for id, case in _cases().items()}
    answers = read_answers(folder, [case for case in cases.values() if isinstance(case, VectorCase)])
    for name, case in cases.items():
        if isinstance(case, str):
            items.append(skipped(f"vectors/{name}", case))
            continue
        id, section = f"vectors/{case.id}", f"vectors: {case.kind}"
        if case.id not in answers:
            items.append(Item(id, section, Outcome.NOT_OFFERED, "there is no answer", comment=case.comment))
            continue
        judgement = judge(case, answers[case.id])
        differs = None if judgement.right else judge_intermediates(case, answers[case.id].intermediates)
        outcome = Outcome.PASSED if judgement.right else Outcome.FAILED
        items.append(Item(id, section, outcome, judgement.message, differs, case.comment))
    return Scoreboard(str(folder), tuple(items), dtype)


@cache
def _cases() -> dict[str, VectorCase]:
    return {case.id: case for case in load_vectors()}


def _vector_item(implementation: Any, case: VectorCase, id: str, section: str) -> Item:
    if not offers(implementation, case.function):
        return Item(id, section, Outcome.NOT_OFFERED, f"there is no `{case.function}`", comment=case.comment)
    if case.kind == "refusals":
        if not getattr(implementation, REFUSES, False):
            return Item(id, section, Outcome.NOT_OFFERED, f"`{REFUSES}` is not set", comment=case.comment)
        return _refusal_item(implementation, case, id, section)
    try:
        judgement = judge(case, call(implementation, case.function, case.arguments))
        right, message = judgement.right, judgement.message
    except Exception as error:
        return failed(id, raised(error))
    exact = not isinstance(implementation, InFormat)
    differs = first_difference(implementation, case.arguments) if exact and not right else None
    return Item(id, section, Outcome.PASSED if right else Outcome.FAILED, message, differs, case.comment)


def _refusal_item(implementation: Any, case: VectorCase, id: str, section: str) -> Item:
    try:
        answer = call(implementation, case.function, case.arguments)
    except SideEffectError as error:
        return failed(id, str(error))
    except Exception:
        answer = Answer(None)
    judgement = judge(case, answer)
    outcome = Outcome.PASSED if judgement.right else Outcome.FAILED
    return Item(id, section, outcome, judgement.message, comment=case.comment)


def _check_item(implementation: Any, name: str, id: str) -> Item:
    check = CHECKS[name]
    missing = [function for function in check.needs if not offers(implementation, function)]
    if missing:
        return Item(id, "checks", Outcome.NOT_OFFERED, f"there is no `{missing[0]}`", comment=check.statement)
    result = check(implementation)
    if result.passed:
        return Item(id, "checks", Outcome.PASSED)
    return Item(id, "checks", Outcome.FAILED, result.message)


def _property_item(implementation: Any, name: str, id: str) -> Item:
    from verification.conformance.properties import PROPERTIES, run_property

    prop = next(prop for prop in PROPERTIES if prop.name == name)
    missing = [function for function in prop.needs if not offers(implementation, function)]
    if missing:
        return Item(id, "properties", Outcome.NOT_OFFERED, f"there is no `{missing[0]}`", comment=prop.statement)
    message = run_property(prop, implementation)
    return Item(id, "properties", Outcome.FAILED if message else Outcome.PASSED, message or "")
