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
from refimpl.descent import as_initial_weights
from refimpl.errors import InvalidParameterError
from refimpl.flow.adaptive import adaptive_flow
from refimpl.flow.piecewise import piecewise_flow
from refimpl.flow.repeat import SMALLEST_RTOL, difference_of, tightened
from refimpl.flow.result import FlowEvent, FlowLimit, FlowResult, FlowStatus, Trajectory
from refimpl.losses import Loss, as_loss
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.span import SpanCoordinates
from refimpl.validation import as_choice, as_count, as_finite_array, as_flag, as_positive

__all__ = ["FlowEvent", "FlowLimit", "FlowResult", "FlowStatus", "Trajectory", "gradient_flow"]

SMALLEST = 1e-100
"""No smaller tolerance or time: the first step of SciPy's solvers would underflow."""

METHODS = {"piecewise": piecewise_flow, "adaptive": adaptive_flow}


def gradient_flow(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Any,
    loss: Loss | str | None = None,
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
    loss : Loss or str, optional
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
        `.status` says how the flow ended and is never an exception; `.limit` is None unless it
        is CONVERGED.

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments.

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
    check_problem(network, data, "gradient_flow")
    method, estimate_error = as_choice("method", method, METHODS), as_flag("estimate_error", estimate_error)
    rtol, atol, max_time = as_positive("rtol", rtol), as_positive("atol", atol), as_positive("max_time", max_time)
    if rtol < SMALLEST_RTOL:
        raise InvalidParameterError("rtol", f"be at least {SMALLEST_RTOL:.2g}, or SciPy's solvers ignore it", rtol)
    if max(rtol, atol) >= 1.0:
        raise InvalidParameterError("rtol, atol", "be below 1", (rtol, atol))
    if min(atol, max_time) < SMALLEST:
        raise InvalidParameterError("atol, max_time", f"be at least {SMALLEST:g}", (atol, max_time))
    max_events, loss = as_count("max_events", max_events), as_loss(loss)
    W0 = as_initial_weights(W0, network, data)
    scaled, k = data.rescaled()
    with np.errstate(over="ignore"):
        W0 = as_finite_array("W0 · R_max", np.ldexp(W0, k), 2)
    span = SpanCoordinates.from_weights(network, scaled, W0)

    def flow(rtol: float, atol: float) -> FlowResult:
        result = METHODS[method](span, loss, scaled.X, rtol, atol, max_time, max_events)
        return result.in_units_of(data.X, k)

    result = flow(rtol, atol)
    if not estimate_error or result.status is FlowStatus.INTERRUPTED:
        return result
    difference = difference_of(result, flow(*tightened(rtol, atol)))
    return replace(result, diagnostics=result.diagnostics | {"error_estimate": difference})
