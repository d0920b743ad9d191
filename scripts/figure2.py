"""Figure 2: stable rank and accuracy of two-layer ReLU networks by epoch, from a usual and from a small start.

    python scripts/figure2.py --cifar cifar-10-batches-bin
    python scripts/figure2.py --cifar cifar-10-batches-bin --classes all
    python scripts/figure2.py

Minibatch SGD (docs/theory.md, section 1, with γ = 0) on two classes of CIFAR-10, after an experiment of Frei et al.,
arXiv 2210.07082. --cifar names the folder of the binary version of CIFAR-10. Without it the script draws a folder of
synthetic images in the same format, reads it with the same reader, and says so wherever the result is shown.
Writes figure2.png, .svg, .json and .caption.txt; docs/experiments.md tells what comes out.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from figure_files import COLOURS, FigureFiles, Parser, add_common_options, each, in_parallel, report, reporting_errors
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.table import Table

from refimpl import (
    Dataset,
    LeakyReLU,
    TwoLayerNetwork,
    datasets,
    gaussian_weights,
    stochastic_gradient_descent,
)
from refimpl.descent import DescentStatus
from refimpl.errors import ImplicitBiasError, InvalidParameterError
from refimpl.readers import CIFAR10_TEST_FILES, CIFAR10_TRAIN_FILES
from refimpl.validation import Array, as_count, as_positive
from verification.bars import progress
from verification.claims.report import environment
from verification.progress import Told

SYNTHETIC, REAL = "synthetic, not CIFAR-10", "CIFAR-10"
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

PIXEL_MEAN, PIXEL_SPREAD = 125.0, 60.0
SHARED_BY_CHANNELS = 0.8
"""Part of the variance of a synthetic pixel that its three channels have in common."""
MEAN_CUTOFF, MEAN_SIZE = 3.0, 0.07
"""Class means of synthetic images: largest frequency, and size against the images' own spread."""


@dataclass(frozen=True)
class Run:
    """One training: ω = relative_scale/√d; `positive` is the class with label +1."""

    relative_scale: float
    seed: int
    neurons: int
    step_size: float
    batch_size: int
    epochs: int
    positive: int = 0


@dataclass(frozen=True)
class Curve:
    """What one training gave, by epoch from 0 on."""

    run: Run
    scale: float
    stable_rank: list[float]
    train_accuracy: list[float]
    test_accuracy: list[float]
    loss: list[float]


@dataclass(frozen=True)
class Images:
    """Training and test set of one pair of classes, or of one class against the nine others, and what they are."""

    kind: str
    train: Dataset
    test: Dataset


@dataclass(frozen=True)
class TenClasses:
    """All ten classes: samples and their classes, of the training and of the test set."""

    kind: str
    samples: tuple[Array, Array]
    classes: tuple[NDArray[np.int64], NDArray[np.int64]]

    def against_the_rest(self, positive: int) -> Images:
        """Label +1 for one class, -1 for the others."""
        labels = (np.where(classes == positive, 1.0, -1.0) for classes in self.classes)
        return Images(self.kind, *(Dataset(X, y) for X, y in zip(self.samples, labels, strict=True)))


@contextmanager
def cifar_folder(args: argparse.Namespace) -> Iterator[Path]:
    """The folder that the option names, or a temporary one with synthetic images."""
    if args.cifar is not None:
        yield Path(args.cifar)
        return
    with tempfile.TemporaryDirectory() as name:
        write_synthetic_folder(
            Path(name), class_numbers(args.classes), args.limit, np.random.default_rng(args.data_seed)
        )
        yield Path(name)


def images_of(args: argparse.Namespace) -> Images | TenClasses:
    """Read the folder."""
    if args.classes == "all":
        return ten_classes(args)
    with cifar_folder(args) as folder:
        positive, negative = class_numbers(args.classes)
        train, test = datasets.load_cifar10(folder, (positive, negative), args.centre, args.limit)
    return Images(SYNTHETIC if args.cifar is None else REAL, train, test)


def ten_classes(args: argparse.Namespace) -> TenClasses:
    """Read all classes, two at a time; the mean image is that of all training images."""
    samples: tuple[list[Array], list[Array]] = ([], [])
    classes: tuple[list[Any], list[Any]] = ([], [])
    with cifar_folder(args) as folder:
        for pair in zip(range(0, 10, 2), range(1, 10, 2), strict=True):
            for k, data in enumerate(datasets.load_cifar10(folder, (pair[0], pair[1]), False, args.limit)):
                samples[k].append(data.X)
                classes[k].append(np.where(data.y > 0.0, *pair))
    train, test = (np.concatenate(parts) for parts in samples)
    mean = train.mean(axis=0) if args.centre else 0.0
    numbers = tuple(np.concatenate(parts) for parts in classes)
    kind = SYNTHETIC if args.cifar is None else REAL
    return TenClasses(kind, (train - mean, test - mean), (numbers[0], numbers[1]))


