"""KKT residuals, audits and cells of sweeps in the user's units: data times 2ᵏ, with weights and steps to match.

X -> 2ᵏX, W -> W/2ᵏ, α -> α/4ᵏ changes no margin; lengths, times and rates go with their own powers of 2ᵏ. What `verify`
says is compared in `claims/test_units.py`, flows in `tests/refimpl/flow/test_scales.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, gradient_descent
from verification import audit, kkt_residuals, linear_max_margin, max_margin
from verification.studies.sweep_cells import cell_result
from verification.studies.sweep_grid import cells_of

K = 6
X = np.array([[1.0, 0.1, 0.0, 0.2], [0.0, 1.0, 0.1, 0.0], [0.1, 0.0, 1.0, -0.3]])
Y = np.array([1.0, -1.0, 1.0])
NETWORK = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))


def data(k: int) -> Dataset:
    return Dataset(np.ldexp(X, k), Y)


def weights(k: int) -> np.ndarray:
    return np.ldexp(np.random.default_rng(0).standard_normal((3, 4)), -k)


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number in a document by its name, without the places in lists."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{name}.{key}".removeprefix("."))
    elif isinstance(value, list | tuple | np.ndarray):
        for item in value:
            yield from leaves(item, name)
    elif isinstance(value, int | float | np.number) and not isinstance(value, bool):
        yield name, float(value)


def compare(one: Any, other: Any, powers: dict[str, int], left_out: tuple[str, ...] = ()) -> None:
    """`other` is `one` with each number times its power of 2ᵏ, to rounding."""
    pairs = list(zip(leaves(one), leaves(other), strict=True))
    assert set(powers) <= {name for (name, _), _ in pairs}
    for (name, before), (same, after) in pairs:
        assert name == same
        if name.endswith(left_out) or not math.isfinite(before):
            continue
        unit = 2.0 ** (K * powers.get(name, 0))
        assert after == pytest.approx(before * unit, rel=1e-7, abs=1e-9 * unit), name


def test_kkt_residuals() -> None:
    found = [vars(kkt_residuals(NETWORK, data(k), limit_like(k))) for k in (0, K)]
    compare(*found, {"multipliers": -2})


def limit_like(k: int) -> np.ndarray:
    """Weights that separate the data."""
    return np.ldexp(np.outer(NETWORK.second_layer, Y @ X), -k) + 0.01 * weights(k)


def test_max_margins() -> None:
    powers = {"multipliers": -2, "objective": -2, "v": -1, "u": -1, "X": 1, "v_coefficients": -2, "u_coefficients": -2}
    compare(*(vars(max_margin(NETWORK, data(k))) for k in (0, K)), powers)
    powers = {"z": -1, "norm": -1, "coefficients": -2, "X": 1}
    compare(*(vars(linear_max_margin(data(k))) for k in (0, K)), powers)


def test_an_audit() -> None:
    reports = []
    for k in (0, K):
        alpha = 0.25 * 4.0**-k
        states = {0: weights(k)}
        gradient_descent(
            NETWORK, data(k), weights(k), alpha, 40, record_every=20,
            observe=lambda step, C, k=k, states=states: states.update({step: weights(k) + C @ data(k).X}),
        )  # fmt: skip
        document = audit(NETWORK, data(k), states, step_size=alpha, flow_time_limit=20.0).to_dict()
        reports.append({name: document[name] for name in ("conditions", "step_size", "checkpoints", "claims")})
    powers = {
        "step_size": -2,
        "checkpoints.norm": -1,
        "checkpoints.normalized_margin": 1,
        "checkpoints.smoothed_margin": 1,
        "checkpoints.increment_norm": -1,
        "claims.details.delta": 2,
        "claims.details.step_size": -2,
        "claims.details.smallest_norm_at_the_start": -1,
        "claims.details.smallest_norm_at_the_end": -1,
    }
    compare(*reports, powers, left_out=("seconds", "log_time", ".outside"))
    left = [[c["road"]["log_time"] for c in report["checkpoints"] if c["road"]] for report in reports]
    assert left[0]
    assert left[1] == pytest.approx([x - 2.0 * K * math.log(2.0) for x in left[0]], rel=1e-6)


@pytest.mark.parametrize(
    ("what", "powers"),
    [
        ("flow", {"s": -2, "objective": -2}),
        ("descend", {"norm": -1}),
    ],
)
def test_a_cell_of_a_sweep(what: str, powers: dict[str, int], tmp_path: Path) -> None:
    found = []
    for k in (0, K):
        path = tmp_path / f"{k}.npz"
        np.savez(path, X=data(k).X, y=Y)
        (cell,) = cells_of({"what": what, "data": str(path), "slope": 0.5, "positive": 2, "negative": 1})
        found.append(cell_result(cell))
    compare(*found, powers)
