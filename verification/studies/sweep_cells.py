"""One cell of a grid: a gradient flow to its limit, a gradient descent, or a `verify`, from its settings alone.

Seeds are those of the command line: the data are drawn from [seed, 0] and start k from [seed, 1, k], so that
`implicit-bias flow` and `descend` with the same options find what the cell with `start = 0` finds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from refimpl import datasets
from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.descent import gradient_descent
from refimpl.errors import FileFormatError
from refimpl.flow import gradient_flow
from refimpl.initialization import gaussian_weights
from refimpl.network import TwoLayerNetwork
from refimpl.preparation import STEPS, prepare
from refimpl.spectrum import stable_rank_of, third_ratio
from refimpl.tables import Choices
from refimpl.validation import Array
from verification.claims.descents import unit_step
from verification.studies.survey import facts_of
from verification.witnesses.conditions import check_hypotheses
from verification.witnesses.limit_formula import closed_form

__all__ = ["GENERATORS", "WORK", "cell_result", "data_of", "network_of", "read_file"]

GENERATORS = {
    "gaussian": ("norm_ratio",),
    "gaussian_mixture": ("mean_norm", "noise", "flip_probability"),
    "correlated": ("correlation",),
    "nearly_orthogonal": ("slack", "norm_ratio"),
}
"""Generators of `refimpl.datasets` -> the settings that they take beside samples and dimension."""

CONDITIONS = ("paper", "instance_wise", "refined")


def cell_result(settings: dict[str, Any]) -> dict[str, Any]:
    """What is found with these settings (`sweep_grid.KEYS` has their meaning).

    Examples
    --------
    >>> settings = {"what": "flow", "data": "gaussian", "samples": 3, "dimension": 200, "norm_ratio": 1.0, "seed": 0}
    >>> settings |= {"slope": 0.5, "positive": 2, "negative": 1, "loss": "logistic", "method": "piecewise"}
    >>> found = cell_result(settings | {"init_scale": 0.01, "start": 0})
    >>> found["flow_status"], found["rank"], round(found["largest_margin"], 9)
    ('CONVERGED', 2, 1.0)
    """
    small = settings.get("samples", SMALL) * settings.get("dimension", SMALL) <= SMALL
    kept = _MANY if small else _FEW
    shared = kept.shared(_text_of(settings, NETWORK), _text_of(settings, _names_of_data(settings)))
    return WORK[settings["what"]](shared, settings)


NETWORK = ("slope", "positive", "negative")


def _names_of_data(settings: dict[str, Any]) -> tuple[str, ...]:
    """The settings on which the data depend."""
    name = settings["data"]
    if "data_sha256" in settings:
        return tuple(key for key in ("data", "data_sha256", "read") if key in settings)
    slope = ("slope",) if name == "nearly_orthogonal" else ()
    return ("data", "samples", "dimension", "seed", *GENERATORS[name], *slope)


def _text_of(settings: dict[str, Any], names: Sequence[str]) -> str:
    return json.dumps({name: settings[name] for name in names})


@dataclass(frozen=True, eq=False)
class _Shared:
    """One data set and one network, and what cells that share them would compute again."""

    network: TwoLayerNetwork
    data: Dataset

    @cached_property
    def reference(self) -> Array | None:
        """The closed form in coordinates of the span, where it is a KKT point."""
        exact = closed_form(self.network, self.data)
        return exact.coefficients @ self.data.gram_factor if exact.is_kkt_point else None

    @cached_property
    def slacks(self) -> dict[str, float]:
        """Of the three conditions."""
        hypotheses = check_hypotheses(self.network, self.data)
        return {name: getattr(hypotheses, name).slack for name in CONDITIONS}


class _Kept:
    """The data sets and networks of the last cells: many small ones, or one of those that fill memory."""

    def __init__(self, count: int) -> None:
        self.data = lru_cache(count)(lambda text: data_of(json.loads(text)))
        self.shared = lru_cache(count)(lambda network, data: _Shared(network_of(json.loads(network)), self.data(data)))

    def clear(self) -> None:
        """Forget them."""
        self.data.cache_clear()
        self.shared.cache_clear()


SMALL = 2**18
"""Numbers in X up to which `SEVERAL` data sets are kept; of data in files the last one is."""

SEVERAL = 16

_FEW, _MANY = _Kept(1), _Kept(SEVERAL)


def network_of(settings: dict[str, Any]) -> TwoLayerNetwork:
    """The network."""
    return TwoLayerNetwork.with_signs(settings["positive"], settings["negative"], LeakyReLU(settings["slope"]))


def data_of(settings: dict[str, Any]) -> Dataset:
    """The data, drawn or read.

    Raises
    ------
    FileFormatError
        If a file is not what it was when the grid was read.
    """
    name = settings["data"]
    if "data_sha256" in settings:
        return _read(name, settings["data_sha256"], json.dumps(settings.get("read", {})))
    options = {option: settings[option] for option in GENERATORS[name]}
    if name == "nearly_orthogonal":
        options["slope"] = settings["slope"]
    rng = np.random.default_rng([settings["seed"], 0])
    data: Dataset = getattr(datasets, name)(settings["samples"], settings["dimension"], rng=rng, **options)
    return data


def read_file(path: str | Path, how: dict[str, Any]) -> Dataset:
    """A file of data as `verify --data` reads and prepares it; `how` holds the options (`sweep_grid.FileOfData`)."""
    dropped, classes = how.get("drop_column", ()), how.get("classes")
    positive = how.get("positive_label")
    choices = Choices(
        header=how.get("header"),
        label_column=how.get("label_column"),
        positive_label=None if positive is None else str(positive),
        classes=None if classes is None else (str(classes[0]), str(classes[1])),
        drop_columns=tuple(dropped) if isinstance(dropped, list | tuple) else (dropped,),
    )
    data, _ = datasets.read(path, choices, how.get("labels"))
    return prepare(data, *(step for step in STEPS if how.get(step))).data


@lru_cache(maxsize=2)
def _read(path: str, sha256: str, how: str) -> Dataset:
    data = read_file(path, json.loads(how))
    if data.sha256 != sha256:
        raise FileFormatError(path, "it is not what it was when the sweep began")
    return data


def _start(shared: _Shared, settings: dict[str, Any]) -> Array:
    """W(0)."""
    rng = np.random.default_rng([settings["seed"], 1, settings["start"]])
    return gaussian_weights(shared.network.m, shared.data.d, settings["init_scale"] / shared.data.R_max, rng)


def _flow(shared: _Shared, settings: dict[str, Any]) -> dict[str, Any]:
    """The limit's observables, None where there is no limit; the slacks of the conditions."""
    network, data = shared.network, shared.data
    W0 = _start(shared, settings)
    how = {"method": settings["method"], "time_limit": settings.get("time_limit")}
    result = gradient_flow(network, data, W0, settings["loss"], **how)
    found: dict[str, Any] = {
        "flow_status": result.status.name,
        "s": float(result.trajectory.s[-1]),
        "events": len(result.events),
    }
    found |= dict.fromkeys(OBSERVABLES)
    if result.limit is not None:
        facts = facts_of(result.limit, result.limit.coefficients @ data.gram_factor, shared.reference)
        found |= {name: getattr(facts, name) for name in OBSERVABLES if hasattr(facts, name)}
        found["stable_rank"] = stable_rank_of(result.limit.singular_values)
        found["support_vectors"] = int(np.sum(result.limit.multipliers > 0.0))
        found["error_estimate"] = result.limit.error_estimate
    return found | {"slacks": shared.slacks}


