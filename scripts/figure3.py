"""Figure 3: benign overfitting of leaky ReLU networks on a Gaussian mixture with flipped labels, exactly.

    python scripts/figure3.py
    python scripts/figure3.py --dimensions 100,1000 --seeds 2 --out quick

Training labels are flipped with probability ε. Where the boundary is linear, the test error is a value of the normal
distribution function (docs/theory.md (15.7)): no sampling. Side by side: the exact limit of gradient flow, descent, the
closed form of section 6, and the linear max-margin predictor. Left: against the dimension. Right: against ε. Shades
show where the conditions of sections 3 and 5 hold. Writes figure3.png, .svg, .json and .caption.txt;
docs/experiments.md tells what comes out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from figure_files import (
    COLOURS,
    CONDITIONS,
    MARKERS,
    FigureFiles,
    Parser,
    add_common_options,
    condition_name,
    counted,
    each,
    in_parallel,
    legend_below,
    report,
    reporting_errors,
)
from matplotlib.figure import Figure
from rich.table import Table

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gaussian_weights, gradient_descent, gradient_flow
from refimpl.validation import Array, as_count, as_positive, as_unit_interval
from verification import check_hypotheses, closed_form, linear_max_margin, mixture_error, robust_radii
from verification.bars import progress
from verification.progress import Told
from verification.versions import environment

KINDS = ("flow", "descent", "closed form", "linear max margin")

SHADE = COLOURS[4]

DRAWS = 200_000
"""New samples for an error that has no closed form."""

COLLAPSED = 1e-9
"""Rows of one sign differ by at most this part where the boundary counts as linear."""


@dataclass(frozen=True)
class Run:
    """One data set and what is trained on it."""

    panel: str
    samples: int
    d: int
    flips: float
    slope: float
    neurons: int
    mean_exponent: float
    steps: int
    seed: int


@dataclass(frozen=True)
class Point:
    """What one run gave; lists in the order of `KINDS`.

    Attributes
    ----------
    run : Run
    flipped : float
        Part of the training labels that are flipped.
    training_error : list of float
        On the flipped labels; NaN where there is no predictor.
    test_error : list of float
        Against labels that are flipped with the same probability.
    exact : list of bool
        Whether that is a value of Φ; else it is the mean over `DRAWS` new samples.
    radius : list of float
        Smallest robust radius of a training sample, divided by the largest possible, 1/‖z*‖.
    slacks : dict
        Of the three conditions.
    """

    run: Run
    flipped: float
    training_error: list[float]
    test_error: list[float]
    exact: list[bool]
    radius: list[float]
    slacks: dict[str, float]


def draw(run: Run) -> tuple[Dataset, Array, float]:
    """Samples yμ + ξ with flipped labels, μ, and the part that was flipped."""
    rng = np.random.default_rng([run.seed, run.d])
    direction = rng.standard_normal(run.d)
    mu = run.d**run.mean_exponent * direction / np.linalg.norm(direction)
    clusters = np.where(np.arange(run.samples) % 2 == 0, 1.0, -1.0)
    X = clusters[:, None] * mu + rng.standard_normal((run.samples, run.d))
    flipped = rng.random(run.samples) < run.flips  # the same samples and draws for every ε
    return Dataset(X, np.where(flipped, -clusters, clusters)), mu, float(flipped.mean())


def followed(run: Run) -> Point:
    """Carry out one run."""
    data, mu, flipped = draw(run)
    network = TwoLayerNetwork.with_signs(run.neurons - run.neurons // 2, run.neurons // 2, LeakyReLU(run.slope))
    W0 = gaussian_weights(run.neurons, run.d, 1e-4 / data.R_max, np.random.default_rng([run.seed, run.d, 1]))
    star = linear_max_margin(data)
    step = data.n / data.R_max**2
    limit = gradient_flow(network, data, W0).limit
    closed = closed_form(network, data)
    found = [
        measured(network, None if limit is None else limit.weights(), data, mu, run),
        measured(network, gradient_descent(network, data, W0, step, run.steps).weights(), data, mu, run),
        measured(network, closed.weights() if closed.solves_program else None, data, mu, run),
        of_predictor(star.z if star.separable else None, data, mu, run),
    ]
    errors, tests, exact, radii = (list(column) for column in zip(*found, strict=True))
    slacks = {name: getattr(check_hypotheses(network, data), name).slack for name in CONDITIONS}
    return Point(run, flipped, errors, tests, exact, [radius * star.norm for radius in radii], slacks)


Found = tuple[float, float, bool, float]
"""Training error, test error, whether that is exact, smallest radius."""

NOTHING: Found = (float("nan"), float("nan"), False, float("nan"))


def of_predictor(z: Array | None, data: Dataset, mu: Array, run: Run) -> Found:
    """Of a linear boundary."""
    if z is None or not z.any():
        return NOTHING
    wrong = float(np.mean(data.y * (data.X @ z) <= 0.0))
    return wrong, mixture_error(z, mu, 1.0, run.flips), True, float(robust_radii(z, data.X).min())


def measured(network: TwoLayerNetwork, W: Array | None, data: Dataset, mu: Array, run: Run) -> Found:
    """Of weights: exactly where all rows of one sign are equal, whose boundary is linear; else from new samples."""
    if W is None:
        return NOTHING
    z = network.second_layer @ W
    _, error, _, radius = of_predictor(z, data, mu, run)
    wrong = float(np.mean(network.margins(W, data) <= 0.0))
    if spread(network, W) <= COLLAPSED:
        return wrong, error, True, radius
    values, vectors = np.linalg.eigh(W @ W.T)  # W x ~ N(±Wμ, WWᵀ): m numbers a sample, whatever d
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    rng = np.random.default_rng([run.seed, run.d, 2])
    sign = np.where(rng.random(DRAWS) < 0.5, 1.0, -1.0)
    Z = sign * (W @ mu)[:, None] + root @ rng.standard_normal((network.m, DRAWS))
    clean = float(np.mean(sign * network.outputs(Z) <= 0.0))
    return wrong, run.flips + (1.0 - 2.0 * run.flips) * clean, False, float("nan")


def spread(network: TwoLayerNetwork, W: Array) -> float:
    """Largest distance of two rows of one sign, relative to ‖W‖."""
    groups = (W[network.positive], W[~network.positive])
    return float(max(np.abs(rows - rows[:1]).max(initial=0.0) for rows in groups) / np.linalg.norm(W))


def runs_of(args: argparse.Namespace) -> list[Run]:
    """All runs; bad values are refused here."""
    samples, neurons = as_count("--samples", args.samples, 2), as_count("--neurons", args.neurons, 2)
    slope, mean = as_unit_interval("--slope", args.slope), as_positive("--mean-exponent", args.mean_exponent)
    steps, seeds = as_count("--steps", args.steps), as_count("--seeds", args.seeds)
    at_flips, at_d = as_unit_interval("--at-noise", args.at_noise), as_count("--at-dimension", args.at_dimension)
    left = [(as_count("--dimensions", d), at_flips) for d in each("--dimensions", args.dimensions, int)]
    right = [(at_d, as_unit_interval("--noise", rate)) for rate in each("--noise", args.noise, float)]
    return [
        Run(panel, samples, d, flips, slope, neurons, mean, steps, seed)
        for panel, places in (("left", left), ("right", right))
        for d, flips in places
        for seed in range(seeds)
    ]


@dataclass(frozen=True)
class Row:
    """The seeds of one place together."""

    panel: str
    d: int
    flips: float
    training_error: list[float]
    test_error: list[float]
    exact: list[int]
    radius: list[float]
    slacks: dict[str, float]

    @classmethod
    def of(cls, points: Sequence[Point]) -> Row:
        """Largest training error, medians of the others (NaN where a seed has none), how many errors are exact."""
        run = points[0].run

        def column(name: str, merge: Any) -> list[float]:
            values = np.array([getattr(point, name) for point in points], dtype=float)
            return [float(merge(own)) if np.isfinite(own).all() else float("nan") for own in values.T]

        slacks = {name: float(np.median([point.slacks[name] for point in points])) for name in CONDITIONS}
        exact = np.sum([point.exact for point in points], axis=0).tolist()
        return cls(
            run.panel, run.d, run.flips, column("training_error", np.max), column("test_error", np.median), exact,
            column("radius", np.median), slacks,
        )  # fmt: skip


def rows_of(points: Sequence[Point]) -> list[Row]:
    """One row a place."""
    places = dict.fromkeys((p.run.panel, p.run.d, p.run.flips) for p in points)
    return [Row.of([p for p in points if (p.run.panel, p.run.d, p.run.flips) == place]) for place in places]


def figure_of(rows: list[Row], title: str) -> Figure:
    """Test error on both sides, the noise rate dashed, and shades where each condition holds."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, panel in zip(axes, ("left", "right"), strict=True):
        own = [row for row in rows if row.panel == panel]
        x = [row.d if panel == "left" else row.flips for row in own]
        axis.set_xscale("log" if panel == "left" else "linear")
        shade(axis, x, own)
        for k, kind in enumerate(KINDS):
            axis.plot(x, [row.test_error[k] for row in own], color=COLOURS[k], marker=MARKERS[k], lw=1.2,
                      label=f"test, {kind}", ms=9 - 1.5 * k, mfc="none")  # fmt: skip
        training = [np.nanmax(row.training_error) for row in own]
        axis.plot(x, training, color="black", lw=1.0, label="training, all four")
        axis.plot(x, [row.flips for row in own], "--", color="gray", label="noise rate ε")
        axis.set_ylabel("error on labels flipped with probability ε")
    axes[0].set_xlabel("dimension d")
    axes[1].set_xlabel("noise rate ε")
    figure.suptitle(title)
    legend_below(figure, *axes)
    return figure


