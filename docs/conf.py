"""Configuration of Sphinx for the site that `make docs` builds; `scripts/site_pages.py` lays its sources.

Formulas are plain Unicode, and fonts are the reader's own: every page is complete without a network.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

root = next(
    folder for folder in Path(__file__).resolve().parents if (folder / "scripts" / "site_docstrings.py").exists()
)
sys.path[:0] = [str(root), str(root / "scripts")]

from site_docstrings import as_rest  # noqa: E402
from sphinx.addnodes import pending_xref  # noqa: E402

import refimpl  # noqa: E402
import verification  # noqa: E402

PUBLIC = {*refimpl.__all__, *verification.__all__}
"""Types that are linked to: each name is one thing."""

project = "implicit-bias-refimpl"
html_title = project
copyright = "MIT licence"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["counterexamples"]

html_theme = "furo"
html_show_sphinx = False

myst_heading_anchors = 4

napoleon_google_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]  # "a, b : int" is two of them
napoleon_use_rtype = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
add_module_names = False
autodoc_mock_imports = [name for name in ("torch", "jax", "hypothesis", "pytest", "flint") if find_spec(name) is None]


def setup(app):
    """Turn docstrings before napoleon reads them; leave only those words of types links that name something."""
    app.connect("autodoc-process-docstring", _turned, priority=100)
    app.connect("doctree-read", _unlinked)


def _turned(app, what, name, obj, options, lines):
    lines[:] = as_rest(lines)


def _unlinked(app, doctree):
    """The n of "ndarray, shape (n,)" is no reference to the n of some class."""
    for node in list(doctree.findall(pending_xref)):
        is_type = node.get("refdomain") == "py" and node.get("reftype") in ("class", "obj")
        if is_type and node["reftarget"] not in PUBLIC:
            node.replace_self(node.children)
