"""The descents of Figure 1: their settings with sources, what each gives, and medians over the seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_descent
from refimpl.descent import DescentStatus
from refimpl.errors import ImplicitBiasError
from refimpl.paper import DescentSettings, descent_settings
from refimpl.validation import Array
from verification.witnesses.bounds import increment_bound, predicted_stable_rank

RECALLED = "recalled from the paper, not checked against its text (†)"
SECOND_HAND = "reported second-hand to be the paper's, not checked against its text"
CHOSEN = "chosen here"
MARKS = {RECALLED: "†", SECOND_HAND: "‡"}

FAILURE_PROBABILITY = 0.1
"""δ, for what the theorem on descent asks for."""


@dataclass(frozen=True)
class Setting:
    """A value, and where it comes from."""

    value: Any
    source: str

    def __str__(self) -> str:
        return f"{self.value:g}{MARKS.get(self.source, '')}"


PAPER: dict[str, Setting] = {
    "samples": Setting(100, SECOND_HAND),
    "neurons": Setting(512, RECALLED),
    "slope": Setting(0.1, RECALLED),
    "mean_exponent": Setting(0.26, RECALLED),
    "step_size_left": Setting(0.01, SECOND_HAND),
    "step_size_right": Setting(0.16, SECOND_HAND),
    "relative_scale_left": Setting(0.02, SECOND_HAND),
    "dimension_right": Setting(10_000, SECOND_HAND),
}
"""The paper's experiment; ‖μ‖ = d^mean_exponent, scales relative to √(2/(m+d))."""


@dataclass(frozen=True)
class Run:
    """One descent: which panel it belongs to, and what it is given."""

    panel: str
    samples: int
    d: int
    neurons: int
    slope: float
    mean_exponent: float
    relative_scale: float
    step_size: float
    steps: int
    seed: int

    @property
    def scale(self) -> float:
        """ω."""
        return self.relative_scale * math.sqrt(2.0 / (self.neurons + self.d))


@dataclass(frozen=True)
class Point:
    """What one descent gave.

    Attributes
    ----------
    run : Run
    scale : float
        ω.
    step, stable_rank : list
        The recorded steps, 0 and the last included, and the stable rank of W there.
    predicted : float
        tr(E S)/λ_max(E S), of W(1) - W(0) as ω → 0, then m → ∞ (section 9).
    bound : float or None
        1 + cond(K)(1-γ)²/(4γ), of W(t) - W(0) (section 8); None where K is singular.
    final_loss, smallest_margin : float
        At the last step.
    theorem : DescentSettings
        What the paper's theorem on descent asks for †, with H = 1.
    """

    run: Run
    scale: float
    step: list[int]
    stable_rank: list[float]
    predicted: float
    bound: float | None
    final_loss: float
    smallest_margin: float
    theorem: DescentSettings

    def ratio(self, step: int) -> float:
        """Stable rank at `step` divided by that at 0."""
        return self.stable_rank[self.step.index(step)] / self.stable_rank[0]

    @property
    def predicted_ratio(self) -> float:
        """The prediction, divided by the stable rank at 0."""
        return self.predicted / self.stable_rank[0]

    @property
    def bound_ratio(self) -> float:
        """The bound, divided by the stable rank at 0."""
        return math.inf if self.bound is None else self.bound / self.stable_rank[0]


def instance(run: Run) -> tuple[TwoLayerNetwork, datasets.Dataset, Array]:
    """Network, data and W(0); seed and dimension fix the draws, so that all scales see the same ones."""
    data = datasets.gaussian_mixture(
        run.samples, run.d, np.random.default_rng([run.seed, run.d, 0]), mean_norm=run.d**run.mean_exponent
    )
    network = TwoLayerNetwork.with_signs(run.neurons - run.neurons // 2, run.neurons // 2, LeakyReLU(run.slope))
    W0 = gaussian_weights(run.neurons, run.d, run.scale, np.random.default_rng([run.seed, run.d, 1]))
    return network, data, W0


def descend(run: Run) -> Point:
    """Carry out one run."""
    network, data, W0 = instance(run)
    result = gradient_descent(network, data, W0, run.step_size, run.steps, record_every=1)
    if result.status is not DescentStatus.FINISHED:
        raise ImplicitBiasError(f"The descent with d = {run.d}, α = {run.step_size:g} failed: {result.message}")
    path, kept, bound = result.trajectory, kept_steps(run.steps), increment_bound(network, data)
    R_min, R_max, p = data.R_min, data.R_max, data.p
    return Point(
        run=run,
        scale=run.scale,
        step=kept,
        stable_rank=path.stable_rank[kept].tolist(),
        predicted=predicted_stable_rank(data.gram, data.y, run.slope),
        bound=bound if math.isfinite(bound) else None,
        final_loss=float(path.loss[-1]),
        smallest_margin=float(path.smallest_margin[-1]),
        theorem=descent_settings(
            R_min, R_max, p, data.n, data.d, network.m, run.slope, smoothness=1.0, delta=FAILURE_PROBABILITY
        ),
    )


def kept_steps(steps: int) -> list[int]:
    """0, 1, 2, 5, 10, 20, 50, ... and the last."""
    ladder = (digit * 10**power for power in range(len(str(steps))) for digit in (1, 2, 5))
    return [0, *(step for step in ladder if step < steps), steps]


def drawn_steps(steps: int) -> list[int]:
    """1, 10, 100, ... and the last."""
    return [*(10**power for power in range(len(str(steps))) if 10**power < steps), steps]


@dataclass(frozen=True)
class Row:
    """The seeds of one place in a panel together: medians, and the range of the ratios."""

    panel: str
    d: int
    relative_scale: float
    step_size: float
    initial_stable_rank: float
    final_stable_rank: float
    ratio: dict[int, tuple[float, float, float]]
    predicted_ratio: float
    bound_ratio: float | None

    @classmethod
    def of(cls, points: list[Point]) -> Row:
        """Least, median and largest ratio at the steps that are drawn."""
        run = points[0].run
        ratios = {step: [point.ratio(step) for point in points] for step in drawn_steps(run.steps)}
        bound = float(np.median([point.bound_ratio for point in points]))
        return cls(
            panel=run.panel,
            d=run.d,
            relative_scale=run.relative_scale,
            step_size=run.step_size,
            initial_stable_rank=float(np.median([point.stable_rank[0] for point in points])),
            final_stable_rank=float(np.median([point.stable_rank[-1] for point in points])),
            ratio={step: (min(found), float(np.median(found)), max(found)) for step, found in ratios.items()},
            predicted_ratio=float(np.median([point.predicted_ratio for point in points])),
            bound_ratio=bound if math.isfinite(bound) else None,
        )


def rows_of(points: list[Point]) -> list[Row]:
    """One row for each place."""
    places: dict[tuple[str, int, float], list[Point]] = {}
    for point in points:
        places.setdefault((point.run.panel, point.run.d, point.run.relative_scale), []).append(point)
    return [Row.of(found) for found in places.values()]
