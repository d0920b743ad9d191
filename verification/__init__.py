"""How we know: conditions, max margin, KKT residuals, and the claims with their verdicts."""

from verification.certificate import certify, reject_early
from verification.certificate_checker import check_certificate
from verification.enumeration import count_programs, global_optimum
from verification.hypotheses import check_hypotheses
from verification.kkt import kkt_residuals
from verification.max_margin import closed_form, linear_max_margin, max_margin
from verification.report import Report
from verification.verify import verify

__all__ = [
    "Report",
    "certify",
    "check_certificate",
    "check_hypotheses",
    "closed_form",
    "count_programs",
    "global_optimum",
    "kkt_residuals",
    "linear_max_margin",
    "max_margin",
    "reject_early",
    "verify",
]
