"""See `verification.conformance.checks`."""

from verification.conformance.checks import (
    CHECKS,
    CheckResult,
    applicable_checks,
    inactive_support_problem,
    last_crossing_problem,
)

__all__ = ["CHECKS", "CheckResult", "applicable_checks", "inactive_support_problem", "last_crossing_problem"]
