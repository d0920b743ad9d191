"""The five sentences that open a report say what the rows say, and what the data are, by other routes."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets
from refimpl.errors import InvalidParameterError, RunInterrupted
from verification import verify
from verification.claims.answer import _of_violated
from verification.claims.report import Report
from verification.presets import PRESETS

SIGNS = TwoLayerNetwork.with_signs


def overlapping() -> Dataset:
    rng = np.random.default_rng(3)
    return Dataset(rng.standard_normal((12, 2)) + 3.0, np.where(np.arange(12) % 2, 1.0, -1.0))


def clusters(seed: int) -> Dataset:
    """Two classes about opposite points, with a linear separator through the origin and many interior samples."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(15) % 2, 1.0, -1.0)
    return Dataset(0.3 * rng.standard_normal((15, 4)) + 2.0 * y[:, None], y)


CASES = {
    "theorem": lambda: (PRESETS["theorem"].network(), PRESETS["theorem"].data(0)),
    "correlated": lambda: (PRESETS["correlated"].network(), PRESETS["correlated"].data(0)),
    "small": lambda: (PRESETS["small"].network(), PRESETS["small"].data(1)),
    "gaussian, few dimensions": lambda: (SIGNS(3, 3, LeakyReLU(0.2)), datasets.gaussian(8, 8, 0)),
    "gaussian, more dimensions": lambda: (SIGNS(3, 3, LeakyReLU(0.5)), datasets.gaussian(8, 60, 1)),
    "clusters": lambda: (SIGNS(3, 3, LeakyReLU(0.3)), clusters(0)),
    "clusters, slope 1": lambda: (SIGNS(3, 3, LeakyReLU(1.0)), clusters(0)),
    "overlapping": lambda: (SIGNS(3, 3, LeakyReLU(0.3)), overlapping()),
    "overlapping, slope 1": lambda: (SIGNS(3, 3, LeakyReLU(1.0)), overlapping()),
    "ReLU": lambda: (SIGNS(3, 3, LeakyReLU(0.0)), clusters(1)),
    "one sample": lambda: (SIGNS(2, 2, LeakyReLU(0.5)), Dataset([[1.0, 2.0]], [1])),
    "one neuron": lambda: (SIGNS(1, 0, LeakyReLU(0.5)), Dataset([[1.0, 0.1], [0.0, 1.0]], [1, -1])),
    "all orthogonal": lambda: (SIGNS(2, 1, LeakyReLU(0.5)), Dataset(np.eye(3), [1, -1, 1])),
    "opposite deserters": lambda: (SIGNS(2, 0, LeakyReLU(0.05)), Dataset([[1.0, -0.025], [-0.025, 1.0]], [1, 1])),
    "no flow has a limit": lambda: (SIGNS(1, 1, LeakyReLU(0.5)), Dataset([[1.0], [2.0], [3.0]], [1, -1, 1])),
}


@pytest.fixture(scope="module", params=CASES)
def case(request) -> tuple[str, TwoLayerNetwork, Dataset, Report]:
    network, data = CASES[request.param]()
    return request.param, network, data, verify(network, data, descent_steps=50)


def rows_of(report: Report) -> dict:
    return {row.id: row for row in report.claims}


def test_five_sentences(case) -> None:
    report = case[3]
    assert len(report.answer) == 5
    for text in report.answer:
        assert text.endswith(".")
        assert not re.search(r"\.\s", text), text  # one sentence
        assert "nan" not in text


def test_the_data_are_told_as_they_are(case) -> None:
    _, _, data, report = case
    text = report.answer[0]
    plus = int(np.sum(data.y > 0))
    assert f"n = {data.n} sample" in text
    assert f"({plus} positive, {data.n - plus} negative)" in text
    row = rows_of(report)["flow-zero-loss"]
    if case[1].slope > 0.0 and not row.hypothesis.undecided:
        assert ("a hyperplane through the origin separates" in text) == row.hypothesis.satisfied


def test_the_conditions_are_those_of_the_report(case) -> None:
    report = case[3]
    text = report.answer[1]
    holding = {c["name"] for c in report.conditions if c["satisfied"]}
    assert text.startswith("None") == (not holding)
    assert text.startswith("All three") == (len(holding) == 3)
    for condition in report.conditions:
        assert f"{condition['slack']:.3g}" in text


