"""Cases as files for implementations in any language, and the answers that they write beside them.

`export_cases` writes for each case ID.json and ID.txt (the same inputs, for languages without a JSON reader) and
MANIFEST.json with their hashes. An answer is ID.answer.json, {"value": ...} or {"refused": true}, or ID.answer.txt,
the numbers row by row or the word `refused`. docs/conformance.md walks through it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.errors import FileFormatError
from refimpl.files import as_path, check_output_path, make_folder, open_output, read_bytes, read_json, read_text
from refimpl.validation import Array
from verification.conformance.vectors.format import VECTORS_VERSION, VectorCase, canonical, load_vectors

__all__ = ["Answer", "export_cases", "read_answers"]

MANIFEST = "MANIFEST.json"
ANSWERS = (".answer.json", ".answer.txt")


@dataclass(frozen=True, eq=False)
class Answer:
    """What an implementation wrote for one case.

    Attributes
    ----------
    value : ndarray or None
        None if the inputs were refused. From a text file of shape (number of numbers,).
    intermediates : dict of ndarray
        Any of "preactivation", "slope", "margin", "weight", if the implementation wrote them.
    flat : bool
        Whether the shape is not known, because the file was a text file.
    """

    value: Array | None
    intermediates: dict[str, Array] = field(default_factory=dict)
    flat: bool = False


def export_cases(folder: str | Path, force: bool = False, cases: list[VectorCase] | None = None) -> int:
    """Write every case into `folder`, which is made if need be.

    Parameters
    ----------
    folder : path
    force : bool
        Overwrite files that exist.
    cases : list of VectorCase, optional
        By default all of them; `verification.conformance.precision.cases_in` has those of another format.

    Returns
    -------
    int
        The number of cases.

    Raises
    ------
    OutputFileError
        Before anything is written, if a file exists or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     count = export_cases(folder)
    ...     print((Path(folder) / "loss-001.txt").read_text().split()[:4])
    ['case', 'loss-001', 'function', 'loss']
    """
    folder = make_folder(folder)
    cases = load_vectors() if cases is None else cases
    files = _files_of(cases)
    for name in files:
        check_output_path(folder / name, force)
    for name, text in files.items():
        with open_output(folder / name, force) as handle:
            handle.write(text.encode())
    return len(cases)


def read_answers(folder: str | Path, exported: list[VectorCase] | None = None) -> dict[str, Answer]:
    """The answers in a folder that `export_cases` wrote (by default all cases), by the id of their case.

    Raises
    ------
    FileFormatError
        If a case was changed or is of another version, or an answer is no answer, or to no case.
    """
    folder = as_path(folder)
    if not folder.is_dir():
        raise FileFormatError(folder, "it is not a folder" if folder.exists() else "there is no such folder")
    cases = {case.id: case for case in (load_vectors() if exported is None else exported)}
    _check_manifest(folder, list(cases.values()))
    answers: dict[str, Answer] = {}
    for path in sorted(folder.glob("*.answer.*")):
        id = path.name.split(".answer.")[0]
        if not path.name.endswith(ANSWERS) or id not in cases:
            raise FileFormatError(path, f"it is no answer to any case: one ends in {' or '.join(ANSWERS)}")
        if id in answers:
            raise FileFormatError(path, "there is another answer to the same case")
        answers[id] = _answer_in(path)
    return answers


def _files_of(cases: list[VectorCase]) -> dict[str, str]:
    files: dict[str, str] = {}
    for case in cases:
        files[f"{case.id}.json"] = _as_json(case)
        files[f"{case.id}.txt"] = _as_text(case)
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()}
    manifest = {"vectors_version": VECTORS_VERSION, "count": len(cases), "sha256": hashes}
    return files | {MANIFEST: canonical(manifest)}


def _check_manifest(folder: Path, cases: list[VectorCase]) -> None:
    expected = _files_of(cases)
    for name, text in expected.items():
        path = folder / name
        if not path.exists():
            raise FileFormatError(path, "there is no such file; export the cases with `vectors export`")
        if read_bytes(path) != text.encode():
            why = f"it was changed, or is not of version {VECTORS_VERSION} of the vectors, or of another --dtype"
            raise FileFormatError(path, f"{why}; export the cases again")


def _answer_in(path: Path) -> Answer:
    is_json = path.suffix == ".json"
    content = read_json(path) if is_json else read_text(path)
    try:
        return _from_json(content) if is_json else _from_text(content)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        form = '{"value": numbers} or {"refused": true}' if is_json else "numbers, or the word `refused`"
        raise FileFormatError(path, f"it must hold {form}") from error


def _from_json(document: Any) -> Answer:
    unknown = set(document) - {"value", "refused", "intermediates"}
    if unknown or ("value" in document) == (document.get("refused") is True):
        raise ValueError("neither a value nor a refusal")
    if "value" not in document:
        return Answer(None)
    intermediates = {name: np.array(x, dtype=np.float64) for name, x in document.get("intermediates", {}).items()}
    return Answer(np.array(document["value"], dtype=np.float64), intermediates)


def _from_text(text: str) -> Answer:
    if text.split() == ["refused"]:
        return Answer(None)
    return Answer(np.array([float(word) for word in text.split()], dtype=np.float64), flat=True)


def _as_json(case: VectorCase) -> str:
    inputs = {name: _plain(value) for name, value in case.arguments.items()}
    return canonical({"id": case.id, "function": case.function, "comment": case.comment, "inputs": inputs})


def _as_text(case: VectorCase) -> str:
    lines = [f"case {case.id}", f"function {case.function}"]
    for name, value in case.arguments.items():
        lines += list(_lines(name, value))
    return "\n".join([*lines, "end"]) + "\n"


def _lines(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, np.ndarray):
        rows = value.reshape(value.shape[0], -1) if value.size else np.zeros((0, 0))
        yield f"matrix {name} {rows.shape[0]} {rows.shape[1]}" if value.ndim > 1 else f"vector {name} {value.size}"
        for row in rows if value.ndim > 1 else [value]:
            yield " ".join(_number(x) for x in row)
    elif isinstance(value, str):
        yield f"word {name} {value}"
    else:
        yield f"number {name} {value if isinstance(value, int) else _number(value)}"


def _number(x: float) -> str:
    return format(float(x), ".17g")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value] if value.ndim else _plain(float(value))
    if isinstance(value, float) and not np.isfinite(value):
        return _number(value)
    return float(value) if isinstance(value, float) else value
