"""What is proven of single flows and their limits, for `verify --prove` (docs/theory.md, sections 18 and 19)."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from refimpl.errors import MissingExtraError
from refimpl.losses import ExponentialLoss, LogisticLoss
from verification.exact.documents import NotProven
from verification.exact.flow import certify_flow
from verification.exact.flow_certificate import FlowCertificate
from verification.exact.point import PointCertificate, certify_point

if TYPE_CHECKING:
    from refimpl.flow import FlowResult
    from verification.claims.evidence import Evidence, Start

__all__ = ["ExactConclusion", "StartProof", "by_proofs", "neurons_are_equal", "prove_starts", "solves_program"]

Proof = TypeVar("Proof")

ExactConclusion = Callable[["Evidence", PointCertificate], bool | None]
"""Whether a proven KKT point has what a claim concludes, over Q; None where that is not decided."""

MOST_UNITS_OF_A_FLOW, MOST_UNITS_OF_A_POINT = 64, 4000
"""Units (j, i) up to which a flow, or a KKT point, is tried to be proven."""

SHARE_OF_PROOFS = 0.5
"""Proofs may take this part of the time that is left when the first of them starts."""


class StartProof(NamedTuple):
    """What is proven of the flow from one start: where it goes, or only that its limit in floats is a KKT point."""

    scale: float
    flow: FlowCertificate | NotProven
    point: PointCertificate | NotProven

    @property
    def told(self) -> str:
        """What is proven, in a few words, and why not more."""
        if not isinstance(self.flow, NotProven):
            return "the flow and its limit"
        if not isinstance(self.point, NotProven):
            return f"the limit in floats is a KKT point; not the way there ({self.flow.reason})"
        return f"nothing ({'; '.join(dict.fromkeys([self.flow.reason, self.point.reason]))})"


class _OutOfTimeError(Exception):
    """The share of time of one proof was used up."""


def prove_starts(evidence: Evidence) -> tuple[StartProof, ...]:
    """A proof for each start, in the time that there is."""
    budget = SHARE_OF_PROOFS * evidence.seconds_left
    ends, proofs = perf_counter() + budget, list[StartProof]()
    for k, (start, flow) in enumerate(zip(evidence.starts, evidence.flows, strict=True)):
        evidence.tell(f"proof of flow {k + 1} of {len(evidence.starts)} (initialization scale {start.scale:g})")
        share = (ends - perf_counter()) / (len(evidence.starts) - k)
        proofs.append(_proof(evidence, start, flow, share))
    return tuple(proofs)


def _proof(evidence: Evidence, start: Start, flow: FlowResult, seconds: float) -> StartProof:
    """The limit proven, which takes little, and in the time that is left the flow."""
    network, data, units = evidence.network, evidence.data, evidence.network.m * evidence.data.n
    began = perf_counter()

    def tell(message: str) -> None:
        evidence.tell(f"proof of the flow from scale {start.scale:g}: {message}")
        if perf_counter() > began + seconds:
            raise _OutOfTimeError

    why = ""
    if evidence.source is not None:
        why = "the samples are known in coordinates of their span, rounded"
    elif network.slope == 0.0:
        why = "for slope 0 nothing is proven"
    elif units > MOST_UNITS_OF_A_POINT:
        why = f"{units} units are too many"
    if why:
        return StartProof(start.scale, NotProven(why), NotProven(why))
    try:
        point: PointCertificate | NotProven = NotProven(f"the flow has no limit in floats: {flow.status.name}")
        if flow.limit is not None:
            point = _timed(lambda: certify_point(network, data, flow.limit, progress=tell))
        way = _flow_proof(evidence, start, units, tell)
        return StartProof(start.scale, way, way.point if isinstance(way, FlowCertificate) else point)
    except MissingExtraError:
        missing = NotProven("proofs need python-flint (the extra `exact`)")
        return StartProof(start.scale, missing, missing)


def _flow_proof(
    evidence: Evidence, start: Start, units: int, tell: Callable[[str], None]
) -> FlowCertificate | NotProven:
    if units > MOST_UNITS_OF_A_FLOW:
        return NotProven(f"flows are proven for up to {MOST_UNITS_OF_A_FLOW} units, not {units}")
    if type(evidence.loss) not in (LogisticLoss, ExponentialLoss):
        return NotProven("flows are proven for the logistic and the exponential loss")
    return _timed(lambda: certify_flow(evidence.network, evidence.data, start.W0, progress=tell, loss=evidence.loss))


def _timed(prove: Callable[[], Proof | NotProven]) -> Proof | NotProven:
    try:
        return prove()
    except _OutOfTimeError:
        return NotProven("its share of the time limit was used up")


def by_proofs(evidence: Evidence, holds: ExactConclusion) -> tuple[bool | None, str]:
    """Whether the conclusion is proven of every start's limit, or refuted by one; and what that says, in a sentence."""
    decided = [
        (proof, None if isinstance(proof.point, NotProven) else holds(evidence, proof.point))
        for proof in evidence.proofs
    ]
    for proof, answer in decided:
        if answer is False:
            way = "converges" if not isinstance(proof.flow, NotProven) else "leads, in floats,"
            return (
                False,
                f"Refuted, proven: the flow from scale {proof.scale:g} {way} to a KKT point that contradicts it.",
            )
    if decided and all(answer and not isinstance(proof.flow, NotProven) for proof, answer in decided):
        return True, "Proven for gradient flow from each of these starts."
    return None, ""


def neurons_are_equal(evidence: Evidence, point: PointCertificate) -> bool:
    """Whether all w_j/a_j of one sign are equal: t_j = B_j S, and S vanishes only where w_j does."""
    signs = point.problem.positive
    return len(set(zip(signs, point.t, strict=True))) == len(set(signs))


def solves_program(evidence: Evidence, point: PointCertificate) -> bool | None:
    """Whether W solves (C): all units on the side of their label's sign make (C)'s conditions those of (18.2)."""
    if all(t > 0 for row in point.t for t in row):
        return True
    return None if neurons_are_equal(evidence, point) else False
