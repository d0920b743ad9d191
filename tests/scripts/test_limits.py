"""`scripts/limits.py`: what it prints, its exit codes, and where it stops."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import limits
import pytest


def found(residual: float | None, seed: int = 0) -> limits.Found:
    return limits.Found(seed, residual, "CONVERGED" if residual is not None else "MAX_EVENTS", 3, 0.5)


@pytest.mark.parametrize(("residuals", "code"), [([1e-14, 2e-10], 0), ([1e-14, 2e-9], 1), ([1e-14, None], 1)])
def test_a_limit_that_is_no_kkt_point_or_is_missing_fails(residuals, code: int, monkeypatch, capsys) -> None:
    monkeypatch.setattr(limits, "all_found", lambda *_: [found(r, 7 + k) for k, r in enumerate(residuals)])
    assert limits.main(["--instances", "2"]) == code
    out = capsys.readouterr().out
    assert "2 of 2 instances" in out
    assert ("Instance 8 has no limit: MAX_EVENTS." if residuals[1] is None else "that of instance 8.") in out


def test_none_begins_after_the_time_limit(monkeypatch, capsys) -> None:
    """With two at a time, here threads, four have begun when the first ends."""
    monkeypatch.setattr(limits, "ProcessPoolExecutor", lambda number, **_: ThreadPoolExecutor(number))
    assert limits.main(["--instances", "100", "--time-limit", "1e-3"]) == 0
    assert "4 of 100 instances, 4 with a limit" in capsys.readouterr().out


def test_what_was_found_is_printed_after_an_interruption(monkeypatch, capsys) -> None:
    def interrupted(*_):
        yield found(1e-14, 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(limits, "all_found", interrupted)
    assert limits.main(["--instances", "9"]) == 130
    assert "1 of 9 instances" in capsys.readouterr().out


def test_what_was_found_is_said_on_the_way(monkeypatch, capsys) -> None:
    monkeypatch.setattr(limits, "all_found", lambda *_: [found(1e-14, k) for k in range(2 * limits.TELL_EVERY + 1)])
    assert limits.main(["--instances", "41"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines() if " of 41 " in line] == ["20", "40"]


@pytest.mark.parametrize("option", ["--instances=0", "--first=-1", "--processes=0", "--time-limit=-1"])
def test_numbers_that_cannot_be_are_refused(option: str, capsys) -> None:
    assert limits.main([option]) == 2
    assert option.split("=")[0] in capsys.readouterr().err
