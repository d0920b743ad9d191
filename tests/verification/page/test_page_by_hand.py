"""What stands in which cell of a page, of rows that were written by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gradient_flow
from verification.claims.base import ClaimResult, Conclusion, HypothesisResult, Measurement, Verdict
from verification.page import of_report, of_runs, pictures


def row(verdict=Verdict.VIOLATED, conclusion=Conclusion.FAILS, satisfied=False, slack=None) -> ClaimResult:
    measured = Measurement("quantity", 1.25, 2.5, 0.125, "rounding", details={"parts": [1.0, 2.0]})
    hypothesis = HypothesisResult("a hypothesis", satisfied, slack)
    return ClaimResult("an-id", "A title", "a source", hypothesis, measured, verdict, "A reason.", 0.5, conclusion)


def test_a_row_of_the_table_of_claims() -> None:
    (table,) = of_report.claims_section(SimpleNamespace(claims=[row()])).tables
    assert [table.head[k] for k in table.numbers] == ["value", "bound", "tolerance"]
    (cells,) = table.cells
    said = dict(zip(table.head, cells, strict=True))
    assert {name: cell.text for name, cell in said.items()} == {
        "claim": "an-id",
        "verdict": "VIOLATED",
        "conclusion": "FAILS",
        "hypothesis (slack)": "a hypothesis (no)",
        "measured": "quantity",
        "value": "1.25",
        "bound": "2.5",
        "tolerance": "0.125",
    }
    assert (said["verdict"].tone, said["conclusion"].tone) == ("bad", "bad")


@pytest.mark.parametrize(
    ("verdict", "tone"),
    [
        (Verdict.HOLDS_CERTIFIED, "good"),
        (Verdict.HOLDS_NUMERICALLY, "good"),
        (Verdict.VIOLATED, "bad"),
        (Verdict.VACUOUS, "empty"),
        (Verdict.HYPOTHESIS_NOT_MET, "unmet"),
        (Verdict.INCONCLUSIVE, "doubt"),
    ],
)
def test_the_tone_of_each_verdict(verdict: Verdict, tone: str) -> None:
    assert of_report.TONES[verdict] == tone
    tones = [of_report.CONCLUSION_TONES[x] for x in (Conclusion.HOLDS, Conclusion.FAILS, Conclusion.UNDECIDED)]
    assert tones == ["good", "bad", "doubt"]


def test_a_claim_in_full() -> None:
    for satisfied, slack, told in ((True, None, "holds"), (False, None, "does not hold"), (True, 1.5, "holds")):
        section = of_report.row_section(row(satisfied=satisfied, slack=slack))
        facts = dict(section.tables[0].rows)
        assert facts["hypothesis"] == f"a hypothesis: {told}"
        assert facts["slack"] == ("none" if slack is None else "1.5")
        assert (facts["quantity"], facts["bound"], facts["tolerance"]) == ("1.25", "2.5", "0.125 (rounding)")
        assert facts["parts"] == "1, 2"
    undecided = replace(row(), hypothesis=HypothesisResult("a hypothesis", False, None, "nobody knows"))
    assert dict(of_report.row_section(undecided).tables[0].rows)["hypothesis"] == "a hypothesis: nobody knows"


def test_conditions_that_hold_and_fail() -> None:
    conditions = [
        {"title": f"condition {k}", "satisfied": k == 0, "slack": 2.0 - 1.5 * k, "note": "a note"} for k in range(2)
    ]
    (table,) = of_report.conditions_section(SimpleNamespace(conditions=conditions)).tables
    assert [[cell.text for cell in cells] for cells in table.cells] == [
        ["condition 0", "holds", "2", "a note"],
        ["condition 1", "does not hold", "0.5", "a note"],
    ]


class Computed(SimpleNamespace):
    """Quantities that have been computed, as `Evidence.known` gives them."""

    def known(self, quantity, otherwise=None):
        return getattr(self, quantity, otherwise)


@pytest.fixture(scope="module")
def flows() -> list:
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    data = Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])
    return [gradient_flow(network, data, scale * np.eye(3)) for scale in (0.1, 0.2, 0.3, 0.4)]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_three_flows_are_drawn_and_all_are_told(flows, count: int) -> None:
    starts = [{"scale": k + 1.0, "status": "CONVERGED", "events": 1000 * k, "message": "m"} for k in range(count)]
    section = of_report.flow_section(SimpleNamespace(starts=starts), Computed(flows=tuple(flows[:count])))
    assert [cells[0] for cells in section.tables[0].rows] == [str(k + 1) for k in range(count)]
    assert section.tables[0].rows[-1][2] == f"{1000 * (count - 1):,}"
    assert len(section.pictures) == 4 + 1  # of the first flow, and the limits
    assert len(section.more) == (count > 1)
    drawn = [picture.says for part in section.more for picture in part.pictures]
    assert len(drawn) == min(count, 3) - 1
    for k, says in enumerate(drawn, 1):
        q = flows[k].trajectory.margins[-1]
        assert f"start of scale {k + 1}" in says
        assert f"margins lie between {q.min():.4g} and {q.max():.4g}" in says


def test_samples_of_a_limit_are_counted_from_one(flows) -> None:
    limit = flows[0].limit
    changed = replace(flows[0], limit=replace(limit, multipliers=np.array([0.125, 0.75])))
    page = of_runs.page_of_flow(changed, [], "here", "", {})
    (table,) = page.sections[-1].more[0].tables
    assert [cells[0] for cells in table.rows] == ["1", "2"]
    assert [cells[2] for cells in table.rows] == ["0.125", "0.75"]
    assert [float(cells[1]) for cells in table.rows] == pytest.approx(limit.margins.tolist())


@pytest.mark.parametrize(("n", "drawn"), [(3, True), (4, False)])
def test_the_gram_matrix_of_few_samples_is_drawn(n: int, drawn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_report, "MOST_GRAM", 3)
    data = Dataset(np.eye(n), [1.0] + [-1.0] * (n - 1))
    sections = list(of_report.evidence_sections(Computed(data=data)))
    assert [section.title for section in sections] == (["Gram matrix"] if drawn else [])
    assert not drawn or f"{n} samples, 1 of them of label +1" in sections[0].pictures[0].says


def test_the_first_descent_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_report, "MOST_GRAM", 0)
    monkeypatch.setattr(of_report, "descent_pictures", lambda result: [])
    runs = [
        SimpleNamespace(scale=scale, result=SimpleNamespace(trajectory=SimpleNamespace(step=np.array([0, 1500]))))
        for scale in (0.25, 4.0)
    ]
    evidence = Computed(data=Dataset(np.eye(2), [1.0, -1.0]), descents=runs)
    (section,) = of_report.evidence_sections(evidence)
    assert section.sentences == ["1,500 steps of gradient descent from the start of scale 0.25."]


def test_a_picture_has_identifiers_of_its_own_and_no_date() -> None:
    text = '<?xml?><svg width="3" viewBox="0 0 1 2"><metadata>\nnow</metadata><path id="p"/><use href="#p"/></svg>'
    one, other = (pictures._as_element(text, 'it\'s "big" <b>', salt) for salt in ("one", "two"))
    assert 'id="one-p"' in one
    assert 'href="#one-p"' in one
    assert "now" not in one
    assert "width" not in one.split(">")[0]
    assert 'viewBox="0 0 1 2"' in one
    assert 'aria-label="it&#x27;s &quot;big&quot; &lt;b&gt;"' in one
    assert other == one.replace("one-p", "two-p")


def test_two_pictures_of_a_page_share_no_identifier() -> None:
    def draw(axis) -> None:
        axis.plot([0.0, 1.0], [1.0, 0.0])

    one, other = (set(re.findall(r'\bid="([^"]+)"', pictures.svg(draw, says))) for says in ("one", "other"))
    assert one
    assert not one & other
