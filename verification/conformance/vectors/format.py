"""How a vector file is written, sealed and read.

The text is canonical: keys in a fixed order, every float with 17 significant digits, rows of numbers on one line.
`sha256` is the hash of the canonical text without that key, so a file that was changed is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.documents import SPECIAL
from refimpl.errors import FileFormatError, InvalidParameterError
from refimpl.validation import Array
from verification.conformance.contract import KINDS

__all__ = [
    "FOLDER",
    "KINDS",
    "NOTES",
    "SCHEMA_VERSION",
    "VECTORS_VERSION",
    "Tolerance",
    "VectorCase",
    "canonical",
    "load_vectors",
    "read_vector_file",
    "seal_of",
]

FOLDER = Path(__file__).parent
"""Where the vectors lie."""

SCHEMA_VERSION = 1
VECTORS_VERSION = "1.2.0"
"""Of the vectors, not of the package; docs/conformance.md says when which number changes."""

NOTES = {
    "below-conditions": "No condition of docs/theory.md, section 5, holds.",
    "dependent-samples": "The rows of X are linearly dependent.",
    "extreme-scale": "Factors of 1e-150 to 1e150 in the inputs; no intermediate result needs to over- or underflow.",
    "inactive-constraint": "The solution has a margin above 1.",
    "kink-at-zero": "A preactivation is exactly 0, in any order of summation; any slope in [γ, 1] is right there.",
    "infeasible": "The smallest margin of W is not positive.",
    "late-crossing": "The velocity of the flow is nearly stationary long before its last unit crosses its kink.",
    "many-neurons": "m > 8, and no multiple of 8.",
    "many-samples": "n > 8, and no multiple of 8.",
    "margins-beyond-underflow": "e^{-|q|} is subnormal, 0, or beyond the largest float.",
    "must-refuse": "The inputs have no answer: an exception, or its like, is the right one.",
    "signed-zero": "An input is -0.0, which means 0.",
    "single-neuron": "m = 1.",
    "single-sample": "n = 1.",
    "slope-near-an-end": "γ is positive and at most 1/256, or just below 1.",
    "slope-one": "γ = 1: the network is linear.",
    "slope-zero": "γ = 0: a ReLU network.",
    "tail-cancellation": "log(1 + e^{-q}) or 1/(1 + e^{q}) as it is written loses all digits.",
    "unbalanced-labels": "One label only, or one in great minority.",
    "unbalanced-signs": "m₁ ≠ m₂.",
    "unequal-second-layer": "|a_j| is not the same for all j.",
}
"""What each flag means."""


@dataclass(frozen=True, eq=False)
class Tolerance:
    """By how much an answer may be off, beyond the error of the expected value.

    Attributes
    ----------
    absolute : ndarray
        Of the shape of the expected value, or shape ().
    reason : str
    """

    absolute: Array
    reason: str


@dataclass(frozen=True, eq=False)
class VectorCase:
    """One case.

    Attributes
    ----------
    id : str
        Never used again for another case.
    kind : str
        One of `KINDS`.
    group, comment : str
    flags : tuple of str
        Keys of `NOTES`.
    inputs : dict
        Arguments by name: float64 arrays, numbers, the loss as "logistic" or "exponential". In `refusals` the
        name of the function under "function".
    low, high : ndarray or None
        The expected value lies between them; equal where there is one only. None in `refusals`.
    error : ndarray or None
        Proven bound of the distance of `low` and `high` from the true numbers.
    intermediates : dict of ndarray
        In `gradient`: "preactivation" (m, n), "margin" (n,), "weight" (n,).
    tolerance : Tolerance or None
    """

    id: str
    kind: str
    group: str
    comment: str
    flags: tuple[str, ...]
    inputs: dict[str, Any]
    low: Array | None
    high: Array | None
    error: Array | None
    intermediates: dict[str, Array]
    tolerance: Tolerance | None

    @property
    def function(self) -> str:
        """The function of the implementation that the case is about."""
        return str(self.inputs["function"]) if self.kind == "refusals" else self.kind

    @property
    def arguments(self) -> dict[str, Any]:
        """Fresh copies of the inputs, without "function"."""
        return {
            name: value.copy() if isinstance(value, np.ndarray) else value
            for name, value in self.inputs.items()
            if name != "function"
        }


def load_vectors(kind: str | None = None, folder: Path = FOLDER) -> list[VectorCase]:
    """The cases of one kind, or all of them.

    Parameters
    ----------
    kind : str, optional
        One of `KINDS`.
    folder : Path
        With the vector files.

    Returns
    -------
    list of VectorCase

    Raises
    ------
    InvalidParameterError
        If there is no such kind.
    FileFormatError
        If a file is missing, or was changed.

    Examples
    --------
    >>> case = load_vectors("loss")[0]
    >>> case.id, sorted(case.inputs)
    ('loss-001', ['W', 'X', 'a', 'loss', 'slope', 'y'])
    >>> len(load_vectors()) >= 200
    True
    """
    if kind is None:
        return [case for name in KINDS for case in load_vectors(name, folder)]
    if kind not in KINDS:
        raise InvalidParameterError("kind", f"be one of {', '.join(KINDS)}", kind)
    return list(_cases_of(read_vector_file(folder / f"{kind}.json"), kind))


def read_vector_file(path: Path) -> dict[str, Any]:
    """The document in a vector file; FileFormatError unless its seal is right."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        sealed = document["sha256"] == seal_of(document)
        current = document["schema"] == "implicit-bias-vectors" and document["schema_version"] == SCHEMA_VERSION
    except FileNotFoundError as error:
        raise FileFormatError(path, "there is no such file") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(path, "it is not a vector file") from error
    if not current:
        raise FileFormatError(path, f"it is not a vector file of schema version {SCHEMA_VERSION}")
    if not sealed:
        raise FileFormatError(path, "its contents do not match its `sha256`: it was changed or is incomplete")
    return dict(document)


