"""Settings and cells of small sweeps."""

from __future__ import annotations

from verification.studies.sweep_store import SweepCell

PLAIN = {"data": "gaussian", "samples": 4, "dimension": 60, "slope": 0.5, "positive": 2, "negative": 1}


# --- the store -------------------------------------------------------------------------------------------------------


def cell(k: int) -> SweepCell:
    return SweepCell({"k": k}, "test", "1")


CELLS = [{"x": x} for x in range(6)]


# --- the command -----------------------------------------------------------------------------------------------------
