"""The five sentences that open a report: the data, the conditions, the flow, what is proven, what to look at.

Each is computed from what the rows were computed from, with the rows' own tolerances, so that it cannot contradict
them. What was not computed, for want of time or after Ctrl-C, is not computed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from refimpl.flow import FlowLimit, FlowResult, FlowStatus
from refimpl.spectrum import rank_above
from verification.claims.base import WORDS, ClaimResult, Conclusion, Verdict
from verification.claims.evidence import SMALLEST_TOLERANCE, Evidence, TimeLimitError
from verification.claims.wording import from_to, listed, number, plural, power_of_e, with_and
from verification.exact.certificate import Certificate
from verification.witnesses.conditions import Condition
from verification.witnesses.convex_program import LinearMaxMargin, SolveStatus
from verification.witnesses.reach import Reach

__all__ = ["certificate_record", "conclude", "five_sentences"]

ROUNDING = 1e-6
"""A difference of limits is not looked at where its error is larger than this, as in a verdict."""


def conclude(evidence: Evidence) -> None:
    """Compute what the sentences tell and no row may have asked for, if there is time for it."""
    try:
        _ = evidence.reach, evidence.certificate
    except TimeLimitError:
        return


def five_sentences(
    evidence: Evidence,
    rows: Sequence[ClaimResult],
    dataset: dict[str, Any],
    interrupted: bool = False,
    chosen: bool = False,
) -> tuple[str, ...]:
    """What the data are; which conditions hold; where the flow went; what is proven; what to look at.

    Parameters
    ----------
    evidence : Evidence
        Only what it has computed already is used.
    rows : sequence of ClaimResult
        Those that were decided.
    dataset : dict
        `Report.dataset`, in the units of the data as given.
    interrupted : bool
        Whether Ctrl-C ended the work.
    chosen : bool
        Whether the rows are those that were asked for, and others were not looked at.
    """
    by_id = {row.id: row for row in rows}
    return (
        _data(evidence, dataset),
        _conditions(evidence),
        _flow(evidence, by_id),
        _proven(evidence, by_id),
        _rows_before_interrupt(len(rows)) if interrupted else _next(evidence, rows, chosen),
    )


# --- the data -------------------------------------------------------------------------------------


def _data(evidence: Evidence, dataset: dict[str, Any]) -> str:
    n, plus, K = dataset["n"], dataset["positive_labels"], evidence.data.gram
    lengths = np.sqrt(np.diagonal(K))
    cosines = np.abs(K) / np.outer(lengths, lengths)
    np.fill_diagonal(cosines, 0.0)
    pairs = f", largest |⟨x_i, x_k⟩| {dataset['p']:.3g} and |cosine| {cosines.max():.3g}" if n > 1 else ""
    return (
        f"The data are n = {n} {plural(n, 'sample')} ({plus} positive, {n - plus} negative) in dimension "
        f"d = {dataset['d']}, norms {dataset['R_min']:.4g} to {dataset['R_max']:.4g}{pairs}; {_separable(evidence)}."
    )


def _separable(evidence: Evidence) -> str:
    linear: LinearMaxMargin | None = evidence.known("linear")
    if linear is None:
        return "whether a hyperplane through the origin separates the labels was not looked at"
    if linear.separable:
        return "a hyperplane through the origin separates the labels (proven)"
    if linear.status is SolveStatus.INFEASIBLE:
        return "no hyperplane through the origin separates the labels (proven)"
    return "whether a hyperplane through the origin separates the labels is not known"


# --- the conditions -------------------------------------------------------------------------------


def _conditions(evidence: Evidence) -> str:
    found = evidence.hypotheses
    conditions = (found.refined, found.instance_wise, found.paper)
    holding = [c.name for c in conditions if c.satisfied]
    told = f"{_slack_in_words(found.refined)}, the instance-wise one {number(found.instance_wise.slack)}, "
    told += f"the paper's {number(found.paper.slack)}"
    slope_one = evidence.network.slope == 1.0
    linear = "; slope 1 makes the problem convex, so that separable data are enough" if slope_one else ""
    told += _far(evidence, [c.name for c in conditions if not c.satisfied])
    if not holding:
        return f"None of the three conditions holds: {told}{linear}."
    which = "All three conditions hold" if len(holding) == 3 else f"Of the three conditions hold: {', '.join(holding)}"
    return f"{which}; {told}{linear}."


def _far(evidence: Evidence, failing: Sequence[str]) -> str:
    """On how many samples the conditions that fail hold, and from which dimension Gaussian ones would meet them."""
    found: dict[str, Reach] | None = evidence.known("reach")
    if found is None or not failing or evidence.network.slope == 0.0:
        return ""
    samples = [str(found[name].samples) for name in failing]
    dimensions = [number(found[name].gaussian_dimension) for name in failing]
    n, names = evidence.data.n, "" if len(failing) == 3 else f" ({', '.join(failing)})"
    return (
        f"; in this order{names} they hold on {with_and(samples)} of the {n} samples (greedy search; perhaps on more), "
        f"and {n} Gaussian samples would meet them from about d = {with_and(dimensions)} (estimates)"
    )


def _slack_in_words(condition: Condition) -> str:
    """The slack, and what it is, where it stands."""
    slack = condition.slack
    if slack == 0.0:
        return "the refined one has the slack 0 (no common factor of all inner products of different samples helps)"
    if slack == np.inf:
        return "the refined one has the slack inf (all inner products of different samples may be any times larger)"
    if condition.satisfied:
        room = f"may be up to {number(slack)} times larger"
    else:
        room = f"would have to be more than {number(1.0 / slack)} times smaller"
    return f"the refined one has the slack {number(slack)} (all inner products of different samples {room})"


# --- the flow -------------------------------------------------------------------------------------


def _flow(evidence: Evidence, rows: dict[str, ClaimResult]) -> str:
    flows = evidence.known("flows")
    if flows is None:
        return _interrupted(evidence)
    scales = ", ".join(f"{start.scale:g}" for start in evidence.starts)
    begun = f"From {len(flows)} starts (scales {scales}) gradient flow"
    limits = evidence.limits
    lost = [flow for flow in flows if flow.status is not FlowStatus.CONVERGED]
    if not limits:
        return f"{begun} ran to no limit ({_how_far(lost, evidence)})."
    missing = f" from {len(limits)} of them ({_how_far(lost, evidence)} from the others)" if lost else ""
    parts = [_ranks(evidence), _tight(evidence, rows), _boundary(rows)]
    return f"{begun} went{missing} to {_how_many(evidence)}, {', '.join(part for part in parts if part)}."


def _interrupted(evidence: Evidence) -> str:
    """How far the flow went in which Ctrl-C was pressed."""
    flows: tuple[FlowResult, ...] | None = evidence.known("interrupted")
    if flows is None:
        return "The gradient flow was not followed."
    flow, start = flows[-1], evidence.starts[len(flows) - 1]
    s, events = evidence.as_given(float(flow.trajectory.s[-1]), -2), len(flow.events)
    which = f"Gradient flow {len(flows)} of {len(evidence.starts)} (scale {start.scale:g})"
    return f"{which} got to s = {number(s)}, with {events} {plural(events, 'event')} ({_how_far([flow], evidence)})."


def _how_far(flows: Sequence[FlowResult], evidence: Evidence) -> str:
    """How flows without a limit ended, and the least and the largest loss that they reached, in units of ℓ(0)."""
    names = ", ".join(dict.fromkeys(flow.status.name for flow in flows))
    at_zero = float(evidence.loss.log_value(np.zeros(1))[0])
    shares = sorted(float(flow.trajectory.log_loss[-1]) - at_zero for flow in flows)
    return f"{names} at a loss of {' to '.join(dict.fromkeys(power_of_e(x) for x in (shares[0], shares[-1])))} ℓ(0)"


def _how_many(evidence: Evidence) -> str:
    limits = evidence.limits
    if evidence.flow_error > ROUNDING:
        return "limits that their errors do not tell apart"
    found = different_limits(evidence)
    if found == 1:
        return "one limit" if len(limits) > 1 else "a limit"
    return f"{found} different limits"


def different_limits(evidence: Evidence) -> int:
    """Number of limits that are farther from each other than their errors."""
    kept: list[FlowLimit] = []
    tolerance = max(2.0 * evidence.flow_error, SMALLEST_TOLERANCE)
    for limit in evidence.limits:
        if all(evidence.distance(limit.coefficients, other.coefficients) > tolerance for other in kept):
            kept.append(limit)
    return len(kept)


def _ranks(evidence: Evidence) -> str:
    """Ranks, with the tolerance of the row on σ₃/σ₁."""
    if evidence.flow_error > ROUNDING:
        return "rank not decided"
    tolerance = max(evidence.flow_error, SMALLEST_TOLERANCE)
    sizes = [limit.singular_values for limit in evidence.limits]
    return f"rank {from_to(rank_above(sigma, tolerance) for sigma in sizes)}"


def _tight(evidence: Evidence, rows: dict[str, ClaimResult]) -> str:
    """Number of tight margins, with the tolerance of the row on them; nothing where no row looked at them."""
    row = rows.get("all-margins-tight")
    if row is None:
        return ""
    m = row.measurement
    if m.value is None or (row.conclusion is Conclusion.UNDECIDED and m.tolerance > ROUNDING):
        return "tight margins not decided"
    margins = [evidence.network.margins(limit.weights(), evidence.data) for limit in evidence.limits]
    return f"{from_to(int(np.sum(np.abs(q - 1.0) <= m.tolerance)) for q in margins)} of {evidence.data.n} margins tight"


def _boundary(rows: dict[str, ClaimResult]) -> str:
    """What the row on the boundary found; nothing where no row looked at it."""
    row = rows.get("decision-boundary-linear")
    if row is None:
        return ""
    if not row.measurement.details.get("points"):
        return "linear boundary not decided"
    if row.measurement.value:
        return "boundary not linear"
    return "boundary linear at every point tried" if row.measurement.value == 0.0 else "linear boundary not decided"


# --- what is proven -------------------------------------------------------------------------------


def _proven(evidence: Evidence, rows: dict[str, ClaimResult]) -> str:
    proven, measured = [], []
    linear: LinearMaxMargin | None = evidence.known("linear")
    if evidence.network.slope == 1.0 and linear is not None and linear.separable:
        proven.append("slope 1 and separable data leave one KKT point, w_j = a_j z*/A of rank 1, the minimizer")
    certificate = _certificate(evidence)
    if isinstance(certificate, str):
        measured.append(certificate)
    else:
        proven.append(_certified(certificate))
    measured += [text for text in (_trapped(rows), _program(rows), _enumeration(rows)) if text]
    told = f"Proven of this very data set: {'; '.join(proven)}" if proven else NOTHING
    return f"{told}; beside it: {'; '.join(measured)}." if measured else f"{told}."


def _certificate(evidence: Evidence) -> Certificate | str:
    """The exact certificate, or why there is none, as part of a sentence."""
    late = evidence.seconds_left <= 0.0
    none = "the time limit left no time for the exact certificate" if late else "no certificate was made"
    found: Certificate | str = evidence.known("certificate", none)
    return found


NOTHING = "Nothing about the limit is proven of this very data set"

BY_VERDICT = {
    "unique_kkt_point": "the closed form is the only KKT point, so the flow tends to it from every start",
    "kkt_point": "the closed form is a KKT point of (P), all margins tight, and solves (C), but {}",
    "convex_optimum": "the closed form solves (C), all constraints active, but {}",
    "rejected": "the closed form is refuted ({})",
}


def _certified(certificate: Certificate) -> str:
    return f"in exact arithmetic, {BY_VERDICT[certificate.verdict].format(certificate.failed_step)}"


def _trapped(rows: dict[str, ClaimResult]) -> str:
    """Whether the flows cannot leave their last cells, which is exact but for the integration up to there."""
    row = rows.get("flow-stays-in-last-cell")
    if row is None or not row.hypothesis.satisfied or row.conclusion is not Conclusion.HOLDS:
        return ""
    return "once in their last cells the flows stay there and tend to the KKT points found (exact from there on)"


def _program(rows: dict[str, ClaimResult]) -> str:
    """How far the limits are from the solution of (C), as measured."""
    row = rows.get("limit-is-convex-optimum")
    if row is None or row.conclusion is Conclusion.UNDECIDED:
        return ""
    verb = "solve" if row.conclusion is Conclusion.HOLDS else "do not solve"
    return f"the limits {verb} (C) (numerically, distance {number(row.measurement.value)})"


def _enumeration(rows: dict[str, ClaimResult]) -> str:
    row = rows.get("global-optimum-by-enumeration")
    if row is None or row.conclusion is Conclusion.UNDECIDED:
        return ""
    programs = row.measurement.details["programs"]
    if row.conclusion is Conclusion.HOLDS:
        return f"the limits are the global optimum, by enumeration of {programs} convex programs"
    excess = number(100.0 * (row.measurement.value or 0.0))
    return f"enumeration of {programs} convex programs puts a limit {excess}% above the global optimum"


def certificate_record(evidence: Evidence) -> dict[str, Any]:
    """The exact certificate in plain values: verdict, what it proves, and where it stopped or why there is none."""
    found = _certificate(evidence)
    if isinstance(found, str):
        return {"verdict": None, "proves": [], "stopped": found}
    return {"verdict": found.verdict, "proves": list(found.conclusions), "stopped": found.failed_step}


# --- what to look at ------------------------------------------------------------------------------


def _rows_before_interrupt(rows: int) -> str:
    were = "1 row was" if rows == 1 else f"{rows} rows were"
    return f"Look first at the interrupt: it came when {were} decided, and the others are missing."


MORE_TIME = "--time-limit (time_limit) gives more"


def _next(evidence: Evidence, rows: Sequence[ClaimResult], chosen: bool) -> str:
    """The most serious thing first."""
    violated = [row.id for row in rows if row.verdict is Verdict.VIOLATED]
    if violated:
        return _of_violated(violated)
    late = [row.id for row in rows if row.reason.startswith("time:")]
    if late:
        return f"Look first at the time: the limit ended {len(late)} {plural(len(late), 'row')} early, and {MORE_TIME}."
    linear: LinearMaxMargin | None = evidence.known("linear")
    if linear is not None and linear.status is SolveStatus.INFEASIBLE:
        failing = _failing(rows, "; ")
        return f"Look first at the data: they are not separable, as most hypotheses on the flow ask{failing}."
    slow = [flow for flow in evidence.known("flows", ()) if flow.status is FlowStatus.TIME_LIMIT]
    if slow:
        return (
            f"Look first at the time: the limit ended {len(slow)} {plural(len(slow), 'flow')} early, and {MORE_TIME}."
        )
    open_rows = [row.id for row in rows if row.verdict is Verdict.INCONCLUSIVE]
    if open_rows:
        return f"Look first at {listed(open_rows)}: the numerics did not decide, for the reason below the table."
    unmet = [row for row in rows if row.verdict is Verdict.HYPOTHESIS_NOT_MET]
    if not unmet:
        empty = [row.id for row in rows if row.verdict is Verdict.VACUOUS]
        but = f", but the bound of {listed(empty)} says nothing" if empty else ""
        if chosen:
            which = "hypothesis and conclusion of the one" if len(rows) == 1 else "hypotheses and conclusions of those"
            return f"Look next at the claims that --only (only) left out: {which} checked hold{but}."
        return f"Look next at smaller slopes or other data: here every hypothesis and every conclusion holds{but}."
    followed = evidence.known("flows") is not None and evidence.flow_error <= ROUNDING
    several = followed and different_limits(evidence) > 1
    starts = "; look at more starts too (--init-scales, --seed), for the limit depends on them" if several else ""
    failing = _failing(rows, "")
    if failing:
        return f"Look next at what no theorem promises here: {failing}{starts}."
    true = [row.id for row in unmet if row.conclusion is Conclusion.HOLDS and not row.measurement.vacuous]
    if true:
        return f"Look next at what holds though no theorem promises it: {listed(true)}{starts}."
    return (
        f"Look next at {listed([row.id for row in unmet])}: the hypothesis is not met, and nothing was decided{starts}."
    )


def _failing(rows: Iterable[ClaimResult], before: str) -> str:
    """The conclusions that fail without their hypothesis, with what was measured."""
    told = [
        f"{row.id} {WORDS[row.conclusion]} ({row.measurement.quantity} {number(row.measurement.value)})"
        for row in rows
        if row.verdict is Verdict.HYPOTHESIS_NOT_MET and row.conclusion is Conclusion.FAILS
    ]
    return f"{before}{listed(told, 3)}" if told else ""


def _of_violated(ids: Sequence[str]) -> str:
    """A claim of this project that is violated is a fault; one from elsewhere is refuted."""
    from verification.claims import CLAIMS

    known = {claim.id for claim in CLAIMS}
    faults = [name for name in ids if name in known]
    if faults:
        return f"Look first at {listed(faults)}: VIOLATED is a fault of the program or of the theory; please report it."
    of = "claim is not of this project, and the data refute it"
    if len(ids) > 1:
        of = "claims are not of this project, and the data refute them"
    return f"Look first at {listed(ids)}: the {of}, unless the measurement is wrong."
