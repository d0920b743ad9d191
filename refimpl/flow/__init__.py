"""Gradient flow dW/dt = -∇L(W) to its limit direction (docs/theory.md, section 7).

`piecewise.py` follows the flow from event to event (`segments.py`, `watch.py`, `location.py`, `bernstein.py`,
`kinks.py`); `adaptive.py` integrates with SciPy's adaptive solver; `cell.py` and `limit.py` hold what both
share: the linear structure within one activation pattern, and how the limit is read off. `repeat.py`
compares a flow with itself at tightened tolerances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.dataset import Dataset
from refimpl.errors import InvalidParameterError, RunInterrupted
from refimpl.flow.adaptive import adaptive_flow
from refimpl.flow.bounds import Bounds, Teller
from refimpl.flow.piecewise import piecewise_flow
from refimpl.flow.repeat import SMALLEST_RTOL, TIGHTENING, difference_of
from refimpl.flow.result import FlowEvent, FlowLimit, FlowProgress, FlowResult, FlowStatus, Trajectory
from refimpl.frame import frame_of
from refimpl.losses import Loss, as_loss, has_exponential_tail
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.order import canonical_order
from refimpl.reduction import with_start
from refimpl.span import SpanCoordinates
from refimpl.spectrum import frobenius_norm
from refimpl.validation import Array, as_callback, as_choice, as_count, as_flag, as_positive

__all__ = ["FlowEvent", "FlowLimit", "FlowProgress", "FlowResult", "FlowStatus", "Trajectory", "gradient_flow"]

SMALLEST = 1e-100
"""No smaller tolerance or time: the first step of SciPy's solvers would underflow."""

METHODS = {"piecewise": piecewise_flow, "adaptive": adaptive_flow}

LARGEST_START = 1e12
"""Largest ‖W0‖ R_max ‖a‖: margins from there are rounded by about 1e-3, and only differences of margins count."""

LONGEST_TIME = 1e30
"""Largest s for starts of size 1, in units in which R_max and ‖a‖ are near 1: steps grow with s, so it costs little.
Events take times in proportion to 1/γ, so it is 1/γ as long for γ > 0."""


