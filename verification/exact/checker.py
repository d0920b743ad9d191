"""Checker of exact certificates: integers, fractions and the standard library, nothing of the prover's.

Everything in the file is recomputed from the data, except the numbers that prove something (γ and the masses of
the second layer, λ or a kernel vector of M, the bounds b); those are verified by exact multiplication, and the
text that follows from them must be the file's, byte for byte. The seal, a SHA-256 of the rest, guards digits on
which no conclusion depends. What is proven, and why the bounds suffice: docs/theory.md, sections 5 and 6.
"""

import functools
import hashlib
import json
import math
import operator
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

CONCLUSIONS = ["solves_convex_program", "kkt_point", "tight_margins", "rank", "collapse", "linear_boundary"]
CONCLUSIONS += ["margin_bound", "every_kkt_point", "global_optimum"]
NETWORK_BITS = 2**13  # a sum of squares of floats needs some 4,300, γ as certify takes it 2,400
LONGEST_FILE, LONGEST_PROOF = 2**28, 2**24  # characters: of a closed form, of any other proof
VERDICTS = [("rejected", 0), ("convex_optimum", 1), ("kkt_point", 7), ("unique_kkt_point", 9)]


@dataclass(frozen=True)
class CertificateCheck:
    """Whether the certificate is right, why (not), and, if it is, what it proves, of which network and loss."""

    accepted: bool
    reason: str
    verdict: str | None = None
    network: dict[str, Any] | None = None
    loss: str | None = None


def check_certificate(
    certificate: str | Path, X: Any, y: Any, progress: Callable[[str], None] = lambda message: None
) -> CertificateCheck:
    """Check a certificate, its text or its path, against X (n rows of floats) and y (n labels ±1), lists or arrays.

    `progress` is told each step of a flow, whose check raises ImportError without python-flint: it is not refused.
    """
    try:
        rows = [[float(x) for x in row] for row in getattr(X, "tolist", lambda: X)()]
        labels = [float(label) for label in getattr(y, "tolist", lambda: y)()]
        require(bool(rows) and len(labels) == len(rows) and set(labels) <= {1.0, -1.0}, "malformed labels")
        require({len(row) for row in rows} == {len(rows[0])} and bool(rows[0]), "malformed data")
        S, scale = signed_gram(rows, labels)
        text = text_of(certificate, max(longest_text(S, scale), LONGEST_PROOF))
        document = json.loads(text, object_pairs_hook=no_duplicates, parse_float=refused, parse_constant=refused)
        expected = recomputed_by_schema(document, rows, labels, S, scale, len(text), progress)
        require(canonical(expected) == text, "the text is not the one that follows from the data and its numbers")
    except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        return CertificateCheck(False, f"refused: the file is malformed ({error!r})")
    except (OSError, ValueError) as error:
        return CertificateCheck(False, f"refused: {error}")
    proven = expected["verdict"], expected["network"], expected.get("loss")
    return CertificateCheck(True, "every step was recomputed from the data", *proven)


def require(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)


def text_of(certificate: str | Path, limit: int) -> str:
    """The text, not longer than the data can need; only a regular file is read."""
    if isinstance(certificate, str) and certificate.startswith("{"):
        text = certificate
    else:
        require(Path(certificate).is_file(), f"there is no file {certificate}")
        with Path(certificate).open("rb") as handle:
            text = handle.read(limit + 1).decode()
    require(len(text) <= limit, "the text is longer than the data can need")
    return text


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    require(len({key for key, _ in pairs}) == len(pairs), "a key occurs twice")
    return dict(pairs)


