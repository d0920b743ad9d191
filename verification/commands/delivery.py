"""Where results go: outputs are checked before any work, and handed out after it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from refimpl.column_readers import is_zarr
from refimpl.documents import json_text
from refimpl.errors import ImplicitBiasError, OutputFileError
from refimpl.files import check_paths, open_output
from verification.printing import console_for
from verification.streams import ascii_json, printable, remark, write_output

__all__ = ["check_outputs", "deliver", "page_output", "tell_drawing"]

INPUTS = ("data", "labels", "weights", "check", "skips")
"""Options that name a file to be read."""


Output = tuple[str | None, Callable[[Any, bool], None]]
"""A path, if that output was asked for, and what writes it: called with the path and --force."""


def page_output(args: argparse.Namespace, page: Callable[[], str]) -> Output:
    """What writes the text of `page` where --html asks for it."""

    def write(path: Any, force: bool) -> None:
        text = page()
        with open_output(path, force) as handle:
            handle.write(text.encode(errors="backslashreplace"))

    return args.html, write


def check_outputs(args: argparse.Namespace, *names: str, more: Mapping[str, Path] | None = None) -> None:
    """Refuse, before any work, outputs that could not be written, and inputs that are no regular files.

    Parameters
    ----------
    args : argparse.Namespace
    *names : str
        The options that name outputs.
    more : mapping of str to path, optional
        Outputs that no option names, by what messages call them.
    """
    outputs: dict[str, Any] = {f"--{name}": getattr(args, name.replace("-", "_")) for name in names}
    if outputs.get("--json") == "-":
        del outputs["--json"]
    inputs = {f"--{name}": getattr(args, name, None) for name in INPUTS}
    if inputs["--data"] is not None and is_zarr(inputs["--data"]):
        del inputs["--data"]  # a folder
    check_paths(outputs | dict(more or {}), inputs, args.force)
    if outputs.get("--plot") is not None:
        from verification.plots import picture_kind  # matplotlib takes a second to import

        picture_kind(outputs["--plot"])


def deliver(
    args: argparse.Namespace,
    shown: Iterable[Any],
    document: str | dict[str, Any] | None = None,
    files: Iterable[Output] = (),
) -> None:
    """Hand out results: --json and the other files first, then the tables; what fails takes nothing else with it.

    Ctrl-C leaves out the file that is being written and those after it, and shows the tables.

    Parameters
    ----------
    args : argparse.Namespace
        With `json`, `force` and `wide`, where there are such options.
    shown : iterable
        What rich renders, for standard output, or for standard error if the JSON goes to standard output (`--json -`).
    document : str or dict, optional
        The JSON.
    files : iterable of (path or None, callable)
        Other outputs.

    Raises
    ------
    ImplicitBiasError
        After everything else, if an output could not be written.
    """
    failures: list[Exception] = []
    wide = getattr(args, "wide", False)
    path = getattr(args, "json", None)
    outputs: list[Output] = [(None if path == "-" else path, lambda path, force: _write_json(path, force, document))]
    stopped: KeyboardInterrupt | None = None
    try:
        for name, write in [*outputs, *files]:
            if name is not None:
                _attempt(lambda: write(name, args.force), failures)  # noqa: B023
    except KeyboardInterrupt as stop:
        stopped = stop
    if path == "-":
        _attempt(lambda: _print(sys.stderr, shown, wide), [])  # a lost remark is no lost result
        _attempt(lambda: _print_json(document), failures)
    else:
        _attempt(lambda: _print(sys.stdout, shown, wide), failures)
    if stopped is not None:
        raise stopped
    unexpected = [error for error in failures if not isinstance(error, ImplicitBiasError)]
    if unexpected or len(failures) == 1:
        raise (unexpected or failures)[0]
    if failures:
        raise ImplicitBiasError(" ".join(map(str, failures)))


def tell_drawing(path: str | Path) -> None:
    """Say that a picture is drawn, which takes seconds, after Ctrl-C too."""
    remark(f"... drawing {printable(str(path))} (Ctrl-C leaves it out)\n")


def _attempt(write: Callable[[], None], failures: list[Exception]) -> None:
    try:
        write()
    except Exception as error:
        failures.append(error)


def _print(stream: Any, shown: Iterable[Any], wide: bool) -> None:
    console = console_for(stream, wide)
    try:
        for what in shown:
            console.print(what, soft_wrap=isinstance(what, str), highlight=not isinstance(what, str))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFileError("standard output", str(error.strerror or error)) from error
    if stream is sys.stdout:
        write_output("")


def _print_json(document: str | dict[str, Any] | None) -> None:
    text = _json(document)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = ascii_json(text)
    write_output(text)


def _write_json(path: Any, force: bool, document: str | dict[str, Any] | None) -> None:
    text = _json(document)
    with open_output(Path(path), force) as handle:
        try:
            handle.write(text.encode())
        except UnicodeEncodeError:  # a name of a file that is no text
            handle.write(ascii_json(text).encode())


def _json(document: str | dict[str, Any] | None) -> str:
    return document if isinstance(document, str) else json_text(document)
