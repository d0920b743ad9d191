"""The notebook of docs/ runs from its first cell to its last, and keeps no output that could be stale."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOK = Path(__file__).parents[1] / "docs" / "first_look.ipynb"


@pytest.mark.filterwarnings("ignore")  # of the kernel's own packages
def test_the_notebook_runs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
    nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    shown = {
        mime: str(content)
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        for mime, content in output.get("data", {}).items()
    }
    assert "image/png" in shown
    assert "claims in" in shown["text/plain"]
    assert "<table" in shown["text/html"]
