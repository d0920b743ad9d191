"""How the help of the commands is laid out: prose filled to the width, command lines broken where a shell allows it."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator

__all__ = ["HelpFormatter"]


class HelpFormatter(argparse.HelpFormatter):
    """Lines that start with a space are kept as lines; the others are prose. The list of exit codes has one a line."""

    def add_argument(self, action: argparse.Action) -> None:
        """Make room for the names of subcommands, which stand two columns further in."""
        super().add_argument(action)
        if list(self._iter_indented_subactions(action)):
            self._action_max_length += 2

    def _split_lines(self, text: str, width: int) -> list[str]:
        """The help of an option; lines of its own after the first are the items of a list."""
        first, *items = text.split("\n")
        lines = super()._split_lines(first, width)
        for item in items:
            lines += textwrap.wrap(item, width, initial_indent="  ", subsequent_indent="    ")
        return lines

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = laid_out(text, width - len(indent))
        return "".join(f"{indent}{line}".rstrip() + "\n" for line in lines)


def laid_out(text: str, width: int) -> Iterator[str]:
    """The lines of a description or an epilog.

    Examples
    --------
    >>> text = '''examples:
    ...   implicit-bias flow --preset small --plot flow.png
    ...
    ... exit codes: 0 converged; 2 bad
    ... input'''
    >>> print("\\n".join(laid_out(text, 40)))
    examples:
      implicit-bias flow --preset small \\
          --plot flow.png
    <BLANKLINE>
    exit codes:
        0  converged
        2  bad input
    """
    prose: list[str] = []
    for line in text.splitlines():
        if line and not line.startswith(" "):
            prose.append(line)
            continue
        yield from _filled(" ".join(prose), width)
        prose = []
        yield from _kept(line, width)
    yield from _filled(" ".join(prose), width)


def _filled(prose: str, width: int) -> list[str]:
    """Prose; the exit codes as a list."""
    if not prose.startswith("exit codes: "):
        return textwrap.wrap(prose, width)
    lines = ["exit codes:"]
    for item in re.split(r"; (?=\d)", prose.removeprefix("exit codes: ")):
        code, words = item.split(" ", 1)
        lines += textwrap.wrap(f"{code:>5}  {words}", width, subsequent_indent=7 * " ")
    return lines


def _kept(line: str, width: int) -> list[str]:
    """A line of its own, broken if it is too long."""
    if len(line) <= width:
        return [line]
    indent = (len(line) - len(line.lstrip())) * " "
    if not line.lstrip().startswith("implicit-bias "):
        return textwrap.wrap(line, width, subsequent_indent=indent)
    command, _, remark = line.partition("      (")
    lines = _broken(command.rstrip(), indent + 4 * " ", width)
    return [*lines, f"{indent}    ({remark}"] if remark else lines


def _broken(command: str, indent: str, width: int) -> list[str]:
    """A command line, broken before an option, with the shell's sign that it goes on."""
    first, *options = re.split(r" (?=--)", command)
    lines = [first]
    for option in options:
        if len(f"{lines[-1]} {option} \\") <= width:
            lines[-1] += f" {option}"
        else:
            lines.append(f"{indent}{option}")
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
