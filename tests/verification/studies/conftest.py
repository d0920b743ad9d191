"""A small grid in a folder of its own."""

from pathlib import Path

import pytest

GRID = """
[grid]
data = ["gaussian", "nearly_orthogonal"]
samples = 4
dimension = [3, 40]
slack = 1.25
slope = 0.5
width = 3
"""


@pytest.fixture
def grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("grid.toml").write_text(GRID)
    return ["sweep", "grid.toml", "--store", "s.sqlite", "--jobs", "1"]
