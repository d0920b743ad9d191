"""Samples and weights in tiles of columns: data larger than memory (docs/numerics.md, "Data larger than memory").

Everything after the Gram matrix is a matter of R^n, so a matrix of n rows and d columns need only be gone through, a
tile of columns at a time: `columns.py` says what such a matrix is, `npy.py` reads and writes `.npy` files,
`accumulate.py` adds up products of tiles in one fixed order, on this machine or on others.
"""

from refimpl.tiles.accumulate import Plan, gram_matrix, products_with_weights
from refimpl.tiles.columns import (
    ArrayColumns,
    Columns,
    ScaledColumns,
    SlicedColumns,
    SparseColumns,
    as_columns,
    tile_width,
)
from refimpl.tiles.npy import NpyColumns, write_combination

__all__ = [
    "ArrayColumns",
    "Columns",
    "NpyColumns",
    "Plan",
    "ScaledColumns",
    "SlicedColumns",
    "SparseColumns",
    "as_columns",
    "gram_matrix",
    "products_with_weights",
    "tile_width",
    "write_combination",
]
