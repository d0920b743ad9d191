"""Make the golden vectors: the one generator of verification/conformance/vectors/*.json.

    python scripts/make_vectors.py --check      # compare with the files that are there, to the last digit
    python scripts/make_vectors.py              # write them again

Inputs are drawn from seeds and stored as numbers, on a grid so coarse (2⁻³⁰) that they do not depend on the machine's
rounding. Outputs come from `verification.exact.oracle` (ball arithmetic, rationals); tolerances, to two digits, from
bounds of rounding errors that are stated with each case (docs/conformance.md).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from vector_functions import descent_cases, forward_cases, gradient_cases, loss_cases, stable_rank_cases
from vector_limits import flow_limit_cases
from vector_points import Case
from vector_solutions import kkt_cases, max_margin_cases, refusal_cases

from refimpl.documents import as_plain
from refimpl.errors import ImplicitBiasError
from refimpl.validation import Array
from verification.conformance.vectors.format import (
    FOLDER,
    KINDS,
    NOTES,
    SCHEMA_VERSION,
    VECTORS_VERSION,
    canonical,
    seal_of,
)

CASES: dict[str, Callable[[], Iterator[Case]]] = {
    "forward": forward_cases,
    "loss": loss_cases,
    "gradient": gradient_cases,
    "descent": descent_cases,
    "stable_rank": stable_rank_cases,
    "max_margin": max_margin_cases,
    "flow_limit": flow_limit_cases,
    "kkt_residuals": kkt_cases,
    "refusals": refusal_cases,
}

SUBJECTS = {
    "forward": "f(x_i; W) = Σ_j a_j max(γ z_ji, z_ji)",
    "loss": "L(W) = (1/n) Σ_i ℓ(y_i f(x_i; W))",
    "gradient": "the derivative of L with respect to W; an interval for each entry where units are at kinks",
    "descent": "W after `steps` steps of W - step_size · gradient",
    "stable_rank": "‖W‖_F²/‖W‖₂²",
    "max_margin": "the solution (v, u) of the convex program (C), as two rows",
    "flow_limit": "the limit of the direction of gradient flow from W0, scaled so that the smallest margin is 1",
    "kkt_residuals": "stationarity, feasibility, complementarity, relative duality gap, in this order",
    "refusals": "inputs that must be refused",
}


def document_of(kind: str) -> dict[str, Any]:
    """The vector file of one kind."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for case in CASES[kind]():
        assert set(case.flags) <= set(NOTES), case.flags
        if case.tolerance:
            case.tolerance["absolute"] = two_digits(np.asarray(case.tolerance["absolute"]))
        entry = {"id": "", "comment": case.comment, "flags": sorted(set(case.flags))}
        parts = {"inputs": case.inputs, "expected": case.expected, "tolerance": case.tolerance}
        groups.setdefault(case.group, []).append(entry | {name: as_plain(part) for name, part in parts.items() if part})
    count = 0
    for count, entry in enumerate((entry for cases in groups.values() for entry in cases), 1):
        entry["id"] = f"{kind}-{count:03d}"
    flags = sorted({flag for cases in groups.values() for case in cases for flag in case["flags"]})
    document: dict[str, Any] = {
        "schema": "implicit-bias-vectors",
        "schema_version": SCHEMA_VERSION,
        "vectors_version": VECTORS_VERSION,
        "kind": kind,
        "subject": SUBJECTS[kind],
        "source": "verification/exact/oracle.py: ball arithmetic and rationals, rounded to nearest",
        "generator": "scripts/make_vectors.py",
        "count": count,
        "notes": {flag: NOTES[flag] for flag in flags},
    }
    body = {"groups": [{"name": name, "cases": cases} for name, cases in groups.items()]}
    return document | {"sha256": seal_of(document | body)} | body


def two_digits(x: Array) -> Array:
    """x to two digits, rounded up by a little: bounds need no more, and their last digits depend on the machine."""
    return np.array([float(f"{1.05 * value:.1e}") for value in x.ravel()]).reshape(x.shape)


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="where the files are")
    args = parser.parse_args(arguments)
    try:
        return check(args.out) if args.check else write(args.out)
    except (ImplicitBiasError, OSError) as error:
        print(f"make_vectors: error: {error}", file=sys.stderr)
        return 2


def write(folder: Path) -> int:
    """Write every file."""
    total = 0
    for kind in KINDS:
        document = document_of(kind)
        (folder / f"{kind}.json").write_text(canonical(document), encoding="utf-8")
        total += document["count"]
        print(f"{kind}: {document['count']} cases")
    print(f"{total} cases in all")
    return 0


def check(folder: Path) -> int:
    """1 if a file differs from what is generated."""
    different = []
    for kind in KINDS:
        path = folder / f"{kind}.json"
        if not path.exists() or path.read_text(encoding="utf-8") != canonical(document_of(kind)):
            different.append(path.name)
    print(f"different: {', '.join(different)}" if different else "every file is as generated, to the last digit")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
