"""Open the pages that the commands write in a real browser, as `make browser-check` does.

For each page, at the width of a phone and of a desk, in light and dark: no error on the console, no horizontal scroll,
no serious fault found by axe-core, no request to a network; the page is printed to PDF too. Screenshots are kept.

    python scripts/browser_check.py --browser /usr/bin/chromium --axe node_modules/axe-core/axe.min.js --out shots
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

PAGES = {
    "verify": ["verify", "--preset", "correlated"],
    "verify-proven": ["verify", "--preset", "small"],
    "flow": ["flow", "--preset", "correlated"],
    "descend": ["descend", "--preset", "correlated"],
}
"""Name of a page -> the command line that writes it."""

VIEWS = [("phone", 390, "light"), ("phone", 390, "dark"), ("desk", 1280, "light"), ("desk", 1280, "dark")]

SERIOUS = {"serious", "critical"}


def main() -> int:
    """Make the pages, look at each, print a table; 1 if a page has a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", default="/usr/bin/chromium", help="an installed Chromium")
    parser.add_argument("--axe", required=True, help="axe.min.js of the npm package axe-core")
    parser.add_argument("--out", default="browser-check", help="folder for screenshots")
    args = parser.parse_args()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    table = Table("page", "view", "width / wanted", "faults")
    faults = 0
    with TemporaryDirectory() as folder:
        pages = [write_page(name, command, Path(folder)) for name, command in PAGES.items()]
        for page, view, width, found in look(pages, args.browser, args.axe, out):
            faults += len(found)
            table.add_row(page, view, width, "\n".join(found) or "none")
    Console(width=140).print(table, f"{faults} faults; screenshots in {out}", sep="\n")
    return int(faults > 0)


def write_page(name: str, command: list[str], folder: Path) -> Path:
    """Run the command with --html."""
    path = folder / f"{name}.html"
    print(f"writing the page of `implicit-bias {' '.join(command)}`", file=sys.stderr)
    done = subprocess.run(
        [sys.executable, "-m", "verification.cli", *command, "--html", str(path)], capture_output=True, text=True
    )
    if not path.exists():
        raise SystemExit(f"{name}: the command wrote no page: {done.stderr.strip()}")
    return path


def look(pages: list[Path], browser: str, axe: str, out: Path) -> list[tuple[str, str, str, list[str]]]:
    """Rows of the table: page, view, widths, faults."""
    from playwright.sync_api import sync_playwright

    rows: list[tuple[str, str, str, list[str]]] = []
    with sync_playwright() as play:
        chromium: Any = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for page in pages:
            for view, width, scheme in VIEWS:
                tab = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                found: list[str] = []
                tab.on("console", lambda message, found=found: found.append(f"console: {message.text}"))
                tab.on("pageerror", lambda error, found=found: found.append(f"error: {error}"))
                tab.on("request", lambda request, found=found: found.extend(asked(request.url)))
                tab.goto(page.as_uri())
                tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
                actual = int(tab.evaluate("document.documentElement.scrollWidth"))
                if actual > width:
                    found.append(f"horizontal scroll: {actual} px")
                tab.add_script_tag(path=axe)
                found += told(tab.evaluate("axe.run()")["violations"])
                tab.screenshot(path=out / f"{page.stem}-{view}-{scheme}.png", full_page=True)
                rows.append((page.stem, f"{view}, {scheme}", f"{actual} / {width} px", found))
                tab.close()
            tab = chromium.new_page()
            tab.goto(page.as_uri())
            tab.pdf(path=out / f"{page.stem}.pdf")
            tab.close()
    return rows


def asked(url: str) -> list[str]:
    """A request that leaves the page."""
    return [] if url.startswith(("file:", "data:")) else [f"network: {url}"]


def told(violations: list[dict[str, Any]]) -> list[str]:
    """Serious faults that axe-core found."""
    return [f"{v['impact']}: {v['id']} ({v['help']}), {len(v['nodes'])}x" for v in violations if v["impact"] in SERIOUS]


if __name__ == "__main__":
    sys.exit(main())
