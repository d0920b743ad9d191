"""The flows of the phase diagram: data sets over dimension, correlation and slope, and what their limits are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from time import perf_counter
from typing import Any

import numpy as np
from figure_files import CONDITIONS

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights
from refimpl.validation import Array
from verification import check_hypotheses, global_optimum
from verification.studies.survey import SAME, Survey, fraction, survey
from verification.witnesses.enumeration import can_be_enumerated

SCALES = (1e-3, 1.0, 10.0)
"""Of the starts, relative to 1/R_max; the starts of a data set take them in turn."""

CORRELATED_DIMENSION = 2000


@dataclass(frozen=True)
class Cell:
    """One data set: n samples at a place (a dimension or a correlation), one slope, one seed."""

    against: str
    n: int
    place: float
    slope: float
    seed: int
    starts: int


@dataclass(frozen=True)
class Found:
    """What was found there; fractions are over the limits of the starts."""

    cell: Cell
    rank_at_most_two: float
    closed_form: float
    different: int
    units_on_kinks: float
    largest_rank: int
    unfinished: int
    excess: float | None
    slacks: dict[str, float]


def network_of(cell: Cell) -> TwoLayerNetwork:
    """Two neurons of each sign for n <= 6, so that the global optimum can be enumerated; else four."""
    each_sign = 2 if cell.n <= 6 else 4
    return TwoLayerNetwork.with_signs(each_sign, each_sign, LeakyReLU(cell.slope))


def data_of(cell: Cell) -> Dataset:
    """Gaussian samples of that dimension, or samples of that correlation, with random labels of both signs."""
    rng = np.random.default_rng([cell.seed, cell.n])
    if cell.against == "dimension":
        data = datasets.gaussian(cell.n, int(cell.place), rng)
    else:
        data = datasets.correlated(cell.n, CORRELATED_DIMENSION, rng, correlation=cell.place)
    return data


def starts_of(network: TwoLayerNetwork, data: Dataset, count: int, seed: int) -> list[Array]:
    """Gaussian starts whose scales take turns."""
    rng = np.random.default_rng([seed, 1])
    scales = [SCALES[k % len(SCALES)] / data.R_max for k in range(count)]
    return [gaussian_weights(network.m, data.d, scale, rng) for scale in scales]


def examine(settings: dict[str, Any]) -> dict[str, Any]:
    """`examined`, in plain values."""
    return asdict(examined(Cell(**settings)))


def examined(cell: Cell) -> Found:
    """Follow the flows of one cell."""
    network, data = network_of(cell), data_of(cell)
    hypotheses = check_hypotheses(network, data)
    found = survey(network, data, starts_of(network, data, cell.starts, cell.seed))
    limits = found.limits
    distances = [limit.closed_form_distance for limit in limits]
    return Found(
        cell=cell,
        rank_at_most_two=fraction([limit.rank <= 2 for limit in limits]),
        closed_form=fraction([distance is not None and distance < SAME for distance in distances]),
        different=found.different,
        units_on_kinks=float(np.mean([float(limit.units_on_kinks) for limit in limits] or [np.nan])),
        largest_rank=max((limit.rank for limit in limits), default=0),
        unfinished=found.unfinished,
        excess=excess_of(network, data, found),
        slacks={name: float(getattr(hypotheses, name).slack) for name in CONDITIONS},
    )


def excess_of(network: TwoLayerNetwork, data: Dataset, found: Survey) -> float | None:
    """Largest ½‖W‖²/global optimum - 1 of the limits; None where it cannot be enumerated."""
    if not can_be_enumerated(network, data) or not found.limits:
        return None
    best = global_optimum(network, data)
    return max(best.excess(limit.objective) for limit in found.limits) if best.feasible else None


@dataclass(frozen=True)
class Row:
    """The mean over the data sets of one place of the map; slacks are medians."""

    n: int
    place: float
    slope: float
    rank_at_most_two: float
    closed_form: float
    different: float
    units_on_kinks: float
    largest_rank: int
    excess: float | None
    refined: float
    instance_wise: float
    paper: float


def rows_of(points: Sequence[Found]) -> list[Row]:
    """One row for each n, place and slope."""
    groups: dict[tuple[int, float, float], list[Found]] = {}
    for point in points:
        groups.setdefault((point.cell.n, point.cell.place, point.cell.slope), []).append(point)
    return [row_of(*key, group) for key, group in sorted(groups.items())]


def row_of(n: int, place: float, slope: float, group: list[Found]) -> Row:
    """The mean of several data sets."""
    excesses = [point.excess for point in group if point.excess is not None]
    return Row(
        n=n,
        place=place,
        slope=slope,
        rank_at_most_two=float(np.mean([point.rank_at_most_two for point in group])),
        closed_form=float(np.mean([point.closed_form for point in group])),
        different=float(np.mean([point.different for point in group])),
        units_on_kinks=float(np.mean([point.units_on_kinks for point in group])),
        largest_rank=max(point.largest_rank for point in group),
        excess=float(np.mean(excesses)) if excesses else None,
        **{name: float(np.median([point.slacks[name] for point in group])) for name in CONDITIONS},
    )


def boundary(rows: Sequence[Row], slope: float, condition: str) -> float | None:
    """Where the median slack reaches 1, interpolated in the logarithm of the place; None if not within the map."""
    line = sorted((row.place, getattr(row, condition)) for row in rows if row.slope == slope)
    for (place, slack), (other, next_slack) in pairwise(line):
        if (slack < 1.0) != (next_slack < 1.0):
            share = -np.log(max(slack, 1e-300)) / (np.log(next_slack) - np.log(max(slack, 1e-300)))
            return float(place + share * (other - place)) if place <= 0.0 else float(place * (other / place) ** share)
    return None


@dataclass(frozen=True)
class LargeCell:
    """The paper's experimental size: Gaussian samples or the paper's mixture, one start."""

    kind: str
    samples: int
    dimension: int
    neurons: int
    scale: float
    seed: int


@dataclass(frozen=True)
class LargeFound:
    """What one flow of that size led to."""

    cell: LargeCell
    status: str
    rank: int
    third_ratio: float
    units_on_kinks: int
    largest_margin: float
    closed_form_distance: float | None
    slacks: dict[str, float]
    seconds: float


def examine_large(settings: dict[str, Any]) -> dict[str, Any]:
    """`examined_large`, in plain values."""
    return asdict(examined_large(LargeCell(**settings)))


def examined_large(cell: LargeCell) -> LargeFound:
    """One flow of that size."""
    rng, started = np.random.default_rng([cell.seed, 2]), perf_counter()
    if cell.kind == "mixture":
        mean = cell.dimension**0.26
        data = datasets.gaussian_mixture(cell.samples, cell.dimension, rng, mean_norm=mean)
    else:
        data = datasets.gaussian(cell.samples, cell.dimension, rng)
    network = TwoLayerNetwork.with_signs(cell.neurons // 2, cell.neurons // 2, LeakyReLU(0.1))
    W0 = gaussian_weights(network.m, data.d, cell.scale / data.R_max, rng)
    found, hypotheses = survey(network, data, [W0]), check_hypotheses(network, data)
    slacks = {name: float(getattr(hypotheses, name).slack) for name in CONDITIONS}
    if not found.limits:
        return LargeFound(cell, "no limit", 0, np.inf, 0, np.inf, None, slacks, perf_counter() - started)
    limit = found.limits[0]
    facts = (limit.rank, limit.third_ratio, limit.units_on_kinks, limit.largest_margin, limit.closed_form_distance)
    return LargeFound(cell, "limit", *facts, slacks, perf_counter() - started)
