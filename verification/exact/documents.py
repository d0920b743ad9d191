"""What proofs of points, flows and optima share: the file, its seal, and the answer that nothing was proven."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from refimpl.files import open_output

__all__ = ["NotProven", "Sealed", "common", "shown"]


@dataclass(frozen=True)
class NotProven:
    """Nothing was proven, and why: a part of a sentence."""

    reason: str
    proven = False


class Sealed:
    """A certificate that can be written: `document` in canonical form, sealed with its SHA-256."""

    def document(self) -> dict[str, Any]:
        """Everything but the seal, ready for JSON."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The canonical text: sorted keys, numbers in hexadecimal, sealed with its own SHA-256."""
        document = self.document()
        document["seal"] = hashlib.sha256(_canonical(document).encode()).hexdigest()
        return _canonical(document)

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write `to_json()` to `path`; an existing file is overwritten only with `force`."""
        with open_output(path, force) as handle:
            handle.write(self.to_json().encode())


def common(values: Sequence[Fraction]) -> tuple[str, list[str]]:
    """The least common denominator and the numerators over it, in hexadecimal.

    Examples
    --------
    >>> common([Fraction(1, 2), Fraction(-2, 3)])
    ('0x6', ['0x3', '-0x4'])
    """
    denominator = math.lcm(*(value.denominator for value in values))
    return hex(denominator), [hex(value.numerator * (denominator // value.denominator)) for value in values]


def shown(value: Fraction) -> str:
    """A fraction in hexadecimal, such as 0x1/0x2."""
    return f"{hex(value.numerator)}/{hex(value.denominator)}"


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
