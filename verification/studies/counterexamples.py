"""What the search finds: data on which a conclusion fails, how it is measured and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from refimpl.datasets import Dataset
from refimpl.files import open_output
from verification.claims.run import default_starts
from verification.studies.survey import SAME, survey
from verification.studies.trials import Trial, slack_of

__all__ = ["CONCLUSIONS", "SECONDS_OF_A_FLOW", "Counterexample", "violations", "write_counterexample"]

CONCLUSIONS = ("rank", "margin", "limits")

EVENTS_OF_A_UNIT = 50
"""A flow with more events than this for each unit (j, i) is given up, so that one evaluation takes a bounded time."""

SECONDS_OF_A_FLOW = 5.0
"""A flow that takes longer is given up, and its data set left."""


@dataclass(frozen=True, eq=False)
class Counterexample:
    """Data below a condition on which a conclusion fails.

    Attributes
    ----------
    conclusion : str
        One of `CONCLUSIONS`.
    slack : float
        Of the condition that was searched, below 1.
    data : Dataset
    positive, negative : int
    slope : float
    seed : int
        Of the starts that `verify` draws.
    value : float
        σ₃/σ₁, the largest margin, or the number of limits.
    method : str
        How it was found.
    """

    conclusion: str
    slack: float
    data: Dataset
    positive: int
    negative: int
    slope: float
    seed: int
    value: float
    method: str

    @property
    def size(self) -> tuple[int, int]:
        """(n, m)."""
        return self.data.n, self.positive + self.negative

    @property
    def command(self) -> str:
        """Options of `implicit-bias verify` for this network and these starts."""
        return f"--slope {self.slope:g} --positive {self.positive} --negative {self.negative} --seed {self.seed}"


def violations(
    trial: Trial,
    data: Dataset,
    condition: str,
    method: str,
    before_each: Callable[[], None] = lambda: None,
    seconds: float = SECONDS_OF_A_FLOW,
) -> Iterator[Counterexample]:
    """The conclusions that fail on the data, from the starts that `verify` draws; none while the condition holds.

    `before_each` is called before each flow, which may take so many `seconds`.
    """
    slack = slack_of(trial.network, data, condition)
    if not 0.0 < slack < 1.0:
        return
    starts = default_starts(trial.network, data, trial.seed)
    most = EVENTS_OF_A_UNIT * data.n * trial.network.m
    found = survey(trial.network, data, starts, max_events=most, before_each=before_each, time_limit=max(seconds, 1e-3))
    if found.unfinished or not found.limits:
        return
    values = {
        "rank": max(limit.third_ratio for limit in found.limits),
        "margin": max(limit.largest_margin for limit in found.limits),
        "limits": float(found.different),
    }
    fails = {"rank": values["rank"] > SAME, "margin": values["margin"] > 1.0 + SAME, "limits": found.different > 1}
    for name in CONCLUSIONS:
        if fails[name]:
            rest = (trial.positive, trial.negative, trial.slope, trial.seed, values[name], method)
            yield Counterexample(name, slack, data, *rest)


def write_counterexample(found: Counterexample, path: str | Path, force: bool = False) -> None:
    """A .csv that `verify --data` reads; `found.command` has the options for the network and the starts.

    Raises
    ------
    OutputFileError
        If the file exists and `force` is not given, or it cannot be written.
    """
    header = ",".join([*(f"x{k}" for k in range(found.data.d)), "label"])
    samples = zip(found.data.X, found.data.y, strict=True)
    rows = [",".join([*(repr(float(x)) for x in row), f"{int(label)}"]) for row, label in samples]
    with open_output(path, force) as handle:
        handle.write(("\n".join([header, *rows]) + "\n").encode())
