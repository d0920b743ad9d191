"""Small tiles, so that small data are gone through in many."""

import pytest

import refimpl.dataset
import refimpl.readers
import refimpl.tiles.columns


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of at most 64 columns; all samples with more than 100 numbers stay in tiles."""
    monkeypatch.setattr(refimpl.tiles.columns, "LARGEST_WIDTH", 64)
    monkeypatch.setattr(refimpl.dataset, "TILE_ENTRIES", 100)
    monkeypatch.setattr(refimpl.readers, "TILE_ENTRIES", 100)
