"""Standard output and error: characters that the stream has, no escape sequences from names of files.

Names of files and columns come from anywhere. They are shown as they are, except that control characters, which could
end a line or command the terminal, become escapes such as `\\x1b`. Where a stream cannot encode a character, a word
for it is written in its place: results are never lost to an encoding.
"""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = [
    "HANDLER",
    "ascii_json",
    "ascii_text",
    "give_up_if_broken",
    "prepare_streams",
    "printable",
    "remark",
    "write_output",
]

WORDS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "ε": "epsilon", "λ": "lambda", "μ": "mu", "ρ": "rho", "σ": "sigma",
    "τ": "tau", "Σ": "sum ", "Φ": "Phi", "ℓ": "l", "∇": "grad ", "∂": "d", "∫": "int ", "Δ": "Delta",
    "‖": "||", "·": "*", "×": "x", "→": "->", "←": "<-", "≥": ">=", "≤": "<=", "≠": "!=", "≈": "~", "∞": "inf",
    "⟨": "<", "⟩": ">", "†": "(recalled)", "‡": "(second-hand)",
    "√": "sqrt ", "∈": "in", "ᵀ": "^T", "½": "1/2", "²": "^2", "⁻": "^-",
    "“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "...", "±": "+-", "°": " deg",
}  # fmt: skip
"""What is written where a stream lacks the character; others become escapes."""

HANDLER = "implicit-bias"
"""Name of the error handler of the streams."""

DIRECTIONS = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that reorder the letters around them."""


def printable(text: str) -> str:
    """`text` on one line, with control characters as escapes.

    Examples
    --------
    >>> print(printable("a\\x1b[2J\\nb"))
    a\\x1b[2J\\nb
    """
    return "".join(_escaped(letter) if _commands(letter) else letter for letter in text)


def _commands(letter: str) -> bool:
    return letter in DIRECTIONS or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte of a file name that is no text
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def ascii_text(text: str) -> str:
    """`text` in ASCII, for people.

    Examples
    --------
    >>> print(ascii_text("½‖W‖², σ₃/σ₁, λ >= 0, é"))
    1/2||W||^2, sigma3/sigma1, lambda >= 0, \\xe9
    """
    return "".join(letter if letter.isascii() else _word(letter) for letter in text)


def _word(letter: str) -> str:
    if letter in WORDS:
        return WORDS[letter]
    if unicodedata.decomposition(letter).startswith("<"):  # another form of plain letters, such as a subscript
        letters = unicodedata.normalize("NFKD", letter)
        return letters if letters.isascii() else _escaped(letter)
    return _escaped(letter)


def ascii_json(text: str) -> str:
    """A JSON document with its characters beyond ASCII, which stand in strings only, as JSON's own escapes.

    Examples
    --------
    >>> print(ascii_json('{"σ": 1}'))
    {"\\u03c3": 1}
    """
    return re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)


# --- streams --------------------------------------------------------------------------------------


class _ClosedStream(io.TextIOBase):
    """In the place of a standard stream that is closed: what is written to it is missed when it is flushed."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.missed = False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.missed = self.missed or bool(text)
        return len(text)

    def flush(self) -> None:
        if self.missed:
            self.missed = False
            raise OSError(errno.EBADF, "it is closed")


@contextmanager
def prepare_streams() -> Iterator[None]:
    """Standard output and error that encode whatever comes, and tell if they are closed, while the block runs."""
    before = sys.stdout, sys.stderr
    missing = [number for number in range(3) if not _is_open(number)]
    if missing:  # the next file that is opened must not become standard output
        _fill_descriptors(max(missing))
    sys.stdout, sys.stderr = (_ClosedStream() if stream is None else stream for stream in before)
    texts = [stream for stream in before if isinstance(stream, io.TextIOWrapper)]
    handlers = [stream.errors for stream in texts]
    for stream in texts:
        stream.reconfigure(errors=HANDLER)
    try:
        yield
    finally:
        for stream, errors in zip(texts, handlers, strict=True):
            stream.reconfigure(errors=errors)
        sys.stdout, sys.stderr = before


def _write_words(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return ascii_text(error.object[error.start : error.end]), error.end


codecs.register_error(HANDLER, _write_words)  # consoles of scripts and notebooks use it, too


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _fill_descriptors(last: int) -> None:
    opened = os.open(os.devnull, os.O_RDWR)
    while opened < last:
        opened = os.dup(opened)
    if opened > last:
        os.close(opened)


def write_output(text: str) -> None:
    """Write to standard output, together with what it still holds.

    Raises
    ------
    OutputFileError
        If it cannot be written.
    BrokenPipeError
        If whoever read it has gone, which is no fault: `| head` does.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        from refimpl.errors import OutputFileError

        raise OutputFileError("standard output", str(error.strerror or error)) from error


def give_up_if_broken(stream: Any) -> None:
    """Send what `stream` cannot write to nowhere, so that the end of the process does not try again."""
    try:
        stream.flush()
    except (OSError, ValueError):
        _give_up(stream)


def _give_up(stream: Any) -> None:
    with suppress(OSError, ValueError, AttributeError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)


def remark(text: str) -> None:
    """Write to standard error, if that is possible."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        _give_up(sys.stderr)
