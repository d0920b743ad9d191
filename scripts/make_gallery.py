"""The gallery of claims: docs/claims/, one page a claim, made from the claim itself.

    python scripts/make_gallery.py            write the pages
    python scripts/make_gallery.py --check    change nothing; exit with 1 if a page is stale

A page has the statement, source, hypothesis and measurement of the claim, a link to its proof, a call that runs, and
the row that the call prints. Numbers below 1e-9 are rounding and shown as 0.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from functools import lru_cache
from pathlib import Path

from refimpl.display import shown
from verification.claims import CLAIMS, Claim, ClaimResult
from verification.claims.registry import COLUMNS, sections_of
from verification.claims.report import Report
from verification.claims.run import verify
from verification.presets import PRESETS

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "claims"
THEORY = ROOT / "docs" / "theory.md"

CALLS: dict[str, tuple[str, tuple[int, int] | None, float | None]] = {
    "multipliers-within-printed-bounds": ("theorem", (8, 8), None),
    "predictor-uniform-as-printed": ("theorem", (8, 8), None),
    "slope-one-is-svm": ("theorem", None, 1.0),
    "relu-limit-from-start": ("orthogonal", None, None),
    "global-optimum-by-enumeration": ("small", None, None),
    "paper-descent-theorem": ("descent", None, None),
}
"""Claim -> preset, numbers of neurons, slope of its example; the preset `theorem` as it is for the others."""

USUAL = ("theorem", None, None)

ROUNDING, SMALL, SAME = 1e-9, 1e-7, 0.02
"""Numbers below the first are shown as 0; those below the second count as equal, others up to the third part."""


def main(arguments: list[str] | None = None) -> int:
    """Write or check all pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a page is stale")
    args = parser.parse_args(arguments)
    pages = {f"{claim.id}.md": page_of(claim, row_of(claim)) for claim in CLAIMS} | {"README.md": index()}
    if args.check:
        stale = stale_pages(pages)
        print("".join(f"stale: docs/claims/{name}\n" for name in stale), end="")
        return 1 if stale else 0
    PAGES.mkdir(exist_ok=True)
    for name, text in pages.items():
        (PAGES / name).write_text(text, encoding="utf-8")
    return 0


def stale_pages(pages: dict[str, str]) -> list[str]:
    """Pages that are missing, that say something else, or that belong to no claim."""
    there = {path.name: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}
    return sorted(
        {name for name in pages if not same(there.get(name, ""), pages[name])} | (there.keys() - pages.keys())
    )


def same(one: str, other: str) -> bool:
    """Whether two pages agree, numbers of the rows up to 2% and rounding."""
    number = re.compile(r"(?<![\w.])-?\d+\.?\d*(?:e[-+]?\d+)?")
    if number.sub("#", one) != number.sub("#", other):
        return False
    pairs = zip(map(float, number.findall(one)), map(float, number.findall(other)), strict=True)
    return all(abs(a - b) <= SAME * max(abs(a), abs(b)) or max(abs(a), abs(b)) < SMALL for a, b in pairs)


@lru_cache(maxsize=len(CALLS) + 1)
def report(preset: str, neurons: tuple[int, int] | None, slope: float | None) -> Report:
    """All claims that an example asks for, on its data."""
    chosen = PRESETS[preset]
    network = chosen.network(slope, *(neurons or (None, None)))
    wanted = [claim.id for claim in CLAIMS if CALLS.get(claim.id, USUAL) == (preset, neurons, slope)]
    return verify(network, chosen.data(0, network.slope), only=wanted)


def row_of(claim: Claim) -> ClaimResult:
    """The row that the example prints."""
    return next(row for row in report(*CALLS.get(claim.id, USUAL)).claims if row.id == claim.id)


def call_of(claim: Claim) -> str:
    """The example as a command."""
    preset, neurons, slope = CALLS.get(claim.id, USUAL)
    options = f" --preset {preset}" if preset != "theorem" else ""
    options += f" --positive {neurons[0]} --negative {neurons[1]}" if neurons else ""
    options += f" --slope {slope:g}" if slope is not None else ""
    return f"implicit-bias verify{options} --only {claim.id}"


