"""Whether an answer to a vector case is right, and if not, how it is wrong.

An answer is right if every entry lies between the expected ends, each widened by its proven error and the case's
tolerance. What a wrong one looks like (single precision, a cancelled tail, a slope outside [γ, 1]) and the first
intermediate that differs are for people; the verdict does not rest on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.validation import Array
from verification.conformance.vectors import Answer, VectorCase

__all__ = ["INTERMEDIATES", "Judgement", "judge", "judge_intermediates"]

INTERMEDIATES = ("preactivation", "slope", "margin", "weight", "gradient")
"""In the order in which the backward pass needs them."""

SINGLE = (1e-9, 1e-4)
"""Relative errors between these, and not larger, are what float32 somewhere inside leaves."""

ROUNDING = 1e-12


@dataclass(frozen=True)
class Judgement:
    """What was found.

    Attributes
    ----------
    right : bool
    measured : float
        Largest distance from the expected interval, in units of the tolerance: at most 1 if right.
    message : str
        One sentence if wrong; empty if right.
    """

    right: bool
    measured: float
    message: str = ""


def judge(case: VectorCase, answer: Answer) -> Judgement:
    """Compare an answer with what the case expects.

    Examples
    --------
    >>> from verification.conformance.vectors import load_vectors
    >>> case = load_vectors("loss")[0]
    >>> judge(case, Answer(case.low)).right, judge(case, Answer(1.001 * case.low)).right
    (True, False)
    """
    if case.kind == "refusals":
        if answer.value is None:
            return Judgement(True, 0.0)
        return Judgement(False, np.inf, f"{case.comment}: must be refused, and was answered")
    if answer.value is None:
        return Judgement(False, np.inf, "valid inputs were refused")
    assert case.low is not None
    assert case.high is not None
    value = answer.value
    if answer.flat and value.size == case.low.size:
        value = value.reshape(case.low.shape)
    if value.shape != case.low.shape:
        return Judgement(False, np.inf, f"the shape is {value.shape} and must be {case.low.shape}")
    infinite = np.isinf(case.low)
    wrong = ~np.isfinite(value) & ~(infinite & (value == np.inf))
    if wrong.any():
        return Judgement(False, np.inf, f"{_first(value, wrong)} is not finite")
    return _compared(case, value)


def _compared(case: VectorCase, value: Array) -> Judgement:
    assert case.low is not None
    assert case.high is not None
    assert case.tolerance is not None
    assert case.error is not None
    with np.errstate(over="ignore", invalid="ignore"):
        outside = np.maximum(np.maximum(case.low - value, value - case.high), 0.0)
        outside = np.where(np.isinf(case.low) & np.isinf(value), 0.0, outside)
        allowed = case.tolerance.absolute + case.error
        excess = np.divide(outside, allowed, out=np.where(outside > 0.0, np.inf, 0.0), where=allowed > 0.0)
    measured = float(excess.max())
    if measured <= 1.0:
        return Judgement(True, measured)
    place = np.unravel_index(int(np.argmax(excess)), excess.shape)
    entry = f"entry {tuple(int(k) for k in place)}" if place else "the value"
    expected = _interval(float(case.low[place]), float(case.high[place]))
    off = f"{entry} is {float(value[place]):.17g} and must be {expected}"
    return Judgement(False, measured, f"{off}{_looks_like(case, outside)}")


def _interval(low: float, high: float) -> str:
    return f"{low:.17g}" if low == high else f"in [{low:.17g}, {high:.17g}]"


def _looks_like(case: VectorCase, outside: Array) -> str:
    """What the error looks like, from its size and the flags of the case."""
    assert case.low is not None
    largest = float(np.abs(case.low).max())
    relative = float(outside.max()) / largest if 0.0 < largest < np.inf else np.inf
    if "tail-cancellation" in case.flags and relative > ROUNDING:
        return ": the tail cancels (log1p, or log(1 + e^-q) with the signs apart, does not)"
    if "kink-at-zero" in case.flags and case.kind == "gradient" and relative > SINGLE[1]:
        return ": the slope at the kink is outside [γ, 1]"
    if SINGLE[0] < relative < SINGLE[1]:
        return f": a relative error of {relative:.0e}, as of single precision inside"
    return ""


def judge_intermediates(case: VectorCase, found: dict[str, Array]) -> str | None:
    """The first of the intermediates that differs from what the case expects; None if none of those given does.

    Compared to 1e-10 of the largest entry: this is a diagnosis, not a verdict.
    """
    expected: dict[str, Any] = dict(case.intermediates)
    if "preactivation" in expected:
        Z = expected["preactivation"]
        expected["slope"] = np.where(Z > 0.0, 1.0, case.inputs["slope"])
    for name in INTERMEDIATES:
        if name in found and name in expected:
            free = expected["preactivation"] == 0.0 if name == "slope" else np.zeros(np.shape(expected[name]), bool)
            if not _agree(found[name], expected[name], free):
                return name
    return None


def _agree(found: Array, expected: Array, free: Array) -> bool:
    found = np.asarray(found, dtype=np.float64)
    if found.shape != expected.shape:
        return False
    size = float(np.abs(expected).max(initial=0.0))
    with np.errstate(over="ignore", invalid="ignore"):
        difference = np.where(free, 0.0, np.abs(found - expected))
    return bool(np.all(difference <= 1e-10 * size + 1e-300))


def _first(value: Array, where: Array) -> str:
    if value.ndim == 0:
        return "the value"
    return f"entry {tuple(int(k) for k in np.argwhere(where)[0])}"
