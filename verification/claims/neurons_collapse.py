"""At the limit all neurons of one sign are one neuron (docs/theory.md, sections 3 and 5)."""

from __future__ import annotations

import numpy as np

from refimpl.validation import Array
from verification.claims.base import LIMIT_ERROR, Claim, Measurement
from verification.claims.evidence import SMALLEST_TOLERANCE, Evidence
from verification.claims.hypotheses import near_orthogonality_or_linear
from verification.claims.proofs import neurons_are_equal

__all__ = ["CLAIM", "spread_of_sign"]


def measure(evidence: Evidence) -> Measurement:
    """Largest distance of a row of W from the common row of its sign, relative to ‖W‖_F/√m."""
    spreads = [spread_of_rows(limit.coefficients @ evidence.factor, evidence) for limit in evidence.limits]
    return Measurement(
        quantity="largest spread of neurons of one sign",
        value=max(spreads, default=None),
        bound=0.0,
        tolerance=max(np.sqrt(evidence.network.m) * evidence.flow_error, SMALLEST_TOLERANCE),
        tolerance_reason=f"√m times {LIMIT_ERROR}",
        undecided=evidence.missing_limits,
        details={"spreads": spreads},
        trivial=0.0 if evidence.one_of_each_sign else float(np.sqrt(evidence.network.m)),
        trivial_reason="no two neurons have the same sign",
    )


def spread_of_rows(W: Array, evidence: Evidence) -> float:
    """Rows are |a_j| v on J₊ and |a_j| u on J₋: the largest distance from these, v and u fitted by least squares."""
    a, size = evidence.network.second_layer, float(np.linalg.norm(W)) / np.sqrt(len(W))
    found = (spread_of_sign(W[sign], a[sign], size) for sign in (a > 0.0, a < 0.0))
    return max(spread for spread in found if spread is not None)


def spread_of_sign(W: Array, a: Array, size: float) -> float | None:
    """Largest distance of a row from |a_j| times their common row, fitted by least squares, in units of `size`.

    Examples
    --------
    >>> spread_of_sign(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([1.0, 2.0]), 1.0)
    0.0
    """
    if len(a) == 0:
        return None
    lengths = np.abs(a)
    rest = W - np.outer(lengths, lengths @ W / (lengths @ lengths))
    return float(np.linalg.norm(rest, axis=1).max()) / size


CLAIM = Claim(
    id="neurons-collapse",
    title="At the limit all neurons of one sign are equal",
    source="Frei et al., arXiv 2210.07082, (2); docs/theory.md, section 5",
    hypothesis=near_orthogonality_or_linear,
    measure=measure,
    about_kkt_points=True,
    exact=neurons_are_equal,
)
