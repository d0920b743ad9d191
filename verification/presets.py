"""Built-in data sets of the commands that take --preset, each with the network that goes with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refimpl import datasets
from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError
from refimpl.network import TwoLayerNetwork

__all__ = ["PRESETS", "Preset", "preset_named"]


@dataclass(frozen=True)
class Preset:
    """A data set to draw and the network to train on it.

    Attributes
    ----------
    name : str
    description : str
        What holds on it.
    slope : float
        γ.
    positive, negative : int
        m₁ and m₂.
    draw : callable
        (slope, generator) -> Dataset.
    """

    name: str
    description: str
    slope: float
    positive: int
    negative: int
    draw: Callable[[float, np.random.Generator], Dataset]

    def data(self, seed: int, slope: float | None = None) -> Dataset:
        """The data set for this seed; the generator depends on the slope only through the condition."""
        return self.draw(self.slope if slope is None else slope, np.random.default_rng([seed, 0]))

    def network(
        self, slope: float | None = None, positive: int | None = None, negative: int | None = None
    ) -> TwoLayerNetwork:
        """The network, with any of its three numbers replaced."""
        return TwoLayerNetwork.with_signs(
            self.positive if positive is None else positive,
            self.negative if negative is None else negative,
            LeakyReLU(self.slope if slope is None else slope),
        )


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "theorem",
            "nearly orthogonal data: the paper's condition holds with slack 1.25; 10 positive, 6 negative neurons",
            slope=0.5,
            positive=10,
            negative=6,
            draw=lambda slope, rng: datasets.nearly_orthogonal(20, 200, 1.25, slope, rng, norm_ratio=1.2),
        ),
        Preset(
            "gaussian",
            "Gaussian data on which only the refined condition holds",
            slope=0.3,
            positive=8,
            negative=8,
            draw=lambda slope, rng: datasets.gaussian(12, 2000, rng),
        ),
        Preset(
            "correlated",
            "samples with pairwise correlation 0.5, below every condition",
            slope=0.3,
            positive=8,
            negative=8,
            draw=lambda slope, rng: datasets.correlated(12, 2000, rng, correlation=0.5),
        ),
        Preset(
            "small",
            "6 samples in dimension 8, below every condition; 4 neurons, so that the global optimum is enumerated",
            slope=0.1,
            positive=2,
            negative=2,
            draw=lambda slope, rng: datasets.gaussian(6, 8, rng),
        ),
        Preset(
            "mixture",
            "the paper's Gaussian mixture, 100 samples in dimension 10,000 (‖μ‖ = d^0.26†), 512 neurons†",
            slope=0.1,
            positive=256,
            negative=256,
            draw=lambda slope, rng: datasets.gaussian_mixture(100, 10_000, rng, mean_norm=10_000**0.26),
        ),
        Preset(
            "descent",
            "4 samples so nearly orthogonal that the paper's condition for descent† holds with slack 1.2",
            slope=0.5,
            positive=4,
            negative=4,
            draw=lambda slope, rng: datasets.nearly_orthogonal(4, 40, 50.0, slope, rng),
        ),
        Preset(
            "orthogonal",
            "5 orthogonal samples and 48 neurons of slope 0, whose pattern at the start decides the limit",
            slope=0.0,
            positive=24,
            negative=24,
            draw=lambda slope, rng: Dataset(np.eye(5, 8)[:, rng.permutation(8)], rng.permutation([1, 1, 1, -1, -1])),
        ),
    )
}


def preset_named(name: str) -> Preset:
    """The preset called `name`.

    Examples
    --------
    >>> preset_named("theorem").data(seed=0).n
    20
    """
    if name not in PRESETS:
        raise InvalidParameterError("preset", f"be one of {', '.join(PRESETS)}", name)
    return PRESETS[name]
