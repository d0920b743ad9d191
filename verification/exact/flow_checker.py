"""Checker of proven gradient flows (docs/theory.md, section 19): an integrator of its own, in balls (python-flint).

The file says how long each pattern lasts and which unit ends it. Here the flow is integrated again, by the equations of
w and ζ = 1 - η with the remainder (19.4), and every condition of section 19 is decided. Nothing is the prover's.
"""

from __future__ import annotations

import itertools
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
LOSSES, BOUNDS = ("exponential", "logistic"), (0.5, 0.125, 0.03125, 0.0078125)
FLOAT = re.compile(r"-?0x(0\.0p\+0|[01]\.[0-9a-f]{13}p[+-]\d{1,4})")


def recomputed_flow(document: Any, rows: Any, labels: list[float], S: Any, scale: Any, tell: Any) -> dict[str, Any]:
    """The whole document again, from the data and the numbers in it that prove something."""
    try:
        import flint
    except ImportError as error:
        raise ImportError("python-flint (the extra `exact`) is needed to check a flow") from error
    require(set(document) == KEYS and document["loss"] in LOSSES, "the keys are not those of a flow")
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
    with flint.ctx.workprec(2 * bits):
        flow = Flow(flint, network, signed, (rows, labels), W, document, tell)
        made = [flow.leg(leg) for leg in legs]
        last = integers([document["last"]], 4 * bits + 512)[0]
        require(last > 0 == last & (last - 1), "the last leg is not a power of two")
        flow.follow(last, None, None)
        flow.trap(point)
    new = {"schema": "implicit-bias-flow", "schema_version": 1, "data": data_of(rows, labels), "legs": made}
    new |= {"network": network.document, "point": {key: point.document[key] for key in POINT_KEYS}, "last": hex(last)}
    return sealed(new | {"verdict": "proven_flow_limit"} | {key: document[key] for key in ("loss", "start", "bits")})


