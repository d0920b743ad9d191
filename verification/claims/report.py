"""The report of `verify`: rows of claims as a table, JSON or HTML (docs/theory.md has the claims)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.text import Text

from refimpl.archive import read_npz
from refimpl.display import frame
from refimpl.documents import as_plain, json_text, with_numbers
from refimpl.errors import FileFormatError
from refimpl.files import open_output
from verification.claims.answer import certificate_record, five_sentences
from verification.claims.base import ClaimResult, Conclusion, HypothesisResult, Measurement, Verdict, judge_conclusion
from verification.claims.evidence import Evidence
from verification.claims.table import ClaimsTable
from verification.reports import ReportOnClaims, network_record
from verification.versions import environment

__all__ = ["SCHEMA_VERSION", "Report"]

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class Report(ReportOnClaims):
    """What `verify` found.

    Attributes
    ----------
    dataset, network, conditions, starts, environment : dict or list of dict
        What was verified, and on what; plain values, ready for JSON.
    claims : tuple of ClaimResult
    seconds : float
    interrupted : bool
        Whether Ctrl-C ended it before every claim was decided.
    answer : tuple of str
        Five sentences: the data, the conditions, where the flow went, what is proven, what to look at.
    certificate : dict
        `verdict` of the exact certificate (None without one), what it `proves`, and where it `stopped`.
    data : dict
        Where the data come from, what was read and how they were prepared, if somebody knows (`about`).
    remarks : tuple of str
        Sentences on that, printed above the answer.
    evidence : Evidence or None
        What it was measured on, for pictures; it is not saved with the report.
    """

    dataset: dict[str, Any]
    network: dict[str, Any]
    conditions: list[dict[str, Any]]
    starts: list[dict[str, Any]]
    environment: dict[str, Any]
    claims: tuple[ClaimResult, ...]
    seconds: float
    interrupted: bool = False
    answer: tuple[str, ...] = ()
    certificate: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    evidence: Evidence | None = None

    def __repr__(self) -> str:
        """One line."""
        return f"<Report: n = {self.dataset['n']}, d = {self.dataset['d']}, m = {self.network['m']}; {self.summary}>"

    @classmethod
    def from_evidence(
        cls,
        evidence: Evidence,
        claims: tuple[ClaimResult, ...],
        seconds: float,
        interrupted: bool = False,
        chosen: bool = False,
    ) -> Report:
        """Collect what the rows do not say; `chosen` tells that others than these claims were not looked at."""
        data, network, found = evidence.data, evidence.network, evidence.hypotheses
        conditions = [
            condition.to_dict() | _reach_of(condition.name, evidence)
            for condition in (found.paper, found.instance_wise, found.refined)
        ]
        starts = [
            {"scale": start.scale, "status": flow.status.name, "message": flow.message, "events": len(flow.events)}
            for start, flow in zip(evidence.starts, evidence.known("flows", ()), strict=False)
        ]
        for start, proof in zip(starts, evidence.known("proofs", ()), strict=False):
            start["proven"] = proof.told
        dataset = {
            "n": data.n,
            "d": evidence.dimension,
            "positive_labels": int(np.sum(data.y > 0)),
            "R_min": float(np.ldexp(data.R_min, evidence.unit_exponent)),
            "R_max": float(np.ldexp(data.R_max, evidence.unit_exponent)),
            "p": float(np.ldexp(data.p, 2 * evidence.unit_exponent)),
            "sha256": evidence.sha256 or data.sha256,
        }
        return cls(
            dataset=dataset,
            network=network_record(network, evidence.loss) | {"flow_method": evidence.method, "seed": evidence.seed},
            conditions=conditions,
            starts=starts,
            environment=environment(),
            claims=claims,
            seconds=seconds,
            interrupted=interrupted,
            answer=five_sentences(evidence, claims, dataset, interrupted, chosen),
            certificate=certificate_record(evidence),
            evidence=evidence,
        )

    def about(self, data: dict[str, Any], remarks: Iterable[str]) -> Report:
        """This report with where its data come from and what is to be said of them."""
        return replace(self, data=data, remarks=tuple(remarks))

    def facts(self) -> list[tuple[str, str]]:
        """The answer, and each claim with its standing."""
        answer = list(zip(("data", "conditions", "flow", "proven", "next"), self.answer, strict=False))
        return [*answer, *self.facts_of_claims()]

    def to_frame(self) -> Any:
        """A pandas frame with a row for each claim."""
        rows = [row.to_dict() for row in self.claims]
        names = ("id", "quantity", "measured", "bound", "tolerance", "conclusion", "verdict", "reason", "seconds")
        columns = {name: [row[name] for row in rows] for name in names}
        hypotheses = {"hypothesis": [h.name for h in self._hypotheses], "slack": [h.slack for h in self._hypotheses]}
        return frame(columns | hypotheses)

    @property
    def _hypotheses(self) -> list[HypothesisResult]:
        return [row.hypothesis for row in self.claims]

    @property
    def summary(self) -> str:
        """One sentence with the number of claims of each verdict; HYPOTHESIS_NOT_MET by its conclusions."""
        rows = sorted(self.claims, key=lambda row: list(Verdict).index(row.verdict))
        counts = Counter(row.standing for row in rows)
        parts = [f"{count} {standing}" for standing, count in counts.items()]
        number = f"{len(self.claims)} claim{'s' if len(self.claims) != 1 else ''}"
        told = f"{number} in {self.seconds:.1f} s: {', '.join(parts) or 'none decided'}."
        return self.told(told)

    def to_dict(self) -> dict[str, Any]:
        """Plain values in the order of the schema, ready for JSON (`refimpl.documents`)."""
        document = {
            "schema_version": SCHEMA_VERSION,
            "answer": list(self.answer),
            "certificate": self.certificate,
            "data": self.data,
            "remarks": list(self.remarks),
            "dataset": self.dataset,
            "network": self.network,
            "conditions": self.conditions,
            "starts": self.starts,
            "environment": self.environment,
            "claims": [row.to_dict() for row in self.claims],
            "summary": self.summary,
            "interrupted": self.interrupted,
            "exit_code": self.exit_code,
            "seconds": self.seconds,
        }
        return as_plain(document)

    def to_html(self, command: str = "") -> str:
        """The report as a page that stands alone: the answer, claims, pictures, and the `command` that made it."""
        from verification.page.of_report import page_of_report  # it draws pictures

        return page_of_report(self, command).html()

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write a `.npz` archive that `load` reads (one array of text, no pickle)."""
        with open_output(path, force) as handle:
            np.savez(handle, report=np.array(json_text(self.to_dict())))

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read what `save` wrote.

        Raises
        ------
        FileFormatError
            If the file is missing, damaged, or something else.
        """
        try:
            content = with_numbers(json.loads(str(read_npz(path, ["report"])["report"])))
            rows = tuple(_row_from_dict(row) for row in content["claims"])
            fields = {name: content[name] for name in ("dataset", "network", "conditions", "starts", "environment")}
            return cls(
                **fields,
                claims=rows,
                seconds=content["seconds"],
                interrupted=content["interrupted"],
                answer=tuple(content.get("answer", ())),
                certificate=content.get("certificate", {}),
                data=content.get("data", {}),
                remarks=tuple(content.get("remarks", ())),
            )
        except FileFormatError:
            raise
        except Exception as error:
            raise FileFormatError(path, "it is not a complete report of verify") from error

    def __rich__(self) -> Group:
        """What the command prints."""
        return Group(self._heading(), ClaimsTable(self.claims), *self._doubts(), Text(self.summary, style="bold"))

    def _heading(self) -> Text:
        network, scales = self.network, ", ".join(f"{start['scale']:g}" for start in self.starts)
        followed = f"; gradient flow ({network['flow_method']}) from scales {scales}" if scales else ""
        lines = [
            *self.remarks,
            *self.answer,
            f"Network: m = {network['m']} neurons ({network['positive_neurons']} positive), slope "
            f"{network['slope']:g}, {network['loss']} loss{followed}",
            *(
                f"Proven from scale {start['scale']:g}: {start['proven']}."
                for start in self.starts
                if "proven" in start
            ),
        ]
        return Text("\n".join(lines))

    def _doubts(self) -> list[Text]:
        """Reasons, each said once."""
        reasons: dict[str, list[str]] = {}
        for row in self.claims:
            if row.reason:
                reasons.setdefault(row.reason, []).append(row.id)
        return [Text(f"{', '.join(ids)}: {reason}", style="italic") for reason, ids in reasons.items()]


def _reach_of(name: str, evidence: Evidence) -> dict[str, Any]:
    """On how many samples a condition holds, and the dimension of Gaussian ones; None where nobody looked."""
    found = evidence.known("reach", {}).get(name)
    return {
        "samples": None if found is None else found.samples,
        "gaussian_dimension": None if found is None else found.gaussian_dimension,
    }


def _row_from_dict(row: dict[str, Any]) -> ClaimResult:
    measurement = Measurement(
        row["quantity"],
        row["measured"],
        row["bound"],
        row["tolerance"],
        row["tolerance_reason"],
        undecided=row.get("undecided", ""),
        details=row["details"],
        statistical=row.get("statistical", False),
        trivial=row.get("trivial", math.inf),
        trivial_reason=row.get("trivial_reason", ""),
    )
    return ClaimResult(
        id=row["id"],
        title=row["title"],
        source=row["source"],
        hypothesis=HypothesisResult(**row["hypothesis"]),
        measurement=measurement,
        verdict=Verdict[row["verdict"]],
        reason=row["reason"],
        seconds=row["seconds"],
        conclusion=Conclusion[row["conclusion"]] if "conclusion" in row else judge_conclusion(measurement),
        proven=row.get("proven", ""),
    )