def test_the_flow_is_told_as_its_rows_say(case) -> None:
    """Ranks, tight margins and boundary against the conclusions of the rows about them."""
    report = case[3]
    text, rows = report.answer[2], rows_of(report)
    if "rank " in text and "not decided" not in text:
        largest = int(re.search(r"rank (?:\d+ to )?(\d+)", text)[1])
        assert (largest <= 2) == (rows["flow-rank-at-most-two"].conclusion.name == "HOLDS")
        least = int(re.search(r"(\d+)(?: to \d+)? of \d+ margins tight", text)[1])
        assert (least == case[2].n) == (rows["all-margins-tight"].conclusion.name == "HOLDS")
        assert ("boundary not linear" in text) == (rows["decision-boundary-linear"].conclusion.name == "FAILS")
    else:
        assert rows["flow-rank-at-most-two"].conclusion.name == "UNDECIDED"


def test_what_is_proven_is_what_certificate_and_rows_say(case) -> None:
    pytest.importorskip("flint")
    _, network, data, report = case
    text, rows = report.answer[3], rows_of(report)
    verdict = report.certificate["verdict"]
    certified = any(row.verdict.name == "HOLDS_CERTIFIED" for row in report.claims)
    assert not certified or verdict == "unique_kkt_point"
    assert ("is the only KKT point, so" in text) == (verdict == "unique_kkt_point")
    assert ("is a KKT point of (P)" in text) == (verdict == "kkt_point")
    program = rows["limit-is-convex-optimum"].conclusion.name
    assert ("do not solve (C)" in text) == (program == "FAILS")
    assert ("the limits solve (C)" in text) == (program == "HOLDS")
    if verdict in ("kkt_point", "convex_optimum") and data.n <= 8:
        assert exact_multipliers(network, data).min() >= 0


def exact_multipliers(network: TwoLayerNetwork, data: Dataset) -> np.ndarray:
    """M λ = 1 by fractions, written down from docs/theory.md, section 6."""
    n, g = data.n, Fraction(network.slope)
    plus = Fraction(int(network.positive.sum()), network.m)
    c = [Fraction(1) if y > 0 else g for y in data.y]
    d = [g if y > 0 else Fraction(1) for y in data.y]
    X = [[Fraction(float(x)) for x in row] for row in data.X]
    A = [
        [
            int(data.y[i] * data.y[k])
            * sum(a * b for a, b in zip(X[i], X[k], strict=True))
            * (plus * c[i] * c[k] + (1 - plus) * d[i] * d[k])
            for k in range(n)
        ]
        + [Fraction(1)]
        for i in range(n)
    ]
    for i in range(n):
        pivot = next(r for r in range(i, n) if A[r][i] != 0)
        A[i], A[pivot] = A[pivot], A[i]
        A[i] = [x / A[i][i] for x in A[i]]
        for r in range(n):
            if r != i:
                A[r] = [x - A[r][i] * p for x, p in zip(A[r], A[i], strict=True)]
    return np.array([row[n] for row in A])


def test_what_to_look_at_follows_the_rows(case) -> None:
    report = case[3]
    text, rows = report.answer[4], report.claims
    failing = [row.id for row in rows if row.verdict.name == "HYPOTHESIS_NOT_MET" and row.conclusion.name == "FAILS"]
    open_rows = [row.id for row in rows if row.verdict.name == "INCONCLUSIVE"]
    if "no hyperplane" in report.answer[0]:
        assert "they are not separable" in text
    elif open_rows:
        assert open_rows[0] in text
    elif failing:
        assert failing[0] in text
    else:
        assert " fails" not in text


def test_conclusions_are_judged_beside_the_theorem(case) -> None:
    for row in case[3].claims:
        m, verdict, conclusion = row.measurement, row.verdict.name, row.conclusion.name
        if verdict.startswith("HOLDS") or verdict == "VACUOUS":
            assert conclusion == "HOLDS"
        if conclusion == "FAILS":
            assert verdict in ("VIOLATED", "HYPOTHESIS_NOT_MET")
            assert m.value > m.bound + m.tolerance
        if conclusion == "HOLDS":
            assert m.value <= m.bound + m.tolerance
            assert np.isfinite(m.bound)
        if verdict.startswith("HOLDS"):
            assert m.bound + m.tolerance < m.trivial


