"""Pictures inside a page: lines in the page's own colour of text, so that they suit light and dark alike."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from html import escape
from typing import Any

__all__ = ["svg"]

INK = "#0a0b0c"
"""Stands for the page's colour of text while matplotlib draws; no other colour of a picture is the same."""

SHAPE, SQUARE = (6.4, 4.2), (5.6, 5.0)
"""Inches, which the page scales to its width."""


def svg(draw: Callable[[Any], None], says: str, square: bool = False) -> str:
    """What `draw` puts on a pair of axes, as an `svg` element.

    Parameters
    ----------
    draw : callable
        Called with matplotlib axes.
    says : str
        What the picture shows, for those who do not see it.
    square : bool
        Whether width and height are about the same.

    Returns
    -------
    str
        Without fixed size, with text as text, and the same for the same picture.
    """
    from verification.plots import svg_text  # matplotlib takes a second to import

    # identifiers inside an element must differ from those of the page's other pictures
    salt = hashlib.sha256(says.encode()).hexdigest()[:12]
    return _as_element(svg_text(draw, SQUARE if square else SHAPE, INK, salt), says, salt)


def _as_element(text: str, says: str, salt: str) -> str:
    """The `svg` element of a file, named for screen readers, with unique identifiers and the page's ink."""
    body = text[text.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{salt}-\1"', body)
    body = re.sub(r'(href="|url\()#', rf"\1#{salt}-", body)
    head, rest = body.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    name = f'role="img" aria-label="{escape(says, quote=True)}"'
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {view[0] if view else ''} {links} {name}>{rest}".replace(INK, "currentColor")
