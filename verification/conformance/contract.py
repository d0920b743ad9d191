"""What an implementation offers: one table, from which names, arguments, vector kinds, help and documentation follow.

To add an operation: a row here, its method in `subjects/reference.py`, its cases in `scripts/vector_*.py`, and
a check or a property. This module needs nothing but the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ARGUMENTS",
    "KINDS",
    "LOSSES",
    "OPERATIONS",
    "REFUSES",
    "REQUIRED",
    "Operation",
    "contract_text",
]

LOSSES = ("logistic", "exponential")
"""The values of the argument `loss`."""

REFUSES = "refuses_bad_input"
"""An implementation that has this attribute, true, is asked to refuse bad input; a bare formula is not."""


@dataclass(frozen=True)
class Operation:
    """One function of an implementation, which is one kind of vector.

    Attributes
    ----------
    name : str
        Of the function, and of the vectors' file.
    arguments : tuple of str
        In order. W, W0 (m, d), a (m,), X (n, d), y (n,) are arrays of float64; `loss` is one of `LOSSES`.
    returns : str
    meaning : str
        In the letters of docs/theory.md.
    required : bool
        Whether the checks need it; the others are optional.
    tolerance : str
        Where the tolerances of its vectors come from.
    """

    name: str
    arguments: tuple[str, ...]
    returns: str
    meaning: str
    required: bool
    tolerance: str

    @property
    def signature(self) -> str:
        """As a line of Python.

        Examples
        --------
        >>> OPERATIONS["forward"].signature
        'forward(W, a, slope, X) -> (n,)'
        """
        return f"{self.name}({', '.join(self.arguments)}) -> {self.returns}"


_ANY_ORDER = (
    "(d + m + 4) eps times the sum of the absolute values of all terms bounds the rounding of any order of summation, "
    "in the preactivations and in what follows from them; one smallest normal float, because some "
    "hardware flushes smaller ones to zero"
)
_STEPS = (
    "rounding of each step, as for the gradient, carried on by the Lipschitz constant of the gradient within the "
    "pattern of slopes, which no unit leaves by rounding"
)

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            "forward",
            ("W", "a", "slope", "X"),
            "(n,)",
            "f(x_i; W) = Σ_j a_j max(slope z, z), z = <w_j, x_i>",
            True,
            _ANY_ORDER,
        ),
        Operation(
            "loss",
            ("W", "a", "slope", "X", "y", "loss"),
            "float",
            "(1/n) Σ ℓ(y_i f(x_i))",
            True,
            _ANY_ORDER,
        ),
        Operation(
            "gradient",
            ("W", "a", "slope", "X", "y", "loss"),
            "(m, d)",
            "its derivative with respect to W",
            True,
            _ANY_ORDER,
        ),
        Operation(
            "descent",
            ("W", "a", "slope", "X", "y", "loss", "step_size", "steps"),
            "(m, d)",
            "W after `steps` steps of W - step_size · gradient",
            True,
            _STEPS,
        ),
        Operation(
            "stable_rank",
            ("W",),
            "float",
            "‖W‖_F²/‖W‖₂²",
            False,
            "64 max(m, d) eps, relative: backward error of a singular value decomposition",
        ),
        Operation(
            "max_margin",
            ("a", "slope", "X", "y"),
            "(v, u)",
            "the solution of the convex program (C); 0 where a has no such sign",
            False,
            "1e-6 of the largest entry: solvers of convex programs reach 1e-8 at their default tolerances",
        ),
        Operation(
            "flow_limit",
            ("W0", "a", "slope", "X", "y", "loss"),
            "(m, d)",
            "the limit of gradient flow, scaled so that the smallest margin is 1",
            False,
            "1e-6 of the largest entry: the largest tolerance that a verdict of this project may have",
        ),
        Operation(
            "kkt_residuals",
            ("W", "a", "slope", "X", "y"),
            "four numbers",
            "stationarity, feasibility, complementarity, relative gap; all but feasibility inf if a margin is <= 0",
            False,
            "1e-7: a norm computed as the root of a difference ends at sqrt(eps) = 1.5e-8",
        ),
    )
}
"""Every operation by its name, in order."""

ARGUMENTS = {name: operation.arguments for name, operation in OPERATIONS.items()}
"""The arguments of each function, in order."""

REQUIRED = tuple(name for name, operation in OPERATIONS.items() if operation.required)
"""What the checks call, beside what they are about."""

KINDS = (*OPERATIONS, "refusals")
"""Kinds of vectors, one file each."""


def contract_text() -> str:
    """The table, as it stands in docs/conformance.md and in `implicit-bias conformance --help`.

    Examples
    --------
    >>> print(contract_text().splitlines()[0])
    forward(W, a, slope, X) -> (n,)
    """
    lines = []
    for title, required in (("", True), ("and, where it has them,", False)):
        lines += ["", title, ""] if title else []
        for operation in OPERATIONS.values():
            if operation.required is required:
                lines += [operation.signature, f"    {operation.meaning}"]
    return "\n".join([*lines, f"{REFUSES} = True", "    NaN, labels 0 and 1, slope 1.5, ... raise an exception"])