def gradient_flow(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Any,
    loss: Loss | str | None = None,
    method: str = "piecewise",
    rtol: float = 1e-12,
    atol: float = 1e-9,
    max_time: float | None = None,
    max_events: int = 200_000,
    estimate_error: bool = False,
    max_steps: int = 500_000,
    time_limit: float | None = None,
    progress: Callable[[FlowProgress], Any] | None = None,
) -> FlowResult:
    """Gradient flow of the loss from W0 to its limit direction.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset
    W0 : array_like, Columns or GaussianInitialization, shape (m, d)
        Initial weights.
    loss : Loss or str, optional
        Logistic by default. One that declares an exponential tail (`refimpl.losses.Loss`).
    method : {"piecewise", "adaptive"}
        From event to event, exactly, with sliding units; or SciPy's adaptive Runge-Kutta solver,
        which knows nothing of the kinks.
    rtol, atol : float > 0
        Tolerances of the solver, for data and network in units in which R_max and ‖a‖ are near 1; so they bound
        errors of margins and of W, whatever the units of X and a.
    max_time : float > 0, optional
        Largest loss-normalized time s (ds = (1/n) Σ g_i dt), like `Trajectory.s`. By default
        1e30 max(1, R_max ‖a‖ ‖W0‖)/(γ R_max² Σa²), without γ for a ReLU; no bound but for flows without a limit.
    max_events : int >= 1
        Largest number of events (piecewise) or solver steps (adaptive).
    estimate_error : bool
        Repeat the flow with a tenth of both tolerances and put what that changed into
        `diagnostics["error_estimate"]` (see `refimpl.flow.repeat.difference_of`). Takes twice the time.
    max_steps : int >= 1
        Largest number of solver steps.
    time_limit : float > 0, optional
        Largest wall time in seconds, for each of the two flows if `estimate_error` is set. No limit by default.
    progress : callable, optional
        Called with a `FlowProgress` every tenth of a second or less often: how far each of the two flows is.

    Returns
    -------
    FlowResult
        `.status` says how the flow ended; `.limit` is None unless it is CONVERGED.

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments, for a loss without an exponential tail, and for a W0 so large that float64 holds no margin
        to 1e-3.
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
    check_problem(network, data, "gradient_flow")
    method, estimate_error = as_choice("method", method, METHODS), as_flag("estimate_error", estimate_error)
    rtol, atol = as_positive("rtol", rtol), as_positive("atol", atol)
    if rtol < SMALLEST_RTOL:
        raise InvalidParameterError("rtol", f"be at least {SMALLEST_RTOL:.2g}, or SciPy's solvers ignore it", rtol)
    if max(rtol, atol) >= 1.0:
        raise InvalidParameterError("rtol, atol", "be below 1", (rtol, atol))
    if atol < SMALLEST:
        raise InvalidParameterError("atol", f"be at least {SMALLEST:g}", atol)
    given, (data, W0), loss = data, with_start(network, data, W0), as_loss(loss)
    if not has_exponential_tail(loss):
        requirement = "declare an exponential tail (`exponential_tail = True`), on which limits and event times rest"
        raise InvalidParameterError("loss", requirement, loss)
    frame = frame_of(data)
    k = frame.exponent
    a, e = _second_layer_of_norm_one(network)
    W0 = _scaled_start(W0, k + e)
    neurons = canonical_order(a, W0) if frame.ordered else np.arange(network.m)
    network, W0 = TwoLayerNetwork(a[neurons], network.activation), W0[neurons] if frame.ordered else W0
    span = SpanCoordinates.from_weights(network, frame.data, W0)
    bounds = Bounds(
        rtol,
        atol,
        _longest_time(max_time, 2 * (k + e), frobenius_norm(W0), network.slope),
        as_count("max_events", max_events),
        as_count("max_steps", max_steps),
        np.inf if time_limit is None else as_positive("time_limit", time_limit),
        -2 * (k + e),
        perf_counter(),
        Teller(None if progress is None else as_callback("progress", progress), -2 * (k + e)),
    )
    first = METHODS[method](span, loss, frame.data.X, bounds, np.zeros(0))
    result = first.reordered(neurons, frame.samples).in_units_of(given.X, k, e)
    if result.status is FlowStatus.INTERRUPTED:
        raise RunInterrupted(result)
    if not estimate_error:
        return result
    second = METHODS[method](span, loss, frame.data.X, bounds.tightened(TIGHTENING, SMALLEST_RTOL), first.trajectory.s)
    if second.status is FlowStatus.INTERRUPTED:
        raise RunInterrupted(result)
    difference = difference_of(first, second)
    return replace(result, diagnostics=result.diagnostics | {"error_estimate": difference})


def _second_layer_of_norm_one(network: TwoLayerNetwork) -> tuple[Array, int]:
    """a/2ᵉ and e, with the norm between 0.7 and 1.5: f is homogeneous in a and W, so this changes units only."""
    a = network.second_layer
    e = round(float(np.log2(frobenius_norm(a[None]))))
    return np.ldexp(a, -e), e


def _scaled_start(W0: Array, exponent: int) -> Array:
    """2^exponent W0, if margins from there are known to 1e-3."""
    with np.errstate(over="ignore"):
        norm = float(np.ldexp(frobenius_norm(W0), exponent))
    if norm > LARGEST_START:
        raise InvalidParameterError(
            "W0",
            f"be smaller: ‖W0‖ may be at most {LARGEST_START:g}/(R_max ‖a‖), or float64 does not hold margins to 1e-3",
            f"‖W0‖ R_max ‖a‖ = {norm:.3g}",
        )
    return np.asarray(np.ldexp(W0, exponent))


def _longest_time(max_time: float | None, exponent: int, start: float, slope: float) -> float:
    """`max_time` in units of the flow, that is times 2^exponent; or what counts as for ever."""
    if max_time is None:
        return LONGEST_TIME * max(1.0, start) / (max(slope, 1e-200) if slope > 0.0 else 1.0)
    with np.errstate(over="ignore"):
        return min(float(np.ldexp(as_positive("max_time", max_time), exponent)), float(np.finfo(np.float64).max))
