"""--centre, --standardize, --unit-norm, --add-bias, what is said of K, and words for numbers, on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from refimpl.display import shown
from refimpl.preparation import STEPS, conditioning, prepare
from verification import cli, kkt_residuals, verify
from verification.claims.base import Verdict
from verification.commands import kkt as kkt_command
from verification.commands.data_words import NEED_INVERTIBLE_GRAM, gram_sentences
from verification.commands.max_margin import support_vectors
from verification.presets import preset_named
from verification.studies.survey import number_limits

NETWORK = ["--slope", "0.5", "--positive", "2", "--negative", "1"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,c,species\n1,0.1,7,x\n0.1,1,7,z\n2,0.3,7,x\n0.4,3,7,z\n5,5,5,w\n")
    return str(path)


def run(capsys, *arguments: str) -> tuple[dict, str]:
    """JSON on standard output, and standard error."""
    assert cli.main([*arguments, "--json", "-"]) in (0, 3)
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.mark.parametrize("command", ["flow", "descend", "max-margin", "kkt"])
def test_every_json_has_what_was_read_and_how_it_was_prepared(table, tmp_path, capsys, command) -> None:
    np.save(tmp_path / "W.npy", np.ones((3, 4)))
    more = ["--weights", str(tmp_path / "W.npy")] if command == "kkt" else []
    steps = ["--add-bias", "--unit-norm", "--standardize", "--centre"]  # in any order
    found, said = run(capsys, command, "--data", table, "--classes", "x", "z", *steps, *NETWORK, *more)
    record, X = found["data"], np.array([[1, 0.1, 7], [0.1, 1, 7], [2, 0.3, 7], [0.4, 3, 7]])
    assert (record["n"], record["d"], record["origin"]) == (4, 4, table)
    assert record["read"]["classes"] == [["x", 1, 2], ["z", -1, 2]]
    assert "left out: rows of other classes, 1 of w" in record["read"]["notes"]
    assert [step["name"] for step in record["preparation"]] == list(STEPS)
    assert record["preparation"][1]["constant_columns"] == [3]
    assert record["sha256"] == prepare(Dataset(X, [1, -1, 1, -1]), *STEPS).data.sha256
    assert "Preparation: centre, standardize, unit_norm, add_bias." in said
    assert "... prepared by standardize: " in said
    assert "column 3 is constant and became 0" in said


def test_the_rows_that_a_singular_gram_matrix_costs_are_those_that_are_told() -> None:
    data, network = datasets.nearly_orthogonal(6, 40, 40.0, 0.5, 0), TwoLayerNetwork.with_signs(3, 2, LeakyReLU(0.5))
    centred = prepare(data, "centre").data

    def met(which: Dataset) -> set[str]:
        return {row.id for row in verify(network, which).claims if row.verdict is not Verdict.HYPOTHESIS_NOT_MET}

    recalled = {"paper-descent-theorem"}  # its † constants want more than these data have
    assert met(data) >= set(NEED_INVERTIBLE_GRAM) - recalled
    assert not met(centred) & set(NEED_INVERTIBLE_GRAM)
    assert met(prepare(centred, "add_bias").data) & set(NEED_INVERTIBLE_GRAM)


def test_centring_says_what_it_costs_and_what_undoes_it(table, capsys) -> None:
    said = run(capsys, "max-margin", "--centre", *NETWORK)[1]
    assert "centring makes K singular: K times the all-ones vector is 0" in said
    assert all(name in said for name in NEED_INVERTIBLE_GRAM)
    assert "(--add-bias undoes it)" in said
    said = run(capsys, "max-margin", "--standardize", "--add-bias", *NETWORK)[1]
    assert "the column of ones takes it out" in said


def test_bad_conditioning_has_its_number_and_advice_that_comes_true() -> None:
    rng = np.random.default_rng(0)
    data = Dataset(rng.standard_normal((30, 3)) * [1.0, 1e4, 1e-3], np.where(np.arange(30) % 2, 1.0, -1.0))
    prepared = prepare(data)
    remarks, (warning,) = gram_sentences(prepared, conditioning(data))
    assert "K is singular: n = 30 > d = 3" in remarks[0]
    condition = np.linalg.cond(data.X) ** 2
    assert f"is {shown(condition)}: " in warning
    after = np.linalg.cond(prepare(data, "standardize").data.X) ** 2
    assert f"--standardize would make it {shown(after)}" in warning
    assert gram_sentences(prepare(data, "standardize"), conditioning(prepare(data, "standardize").data))[1] == []
    X = rng.standard_normal((4, 9))
    X[1] = X[0] + 1e-6 * rng.standard_normal(9)
    dependent = prepare(Dataset(X, [1, 1, -1, -1]))
    assert "nearly dependent" in gram_sentences(dependent, conditioning(dependent.data))[1][0]


def test_what_cannot_be_prepared_is_bad_input(tmp_path, capsys) -> None:
    (tmp_path / "b.csv").write_text("1,1\n2,-1\n3,1\n")
    assert cli.main(["flow", "--data", str(tmp_path / "b.csv"), "--centre", *NETWORK]) == 2
    assert "After centre: `X` has a zero row: row 1" in capsys.readouterr().err


# --- several starts ---------------------------------------------------------------------------------


def section_14(tmp_path) -> list[str]:
    """docs/theory.md, section 14, n = 2: the flow has two limits."""
    s = 0.3
    np.savez(tmp_path / "two.npz", X=[[1.0, 0.0], [-s, (1 - s * s) ** 0.5]], y=[1.0, 1.0])
    return ["--data", str(tmp_path / "two.npz"), "--slope", "0.25", "--positive", "2", "--negative", "0"]


def test_flow_counts_the_limits_of_several_starts(tmp_path, capsys) -> None:
    problem = section_14(tmp_path)
    found, said = run(capsys, "flow", *problem, "--starts", "12", "--init-scale", "1")
    assert [start["seed"] for start in found["starts"]] == list(range(12))
    assert {limit["rank"] for limit in found["limits"]} == {1, 2}
    seeds = sorted(seed for limit in found["limits"] for seed in limit["seeds"])
    assert seeds == list(range(12))
    common = next(limit for limit in found["limits"] if limit["rank"] == 1)
    s, gamma = 0.3, 0.25
    assert common["objective"] == pytest.approx(0.5 * 2 / (1 - s), rel=1e-9)
    specialists = 0.5 * 4 / ((1 - s * gamma) + gamma * (gamma - s))
    assert any(limit["objective"] == pytest.approx(specialists, rel=1e-9) for limit in found["limits"])
    assert f"12 starts, 12 with a limit: {len(found['limits'])} different limits, of rank 1 to 2" in said
    assert "The least norm has limit" in said


def test_each_start_is_the_flow_of_its_own_seed(capsys) -> None:
    both = run(capsys, "flow", "--starts", "2", "--seed", "3", *NETWORK)[0]["starts"]
    alone = run(capsys, "flow", "--seed", "4", *NETWORK)[0]
    assert [start["seed"] for start in both] == [3, 4]
    # the preset's data follow the seed too, so the second start is held against a run on the first one's data
    assert both[1]["final"]["s"] != alone["final"]["s"]
    preset, network = preset_named("theorem"), TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    data = preset.data(3, 0.5)
    W0 = np.random.default_rng([4, 1, 0]).standard_normal((3, data.d)) * (1e-2 / data.R_max)
    assert both[1]["limit"]["singular_values"] == pytest.approx(
        gradient_flow(network, data, W0).limit.singular_values.tolist(), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--starts", "0"], "--starts"),
        (["--starts", "2", "--plot", "a.png"], "--starts"),
        (["--starts", "2", "--save", "a.npz"], "--starts"),
        (["--time-limit", "0"], "--time-limit"),
        (["--time-limit", "nan"], "--time-limit"),
    ],
)
def test_numbers_of_starts_and_times_that_cannot_be(options, word, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["flow", *options]) == 2
    assert f"`{word}`" in capsys.readouterr().err


def test_a_flow_ends_at_its_time_limit(capsys) -> None:
    found = run(capsys, "flow", "--preset", "correlated", "--time-limit", "1e-3")[0]
    assert found["status"] == "TIME_LIMIT"
    found, said = run(capsys, "flow", "--preset", "correlated", "--time-limit", "1e-3", "--starts", "2")
    assert [start["limit_number"] for start in found["starts"]] == [None, None]
    assert "2 starts, 0 with a limit: 0 different limits." in said


def test_limits_are_the_same_up_to_neurons_of_equal_weight_whatever_rounding_does() -> None:
    network = TwoLayerNetwork(np.array([1.0, 1.0, 1.0, -1.0]), LeakyReLU(0.5))
    rng = np.random.default_rng(0)
    W = rng.standard_normal((4, 3))
    W[:3, 0] = 5e-5 * np.abs(W).max()  # rounded to 1e-4 of the largest, these would go either way
    for seed in range(20):
        noise = 1e-12 * np.random.default_rng(seed).standard_normal((4, 3))
        exchanged = np.vstack([W[np.random.default_rng(seed).permutation(3)], W[3:]]) + noise
        assert number_limits(network, [W, exchanged]) == [0, 0]
    assert number_limits(network, [W, W[[3, 1, 2, 0]], W]) == [0, 1, 0]


# --- kkt and max-margin in words --------------------------------------------------------------------


@pytest.fixture
def limit():
    """The limit of a flow on the preset small, with units at their kinks."""
    preset = preset_named("small")
    data, network = preset.data(0), preset.network()
    W0 = np.random.default_rng(5).standard_normal((network.m, data.d)) / data.R_max
    return network, data, gradient_flow(network, data, W0).limit


def words_of(capsys, tmp_path, W, *options: str) -> tuple[dict, str]:
    np.save(tmp_path / "W.npy", W)
    found, _ = run(capsys, "kkt", "--preset", "small", "--weights", str(tmp_path / "W.npy"), *options)
    return found, " ".join(found["in_words"])


def test_a_kkt_point_is_said_to_be_one(limit, capsys, tmp_path) -> None:
    found, words = words_of(capsys, tmp_path, limit[2].weights())
    assert "W is a KKT point as far as float64 can tell" in words
    assert found["training"] is None


def test_weights_in_float32_at_their_kinks_are_told_the_tolerance_they_need(limit, capsys, tmp_path) -> None:
    network, data, point = limit
    assert (point.pattern == 0).any()
    W = point.weights().astype(np.float32).astype(np.float64)
    found, words = words_of(capsys, tmp_path, W)
    assert found["stationarity"] > 0.1
    again = kkt_residuals(network, data, W, 1e-6)
    assert again.stationarity < 1e-6
    assert f"counts {again.units_at_kink} units as at their kink" in words
    assert "--tolerance 1e-06" in words
    found, words = words_of(capsys, tmp_path, W, "--tolerance", "1e-6")
    assert "KKT points held in float32: W is one" in words


def test_a_residual_is_set_beside_what_training_reaches(limit, capsys, tmp_path) -> None:
    W = limit[2].weights() + 0.05 * np.random.default_rng(0).standard_normal((4, 8))
    found, words = words_of(capsys, tmp_path, W)
    training = found["training"]
    assert f"misses W by {100 * found['stationarity']:.3g}% of ‖W‖" in words
    assert training["smallest_margin"] >= found["smallest_margin"]
    ratio = max(found["stationarity"], found["complementarity"]) / training["residual"]
    near = "about as far" if 0.5 <= ratio <= 2 else "farther" if ratio > 2 else "nearer"
    assert near in words
    # the optimum for W's own pattern is as near as (12.1) says
    assert f"at most {100 * found['duality_gap'] ** 0.5:.3g}%" in words


def test_weights_that_do_not_separate_are_near_nothing(limit, capsys, tmp_path) -> None:
    _, words = words_of(capsys, tmp_path, -limit[2].weights())
    assert "W is none" in words


def test_training_that_does_not_separate_is_said() -> None:
    training = kkt_command.Training(1500, -0.1, float("inf"))
    words = kkt_command._beside(0.3, 1.0, training)
    assert "does not separate these data yet" in words


def test_support_vectors_by_hand(tmp_path, capsys) -> None:
    # x_3 lies far behind x_1 on its side: it supports neither the network's margin nor that of z*
    (tmp_path / "s.csv").write_text("1,0,1\n0,1,-1\n9,-9,1\n")
    found = run(capsys, "max-margin", "--data", str(tmp_path / "s.csv"), *NETWORK)[0]
    assert found["support_vectors"] == found["linear"]["support_vectors"] == [0, 1]
    assert cli.main(["max-margin", "--data", str(tmp_path / "s.csv"), *NETWORK]) == 0
    assert "2 of 3 samples" in capsys.readouterr().out
    assert support_vectors(np.zeros(2)) == []
