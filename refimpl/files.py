"""Files without losses or surprises: nothing is overwritten unless that was asked for, only regular files are read.

What is promised of outputs, and what is not, stands in docs/numerics.md, "Files".
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from refimpl.errors import FileFormatError, InvalidParameterError, OutputFileError

__all__ = [
    "as_path",
    "check_input_path",
    "check_output_path",
    "check_paths",
    "make_folder",
    "open_output",
    "open_regular",
    "read_bytes",
    "read_json",
    "read_text",
]

TEXT_LIMIT_BYTES = 2**28
"""Texts that are read in one piece (JSON, answers, certificates) may have at most 256 MiB."""

NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What file systems without hard links answer."""


def as_path(path: Any) -> Path:
    """`path` as a `Path`.

    Raises
    ------
    InvalidParameterError
        If it is empty, or neither text nor a path.
    """
    if not isinstance(path, (str, os.PathLike)) or isinstance(os.fspath(path), bytes) or not os.fspath(path):
        raise InvalidParameterError("path", "be the name of a file or folder", path)
    return Path(path)


# --- reading ----------------------------------------------------------------------------------------


def check_input_path(path: str | Path) -> Path:
    """`path`, if it is a regular file or a link to one.

    A FIFO without a writer would be waited for for ever, and a device never ends.

    Raises
    ------
    FileFormatError
        If there is no such file, or it is a folder, a FIFO, a socket or a device.
    """
    path = as_path(path)
    try:
        _require_regular(path, os.stat(path))
    except (OSError, ValueError) as error:
        raise FileFormatError(path, _why_unreadable(error)) from error
    return path


def open_regular(path: str | Path) -> IO[bytes]:
    """The regular file `path`, open for reading in binary.

    Raises
    ------
    FileFormatError
        As in `check_input_path`, or if it must not be read.
    """
    path = check_input_path(path)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise FileFormatError(path, _why_unreadable(error)) from error
    try:
        _require_regular(path, os.fstat(handle.fileno()))  # it may be another file by now
    except FileFormatError:
        handle.close()
        raise
    return handle


def read_bytes(path: str | Path, limit: int = TEXT_LIMIT_BYTES) -> bytes:
    """All bytes of a regular file.

    Raises
    ------
    FileFormatError
        As in `open_regular`, or if it has more than `limit` bytes.
    """
    try:
        with open_regular(path) as handle:
            content = handle.read(limit + 1)
    except OSError as error:
        raise FileFormatError(path, _why_unreadable(error)) from error
    if len(content) > limit:
        raise FileFormatError(path, f"it has more than the {limit} bytes that are read")
    return content