def class_numbers(text: str) -> tuple[int, ...]:
    """The classes with label +1 and -1; all ten for "all"."""
    if text == "all":
        return tuple(range(10))
    try:
        positive, negative = (int(part) for part in text.split(","))
        if positive == negative or not {positive, negative} <= set(range(10)):
            raise ValueError
    except ValueError as error:
        raise InvalidParameterError(
            "--classes", "be two different whole numbers from 0 to 9, as in 3,5, or all", text
        ) from error
    return positive, negative


def write_synthetic_folder(folder: Path, classes: tuple[int, ...], count: int, rng: np.random.Generator) -> None:
    """Files with the names and the records of the binary version of CIFAR-10, at least `count` images a class."""
    means = {number: MEAN_SIZE * fields(3, rng, MEAN_CUTOFF) for number in classes}
    for names in (CIFAR10_TRAIN_FILES, CIFAR10_TEST_FILES):
        for name in names:
            share = -(-count // len(names))
            records = [record for number in classes for record in synthetic_records(number, means[number], share, rng)]
            np.stack(records)[rng.permutation(len(records))].tofile(folder / name)


def synthetic_records(number: int, mean: Array, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The class, then 3072 bytes, channel by channel: the class's mean and smooth noise, clipped."""
    shared, own = fields(count, rng)[:, None], fields(3 * count, rng).reshape(count, 3, 32, 32)
    noise = math.sqrt(SHARED_BY_CHANNELS) * shared + math.sqrt(1.0 - SHARED_BY_CHANNELS) * own
    pixels = np.clip(PIXEL_MEAN + PIXEL_SPREAD * (mean + noise), 0.0, 255.0).astype(np.uint8)
    return np.hstack([np.full((count, 1), number, dtype=np.uint8), pixels.reshape(count, -1)])


def fields(count: int, rng: np.random.Generator, cutoff: float = math.inf) -> Array:
    """Random images of 32 x 32 pixels and variance 1, of amplitude 1/(1+f) at frequency f up to `cutoff`."""
    frequency = 32.0 * np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32))
    amplitude = np.where(frequency <= cutoff, 1.0 / (1.0 + frequency), 0.0)
    amplitude /= np.sqrt(np.mean(amplitude**2))
    return np.asarray(np.fft.ifft2(amplitude * np.fft.fft2(rng.standard_normal((count, 32, 32)))).real)


