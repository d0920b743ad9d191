"""How `verify` ends on data that come with scikit-learn (extra `docs`), raw and standardized, one after another.

    python scripts/real_data.py                       # a quarter of an hour
    python scripts/real_data.py iris wine --time-limit 60

Each line of the table it prints is one call with the network that `implicit-bias verify --data FILE` takes, 8 neurons
of each sign and slope 0.1. It tells how many flows reached a limit, and why rows are INCONCLUSIVE.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from time import perf_counter

import numpy as np

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from refimpl.errors import ImplicitBiasError, MissingExtraError
from refimpl.preparation import prepare
from verification import verify
from verification.claims.report import Report
from verification.commands.options import FILE_NEURONS, FILE_SLOPE
from verification.commands.verify import TIME_LIMIT

PAIRS = {
    "iris": ("load_iris", [(0, 1), (1, 2)]),
    "wine": ("load_wine", [(0, 1), (1, 2)]),
    "breast cancer": ("load_breast_cancer", [(0, 1)]),
    "digits": ("load_digits", [(3, 8), (0, 1)]),
}
"""The function of scikit-learn that has the data, and pairs of classes: +1 and -1."""

HEADER = "| data | n x d | preparation | seconds | flows with a limit | separable | violated | inconclusive |"


def main(arguments: list[str] | None = None) -> int:
    """Print the table; the exit code is 1 if a claim is violated, 2, with one sentence, for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(PAIRS)} (default: all)")
    parser.add_argument("--time-limit", type=float, default=TIME_LIMIT, metavar="SECONDS", help="of each call")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.names if name not in PAIRS]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}: choose from {', '.join(PAIRS)}")
    violated = 0
    try:
        print(f"{HEADER}\n|{' --- |' * HEADER.count(' | ')} --- |", flush=True)
        for name, data in instances(args.names or list(PAIRS)):
            for steps in ((), ("standardize",)):
                started = perf_counter()
                report = verify(NETWORK, prepare(data, *steps).data, time_limit=args.time_limit)
                print(line(name, data, steps, perf_counter() - started, report), flush=True)
                violated += rows_that_are(report, "VIOLATED") != []
    except ImplicitBiasError as error:
        print(f"real_data: error: {error}", file=sys.stderr)
        return 2
    return int(violated > 0)


NETWORK = TwoLayerNetwork.with_signs(FILE_NEURONS, FILE_NEURONS, LeakyReLU(FILE_SLOPE))


def instances(names: list[str]) -> Iterator[tuple[str, Dataset]]:
    """Each pair of classes of these data, as (name, samples)."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "docs") from error
    for name in names:
        function, pairs = PAIRS[name]
        found = getattr(datasets, function)()
        for positive, negative in pairs:
            kept = np.isin(found.target, (positive, negative))
            y = np.where(found.target[kept] == positive, 1, -1)
            yield f"{name} {positive}/{negative}", Dataset(found.data[kept], y)


def line(name: str, data: Dataset, steps: tuple[str, ...], seconds: float, report: Report) -> str:
    """One line of the table."""
    limits = sum(start["status"] == "CONVERGED" for start in report.starts)
    why = "; ".join(
        f"{row.id}: {row.reason.split('. ')[0]}" for row in report.claims if row.verdict.name == "INCONCLUSIVE"
    )
    separable = next(row.hypothesis for row in report.claims if row.id == "flow-zero-loss")
    known = "?" if separable.undecided else "yes" if separable.satisfied else "no"
    violated = ", ".join(rows_that_are(report, "VIOLATED")) or "-"
    prepared = ", ".join(steps) or "raw"
    flows = f"{limits} of {len(report.starts)}"
    cells = [name, f"{data.n} x {data.d}", prepared, f"{seconds:.0f}", flows, known, violated, why or "-"]
    return f"| {' | '.join(cells)} |"


def rows_that_are(report: Report, verdict: str) -> list[str]:
    """Ids of the rows with this verdict."""
    return [row.id for row in report.claims if row.verdict.name == verdict]


if __name__ == "__main__":
    raise SystemExit(main())
