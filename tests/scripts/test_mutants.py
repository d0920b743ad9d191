"""The list of mutants fits the source, and the runner tells killed from survived and stale (scripts/mutants.py)."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import mutants
import pytest

from refimpl.errors import FileFormatError, ImplicitBiasError

MUTANTS = mutants.read_mutants()
TOY, TEST = (f"tests/{name}.py" for name in ("toy", "test_toy"))


def test_every_mutant_fits_the_source_and_is_a_program() -> None:
    for mutant in MUTANTS:
        source = mutant.applied((mutants.ROOT / mutant.file).read_text(encoding="utf-8"))
        compile(source, mutant.file, "exec")


def test_every_test_that_is_named_is_there() -> None:
    for name in {test for mutant in MUTANTS for test in mutant.tests}:
        path, _, function = name.partition("::")
        assert re.sub(r"\[.*", "", function) in functions_of(path), name


@pytest.mark.skipif(os.environ.get("HYPOTHESIS_PROFILE") != "thorough", reason="thorough runs only")
def test_every_test_that_is_named_is_collected() -> None:
    """With its parameters, which the source alone does not show: a name that pytest does not know kills nothing."""
    named = {test for mutant in MUTANTS for test in mutant.tests}
    files = sorted({name.partition("::")[0] for name in named})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider", *files]
    told = subprocess.run(command, cwd=mutants.ROOT, capture_output=True, text=True, check=True).stdout
    ids = {line for line in told.splitlines() if "::" in line}
    known = ids | {name.partition("[")[0] for name in ids}
    assert not sorted(named - known)


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((mutants.ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one function and one test."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "toy.py").write_text("def total(a, b):\n    return a + b  # a sum\n")
    (tmp_path / "tests" / "test_toy.py").write_text(
        "import toy\n\n\ndef test_total():\n    assert toy.total(2, 2) == 4\n"
    )
    return tmp_path


def toy(old: str, new: str, test: str = f"{TEST}::test_total") -> mutants.Mutant:
    return mutants.Mutant(f"{old} to {new}", TOY, old, new, (test,))


def test_a_mutant_is_killed_or_survives_and_the_tree_is_left_alone(project: Path) -> None:
    """a - b is of the same length as a + b, so that a compiled file that goes by time and size would hide it."""
    before = (project / "tests" / "toy.py").read_bytes()
    faults = [toy("a + b", "a * b"), toy("a + b", "a - b"), toy("a + b", "a +")]
    running = mutants.run_mutants(faults, project, jobs=1, preloaded=())
    trials = [next(running), next(running)]
    assert [(trial.killed, trial.by) for trial in trials] == [(False, ""), (True, f"{TEST}::test_total")]
    with pytest.raises(ImplicitBiasError, match="cannot be run"):  # no program: killed by nothing
        next(running)
    assert (project / "tests" / "toy.py").read_bytes() == before
    assert sorted(path.name for path in project.rglob("*")) == ["test_toy.py", "tests", "toy.py"]
    rows = list(mutants.table_of(trials).columns[2].cells)
    assert [row.plain for row in rows] == ["SURVIVED", "killed"]


@pytest.mark.parametrize(("old", "new"), [("a / b", "a - b"), ("a", "b"), ("a + b", "a + b")])
def test_an_old_text_that_is_not_there_once_is_an_error(project: Path, old: str, new: str) -> None:
    with pytest.raises(ImplicitBiasError, match="is stale"):
        next(mutants.run_mutants([toy(old, new)], project))


def test_tests_that_fail_without_a_mutant_kill_nothing(project: Path) -> None:
    (project / "tests" / "test_toy.py").write_text("def test_total():\n    assert False\n")
    with pytest.raises(ImplicitBiasError, match=f"do not pass without a mutant: {TEST}::test_total"):
        next(mutants.run_mutants([toy("a + b", "a - b")], project, jobs=1, preloaded=("no_such_module",)))


def test_exit_codes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for killed, code in (((True, True), 0), ((True, False), 1)):
        trials = [mutants.Trial(mutant, dead, "", 0.1) for mutant, dead in zip(MUTANTS[:2], killed, strict=True)]
        monkeypatch.setattr(mutants, "run_mutants", lambda *_, found=trials, **__: iter(found))
        assert mutants.main([]) == code
        assert f"{sum(killed)} of 2 mutants killed." in capsys.readouterr().out
    for arguments in (["--only", "no such word"], ["--jobs", "0"], ["--time-limit", "nan"]):
        assert mutants.main(arguments) == 2
        assert capsys.readouterr().err.startswith("mutants: error: ")
    assert mutants.main(["--list", "--only", "checker.py"]) == 0
    assert "bounds that disprove nothing" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[[mutant]]\ntitle = 'a'\n",
        "[[mutant]]\ntitle = 'a'\nfile = 'b'\nold = 'c'\nnew = 'd'\ntests = []\n",
        2 * "[[mutant]]\ntitle = 'a'\nfile = 'b'\nold = 'c'\nnew = 'd'\ntests = ['e']\n",
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "list.toml"
    path.write_text(text)
    with pytest.raises(FileFormatError):
        mutants.read_mutants(path)


def test_a_mutant_that_does_not_end_is_killed_with_what_it_started(project: Path) -> None:
    """The tests pass at once without it; with it they wait for a process of their own that says when it ends."""
    waits = "subprocess.run([sys.executable, '-c', 'import time; time.sleep(3); open(\"late\", \"w\")'])"
    (project / "tests" / "toy.py").write_text(
        f"import subprocess\nimport sys\n\n\ndef total(a, b):\n    if a < 0:\n        {waits}\n    return a + b\n"
    )
    (trial,) = mutants.run_mutants([toy("a < 0", "a > 0")], project, 1, 1.0, preloaded=())
    assert (trial.killed, trial.by) == (True, "no end within 1 s")
