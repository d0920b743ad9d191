"""How we know: conditions, max margin, KKT residuals, and the claims with their verdicts.

Each public name loads its module when it is first used: `pytest` loads this package for the plugin of
`verification.conformance`, and the help of the command needs little.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` takes longer to import than the rest of this file
if TYPE_CHECKING:
    from typing import Any

    from verification.audits.recorder import Recorder
    from verification.audits.report import AuditReport
    from verification.audits.run import audit
    from verification.claims.base import Claim, HypothesisResult, Measurement
    from verification.claims.evidence import Evidence
    from verification.claims.registry import installed_claims, load_claims
    from verification.claims.report import Report
    from verification.claims.run import verify
    from verification.exact.certificate import certify, reject_early
    from verification.exact.checker import check_certificate
    from verification.exact.flow import certify_flow
    from verification.exact.optimum import certify_optimum
    from verification.exact.point import certify_point
    from verification.witnesses.boundary import mixture_error, robust_radii
    from verification.witnesses.conditions import check_hypotheses
    from verification.witnesses.convex_program import linear_max_margin, max_margin
    from verification.witnesses.enumeration import count_programs, global_optimum
    from verification.witnesses.kkt import kkt_residuals
    from verification.witnesses.limit_formula import closed_form

__all__ = [
    "AuditReport",
    "Claim",
    "Evidence",
    "HypothesisResult",
    "Measurement",
    "Recorder",
    "Report",
    "audit",
    "certify",
    "certify_flow",
    "certify_optimum",
    "certify_point",
    "check_certificate",
    "check_hypotheses",
    "closed_form",
    "count_programs",
    "global_optimum",
    "installed_claims",
    "kkt_residuals",
    "linear_max_margin",
    "load_claims",
    "max_margin",
    "mixture_error",
    "reject_early",
    "robust_radii",
    "verify",
]

_HOMES = {
    "AuditReport": "audits.report",
    "Recorder": "audits.recorder",
    "Claim": "claims.base",
    "Evidence": "claims.evidence",
    "HypothesisResult": "claims.base",
    "Measurement": "claims.base",
    "Report": "claims.report",
    "audit": "audits.run",
    "certify": "exact.certificate",
    "certify_flow": "exact.flow",
    "certify_optimum": "exact.optimum",
    "certify_point": "exact.point",
    "check_certificate": "exact.checker",
    "check_hypotheses": "witnesses.conditions",
    "closed_form": "witnesses.limit_formula",
    "count_programs": "witnesses.enumeration",
    "global_optimum": "witnesses.enumeration",
    "installed_claims": "claims.registry",
    "kkt_residuals": "witnesses.kkt",
    "linear_max_margin": "witnesses.convex_program",
    "load_claims": "claims.registry",
    "max_margin": "witnesses.convex_program",
    "mixture_error": "witnesses.boundary",
    "reject_early": "exact.certificate",
    "robust_radii": "witnesses.boundary",
    "verify": "claims.run",
}
"""Public name -> its module."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
