"""Which intermediate of an implementation is the first that differs, found through its own functions.

f with a = 1 for one neuron and one sample is φ(z_ji): with w_j turned so that z_ji > 0 it is |z_ji|, a preactivation
without any slope. The gradient for one sample is -g_i y_i a_j Φ_ji x_i, whose rows tell a wrong weight g_i from wrong
slopes Φ_ji (docs/theory.md, section 1). A diagnosis for people, to 1e-10: no verdict rests on it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refimpl.validation import Array
from verification.conformance.calls import call, offers
from verification.conformance.scalar import loss_of_margin, weight_of_margin

__all__ = ["first_difference"]

CLOSE = 1e-10


def first_difference(implementation: Any, inputs: dict[str, Any]) -> str | None:
    """What differs first: "preactivation", "slope", "margin", "weight", "loss value", "gradient" or "step".

    Parameters
    ----------
    implementation : object
    inputs : dict
        W, a, slope, X; y and loss where the case has them.

    Returns
    -------
    str or None
        None if nothing can be told.

    Examples
    --------
    >>> from verification.conformance.subjects.mistakes import WRONG
    >>> W, a, X, y = np.eye(2) + 1.0, np.ones(2), -np.eye(2), np.ones(2)
    >>> inputs = {"W": W, "a": a, "slope": 0.5, "X": X, "y": y, "loss": "logistic"}
    >>> first_difference(WRONG["slope forgotten"], inputs)
    'slope'
    >>> first_difference(WRONG["1/n forgotten in the gradient"], inputs)
    'gradient'
    """
    if not {"W", "a", "slope", "X"} <= set(inputs) or not offers(implementation, "forward"):
        return None
    try:
        with np.errstate(all="ignore"):
            return _first(implementation, inputs)
    except Exception:  # an implementation that raises here has been seen to do worse already
        return None


def _first(implementation: Any, inputs: dict[str, Any]) -> str | None:
    W, a, slope, X = (inputs[name] for name in ("W", "a", "slope", "X"))
    Z = np.array([[math.fsum(w_j * x_i) for x_i in X] for w_j in W])
    size = np.abs(W) @ np.abs(X).T
    turned = _alone(implementation, inputs, np.where(Z >= 0.0, 1.0, -1.0))
    if not _close(turned, np.abs(Z), size):
        return "preactivation"
    value = np.where(Z >= 0.0, Z, slope * Z)
    if not _close(_alone(implementation, inputs, np.ones(Z.shape)), value, size):
        return "slope"
    f = np.array([math.fsum(a * value[:, i]) for i in range(len(X))])
    if not _close(_value(implementation, "forward", inputs), f, np.abs(a) @ size):
        return "margin"
    return _behind_the_margin(implementation, inputs, Z, f) if {"y", "loss"} <= set(inputs) else None


def _behind_the_margin(implementation: Any, inputs: dict[str, Any], Z: Array, f: Array) -> str | None:
    q, expected = inputs["y"] * f, np.zeros(inputs["W"].shape)
    for i, q_i in enumerate(q):
        alone = inputs | {"X": inputs["X"][i : i + 1], "y": inputs["y"][i : i + 1]}
        own = _own_gradient(alone, Z[:, i], q_i)
        expected += own / len(q)
        differs = _weight_or_slope(_value(implementation, "gradient", alone), own, Z[:, i] != 0.0)
        if differs:
            return differs
        value = np.array(loss_of_margin(inputs["loss"], q_i))
        if not _close(_value(implementation, "loss", alone), value, value):
            return "loss value"
    away = ~(Z == 0.0).any(axis=1)
    gradient = _value(implementation, "gradient", inputs)
    size = np.full(expected.shape, np.abs(expected).max())
    if gradient.shape != expected.shape or not _close(gradient[away], expected[away], size[away]):
        return "gradient"
    if not away.all():
        return "slope"  # away from kinks everything agrees
    return "step" if "steps" in inputs else None


def _own_gradient(alone: dict[str, Any], z: Array, q: float) -> Array:
    """-g y a_j Φ_j x for one sample."""
    slopes = np.where(z > 0.0, 1.0, alone["slope"])
    g = weight_of_margin(alone["loss"], q)
    return np.asarray(-g * alone["y"][0] * (alone["a"] * slopes)[:, None] * alone["X"][0])


def _weight_or_slope(gradient: Array, expected: Array, away: Array) -> str | None:
    """Compare row by row, away from kinks: one factor for all rows is the weight's."""
    size = float(np.abs(expected[away]).max(initial=0.0))
    if size == 0.0 or gradient.shape != expected.shape:
        return None if gradient.shape == expected.shape else "gradient"
    G, E = gradient[away] / size, expected[away] / size
    if _close(G, E, np.abs(E)):
        return None
    known = np.abs(E).max(axis=1) > 0.0
    factors = np.sum(G[known] * E[known], axis=1) / np.sum(E[known] ** 2, axis=1)
    if float(np.abs(G[known] - factors[:, None] * E[known]).max()) > CLOSE or bool(_close_to_one(factors)):
        return "gradient"
    return "weight" if float(np.ptp(factors)) <= CLOSE * float(np.abs(factors).max()) else "slope"


def _close_to_one(factors: Array) -> bool:
    """Whether the rows differ in sign only."""
    return bool(np.all(np.abs(np.abs(factors) - 1.0) <= CLOSE)) and bool(np.ptp(factors) > 1.0)


def _alone(implementation: Any, inputs: dict[str, Any], signs: Array) -> Array:
    """f of each neuron alone with a = 1 and weights ± w_j on each sample alone, shape (m, n)."""
    found = np.empty(signs.shape)
    for j, i in np.ndindex(*signs.shape):
        one = {"W": signs[j, i] * inputs["W"][j : j + 1], "a": np.ones(1), "X": inputs["X"][i : i + 1]}
        found[j, i] = _value(implementation, "forward", one | {"slope": inputs["slope"]})[0]
    return found


def _value(implementation: Any, function: str, inputs: dict[str, Any]) -> Array:
    value = call(implementation, function, inputs).value
    assert value is not None
    return value


def _close(found: Array, expected: Array, size: Array) -> bool:
    return found.shape == expected.shape and bool(np.all(np.abs(found - expected) <= CLOSE * size + 1e-300))
