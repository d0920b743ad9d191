"""Whatever an implementation does to its process is reported, and the rest goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refimpl.errors import InvalidParameterError
from verification import cli
from verification.conformance import Outcome, Skips, item_ids, run_in_process
from verification.conformance.process import SLOW_ITEMS, ImplementationError

SOURCE = r"""
import contextlib, os, sys, time
from verification.conformance.subjects.styles import Einsum

def write_everywhere(text):
    for descriptor in range(3, 20):
        with contextlib.suppress(OSError):
            os.write(descriptor, text)

OTHER = '{"id": "vectors/loss-002", "section": "vectors: loss", "outcome": "passed"}'
TYPES = '{"id": "vectors/loss-001", "section": "vectors: loss", "outcome": "passed", "message": 1}'
LINES = {
    "writes_text": b"hello\n",
    "writes_no_line": b"hello",
    "writes_a_number": b"1\n",
    "writes_a_list": b"[]\n",
    "writes_nothing": b"\n",
    "writes_too_deep": b"[" * 100000 + b"\n",
    "writes_bytes": b"\xff\xfe\n",
    "writes_no_fields": b"{}\n",
    "writes_no_item": b'{"item": 1, "marked": true}\n',
    "writes_an_empty_item": b'{"item": {}, "marked": true}\n',
    "writes_another_item": ('{"item": ' + OTHER + ', "marked": true}\n').encode(),
    "writes_other_types": ('{"item": ' + TYPES + ', "marked": true}\n').encode(),
}

class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

class Foreign(BaseException):
    pass

def behaviour(name):
    def spoil():
        if name == "exits": sys.exit(0)
        if name == "ends": os._exit(0)
        if name == "aborts": os.abort()
        if name == "foreign": raise Foreign("of its own")
        if name == "interrupts": raise KeyboardInterrupt
        if name == "unprintable": raise Unprintable
        if name == "closes": sys.stdout.close()
        if name == "deletes": del sys.stdout
        if name == "forks": os.fork()
        if name == "closes_files": os.closerange(0, 200)
        if name == "speaks": print("hello"); os.system("echo from a shell"); print("error", file=sys.stderr)
        while name == "sleeps": time.sleep(1.0)
        while name == "floods": print("x" * 1000)
        if name in LINES: write_everywhere(LINES[name])
        if name == "memory": bytearray(1 << 60)

    class Subject(Einsum):
        def loss(self, *arguments):
            value = super().loss(*arguments)
            spoil()
            return value

    return Subject()

def __getattr__(name):
    return behaviour(name)

