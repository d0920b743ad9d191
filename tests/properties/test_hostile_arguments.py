"""Every public function with every argument replaced by values that do not belong there.

The answer is a result or an `ImplicitBiasError`: no other exception, no warning, and no change of the
caller's arrays. What means the same numbers, in whatever layout, byte order or type, gives the same result.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

import verification
from refimpl import (
    Dataset,
    ExponentialLoss,
    LeakyReLU,
    LogisticLoss,
    SmoothLeakyReLU,
    TwoLayerNetwork,
    datasets,
    gaussian_weights,
    gradient_descent,
    gradient_flow,
    numerical_rank,
    stable_rank,
    stochastic_gradient_descent,
)
from refimpl.descent import gradient_descent_in_weight_space
from refimpl.errors import ImplicitBiasError
from refimpl.losses import as_loss, loss_by_name
from refimpl.span import SpanCoordinates, coefficients_from_weights, weights_from_coefficients
from refimpl.spectrum import gram_factor, singular_values
from verification.witnesses.bounds import margin_bound, paper_margin_bound

try:
    import pandas
except ImportError:  # one more library whose objects are arrays; the rest does not need it
    pandas = None

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


# --- hostile values ---------------------------------------------------------------------------------------------------


class Tensor:
    """Refuses to become an array, as a tensor that requires a gradient does."""

    shape, ndim, dtype, size = (2, 3), 2, "float32", 6

    def __array__(self, *arguments, **options):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


class Unprintable:
    """Raises whatever is asked of it."""

    def __repr__(self):
        raise RecursionError("no repr")

    __float__ = __index__ = __bool__ = __len__ = __repr__


class Frame:
    """An array of something else, as frames are."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


class HalfFloat(float):
    """A subclass of float."""


def read_only(array):
    array.setflags(write=False)
    return array


