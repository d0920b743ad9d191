"""Readers of data sets: `.npz`, tables (`refimpl.tables`), tiles (`refimpl.column_readers`), a CIFAR-10 folder.

Whatever is wrong with a file, the error is a `FileFormatError` that says so in one sentence.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.archive import map_npy, read_npy, read_npz
from refimpl.column_readers import dataset_from_file, is_zarr, read_columns
from refimpl.dataset import Dataset
from refimpl.errors import FileFormatError, InvalidParameterError
from refimpl.files import as_path, read_bytes
from refimpl.sparse_files import SVMLIGHT_ENDINGS
from refimpl.tables import DEFAULT, Choices, ReadReport, read_arrays, read_arrow, read_frame, read_text_table
from refimpl.tiles.accumulate import Plan
from refimpl.tiles.columns import TILE_ENTRIES
from refimpl.tiles.npy import NpyColumns
from refimpl.validation import Array, as_count

__all__ = ["from_frame", "load", "load_cifar10", "load_csv", "load_npy_pair", "load_npz", "read"]

CIFAR10_PIXELS = 3 * 32 * 32
CIFAR10_TRAIN_FILES = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
CIFAR10_TEST_FILES = ("test_batch.bin",)


def load(
    path: str | Path,
    *,
    header: bool | None = None,
    label_column: str | int | None = None,
    positive_label: str | None = None,
    classes: tuple[str, str] | None = None,
    drop_columns: Sequence[str | int] = (),
) -> Dataset:
    """Read a data set from a file of any kind, by the ending of its name.

    `.npz` (arrays X and y), text (`.csv`, `.tsv`, `.csv.gz`, `.tsv.gz`), text of svmlight (`.svm`, `.svmlight`,
    `.libsvm`), and with the extra `frames` `.parquet`, `.arrow` and `.feather`. `read` also tells what was read, and
    takes samples whose labels are in a file of their own.

    Parameters
    ----------
    path : path
    header : bool, optional
        Whether the first line of a text is a header; by default it is one if it cannot be a sample.
    label_column : str or int, optional
        Name of the column of labels, or its number, counted from 1, or from -1 backwards. By default the column
        called `y` or `label`, and if there is none the last.
    positive_label : str, optional
        The label that becomes +1; the other, if it is the only other, becomes -1.
    classes : (str, str), optional
        The labels that become +1 and -1; rows with others are left out.
    drop_columns : sequence of str or int
        Columns to leave out.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or of another kind.
    InvalidParameterError
        If there is no such column.
    MissingExtraError
        If the file needs a package that is not installed.

    Warns
    -----
    UserWarning
        If a column looks like an index or like the labels once more.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "iris.csv"
    >>> _ = path.write_text("sepal;petal;species\\n5,1;1,4;setosa\\n7,0;4,7;versicolor\\n")
    >>> data = load(path, positive_label="setosa")
    >>> data.X, data.y
    (array([[5.1, 1.4],
           [7. , 4.7]]), array([ 1., -1.]))

    See Also
    --------
    read, from_frame, load_npz, load_csv, load_npy_pair, load_cifar10
    """
    choices = Choices(header, label_column, positive_label, classes, tuple(drop_columns))
    return _warned(read(path, choices))


def from_frame(
    frame: Any,
    *,
    label_column: str | int | None = None,
    positive_label: str | None = None,
    classes: tuple[str, str] | None = None,
    drop_columns: Sequence[str | int] = (),
) -> Dataset:
    """A data set from a pandas data frame or a table of pyarrow; the options are those of `load`.

    Raises
    ------
    FileFormatError
        If a cell is missing or no number, or the labels are not two.
    InvalidParameterError
        If it is no frame, or there is no such column.

    Warns
    -----
    UserWarning
        As `load`.
    """
    return _warned(read_frame(frame, Choices(None, label_column, positive_label, classes, tuple(drop_columns))))


def read(
    path: str | Path, choices: Choices = DEFAULT, labels: str | Path | None = None, plan: Plan | None = None
) -> tuple[Dataset, ReadReport]:
    """A data set from a file, as `load`, and what was read.

    Parameters
    ----------
    path : path
    choices : Choices
    labels : path, optional
        A `.npy` with the labels of samples in `.npy`, in a folder of zarr, or in a sparse `.npz`.
    plan : Plan, optional
        How passes over samples in tiles of columns are made (`refimpl.tiles`).

    Raises
    ------
    FileFormatError, InvalidParameterError, MissingExtraError
        As `load`.
    """
    name = as_path(path).name.lower()
    if name.endswith((".npy", *SVMLIGHT_ENDINGS)) or is_zarr(path) or (labels is not None and name.endswith(".npz")):
        return read_columns(path, labels, choices, plan)
    if labels is not None:
        raise InvalidParameterError("labels", "go with .npy, .npz or a folder of zarr: a table has them", labels)
    reader = next((reader for endings, reader in READERS.items() if name.endswith(endings)), None)
    if reader is None:
        endings = [ending for group in READERS for ending in group]
        raise FileFormatError(path, f"its name must end in {', '.join(endings[:-1])} or {endings[-1]}")
    return reader(path, choices)


def load_npz(path: str | Path) -> Dataset:
    """Read `X` (n, d) and `y` (n,) from a NumPy archive; pickled objects are refused.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, too large (`archive.LIMIT_BYTES`), or lacks `X` or `y`.
    """
    return _warned(_read_npz(path, DEFAULT))


def load_csv(path: str | Path) -> Dataset:
    """Read a table of text, one sample a line; `refimpl.tables` says what is understood.

    Raises
    ------
    FileFormatError
        If the file is missing, empty, ragged, or holds something that is not a number.
    """
    return _warned(read_text_table(path))


def _read_npz(path: str | Path, choices: Choices) -> tuple[Dataset, ReadReport]:
    arrays = read_npz(path, ("X", "y"))
    return read_arrays(path, arrays["X"], arrays["y"], choices)


READERS: dict[tuple[str, ...], Callable[[str | Path, Choices], tuple[Dataset, ReadReport]]] = {
    (".npz",): _read_npz,
    (".csv", ".tsv", ".csv.gz", ".tsv.gz"): read_text_table,
    (".parquet", ".arrow", ".feather"): read_arrow,
}


def _warned(found: tuple[Dataset, ReadReport]) -> Dataset:
    data, report = found
    for sentence in report.warnings:
        warnings.warn(f"{report.source}: {sentence}", stacklevel=3)
    return data


def load_npy_pair(x_path: str | Path, y_path: str | Path, plan: Plan | None = None) -> Dataset:
    """X from one `.npy` file, of any size, and y from another.

    Float64 of this machine's byte order, in C order, is memory-mapped as long as it is no larger than a tile (64 MiB);
    other numbers are converted. Larger files stay where they are and are read a tile of columns at a time.

    Parameters
    ----------
    x_path : path
        X, shape (n, d).
    y_path : path
        y, shape (n,), +1 and -1.
    plan : Plan, optional
        Memory, executor and progress of the passes over a large X.

    Raises
    ------
    FileFormatError
        If a file is missing, truncated, or holds something else.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "X.npy", np.eye(2, 3))
    >>> np.save(folder / "y.npy", np.array([1, -1]))
    >>> load_npy_pair(folder / "X.npy", folder / "y.npy").d
    3
    """
    columns, y = NpyColumns(x_path), read_npy(y_path)
    mapped = columns.size <= TILE_ENTRIES and columns.stored == np.float64 and not columns.by_columns
    columns.plan = plan
    return dataset_from_file(x_path, map_npy(x_path) if mapped else columns, y)


def load_cifar10(
    folder: str | Path, classes: tuple[int, int] = (0, 1), centre: bool = False, limit: int | None = None
) -> tuple[Dataset, Dataset]:
    """Two classes of CIFAR-10 from the folder of its binary version: (train, test).

    The folder holds data_batch_1.bin to data_batch_5.bin and test_batch.bin, each a sequence of
    records of one byte for the class and 3072 for the pixels. Pixels are divided by 255.

    Parameters
    ----------
    folder : path
    classes : (int, int)
        The class with label +1 and the class with label -1: two different numbers from 0 to 9.
    centre : bool
        Subtract the mean of the training images from all images.
    limit : int >= 1, optional
        Keep the first `limit` images of each class, in the training and in the test set.

    Returns
    -------
    train, test : Dataset
        d = 3072.

    Raises
    ------
    InvalidParameterError
        If `classes` or `limit` is not as above.
    FileFormatError
        If a file is missing, truncated, holds a class above 9, or a class has no images.
    """
    positive, negative = _checked_classes(classes)
    if limit is not None:
        limit = as_count("limit", limit)
    folder = Path(folder)
    X, y = _cifar10_images(folder, CIFAR10_TRAIN_FILES, positive, negative, limit)
    X_test, y_test = _cifar10_images(folder, CIFAR10_TEST_FILES, positive, negative, limit)
    if centre:
        mean_image = X.mean(axis=0)
        X, X_test = X - mean_image, X_test - mean_image
    return dataset_from_file(folder, X, y), dataset_from_file(folder, X_test, y_test)


def _checked_classes(classes: Any) -> tuple[int, int]:
    requirement = "be two different whole numbers from 0 to 9"
    try:
        positive, negative = (as_count("classes", c, 0) for c in classes)
    except (TypeError, ValueError) as error:
        raise InvalidParameterError("classes", requirement, classes) from error
    if positive == negative or max(positive, negative) > 9:
        raise InvalidParameterError("classes", requirement, classes)
    return positive, negative


def _cifar10_images(
    folder: Path, names: tuple[str, ...], positive: int, negative: int, limit: int | None
) -> tuple[Array, Array]:
    """Images of the two classes with labels, in the order of the files."""
    parts = []
    for name in names:
        records = _cifar10_records(folder / name)
        parts.append(records[np.isin(records[:, 0], (positive, negative))])
    records = np.concatenate(parts)
    kept = np.zeros(len(records), dtype=np.bool_)
    for number in (positive, negative):
        members = np.flatnonzero(records[:, 0] == number)
        if members.size == 0:
            raise FileFormatError(folder, f"there is no image of class {number} in {', '.join(names)}")
        kept[members[:limit]] = True
    records = records[kept]
    return records[:, 1:] / 255.0, np.where(records[:, 0] == positive, 1.0, -1.0)


def _cifar10_records(path: Path) -> NDArray[np.uint8]:
    """One row a record: the class, then the pixels."""
    data = np.frombuffer(read_bytes(path), dtype=np.uint8)
    if data.size == 0 or data.size % (1 + CIFAR10_PIXELS):
        raise FileFormatError(
            path, f"its {data.size} bytes are not whole records of {1 + CIFAR10_PIXELS}: it is truncated"
        )
    records = data.reshape(-1, 1 + CIFAR10_PIXELS)
    if records[:, 0].max() > 9:
        raise FileFormatError(path, f"it holds the class {records[:, 0].max()}, and CIFAR-10 has 0 to 9")
    return records
