"""Changes that a checker of proofs must refuse: single digits, and structure."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Iterator
from typing import Any

__all__ = ["changed_digit", "digit_changes", "resealed", "structural_changes"]

HUGE = "0x" + "f" * 200_000


def changed_digit(text: str, rng: random.Random) -> tuple[str, int]:
    places = [k for k, character in enumerate(text) if character in "0123456789abcdef" and in_number(text, k)]
    place = rng.choice(places)
    alphabet = "0123456789" if text[place].isdigit() and rng.random() < 0.5 else "0123456789abcdef"
    return text[:place] + rng.choice([c for c in alphabet if c != text[place]]) + text[place + 1 :], place


def in_number(text: str, k: int) -> bool:
    """Decimal digits count wherever they stand; letters count after 0x or in a hash."""
    if text[k].isdigit():
        return True
    start = max(text.rfind(mark, 0, k) for mark in '"/ -')
    word = text[start + 1 : k + 1]
    return word.startswith("0x") or (start >= 0 and len(text[start + 1 :].split('"')[0]) == 64)


def resealed(text: str) -> str | None:
    """The text with a seal that fits, as a forger would write it."""
    try:
        document = json.loads(text)
        del document["seal"]
    except (ValueError, KeyError):
        return None
    seal = hashlib.sha256((json.dumps(document, indent=1, sort_keys=True) + "\n").encode()).hexdigest()
    return json.dumps({**document, "seal": seal}, indent=1, sort_keys=True) + "\n"


def digit_changes(text: str, count: int, seed: int) -> Iterator[str]:
    """`count` texts with one digit changed; every second one sealed again, as a forger would."""
    rng = random.Random(seed)
    for trial in range(count):
        changed = changed_digit(text, rng)[0]
        yield (resealed(changed) or changed) if trial % 2 else changed


def structural_changes(text: str, count: int, seed: int) -> Iterator[str]:
    """`count` texts with another structure, sealed again where they are JSON without duplicates."""
    rng, original = random.Random(seed), json.loads(text)
    made = 0
    while made < count:
        document = copy.deepcopy(original)
        where, key = rng.choice(list(_places(document)))
        kind = rng.choice(["swap", "drop", "rename", "huge", "type", "null", "copy", "repeat"])
        value = where[key]
        if kind == "swap":
            other, there = rng.choice(list(_places(document)))
            where[key], other[there] = copy.deepcopy(other[there]), copy.deepcopy(value)
        elif kind == "drop":
            del where[key]
        elif kind == "rename" and isinstance(where, dict):
            where[key + "_"] = where.pop(key)
        elif kind == "huge":
            where[key] = rng.choice([HUGE, "-" + HUGE, "0x1p999999999", "1e999999999", 10**400])
        elif kind == "type":
            where[key] = rng.choice([[value], {"value": value}, str(value), 0.5, True])
        elif kind == "null":
            where[key] = None
        elif kind == "copy" and isinstance(where, list):
            where.insert(key, copy.deepcopy(value))
        elif kind == "repeat":
            again = f'"{next(iter(original))}": 1,'
            yield text.replace("{", "{" + again, 1)
            made += 1
            continue
        changed = resealed(json.dumps(document))
        if document != original and changed is not None and changed != text:
            made += 1
            yield changed


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything in it but the seal, which is made again."""
    pairs = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in list(pairs):
        if key != "seal":
            yield document, key
            if isinstance(value, dict | list):
                yield from _places(value)
