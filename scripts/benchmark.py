"""Timings as ratios against a peer or a limit of the same run; a peer that is not installed is skipped and said.

    python scripts/benchmark.py
    python scripts/benchmark.py --only gradient --json timings.json
    python scripts/benchmark.py --only large-flow --before ../before   # beside the flow of another checkout
    python scripts/benchmark.py --only tiles                           # 4 GB of disk, some minutes
    OMP_NUM_THREADS=1 python scripts/benchmark.py --only samples --largest 2000

What is measured stands in `benchmark_calls.py`, `benchmark_flows.py`, `benchmark_tiles.py` and `benchmark_samples.py`;
the peers (`benchmark_peers.py`) come with the extra `bench`. Short calls are timed as the smallest wall time of
several, long ones once. Flows and the ODE solvers beside them are timed by seconds of the processor, so that what else
the machine does counts less: set OMP_NUM_THREADS=1. docs/numerics.md explains the methods and shows the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import benchmark_calls as single
import benchmark_flows as flows
import benchmark_samples as many
import benchmark_tiles as large
from benchmark_rows import Accuracy, Row, Rows, Skipped
from rich.console import Console
from rich.table import Table

from refimpl.documents import json_text
from refimpl.errors import ImplicitBiasError, InvalidParameterError
from refimpl.files import check_output_path, open_output
from verification.bars import progress
from verification.progress import Told
from verification.versions import environment

LIBRARIES = ("torch", "torchdiffeq", "jax", "diffrax", "clarabel")


def tiles() -> Rows:
    """Samples larger than memory: the Gram pass, what d costs after it, sparse documents, the memory of `verify`."""
    with tempfile.TemporaryDirectory() as folder:
        files = large.written(Path(folder), 200, 2_000_000)
        ours, read, product = large.pass_and_parts(files[0])
        yield Row("tiles", "Gram pass, n=200 d=2e6, 3.2 GB", ours, "matrix product plus read", read + product, 1.5)
        seconds, code, peak = large.peak_of_verify(*files)
        note = f"exit code {code}, peak resident memory {peak / 1e9:.2f} GB"
        yield Row("tiles", "verify, n=200 d=2e6, 3.2 GB", seconds, "the Gram pass", ours, None, note=note)
    first = None
    for d, passed, after in list(large.by_dimension())[1:]:
        first = after if first is None else first
        note = f"passes for K and W0: {passed:.2g} s"
        yield Row("tiles", f"after the Gram pass, n=20 m=16 d={d:.0e}", after, "d=1e+03", first, 1.5, note=note)
    seconds, off = large.documents()
    accuracy = Accuracy("off from SciPy's by", off, 0.0)
    yield Row("tiles", "1000 documents, d=1e6", seconds, "limit in s", 10.0, 1.0, accuracy=accuracy)


def samples(largest: int = many.LARGEST) -> Rows:
    """How calls grow with the number of samples: processor seconds beside those of half as many."""
    for found in many.growth_by_samples(largest):
        told = f"exponent {found.exponent:.1f}{'; ' if found.note else ''}{found.note}"
        yield Row("samples", f"{found.what}, n = {found.n}", found.seconds, "n/2", found.before, None, note=told)


MEASUREMENTS: dict[str, Callable[..., Rows]] = {
    "gradient": single.gradient,
    "flow": flows.flow,
    "large-flow": flows.large_flow,
    "descent": single.descent,
    "margin": single.margin,
    "certificates": single.certificates,
    "recorder": single.recorder,
    "command": single.command,
    "tiles": tiles,
    "samples": samples,
}
ON_REQUEST = ("tiles", "samples")
"""Measured only where --only asks for them: they take some minutes, and tiles 4 GB of disk."""


def main(arguments: list[str] | None = None) -> int:
    """Run, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="measure this one (may be repeated)")
    parser.add_argument("--largest", type=int, default=many.LARGEST, metavar="N", help="samples go up to this number")
    parser.add_argument("--before", metavar="FOLDER", help="another checkout of this project for `large-flow`")
    parser.add_argument("--json", metavar="FILE", help="write the measurements as JSON")
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    args = parser.parse_args(arguments)
    try:
        if args.json:
            check_output_path(args.json, args.force)
        chosen = args.only or [name for name in MEASUREMENTS if name not in ON_REQUEST]
        if args.before and not (Path(args.before) / "refimpl" / "flow").is_dir():
            raise InvalidParameterError("--before", "be a checkout of this project, with refimpl/flow", args.before)
        rows = measured(chosen, args.largest, args.before)
        console = Console(width=None if sys.stdout.isatty() else 190)
        console.print(table_of(rows), "", profiles_of(rows), sep="\n")
        if args.json:
            with open_output(args.json, args.force) as handle:
                handle.write(json_text(document(rows)).encode())
    except ImplicitBiasError as error:
        print(f"benchmark: error: {error}", file=sys.stderr)
        return 2
    return 0


def measured(names: list[str], largest: int = many.LARGEST, before: str | None = None) -> list[Row]:
    """The rows of the named measurements; what is measured and skipped is said."""
    lines, rows = Console(stderr=True), list[Row]()
    options = {"samples": (largest,), "large-flow": (before,)}
    with progress() as tell:
        for number, name in enumerate(names):
            lines.print(f"... {name}", highlight=False)
            tell(Told(name, steps=(number, len(names))))
            for row in MEASUREMENTS[name](*options.get(name, ())):
                if isinstance(row, Skipped):
                    lines.print(f"... {name} skipped {row}", highlight=False)
                    continue
                rows.append(row)
                tell(Told(f"{name}, after {row.what}", steps=(number, len(names))))
    return rows


def table_of(rows: list[Row]) -> Table:
    """One line a measurement."""
    table = Table("what", "seconds", "against", "seconds", "ratio", "gate", "aim", "accuracy", "remark")
    for row in rows:
        gate, aim = (
            "-" if limit is None else f"{limit:.3g} {'met' if row.ratio <= limit else 'NOT MET'}"
            for limit in (row.gate, row.aim)
        )
        seconds = (f"{row.ours:.3g}", row.against, f"{row.peer:.3g}", f"{row.ratio:.3g}")
        table.add_row(row.what, *seconds, gate, aim, str(row.accuracy or "-"), row.note)
    return table


def profiles_of(rows: list[Row]) -> Table:
    """Where the time of the longer flows goes."""
    table = Table("profile of", "phase", "seconds", "share")
    for row in rows:
        total = sum(row.profile.values())
        for k, (phase, seconds) in enumerate(sorted(row.profile.items(), key=lambda item: -item[1])):
            table.add_row("" if k else row.what, phase, f"{seconds:.3g}", f"{seconds / total:.0%}")
    return table


def document(rows: list[Row]) -> dict[str, Any]:
    """Everything that was measured, and where."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    measurements = [asdict(row) | {"ratio": row.ratio} for row in rows]
    return {"cores": os.cpu_count(), "environment": environment(), "peers": versions, "rows": measurements}


if __name__ == "__main__":
    sys.exit(main())