class Flow:
    """t_ji of an approximation W̃ that is known exactly, e >= ‖W - W̃‖_F, and the pattern; by section 19."""

    def __init__(self, flint: Any, network: Any, S: Any, data: Any, W: Any, document: Any, tell: Any) -> None:
        self.tell, self.logistic, bits = tell, document["loss"] == "logistic", document["bits"]
        self.arb, self.fmpq, self.mat, self.tick = flint.arb, flint.fmpq, flint.fmpq_mat, flint.arb(2) ** -bits
        self.bits, self.m, self.n, self.gamma = bits, len(W), len(S), self.q(network.gamma)
        self.S, self.squares = [[self.q(x) for x in row] for row in S], [self.q(x) for x in network.squares]
        self.size = [self.arb(x).sqrt() for x in self.squares]  # |a_j|
        self.R, self.norm = [self.arb(self.S[i][i]).sqrt() for i in range(self.n)], self.arb(sum(self.squares)).sqrt()
        X = [[Fraction(x) for x in row] for row in data[0]]
        z = [[sum((Fraction(u) * v for u, v in zip(w, x, strict=True)), Fraction(0)) for x in X] for w in W]
        require(network.gamma == 1 or all(x != 0 for row in z for x in row), "a unit starts on its kink")
        self.sides = [[1 if x >= 0 else -1 for x in row] for row in z]
        self.orient = [[s * int(y) for y in data[1]] for s in network.signs]  # sign of a_j y_i
        self.t = [[self.orient[j][i] * self.q(x) / self.size[j] for i, x in enumerate(z[j])] for j in range(self.m)]
        self.reach = 2 * self.norm * self.arb(max(self.S[i][i] for i in range(self.n))).sqrt()
        self.e, self.window, self.steps, self.fresh = self.arb(0), self.arb(0), 0, dict[Any, str]()
        self.late, self.most = self.arb(0), MOST_WORK // (bits**2 * self.m * self.n)  # W's clock, off by `late`
        self.enter()

    def q(self, x: Any) -> Any:
        return self.fmpq(x.numerator, x.denominator)

    def enter(self) -> None:
        """M, the speeds D of the t_ji, the slopes G of sliding units (7.4), (7.5), and B of (19.4)."""
        n, gamma, S, self.G, self.guards, self.pull = self.n, self.gamma, self.S, *(dict[Any, Any]() for _ in "GDP")
        D, self.share, M, P = [], list[Any](), [[self.fmpq(0)] * n for _ in range(n)], self.pull
        for j, sides in enumerate(self.sides):
            phi = [self.fmpq(1) if s > 0 or gamma == 1 else gamma if s < 0 else self.fmpq(0) for s in sides]
            T = [i for i in range(n) if sides[i] == 0]
            block = self.mat(len(T), len(T), [S[i][k] for i in T for k in T])
            require(block.det() != 0, "sliding samples are dependent")
            found = block.solve(self.mat(len(T), n, [S[i][k] for i in T for k in range(n)]))
            P |= {(j, i): [found[r, k] for k in range(n)] for r, i in enumerate(T)}
            for i in T:  # while it slides w_i(1 - θ) and w_i(θ - γ) stay positive; else it leaves to z > 0, or to z < 0
                G = self.G[j, i] = [-x * f for x, f in zip(P[j, i], phi, strict=True)]
                self.guards[j, i, 1] = [self.arb(int(k == i) - x) for k, x in enumerate(G)]
                self.guards[j, i, -1] = [self.arb(x - gamma * int(k == i)) for k, x in enumerate(G)]
            D.append([[phi[k] * (S[i][k] - sum(S[i][p] * P[j, p][k] for p in T)) for k in range(n)] for i in range(n)])
            M = [[M[i][k] + self.squares[j] * phi[i] * D[j][i][k] for k in range(n)] for i in range(n)]
            self.share.append([self.arb(self.squares[j] * f) for f in phi])
        self.D = [[[self.arb(x) for x in row] for row in A] for A in D]
        self.M = [[self.arb(x) for x in row] for row in M]
        self.exact = self.mat(n, n, [x for row in M for x in row])
        columns = [[M[i][k] for i in range(n)] for k in range(n)]
        middle, spread = [(max(x) + min(x)) / 2 for x in columns], max(max(x) - min(x) for x in columns)
        self.centred = [[self.arb(M[i][k] - middle[k]) for k in range(n)] for i in range(n)]
        self.mu = self.arb(spread / 2 or max(map(max, M))).upper()
        self.B, self.middle = self.arb(max(M[i][i] for i in range(n))).upper(), list(map(self.arb, middle))
        self.reduced = self.M if self.logistic else self.centred  # log w does not change by it
        self.longest = 1 / (2 * self.mu).max(self.B * int(self.logistic) / 2)  # of a step: beyond, balls grow

    def weights(self) -> tuple[list[Any], list[Any]]:
        """w = softmax(log g) and ζ of W̃, at q_i = Σ_j a_j² Φ_ji t_ji; sliding units add nothing."""
        q = [sum(share[i] * t[i] for share, t in zip(self.share, self.t, strict=True)) for i in range(self.n)]
        g = [1 / (1 + x.exp()) if self.logistic else (-x).exp() for x in q]
        return [x / sum(g) for x in g], g if self.logistic else [self.arb(0)] * self.n

    def taylor(self, w: list[Any], zeta: list[Any], h: Any, x: Any) -> list[Any]:
        """∫w over h = xτ: Taylor coefficients by w' = -w∘(p - wᵀp), ζ' = -ζ∘p, p = (1 - ζ)∘Mw; and remainder (19.4)."""
        order = next(N for N in range(4, 4 * self.bits) if x**N < self.tick / 256)
        A = [[h * y for y in row] for row in self.reduced]
        om, ze = [[y] for y in w], [[y] for y in zeta if self.logistic]
        (v, p), mean = ([list[Any]() for _ in w] for _ in "vp"), list[Any]()
        for k in range(order):
            for i, row in enumerate(A):
                v[i].append(self.dot(row, [y[k] for y in om]))
                p[i].append(v[i][k] - (self.dot(ze[i], reversed(v[i])) if ze else 0))
            mean.append(sum(map(self.dot, om, map(reversed, p))))
            for row, y in zip(om, p, strict=True):
                row.append((self.dot(row, reversed(mean)) - self.dot(row, reversed(y))) / (k + 1))
            for row, y in zip(ze, p, strict=False):
                row.append(-self.dot(row, reversed(y)) / (k + 1))
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
        self.follow(ticks, (*unit, kind, side, also), radius * self.tick)
        return {**leg, "duration": hex(ticks), "radius": hex(radius)}

    def follow(self, ticks: int, event: Any, radius: Any) -> None:
        """One pattern, in steps of τ/8 at most, halved where the conditions ask for it; `event` ends it."""
        while ticks > 0:
            pace = self.pace(*self.weights())
            part = min(ticks, int(((pace[0] / 8).min(self.longest) / self.tick).lower().floor().unique_fmpz()))
            while not self.step(pace, part, event if part == ticks else None, radius):
                part //= 2
                require(part << MOST_HALVINGS > ticks, "a unit comes nearer to its kink than it may")
            ticks -= part

    def pace(self, w: list[Any], zeta: list[Any]) -> Any:
        """τ, U, a, b and V of (19.4), for the U and the z of some that give the largest τ."""
        w, zeta, found = self.widened(w), self.widened(zeta), list[Any]()
        inner, outer = (self.most_of(self.dot(row, w) for row in A) for A in (self.centred, [self.middle, *self.M]))
        delta, first = max(self.mu / 2**20, self.most_of(self.decay(w, zeta))), self.most_of(zeta)
        for U, z in itertools.product(BOUNDS, (3 * first / 2, first.sqrt())[: 1 + self.logistic]):
            v, V, a = inner + U * self.mu, outer + U * self.B, (1 + U) * delta
            b = (1 + U) * ((1 + z) * ((2 + U) * self.mu + v) + z * ((2 + U) * self.B + V))
            tau = (1 + U * b / a).log() / b
            if self.logistic:
                T = tau.min((z / first).log() / (1 + z) / V)
                a += (1 + U) * (2 + U) * (1 + z) * z * V * (V + v) * T
                tau = T.min((1 + U * b / a).log() / b)
            found.append((tau.lower(), U, a.upper(), b.upper(), V.upper()))
        return max(found)

    def decay(self, w: list[Any], zeta: list[Any]) -> list[Any]:
        """By how much log w falls: p - wᵀp, p = (1 - ζ)∘Mw."""
        p = [(1 - x) * self.dot(row, w) for x, row in zip(zeta, self.reduced, strict=True)]
        mean = self.dot(w, p)
        return [x - mean for x in p]

    def step(self, pace: Any, ticks: int, event: Any, radius: Any) -> bool:
        """One step, or False if its conditions do not show over its length and the window of the last event."""
        self.steps += 1
        self.tell(f"step {self.steps} of the check")
        require(self.steps <= self.most, "too many steps")
        (w, zeta), (tau, U, a, b, V), reach = self.weights(), pace, (self.reach * self.e).upper()
        h, ending, ended = ticks * self.tick, None, self.together(event)
        H = h * self.arb(65) / 64  # W takes a little more or less of its own time than h
        require(bool(self.window < h) and bool(reach < self.arb(1) / 256), "errors are too large for the next step")
        now, box = self.widened(w), self.widened(w, a * H * (b * H).exp() / (1 + U))
        change = [-x * y for x, y in zip(box, self.decay(box, self.widened(zeta, H * V)), strict=True)]
        during, window = self.arb((H - self.window).mid() / 2, (H + self.window).upper() / 2), self.arb(0, self.window)
        for unit in [(j, i) for j in range(self.m) for i in range(self.n) if self.gamma != 1]:
            (j, i), ends = unit, unit in ended
            if self.sides[j][i] == 0:
                for side, row in ((side, self.guards[j, i, side]) for side in (1, -1)):
                    start, rate, leaves = self.dot(row, now), self.dot(row, change), ends and event[3] == side
                    released = leaves and event[2] == "released" and start + window * rate > 0 and rate < 0
                    if not (released if leaves else start + during * rate > 0):
                        return False
                    ending = rate if leaves else ending
                continue
            sign, error = self.sides[j][i] * self.orient[j][i], self.R[i] * self.e / self.size[j]
            rate = sign * self.dot(self.D[j][i], change)
            velocity = sign * self.dot(self.D[j][i], now) + during * rate
            height = sign * self.t[j][i] - error - self.window * abs(velocity).upper()
            low = height + H * velocity.lower().min(self.arb(0))
            shown = {"released": rate, "crossed": velocity}.get(self.fresh.get(unit, ""), low) > 0
            if ends:
                shown = event[2] != "released" and unit not in self.fresh and height > 0 and velocity < 0
                ending = velocity
            if not shown:
                return False
        c = self.taylor(w, zeta, h, (h / tau).upper())
        self.e = (self.e + self.norm * self.dot(self.R, [x.rad() for x in c])).upper()
        for t, sides, D in zip(self.t, self.sides, self.D, strict=True):  # W̃ moves by the midpoint of c
            t[:] = [
                x + (self.dot(row, [y.mid() for y in c]) if s else 0) for x, s, row in zip(t, sides, D, strict=True)
            ]
        self.late = (self.late + h * reach * int(self.logistic)).upper()
        self.fresh, self.window = {}, self.arb(0)
        if event is not None:
            require(ending is not None, "the unit of an event is not one that can end the pattern")
            self.happen(event, ending, h, radius)
        return True

    def happen(self, event: Any, ending: Any, h: Any, radius: Any) -> None:
        """The event: by how much it may be early or late, what that adds to e, and the next pattern."""
        (j, i, kind, side, also), ended = event, self.together(event)
        w, B = self.widened(self.weights()[0]), self.B
        left = self.t[j][i] + self.arb(0, (self.R[i] * self.e / self.size[j]).upper())
        left = self.dot(self.guards[j, i, side], w) if kind == "released" else left
        self.window = (abs(left).upper() / abs(ending).lower() * 33 / 32).upper()
        self.late = self.window + (self.late if self.logistic else 0)
        require(bool(self.window < h / 128) and bool(self.late <= radius), "an event is not where it is said to be")
        jumps = {k: w[k] * (1 - self.arb(self.gamma)) for k, _ in also} | {i: self.arb(0)}
        if kind == "released":
            require(side in (-1, 1) and not also, "a unit is released to no side")
            require(ended[:1] == [(j, i)], "a unit is released of which another neuron's should be named")
            jumps[i] = 2 * self.window * abs(ending)
        elif kind == "crossed":
            require(side == -self.sides[j][i], "a unit crosses to the side from which it came")
            jumps[i] = w[i] * (1 - self.arb(self.gamma))
        else:
            require(side == 0 and self.orient[j][i] < 0, "a unit slides on a kink that repels")
        for k, to in also:
            unique = self.sides[j].count(0) == 1 or self.orient[j][i] < 0
            require(unique and k != i and self.sides[j][k] == 0 and to in (-1, 1), "a unit is not released with it")
            self.sides[j][k] = to
        require(len(jumps) == len(also) + 1, "a unit is released twice")
        self.fresh = {(j, k): "crossed" for k, _ in also} | (dict.fromkeys(ended, kind) if side != 0 else {})
        for p, _ in ended:
            self.sides[p][i] = side
        self.enter()
        turn = 3 * self.window * (B + self.B)
        require(bool(turn < self.arb(1) / 64), "an event is not located well enough")
        jump = sum(self.size[p] for p, _ in ended) * sum(self.R[k] * x for k, x in jumps.items()) * 33 / 32
        self.e = (self.e + self.window * (jump + 2 * turn * B.max(self.B).sqrt())).upper()
        if kind == "began to slide":
            row = zip(self.t[j], self.pull[j, i], self.sides[j], strict=True)
            self.t[j] = [x - self.arb(y) * self.t[j][i] if s else self.arb(0) for x, y, s in row]

    def together(self, event: Any) -> list[tuple[int, int]]:
        """The units that an event ends: its own, or all of this sample whose effective slopes are equal functions."""
        same = [u for u in self.G if event and u[1] == event[1] and self.G[u] == self.G.get(event[:2])]
        return same if event and event[2] == "released" else [event[:2]] if event else []

    @staticmethod
    def most_of(values: Any) -> Any:
        return max(abs(x).upper() for x in values)

    @staticmethod
    def dot(x: Any, y: Any) -> Any:
        return sum(map(operator.mul, x, y))

    def widened(self, w: list[Any], change: Any = 0) -> list[Any]:
        """w or ζ of W while their logarithms change by `change` at most: w_i e^{±(2‖a‖ R_max e + change)}."""
        factor = self.arb(0, (self.reach * self.e + change).upper()).exp()
        return [x * factor for x in w]

    def trap(self, point: Any) -> None:
        """(19.5): from here on the pattern lasts for ever, and the direction tends to that of the point."""
        require(self.gamma == 1 or self.sides == point.sides, "the last pattern is not that of the KKT point")
        total = sum(point.lam, Fraction(0))
        target, rho = [self.arb(self.q(x / total)) for x in point.lam], 1 / self.arb(self.q(total))  # w*, ρ
        w, zeta = map(self.widened, self.weights())
        loss = -sum((1 - x).log() for x in zeta)  # Λ = nL of the logistic loss, else 0
        half, square = (loss.exp() - 1 - loss).upper() / 2, self.dot(w, [self.dot(row, w) for row in self.M])
        require(self.gamma == 1 or bool(half < 1), "the trap does not hold: the loss is too large")
        distance = sum((x - y) * (x - y) / x for x, y in zip(w, target, strict=True))
        reach = (2 * distance.upper()).sqrt() + loss.upper()
        excess = (((square - rho).upper().max(self.arb(0)) + rho * half) / (1 - half)).upper().sqrt()
        inverse = self.exact.inv() if self.exact.det() != 0 else None
        rows = list(self.guards.values())
        units = [(j, i) for j in range(self.m) for i in range(self.n) if self.sides[j][i] != 0 and self.gamma != 1]
        rows += [[self.sides[j][i] * self.orient[j][i] * x for x in self.D[j][i]] for j, i in units]
        for row in rows + (self.M if self.logistic and self.gamma != 1 else []):
            bound = max((x - y).upper() for x in row for y in row) / 2 * reach
            if inverse is not None:
                square = sum(row[i] * self.arb(inverse[i, k]) * row[k] for i in range(self.n) for k in range(self.n))
                bound = bound.min(square.upper().sqrt() * excess)
            require(bool(self.dot(row, target) > bound), "the trap does not hold")
