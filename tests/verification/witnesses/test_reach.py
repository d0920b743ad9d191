"""How far data are from the conditions: parts of the samples by brute force, dimensions by drawing Gaussian samples."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets
from verification import check_hypotheses
from verification.witnesses.reach import CONDITIONS, gaussian_dimension, largest_subset, reach

SIGNS = TwoLayerNetwork.with_signs


def satisfied(network: TwoLayerNetwork, data: Dataset, chosen, name: str) -> bool:
    part = Dataset(data.X[list(chosen)], data.y[list(chosen)])
    return getattr(check_hypotheses(network, part), name.replace("-", "_")).satisfied


@pytest.mark.parametrize("name", CONDITIONS)
@pytest.mark.parametrize("seed", range(6))
def test_a_greedy_part_is_one_on_which_the_condition_holds_and_no_sample_can_be_added(name: str, seed: int) -> None:
    network = SIGNS(2, 3, LeakyReLU(0.7)) if name != "paper" else SIGNS(2, 2, LeakyReLU(1.0))
    data = datasets.gaussian(7, 20 if name == "refined" else 200, seed)
    found = set(largest_subset(network, data, name).tolist())
    assert satisfied(network, data, found, name)
    assert not any(satisfied(network, data, found | {i}, name) for i in set(range(7)) - found)
    largest = max(
        size
        for size in range(1, 8)
        if any(satisfied(network, data, chosen, name) for chosen in combinations(range(7), size))
    )
    assert largest - 1 <= len(found) <= largest  # greedy, and one off at most on these


def test_one_sample_that_is_near_all_others_is_left_out() -> None:
    X = np.vstack([np.eye(6), np.ones(6) / np.sqrt(6.0)])
    data = Dataset(X, [1, -1, 1, -1, 1, -1, 1])
    for name in CONDITIONS:
        np.testing.assert_array_equal(largest_subset(SIGNS(2, 2, LeakyReLU(0.5)), data, name), np.arange(6))


def test_all_samples_where_the_condition_holds_and_none_for_slope_0() -> None:
    data = datasets.gaussian(6, 5000, 0)
    assert reach(SIGNS(2, 2, LeakyReLU(0.5)), data)["refined"].samples == 6
    found = reach(SIGNS(2, 2, LeakyReLU(0.0)), data)["refined"]
    assert (found.samples, found.gaussian_dimension) == (0, np.inf)


@pytest.mark.parametrize(("name", "slope"), [("refined", 0.5), ("instance-wise", 0.5), ("paper", 1.0)])
def test_gaussian_samples_have_slack_one_about_the_estimated_dimension(name: str, slope: float) -> None:
    """Drawn, and judged from the samples: the median slack at d* is 1, to the spread of a few draws."""
    network, y = SIGNS(3, 3, LeakyReLU(slope)), np.array([1.0, -1.0] * 5)
    d = round(gaussian_dimension(network, y, name))
    assert 100 < d < 10_000
    slacks = [
        getattr(check_hypotheses(network, datasets.gaussian(10, d, seed)), name.replace("-", "_")).slack
        for seed in range(9)
    ]
    assert 0.8 < np.median(slacks) < 1.25