def test_the_report_hands_it_on(case, tmp_path) -> None:
    report = case[3]
    content = json.loads(report.to_json())
    assert content["answer"] == list(report.answer)
    assert {row["conclusion"] for row in content["claims"]} <= {"HOLDS", "FAILS", "UNDECIDED"}
    html = re.sub(r"<[^>]*>|\s+", " ", report.to_html())
    assert "conclusion" in html
    assert "Look " in html
    report.save(tmp_path / "report.npz")
    again = Report.load(tmp_path / "report.npz")
    assert again.answer == report.answer
    assert again.summary == report.summary
    assert [row.conclusion for row in again.claims] == [row.conclusion for row in report.claims]


def test_hypothesis_not_met_is_told_apart_by_its_conclusion() -> None:
    network, data = CASES["clusters"]()
    report = verify(network, data, descent_steps=50)
    counts = {
        word: sum(
            row.verdict.name == "HYPOTHESIS_NOT_MET" and row.conclusion.name == word and not row.measurement.vacuous
            for row in report.claims
        )
        for word in ("HOLDS", "FAILS")
    }
    assert counts["HOLDS"] > 0
    assert counts["FAILS"] > 0
    assert f"{counts['HOLDS']} HYPOTHESIS_NOT_MET (conclusion holds)" in report.summary
    assert f"{counts['FAILS']} HYPOTHESIS_NOT_MET (conclusion fails)" in report.summary


@pytest.mark.parametrize(
    ("claim", "network", "X", "y"),
    [
        ("flow-rank-at-most-two", SIGNS(1, 1, LeakyReLU(0.5)), np.eye(3), [1, -1, 1]),
        ("flow-rank-at-most-two", SIGNS(3, 3, LeakyReLU(0.5)), np.eye(2), [1, -1]),
        ("neurons-collapse", SIGNS(1, 1, LeakyReLU(0.5)), np.eye(3), [1, -1, 1]),
        ("decision-boundary-linear", SIGNS(1, 1, LeakyReLU(0.5)), np.eye(3), [1, -1, 1]),
        ("all-margins-tight", SIGNS(3, 3, LeakyReLU(0.5)), [[1.0, 2.0]], [1]),
        ("descent-stable-rank-bounded", SIGNS(3, 3, LeakyReLU(0.5)), [[1.0, 0.9], [0.9, 1.0]], [1, 1]),
    ],
)
def test_a_bound_that_says_nothing_is_not_green(claim: str, network: TwoLayerNetwork, X, y) -> None:
    row = rows_of(verify(network, Dataset(X, y), descent_steps=50))[claim]
    assert row.verdict.name in ("VACUOUS", "HYPOTHESIS_NOT_MET")
    assert row.measurement.vacuous
    assert "says nothing" in row.reason


def test_a_short_descent_leaves_its_bound_on_the_loss_empty() -> None:
    """After t steps the bound is 2n/(αδt): 10 steps of a quarter of the usual size leave it above log 2."""
    data, network = Dataset(np.eye(2), [1, -1]), SIGNS(1, 1, LeakyReLU(0.5))
    for steps, verdict in ((10, "VACUOUS"), (500, "HOLDS_NUMERICALLY")):
        row = rows_of(verify(network, data, step_size=0.1, descent_steps=steps))["descent-converges"]
        assert row.verdict.name == verdict
        assert (row.measurement.details["loss_bound_at_the_end"] >= np.log(2.0)) == (verdict == "VACUOUS")


def test_slope_one_is_convex() -> None:
    """Every limit is a_j z*/A whatever the conditions say; not every margin is tight, and no theorem says so."""
    network, data = CASES["clusters, slope 1"]()
    report = verify(network, data, descent_steps=50)
    rows = rows_of(report)
    assert not any(condition["satisfied"] for condition in report.conditions)
    for claim in (
        "flow-rank-at-most-two",
        "neurons-collapse",
        "limit-is-convex-optimum",
        "decision-boundary-linear",
        "margin-approximation",
    ):
        assert rows[claim].verdict.name in ("HOLDS_NUMERICALLY", "HOLDS_CERTIFIED"), claim
        assert rows[claim].hypothesis.name.startswith("slope 1")
    assert rows["margin-approximation"].measurement.value == pytest.approx(1.0, abs=1e-9)
    assert rows["all-margins-tight"].verdict.name == "HYPOTHESIS_NOT_MET"
    assert rows["all-margins-tight"].conclusion.name == "FAILS"
    assert "convex" in report.answer[1]
    assert "one KKT point" in report.answer[3]


