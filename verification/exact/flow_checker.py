"""Checker of proven gradient flows (docs/theory.md, section 19): an integrator of its own, in balls (python-flint).

The file says how long each pattern lasts and which unit ends it. Here the flow is integrated again, by the replicator
equation with the remainder (19.4), and every condition of section 19 is decided. Nothing is the prover's.
"""

from __future__ import annotations

import operator
import re
from fractions import Fraction
from typing import Any

from verification.exact.checker import bits_of, data_of, integers, require, sealed
from verification.exact.point_checker import checked_network, checked_point

KEYS = {"schema", "schema_version", "data", "network", "loss", "start", "bits", "legs", "last", "point"}
KEYS |= {"verdict", "seal"}
POINT_KEYS = {"denominator", "multipliers", "pattern", "at_kinks", "margins_above_one", "objective", "rank"}
MOST_BITS, MOST_LEGS, MOST_HALVINGS, MOST_WORK = 2048, 2000, 60, 2**34  # work: steps times bits² m n
FLOAT = re.compile(r"-?0x[01]\.[0-9a-f]{13}p[+-]\d{1,4}")


def recomputed_flow(document: Any, rows: Any, labels: list[float], S: Any, scale: Fraction) -> dict[str, Any]:
    """The whole document again, from the data and the numbers in it that prove something."""
    try:
        import flint
    except ImportError as error:
        raise ValueError("python-flint (the extra `exact`) is needed to check a flow") from error
    require(set(document) == KEYS and document["loss"] == "exponential", "the keys are not those of a flow")
    require(set(document["point"]) == POINT_KEYS, "the keys are not those of a point")
    network, bits, legs, start = (document[key] for key in ("network", "bits", "legs", "start"))
    network, signed = checked_network(network), [[scale * x for x in row] for row in S]
    require(type(bits) is int and 64 <= bits <= MOST_BITS, "the bits are not between 64 and 2048")
    require(type(legs) is list and len(legs) <= MOST_LEGS, "the legs are no list, or too many")
    longest = bits_of(S, scale, network.gamma, *network.squares)
    point = checked_point(document["point"], network, signed, labels, longest)
    require(type(start) is list and len(start) == len(network.signs), "the start has not m rows")
    require(all(type(row) is list and len(row) == len(rows[0]) for row in start), "the start has not d columns")
    require(all(type(x) is str and FLOAT.fullmatch(x) for row in start for x in row), "the start holds no floats")
    W = [[float.fromhex(x) for x in row] for row in start]
    require([[x.hex() for x in row] for row in W] == start, "the start holds no floats")
    with flint.ctx.workprec(bits + 64):
        flow = Flow(flint, network, signed, labels, rows, W, bits)
        made = [flow.leg(leg) for leg in legs]
        last = integers([document["last"]], 4 * bits + 512)[0]
        require(last > 0 == last & (last - 1), "the last leg is not a power of two")
        flow.follow(last, None, None)
        flow.trap(point)
    shown = {key: value for key, value in point.document.items() if key in POINT_KEYS}
    new = {"schema": "implicit-bias-flow", "schema_version": 1, "data": data_of(rows, labels), "loss": "exponential"}
    new |= {"network": network.document, "start": start, "bits": bits, "legs": made, "last": hex(last), "point": shown}
    return sealed({**new, "verdict": "proven_flow_limit"})


