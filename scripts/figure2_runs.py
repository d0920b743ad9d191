"""The trainings of Figure 2: images of CIFAR-10 or like them, what each training gives, and medians over the seeds."""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from refimpl.validation import Array

SYNTHETIC, REAL = "synthetic, not CIFAR-10", "CIFAR-10"

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
