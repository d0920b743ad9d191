"""What the reports of `verify` and `audit` have in common: rows of claims, exit code, JSON."""

from __future__ import annotations

from typing import Any

from refimpl.display import Displayed
from refimpl.documents import json_text
from refimpl.losses import Loss
from refimpl.network import TwoLayerNetwork
from verification.claims.base import ClaimResult, Verdict
from verification.claims.table import against_bound

__all__ = ["ReportOnClaims", "network_record"]


class ReportOnClaims(Displayed):
    """A report with rows of claims."""

    claims: tuple[ClaimResult, ...]
    interrupted: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON (`refimpl.documents`)."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The report as JSON; numbers that JSON lacks are the strings "inf", "-inf" and "nan"."""
        return json_text(self.to_dict())

    @property
    def undecided(self) -> bool:
        """Whether a claim is INCONCLUSIVE."""
        return any(row.verdict is Verdict.INCONCLUSIVE for row in self.claims)

    @property
    def exit_code(self) -> int:
        """130 after an interruption; 1 if a claim is VIOLATED; else 3 if something is `undecided`; else 0."""
        if self.interrupted:
            return 130
        if any(row.verdict is Verdict.VIOLATED for row in self.claims):
            return 1
        return 3 if self.undecided else 0

    def facts_of_claims(self) -> list[tuple[str, str]]:
        """Each claim with its standing, value and bound."""
        return [(row.id, f"{row.standing}: {against_bound(row)}") for row in self.claims]

    def told(self, sentence: str) -> str:
        """The sentence, after "Interrupted." if it was."""
        return f"Interrupted. {sentence}" if self.interrupted else sentence


def network_record(network: TwoLayerNetwork, loss: Loss) -> dict[str, Any]:
    """Network and loss in plain values."""
    return {
        "m": network.m,
        "positive_neurons": int(network.positive.sum()),
        "slope": network.slope,
        "loss": loss.name,
    }
