"""Initial weights: W0 with independent N(0, ω²) entries (docs/theory.md, section 4)."""

from __future__ import annotations

import numpy as np

from refimpl.errors import InvalidParameterError
from refimpl.validation import Array, as_count, as_generator, as_nonnegative, check_memory

__all__ = ["gaussian_weights"]


def gaussian_weights(m: int, d: int, scale: float, rng: np.random.Generator | int) -> Array:
    """W0 of shape (m, d) with independent N(0, scale²) entries.

    Parameters
    ----------
    m, d : int >= 1
    scale : float >= 0
        ω; 0 gives the zero matrix.
    rng : numpy.random.Generator, or int >= 0
        The generator, or the seed of a new one.

    Returns
    -------
    ndarray, shape (m, d)

    Raises
    ------
    InvalidParameterError
        For bad arguments, and if W0 would not fit into memory.

    Examples
    --------
    >>> gaussian_weights(2, 3, 0.01, np.random.default_rng(0)).shape
    (2, 3)
    """
    m, d, scale = as_count("m", m), as_count("d", d), as_nonnegative("scale", scale)
    rng = as_generator("rng", rng)
    check_memory("m · d", m * d, 2 * m * d)
    W0 = rng.standard_normal((m, d))
    with np.errstate(over="ignore"):
        W0 *= scale
    if not np.isfinite(W0).all():
        raise InvalidParameterError("scale", "keep W0 within the range of float64", scale)
    return W0
