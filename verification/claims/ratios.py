"""Many numbers, each with its own error, held against one bound."""

from __future__ import annotations

from typing import Any

import numpy as np

from verification.claims.base import LARGEST_TOLERANCE

__all__ = ["worst"]


def worst(values: Any, errors: Any, bound: float = 1.0) -> tuple[float | None, float]:
    """The value that speaks most against the bound, and the tolerance that goes with it.

    Where every value with its error stays within the bound no tolerance is needed: the largest value, and 0. Otherwise
    the value that exceeds the bound by most beyond its error, among those whose error is small enough for a verdict.

    Parameters
    ----------
    values, errors : array_like
        Of one shape; errors are >= 0.
    bound : float

    Examples
    --------
    >>> worst([0.5, 0.9], [1e-3, 1e-3])
    (0.9, 0.0)
    >>> worst([0.5, 1.0], [1e-3, 1e-9])
    (1.0, 1e-09)
    >>> worst([0.5, 1.1], [0.6, 1e-9])
    (1.1, 1e-09)
    """
    values, errors = np.ravel(np.asarray(values, dtype=float)), np.ravel(np.asarray(errors, dtype=float))
    if values.size == 0:
        return None, 0.0
    open_ = np.flatnonzero(~(values + errors <= bound))
    if open_.size == 0:
        return float(values.max()), 0.0
    sizes = np.maximum(max(1.0, bound), np.where(np.isfinite(values), values, 0.0))  # as a verdict has it
    precise = open_[errors[open_] <= LARGEST_TOLERANCE * sizes[open_]]
    if precise.size == 0:
        k = open_[int(np.argmax(errors[open_]))]
    else:
        k = precise[int(np.argmax(values[precise] - errors[precise]))]
    return float(values[k]), float(errors[k])
