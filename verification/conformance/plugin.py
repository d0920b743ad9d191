"""The options of `pytest --pyargs verification.conformance --implementation ...` (docs/conformance.md).

A pytest plugin, because options of a package's own conftest.py are not known when it is named with --pyargs. To any
other run of pytest it adds no option, and imports neither NumPy nor the checks.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

NAME = "verification.conformance"


def pytest_addoption(parser: Any) -> None:
    """--implementation, --skips and --dtype, if this package's tests are asked for."""
    if any(NAME in argument for argument in sys.argv):
        group = parser.getgroup("conformance")
        group.addoption("--implementation", metavar="PACKAGE.MODULE:OBJECT", help="the implementation under test")
        group.addoption("--skips", metavar="FILE", help="items that are not asked, each with its reason")
        group.addoption("--dtype", default="float64", metavar="NAME", help="float64, float32, float16 or bfloat16")


def pytest_generate_tests(metafunc: Any) -> None:
    """One test an item."""
    if metafunc.module.__name__.startswith(NAME) and "item_id" in metafunc.fixturenames:
        from verification.conformance import item_ids

        metafunc.parametrize("item_id", item_ids())


@pytest.fixture(scope="session")
def conformance_implementation(request: Any) -> Any:
    """What --implementation names."""
    from refimpl.errors import ImplicitBiasError
    from verification.conformance import load_implementation

    name = request.config.getoption("--implementation", None)
    if name is None:
        pytest.exit("--implementation PACKAGE.MODULE:OBJECT says what is to be tested.", returncode=4)
    try:
        return load_implementation(name)
    except ImplicitBiasError as error:
        pytest.exit(str(error), returncode=4)


@pytest.fixture(scope="session")
def conformance_skips(request: Any) -> Any:
    """What --skips holds."""
    from refimpl.errors import ImplicitBiasError
    from verification.conformance import Skips, read_skips

    path = request.config.getoption("--skips", None)
    try:
        return Skips({}) if path is None else read_skips(path)
    except ImplicitBiasError as error:
        pytest.exit(str(error), returncode=4)


@pytest.fixture(scope="session")
def conformance_dtype(request: Any) -> str:
    """What --dtype names."""
    from refimpl.errors import ImplicitBiasError
    from verification.conformance.precision import format_named

    try:
        return format_named(request.config.getoption("--dtype", "float64")).name
    except ImplicitBiasError as error:
        pytest.exit(str(error), returncode=4)
