"""The runner: every item is asked, and what comes back is an `Item` of the scoreboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.errors import FileFormatError
from refimpl.files import read_text
from verification.conformance.board import Item, Outcome, Scoreboard
from verification.conformance.calls import ArgumentChangedError, WrongTypeError, call, offers
from verification.conformance.judge import judge, judge_intermediates
from verification.conformance.probe import first_difference
from verification.implementation_checks import CHECKS, NEEDS
from verification.vectors import Answer, VectorCase, load_vectors, read_answers

__all__ = ["Skips", "ask", "item_ids", "judge_answers", "read_skips", "run_conformance"]

CORE = ("forward", "loss", "gradient", "descent")
"""What the checks call, beside what `NEEDS` names."""

REFUSES = "refuses_bad_input"
"""An implementation that has this attribute, true, is asked to refuse bad input; a bare formula is not."""


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
    skips: Skips = Skips({}),
    progress: Callable[[str], None] = lambda message: None,
) -> Scoreboard:
    """Ask an implementation everything.

    Parameters
    ----------
    implementation : object or module
        See `verification.implementation_checks.Implementation`; `stable_rank`, `max_margin`, `flow_limit`,
        `kkt_residuals` are optional, and bad input is tried only if `refuses_bad_input` is true.
    subject : str
        Its name on the scoreboard.
    skips : Skips
    progress : callable
        Called with a sentence before each section.

    Returns
    -------
    Scoreboard

    Examples
    --------
    >>> from verification.wrong_on_purpose import Einsum
    >>> run_conformance(Einsum(), skips=Skips({"properties/*": "to be quick"})).exit_code
    0
    """
    items, section = [], ""
    for id in item_ids():
        item = ask(implementation, id, skips)
        if item.section != section:
            section = item.section
            progress(section)
        items.append(item)
    return Scoreboard(subject or type(implementation).__name__, tuple(items))


def ask(implementation: Any, id: str, skips: Skips = Skips({})) -> Item:
    """Ask an implementation one item."""
    kind, _, name = id.partition("/")
    section = f"vectors: {_cases()[name].kind}" if kind == "vectors" else kind
    reason = skips.reason(id)
    if reason is not None:
        return Item(id, section, Outcome.SKIPPED, reason)
    if kind == "vectors":
        return _vector_item(implementation, _cases()[name], id, section)
    return _check_item(implementation, name, id) if kind == "checks" else _property_item(implementation, name, id)


def judge_answers(folder: str | Path) -> Scoreboard:
    """Judge the answers in a folder that `verification.vectors.export_cases` wrote.

    A case without an answer is not offered.

    Raises
    ------
    FileFormatError
        If a case was changed, or an answer cannot be read.
    """
    answers, items = read_answers(folder), []
    for case in _cases().values():
        id, section = f"vectors/{case.id}", f"vectors: {case.kind}"
        if case.id not in answers:
            items.append(Item(id, section, Outcome.NOT_OFFERED, "there is no answer", comment=case.comment))
            continue
        judgement = judge(case, answers[case.id])
        differs = None if judgement.right else judge_intermediates(case, answers[case.id].intermediates)
        outcome = Outcome.PASSED if judgement.right else Outcome.FAILED
        items.append(Item(id, section, outcome, judgement.message, differs, case.comment))
    return Scoreboard(str(folder), tuple(items))


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
    except (ArgumentChangedError, WrongTypeError) as error:
        return Item(id, section, Outcome.FAILED, str(error), comment=case.comment)
    except Exception as error:
        return Item(id, section, Outcome.FAILED, _raised(error), comment=case.comment)
    differs = None if right else first_difference(implementation, case.arguments)
    return Item(id, section, Outcome.PASSED if right else Outcome.FAILED, message, differs, case.comment)


def _refusal_item(implementation: Any, case: VectorCase, id: str, section: str) -> Item:
    try:
        answer = call(implementation, case.function, case.arguments)
    except Exception:
        answer = Answer(None)
    judgement = judge(case, answer)
    outcome = Outcome.PASSED if judgement.right else Outcome.FAILED
    return Item(id, section, outcome, judgement.message, comment=case.comment)


def _check_item(implementation: Any, name: str, id: str) -> Item:
    missing = [function for function in (*CORE, *_optional(name)) if not offers(implementation, function)]
    if missing:
        return Item(id, "checks", Outcome.NOT_OFFERED, f"there is no `{missing[0]}`")
    try:
        with np.errstate(all="ignore"):
            result = CHECKS[name](implementation)
    except Exception as error:
        return Item(id, "checks", Outcome.FAILED, _raised(error))
    return Item(
        id, "checks", Outcome.PASSED if result.passed else Outcome.FAILED, "" if result.passed else result.message
    )


def _optional(name: str) -> tuple[str, ...]:
    return (NEEDS[name],) if name in NEEDS else ()


def _property_item(implementation: Any, name: str, id: str) -> Item:
    from verification.conformance.properties import PROPERTIES, run_property

    prop = next(prop for prop in PROPERTIES if prop.name == name)
    missing = [function for function in prop.needs if not offers(implementation, function)]
    if missing:
        return Item(id, "properties", Outcome.NOT_OFFERED, f"there is no `{missing[0]}`", comment=prop.statement)
    message = run_property(prop, implementation)
    return Item(id, "properties", Outcome.FAILED if message else Outcome.PASSED, message or "")


def _raised(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"raised {type(error).__name__}: {text[:160]}"
