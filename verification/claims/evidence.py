"""Everything the claims look at, computed once: conditions, flows, and their independent witnesses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.errors import ImplicitBiasError, InvalidParameterError, MissingExtraError, RunInterrupted
from refimpl.flow import FlowLimit, FlowResult, FlowStatus, gradient_flow
from refimpl.initialization import gaussian_weights
from refimpl.losses import Loss
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array, remember, remembered
from verification.claims.as_given import message_as_given, progress_as_given
from verification.claims.descents import DescentRun, run_descent, unit_step
from verification.claims.limit_error import limit_error
from verification.claims.proofs import StartProof, prove_starts
from verification.claims.starts import Start, TimeLimitError
from verification.exact.certificate import Certificate, certify, certify_unless_rejected
from verification.exact.documents import NotProven
from verification.exact.optimum import OptimumCertificate, certify_optimum
from verification.progress import FlowTold, Steps, StepsTold, Told
from verification.witnesses.bounds import increment_bound
from verification.witnesses.conditions import Hypotheses, check_hypotheses
from verification.witnesses.convex_program import LinearMaxMargin, MaxMargin, linear_max_margin, max_margin
from verification.witnesses.enumeration import GlobalOptimum, global_optimum
from verification.witnesses.kkt import KKTResiduals, kkt_residuals
from verification.witnesses.limit_formula import ClosedForm, closed_form
from verification.witnesses.reach import Reach, reach

__all__ = ["SMALLEST_TOLERANCE", "Evidence", "Start", "TimeLimitError"]

SMALLEST_TOLERANCE = 1e-12
"""No tolerance of a verdict on a limit is smaller."""

SMALLEST_SHARE, SHARE_OF_FLOWS = 1e-3, 0.6
"""Seconds that each flow may take at least; part of the time left at the first one's start that all of them may."""

