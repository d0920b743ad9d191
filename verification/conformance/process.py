"""An implementation in a process of its own, which is started again after it has crashed or hung.

Whatever the implementation does to its process (exit, abort, a loop without end, a closed standard output, forks,
writing where the answers go) becomes a failed item with that as its message, and the other items are asked too.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any

from refimpl.errors import ImplicitBiasError, InvalidParameterError
from verification.conformance.board import Item, Scoreboard
from verification.conformance.precision import format_named
from verification.conformance.run import NO_SKIPS, Skips, failed, item_ids, section_of, skipped
from verification.progress import Told

__all__ = ["TIME_LIMIT", "ImplementationError", "run_in_process"]

TIME_LIMIT = 60.0
"""Seconds that one call of the implementation may take."""

START_LIMIT = 300.0
"""Seconds that the process itself may take to start, before the implementation is imported."""

SLOW_ITEMS = 3
"""After so many items of one section that cost the process in the same way, the rest of the section is not asked."""

LONGEST_TIME_LIMIT = 1e6
"""Seconds: eleven days. Timers of operating systems end not far above."""

KEPT = 2000
"""Characters that are kept of what an item prints."""

MARK = "\0"
"""What the worker prints when an item is done: everything before it was printed by the item."""


class ImplementationError(ImplicitBiasError):
    """The implementation under test cannot be loaded."""


def run_in_process(
    name: str,
    skips: Skips = NO_SKIPS,
    progress: Callable[[str], None] = lambda message: None,
    time_limit: float = TIME_LIMIT,
    dtype: str = "float64",
) -> Scoreboard:
    """Ask the implementation that `name` names everything, in a process of its own.

    Parameters
    ----------
    name : str
        package.module:object.
    skips : Skips
    progress : callable
        Called with a sentence before each item.
    time_limit : float
        Seconds that one call may take, and the import: above 0, and at most 1e6.
    dtype : str
        As in `run_conformance`.

    Returns
    -------
    Scoreboard

    Raises
    ------
    InvalidParameterError
        If the time limit is not such a number, or the import ends the process, takes longer, or writes where the
        answers go.
    ImplementationError
        If the implementation cannot be loaded.

    Examples
    --------
    >>> from verification.conformance.run import Skips
    >>> skips = Skips({"vectors/[!f]*": "to be quick", "checks/*": "too", "properties/*": "too"})
    >>> run_in_process("verification.conformance.subjects.styles:Einsum", skips).summary().split(",")[1]
    ' 0 failed'
    """
    if not 0.0 < time_limit <= LONGEST_TIME_LIMIT:
        wanted = f"be a positive number of seconds, at most {LONGEST_TIME_LIMIT:g}"
        raise InvalidParameterError("time_limit", wanted, time_limit)
    format_named(dtype)
    items, lost = list[Item](), Counter[tuple[str, str]]()
    ids = item_ids()
    with _Subject(name, time_limit, dtype) as subject:
        for number, id in enumerate(ids):
            section = section_of(id)
            progress(Told("items", f"{number + 1} of {len(ids)}, {section}", number / len(ids)))
            reason = skips.reason(id)
            given_up = [what for what in _LOST.values() if lost[section, what] >= SLOW_ITEMS]
            if reason is None and given_up:
                reason = f"{SLOW_ITEMS} other items of this section {given_up[0]}"
            items.append(skipped(id, reason) if reason is not None else subject.ask(id))
            if reason is None:
                lost.update((section, what) for how, what in _LOST.items() if items[-1].message.startswith(how))
    return Scoreboard(name, tuple(items), dtype)


_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from verification.conformance.worker import main
main()
"""

_OUT_OF_TIME, _ENDED, _WROTE = "no answer within", "ended its process", "wrote into the channel of the answers"

_LOST = {_OUT_OF_TIME: "ran out of time", _ENDED: "ended the process", _WROTE: _WROTE}
"""How the message of an item begins that cost the process, which takes a second to start again: what it did."""


