"""The plan of the house: imports run one way, no module imports itself through others, classes have names of their own.

`python tests/test_house.py` prints the numbers.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("refimpl", "verification")
ALLOWED = {
    "refimpl": {"refimpl"},
    "verification": {"refimpl", "verification"},
    "scripts": {"refimpl", "verification", "scripts"},
    "tests": {"refimpl", "verification", "scripts", "tests"},
}
"""What may be imported from where."""


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def name_of(path: Path) -> str:
    """package.module; of scripts, which import each other by their bare names, too."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports when it is loaded."""
    paths = {name_of(path): path for path in files("refimpl", "verification", "scripts")}
    return {name: imported(name, path, paths) - {name} for name, path in paths.items()}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    found = set[str]()
    for node in at_load(tree_of(path).body):
        if isinstance(node, ast.Import):
            found |= {target for alias in node.names if (target := home(alias.name, known))}
        elif isinstance(node, ast.ImportFrom):
            package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            base = base if node.level else str(node.module)
            for alias in node.names:
                target = home(f"{base}.{alias.name}", known) or home(base, known)
                found |= {target} if target else set()
    return found


def at_load(body: list[ast.stmt]) -> list[ast.AST]:
    """Statements that run when the module is loaded; what stands under TYPE_CHECKING does not."""
    found: list[ast.AST] = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        found.append(node)
        for part in ("body", "orelse", "finalbody", "handlers"):
            found += at_load(getattr(node, part, []))
    return found


def home(name: str, known: dict[str, Path]) -> str:
    """The module that a dotted name stands for, if it is one of this project."""
    return next((full for full in (name, f"scripts.{name}") if full in known), "")


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Modules that reach themselves: strongly connected parts of more than one module."""
    reach = {name: reached(name, arrows) for name in arrows}
    parts = {frozenset({name} | {other for other in reach[name] if name in reach[other]}) for name in arrows}
    return [set(part) for part in parts if len(part) > 1]


def reached(start: str, arrows: dict[str, set[str]]) -> set[str]:
    seen, stack = set[str](), [start]
    while stack:
        for other in arrows[stack.pop()] - seen:
            seen.add(other)
            stack.append(other)
    return seen


def against_direction(folder: str, text: str) -> list[str]:
    """Lines of a file, those in functions too, that import what its folder must not."""
    bare = {path.stem for path in files("scripts")}
    found = []
    for line in re.findall(r"^\s*(?:from|import)\s+[\w.]+", text, flags=re.MULTILINE):
        package = line.split()[1].split(".")[0]
        package = "scripts" if package in bare else package
        if package in ALLOWED and package not in ALLOWED[folder]:
            found.append(line.strip())
    return found


def test_imports_run_one_way() -> None:
    found = {
        path: lines
        for folder in ALLOWED
        for path in files(folder)
        if (lines := against_direction(folder, path.read_text(encoding="utf-8")))
    }
    assert not found


def test_no_module_imports_itself_through_others() -> None:
    assert not circles(graph())


def test_a_circle_and_an_arrow_against_the_direction_are_found() -> None:
    arrows = {"refimpl.a": {"refimpl.b"}, "refimpl.b": {"refimpl.a", "verification.c"}, "verification.c": set[str]()}
    assert circles(arrows) == [{"refimpl.a", "refimpl.b"}]
    text = (
        "import numpy\nfrom refimpl.a import b\n\ndef f():\n    from verification.c import d\n    import make_vectors\n"
    )
    assert against_direction("refimpl", text) == ["from verification.c", "import make_vectors"]
    assert against_direction("scripts", text) == []


def test_the_graph_has_what_the_files_say() -> None:
    arrows = graph()
    assert "refimpl.tiles.columns" in arrows["refimpl.dataset"]
    assert "verification.page.of_report" not in arrows["verification.claims.report"]  # only where a page is made


def test_one_public_class_for_one_name() -> None:
    """Two things of one name are read as one thing."""
    classes = Counter(
        node.name
        for path in files(*PACKAGES)
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in classes.items() if count > 1} <= {"Step"}  # of a preparation, and of a proof


def test_what_frozen_objects_are_given_goes_through_one_helper() -> None:
    assert not [path for path in files(*PACKAGES) if re.search(r"__dict__\b", path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    count = sum(map(len, graph().values()))
    wrong = [
        line for folder in ALLOWED for path in files(folder) for line in against_direction(folder, path.read_text())
    ]
    modules = Counter(name.split(".")[0] for name in graph())
    print(
        f"{dict(modules)} modules, {count} arrows, {len(circles(graph()))} circles, {len(wrong)} against the direction"
    )
