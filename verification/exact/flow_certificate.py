"""What a proven gradient flow is: every event and the KKT point at its end (docs/theory.md, section 19)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from verification.exact.documents import Sealed
from verification.exact.point import PointCertificate

__all__ = ["FlowCertificate", "ProvenEvent"]

POINT_FIELDS = ("denominator", "multipliers", "pattern", "at_kinks", "margins_above_one", "objective", "rank")


class ProvenEvent(NamedTuple):
    """One event: unit (neuron, sample), what it does, the side it goes to (0 while it slides).

    `time` is its loss-normalized time up to `radius`; both are exact.
    """

    time: Fraction
    radius: Fraction
    neuron: int
    sample: int
    kind: str
    side: int


@dataclass(frozen=True)
class FlowCertificate(Sealed):
    """Gradient flow from one start, proven to converge in direction to one KKT point.

    Attributes
    ----------
    loss : {"exponential", "logistic"}
    start : tuple of tuples of float
        W(0), m rows of length d, exactly.
    bits : int
        Precision of the proof.
    events : tuple of ProvenEvent
        Every event, in order.
    time : Fraction
        A loss-normalized time at which the trap is proven, a power of two after the last event; no event comes later.
    point : PointCertificate
        The limit: W/‖W‖ converges to the direction of this KKT point.

    References
    ----------
    docs/theory.md, section 19.
    """

    loss: str
    start: tuple[tuple[float, ...], ...]
    bits: int
    events: tuple[ProvenEvent, ...]
    time: Fraction
    point: PointCertificate

    proven = True

    def document(self) -> dict[str, Any]:
        """What a checker needs: the start, how long each pattern lasts and what ends it, the KKT point."""
        point, clock = self.point.document(), Fraction(0)
        legs: list[dict[str, Any]] = []
        for event in self.events:
            if event.time == clock:  # released by the event before it; or with it, in another neuron of equal slopes
                if event.neuron == legs[-1]["unit"][0]:
                    legs[-1]["also"].append([event.sample, event.side])
                continue
            leg = {"unit": [event.neuron, event.sample], "kind": event.kind, "side": event.side, "also": []}
            legs.append(leg | {"duration": self._ticks(event.time - clock), "radius": self._ticks(event.radius)})
            clock = event.time
        return {
            "schema": "implicit-bias-flow",
            "schema_version": 1,
            "data": point["data"],
            "network": point["network"],
            "loss": self.loss,
            "start": [[x.hex() for x in row] for row in self.start],
            "bits": self.bits,
            "legs": legs,
            "last": self._ticks(self.time - clock),
            "point": {name: point[name] for name in POINT_FIELDS},
            "verdict": "proven_flow_limit",
        }

    def _ticks(self, time: Fraction) -> str:
        return hex(int(time * 2**self.bits))