def seal_of(document: dict[str, Any]) -> str:
    """SHA-256 of the canonical text of everything but the seal."""
    rest = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(canonical(rest).encode()).hexdigest()


def canonical(document: dict[str, Any]) -> str:
    """The one text of a document.

    Examples
    --------
    >>> print(canonical({"x": [0.1, -0.0], "y": 1}), end="")
    {
     "x": [0.10000000000000001, -0.0],
     "y": 1
    }
    """
    return _text(document, 0) + "\n"


def _text(value: Any, level: int) -> str:
    pad = "\n" + " " * (level + 1)
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_text(item, level + 1)}" for key, item in value.items()]
        return "{" + pad + ("," + pad).join(parts) + "\n" + " " * level + "}" if parts else "{}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[" + pad + ("," + pad).join(_text(item, level + 1) for item in value) + "\n" + " " * level + "]"
    if isinstance(value, list):
        return "[" + ", ".join(_text(item, level) for item in value) + "]"
    if isinstance(value, float):
        digits = format(value, ".17g")
        return digits if "." in digits or "e" in digits else digits + ".0"
    return json.dumps(value, ensure_ascii=False)


def _cases_of(document: dict[str, Any], kind: str) -> Iterator[VectorCase]:
    for group in document["groups"]:
        for case in group["cases"]:
            expected, tolerance = case.get("expected"), case.get("tolerance")
            ends = [_array(expected.get(end, expected.get("value"))) for end in ("low", "high")] if expected else None
            yield VectorCase(
                id=case["id"],
                kind=kind,
                group=group["name"],
                comment=case["comment"],
                flags=tuple(case["flags"]),
                inputs={name: _input(value) for name, value in case["inputs"].items()},
                low=ends[0] if ends else None,
                high=ends[1] if ends else None,
                error=_array(expected["error"]) if expected else None,
                intermediates={name: _array(x) for name, x in (expected or {}).get("intermediates", {}).items()},
                tolerance=Tolerance(_array(tolerance["absolute"]), tolerance["reason"]) if tolerance else None,
            )


def _input(value: Any) -> Any:
    if isinstance(value, list):
        return _array(value)
    return SPECIAL.get(value, value) if isinstance(value, str) else value


def _array(value: Any) -> Array:
    return np.array(_with_tokens(value), dtype=np.float64)


def _with_tokens(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_tokens(item) for item in value]
    return SPECIAL[value] if isinstance(value, str) else value
