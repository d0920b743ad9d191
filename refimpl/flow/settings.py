"""What a solver is told: where it begins and ends, how accurate it must be, and the step to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """Settings of one run of a solver.

    Parameters
    ----------
    s, s_end : float
        Start and bound of the integration, s < s_end.
    rtol, atol : float > 0
        Tolerances of what is integrated.
    first_step : float > 0, optional
        At most s_end - s; the solver's own choice by default.

    Examples
    --------
    >>> Settings(0.0, 2.0, 1e-6, 1e-9).of_scipy
    {'t_bound': 2.0, 'rtol': 1e-06, 'atol': 1e-09, 'first_step': None}
    """

    s: float
    s_end: float
    rtol: float
    atol: float
    first_step: float | None = None

    @property
    def of_scipy(self) -> dict[str, Any]:
        """As SciPy's solvers take them, but for where they begin."""
        return {"t_bound": self.s_end, "rtol": self.rtol, "atol": self.atol, "first_step": self.first_step}
