"""What must hold between the answers of an implementation and a case: one function a relation, used by the fixed
checks (`checks.py`) and by the drawn properties (`properties.py`) alike.

Each returns what was found to be off, in units of what rounding explains: the sum of the absolute values of all
terms that are added up. (docs/theory.md, sections 1 to 3, 6, 7, 12)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import nnls

from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array
from verification.conformance import scalar
from verification.conformance.calls import SideEffectError, call, offers
from verification.conformance.contract import ARGUMENTS, REQUIRED
from verification.conformance.scalar import Case, loss_of_margin, weight_of_margin
from verification.witnesses.kkt import kkt_residuals

__all__ = ["answer", "convex_kkt_error", "distance_to_clarke_set"]


def answer(implementation: Any, function: str, case: Case, as_it_is: bool = False) -> Array:
    """The answer of one function, as float64."""
    value = call(implementation, function, case, as_it_is).value
    assert value is not None
    return value


# --- against a formula ---------------------------------------------------------------------------------------------


def forward_error(implementation: Any, case: Case) -> float:
    """f = Σ_j a_j max(γz, z)."""
    return largest(answer(implementation, "forward", case), scalar.outputs(case), scalar.sizes(case))


def loss_error(implementation: Any, case: Case) -> float:
    """L = (1/n) Σ ℓ(q_i)."""
    q, kind = case["y"] * scalar.outputs(case), case["loss"]
    values = [loss_of_margin(kind, q_i) for q_i in q]
    size = sum(values) + float(scalar.weights(case) @ scalar.sizes(case))
    expected = np.array(math.fsum(values) / len(q))
    return largest(answer(implementation, "loss", case), expected, np.array(size / len(q)))


def gradient_error(implementation: Any, case: Case) -> float:
    """∇L = -(1/n) Σ g_i y_i a_j Φ_ji x_i, away from kinks."""
    terms = np.abs(scalar.terms_of_gradient(case, scalar.slopes(case)))
    size = np.sum(terms * (1.0 + scalar.sizes(case))[None, :, None], axis=1)
    return largest(answer(implementation, "gradient", case), scalar.gradient(case), size)


def tail_error(implementation: Any, case: Case) -> float:
    """ℓ and g of one margin, relative to themselves: W = (w), X = (1), a = (1), γ = 1/2."""
    w = case["W"][0, 0]
    q = float(case["y"][0] * (w if w > 0.0 else w / 2.0))
    value = np.array(loss_of_margin(case["loss"], q))
    worst = largest(answer(implementation, "loss", case), value, value)
    if w != 0.0:
        slope = 1.0 if w > 0.0 else 0.5
        expected = np.array([[-case["y"][0] * weight_of_margin(case["loss"], q) * slope]])
        found = answer(implementation, "gradient", case)
        worst = max(worst, largest(found, expected, np.abs(expected)))
    return worst


def clarke_error(implementation: Any, case: Case) -> float:
    """Where z_ji = 0 exactly, the gradient is some element of the Clarke set; the samples are independent."""
    return distance_to_clarke_set(case, answer(implementation, "gradient", case))


def distance_to_clarke_set(case: Case, gradient: Array) -> float:
    """How far the slopes that explain `gradient` lie outside ∂φ(z_ji); inf if nothing explains it."""
    if gradient.shape != case["W"].shape or not np.isfinite(gradient).all():
        return math.inf
    Z, worst = scalar.preactivations(case), 0.0
    rows = scalar.terms_of_gradient(case, np.ones(Z.shape))
    for j, z in enumerate(Z):
        theta = np.linalg.lstsq(rows[j].T, gradient[j], rcond=None)[0]
        size = max(float(np.linalg.norm(gradient[j])), 1e-300)
        worst = max(worst, float(np.linalg.norm(theta @ rows[j] - gradient[j])) / size)
        low, high = np.where(z > 0.0, 1.0, case["slope"]), np.where(z < 0.0, case["slope"], 1.0)
        worst = max(worst, float(np.max(low - theta)), float(np.max(theta - high)))
    return worst


def steps_error(implementation: Any, case: Case) -> float:
    """Descent, step by step in scalar loops, away from kinks."""
    W = case["W"]
    for _ in range(case["steps"]):
        W = W - case["step_size"] * scalar.gradient(case | {"W": W})
    return largest(answer(implementation, "descent", case), W, np.full(W.shape, float(np.linalg.norm(W))))


def stable_rank_error(implementation: Any, case: Case) -> float:
    """‖W‖_F²/σ₁², σ₁² the largest eigenvalue of W Wᵀ or Wᵀ W."""
    W = case["W"]
    gram = W @ W.T if len(W) <= W.shape[1] else W.T @ W
    expected = np.array(np.trace(gram) / np.linalg.eigvalsh(gram)[-1])
    return largest(answer(implementation, "stable_rank", case), expected, expected)


def program_error(implementation: Any, case: Case) -> float:
    """The KKT conditions of (C), which is convex: they suffice. A refusal is right where there is no separator."""
    found = answer(implementation, "max_margin", case)
    if found.shape != (2, case["X"].shape[1]):
        return math.inf
    network = TwoLayerNetwork(case["a"], LeakyReLU(case["slope"]))
    return convex_kkt_error(network, Dataset(case["X"], case["y"]), found[0], found[1])


def limit_error(implementation: Any, case: Case) -> float:
    """The KKT conditions of (P): margin, stationarity, complementarity."""
    W = answer(implementation, "flow_limit", case)
    if W.shape != case["W0"].shape or not np.isfinite(W).all():
        return math.inf
    network = TwoLayerNetwork(case["a"], LeakyReLU(case["slope"]))
    found = kkt_residuals(network, Dataset(case["X"], case["y"]), W)
    return max(abs(found.smallest_margin - 1.0), found.stationarity, found.complementarity)


def start_error(implementation: Any, case: Case) -> float:
    """The limit that the start alone decides: slope 0, orthogonal samples (docs/theory.md (15.6)).

    Row j is Σ_i a_j y_i x_i/(‖x_i‖² A_i) over the samples with a_j y_i > 0 and z_ji(0) > 0, A_i the sum of the a_j²
    of the neurons that have sample i so.
    """
    W = answer(implementation, "flow_limit", case)
    if W.shape != case["W0"].shape or not np.isfinite(W).all():
        return math.inf
    expected = np.zeros(W.shape)
    for x, y in zip(case["X"], case["y"], strict=True):
        alive = [j for j, a in enumerate(case["a"]) if a * y > 0.0 and float(case["W0"][j] @ x) > 0.0]
        mass = sum(float(case["a"][j]) ** 2 for j in alive) * float(x @ x)
        for j in alive:
            expected[j] += case["a"][j] * y * x / mass
    return float(np.linalg.norm(W - expected) / np.linalg.norm(expected))


def refusal_error(implementation: Any, case: Case) -> float:
    """inf where (C) has no solution and is answered all the same; an exception is right."""
    try:
        answer(implementation, "max_margin", case)
    except SideEffectError:
        raise
    except Exception:
        return 0.0
    return math.inf


def other_limit_error(implementation: Any, case: Case) -> float:
    """The limit that `case` states beside its arguments: W0 decides which of several it is."""
    return largest(answer(implementation, "flow_limit", case), case["limit"], np.abs(case["limit"]).max())


def stated_residuals_error(implementation: Any, case: Case) -> float:
    """The four residuals that `case` states beside its arguments; inf where W does not separate."""
    found, stated = answer(implementation, "kkt_residuals", case), case["residuals"]
    if found.shape != (4,) or not np.array_equal(np.isinf(found), np.isinf(stated)):
        return math.inf
    finite = np.isfinite(stated)
    return largest(found[finite], stated[finite], np.ones(int(finite.sum())))


def residuals_error(implementation: Any, case: Case) -> float:
    """At a KKT point of (P) all four residuals are 0; their scale is 1."""
    return largest(answer(implementation, "kkt_residuals", case), np.zeros(4), np.ones(4))


def convex_kkt_error(network: TwoLayerNetwork, data: Dataset, v: Array, u: Array) -> float:
    """Largest violation of the KKT conditions of (C) at (v, u); zero there only.

    A vector of a sign that a does not have must be 0.
    """
    if not (np.isfinite(v).all() and np.isfinite(u).all()):
        return math.inf
    gamma, plus, minus = network.slope, network.mass_positive, network.mass_negative
    if (plus == 0.0 and v.any()) or (minus == 0.0 and u.any()):
        return math.inf
    c, c_prime = np.where(data.y > 0.0, 1.0, gamma), np.where(data.y > 0.0, gamma, 1.0)
    root_m = math.sqrt(network.m)
    q = root_m * data.y * (plus * c * (data.X @ v) - minus * c_prime * (data.X @ u))
    normals = data.y * np.vstack([math.sqrt(plus) * c * data.X.T, -math.sqrt(minus) * c_prime * data.X.T])
    point = root_m * np.concatenate([math.sqrt(plus) * v, math.sqrt(minus) * u])
    lam, distance = nnls(normals, point)
    stationarity = distance / max(float(np.linalg.norm(point)), 1e-300)
    complementarity = float(lam @ np.abs(q - 1.0)) / max(float(lam.sum()), 1e-300)
    return max(stationarity, complementarity, 1.0 - float(q.min()))


# --- of an implementation with itself ------------------------------------------------------------------------------


def homogeneity_error(implementation: Any, case: Case) -> float:
    """f(x; cW) = c f(x; W) for c > 0."""
    base, worst = answer(implementation, "forward", case), 0.0
    for c in (2.0**-40, 2.0**-20, 0.3, 3.0, 2.0**30, 2.0**40):
        scaled = answer(implementation, "forward", case | {"W": c * case["W"]}) / c
        worst = max(worst, largest(scaled, base, scalar.sizes(case)))
    return worst


def differences_error(implementation: Any, case: Case) -> float:
    """The gradient against central differences of the implementation's own loss, away from kinks."""
    h = 2.0**-17  # near eps^(1/3), and a power of two: W ± h is nearly exact
    differences = np.empty(case["W"].shape)
    for place in np.ndindex(*differences.shape):
        ends = []
        for sign in (1.0, -1.0):
            W = case["W"].copy()
            W[place] += sign * h
            ends.append(float(answer(implementation, "loss", case | {"W": W})))
        differences[place] = (ends[0] - ends[1]) / (2.0 * h)
    size = np.full(differences.shape, float(np.linalg.norm(differences)))
    return largest(answer(implementation, "gradient", case), differences, size)


