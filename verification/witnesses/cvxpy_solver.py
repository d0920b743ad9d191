"""CVXPY, imported once, lazily and quietly, and asked with the same settings everywhere (docs/numerics.md)."""

from __future__ import annotations

import builtins
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import RLock
from types import ModuleType, SimpleNamespace
from typing import Any

__all__ = ["SOLVER", "load_cvxpy", "solve"]

SOLVER = "CLARABEL"

LOGGER = "__cvxpy__"
"""CVXPY's own logger, which writes to standard error and does not propagate."""


LARGE = 300
"""From so many variables on Clarabel decomposes its matrices, which are dense here, with faer: in blocks, several times
as fast. One thread, so that the digits do not depend on the machine."""


PUT_OFF = (
    ("cvxpy.", "scipy.stats", frozenset({"entropy"})),
    ("osqp.", "jinja2", frozenset({"Environment", "PackageLoader", "select_autoescape"})),
)
"""Whose imports of which functions of a module wait until they are called."""

MPAX = "cvxpy.reductions.solvers.qp_solvers.mpax"
"""CVXPY's module for MPAX, which imports `jax` before it finds that there is no `mpax`."""

_loading = RLock()


@cache
def load_cvxpy() -> Any:
    """The module; on first use, because importing it takes longer than most commands need.

    CVXPY tries every solver that it knows when it is imported, and tells of those that fail to load. Only Clarabel
    is asked here, so that others fail is nothing to tell. What takes most of the time is put off until somebody asks
    for it: `scipy.stats`, of which an atom of quantum information wants one function; `jinja2`, with which OSQP writes
    C code; and `jax`, which the solver MPAX imports, where MPAX is not there, and CVXPY imports before it finds that.
    Nobody else's imports are touched, those of other threads included.
    """
    with _loading, _quiet(), _put_off():
        return import_module("cvxpy")


def solve(program: Any, tolerance: float) -> bool:
    """Solve a CVXPY program with Clarabel; False if the solver broke down. What it says is in `program.status`."""
    cp = load_cvxpy()
    large = program.size_metrics.num_scalar_variables >= LARGE
    how = {"direct_solve_method": "faer", "max_threads": 1} if large else {}
    with _quiet():
        try:
            program.solve(
                solver=cp.CLARABEL,
                tol_gap_abs=tolerance,
                tol_gap_rel=tolerance,
                tol_feas=tolerance,
                max_iter=200,
                **how,
            )
        except cp.error.SolverError:
            return False
    return True


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _is_there(name: str) -> bool | None:
    """Whether there is such a package; None if an import hook keeps that to itself."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
    except Exception:  # an import hook may raise anything
        return None


def _called_later(module: str, function: str) -> Callable[..., Any]:
    """The function, whose module is imported when it is called."""
    return lambda *given, **named: getattr(import_module(module), function)(*given, **named)


def _stand_in(importer: str, name: str, wanted: frozenset[str]) -> Any:
    """What `importer` gets instead of the module `name`, of which it wants these names; None if that is the module."""
    if name in sys.modules:
        return None
    if name == "jax" and not wanted and importer.startswith(MPAX) and _is_there("mpax") is False:
        return ModuleType(name)
    for whose, module, functions in PUT_OFF:
        if name == module and wanted and wanted <= functions and importer.startswith(whose) and _is_there(name):
            return SimpleNamespace(**{function: _called_later(name, function) for function in wanted})
    return None


@contextmanager
def _put_off() -> Iterator[None]:
    """Imports of `PUT_OFF` wait, and that of `MPAX`.

    The statement is told who imports. A stand-in among `sys.modules` would be seen by everybody: to another thread
    that imports `scipy.stats.qmc` meanwhile, `scipy.stats` would be no package.
    """
    plain = builtins.__import__

    def put_off(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        importer = str((globals or {}).get("__name__"))
        found = None if level else _stand_in(importer, name, frozenset(fromlist or ()))
        return plain(name, globals, locals, fromlist, level) if found is None else found

    vars(builtins)["__import__"] = put_off
    try:
        yield
    finally:
        if builtins.__import__ is put_off:
            vars(builtins)["__import__"] = plain


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither warnings nor log records below an error: an inaccurate answer is a status here."""
    logger = logging.getLogger(LOGGER)
    logger.addFilter(_is_error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeFilter(_is_error)