OBSERVABLES = (
    "rank",
    "third_ratio",
    "stable_rank",
    "objective",
    "largest_margin",
    "support_vectors",
    "units_on_kinks",
    "closed_form_distance",
    "error_estimate",
)
"""Of a limit W, smallest margin 1: `LimitFacts` says what they are; stable rank, multipliers above 0, error."""


def _descend(shared: _Shared, settings: dict[str, Any]) -> dict[str, Any]:
    """Of the last step, the columns of a `DescentTrajectory`, and σ₃/σ₁; the stable rank of W(0); the slacks."""
    network, data = shared.network, shared.data
    step_size = settings.get("step_size", unit_step(network, data))
    W0, steps = _start(shared, settings), settings["steps"]
    result = gradient_descent(network, data, W0, step_size, steps, settings["loss"], record_every=steps)
    path = result.trajectory
    found = {name: getattr(path, name)[-1].item() for name in DESCENT_OBSERVABLES}
    found |= {"third_ratio": third_ratio(path.singular_values[-1])}
    found |= {"initial_stable_rank": float(path.stable_rank[0]), "slacks": shared.slacks}
    return {"descent_status": result.status.name} | found


DESCENT_OBSERVABLES = (
    "step",
    "log_loss",
    "smallest_margin",
    "norm",
    "rank",
    "stable_rank",
    "increment_stable_rank",
)


def _verify(shared: _Shared, settings: dict[str, Any]) -> dict[str, Any]:
    """The verdict and the measured value of the claims that are asked for, or of every claim, by its id."""
    from verification.claims.run import DEFAULT_SCALES, verify

    report = verify(
        shared.network,
        shared.data,
        seed=settings["seed"],
        loss=settings["loss"],
        scales=[settings["init_scale"] * scale for scale in DEFAULT_SCALES],
        method=settings["method"],
        step_size=settings.get("step_size"),
        descent_steps=settings["steps"],
        time_limit=settings.get("time_limit"),
        only=settings["claim"].split(",") if "claim" in settings else None,
    )
    rows = report.claims
    return {
        "violated": sum(row.verdict.name == "VIOLATED" for row in rows),
        "slacks": {c["name"].replace("-", "_"): c["slack"] for c in report.conditions},
        "verdict": {row.id: row.verdict.name for row in rows},
        "value": {row.id: row.measurement.value for row in rows},
    }


WORK = {"flow": _flow, "descend": _descend, "verify": _verify}
"""What a cell may be."""