def test_slope_one_without_a_separator_promises_nothing() -> None:
    network, data = CASES["overlapping, slope 1"]()
    report = verify(network, data, descent_steps=50)
    row = rows_of(report)["flow-rank-at-most-two"]
    assert row.verdict.name == "HYPOTHESIS_NOT_MET"
    assert "one KKT point" not in report.answer[3]


# --- time -----------------------------------------------------------------------------------------


def test_no_time_at_all_leaves_every_row_with_the_reason() -> None:
    report = verify(*CASES["theorem"](), time_limit=1e-9)
    assert {row.verdict.name for row in report.claims} == {"INCONCLUSIVE"}
    assert all(row.reason == "time: the limit of 1e-09 s was reached." for row in report.claims)
    assert report.exit_code == 3
    assert "not followed" in report.answer[2]
    assert "the time limit left no time for the exact certificate" in report.answer[3]
    assert "--time-limit" in report.answer[4]


def test_a_limit_on_each_flow_ends_the_flows_only() -> None:
    report = verify(*CASES["theorem"](), flow_time_limit=1e-9, descent_steps=50)
    rows = rows_of(report)
    assert {start["status"] for start in report.starts} == {"TIME_LIMIT"}
    assert rows["flow-rank-at-most-two"].verdict.name == "INCONCLUSIVE"
    assert "TIME_LIMIT" in rows["flow-rank-at-most-two"].reason
    assert rows["descent-norms-grow"].verdict.name == "HOLDS_NUMERICALLY"
    assert "ran to no limit (TIME_LIMIT at a loss of" in report.answer[2]
    assert "3 flows" in report.answer[4]


