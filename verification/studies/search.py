"""A search for data that nearly meet a condition and violate a conclusion (docs/theory.md, sections 5 and 14).

The slack of a condition is the factor by which all inner products of different samples could grow before it fails. A
counterexample is a direction in the space of Gram matrices, K = I + ε N, and the slack at which a conclusion first
fails along it: the nearer to 1, the less room is left between the condition and the truth. Directions are those of
section 14, random ones, small changes of the best, and ones that Hypothesis draws, told to increase the slack.

A conclusion is violated where the flow, from the starts that `verify` draws, ends in a limit of rank above 2 ("rank"),
with a margin above the smallest ("margin"), or in different limits ("limits").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np

from refimpl.activations import LeakyReLU
from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError, MissingExtraError, RunInterrupted
from refimpl.files import open_output
from refimpl.network import TwoLayerNetwork
from refimpl.validation import Array, as_count, as_positive
from verification.claims.run import default_starts
from verification.progress import Told
from verification.strategies import same_draws_everywhere
from verification.studies.survey import SAME, survey
from verification.witnesses.conditions import check_hypotheses

try:
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings, target
    from hypothesis import seed as hypothesis_seed
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtraError("hypothesis", "conformance") from error

__all__ = ["CONCLUSIONS", "CONDITIONS", "Counterexample", "SearchResult", "Trial", "search", "write_counterexample"]

CONCLUSIONS = ("rank", "margin", "limits")
CONDITIONS = ("refined", "instance_wise", "paper")
SLOPES = (0.5, 0.3, 0.2, 0.1, 0.05)
FIRST_SLACK = 0.25
"""A direction along which nothing fails at this slack is given up."""

BISECTIONS = 6
GRAIN = 8
"""Entries of N are whole multiples of 1/8 from -1 to 1."""

SMALL = 2.0**-4
"""The ε at which the slack of a direction is measured; inner products are linear in ε."""

SMALLEST_EIGENVALUE = 1e-3
"""Of K: directions are followed no further, so that the data stay far from dependent."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A direction, and a network.

    Attributes
    ----------
    N : ndarray, shape (n, n)
        Symmetric, 0 on the diagonal.
    y : ndarray, shape (n,)
    positive, negative : int
        m₁ and m₂.
    slope : float
    seed : int
        Of the starts.
    """

    N: Array
    y: Array
    positive: int
    negative: int
    slope: float
    seed: int

    @property
    def network(self) -> TwoLayerNetwork:
        """Of these signs and this slope."""
        return TwoLayerNetwork.with_signs(self.positive, self.negative, LeakyReLU(self.slope))

    def data(self, epsilon: float) -> Dataset | None:
        """Samples with Gram matrix I + εN; None if that is not positive definite."""
        K = np.eye(self.y.size) + epsilon * self.N
        if float(np.linalg.eigvalsh(K)[0]) < SMALLEST_EIGENVALUE:
            return None
        return Dataset(np.asarray(np.linalg.cholesky(K), dtype=np.float64), self.y)


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


@dataclass
class SearchResult:
    """The best that was found for each conclusion.

    Attributes
    ----------
    condition : str
    closest : dict
        Conclusion -> the counterexample of largest slack.
    smallest : dict
        Conclusion -> the one of fewest samples, then neurons, then largest slack.
    directions : dict
        Method -> directions tried.
    flows : int
        Data sets on which the flow was followed.
    """

    condition: str
    closest: dict[str, Counterexample] = field(default_factory=dict)
    smallest: dict[str, Counterexample] = field(default_factory=dict)
    directions: dict[str, int] = field(default_factory=dict)
    flows: int = 0

    def see(self, found: Counterexample) -> None:
        """Keep it if it is better than what is there."""
        best, small = self.closest.get(found.conclusion), self.smallest.get(found.conclusion)
        if best is None or found.slack > best.slack:
            self.closest[found.conclusion] = found
        if small is None or (*found.size, -found.slack) < (*small.size, -small.slack):
            self.smallest[found.conclusion] = found


MOST_UNITS = 4096
"""Largest n times largest m: a flow of so many units takes some seconds, and the clock is looked at before each."""

MOST_SAMPLES = 512
"""Largest n: the Gram matrices of one direction, of which a clock cannot be looked at, take a fraction of a second."""

EVENTS_OF_A_UNIT = 50
"""A flow with more events than this for each unit (j, i) is given up, so that one evaluation takes a bounded time."""

SECONDS_OF_A_FLOW = 5.0
"""A flow that takes longer is given up, and its data set left."""

SHARES = {"known": 0.2, "random": 0.2, "improved": 0.3, "targeted": 0.3}
"""Of the time, for each method; what one leaves over goes to the next."""


class _TimeUp(BaseException):  # as KeyboardInterrupt: no failure of what it passes through
    """The time of a method has passed."""


def search(
    seconds: float = 60.0,
    conclusion: str = "any",
    condition: str = "refined",
    samples: int = 4,
    neurons: int = 4,
    seed: int = 0,
    tries: int | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> SearchResult:
    """Look for counterexamples for a while.

    Parameters
    ----------
    seconds : float > 0
        Budget, in the parts `SHARES`; looked at before each flow, which may take what is left.
    conclusion : str
        One of `CONCLUSIONS`, or "any".
    condition : str
        One of `CONDITIONS`: whose slack is to come near 1.
    samples, neurons : int
        Largest n, from 2 to `MOST_SAMPLES`, and largest m, of product at most `MOST_UNITS`.
    seed : int
    tries : int, optional
        Directions for each of the three methods, instead of a time: the same result everywhere.
    progress : callable
        Called with a sentence before each flow; it is a `verification.progress.Told`.

    Returns
    -------
    SearchResult

    Raises
    ------
    InvalidParameterError
    RunInterrupted
        After Ctrl-C; its `.result` has what was found until then.

    Examples
    --------
    >>> found = search(tries=20, samples=2, neurons=2, conclusion="limits")
    >>> 0.3 < found.closest["limits"].slack < 1.0
    True
    """
    seconds, neurons = as_positive("seconds", seconds), as_count("neurons", neurons)
    samples = as_count("samples", samples, 2)
    if samples > MOST_SAMPLES:
        raise InvalidParameterError("samples", f"be at most {MOST_SAMPLES}, or one direction takes long", samples)
    if samples * neurons > MOST_UNITS:
        requirement = f"be at most {MOST_UNITS}, or one evaluation takes minutes"
        raise InvalidParameterError("samples * neurons", requirement, samples * neurons)
    if condition not in CONDITIONS:
        raise InvalidParameterError("condition", f"be one of {', '.join(CONDITIONS)}", condition)
    if conclusion not in (*CONCLUSIONS, "any"):
        raise InvalidParameterError("conclusion", f"be any or one of {', '.join(CONCLUSIONS)}", conclusion)
    if tries is not None:
        tries = as_count("tries", tries)
    wanted = CONCLUSIONS if conclusion == "any" else (conclusion,)
    run = _Search(SearchResult(condition), wanted, samples, neurons, as_count("seed", seed, 0), progress)
    methods = {"known": run.known, "random": run.at_random, "improved": run.improved, "targeted": run.targeted}
    run.until = run.started = perf_counter()
    run.seconds, run.tries = seconds, tries
    try:
        for name, method in methods.items():
            run.before, run.method = run.before + SHARES.get(run.method, 0.0), name
            run.until, run.left = run.until + SHARES[name] * seconds, tries
            with suppress(_TimeUp):
                method()
    except KeyboardInterrupt as stop:
        raise RunInterrupted(run.result) from stop
    return run.result


@dataclass
class _Search:
    result: SearchResult
    wanted: tuple[str, ...]
    samples: int
    neurons: int
    seed: int
    progress: Callable[[str], None]
    until: float = 0.0
    left: int | None = None
    started: float = 0.0
    seconds: float = 1.0
    tries: int | None = None
    method: str = ""
    before: float = 0.0  # the part of the methods before this one
    trials: dict[str, tuple[float, Trial]] = field(default_factory=dict)  # conclusion -> slack and direction

    def look_at_the_clock(self) -> None:
        """Called before each flow."""
        self.tell()
        if self.left is None and perf_counter() >= self.until:
            raise _TimeUp

    @property
    def seconds_of_a_flow(self) -> float:
        """What a flow may take: no more than is left of the budget."""
        return SECONDS_OF_A_FLOW if self.left is not None else min(SECONDS_OF_A_FLOW, self.until - perf_counter())

    def go_on(self, method: str) -> bool:
        """Whether there is a try left; counts a direction."""
        self.look_at_the_clock()
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                return False
        count = self.result.directions.get(method, 0) + 1
        self.result.directions[method] = count
        return True

    def tell(self) -> None:
        """What was tried and found, and how much of the tries or of the time is used up."""
        best = ", ".join(f"{name} {found.slack:.3f}" for name, found in self.result.closest.items())
        tried = f"{self.method}, {self.result.directions.get(self.method, 0)} directions"
        counts = f"{tried}; slack so far: {best or 'nothing found'}"
        self.progress(Told("search", counts, self.part_done()))

    def part_done(self) -> float:
        """Of the time; or of the tries, where these are counted, the methods weighted by `SHARES`."""
        if self.left is None or self.tries is None:
            return min(1.0, (perf_counter() - self.started) / self.seconds)
        own = 1.0 - max(0, self.left) / self.tries
        return self.before + own * SHARES[self.method]

    def known(self) -> None:
        """The family of docs/theory.md, section 14: all samples of one label, all inner products equal and negative."""
        for n, slope, seed in product(range(2, min(self.samples, self.neurons) + 1), sorted(SLOPES), range(2)):
            self.result.directions["known"] = self.result.directions.get("known", 0) + 1
            fails_there = {"limits"} if n == 2 else {"limits", "rank"}
            above = min((self.trials[name][0] if name in self.trials else 0.0) for name in fails_there)
            if fails_there & set(self.wanted):
                self.follow(Trial(np.eye(n) - np.ones((n, n)), np.ones(n), n, 0, slope, seed), "known", above)

    # --- three ways ---------------------------------------------------------------------------

    def at_random(self) -> None:
        """Random directions, each followed from the condition's edge outwards."""
        rng = np.random.default_rng([self.seed, 0])
        while self.go_on("random"):
            self.follow(self.drawn(rng), "random")

    def improved(self) -> None:
        """Small changes of the best directions, kept if the slack grows."""
        rng = np.random.default_rng([self.seed, 1])
        while self.trials and self.go_on("improved"):
            name = list(self.trials)[int(rng.integers(len(self.trials)))]
            slack, trial = self.trials[name]
            self.follow(changed(trial, rng), "improved", above=slack)

    def targeted(self) -> None:
        """Directions and slacks drawn by Hypothesis, which increases the slack at which something fails."""

        @hypothesis_seed(self.seed)
        @settings(
            max_examples=10**6 if self.left is None else max(1, self.left),
            database=None,
            deadline=None,
            verbosity=Verbosity.quiet,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.target),
        )
        @given(trials(self.samples, self.neurons), st.integers(1, 64))
        def attempt(trial: Trial, slack: int) -> None:
            if not self.go_on("targeted"):
                raise _TimeUp
            found = self.examined(trial, slack / 65.0, "targeted")
            target(max((counterexample.slack for counterexample in found), default=0.0), label="slack")

        with same_draws_everywhere():
            attempt()

    # --- one direction ------------------------------------------------------------------------

    def drawn(self, rng: np.random.Generator) -> Trial:
        n, m = int(rng.integers(2, self.samples + 1)), int(rng.integers(1, self.neurons + 1))
        positive = int(rng.integers(0, m + 1))
        N = np.triu(rng.integers(-GRAIN, GRAIN + 1, (n, n)) / GRAIN, 1)
        y = rng.choice(np.array([-1.0, 1.0]), n)
        return Trial(N + N.T, y, positive, m - positive, float(rng.choice(SLOPES)), int(rng.integers(8)))

    def follow(self, trial: Trial, method: str, above: float = 0.0) -> None:
        """If something fails at a small slack, or a little above `above`, bisect for the largest at which it does."""
        low = min(1.05 * above, (1.0 + above) / 2.0) if above else FIRST_SLACK
        if trial.N.any() and self.examined(trial, low, method):
            self.bisect(trial, low, 1.0, method)

    def bisect(self, trial: Trial, low: float, high: float, method: str) -> None:
        """Between a slack at which something fails and one at which nothing does."""
        for _ in range(BISECTIONS):
            middle = (low + high) / 2.0
            low, high = (middle, high) if self.examined(trial, middle, method) else (low, middle)

    def examined(self, trial: Trial, slack: float, method: str) -> list[Counterexample]:
        """What fails on the data of this slack along the direction."""
        data = self.data_at(trial, slack)
        if data is None:
            return []
        self.look_at_the_clock()
        self.result.flows += 1
        fails = violations(trial, data, self.result.condition, method, self.look_at_the_clock, self.seconds_of_a_flow)
        found = [x for x in fails if x.conclusion in self.wanted]
        for counterexample in found:
            self.result.see(counterexample)
            if counterexample.slack > self.trials.get(counterexample.conclusion, (0.0, trial))[0]:
                self.trials[counterexample.conclusion] = (counterexample.slack, trial)
        return found

    def data_at(self, trial: Trial, slack: float) -> Dataset | None:
        """The data along the direction whose condition has this slack: inner products are linear in ε."""
        small = trial.data(SMALL)
        if small is None or not trial.N.any():
            return None
        unit = slack_of(trial.network, small, self.result.condition)
        return trial.data(SMALL * unit / slack) if np.isfinite(unit) else None


