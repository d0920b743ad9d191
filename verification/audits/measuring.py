"""What is measured of one checkpoint, and what the format in which it was stored cannot tell.

With u the unit roundoff of the format and eps = 2u, W and X rounded to it move z_ji by at most eps ‖w_j‖ ‖x_i‖, W by
u ‖W‖, and q_i by eps ‖a‖ ‖W‖ ‖x_i‖. So a unit within eps of its kink counts as at it, the residuals that are lengths
beside ‖W‖ say nothing below eps, the relative excess of margins nothing below 2 eps ‖a‖ R_max ‖W‖/q_min, and singular
values nothing below eps ‖W‖_F. Ranks count those above `RANK_MULTIPLE` eps ‖W‖_F: training rounds at every step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from refimpl.errors import ImplicitBiasError
from refimpl.flow import FlowResult, FlowStatus, gradient_flow
from refimpl.losses import Loss, log_mean_weight, mean_log_value, sample_weights, smoothed_margin
from refimpl.network import TwoLayerNetwork
from refimpl.spectrum import singular_values, stable_rank_by_norms, stable_rank_of, third_ratio
from refimpl.validation import Array
from verification.audits.checkpoint import Checkpoint
from verification.audits.frame import CheckpointFrame
from verification.audits.road import Road, road_of_flow, straight_road
from verification.claims.decision_boundary_linear import sample_points
from verification.claims.neurons_collapse import spread_of_sign
from verification.witnesses.convex_program import max_margin
from verification.witnesses.kkt import KKTResiduals, KKTStatus, kkt_residuals
from verification.witnesses.least_norm import SolveStatus
from verification.witnesses.limit_formula import closed_form

__all__ = ["Measured", "Measurer"]

KINK = 1e-9
"""No unit counts as at its kink by less than this: the tolerance of `kkt_residuals`."""

RANK_MULTIPLE = 8.0
"""Singular values up to this multiple of eps ‖W‖_F count as 0."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One checkpoint. Numbers are None where there is no such thing, such as the direction of W = 0.

    Attributes
    ----------
    step, name, format : int, str, str
    loss, log_loss, norm : float
        L, log L, ‖W‖_F.
    smallest_margin, normalized_margin, smoothed_margin : float
        min q_i, that over ‖W‖_F, and ℓ⁻¹(nL)/‖W‖_F.
    kkt_status : str
    stationarity, complementarity, duality_gap : float
        Of `kkt_residuals`; inf where W does not separate the data.
    units_at_kink : int
    rank : int
        Singular values above `RANK_MULTIPLE` eps ‖W‖_F.
    stable_rank, singular_value_ratio : float
        ‖W‖_F²/‖W‖₂², σ₃/σ₁.
    increment_rank : int
        Of W - W(0), W(0) the first checkpoint: singular values above `RANK_MULTIPLE` eps max(‖W‖_F, ‖W(0)‖_F).
    increment_stable_rank, increment_norm : float
        Of W - W(0).
    outside_span : float
        Part of W - W(0) outside of the span of the samples.
    spread_positive, spread_negative : float
        Largest distance of a row from a_j times the common row of its sign, beside ‖W‖_F/√m.
    alignment : float
        cos(W, -∇L).
    to_closed_form, to_convex_optimum, to_flow_limit : float
        ‖W/‖W‖ - V/‖V‖‖_F for V of section 6, of (C), and the limit of the exact flow from this checkpoint.
    signs : float
        Share of units (j, i) with z_ji strictly of the sign of a_j y_i.
    disagreement : float
        Share of test points where sign f(x) is not sign⟨Σ_j a_j w_j, x⟩.
    road : Road
        To the limit of the flow from here, or to the closed form where that is the only KKT point.
    flow : str
        How the flow from here ended.
    limit_rank : int
        Rank of its limit.
    second_layer_moved : float
        ‖a(t) - a(0)‖/‖a(0)‖.
    floors : dict of str to float
        Below these numbers the format does not tell a quantity from 0.
    margins : ndarray, shape (n,)
    """

    step: int
    name: str
    format: str
    loss: float
    log_loss: float
    norm: float
    smallest_margin: float
    normalized_margin: float | None
    smoothed_margin: float | None
    kkt_status: str
    stationarity: float
    complementarity: float
    duality_gap: float
    units_at_kink: int
    rank: int
    stable_rank: float | None
    singular_value_ratio: float
    increment_rank: int
    increment_stable_rank: float | None
    increment_norm: float
    outside_span: float | None
    spread_positive: float | None
    spread_negative: float | None
    alignment: float | None
    to_closed_form: float | None
    to_convex_optimum: float | None
    to_flow_limit: float | None
    signs: float
    disagreement: float | None
    road: Road | None
    flow: str
    limit_rank: int | None
    second_layer_moved: float
    floors: dict[str, float] = field(default_factory=dict)
    margins: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def below(self) -> list[str]:
        """What is not told from 0 in this format."""
        return [name for name, floor in self.floors.items() if _at_most(getattr(self, name), floor)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        road = None if self.road is None else vars(self.road)
        return {**vars(self), "road": road, "margins": self.margins.tolist(), "below_precision": self.below}


def _at_most(value: float | None, floor: float) -> bool:
    return value is not None and value <= floor


class Measurer:
    """Measures checkpoints of one run on one data set.

    Parameters
    ----------
    network : TwoLayerNetwork
        Its second layer is that of checkpoints that have none.
    frame : CheckpointFrame
        Of the samples.
    start : Checkpoint
        W(0) and a(0).
    loss : Loss
    unique : bool
        Whether the closed form is known to be the only KKT point.
    seed : int
        Of the test points.
    """

    def __init__(
        self,
        network: TwoLayerNetwork,
        frame: CheckpointFrame,
        start: Checkpoint,
        loss: Loss,
        unique: bool,
        seed: int = 0,
    ) -> None:
        self.network, self.frame, self.loss, self.unique, self.seed = network, frame, loss, unique, seed
        self.W0 = start.weights()
        self.a0 = self.network_of(start).second_layer
        self._references = cache(self._computed_references)

    def network_of(self, checkpoint: Checkpoint) -> TwoLayerNetwork:
        """The network with the second layer of a checkpoint."""
        if checkpoint.second_layer is None:
            return self.network
        try:
            return TwoLayerNetwork(checkpoint.second_layer, self.network.activation)
        except ImplicitBiasError as error:
            raise type(error)(*_renamed(error, checkpoint.name)) from error

    def measured(self, checkpoint: Checkpoint, flow_seconds: float | None) -> Measured:
        """Everything; the flow from here is followed for at most so many seconds, and not at all for None.

        Ctrl-C is passed on.
        """
        network, W = self.network_of(checkpoint), checkpoint.weights()
        w, data, a = self.frame.weights(W), self.frame.data, network.second_layer
        norm, increment = float(np.linalg.norm(W)), W - self.W0
        q = network.margins(w, data)
        kkt = kkt_residuals(network, data, w, max(KINK, checkpoint.eps))
        sigma = singular_values(w)
        some = norm > 0.0
        closed, optimum = self._references(a.tobytes())
        flow, told = self._flow(network, w, flow_seconds) if some else (None, "W is 0")
        limit = None if flow is None or flow.limit is None else flow.limit
        Z = network.preactivations(w, data.X)
        grown = float(np.linalg.norm(increment))
        return Measured(
            step=checkpoint.step,
            name=checkpoint.name,
            format=checkpoint.format,
            loss=network.loss(w, data, self.loss),
            log_loss=mean_log_value(self.loss, q),
            norm=norm,
            smallest_margin=float(q.min()),
            normalized_margin=float(q.min()) / norm if some else None,
            smoothed_margin=smoothed_margin(self.loss, q, norm) if some else None,
            kkt_status=kkt.status.name,
            stationarity=kkt.stationarity,
            complementarity=kkt.complementarity,
            duality_gap=kkt.duality_gap,
            units_at_kink=kkt.units_at_kink,
            rank=int(np.sum(sigma > RANK_MULTIPLE * checkpoint.eps * norm)),
            stable_rank=stable_rank_of(sigma) if some else None,
            singular_value_ratio=third_ratio(sigma),
            increment_rank=self._increment_rank(increment, checkpoint.eps, norm),
            increment_stable_rank=stable_rank_by_norms(increment) if grown > 0.0 else None,
            increment_norm=grown,
            outside_span=float(np.linalg.norm(self.frame.split(increment)[1])) / grown if grown > 0.0 else None,
            spread_positive=spread_of_sign(w[a > 0.0], a[a > 0.0], norm / np.sqrt(len(a))) if some else None,
            spread_negative=spread_of_sign(w[a < 0.0], a[a < 0.0], norm / np.sqrt(len(a))) if some else None,
            alignment=self._alignment(network, Z, q, norm) if some else None,
            to_closed_form=_distance(w, closed) if some else None,
            to_convex_optimum=_distance(w, optimum) if some else None,
            to_flow_limit=None if limit is None else _distance(w, limit.weights()),
            signs=float(np.mean(Z * a[:, None] * data.y > 0.0)),
            disagreement=self._disagreement(network, w) if some else None,
            road=self._road(w, q, flow, closed) if some else None,
            flow=told,
            limit_rank=None if limit is None else limit.rank,
            second_layer_moved=float(np.linalg.norm(a - self.a0) / np.linalg.norm(self.a0)),
            floors=self._floors(checkpoint.eps, network, kkt, norm, float(sigma[0])) if some else {},
            margins=q,
        )

    def _increment_rank(self, increment: Array, eps: float, norm: float) -> int:
        """Rank of W - W(0), both of them rounded to the format."""
        largest = max(norm, float(np.linalg.norm(self.W0)))
        return int(np.sum(singular_values(self.frame.weights(increment)) > RANK_MULTIPLE * eps * largest))

    def _computed_references(self, second_layer: bytes) -> tuple[Array | None, Array | None]:
        """W of the closed form and of (C) for this second layer; None where there is none."""
        network = TwoLayerNetwork(np.frombuffer(second_layer), self.network.activation)
        closed = optimum = None
        try:
            found = closed_form(network, self.frame.data)
            closed = found.weights() if found.status is SolveStatus.SOLVED else None
            best = max_margin(network, self.frame.data)
            optimum = best.weights() if best.status is SolveStatus.SOLVED else None
        except ImplicitBiasError:  # refused on these data: there is none
            pass
        return closed, optimum

    def _flow(self, network: TwoLayerNetwork, W: Array, seconds: float | None) -> tuple[FlowResult | None, str]:
        """The flow from W, if it has a limit, and how it ended."""
        if seconds is None:
            return None, "not followed"
        try:
            flow = gradient_flow(network, self.frame.data, W, self.loss, time_limit=seconds)
        except ImplicitBiasError as error:
            return None, str(error)
        return (flow if flow.status is FlowStatus.CONVERGED else None), flow.status.value

    def _road(self, W: Array, q: Array, flow: FlowResult | None, closed: Array | None) -> Road | None:
        if flow is not None:
            return road_of_flow(W, flow, self.loss)
        return straight_road(W, closed, log_mean_weight(self.loss, q)) if self.unique and closed is not None else None

    def _alignment(self, network: TwoLayerNetwork, Z: Array, q: Array, norm: float) -> float | None:
        """cos(W, -∇L) by (16.4), as ⟨W, -∇L⟩ = ḡ Σ w_i q_i for a homogeneous f."""
        w, data = sample_weights(self.loss, q), self.frame.data
        velocity = (network.second_layer[:, None] * network.activation.derivative(Z) * (data.y * w)) @ data.X  # (7.1)
        speed = float(np.linalg.norm(velocity))
        return float(w @ q) / (norm * speed) if speed > 0.0 else None

    def _disagreement(self, network: TwoLayerNetwork, W: Array) -> float | None:
        z = network.second_layer @ W
        if not np.linalg.norm(z) > 0.0:
            return None
        points = np.vstack([self.frame.data.X, *sample_points(z, np.random.default_rng([self.seed, 4]))])
        return float(np.mean(np.sign(network.outputs(W @ points.T)) != np.sign(points @ z)))

    def _floors(
        self, eps: float, network: TwoLayerNetwork, kkt: KKTResiduals, norm: float, largest: float
    ) -> dict[str, float]:
        floors = {"singular_value_ratio": eps * norm / largest}
        floors |= dict.fromkeys(("to_closed_form", "to_convex_optimum", "to_flow_limit"), eps)
        floors |= dict.fromkeys(("spread_positive", "spread_negative"), eps * np.sqrt(network.m))
        if kkt.status is not KKTStatus.NOT_SEPARATING:
            excess = 2.0 * eps * np.sqrt(network.mass) * self.frame.data.R_max * norm / kkt.smallest_margin
            floors |= {"stationarity": eps, "complementarity": excess}
            weight = kkt.multipliers.sum() * (kkt.smallest_margin / norm) ** 2
            floors["duality_gap"] = eps**2 + 2.0 * float(weight) * excess  # (12.1)
        return floors


def _distance(W: Array, V: Array | None) -> float | None:
    if V is None:
        return None
    return float(np.linalg.norm(W / np.linalg.norm(W) - V / np.linalg.norm(V)))


def _renamed(error: Any, name: str) -> tuple[Any, ...]:
    """The arguments of an error about `second_layer`, so that it names the checkpoint."""
    parameter = f"{error.parameter} of {name}"
    if hasattr(error, "requirement"):
        return parameter, error.requirement, error.value
    return parameter, error.expected, error.shape
