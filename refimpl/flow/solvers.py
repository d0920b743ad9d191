"""SciPy's implicit solver for dc/ds = w(q + M c) within one pattern, which starts at c = 0 and gives c(s).

It works in coordinates in which distances are those of W (`refimpl/flow/isometric.py`), since it takes over where
steps are long. While events are frequent, `refimpl/flow/collocation.py` does.
"""

from __future__ import annotations

import numpy as np
from scipy.integrate import Radau

from refimpl.flow.bernstein import Path
from refimpl.flow.isometric import IsometricCoordinates
from refimpl.flow.segments import Segment
from refimpl.flow.settings import Settings
from refimpl.validation import Array

__all__ = ["Implicit"]


class Implicit(Radau):  # type: ignore[misc]
    """`Radau` for b = Λ^{1/2} Qᵀ c, with the analytic Jacobian; for the rest as `Explicit`."""

    def __init__(self, segment: Segment, settings: Settings) -> None:
        self._coordinates = IsometricCoordinates(segment.M, segment.q, segment.loss)
        self._longest_sample = float(np.sqrt(np.diagonal(segment.K).max()))
        options = settings.of_scipy
        options["atol"] = self._coordinates.tolerance(settings.atol, settings.rtol * segment.size)
        start = np.zeros(segment.q.size)
        super().__init__(self._coordinates.rate, settings.s, start, jac=self._coordinates.jacobian, **options)

    @property
    def c(self) -> Array:
        """c now, shape (n,)."""
        return self._coordinates.c(self.y)

    def weights(self) -> Array:
        """w now, shape (n,)."""
        return self._coordinates.weights(self.y)

    def path(self) -> Path:
        """c(s) within the last step; the error of w(c) is that of the solver at its ends only.

        dc/ds is w at the three points of Radau's method; what is off by their cubic is largest at the step's start.
        """
        inner = self._last = self.dense_output()
        powers = np.column_stack([inner.y_old, inner.Q])
        error = float(np.linalg.norm(self.atol + self.rtol * np.abs(self.y)))
        c = self._coordinates.c(powers)
        drift = np.abs(c[:, 1] - (self.t - self.t_old) * self._coordinates.weights(inner.y_old))
        path = Path.from_powers(self.t_old, self.t, c, self._longest_sample * error, drift)
        path.B[:, -1] = self.c
        return path

    def margins(self, s: Array) -> Array:
        """Q at times within the step of the last `path`, shape (n, number of times)."""
        return self._coordinates.margins(self._last(s))
