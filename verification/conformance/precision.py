"""Vector cases in float32, float16 and bfloat16, each with an a-priori bound of its rounding errors.

Inputs are rounded to the format, so that they are exact in it; what is right is computed from them in float64 with
exact sums (`scalar.py`); the tolerance bounds the rounding of any order of summation, fused or not, with numbers
below the smallest normal one flushed to zero or kept. With u the unit roundoff, η the smallest normal number and
T_i = Σ_j |a_j| Σ_k |w_jk x_ik|:

    z_ji      ζ_ji = 2(d + 2)u Σ_k |w_jk x_ik| + (2d + 1)η;  where |z_ji| ≤ ζ_ji any slope in [γ, 1] is right
    f(x_i)    δ_i = 2(d + m + 4)u T_i + (2m + 1 + 2(d + 1) Σ_j |a_j|)η
    L         (1/n) Σ g_i e^ε_i ε_i + 2(n + 8)u L + 4η,  ε_i = δ_i + 2u|q_i|
    ∇L        (1/n) Σ_i |a_j x_ik| g_i (e^ε_i ε_i + 2(n + 12)u) + 4η(1 + mean_i (1 + |a_j|)(1 + |x_ik|))
    descent   e ← (1 + 2αΛ)e + α ‖rounding of ∇L‖ + 4u‖W‖ + η,  Λ = ‖a‖² mean_i g_i ‖x_i‖²
    rank      128 max(m, d)u, relative

A case that overflows, or whose bound is so large that it says nothing, is skipped with that as its reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.errors import InvalidDataError, InvalidParameterError
from refimpl.validation import Array
from verification.conformance import scalar
from verification.conformance.calls import ArgumentChangedError, WrongTypeError
from verification.conformance.contract import ARGUMENTS
from verification.conformance.vectors import Tolerance, VectorCase, load_vectors

__all__ = ["FORMATS", "Format", "InFormat", "case_in", "cases_in", "format_named"]


@dataclass(frozen=True)
class Format:
    """A format of floating-point numbers.

    Attributes
    ----------
    name : str
    u : float
        Unit roundoff.
    smallest, largest : float
        The smallest normal number, and the largest one.
    carrier : numpy dtype
        Of the arrays that an implementation gets: bfloat16 numbers, which NumPy lacks, come as float32.
    """

    name: str
    u: float
    smallest: float
    largest: float
    carrier: Any

    def round(self, x: Any) -> Any:
        """The nearest numbers of the format, as float64; ties to even.

        Examples
        --------
        >>> FORMATS["bfloat16"].round(0.1), FORMATS["float16"].round(np.array([0.1])).tolist()
        (0.10009765625, [0.0999755859375])
        """
        array = np.asarray(x, dtype=np.float64)
        mantissa, exponent = np.frexp(array)
        digits = round(-np.log2(self.u))
        exponent = np.maximum(exponent, round(np.log2(self.smallest)) + 1)  # subnormal numbers have fewer digits
        with np.errstate(all="ignore"):
            found = np.ldexp(np.rint(np.ldexp(array, digits - exponent)), exponent - digits)
        found = np.where(np.abs(found) <= self.largest, found, np.inf)
        found = np.copysign(np.where((mantissa == 0.0) | np.isnan(array), array, found), array)
        return float(found) if found.ndim == 0 else found


FORMATS = {
    "float64": Format("float64", 2.0**-53, 2.0**-1022, float(np.finfo(np.float64).max), np.float64),
    "float32": Format("float32", 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max), np.float32),
    "float16": Format("float16", 2.0**-11, 2.0**-14, 65504.0, np.float16),
    "bfloat16": Format("bfloat16", 2.0**-8, 2.0**-126, (2.0 - 2.0**-7) * 2.0**127, np.float32),
}
"""The formats by name."""

_ASKED = ("forward", "loss", "gradient", "descent", "stable_rank")

REASON = "a-priori bound of the rounding in {0} (docs/conformance.md, Precision)"


def format_named(name: str) -> Format:
    """The format; InvalidParameterError if there is none of this name."""
    if name not in FORMATS:
        raise InvalidParameterError("dtype", f"be one of {', '.join(FORMATS)}", name)
    return FORMATS[name]


def case_in(case: VectorCase, form: Format) -> VectorCase | str:
    """The case with inputs rounded to the format, what is right for them, and its bound; or why it is not asked.

    Examples
    --------
    >>> from verification.conformance.vectors import load_vectors
    >>> case = load_vectors("loss")[0]
    >>> single = case_in(case, FORMATS["float32"])
    >>> bool(case.tolerance.absolute < 1e-14 < single.tolerance.absolute < 1e-5)
    True
    """
    if form.name == "float64" or case.kind == "refusals":
        return case
    if case.kind not in _ASKED:
        return f"no a-priori bound for {form.name} is known: asked in float64"
    inputs = {name: form.round(x) if isinstance(x, float | np.ndarray) else x for name, x in case.inputs.items()}
    if not all(np.isfinite(x).all() for x in inputs.values() if isinstance(x, float | np.ndarray)):
        return f"its inputs overflow in {form.name}"
    if "y" in inputs and not _is_data(inputs):
        return f"rounded to {form.name}, equal samples have opposite labels, or one is 0: it may be refused"
    with np.errstate(all="ignore"):
        try:
            found = _BOUNDS[case.kind](inputs, form)
        except OverflowError:
            return f"it overflows in {form.name}"
    if isinstance(found, str):
        return found
    low, high, bound = (np.asarray(x, dtype=np.float64) for x in found)
    if not np.isfinite(high).all() or float(np.abs([low, high]).max() + bound.max()) > form.largest / 4.0:
        return f"it overflows in {form.name}"
    if not float(bound.max()) <= 0.5 * float(np.abs([low, high]).max()):
        return f"the bound of the rounding in {form.name} is larger than half the value: nothing can be told"
    tolerance = Tolerance(bound, REASON.format(form.name))
    return replace(
        case, inputs=inputs, low=low, high=high, error=np.zeros(low.shape), intermediates={}, tolerance=tolerance
    )


def _is_data(inputs: dict[str, Any]) -> bool:
    """Whether X and y are data after rounding."""
    try:
        Dataset(inputs["X"], inputs["y"])
    except InvalidDataError:
        return False
    return True


def cases_in(dtype: str) -> list[VectorCase]:
    """All cases that are asked in the format, for `export_cases` and `read_answers`."""
    found = [case_in(case, format_named(dtype)) for case in load_vectors()]
    return [case for case in found if isinstance(case, VectorCase)]


Bounds = tuple[Any, Any, Any] | str


def _terms(case: scalar.Case, form: Format) -> tuple[Array, Array]:
    """Σ_k |w_jk x_ik|, shape (m, n), and its rounding ζ; OverflowError where a sum may overflow."""
    sizes, d = np.abs(case["W"]) @ np.abs(case["X"]).T, case["X"].shape[1]
    largest = max(float(sizes.max()), float((np.abs(case["a"]) @ sizes).max()))
    if not largest < form.largest / 4.0:
        raise OverflowError
    return sizes, 2.0 * (d + 2) * form.u * sizes + (2 * d + 1) * form.smallest


def _output_bound(case: scalar.Case, form: Format) -> Array:
    (m, d), sizes = case["W"].shape, _terms(case, form)[0]
    mass = float(np.abs(case["a"]).sum())
    flushed = (2 * m + 1 + 2 * (d + 1) * mass) * form.smallest
    return np.asarray(2.0 * (d + m + 4) * form.u * (np.abs(case["a"]) @ sizes) + flushed)


def _margin_bound(case: scalar.Case, form: Format) -> Array | str:
    """ε_i, at most 1."""
    bound = _output_bound(case, form) + 2.0 * form.u * np.abs(scalar.outputs(case))
    if float(bound.max()) > 1.0:
        small = scalar.weights(case) * np.exp(np.minimum(bound, 700.0)) * bound  # no more than underflow
        if case["loss"] == "exponential" or float(small.max()) > form.smallest:
            return f"a margin may be off by more than 1 in {form.name}"
    return bound


def _forward(case: scalar.Case, form: Format) -> Bounds:
    f = scalar.outputs(case)
    return f, f, _output_bound(case, form)


def _loss(case: scalar.Case, form: Format) -> Bounds:
    epsilon, n = _margin_bound(case, form), len(case["y"])
    if isinstance(epsilon, str):
        return epsilon
    g, values = scalar.weights(case), [scalar.loss_of_margin(case["loss"], q) for q in case["y"] * scalar.outputs(case)]
    if not sum(values) < form.largest / 4.0:
        raise OverflowError
    value = float(np.mean(values))
    own = float(np.mean(g * np.exp(np.minimum(epsilon, 700.0)) * epsilon))
    return value, value, own + 2.0 * (n + 8) * form.u * value + 4.0 * form.smallest


def _gradient(case: scalar.Case, form: Format) -> Bounds:
    epsilon, n = _margin_bound(case, form), len(case["y"])
    if isinstance(epsilon, str):
        return epsilon
    Z, zeta = scalar.preactivations(case), _terms(case, form)[1]
    ends = [
        scalar.terms_of_gradient(case, np.where(np.abs(Z) <= zeta, end, scalar.slopes(case)))
        for end in (case["slope"], 1.0)
    ]
    low, high = np.minimum(*ends).sum(axis=1), np.maximum(*ends).sum(axis=1)
    g, a, x = scalar.weights(case), np.abs(case["a"])[:, None], np.abs(case["X"])
    own = g * (np.exp(np.minimum(epsilon, 700.0)) * epsilon + 2.0 * (n + 12) * form.u)
    flushed = 4.0 * form.smallest * (1.0 + (1.0 + a) * (1.0 + x.mean(axis=0)))
    if not float((a * (g @ x)).max()) < form.largest / 4.0:
        raise OverflowError
    return low, high, a * (own @ x) / n + flushed


def _descent(case: scalar.Case, form: Format) -> Bounds:
    W, error, alpha = case["W"], 0.0, case["step_size"]
    norms = np.linalg.norm(case["X"], axis=1)
    for _ in range(case["steps"]):
        now = case | {"W": W}
        found = _gradient(now, form)
        if isinstance(found, str):
            return found
        near = np.abs(scalar.preactivations(now)) <= error * norms + _terms(now, form)[1]
        if case["slope"] != 1.0 and near.any():
            return f"a unit comes within rounding of its kink in {form.name}"
        if error * float(np.linalg.norm(case["a"]) * norms.max()) > 0.5:
            return f"the error of earlier steps may be too large in {form.name}"
        lipschitz = float(np.sum(case["a"] ** 2) * np.mean(scalar.weights(now) * norms**2))
        local = alpha * float(np.linalg.norm(found[2])) + 4.0 * form.u * float(np.linalg.norm(W)) + form.smallest
        error = (1.0 + 2.0 * alpha * lipschitz) * error + local
        W = W - alpha * scalar.gradient(now)
    if case["steps"] and error > 0.5 * float(np.linalg.norm(W - case["W"])):
        return f"the bound of the rounding in {form.name} is larger than half the way: nothing can be told"
    return W, W, max(error, 4.0 * form.u * float(np.linalg.norm(W)))  # the latter where there is no step


def _stable_rank(case: scalar.Case, form: Format) -> Bounds:
    squares = float(np.sum(case["W"] ** 2))
    if not form.smallest / form.u < squares < form.largest / 4.0:
        raise OverflowError
    sigma = np.linalg.svd(case["W"], compute_uv=False)
    value = float(np.sum((sigma / sigma[0]) ** 2))
    return value, value, 128.0 * max(case["W"].shape) * form.u * value


_BOUNDS = {
    "forward": _forward,
    "loss": _loss,
    "gradient": _gradient,
    "descent": _descent,
    "stable_rank": _stable_rank,
}


class InFormat:
    """An implementation that is asked in a format: arrays go in, and must come back, in its carrier.

    If the implementation has `with_dtype(name)`, what that returns is asked.

    Parameters
    ----------
    implementation : object
    form : Format
    """

    def __init__(self, implementation: Any, form: Format) -> None:
        other = getattr(implementation, "with_dtype", None)
        self._implementation = other(form.name) if callable(other) else implementation
        self._form = form

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._implementation, name)
        if name not in ARGUMENTS:
            return found
        return lambda *arguments: self._called(found, name, [self._given(x) for x in arguments])

    def _called(self, function: Any, name: str, given: list[Any]) -> Any:
        kept = [x.copy() if isinstance(x, np.ndarray) else x for x in given]
        found = function(*given)
        for argument, before, after in zip(ARGUMENTS[name], kept, given, strict=True):
            if isinstance(before, np.ndarray) and not np.array_equal(before, after, equal_nan=True):
                raise ArgumentChangedError(f"`{argument}` was changed in place")
        return self._back(found)

    def _given(self, x: Any) -> Any:
        return x.astype(self._form.carrier) if isinstance(x, np.ndarray) else x

    def _back(self, found: Any) -> Any:
        if isinstance(found, tuple | list):
            return type(found)(self._back(part) for part in found)
        if isinstance(found, np.ndarray | np.generic) and found.dtype.kind == "f":
            if found.dtype != self._form.carrier and found.ndim > 0:
                raise WrongTypeError(f"the result is {found.dtype} and must be {np.dtype(self._form.carrier)}")
            return np.asarray(found).astype(np.float64)
        return found
