"""The help of every command fits 80 columns; what is broken over lines is still what a shell understands."""

from __future__ import annotations

import re
import shlex

import pytest

from verification import cli
from verification.help_format import HelpFormatter, laid_out
from verification.presets import PRESETS

COMMANDS = [[], *([name] for name in cli.COMMANDS), ["vectors", "list"], ["vectors", "export"]]


def help_of(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits(words, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, help_of(words, capsys).splitlines())) <= 80


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_examples_over_several_lines_are_the_same_commands(command, capsys, monkeypatch) -> None:
    epilog = cli.build_parser(command)._subparsers._group_actions[0].choices[command].epilog
    monkeypatch.setenv("COLUMNS", "80")

    def commands(text: str) -> list[list[str]]:
        joined = text.replace("\\\n", " ")
        return [
            shlex.split(line.split("      (")[0]) for line in joined.splitlines() if line.startswith("  implicit-b")
        ]

    assert commands(help_of([command], capsys)) == commands(epilog)
    assert commands(epilog)


def test_every_exit_code_has_a_line(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    codes = re.findall(r"^ +(\d+)  \w", help_of(["verify"], capsys).partition("exit codes:")[2], flags=re.MULTILINE)
    assert codes == ["0", "1", "2", "3", "130"]


def test_a_list_in_the_help_of_an_option_has_a_line_for_each(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = re.findall(r"^ {26}([a-z]+): ", help_of(["flow"], capsys), flags=re.MULTILINE)
    assert names == list(PRESETS)


def test_names_of_subcommands_stand_beside_their_help(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = help_of([], capsys).splitlines()
    for name in cli.COMMANDS:
        assert any(re.match(rf"    {name} +\w", line) for line in lines)


def test_long_lines() -> None:
    text = (
        "  implicit-bias kkt --data data.npz --weights W.npz      (arrays W, a)\n  aaaa bbbb cccc dddd eeee ffff gggg"
    )
    assert list(laid_out(text, 30)) == [
        "  implicit-bias kkt \\",
        "      --data data.npz \\",
        "      --weights W.npz",
        "      (arrays W, a)",
        "  aaaa bbbb cccc dddd eeee",
        "  ffff gggg",
    ]
    assert HelpFormatter("x")._fill_text("one\ntwo\n\nthree", 20, "") == "one two\n\nthree\n"
