"""How we know: conditions, max margin, KKT residuals, and the claims with their verdicts.

Each public name loads its module when it is first used: `pytest` loads this package for the plugin of
`verification.conformance`, and the help of the command needs little.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOMES = {
    "Report": "report",
    "certify": "certificate",
    "check_certificate": "certificate_checker",
    "check_hypotheses": "hypotheses",
    "closed_form": "max_margin",
    "count_programs": "enumeration",
    "global_optimum": "enumeration",
    "kkt_residuals": "kkt",
    "linear_max_margin": "max_margin",
    "max_margin": "max_margin",
    "reject_early": "certificate",
    "verify": "verify",
}
"""Public name -> its module."""


class _Package(ModuleType):
    """This package: public names on demand, and `verify` and `max_margin` are the functions, never their modules."""

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):  # else the import system binds a module here
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
