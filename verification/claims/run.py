"""From data to verdict: every claim of the theory on one network and one data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.descent import as_initial_weights
from refimpl.errors import InvalidParameterError, RunInterrupted
from refimpl.flow import METHODS
from refimpl.initialization import GaussianInitialization, gaussian_weights
from refimpl.losses import Loss, as_loss
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.reduction import Reduced, reduced
from refimpl.spectrum import frobenius_norm
from refimpl.validation import Array, as_callback, as_choice, as_count, as_positive, as_real_array, check_steps
from verification.claims.answer import conclude
from verification.claims.base import NOT_TO_BE_HAD, Claim, ClaimError, ClaimResult
from verification.claims.evidence import Evidence, Start, TimeLimitError
from verification.claims.paper_descent_theorem import STREAM
from verification.claims.registry import among, chosen
from verification.claims.report import Report
from verification.progress import Steps

__all__ = ["DEFAULT_SCALES", "default_starts", "verify"]

DEFAULT_SCALES = (1e-4, 1e-2, 1.0)
"""Initialization scales, in units of 1/R_max."""


def verify(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Any = None,
    seed: int = 0,
    loss: Loss | str | None = None,
    scales: Sequence[float] = DEFAULT_SCALES,
    method: str = "piecewise",
    progress: Callable[[str], None] = lambda message: None,
    step_size: float | None = None,
    descent_steps: int = 500,
    time_limit: float | None = None,
    flow_time_limit: float | None = None,
    decided: Callable[[ClaimResult], None] = lambda row: None,
    claims: Sequence[Claim] | None = None,
    only: Sequence[str] | None = None,
    prove: bool = False,
) -> Report:
    """Check every claim of docs/theory.md on `data` and report what holds, with what slack.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset
    W0 : array_like, Columns or GaussianInitialization, shape (m, d), optional
        Initial weights; the starts are W0 times each of `scales`. By default the starts are Gaussian
        with standard deviation scale/R_max, each with a draw of its own.
    seed : int
        Seed of the Gaussian starts and of the test points.
    loss : Loss or str, optional
        Logistic by default.
    scales : sequence of float > 0
        At least three different ones, because one start proves little.
    method : {"piecewise", "adaptive"}
        Method of `gradient_flow`.
    progress : callable, optional
        Called with a sentence before each long piece of work, and while it goes on; it is a
        `verification.progress.Told`, which knows how far the work is where that can be told.
    step_size : float > 0, optional
        α of the gradient descents; n/(R_max² Σa²) by default.
    descent_steps : int >= 10
        Number of steps of each descent.
    time_limit : float > 0, optional
        Seconds for everything after the passes over the samples for K, their hash and the initial weights, which cost
        d; the clock starts then. The flows share 60% of it, and what is still to be done at its end is left: rows that
        were not reached are INCONCLUSIVE with the reason "time". One call into a solver may exceed it. No limit by
        default.
    flow_time_limit : float > 0, optional
        Seconds for each flow.
    decided : callable, optional
        Called with each `ClaimResult` as it is decided.
    prove : bool
        Prove what can be proven of the flows and their limits in half of the time that the flows leave (sections 18 and
        19): rows about limits are then HOLDS_CERTIFIED for these starts, or "refuted, proven".
    claims : sequence of Claim, optional
        Claims of one's own, checked after those of docs/theory.md (docs/extending.md).
    only : sequence of str, optional
        Ids of the claims to check, on whatever data; by default each claim has a row where it speaks about them.

    Returns
    -------
    Report
        `.answer`, five sentences; `.claims`, `.exit_code`, `.to_json()`, `.to_html()`.

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments.
    ClaimError
        If the code of one of the `claims` fails.
    RunInterrupted
        After Ctrl-C; its `.result` is the report with the claims decided so far, and `.interrupted` set.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])
    >>> report = verify(network, data)
    >>> report.exit_code, report.claims[0].id, report.claims[0].verdict.name
    (0, 'flow-zero-loss', 'HOLDS_NUMERICALLY')
    """
    check_problem(network, data, "verify")
    looked_at = chosen(among(claims), only)
    seed, loss, method = as_count("seed", seed, 0), as_loss(loss), as_choice("method", method, METHODS)
    progress, decided = as_callback("progress", progress), as_callback("decided", decided)
    seconds, flow_seconds = _seconds("time_limit", time_limit), _seconds("flow_time_limit", flow_time_limit)
    began = perf_counter()
    scales = _checked_scales(scales)
    given, sha256 = data, data.sha256
    small = _in_span(network, data, W0, seed, len(scales), progress) if data.in_tiles else None
    if small is not None:
        data, W0 = small.data, None if W0 is None else small.weights[0]
    scaled, k = data.rescaled()
    step_size = None if step_size is None else as_positive("step_size", step_size)
    descent_steps = as_count("descent_steps", descent_steps, 10)
    check_steps("descent_steps", descent_steps, descent_steps, 2 * network.m * data.n**2)
    if W0 is not None:
        with np.errstate(over="ignore"):
            W0 = np.ldexp(as_initial_weights(W0, network, data), k)
    drawn = () if small is None else small.weights
    starts = _starts(network, scaled, W0, seed, scales, drawn)
    network, e = _rescaled(network)
    starts = tuple(Start(start.scale, np.ldexp(start.W0, e)) for start in starts)
    alpha = None if step_size is None else _scaled_step(step_size, k + e)
    steps = Steps(len(looked_at), 2 * len(starts) if only is None else 0)
    evidence = Evidence(
        network, scaled, loss, starts, seed, method, progress, sha256, k, e, alpha, descent_steps,
        time_limit=seconds, flow_time_limit=flow_seconds, started=perf_counter(),
        source=None if small is None else given.scaled_by(-k, scaled.gram), draw=drawn[-1] if drawn else None,
        prove=bool(prove), steps=steps,
    )  # fmt: skip
    rows: list[ClaimResult] = []
    try:
        for claim in looked_at:
            if only is not None or speaks_about(claim, evidence):
                rows.append(row_of(claim, evidence))
                decided(rows[-1])
            steps.finish()
        conclude(evidence)
    except KeyboardInterrupt as stop:
        so_far = Report.from_evidence(evidence, tuple(rows), perf_counter() - began, interrupted=True)
        raise RunInterrupted(so_far) from stop
    return Report.from_evidence(evidence, tuple(rows), perf_counter() - began, chosen=only is not None)


def speaks_about(claim: Claim, evidence: Evidence) -> bool:
    """Whether a claim has a row; where that cannot be told, for want of time too, its row says why."""
    try:
        with claim.own_errors():
            return claim.applies(evidence)
    except NOT_TO_BE_HAD as error:
        if isinstance(error, ClaimError):
            raise
        return True


def row_of(claim: Claim, evidence: Evidence) -> ClaimResult:
    """The verdict on a claim, if there is time for it."""
    try:
        evidence.check_time()
    except TimeLimitError as stop:
        return claim.not_reached(str(stop))
    with claim.own_errors():
        return claim.evaluate(evidence, perf_counter)


def default_starts(network: TwoLayerNetwork, data: Dataset, seed: int = 0) -> list[Array]:
    """The initial weights that `verify` draws for this seed, of samples held in memory."""
    return [start.W0 for start in _starts(network, data, None, seed, DEFAULT_SCALES)]


def _checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    values = as_real_array("scales", scales, 1)
    if np.unique(values).size < 3:
        raise InvalidParameterError("scales", "hold at least three different numbers", scales)
    for scale in values:
        if not (np.isfinite(scale) and scale > 0.0):
            raise InvalidParameterError("scales", "hold finite positive numbers", float(scale))
    return tuple(values.tolist())


def _rescaled(network: TwoLayerNetwork) -> tuple[TwoLayerNetwork, int]:
    """The network with a/2ᵉ in place of a, Σa² in [1/2, 2), and e.

    By homogeneity (a, W) and (a/2ᵉ, 2ᵉW) have the same margins, and the flow of the one is the flow of the other
    with s, and the step of a descent, times 4ᵉ; so the tolerances of the solver need not know Σa².
    """
    e = int(np.rint(np.log2(frobenius_norm(network.second_layer))))
    return (TwoLayerNetwork(np.ldexp(network.second_layer, -e), network.activation), e) if e else (network, 0)


def _starts(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Any,
    seed: int,
    scales: tuple[float, ...],
    drawn: Sequence[Array] = (),
) -> tuple[Start, ...]:
    """The starts; `drawn` are standard Gaussian ones, one for each scale, where the data are in coordinates."""
    if W0 is None and drawn:
        return tuple(Start(scale, scale / data.R_max * W) for scale, W in zip(scales, drawn, strict=False))
    if W0 is None:
        return tuple(
            Start(scale, gaussian_weights(network.m, data.d, scale / data.R_max, np.random.default_rng([seed, 1, k])))
            for k, scale in enumerate(scales)
        )
    with np.errstate(over="ignore"):
        starts = tuple(Start(scale, scale * W0) for scale in scales)
    if not all(np.isfinite(start.W0).all() for start in starts):
        raise InvalidParameterError("scales", "keep each scale · W0 within the range of float64", scales)
    return starts


def _in_span(
    network: TwoLayerNetwork, data: Dataset, W0: Any, seed: int, count: int, progress: Callable[[str], None]
) -> Reduced:
    """Samples in tiles in coordinates of their span, with W0 or standard Gaussian starts, and one more of these."""
    progress(f"initial weights in the span of {data.n} samples of dimension {data.d}")
    starts = [GaussianInitialization((seed, 1, k), 1.0) for k in range(count)] if W0 is None else [W0]
    return reduced(data, [*starts, GaussianInitialization((seed, STREAM), 1.0)], network.m)


def _seconds(name: str, value: float | None) -> float:
    """A limit on time; inf for none."""
    return float("inf") if value is None else as_positive(name, value)


def _scaled_step(step_size: float, k: int) -> float:
    """α in units in which X is X/2ⁱ and a is a/2ʲ, i + j = k."""
    with np.errstate(over="ignore", under="ignore"):
        alpha = float(np.ldexp(step_size, 2 * k))
    if not 0.0 < alpha < float("inf"):
        raise InvalidParameterError("step_size", "stay within the range of float64 for X/R_max and a/‖a‖", step_size)
    return alpha
