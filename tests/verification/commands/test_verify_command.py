"""`implicit-bias verify`: the sentences before the table, limits on time, rows as they are decided."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from verification.claims.report import Report

COMMAND = str(Path(sys.executable).with_name("implicit-bias"))
PROBLEM = ["--data", "data.npz", "--slope", "0.5", "--positive", "2", "--negative", "1", "--steps", "20"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", "TERM": "xterm", "COLUMNS": "200"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two samples in data.npz, made the working one."""
    np.savez(tmp_path / "data.npz", X=[[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], y=[1.0, -1.0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(*arguments: str, **where) -> subprocess.CompletedProcess:
    where = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | where
    return subprocess.run(
        [COMMAND, "verify", *arguments], env=ENVIRONMENT, timeout=120, check=False, text=True, **where
    )


def test_five_sentences_come_before_the_table(folder) -> None:
    done = started(*PROBLEM, "--json", "report.json", "--html", "report.html")
    assert done.returncode == 0, done.stderr
    answer = json.loads((folder / "report.json").read_text())["answer"]
    text, page = (" ".join(s.split()) for s in (done.stdout, (folder / "report.html").read_text()))
    for sentence in answer:
        assert " ".join(sentence.split()) in text
    assert text.startswith(answer[0])
    assert text.index(answer[4]) < text.index("hypothesis ┃")
    assert answer[0][:40] in page
    assert "VACUOUS" in page  # two samples: rank at most two says nothing


def test_no_time_is_told_by_every_row_and_by_the_exit_code(folder) -> None:
    done = started(*PROBLEM, "--time-limit", "1e-9", "--json", "report.json")
    assert done.returncode == 3
    report = json.loads((folder / "report.json").read_text())
    assert {row["verdict"] for row in report["claims"]} == {"INCONCLUSIVE"}
    assert {row["conclusion"] for row in report["claims"]} == {"UNDECIDED"}
    assert "time: the limit of 1e-09 s was reached." in done.stdout


def test_inf_is_no_limit(folder) -> None:
    assert started(*PROBLEM, "--time-limit", "inf", "--flow-time-limit", "inf").returncode == 0


@pytest.mark.parametrize("value", ["0", "-3", "nan", "soon"])
@pytest.mark.parametrize("option", ["--time-limit", "--flow-time-limit"])
def test_a_time_that_is_none(folder, option: str, value: str) -> None:
    done = started(*PROBLEM, f"{option}={value}")
    assert done.returncode == 2
    assert f"argument {option}: '{value}' is not a time in seconds" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
def test_a_terminal_is_told_each_row_as_it_is_decided(folder) -> None:
    here, there = os.openpty()
    process = subprocess.Popen(
        [COMMAND, "verify", *PROBLEM, "--json", "report.json"],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=there,
    )
    os.close(there)
    text = b""
    while True:
        try:
            part = os.read(here, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    os.close(here)
    assert process.wait(timeout=60) == 0
    told = text.decode(errors="replace")
    rows = json.loads((folder / "report.json").read_text())["claims"]
    places = [told.index(f"{row['id']}: {row['verdict']}") for row in rows]
    assert places == sorted(places)


def test_the_report_names_the_preparation_and_what_it_costs(folder) -> None:
    """In print, JSON, HTML and the saved report; a person who gets one of them later knows what the data are."""
    rows = "1,0.1,0,1000,1\n0,1,0.1,-3000,-1\n0.5,0,1,2000,1\n"
    (folder / "table.csv").write_text(rows)
    outputs = ("--json", "report.json", "--html", "report.html", "--save", "report.npz")
    done = started("--data", "table.csv", *PROBLEM[2:], "--centre", *outputs)
    report = json.loads((folder / "report.json").read_text())
    assert [step["name"] for step in report["data"]["preparation"]] == ["centre"]
    assert report["data"]["read"]["n"] == 3
    assert report["data"]["sha256"] == report["dataset"]["sha256"]
    text, page = (" ".join(s.split()) for s in (done.stdout, (folder / "report.html").read_text()))
    for told in (text, " ".join(re.sub("<[^>]*>", " ", page).split())):
        assert "Preparation: centre. Centring makes K singular" in told
        assert "costs the rows descent-converges, descent-stable-rank-bounded" in told
    loaded = Report.load(folder / "report.npz")
    assert loaded.data == report["data"]
    assert list(loaded.remarks) == report["remarks"]


def test_the_report_warns_of_bad_conditioning_with_the_number(folder) -> None:
    (folder / "table.csv").write_text("1e6,1,0,1\n1e6,0,1,-1\n1e6,1,1,1\n")
    done = started("--data", "table.csv", *PROBLEM[2:], "--time-limit", "3", "--json", "report.json")
    report = json.loads((folder / "report.json").read_text())
    warned = [words for words in report["remarks"] if words.startswith("Warning: cond(K) is ")]
    X = np.array([[1e6, 1, 0], [1e6, 0, 1], [1e6, 1, 1]])
    assert float(warned[0].split()[3].rstrip(":")) == pytest.approx(np.linalg.cond(X) ** 2, rel=0.05)
    assert " ".join(warned[0].split()) in " ".join(done.stdout.split())
