"""A search for data that nearly meet a condition and violate a conclusion (docs/theory.md, sections 5 and 14).

The slack of a condition is the factor by which all inner products of different samples could grow before it fails. A
counterexample is a direction in the space of Gram matrices, K = I + ε N, and the slack at which a conclusion first
fails along it: the nearer to 1, the less room is left between the condition and the truth. Directions are those of
section 14, random ones, small changes of the best, and ones that Hypothesis draws, told to increase the slack.

A conclusion is violated where the flow, from the starts that `verify` draws, ends in a limit of rank above 2 ("rank"),
with a margin above the smallest ("margin"), or in different limits ("limits").
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from time import perf_counter

import numpy as np

from refimpl.datasets import Dataset
from refimpl.errors import InvalidParameterError, MissingExtraError, RunInterrupted
from refimpl.validation import as_count, as_positive
from verification.progress import Told
from verification.strategies import same_draws_everywhere
from verification.studies.counterexamples import CONCLUSIONS, SECONDS_OF_A_FLOW, Counterexample, violations
from verification.studies.trials import CONDITIONS, FIRST_SLACK, GRAIN, SLOPES, SMALL, Trial, changed, slack_of, trials

__all__ = ["SearchResult", "search"]

try:
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings, target
    from hypothesis import seed as hypothesis_seed
    from hypothesis import strategies as st
except ImportError as error:
    raise MissingExtraError("hypothesis", "conformance") from error

BISECTIONS = 6


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