def permutation_error(implementation: Any, case: Case) -> float:
    """Any order of samples and neurons."""
    turned = case | {name: case[name][::-1].copy() for name in ("W", "a", "X", "y")}
    forward = answer(implementation, "forward", turned)[::-1]
    gradient = answer(implementation, "gradient", turned)[::-1]
    errors = [largest(forward, answer(implementation, "forward", case), scalar.sizes(case))]
    return max(*errors, _gradients_differ(gradient, answer(implementation, "gradient", case), case))


def sign_error(implementation: Any, case: Case) -> float:
    """f(x; W, -a) = -f(x; W, a): with -y the loss and its gradient are the same."""
    return _same_loss(implementation, case, case | {"a": -case["a"], "y": -case["y"]})


def repetition_error(implementation: Any, case: Case) -> float:
    """Each sample twice: a mean does not change."""
    twice = case | {"X": np.vstack([case["X"]] * 2), "y": np.concatenate([case["y"]] * 2)}
    return _same_loss(implementation, case, twice)


def composition_error(implementation: Any, case: Case) -> float:
    """One step is W - α∇L, and three steps are two and one."""
    one, two, three = (answer(implementation, "descent", case | {"steps": k}) for k in (1, 2, 3))
    G = answer(implementation, "gradient", case)
    again = answer(implementation, "descent", case | {"W": two, "steps": 1})
    size = np.full(G.shape, np.abs(case["W"]).max() + np.abs(G).max())
    step = case["W"] - case["step_size"] * G
    return max(largest(one, step, size), largest(three, again, size))


