"""Files of data: archives and tables, whole, damaged and hostile."""

import numpy as np
import pytest

from refimpl import datasets
from refimpl.errors import (
    FileFormatError,
)

X3 = np.array([[1.5, -2.0], [0.25, 3.0], [4.0, 0.0]])
Y3 = np.array([1.0, -1.0, 1.0])


def same(data):
    return np.array_equal(data.X, X3) and np.array_equal(data.y, Y3)


def test_npz_round_trip(tmp_path):
    np.savez(tmp_path / "a.npz", X=X3, y=Y3.astype(np.int8), extra=np.zeros(3))
    np.savez_compressed(tmp_path / "b.NPZ.npz", X=X3.astype(np.float32), y=Y3)
    assert same(datasets.load(tmp_path / "a.npz"))
    assert same(datasets.load_npz(str(tmp_path / "b.NPZ.npz")))


@pytest.mark.parametrize(
    "text",
    [
        "1.5,-2,1\n0.25,3,-1\n4,0,1\n",
        "1.5,-2,1\r\n0.25,3,-1\r\n\r\n4,0,1",
        "x1,x2,class\n1.5,-2,1\n0.25,3,-1\n4,0,1\n",
        "y,x1,x2\n1,1.5,-2\n-1,0.25,3\n+1,4,0\n",
        "x1, Label ,x2\n1.5,1,-2\n0.25,-1,3\n4,1,0\n",
        "\ufeffx1,x2,y\n1.5,-2.0,1.0\n2.5e-1,3,-1\n4,0,1\n",
        " 1.5 , -2 , 1 \n0.25,3,-1\n ,, \n4,0,1\n".replace(" ,, ", ""),
        '"1.5","-2","1"\n0.25,3,-1\n4,0,1\n',
    ],
)
def test_csv_in_its_usual_shapes(tmp_path, text):
    (tmp_path / "data.csv").write_text(text, encoding="utf-8")
    assert same(datasets.load(tmp_path / "data.csv"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        ("x1,x2,y\n", "it has a header and no samples"),
        ("1,2,1\n3,-1\n", "line 2 has 2 columns, not 3"),
        ("x1,x2,y\n1,2,1\n\n3,4,5,-1\n", "line 4 has 4 columns, not 3"),
        ("1,2,1\n3,red,-1\n", "line 2, column 2 holds 'red', which is not a number"),
        ("1,2,1\n3,,-1\n", r"line 2, column 2 is missing \(''\)"),
        ("1\n-1\n", "at least one feature column and a label column"),
        ("1,2,1\n3,nan,-1\n", r"line 2, column 2 is missing \('nan'\)"),
        ("1,2,1\n3,1e999,-1\n", "line 2, column 2 holds '1e999', which is not a finite number"),
        ("1,2,0\n3,4,1\n", r"its labels are 0, 1, not \+1 and -1: --positive-label 0"),
        ("1,2,1\n3,4,2\n", r"its labels are 1, 2, not \+1 and -1: --positive-label 1"),
        ("1,2,1\n0,0,-1\n", "`X` has a zero row: row 1"),
        ("1,2,1\n1,2,-1\n", "opposite labels: rows 0 and 1"),
    ],
)
def test_bad_csv_is_refused_in_one_sentence(tmp_path, text, words):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=words) as caught:
        datasets.load(path)
    assert str(caught.value).startswith(f"cannot read `{path}`: ")
    assert "\n" not in str(caught.value)


def test_a_sentence_ends_with_one_full_stop(tmp_path):
    (tmp_path / "data.csv").write_text("1,2,0\n3,4,1\n")
    with pytest.raises(FileFormatError, match=r"[^.]\.$"):
        datasets.load(tmp_path / "data.csv")


def test_bytes_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "data.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(FileFormatError, match="it is not readable text"):
        datasets.load(tmp_path / "data.csv")
    (tmp_path / "null.csv").write_bytes(b"1,2,1\n3,\x00,-1\n")
    with pytest.raises(FileFormatError):
        datasets.load(tmp_path / "null.csv")


@pytest.mark.parametrize("name", ["data.npz", "data.csv"])
def test_missing_files_and_folders_are_said_to_be_so(tmp_path, name):
    with pytest.raises(FileFormatError, match="there is no such file"):
        datasets.load(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(FileFormatError, match="cannot read"):
        datasets.load(tmp_path / name)


@pytest.mark.parametrize("name", ["data.txt", "data", "data.npx"])
def test_other_endings_are_refused(tmp_path, name):
    (tmp_path / name).write_text("1,2,1\n")
    with pytest.raises(FileFormatError, match=r"its name must end in \.npz, \.csv, "):
        datasets.load(tmp_path / name)


def test_every_truncation_of_an_archive_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", X=X3, y=Y3)
    whole = (tmp_path / "whole.npz").read_bytes()
    for length in [0, 1, 3, 4, 30, 64, len(whole) // 2, len(whole) - 23, len(whole) - 1]:
        (tmp_path / "part.npz").write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"it is not a complete \.npz archive"):
            datasets.load(tmp_path / "part.npz")


def test_damage_inside_an_archive_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", X=X3, y=Y3)
    damaged = bytearray((tmp_path / "whole.npz").read_bytes())
    place = damaged.find(X3.tobytes())
    damaged[place] ^= 0xFF
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with pytest.raises(FileFormatError, match=r"it is not a complete \.npz archive"):
        datasets.load(tmp_path / "damaged.npz")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": X3}, "it needs arrays X and y and holds X"),
        ({"a": X3, "b": Y3}, "it needs arrays X and y and holds a, b"),
        ({"X": X3, "y": Y3[:2]}, "`y` must have shape"),
        ({"X": X3[0], "y": Y3}, "`X` must have shape with 2 axes"),
        ({"X": X3.astype(str), "y": Y3}, "`X` must hold real numbers"),
        ({"X": X3, "y": (Y3 + 1) / 2}, "it holds 0 and 1"),
        ({"X": X3 * np.array([[1.0], [np.nan], [1.0]]), "y": Y3}, r"`X\[1, 0\]` must be finite"),
    ],
)
def test_bad_archives_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(FileFormatError, match=words):
        datasets.load(tmp_path / "data.npz")


class Bomb:
    """Leaves a mark if it is ever unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    mark = tmp_path / "ran"
    np.savez(tmp_path / "data.npz", X=np.array([[Bomb(mark)]], dtype=object), y=Y3)
    with pytest.raises(FileFormatError, match="it holds pickled objects; save plain arrays of numbers"):
        datasets.load(tmp_path / "data.npz")
    assert not mark.exists()


def test_a_single_array_under_the_name_of_an_archive_is_refused(tmp_path):
    with open(tmp_path / "data.npz", "wb") as handle:
        np.save(handle, X3)
    with pytest.raises(FileFormatError, match=r"it is not a complete \.npz archive"):
        datasets.load(tmp_path / "data.npz")
