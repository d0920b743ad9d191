"""Networks and data whose optimum is known."""

from __future__ import annotations

from refimpl import LeakyReLU
from refimpl.network import TwoLayerNetwork


def signs(positive: int, negative: int, slope: float) -> TwoLayerNetwork:
    return TwoLayerNetwork.with_signs(positive, negative, LeakyReLU(slope))
