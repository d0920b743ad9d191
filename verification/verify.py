"""From data to verdict: every claim of the theory on one network and one data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError, RunInterrupted, ShapeError
from refimpl.initialization import gaussian_weights
from refimpl.losses import LogisticLoss, Loss
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array, as_count, as_finite_array, as_positive
from verification.claims import CLAIMS
from verification.claims.base import ClaimResult
from verification.evidence import Evidence, Start
from verification.report import Report

__all__ = ["DEFAULT_SCALES", "default_starts", "verify"]

DEFAULT_SCALES = (1e-4, 1e-2, 1.0)
"""Initialization scales, in units of 1/R_max."""


def verify(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Any = None,
    seed: int = 0,
    loss: Loss | None = None,
    scales: Sequence[float] = DEFAULT_SCALES,
    method: str = "piecewise",
    progress: Callable[[str], None] = lambda message: None,
    step_size: float | None = None,
    descent_steps: int = 500,
) -> Report:
    """Check every claim of docs/theory.md on `data` and report what holds, with what slack.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU`.
    data : Dataset
    W0 : array_like, shape (m, d), optional
        Initial weights; the starts are W0 times each of `scales`. By default the starts are Gaussian
        with standard deviation scale/R_max, each with a draw of its own.
    seed : int
        Seed of the Gaussian starts and of the test points.
    loss : Loss, optional
        Logistic by default.
    scales : sequence of float > 0
        At least three different ones, because one start proves little.
    method : {"piecewise", "adaptive"}
        Method of `gradient_flow`.
    progress : callable, optional
        Called with a sentence before each long piece of work.
    step_size : float > 0, optional
        α of the gradient descents; n/(R_max² Σa²) by default.
    descent_steps : int >= 10
        Number of steps of each descent.

    Returns
    -------
    Report
        `.claims`, `.exit_code`, `.to_json()`, `.to_html()`.

    Raises
    ------
    InvalidParameterError, ShapeError
        For bad arguments.
    RunInterrupted
        After Ctrl-C; its `.result` is the report with the claims decided so far, and `.interrupted` set.

    Examples
    --------
    >>> from refimpl import LeakyReLU
    >>> network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])
    >>> report = verify(network, data)
    >>> report.exit_code, len(report.claims), report.claims[0].verdict.name
    (0, 17, 'HOLDS_NUMERICALLY')
    """
    network.require_leaky_relu("verify")
    seed = as_count("seed", seed, 0)
    scaled, k = data.rescaled()
    alpha = 0.0 if step_size is None else float(np.ldexp(as_positive("step_size", step_size), 2 * k))
    descent_steps = as_count("descent_steps", descent_steps, 10)
    if W0 is not None:
        W0 = np.ldexp(as_finite_array("W0", W0, 2), k)
    starts = _starts(network, scaled, W0, seed, _checked_scales(scales))
    loss = loss or LogisticLoss()
    evidence = Evidence(network, scaled, loss, starts, seed, method, progress, data.sha256, k, alpha, descent_steps)
    began = perf_counter()
    rows: list[ClaimResult] = []
    try:
        for claim in CLAIMS:
            if claim.applies(evidence):
                rows.append(claim.evaluate(evidence, perf_counter))
    except KeyboardInterrupt as stop:
        so_far = Report.from_evidence(evidence, tuple(rows), perf_counter() - began, interrupted=True)
        raise RunInterrupted(so_far) from stop
    return Report.from_evidence(evidence, tuple(rows), perf_counter() - began)


def default_starts(network: TwoLayerNetwork, data: Dataset, seed: int = 0) -> list[Array]:
    """The initial weights that `verify` draws for this seed."""
    return [start.W0 for start in _starts(network, data, None, seed, DEFAULT_SCALES)]


def _checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    values = tuple(float(scale) for scale in scales)
    if len(set(values)) < 3:
        raise InvalidParameterError("scales", "hold at least three different numbers", values)
    for scale in values:
        if not (np.isfinite(scale) and scale > 0.0):
            raise InvalidParameterError("scales", "hold finite positive numbers", scale)
    return values


def _starts(
    network: TwoLayerNetwork, data: Dataset, W0: Any, seed: int, scales: tuple[float, ...]
) -> tuple[Start, ...]:
    if W0 is None:
        return tuple(
            Start(scale, gaussian_weights(network.m, data.d, scale / data.R_max, np.random.default_rng([seed, 1, k])))
            for k, scale in enumerate(scales)
        )
    if W0.shape != (network.m, data.d):
        raise ShapeError("W0", f"({network.m}, {data.d})", W0.shape)
    return tuple(Start(scale, scale * W0) for scale in scales)