def _same_loss(implementation: Any, case: Case, other: Case) -> float:
    loss, G = answer(implementation, "loss", case), answer(implementation, "gradient", case)
    errors = [largest(answer(implementation, "loss", other), loss, loss)]
    return max(*errors, _gradients_differ(answer(implementation, "gradient", other), G, case))


def _gradients_differ(G: Array, expected: Array, case: Case) -> float:
    g = scalar.weights(case) * (1.0 + scalar.sizes(case))
    size = np.abs(case["a"])[:, None] * (g @ np.abs(case["X"])) / len(g)
    return largest(G, expected, np.broadcast_to(size, expected.shape))


# --- state, memory layout ------------------------------------------------------------------------------------------


def called_error(implementation: Any, case: Case) -> float:
    """0: `verification.conformance.calls.call` raises where an argument is changed."""
    for function in _offered(implementation, case):
        answer(implementation, function, case)
    return 0.0


def repeated_call_error(implementation: Any, case: Case) -> float:
    """The same answer twice, to the last digit, and the first one is not written over by what is asked between."""
    half = case | {name: case[name] / 2.0 for name in ("W", "W0") if name in case}
    for function in _offered(implementation, case):
        first = answer(implementation, function, case)
        kept = first.copy()
        for other in (_smaller(case), half):
            answer(implementation, function, other)
        if not np.array_equal(kept, first) or not np.array_equal(kept, answer(implementation, function, case)):
            return math.inf
    return 0.0


