"""The page stands alone, escapes what it is given, and tells everything that the report holds."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gradient_descent, gradient_flow
from verification import Report, cli, verify
from verification.claims import CLAIMS
from verification.claims.base import Verdict
from verification.page import Page, Picture, Section, Table, TableCell
from verification.page.of_report import TONES
from verification.page.of_runs import page_of_descent, page_of_flow
from verification.page.pictures import INK

VOID = {"meta", "link", "br", "hr", "img", "input", "path", "use", "rect", "image"}


class Elements(HTMLParser):
    """Every element with its attributes; closing tags must match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def problem() -> tuple[TwoLayerNetwork, Dataset]:
    return TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5)), Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])


@pytest.fixture(scope="module")
def report() -> Report:
    return verify(*problem())


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return report.to_html("implicit-bias verify --data 'a & b.csv'")


def check_stands_alone(text: str) -> Elements:
    """Well-formed, unique identifiers, links that lead somewhere, nothing from the network, names for pictures."""
    elements = Elements(text)
    ids = Counter(a["id"] for _, a in elements.found if "id" in a)
    assert [name for name, count in ids.items() if count > 1] == []
    targets = [a[name] for _, a in elements.found for name in ("href", "xlink:href", "src") if a.get(name)]
    assert all(t.startswith(("#", "data:")) for t in targets)
    assert {t[1:] for t in targets if t.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert elements.of("script") == []
    assert all(a.get("role") == "img" and len(a["aria-label"] or "") > 20 for a in elements.of("svg"))
    assert [name for name, _ in elements.found if name == "h1"] == ["h1"]
    return elements


def test_the_page_of_a_report_stands_alone_and_says_all_of_it(report: Report, page: str) -> None:
    elements = check_stands_alone(page)
    words = elements.words
    for sentence in report.answer:
        assert " ".join(sentence.split()) in words
    for claim in CLAIMS:
        if any(row.id == claim.id for row in report.claims):
            assert words.count(claim.id) >= 2  # in the table and in full
            assert claim.title in words
    for row in report.claims:
        assert row.reason in words
    assert "implicit-bias verify --data 'a & b.csv'" in words
    assert report.environment["numpy"] in words
    assert report.dataset["sha256"] in words
    assert len(elements.of("svg")) == 11  # of three flows 4, 1 and 1, their limits, 3 of the descent, the Gram matrix
    assert words.index(report.answer[0][:20]) < words.index("Claims of the theory")  # the answer first


def test_every_verdict_has_its_colour_and_stands_there_as_a_word(page: str) -> None:
    assert set(TONES) == set(Verdict)
    assert all(f"{verdict.name}: {verdict.value}" in Elements(page).words for verdict in Verdict)


def test_light_and_dark_both_have_every_colour(page: str) -> None:
    blocks = re.findall(r":root \{(.*?)\}", page, flags=re.DOTALL)
    light, dark = (set(re.findall(r"--([a-z]+):", block)) for block in blocks)
    assert light == dark >= set(TONES.values())
    used = set(re.findall(r"var\(--([a-z]+)\)", page))
    assert used <= light
    assert INK not in page  # pictures take the page's colour of text
    assert "currentColor" in page


def test_a_report_read_back_has_a_page_without_pictures(report: Report, tmp_path: Path) -> None:
    report.save(tmp_path / "report.npz")
    loaded = Report.load(tmp_path / "report.npz")
    elements = check_stands_alone(loaded.to_html())
    assert elements.of("svg") == []
    assert all(row.id in elements.words for row in report.claims)


def test_text_is_escaped_wherever_it_comes_from() -> None:
    evil = '<script>alert("x")</script>&amp;\'"'

    def draw(axis) -> None:
        axis.plot([0.0, 1.0], [0.0, 1.0])
        axis.set_title(evil)

    table = Table(evil, (evil, evil), [(evil, TableCell(evil, "good"))])
    inner = Section(evil + "2", [evil], [table], [Picture(draw, evil, evil)])
    made = Page(evil, evil, [evil], [Section(evil, [evil], [table], more=[inner])], evil, {evil: evil})
    elements = check_stands_alone(made.html())
    assert elements.words.count(evil) >= 12


def test_the_same_picture_is_the_same_text() -> None:
    def draw(axis) -> None:
        axis.plot([0.0, 1.0], [1.0, 0.0])

    one, other = (Picture(draw, "A falling line from one to zero", "").svg for _ in range(2))
    assert one == other
    assert Picture(draw, "Another falling line, from one to zero", "").svg != one  # its identifiers differ


def test_pages_of_a_flow_and_of_a_descent() -> None:
    network, data = problem()
    W0 = 0.1 * np.random.default_rng(0).standard_normal((3, 3))
    flow = gradient_flow(network, data, W0)
    elements = check_stands_alone(page_of_flow(flow, [("status", "CONVERGED")], "here", "a command", {}).html())
    assert f"{flow.limit.margins[0]:.12g}" in elements.words
    descent = gradient_descent(network, data, W0, 0.5, 20)
    check_stands_alone(page_of_descent(descent, ("step",), [("0",)], "here", "a command", {}).html())


@pytest.mark.parametrize("command", ["flow", "descend"])
def test_the_commands_write_their_page(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.html"
    given = [command, "--preset", "small", "--html", str(path), *(["--steps", "20"] if command == "descend" else [])]
    assert cli.main(given) == 0
    elements = check_stands_alone(path.read_text())
    assert f"implicit-bias {command} --preset small" in elements.words
    assert cli.main(given) == 2  # it exists
    assert "page.html" in capsys.readouterr().err
