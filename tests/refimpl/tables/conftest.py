"""Tables as people have them, written for one test."""

from __future__ import annotations

import gzip

import pytest

from refimpl import datasets
from refimpl.tables import Choices


@pytest.fixture
def table(tmp_path):
    """Writes a text and reads it with choices."""

    def read(text, name="data.csv", **choices):
        path = tmp_path / name
        content = text if isinstance(text, bytes) else text.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return datasets.read(path, Choices(**choices))

    return read
