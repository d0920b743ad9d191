"""The page of a report of `verify`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from refimpl.display import shown
from refimpl.flow import FlowResult
from verification.claims.as_given import descents_as_given, flows_as_given
from verification.claims.base import ClaimResult, Conclusion, Verdict
from verification.page.document import Page, Picture, Section, Table, TableCell
from verification.page.of_runs import descent_pictures, flow_pictures, margins_picture

if TYPE_CHECKING:
    from verification.claims.evidence import Evidence
    from verification.claims.report import Report

__all__ = ["page_of_report"]

TONES = {
    Verdict.HOLDS_CERTIFIED: "good",
    Verdict.HOLDS_NUMERICALLY: "good",
    Verdict.VIOLATED: "bad",
    Verdict.VACUOUS: "empty",
    Verdict.HYPOTHESIS_NOT_MET: "unmet",
    Verdict.INCONCLUSIVE: "doubt",
}
"""The colour of each verdict; the word stands beside it."""

CONCLUSION_TONES = {Conclusion.HOLDS: "good", Conclusion.FAILS: "bad", Conclusion.UNDECIDED: "doubt"}

HOLDS, HOLDS_NOT = TableCell("holds", "good"), TableCell("does not hold", "unmet")

SLACK = (
    "Slack is the factor by which what the hypothesis bounds from above, such as all inner products of different "
    "samples, could grow before it fails: at least 1 where it holds, 0.5 where they are twice too large."
)

BOUND = "A conclusion holds where the value measured is at most the bound plus the tolerance."

MOST_GRAM, MOST_STARTS = 600, 3
"""Samples up to which the Gram matrix is drawn, and flows that are drawn."""


def page_of_report(report: Report, command: str = "") -> Page:
    """Everything that a report says, and pictures of what it was measured on where that is at hand.

    Parameters
    ----------
    report : Report
    command : str
        The command line that made it.

    Returns
    -------
    Page
    """
    data, network = report.dataset, report.network
    evidence = report.evidence
    sections = [claims_section(report), conditions_section(report), flow_section(report, evidence)]
    if evidence is not None:
        sections += list(evidence_sections(evidence))
    return Page(
        title=f"What is true of {data['n']} samples in {data['d']} dimensions",
        lead=report.summary,
        answer=report.answer,
        sections=[*sections, settings_section(report)],
        command=command,
        environment=report.environment | {"network": f"{network['m']} neurons, slope {network['slope']:g}"},
    )


def claims_section(report: Report) -> Section:
    """The table of claims, what its words mean, and each row in full."""
    rows = [
        (
            row.id,
            TableCell(row.verdict.name, TONES[row.verdict]),
            TableCell(row.conclusion.name, CONCLUSION_TONES[row.conclusion]),
            _hypothesis(row),
            row.measurement.quantity,
            shown(row.measurement.value),
            shown(row.measurement.bound),
            shown(row.measurement.tolerance),
        )
        for row in report.claims
    ]
    head = ("claim", "verdict", "conclusion", "hypothesis (slack)", "measured", "value", "bound", "tolerance")
    words = [f"{verdict.name}: {verdict.value}" for verdict in Verdict]  # as a table too narrow on a phone
    full = [row_section(row) for row in report.claims]
    return Section(
        "Claims",
        [SLACK, BOUND],
        [Table("Claims of the theory on these data", head, rows, numbers=(5, 6, 7))],
        more=[Section("What the verdicts mean", words), *full],
    )


def row_section(row: ClaimResult) -> Section:
    """One claim in full."""
    m, h = row.measurement, row.hypothesis
    sentences = [
        f"{row.title}. Source: {row.source}.",
        f"Verdict: {row.verdict.value} Conclusion: {row.conclusion.value}",
    ]
    if row.reason:
        sentences.append(row.reason)
    facts = [
        ("hypothesis", f"{h.name}: {'holds' if h.satisfied else h.undecided or 'does not hold'}"),
        ("slack", "none" if h.slack is None else shown(h.slack)),
        (m.quantity, shown(m.value)),
        ("bound", shown(m.bound)),
        ("tolerance", f"{shown(m.tolerance)}{f' ({m.tolerance_reason})' if m.tolerance_reason else ''}"),
        ("seconds", f"{row.seconds:.2g}"),
        *((name, _plain(value)) for name, value in m.details.items()),
    ]
    return Section(f"{row.id}: {row.standing}", sentences, [Table(f"Numbers of {row.id}", ("what", "value"), facts)])


def conditions_section(report: Report) -> Section:
    """The conditions on the data."""
    rows = [
        (
            c["title"],
            TableCell("holds", "good") if c["satisfied"] else TableCell("does not hold", "unmet"),
            shown(c["slack"]),
            c["note"],
        )
        for c in report.conditions
    ]
    head = ("condition", "on these data", "slack", "note")
    return Section("Conditions", [], [Table("Near-orthogonality of the data", head, rows, numbers=(2,))])


def flow_section(report: Report, evidence: Evidence | None) -> Section:
    """Where the flow went from each start."""
    head = ("scale of the start", "status", "events", "message")
    rows = [(f"{s['scale']:g}", s["status"], f"{s['events']:,}", s["message"]) for s in report.starts]
    flows: tuple[FlowResult, ...] = () if evidence is None else flows_as_given(evidence)
    names = [f"start of scale {start['scale']:g}" for start in report.starts]
    drawn = list(zip(names, flows, strict=False))[:MOST_STARTS]
    pictures = [] if not drawn else flow_pictures(*drawn[0])
    limits = [(name, flow.limit) for name, flow in zip(names, flows, strict=False) if flow.limit is not None]
    if limits:
        from verification.plots import panels

        says = f"Singular values of {len(limits)} limits relative to the largest: " + "; ".join(
            f"{name}: rank {limit.rank}" for name, limit in limits
        )
        caption = "A limit of rank two has two singular values above the dotted line."
        pictures.append(Picture(lambda axis: panels.draw_limit_spectra(axis, limits), says, caption))
    more = [Section("Margins from the other starts", pictures=[margins_picture(*one) for one in drawn[1:]])]
    tables = [Table("Gradient flow from each start", head, rows, numbers=(0, 2))]
    return Section("Gradient flow", [], tables, pictures, more[: len(drawn) - 1])


def evidence_sections(evidence: Evidence) -> Iterator[Section]:
    """Pictures of the descents and of the data, as far as they were computed."""
    descents = descents_as_given(evidence)
    if descents:
        run = descents[0]
        sentence = (
            f"{run.result.trajectory.step[-1]:,} steps of gradient descent from the start of scale {run.scale:g}."
        )
        yield Section("Gradient descent", [sentence], pictures=descent_pictures(run.result))
    data = evidence.data
    if data.n <= MOST_GRAM:
        from verification.plots import panels

        says = f"Cosines of the angles between {data.n} samples, {int((data.y > 0).sum())} of them of label +1"
        caption = "Orthogonal samples have cosine 0; the lines part the labels."
        picture = Picture(lambda axis: panels.draw_gram(axis, data), says, caption, square=True)
        yield Section("Gram matrix", pictures=[picture])


def settings_section(report: Report) -> Section:
    """Data and network."""
    rows = [(name.replace("_", " "), _plain(value)) for name, value in {**report.dataset, **report.network}.items()]
    return Section("Data and network", list(report.remarks), [Table("As they were given", ("what", "value"), rows)])


def _hypothesis(row: ClaimResult) -> str:
    h = row.hypothesis
    return f"{h.name} ({('yes' if h.satisfied else 'no') if h.slack is None else shown(h.slack)})"


def _plain(value: Any) -> str:
    """A value as people write it.

    Examples
    --------
    >>> _plain(0.1234567891), _plain([1, 2.5]), _plain({"a": 1})
    ('0.123457', '1, 2.5', 'a: 1')
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)
