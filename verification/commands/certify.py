"""`implicit-bias certify`: an exact proof about one data set, and its check."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from rich.table import Table

from refimpl.errors import InvalidParameterError, MissingExtraError
from refimpl.losses import as_loss
from refimpl.tiles.columns import as_columns
from refimpl.validation import check_memory
from verification.bars import progress
from verification.commands import delivery, options, problems
from verification.commands.exact_numbers import decimal, exact_slope, slope_text
from verification.commands.proofs import prove_flow, prove_global, prove_limit
from verification.exact.certificate import CONCLUSIONS, Certificate, certify, reject_early
from verification.exact.checker import CertificateCheck, check_certificate
from verification.printing import sentence

__all__ = ["add_parser", "run"]

CHECKER_WORDS = 25
"""Eight bytes each that a number of X takes in the checker, as floats and integers of Python."""

EXAMPLES = """examples:
  implicit-bias certify --out theorem.json
  implicit-bias certify --data data.npz --slope 1/10 --out proof.json
  implicit-bias certify --preset correlated --quick
  implicit-bias certify --limit --data data.npz --init-scale 1e-4 --seed 1 --out proof.json
  implicit-bias certify --limit --data data.npz --weights W.npy --positive 8 --negative 8
  implicit-bias certify --flow --data found/limits-closest.csv --slope 0.05 --positive 2 --negative 0
  implicit-bias certify --global --data found/limits-closest.csv --slope 0.05 --positive 2 --negative 0 --out best.json
  implicit-bias certify --global --limit --data data.npz --init-scale 1e-4 --seed 1
  implicit-bias certify --check proof.json --data data.npz

exit codes: 0 every KKT point is proven to be the closed form, what was asked for is proven, or the file was accepted;
1 the file was refused, or is of another network; 2 bad input; 3 less was proven"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "certify",
        description="Decide over the rationals what is true of the max-margin problem on a data set.",
        epilog=EXAMPLES,
    )
    options.add_problem_options(parser, slope=str, neurons=options.WITH_WEIGHTS)
    parser.add_argument("--out", metavar="FILE.json", help="write the certificate")
    parser.add_argument("--check", metavar="FILE.json", help="check a certificate against the data instead")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="stop without exact numbers as soon as ball arithmetic shows that less can be proven",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--limit",
        action="store_true",
        help="prove that the limit of the flow from a Gaussian start, or the point that --weights are near to, is a "
        "KKT point, with its rank and margins; no condition is needed",
    )
    kind.add_argument(
        "--flow",
        action="store_true",
        help="prove, by validated integration, where gradient flow of --loss goes from a Gaussian start, or from "
        "--weights; seconds for few samples and neurons, minutes or undecided where samples are nearly parallel",
    )
    parser.add_argument(
        "--global",
        dest="optimum",
        action="store_true",
        help="prove what the global optimum is, for few samples and neurons; with --limit, whether that KKT point is "
        "it, with a better point if it is not",
    )
    parser.add_argument(
        "--init-scale", type=float, metavar="S", help="of that start, in units of 1/R_max (default: 0.01)"
    )
    parser.add_argument("--weights", metavar="FILE", help="W (m, d): .npy, or .npz with W [, second_layer]")
    parser.add_argument("--force", action="store_true", help="overwrite output files that exist")
    parser.set_defaults(run=run, json=None, loss=None)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    if args.check:
        for name in ("out", "quick", "limit", "flow", "optimum", "init_scale", "weights"):
            if getattr(args, name):
                option = "global" if name == "optimum" else name.replace("_", "-")
                raise InvalidParameterError(
                    option, "be left out with --check, which makes no certificate", getattr(args, name)
                )
    if args.optimum and args.flow:
        raise InvalidParameterError("global", "be left out with --flow, which proves one limit", True)
    delivery.check_outputs(args, "out")
    asked, loss = args.slope, None if args.loss is None else as_loss(args.loss).name
    args.loss = args.loss or "logistic"
    fraction = exact_slope(asked)
    args.slope = None if asked is None else float(fraction if fraction is not None else asked)
    problem = problems.problem_from(args)
    if args.check:
        return _check(args, problem, fraction, loss)
    if args.limit and not args.optimum:
        return prove_limit(args, problem, fraction)
    if args.flow:
        return prove_flow(args, problem, fraction)
    if args.optimum and args.limit:
        return prove_global(args, problem, fraction)
    for name in ("init_scale", "weights"):
        if getattr(args, name) is not None:
            raise InvalidParameterError(
                name.replace("_", "-"), "be left out without --limit or --flow", getattr(args, name)
            )
    if args.optimum:
        return prove_global(args, problem, fraction)
    if args.quick:
        with progress() as tell:
            tell(f"ball arithmetic for {problem.origin}")
            reason = reject_early(problem.network, problem.data, fraction)
        if reason:
            delivery.deliver(args, [sentence(f"Not proven: {reason} (ball arithmetic; no certificate was made).")])
            return 3
    with progress() as tell:
        tell(f"exact certificate for {problem.origin}")
        certificate = certify(problem.network, problem.data, fraction, tell)
    shown = _shown(certificate, problems.heading(problem))
    delivery.deliver(args, shown, files=[(args.out, certificate.save)])
    return 0 if certificate.proves_every_kkt_point else 3


