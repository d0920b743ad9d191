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

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gradient_descent, gradient_flow
from refimpl.datasets import nearly_orthogonal
from refimpl.paper import descent_settings
from verification import Report, verify
from verification.claims import CLAIMS, paper_descent_theorem
from verification.claims.as_given import descents_as_given, flows_as_given
from verification.page.of_report import flow_section

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
    data, W0, alpha = problem(k)
    ids = [claim.id for claim in CLAIMS]  # those too that do not speak about these data
    return verify(network, data, W0, step_size=alpha, descent_steps=40, only=ids)


def problem(k: int) -> tuple[Dataset, Any, float]:
    """Data, start and step size."""
    X = np.array([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1], [0.1, 0.0, 1.0]])
    W0 = np.random.default_rng(0).standard_normal((3, 3))
    return Dataset(np.ldexp(X, k), [1, -1, 1]), np.ldexp(W0, -k), 0.25 * 4.0**-k


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


FLOW = {"s": -2, "norm": -1, "smoothed_margin": 1, "margins": 0, "log_loss": 0, "sample_weights": 0}
DESCENT = {"norm": -1, "neuron_norms": -1, "singular_values": -1, "increment_norms": -1, "accumulated_weights": -2}


@pytest.mark.parametrize(("as_given", "powers"), [(flows_as_given, FLOW), (descents_as_given, DESCENT)])
def test_what_pictures_show_is_in_the_users_units(as_given: Any, powers: dict[str, int]) -> None:
    for one, other in zip(as_given(report(0).evidence), as_given(report(K).evidence), strict=True):
        before, after = (getattr(run, "result", run).trajectory for run in (one, other))
        for name, power in powers.items():
            assert np.array_equal(getattr(after, name), np.ldexp(getattr(before, name), K * power)), name


def test_what_pictures_show_is_what_flow_and_descent_have_on_the_data_as_given() -> None:
    evidence = report(K).evidence
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    data, W0, alpha = problem(K)
    flow = gradient_flow(network, data, 1e-2 * W0)
    descent = gradient_descent(network, data, 1e-2 * W0, alpha, 40, record_every=1)
    shown, run = flows_as_given(evidence)[1], descents_as_given(evidence)[1].result
    assert shown.trajectory.s[-1] == pytest.approx(flow.trajectory.s[-1], rel=1e-6)
    assert shown.limit.weights() == pytest.approx(flow.limit.weights(), rel=1e-9)
    assert run.weights() == pytest.approx(descent.weights(), rel=1e-12)
    assert run.trajectory.norm == pytest.approx(descent.trajectory.norm, rel=1e-12)
    assert run.diagnostics["step_size"] == alpha
    says = flow_section(report(K), evidence).pictures[0].says
    assert f"up to s = {flows_as_given(evidence)[0].trajectory.s[-1]:.4g}," in says


def test_a_flow_that_was_stopped_tells_its_time_in_the_users_units() -> None:
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    data, W0, _ = problem(K)
    stopped = verify(network, data, W0, flow_time_limit=1e-9, only=["flow-zero-loss"])
    for start, flow in zip(stopped.starts, flows_as_given(stopped.evidence), strict=True):
        assert start["status"] == "TIME_LIMIT"
        assert f"s = {flow.trajectory.s[-1]:.6g})" in start["message"]


def test_the_words_of_the_papers_descent_are_in_the_users_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper_descent_theorem, "LONG", 120)
    data = nearly_orthogonal(3, 30, 50.0, 0.5, 0)
    network = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
    for k in (0, K):
        data_k = Dataset(np.ldexp(data.X, k), data.y)
        (row,) = verify(network, data_k, only=["paper-descent-theorem"]).claims
        wanted = descent_settings(data_k.R_min, data_k.R_max, data_k.p, 3, 30, 4, 0.5, 1.0, 0.01)
        assert row.hypothesis.satisfied
        assert f"of the size {wanted.step_size:.2g} from the scale {wanted.scale:.2g} the loss" in row.reason


def test_the_data_set_is_described_in_the_users_units() -> None:
    for name, power in {"R_min": 1, "R_max": 1, "p": 2}.items():
        assert report(K).dataset[name] == np.ldexp(report(0).dataset[name], K * power)
