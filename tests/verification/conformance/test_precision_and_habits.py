"""Other formats, other shapes, boards that are compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refimpl.errors import FileFormatError, InvalidParameterError
from verification import cli
from verification.conformance import Outcome, ask, item_ids, judge_answers, load_implementation
from verification.conformance.board import differences, read_board
from verification.conformance.habits import adapted
from verification.conformance.precision import FORMATS, case_in, cases_in, format_named
from verification.conformance.self_test import unseen_in
from verification.conformance.subjects.mistakes import MISTAKES
from verification.conformance.subjects.styles import Einsum, ScalarLoops
from verification.conformance.vectors import export_cases, load_vectors

VECTORS = [id for id in item_ids() if id.startswith("vectors")]
LOW = ["float32", "float16", "bfloat16"]


@pytest.mark.parametrize("name", ["float32", "float16"])
def test_rounding_is_that_of_numpy(name: str) -> None:
    rng = np.random.default_rng(0)
    x = np.append(rng.standard_normal(4000) * np.exp(rng.uniform(-20.0, 10.0, 4000)), [0.0, -0.0, 1.0 / 3.0])
    expected = x.astype(name).astype(np.float64)
    np.testing.assert_array_equal(FORMATS[name].round(x), expected)


def test_rounding_to_bfloat16_is_that_of_its_bits() -> None:
    x = np.random.default_rng(1).standard_normal(4000).astype(np.float32)
    bits = x.view(np.uint32)
    expected = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(FORMATS["bfloat16"].round(x), expected.astype(np.float64))


@pytest.mark.parametrize("name", LOW)
def test_a_right_implementation_in_the_format_passes(name: str) -> None:
    """Every operation of Einsum is one of float32 or float16; for bfloat16 float32 is at hand."""
    found = [ask(Einsum(), id, dtype=name) for id in VECTORS]
    assert [item.message for item in found if item.outcome is Outcome.FAILED] == []
    assert (
        sum(item.outcome is Outcome.PASSED for item in found) >= {"float32": 240, "float16": 180, "bfloat16": 80}[name]
    )
    assert all(item.message for item in found if item.outcome is Outcome.SKIPPED)


@pytest.mark.parametrize("name", LOW)
def test_ten_times_the_bound_fails_and_the_bound_passes(name: str) -> None:
    from verification.conformance.judge import judge
    from verification.conformance.vectors import Answer

    for case in cases_in(name):
        if case.kind != "refusals":
            assert judge(case, Answer(case.high + 0.999 * case.tolerance.absolute)).right, case.id
            assert judge(case, Answer(case.low - 0.999 * case.tolerance.absolute)).right, case.id
            assert not judge(case, Answer(case.high + 10.0 * case.tolerance.absolute)).right, case.id


def test_expected_values_are_those_of_the_rounded_inputs() -> None:
    """By another route: where rounding changes no input, what is right is what the vector says in float64."""
    compared = 0
    for case in load_vectors():
        single = case_in(case, FORMATS["float32"])
        if isinstance(single, str) or case.kind == "refusals":
            continue
        if all(np.array_equal(single.inputs[name], x) for name, x in case.inputs.items()):
            room = 1e-12 * np.abs(case.low).max()
            assert np.all(single.low <= case.low + room), case.id
            assert np.all(single.high >= case.high - room), case.id
            compared += 1
    assert compared > 60


def test_samples_that_rounding_makes_one_are_not_asked_with_two_labels() -> None:
    case = next(case for case in load_vectors("loss") if case.inputs["X"].shape == (2, 2))
    X = np.array([[1.0, 2.0], [1.0 + 2.0**-20, 2.0]])
    for y, asked in (([1.0, -1.0], False), ([1.0, 1.0], True)):
        other = replace(case, inputs=case.inputs | {"X": X, "y": np.array(y)})
        found = case_in(other, FORMATS["float16"])
        assert isinstance(found, str) is not asked
        assert asked or "opposite labels" in found
        assert not isinstance(case_in(other, FORMATS["float32"]), str)


def test_mistakes_that_float32_hides_are_small_or_belong_to_what_is_not_asked() -> None:
    unseen = set(unseen_in("float32"))
    small = {title for title in unseen if "1e-7" in title} | {"slope above 1 at the kink", "single precision inside"}
    programs = {title for title in unseen if title.startswith(("max margin", "residuals", "flow limit", "limit"))}
    assert unseen == small | programs | {"flipped multiplier", "descent in place", "gradient below 1e-200 flushed to 0"}


def test_changed_arguments_and_other_types_are_named() -> None:
    item = ask(MISTAKES["descent in place"].implementation, "vectors/descent-001", dtype="float32")
    assert item.message == "`W` was changed in place"
    wide = ask(ScalarLoops(), "vectors/forward-001", dtype="float16")
    assert wide.message == "the result is float64 and must be float16"


def test_an_unknown_format(capsys) -> None:
    with pytest.raises(InvalidParameterError, match="`dtype` must be one of float64, float32"):
        format_named("float8")
    assert cli.main(["conformance", "--implementation", "x", "--dtype", "float8"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_files_in_float32(tmp_path: Path) -> None:
    cases = cases_in("float32")
    export_cases(tmp_path, cases=cases)
    case = next(case for case in cases if case.id == "forward-001")
    given = json.loads((tmp_path / "forward-001.json").read_text())["inputs"]["W"]
    assert np.array_equal(np.array(given), np.array(given, dtype=np.float32))
    (tmp_path / "forward-001.answer.json").write_text(json.dumps({"value": (case.low * (1.0 + 1e-7)).tolist()}))
    board = judge_answers(tmp_path, "float32")
    assert (board.count(Outcome.PASSED), board.dtype, board.badge) == (1, "float32", "1/1 float32")
    with pytest.raises(FileFormatError):
        judge_answers(tmp_path, "float64")


# --- habits --------------------------------------------------------------------------------------------------------


class Habitual(Einsum):
    """Labels 0 and 1, features first, sums, batches of networks."""

    habits = {"labels": "0/1", "samples": "columns", "reduction": "sum", "networks": "batch"}  # noqa: RUF012

    def forward(self, W, a, slope, X):
        return np.stack([Einsum.forward(self, V, b, slope, X.T) for V, b in zip(W, a, strict=True)])

    def loss(self, W, a, slope, X, y, loss):
        assert set(y) <= {0.0, 1.0}
        one = Einsum()
        return np.array([one.loss(V, b, slope, X.T, 2 * y - 1, loss) * len(y) for V, b in zip(W, a, strict=True)])

    def gradient(self, W, a, slope, X, y, loss):
        one = Einsum()
        return np.stack([one.gradient(V, b, slope, X.T, 2 * y - 1, loss) * len(y) for V, b in zip(W, a, strict=True)])

    def descent(self, W, a, slope, X, y, loss, step_size, steps):
        for _ in range(steps):
            W = W - step_size * self.gradient(W, a, slope, X, y, loss)
        return W.copy()


def test_declared_habits_are_seen_to() -> None:
    implementation = adapted(Habitual())
    found = [ask(implementation, id) for id in item_ids() if not id.startswith("properties")]
    assert [(item.id, item.message) for item in found if item.outcome is Outcome.FAILED] == []
    assert sum(item.outcome is Outcome.PASSED for item in found) > 300
    assert adapted(Einsum()).__class__ is Einsum
    Undeclared = type("Undeclared", (Habitual,), {"habits": {}})
    assert ask(adapted(Undeclared()), "vectors/loss-001").outcome is Outcome.FAILED


def test_unknown_habits_are_refused() -> None:
    Odd = type("Odd", (Einsum,), {"habits": {"labels": "yes/no"}})
    with pytest.raises(InvalidParameterError, match="labels: -1/"):
        adapted(Odd())


MODULES = """
import torch
from torch import nn

