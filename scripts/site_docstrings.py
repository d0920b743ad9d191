"""Docstrings as they are written here -> reStructuredText for Sphinx.

Here `x` is code, an indented block after an empty line is shown as it stands, and *, | and _ mean nothing: formulas
have them everywhere.
"""

from __future__ import annotations

import re

CODE = re.compile(r"(`[^`]+`)")
END_OF_NAME = re.compile(r"(?<=\w)_(?!\w)")
UNDERLINE = re.compile(r"-{3,}$")


def as_rest(lines: list[str]) -> list[str]:
    """The lines of a docstring, without its common indentation, in reStructuredText.

    Examples
    --------
    >>> for line in as_rest(["max |K_ik| of `X`:", "", "    p = |x|", "", ">>> 2 * 3", "6"]):
    ...     print(line)
    max \\|K_ik\\| of ``X``:
    <BLANKLINE>
    ::
    <BLANKLINE>
        p = |x|
    <BLANKLINE>
    >>> 2 * 3
    6
    """
    found: list[str] = []
    margin, after_blank, shown, example = 0, False, False, False
    for line in lines:
        if not line.strip():
            found.append(line)
            after_blank, example = True, False
            continue
        indent = len(line) - len(line.lstrip())
        if shown and indent <= margin:
            shown = False
        example = example or line.lstrip().startswith(">>> ")
        if not shown and after_blank and indent >= margin + 4 and not example:
            found += [" " * margin + "::", ""]
            shown = True
        found.append(line if shown or example else _text(line))
        after_blank = False
        margin = margin if shown else indent
    return found


def _text(line: str) -> str:
    """A line of text; one of dashes, or with a starred argument, stays for napoleon."""
    if UNDERLINE.match(line.strip()) or line.lstrip().startswith("*"):
        return line
    parts = CODE.split(line)
    for k, part in enumerate(parts):
        parts[k] = _code(part, parts[k - 1], parts[k + 1]) if k % 2 else _escaped(part)
    return "".join(parts)


def _code(part: str, before: str, after: str) -> str:
    """Inline code; reStructuredText wants an end of a word on both sides."""
    left = "\\ " if before[-1:].isalnum() else ""
    right = "\\ " if after[:1].isalnum() else ""
    return f"{left}``{part[1:-1]}``{right}"


def _escaped(text: str) -> str:
    for letter in "\\*|`":
        text = text.replace(letter, f"\\{letter}")
    return END_OF_NAME.sub(r"\\_", text)
