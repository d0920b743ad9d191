"""The figures, end to end at tiny sizes: files, numbers against other formulas, labels, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import figure1
import figure1_runs
import figure2
import figure2_runs
import figure3
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from refimpl import LeakyReLU, TwoLayerNetwork, gaussian_weights
from refimpl.documents import with_numbers
from refimpl.readers import load_cifar10

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
ENDINGS = ("png", "svg", "json", "caption.txt")


MODULES = {"figure1": figure1, "figure2": figure2, "figure3": figure3}

TINY = {
    "figure1": "--dimensions 8,30,60 --scales 0.001,1 --at-dimension 40 --samples 10 --neurons 7 --seeds 2 --steps 12",
    "figure3": "--dimensions 12,200 --noise 0,0.2 --at-dimension 60 --samples 6 --neurons 4 --seeds 2 --steps 20",
    "figure2": "--limit 12 --neurons 6 --epochs 3 --batch-size 5 --seeds 2 --scales 0.01,1",
}


def run(name: str, folder: Path, *more: str) -> int:
    return MODULES[name].main([*TINY[name].split(), "--jobs", "1", "--out", str(folder), *more])


def document(name: str, folder: Path) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def numbers(name: str, folder: Path) -> dict:
    content = document(name, folder)
    return {
        key: content[key] for key in ("summary", {"figure1": "points", "figure2": "curves", "figure3": "runs"}[name])
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Both figures, in one folder that they make themselves."""
    folder = tmp_path_factory.mktemp("made") / "new" / "folder"
    for name in TINY:
        assert run(name, folder) == 0
    return folder


def plain_stable_rank(W: np.ndarray) -> float:
    sigma = np.linalg.svd(W, compute_uv=False)
    return float(np.sum(sigma**2) / sigma[0] ** 2)


def logistic_weight(q: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(q))


def plain_step(W, a, slope, X, y, step_size):
    """One step on (X, y), written from the formulas of docs/theory.md, section 1."""
    Z = W @ X.T
    g = logistic_weight(y * (a @ np.maximum(slope * Z, Z)))
    Phi = np.where(Z >= 0.0, 1.0, slope)
    return W + step_size / len(y) * (a[:, None] * Phi * (y * g)) @ X


