"""The sources of the site: links lead to pages that there are, docstrings become what Sphinx reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import site_pages
from site_docstrings import as_rest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The sources, laid."""
    path = tmp_path_factory.mktemp("site") / "source"
    assert site_pages.main([str(path)]) == 0
    return path


def anchors(text: str) -> set[str]:
    """Of the headings, as GitHub and MyST name them."""
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_relative_link_leads_somewhere(site) -> None:
    links = 0
    for page in site.glob("*.md"):
        for path, _, anchor in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(#([^)\s]*))?\)", page.read_text("utf-8")):
            target = page if not path else (page.parent / path).resolve()
            assert target.is_file(), f"{page.name}: {path}"
            assert not anchor or anchor in anchors(target.read_text("utf-8")), f"{page.name}: {path}#{anchor}"
            links += 1
    assert links >= 20


def test_every_page_and_module_is_in_the_contents(site) -> None:
    index = (site / "index.md").read_text("utf-8")
    listed = {name for block in re.findall(r"```{toctree}\n(.*?)```", index, re.DOTALL) for name in block.split()}
    assert {page.stem for page in site.glob("*.md")} - {"index"} <= listed
    pages = {page.stem: page.read_text("utf-8") for page in (site / "api").glob("*.rst")}
    assert {"refimpl.flow.piecewise", "verification.studies.sweep_run"} <= pages.keys()
    for module in pages.keys() - {"refimpl", "verification"}:
        assert f"   {module}\n" in pages[module.rpartition(".")[0]]


def test_links_are_turned() -> None:
    text = "[a](../CONTRIBUTING.md), [b](numerics.md#files), [c](https://example.org/x.md), [d](#here), [e](../LICENSE)"
    assert site_pages.moved(text, "docs/theory.md", "theory.md") == (
        "[a](contributing.md), [b](numerics.md#files), [c](https://example.org/x.md), [d](#here), [e](LICENSE)"
    )
    assert (
        site_pages.moved("[x](../refimpl/flow/__init__.py)", "docs/theory.md", "theory.md")
        == "[x](api/refimpl.flow.rst)"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("‖W - W*‖/‖W*‖ and |z|", r"‖W - W\*‖/‖W\*‖ and \|z\|"),
        ("the `W` of x_", r"the ``W`` of x\_"),
        ("`X`s", r"``X``\ s"),
        ("x_i a_j", "x_i a_j"),
        ("----------", "----------"),
        ("*names : str", "*names : str"),
        ("an odd ` and \\n", r"an odd \` and \\n"),
    ],
)
def test_letters_of_formulas_mean_nothing(before, after) -> None:
    assert as_rest([before]) == [after]


def test_blocks_are_shown_as_they_are() -> None:
    lines = ["x : int", "    Such as", "", "        |x| * 2", "", "    and more |x|.", "", ">>> a | b"]
    assert as_rest(lines) == [
        *("x : int", "    Such as", "", "    ::", "", "        |x| * 2", ""),
        *(r"    and more \|x\|.", "", ">>> a | b"),
    ]
