"""Numbers just below and just above what theory allows: bounds are sharp."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.flow import FlowStatus
from verification.claims import Verdict
from verification.claims.evidence import Evidence

from .given import fresh, verdict


def edges(honest: Evidence, claim: str, change) -> list[Verdict]:
    """Verdicts with the worst of all recorded numbers put just below and just above what theory allows."""
    return [verdict(claim, change(1.0 + side * 1e-6)) for side in (-1.0, 1.0)]


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("at", [1, 20, -1])
def test_the_bound_on_the_stable_rank_is_sharp(honest: Evidence, wrong: int, at: int) -> None:
    gamma = honest.network.slope
    bound = 1.0 + np.linalg.cond(honest.data.gram) * (1.0 - gamma) ** 2 / (4.0 * gamma)

    def change(factor: float) -> Evidence:
        def at_one_step(path):
            ranks = path.increment_stable_rank.copy()
            ranks[at] = factor * bound
            return ranks

        return with_one_descent(honest, wrong, increment_stable_rank=at_one_step)

    assert edges(honest, "descent-stable-rank-bounded", change) == [Verdict.HOLDS_NUMERICALLY, Verdict.VIOLATED]


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("at", [1, 20, -1])
def test_the_bound_on_the_growth_of_a_row_is_sharp(honest: Evidence, wrong: int, at: int) -> None:
    smallest = 1.0 / np.linalg.norm(np.linalg.inv(honest.data.gram), 2)
    a, gamma = honest.network.second_layer, honest.network.slope

    def change(factor: float) -> Evidence:
        def at_one_step(path):
            norms = path.increment_norms.copy()
            G = path.accumulated_weights[at]
            norms[at, -1] = np.sqrt(smallest * gamma**2 * a[-1] ** 2 * (G @ G) / factor)
            return norms

        return with_one_descent(honest, wrong, increment_norms=at_one_step)

    assert edges(honest, "descent-norms-grow", change) == [Verdict.HOLDS_NUMERICALLY, Verdict.VIOLATED]


def rate_of_section_10(evidence: Evidence) -> float:
    """αδ/n with ρ by bisection."""
    K, n, gamma = evidence.data.gram, evidence.data.n, evidence.network.slope
    A, R = float(np.sum(evidence.network.second_layer**2)), evidence.data.R_max
    alpha, low, high = n / (A * R**2), 0.0, 1.0
    for _ in range(100):
        rho = (low + high) / 2.0
        low, high = (rho, high) if alpha <= -n * np.log(rho) / (A * rho * gamma * R**2) else (low, rho)
    r = np.abs(K).sum(axis=1) - np.diagonal(K)
    return alpha * gamma * A * float(np.min(low * gamma * np.diagonal(K) - r)) / n


@pytest.mark.parametrize("wrong", [0, 1, 2])
@pytest.mark.parametrize("at", [-10, -5, -1])
def test_the_bounds_of_section_10_are_sharp(honest: Evidence, wrong: int, at: int) -> None:
    rate = rate_of_section_10(honest)

    def loss_at(factor: float) -> Evidence:
        def at_one_step(path):
            loss = path.loss.copy()
            t0 = np.ceil(2.0 * max(0.0, -path.smallest_margin[0]) / rate)
            loss[at] = factor * 2.0 / (rate * (path.step[at] - t0))
            return loss

        return with_one_descent(honest, wrong, loss=at_one_step)

    def gain_at(factor: float) -> Evidence:
        def margins(path):
            q = np.empty_like(path.smallest_margin)
            q[0] = 0.0
            for k, steps in enumerate(np.diff(path.step), 1):
                c = 1.0 / factor if k == at % len(q) else 1.5  # q_k = q_{k-1} + c · steps · rate · σ(-q_k)
                low, high = q[k - 1], q[k - 1] + c * steps * rate
                for _ in range(100):
                    gain = (low + high) / 2.0
                    value = q[k - 1] + c * steps * rate / (1.0 + np.exp(gain))
                    low, high = (gain, high) if gain < value else (low, gain)
                q[k] = gain
            return q

        return with_one_descent(honest, wrong, smallest_margin=margins, loss=lambda path: np.zeros_like(path.loss))

    for change in (loss_at, gain_at):
        assert edges(honest, "descent-converges", change) == [Verdict.HOLDS_NUMERICALLY, Verdict.VIOLATED]


def with_one_descent(honest: Evidence, wrong: int, **changes) -> Evidence:
    """A copy in which one of the three descents has changed records."""
    evidence = fresh()
    runs = list(honest.descents)
    path = runs[wrong].result.trajectory
    new = replace(path, **{name: change(path) for name, change in changes.items()})
    runs[wrong] = replace(runs[wrong], result=replace(runs[wrong].result, trajectory=new))
    return evidence.supposing(descents=tuple(runs))


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_the_threshold_of_the_loss_is_sharp(honest: Evidence, wrong: int) -> None:
    threshold = np.log(np.log(2.0) / honest.data.n)  # log(ℓ(0)/n)

    def change(factor: float) -> Evidence:
        evidence = fresh()
        flows = list(honest.flows)
        path = flows[wrong].trajectory
        log_loss = np.append(path.log_loss[:-1], threshold + np.log(factor))
        stopped = replace(path, log_loss=log_loss)
        flows[wrong] = replace(flows[wrong], trajectory=stopped, limit=None, status=FlowStatus.STALLED)
        return evidence.supposing(flows=tuple(flows))

    assert edges(honest, "flow-zero-loss", change) == [Verdict.HOLDS_NUMERICALLY, Verdict.INCONCLUSIVE]
