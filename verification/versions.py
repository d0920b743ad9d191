"""Versions of everything that numbers depend on, for every file that holds numbers."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import scipy

__all__ = ["environment", "package_version"]


def package_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("implicit-bias-refimpl")
    except PackageNotFoundError:
        return "unknown (not installed)"


def environment() -> dict[str, Any]:
    """Versions of everything that the numbers depend on."""
    blas = np.show_config(mode="dicts")["Build Dependencies"].get("blas", {})
    return {
        "implicit_bias_refimpl": package_version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "cvxpy": _version_of("cvxpy"),
        "solver": f"clarabel {_version_of('clarabel')}",
        "blas": f"{blas.get('name', '?')} {blas.get('version', '?')}",
    }


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