def shade(axis: Any, x: Sequence[float], rows: Sequence[Row]) -> None:
    """Where each condition holds, with a line in its dash where it begins or ends to."""
    for name, dash in CONDITIONS.items():
        for k, (begin, end) in enumerate(regions(x, [row.slacks[name] for row in rows], axis.get_xscale() == "log")):
            label = f"{condition_name(name)} holds" if k == 0 else None
            axis.axvspan(begin, end, color=SHADE, alpha=0.15, lw=0)
            axis.plot([], [], color=SHADE, ls=dash, label=label)
            for edge in {begin, end} - {x[0], x[-1]}:
                axis.axvline(edge, color=SHADE, ls=dash, lw=1.2)


def regions(x: Sequence[float], slacks: Sequence[float], logarithmic: bool) -> list[tuple[float, float]]:
    """The intervals in which the slack is at least 1; between two places its logarithm is a line."""
    scale, back = (np.log, np.exp) if logarithmic else (np.asarray, np.asarray)
    place, height = scale(np.asarray(x, dtype=float)), np.log(np.maximum(slacks, 1e-300))
    found: list[tuple[float, float]] = []
    begin = x[0] if height[0] >= 0.0 else None
    for k in np.flatnonzero((height[:-1] >= 0.0) != (height[1:] >= 0.0)):
        share = height[k] / (height[k] - height[k + 1])
        edge = float(back(place[k] + share * (place[k + 1] - place[k])))
        if begin is None:
            begin = edge
        else:
            found.append((begin, edge))
            begin = None
    return found if begin is None else [*found, (begin, x[-1])]


