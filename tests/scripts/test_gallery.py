"""docs/claims/ is what the claims say; HYPOTHESIS_PROFILE=thorough runs every example again."""

from __future__ import annotations

import os

import make_gallery
import pytest

from verification.claims import CLAIMS


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_page_says_what_its_claim_says(claim) -> None:
    page = (make_gallery.PAGES / f"{claim.id}.md").read_text(encoding="utf-8")
    assert page.startswith(make_gallery.page_of(claim, None)), "run python scripts/make_gallery.py"
    assert page.count("| verdict |") == 1


def test_every_page_has_a_claim_and_the_index_has_them_all() -> None:
    names = {path.name for path in make_gallery.PAGES.glob("*.md")}
    assert names == {f"{claim.id}.md" for claim in CLAIMS} | {"README.md"}
    assert (make_gallery.PAGES / "README.md").read_text(encoding="utf-8") == make_gallery.index()


def test_every_claim_has_a_proof_or_a_source() -> None:
    for claim in CLAIMS:
        assert make_gallery.sections_of(claim) or "arXiv" in claim.source, claim.id
        for section in make_gallery.sections_of(claim):
            assert make_gallery.anchor(section).startswith(str(section))


def test_a_stale_page_is_found(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_gallery, "PAGES", tmp_path)
    pages = {"a.md": "value 1.00 | 3e-12", "b.md": "x"}
    (tmp_path / "a.md").write_text("value 1.01 | 5e-11", encoding="utf-8")
    (tmp_path / "c.md").write_text("nobody's", encoding="utf-8")
    assert make_gallery.stale_pages(pages) == ["b.md", "c.md"]
    (tmp_path / "a.md").write_text("value 1.1 | 5e-11", encoding="utf-8")
    assert make_gallery.stale_pages(pages) == ["a.md", "b.md", "c.md"]


@pytest.mark.skipif(os.environ.get("HYPOTHESIS_PROFILE") != "thorough", reason="HYPOTHESIS_PROFILE=thorough")
def test_the_rows_are_what_the_examples_print(capsys) -> None:
    assert make_gallery.main(["--check"]) == 0, capsys.readouterr().out
