"""Every equation, section and paragraph of docs/theory.md that is cited is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
THEORY = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
FOLDERS = ("refimpl", "verification", "scripts", "tests", "docs")
PACKAGES = ("refimpl", "verification")
FILES = [
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.[pm][yd]")) if path != Path(__file__)),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]

EQUATION = re.compile(r"(?<![\w.])\(([1-9]\d?)\.(\d{1,2})\)")
"""(7.5), and not the argument of a function."""

SECTIONS = re.compile(r"theory\.md(?:\)|`)?,?\s+sections?\s+(\d+(?:(?:,\s+and\s+|,\s+|\s+and\s+|\s+to\s+)\d+)*)")
PARAGRAPH = re.compile(r'theory\.md(?:\)|`)?,?\s+section\s+(\d+),\s+"([^"]+)"')


def sections() -> dict[int, str]:
    """The text of each section by its number."""
    parts = re.split(r"^## (\d+)\. ", THEORY, flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def equations(text: str) -> set[tuple[int, int]]:
    """The numbers at the right ends of displayed lines."""
    shown = "\n".join(re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL))
    return {(int(s), int(k)) for s, k in re.findall(r"\s\((\d+)\.(\d+)\)$", shown, flags=re.MULTILINE)}


def one_line(path: Path) -> str:
    """A file without line breaks, and without the comment signs at them."""
    return re.sub(r"\s*\n\s*#?\s*", " ", path.read_text(encoding="utf-8"))


DEFINED = equations(THEORY)


def test_each_equation_stands_in_its_section_once() -> None:
    found = [(number, equation) for number, text in sections().items() for equation in equations(text)]
    assert len(found) == len(DEFINED) >= 15
    assert all(equation[0] == number for number, equation in found)
    for number in {equation[0] for equation in DEFINED}:
        numbers = sorted(k for s, k in DEFINED if s == number)
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_cited_is_there(path: Path) -> None:
    text, known = one_line(path), sections()
    cited = {(int(s), int(k)) for s, k in EQUATION.findall(text)}
    assert not cited - DEFINED, "no such equation"
    for numbers in SECTIONS.findall(text):
        assert {int(number) for number in re.findall(r"\d+", numbers)} <= set(known), numbers
    for number, title in PARAGRAPH.findall(text):
        named = re.findall(r"\*([^*]+?)\.?\*", re.sub(r"\s+", " ", known[int(number)]))
        assert any(name.startswith(title) for name in named), f"no paragraph {title!r} in section {number}"


STATEMENTS = {
    (5, 1): "the form of z_ji at a KKT point: proofs of section 5 rest on it",
    (5, 2): "what a unit adds to its margin: proofs of section 5 rest on it",
    (14, 1): "how sharp section 5 is, on a family: tests/verification/studies/test_search.py measures it",
}
"""Numbers that no line computes, and why."""


def test_what_the_code_computes_is_cited_where_it_is_computed() -> None:
    """Every numbered equation is cited in a package, unless it is a statement."""
    packages = [path for path in FILES if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES]
    cited = {(int(s), int(k)) for path in packages for s, k in EQUATION.findall(one_line(path))}
    assert DEFINED - cited == set(STATEMENTS)


def test_a_wrong_citation_is_found() -> None:
    assert EQUATION.findall("by (7.99) of docs/theory.md, LeakyReLU(1.5), f(2.5)") == [("7", "99")]
    assert (7, 99) not in DEFINED
    assert SECTIONS.findall("docs/theory.md, sections 5, 9 and 10; docs/theory.md, section 3") == ["5, 9 and 10", "3"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_are_there(path: Path) -> None:
    named = re.findall(
        r"\b(?:docs|tests|scripts|refimpl|verification)/[a-z_/0-9]+\.(?:py|md|json|png)\b", path.read_text("utf-8")
    )
    assert not [name for name in named if not (ROOT / name).exists()]
