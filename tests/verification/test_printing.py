"""verification/printing.py: tables that fit."""

from __future__ import annotations

import io

import pytest

from verification.printing import FittingTable, PlainConsole

HEAD = ("seed", "first column", "second column", "third")
ROWS = [(str(k), f"{k}.123456", "CONVERGED", "x" * 12) for k in range(3)]


@pytest.mark.parametrize("width", [200, 60, 50, 35, 20])
@pytest.mark.parametrize("pad_edge", [True, False])
def test_no_cell_is_cut_whatever_the_width(width: int, pad_edge: bool) -> None:
    console = PlainConsole(file=io.StringIO(), width=width)
    console.print(FittingTable(HEAD, ROWS, title="a title", caption="a caption", pad_edge=pad_edge))
    text = console.file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert all(text.count(cell) >= 1 for cell in (*HEAD, *(cell for row in ROWS for cell in row)))
    assert text.count("a caption") == 1
    assert ("┃" in text) is (width >= 60)
    assert text.count("seed") == {200: 1, 60: 1, 50: 1, 35: 2, 20: 3}[width]
