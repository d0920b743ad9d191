"""Tables of text: what is read is what is meant, or refused with line and column; nothing goes silently."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pytest

from refimpl import datasets
from refimpl.errors import FileFormatError, ImplicitBiasError
from refimpl.tables import read_text_table, text

X3 = np.array([[1.5, -2.0], [0.25, 3.0], [4.0, 0.0]])
Y3 = np.array([1.0, -1.0, 1.0])


# --- headers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ("1,0,NA,1", r"line 1, column 3 is missing \('NA'\)"),
        ("1,0,,1", r"line 1, column 3 is missing \(''\)"),
        ("0x1,0x0,0x2,1", "line 1, column 1 holds '0x1', which is not a number"),
        ("0x1,0x0,0x2,0x1", "line 1, column 1 holds '0x1', which is not a number"),
        ("NA,NA,NA,1", "line 1, column 1 is missing"),
        ("NA,NA,NA,NA", "the label in line 1, column 4, is missing"),
        (",,,", "the label in line 1, column 4, is missing"),
        (",,,red", "line 1, column 1 is missing"),
        ("a,NA,c,1", "line 1, column 1 holds 'a', which is not a number"),
        ("1_0,0,0,1", "line 1, column 1 holds '1_0', which is not a number"),
        ("\u0661,0,0,1", "line 1, column 1 holds '\u0661', which is not a number"),
        ("1 0,0,0,1", "line 1, column 1 holds '1 0'"),
        ("10%,0,0,1", "line 1, column 1 holds '10%'"),
        ("0,1,2,y", "its labels are"),
        ("inf,0,0,1", "line 1, column 1 holds 'inf', which is not a finite number"),
    ],
)
def test_a_first_row_that_may_be_a_sample_is_never_dropped(table, first, why):
    with pytest.raises(FileFormatError, match=why) as caught:
        table(f"{first}\n0,1,0,-1\n0,0,2,1\n")
    if "line 1, column" in why and "label" not in why:
        assert str(caught.value).endswith("if this line is a header, --header (header=True) says so.")


@pytest.mark.parametrize(
    ("first", "names"),
    [
        ("a,b,class", ("a", "b")),
        (" a , _b , Label", ("a", "_b")),
        ("0,1,label", ("0", "1")),
        (",b,y", ("column 1", "b")),
        ('"a b","c,d",y', ("a b", "c,d")),
        ("γ,δ,y", ("γ", "δ")),
        ("\ufeffa,b,y", ("a", "b")),
    ],
)
def test_headers(table, first, names):
    data, report = table(f"{first}\n1.5,-2,1\n0.25,3,-1\n4,0,1\n")
    np.testing.assert_array_equal(data.X, X3)
    assert report.names == names
    assert "the first line is a header" in report.notes


def test_a_header_can_be_said_to_be_one_or_none(table):
    rows = "1.5,-2,1\n0.25,3,-1\n4,0,1\n"
    data, report = table(f"1,2,3\n{rows}", header=True)
    np.testing.assert_array_equal(data.X, X3)
    assert report.names == ("1", "2")
    assert table(rows)[0].n == 3
    assert table(rows, header=True)[0].n == 2
    with pytest.raises(FileFormatError, match="line 1, column 1 holds 'a', which is not a number"):
        table(f"a,b,c\n{rows}", header=False)


@pytest.mark.parametrize("header", ["a,b,c,label", "a,label"])
def test_a_header_of_another_width_than_its_rows_is_refused(table, header):
    width = header.count(",") + 1
    with pytest.raises(FileFormatError, match=f"line 2 has 3 columns, not {width}"):
        table(f"{header}\n1.5,-2,1\n0.25,3,-1\n")


def test_two_columns_that_could_be_the_labels_are_refused(table):
    text = "y,a,label\n1,2,1\n-1,3,-1\n"
    with pytest.raises(FileFormatError, match=r"column 1 \(y\) and column 3 \(label\) could both be the labels"):
        table(text)
    assert table(text, label_column="y", drop_columns=("label",))[0].d == 1


# --- what looks like a mistake ------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 1])
def test_an_index_is_told(table, start):
    rows = "".join(f"{k + start},{x},{y}\n" for k, (x, y) in enumerate([(5, 1), (7, -1), (6, 1)]))
    data, report = table(f",x,y\n{rows}")
    assert data.d == 2
    assert report.warnings == (
        f"column 1 counts {start}, {start + 1}, {start + 2}, ... like an index; --drop-column leaves it out",
    )
    data, report = table(f",x,y\n{rows}", drop_columns=("1",))
    np.testing.assert_array_equal(data.X, [[5.0], [7.0], [6.0]])
    assert report.warnings == ()
    assert "left out: column 1" in report.notes


def test_an_index_is_told_where_rows_are_left_out(table):
    text = "id,x,y\n1,5,a\n2,7,c\n3,6,b\n4,9,c\n5,8,a\n"
    assert table(text, classes=("a", "b"))[1].warnings[0].startswith("column 1 (id) counts 1, 2, 3, ... like an index")
    assert table(text.replace("3,6", "7,6"), classes=("a", "b"))[1].warnings == ()


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_a_column_without_a_name_is_told(table, name):
    """An index of pandas that does not count, because the rows were mixed."""
    _, report = table(f"{name},x,y\n7,5,1\n3,7,-1\n9,6,1\n")
    assert report.warnings[0].endswith("has no name, like an index that pandas writes; --drop-column leaves it out")
    assert table("7,5,1\n3,7,-1\n9,6,1\n")[1].warnings == ()


def test_labels_among_the_features_are_told(table):
    rows = "5,1,1\n7,0,-1\n6,1,1\n8,0,-1\n"
    _, report = table(f"x,target,label\n{rows}")
    assert len(report.warnings) == 1
    assert report.warnings[0].startswith("column 2 (target) is 1 where the label is +1 and 0 where it is -1")
    assert table("x,target,label\n5,1,1\n7,0,-1\n6,0,1\n8,0,-1\n")[1].warnings == ()


def test_the_library_warns_too(table, tmp_path):
    table("a,b,y\n0,5,1\n1,7,-1\n2,6,1\n")
    with pytest.warns(UserWarning, match=r"data.csv: column 1 \(a\) counts 0, 1, 2"):
        datasets.load(tmp_path / "data.csv")
    with pytest.warns(UserWarning, match="counts 0, 1, 2"):
        datasets.load_csv(tmp_path / "data.csv")
    np.savez(tmp_path / "a.npz", X=[[0, 5], [1, 7], [2, 6]], y=[1, -1, 1])
    with pytest.warns(UserWarning, match="column 1 of X counts 0, 1, 2"):
        datasets.load(tmp_path / "a.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert datasets.load(tmp_path / "a.npz", drop_columns=[1]).d == 1


# --- the shapes of text -------------------------------------------------------------------------------

SHAPES = {
    "semicolons": "a;b;y\n1.5;-2;1\n0.25;3;-1\n4;0;1\n",
    "decimal comma": "a;b;y\n1,5;-2;1\n0,25;3;-1\n4;0;1\n",
    "decimal comma, integers first": "4;-2;1\n1,5;3;-1\n",
    "tabs": "1.5\t-2\t1\n0.25\t3\t-1\n4\t0\t1\n",
    "tabs, decimal comma": "1,5\t-2\t1\n0,25\t3\t-1\n4\t0\t1\n",
    "bars": "1.5|-2|1\n0.25|3|-1\n4|0|1\n",
    "blanks": "  1.5   -2 1\n0.25\t3  -1\n4 0 1\n".replace("\t", " "),
    "comments": "# made by hand\n1.5,-2,1\n  # more\n0.25,3,-1\n\n4,0,1\n",
    "quotes": 'a,"b, c",y\n"1.5","-2",1\n0.25,3,-1\n4,0,1\n',
    "no newline": "1.5,-2,1\r\n0.25,3,-1\r\n4,0,1",
    "exponents": "+1.5e0,-.2E1,1\n25.e-2,3,-1\n4,0,1\n",
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_texts_of_every_shape(table, name, ending):
    data, report = table(SHAPES[name], f"data.{ending}")
    expected = X3 if "integers" not in name else np.array([[4.0, -2.0], [1.5, 3.0]])
    np.testing.assert_array_equal(data.X, expected)
    np.testing.assert_array_equal(data.y, Y3[: len(expected)])
    assert ("decimal comma" in report.notes) == ("decimal comma" in name)
    assert ("lines of comments left out: 2" in report.notes) == (name == "comments")


def test_in_tsv_tabs_separate(table):
    data, _ = table("a b\tc\ty\n1\t2\t1\n3\t4\t-1\n", "data.tsv")
    assert data.d == 2
    with pytest.raises(FileFormatError, match="at least one feature column"):
        table("1,2,1\n3,4,-1\n", "data.tsv")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1,5;2.5;1\n", "line 1 has decimal commas and decimal points"),
        ("1,000,5;2;1\n", "line 1, column 1 holds '1,000,5'"),
        ("1,5;2;1\n2.5;3;-1\n", "line 2 has a decimal point, and lines before have the other one"),
        ("1.5;2;1\n2,5;3;-1\n", "line 2 has a decimal comma, and lines before have the other one"),
        ("1.234,5;2;1\n", "line 1 has decimal commas and decimal points"),
        ("# 1\n# 2\n1,2,1\n\n3,?,-1\n", r"line 5, column 2 is missing \('\?'\)"),
        ("a,b,y\n1,2,1\n3,NULL,-1\n", r"line 3, column 2 \(b\) is missing \('NULL'\)"),
        ("a,b,y\n1,2,\n", r"the label in line 2, column 3 \(y\), is missing"),
        ('1,"2,1\n3,4,-1\n', "it is not readable text|columns"),
        ("# only\n", "it is empty"),
        ("1,2,1\n3,4,-1\n5,6\n", "line 3 has 2 columns, not 3"),
        ("1,2,1\n,,\n", "line 2, column 3, is missing"),
    ],
)
def test_bad_texts_are_refused_with_their_place(table, text, why):
    with pytest.raises(FileFormatError, match=why):
        table(text)


def test_compressed_texts_are_bounded_and_checked(table, tmp_path, monkeypatch):
    whole = gzip.compress(b"1,2,1\n3,4,-1\n" * 50)
    for content in (b"", b"1,2,1\n", whole[:-9], whole[: len(whole) // 2], whole[:-8] + b"\0" * 8):
        (tmp_path / "a.csv.gz").write_bytes(content)
        with pytest.raises(FileFormatError, match=r"it is not readable text|it is empty"):
            datasets.load(tmp_path / "a.csv.gz")
    monkeypatch.setattr(text, "TABLE_LIMIT_BYTES", 10_000)
    with pytest.raises(FileFormatError, match="GiB of text that are read"):
        table("1,2,1\n3,4,-1\n" * 5000, "a.csv.gz")
    monkeypatch.setattr(text, "LINE_LIMIT", 100)
    with pytest.raises(FileFormatError, match="line 2 has more than the 100 characters"):
        table("1,2,1\n" + "1" * 200)


def test_random_damage_to_a_text_is_one_error_or_a_table(tmp_path):
    whole = b'a;b c;"label"\n# note\n1,5;-2e3;1\n0,25;3;-1\n4;0;1\n'
    rng, path = np.random.default_rng(0), tmp_path / "a.csv"
    refused = 0
    for _ in range(1500):
        copy = bytearray(whole)
        for k in rng.integers(len(copy), size=rng.integers(1, 4)):
            copy[k] = int(rng.integers(256))
        path.write_bytes(copy)
        try:
            read_text_table(path)
        except ImplicitBiasError:
            refused += 1
    assert 500 < refused < 1500


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("id,a,label\nP1,1,1\nP2,2,-1\n", "; --drop-column 1 (drop_columns) leaves a column out that is no feature"),
        (
            "a,b,label\n1,2,1\n1,,-1\n",
            "; fill it in, or leave out the line or, by --drop-column 2 (drop_columns), the column",
        ),
    ],
)
def test_a_cell_that_is_no_number_comes_with_a_way_out(tmp_path, text, what) -> None:
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError) as found:
        datasets.read(path)
    assert what in str(found.value)