def _check(args: argparse.Namespace, problem: problems.Problem, slope: Fraction | None, loss: str | None) -> int:
    """Check the file, and that it is of the network and the loss that the options ask for, so far as they do."""
    with progress() as tell:
        tell(f"checking {args.check}")
        X, y = problem.data.X, problem.data.y
        check_memory("data", problem.data, CHECKER_WORDS * X.size)
        try:
            result = check_certificate(args.check, as_columns(X).array() if problem.data.in_tiles else X, y, tell)
        except ImportError as error:
            raise MissingExtraError("python-flint", "exact") from error
    accepted, verdict = _judged(args, result, slope, loss)
    delivery.deliver(args, [sentence(verdict)])
    return 0 if accepted else 1


def _judged(
    args: argparse.Namespace, result: CertificateCheck, slope: Fraction | None, loss: str | None
) -> tuple[bool, str]:
    """Whether the file is accepted as a certificate of the network and loss that the options name, and a sentence."""
    if result.network is None:
        return False, f"refused: {result.reason.removeprefix('refused: ')}."
    signs = result.network.get("signs", "")
    found = {"positive": signs.count("+"), "negative": signs.count("-")}
    found |= {name: result.network[name] for name in found if name in result.network}
    certified = Fraction(*(int(part, 16) for part in result.network["slope"].split("/")))
    of = f"slope {slope_text(certified)}, {found['positive']} positive and {found['negative']} negative neurons"
    of += f", the {result.loss} loss" if result.loss else ""
    wrong = [f"--{name} {getattr(args, name)}" for name in found if getattr(args, name) not in (None, found[name])]
    if args.slope is not None and not (certified == slope if slope is not None else float(certified) == args.slope):
        wrong.insert(0, f"--slope {args.slope if slope is None else slope}")
    if result.loss and loss not in (None, result.loss):
        wrong.append(f"--loss {loss}")
    if wrong:
        return False, f"refused: the certificate is of {of}, not of {' '.join(wrong)}."
    return True, f"accepted: {result.reason}. It proves: {result.verdict}. It is of {of}."


def _shown(certificate: Certificate, heading: list[Any]) -> Iterator[Any]:
    """The heading, the table and what failed; made when it is shown, after the file is written."""
    yield from heading
    yield _table(certificate)
    if certificate.failed_step:
        yield sentence(f"Not proven: {certificate.failed_step}.")


def _table(certificate: Certificate) -> Table:
    table = Table(show_header=False)
    objective = certificate.objective
    table.add_row("verdict", certificate.verdict)
    table.add_row("n, d", f"{certificate.n}, {certificate.d}")
    table.add_row("slope", slope_text(certificate.network.slope))
    table.add_row("½‖W‖² = ½ Σ λ", "-" if objective is None else f"{decimal(objective)} (an exact fraction)")
    table.add_row("refined condition", certificate.bounds.status)
    for name in certificate.conclusions:
        table.add_row("proven", CONCLUSIONS[name])
    return table