class Flow:
    """t_ji of an approximation W̃ that is known exactly, e >= ‖W - W̃‖_F, and the pattern; by section 19."""

    def __init__(self, flint: Any, network: Any, S: Any, labels: Any, rows: Any, W: Any, bits: int) -> None:
        self.arb, self.fmpq, self.bits = flint.arb, flint.fmpq, bits
        self.mat, self.m, self.n, self.gamma = flint.fmpq_mat, len(W), len(S), self.q(network.gamma)
        self.S, self.squares = [[self.q(x) for x in row] for row in S], [self.q(x) for x in network.squares]
        self.size = [self.arb(x).sqrt() for x in self.squares]  # |a_j|
        self.R, self.norm = [self.arb(self.S[i][i]).sqrt() for i in range(self.n)], self.arb(sum(self.squares)).sqrt()
        X = [[Fraction(x) for x in row] for row in rows]
        z = [[sum((Fraction(u) * v for u, v in zip(w, x, strict=True)), Fraction(0)) for x in X] for w in W]
        require(network.gamma == 1 or all(x != 0 for row in z for x in row), "a unit starts on its kink")
        self.sides = [[1 if x >= 0 else -1 for x in row] for row in z]
        self.orient = [[s * int(y) for y in labels] for s in network.signs]  # sign of a_j y_i
        self.t = [
            [self.orient[j][i] * self.arb(self.q(z[j][i])) / self.size[j] for i in range(self.n)] for j in range(self.m)
        ]
        self.e, self.window, self.steps, self.fresh = self.arb(0), self.arb(0), 0, dict[Any, str]()
        self.most = MOST_WORK // (bits * bits * self.m * self.n)
        self.enter()

    def q(self, x: Fraction) -> Any:
        return self.fmpq(x.numerator, x.denominator)

    def dyadic(self, number: int) -> Any:
        return self.arb(number) * self.arb(2) ** (-self.bits)

    def enter(self) -> None:
        """M, the speeds D of the t_ji, the slopes G of sliding units (7.4), (7.5), and the spread ϱ of M's columns."""
        n, gamma = self.n, self.gamma
        D, self.G, M = [], dict[Any, Any](), [[self.fmpq(0)] * n for _ in range(n)]
        for j, sides in enumerate(self.sides):
            phi = [self.fmpq(1) if s > 0 or gamma == 1 else gamma if s < 0 else self.fmpq(0) for s in sides]
            T, A = [i for i in range(n) if sides[i] == 0], [list(row) for row in self.S]
            for p in T:
                require(A[p][p] > 0, "sliding samples are dependent")
                A = [[A[i][k] - A[i][p] * A[p][k] / A[p][p] for k in range(n)] for i in range(n)]
            if T:
                block = self.mat(len(T), len(T), [self.S[i][k] for i in T for k in T])
                found = block.solve(self.mat(len(T), n, [self.S[i][k] * phi[k] for i in T for k in range(n)]))
                self.G |= {(j, i): [-found[r, k] for k in range(n)] for r, i in enumerate(T)}
            D.append([[A[i][k] * phi[k] for k in range(n)] for i in range(n)])
            M = [[M[i][k] + self.squares[j] * phi[i] * D[j][i][k] for k in range(n)] for i in range(n)]
        self.D = [[[self.arb(x) for x in row] for row in A] for A in D]
        self.M = [[self.arb(x) for x in row] for row in M]
        self.exact = self.mat(n, n, [x for row in M for x in row])
        columns = [[M[i][k] for i in range(n)] for k in range(n)]
        middle = [(max(column) + min(column)) / 2 for column in columns]
        self.centred = [[self.arb(M[i][k] - middle[k]) for k in range(n)] for i in range(n)]
        self.spread = self.arb(max(max(column) - min(column) for column in columns) or max(map(max, M))).upper()
        self.speed = self.arb(max(M[i][i] for i in range(n))).sqrt()

    def weights(self) -> list[Any]:
        """w = softmax(-q) of W̃, q_i = Σ_j a_j² Φ_ji t_ji; sliding units add nothing."""
        slope = {1: self.arb(1), -1: self.arb(self.gamma), 0: self.arb(0)}
        q = [
            sum(self.arb(a) * slope[s[i]] * t[i] for a, s, t in zip(self.squares, self.sides, self.t, strict=True))
            for i in range(self.n)
        ]
        least = min(float(x.mid()) for x in q)
        g = [(least - x).exp() for x in q]
        return [x / sum(g) for x in g]

    def taylor(self, w: list[Any], h: Any, x: Any) -> list[Any]:
        """∫w over h = xτ: Taylor coefficients by w' = -w∘(M'w - wᵀM'w), and the remainder (19.4)."""
        order = next(N for N in range(4, 4 * self.bits) if x**N < self.arb(2) ** (-self.bits))
        A = [[h * y for y in row] for row in self.centred]
        om, u, g = ([[x] for x in w], *([list[Any]() for _ in w] for _ in range(2)))
        for k in range(order):
            for i, row in enumerate(A):
                u[i].append(sum(y * om[p][k] for p, y in enumerate(row)))
            r = sum(sum(map(operator.mul, om[i], reversed(u[i])), self.arb(0)) for i in range(self.n))
            for i in range(self.n):
                g[i].append(u[i][k] - r)
            for i in range(self.n):
                om[i].append(-sum(map(operator.mul, om[i], reversed(g[i])), self.arb(0)) / (k + 1))
        rest = self.arb(0, (h * x ** (order + 1) / (2 - 2 * x)).upper())
        return [h * sum(y / (k + 1) for k, y in enumerate(row)) + rest for row in om]

    def leg(self, leg: Any) -> dict[str, Any]:
        """One pattern and the event that ends it; the same document again."""
        require(set(leg) == {"duration", "unit", "kind", "side", "also", "radius"}, "the keys are not those of a leg")
        ticks, radius = (integers([leg[key]], 4 * self.bits + 512)[0] for key in ("duration", "radius"))
        unit, kind, side, also = (leg[key] for key in ("unit", "kind", "side", "also"))
        require(type(also) is list and all(type(x) is list and len(x) == 2 for x in [unit, *also]), "no units")
        require({*map(type, [side, *unit, *(x for pair in also for x in pair)])} == {int}, "no units")
        require(0 <= unit[0] < self.m and all(0 <= i < self.n for i in [unit[1], *(x[0] for x in also)]), "no units")
        require(kind in ("crossed", "began to slide", "released") and ticks > 0, "no event")
        require(0 < radius << 40 <= 1 << self.bits and radius & (radius - 1) == 0, "a radius is not 2^-40, 2^-41, ..")
        self.follow(ticks, (*unit, kind, side, also), self.dyadic(radius))
        return {**leg, "duration": hex(ticks), "radius": hex(radius)}

    def follow(self, ticks: int, event: Any, radius: Any) -> None:
        """One pattern, in steps of τ/8 at most, halved where the conditions ask for it; `event` ends it."""
        while ticks > 0:
            w = self.weights()
            delta, tau = self.pace(self.widened(w, self.arb(0)))
            part = min(ticks, int((self.arb(2) ** self.bits * tau / 8).lower().floor().unique_fmpz()))
            while not self.step(w, delta, tau, part, event if part == ticks else None, radius):
                part //= 2
                require(part << MOST_HALVINGS > ticks, "a unit comes nearer to its kink than it may")
            ticks -= part

    def pace(self, w: list[Any]) -> tuple[Any, Any]:
        """δ >= max_i |(Mw)_i - wᵀMw| and τ of (19.4)."""
        growth = [self.dot(row, w) for row in self.centred]
        mean = self.dot(w, growth)
        delta = max([self.spread / 2**20, *(abs(x - mean).upper() for x in growth)]).upper()
        return delta, (8 * (1 + 7 * self.spread / (8 * delta)).log() / (21 * self.spread)).lower()

    def step(self, w: list[Any], delta: Any, tau: Any, ticks: int, event: Any, radius: Any) -> bool:
        """One step, or False if its conditions do not show over its length and the window of the last event."""
        self.steps += 1
        require(self.steps <= self.most, "too many steps")
        h, ending, ended = self.dyadic(ticks), None, self.together(event)
        H = h * self.arb(65) / 64 if event else h
        require(bool(self.window < H), "an event is not located well enough for the steps that follow it")
        now = self.widened(w, self.arb(0))
        box = self.widened(w, H * delta * (21 * self.spread * H / 8).exp())
        mean = [self.dot(row, box) for row in self.centred]
        change = [-x * (y - self.dot(box, mean)) for x, y in zip(box, mean, strict=True)]
        during, window = self.arb((H - self.window).mid() / 2, (H + self.window).upper() / 2), self.arb(0, self.window)
        for unit in [(j, i) for j in range(self.m) for i in range(self.n) if self.gamma != 1]:
            (j, i), ends = unit, unit in ended
            if self.sides[j][i] == 0:
                for side, row in self.slopes(unit):
                    rate = self.dot(row, change)
                    if ends and event[3] == side:
                        if not (event[2] == "released" and self.dot(row, now) + window * rate > 0 and rate < 0):
                            return False
                        ending = rate
                    elif not self.dot(row, now) + during * rate > 0:
                        return False
                continue
            sign = self.sides[j][i] * self.orient[j][i]
            rate = sign * self.dot(self.D[j][i], change)
            velocity = sign * self.dot(self.D[j][i], now) + during * rate
            height = sign * self.t[j][i] - self.error(unit) - self.window * abs(velocity).upper()
            low = height + H * velocity.lower().min(self.arb(0))
            if ends:
                if not (event[2] != "released" and unit not in self.fresh and height > 0 and velocity < 0):
                    return False
                ending = velocity
            elif not {"released": rate, "crossed": velocity}.get(self.fresh.get(unit, ""), low) > 0:
                return False
        self.move(self.taylor(w, h, (h / tau).upper()))
        self.fresh, self.window = {}, self.arb(0)
        if event is not None:
            require(ending is not None, "the unit of an event is not one that can end the pattern")
            self.happen(event, ending, h, radius)
        return True

    def move(self, c: list[Any]) -> None:
        """W̃ by the midpoint of c = ∫w; what c leaves open goes into e."""
        middle = [x.mid() for x in c]
        self.e = (self.e + self.norm * self.dot(self.R, [x.rad() for x in c])).upper()
        for j in range(self.m):
            for i in range(self.n):
                if self.sides[j][i] != 0:
                    self.t[j][i] += self.dot(self.D[j][i], middle)

    def happen(self, event: Any, ending: Any, h: Any, radius: Any) -> None:
        """The event: by how much it may be early or late, what that adds to e, and the next pattern."""
        (j, i, kind, side, also), ended = event, self.together(event)
        w, before = self.widened(self.weights(), self.arb(0)), self.sides[j][i]
        spread, speed, sliding = self.spread, self.speed, self.sides[j].count(0)
        left = self.t[j][i] + self.arb(0, self.error((j, i)).upper())
        left = self.dot(dict(self.slopes((j, i)))[side], w) if kind == "released" else left
        self.window = (abs(left).upper() / abs(ending).lower()).upper()
        require(bool(self.window < h / 64) and bool(self.window <= radius), "an event is not where it is said to be")
        jumps = {k: w[k] * (1 - self.arb(self.gamma)) for k, _ in also} | {i: self.arb(0)}
        if kind == "released":
            require(side in (-1, 1) and not also, "a unit is released to no side")
            require(ended[:1] == [(j, i)], "a unit is released of which another neuron's should be named")
            jumps[i] = 2 * self.window * abs(ending)
        elif kind == "crossed":
            require(side == -before, "a unit crosses to the side from which it came")
            jumps[i] = w[i] * (1 - self.arb(self.gamma))
        else:
            require(side == 0 and self.orient[j][i] < 0, "a unit slides on a kink that repels")
        for k, to in also:
            unique = sliding == 1 or self.orient[j][i] < 0
            require(unique and k != i and self.sides[j][k] == 0 and to in (-1, 1), "a unit is not released with it")
            self.sides[j][k] = to
        require(len(jumps) == len(also) + 1, "a unit is released twice")
        self.fresh = {(j, k): "crossed" for k, _ in also} | (dict.fromkeys(ended, kind) if side != 0 else {})
        for p, _ in ended:
            self.sides[p][i] = side
        self.enter()
        turn = self.window * (spread + self.spread)
        require(bool(turn < self.arb(1) / 64), "an event is not located well enough")
        jump = sum(self.size[p] for p, _ in ended) * sum(self.R[k] * x for k, x in jumps.items()) * 33 / 32
        self.e = (self.e + self.window * (jump + 2 * turn * speed.max(self.speed))).upper()
        if kind == "began to slide":
            T, left = [k for k in range(self.n) if self.sides[j][k] == 0], self.t[j][i]
            block = self.mat(len(T), len(T), [self.S[p][k] for p in T for k in T])
            x = block.solve(self.mat(len(T), 1, [self.fmpq(int(k == i)) for k in T]))
            pull = [self.arb(sum(self.S[k][p] * x[r, 0] for r, p in enumerate(T))) for k in range(self.n)]
            self.t[j] = [self.arb(0) if k in T else y - pull[k] * left for k, y in enumerate(self.t[j])]

    def together(self, event: Any) -> list[tuple[int, int]]:
        """The units that an event ends: its own, or all of this sample whose effective slopes are equal functions."""
        same = [u for u in self.G if event and u[1] == event[1] and self.G[u] == self.G.get(event[:2])]
        return same if event and event[2] == "released" else [event[:2]] if event else []

    @staticmethod
    def dot(x: Any, y: Any) -> Any:
        return sum(map(operator.mul, x, y))

    def slopes(self, unit: tuple[int, int]) -> list[tuple[int, list[Any]]]:
        """What must stay positive while a unit slides: w_i(1 - θ), or it leaves to z > 0; w_i(θ - γ), or to z < 0."""
        own = [self.fmpq(int(k == unit[1])) for k in range(self.n)]
        rows = [(x - y, y - self.gamma * x) for x, y in zip(own, self.G[unit], strict=True)]
        return [(side, [self.arb(row[k]) for row in rows]) for k, side in enumerate((1, -1))]

    def error(self, unit: tuple[int, int]) -> Any:
        """|t_ji of W - t_ji of W̃| <= ‖x_i‖ e/|a_j|."""
        return self.R[unit[1]] * self.e / self.size[unit[0]]

    def widened(self, w: list[Any], change: Any) -> list[Any]:
        """Weights of W while their logarithms change by `change` at most: w_i e^{±(2 ‖a‖ R_max e + change)}."""
        largest = max(self.R, key=lambda R: float(R.mid()))
        margin = 2 * self.norm * largest * self.e * self.arb(65) / 64
        return [x * self.arb(0, (margin + change).upper()).exp() for x in w]

    def trap(self, point: Any) -> None:
        """(19.5): from here on the pattern lasts for ever, and the direction tends to that of the point."""
        require(self.gamma == 1 or self.sides == point.sides, "the last pattern is not that of the KKT point")
        total = sum(point.lam, Fraction(0))
        target = [self.arb(self.q(x / total)) for x in point.lam]  # w*
        w = self.widened(self.weights(), self.arb(0))
        distance = sum((x - y) * (x - y) / x for x, y in zip(w, target, strict=True))
        reach = (2 * distance.upper()).sqrt()
        excess = self.dot(w, [self.dot(row, w) for row in self.M]) - 1 / self.arb(self.q(total))
        excess = excess.upper().max(self.arb(0)).sqrt()
        inverse = self.exact.inv() if self.exact.det() != 0 else None
        rows = [row for j, i in self.G for _, row in self.slopes((j, i))]
        units = [(j, i) for j in range(self.m) for i in range(self.n) if self.sides[j][i] != 0 and self.gamma != 1]
        rows += [[self.sides[j][i] * self.orient[j][i] * x for x in self.D[j][i]] for j, i in units]
        for row in rows:
            bound = max((x - y).upper() for x in row for y in row) / 2 * reach
            if inverse is not None:
                square = sum(row[i] * self.arb(inverse[i, k]) * row[k] for i in range(self.n) for k in range(self.n))
                bound = bound.min(square.upper().sqrt() * excess)
            require(bool(self.dot(row, target) > bound), "the trap does not hold")
