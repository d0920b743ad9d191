"""The store of a sweep: whose a cell is, and what a file that is no store is told."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time

import pytest

from refimpl.errors import FileFormatError, OutputFileError
from verification.studies import sweep_store
from verification.studies.sweep_run import sweep
from verification.studies.sweep_store import Store

from .sweep_given import cell


def test_a_cell_is_one_store_s_at_a_time(tmp_path) -> None:
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        assert one.claim([cell(1), cell(2)]) == [cell(1), cell(2)]
        assert other.claim([cell(1), cell(2), cell(3)]) == [cell(3)]
        one.finish(cell(1), "{}", 0.1)
        one.release()
        assert other.claim([cell(1), cell(2)]) == [cell(2)]
        other.finish(cell(1), '{"late": 1}', 0.2)
        assert one.record(cell(1)).result == "{}"


def test_a_claim_whose_lease_has_run_out_is_anybody_s(tmp_path, monkeypatch) -> None:
    with Store(tmp_path / "s") as one, Store(tmp_path / "s") as other:
        monkeypatch.setattr(sweep_store, "LEASE", 0.2)
        one.claim([cell(1), cell(2)])
        with one.renewed():
            time.sleep(0.5)
            assert other.claim([cell(1)]) == []
        time.sleep(0.3)
        assert other.claim([cell(1), cell(2)]) == [cell(1), cell(2)]
        one.fail(cell(1), "late", 0.1)
        assert other.record(cell(1)) is None  # it is the other's to decide
        one.finish(cell(2), "{}", 0.1)
        other.fail(cell(2), "later", 0.1)
        assert other.record(cell(2)).status == "done"


def test_a_claim_of_a_process_that_has_ended_is_anybody_s(tmp_path) -> None:
    script = f"""
import os
from verification.studies.sweep_store import SweepCell, Store
Store({str(tmp_path / "s")!r}).claim([SweepCell({{"k": 1}}, "test", "1")])
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    with Store(tmp_path / "s") as store:
        assert store.record(cell(1)) is None
        assert store.claim([cell(1)]) == [cell(1)]


def test_a_failed_cell_keeps_its_error_until_it_is_retried(tmp_path) -> None:
    with Store(tmp_path / "s") as store:
        store.claim([cell(1)])
        store.fail(cell(1), "no limit", 0.5)
        assert store.claim([cell(1)]) == []
        assert store.claim([cell(1)], retry_failed=True) == [cell(1)]
        store.release()
        assert store.record(cell(1)).error == "no limit"


def test_a_store_that_is_something_else_is_left_as_it_is(tmp_path) -> None:
    (tmp_path / "text").write_text("notes\n" * 1000)
    with contextlib.closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE mine (x)")
        other.commit()
    (tmp_path / "folder").mkdir()
    for name, words in {"text": "no store", "other": "another program", "folder": "a folder"}.items():
        before = (tmp_path / name).read_bytes() if name != "folder" else b""
        with pytest.raises(FileFormatError, match=words):
            Store(tmp_path / name)
        assert name == "folder" or (tmp_path / name).read_bytes() == before
    with pytest.raises(OutputFileError, match="no folder"):
        Store(tmp_path / "missing" / "s")


def test_the_file_is_plain_sqlite(tmp_path) -> None:
    sweep([{"x": 2}], tmp_path / "s.sqlite", lambda one: {"square": one["x"] ** 2}, "squares", jobs=1)
    with contextlib.closing(sqlite3.connect(tmp_path / "s.sqlite")) as found:
        assert found.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        row = found.execute("SELECT work, settings, status, result FROM cells").fetchone()
    assert row == ("squares", '{"x": 2}', "done", '{"square": 4}')
