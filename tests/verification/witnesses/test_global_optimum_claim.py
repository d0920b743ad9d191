"""The claim that the limit is the global optimum: it holds, fails, and is not believed where it must not be."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from refimpl import LogisticLoss, datasets
from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from verification import verify
from verification.claims import Verdict, global_optimum_by_enumeration
from verification.claims.evidence import Evidence
from verification.claims.run import DEFAULT_SCALES, _starts

from .enumeration_given import signs

CLAIM = global_optimum_by_enumeration.CLAIM


def evidence(network: TwoLayerNetwork, data: Dataset) -> Evidence:
    return Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))


def test_below_the_conditions_a_limit_that_is_not_global_is_a_finding():
    """Two of three flows end in KKT points of rank 2, far above the global optimum, which has rank 3."""
    found = evidence(signs(2, 2, 0.1), datasets.gaussian(4, 3, np.random.default_rng(1)).rescaled()[0])
    result = CLAIM.evaluate(found, perf_counter)
    assert result.verdict is Verdict.HYPOTHESIS_NOT_MET
    assert result.measurement.value > 0.1
    assert result.measurement.value == max(result.measurement.details["excess"])
    assert min(result.measurement.details["excess"]) == pytest.approx(0.0, abs=1e-9)
    assert all(r.stationarity < 1e-9 for r in found.kkt)  # each limit is a KKT point all the same
    assert found.global_optimum is found.global_optimum
    assert found.global_optimum.rank == 3


def test_where_the_conditions_hold_the_claim_holds_and_a_longer_limit_is_seen():
    data = datasets.gaussian(4, 2000, np.random.default_rng(0)).rescaled()[0]
    found = evidence(signs(2, 1, 0.3), data)
    result = CLAIM.evaluate(found, perf_counter)
    assert result.verdict in (Verdict.HOLDS_NUMERICALLY, Verdict.HOLDS_CERTIFIED)
    assert abs(result.measurement.value) <= result.measurement.tolerance <= 1e-6
    wrong = evidence(signs(2, 1, 0.3), data)
    flows = []
    for flow in found.flows:
        C = flow.limit.coefficients.copy()
        C[0] *= 1.01
        flows.append(replace(flow, limit=replace(flow.limit, coefficients=C)))
    wrong = wrong.supposing(flows=tuple(flows))
    assert CLAIM.evaluate(wrong, perf_counter).verdict is Verdict.VIOLATED


def test_a_limit_below_the_lower_bound_is_not_believed():
    """Then the enumeration has missed something, which a small excess must not hide."""
    found = evidence(signs(1, 1, 0.3), datasets.gaussian(2, 500, np.random.default_rng(0)).rescaled()[0])
    optimum = found.global_optimum
    found = found.supposing(global_optimum=replace(optimum, objective=1.1 * optimum.objective))
    found = found.supposing(global_optimum=replace(found.global_optimum, lower_bound=found.global_optimum.objective))
    result = CLAIM.evaluate(found, perf_counter)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "below" in result.reason


def test_the_row_is_there_only_where_there_are_few_programs():
    small = verify(signs(2, 1, 0.3), datasets.gaussian(4, 200, np.random.default_rng(0)), descent_steps=10)
    assert CLAIM.id in [row.id for row in small.claims]
    large = evidence(signs(2, 2, 0.3), datasets.gaussian(20, 30, np.random.default_rng(0)))
    assert not CLAIM.applies(large)
    unmeasured = CLAIM.measure(large)
    assert unmeasured.value is None
    assert "too many programs" in unmeasured.undecided
