"""Numbers, labels and networks that are drawn small, so that a failing case can be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np

from refimpl.activations import LeakyReLU
from refimpl.errors import MissingExtraError
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array

try:
    from hypothesis import assume
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtraError("hypothesis", "conformance") from error

__all__ = [
    "Range",
    "assume",
    "between",
    "dyadic_matrix",
    "dyadics",
    "labels",
    "margins",
    "networks",
    "same_draws_everywhere",
    "seeds",
    "slopes",
    "st",
]

Range = tuple[int, int]
"""Smallest and largest value of a drawn integer, both included."""

SPECIAL_MARGINS = (0.0, 1e-300, 1e-16, 1e-8, 0.5, 1.0, 36.7, 40.0, 709.0, 710.0, 745.0, 746.0, 1e5, 1e16, 1e154, 1e300)
"""Where formulas for losses break: cancellation near 0, e^q at the edges of float64, squares that overflow."""


@contextmanager
def same_draws_everywhere() -> Iterator[None]:
    """Without the numbers that Hypothesis collects from the user's own source code, and keeps in .hypothesis/.

    They depend on which modules are loaded and on how they are installed. Hypothesis has no switch for them; where
    its insides are not as expected, nothing is changed.

    Examples
    --------
    >>> from hypothesis import find
    >>> with same_draws_everywhere():
    ...     find(margins(), lambda q: q > 1.0) > 1.0
    True
    """
    providers = import_module("hypothesis.internal.conjecture.providers")
    cache = getattr(providers, "CONSTANTS_CACHE", None)
    if cache is None or not hasattr(providers, "_get_local_constants") or not hasattr(providers, "Constants"):
        yield
        return
    none = providers.Constants()
    cache.cache.clear()
    try:
        with patch.object(providers, "_get_local_constants", lambda: none):
            yield
    finally:
        cache.cache.clear()


def slopes(edges: bool = False) -> st.SearchStrategy[float]:
    """γ: a few numbers of (0, 1), dyadic ones first.

    Parameters
    ----------
    edges : bool
        Also 0 (ReLU), 1 (linear), and slopes far below and just below 1.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(slopes(), lambda slope: slope < 0.2)
    0.125
    >>> find(slopes(edges=True), lambda slope: slope < 0.1)
    0.0
    """
    inside, ends = [0.5, 0.25, 0.125, 0.1, 0.9], [0.0, 1.0, 2.0**-8, 1e-3, 2.0**-20, 1.0 - 2.0**-20]
    return st.sampled_from([*inside, *ends] if edges else inside)


def dyadics(largest: int = 4, denominator: int = 8, nonzero: bool = False) -> st.SearchStrategy[float]:
    """k/denominator with |k/denominator| <= `largest`; exact in float64.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(dyadics(), lambda x: x > 0.3)
    0.375
    """
    whole = st.integers(-largest * denominator, largest * denominator)
    return (whole.filter(bool) if nonzero else whole).map(lambda k: k / denominator)


@st.composite
def networks(
    draw: st.DrawFn,
    slopes: st.SearchStrategy[float] = slopes(),  # noqa: B008
    neurons: Range = (1, 5),
    unequal: bool | None = None,
) -> TwoLayerNetwork:
    """Leaky ReLU networks with a few neurons of either sign.

    Parameters
    ----------
    slopes : strategy of float
        γ.
    neurons : (int, int)
        Smallest and largest m.
    unequal : bool, optional
        False: a = ±1/√m. True: a of nonzero dyadic rationals of any size and order of signs. By default either.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(networks(), lambda network: network.positive.any() and not network.positive.all()).m
    2
    """
    m = draw(st.integers(*neurons))
    activation = LeakyReLU(draw(slopes))
    if draw(st.booleans()) if unequal is None else unequal:
        return TwoLayerNetwork(np.array([draw(dyadics(2, 4, nonzero=True)) for _ in range(m)]), activation)
    positive = draw(st.integers(0, m))
    return TwoLayerNetwork.with_signs(positive, m - positive, activation)


def labels(n: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.sampled_from([1.0, -1.0]), min_size=n, max_size=n)


def margins(largest: float = 1e300) -> st.SearchStrategy[float]:
    """Margins q from -largest to largest: special values, moderate ones, and every order of magnitude.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(margins(), lambda q: q < -1e250) < -1e250
    True
    """
    special = [sign * q for q in SPECIAL_MARGINS if q <= largest for sign in (1.0, -1.0)]
    return st.one_of(
        st.sampled_from(special),
        st.floats(-min(50.0, largest), min(50.0, largest)),
        st.floats(-min(800.0, largest), min(800.0, largest)),
        st.floats(-largest, largest),
    )


def dyadic_matrix(draw: Any, rows: int, columns: int, largest: int = 4, denominator: int = 8) -> Array:
    entries = st.lists(dyadics(largest, denominator), min_size=rows * columns, max_size=rows * columns)
    return np.array(draw(entries), dtype=np.float64).reshape(rows, columns)


def between(low: float, high: float) -> st.SearchStrategy[float]:
    """low + (high - low) k/16."""
    return st.integers(0, 16).map(lambda k: low + (high - low) * k / 16.0)


def seeds() -> st.SearchStrategy[int]:
    return st.integers(0, 2**16 - 1)