HOSTILE: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "a string": lambda: "text",
    "an empty string": lambda: "",
    "a number in a string": lambda: "0.5",
    "bytes": lambda: b"0.5",
    "True": lambda: True,
    "numpy.True_": lambda: np.True_,
    "0": lambda: 0,
    "-1": lambda: -1,
    "2": lambda: 2,
    "2^53 + 1": lambda: 2**53 + 1,
    "10^9": lambda: 10**9,
    "10^12": lambda: 10**12,
    "10^30": lambda: 10**30,
    "10^400": lambda: 10**400,
    "10^5000": lambda: 10**5000,
    "0.5": lambda: 0.5,
    "1e308": lambda: 1e308,
    "5e-324": lambda: 5e-324,
    "-0.0": lambda: -0.0,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: -np.inf,
    "1j": lambda: 1j,
    "numpy.complex128": lambda: np.complex128(1.0),
    "a float16": lambda: np.float16(0.5),
    "a longdouble": lambda: np.longdouble(1) / 3,
    "an int8": lambda: np.int8(3),
    "a uint64": lambda: np.uint64(2**64 - 1),
    "a float of a subclass": lambda: HalfFloat(0.5),
    "a fraction": lambda: Fraction(1, 3),
    "a decimal": lambda: Decimal("0.1"),
    "a signalling NaN": lambda: Decimal("sNaN"),
    "a 0-d array": lambda: np.array(0.5),
    "a 0-d array of int": lambda: np.array(3),
    "a 1-d array of one": lambda: np.array([0.5]),
    "an object": object,
    "a class": lambda: LogisticLoss,
    "a class of activations": lambda: LeakyReLU,
    "a function": lambda: np.sin,
    "a dict": lambda: {"X": 1},
    "a set": lambda: {1.0, 2.0},
    "an iterator": lambda: iter([1.0]),
    "a range": lambda: range(3),
    "an empty list": list,
    "an empty list of lists": lambda: [[]],
    "a ragged list": lambda: [[1.0, 2.0, 3.0], [1.0]],
    "a list of mixed types": lambda: [[1.0, "a", None], [2.0, 3.0, 4.0]],
    "a list of lists of ints": lambda: [[1, 2, 3], [4, 5, 7]],
    "a list of 2^53 + 1": lambda: [[2**53 + 1, 2, 3], [4, 5, 7]],
    "a list of 10^30": lambda: [[10**30, 2, 3], [4, 5, 7]],
    "a list of labels": lambda: [1, -1],
    "a pair": lambda: ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [1, -1]),
    "a tensor that requires a gradient": Tensor,
    "an object that raises": Unprintable,
    "a frame": lambda: Frame(np.arange(6.0).reshape(2, 3)),
    "a frame of objects": lambda: Frame(np.array([[1, None, 2.0]], dtype=object)),
    "a sparse matrix": lambda: csr_array(np.eye(2, 3)),
    "a generator of random numbers": lambda: np.random.default_rng(0),
    "the old generator of random numbers": lambda: np.random.RandomState(0),
    "a data set": lambda: Dataset([[1.0, 0.0]], [1]),
    "a network": lambda: TwoLayerNetwork([1.0], SmoothLeakyReLU(0.5, 1.0)),
    "another loss": ExponentialLoss,
    "an array of objects": lambda: np.array([[1, 2, 3], [4, 5, 7]], dtype=object),
    "an array of strings": lambda: np.array([["a", "b", "c"], ["d", "e", "f"]]),
    "an array of dates": lambda: np.array([["2020-01-01"] * 3] * 2, dtype="datetime64[D]"),
    "a structured array": lambda: np.zeros((2, 3), dtype=[("x", float)]),
    "an array of bools": lambda: np.array([[True, False, True], [False, True, True]]),
    "an array of complex numbers": lambda: np.ones((2, 3), dtype=complex),
    "an array of zeros": lambda: np.zeros((2, 3)),
    "an array of NaN": lambda: np.full((2, 3), np.nan),
    "an array of infinities": lambda: np.full((2, 3), -np.inf),
    "an array of 1e308": lambda: np.full((2, 3), 1e308),
    "an array of 1e160": lambda: np.array([[1e160, 0.0, 0.0], [1e-160, 1e160, 0.0]]),
    "an array of 5e-324": lambda: np.full((2, 3), 5e-324),
    "an array beyond 2^53": lambda: np.full((2, 3), 2**53 + 1),
    "an array of longdouble beyond the range": lambda: np.full((2, 3), np.longdouble(1e308) * 10),
    "a masked array": lambda: np.ma.array(np.arange(6.0).reshape(2, 3), mask=[[True, False, False]] * 2),
    "a masked array of labels": lambda: np.ma.array([1.0, -1.0], mask=[False, True]),
    "a list of masked numbers": lambda: [np.ma.masked, 1.0],
    "a masked number": lambda: np.ma.masked,
    "an array without rows": lambda: np.empty((0, 3)),
    "an array without columns": lambda: np.empty((2, 0)),
    "an empty array": lambda: np.empty(0),
    "an array of three axes": lambda: np.zeros((2, 3, 1)),
    "a huge array": lambda: np.broadcast_to(np.float64(1.0), (10**9, 10**9)),
}
if pandas is not None:
    HOSTILE |= {
        "a pandas frame": lambda: pandas.DataFrame(np.arange(6.0).reshape(2, 3) + 1.0),
        "a pandas frame of mixed types": lambda: pandas.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}),
        "a pandas frame with NA": lambda: pandas.DataFrame({"a": [1, None], "b": [1, 2]}, dtype="Int64"),
        "a pandas column": lambda: pandas.Series([1, -1]),
    }


# --- public functions, each with a call that works --------------------------------------------------------------------


@dataclass
class Problem:
    """Small, with everything that a call may need; made anew for each call, so that changes are seen."""

    def __post_init__(self):
        self.X = np.array([[1.0, 0.5, 0.0], [0.25, -2.0, 1.0]])
        self.y = np.array([1.0, -1.0])
        self.a = np.array([2.0, -0.75])
        self.W = np.array([[0.5, -0.25, 1.0], [-0.5, 1.0, 0.125]])
        self.data = Dataset(self.X, self.y)
        self.network = TwoLayerNetwork(self.a, LeakyReLU(0.5))
        self.C = np.array([[0.5, -0.25], [0.25, 1.0]])


