"""Errors say one sentence and keep what was wrong; files appear whole or not at all."""

import inspect
import os
import pickle
import stat

import numpy as np
import pytest

from refimpl import errors
from refimpl.errors import ImplicitBiasError, InvalidParameterError, MissingExtraError, OutputFileError
from refimpl.files import check_output_path, open_output

EXAMPLES = [
    errors.InvalidParameterError("gamma", "lie in [0, 1]", 2.0),
    errors.ShapeError("W", "(3, d)", (2, 2)),
    errors.InvalidDataError("X", "`X` has a zero row: row 0."),
    errors.UnreachableSlackError(0.5, "that is so"),
    errors.WorkerError("that is so"),
    errors.FileFormatError("a.npz", "there is no such file"),
    errors.OutputFileError("a.npz", "the file exists"),
    errors.MissingExtraError("hypothesis", "test"),
]


def test_every_class_is_shown_and_has_the_one_root():
    classes = {c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, ImplicitBiasError)}
    assert classes - {ImplicitBiasError} == {type(error) for error in EXAMPLES}
    assert set(errors.__all__) == {c.__name__ for c in classes} | {"RunInterrupted"}
    assert not issubclass(errors.RunInterrupted, Exception)  # nobody takes Ctrl-C for a fault


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_message_is_one_sentence(error):
    message = str(error)
    assert message.endswith(".")
    assert "\n" not in message
    assert ".." not in message


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_come_whole_from_other_processes(error):
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


def test_a_value_of_any_length_is_shown_on_one_short_line():
    shown = str(InvalidParameterError("n", "be small", list(range(10**6))))
    assert shown.startswith("`n` must be small; got [0, 1, 2, 3, 4,")
    assert len(shown) < 120
    assert str(InvalidParameterError("n", "be small", 10**5000)) == "`n` must be small; got a value of type int."


def test_offending_values_are_kept():
    error = InvalidParameterError("gamma", "lie in [0, 1]", 2.0)
    assert (error.parameter, error.requirement, error.value) == ("gamma", "lie in [0, 1]", 2.0)
    assert str(error) == "`gamma` must lie in [0, 1]; got 2.0."
    assert isinstance(error, ValueError)
    assert isinstance(MissingExtraError("x", "y"), ImportError)
    assert 'pip install "implicit-bias-refimpl[y]"' in str(MissingExtraError("x", "y"))


def test_long_values_are_shortened_and_numpy_scalars_shown_plainly():
    assert len(str(InvalidParameterError("W", "be small", np.arange(10_000)))) < 130
    assert str(InvalidParameterError("s", "be > 0", np.float64(-1.5))).endswith("got -1.5.")
    assert "\n" not in str(InvalidParameterError("W", "be small", np.ones((5, 5))))


def test_a_file_is_written_whole(tmp_path):
    with open_output(tmp_path / "a.bin") as handle:
        handle.write(b"whole")
        assert not (tmp_path / "a.bin").exists()
    assert (tmp_path / "a.bin").read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_an_existing_file_is_kept_unless_force_is_given(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OutputFileError, match="the file exists; --force"), open_output(path) as handle:
        handle.write(b"new")
    assert path.read_bytes() == b"old"
    with open_output(path, force=True) as handle:
        handle.write(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("force", [False, True])
def test_a_failure_while_writing_leaves_the_old_file_and_no_debris(tmp_path, force):
    path = tmp_path / "a.bin"
    if force:
        path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), open_output(path, force) as handle:
        handle.write(b"half") and handle.write(b"rest" * (1 // 0))
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([b"old"] if force else [])


def test_a_full_disk_is_an_error_of_this_project(tmp_path):
    with pytest.raises(OutputFileError, match="No space left"), open_output(tmp_path / "a.bin"):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_the_rights_of_any_other_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with open_output(tmp_path / "ours") as handle:
        handle.write(b"")
    assert stat.S_IMODE(os.stat(tmp_path / "ours").st_mode) == stat.S_IMODE(os.stat(tmp_path / "plain").st_mode)


def test_places_where_nothing_can_be_written(tmp_path):
    with pytest.raises(OutputFileError, match="it is a folder"):
        check_output_path(tmp_path, force=True)
    with pytest.raises(OutputFileError, match="there is no folder"):
        check_output_path(tmp_path / "missing" / "a.bin")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputFileError, match="there is no folder"):
        check_output_path(tmp_path / "file" / "a.bin")
    assert check_output_path(str(tmp_path / "a.bin")) == tmp_path / "a.bin"


def test_a_folder_that_is_not_writable(tmp_path, monkeypatch):
    monkeypatch.setattr("refimpl.files.os.access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(OutputFileError, match="is not writable"):
        check_output_path(tmp_path / "a.bin")
