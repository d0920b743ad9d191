"""Gradient descent, W(t+1) = W(t) - α ∇L(W(t)), in span coordinates (docs/theory.md, sections 4 and 7 to 10).

Every gradient is a combination of the samples, so W(t) = W0 + C(t) X exactly, with

    C_ji <- C_ji + (α/n) a_j y_i Φ_ji g_i ,    Z = Z0 + C K ,

and no array of length d is touched after the first products. `gradient_descent_in_weight_space` is
the same iteration written in R^{m x d}; a test holds the two together.
"""

from __future__ import annotations

from refimpl.descent.result import DescentResult, DescentStatus, DescentTrajectory
from refimpl.descent.steps import gradient_descent, gradient_descent_in_weight_space
from refimpl.reduction import as_initial_weights

__all__ = [
    "DescentResult",
    "DescentStatus",
    "DescentTrajectory",
    "as_initial_weights",
    "gradient_descent",
    "gradient_descent_in_weight_space",
]
