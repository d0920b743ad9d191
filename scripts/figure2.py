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
import sys
from dataclasses import asdict
from functools import partial
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from figure2_runs import SYNTHETIC, Curve, Images, Row, Run, TenClasses, by_scale, class_numbers, images_of, train
from figure_files import (
    COLOURS,
    MARKERS,
    FigureFiles,
    Parser,
    add_common_options,
    counted,
    each,
    in_parallel,
    legend_below,
    report,
    reporting_errors,
)
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.table import Table

from refimpl.validation import as_count, as_positive
from verification.bars import progress
from verification.progress import Told
from verification.versions import environment

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


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


def figure_of(curves: list[Curve], title: str) -> Figure:
    """Stable rank on the left, accuracies on the right."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    ranks, accuracies = figure.subplots(1, 2)
    for group, colour, marker in zip(by_scale(curves), cycle(COLOURS), cycle(MARKERS), strict=False):
        style, label = {"color": colour, "marker": marker}, f"ω = {group[0].run.relative_scale:g}/√d"
        draw(ranks, [curve.stable_rank for curve in group], label, style)
        draw(accuracies, [curve.train_accuracy for curve in group], label, style)
        draw(accuracies, [curve.test_accuracy for curve in group], f"{label}, test", style | {"ls": "--"})
    ranks.set_yscale("log")
    for axis, quantity in ((ranks, "stable rank of W"), (accuracies, "accuracy: training solid, test dashed")):
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_ylabel(quantity)
    figure.suptitle(title)
    legend_below(figure, ranks, ncols=6)
    return figure


def draw(axis: Any, columns: list[list[float]], label: str, style: dict[str, Any]) -> None:
    """Median over the seeds, and a band from the smallest to the largest."""
    epoch = np.arange(len(columns[0]))
    axis.fill_between(epoch, np.min(columns, axis=0), np.max(columns, axis=0), color=style["color"], alpha=0.2, lw=0)
    every = max(1, len(epoch) // 8)
    axis.plot(epoch, np.median(columns, axis=0), label=label, markevery=every, ms=5, **style)


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
        f"independent N(0, ω²) entries. Lines are medians of {counted(args.seeds, 'seed')} of W(0) and of the order of "
        "samples, bands run from the smallest to the largest. All settings are chosen here: those of Frei et al., "
        "arXiv 2210.07082, are not known to this project. Their experiment is reported second-hand to use all ten "
        f"classes and pixels divided by 255; {TEN if ten else TWO}: a deviation. The ReLU has slope 0, for which "
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
