"""The limit solves the convex program (C): flow, CVXPY and closed form agree (docs/theory.md, sections 3 and 6)."""

from __future__ import annotations

from verification.claims.base import Claim, Measurement
from verification.claims.evidence import Evidence
from verification.claims.hypotheses import near_orthogonality_or_linear
from verification.claims.proofs import solves_program
from verification.witnesses.convex_program import SolveStatus

__all__ = ["CLAIM"]


def measure(evidence: Evidence) -> Measurement:
    """Largest relative Frobenius distance among each limit, CVXPY's solution and the closed form.

    The closed form is compared where its multipliers are nonnegative, which makes it a solution.
    """
    program, closed = evidence.max_margin, evidence.closed_form
    details: dict[str, object] = {"solver_status": program.status.name, "solver_tolerance": program.tolerance}
    undecided = evidence.missing_limits
    if program.status is not SolveStatus.SOLVED:
        undecided = undecided or f"CVXPY: {program.status.value}"
        return Measurement.missing("relative distance", 0.0, undecided, details)
    C = program.coefficients
    distances = {"flow to CVXPY": [evidence.distance(limit.coefficients, C) for limit in evidence.limits]}
    if closed.solves_program:
        reference = closed.coefficients
        distances["CVXPY to closed form"] = [evidence.distance(C, reference)]
        distances["flow to closed form"] = [
            evidence.distance(limit.coefficients, reference) for limit in evidence.limits
        ]
    details |= {**distances, "duality_gap": program.duality_gap, "closed_form_solves": closed.solves_program}
    return Measurement(
        quantity="flow, CVXPY, closed form: distance" if closed.solves_program else "flow, CVXPY: distance",
        value=max((value for values in distances.values() for value in values), default=None),
        bound=0.0,
        tolerance=program.error_estimate
        + evidence.flow_error
        + (closed.error_estimate if closed.solves_program else 0.0),
        tolerance_reason="CVXPY's error bound, plus errors of the limit and of the closed form where it is compared",
        undecided=undecided,
        details=details,
    )


CLAIM = Claim(
    id="limit-is-convex-optimum",
    title="The limit is the solution of the convex program (C)",
    source="Frei et al., arXiv 2210.07082, (3); docs/theory.md, section 6",
    hypothesis=near_orthogonality_or_linear,
    measure=measure,
    about_kkt_points=True,
    exact=solves_program,
)
