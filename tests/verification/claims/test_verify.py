"""From data to verdict: presets, starts, edge cases, extreme scales."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from time import perf_counter

import numpy as np
import pytest

from refimpl import Dataset, ExponentialLoss, LeakyReLU, LogisticLoss, TwoLayerNetwork, datasets
from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.flow import Trajectory
from verification import verify
from verification.claims import flow_zero_loss
from verification.claims.evidence import Evidence
from verification.claims.report import Report
from verification.claims.run import DEFAULT_SCALES, _starts
from verification.presets import PRESETS

HOLD = ("HOLDS_NUMERICALLY", "HOLDS_CERTIFIED")


def verdicts(report: Report) -> dict[str, str]:
    return {row.id: row.verdict.name for row in report.claims}


def run(preset: str, seed: int = 0, **options) -> Report:
    chosen = PRESETS[preset]
    return verify(chosen.network(), chosen.data(seed), seed=seed, **options)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_theorem_holds(seed: int) -> None:
    report = run("theorem", seed)
    found = verdicts(report)
    assert found.pop("paper-descent-theorem") in (*HOLD, "HYPOTHESIS_NOT_MET")
    assert set(found.values()) <= set(HOLD), found
    assert report.exit_code == 0
    rows = {row.id: row.measurement for row in report.claims}
    assert rows["limit-is-convex-optimum"].value < 1e-6
    assert rows["flow-rank-at-most-two"].value < 1e-8
    assert {condition["name"]: condition["satisfied"] for condition in report.conditions}["paper"]


def test_dimension_is_no_matter_after_the_gram_matrix() -> None:
    """Samples were told apart by records of d fields, which took longer than that here and let no signal through."""
    network, data = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), datasets.gaussian(3, 2**19, 0)
    report = verify(network, data, time_limit=20.0)
    assert "INCONCLUSIVE" not in verdicts(report).values()


def test_gaussian_meets_the_refined_condition_only() -> None:
    report = run("gaussian")
    satisfied = {condition["name"]: condition["satisfied"] for condition in report.conditions}
    assert satisfied == {"paper": False, "instance-wise": False, "refined": True}
    assert verdicts(report)["flow-rank-at-most-two"] in HOLD
    assert report.exit_code == 0


def test_correlated_meets_no_condition_and_shows_what_was_measured() -> None:
    report = run("correlated")
    assert not any(condition["satisfied"] for condition in report.conditions)
    row = next(row for row in report.claims if row.id == "limit-is-convex-optimum")
    assert row.verdict.name == "HYPOTHESIS_NOT_MET"
    assert row.measurement.value > 0.1
    assert verdicts(report)["flow-limit-is-kkt"] in HOLD
    assert report.exit_code == 0


def test_small_is_enumerated_and_its_limits_are_not_global() -> None:
    report = run("small", seed=1)
    row = next(row for row in report.claims if row.id == "global-optimum-by-enumeration")
    assert row.verdict.name == "HYPOTHESIS_NOT_MET"
    assert row.measurement.value > 1e-3
    assert row.measurement.details["programs"] == 1296
    assert report.exit_code == 0


def test_starts_of_any_size_give_the_same_verdicts() -> None:
    rng = np.random.default_rng(0)
    data = datasets.nearly_orthogonal(5, 12, 1.25, 0.5, rng)
    network = TwoLayerNetwork.with_signs(2, 3, LeakyReLU(0.5))
    usual = verdicts(verify(network, data, descent_steps=100))
    extreme = verdicts(verify(network, data, scales=(1e-200, 1e-3, 1e6), descent_steps=100))
    about_flow = [claim for claim in usual if not claim.startswith(("descent", "small", "per-sign", "paper"))]
    assert {claim: extreme[claim] for claim in about_flow} == {claim: usual[claim] for claim in about_flow}


@pytest.mark.parametrize("factor", [1e-150, 3e-7, 1e150])
def test_a_common_factor_of_the_data_changes_no_verdict(factor: float) -> None:
    data = datasets.nearly_orthogonal(5, 12, 1.25, 0.5, np.random.default_rng(0))
    network = TwoLayerNetwork.with_signs(2, 3, LeakyReLU(0.5))
    usual = verify(network, data, descent_steps=100)
    scaled = verify(network, Dataset(factor * data.X, data.y), descent_steps=100)
    assert verdicts(scaled) == verdicts(usual)
    assert scaled.dataset["R_max"] == pytest.approx(factor * usual.dataset["R_max"])


def test_given_weights_are_scaled() -> None:
    rng = np.random.default_rng(0)
    data = datasets.nearly_orthogonal(4, 10, 1.25, 0.5, rng)
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    report = verify(network, data, W0=rng.standard_normal((3, 10)), descent_steps=50)
    assert report.exit_code == 0
    with pytest.raises(ShapeError, match="W0"):
        verify(network, data, W0=np.ones((3, 9)))


CASES = {
    "one sample": (TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5)), Dataset([[1.0, 2.0]], [1])),
    "one neuron": (TwoLayerNetwork.with_signs(1, 0, LeakyReLU(0.5)), Dataset([[1.0, 0.1], [0.0, 1.0]], [1, -1])),
    "one label": (TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5)), Dataset([[1.0, 0.1], [0.0, 1.0]], [1, 1])),
    "one sign": (TwoLayerNetwork.with_signs(0, 3, LeakyReLU(0.5)), Dataset([[1.0, 0.1], [0.0, 1.0]], [1, -1])),
    "unequal second layer": (
        TwoLayerNetwork([2.0, -0.1, 0.4], LeakyReLU(0.5)),
        Dataset([[1.0, 0.1], [0.0, 1.0]], [1, -1]),
    ),
    "d < n": (
        TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5)),
        Dataset([[1.0, 0.2], [2.0, 0.1], [-1.0, 0.3]], [1, 1, -1]),
    ),
    "not separable": (TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5)), Dataset([[1.0], [2.0], [-1.0]], [1, -1, 1])),
    "ReLU": (TwoLayerNetwork.with_signs(3, 3, LeakyReLU(0.0)), Dataset([[1.0, 0.1], [0.0, 1.0]], [1, -1])),
    "linear": (TwoLayerNetwork.with_signs(3, 3, LeakyReLU(1.0)), Dataset([[1.0, 0.1], [0.0, 1.0]], [1, -1])),
}


SIGNS = TwoLayerNetwork.with_signs

HARD = {
    "no flow has a limit, (C) is solvable": (SIGNS(1, 1, LeakyReLU(0.1)), [[1.0], [-2.0], [3.0]], [1, -1, 1]),
    "no flow has a limit": (SIGNS(1, 1, LeakyReLU(0.5)), [[1.0], [2.0], [3.0]], [1, -1, 1]),
    "collinear, both labels": (SIGNS(2, 2, LeakyReLU(0.5)), [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], [1, -1, 1]),
    "the direction is known at once": (TwoLayerNetwork([1.0], LeakyReLU(0.5)), [[1.0], [1.0]], [1, 1]),
    "a dead neuron beside large ones": (
        SIGNS(2, 2, LeakyReLU(0.5)),
        [[1.0, 0.2], [1.0, -0.2], [2.0, 0.1], [1.1, 0.0]],
        [1, 1, -1, -1],
    ),
    "an angle of 2e-4 between opposite labels": (SIGNS(1, 1, LeakyReLU(0.5)), [[1.0, 1e-4], [1.0, -1e-4]], [1, -1]),
    "opposite labels 1e-9 apart": (SIGNS(1, 1, LeakyReLU(0.5)), [[1.0, 1e-9], [1.0, 0.0]], [1, -1]),
    "opposite labels 1e-10 apart": (SIGNS(1, 1, LeakyReLU(0.5)), [[1.0, 1e-10], [1.0, 0.0]], [1, -1]),
    "slope 1e-300": (SIGNS(1, 1, LeakyReLU(1e-300)), [[1.0, 0.1], [0.0, 1.0]], [1, -1]),
    "equal samples": (SIGNS(3, 3, LeakyReLU(0.9)), [[1.0, 0.1], [1.0, 0.1], [0.0, 1.0]], [1, 1, -1]),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.filterwarnings("error")
def test_hard_cases_are_decided_or_say_why_not(name: str) -> None:
    network, X, y = HARD[name]
    report = verify(network, Dataset(X, y), descent_steps=50)
    assert len(report.claims) >= 17
    for row in report.claims:
        assert row.verdict.name != "VIOLATED", (row.id, row.measurement)
        assert row.measurement.value is not None or row.reason


def test_a_loss_that_is_large_where_the_flow_ends_is_followed_on() -> None:
    """Two equal samples, whose margins are equal, and paths cut after their first record: there L is large."""
    network, data = TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[1.0], [1.0]], [1, 1])
    evidence = Evidence(network, data, LogisticLoss(), _starts(network, data, None, 0, DEFAULT_SCALES))
    first = [{name: values[:1] for name, values in vars(flow.trajectory).items()} for flow in evidence.flows]
    evidence = evidence.supposing(
        flows=tuple(
            replace(flow, trajectory=Trajectory(**path)) for flow, path in zip(evidence.flows, first, strict=True)
        )
    )
    row = flow_zero_loss.CLAIM.evaluate(evidence, perf_counter)
    assert row.verdict.name in HOLD
    recorded, continued = row.measurement.details["final_log_loss"], row.measurement.details["log_loss_continued"]
    threshold = np.log(np.log(2.0) / 2.0)
    assert min(recorded) > threshold > max(continued)
    for before, after in zip(recorded, continued, strict=True):
        q = -np.log(np.expm1(np.exp(before)))  # L = ℓ(q), both margins being equal
        wanted = -np.log(np.expm1(np.exp(threshold))) + 1.0
        expected = q + (wanted - q) / 0.25  # z* = 1, A = 1: the rate γ²A/‖z*‖² is ¼, and q grows at 1
        assert after == pytest.approx(np.log(np.log1p(np.exp(-expected))), rel=1e-9)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_a_common_factor_of_the_second_layer_changes_no_verdict(factor: float) -> None:
    rng = np.random.default_rng(0)
    data = datasets.nearly_orthogonal(5, 12, 1.25, 0.5, rng)
    a, W0 = np.array([0.5, 0.4, -0.6, 0.3, -0.7]), rng.standard_normal((5, 12))
    usual = verify(TwoLayerNetwork(a, LeakyReLU(0.5)), data, W0=W0, descent_steps=100)
    scaled = verify(TwoLayerNetwork(factor * a, LeakyReLU(0.5)), data, W0=W0 / factor, descent_steps=100)
    assert usual.exit_code == 0
    assert verdicts(scaled) == verdicts(usual)
    rows = [{row.id: row.measurement for row in report.claims} for report in (usual, scaled)]
    for claim in ("margin-approximation", "descent-stable-rank-bounded", "descent-norms-grow", "descent-converges"):
        assert rows[1][claim].value == pytest.approx(rows[0][claim].value, rel=1e-6)
    for claim in ("smoothed-margin-monotone", "flow-limit-is-kkt", "neurons-collapse", "all-margins-tight"):
        assert 0.1 < rows[1][claim].tolerance / rows[0][claim].tolerance < 10.0


def test_an_overflow_of_the_descent_prints_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    network, data = SIGNS(2, 2, LeakyReLU(0.5)), Dataset([[1.0, 0.1], [0.0, 1.0]], [1, -1])
    report = verify(network, data, loss=ExponentialLoss(), scales=(1e-2, 1.0, 1e3), descent_steps=50)
    assert not [str(warning.message) for warning in recwarn]
    row = next(row for row in report.claims if row.id == "descent-norms-grow")
    assert row.verdict.name == "INCONCLUSIVE"
    assert "left the range of float64" in row.reason


def test_one_sample_is_decided() -> None:
    """n = 1 from starts that dwarf what is learned: the increments are of rank one whatever the start is."""
    network, data = SIGNS(2, 3, LeakyReLU(0.9)), Dataset([[1.0, 2.0, 0.5]], [1])
    report = verify(network, data, scales=(1e-6, 1e-3, 1e2), descent_steps=50)
    assert report.exit_code == 0, [(row.id, row.reason) for row in report.claims if row.reason]


@pytest.mark.parametrize("name", CASES)
def test_edge_cases_work_or_say_why_not(name: str) -> None:
    network, data = CASES[name]
    report = verify(network, data, descent_steps=50)
    assert report.exit_code in (0, 3), [
        (row.id, row.measurement) for row in report.claims if row.verdict.name == "VIOLATED"
    ]
    for row in report.claims:
        assert row.measurement.value is None or not np.isnan(row.measurement.value)
        if row.measurement.value is None:
            assert row.reason
    assert "NaN" not in report.to_json()


def test_exponential_loss() -> None:
    found = verdicts(run("theorem", loss=ExponentialLoss()))
    assert found["flow-limit-is-kkt"] in HOLD
    assert found["descent-converges"] == "HYPOTHESIS_NOT_MET"  # its proof is for the logistic loss


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"scales": (1e-2, 1.0)}, "scales"),
        ({"scales": (1e-2, 1.0, -1.0)}, "scales"),
        ({"seed": -1}, "seed"),
        ({"step_size": 0.0}, "step_size"),
        ({"step_size": float("inf")}, "step_size"),
        ({"descent_steps": 0}, "descent_steps"),
        ({"method": "magic"}, "method"),
    ],
)
def test_bad_options(options: dict, word: str) -> None:
    with pytest.raises(InvalidParameterError, match=word):
        verify(PRESETS["theorem"].network(), PRESETS["theorem"].data(0), **options)


def test_report_survives_a_file(tmp_path) -> None:
    report = run("correlated")
    report.save(tmp_path / "report.npz")
    again = Report.load(tmp_path / "report.npz")
    assert verdicts(again) == verdicts(report)
    assert again.to_dict()["claims"][5]["measured"] == report.to_dict()["claims"][5]["measured"]
    assert again.exit_code == report.exit_code


SCRIPT = """
import numpy as np
from refimpl import LeakyReLU, TwoLayerNetwork, datasets, gaussian_weights, gradient_flow
rng = np.random.default_rng(0)
data = datasets.gaussian(30, 400, rng)
network = TwoLayerNetwork.with_signs(20, 20, LeakyReLU(0.3))
limit = gradient_flow(network, data, gaussian_weights(40, 400, 1e-2, rng)).limit
print(" ".join(x.hex() for x in limit.coefficients.ravel()))
"""


def test_one_and_two_threads_agree() -> None:
    answers = []
    for threads in ("1", "2"):
        environment = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
        )
        answers.append(np.array([float.fromhex(x) for x in done.stdout.split()]))
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-12, atol=1e-12 * np.abs(answers[0]).max())
