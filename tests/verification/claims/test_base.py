"""From hypothesis and measurement to a verdict, and what a claim whose quantities cannot be had says."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from refimpl.errors import ImplicitBiasError, InvalidDataError
from refimpl.flow import FlowStatus
from verification.claims import CLAIMS, HypothesisResult, Measurement, Verdict
from verification.claims.base import judge
from verification.claims.evidence import Evidence

from .given import BY_ID, fresh, verdict


def test_a_missing_limit_is_inconclusive(honest: Evidence) -> None:
    evidence = fresh()
    flows = (replace(honest.flows[0], limit=None, status=FlowStatus.STALLED), *honest.flows[1:])
    evidence = evidence.supposing(flows=flows)
    result = BY_ID["flow-rank-at-most-two"].evaluate(evidence, perf_counter)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "STALLED" in result.reason


def test_certified_only_where_the_certificate_proves_it(honest: Evidence) -> None:
    pytest.importorskip("flint")
    assert honest.every_kkt_point_is_certified
    certified = {claim.id for claim in CLAIMS if verdict(claim.id, honest) is Verdict.HOLDS_CERTIFIED}
    assert certified == {
        "flow-rank-at-most-two",
        "all-margins-tight",
        "neurons-collapse",
        "limit-is-convex-optimum",
        "decision-boundary-linear",
        "margin-approximation",
    }
    without = fresh()
    without = without.supposing(flows=honest.flows, certificate=None)
    assert verdict("flow-rank-at-most-two", without) is Verdict.HOLDS_NUMERICALLY


@pytest.mark.parametrize(
    ("satisfied", "value", "tolerance", "undecided", "expected"),
    [
        (True, 0.0, 1e-9, "", Verdict.HOLDS_NUMERICALLY),
        (True, 1.1e-9, 1e-9, "", Verdict.VIOLATED),
        (True, 0.0, 2e-6, "", Verdict.INCONCLUSIVE),
        (True, None, 1e-9, "", Verdict.INCONCLUSIVE),
        (True, float("nan"), 1e-9, "", Verdict.INCONCLUSIVE),
        (True, 0.0, 1e-9, "no limit", Verdict.INCONCLUSIVE),
        (False, 5.0, 1e-9, "", Verdict.HYPOTHESIS_NOT_MET),
        (False, None, 1e-9, "no limit", Verdict.HYPOTHESIS_NOT_MET),
    ],
)
def test_judge(satisfied: bool, value: float | None, tolerance: float, undecided: str, expected: Verdict) -> None:
    measurement = Measurement("quantity", value, 0.0, tolerance, "reason", undecided)
    assert judge(HypothesisResult("condition", satisfied, None), measurement)[0] is expected


def test_a_tolerance_is_a_part_of_a_large_bound() -> None:
    holds = HypothesisResult("condition", True, None)
    large = Measurement("ratio", 900.0, 1000.0, 5e-4, "error of the limit")
    assert judge(holds, large)[0] is Verdict.HOLDS_NUMERICALLY
    assert judge(holds, replace(large, tolerance=2e-3))[0] is Verdict.INCONCLUSIVE
    assert judge(holds, replace(large, bound=float("inf"), tolerance=5e-4))[0] is Verdict.INCONCLUSIVE


def test_a_hypothesis_that_is_not_known_decides_nothing() -> None:
    unknown = HypothesisResult("data separable", False, None, "The solver stopped early.")
    for value in (0.0, 5.0):
        found = judge(unknown, Measurement("quantity", value, 1.0, 0.0, "none"))
        assert found == (Verdict.INCONCLUSIVE, "The solver stopped early.")


@pytest.mark.parametrize("error", [InvalidDataError("X", "`X` is odd."), np.linalg.LinAlgError("no convergence")])
@pytest.mark.parametrize("part", ["hypothesis", "measure"])
def test_what_cannot_be_had_costs_one_row_only(honest: Evidence, error: Exception, part: str) -> None:
    def fail(evidence: Evidence):
        raise error

    row = replace(BY_ID["all-margins-tight"], **{part: fail}).evaluate(honest, perf_counter)
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "odd" in row.reason or "no convergence" in row.reason


def test_a_programming_error_is_loud(honest: Evidence) -> None:
    def fail(evidence: Evidence):
        raise TypeError("a fault")

    with pytest.raises(TypeError, match="a fault"):
        replace(BY_ID["all-margins-tight"], measure=fail).evaluate(honest, perf_counter)


def test_there_are_at_least_26_claims() -> None:
    assert len(BY_ID) == len(CLAIMS) >= 26


def test_only_quantities_that_are_computed_can_be_supposed(honest: Evidence) -> None:
    with pytest.raises(ImplicitBiasError, match="nonsense"):
        honest.supposing(nonsense=1.0)
    with pytest.raises(ImplicitBiasError, match="alpha"):  # a property of the step size, never kept
        honest.supposing(alpha=1.0)
    assert honest.supposing(flows=()).limits == ()
    assert len(honest.limits) == 3
