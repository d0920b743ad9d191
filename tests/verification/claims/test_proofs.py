"""`verify --prove`: what proofs of flows and points do to the rows, and what the lack of one does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, TwoLayerNetwork, datasets
from verification import cli, verify
from verification.claims import all_margins_tight, flow_limit_is_kkt, flow_rank_at_most_two, proofs
from verification.claims.evidence import Evidence, Start
from verification.claims.report import Report
from verification.claims.run import DEFAULT_SCALES, default_starts
from verification.exact.documents import NotProven

pytest.importorskip("flint")
FOUND = Path(__file__).parents[3] / "docs" / "counterexamples"
RANK = (TwoLayerNetwork.with_signs(3, 0, LeakyReLU(0.05)), datasets.read(FOUND / "rank-closest.csv")[0])


def rows(report: Report) -> dict[str, str]:
    return {row.id: row.standing for row in report.claims}


@pytest.fixture(scope="module")
def report() -> Report:
    return verify(*RANK, loss="exponential", prove=True, descent_steps=10)


def test_a_conclusion_below_its_hypothesis_is_refuted_by_proof(report) -> None:
    """docs/findings.md proves the limit of rank 3 from the smallest of these scales."""
    found = rows(report)
    for name in ("flow-rank-at-most-two", "neurons-collapse", "limit-is-convex-optimum"):
        assert found[name] == "HYPOTHESIS_NOT_MET (refuted, proven)"
    assert found["global-optimum-by-enumeration"] == "HYPOTHESIS_NOT_MET (refuted, proven)"
    assert found["all-margins-tight"] == "HYPOTHESIS_NOT_MET (conclusion holds, proven)"
    row = next(row for row in report.claims if row.id == "flow-rank-at-most-two")
    assert row.reason.startswith("Refuted, proven: the flow from scale 0.0001 converges")


def test_a_row_about_the_flow_is_certified_when_every_start_is_proven(report) -> None:
    assert rows(report)["flow-limit-is-kkt"] == "HOLDS_CERTIFIED"
    assert {start["proven"] for start in report.starts} == {"the flow and its limit"}
    assert report.exit_code == 0


def test_proofs_are_kept_with_the_report(report, tmp_path) -> None:
    report.save(tmp_path / "report.npz")
    again = Report.load(tmp_path / "report.npz")
    assert rows(again) == rows(report)
    assert again.starts == report.starts


def test_without_prove_nothing_is_said_to_be_proven_of_a_start() -> None:
    plain = verify(*RANK, loss="exponential", descent_steps=10)
    assert not any(row.proven for row in plain.claims)
    assert rows(plain)["flow-rank-at-most-two"] == "HYPOTHESIS_NOT_MET (conclusion fails)"
    assert not any("proven" in start for start in plain.starts)


def evidence_of(network, data, loss) -> Evidence:
    starts = tuple(map(Start, DEFAULT_SCALES, default_starts(network, data)))
    return Evidence(network, data, loss, starts, prove=True)


def test_a_limit_refutes_but_certifies_nothing_without_the_way_there(monkeypatch) -> None:
    """A proven KKT point refutes what is said of all of them; the way there is not proven, so no row is certified."""
    monkeypatch.setattr(proofs, "MOST_UNITS_OF_A_FLOW", 8)
    evidence = evidence_of(*RANK, LogisticLoss())
    assert all(not isinstance(proof.point, NotProven) for proof in evidence.proofs)
    assert all("not the way there (flows are proven for up to 8 units" in proof.told for proof in evidence.proofs)
    row = flow_rank_at_most_two.CLAIM.evaluate(evidence, lambda: 0.0)
    assert max(proof.point.rank for proof in evidence.proofs) == 3
    assert row.proven == "refuted"
    assert "leads, in floats," in row.reason
    assert all_margins_tight.CLAIM.evaluate(evidence, lambda: 0.0).proven == ""
    assert flow_limit_is_kkt.CLAIM.evaluate(evidence, lambda: 0.0).verdict.name == "HOLDS_NUMERICALLY"


@pytest.fixture(scope="module")
def logistic() -> Evidence:
    """From the two smaller starts, whose flows end soon."""
    evidence = evidence_of(*RANK, LogisticLoss())
    return Evidence(*RANK, LogisticLoss(), evidence.starts[:2], prove=True)


def test_flows_of_the_logistic_loss_are_proven_too(logistic) -> None:
    evidence = logistic
    assert [proof.told for proof in evidence.proofs] == ["the flow and its limit"] * 2
    assert {proof.flow.loss for proof in evidence.proofs} == {"logistic"}
    assert flow_limit_is_kkt.CLAIM.evaluate(evidence, lambda: 0.0).verdict.name == "HOLDS_CERTIFIED"


SMALL = (TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), Dataset([[1.0, 0.25], [0.0, 1.0]], [1, -1]))


def test_one_start_that_is_not_proven_leaves_the_row_numerical() -> None:
    evidence = evidence_of(*SMALL, ExponentialLoss())
    assert flow_limit_is_kkt.CLAIM.evaluate(evidence, lambda: 0.0).verdict.name == "HOLDS_CERTIFIED"
    last = evidence.proofs[-1]._replace(flow=NotProven("UNDECIDED: a tangency"))
    less = evidence.supposing(proofs=(*evidence.proofs[:-1], last))
    assert flow_limit_is_kkt.CLAIM.evaluate(less, lambda: 0.0).verdict.name == "HOLDS_NUMERICALLY"


def test_a_proof_that_contradicts_a_row_wins_over_its_measurement(logistic) -> None:
    """On orthogonal samples all limits have rank 1; a proof of rank 3, of other data, is put in their place."""
    evidence = evidence_of(RANK[0], Dataset(np.eye(3), [1, 1, 1]), ExponentialLoss())
    assert flow_rank_at_most_two.CLAIM.evaluate(evidence, lambda: 0.0).verdict.name == "HOLDS_CERTIFIED"
    row = flow_rank_at_most_two.CLAIM.evaluate(evidence.supposing(proofs=logistic.proofs), lambda: 0.0)
    assert (row.verdict.name, row.conclusion.name, row.proven) == ("VIOLATED", "FAILS", "refuted")


def test_proofs_end_with_their_share_of_the_time(monkeypatch) -> None:
    monkeypatch.setattr(proofs, "SHARE_OF_PROOFS", 0.0)
    found = verify(*RANK, loss="exponential", prove=True, time_limit=60.0)
    assert all("its share of the time limit was used up" in start["proven"] for start in found.starts)
    assert rows(found)["flow-rank-at-most-two"] == "HYPOTHESIS_NOT_MET (conclusion fails)"


def test_a_flow_that_takes_its_time_leaves_some_for_its_limit(monkeypatch) -> None:
    def endless(network, data, W0, progress, loss):
        while True:
            progress("one more step")

    monkeypatch.setattr(proofs, "certify_flow", endless)
    evidence = evidence_of(*RANK, ExponentialLoss())
    found = proofs._proof(evidence, evidence.starts[0], evidence.flows[0], 2.0)
    assert found.point.proven
    assert found.told.startswith("the limit in floats is a KKT point; not the way there (its share of the time limit")


def test_of_a_loss_of_the_users_the_limit_is_proven_and_not_the_flow() -> None:
    """Half the logistic loss; what is derived from a loss may be any other function."""

    class Half(LogisticLoss):
        def value(self, q):
            return super().value(q) / 2.0

    told = {proof.told for proof in evidence_of(*RANK, Half()).proofs}
    reason = "flows are proven for the logistic and the exponential loss"
    assert told == {f"the limit in floats is a KKT point; not the way there ({reason})"}


def test_what_is_too_large_or_has_slope_zero_says_so() -> None:
    large = TwoLayerNetwork.with_signs(40, 0, LeakyReLU(0.05)), RANK[1]
    assert "up to 64 units, not 120" in evidence_of(*large, ExponentialLoss()).proofs[0].told
    zero = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.0)), SMALL[1]
    assert "for slope 0 nothing is proven" in evidence_of(*zero, ExponentialLoss()).proofs[0].told


def test_the_command_tells_what_is_proven(capsys) -> None:
    data = ["--data", str(FOUND / "rank-closest.csv"), "--slope", "0.05", "--positive", "3", "--negative", "0"]
    assert cli.main(["verify", "--prove", "--loss", "exponential", "--steps", "10", *data]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Proven from scale 0.0001: the flow and its limit." in text
    assert "HYPOTHESIS_NOT_MET (refuted, proven)" in text
