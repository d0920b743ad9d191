"""Tables, pictures and frames of results, as a notebook shows them."""

from __future__ import annotations

import re
import sys
from html import unescape

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, display, gradient_descent, gradient_flow
from refimpl.errors import ImplicitBiasError, MissingExtraError
from verification import Report, audit, kkt_residuals, max_margin, verify

NETWORK = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
DATA = Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])
W0 = 0.1 * np.random.default_rng(0).standard_normal((3, 3))


@pytest.fixture(scope="module")
def results() -> dict[str, display.Displayed]:
    flow = gradient_flow(NETWORK, DATA, W0)
    return {
        "flow": flow,
        "descent": gradient_descent(NETWORK, DATA, W0, 0.5, 10),
        "kkt": kkt_residuals(NETWORK, DATA, flow.limit.weights()),
        "max_margin": max_margin(NETWORK, DATA),
        "report": verify(NETWORK, DATA, W0),
        "audit": audit(NETWORK, DATA, {0: W0, 10: flow.limit.weights()}),
    }


def cells(html: str) -> list[str]:
    return [unescape(text) for text in re.findall(r"<t[dh]>(.*?)</t[dh]>", html)]


@pytest.mark.parametrize("name", ["flow", "descent", "kkt", "max_margin", "report", "audit"])
def test_a_table_says_the_facts_and_a_picture_is_drawn(results: dict[str, display.Displayed], name: str) -> None:
    result = results[name]
    found = cells(result._repr_html_())
    assert found[:2] == ["what", "value"]
    assert found[2:] == [text for pair in result.facts() for text in pair]
    figure = result.plot()
    drawn = [axis for axis in figure.axes if axis.get_visible() and axis.has_data()]
    assert len(drawn) >= (1 if name in ("kkt", "max_margin") else 3)
    assert figure.get_suptitle()


def test_facts_are_the_numbers_of_the_result(results: dict[str, display.Displayed]) -> None:
    flow, report = results["flow"], results["report"]
    facts = dict(flow.facts())
    assert facts["events"] == str(len(flow.events))
    assert facts["rank of the limit"] == str(flow.limit.rank)
    assert [value for _, value in report.facts()][:5] == list(report.answer)
    assert {name for name, _ in report.facts()[5:]} == {row.id for row in report.claims}


def test_frames_have_a_row_for_each_record(results: dict[str, display.Displayed]) -> None:
    pytest.importorskip("pandas")
    flow, descent, report = results["flow"], results["descent"], results["report"]
    path = flow.trajectory.to_frame()
    np.testing.assert_array_equal(path["s"], flow.trajectory.s)
    np.testing.assert_array_equal(path["smallest_margin"], flow.trajectory.margins.min(axis=1))
    assert list(descent.trajectory.to_frame()["step"]) == list(descent.trajectory.step)
    assert list(results["audit"].to_frame()["step"]) == [0, 10]
    table = report.to_frame()
    assert list(table["id"]) == [row.id for row in report.claims]
    assert list(table["verdict"]) == [row.verdict.name for row in report.claims]
    assert table["slack"].isna().sum() == sum(row.hypothesis.slack is None for row in report.claims)


def test_without_pandas_a_frame_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"\[frames\]"):
        display.frame({"a": [1]})


def test_without_a_drawer_it_is_said(monkeypatch: pytest.MonkeyPatch, results: dict[str, display.Displayed]) -> None:
    monkeypatch.setattr(display, "entry_points", lambda **_: ())
    with pytest.raises(ImplicitBiasError, match="FlowResult"):
        results["flow"].plot()


def test_a_loaded_report_has_no_picture(results: dict[str, display.Displayed], tmp_path) -> None:
    results["report"].save(tmp_path / "r.npz")
    loaded = Report.load(tmp_path / "r.npz")
    assert loaded.facts() == results["report"].facts()
    with pytest.raises(ImplicitBiasError, match="read from a file"):
        loaded.plot()