if os.environ.get("AT_IMPORT") == "exits": sys.exit(0)
if os.environ.get("AT_IMPORT") == "ends": os._exit(3)
if os.environ.get("AT_IMPORT") == "sleeps": time.sleep(1000.0)
if os.environ.get("AT_IMPORT") == "writes": write_everywhere(b"1\n")
if os.environ.get("AT_IMPORT") == "interrupts": raise KeyboardInterrupt
"""

ONE_BEFORE_AND_ONE_AFTER = Skips(
    {id: "quick" for id in item_ids() if id not in ("vectors/loss-001", "checks/clarke_at_kinks")}
)
"""What is left: loss-001, and a check that calls `gradient` only."""


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "spoiled.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("exits", "raised SystemExit: 0"),
        ("ends", "ended its process: exit code 0"),
        ("aborts", "ended its process: signal SIGABRT"),
        ("foreign", "raised Foreign: of its own"),
        ("interrupts", "raised KeyboardInterrupt"),
        ("unprintable", "raised Unprintable: its text cannot be shown"),
        ("closes", "closed sys.stdout"),
        ("deletes", "deleted sys.stdout"),
        ("forks", "forked, and the copy of the process came back"),
        ("closes_files", "ended its process"),
        ("sleeps", "no answer within 2 seconds"),
        ("floods", "no answer within 2 seconds"),
        ("memory", "raised MemoryError"),
        ("writes_text", "wrote into the channel of the answers"),
        ("writes_no_line", "wrote into the channel of the answers"),
        ("writes_a_number", "wrote into the channel of the answers"),
        ("writes_a_list", "wrote into the channel of the answers"),
        ("writes_nothing", "wrote into the channel of the answers"),
        ("writes_too_deep", "wrote into the channel of the answers"),
        ("writes_bytes", "wrote into the channel of the answers"),
        ("writes_no_fields", "wrote into the channel of the answers"),
        ("writes_no_item", "wrote into the channel of the answers"),
        ("writes_an_empty_item", "wrote into the channel of the answers"),
        ("writes_another_item", "wrote into the channel of the answers"),
        ("writes_other_types", "wrote into the channel of the answers"),
    ],
)
def test_it_is_reported_and_the_rest_goes_on(subject: Path, behaviour: str, message: str) -> None:
    board = run_in_process(f"spoiled:{behaviour}", ONE_BEFORE_AND_ONE_AFTER, time_limit=2.0)
    asked = {item.id: item for item in board.items if item.outcome is not Outcome.SKIPPED}
    assert set(asked) == {"vectors/loss-001", "checks/clarke_at_kinks"}
    assert message in asked["vectors/loss-001"].message
    assert asked["vectors/loss-001"].outcome is Outcome.FAILED
    assert asked["checks/clarke_at_kinks"].outcome is Outcome.PASSED
    assert board.exit_code == 1


def test_what_it_prints_is_kept_apart(subject: Path) -> None:
    board = run_in_process("spoiled:speaks", ONE_BEFORE_AND_ONE_AFTER)
    printed = {item.id: item.printed for item in board.items}
    assert sorted(printed["vectors/loss-001"].split("\n")) == ["", "error", "from a shell", "hello"]
    assert not printed["checks/clarke_at_kinks"]
    assert board.exit_code == 0


def test_a_section_that_hangs_is_given_up(subject: Path) -> None:
    skips = Skips({"vectors/[!l]*": "quick", "vectors/loss-?[1-9]?": "quick", "checks/*": "q", "properties/*": "q"})
    board = run_in_process("spoiled:sleeps", skips, time_limit=0.5)
    assert len(board.failed) == SLOW_ITEMS
    assert {item.message for item in board.items if "ran out of time" in item.message} == {
        f"{SLOW_ITEMS} other items of this section ran out of time"
    }


@pytest.mark.parametrize(
    ("behaviour", "what"), [("ends", "ended the process"), ("writes_text", "wrote into the channel of the answers")]
)
def test_a_section_that_ends_the_process_again_and_again_is_given_up(subject: Path, behaviour: str, what: str) -> None:
    skips = Skips({"vectors/[!l]*": "quick", "vectors/loss-?[1-9]?": "quick", "checks/*": "q", "properties/*": "q"})
    board = run_in_process(f"spoiled:{behaviour}", skips)
    assert len(board.failed) == SLOW_ITEMS
    assert {item.message for item in board.items if item.message.startswith(f"{SLOW_ITEMS} other items")} == {
        f"{SLOW_ITEMS} other items of this section {what}"
    }


@pytest.mark.parametrize(
    ("at_import", "reason"),
    [
        ("exits", "SystemExit: 0"),
        ("ends", "exit code 3"),
        ("sleeps", "took more than 1 seconds"),
        ("interrupts", "must not interrupt"),
        ("writes", "its import wrote into the channel of the answers"),
    ],
)
def test_an_import_that_ends_or_hangs(subject: Path, monkeypatch, at_import: str, reason: str) -> None:
    monkeypatch.setenv("AT_IMPORT", at_import)
    with pytest.raises((ImplementationError, InvalidParameterError), match=reason):
        run_in_process("spoiled:speaks", ONE_BEFORE_AND_ONE_AFTER, time_limit=1.0)


@pytest.mark.parametrize("limit", [0.0, -1.0, 1.1e6, 1e300, float("inf"), float("nan")])
def test_time_limit_must_be_positive_and_one_that_a_timer_can_hold(limit: float) -> None:
    with pytest.raises(InvalidParameterError, match="`time_limit` must be a positive number of seconds, at most 1e"):
        run_in_process("spoiled:speaks", time_limit=limit)


def test_the_longest_time_limit_can_be_held(subject: Path) -> None:
    assert run_in_process("spoiled:speaks", ONE_BEFORE_AND_ONE_AFTER, time_limit=1e6).exit_code == 0


@pytest.mark.parametrize("limit", ["inf", "1e300"])
def test_a_time_limit_that_no_timer_can_hold_is_refused_in_one_sentence(limit: str, capsys) -> None:
    assert cli.main(["conformance", "--implementation", "spoiled:speaks", "--time-limit", limit]) == 2
    assert "`--time-limit` must be a positive number of seconds, at most 1e+06" in " ".join(
        capsys.readouterr().err.split()
    )


def test_standard_output_is_json_and_nothing_is_left_behind(subject: Path) -> None:
    skips = subject / "skips.txt"
    skips.write_text("\n".join(f"{pattern} # {why}" for pattern, why in ONE_BEFORE_AND_ONE_AFTER.reasons.items()))
    before = set(os.listdir(subject))
    command = [sys.executable, "-m", "verification.cli", "conformance", "--implementation", "spoiled:speaks"]
    done = subprocess.run(
        [*command, "--skips", str(skips), "--json", "-"], capture_output=True, text=True, cwd=subject, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["counts"]["passed"] == 2
    assert "It printed something during 1 items" in done.stderr
    assert set(os.listdir(subject)) - before <= {"__pycache__"}


DRAWS = """
import sys, json
if sys.argv[1] == "local":
    open("odd.py", "w").write("A = [" + ", ".join(str(1000003 * k + 0.5) for k in range(1, 60)) + "]\\n")
    sys.path.insert(0, "")
    import odd
from verification.conformance.properties import PROPERTIES, run_property
from verification.conformance.subjects.styles import Einsum
seen = []
class Seen(Einsum):
    def loss(self, W, *others):
        seen.append(W.tolist())
        return super().loss(W, *others)
prop = next(prop for prop in PROPERTIES if prop.name == "tails")
run_property(prop, Seen())
print(json.dumps(seen))
"""


def test_draws_do_not_depend_on_the_source_code_that_is_loaded(tmp_path: Path) -> None:
    """Hypothesis draws numbers that it finds in modules outside site-packages: here they must not be drawn."""
    seen = [
        subprocess.run([sys.executable, "-c", DRAWS, which], capture_output=True, text=True, cwd=tmp_path, check=True)
        for which in ("local", "none")
    ]
    assert seen[0].stdout == seen[1].stdout
    assert len(json.loads(seen[0].stdout)) > 10
    assert not (tmp_path / ".hypothesis").exists()