class _Subject:
    """The process, started when it is needed."""

    def __init__(self, name: str, time_limit: float, dtype: str) -> None:
        self.name, self.time_limit, self.dtype = name, time_limit, dtype
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> _Subject:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, id: str) -> Item:
        """The item, or what became of the process instead."""
        self._start()
        self.output.clear()
        self._send(id)
        try:
            answer = self._answer(self.time_limit)
            item = _item_of(answer, id)
        except _EndedError:
            return failed(id, f"{_ENDED}: {self._how_it_ended()}", printed=self.output.text())
        except _ForeignError:  # what it writes next is no more to be trusted
            self._end()
            return failed(id, _WROTE, printed=self.output.text())
        except TimeoutError:
            self._end()
            message = f"{_OUT_OF_TIME} {self.time_limit:g} seconds"
            return failed(id, message, printed=self.output.text())
        if answer["marked"]:
            self.output.marked.wait(5.0)
        return replace(item, printed=self.output.text())

    def _start(self) -> None:
        if self.process is not None:
            return
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the parent
            encoding="utf-8",
            errors="replace",
        )
        self.lines: queue.Queue[str] = queue.Queue()
        self.output = _Output(self.process.stderr)
        threading.Thread(target=_pass_on, args=(self.process.stdout, self.lines), daemon=True).start()
        try:
            self._answer(START_LIMIT)  # that it is up
            self._send({"implementation": self.name, "time_limit": self.time_limit, "dtype": self.dtype})
            found = _loaded(self._answer(self.time_limit))
        except _EndedError:
            raise self._cannot_load(f"its import ended the process: {self._how_it_ended()}") from None
        except TimeoutError:
            self._end()
            raise self._cannot_load(f"its import took more than {self.time_limit:g} seconds") from None
        except _ForeignError:
            self._end()
            raise self._cannot_load(f"its import {_WROTE}") from None
        if "refused" in found:
            self._end()
            raise ImplementationError(found["refused"])

    def _cannot_load(self, why: str) -> InvalidParameterError:
        return InvalidParameterError("implementation", f"name something that can be imported ({why})", self.name)

    def _send(self, content: Any) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(content) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it ended: the answer says so

    def _answer(self, limit: float) -> Any:
        """The next answer; each call that begins on the way has the limit for itself."""
        end = time.monotonic() + limit
        while True:
            try:
                line = self.lines.get(timeout=max(end - time.monotonic(), 0.0))
            except queue.Empty:
                raise TimeoutError from None
            if not line:
                raise _EndedError
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                raise _ForeignError from None
            if found != "call":
                return found
            end = time.monotonic() + limit

    def _how_it_ended(self) -> str:
        """In words; the last line that it printed may say why."""
        assert self.process is not None
        try:
            code = self.process.wait(5.0)
        except subprocess.TimeoutExpired:  # its streams are closed, and it lives
            return "it closed its files"
        finally:
            self._end()
        last = self.output.text().strip().splitlines()[-1:]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{how} ({last[0][:160]})" if last else how

    def _end(self) -> None:
        """End the process, and every copy that it made of itself."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(OSError):  # nothing of it is left
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait()
        self.output.join()
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()


class _EndedError(Exception):
    """There is nobody to answer."""


class _ForeignError(Exception):
    """A line that the worker did not write: the implementation did, into a descriptor that it does not own."""


def _loaded(found: Any) -> dict[str, Any]:
    """What the worker says once the implementation is imported, or refused."""
    if found == {"loaded": True} or (isinstance(found, dict) and [*found] == ["refused"]):
        return found
    raise _ForeignError


def _item_of(answer: Any, id: str) -> Item:
    """The item of the answer, which must be one to the request of this id."""
    try:
        item, marked = Item.from_dict(answer["item"]), answer["marked"]
    except (TypeError, KeyError, ValueError):
        raise _ForeignError from None
    texts = (item.message, item.comment, item.printed, item.first_difference or "")
    complete = all(isinstance(text, str) for text in texts) and isinstance(marked, bool)
    if not complete or (item.id, item.section) != (id, section_of(id)):
        raise _ForeignError
    return item


class _Output:
    """What the process prints: the first and the last of it, however much it is."""

    def __init__(self, stream: IO[str] | None) -> None:
        self.stream, self.lock, self.kept = stream, threading.Lock(), ""
        self.marked = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        assert self.stream is not None
        with self.stream:
            while part := self.stream.buffer.read1(65536):  # type: ignore[attr-defined]
                with self.lock:
                    text = self.kept + part.decode("utf-8", "replace").replace(MARK, "")
                    self.kept = text if len(text) <= KEPT else text[: KEPT // 2] + text[-KEPT // 2 :]
                if part.endswith(MARK.encode()):
                    self.marked.set()

    def clear(self) -> None:
        self.marked.clear()
        with self.lock:
            self.kept = ""

    def text(self) -> str:
        with self.lock:
            return self.kept

    def join(self) -> None:
        self.thread.join(5.0)


def _pass_on(stream: IO[str], lines: queue.Queue[str]) -> None:
    """Each line, and an empty one at the end."""
    try:
        for line in stream:
            lines.put(line)
    except ValueError:
        pass  # closed
    lines.put("")
