"""Readers of samples that are gone through in tiles of columns, with labels in a file of their own.

`.npy` (any real dtype, read as it is), a folder in zarr's format, sparse `.npz` of SciPy; and text of svmlight and
libsvm, which has the labels in it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.archive import read_npy
from refimpl.dataset import Dataset
from refimpl.errors import FileFormatError, InvalidDataError, InvalidParameterError, MissingExtraError, ShapeError
from refimpl.files import as_path
from refimpl.sparse_files import SVMLIGHT_ENDINGS, read_sparse_npz, read_svmlight
from refimpl.tables import DEFAULT, Choices, ReadReport, signs_of
from refimpl.tiles.accumulate import Plan
from refimpl.tiles.columns import Columns, SparseColumns, as_columns
from refimpl.tiles.npy import NpyColumns

__all__ = ["columns_of", "dataset_from_file", "is_zarr", "read_columns"]


def is_zarr(path: str | Path) -> bool:
    """Whether `path` is a folder in zarr's format, by its name or by what lies in it.

    Examples
    --------
    >>> is_zarr("X.npy"), is_zarr("X.zarr")
    (False, True)
    """
    path = as_path(path)
    return path.name.lower().endswith(".zarr") or any((path / name).is_file() for name in ("zarr.json", ".zarray"))


def columns_of(path: str | Path) -> Columns:
    """Samples in a file without labels.

    Raises
    ------
    FileFormatError
        If it is missing, damaged, or of another kind.
    MissingExtraError
        If it needs zarr, and that is not installed.
    """
    if is_zarr(path):
        return as_columns(_opened_zarr(as_path(path)))
    return NpyColumns(path) if as_path(path).name.lower().endswith(".npy") else SparseColumns(read_sparse_npz(path))


def read_columns(
    path: str | Path, labels: str | Path | None = None, choices: Choices = DEFAULT, plan: Plan | None = None
) -> tuple[Dataset, ReadReport]:
    """A data set whose samples are gone through in tiles of columns, and what was read.

    Parameters
    ----------
    path : path
        `.npy`, a folder of zarr, `.npz` of `scipy.sparse.save_npz`, or text of svmlight.
    labels : path, optional
        A `.npy` with n labels, numbers or words; for svmlight there is none.
    choices : Choices
        `positive_label` and `classes` say which labels become +1 and -1; rows can be left out of sparse samples only.
    plan : Plan, optional
        How passes over the samples are made.

    Raises
    ------
    FileFormatError, InvalidParameterError, MissingExtraError

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "X.npy", np.eye(2, 3, dtype=np.float32))
    >>> np.save(folder / "y.npy", np.array(["cat", "dog"]))
    >>> data, report = read_columns(folder / "X.npy", folder / "y.npy", Choices(positive_label="cat"))
    >>> data.d, data.y, report.classes
    (3, array([ 1., -1.]), (('cat', 1, 1), ('dog', -1, 1)))
    """
    if as_path(path).name.lower().endswith(SVMLIGHT_ENDINGS):
        if labels is not None:
            raise InvalidParameterError("labels", "not be given for text of svmlight, which has them", labels)
        matrix, words = read_svmlight(path)
        return _with_labels(path, SparseColumns(matrix), path, words, choices, plan)
    if labels is None:
        raise InvalidParameterError("labels", f"name a .npy file with the labels of `{path}`", labels)
    return _with_labels(path, columns_of(path), labels, read_npy(labels), choices, plan)


def _with_labels(
    path: Any, X: Columns, labels_path: Any, labels: Any, choices: Choices, plan: Plan | None
) -> tuple[Dataset, ReadReport]:
    words = np.asarray(labels)
    if words.shape != X.shape[:1]:
        raise FileFormatError(
            labels_path, f"`y` must have shape ({X.shape[0]},), one label for each row, not {words.shape}"
        )
    y, kept, told = signs_of(labels_path, words.tolist(), choices)
    if not kept.all():
        if not isinstance(X, SparseColumns):
            raise InvalidParameterError(
                "classes", f"name all labels of `{labels_path}`: no rows are left out here", choices.classes
            )
        X = SparseColumns(X.X[np.flatnonzero(kept)])
    X.plan = plan
    data = dataset_from_file(path, X, y)
    return data, ReadReport(
        str(path), data.n, data.d, (), str(labels_path), told["classes"], (*_kind(X), *told["notes"])
    )


def dataset_from_file(path: str | Path, X: Any, y: Any) -> Dataset:
    """The data set (X, y); what is wrong with it is wrong with the file.

    Raises
    ------
    FileFormatError
        If X and y make no data set.
    ImplicitBiasError
        If the memory does not do, or a worker was lost.
    """
    try:
        return Dataset(X, y)
    except (InvalidDataError, InvalidParameterError, ShapeError) as error:
        if error.parameter.startswith(("X", "y")):
            raise FileFormatError(path, str(error).rstrip(".")) from error
        raise


def _kind(X: Columns) -> tuple[str, ...]:
    if isinstance(X, SparseColumns):
        return (f"sparse, {X.entries} numbers stored",)
    return (f"stored as {X.stored.name}",) if isinstance(X, NpyColumns) and X.stored != np.float64 else ()


def _opened_zarr(path: Path) -> Any:
    """The array in a folder in zarr's format, any version."""
    try:
        zarr = import_module("zarr")
    except ImportError as error:
        raise MissingExtraError("zarr", "dask") from error
    if not path.is_dir():
        raise FileFormatError(path, "there is no such folder")
    try:
        found = zarr.open(str(path), mode="r")
    except Exception as error:  # zarr raises errors of many classes
        raise FileFormatError(path, "it is no array in zarr's format") from error
    if not hasattr(found, "shape"):
        raise FileFormatError(path, "it is a group of zarr: give the folder of one array in it")
    if getattr(found.dtype, "kind", "") not in "fiub" or len(found.shape) != 2:
        raise FileFormatError(path, f"it must hold real numbers of shape (n, d), not {found.dtype} of {found.shape}")
    return found
