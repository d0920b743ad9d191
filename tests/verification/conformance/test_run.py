"""The runner catches what is wrong on purpose, lets what is right pass, and says what it saw."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from refimpl.errors import FileFormatError, InvalidParameterError
from verification import cli
from verification.conformance import (
    Outcome,
    Skips,
    ask,
    item_ids,
    judge_answers,
    load_implementation,
    read_skips,
    run_conformance,
)
from verification.conformance.checks import CHECKS
from verification.conformance.contract import ARGUMENTS, KINDS, OPERATIONS, contract_text
from verification.conformance.judge import judge, judge_intermediates
from verification.conformance.precision import cases_in
from verification.conformance.probe import first_difference
from verification.conformance.properties import PROPERTIES, run_property
from verification.conformance.subjects.mistakes import MISTAKES, WRONG
from verification.conformance.subjects.reference import ReferenceImplementation
from verification.conformance.subjects.styles import RIGHT, Einsum
from verification.conformance.vectors import Answer, export_cases, load_vectors

ONLY_THERE = {
    "slope 0 at the kink": {"vectors: gradient", "checks"},
    "cancelled weight": {"vectors: gradient", "vectors: descent", "checks"},
    "clipped margins": {"vectors: loss", "checks"},
    "stale gradient": {"vectors: descent", "checks"},
    "flipped multiplier": {"vectors: max_margin", "checks"},
    "limit before the last crossing": {"vectors: flow_limit", "checks"},
}
"""Mistakes that touch one function only: the others must not be blamed."""


@pytest.mark.parametrize("name", RIGHT)
def test_right_implementations_pass_everything(name: str) -> None:
    board = run_conformance(RIGHT[name], name)
    assert board.failed == []
    assert board.exit_code == 0
    assert board.count(Outcome.PASSED) > 200


def test_the_reference_offers_everything() -> None:
    board = run_conformance(RIGHT["reference"])
    assert board.count(Outcome.NOT_OFFERED) == 0


def test_the_right_ones_differ_at_the_kink() -> None:
    inputs = (np.zeros((1, 1)), np.ones(1), 0.5, np.ones((1, 1)), np.ones(1), "exponential")
    assert {float(right.gradient(*inputs)[0, 0]) for right in RIGHT.values()} == {-1.0, -0.75, -0.5}


def test_every_mistake_is_covered_and_there_are_enough() -> None:
    assert len(MISTAKES) >= 104
    for mistake in MISTAKES.values():
        assert mistake.caught_by in item_ids()
        assert set(mistake.vectors) <= set(KINDS)


def inherited(implementation: object) -> list[str]:
    """Vectors of functions that a mistake has from the reference, which passes them: they need not be asked again."""
    own, base = type(implementation), ReferenceImplementation
    return [f"vectors/{f}-*" for f in ARGUMENTS if issubclass(own, base) and getattr(own, f) is getattr(base, f)]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_implementations_are_caught_where_they_should_be(name: str) -> None:
    mistake = MISTAKES[name]
    patterns = ["properties/*", *inherited(WRONG[name])]
    board = run_conformance(WRONG[name], name, Skips(dict.fromkeys(patterns, "asked elsewhere")))
    failed = board.failed
    assert mistake.caught_by in [item.id for item in failed]
    assert {f"vectors: {kind}" for kind in mistake.vectors} <= {item.section for item in failed}
    assert bool(mistake.vectors) == any(item.section.startswith("vectors") for item in failed)
    assert board.exit_code == 1
    assert {item.section for item in failed} <= ONLY_THERE.get(name, {item.section for item in board.items})
    if mistake.differs is not None:
        named = [item.first_difference for item in failed if item.section.startswith("vectors")]
        assert named.count(mistake.differs) > len(named) / 2


def test_properties_catch_what_they_are_about() -> None:
    """Each property fails for some mistake, and shows a case that a person can read."""
    catches = {
        "forward": "slope off by 1e-7",
        "homogeneity": "offset of 1e-7",
        "loss": "sum in place of the mean",
        "gradient": "gradient off by 1e-7",
        "tails": "cancelled weight",
        "clarke": "slope above 1 at the kink",
        "permutation": "one sample dropped",
        "sign": "labels forgotten",
        "repetition": "sum in place of the mean",
        "descent": "stale gradient",
        "max_margin": "flipped multiplier",
        "flow_limit_from_start": "flow limit is always the closed form",
        "flow_limit_of_two_samples": "limit from a smaller start",
    }
    by_name = {prop.name: prop for prop in PROPERTIES}
    for name, mistake in catches.items():
        message = run_property(by_name[name], WRONG[mistake])
        assert message is not None, name
        assert "is violated: off by" in message
        assert len(message) < 600
        assert run_property(by_name[name], RIGHT["reference"], examples=5) is None


class Random(Einsum):
    """Answers differently each time, and depends on the memory layout."""

    def __init__(self) -> None:
        self.calls = 0

    def gradient(self, W, a, slope, X, y, loss):
        self.calls += 1
        factor = 1.0 if X.flags.c_contiguous else 2.0
        return factor * super().gradient(W, a, slope, X, y, loss) + 1e-13 * self.calls


class NoLimit(Einsum):
    def flow_limit(self, W0, a, slope, X, y, loss):
        return np.full_like(W0, np.nan)


def test_layout_repetition_and_flow_properties_can_fail() -> None:
    by_name = {prop.name: prop for prop in PROPERTIES}
    assert not CHECKS["layouts"](Random()).passed
    assert not CHECKS["repeated_calls"](Random()).passed
    assert run_property(by_name["flow_limit"], NoLimit()) is not None


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (np.asmatrix, "the result is a matrix and must be an ndarray"),
        (np.ma.masked_array, "the result is a MaskedArray and must be an ndarray"),
        (lambda G: G + 0j, "the result is complex128 and must be float64"),
        (lambda G: G.astype(np.float16), "the result is float16 and must be float64"),
        (lambda G: G.astype(">f8"), "the result is >f8 and must be float64"),
        (lambda G: G > 0.0, "the result is bool and must be float64"),
        (lambda G: G.astype(object), "the result is object and must be float64"),
        (lambda G: G.sum(), "the shape is () and must be (2, 2)"),
        (lambda G: G[0], "the shape is (2,) and must be (2, 2)"),
        (lambda G: None, "the result is object and must be float64"),
        (lambda G: (G, G[0]), "the parts of the result have shapes (2, 2), (2,)"),
    ],
)
def test_what_a_result_is_instead_of_an_array_of_floats(spoil, message: str) -> None:
    class Spoiled(Einsum):
        def gradient(self, W, a, slope, X, y, loss):
            return spoil(super().gradient(W, a, slope, X, y, loss))

    assert ask(Spoiled(), "vectors/gradient-001").message == message


class Odd(Einsum):
    """float32 out, wrong shapes, exceptions, answers to bad input."""

    refuses_bad_input = True

    def forward(self, W, a, slope, X):
        return super().forward(W, a, slope, X).astype(np.float32)

    def gradient(self, W, a, slope, X, y, loss):
        return super().gradient(W, a, slope, X, y, loss).T

    def loss(self, W, a, slope, X, y, loss):
        raise RuntimeError("not today")


def test_types_shapes_exceptions_and_missing_refusals_are_told() -> None:
    implementation = Odd()
    assert "float32" in ask(implementation, "vectors/forward-001").message
    assert "the shape is (5, 4) and must be (4, 5)" in ask(implementation, "vectors/gradient-004").message
    assert "raised RuntimeError: not today" in ask(implementation, "vectors/loss-001").message
    assert ask(Einsum(), "vectors/refusals-011").outcome is Outcome.NOT_OFFERED
    Einsum.refuses_bad_input = True
    try:
        found = ask(Einsum(), "vectors/refusals-011")
    finally:
        del Einsum.refuses_bad_input
    assert found.outcome is Outcome.FAILED
    assert "must be refused" in found.message


def test_the_words_for_what_an_error_looks_like() -> None:
    by_flag = {flag: case for case in load_vectors("loss") for flag in case.flags}
    tail = by_flag["tail-cancellation"]
    assert "the tail cancels" in judge(tail, Answer(0.0 * tail.low)).message
    plain = load_vectors("forward")[0]
    assert "single precision" in judge(plain, Answer(plain.low * (1.0 + 3e-8))).message
    kink = next(case for case in load_vectors("gradient") if "kink-at-zero" in case.flags)
    assert "slope at the kink" in judge(kink, Answer(kink.high + 0.1 * np.abs(kink.high).max())).message
    middle = (kink.low + kink.high) / 2.0
    assert judge(kink, Answer(kink.low)).right
    assert judge(kink, Answer(middle)).right
    assert judge(kink, Answer(kink.high)).right
    assert judge(plain, Answer(None)).message == "valid inputs were refused"
    assert "not finite" in judge(plain, Answer(np.full_like(plain.low, np.inf))).message


def test_what_is_exact_is_right_where_no_error_is_allowed() -> None:
    case = next(case for case in load_vectors("descent") if case.inputs["steps"] == 0)
    none = replace(case, tolerance=replace(case.tolerance, absolute=np.zeros(())), error=np.zeros_like(case.low))
    assert judge(none, Answer(case.low)).right
    assert not judge(none, Answer(np.nextafter(case.low, 9.0))).right


def test_intermediates_in_answers_name_the_first_that_differs() -> None:
    case = load_vectors("gradient")[1]
    right = {name: x.copy() for name, x in case.intermediates.items()}
    right["slope"] = np.where(right["preactivation"] > 0.0, 1.0, case.inputs["slope"])
    assert judge_intermediates(case, right) is None
    for name in ("weight", "margin", "slope", "preactivation"):
        wrong = right | {name: right[name] * (1.0 + 1e-6)}
        assert judge_intermediates(case, wrong) == name
    assert judge_intermediates(case, right | {"margin": right["margin"][:-1]}) == "margin"


def test_probe_tells_nothing_where_nothing_differs_or_everything_raises() -> None:
    case = load_vectors("gradient")[0]
    assert first_difference(RIGHT["reference"], case.arguments) is None
    assert first_difference(Odd(), case.arguments) is None
    assert first_difference(object(), case.arguments) is None


# --- skips, loading, commands --------------------------------------------------------------------------------------


def test_skips(tmp_path: Path) -> None:
    path = tmp_path / "skips.txt"
    path.write_text("# a comment\n\nvectors/gradient-*  # known\nproperties/clarke # too\n")
    skips = read_skips(path)
    board = run_conformance(WRONG["slope 0 at the kink"], skips=skips)
    assert [item.id for item in board.failed] == ["checks/clarke_at_kinks"]
    assert board.count(Outcome.SKIPPED, "vectors: gradient") == len(load_vectors("gradient"))
    assert next(item for item in board.items if item.id == "properties/clarke").message == "too"


@pytest.mark.parametrize(
    ("text", "reason"), [("vectors/loss-001\n", "has no reason"), ("vectors/nothing # x\n", "no item is called")]
)
def test_bad_skips(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "skips.txt"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=reason):
        read_skips(path)
    with pytest.raises(FileFormatError, match="no such file"):
        read_skips(tmp_path / "none.txt")


@pytest.mark.parametrize("name", ["nothing:x", "verification.conformance.subjects.styles:Nothing", "", ":x"])
def test_what_cannot_be_imported(name: str, capsys) -> None:
    with pytest.raises(InvalidParameterError, match="`implementation` must name something"):
        load_implementation(name)
    assert cli.main(["conformance", "--implementation", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_command(tmp_path: Path, capsys) -> None:
    out = tmp_path / "board.json"
    skips = tmp_path / "skips.txt"
    skips.write_text("properties/* # to be quick\n")
    name = "verification.conformance.subjects.mistakes:MeanSlope"
    assert cli.main(["conformance", "--implementation", name, "--skips", str(skips), "--json", str(out)]) == 1
    document = json.loads(out.read_text())
    assert document["counts"]["failed"] > 50
    assert len(document["items"]) == len(item_ids())
    assert {"id", "section", "outcome", "message", "first_difference", "comment", "printed"} == set(
        document["items"][0]
    )
    assert "first that differs" in capsys.readouterr().out
    assert cli.main(["conformance", "--answers", str(tmp_path), "--skips", str(skips)]) == 2


def test_as_tests_of_a_user(tmp_path: Path) -> None:
    """`pytest --pyargs verification.conformance`: as a plugin, because here it may not be installed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "verification.conformance"]
    installed = subprocess.run([*command, "--help"], capture_output=True, text=True, cwd=tmp_path, check=False)
    if "--implementation" not in installed.stdout:
        command[3:3] = ["-p", "verification.conformance.plugin"]
    wrong = [
        *command,
        "--implementation",
        "verification.conformance.subjects.mistakes:MeanSlope",
        "-k",
        "gradient-00 or loss-00",
    ]
    found = subprocess.run(wrong, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "first that differs: gradient" in found.stdout
    right = [
        *command,
        "--implementation",
        "verification.conformance.subjects.styles:Einsum",
        "-k",
        "gradient-00 or loss-00",
    ]
    found = subprocess.run(right, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "18 passed" in found.stdout
    single = subprocess.run([*right, "--dtype", "float32"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert single.returncode == 0, single.stdout + single.stderr
    unknown = subprocess.run([*right, "--dtype", "float8"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert unknown.returncode == 4
    assert "`dtype` must be one of" in unknown.stdout + unknown.stderr
    nothing = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert nothing.returncode == 4
    assert "--implementation" in nothing.stdout + nothing.stderr


# --- another language ----------------------------------------------------------------------------------------------


def test_answers_of_a_program_in_c(tmp_path: Path, capsys) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source, program = Path(__file__).parents[3] / "docs" / "conformance.c", tmp_path / "answers"
    subprocess.run([compiler, "-O2", "-std=c11", "-o", program, source, "-lm"], check=True)
    export_cases(tmp_path / "cases")
    subprocess.run([program, *sorted((tmp_path / "cases").glob("?*-???.txt"))], check=True)
    board = judge_answers(tmp_path / "cases")
    assert board.failed == []
    assert board.count(Outcome.PASSED) == sum(
        case.function in ("forward", "loss", "gradient", "descent") for case in load_vectors()
    )
    text = (tmp_path / "cases" / "loss-002.answer.txt").read_text()
    (tmp_path / "cases" / "loss-002.answer.txt").write_text(str(float(text) * (1.0 + 1e-7)))
    assert cli.main(["conformance", "--answers", str(tmp_path / "cases")]) == 1
    assert "loss-002" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_answers_of_a_program_in_rust(tmp_path: Path, dtype: str) -> None:
    compiler = shutil.which("rustc")
    if compiler is None:
        pytest.skip("there is no Rust compiler")
    source, program = Path(__file__).parents[3] / "docs" / "conformance.rs", tmp_path / "answers"
    subprocess.run([compiler, "-O", "-D", "warnings", "-o", program, source], check=True)
    export_cases(tmp_path / "cases", cases=cases_in(dtype))
    single = ["--single"] if dtype == "float32" else []
    subprocess.run([program, *single, *sorted((tmp_path / "cases").glob("?*-???.txt"))], check=True)
    board = judge_answers(tmp_path / "cases", dtype)
    assert board.failed == []
    offered = ("forward", "loss", "gradient", "descent", "stable_rank")
    assert board.count(Outcome.PASSED) == sum(case.function in offered for case in cases_in(dtype))
    if dtype == "float32":  # what is computed in float32 is not right in float64
        for path in sorted((tmp_path / "cases").glob("loss-00?.answer.txt")):
            path.write_text(str(float(path.read_text()) * (1.0 + 1e-4)))
        assert judge_answers(tmp_path / "cases", dtype).failed != []


def test_the_file_route_needs_no_hypothesis(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from verification import cli\n"
        "assert cli.main(['vectors', 'export', 'cases']) == 0\n"
        "assert cli.main(['conformance', '--answers', 'cases']) == 1\n"  # no answers: nothing passed
        "assert cli.main(['conformance', '--implementation', 'verification.conformance.subjects.styles:Einsum']) == 2\n"
        "assert cli.main(['search']) == 2\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("[conformance]") == 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_keras(dtype: str) -> None:
    """On the backend that is there; in float64 it says why it cannot be asked."""
    if find_spec("keras") is None or not any(map(find_spec, ("tensorflow", "jax", "torch"))):
        pytest.skip("there is no Keras, or no backend")  # the adapter chooses the backend before it imports Keras
    from verification.conformance.subjects.keras import BACKEND

    keras = load_implementation("verification.adapters.keras:implementation")
    asked = [case.id for case in cases_in(dtype) if case.kind != "refusals"][::4]
    found = [ask(keras, f"vectors/{id}", dtype=dtype) for id in asked]
    assert [item.message for item in found if item.outcome is not Outcome.PASSED] == []
    if BACKEND != "tensorflow":
        assert "float32, float16 or bfloat16" in ask(keras, "vectors/forward-001").message


@pytest.mark.parametrize("name", ["pytorch", "jax"])
def test_adapters(name: str) -> None:
    pytest.importorskip("torch" if name == "pytorch" else "jax")
    board = run_conformance(load_implementation(f"verification.adapters.{name}:implementation"), skips=Skips({}))
    assert board.failed == []


@pytest.mark.parametrize(("name", "package"), [("pytorch", "torch"), ("jax", "jax")])
def test_a_missing_framework_names_its_extra(name: str, package: str, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"verification.adapters.{name}", raising=False)
    assert cli.main(["conformance", "--implementation", f"verification.adapters.{name}:implementation"]) == 2
    assert f"[{package}]" in capsys.readouterr().err


# --- the contract --------------------------------------------------------------------------------------------------


def test_the_contract_is_what_the_reference_the_vectors_and_the_checks_have() -> None:
    needed = {name for item in (*CHECKS.values(), *PROPERTIES) for name in item.needs}
    for name, operation in OPERATIONS.items():
        assert tuple(inspect.signature(getattr(RIGHT["reference"], name)).parameters) == operation.arguments
        assert set(load_vectors(name)[0].inputs) == set(operation.arguments)
        assert name in needed
        assert operation.required == hasattr(Einsum, name)
        reasons = {case.tolerance.reason for case in load_vectors(name)}
        assert reasons == {operation.tolerance}
    assert tuple(ARGUMENTS) == KINDS[:-1]


def test_help_and_documentation_show_the_contract(capsys) -> None:
    text = (Path(__file__).parents[3] / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert f"```text\n{contract_text()}\n```" in text
    with pytest.raises(SystemExit):
        cli.main(["conformance", "--help"])
    shown = capsys.readouterr().out
    assert " ".join(contract_text().split()) in " ".join(shown.split())  # of 80 columns, so folded
    assert max(map(len, shown.splitlines())) <= 80


def test_the_plugin_and_the_contract_load_nothing() -> None:
    program = (
        "import sys, time; import pytest; start = time.perf_counter()\n"
        "import verification.conformance.plugin, verification.conformance.contract\n"
        "assert time.perf_counter() - start < 0.05\n"
        "assert not {'numpy', 'scipy', 'cvxpy', 'hypothesis', 'rich'} & set(sys.modules)\n"
        "from verification.witnesses.limit_formula import closed_form\n"
        "from verification import max_margin, verify\n"
        "assert callable(max_margin) and callable(verify)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
