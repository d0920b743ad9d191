"""Lay the sources of the site: docs/, README.md as its first page, and a page for each module.

    python scripts/site_pages.py build/site-source
    sphinx-build -W --keep-going build/site-source build/site

`make docs` does both, and checks the examples before. Links that lead out of docs/ are turned so that they lead to a
page of the site. docs/conf.py configures Sphinx.
"""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

ROOT = Path(__file__).resolve().parents[1]

PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages outside docs/ -> where they stand on the site."""

COPIES = ("LICENSE", "CITATION.cff")
"""Files that are linked to, and copied as they are."""

PACKAGES = ("refimpl", "verification")

CHAPTERS = {
    "Theory": ("theory",),
    "Use": ("command_line", "examples", "audit", "sweeps", "conformance", "numerics"),
    "Claims": ("claims/README",),
    "Results": ("experiments", "findings"),
    "Carry on": ("extending", "contributing", "changelog"),
    "Modules": tuple(f"api/{package}" for package in PACKAGES),
}
"""The contents; pages of docs/ that are missing here come last, under "More"."""

LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)(?P<path>[^)#\s]+)")
"""The path of a relative link."""


def main(arguments: list[str] | None = None) -> int:
    """Lay the sources into the folder that is named, which is emptied before."""
    (target,) = sys.argv[1:] if arguments is None else arguments
    lay(Path(target))
    return 0


def lay(site: Path) -> None:
    """All pages."""
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "docs", site)
    for path in site.rglob("*.md"):
        here = path.relative_to(site).as_posix()
        path.write_text(moved(path.read_text(encoding="utf-8"), f"docs/{here}", here), encoding="utf-8")
    gallery = site / "claims" / "README.md"
    pages = sorted(path.stem for path in gallery.parent.glob("*.md") if path != gallery)
    gallery.write_text(gallery.read_text(encoding="utf-8") + hidden("", pages), encoding="utf-8")
    for source, name in PAGES.items():
        text = moved((ROOT / source).read_text(encoding="utf-8"), source, name)
        (site / name).write_text(text + (contents(site) if name == "index.md" else ""), encoding="utf-8")
    for name in COPIES:
        shutil.copy(ROOT / name, site / name)
    (site / "api").mkdir()
    for package in PACKAGES:
        found = modules(package)
        for module in found:
            (site / "api" / f"{module}.rst").write_text(module_page(module, found), encoding="utf-8")


def contents(site: Path) -> str:
    """The table of contents, hidden on the page and shown beside it."""
    known = {page for pages in CHAPTERS.values() for page in pages}
    more = sorted(path.stem for path in site.glob("*.md") if path.stem not in known | {"index"})
    chapters = CHAPTERS | ({"More": tuple(more)} if more else {})
    return "".join(hidden(f":caption: {title}\n", names) for title, names in chapters.items())


def hidden(options: str, names: Iterable[str]) -> str:
    """A table of contents that is shown beside the page only."""
    return f"\n```{{toctree}}\n:hidden:\n{options}\n" + "\n".join(names) + "\n```\n"


def moved(text: str, source: str, here: str) -> str:
    """The text of the file `source` of the repository, its links as they must be on the page `here`.

    Examples
    --------
    >>> moved("[theory](docs/theory.md#notation), [run](verification/claims/run.py)", "README.md", "index.md")
    '[theory](theory.md#notation), [run](api/verification.claims.run.rst)'
    """

    def target(link: re.Match[str]) -> str:
        named = normpath(join(dirname(source), link["path"]))
        page = PAGES.get(named, named.removeprefix("docs/"))
        if named.endswith(".py"):
            page = f"api/{_module(named)}.rst"
        return relpath(page, dirname(here) or ".")

    return LINK.sub(target, text)


def module_page(module: str, others: list[str]) -> str:
    """What is defined in a module, and the modules in it."""
    depth = module.count(".") + 1
    inside = [name for name in others if name.startswith(f"{module}.") and name.count(".") == depth]
    lines = [module, "=" * len(module), "", f".. automodule:: {module}", "   :members:", "   :ignore-module-all:", ""]
    if inside:
        lines += [".. toctree::", "   :maxdepth: 1", "", *(f"   {name}" for name in inside), ""]
    return "\n".join(lines)


def modules(package: str) -> list[str]:
    """The modules of a package that have a docstring."""
    paths = sorted((ROOT / package).rglob("*.py"))
    if find_spec("keras") is None:  # it names its backend when it is imported, which no stand-in can
        paths = [path for path in paths if path.name != "keras.py"]
    return sorted(_module(path.relative_to(ROOT).as_posix()) for path in paths if _documented(path))


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _documented(path: Path) -> bool:
    hidden = path.name.startswith("_") and path.name != "__init__.py"
    return not hidden and ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is not None


if __name__ == "__main__":
    raise SystemExit(main())
