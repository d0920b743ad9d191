"""What the figure scripts share: their options, their four files, errors in one sentence, work in processes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from refimpl.documents import json_text
from refimpl.errors import ImplicitBiasError, InvalidParameterError, OutputFileError
from refimpl.files import check_output_path, open_output
from verification.plots import save_figure

__all__ = [
    "COLOURS",
    "CONDITIONS",
    "MARKERS",
    "FigureFiles",
    "Parser",
    "add_common_options",
    "condition_name",
    "counted",
    "each",
    "in_parallel",
    "legend_below",
    "report",
    "reporting_errors",
]

COLOURS = ("#0072b2", "#e69f00", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
"""Of Okabe and Ito, which the colour-blind tell apart; with `MARKERS` of the same place they read in grey, too."""

MARKERS = ("o", "s", "^", "x", "D", "v")

CONDITIONS = {"refined": "-", "instance_wise": "--", "paper": ":"}
"""The conditions on the data and their dashes, the one that begins to hold first before the others."""


def each(option: str, text: str, kind: Callable[[str], Any]) -> list[Any]:
    """Numbers separated by commas, in increasing order, each once."""
    try:
        return sorted({kind(part) for part in text.split(",")})
    except ValueError as error:
        raise InvalidParameterError(option, "be numbers separated by commas, such as 200,1000", text) from error


def counted(number: int, word: str) -> str:
    """The number with its word: 1 seed, 5 seeds."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def in_parallel(work: Callable[[Any], Any], items: Sequence[Any], jobs: int) -> Iterator[Any]:
    """work(item) for each, in order, in `jobs` processes."""
    if jobs == 1:
        yield from map(work, items)
        return
    joblib: Any = import_module("joblib")
    yield from joblib.Parallel(n_jobs=jobs, return_as="generator")(joblib.delayed(work)(item) for item in items)


@dataclass(frozen=True)
class FigureFiles:
    """NAME.png, .svg, .json and .caption.txt in one folder."""

    folder: Path
    name: str
    force: bool

    def path(self, ending: str) -> Path:
        """Of one file."""
        return self.folder / f"{self.name}.{ending}"

    def check(self) -> None:
        """Refuse, before any work, what could not be written; the folder is made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFileError(self.folder, str(error.strerror or error)) from error
        for ending in ("png", "svg", "json", "caption.txt"):
            check_output_path(self.path(ending), self.force)

    def write(self, figure: Figure, document: dict[str, Any]) -> None:
        """All four; the caption stands in the JSON too."""
        for kind in ("png", "svg"):
            save_figure(figure, self.path(kind), self.force, kind)
        text = json_text(document, indent=1)
        for ending, content in (("json", text), ("caption.txt", document["caption"])):
            with open_output(self.path(ending), self.force) as handle:
                handle.write(content.encode())


def condition_name(condition: str) -> str:
    """As the commands write it: the paper's, instance-wise or refined condition."""
    return ("paper's" if condition == "paper" else condition.replace("_", "-")) + " condition"


def legend_below(figure: Figure, *axes: Any, ncols: int = 4) -> None:
    """One legend for all axes, outside of them, with each label once."""
    named: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    figure.legend(
        named.values(), named.keys(), loc="outside lower center", ncols=ncols, frameon=False, handlelength=3.0
    )


class Parser(argparse.ArgumentParser):
    """Tells what is wrong in one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message}.\n")


def add_common_options(parser: argparse.ArgumentParser, seeds: int) -> None:
    """--seeds, --out, --force, --jobs."""
    parser.add_argument("--seeds", type=int, default=seeds, metavar="N", help=f"number of seeds (default: {seeds})")
    parser.add_argument("--out", default="figures", metavar="DIR", help="folder of the files (default: figures)")
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes (default: 2)")


def reporting_errors(name: str, work: Callable[[], None]) -> int:
    """0, or 2 after one sentence, or 130 after Ctrl-C."""
    try:
        work()
    except ImplicitBiasError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted; nothing was written.", file=sys.stderr)
        return 130
    return 0


def report(tables: Iterable[Table], sentence: str, files: FigureFiles) -> None:
    """Tables and a sentence on standard output, and where the files are."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(*tables, sep="\n")
    console.print(sentence, highlight=False)
    console.print(f"{files.path('png')}, .svg, .json, .caption.txt", highlight=False, soft_wrap=True)
