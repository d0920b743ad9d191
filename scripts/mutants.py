"""Do the tests see small faults? Each fault of scripts/mutants.toml is put into a copy, and its tests must fail there.

    python scripts/mutants.py                     every mutant: half a second each on a core
    python scripts/mutants.py --only checker      those with this word in title, file or tests
    python scripts/mutants.py --list              what there is; nothing is run

A mutant is a file, a text that occurs in it exactly once, another text, and the tests that should see the change. They
run in a temporary copy of the working tree; the tree itself is never changed. First the tests must pass in the
copy as it is, so that a mutant is killed by what it changes and by nothing else.

exit codes: 0 every mutant was killed; 1 one survived; 2 the list is stale, or the tests fail without a mutant
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

from rich.table import Table
from rich.text import Text

from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError
from verification.bars import progress
from verification.printing import console_for, sentence
from verification.progress import Told

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
SERVER = Path(__file__).with_name("mutants_server.py")

COPIED = ("refimpl", "verification", "tests", "scripts", "docs", "pyproject.toml", "setup.cfg", "README.md", "Makefile")
"""What tests read."""

FAILED, COLLECTED = 1, (0, 1)
"""Exit codes of pytest: tests failed; tests were found and run."""

PRELOADED = (
    "cvxpy",
    "flint",
    "hypothesis.extra.numpy",
    "matplotlib.figure",
    "rich.table",
    "scipy.integrate",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.sparse.linalg",
    "scipy.special",
    "scipy.stats",
)
"""What the project and its tests import of others: imported once and not once a mutant."""

FIELDS = {"title", "file", "old", "new", "tests"}


@dataclass(frozen=True)
class Mutant:
    """A small fault and what should see it.

    Attributes
    ----------
    title : str
        What is wrong, in a few words.
    file : str
        Path from the root of the project.
    old, new : str
        `old` occurs in the file exactly once; the fault is `new` in its place.
    tests : tuple of str
        Names of tests as pytest takes them, from the root of the project.
    """

    title: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, source: str) -> str:
        """The source with the fault.

        Raises
        ------
        ImplicitBiasError
            If the old text is not there exactly once.

        Examples
        --------
        >>> Mutant("sign", "a.py", "x + y", "x - y", ("tests",)).applied("z = x + y")
        'z = x - y'
        """
        count = source.count(self.old)
        if count != 1 or self.old == self.new:
            raise ImplicitBiasError(
                f"{self.file}: the mutant “{self.title}” is stale: its old text must differ from its new one, "
                f"and occurs {count} times, not once."
            )
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Trial:
    """What became of a mutant: killed, and by which test; or not."""

    mutant: Mutant
    killed: bool
    by: str
    seconds: float


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """The mutants of a list.

    Raises
    ------
    FileFormatError
        If it is no such list.
    """
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    except (OSError, ValueError, KeyError) as error:
        raise FileFormatError(path, f"it is no list of mutants: {error}") from error
    for number, entry in enumerate(entries, 1):
        if set(entry) != FIELDS or not entry["tests"]:
            raise FileFormatError(path, f"mutant {number} has not exactly the fields {', '.join(sorted(FIELDS))}")
    found = [Mutant(**{**entry, "tests": tuple(entry["tests"])}) for entry in entries]
    if len({mutant.title for mutant in found}) != len(found):
        raise FileFormatError(path, "two mutants have one title")
    return found


def run_mutants(
    mutants: Sequence[Mutant],
    root: Path = ROOT,
    jobs: int = 2,
    time_limit: float = 300.0,
    tell: Callable[[str], None] = lambda message: None,
    preloaded: Sequence[str] = PRELOADED,
) -> Iterator[Trial]:
    """Each mutant in a copy of `root`, in the order of the list.

    Raises
    ------
    ImplicitBiasError
        If a mutant is stale, or a test that is named fails without a mutant or cannot be run.
    """
    for mutant in mutants:
        mutant.applied((root / mutant.file).read_text(encoding="utf-8"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        benches: SimpleQueue[Bench] = SimpleQueue()
        for number in range(jobs):
            benches.put(stack.enter_context(Bench(_copied(root, folder / str(number)), preloaded)))
        pool = stack.enter_context(ThreadPoolExecutor(jobs))

        @contextmanager
        def free_bench() -> Iterator[Bench]:
            bench = benches.get()
            try:
                yield bench
            finally:
                benches.put(bench)

        def unchanged(tests: list[str]) -> None:
            with free_bench() as bench:
                _refuse_failing_tests(tests, bench, 10.0 * time_limit)

        def tried(mutant: Mutant) -> Trial:
            with free_bench() as bench:
                return _tried(mutant, bench, time_limit)

        tell("the tests without a mutant")
        tests = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        list(pool.map(unchanged, [tests[k::jobs] for k in range(min(jobs, len(tests)))]))
        for number, trial in enumerate(pool.map(tried, mutants), 1):
            tell(Told("mutants", f"{number} of {len(mutants)}, {trial.mutant.title}", number / len(mutants)))
            yield trial


def _copied(root: Path, copy: Path) -> Path:
    """A copy of what tests need, compiled so that a changed file is seen by its contents and not by its time."""
    copy.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, copy / name, ignore=ignored)
        elif (root / name).is_file():
            shutil.copy(root / name, copy / name)
    compileall.compile_dir(copy, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    return copy


@dataclass(frozen=True)
class Outcome:
    """Exit code of pytest, None if it ran out of time; and what it printed."""

    code: int | None
    output: str


class Bench:
    """A copy of the project, and a process that runs tests in it (scripts/mutants_server.py)."""

    def __init__(self, copy: Path, preloaded: Sequence[str]) -> None:
        self.copy, self._output = copy, copy.with_suffix(".txt")
        self._tests = f"--basetemp={copy.with_suffix('.tmp')}"
        env = {key: value for key, value in os.environ.items() if key != "IMPLICIT_BIAS_EXPECT_INSTALLED"}
        env |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # plugins are imported already, which pytest would warn of
        command = [sys.executable, str(SERVER), *preloaded]
        self._server = subprocess.Popen(
            command, cwd=copy, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.terminate()
        self._server.communicate()

    def pytest(self, arguments: Sequence[str], time_limit: float) -> Outcome:
        """Pytest in the copy, which is first on the path.

        Raises
        ------
        ImplicitBiasError
            If the process has ended.
        """
        server = self._server
        assert server.stdin is not None
        assert server.stdout is not None
        options = ["-q", "-rfE", "--tb=line", "-p", "no:cacheprovider", self._tests, *arguments]
        try:
            server.stdin.write(json.dumps([options, str(self._output), time_limit]) + "\n")
            server.stdin.flush()
            code = json.loads(server.stdout.readline())
        except (OSError, ValueError) as error:
            raise ImplicitBiasError(f"{SERVER.name} has ended: {error}") from error
        return Outcome(code, self._output.read_text(encoding="utf-8", errors="replace"))


def _refuse_failing_tests(tests: Sequence[str], bench: Bench, time_limit: float) -> None:
    done = bench.pytest(tests, time_limit)
    if done.code != 0:
        told = "ran out of time" if done.code is None else _failed_test(done.output) or done.output.strip()[-500:]
        raise ImplicitBiasError(f"The tests do not pass without a mutant: {told}")


def _tried(mutant: Mutant, bench: Bench, time_limit: float) -> Trial:
    file, started = bench.copy / mutant.file, perf_counter()
    source = file.read_text(encoding="utf-8")
    file.write_text(mutant.applied(source), encoding="utf-8")
    try:
        done = bench.pytest(["-x", *mutant.tests], time_limit)
    finally:
        file.write_text(source, encoding="utf-8")
    seconds = perf_counter() - started
    if done.code is None:
        return Trial(mutant, True, f"no end within {time_limit:g} s", seconds)
    if done.code not in COLLECTED:
        raise ImplicitBiasError(f"The mutant “{mutant.title}” cannot be run: {done.output.strip()[-500:]}")
    return Trial(mutant, done.code == FAILED, _failed_test(done.output), seconds)


def _failed_test(output: str) -> str:
    """The first test that pytest says failed.

    Examples
    --------
    >>> _failed_test("1 failed\\nFAILED test_a.py::test_b[1] - assert 0")
    'test_a.py::test_b[1]'
    """
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.M)
    return found[1] if found else ""


def chosen(mutants: Sequence[Mutant], word: str) -> list[Mutant]:
    """Those with the word in title, file or tests.

    Raises
    ------
    InvalidParameterError
        If there is none.
    """
    found = [mutant for mutant in mutants if word in " ".join((mutant.title, mutant.file, *mutant.tests))]
    if not found:
        raise InvalidParameterError("only", "occur in the title, file or tests of a mutant", word)
    return found


def table_of(trials: Sequence[Trial]) -> Table:
    """One row a mutant, those that survived first."""
    table = Table("file", "fault", "outcome", "seconds", "seen by")
    for trial in sorted(trials, key=lambda trial: trial.killed):
        outcome = Text("killed", style="green") if trial.killed else Text("SURVIVED", style="bold red")
        seen = trial.by.partition("::")[2] or trial.by
        table.add_row(trial.mutant.file, trial.mutant.title, outcome, f"{trial.seconds:.1f}", seen)
    return table


def main(arguments: list[str] | None = None) -> int:
    """Try the mutants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="mutants with this word in title, file or tests")
    parser.add_argument("--list", action="store_true", help="list the mutants and run nothing")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="mutants at a time (default: 2)")
    parser.add_argument("--time-limit", type=float, default=300.0, metavar="SECONDS", help="for one mutant")
    args = parser.parse_args(arguments)
    console, trials = console_for(sys.stdout), list[Trial]()
    try:
        if args.jobs < 1 or not args.time_limit > 0.0:
            raise InvalidParameterError("jobs and time-limit", "be positive", (args.jobs, args.time_limit))
        mutants = chosen(read_mutants(), args.only)
        if args.list:
            for mutant in mutants:
                console.print(f"{mutant.file}: {mutant.title}", highlight=False)
            return 0
        with progress() as tell:
            trials.extend(run_mutants(mutants, jobs=args.jobs, time_limit=args.time_limit, tell=tell))
    except (ImplicitBiasError, OSError) as error:
        print(f"mutants: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    killed = sum(trial.killed for trial in trials)
    console.print(table_of(trials))
    console.print(sentence(f"{killed} of {len(trials)} mutants killed."))
    return 0 if killed == len(trials) else 1


if __name__ == "__main__":
    sys.exit(main())
