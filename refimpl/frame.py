"""What all flows on one data set share, from whatever start: units, an order of the samples, K and its factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.dataset import Dataset
from refimpl.order import canonical_order
from refimpl.validation import IndexArray, remember, remembered

__all__ = ["Frame", "frame_of"]

ORDERED_UP_TO = 2**20
"""Entries of X up to which the flow is computed in an order of its own. Larger data have no exact symmetries to
speak of, and a second Gram matrix would cost; there another order of the samples changes rounding."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A data set in the units and the order in which its flows are computed.

    Attributes
    ----------
    data : Dataset
        The samples with the largest norm in [1, 2), in an order that depends on their values only. What it has
        computed of itself, K and its factors, serves every flow.
    exponent : int
        The samples as given are 2^exponent times these.
    samples : ndarray of int, shape (n,)
        Their indices among those given.
    ordered : bool
        Whether they were brought into an order: X has at most `ORDERED_UP_TO` entries.
    """

    data: Dataset
    exponent: int
    samples: IndexArray
    ordered: bool


def frame_of(data: Dataset) -> Frame:
    """The frame of a data set, made when it is first asked for and kept with it.

    Examples
    --------
    >>> data = Dataset([[8.0, 1.0], [0.0, 2.0]], [1, -1])
    >>> frame = frame_of(data)
    >>> frame.data.X, frame.exponent, frame.samples
    (array([[0.   , 0.25 ],
           [1.   , 0.125]]), 3, array([1, 0]))
    >>> frame_of(data) is frame
    True
    """
    kept = remembered(data, "frame")
    if not isinstance(kept, Frame):
        kept = _made(data)
        remember(data, frame=kept)
    return kept


def _made(data: Dataset) -> Frame:
    scaled, exponent = data.rescaled()
    if scaled.X.size > ORDERED_UP_TO:
        return Frame(scaled, exponent, np.arange(data.n), False)
    samples = canonical_order(scaled.y, scaled.X)
    return Frame(Dataset(scaled.X[samples], scaled.y[samples]), exponent, samples, True)
