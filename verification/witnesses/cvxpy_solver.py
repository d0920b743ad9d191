"""CVXPY, imported once, lazily and quietly, and asked with the same settings everywhere (docs/numerics.md)."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

__all__ = ["SOLVER", "load_cvxpy", "solve"]

SOLVER = "CLARABEL"

LOGGER = "__cvxpy__"
"""CVXPY's own logger, which writes to standard error and does not propagate."""


LARGE = 300
"""From so many variables on Clarabel decomposes its matrices, which are dense here, with faer: in blocks, several times
as fast. One thread, so that the digits do not depend on the machine."""


@cache
def load_cvxpy() -> Any:
    """The module; on first use, because importing it takes longer than most commands need.

    CVXPY tries every solver that it knows when it is imported, and tells of those that fail to load. Only Clarabel
    is asked here, so that others fail is nothing to tell. What takes most of the time is put off until somebody asks
    for it: `scipy.stats`, of which an atom of quantum information wants one function; `jinja2`, with which OSQP writes
    C code; and `jax`, which the solver MPAX imports, where MPAX is not there, and CVXPY imports before it finds that.
    """
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(_put_off("scipy.stats", "entropy"))
        stack.enter_context(_put_off("jinja2", "Environment", "PackageLoader", "select_autoescape"))
        if _is_missing("mpax"):
            stack.enter_context(_put_off("jax"))
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


class _PutOff(ModuleType):
    """Stands for a module until a name is asked of it that is not among `functions`: these import it when called."""

    def __init__(self, name: str, functions: frozenset[str]) -> None:
        super().__init__(name)
        self._functions = functions

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks whether there is a `__path__`
            raise AttributeError(name)
        if name in self._functions:
            return lambda *given, **named: getattr(_real(self.__name__), name)(*given, **named)
        return getattr(_real(self.__name__), name)


def _is_missing(name: str) -> bool:
    """Whether there is certainly no such package."""
    try:
        return find_spec(name) is None
    except Exception:  # an import hook may raise anything
        return False


def _real(name: str) -> ModuleType:
    if isinstance(sys.modules.get(name), _PutOff):
        del sys.modules[name]
    return import_module(name)


@contextmanager
def _put_off(name: str, *functions: str) -> Iterator[None]:
    """What imports these functions of the module `name` meanwhile imports the module when it calls one of them."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = _PutOff(name, frozenset(functions))
    try:
        yield
    finally:
        if isinstance(sys.modules.get(name), _PutOff):
            del sys.modules[name]


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
