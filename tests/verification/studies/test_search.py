"""Surveys and the search, checked by other means; the shipped counterexamples are what they claim."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis.internal.conjecture import providers

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from refimpl.errors import InvalidParameterError, OutputFileError
from verification import check_hypotheses, cli, closed_form, kkt_residuals, verify
from verification.studies.counterexamples import CONCLUSIONS, violations, write_counterexample
from verification.studies.search import search
from verification.studies.survey import fraction, survey
from verification.studies.trials import Trial

SHIPPED = Path(__file__).parents[3] / "docs" / "counterexamples"


def family(n: int, slope: float, s: float) -> tuple[TwoLayerNetwork, Dataset]:
    """Docs/theory.md, section 14: m = n, all labels and all a_j positive, K_ik = -s."""
    K = (1.0 + s) * np.eye(n) - s
    return TwoLayerNetwork.with_signs(n, 0, LeakyReLU(slope)), Dataset(np.linalg.cholesky(K), np.ones(n))


def test_survey_finds_the_two_limits_of_section_14() -> None:
    network, data = family(3, 0.25, 0.4)
    common = np.ones((3, 1)) * data.X.sum(axis=0)
    specialists = 3.0 * data.X + network.slope * data.X.sum(axis=0)
    found = survey(network, data, [common, specialists, specialists[::-1]])
    assert found.different == 2
    assert [limit.number for limit in found.limits] == [0, 1, 1]
    assert [limit.rank for limit in found.limits] == [1, 3, 3]
    assert found.limits[0].closed_form_distance == pytest.approx(0.0, abs=1e-9)
    assert found.limits[1].closed_form_distance > 0.1
    assert found.limits[0].objective == pytest.approx(0.5 * 3 / (1.0 - 2 * 0.4), rel=1e-9)  # ½Σλ, n/(1 - (n-1)s)


@pytest.mark.parametrize(("n", "slope"), [(2, 0.3), (3, 0.05), (5, 0.2)])
def test_deserters_are_kkt_points_just_above_the_edge_and_not_below(n: int, slope: float) -> None:
    """(14.1): the refined condition ends at (n-1)s = γ/(1+γ), the conclusion at (n-1)s = γ at the latest."""
    for factor, is_kkt in ((1.01, True), (0.99, False)):
        network, data = family(n, slope, factor * slope / (n - 1))
        W = data.X.sum(axis=0) - (1.0 - slope) * data.X
        found = kkt_residuals(network, data, W)
        assert (found.stationarity < 1e-9) == is_kkt
        if is_kkt:
            assert found.rank == n
            assert found.complementarity < 1e-9
            slack = check_hypotheses(network, data).refined.slack
            assert slack == pytest.approx(1.0 / (1.01 * (1.0 + slope)), rel=1e-6)


def test_permuted_neurons_are_one_limit() -> None:
    rng = np.random.default_rng(3)
    network = TwoLayerNetwork.with_signs(3, 3, LeakyReLU(0.1))
    data = datasets.gaussian(6, 8, rng)
    W0 = rng.standard_normal((6, 8))
    turned = W0[[2, 0, 1, 4, 5, 3]]
    assert survey(network, data, [W0, turned]).different == 1
    other = survey(network, data, [W0, rng.standard_normal((6, 8)), rng.standard_normal((6, 8))])
    assert other.different > 1


def test_survey_where_the_theorem_holds() -> None:
    rng = np.random.default_rng(0)
    data = datasets.nearly_orthogonal(4, 9, 1.25, 0.5, rng)
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    found = survey(network, data, [rng.standard_normal((3, 9)) for _ in range(4)])
    assert found.different == 1
    assert all(limit.rank <= 2 and limit.units_on_kinks == 0 for limit in found.limits)
    assert all(limit.closed_form_distance < 1e-9 for limit in found.limits)
    assert found.limits[0].objective == pytest.approx(0.5 * closed_form(network, data).multipliers.sum(), rel=1e-9)


def test_flows_without_a_limit_are_counted() -> None:
    xor = Dataset([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], [1, -1, 1, -1])
    found = survey(TwoLayerNetwork.with_signs(1, 0, LeakyReLU(0.5)), xor, [np.array([[0.3, 0.1]])])
    assert found.unfinished == 1
    assert found.limits == ()
    assert np.isnan(fraction([]))


@pytest.fixture(scope="module")
def found():
    return search(tries=6, samples=2, neurons=2, seed=1)


def test_what_is_found_is_below_the_condition_and_violates(found) -> None:
    assert "limits" in found.closest
    for conclusion in found.closest:
        for x in (found.closest[conclusion], found.smallest[conclusion]):
            network = TwoLayerNetwork.with_signs(x.positive, x.negative, LeakyReLU(x.slope))
            slack = check_hypotheses(network, x.data).refined.slack
            assert slack == pytest.approx(x.slack)
            assert 0.0 < slack < 1.0
            report = verify(network, x.data, seed=x.seed, descent_steps=20)
            rows = {row.id: row for row in report.claims}
            id = {"rank": "flow-rank-at-most-two", "margin": "all-margins-tight", "limits": "limit-is-convex-optimum"}
            assert rows[id[conclusion]].measurement.value > 1e-6
            assert rows[id[conclusion]].verdict.name == "HYPOTHESIS_NOT_MET"
        assert found.closest[conclusion].slack >= found.smallest[conclusion].slack
        assert found.closest[conclusion].size >= found.smallest[conclusion].size


def test_the_same_seed_finds_the_same(found) -> None:
    again = search(tries=6, samples=2, neurons=2, seed=1)
    assert {name: x.slack for name, x in again.closest.items()} == {name: x.slack for name, x in found.closest.items()}
    assert again.directions == found.directions


def test_every_method_is_used(found) -> None:
    assert {"known", "random", "improved", "targeted"} == set(found.directions)
    assert found.directions["targeted"] == 6


def test_nothing_is_reported_while_the_condition_holds() -> None:
    N = np.eye(2) - np.ones((2, 2))
    trial = Trial(N, np.ones(2), 2, 0, 0.25, 0)
    data = trial.data(0.01)
    assert check_hypotheses(trial.network, data).refined.slack > 1.0
    assert list(violations(trial, data, "refined", "")) == []
    assert trial.data(1.0) is None


def test_the_family_comes_as_near_as_the_theory_says() -> None:
    """For n = 2 the refined condition is s < γ/(1+γ) and two limits exist for s > γ: a slack of 1/(1+γ) at best."""
    best = search(tries=1, samples=2, neurons=2, conclusion="limits").closest["limits"].slack
    assert 0.9 < best <= 1.0 / 1.05 + 1e-9


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"conclusion": "size"}, "conclusion"),
        ({"condition": "none"}, "condition"),
        ({"seconds": 0.0}, "seconds"),
        ({"samples": 1}, "samples"),
        ({"neurons": 0}, "neurons"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_options(options, word) -> None:
    with pytest.raises(InvalidParameterError, match=f"`{word}`"):
        search(**{"tries": 1, **options})


def test_files_are_written_and_kept(found, tmp_path) -> None:
    x = found.closest["limits"]
    path = tmp_path / "x.csv"
    write_counterexample(x, path)
    data = datasets.load(path)
    np.testing.assert_array_equal(data.X, x.data.X)
    np.testing.assert_array_equal(data.y, x.data.y)
    with pytest.raises(OutputFileError, match="exists"):
        write_counterexample(x, path)


def test_command(tmp_path, capsys) -> None:
    arguments = ["search", "--tries", "1", "--samples", "2", "--neurons", "2", "--conclusion", "limits"]
    out, board = tmp_path / "found", tmp_path / "found.json"
    assert cli.main([*arguments, "--out", str(out), "--json", str(board)]) == 0
    printed = capsys.readouterr().out
    assert "limits-closest" in printed
    document = json.loads(board.read_text())
    assert document["found"][0]["slack"] < 1.0
    command = next(line for line in printed.splitlines() if line.startswith("implicit-bias verify"))
    assert cli.main(command.split()[1:]) == 0
    assert "HYPOTHESIS_NOT_MET" in capsys.readouterr().out
    assert cli.main([*arguments, "--out", str(out)]) == 2
    assert "exists" in capsys.readouterr().err
    assert cli.main(["search", "--conclusion", "nothing"]) == 2


SEARCHED = [path for path in sorted(SHIPPED.glob("*.csv")) if path.stem.split("-")[1] != "edge"]
"""What the search found; the others are made by hand, and proven (tests/verification/exact/test_findings.py)."""
SEARCHED.remove(SHIPPED / "limits-smallest.csv")


@pytest.mark.parametrize("path", SEARCHED, ids=lambda path: path.stem)
def test_shipped_counterexamples_are_what_they_claim(path) -> None:
    """Options and slack stand in docs/findings.md beside the command; here from the flow itself."""
    text = (SHIPPED.parent / "findings.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if f"verify --data docs/counterexamples/{path.name}" in line)
    words = line.split("#")[0].split()
    option = {name: words[words.index(f"--{name}") + 1] for name in ("slope", "positive", "negative", "seed")}
    data = datasets.load(path)
    network = TwoLayerNetwork.with_signs(
        int(option["positive"]), int(option["negative"]), LeakyReLU(float(option["slope"]))
    )
    assert check_hypotheses(network, data).refined.slack < 1.0
    kind = path.stem.split("-")[0]
    assert kind in CONCLUSIONS
    report = verify(network, data, seed=int(option["seed"]), descent_steps=20)
    rows = {row.id: row.measurement.value for row in report.claims}
    if kind == "rank":
        assert rows["flow-rank-at-most-two"] > 1e-2
    elif kind == "margin":
        assert rows["all-margins-tight"] > 1e-4
    else:
        assert rows["limit-is-convex-optimum"] > 1e-2
    assert gradient_flow(network, data, np.ones((network.m, data.d))).limit is not None


def test_there_are_shipped_counterexamples() -> None:
    assert len(SEARCHED) >= 4
    by_hand = set(SHIPPED.glob("*.csv")) - set(SEARCHED)
    assert all(list(SHIPPED.glob(f"{path.stem}.flow*.json")) for path in by_hand)


def test_no_constants_are_collected_from_source_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hypothesis would keep them in .hypothesis/ of the working directory, and draw them."""
    collected = []
    monkeypatch.setattr(providers, "_get_local_constants", lambda: collected.append(1) or providers.Constants())
    assert search(tries=20, samples=2, neurons=2, conclusion="limits").directions["targeted"] > 0
    assert not collected


def test_so_many_samples_that_one_direction_takes_long_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="`samples` must be at most 512"):
        search(seconds=1.0, samples=4096, neurons=1)