def read_text(path: str | Path, limit: int = TEXT_LIMIT_BYTES) -> str:
    """The text of a regular file in UTF-8.

    Raises
    ------
    FileFormatError
        As in `read_bytes`, or if it is not UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(path, "it is not text in UTF-8") from error


def read_json(path: str | Path, limit: int = TEXT_LIMIT_BYTES) -> Any:
    """What the JSON in a regular file says.

    Raises
    ------
    FileFormatError
        As in `read_text`, or if it is not JSON, nested too deeply, or has an integer of thousands of digits.
    """
    text = read_text(path, limit)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise FileFormatError(path, "its JSON is nested too deeply") from error
    except ValueError as error:
        raise FileFormatError(path, "it is not JSON") from error


def _require_regular(path: Path, state: os.stat_result) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise FileFormatError(path, "it is a folder")
    if not stat.S_ISREG(state.st_mode):
        raise FileFormatError(path, f"it is {_kind(state)}, and only regular files are read")


def _why_unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return str(getattr(error, "strerror", None) or error)


def _kind(state: os.stat_result) -> str:
    kinds = ((stat.S_ISFIFO, "a FIFO"), (stat.S_ISSOCK, "a socket"))
    return next((name for test, name in kinds if test(state.st_mode)), "a device")


# --- writing ----------------------------------------------------------------------------------------


def check_output_path(path: str | Path, force: bool = False) -> Path:
    """`path`, if a file can be written there; found out before any work starts.

    Raises
    ------
    OutputFileError
        If the file exists and `force` is not set or it is read-only, if it is no regular file or a link to
        nothing, or if its folder is missing or not writable.
    """
    path = as_path(path)
    try:
        target = Path(os.path.realpath(path))
        state = _state(target)
    except (OSError, ValueError) as error:
        raise OutputFileError(path, str(getattr(error, "strerror", None) or error)) from error
    if state is None and path.is_symlink():
        raise OutputFileError(path, f"it is a link to `{target}`, where there is nothing")
    if state is not None:
        _check_existing(path, state, force)
    folder = target.parent
    if not folder.is_dir():
        raise OutputFileError(path, f"there is no folder `{folder}`")
    if not os.access(folder, os.W_OK):
        raise OutputFileError(path, f"the folder `{folder}` is not writable")
    try:
        _Draft(target).discard()
    except OSError as error:
        raise OutputFileError(path, str(error.strerror or error)) from error
    return path


def check_paths(outputs: Mapping[str, Any], inputs: Mapping[str, Any], force: bool = False) -> None:
    """Refuse, before any work, outputs that cannot be written, that are one file, or that are an input.

    Two names are one file if they lead to it through links, and if they differ in capital letters only:
    some file systems do not tell these apart.

    Parameters
    ----------
    outputs, inputs : mapping of str to path
        Paths by the names by which messages call them; None where there is none.
    force : bool
        Whether files may be overwritten.

    Raises
    ------
    FileFormatError
        If an input is missing or not a regular file.
    OutputFileError

    Examples
    --------
    >>> check_paths({"--json": "out/../a.json", "--save": "A.json"}, {})
    Traceback (most recent call last):
    ...
    refimpl.errors.OutputFileError: cannot write `A.json`: --json and --save are the same file.
    """
    taken: dict[Any, str] = {}
    for name, path in inputs.items():
        if path is not None:
            taken[_identity(check_input_path(path))] = f"it is the input {name}"
    for name, path in outputs.items():
        if path is None:
            continue
        key = _identity(as_path(path))
        if key in taken:
            raise OutputFileError(path, taken[key].format(name=name))
        check_output_path(path, force)
        taken[key] = f"{name} and {{name}} are the same file"


def make_folder(path: str | Path) -> Path:
    """The folder `path`, made if it is not there, with the folders that it lies in.

    Raises
    ------
    OutputFileError
        If it cannot be made, or is no folder.
    """
    path = as_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputFileError(path, "it is not a folder") from error
    except (OSError, ValueError) as error:
        raise OutputFileError(path, str(getattr(error, "strerror", None) or error)) from error
    return path


@contextmanager
def open_output(path: str | Path, force: bool = False) -> Iterator[IO[bytes]]:
    """A binary file that appears under its name only when it is complete.

    A file that is overwritten keeps its permissions, and a link to it stays a link. Without `force` a file
    that came into being during the work is not overwritten either. Where the system can, the
    unfinished file has no name, so that nothing is left of it if the process is killed.

    Raises
    ------
    OutputFileError
        As in `check_output_path`, or if writing fails.
    """
    path = check_output_path(path, force)
    target = Path(os.path.realpath(path))
    draft: _Draft | None = None
    try:
        draft = _Draft(target)
        with os.fdopen(draft.descriptor, "wb", closefd=False) as handle:
            yield handle
        draft.publish(force)
    except FileExistsError as error:
        raise OutputFileError(path, "the file exists by now; --force (force=True) overwrites it") from error
    except OSError as error:
        raise OutputFileError(path, str(error.strerror or error)) from error
    finally:
        if draft is not None:
            draft.discard()


class _Draft:
    """An unfinished file in the folder of `target`, without a name where the system can."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.name: Path | None = None
        self.descriptor = self._open()
        state = _state(target)
        if state is not None and os.name == "posix":
            with suppress(OSError):
                os.fchown(self.descriptor, state.st_uid, state.st_gid)
            os.fchmod(self.descriptor, stat.S_IMODE(state.st_mode) & 0o777)

    def _open(self) -> int:
        """A descriptor; the permissions are those of any new file."""
        if hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"):
            with suppress(OSError):  # the file system cannot
                return os.open(self.target.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
        self.name = self._free_name()
        return os.open(self.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)

    def _free_name(self) -> Path:
        return self.target.with_name(f".implicit-bias-{secrets.token_hex(8)}.tmp")

    def publish(self, force: bool) -> None:
        """Give the file its name; FileExistsError if something has it and `force` is not set."""
        if self.name is not None:
            self._close()  # Windows renames no open file
        if force:
            os.replace(self._named(), self.target)
            return
        try:
            self._link(self.target)
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            os.close(os.open(self.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.replace(self._named(), self.target)

    def _named(self) -> Path:
        if self.name is None:
            name = self._free_name()
            self._link(name)
            self.name = name
        return self.name

    def _link(self, path: Path) -> None:
        if self.name is not None:
            os.link(self.name, path)
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:  # a folder's descriptor makes this linkat(2), which follows the link in /proc
            os.link(f"/proc/self/fd/{self.descriptor}", path.name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Close it, and remove the name that is not its own."""
        self._close()
        if self.name is not None:
            with suppress(FileNotFoundError):
                os.unlink(self.name)

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _state(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _check_existing(path: Path, state: os.stat_result, force: bool) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise OutputFileError(path, "it is a folder")
    if not stat.S_ISREG(state.st_mode):
        raise OutputFileError(path, f"it is {_kind(state)}, and only regular files are written")
    if not force:
        raise OutputFileError(path, "the file exists; --force (force=True) overwrites it")
    if not os.access(path, os.W_OK):
        raise OutputFileError(path, "the file is read-only")


def _identity(path: Path) -> Any:
    """What two names of one file have in common."""
    try:
        target = Path(os.path.realpath(path))
        state = _state(target)
        if state is not None:
            return state.st_dev, state.st_ino
        folder = _state(target.parent)
    except (OSError, ValueError):
        return str(path)  # `check_output_path` says what is wrong with it
    place = str(target.parent) if folder is None else (folder.st_dev, folder.st_ino)
    return place, unicodedata.normalize("NFC", target.name).casefold()
