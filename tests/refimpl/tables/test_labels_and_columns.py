"""Labels of any kind become +1 and -1, and columns are found by name and number."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import datasets
from refimpl.errors import FileFormatError, InvalidParameterError
from refimpl.tables import Choices

X3 = np.array([[1.5, -2.0], [0.25, 3.0], [4.0, 0.0]])
Y3 = np.array([1.0, -1.0, 1.0])


# --- labels -------------------------------------------------------------------------------------------


def test_words_as_labels(table):
    text = "5,1,red\n7,2,blue\n6,3,red\n"
    with pytest.raises(FileFormatError, match=r"its labels are red, blue, not \+1 and -1: --positive-label red makes"):
        table(text)
    data, report = table(text, positive_label="blue")
    np.testing.assert_array_equal(data.y, [-1.0, 1.0, -1.0])
    assert report.classes == (("red", -1, 2), ("blue", 1, 1))
    with pytest.raises(FileFormatError, match="no label is green; there are red, blue"):
        table(text, positive_label="green")


@pytest.mark.parametrize("first", [("0", "1"), ("1", "2"), ("1.0", "2.0"), ("2", "-7")])
def test_numbers_as_labels(table, first):
    low, high = first
    data, report = table(f"5,1,{low}\n7,2,{high}\n", positive_label=str(float(high)))
    np.testing.assert_array_equal(data.y, [-1.0, 1.0])
    assert report.classes == ((low, -1, 1), (high, 1, 1))


def test_two_of_several_classes(table):
    text = "a,b,species\n5,1,red\n7,2,blue\nx,NA,green\n6,3,red\n8,?,green\n"
    with pytest.raises(FileFormatError, match="column 1"):
        table(text, positive_label="red")
    with pytest.raises(FileFormatError, match=r"its labels are red, blue, green, .*--classes A B"):
        table(text.replace("x,NA", "1,1").replace("?", "1"))
    with pytest.raises(FileFormatError, match="it has 3 labels, red, blue, green: --classes A B"):
        table(text.replace("x,NA", "1,1").replace("?", "1"), positive_label="red")
    data, report = table(text, classes=("blue", "red"))
    np.testing.assert_array_equal(data.X, [[5.0, 1.0], [7.0, 2.0], [6.0, 3.0]])
    np.testing.assert_array_equal(data.y, [-1.0, 1.0, -1.0])
    assert "left out: rows of other classes, 2 of green" in report.notes
    with pytest.raises(FileFormatError, match="no label is violet; there are red, blue, green"):
        table(text, classes=("red", "violet"))
    with pytest.raises(FileFormatError, match="no label is one of a, b"):
        table(text, classes=("a", "b"))


@pytest.mark.parametrize("column", ["b", "2", 2, "-2", -2])
def test_the_column_of_labels_by_name_and_number(table, column):
    data, report = table("a,b,c\n5,1,2\n7,-1,3\n", label_column=column)
    np.testing.assert_array_equal(data.X, [[5.0, 2.0], [7.0, 3.0]])
    assert report.label == "column 2 (b)"


@pytest.mark.parametrize("column", ["d", "4", "0", 0, 4, -4, True, "1.5", "", 10**30])
def test_columns_that_are_not_there(table, column):
    for parameter, choices in [
        ("label_column", {"label_column": column}),
        ("drop_columns", {"drop_columns": (column,)}),
    ]:
        with pytest.raises(
            InvalidParameterError, match=rf"`{parameter}` must be one of the columns of .*1 to 3 \(a, b, c\)"
        ):
            table("a,b,c\n5,1,1\n7,2,-1\n", **choices)


def test_choices_that_contradict_each_other(table):
    with pytest.raises(InvalidParameterError, match="positive_label"):
        Choices(positive_label="a", classes=("a", "b"))
    with pytest.raises(InvalidParameterError, match="two different labels"):
        Choices(classes=("1", "1.0"))
    with pytest.raises(InvalidParameterError, match="not hold the column of labels"):
        table("a,b,y\n5,1,1\n7,2,-1\n", drop_columns=("y",))


def test_labels_of_archives(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, X=[[5.0, 1.0], [7.0, 2.0], [6.0, 3.0]], y=["a", "b", "c"])
    data = datasets.load(path, classes=("c", "a"), drop_columns=[2])
    np.testing.assert_array_equal(data.X, [[5.0], [6.0]])
    np.testing.assert_array_equal(data.y, [-1.0, 1.0])
    np.savez(path, X=[[5.0, 1.0], [7.0, 2.0]], y=[0, 1])
    np.testing.assert_array_equal(datasets.load(path, positive_label="0").y, [1.0, -1.0])
    np.savez(tmp_path / "b.npz", X=[1.0], y=[1])
    with pytest.raises(FileFormatError, match="shapes"):
        datasets.read(tmp_path / "b.npz", Choices(positive_label="1"))
    with pytest.raises(InvalidParameterError, match="label_column"):
        datasets.load(path, label_column="y")


def test_the_report_is_one_printable_line_and_plain_values(table):
    _, report = table("a\x1b[31m,b\u202e,label\n5,1,1\n7,2,-1\n")
    assert report.sentence.isprintable()
    assert report.sentence.endswith(
        "n = 2 samples, d = 2 features (a\\x1b[31m, b\\u202e); labels in column 3 (label): 1 x 1 -> +1, 1 x -1 -> -1; "
        "the first line is a header"
    )
    assert report.to_dict()["classes"] == (("1", 1, 1), ("-1", -1, 1))