class MyModule(nn.Module):
    def __init__(self, d, m):
        super().__init__()
        self.first, self.second = nn.Linear(d, m, bias=False), nn.Linear(m, 1, bias=False)
        self.phi = nn.LeakyReLU(0.1)

    def forward(self, x):
        return self.second(self.phi(self.first(x)))

class Relu(MyModule):
    def forward(self, x):
        return self.second(torch.relu(self.first(x)))

class LastFirst(nn.Module):  # the second layer is made before the first
    def __init__(self):
        super().__init__()
        self.out, self.hidden, self.slope = nn.Linear(5, 1, bias=False), nn.Linear(3, 5, bias=False), 0.1

    def forward(self, x):
        return self.out(nn.functional.leaky_relu(self.hidden(x), self.slope))[:, 0]

biased = nn.Sequential(nn.Linear(3, 2), nn.LeakyReLU(), nn.Linear(2, 1))
two_outputs = nn.Sequential(nn.Linear(3, 2, bias=False), nn.LeakyReLU(), nn.Linear(2, 2, bias=False))
parted = nn.Sequential(nn.Linear(3, 2, bias=False), nn.LeakyReLU(), nn.Linear(4, 1, bias=False))
normed = nn.Sequential(nn.Linear(3, 2, bias=False), nn.LeakyReLU(), nn.Linear(2, 1, bias=False))
nn.utils.parametrizations.weight_norm(normed[0])
"""


def test_a_plain_torch_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    (tmp_path / "modules_under_test.py").write_text(MODULES)
    monkeypatch.syspath_prepend(tmp_path)
    right = load_implementation("torch:modules_under_test.MyModule")
    for dtype in FORMATS:
        found = [ask(right, id, dtype=dtype) for id in VECTORS]
        assert [item.message for item in found if item.outcome is Outcome.FAILED] == []
        assert any(item.outcome is Outcome.PASSED for item in found)
    wrong = ask(load_implementation("torch:modules_under_test.Relu"), "vectors/forward-001")
    assert (wrong.outcome, wrong.first_difference) == (Outcome.FAILED, "slope")
    last_first = load_implementation("torch:modules_under_test.LastFirst")
    for id in ("vectors/forward-005", "vectors/gradient-005"):
        assert ask(last_first, id).outcome is Outcome.PASSED
    for name, why in {
        "biased": "2 of them with a bias",
        "two_outputs": "has 3 to 2 and 2 to 2",
        "parted": "has 3 to 2 and 4 to 1",
        "normed": "computed from others",
    }.items():
        with pytest.raises(InvalidParameterError, match=why):
            load_implementation(f"torch:modules_under_test.{name}")


NETS = """
from types import SimpleNamespace
import jax, jax.numpy as jnp

