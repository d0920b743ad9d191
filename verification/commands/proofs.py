"""`implicit-bias certify --limit`, `--flow` and `--global`: proofs below the conditions, one at a time."""

from __future__ import annotations

import argparse
from fractions import Fraction
from itertools import count
from typing import Any

from rich.table import Table

from refimpl.errors import InvalidParameterError, RunInterrupted
from refimpl.flow import FlowLimit, gradient_flow
from refimpl.network import TwoLayerNetwork
from verification.bars import progress
from verification.commands import delivery, problems
from verification.commands.exact_numbers import decimal, slope_text
from verification.commands.kkt import load_weights, network_with
from verification.exact.documents import NotProven
from verification.exact.flow import certify_flow
from verification.exact.flow_certificate import FlowCertificate
from verification.exact.optimum import OptimumCertificate, certify_optimum
from verification.exact.point import PointCertificate, certify_point
from verification.exact.rational import power_of_two
from verification.printing import sentence

__all__ = ["prove_flow", "prove_global", "prove_limit"]

SCALE = 1e-2
"""Initialization scale unless --init-scale says otherwise."""

MARGINS = 6
"""Margins above 1 that a table lists; of more it shows the least and the largest."""


def prove_limit(args: argparse.Namespace, problem: problems.Problem, slope: Fraction | None) -> int:
    """Prove that the limit of a flow, or the KKT point that given weights are near to, is one."""
    with progress() as tell:
        network, limit = _where_to_look(args, problem, tell)
        found = limit if isinstance(limit, NotProven) else certify_point(network, problem.data, limit, slope, tell)
    return deliver_proof(args, problem, found, point_table)


def prove_flow(args: argparse.Namespace, problem: problems.Problem, slope: Fraction | None) -> int:
    """Prove where gradient flow goes from a Gaussian start, or from the weights of a file."""
    network, W0 = start_of(args, problem)
    with progress() as tell:
        tell(f"validated integration on {problem.origin}")
        found = certify_flow(network, problem.data, W0, slope, tell, problem.loss)
    return deliver_proof(args, problem, found, flow_table)


def prove_global(args: argparse.Namespace, problem: problems.Problem, slope: Fraction | None) -> int:
    """Prove what the global optimum of (P) is, or that a KKT point is not it."""
    with progress() as tell:
        network, limit = _where_to_look(args, problem, tell) if args.limit else (problem.network, None)
        tell(f"global optimum on {problem.origin}")
        found = limit if isinstance(limit, NotProven) else certify_optimum(network, problem.data, limit, slope, tell)
    return deliver_proof(args, problem, found, optimum_table)


def deliver_proof(args: argparse.Namespace, problem: problems.Problem, found: Any, table: Any) -> int:
    """Write and show what was proven, or say why nothing was."""
    if isinstance(found, NotProven):
        delivery.deliver(
            args, [*problems.heading(problem), sentence(f"Not proven: {found.reason} (no file was made).")]
        )
        return 3
    delivery.deliver(args, [*problems.heading(problem), table(found)], files=[(args.out, found.save)])
    return 0


def start_of(args: argparse.Namespace, problem: problems.Problem) -> tuple[TwoLayerNetwork, Any]:
    """The network and W(0): of --weights, or Gaussian."""
    if args.weights is None:
        return problem.network, problems.initial_weights(problem, _scale(args), args.seed)
    if args.init_scale is not None:
        raise InvalidParameterError("init-scale", "be left out with --weights", args.init_scale)
    W, second_layer = load_weights(args.weights)
    network = problem.network
    return network if second_layer is None else network_with(second_layer, network, args), W


def _scale(args: argparse.Namespace) -> float:
    return SCALE if args.init_scale is None else float(args.init_scale)


