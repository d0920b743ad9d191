"""Everything that makes a `Dataset`: generators, and readers of files, under one name."""

from __future__ import annotations

from refimpl.dataset import Dataset, as_dataset
from refimpl.generators import correlated, gaussian, gaussian_mixture, nearly_orthogonal
from refimpl.readers import (
    from_frame,
    load,
    load_cifar10,
    load_csv,
    load_npy_pair,
    load_npz,
    read,
)

__all__ = [
    "Dataset",
    "as_dataset",
    "correlated",
    "from_frame",
    "gaussian",
    "gaussian_mixture",
    "load",
    "load_cifar10",
    "load_csv",
    "load_npy_pair",
    "load_npz",
    "nearly_orthogonal",
    "read",
]
