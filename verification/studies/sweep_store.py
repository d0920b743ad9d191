"""Cells of sweeps in one SQLite file: each finished one is committed at once, and a running one is somebody's.

A cell is known by the hash of its settings and of the version of this package. A sweep claims a cell before it computes
it, for a time (a lease) that it renews while it lives; a claim whose lease has run out, or whose process has ended, is
anybody's. So several sweeps may work on one store, and one that was killed is carried on with.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any

from refimpl.documents import json_text
from refimpl.errors import FileFormatError, OutputFileError
from refimpl.files import check_input_path, check_output_path

__all__ = ["Record", "Store", "SweepCell"]

APPLICATION, SCHEMA_VERSION = 0x49425357, 1
"""What the file says it is (`PRAGMA application_id`, `user_version`)."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS cells (
    key TEXT PRIMARY KEY, work TEXT NOT NULL, version TEXT NOT NULL, settings TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed')),
    result TEXT, error TEXT, seconds REAL, owner TEXT, lease REAL
)"""

LEASE = 60.0
"""Seconds for which a claim holds unless it is renewed, which happens every quarter of them."""

PATIENCE = 60.0
"""Seconds to wait for another process that writes to the store."""


@dataclass(frozen=True)
class SweepCell:
    """One cell of a sweep.

    Attributes
    ----------
    settings : dict
        Plain values, on which its result depends and on nothing else.
    work : str
        The name of what is computed.
    version : str
        Of this package.

    Examples
    --------
    >>> a = SweepCell({"slope": 0.5, "seed": 1}, "flow", "1.0")
    >>> other_order = SweepCell({"seed": 1, "slope": 0.5}, "flow", "1.0")
    >>> a.key == other_order.key, a.key == SweepCell(a.settings, "flow", "1.1").key
    (True, False)
    """

    settings: dict[str, Any]
    work: str
    version: str

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything; a file of data counts by its content, not by its name or how it was read."""
        names = ("data", "read") if self._has_file else ()
        known = {name: value for name, value in self.settings.items() if name not in names}
        text = json.dumps([self.work, self.version, known], sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def _has_file(self) -> bool:
        return "data_sha256" in self.settings


@dataclass(frozen=True)
class Record:
    """What the store holds of a cell: "done" with a result, or "failed" with an error; the seconds that it took."""

    status: str
    result: str | None
    error: str | None
    seconds: float | None


class Store:
    """The file; usable from several threads, and by several processes at once.

    Parameters
    ----------
    path : path or None
        None keeps everything in memory.

    Raises
    ------
    FileFormatError
        If the file is something else.
    OutputFileError
        If it cannot be made or written to, here and in every method.

    Examples
    --------
    >>> cell = SweepCell({"slope": 0.5}, "flow", "1.0")
    >>> with Store(None) as store:
    ...     claimed = store.claim([cell])
    ...     store.finish(cell, '{"rank": 2}', 0.1)
    ...     claimed == [cell], store.claim([cell]), store.record(cell).result
    (True, [], '{"rank": 2}')
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = path if path is None else _checked(path)
        self.owner = f"{_machine()} {os.getpid()} {_began(os.getpid())} {secrets.token_hex(4)}"
        self._lock = RLock()
        with self._told():
            where = ":memory:" if path is None else os.fspath(path)
            self._connection = sqlite3.connect(where, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is still claimed, and close the file."""
        with suppress(OutputFileError):
            self.release()
        with self._lock:
            self._connection.close()

    def records(self, cells: Iterable[SweepCell]) -> dict[str, Record]:
        """What is known of those that are finished, by key."""
        found = {}
        with self._told(), self._lock:
            for cell in cells:
                query = "SELECT status, result, error, seconds FROM cells WHERE key = ? AND status <> 'running'"
                row = self._connection.execute(query, (cell.key,)).fetchone()
                if row is not None:
                    found[cell.key] = Record(*row)
        return found

    def record(self, cell: SweepCell) -> Record | None:
        """What is known of one, if it is finished."""
        return self.records([cell]).get(cell.key)

    def claim(self, cells: Sequence[SweepCell], retry_failed: bool = False) -> list[SweepCell]:
        """Those of `cells` that are this store's to compute from now on; not those that are finished, or another's."""
        with self._written() as connection:
            return [cell for cell in cells if self._claimed(connection, cell, retry_failed)]

    def finish(self, cell: SweepCell, result: str, seconds: float) -> None:
        """Keep a result; the first one stays."""
        sets = "status = 'done', result = ?, error = NULL, seconds = ?, owner = NULL, lease = NULL"
        with self._written() as connection:
            query = f"UPDATE cells SET {sets} WHERE key = ? AND status <> 'done'"
            connection.execute(query, (result, seconds, cell.key))

    def fail(self, cell: SweepCell, error: str, seconds: float | None) -> None:
        """Keep an error, if the cell is still this store's."""
        sets = "status = 'failed', error = ?, seconds = ?, owner = NULL, lease = NULL"
        with self._written() as connection:
            query = f"UPDATE cells SET {sets} WHERE key = ? AND owner = ?"
            connection.execute(query, (error, seconds, cell.key, self.owner))

    def release(self) -> None:
        """Give back every claim; a cell that had failed before has its error again."""
        with self._written() as connection:
            again = "UPDATE cells SET status = 'failed', owner = NULL, lease = NULL WHERE owner = ? AND error NOT NULL"
            connection.execute(again, (self.owner,))
            connection.execute("DELETE FROM cells WHERE owner = ?", (self.owner,))

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Renew the leases while the block runs."""
        over = Event()

        def renew() -> None:
            while not over.wait(LEASE / 4.0):
                with suppress(OutputFileError), self._written() as connection:
                    query = "UPDATE cells SET lease = ? WHERE owner = ?"
                    connection.execute(query, (time.time() + LEASE, self.owner))

        thread = Thread(target=renew, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    # --- how -------------------------------------------------------------------------------------------

    def _claimed(self, connection: sqlite3.Connection, cell: SweepCell, retry_failed: bool) -> bool:
        query = "SELECT status, owner, lease FROM cells WHERE key = ?"
        row = connection.execute(query, (cell.key,)).fetchone()
        until = time.time() + LEASE
        if row is None:
            values = (cell.key, cell.work, cell.version, json_text(cell.settings, indent=None).strip())
            insert = "INSERT INTO cells VALUES (?, ?, ?, ?, 'running', NULL, NULL, NULL, ?, ?)"
            connection.execute(insert, (*values, self.owner, until))
            return True
        status, owner, lease = row
        if status == "done" or (status == "failed" and not retry_failed):
            return False
        if status == "running" and time.time() < lease and _lives(owner):
            return False
        update = "UPDATE cells SET status = 'running', owner = ?, lease = ? WHERE key = ?"
        connection.execute(update, (self.owner, until, cell.key))
        return True

    def _prepare(self) -> None:
        """Make the table in an empty file; refuse one of another program."""
        (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables:
            self._require_ours()
        self._set_journal()
        with self._written() as connection:
            connection.execute(SCHEMA)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _require_ours(self) -> None:
        (application,) = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            raise FileFormatError(self.path, "it is a database of another program, not a store of sweeps")
        if version != SCHEMA_VERSION:
            raise FileFormatError(
                self.path, f"it is a store of version {version}, and this program knows version {SCHEMA_VERSION}"
            )

    def _set_journal(self) -> None:
        """Write-ahead log; SQLite does not wait for the others here, so it is asked again."""
        ends = time.monotonic() + PATIENCE
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > ends:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is in the file at its end, or nothing."""
        with self._told(), self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputFileError(self.path, str(error)) from error
        except sqlite3.DatabaseError as error:
            raise FileFormatError(self.path, f"it is no store of sweeps, or is damaged ({error})") from error


def _checked(path: str | Path) -> Path:
    """`path`, if it is a regular file, or a file can be made there."""
    return check_input_path(path) if os.path.lexists(path) else check_output_path(path)


def _machine() -> str:
    """A name of this machine, of this start of it, and of its world of process numbers."""
    parts = [platform.node() or "-"]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(part.replace(" ", "-") for part in parts)


def _began(pid: int) -> str:
    """When a process began, in ticks of the system; "-" where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "-"


def _lives(owner: str) -> bool:
    """Whether the process of a claim may still be at work: only those of this machine are known to have ended."""
    machine, pid, began, _ = owner.split(" ")
    if machine != _machine() or os.name != "posix":
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return _began(int(pid)) == began