def _where_to_look(
    args: argparse.Namespace, problem: problems.Problem, tell: Any
) -> tuple[TwoLayerNetwork, FlowLimit | NotProven | Any]:
    """Weights near the point: those of the file, or the limit of a flow."""
    network, W = start_of(args, problem)
    if args.weights is not None:
        return network, W
    tell(f"gradient flow on {problem.origin} from scale {_scale(args):g}, seed {args.seed}")
    try:
        result = gradient_flow(network, problem.data, W, problem.loss)
    except RunInterrupted as stop:
        raise KeyboardInterrupt from stop
    if result.limit is None:
        return network, NotProven(f"the flow has no limit in floats: {result.status.name}")
    return network, result.limit


def point_table(point: PointCertificate) -> Table:
    """What was proven of a KKT point."""
    table, n, slack = Table(show_header=False), point.n, point.slack
    table.add_row("proven", "W is a KKT point of (P)")
    table.add_row("m, n, d", f"{len(point.products)}, {n}, {point.d}")
    table.add_row("slope", slope_text(point.problem.gamma))
    table.add_row("rank of W", f"{point.rank} (exactly)")
    table.add_row("½‖W‖² = ½ Σ λ", f"{decimal(point.objective)} (an exact fraction)")
    table.add_row("margins", f"{n - len(slack)} of {n} are exactly 1")
    others = sorted(slack, key=slack.__getitem__)
    for i in others if len(others) <= MARGINS else (others[0], others[-1]):
        table.add_row(f"margin of sample {i}", f"1 + {decimal(slack[i] - 1)} (an exact fraction)")
    if len(others) > MARGINS:
        table.add_row("margins between these", f"{len(others) - 2}, in the file of --out")
    table.add_row("units exactly on kinks", str(point.units_on_kinks))
    return table


def optimum_table(optimum: OptimumCertificate) -> Table:
    """What was proven of the optimum, and of the point above it."""
    table, above = point_table(optimum.point), optimum.above
    if optimum.bounds:
        bounds = "1 dual bound" if len(optimum.bounds) == 1 else f"{len(optimum.bounds)} dual bounds"
        count = f"{optimum.programs} program{'s' if optimum.programs > 1 else ''} by {bounds}"
        table.add_row("proven", f"W is a global optimum of (P): {count}")
    if above is not None:
        table.add_row("proven", f"not global: the KKT point that was looked at, of rank {above.rank}, with")
        table.add_row("½‖W‖² of that point", f"{decimal(above.objective)} (an exact fraction)")
        least = "" if optimum.bounds else "at least "
        table.add_row("above the optimum by", f"{least}{100 * float(optimum.excess):.6g}%")
    return table


def flow_table(flow: FlowCertificate) -> Table:
    """What was proven of a flow."""
    table = point_table(flow.point)
    table.add_row("proven", f"gradient flow of the {flow.loss} loss from this start converges in direction to W")
    table.add_row("precision", f"{flow.bits} bits")
    table.add_row("s", "loss-normalized time; units are (neuron, sample), both counted from 0")
    for event in flow.events:
        side = {1: ", to z > 0", -1: ", to z < 0", 0: ""}[event.side]
        unit = f"unit ({event.neuron}, {event.sample}) {event.kind}{side}"
        table.add_row(f"s = {enclosure(event.time, event.radius)}", unit)
    table.add_row(f"s = {decimal(flow.time)}", "the trap: no event comes after")
    return table


def enclosure(time: Fraction, radius: Fraction) -> str:
    """The time of an event and a power of two, which bounds its radius and the digits left out: 2^-40, of s < 1 less.

    Examples
    --------
    >>> enclosure(Fraction(1, 3), Fraction(1, 2**60)), enclosure(Fraction(2**60, 3), Fraction(1, 2**60))
    ('0.33333333333333333 ± 2^-41', '384307168202282325.333333333333 ± 2^-40')
    """
    bound = max(2 * radius, power_of_two(min(time, Fraction(1))) / 2**40)
    texts = (decimal(time, digits) for digits in count(17))
    text = next(text for text in texts if abs(Fraction(text) - time) <= bound - radius)
    return f"{text} ± 2^-{bound.denominator.bit_length() - 1}"
