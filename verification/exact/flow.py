"""Gradient flows proven: from this very start to this KKT point (docs/theory.md, section 19).

Validated integration from event to event in ball arithmetic. Within one pattern t_ji = z_ji/(a_j y_i) is linear in
c = ∫w, and dc/ds = w(q + M c) is solved by Taylor series of w = softmax(log g) with Lagrange's remainder over a box
that q does not leave (19.2), (19.4). Errors of W do not grow within a pattern; at an event they grow by the time by
which it may be early or late. At the end the pattern is a trap (19.5), and its KKT point is proven as in `point.py`.
`verification/exact/flow_checker.py` integrates again, in another way, and shares nothing with this; what it refuses
is not given out.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from refimpl.datasets import Dataset
from refimpl.descent import as_initial_weights
from refimpl.errors import InvalidParameterError
from refimpl.flow.cell import simplex_minimizer
from refimpl.losses import ExponentialLoss, LogisticLoss, Loss, as_loss
from refimpl.network import TwoLayerNetwork, check_problem
from refimpl.validation import Array
from verification.exact.checker import check_certificate
from verification.exact.documents import NotProven
from verification.exact.flow_certificate import FlowCertificate, ProvenEvent
from verification.exact.pattern import Pace, PatternDynamics, PatternState
from verification.exact.point import PointCertificate, SignedProblem, point_of_pattern, signed_problem
from verification.exact.rational import flint, midpoint, power_of_two
from verification.exact.steps import Step, event_within, taylor_step

__all__ = ["certify_flow"]

FIRST_BITS, LAST_BITS, LAST_BITS_OF_A_TIE, LAST_BITS_REFUSED = 80, 1280, 160, 320
"""Precision, doubled while balls are too wide; where two events are not told apart, or the checker refuses what was
found, it is not doubled as often."""

BITS_PER_UNIT = 1.5
"""The first precision is so much more for each unit, since each event costs a bit or so."""

PART_OF_TAU = 5
"""A step is τ of (19.4) divided by this."""

PART_OF_SPREAD = 0.6
"""A step is no longer than this divided by half the largest spread of a column of M: beyond, balls grow."""

SMALLEST_STEP = 2.0**-50
"""A condition that does not show over this part of a step is undecided."""

MOST_STEPS = 20_000

STEPS_PER_REPORT = 25

RADIUS_BITS, RADIUS_ROOM = 40, 2**12
"""Events are enclosed to 2^-40 of loss-normalized time at least; where more is proven, to so many times that, since
the checker's errors are larger at times."""


class _UndecidedError(Exception):
    """Why nothing was proven, and up to which precision it is worth while to try again; 0 for not at all."""

    def __init__(self, reason: str, last_bits: int = LAST_BITS) -> None:
        self.reason, self.last_bits = reason, last_bits
        super().__init__(reason)