def table_of(rows: list[Row], panel: str) -> Table:
    """What is drawn, the robust radius, and the slacks."""
    table = Table(
        "d" if panel == "left" else "ε", *KINDS, "training", "radius, flow", "refined", "instance-wise", "paper"
    )
    for row in (row for row in rows if row.panel == panel):
        errors = (shown_error(error, exact) for error, exact in zip(row.test_error, row.exact, strict=True))
        slacks = (f"{row.slacks[name]:.3g}" for name in CONDITIONS)
        place = f"{row.d}" if panel == "left" else f"{row.flips:g}"
        table.add_row(place, *errors, f"{np.nanmax(row.training_error):.3g}", f"{row.radius[0]:.3f}", *slacks)
    return table


def shown_error(error: float, exact: int) -> str:
    """Four decimals, with a star where no seed's error is exact; - where there is none."""
    return "-" if np.isnan(error) else f"{error:.4f}{'' if exact else '*'}"


def caption_of(args: argparse.Namespace) -> str:
    """What the figure shows, with every setting."""
    a, seeds = args, counted(args.seeds, "seed")
    return (
        "Error on new samples yμ + ξ whose labels are flipped with probability ε, after training on "
        f"n = {a.samples} such samples; ‖μ‖ = d^{a.mean_exponent:g}, m = {a.neurons} neurons of slope γ = {a.slope:g}, "
        f"logistic loss. Left: ε = {a.at_noise:g}; right: d = {a.at_dimension}. Flow: its exact limit from the scale "
        f"1e-4/R_max; descent: {a.steps} steps of n/(R_max² Σa²) from the same start. Medians of {seeds}; "
        "training error: the largest. Errors are values of the normal distribution function (docs/theory.md (15.7)) "
        f"where the boundary is linear, else (* in the tables) means over {DRAWS:,} new samples. Closed form: where "
        "it solves (C) for every seed. Shaded: where the median slack of a condition is at least 1. All settings are "
        "chosen here.\n"
    )


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = Parser("figure3", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    dimensions = "30,60,100,200,500,1000,2000,5000,10000,20000,50000"
    parser.add_argument("--dimensions", default=dimensions, metavar="D1,D2", help=f"left panel (default: {dimensions})")
    parser.add_argument("--noise", default="0,0.05,0.1,0.15,0.2,0.25,0.3,0.4", metavar="E1,E2", help="right panel")
    parser.add_argument("--at-noise", type=float, default=0.15, help="ε of the left panel (default: 0.15)")
    parser.add_argument("--at-dimension", type=int, default=1000, help="d of the right panel (default: 1000)")
    parser.add_argument("--samples", type=int, default=20, help="n (default: 20)")
    parser.add_argument("--mean-exponent", type=float, default=0.26, help="‖μ‖ = d to this power (default: 0.26)")
    parser.add_argument("--slope", type=float, default=0.5, help="γ (default: 0.5)")
    parser.add_argument("--neurons", type=int, default=8, help="m (default: 8)")
    parser.add_argument("--steps", type=int, default=2000, help="of descent (default: 2000)")
    add_common_options(parser, seeds=5)
    return parser


def carried_out(runs: list[Run], jobs: int) -> list[Point]:
    """All runs, with progress."""
    points: list[Point] = []
    with progress() as tell:
        for point in in_parallel(followed, runs, jobs):
            points.append(point)
            tell(Told("data sets", f"{len(points)} of {len(runs)}", len(points) / len(runs)))
    return points


def run(args: argparse.Namespace) -> None:
    """Everything."""
    started, runs = perf_counter(), runs_of(args)
    files = FigureFiles(Path(args.out), "figure3", args.force)
    files.check()
    points = carried_out(runs, as_count("--jobs", args.jobs))
    rows, caption = rows_of(points), caption_of(args)
    title = f"benign overfitting: n = {args.samples}, ‖μ‖ = d^{args.mean_exponent:g}, γ = {args.slope:g}"
    document = {"figure": "benign overfitting", "caption": caption, "seconds": perf_counter() - started}
    document |= {"settings": {k: str(v) for k, v in vars(args).items()}, "environment": environment()}
    document |= {"summary": [asdict(row) for row in rows], "runs": [asdict(point) for point in points]}
    files.write(figure_of(rows, title), document)
    report([table_of(rows, panel) for panel in ("left", "right")], caption.strip(), files)


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    args = build_parser().parse_args(arguments)
    return reporting_errors("figure3", partial(run, args))


if __name__ == "__main__":
    sys.exit(main())