def flax(params, X, slope):
    tree = params["params"]
    return jax.nn.leaky_relu(X @ tree["Dense_0"]["kernel"], slope) @ tree["Dense_1"]["kernel"]

def tuples(params, X, slope):
    a, (W,) = params
    z = X @ W.T
    return jnp.where(z > 0, z, slope * z) @ a

def dense(p, q):
    return {"params": {"Dense_0": {"kernel": jnp.zeros(p)}, "Dense_1": {"kernel": jnp.zeros(q)}}}

net = SimpleNamespace(params=dense((5, 3), (3, 1)), apply=flax)
rows = SimpleNamespace(params=(jnp.zeros(3), [jnp.zeros((3, 5))]), apply=tuples)
relu = SimpleNamespace(params=net.params, apply=lambda params, X, slope: flax(params, X, 0.0))
square = SimpleNamespace(params=dense((3, 3), (3, 1)), apply=flax)
three = SimpleNamespace(params=(jnp.zeros(3), jnp.zeros(2), jnp.zeros((3, 5))), apply=tuples)
nothing = SimpleNamespace(apply=flax)
zero_one = SimpleNamespace(params=net.params, apply=flax, habits={"labels": "0/1"})
def made(d, m):  # holds its sizes and refuses others, as a module of flax does
    def apply(params, X, slope):
        if params["params"]["Dense_0"]["kernel"].shape != (d, m):
            raise ValueError("another shape")
        return flax(params, X, slope)
    return SimpleNamespace(params=dense((d, m), (m, 1)), apply=apply)

fixed = made(5, 3)

def broken(d):
    return net
"""


def test_a_function_of_a_pytree_is_asked_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trees, two orders and orientations of the layers; and trees that are none of that."""
    pytest.importorskip("jax")
    (tmp_path / "nets_under_test.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    for name, dtype, kinds in (
        ("nets_under_test.net", "float64", ("forward", "descent")),
        ("nets_under_test:rows", "float32", ("gradient",)),
    ):
        found = [ask(load_implementation(f"jax:{name}"), f"vectors/{kind}-001", dtype=dtype) for kind in kinds]
        assert [(item.outcome, item.message) for item in found] == [(Outcome.PASSED, "")] * len(kinds)
    wrong = ask(load_implementation("jax:nets_under_test.relu"), "vectors/forward-001")
    assert (wrong.outcome, wrong.first_difference) == (Outcome.FAILED, "slope")
    of_any_size = load_implementation("jax:nets_under_test.made")
    assert [ask(of_any_size, f"vectors/{id}").outcome for id in ("forward-005", "gradient-005")] == [Outcome.PASSED] * 2
    assert "another shape" in ask(load_implementation("jax:nets_under_test.fixed"), "vectors/forward-005").message
    refused = {
        "broken": "of the sizes",
        "square": "shapes tell apart",
        "three": "two arrays",
        "nothing": "pytree `params`",
    }
    for name, why in refused.items():
        with pytest.raises(InvalidParameterError, match=why):
            load_implementation(f"jax:nets_under_test.{name}")
    other = load_implementation("jax:nets_under_test.zero_one")  # takes labels for ±1 that are given as 0 and 1
    assert ask(other, "vectors/loss-001").outcome is Outcome.FAILED


# --- boards --------------------------------------------------------------------------------------------------------


def test_boards_are_compared(tmp_path: Path, capsys) -> None:
    skips = tmp_path / "skips.txt"
    skips.write_text("properties/* # quick\nchecks/* # quick\nvectors/[!f]* # quick\n")
    files = []
    for module, name in (("styles", "Einsum"), ("styles", "ScalarLoops"), ("mistakes", "SlopeForgotten")):
        files.append(str(tmp_path / f"{name}.json"))
        subject = f"verification.conformance.subjects.{module}:{name}"
        cli.main(["conformance", "--implementation", subject, "--skips", str(skips), "--json", files[-1]])
    assert cli.main(["conformance", "--compare", files[0], files[1]]) == 0
    assert cli.main(["conformance", "--compare", files[0], files[2]]) == 1
    found = differences(read_board(files[0]), read_board(files[2]))
    assert ("vectors/forward-001", "passed", "failed") in found
    assert f"{len(found)} of" in capsys.readouterr().out
    (tmp_path / "no.json").write_text("[")
    assert cli.main(["conformance", "--compare", files[0], str(tmp_path / "no.json")]) == 2
