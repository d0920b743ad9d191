"""Sparse samples: `.npz` as `scipy.sparse.save_npz` writes it, and text in the format of svmlight and libsvm.

A line of such a text is one sample, `label index:value index:value ... # remark`, with indices that rise from 1 (or
from 0, if a 0 occurs); `qid:N` is left out. Nothing becomes dense on the way.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from refimpl.archive import read_npz
from refimpl.errors import FileFormatError
from refimpl.files import open_regular

__all__ = ["SVMLIGHT_ENDINGS", "holds_sparse", "read_sparse_npz", "read_svmlight"]

SVMLIGHT_ENDINGS = (".svm", ".svmlight", ".libsvm", ".svm.gz", ".svmlight.gz", ".libsvm.gz")

LONGEST_LINE = 2**26
"""Bytes of one sample as text at most."""


def holds_sparse(names: Any) -> bool:
    """Whether an archive with arrays of these names is one of SciPy's sparse matrices.

    Examples
    --------
    >>> holds_sparse(["indices", "indptr", "format", "shape", "data"]), holds_sparse(["X", "y"])
    (True, False)
    """
    return {"format", "shape", "data"} <= set(names)


def read_sparse_npz(path: str | Path) -> Any:
    """The matrix that `scipy.sparse.save_npz` wrote, by columns.

    Raises
    ------
    FileFormatError
        If the file is missing, damaged, too large, of another format of SciPy's than csr, csc and coo, or its indices
        do not fit its shape.
    """
    arrays = read_npz(path)
    form = _text(arrays.get("format"))
    kinds = {"csr": sparse.csr_array, "csc": sparse.csc_array}
    try:
        shape = tuple(int(size) for size in arrays["shape"])
        if len(shape) != 2 or min(shape) < 1:
            raise FileFormatError(path, f"it must hold a matrix of shape (n, d), not {shape}")
        if form == "coo":
            matrix = sparse.coo_array((arrays["data"], (arrays["row"], arrays["col"])), shape=shape)
        elif form in kinds:
            matrix = kinds[form]((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
            matrix.check_format(full_check=True)
        else:
            raise FileFormatError(path, f"its sparse format {form!r} is none of csr, csc and coo")
        return sparse.csc_array(matrix)
    except FileFormatError:
        raise
    except Exception as error:  # what SciPy says of arrays that do not fit each other
        raise FileFormatError(path, "its arrays make no sparse matrix") from error


def _text(value: Any) -> str:
    found = None if value is None or np.size(value) != 1 else np.asarray(value).item()
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)


def read_svmlight(path: str | Path) -> tuple[Any, list[str]]:
    """Samples, a sparse matrix of shape (n, d), and labels as they stand, from a text; d is the largest index.

    Raises
    ------
    FileFormatError
        If the file is missing, no text, empty, or a line is not of this form; the sentence has its number.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "two.svm"
    >>> _ = path.write_text("+1 1:0.5 4:2\\n-1 2:1 # a remark\\n")
    >>> X, labels = read_svmlight(path)
    >>> X.toarray(), labels
    (array([[0.5, 0. , 0. , 2. ],
           [0. , 1. , 0. , 0. ]]), ['+1', '-1'])
    """
    labels: list[str] = []
    counts, indices, values = [0], [], []
    for number, line in _lines(path):
        parts = line.partition("#")[0].split()
        if not parts:
            continue
        pairs = [part.partition(":") for part in parts[1:] if not part.startswith("qid:")]
        try:
            if any("_" in part for part in parts[1:]):  # which Python leaves out of numbers
                raise ValueError
            where = np.array([int(index) for index, _, _ in pairs], dtype=np.int64)
            what = np.array([float(value) for _, _, value in pairs], dtype=np.float64)
        except (ValueError, OverflowError) as error:
            raise FileFormatError(path, f"line {number} is not `label index:value ...`") from error
        if where.size and (where[0] < 0 or np.any(np.diff(where) <= 0)):
            raise FileFormatError(path, f"the indices of line {number} do not rise from 1")
        if ":" in parts[0]:
            raise FileFormatError(path, f"line {number} has no label")
        labels.append(parts[0])
        counts.append(counts[-1] + where.size)
        indices.append(where)
        values.append(what)
    if not labels or not counts[-1]:
        raise FileFormatError(path, "it holds no samples")
    columns = np.concatenate(indices)
    columns -= min(1, int(columns.min()))  # from 1, unless a 0 occurs
    shape = (len(labels), int(columns.max()) + 1)
    return sparse.csc_array(sparse.csr_array((np.concatenate(values), columns, counts), shape=shape)), labels


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    packed = str(path).lower().endswith(".gz")
    try:
        with open_regular(path) as handle, gzip.open(handle) if packed else handle as text:
            number = 0
            while line := text.readline(LONGEST_LINE):
                number += 1
                if len(line) == LONGEST_LINE:
                    raise FileFormatError(path, f"line {number} has more than {LONGEST_LINE} bytes")
                yield number, line.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise FileFormatError(path, "it is not a whole text in UTF-8") from error
