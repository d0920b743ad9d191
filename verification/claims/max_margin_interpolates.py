"""The linear max-margin predictor interpolates the labels ([FVBS], Proposition 3; docs/theory.md, section 15)."""

from __future__ import annotations

import numpy as np

from refimpl.activations import LeakyReLU
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array
from verification.claims.base import Claim, HypothesisResult, Measurement
from verification.claims.evidence import Evidence
from verification.claims.limit_error import EPS
from verification.witnesses.conditions import Hypotheses, check_hypotheses
from verification.witnesses.convex_program import SolveStatus

__all__ = ["CLAIM", "applies", "linear_condition", "linear_hypotheses"]

LINEAR = TwoLayerNetwork(np.ones(1), LeakyReLU(1.0))
"""f(x) = ⟨w, x⟩."""


def linear_hypotheses(evidence: Evidence) -> Hypotheses:
    """The conditions of section 5 for the linear predictor: γ = 1, m = 1, a = 1."""
    return check_hypotheses(LINEAR, evidence.data)


def linear_condition(evidence: Evidence) -> HypothesisResult:
    """The refined condition at slope 1."""
    found = linear_hypotheses(evidence).refined
    return HypothesisResult("refined condition, slope 1", found.satisfied, found.slack)


def applies(evidence: Evidence) -> bool:
    """Whether that condition holds."""
    return linear_condition(evidence).satisfied


def interpolator(evidence: Evidence) -> tuple[Array, float]:
    """Coefficients c = K⁻¹y of the vector of least norm with ⟨z, x_i⟩ = y_i, and a bound on the error of z/‖z‖."""
    K, y = evidence.data.gram, evidence.data.y
    first = np.linalg.solve(K, y)
    c = np.asarray(first + np.linalg.solve(K, y - K @ first), dtype=np.float64)
    residual = y - K @ c
    square = float(y @ c)  # ‖z‖²
    if not square > 0.0:  # K is singular, but for rounding
        return c, float("inf")
    energy = float(np.abs(residual @ np.linalg.solve(K, residual))) / square
    return c, float(np.sqrt(energy)) + 64.0 * y.size * EPS * float(np.linalg.cond(K))


def measure(evidence: Evidence) -> Measurement:
    """‖z* - z‖/‖z‖, z* the max-margin predictor by CVXPY, z the vector of least norm with ⟨z, x_i⟩ = y_i."""
    quantity, linear = "‖z* - interpolator‖/‖·‖", evidence.linear
    if linear.status is not SolveStatus.SOLVED:
        return Measurement.missing(quantity, 0.0, f"Linear max margin by CVXPY: {linear.status.value}")
    try:
        c, error = interpolator(evidence)
    except np.linalg.LinAlgError:
        return Measurement.missing(quantity, 0.0, "K is singular: no vector need interpolate the labels.")
    L = evidence.factor
    margins = evidence.data.y * (evidence.data.gram @ linear.coefficients)
    return Measurement(
        quantity=quantity,
        value=float(np.linalg.norm((linear.coefficients - c) @ L) / np.linalg.norm(c @ L)),
        bound=0.0,
        tolerance=linear.error_estimate + error,
        tolerance_reason="CVXPY's error bound for z*, plus that of the linear system K c = y",
        details={"largest_margin_above_1": float(margins.max() - 1.0)},
    )


CLAIM = Claim(
    id="max-margin-interpolates",
    title="The linear max-margin predictor is the least-norm interpolator of the labels",
    source="Frei, Vardi, Bartlett, Srebro, COLT 2023, Proposition 3; docs/theory.md, section 15",
    hypothesis=linear_condition,
    measure=measure,
    applies=applies,
)
