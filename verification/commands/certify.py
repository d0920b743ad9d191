"""`implicit-bias certify`: an exact proof about one data set, and its check."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Any

from rich.table import Table

from refimpl.errors import InvalidParameterError
from refimpl.tiles.columns import as_columns
from refimpl.validation import check_memory
from verification.commands import options
from verification.exact.certificate import CONCLUSIONS, Certificate, certify, reject_early
from verification.exact.checker import CertificateCheck, check_certificate
from verification.printing import sentence

__all__ = ["add_parser", "run"]

MOST_DIGITS = 400
"""Characters of --slope; its exponent has at most three digits, as those of float64."""

CHECKER_WORDS = 25
"""Eight bytes each that a number of X takes in the checker, as floats and integers of Python."""

EXAMPLES = """examples:
  implicit-bias certify --out theorem.json
  implicit-bias certify --data data.npz --slope 1/10 --out proof.json
  implicit-bias certify --preset correlated --quick
  implicit-bias certify --check proof.json --data data.npz

exit codes: 0 every KKT point is proven to be the closed form, or the file was accepted;
1 the file was refused, or is of another network; 2 bad input; 3 less was proven"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "certify",
        description="Decide over the rationals what is true of the max-margin problem on a data set.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_problem_options(parser, slope=str)
    parser.add_argument("--out", metavar="FILE.json", help="write the certificate")
    parser.add_argument("--check", metavar="FILE.json", help="check a certificate against the data instead")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="stop without exact numbers as soon as ball arithmetic shows that less can be proven",
    )
    parser.add_argument("--force", action="store_true", help="overwrite output files that exist")
    parser.set_defaults(run=run, json=None)


def run(args: argparse.Namespace) -> int:
    """Carry it out."""
    if args.check:
        for name in ("out", "quick"):
            if getattr(args, name):
                raise InvalidParameterError(
                    name, "be left out with --check, which makes no certificate", getattr(args, name)
                )
    options.check_outputs(args, "out")
    asked = args.slope
    fraction = exact_slope(asked)
    args.slope = None if asked is None else float(fraction if fraction is not None else asked)
    problem = options.problem_from(args)
    if args.check:
        return _check(args, problem, fraction)
    if args.quick:
        with options.progress() as tell:
            tell(f"ball arithmetic for {problem.origin}")
            reason = reject_early(problem.network, problem.data, fraction)
        if reason:
            options.deliver(args, [sentence(f"Not proven: {reason} (ball arithmetic; no certificate was made).")])
            return 3
    with options.progress() as tell:
        tell(f"exact certificate for {problem.origin}")
        certificate = certify(problem.network, problem.data, fraction, tell)
    shown = _shown(certificate, options.heading(problem))
    options.deliver(args, shown, files=[(args.out, certificate.save)])
    return 0 if certificate.proves_every_kkt_point else 3


def _check(args: argparse.Namespace, problem: options.Problem, slope: Fraction | None) -> int:
    """Check the file, and that it is of the network that the options ask for, so far as they do."""
    with options.progress() as tell:
        tell(f"checking {args.check} with integers and fractions only")
        X, y = problem.data.X, problem.data.y
        check_memory("data", problem.data, CHECKER_WORDS * X.size)
        result = check_certificate(args.check, as_columns(X).array() if problem.data.in_tiles else X, y)
    accepted, verdict = _judged(args, result, slope)
    options.deliver(args, [sentence(verdict)])
    return 0 if accepted else 1


def _judged(args: argparse.Namespace, result: CertificateCheck, slope: Fraction | None) -> tuple[bool, str]:
    """Whether the file is accepted as a certificate of the network that the options name, and a sentence."""
    if result.network is None:
        return False, f"refused: {result.reason.removeprefix('refused: ')}."
    found = {name: result.network[name] for name in ("positive", "negative")}
    certified = Fraction(*(int(part, 16) for part in result.network["slope"].split("/")))
    of = f"slope {_slope_text(certified)}, {found['positive']} positive and {found['negative']} negative neurons"
    wrong = [f"--{name} {getattr(args, name)}" for name in found if getattr(args, name) not in (None, found[name])]
    if args.slope is not None and not (certified == slope if slope is not None else float(certified) == args.slope):
        wrong.insert(0, f"--slope {args.slope if slope is None else slope}")
    if wrong:
        return False, f"refused: the certificate is of {of}, not of {' '.join(wrong)}."
    return True, f"accepted: {result.reason}. It proves: {result.verdict}. It is of {of}."


def exact_slope(text: str | None) -> Fraction | None:
    """The slope as a fraction if it was given as one, such as 1/10; None for a decimal number.

    Raises
    ------
    InvalidParameterError
        If it is no number, or none in [0, 1].
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*[+-]?(\d+/\d+|(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?)\s*", text, re.IGNORECASE)
    requirement = "be a number such as 0.1 or a fraction such as 1/10"
    if not found or len(text) > MOST_DIGITS:  # so that nothing large is computed before it is refused
        raise InvalidParameterError("slope", f"{requirement}, of at most {MOST_DIGITS} characters", text)
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise InvalidParameterError("slope", requirement, text) from error
    if not 0 <= value <= 1:
        raise InvalidParameterError("slope", "lie in [0, 1]", text.strip())
    return value if "/" in text else None


def _slope_text(slope: Fraction) -> str:
    """A fraction of few digits as it is, that of a float by the float."""
    return str(slope) if slope.denominator < 10**9 else repr(float(slope))


def _decimal(value: Fraction) -> str:
    """17 digits, of numbers that no float holds too."""
    context = Context(prec=17, Emax=MAX_EMAX, Emin=MIN_EMIN)
    return f"{context.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(context):g}"


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
    table.add_row("slope", _slope_text(certificate.network.slope))
    table.add_row("½‖W‖² = ½ Σ λ", "-" if objective is None else f"{_decimal(objective)} (an exact fraction)")
    table.add_row("refined condition", certificate.bounds.status)
    for name in certificate.conclusions:
        table.add_row("proven", CONCLUSIONS[name])
    return table