def calls(p: Problem) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Name -> (function, arguments that work)."""
    problem = {"network": p.network, "data": p.data}
    draw = {"n": 2, "d": 3, "rng": np.random.default_rng(0)}
    descent = problem | {"W0": p.W, "step_size": 0.1, "steps": 2}
    span = SpanCoordinates.from_weights(p.network, p.data, p.W)
    found: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "LeakyReLU": (LeakyReLU, {"slope": 0.5}),
        "SmoothLeakyReLU": (SmoothLeakyReLU, {"slope": 0.5, "smoothness": 2.0}),
        "TwoLayerNetwork": (TwoLayerNetwork, {"second_layer": p.a, "activation": LeakyReLU(0.5)}),
        "with_signs": (
            TwoLayerNetwork.with_signs,
            {"positive": 2, "negative": 1, "activation": LeakyReLU(0.5)},
        ),
        "Dataset": (Dataset, {"X": p.X, "y": p.y}),
        "gaussian": (datasets.gaussian, draw | {"norm_ratio": 1.5}),
        "gaussian_mixture": (
            datasets.gaussian_mixture,
            draw | {"mean_norm": 1.0, "noise": 0.5, "flip_probability": 0.1},
        ),
        "correlated": (datasets.correlated, draw | {"correlation": 0.5}),
        "nearly_orthogonal": (
            datasets.nearly_orthogonal,
            draw | {"slack": 1.25, "slope": 0.5, "norm_ratio": 1.5},
        ),
        "gaussian_weights": (gaussian_weights, {"m": 2, "d": 3, "scale": 0.1, "rng": np.random.default_rng(0)}),
        "numerical_rank": (numerical_rank, {"W": p.C, "gram": p.data.gram, "tolerance": 1e-9}),
        "stable_rank": (stable_rank, {"W": p.C, "gram": p.data.gram}),
        "singular_values": (singular_values, {"W": p.C, "gram": p.data.gram}),
        "gram_factor": (gram_factor, {"K": p.data.gram}),
        "weights_from_coefficients": (weights_from_coefficients, {"C": p.C, "X": p.X, "W0": p.W}),
        "coefficients_from_weights": (
            coefficients_from_weights,
            {"W": p.W + p.C @ p.X, "X": p.X, "W0": p.W, "tolerance": 1e-9},
        ),
        "SpanCoordinates": (
            SpanCoordinates,
            {"network": p.network, "y": p.y, "gram": p.data.gram, "Z0": span.Z0, "B0": span.B0, "unit": 1.0},
        ),
        "from_weights": (SpanCoordinates.from_weights, problem | {"W0": p.W}),
        "loss_by_name": (loss_by_name, {"name": "logistic"}),
        "as_loss": (as_loss, {"loss": "logistic"}),
        "gradient_descent": (
            gradient_descent,
            descent | {"loss": LogisticLoss(), "record_every": 1, "progress": print_nothing, "observe": print_nothing},
        ),
        "gradient_descent_in_weight_space": (gradient_descent_in_weight_space, descent | {"loss": LogisticLoss()}),
        "stochastic_gradient_descent": (
            stochastic_gradient_descent,
            problem
            | {"W0": p.W, "step_size": 0.1, "epochs": 2, "batch_size": 1, "rng": np.random.default_rng(0)}
            | {"loss": LogisticLoss(), "evaluate": p.data, "progress": print_nothing},
        ),
        "gradient_flow": (
            gradient_flow,
            problem
            | {"W0": p.W, "loss": LogisticLoss(), "method": "piecewise", "rtol": 1e-9, "atol": 1e-7}
            | {"max_time": 1e6, "max_events": 1000, "estimate_error": False},
        ),
        "check_hypotheses": (verification.check_hypotheses, problem),
        "max_margin": (verification.max_margin, problem),
        "closed_form": (verification.closed_form, problem),
        "linear_max_margin": (verification.linear_max_margin, {"data": p.data}),
        "margin_bound": (margin_bound, {"network": p.network, "labels": p.y}),
        "paper_margin_bound": (paper_margin_bound, {"network": p.network}),
        "kkt_residuals": (verification.kkt_residuals, problem | {"W": p.W, "tolerance": 1e-9}),
        "certify": (verification.certify, problem | {"slope": Fraction(1, 2)}),
        "reject_early": (verification.reject_early, problem | {"slope": Fraction(1, 2)}),
        "count_programs": (verification.count_programs, problem),
        "global_optimum": (verification.global_optimum, problem | {"n_jobs": 1, "progress": print_nothing}),
        "mixture_error": (
            verification.mixture_error,
            {"z": p.X[0], "mean": p.X[0], "noise": 1.0, "flip_probability": 0.1},
        ),
        "robust_radii": (verification.robust_radii, {"z": p.X[0], "X": p.X}),
        "check_certificate": (
            verification.check_certificate,
            {"certificate": verification.certify(p.network, p.data).to_json(), "X": p.X, "y": p.y},
        ),
        "verify": (
            verification.verify,
            problem
            | {"W0": p.W, "seed": 0, "loss": LogisticLoss(), "scales": (0.01, 0.1, 1.0), "method": "piecewise"}
            | {"progress": print_nothing, "step_size": 0.1, "descent_steps": 20}
            | {"time_limit": 100.0, "flow_time_limit": 100.0, "decided": print_nothing, "claims": ()},
        ),
    }
    for method in ("preactivations", "forward", "input_gradient"):
        found[method] = (getattr(p.network, method), {"W": p.W, "X": p.X})
    found["margins"] = (p.network.margins, {"W": p.W, "data": p.data})
    for method in ("loss", "loss_and_gradient"):
        found[method] = (getattr(p.network, method), {"W": p.W, "data": p.data, "loss": ExponentialLoss()})
    for loss in (LogisticLoss(), ExponentialLoss()):
        for method in ("value", "log_value", "weight", "log_weight", "curvature", "log_weight_decay"):
            found[f"{loss.name} {method}"] = (getattr(loss, method), {"q": np.array([0.5, -1.0])})
        found[f"{loss.name} inverse"] = (loss.inverse_of_log_value, {"log_value": np.array([0.5, -1.0])})
    for phi in (LeakyReLU(0.0), LeakyReLU(0.5), SmoothLeakyReLU(0.0, 2.0), SmoothLeakyReLU(0.5, 1e300)):
        for method in ("value", "derivative"):
            found[f"{phi} {method}"] = (getattr(phi, method), {"z": np.array([0.5, -1.0])})
        found[f"{phi} interval"] = (phi.clarke_interval, {"z": np.array([0.5, -1.0]), "tolerance": 0.1})
    return found


def print_nothing(*arguments):
    """A callback."""


def is_anothers_business(name: str, argument: str, title: str) -> bool:
    """What is no question of arguments."""
    if argument in ("progress", "observe"):
        return callable(HOSTILE[title]())  # a function of the caller's may raise what it likes
    if argument in ("steps", "epochs", "descent_steps"):
        return title == "10^9"  # taken, where they take less than a week
    if name in ("gradient_flow", "verify") and argument == "W0":
        return title == "an array of 1e160"  # a start whose squares overflow: the flow's own range
    return name == "check_certificate" and title in ("a huge array", "a list of masked numbers")  # reads plain lists


CASES = [(name, argument) for name, (_, arguments) in calls(Problem()).items() for argument in arguments]


def fingerprint(value: Any) -> Any:
    """What a call must not change: the bytes, mask and flags of an array."""
    if isinstance(value, np.ndarray) and value.size < 1000 and value.dtype.kind != "O":
        mask = str(np.ma.getmask(value))
        return np.asarray(value).tobytes(), value.dtype.str, value.shape, value.flags.writeable, mask
    return repr(value) if isinstance(value, (list, tuple, dict)) else None


def outcome(function: Callable[..., Any], arguments: dict[str, Any]) -> str | None:
    """What is wrong with the answer to one call; None if it is a result or an `ImplicitBiasError`."""
    before = {name: fingerprint(value) for name, value in arguments.items()}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            function(**arguments)
        except ImplicitBiasError as error:
            if "\n" in str(error) or not str(error).endswith("."):
                return f"not one sentence: {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    if warned:
        return f"{warned[0].category.__name__}: {warned[0].message}"
    changed = [name for name, value in arguments.items() if fingerprint(value) != before[name]]
    return f"changed {changed}" if changed else None


@pytest.fixture(autouse=True)
def _no_claims(monkeypatch):
    """`verify` checks its arguments; what the claims make of them takes seconds, and is for the thorough profile."""
    if not THOROUGH:
        monkeypatch.setattr(sys.modules["verification.claims.registry"], "CLAIMS", ())


@pytest.mark.parametrize(("name", "argument"), CASES, ids=[f"{name}-{argument}" for name, argument in CASES])
def test_hostile_arguments_give_a_result_or_one_sentence(name, argument):
    wrong = {}
    for title, value in HOSTILE.items():
        if is_anothers_business(name, argument, title):
            continue
        function, arguments = calls(Problem())[name]
        found = outcome(function, arguments | {argument: value()})
        if found is not None:
            wrong[title] = found
    assert wrong == {}


# --- the same numbers in other clothes --------------------------------------------------------------------------------

SAME_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "a list of lists": lambda A: A.tolist(),
    "a tuple": lambda A: tuple(A.tolist()),
    "Fortran order": np.asfortranarray,
    "big-endian": lambda A: A.astype(">f8"),
    "float32": lambda A: A.astype(np.float32),  # every number here is dyadic
    "negative strides": lambda A: A[::-1].copy()[::-1],
    "every second entry": lambda A: np.repeat(A, 2, axis=0)[::2],
    "read-only": lambda A: read_only(A.copy()),
    "a masked array without masked entries": lambda A: np.ma.array(A, mask=False),
    "an object with __array__": Frame,
    "floats of a subclass": lambda A: (
        [[HalfFloat(x) for x in row] for row in np.atleast_2d(A)][: A.shape[0]]
        if A.ndim == 2
        else [HalfFloat(x) for x in A]
    ),
}
if pandas is not None:
    SAME_NUMBERS["pandas"] = lambda A: pandas.DataFrame(A) if A.ndim == 2 else pandas.Series(A)


@pytest.mark.parametrize("clothes", SAME_NUMBERS)
def test_the_same_numbers_give_the_same_result(clothes):
    p, dressed = Problem(), SAME_NUMBERS[clothes]
    X, y, a, W = (dressed(array) for array in (p.X, p.y, p.a, p.W))
    data, network = Dataset(X, y), TwoLayerNetwork(a, LeakyReLU(0.5))
    assert data.sha256 == p.data.sha256
    np.testing.assert_array_equal(network.second_layer, p.a)
    # the gradient of docs/theory.md, section 1, one number at a time
    Z = [[sum(w * x for w, x in zip(row, sample, strict=True)) for sample in p.X] for row in p.W]
    phi = [[z if z >= 0.0 else 0.5 * z for z in row] for row in Z]
    q = [p.y[i] * sum(p.a[j] * phi[j][i] for j in range(2)) for i in range(2)]
    g = [1.0 / (1.0 + np.exp(q_i)) for q_i in q]
    slopes = [[1.0 if z >= 0.0 else 0.5 for z in row] for row in Z]
    gradient = [
        [-sum(g[i] * p.y[i] * p.a[j] * slopes[j][i] * p.X[i, k] for i in range(2)) / 2.0 for k in range(3)]
        for j in range(2)
    ]
    np.testing.assert_allclose(network.loss_and_gradient(W, data)[1], gradient, rtol=1e-14)
    np.testing.assert_array_equal(
        gradient_descent(network, data, W, 0.1, 3).coefficients,
        gradient_descent(p.network, p.data, p.W, 0.1, 3).coefficients,
    )
    assert stable_rank(W) == stable_rank(p.W)
    assert (
        verification.kkt_residuals(network, data, W).stationarity
        == verification.kkt_residuals(p.network, p.data, p.W).stationarity
    )


@pytest.mark.parametrize("loss", [None, "logistic", LogisticLoss()])
def test_a_loss_may_be_called_by_its_name(loss):
    p = Problem()
    assert p.network.loss(p.W, p.data, loss) == p.network.loss(p.W, p.data)
    assert gradient_descent(p.network, p.data, p.W, 0.1, 2, loss).diagnostics["loss"] == "logistic"


def test_a_seed_stands_for_its_generator():
    drawn = datasets.gaussian(3, 4, 7)
    assert drawn.sha256 == datasets.gaussian(3, 4, np.random.default_rng(7)).sha256
    np.testing.assert_array_equal(gaussian_weights(2, 3, 0.1, np.int64(7)), gaussian_weights(2, 3, 0.1, 7))


# --- sizes that cannot work -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: gradient_descent(p.network, p.data, p.W, 0.1, 10**12), "`steps` must be smaller: .* 116 days of at"),
        (
            lambda p: gradient_descent_in_weight_space(p.network, p.data, p.W, 0.1, 10**12),
            "`steps` must be smaller: it calls for at least 116 days",
        ),
        (
            lambda p: stochastic_gradient_descent(p.network, p.data, p.W, 0.1, 10**12, 2, 0),
            "`epochs` must be smaller: it calls for at least 116 days",
        ),
        (lambda p: TwoLayerNetwork.with_signs(10**12, 1, LeakyReLU(0.5)), r"`positive \+ negative` must .* GiB"),
        (lambda p: gaussian_weights(10**9, 10**6, 0.1, 0), "`m · d` must be smaller: it calls for 1.49e\\+07 GiB"),
        (lambda p: datasets.gaussian(10**9, 3, 0), "`n · d` must be smaller: it calls for 1.49e\\+10 GiB"),
        (lambda p: datasets.correlated(3, 10**15, 0, 0.1), "`n · d` must be smaller: it calls for .* GiB of memory"),
        (lambda p: Dataset(np.broadcast_to(1.0, (10**6, 10**9)), [1]), "`X` must be smaller: it calls for .* GiB"),
    ],
)
def test_sizes_that_cannot_work_are_refused_at_once_with_what_they_need(call, words):
    with pytest.raises(ImplicitBiasError, match=words):
        call(Problem())
