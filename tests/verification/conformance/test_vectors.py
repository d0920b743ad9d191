"""Lint of the golden vectors: schema, ids, counts, canonical text, regeneration; and the file route."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import jsonschema
import make_vectors
import numpy as np
import pytest

from refimpl.errors import FileFormatError, InvalidParameterError, OutputFileError
from verification import cli
from verification.conformance.vectors import FOLDER, KINDS, Answer, export_cases, load_vectors, read_answers
from verification.conformance.vectors.format import NOTES, canonical, seal_of

SCHEMA = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def document(kind: str) -> dict:
    return json.loads((FOLDER / f"{kind}.json").read_text(encoding="utf-8"))


def test_there_are_enough_and_they_are_small() -> None:
    assert len(load_vectors()) >= 200
    assert sum(path.stat().st_size for path in FOLDER.glob("*.json")) < 3e6
    assert {path.stem for path in FOLDER.glob("*.json")} == {*KINDS, "schema"}


@pytest.mark.parametrize("kind", KINDS)
def test_files_obey_the_schema_and_are_canonical(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    found = document(kind)
    assert [error.message for error in VALIDATOR.iter_errors(found)] == []
    assert canonical(found) == (FOLDER / f"{kind}.json").read_text(encoding="utf-8")
    assert found["sha256"] == seal_of(found)
    cases = [case for group in found["groups"] for case in group["cases"]]
    assert found["count"] == len(cases)
    assert [case["id"] for case in cases] == [f"{kind}-{k:03d}" for k in range(1, len(cases) + 1)]
    assert set(found["notes"]) == {flag for case in cases for flag in case["flags"]}


def test_every_flag_is_used_and_explained() -> None:
    used = {flag for case in load_vectors() for flag in case.flags}
    assert used == set(NOTES)


@pytest.mark.parametrize("change", ["additional", "missing", "answered refusal", "word", "id"])
def test_the_schema_refuses(change: str) -> None:
    found = document("refusals" if change == "answered refusal" else "loss")
    case = found["groups"][0]["cases"][0]
    if change == "additional":
        case["inputs"]["Z"] = [1.0]
    elif change == "missing":
        del case["tolerance"]
    elif change == "answered refusal":
        case["expected"] = {"value": 1.0, "error": 0.0}
    elif change == "word":
        case["inputs"]["loss"] = "hinge"
    else:
        case["id"] = "loss 1"
    assert not VALIDATOR.is_valid(found)


def test_regeneration_reproduces_every_digit() -> None:
    pytest.importorskip("flint")
    assert make_vectors.main(["--check", "--out", str(FOLDER)]) == 0


def test_tolerances_tell_an_error_of_one_part_in_ten_million() -> None:
    """Where a tolerance were larger than 1e-9 of the largest entry, a mistake of 1e-7 could pass."""
    loose = Counter()
    for case in load_vectors():
        if case.tolerance is None or case.kind in ("max_margin", "flow_limit", "kkt_residuals"):
            continue
        largest = float(np.abs(case.low).max())
        if largest > 1e-290 and float(np.max(case.tolerance.absolute)) > 1e-9 * largest:
            loose[case.kind] += 1
            assert "margins-beyond-underflow" in case.flags, case.id
    assert sum(loose.values()) <= 4


def test_expected_values_have_proven_errors_below_the_tolerance() -> None:
    for case in load_vectors():
        if case.tolerance is not None:
            assert np.all(case.error <= case.tolerance.absolute), case.id
            assert np.all(case.low <= case.high)


def test_signed_zeros_survive_the_file() -> None:
    assert any(
        np.any((case.inputs["W"] == 0.0) & np.signbit(case.inputs["W"]))
        for case in load_vectors("forward")
        if "signed-zero" in case.flags
    )


@pytest.mark.parametrize("change", ["digit", "truncated", "version", "gone", "not json"])
def test_a_tampered_file_is_refused_in_one_sentence(change: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    path = tmp_path / "loss.json"
    text = path.read_text(encoding="utf-8")
    place = text.index("expected") + 40
    place = next(k for k in range(place, len(text)) if text[k].isdigit())
    if change == "digit":
        path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :], encoding="utf-8")
    elif change == "truncated":
        path.write_text(text[: len(text) // 2], encoding="utf-8")
    elif change == "version":
        path.write_text(text.replace('"schema_version": 1', '"schema_version": 2'), encoding="utf-8")
    elif change == "gone":
        path.unlink()
    else:
        path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileFormatError, match=r"loss\.json`: [^.]*\.$"):
        load_vectors("loss", tmp_path)


def test_unknown_kind() -> None:
    with pytest.raises(InvalidParameterError, match="`kind` must be one of forward"):
        load_vectors("nothing")


# --- the file route ------------------------------------------------------------------------------------------------


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    export_cases(tmp_path / "cases")
    return tmp_path / "cases"


def test_export_writes_the_same_numbers_twice(cases: Path) -> None:
    for case in load_vectors("descent")[:5]:
        inputs = json.loads((cases / f"{case.id}.json").read_text())["inputs"]
        np.testing.assert_array_equal(np.array(inputs["W"]), case.inputs["W"])
        words = (cases / f"{case.id}.txt").read_text().split()
        rows, columns = case.inputs["W"].shape
        start = words.index("matrix") + 4
        numbers = np.array([float(word) for word in words[start : start + rows * columns]])
        np.testing.assert_array_equal(numbers.reshape(rows, columns), case.inputs["W"])
        assert int(words[words.index("steps") + 1]) == case.inputs["steps"]


def test_nothing_is_overwritten(cases: Path) -> None:
    (cases / "loss-001.txt").write_text("mine")
    with pytest.raises(OutputFileError, match="exists"):
        export_cases(cases)
    assert (cases / "loss-001.txt").read_text() == "mine"
    export_cases(cases, force=True)
    assert (cases / "loss-001.txt").read_text() != "mine"


def test_answers_as_json_and_as_text(cases: Path) -> None:
    (cases / "loss-001.answer.json").write_text('{"value": 0.5}')
    (cases / "forward-001.answer.txt").write_text("1.0\n2.0 3.0\n")
    (cases / "refusals-001.answer.txt").write_text("refused\n")
    answers = read_answers(cases)
    assert answers["loss-001"].value == 0.5
    np.testing.assert_array_equal(answers["forward-001"].value, [1.0, 2.0, 3.0])
    assert answers["refusals-001"].value is None
    assert isinstance(answers["loss-001"], Answer)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("loss-001.answer.json", "{", "not JSON"),
        ("loss-001.answer.json", '"refused"', "must hold"),
        ("loss-001.answer.json", "[" * 100_000, "nested too deeply"),
        ("loss-001.answer.json", '{"value": 1, "refused": true}', "must hold"),
        ("loss-001.answer.json", '{"valu": 1}', "must hold"),
        ("loss-001.answer.json", '{"value": "one"}', "must hold"),
        ("loss-001.answer.txt", "one", "must hold"),
        ("loss-001.answer.csv", "1", "no answer to any case"),
        ("loss-999.answer.txt", "1", "no answer to any case"),
        ("loss-001.json", "{}", "was changed"),
        ("MANIFEST.json", "{}", "was changed"),
    ],
)
def test_a_bad_answer_or_a_changed_case_is_refused_in_one_sentence(cases, capsys, name, text, reason) -> None:
    (cases / name).write_text(text)
    assert cli.main(["conformance", "--answers", str(cases)]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1


def test_two_answers_to_one_case(cases: Path) -> None:
    (cases / "loss-001.answer.json").write_text('{"value": 0.5}')
    (cases / "loss-001.answer.txt").write_text("0.5")
    with pytest.raises(FileFormatError, match="another answer"):
        read_answers(cases)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_an_answer_that_never_ends(cases: Path) -> None:
    os.mkfifo(cases / "loss-001.answer.json")
    with pytest.raises(FileFormatError, match="it is a FIFO"):
        read_answers(cases)
    os.unlink(cases / "loss-001.answer.json")
    (cases / "loss-001.answer.txt").symlink_to("/dev/zero")
    with pytest.raises(FileFormatError, match="it is a device"):
        read_answers(cases)


def test_answers_that_are_no_folder(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("1")
    for name, why in [
        (str(tmp_path / "file"), "not a folder"),
        (str(tmp_path / "none"), "no such folder"),
        ("", "name"),
    ]:
        assert cli.main(["conformance", "--answers", name]) == 2
        error = capsys.readouterr().err
        assert why in error
        assert error.count("\n") == 1


def test_a_folder_without_cases(tmp_path: Path, capsys) -> None:
    assert cli.main(["conformance", "--answers", str(tmp_path)]) == 2
    assert "vectors export" in capsys.readouterr().err


def test_commands(tmp_path: Path, capsys) -> None:
    assert cli.main(["vectors", "list"]) == 0
    assert f"{len(load_vectors())} cases" in capsys.readouterr().out
    assert cli.main(["vectors", "export", str(tmp_path / "a" / "b")]) == 0
    assert cli.main(["vectors", "export", str(tmp_path / "a" / "b")]) == 2
    assert "exists" in capsys.readouterr().err