def train(run: Run, images: Images | TenClasses) -> Curve:
    """Carry out one run."""
    images = images if isinstance(images, Images) else images.against_the_rest(run.positive)
    d = images.train.d
    scale = run.relative_scale / math.sqrt(d)
    network = TwoLayerNetwork.with_signs(run.neurons - run.neurons // 2, run.neurons // 2, LeakyReLU(0.0))
    W0 = gaussian_weights(run.neurons, d, scale, np.random.default_rng([run.seed, 0]))
    rng = np.random.default_rng([run.seed, 1])
    result = stochastic_gradient_descent(
        network, images.train, W0, run.step_size, run.epochs, run.batch_size, rng, evaluate=images.test
    )
    path = result.trajectory
    measured = (path.stable_rank, path.train_accuracy, path.held_out_accuracy, path.loss)
    if result.status is not DescentStatus.FINISHED or not np.isfinite(measured).all():
        raise ImplicitBiasError(f"The training with α = {run.step_size:g} failed: {result.message}")
    return Curve(run, scale, *(column.tolist() for column in measured))


def runs_of(args: argparse.Namespace) -> list[Run]:
    """All runs; bad values are refused here."""
    as_count("--limit", args.limit), as_count("--data-seed", args.data_seed, 0)
    scales = [as_positive("--scales", scale) for scale in each("--scales", args.scales, float)]
    neurons, step_size = as_count("--neurons", args.neurons, 2), as_positive("--step-size", args.step_size)
    batch_size, epochs = as_count("--batch-size", args.batch_size), as_count("--epochs", args.epochs)
    seeds = range(as_count("--seeds", args.seeds))
    positive = class_numbers(args.classes) if args.classes == "all" else class_numbers(args.classes)[:1]
    return [
        Run(scale, seed, neurons, step_size, batch_size, epochs, number)
        for scale in scales
        for seed in seeds
        for number in positive
    ]


def carried_out(runs: list[Run], args: argparse.Namespace, jobs: int) -> tuple[Images | TenClasses, list[Curve]]:
    """Images and curves; tells how far it is."""
    curves: list[Curve] = []
    with progress() as tell:
        tell("reading images" if args.cifar else "drawing synthetic images")
        images = images_of(args)
        for curve in in_parallel(partial(train, images=images), runs, jobs):
            curves.append(curve)
            tell(Told("trainings", f"{len(curves)} of {len(runs)}", len(curves) / len(runs)))
    return images, curves


@dataclass(frozen=True)
class Row:
    """The seeds of one scale together: (smallest, median, largest) of each number."""

    relative_scale: float
    scale: float
    initial_stable_rank: tuple[float, float, float]
    stable_rank_after_one_epoch: tuple[float, float, float]
    smallest_stable_rank: tuple[float, float, float]
    final_stable_rank: tuple[float, float, float]
    ratio: tuple[float, float, float]
    train_accuracy: tuple[float, float, float]
    test_accuracy: tuple[float, float, float]
    final_loss: tuple[float, float, float]

    @classmethod
    def of(cls, curves: list[Curve]) -> Row:
        """After the last epoch."""
        return cls(
            curves[0].run.relative_scale,
            curves[0].scale,
            spread([curve.stable_rank[0] for curve in curves]),
            spread([curve.stable_rank[1] for curve in curves]),
            spread([min(curve.stable_rank) for curve in curves]),
            spread([curve.stable_rank[-1] for curve in curves]),
            spread([curve.stable_rank[-1] / curve.stable_rank[0] for curve in curves]),
            spread([curve.train_accuracy[-1] for curve in curves]),
            spread([curve.test_accuracy[-1] for curve in curves]),
            spread([curve.loss[-1] for curve in curves]),
        )


def spread(values: list[float]) -> tuple[float, float, float]:
    """Smallest, median, largest."""
    return min(values), float(np.median(values)), max(values)


def by_scale(curves: list[Curve]) -> list[list[Curve]]:
    """The curves of each scale, the largest scale first."""
    scales = sorted({curve.run.relative_scale for curve in curves}, reverse=True)
    return [[curve for curve in curves if curve.run.relative_scale == scale] for scale in scales]


def figure_of(curves: list[Curve], title: str) -> Figure:
    """Stable rank on the left, accuracies on the right."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    ranks, accuracies = figure.subplots(1, 2)
    for group, colour in zip(by_scale(curves), cycle(COLOURS), strict=False):
        label = f"ω = {group[0].run.relative_scale:g}/√d"
        draw(ranks, [curve.stable_rank for curve in group], colour, label)
        draw(accuracies, [curve.train_accuracy for curve in group], colour, f"{label}, training")
        draw(accuracies, [curve.test_accuracy for curve in group], colour, f"{label}, test", "--")
    ranks.set_yscale("log")
    ranks.set_title("stable rank of W")
    accuracies.set_title("accuracy")
    for axis in (ranks, accuracies):
        axis.set_xlabel("epoch")
        axis.legend(frameon=False)
    figure.suptitle(title)
    return figure


def draw(axis: Any, columns: list[list[float]], colour: str, label: str, style: str = "-") -> None:
    """Median over the seeds, and a band from the smallest to the largest."""
    epoch = np.arange(len(columns[0]))
    axis.fill_between(epoch, np.min(columns, axis=0), np.max(columns, axis=0), color=colour, alpha=0.2, lw=0)
    axis.plot(epoch, np.median(columns, axis=0), color=colour, ls=style, label=label)


def title_of(images: Images | TenClasses, args: argparse.Namespace) -> str:
    """What was trained on comes first."""
    if args.classes == "all":
        kind = "SYNTHETIC IMAGES, NOT CIFAR-10" if images.kind == SYNTHETIC else "CIFAR-10"
        return f"{kind}, ten problems of one class against the rest: two-layer ReLU networks, minibatch SGD"
    if images.kind == SYNTHETIC:
        return "SYNTHETIC IMAGES, NOT CIFAR-10: two-layer ReLU network, minibatch SGD"
    positive, negative = (NAMES[number] for number in class_numbers(args.classes))
    return f"CIFAR-10, {positive} against {negative}: two-layer ReLU network, minibatch SGD"


def caption_of(images: Images | TenClasses, args: argparse.Namespace) -> str:
    """What the figure shows, every setting, and what deviates from the paper."""
    ten = not isinstance(images, Images)
    shown = images if isinstance(images, Images) else images.against_the_rest(0)
    positive, negative = (f"{number} ({NAMES[number]})" for number in class_numbers(args.classes)[:2])
    source = (
        "CIFAR-10, each class against the nine others"
        if ten
        else f"CIFAR-10, class {positive} against class {negative}"
    )
    if images.kind == SYNTHETIC:
        source = (
            f"SYNTHETIC IMAGES, NOT CIFAR-10: {'ten' if ten else 'two'} random class means and smooth noise, written "
            "as a folder of the binary format of CIFAR-10 and read by the same reader; nothing here is a result about "
            "CIFAR-10"
        )
    return (
        f"{source}. Stable rank of W and accuracy by epoch: two-layer ReLU network, m = {args.neurons} neurons, second "
        f"layer fixed at ±1/√m, logistic loss, minibatch SGD of step size α = {args.step_size:g} and "
        f"{args.batch_size} samples a batch, {shown.train.n} training and {shown.test.n} test images of d = "
        f"{shown.train.d} pixels in [0, 1]{', the mean training image subtracted' if args.centre else ''}; W(0) has "
        f"independent N(0, ω²) entries. Lines are medians of {args.seeds} seeds of W(0) and of the order of samples, "
        "bands run from the smallest to the largest. All settings are chosen here: those of Frei et al., arXiv "
        "2210.07082, are not known to this project. Their experiment is reported second-hand to use all ten classes "
        f"and pixels divided by 255; {TEN if ten else TWO}: a deviation. The ReLU has slope 0, for which "
        "the theorems of docs/theory.md make no claim.\n"
    )


TWO = "this one takes two, because the networks here have one output"
TEN = (
    "here ten outputs are ten networks, each trained on one class against the rest, and lines and bands run over seeds "
    "and classes alike; the accuracy is that of each binary problem, where 0.9 is no merit"
)


def table_of(rows: list[Row]) -> Table:
    """Medians, with the range of the seeds, one column a scale."""
    table = Table("", *(f"ω = {row.relative_scale:g}/√d" for row in rows))
    names = {
        "initial_stable_rank": "stable rank of W(0)",
        "stable_rank_after_one_epoch": "after one epoch",
        "smallest_stable_rank": "smallest",
        "final_stable_rank": "after the last epoch",
        "ratio": "after the last epoch, ratio to that of W(0)",
        "train_accuracy": "training accuracy",
        "test_accuracy": "test accuracy",
        "final_loss": "training loss",
    }
    for name, title in names.items():
        cells = ("{1:.4g} ({0:.4g} to {2:.4g})".format(*getattr(row, name)) for row in rows)
        table.add_row(title, *cells)
    return table


def build_parser() -> argparse.ArgumentParser:
    """All options."""
    parser = Parser("figure2", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", metavar="DIR", help="folder with data_batch_1.bin, ..., test_batch.bin")
    parser.add_argument(
        "--classes",
        default="0,1",
        metavar="A,B",
        help="classes with label +1 and -1; or all: each against the rest (default: 0,1)",
    )
    parser.add_argument("--limit", type=int, default=1000, help="images of each class and set (default: 1000)")
    parser.add_argument(
        "--centre", action=argparse.BooleanOptionalAction, default=True, help="subtract the mean training image"
    )
    parser.add_argument(
        "--scales", default="0.01,0.1,1", metavar="S1,S2", help="ω in units of 1/√d (default: 0.01,0.1,1)"
    )
    parser.add_argument("--neurons", type=int, default=512, help="m (default: 512)")
    parser.add_argument("--step-size", type=float, default=0.05, metavar="ALPHA", help="α (default: 0.05)")
    parser.add_argument("--batch-size", type=int, default=32, help="samples a batch (default: 32)")
    parser.add_argument("--epochs", type=int, default=40, help="epochs (default: 40)")
    parser.add_argument("--data-seed", type=int, default=0, help="of the synthetic images (default: 0)")
    add_common_options(parser, seeds=3)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run, print the table, write the files."""
    return reporting_errors("figure2", lambda: run_figure(build_parser().parse_args(arguments)))


def run_figure(args: argparse.Namespace) -> None:
    """Figure 2 as the options ask for it."""
    started = perf_counter()
    runs, jobs = runs_of(args), as_count("--jobs", args.jobs)
    files = FigureFiles(Path(args.out), "figure2", args.force)
    files.check()
    images, curves = carried_out(runs, args, jobs)
    rows, title = [Row.of(group) for group in by_scale(curves)], title_of(images, args)
    shown = images if isinstance(images, Images) else images.against_the_rest(0)
    document = {
        "figure": "an experiment after arXiv 2210.07082, with settings chosen here",
        "data": images.kind,
        "title": title,
        "caption": caption_of(images, args),
        "settings": settings_of(args) | {"n_train": shown.train.n, "n_test": shown.test.n, "d": shown.train.d},
        "train_sha256": shown.train.sha256,
        "test_sha256": shown.test.sha256,
        "seconds": perf_counter() - started,
        "environment": environment(),
        "summary": [asdict(row) for row in rows],
        "curves": [asdict(curve) for curve in curves],
    }
    files.write(figure_of(curves, title), document)
    report([table_of(rows)], title, files)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options that the numbers depend on; the name of the user's folder is not one."""
    left_out = ("cifar", "out", "force", "jobs")
    return {name: value for name, value in vars(args).items() if name not in left_out}


if __name__ == "__main__":
    sys.exit(main())
