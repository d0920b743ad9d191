"""What a report says is in the user's units: data times 2ᵏ, with the start and the step size that go with them.

X -> 2ᵏX, W -> W/2ᵏ, α -> α/4ᵏ changes no margin. So ranks, ratios and losses must be the same, and lengths, times and
rates must be multiplied by their own powers of 2ᵏ, which are exact.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from verification import Report, verify
from verification.claims import CLAIMS

K = 6
POWERS = {
    "descent-converges.details.delta": 2,
    "descent-converges.details.step_size": -2,
    "descent-norms-grow.details.smallest_norm_at_the_start": -1,
    "descent-norms-grow.details.smallest_norm_at_the_end": -1,
    "flow-stays-in-last-cell.details.trapped_since": -2,
    "paper-descent-theorem.details.step_size": -2,
    "paper-descent-theorem.details.scale": -1,
}
"""The power of 2ᵏ that a number goes with; 0 for all others."""


@functools.cache
def report(k: int) -> Report:
    """On the same problem in other units."""
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    X = np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1], [0.1, 0.0, 1.0]])
    W0 = np.random.default_rng(0).standard_normal((3, 3))
    data = Dataset(np.ldexp(X, k), [1, -1, 1])
    ids = [claim.id for claim in CLAIMS]  # those too that do not speak about these data
    return verify(network, data, np.ldexp(W0, -k), step_size=0.25 * 4.0**-k, descent_steps=40, only=ids)


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Everything in a document, by its name without the places in lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, name)
    else:
        yield name, value


@pytest.mark.parametrize("id", [claim.id for claim in CLAIMS])
def test_numbers_of_a_claim_are_in_the_users_units(id: str) -> None:
    one, other = (
        list(leaves({**row.to_dict(), "seconds": 0.0}, id))
        for row in (next(row for row in report(k).claims if row.id == id) for k in (0, K))
    )
    assert [name for name, _ in one] == [name for name, _ in other]
    for (name, before), (_, after) in zip(one, other, strict=True):
        wanted = np.ldexp(before, K * POWERS[name]) if name in POWERS else before
        assert after == wanted, name


def test_the_data_set_is_described_in_the_users_units() -> None:
    for name, power in {"R_min": 1, "R_max": 1, "p": 2}.items():
        assert report(K).dataset[name] == np.ldexp(report(0).dataset[name], K * power)
