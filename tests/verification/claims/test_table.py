"""The table of claims fits the width that it gets, and an abridged one still tells what fails."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from verification.claims import CLAIMS
from verification.claims.base import ClaimResult, Conclusion, HypothesisResult, Measurement, Verdict
from verification.claims.table import ClaimsTable

LONGEST = max((claim.id for claim in CLAIMS), key=len)


def row(id: str, value: float | None, bound: float, verdict: Verdict, conclusion: Conclusion) -> ClaimResult:
    measurement = Measurement("the largest of many things that were measured", value, bound, 1.2e-12, "rounding")
    hypothesis = HypothesisResult("slope > 0, data separable", True, 1.2e-12)
    return ClaimResult(id, "Title", "source", hypothesis, measurement, verdict, "", 0.0, conclusion)


ROWS = [
    row(LONGEST, 1.2e-123, 1.234, Verdict.HYPOTHESIS_NOT_MET, Conclusion.HOLDS),
    row("limit-is-convex-optimum", 1.05, 0.0, Verdict.HYPOTHESIS_NOT_MET, Conclusion.FAILS),
    row("descent-converges", None, 1.0, Verdict.HOLDS_NUMERICALLY, Conclusion.UNDECIDED),
]


def printed(width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(ClaimsTable(ROWS))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 81, 99, 100, 110, 124, 125, 149, 150, 200])
def test_every_line_fits_and_every_row_is_one_claim(width: int) -> None:
    lines = printed(width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for one in ROWS:
        assert one.id in text  # whole, on one line
        assert one.verdict.name in text
    assert "…" not in text


def test_eighty_characters_tell_claim_slack_value_against_bound_and_verdict() -> None:
    lines = printed(80)
    assert lines[0].split() == ["claim", "slack", "value,", "bound", "verdict"]
    assert "1.05 > 0" in next(line for line in lines if "limit-is-convex-optimum" in line)
    assert "1.2e-123 ≤ 1.23" in next(line for line in lines if LONGEST in line)
    assert "- ? 1" in next(line for line in lines if "descent-converges" in line)
    assert lines[-1] == "≤ allows for the tolerance; --wide shows all columns."


def test_all_columns_where_there_is_room() -> None:
    text = "\n".join(printed(180))
    assert all(word in text for word in ("hypothesis", "tolerance", "conclusion", "1.2e-12", "UNDECIDED"))
    assert "--wide" not in text
