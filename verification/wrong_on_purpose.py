"""See `verification.conformance.self_test` and `verification.conformance.subjects`."""

from typing import Any

from verification.conformance.self_test import NAMED_CHECK, SelfTestRow, self_test
from verification.conformance.subjects import mistakes
from verification.conformance.subjects.mistakes import WRONG
from verification.conformance.subjects.reference import ReferenceImplementation, reference_implementation
from verification.conformance.subjects.styles import RIGHT, Einsum, ScalarLoops

__all__ = [
    "NAMED_CHECK",
    "RIGHT",
    "WRONG",
    "Einsum",
    "ReferenceImplementation",
    "ScalarLoops",
    "SelfTestRow",
    "reference_implementation",
    "self_test",
]


def __getattr__(name: str) -> Any:
    return getattr(mistakes, name)