def test_time_that_is_up_between_two_rows_keeps_what_was_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock jumps beyond the limit after the third row."""
    from verification.claims import evidence

    seen: list[str] = []
    clock = evidence.perf_counter
    monkeypatch.setattr(evidence, "perf_counter", lambda: clock() + (1e6 if len(seen) >= 3 else 0.0))
    report = verify(*CASES["theorem"](), time_limit=1000.0, decided=lambda row: seen.append(row.id))
    assert seen == [row.id for row in report.claims]
    late = [row.reason.startswith("time:") for row in report.claims]
    assert not any(late[:3])
    assert all(late[3:])
    assert report.answer[2].startswith("From 3 starts")
    assert "tight margins not decided" in report.answer[2]  # a row that was not reached has no tolerance
    assert f"{len(seen) - 3} rows early" in report.answer[4]


def test_a_descent_ends_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from verification.claims import evidence

    calls = [0]
    clock = evidence.perf_counter

    def slow_clock() -> float:
        calls[0] += 1
        return clock() + (1e6 if calls[0] > 200 else 0.0)

    monkeypatch.setattr(evidence, "perf_counter", slow_clock)
    report = verify(*CASES["theorem"](), time_limit=1000.0)
    row = rows_of(report)["descent-converges"]
    assert row.verdict.name == "INCONCLUSIVE"
    assert row.reason.startswith("time:")


@pytest.mark.parametrize("name", ["time_limit", "flow_time_limit"])
def test_bad_limits(name: str) -> None:
    with pytest.raises(InvalidParameterError, match=name):
        verify(*CASES["one neuron"](), **{name: 0.0})


def test_an_interrupt_leaves_sentences_too() -> None:
    def press(row) -> None:
        if row.id == "flow-rank-at-most-two":
            raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as stop:
        verify(*CASES["theorem"](), decided=press)
    report = stop.value.result
    assert len(report.answer) == 5
    assert report.exit_code == 130
    assert "interrupt" in report.answer[4]
    assert report.certificate["verdict"] in (None, "unique_kkt_point")


def test_a_loaded_report_counts_doubts_as_doubts(tmp_path) -> None:
    """A bound that says nothing, on descents that overflow: undecided before and after a file."""
    network, data = SIGNS(3, 3, LeakyReLU(0.5)), Dataset([[1.0, 0.9], [0.9, 1.0]], [1, -1])
    report = verify(network, data, loss="exponential", scales=(1e-2, 1.0, 1e3), descent_steps=50)
    row = rows_of(report)["descent-stable-rank-bounded"]
    assert "left the range of float64" in row.measurement.undecided
    report.save(tmp_path / "report.npz")
    again = Report.load(tmp_path / "report.npz")
    assert again.summary == report.summary
    assert rows_of(again)["descent-stable-rank-bounded"].standing == row.standing == "INCONCLUSIVE"


def test_the_slack_says_how_much_smaller_the_inner_products_would_have_to_be() -> None:
    """Equal labels, length 1, inner product -1/2, γ = ½: the condition ends at γ/(1+γ) = ⅓ (section 14)."""
    network = TwoLayerNetwork.with_signs(2, 0, LeakyReLU(0.5))
    X = [[1.0, 0.0], [-0.5, np.sqrt(0.75)]]
    report = verify(network, Dataset(X, [1, 1]), descent_steps=20)
    assert "slack 0.667 (" in report.answer[1]
    assert "more than 1.5 times smaller" in report.answer[1]


def test_flows_that_are_refused_leave_sentences_too() -> None:
    """A start beyond 1e12/(R_max ‖a‖): no flow can be had, and no condition holds."""
    network, data = CASES["clusters"]()
    report = verify(network, data, scales=(1e-2, 1.0, 1e14), descent_steps=20)
    assert report.answer[2] == "The gradient flow was not followed."
    assert rows_of(report)["flow-rank-at-most-two"].conclusion.name == "UNDECIDED"


def test_an_interrupt_before_anything_promises_nothing() -> None:
    def press(message: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as stop:
        verify(*CASES["theorem"](), progress=press)
    report = stop.value.result
    assert report.claims == ()
    assert report.answer[2] == "The gradient flow was not followed."
    assert "0 rows were decided" in report.answer[4]


def test_an_interrupt_of_the_first_proof_keeps_the_row_before_it() -> None:
    def press(message: str) -> None:
        if message.startswith("proof of"):
            raise KeyboardInterrupt

    with pytest.raises(RunInterrupted) as stop:
        verify(*CASES["theorem"](), prove=True, progress=press)
    assert [row.id for row in stop.value.result.claims] == ["flow-zero-loss"]
    assert "when 1 row was decided" in stop.value.result.answer[4]


@pytest.mark.parametrize(("pressed_at", "which"), [(1, "1 of 3 (scale 0.0001)"), (3, "3 of 3 (scale 1)")])
def test_an_interrupt_within_a_flow_tells_how_far_it_went(monkeypatch, pressed_at: int, which: str) -> None:
    """s, events and loss are those of the flow that was interrupted, in the units of the data as given."""
    from verification.claims import evidence

    network, data = CASES["theorem"]()
    flows, follow = [], evidence.gradient_flow

    def followed(*given: Any, progress: Any, **named: Any) -> Any:
        flows.append(follow(*given, max_events=7, **named))
        if len(flows) < pressed_at:
            return flows[-1]
        raise RunInterrupted(flows[-1])

    monkeypatch.setattr(evidence, "gradient_flow", followed)
    with pytest.raises(RunInterrupted) as stop:
        verify(network, data)
    told = stop.value.result.answer[2]
    s = stop.value.result.evidence.as_given(float(flows[-1].trajectory.s[-1]), -2)
    assert told.startswith(f"Gradient flow {which} got to s = {s:.3g}, with 7 events (MAX_EVENTS at a loss of")


@pytest.mark.parametrize("name", ["theorem", "correlated"])
def test_what_was_not_asked_for_is_not_told(name: str) -> None:
    """Neither tight margins nor boundary were looked at, and nothing is said of the hypotheses of other claims."""
    report = verify(*CASES[name](), only=["loss-times-time"])
    assert rows_of(report)["loss-times-time"].verdict.name == "HOLDS_NUMERICALLY"
    assert "rank" in report.answer[2]
    assert "decided" not in report.answer[2]
    assert report.answer[4] == (
        "Look next at the claims that --only (only) left out: hypothesis and conclusion of the one checked hold."
    )


def test_of_several_claims_asked_for_all_may_hold() -> None:
    report = verify(*CASES["theorem"](), only=["loss-times-time", "all-margins-tight"])
    assert "20 of 20 margins tight" in report.answer[2]
    assert "boundary" not in report.answer[2]
    assert report.answer[4].endswith("left out: hypotheses and conclusions of those checked hold.")


def test_a_claim_from_elsewhere_is_refuted_and_no_fault() -> None:
    assert "please report it" in _of_violated(["all-margins-tight", "mine"])
    assert "mine" not in _of_violated(["all-margins-tight", "mine"])
    assert "not of this project, and the data refute it" in _of_violated(["mine"])