@pytest.mark.parametrize("name", TINY)
def test_all_files_are_written_and_agree(made, name) -> None:
    for ending in ENDINGS:
        assert (made / f"{name}.{ending}").stat().st_size > 100
    assert (made / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (made / f"{name}.svg").read_text()
    content = document(name, made)
    assert (made / f"{name}.caption.txt").read_text() == content["caption"]
    assert content["environment"]["numpy"] == np.__version__
    assert not list(made.glob(".*"))


def test_figure1_has_every_point_of_the_grid(made) -> None:
    points = document("figure1", made)["points"]
    places = [(p["run"]["panel"], p["run"]["d"], p["run"]["relative_scale"], p["run"]["seed"]) for p in points]
    left = [("left", d, 0.02, seed) for d in (8, 30, 60) for seed in (0, 1)]
    assert places == left + [("right", 40, scale, seed) for scale in (0.001, 1.0) for seed in (0, 1)]
    assert all(p["step"] == [0, 1, 2, 5, 10, 12] for p in points)
    assert {p["run"]["step_size"] for p in points if p["run"]["panel"] == "left"} == {0.01}
    assert {p["run"]["step_size"] for p in points if p["run"]["panel"] == "right"} == {0.16}


def test_figure1_against_descent_in_weight_space(made) -> None:
    """Stable ranks of one point by a plain loop in R^d and the singular values of W."""
    point = document("figure1", made)["points"][-1]
    rng_data, rng_weights = np.random.default_rng([1, 40, 0]), np.random.default_rng([1, 40, 1])
    mu = rng_data.standard_normal(40)
    mu *= 40**0.26 / np.linalg.norm(mu)
    y = np.resize([1.0, -1.0], 10)
    X = y[:, None] * mu + rng_data.standard_normal((10, 40))
    W = np.sqrt(2.0 / 47.0) * rng_weights.standard_normal((7, 40))
    a = np.array([1.0] * 4 + [-1.0] * 3) / np.sqrt(7.0)
    found = [plain_stable_rank(W)]
    for _ in range(12):
        W = plain_step(W, a, 0.1, X, y, 0.16)
        found.append(plain_stable_rank(W))
    np.testing.assert_allclose(point["stable_rank"], np.array(found)[point["step"]], rtol=1e-10)
    assert abs(found[-1] / found[0] - 1.0) > 1e-3  # something happened


def test_figure1_prediction_and_bound(made) -> None:
    """E by sampling signs; the condition number from the singular values of X; none where n > d."""
    points = document("figure1", made)["points"]
    assert [p["bound"] is None for p in points] == [p["run"]["d"] < 10 for p in points]
    point = points[2]
    _, data, _ = figure1_runs.instance(figure1_runs.Run(**point["run"]))
    sigma = np.linalg.svd(data.X, compute_uv=False)
    assert point["bound"] == pytest.approx(1.0 + (sigma[0] / sigma[-1]) ** 2 * 0.81 / 0.4, rel=1e-9)
    Phi = np.where(data.X @ np.random.default_rng(5).standard_normal((30, 100_000)) >= 0.0, 1.0, 0.1)
    sampled = plain_stable_rank(np.linalg.cholesky(Phi @ Phi.T).T @ (data.y[:, None] * data.X))
    assert point["predicted"] == pytest.approx(sampled, rel=0.01)


def test_figure1_summary_is_made_of_its_points(made) -> None:
    content = document("figure1", made)
    for row in content["summary"]:
        own = [p for p in content["points"] if (p["run"]["panel"], p["run"]["d"]) == (row["panel"], row["d"])]
        own = [p for p in own if p["run"]["relative_scale"] == row["relative_scale"]]
        ratios = [p["stable_rank"][-1] / p["stable_rank"][0] for p in own]
        assert row["ratio"]["12"] == [min(ratios), pytest.approx(np.median(ratios)), max(ratios)]
        assert list(row["ratio"]) == ["1", "10", "12"]


def test_figure1_small_starts_lose_their_rank_and_large_ones_do_not(tmp_path) -> None:
    options = "--samples 10 --neurons 20 --dimensions 50 --at-dimension 200 --scales 1e-6,10 --steps 1 --seeds 1"
    assert figure1.main([*options.split(), "--jobs", "1", "--out", str(tmp_path)]) == 0
    small, large = [row for row in document("figure1", tmp_path)["summary"] if row["panel"] == "right"]
    assert small["ratio"]["1"][1] == pytest.approx(small["predicted_ratio"], rel=0.3)
    assert large["ratio"]["1"][1] > 0.9


def test_figure1_marks_what_was_recalled() -> None:
    usual = figure1.caption_of(figure1.settings_of(figure1.build_parser().parse_args([])))
    for text in ("n = 100‡", "m = 512†", "γ = 0.1†", "d^0.26†", "α = 0.01‡", "α = 0.16‡", "d = 10000‡"):
        assert text in usual
    args = figure1.build_parser().parse_args(["--neurons", "64", "--samples", "30", "--step-size", "0.01,1"])
    own = figure1.caption_of(figure1.settings_of(args))
    assert "m = 64 neurons" in own
    assert "n = 30, " in own
    assert "α = 0.01‡" in own
    assert "α = 1," in own


def test_figure2_says_that_it_is_not_cifar(made, capsys, tmp_path) -> None:
    content = document("figure2", made)
    assert content["data"] == "synthetic, not CIFAR-10"
    assert content["title"].startswith("SYNTHETIC IMAGES, NOT CIFAR-10")
    assert content["caption"].startswith("SYNTHETIC IMAGES, NOT CIFAR-10")
    assert "a deviation" in content["caption"]
    assert run("figure2", tmp_path) == 0
    assert "SYNTHETIC IMAGES, NOT CIFAR-10" in capsys.readouterr().out


def test_figure2_draws_its_title(made) -> None:
    curves = [figure2_runs.Curve(figure2_runs.Run(1.0, 0, 2, 0.1, 1, 1), 1.0, *([[2.0, 1.0]] * 4))]
    assert figure2.figure_of(curves, "not what it seems").get_suptitle() == "not what it seems"


def a_folder(path: Path) -> Path:
    path.mkdir()
    figure2_runs.write_synthetic_folder(path, (3, 5), 20, np.random.default_rng(4))
    return path


def test_figure2_reads_the_users_folder(tmp_path) -> None:
    folder = a_folder(tmp_path / "bin")
    assert run("figure2", tmp_path, "--cifar", str(folder), "--classes", "5,3") == 0
    content = document("figure2", tmp_path)
    train, test = load_cifar10(folder, (5, 3), centre=True, limit=12)
    assert content["data"] == "CIFAR-10"
    assert content["title"].startswith("CIFAR-10, dog against cat")
    assert "SYNTHETIC" not in content["caption"]
    assert (content["train_sha256"], content["test_sha256"]) == (train.sha256, test.sha256)
    assert str(tmp_path) not in json.dumps(content)


def test_figure2_against_plain_sgd(made) -> None:
    """One curve by a plain loop, with singular values of W, on the synthetic images drawn anew."""
    content = document("figure2", made)
    curve = content["curves"][-1]
    assert curve["run"] == {
        "relative_scale": 1.0,
        "seed": 1,
        "neurons": 6,
        "step_size": 0.05,
        "batch_size": 5,
        "epochs": 3,
        "positive": 0,
    }
    data = figure2_runs.images_of(figure2.build_parser().parse_args(TINY["figure2"].split()))
    X, y = data.train.X, data.train.y
    assert (X.shape, data.train.sha256) == ((24, 3072), content["train_sha256"])
    W = gaussian_weights(6, 3072, 1.0 / np.sqrt(3072), np.random.default_rng([1, 0]))
    network, rng = TwoLayerNetwork.with_signs(3, 3, LeakyReLU(0.0)), np.random.default_rng([1, 1])
    ranks, accuracies = [plain_stable_rank(W)], [np.mean(network.margins(W, data.test) > 0.0)]
    for _ in range(3):
        order = rng.permutation(24)
        for batch in (order[k : k + 5] for k in range(0, 24, 5)):
            W = plain_step(W, network.second_layer, 0.0, X[batch], y[batch], 0.05)
        ranks.append(plain_stable_rank(W))
        accuracies.append(np.mean(network.margins(W, data.test) > 0.0))
    np.testing.assert_allclose(curve["stable_rank"], ranks, rtol=1e-10)
    np.testing.assert_array_equal(curve["test_accuracy"], accuracies)
    assert ranks[-1] != pytest.approx(ranks[0], rel=1e-6)


def test_synthetic_images_look_like_images(tmp_path) -> None:
    """Bytes of a plausible mean and spread, neighbours alike, and both classes in every file."""
    folder = a_folder(tmp_path / "bin")
    for file in sorted(folder.iterdir()):
        records = np.fromfile(file, dtype=np.uint8).reshape(-1, 3073)
        assert set(records[:, 0]) == {3, 5}
        pixels = records[:, 1:].reshape(-1, 3, 32, 32) / 255.0
        assert 0.35 < pixels.mean() < 0.65
        assert 0.15 < pixels.std() < 0.3
        neighbours = np.corrcoef(pixels[..., 1:].ravel(), pixels[..., :-1].ravel())[0, 1]
        assert 0.5 < neighbours < 0.99
    assert len(list(folder.iterdir())) == 6


@pytest.mark.parametrize("name", TINY)
def test_the_same_seeds_give_the_same_numbers(made, tmp_path, name) -> None:
    assert run(name, tmp_path) == 0
    assert numbers(name, tmp_path) == numbers(name, made)


def test_other_seeds_give_other_numbers(made) -> None:
    first, second = document("figure1", made)["points"][:2]
    assert first["stable_rank"] != second["stable_rank"]
    first, second = document("figure2", made)["curves"][:2]
    assert first["stable_rank"] != second["stable_rank"]


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_overwritten_without_force(tmp_path, capsys, monkeypatch, name, ending) -> None:
    monkeypatch.setattr(MODULES[name], "carried_out", None)  # the refusal comes before the work
    file = tmp_path / f"{name}.{ending}"
    file.write_text("mine")
    assert run(name, tmp_path) == 2
    sentence = capsys.readouterr().err
    assert sentence.count("\n") == 1
    assert "--force" in sentence
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", TINY)
def test_force_overwrites(tmp_path, name) -> None:
    for ending in ENDINGS:
        (tmp_path / f"{name}.{ending}").write_text("old")
    assert run(name, tmp_path, "--force", "--seeds", "1") == 0
    assert all((tmp_path / f"{name}.{ending}").read_bytes() != b"old" for ending in ENDINGS)


BAD = [
    ("figure1", "--dimensions 10,x", "--dimensions"),
    ("figure1", "--dimensions 0", "--dimensions"),
    ("figure1", "--scales 0.1,-1", "--scales"),
    ("figure1", "--scales nan", "--scales"),
    ("figure1", "--step-size 1,2,3", "--step-size"),
    ("figure1", "--step-size 0", "--step-size"),
    ("figure1", "--seeds 0", "--seeds"),
    ("figure1", "--steps -1", "--steps"),
    ("figure1", "--neurons 1", "--neurons"),
    ("figure1", "--samples none", "--samples"),
    ("figure1", "--at-scale 0", "--at-scale"),
    ("figure1", "--jobs 0", "--jobs"),
    ("figure1", "--no-such-option", "--no-such-option"),
    ("figure2", "--classes 3,3", "--classes"),
    ("figure2", "--classes 3,10", "--classes"),
    ("figure2", "--classes 1", "--classes"),
    ("figure2", "--scales 0", "--scales"),
    ("figure2", "--limit 0", "--limit"),
    ("figure2", "--epochs 0", "--epochs"),
    ("figure2", "--data-seed -1", "--data-seed"),
    ("figure2", "--cifar no-such-folder", "data_batch_1.bin"),
]


@pytest.mark.parametrize(("name", "options", "blamed"), BAD, ids=[f"{name} {options}" for name, options, _ in BAD])
def test_bad_values_give_one_sentence(tmp_path, capsys, name, options, blamed) -> None:
    try:
        code = run(name, tmp_path / "out", *options.split())
    except SystemExit as exit_:  # from argparse
        code = exit_.code
    err = "\n".join(line for line in capsys.readouterr().err.splitlines() if not line.startswith("... "))
    assert code == 2
    assert "\n" not in err
    assert err.startswith(f"{name}: error: ")
    assert err.endswith(".")
    assert blamed in err
    assert not [path for path in (tmp_path / "out").glob("*") if path.is_file()]


def test_a_descent_that_leaves_the_range_is_told(tmp_path, capsys) -> None:
    assert run("figure1", tmp_path, "--step-size", "1e308") == 2
    assert "the range of float64" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_folder(tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert run("figure1", tmp_path / "file") == 2
    assert "cannot write" in capsys.readouterr().err


def test_as_commands_in_two_processes_each(made, tmp_path) -> None:
    """The same numbers to rounding, wherever the work is done."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    commands = {
        name: [sys.executable, str(SCRIPTS / f"{name}.py"), *options.split(), "--jobs", "2", "--out", "out"]
        for name, options in TINY.items()
    }
    running = {
        name: subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        for name, command in commands.items()
    }
    errors = {name: process.communicate()[1] for name, process in running.items()}
    for name, key in (("figure1", "points"), ("figure2", "curves")):
        assert running[name].returncode == 0, errors[name]
        assert errors[name] == ""  # progress is for terminals
        for ours, theirs in zip(document(name, made)[key], document(name, tmp_path / "out")[key], strict=True):
            assert ours["run"] == theirs["run"]
            np.testing.assert_allclose(ours["stable_rank"], theirs["stable_rank"], rtol=1e-9)


def test_figure3_is_exact_where_the_boundary_is_linear(made) -> None:
    """The flow's limit in high dimension: error by sampling forward passes in R^d agrees with the closed form."""
    points = [figure3.Point(**point) for point in document("figure3", made)["runs"]]
    flat = next(p for p in points if figure3.Run(**p.run).d == 200 and p.exact[0])
    run_ = figure3.Run(**flat.run)
    data, mu, _ = figure3.draw(run_)
    network = figure3.TwoLayerNetwork.with_signs(2, 2, figure3.LeakyReLU(run_.slope))
    W0 = figure3.gaussian_weights(4, run_.d, 1e-4 / data.R_max, np.random.default_rng([run_.seed, run_.d, 1]))
    W = figure3.gradient_flow(network, data, W0).limit.weights()
    rng = np.random.default_rng(0)
    y = rng.choice([-1.0, 1.0], 20_000)
    wrong = y * network.forward(W, y[:, None] * mu + rng.standard_normal((20_000, run_.d))) <= 0.0
    wrong ^= rng.random(20_000) < run_.flips
    assert flat.test_error[0] == pytest.approx(float(wrong.mean()), abs=5.0 * np.sqrt(0.25 / 20_000))
    assert max(p.training_error[0] for p in points) == 0.0
    assert all(radius <= 1.0 + 1e-9 for p in points for radius in p.radius if radius == radius and radius != "nan")


def test_figure2_takes_all_ten_classes(tmp_path) -> None:
    """Ten binary problems, one against the rest; the caption says that this deviates."""
    options = "--classes all --limit 4 --neurons 4 --epochs 1 --seeds 1 --scales 0.1 --jobs 1 --out"
    assert figure2.main([*options.split(), str(tmp_path)]) == 0
    content = document("figure2", tmp_path)
    assert sorted(curve["run"]["positive"] for curve in content["curves"]) == list(range(10))
    assert content["settings"]["n_train"] == content["settings"]["n_test"] == 40
    for text in ("ten outputs are ten networks", "a deviation", "SYNTHETIC IMAGES, NOT CIFAR-10"):
        assert text in content["caption"]
    images = figure2_runs.images_of(figure2.build_parser().parse_args(["--classes", "all", "--limit", "3"]))
    train = images.against_the_rest(7).train
    np.testing.assert_array_equal(train.y > 0.0, images.classes[0] == 7)
    np.testing.assert_allclose(train.X.mean(axis=0), 0.0, atol=1e-12)
    assert train.n == 30
    assert int(np.sum(train.y > 0.0)) == 3


def lowest(figure) -> float:
    """The lower edge of the lowest axes, in pixels; below it no curve is."""
    return min(axis.get_tightbbox().y0 for axis in figure.axes)


def test_legends_stand_below_all_axes(made) -> None:
    settings = figure1.settings_of(figure1.build_parser().parse_args([]))
    summary = document("figure1", made)["summary"]
    rows = [figure1_runs.Row(**row | {"ratio": {int(k): v for k, v in row["ratio"].items()}}) for row in summary]
    curves = [
        figure2_runs.Curve(**{**curve, "run": figure2_runs.Run(**curve["run"])})
        for curve in document("figure2", made)["curves"]
    ]
    third = [figure3.Row(**with_numbers(row)) for row in document("figure3", made)["summary"]]
    figures = [
        figure1.figure_of(rows, settings),
        figure2.figure_of(curves, "title"),
        figure3.figure_of(third, "title"),
    ]
    for figure in figures:
        FigureCanvasAgg(figure).draw()
        (legend,) = figure.legends
        assert legend.get_window_extent().y1 <= lowest(figure)
        assert not any(axis.get_legend() for axis in figure.axes)
        assert all(axis.get_xlabel() for axis in figure.axes)


def test_regions_where_a_condition_holds() -> None:
    """Slacks d/20 on a logarithmic axis, where lines between places are exact; in, out and in again on a plain one."""
    assert figure3.regions([10.0, 40.0, 100.0], [0.5, 2.0, 5.0], True) == [(pytest.approx(20.0), 100.0)]
    ends = figure3.regions([0.0, 1.0, 2.0], [np.e, 1.0 / np.e, np.e], False)
    assert ends == [(0.0, pytest.approx(0.5)), (pytest.approx(1.5), 2.0)]
    assert figure3.regions([1.0, 2.0], [0.1, 0.0], True) == []
    assert figure3.regions([1.0, 2.0], [1.0, 3.0], True) == [(1.0, 2.0)]
