"""Every item as a test, for a user's own test suite (docs/conformance.md)."""

from __future__ import annotations

from typing import Any

import pytest

from verification.conformance import Outcome, Skips, ask


def test_item(conformance_implementation: Any, item_id: str, conformance_skips: Skips, conformance_dtype: str) -> None:
    """Passed, or the message of the scoreboard."""
    item = ask(conformance_implementation, item_id, conformance_skips, conformance_dtype)
    if item.outcome in (Outcome.SKIPPED, Outcome.NOT_OFFERED):
        pytest.skip(f"{item.outcome.value}: {item.message}")
    differs = f"; first that differs: {item.first_difference}" if item.first_difference else ""
    if item.outcome is not Outcome.PASSED:
        pytest.fail(f"{item.id}: {item.comment}: {item.message}{differs}", pytrace=False)