def data_of(claim: Claim) -> str:
    """What the data of the example are, in a sentence."""
    preset, neurons, slope = CALLS.get(claim.id, USUAL)
    here = [f"{neurons[0]} positive and {neurons[1]} negative neurons"] if neurons else []
    here += [f"slope {slope:g}"] if slope is not None else []
    but = f", here with {' and '.join(here)}" if here else ""
    return f"Preset `{preset}`{but}: {PRESETS[preset].description}."


def page_of(claim: Claim, row: ClaimResult | None) -> str:
    """One page; without a row the part above the numbers."""
    head = f"""# {claim.title}

`{claim.id}` · [all claims](README.md) · [notation](../theory.md#notation) · made by `python scripts/make_gallery.py`

**Statement.** {statement_of(claim)}

**Source.** {claim.source}. {proofs(claim)}

**Hypothesis.** {one_paragraph(inspect.getdoc(claim.hypothesis))}

**Measured.** {one_paragraph(inspect.getdoc(claim.measure))}

**Example.**

```console
{call_of(claim)}
```

{data_of(claim)} [What the columns mean](README.md#what-the-columns-mean).
"""
    if row is None:
        return head
    m, h = row.measurement, row.hypothesis
    slack = ("yes" if h.satisfied else "no") if h.slack is None else shown(h.slack)
    cells = {
        "hypothesis": h.name,
        "slack": slack,
        "measured": m.quantity.replace("|", "\\|"),
        "value": number(m.value),
        "bound": number(m.bound),
        "tolerance": shown(m.tolerance),
        "verdict": row.verdict.name,
    }
    table = "\n".join(f"| {' | '.join(part)} |" for part in (cells.keys(), ["---"] * len(cells), cells.values()))
    reason = f"\nTolerance: {m.tolerance_reason}.\n" if m.tolerance_reason else ""
    return f"{head}\n{table}\n{reason}" + (f"\n{row.reason}\n" if row.reason else "")


def statement_of(claim: Claim) -> str:
    """First paragraph of the docstring of the claim's module."""
    return one_paragraph(inspect.getdoc(sys.modules[claim.measure.__module__]))


def one_paragraph(text: str | None) -> str:
    """A docstring in one line."""
    return re.sub(r"\s+", " ", text or "").strip()


def proofs(claim: Claim) -> str:
    """Links to the sections of docs/theory.md."""
    links = [f"[section {n}](../theory.md#{anchor(n)})" for n in sections_of(claim)]
    return f"Proof, or where the statement is taken from: {', '.join(links)}." if links else ""


def anchor(section: int) -> str:
    """The anchor of a section's heading, as GitHub makes it."""
    heading = re.search(rf"^## ({section}\. .*)$", THEORY.read_text(encoding="utf-8"), re.MULTILINE)
    assert heading is not None
    return re.sub(r"[^\w\- ]", "", heading.group(1).lower()).replace(" ", "-")


def number(value: float | None) -> str:
    """Three digits; 0 for rounding."""
    return "0" if value is not None and abs(value) < ROUNDING else shown(value)


def index() -> str:
    """The list of all pages."""
    lines = "\n".join(f"| [{claim.id}]({claim.id}.md) | {claim.title} |" for claim in CLAIMS)
    columns = "\n".join(f"- *{name}*: {what}" for name, what in COLUMNS.items())
    return f"""# The claims

One page a claim, made from the claim itself by `python scripts/make_gallery.py`. Claims of
your own: [extending.md](../extending.md). `implicit-bias verify --list-claims` lists them, `--explain ID` prints what a
page says.

| claim | statement |
| --- | --- |
{lines}

## What the columns mean

{columns}

A hypothesis that holds or does not, without a distance, has yes or no in the place of its slack. Numbers below 1e-9
are shown as 0.
"""


if __name__ == "__main__":
    sys.exit(main())
