"""Gradient flow dW/dt = -∇L(W) to its limit direction (docs/theory.md, section 7).

`piecewise.py` follows the flow from event to event (`segments.py`, `watch.py`, `location.py`, `kinks.py`);
`adaptive.py` integrates with SciPy's adaptive solver; `cell.py` and `limit.py` hold what both
share: the linear structure within one activation pattern, and how the limit is read off. `repeat.py`
compares a flow with itself at tightened tolerances.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError, RunInterrupted
from refimpl.flow.adaptive import adaptive_flow
from refimpl.flow.piecewise import piecewise_flow
from refimpl.flow.repeat import SMALLEST_RTOL, difference_of, tightened
from refimpl.flow.result import FlowEvent, FlowLimit, FlowResult, FlowStatus, Trajectory
from refimpl.losses import LogisticLoss, Loss
from refimpl.network import TwoLayerNetwork
from refimpl.span import SpanCoordinates
from refimpl.validation import as_count, as_finite_array, as_positive

__all__ = ["FlowEvent", "FlowLimit", "FlowResult", "FlowStatus", "Trajectory", "gradient_flow"]

METHODS = {"piecewise": piecewise_flow, "adaptive": adaptive_flow}


def gradient_flow(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Any,
    loss: Loss | None = None,
    method: str = "piecewise",
    rtol: float = 1e-12,
    atol: float = 1e-9,
    max_time: float = 1e12,
    max_events: int = 200_000,
    estimate_error: bool = False,
) -> FlowResult:
    """Gradient flow of the loss from W0 to its limit direction.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset
    W0 : array_like, shape (m, d)
        Initial weights.
    loss : Loss, optional
        Logistic by default.
    method : {"piecewise", "adaptive"}
        From event to event, exactly, with sliding units; or SciPy's adaptive Runge-Kutta solver,
        which knows nothing of the kinks.
    rtol, atol : float > 0
        Tolerances of the solver, for data in units in which R_max lies in [1, 2).
    max_time : float > 0
        Largest loss-normalized time s (ds = (1/n) Σ g_i dt) in the same units.
    max_events : int >= 1
        Largest number of events (piecewise) or solver steps (adaptive).
    estimate_error : bool
        Repeat the flow with a tenth of both tolerances and put what that changed into
        `diagnostics["error_estimate"]` (see `refimpl.flow.repeat.difference_of`). Takes twice the time.

    Returns
    -------
    FlowResult
        `.status` says how the flow ended; `.limit` is None unless it is CONVERGED.

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments.
    RunInterrupted
        After Ctrl-C; its `.result` is the path so far, with status INTERRUPTED, or the whole flow if that had ended
        and its repetition was interrupted.

    References
    ----------
    docs/theory.md, section 7; docs/numerics.md.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])
    >>> import numpy as np
    >>> W0 = 0.01 * np.random.default_rng(0).standard_normal((3, 3))
    >>> result = gradient_flow(network, data, W0)
    >>> result.status.name, result.limit.rank, result.limit.margins.round(12)
    ('CONVERGED', 2, array([1., 1.]))
    """
    network.require_leaky_relu("gradient_flow")
    if method not in METHODS:
        raise InvalidParameterError("method", f"be one of {', '.join(METHODS)}", method)
    rtol, atol, max_time = as_positive("rtol", rtol), as_positive("atol", atol), as_positive("max_time", max_time)
    if rtol < SMALLEST_RTOL:
        raise InvalidParameterError("rtol", f"be at least {SMALLEST_RTOL:.2g}, or SciPy's solvers ignore it", rtol)
    max_events, loss = as_count("max_events", max_events), loss or LogisticLoss()
    scaled, k = data.rescaled()
    W0 = np.ldexp(as_finite_array("W0", W0, 2), k)
    span = SpanCoordinates.from_weights(network, scaled, W0)

    def flow(rtol: float, atol: float) -> FlowResult:
        result = METHODS[method](span, loss, scaled.X, rtol, atol, max_time, max_events)
        return result.in_units_of(data.X, k)

    result = flow(rtol, atol)
    if result.status is FlowStatus.INTERRUPTED:
        raise RunInterrupted(result)
    if not estimate_error:
        return result
    repeated = flow(*tightened(rtol, atol))
    if repeated.status is FlowStatus.INTERRUPTED:
        raise RunInterrupted(result)
    difference = difference_of(result, repeated)
    return replace(result, diagnostics=result.diagnostics | {"error_estimate": difference})
