"""Readers of data sets: `.npz`, `.csv`, a pair of `.npy` files, a CIFAR-10 folder.

Whatever is wrong with a file, the error is a `FileFormatError` that says so in one sentence.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.archive import map_npy, read_npy, read_npz
from refimpl.datasets import Dataset
from refimpl.errors import FileFormatError, ImplicitBiasError, InvalidParameterError
from refimpl.files import read_bytes
from refimpl.validation import Array, as_count

__all__ = ["load", "load_cifar10", "load_csv", "load_npy_pair", "load_npz"]

CIFAR10_PIXELS = 3 * 32 * 32
CIFAR10_TRAIN_FILES = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
CIFAR10_TEST_FILES = ("test_batch.bin",)


def load(path: str | Path) -> Dataset:
    """Read a data set from `.npz` or `.csv`, by the ending of its name.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, or of another kind.

    See Also
    --------
    load_npz, load_csv, load_npy_pair, load_cifar10
    """
    readers = {".npz": load_npz, ".csv": load_csv}
    reader = readers.get(Path(path).suffix.lower())
    if reader is None:
        raise FileFormatError(path, f"its name must end in {' or '.join(readers)}")
    return reader(path)


def load_npz(path: str | Path) -> Dataset:
    """Read `X` (n, d) and `y` (n,) from a NumPy archive; pickled objects are refused.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, too large (`archive.LIMIT_BYTES`), or lacks `X` or `y`.
    """
    arrays = read_npz(path, ("X", "y"))
    return _dataset_from_file(path, arrays["X"], arrays["y"])


def load_csv(path: str | Path) -> Dataset:
    """Read comma-separated numbers, one sample a line.

    The label stands in the column that the header calls `y` or `label`; without a header, or
    without such a name in it, in the last column. A first line that holds a word is a header.

    Raises
    ------
    FileFormatError
        If the file is missing, empty, ragged, or holds something that is not a number.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as handle:
            rows = [(number, row) for number, row in enumerate(csv.reader(handle), 1) if any(map(str.strip, row))]
    except FileNotFoundError as error:
        raise FileFormatError(path, "there is no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileFormatError(path, f"it is not readable text ({error})") from error
    if not rows:
        raise FileFormatError(path, "it is empty")
    label_column = -1
    if not all(map(_is_number, rows[0][1])):
        names = [name.strip().lower() for name in rows[0][1]]
        label_column = next((names.index(name) for name in ("y", "label") if name in names), -1)
        rows = rows[1:]
    if not rows:
        raise FileFormatError(path, "it has a header and no samples")
    table = _parse_rows(path, rows)
    if table.shape[1] < 2:
        raise FileFormatError(path, "it needs at least one feature column and a label column")
    return _dataset_from_file(path, np.delete(table, label_column, axis=1), table[:, label_column])


def load_npy_pair(x_path: str | Path, y_path: str | Path) -> Dataset:
    """X from one `.npy` file, memory-mapped and never loaded whole, and y from another.

    Checks and the Gram matrix go through X in blocks of 64 MiB, so that X may be larger than
    memory. For that it must hold float64 of this machine's byte order, in C order, which saves a
    conversion; y may hold any real numbers.

    Parameters
    ----------
    x_path : path
        X, shape (n, d).
    y_path : path
        y, shape (n,).

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
    X, y = map_npy(x_path), read_npy(y_path)
    if X.ndim != 2:
        raise FileFormatError(x_path, f"it must hold an array of shape (n, d), not {X.shape}")
    if X.dtype != np.float64:
        raise FileFormatError(x_path, f"it holds {X.dtype.str}, not float64: save X.astype(numpy.float64) first")
    if not X.flags.c_contiguous:
        raise FileFormatError(x_path, "it is in Fortran order: save numpy.ascontiguousarray(X) first")
    return _dataset_from_file(x_path, X, y)


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
    return _dataset_from_file(folder, X, y), _dataset_from_file(folder, X_test, y_test)


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


def _parse_rows(path: str | Path, rows: list[tuple[int, list[str]]]) -> Array:
    width = len(rows[0][1])
    table = np.empty((len(rows), width))
    for k, (number, row) in enumerate(rows):
        if len(row) != width:
            raise FileFormatError(path, f"line {number} has {len(row)} columns, not {width}")
        try:
            table[k] = [float(cell) for cell in row]
        except ValueError as error:
            word = next(cell for cell in row if not _is_number(cell))
            raise FileFormatError(path, f"line {number} holds {word.strip()[:40]!r}, which is not a number") from error
    return table


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _dataset_from_file(path: str | Path, X: Any, y: Any) -> Dataset:
    try:
        return Dataset(X, y)
    except ImplicitBiasError as error:
        raise FileFormatError(path, str(error).rstrip(".")) from error