def slack_of(network: TwoLayerNetwork, data: Dataset, condition: str) -> float:
    """The slack of one condition."""
    return float(getattr(check_hypotheses(network, data), condition).slack)


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


def changed(trial: Trial, rng: np.random.Generator) -> Trial:
    """A trial whose direction differs a little; sometimes with other starts."""
    n = trial.y.size
    step = np.triu(rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.5), 1) * float(rng.choice([0.01, 0.05, 0.2]))
    N = np.clip(trial.N + step + step.T, -1.0, 1.0)
    seed = int(rng.integers(8)) if rng.random() < 0.3 else trial.seed
    return Trial(N, trial.y, trial.positive, trial.negative, trial.slope, seed)


@st.composite
def trials(draw: st.DrawFn, samples: int, neurons: int) -> Trial:
    """Directions and networks for Hypothesis.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(trials(3, 2), lambda trial: bool(trial.N.any())).N
    array([[0.   , 0.125],
           [0.125, 0.   ]])
    """
    n, m = draw(st.integers(2, samples)), draw(st.integers(1, neurons))
    entries = draw(st.lists(st.integers(-GRAIN, GRAIN), min_size=n * (n - 1) // 2, max_size=n * (n - 1) // 2))
    N = np.zeros((n, n))
    N[np.triu_indices(n, 1)] = np.array(entries) / GRAIN
    y = np.array(draw(st.lists(st.sampled_from([1.0, -1.0]), min_size=n, max_size=n)))
    positive = draw(st.integers(0, m))
    return Trial(N + N.T, y, positive, m - positive, draw(st.sampled_from(SLOPES)), draw(st.integers(0, 7)))


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