def refused(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no whole number")


def recomputed_by_schema(
    document: Any, rows: Any, labels: list[float], S: list[list[int]], scale: Fraction, length: int, progress: Any
) -> dict[str, Any]:
    """The whole document again, whatever it proves: the closed form, or what another checker's schema names."""
    require(type(document) is dict, "the file holds no JSON object")
    require(document["data"]["n"] != len(rows) or document["data"] == data_of(rows, labels), "it is of other data")
    if document["schema"] == "implicit-bias-point":
        from verification.exact.point_checker import recomputed_point as other
    elif document["schema"] == "implicit-bias-flow":
        from verification.exact.flow_checker import recomputed_flow

        other = functools.partial(recomputed_flow, tell=progress)
    elif document["schema"] == "implicit-bias-optimum":
        from verification.exact.optimum_checker import recomputed_optimum as other
    else:
        require(document["schema"] == "implicit-bias-certificate", f"no checker reads {document['schema']!r:.40}")
        require(length <= longest_text(S, scale), "the text is longer than the data can need")
        return recomputed(document, rows, labels, S, scale)
    require(length <= LONGEST_PROOF, "the text is longer than such a proof can need")
    return other(document, rows, labels, S, scale)


def bits_of(S: list[list[int]], scale: Fraction, *numbers: Fraction) -> int:
    """Length that no entry of S, scale, M and, times n, no determinant of M exceeds (Hadamard)."""
    rationals = sum(x.numerator.bit_length() + x.denominator.bit_length() for x in numbers)
    return (
        max(max(row) for row in S).bit_length()
        + scale.denominator.bit_length()
        + 3 * rationals
        + len(S).bit_length()
        + 64
    )


def longest_text(S: list[list[int]], scale: Fraction) -> int:
    """Characters that a certificate of these data can have, γ and the masses being as long as they may."""
    n, longest = len(S), bits_of(S, scale, *[Fraction(1 << NETWORK_BITS)] * 3)
    return min(10_000 + n * ((n + 2) * longest // 4 + longest + 1000), LONGEST_FILE)


def integers(values: Any, bits: int) -> list[int]:
    """Integers from a list of hexadecimal texts of at most `bits` bits."""
    require(type(values) is list and all(type(value) is str for value in values), "a list of numbers is malformed")
    require(all(len(value) <= bits // 4 + 8 for value in values), "a number is longer than the data can need")
    return [int(value, 16) for value in values]


def recomputed(document: Any, rows: Any, labels: list[float], S: list[list[int]], scale: Fraction) -> dict[str, Any]:
    """The whole document again, from the data and the numbers in `document` that prove something."""
    network, gamma, masses = checked_network(document["network"])
    bits = bits_of(S, scale, gamma, *masses)
    form, level = checked_closed_form(document["closed_form"], gamma, masses, S, scale, labels, bits)
    bounds, holds = checked_bounds(document["bounds"], gamma, masses, S, scale, labels, bits)
    verdict, proven = VERDICTS[3 if level == 2 and (holds or gamma == 1) else level]
    new: dict[str, Any] = {"schema": "implicit-bias-certificate", "schema_version": 1}
    new |= {"data": data_of(rows, labels), "network": network, "closed_form": form, "bounds": bounds}
    return sealed({**new, "verdict": verdict, "conclusions": CONCLUSIONS[:proven]})


def data_of(rows: Any, labels: list[float]) -> dict[str, Any]:
    """What a certificate says of its data."""
    sha256 = hashlib.sha256(b"".join(struct.pack(f"<{len(row)}d", *row) for row in [*rows, labels])).hexdigest()
    return {"n": len(rows), "d": len(rows[0]), "sha256": sha256}


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "seal": hashlib.sha256(canonical(document).encode()).hexdigest()}


def checked_network(network: Any) -> tuple[dict[str, Any], Fraction, list[Fraction]]:
    """γ in (0, 1] and the masses (A₊, A₋), which must fit the counts of neurons."""
    gamma, counts = rational(network["slope"]), [network["positive"], network["negative"]]
    masses = [rational(network["mass_positive"]), rational(network["mass_negative"])]
    source, layer = network["slope_source"], network["second_layer"]
    require(all(type(k) is int and 0 <= k < 2**64 for k in counts) and any(counts), "the counts are no counts")
    require(0 < gamma <= 1, "γ is not in (0, 1]")
    require(source == "fraction" or (source == "float" and Fraction(float(gamma)) == gamma), "γ is not a float")
    require(all(mass > 0 if k > 0 else mass == 0 for k, mass in zip(counts, masses, strict=True)), "wrong masses")
    require(layer in ("floats", "signs"), "the second layer is neither floats nor ±1/√m")
    fractions = [Fraction(k, sum(counts)) for k in counts]
    dyadic = all(mass.denominator & (mass.denominator - 1) == 0 for mass in masses)
    require(dyadic if layer == "floats" else masses == fractions, "the masses are not those of the second layer")
    fields = {"slope": shown(gamma), "slope_source": source, "second_layer": layer, "positive": counts[0]}
    fields |= {"negative": counts[1], "mass_positive": shown(masses[0]), "mass_negative": shown(masses[1])}
    return fields, gamma, masses


def signed_gram(rows: list[list[float]], labels: list[float]) -> tuple[list[list[int]], Fraction]:
    """Integers and a scale with S_ik = y_i y_k ⟨x_i, x_k⟩ = integer · scale."""
    ratios = [[x.as_integer_ratio() for x in row] for row in rows]
    common = max(den for row in ratios for _, den in row)
    Y = [[int(label) * num * (common // den) for num, den in row] for row, label in zip(ratios, labels, strict=True)]
    S = [[sum(map(operator.mul, Y[i], Y[k])) for k in range(i + 1)] for i in range(len(Y))]
    return [[S[max(i, k)][min(i, k)] for k in range(len(Y))] for i in range(len(Y))], Fraction(1, common**2)


def checked_closed_form(
    form: Any, gamma: Fraction, masses: Any, S: Any, scale: Fraction, labels: Any, bits: int
) -> tuple[Any, int]:
    """Verify M λ = 1 (or M k = 0); λ proves 0: nothing, 1: that it solves (C), 2: that W is a KKT point of (P)."""
    n, q, singular = len(S), gamma.denominator, form["numerators"] is None
    values = integers(form["kernel" if singular else "numerators"], (n + 1) * bits)
    denominator = 0 if singular else integers([form["denominator"]], (n + 1) * bits)[0]
    require(len(values) == n, f"it is of {len(values)} samples, and the data have {n}")
    require(any(values) and (singular or denominator > 0), "λ or k is malformed")
    c = [[int(q if (label > 0) == plus else gamma * q) for label in labels] for plus in (True, False)]  # q c, q c'
    vectors = [[c_i * x for c_i, x in zip(side, values, strict=True)] for side in c]
    t = [[sum(map(operator.mul, row, vector)) for row in S] for vector in vectors]
    margins = (masses[0] * c[0][i] * t[0][i] + masses[1] * c[1][i] * t[1][i] for i in range(n))
    target = q**2 * denominator / scale
    require(all(margin == target for margin in margins), "M k is not 0" if singular else "M λ is not 1")
    divisor = math.gcd(*values, denominator)
    digits = [hex(value // divisor) for value in values]
    keys = ["denominator", "numerators", "objective", "rank", "first_negative_multiplier", "first_wrong_sign"]
    if singular:
        return {**dict.fromkeys(keys), "kernel": digits}, 0
    negative = next((i for i in range(n) if values[i] < 0), None)
    layers = [(side, name) for side, name in enumerate(["positive", "negative"]) if masses[side] > 0]
    wrong = next(([i, name] for i in range(n) for side, name in layers if t[side][i] <= 0), None)
    vv, vu, uu = (sum(map(operator.mul, vectors[a], t[b])) for a, b in [(0, 0), (0, 1), (1, 1)])
    rank = 1 if len(layers) == 1 or vu * vu == vv * uu else 2
    objective = shown(Fraction(sum(values), 2 * denominator)) if negative is None else None
    fields = zip(keys, [hex(denominator // divisor), digits, objective, rank, negative, wrong], strict=True)
    return {**dict(fields), "kernel": None}, 0 if negative is not None else 1 if wrong else 2


def checked_bounds(
    bounds: Any, gamma: Fraction, masses: Any, S: Any, scale: Fraction, labels: Any, bits: int
) -> tuple[Any, bool]:
    """Section 5: b ≥ F(b) and γℓ_iK_ii > U_i⁻ for all i prove it; b ≤ F(b) and one failure disprove it."""
    b, k, up = integers(bounds["values"], 2 * bits + 2048), bounds["exponent"], bounds["rounding"] == "up"
    require(type(k) is int and abs(k) <= bits + 2048, "the exponent is larger than the data can need")
    require(len(b) == len(S) and min(b) > 0 and (up or bounds["rounding"] == "down"), "the bounds are malformed")
    failures, unit = [], scale / Fraction(2) ** k
    for i, (row, label) in enumerate(zip(S, labels, strict=True)):
        mu, nu = masses if label > 0 else masses[::-1]
        beta, eta = mu + nu * gamma, mu + nu * gamma**2
        products = list(map(operator.mul, row, b))
        own = products.pop(i)
        U_minus, U_plus = (unit * sum(max(sign * x, 0) for x in products) for sign in (-1, 1))
        excess = unit * own * eta - (1 + U_minus * beta)  # K_ii η_i (b_i - F(b)_i)
        failures += [i] if gamma * (1 - U_plus * beta) <= eta * U_minus else []
        require((excess >= 0 or i in failures) if up else excess <= 0, f"b is not a bound at sample {i}")
    require(up or bool(failures), "the bounds disprove nothing")
    fields = {"exponent": k, "values": [hex(value) for value in b], "rounding": bounds["rounding"]}
    return {**fields, "first_failure": failures[0] if failures else None}, not failures


def rational(text: Any) -> Fraction:
    require(type(text) is str and len(text) <= NETWORK_BITS // 2, "γ or a mass is no fraction that a network can need")
    return Fraction(*(int(part, 16) for part in text.split("/")))


def shown(value: Fraction) -> str:
    return f"{hex(value.numerator)}/{hex(value.denominator)}"


def canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
