"""The table of claims fits the width that it gets, and an abridged one still tells what fails."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from verification.claims import CLAIMS, table
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


def test_yes_no_and_slacks() -> None:
    """Of a hypothesis without a slack whether it holds; else the slack."""
    for satisfied, slack, word in ((True, None, "yes"), (False, None, "no"), (False, 0.5, "0.5"), (True, 2.0, "2")):
        one = replace(ROWS[0], hypothesis=HypothesisResult("h", satisfied, slack))
        assert table.slack(one) == word


def test_each_number_stands_in_its_own_column() -> None:
    measured = Measurement("quantity", 1.25, 2.5, 0.125, "rounding")
    one = replace(ROWS[0], measurement=measured)
    found = {column.name: str(column.of(one)) for column in table.LAYOUTS[0]}
    assert (found["value"], found["bound"], found["tolerance"]) == ("1.25", "2.5", "0.125")
    assert (found["measured"], found["conclusion"]) == ("quantity", "HOLDS")
    assert table.against_bound(one) == "1.25 ≤ 2.5"


def test_colours_of_verdicts_and_conclusions() -> None:
    assert [table.CONCLUSION_STYLES[x] for x in (Conclusion.HOLDS, Conclusion.FAILS)] == ["green", "red"]
    assert table.CONCLUSION.of(ROWS[1]).style == "red"
    assert (table.VERDICT.of(replace(ROWS[1], verdict=Verdict.VIOLATED)).style, table.VERDICT.of(ROWS[2]).style) == (
        "bold red",
        "green",
    )