def layout_error(implementation: Any, case: Case) -> float:
    """Read-only, Fortran-ordered and strided arrays; other layouts may be refused, and not misread.

    All arguments at once; for the required functions also each in turn.
    """
    worst = 0.0
    for function in _offered(implementation, case):
        expected = answer(implementation, function, case)
        size = np.full(expected.shape, float(np.abs(expected).max(initial=0.0)))
        arrays = [name for name in ARGUMENTS[function] if isinstance(case[name], np.ndarray)]
        turns = [[name] for name in arrays] if function in REQUIRED and len(arrays) > 1 else []
        for names, layout in product([arrays, *turns], LAYOUTS):
            other = case | {name: LAYOUTS[layout](case[name]) for name in names}
            try:
                found = answer(implementation, function, other, as_it_is=True)
            except Exception:
                if layout in MAY_BE_REFUSED:
                    continue
                raise
            worst = max(worst, largest(found, expected, size))
    return worst


MAY_BE_REFUSED = ("big-endian", "backwards")
"""Layouts that frameworks do not take: an exception is right, another number is not."""


def _strided(x: Array) -> Array:
    gaps = np.full((*x.shape[:-1], 2 * x.shape[-1]), 7.0)
    gaps[..., ::2] = x
    return gaps[..., ::2]


def _read_only(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran-ordered": np.asfortranarray,
    "strided": _strided,
    "read-only": _read_only,
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "big-endian": lambda x: x.astype(">f8"),
}
"""The same numbers, otherwise in memory."""


def _offered(implementation: Any, case: Case) -> list[str]:
    """The functions that the implementation offers and the case has arguments for."""
    return [name for name, needs in ARGUMENTS.items() if set(needs) <= set(case) and offers(implementation, name)]


def _smaller(case: Case) -> Case:
    """One neuron of each sign fewer, one coordinate fewer, half the samples."""
    few = max(len(case["X"]) // 2, 1)
    other = dict(case)
    for name in ("W", "W0"):
        if name in case:
            other[name] = case[name][:-1, :].copy()
    return other | {"a": case["a"][:-1], "X": case["X"][:few].copy(), "y": case["y"][:few].copy()}


def largest(found: Any, expected: Array, size: Any) -> float:
    """Largest |found - expected|/size beyond one smallest normal float; inf for other shapes, or what is not finite.

    Some hardware flushes numbers below the smallest normal one to zero.
    """
    found = np.asarray(found, dtype=np.float64)
    if found.shape != np.shape(expected) or not np.isfinite(found).all():
        return math.inf
    beyond = np.maximum(np.abs(found - expected) - float(np.finfo(np.float64).tiny), 0.0)
    return float(np.max(beyond / np.maximum(size, 1e-305), initial=0.0))