def certify_flow(
    network: TwoLayerNetwork,
    data: Dataset,
    W0: Any,
    slope: Fraction | None = None,
    progress: Callable[[str], None] = lambda message: None,
    loss: Loss | str | None = None,
) -> FlowCertificate | NotProven:
    """Prove where gradient flow from W0 goes.

    Parameters
    ----------
    network : TwoLayerNetwork
        With a `LeakyReLU` of slope γ > 0, read as `certify` reads it.
    data : Dataset
    W0 : array_like, shape (m, d)
        The start, taken as the exact values of its floats.
    slope : Fraction, optional
        γ as a fraction, such as Fraction(1, 10) for 0.1. By default the exact value of the network's float.
    progress : callable, optional
        Told, in a few words, what is being done.
    loss : Loss or str, optional
        "logistic", the default, or "exponential".

    Returns
    -------
    FlowCertificate or NotProven
        `.proven` tells which; a `NotProven` has a `.reason`, and then nothing is claimed.

    Raises
    ------
    InvalidParameterError, ShapeError
        If the activation is not a leaky ReLU, γ = 0, W0 does not fit, or the loss is another one.
    MissingExtraError
        If python-flint (the extra `exact`) is not installed.

    References
    ----------
    docs/theory.md, section 19.

    Examples
    --------
    >>> from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
    >>> network = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5))
    >>> data = Dataset([[1.0, 0.25], [0.0, 1.0]], [1, -1])
    >>> flow = certify_flow(network, data, [[-0.5, 0.125], [0.25, 0.5]])
    >>> flow.proven, flow.point.rank, [(event.neuron, event.sample, event.kind) for event in flow.events]
    (True, 2, [(0, 1, 'crossed'), (1, 0, 'crossed'), (0, 0, 'crossed')])
    """
    check_problem(network, data, "certify_flow")
    loss, W0 = as_loss(loss), as_initial_weights(W0, network, data)
    if type(loss) not in (ExponentialLoss, LogisticLoss):  # one derived from these may be another function
        raise InvalidParameterError("loss", "be exponential or logistic", loss)
    bits = FIRST_BITS + int(BITS_PER_UNIT * network.m * data.n)
    if bits > LAST_BITS:
        return NotProven(f"UNDECIDED: {network.m * data.n} units (neuron, sample) ask for more than {LAST_BITS} bits")
    problem = signed_problem(network, data, slope)
    while True:
        try:
            with flint().ctx.workprec(bits + 32):
                found = _Integration(problem, data, loss.name, W0, bits, progress).run()
            progress(f"what was found with {bits} bits is checked")
            refusal = _refusal(found, data, progress)
            if not refusal:
                return found
            raise _UndecidedError(f"the checker does not find it proven ({refusal})", LAST_BITS_REFUSED)
        except ZeroDivisionError as error:
            return NotProven(f"UNDECIDED: {error}")
        except _UndecidedError as stop:
            if bits >= stop.last_bits:
                return NotProven(f"UNDECIDED: {stop.reason}")
            bits *= 2


def _refusal(found: FlowCertificate, data: Dataset, progress: Callable[[str], None]) -> str:
    """Why the checker refuses a proof; nothing if it accepts it."""
    result = check_certificate(found.to_json(), data.X, data.y, progress)
    return "" if result.accepted else result.reason