DECIDED_WHOLE = 200
"""Up to so many samples the exact certificate is made whatever balls say: it proves less than everything too."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """A network, data, starts, and what follows from them, each computed when first asked for.

    Parameters
    ----------
    network : TwoLayerNetwork
        With Σa² in [1/2, 2).
    data : Dataset
        In units in which R_max lies in [1, 2).
    loss : Loss
    starts : tuple of Start
        At least three, of different scales.
    method : str
        Method of `gradient_flow`.
    progress : callable
        Called with a sentence before each long piece of work, and while it goes on.
    sha256 : str
        Of the data as they were given.
    unit_exponent : int
        The data as given are 2^unit_exponent times `data`.
    second_layer_exponent : int
        The second layer as given is 2^second_layer_exponent times the network's.
    step_size : float, optional
        α of the descents, for `network` and `data`; `unit_step` by default.
    descent_steps : int
        Number of steps of each descent.
    time_limit, flow_time_limit : float
        Seconds for everything, counted from `started`, and for each flow.
    started : float
        `perf_counter()` when the samples had been gone through.
    source, draw : Dataset, ndarray, optional
        Where `data` are samples in tiles in coordinates of their span (`refimpl.reduction`): these samples, and one
        more standard Gaussian W(0) in the same coordinates.
    prove : bool
        Whether flows and their limits are to be proven.
    steps : Steps
        Flows, descents and claims, for the progress.
    """

    network: TwoLayerNetwork
    data: Dataset
    loss: Loss
    starts: tuple[Start, ...]
    seed: int = 0
    method: str = "piecewise"
    progress: Callable[[str], None] = lambda message: None
    sha256: str = ""
    unit_exponent: int = 0
    second_layer_exponent: int = 0
    step_size: float | None = None
    descent_steps: int = 500
    time_limit: float = float("inf")
    flow_time_limit: float = float("inf")
    started: float = 0.0
    source: Dataset | None = None
    draw: Array | None = None
    prove: bool = False
    steps: Steps = field(default_factory=Steps)

    @property
    def dimension(self) -> int:
        """d of the samples themselves."""
        return self.samples.d

    @property
    def samples(self) -> Dataset:
        """The samples themselves, number for number, which exact arithmetic asks for."""
        return self.data if self.source is None else self.source

    def gaussian_start(self, scale: float, stream: int) -> Array:
        """A Gaussian W(0) of R^d beside the starts, in the coordinates of `data`."""
        if self.draw is not None:
            return scale * self.draw
        return gaussian_weights(self.network.m, self.data.d, scale, np.random.default_rng([self.seed, stream]))

    def supposing(self, **quantities: Any) -> Evidence:
        """A copy in which these quantities are as given, and all others are computed anew.

        What a claim says of a wrong limit, of a descent that does not descend, or of a run from elsewhere.

        Raises
        ------
        InvalidParameterError
            For a name that is not a quantity of the evidence.

        Examples
        --------
        >>> from verification import verify
        >>> from refimpl import LeakyReLU
        >>> network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
        >>> evidence = verify(network, Dataset([[1.0, 0.1], [0.0, 1.0]], [1, -1]), only=["flow-zero-loss"]).evidence
        >>> len(evidence.limits), len(evidence.supposing(flows=evidence.flows[:1]).limits)
        (3, 1)
        """
        copy = replace(self)
        for name, value in quantities.items():
            if not isinstance(getattr(Evidence, name, None), cached_property):
                raise InvalidParameterError("quantities", "name quantities that Evidence computes", name)
            remember(copy, **{name: value})
        return copy

    def known(self, quantity: str, otherwise: Any = None) -> Any:
        """A quantity if it has been computed, else `otherwise`; nothing is computed for it."""
        found = remembered(self, quantity)
        return otherwise if found is None else found

    @property
    def seconds_left(self) -> float:
        """Until the time limit; inf where there is none."""
        return self.started + self.time_limit - perf_counter()

    def check_time(self, *_: object) -> None:
        """Nothing, or `TimeLimitError`."""
        if self.seconds_left <= 0.0:
            raise TimeLimitError(self.time_limit)

    def tell(self, message: str) -> None:
        """Tell what comes next, if there is time for it."""
        self.check_time()
        self._pass_on(message)

    def _pass_on(self, message: str) -> None:
        at_most = self.seconds_left if self.time_limit < np.inf else None
        self.progress(Told.among(message, self.steps.told, at_most))

    @cached_property
    def hypotheses(self) -> Hypotheses:
        """The paper's condition, the instance-wise one, the refined one."""
        return check_hypotheses(self.network, self.data)

    @cached_property
    def reach(self) -> dict[str, Reach]:
        """How far each condition is from holding, in samples and dimensions."""
        self.tell("how far the conditions are from holding")
        return reach(self.network, self.data, self.check_time)

    @cached_property
    def flows(self) -> tuple[FlowResult, ...]:
        """One gradient flow for each start; what one of them leaves of its share of the time goes to the next ones.

        Raises
        ------
        ImplicitBiasError
            Where a flow cannot be had; each row that asks is told so, and the flows before it are not followed again.
        """
        if isinstance(self._followed, ImplicitBiasError):
            raise self._followed
        return self._followed

    @cached_property
    def _followed(self) -> tuple[FlowResult, ...] | ImplicitBiasError:
        try:
            return self._follow()
        except ImplicitBiasError as error:
            return error

    def _follow(self) -> tuple[FlowResult, ...]:
        results: list[FlowResult] = []
        self.check_time()
        rest = (1.0 - SHARE_OF_FLOWS) * self.seconds_left if self.time_limit < np.inf else 0.0
        for number, start in enumerate(self.starts, 1):
            share = max(SMALLEST_SHARE, (self.seconds_left - rest) / (len(self.starts) - len(results)))
            limit = min(share, self.flow_time_limit)
            what = f"gradient flow {number} of {len(self.starts)} (initialization scale {start.scale:g})"
            self.tell(what)
            told = FlowTold(self._pass_on, what, self.hypotheses.refined.satisfied)
            try:
                flow = gradient_flow(
                    self.network,
                    self.data,
                    start.W0,
                    self.loss,
                    self.method,
                    time_limit=limit if limit < np.inf else None,
                    progress=progress_as_given(told, self),
                )
            except RunInterrupted as stop:
                remember(self, interrupted=(*results, stop.result))
                raise
            results.append(message_as_given(flow, self))
            self.steps.finish_run()
        return tuple(results)

    @property
    def room(self) -> int:
        """The largest rank of W - W(0): the smallest of m, n and d."""
        return min(self.network.m, self.data.n, self.dimension)

    @property
    def one_of_each_sign(self) -> bool:
        """Whether no two neurons have the same sign of a_j."""
        return max(int(np.sum(self.network.positive)), int(np.sum(~self.network.positive))) <= 1

    @property
    def limits(self) -> tuple[FlowLimit, ...]:
        """The limits of the flows that have one."""
        return tuple(flow.limit for flow in self.flows if flow.limit is not None)

    @property
    def missing_limits(self) -> str:
        """Why a limit is missing, in one sentence; empty if none is."""
        return self.why_no_limit(range(len(self.flows)))

    def why_no_limit(self, flows: Iterable[int]) -> str:
        """Why one of these flows has no limit, in one sentence; empty if all have one."""
        for k in flows:
            if self.flows[k].status is not FlowStatus.CONVERGED:
                flow = self.flows[k]
                return f"The flow from scale {self.starts[k].scale:g} has no limit: {flow.status.name}. {flow.message}"
        return ""

    @cached_property
    def limit_errors(self) -> tuple[float, ...]:
        """Error estimate of each limit, relative to its ‖W‖."""
        return tuple(limit_error(limit, self.network, self.data) for limit in self.limits)

    @property
    def flow_error(self) -> float:
        """Largest error estimate of a limit; 0 if there is none."""
        return max(self.limit_errors, default=0.0)

    @property
    def margin_error(self) -> float:
        """Largest error of a margin of a limit: ‖a‖ R_max times the error of W; 0 if there is no limit.

        Relative to ‖z‖ >= 1/R_max that is also the error of z = Σ_j a_j w_j, once its margins are at least 1.
        """
        through = float(np.linalg.norm(self.network.second_layer)) * self.data.R_max
        sizes = [float(np.linalg.norm(limit.singular_values)) for limit in self.limits]
        return through * max((e * size for e, size in zip(self.limit_errors, sizes, strict=True)), default=0.0)

    @cached_property
    def kkt(self) -> tuple[KKTResiduals, ...]:
        """KKT residuals of every limit; rows that are 0 to its error count as 0, which lies on every kink."""
        self.tell("KKT residuals")
        return tuple(kkt_residuals(self.network, self.data, self._weights(limit)) for limit in self.limits)

    def _weights(self, limit: FlowLimit) -> Array:
        """W of a limit, its rows below the error of W set to 0."""
        W = limit.weights()
        sizes = np.linalg.norm(W, axis=1)
        rounding = max(limit_error(limit, self.network, self.data), SMALLEST_TOLERANCE) * float(np.linalg.norm(sizes))
        return np.where(sizes[:, None] > rounding, W, 0.0)

    @cached_property
    def max_margin(self) -> MaxMargin:
        """The solution of (C)."""
        self.tell("max margin by CVXPY")
        return max_margin(self.network, self.data)

    @cached_property
    def closed_form(self) -> ClosedForm:
        """Docs/theory.md, section 6."""
        return closed_form(self.network, self.data)

    @cached_property
    def global_optimum(self) -> GlobalOptimum:
        """Global optimum of (P), docs/theory.md, section 13."""
        self.tell("global optimum by enumeration")
        return global_optimum(self.network, self.data, progress=self.tell)

    @cached_property
    def certificate(self) -> Certificate | str:
        """What is proven of the closed form in exact arithmetic; or why that is nothing, as part of a sentence."""
        if self.network.slope == 0.0:
            return "for slope 0 there is no certificate"
        rank, n = self._largest_rank_of_M, self.data.n
        if n > rank:
            return f"the closed form is not determined, because M has a rank of at most {rank}, below n = {n}"
        self.tell("exact certificate")
        try:
            if n <= DECIDED_WHOLE:
                return certify(self.network, self.samples, progress=self.tell)
            found = certify_unless_rejected(self.network, self.samples, self.tell)
            return f"balls stop the exact certificate early: {found}" if isinstance(found, str) else found
        except MissingExtraError:
            return "the exact certificate needs python-flint (the extra `exact`)"

    @property
    def _largest_rank_of_M(self) -> int:
        """M is a sum of A₊ and A₋ times a diagonal congruence of K; for γ = 1 both are the same one."""
        terms = 1 if self.network.slope == 1.0 else len(set(self.network.positive.tolist()))
        return terms * self.dimension

    @property
    def every_kkt_point_is_certified(self) -> bool:
        """Whether every KKT point is proven to be the closed form."""
        return isinstance(self.certificate, Certificate) and self.certificate.proves_every_kkt_point

    @cached_property
    def proofs(self) -> tuple[StartProof, ...]:
        """What is proven of the flow from each start."""
        return prove_starts(self)

    @cached_property
    def proven_optimum(self) -> OptimumCertificate | NotProven:
        """The global optimum of (P) over Q."""
        self.tell("proof of the global optimum")
        return certify_optimum(self.network, self.samples, progress=self.tell)

    @cached_property
    def linear(self) -> LinearMaxMargin:
        """The max-margin linear predictor z*."""
        self.tell("linear max margin by CVXPY")
        return linear_max_margin(self.data)

    @property
    def alpha(self) -> float:
        """α of the descents."""
        return unit_step(self.network, self.data) if self.step_size is None else self.step_size

    @cached_property
    def descents(self) -> tuple[DescentRun, ...]:
        """One gradient descent from each start, recorded after every fiftieth of its steps."""
        runs = []
        for number, start in enumerate(self.starts, 1):
            what = f"gradient descent {number} of {len(self.starts)} (initialization scale {start.scale:g})"
            runs.append(self.descend(start.W0, start.scale, self.descent_steps, what=what))
            self.steps.finish_run()
        return tuple(runs)

    @property
    def missing_descents(self) -> str:
        """Why a descent is incomplete, in one sentence; empty if none is."""
        return next((run.failure for run in self.descents if run.failure), "")

    def descend(
        self, W0: Array, scale: float, steps: int, record_every: int | None = None, what: str = "gradient descent"
    ) -> DescentRun:
        """Descend from W0 with step size α, recording after every fiftieth of the steps unless told otherwise."""
        every, told = record_every or max(1, steps // 50), self.counted(what, steps)
        return run_descent(self.network, self.data, W0, scale, self.alpha, steps, self.loss, every, told)

    def counted(self, what: str, steps: int) -> Callable[[int], None]:
        """For a descent: tells how many steps were taken, and ends it when there is no time left."""
        told = StepsTold(self._pass_on, what, steps)

        def step_taken(step: int) -> None:
            self.check_time()
            told(step)

        return step_taken

    def as_given(self, value: float, power: int) -> float:
        """A number that goes with (‖a‖ R_max)^power, in the units of the network and the data as they were given.

        Lengths of W have the power -1, α has -2, δ of section 10 has 2.
        """
        return float(np.ldexp(value, power * (self.unit_exponent + self.second_layer_exponent)))

    @cached_property
    def increment_bound(self) -> float:
        """The bound of docs/theory.md, section 8, on the stable rank of W(t) - W(0)."""
        return increment_bound(self.network, self.data)

    @cached_property
    def factor(self) -> Array:
        """L with K = L Lᵀ: rows of C L are rows of C X in orthonormal coordinates of the span."""
        return self.data.gram_factor

    def distance(self, C: Array, reference: Array) -> float:
        """‖C X - reference X‖_F / ‖reference X‖_F."""
        return float(np.linalg.norm((C - reference) @ self.factor) / np.linalg.norm(reference @ self.factor))