class _Integration:
    """The state of one proof: t_ji of W̃ in balls, e ≥ ‖W - W̃‖_F, the pattern, the clock and how far it may be off.

    `window` is by how much the last event may be early or late, `late` by how much W's clock may differ (section 19).
    """

    def __init__(
        self, problem: SignedProblem, data: Dataset, loss: str, W0: Array, bits: int, progress: Callable[[str], None]
    ) -> None:
        self.problem, self.data, self.loss, self.bits, self.progress = problem, data, loss, bits, progress
        self.start = tuple(tuple(float(x) for x in row) for row in W0)
        z = [[_dot(w, x) for x in data.X] for w in W0]
        if problem.gamma != 1 and any(x == 0 for row in z for x in row):
            raise _UndecidedError("a unit starts exactly on its kink", 0)
        self.sides = np.array([[1 if x >= 0 else -1 for x in row] for row in z], dtype=np.int8)
        self.cell = PatternDynamics(problem, self.sides, self.sides.shape, loss == "logistic")
        self.t = [
            [self.cell.ball(x) * (1 if self.cell.alike[j][i] else -1) / self.cell.size[j] for i, x in enumerate(row)]
            for j, row in enumerate(z)
        ]
        self.e, self.window, self.late = self.cell.ball(0), self.cell.ball(0), self.cell.ball(0)
        self.clock, self.taken, self.steps = Fraction(0), Fraction(1), 0
        self.events: list[ProvenEvent] = []
        self.fresh: dict[tuple[int, int], str] = {}

    def run(self) -> FlowCertificate:
        """Follow the flow until the trap is proven."""
        point, told = self._candidate(), 0
        while True:
            if point is not None and self._trapped(point):
                last = self.events[-1].time if self.events else Fraction(0)
                shown = last + power_of_two(self.clock - last)  # a later time of the trap, of one digit
                return FlowCertificate(self.loss, self.start, self.bits, tuple(self.events), shown, point)
            if self._advance():
                point = self._candidate()
            elif self.steps >= told:
                told = self.steps + STEPS_PER_REPORT
                self.progress(f"s = {float(self.clock):.6g} after {self.steps} steps, {self.bits} bits")

    def _candidate(self) -> PointCertificate | None:
        """The KKT point of the present pattern, if it has one."""
        lam = simplex_minimizer(np.array([[float(x) for x in row] for row in self.cell.rational]))
        if lam is None:
            return None
        b = np.array([[float(x) for x in row] for row in self.cell.products(lam)])
        found = point_of_pattern(self.problem, self.data, self.sides, lam > 1e-9 * lam.max(), lam, b)
        if isinstance(found, NotProven):
            return None
        if self.problem.gamma != 1 and found.pattern != tuple(map(tuple, self.sides.tolist())):
            return None
        return found

    def _trapped(self, point: PointCertificate) -> bool:
        """Whether the pattern lasts for ever from now on."""
        if self.steps == 0 or (self.events and self.events[-1].time == self.clock):
            return False  # the conditions of a pattern are shown by a step in it
        return self.cell.is_trap(point.multipliers, self.cell.state(self.t), self.e)

    def _advance(self) -> bool:
        """One step, or one event; whether the pattern changed."""
        cell, bits = self.cell, self.bits
        state = cell.state(self.t)
        pace = cell.pace(state)
        if not pace.tau > 0:
            raise _UndecidedError(f"numbers at s = {float(self.clock):.12g} are too large for ball arithmetic", 0)
        longest = min(float(pace.tau) / PART_OF_TAU, PART_OF_SPREAD / float(cell.mu))
        base = _dyadic(Fraction(longest), bits)
        h = min(base, 4 * self.taken)
        while True:
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise _UndecidedError(f"no trap was proven in {MOST_STEPS} steps, up to s = {float(self.clock):.6g}", 0)
            step = taylor_step(cell, state, pace, h, bits)
            event = event_within(cell, self.t, step, self.fresh)
            if event is not None:
                at = _dyadic(h * event.fraction, bits)
                if at > 0 and self._take(taylor_step(cell, state, pace, at, bits), state, pace, event.unit):
                    return True
                h = _dyadic(min(at, h) / 2, bits)
            elif self._take(step, state, pace, None):
                self.taken = h
                return False
            else:
                h = _dyadic(h / 2, bits)
            if h < base * Fraction(SMALLEST_STEP):
                reason = f"two events, or a tangency, at s = {float(self.clock):.12g} are not told apart"
                raise _UndecidedError(reason, LAST_BITS_OF_A_TIE)

    def _take(self, step: Step, state: PatternState, pace: Pace, unit: tuple[int, int, int] | None) -> bool:
        """Take the step if its conditions show over its length; `unit` = (j, i, side of release or 0) ends it."""
        cell, reach = self.cell, self.cell.reach(self.e)
        H = step.h * Fraction(33, 32)  # W takes a little more or less of its own time than h
        if not (self.window < cell.ball(step.h) and reach < cell.ball(Fraction(1, 512))):
            return False
        motion, zero = cell.motion(state, self.e, pace, H, self.window), cell.ball(0)
        rate, ending = None, cell.together(*unit) if unit else []
        for j, i in cell.units:
            if self.sides[j, i] == 0:
                for side in (1, -1):
                    start, value, change = motion.guard(j, i, side)
                    if (j, i) in ending and unit and side == unit[2]:
                        if not (start > 0 and change < 0):
                            return False
                        rate = change
                    elif not value > 0:
                        return False
                continue
            velocity, change = motion.unit(j, i)
            height = cell.sign(j, i) * self.t[j][i] - cell.error(j, i, self.e) - self.window * abs(velocity).upper()
            if (j, i) in ending:
                if (j, i) in self.fresh or not (height > 0 and velocity < 0):
                    return False
                rate = velocity
            elif (j, i) in self.fresh:
                if not (change > 0 if self.fresh[j, i] == "released" else velocity > 0):
                    return False
            elif not height + cell.ball(H) * velocity.lower().min(zero) > 0:
                return False
        self.t, self.e = cell.moved(self.t, self.e, step)
        self.clock += step.h
        if cell.logistic:
            self.late = (self.late + cell.ball(step.h) * reach).upper()
        self.fresh, self.window = {}, zero
        if unit is not None:
            self._happen(unit, rate, step.h)
        return True

    def _happen(self, unit: tuple[int, int, int], rate: Any, h: Fraction) -> None:
        """The event at the end of a step: its time enclosed, what it adds to e, and the next pattern."""
        cell, bits, (j, i, side) = self.cell, self.bits, unit
        w = cell.widened(cell.state(self.t).w, self.e)
        left = cell.guard_value(j, i, side, w) if side else abs(self.t[j][i]) + cell.error(j, i, self.e)
        self.window = (abs(left).upper() / abs(rate).lower() * 33 / 32).upper()
        self.late = (self.late + self.window).upper()
        kind, to, also = ("released", side, {}) if side else self._fate(j, i, w)
        sides, together = self.sides.copy(), cell.together(*unit)
        for p, _ in together:
            sides[p, i] = to
        for k, other in also.items():
            sides[j, k] = other
        following = cell.with_sides(sides)
        turn = 3 * self.window * (cell.B + following.B)
        widest = Fraction(1, 2**RADIUS_BITS)
        where = self.late if cell.logistic else self.window
        well = 8 * self.window < cell.ball(h / 128) and 8 * where < cell.ball(widest)
        if not (well and turn < cell.ball(Fraction(1, 128))):
            raise _UndecidedError("errors exceed the radii of event times")
        least = midpoint(where) + max(Fraction(1), self.clock) / 2**bits  # of data in small units all times are long
        radius = min(widest, power_of_two(RADIUS_ROOM * least))
        moving = [*also, *([i] if kind == "crossed" else [])]
        jump = sum((w[k] * (1 - cell.ball(self.problem.gamma)) * cell.radii[k] for k in moving), cell.ball(0))
        if kind == "released":
            jump = 2 * self.window * abs(rate) * cell.radii[i]
        size = sum((cell.size[p] for p, _ in together), cell.ball(0))
        grown = jump * size * cell.ball(Fraction(33, 32)) + 2 * turn * cell.B.max(following.B).sqrt()
        self.e = (self.e + self.window * grown).upper()
        if kind == "began to slide":
            self.t = following.projected(self.t, j, i)
        self.sides, self.cell = sides, following
        self.fresh = {(j, k): "crossed" for k in also} | (dict.fromkeys(together, kind) if to else {})
        self.events += [ProvenEvent(self.clock, radius, p, i, kind, to) for p, _ in together]
        self.events += [ProvenEvent(self.clock, radius, j, k, "released", other) for k, other in also.items()]
        self.progress(f"event {len(self.events)} at s = {float(self.clock):.6g}, {bits} bits")

    def _fate(self, j: int, i: int, w: list[Any]) -> tuple[str, int, dict[int, int]]:
        """What a unit does that arrives at its kink, and which sliding units of its neuron it releases.

        The next step proves it. Where a kink repels and several others slide, these must slide on (section 19).
        """
        before, sliding = int(self.sides[j, i]), [k for k in range(self.data.n) if self.sides[j, k] == 0]
        unique = len(sliding) == 1 or not self.cell.alike[j][i]
        for to in (-before, 0) if not self.cell.alike[j][i] else (-before,):
            for others in product((0, 1, -1), repeat=len(sliding) if unique else 0):
                sides = self.sides.copy()
                sides[j, i] = to
                also = {k: side for k, side in zip(sliding, others, strict=False) if side}
                for k, side in also.items():
                    sides[j, k] = side
                if self.cell.with_sides(sides).goes_on(j, [i, *sliding], w):
                    return ("crossed" if to else "began to slide"), to, also
        reason = f"what unit ({j}, {i}) does at its kink at s = {float(self.clock):.12g} is not decided"
        raise _UndecidedError(reason, LAST_BITS_OF_A_TIE)


def _dot(w: Array, x: Array) -> Fraction:
    return sum((Fraction(float(u)) * Fraction(float(v)) for u, v in zip(w, x, strict=True)), Fraction(0))


def _dyadic(value: Fraction, bits: int) -> Fraction:
    """Rounded down to a multiple of 2^-bits."""
    return Fraction(int(value * 2**bits), 2**bits)
