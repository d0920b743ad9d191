"""Certificates: held against scalar loops over the rationals, against section 5 as it is written, and tampered with."""

from __future__ import annotations

import ast
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, SmoothLeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from refimpl.errors import FileFormatError, InvalidParameterError, MissingExtraError, OutputFileError
from verification.exact import checker as certificate_checker
from verification.exact import closed_form
from verification.exact import solve as exact_solve
from verification.exact.certificate import Certificate, certify, reject_early
from verification.exact.checker import check_certificate
from verification.exact.gram import BLOCK, exact_gram
from verification.exact.network import ExactNetwork, exact_network
from verification.exact.section_five import MultiplierBounds

from .tampering import changed_digit, resealed

pytest.importorskip("flint")
CHECKER = Path(certificate_checker.__file__)


def exact(x: float) -> Fraction:
    return Fraction(float(x))


def scalar_gram(X) -> list[list[Fraction]]:
    rows = [[exact(x) for x in row] for row in X]
    return [[sum((s * t for s, t in zip(x, z, strict=True)), Fraction(0)) for z in rows] for x in rows]


def random_instance(rng: np.random.Generator) -> tuple[TwoLayerNetwork, Dataset, Fraction | None]:
    """Small instances on both sides of the conditions, with every kind of second layer and slope."""
    n = int(rng.integers(1, 6))
    d = int(rng.choice([max(2, n - 1), n + 1, 12, 150]))
    kind = rng.integers(4)
    if kind == 0:
        data = datasets.gaussian(n, d, rng, norm_ratio=float(rng.choice([1.0, 3.0])))
    elif kind == 1:
        data = datasets.correlated(n, d, rng, float(rng.uniform(0.0, 0.6)))
    else:
        n, d = max(n, 2), max(d, n, 2)
        data = datasets.nearly_orthogonal(n, d, float(rng.uniform(0.15, 2.0)), 0.6, rng)
    data = Dataset(data.X, rng.choice([-1.0, 1.0], data.n))
    slope, fraction = [(0.1, Fraction(1, 10)), (0.5, None), (0.6, Fraction(3, 5)), (0.9, None), (1.0, None)][
        rng.integers(5)
    ]
    counts = [(1, 1), (2, 1), (1, 4), (3, 0), (0, 2)][rng.integers(5)]
    network = TwoLayerNetwork.with_signs(*counts, LeakyReLU(slope))
    if rng.random() < 0.3:
        network = TwoLayerNetwork(network.second_layer * rng.uniform(0.5, 2.0, network.m), LeakyReLU(slope))
    return network, data, fraction


def test_gram_matrix_is_exact():
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((3, 7)) * 10.0 ** rng.integers(-12, 12, (3, 7))
    cases = [wide, wide * 2.0**-1040, wide * 2.0**400, np.round(wide), [[1e150, 5e-324, 0.0], [-0.0, 1e-300, 3.0]]]
    cases += [rng.standard_normal((2, BLOCK + 3))]
    cases += [rng.integers(1, 8, (3, 700)) + 2.0**-45 * (rng.random((3, 700)) < 0.01)]  # a sparse limb
    for X in cases:
        integers, exponent = exact_gram(np.asarray(X))
        K = [[Fraction(value) * Fraction(2) ** exponent for value in row] for row in integers.tolist()]
        assert scalar_gram(X) == K


def test_gram_matrix_at_the_largest_limbs():
    # every limb at its largest size and one sign: the sums come as close to 2^53 as they ever do
    for x in (1.0 - 2.0**-53, 1.0 - 2.0**-21 - 2.0**-40):
        integers, exponent = exact_gram(np.full((2, BLOCK), x))
        assert Fraction(int(integers[0, 1])) * Fraction(2) ** exponent == BLOCK * exact(x) ** 2


def test_closed_form_satisfies_the_definitions_exactly():
    """Margins, norm and stationarity of W itself, neuron by neuron, in Python's fractions."""
    rng = np.random.default_rng(1)
    a = [Fraction(1, 2), Fraction(-3, 4), Fraction(5, 8)]
    network = TwoLayerNetwork([float(a_j) for a_j in a], LeakyReLU(0.25))
    data = datasets.gaussian(5, 60, rng)
    certificate = certify(network, data)
    assert certificate.verdict in ("kkt_point", "unique_kkt_point")
    X, y, gamma = [[exact(x) for x in row] for row in data.X], [int(label) for label in data.y], Fraction(1, 4)
    lam = certificate.closed_form.multipliers
    W = [
        [sum(lam[i] * y[i] * a_j * (1 if a_j * y[i] > 0 else gamma) * X[i][k] for i in range(5)) for k in range(60)]
        for a_j in a
    ]
    Z = [[sum(s * t for s, t in zip(w, x, strict=True)) for x in X] for w in W]
    assert all(a[j] * y[i] * Z[j][i] > 0 for j in range(3) for i in range(5))
    assert [y[i] * sum(a[j] * max(gamma * Z[j][i], Z[j][i]) for j in range(3)) for i in range(5)] == [1] * 5
    assert certificate.objective == sum(w * w for row in W for w in row) / 2
    assert certificate.closed_form.rank == 2


def test_the_second_layer_is_read_as_the_certificate_says():
    signs = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.1))
    read = exact_network(signs)
    assert (read.second_layer, read.mass_positive, read.slope_source) == ("signs", Fraction(2, 3), "float")
    assert read.slope == exact(0.1) != Fraction(1, 10)
    other = exact_network(TwoLayerNetwork([0.5, -0.1], LeakyReLU(0.1)), Fraction(1, 10))
    assert (other.second_layer, other.mass_negative, other.slope_source) == ("floats", exact(0.1) ** 2, "fraction")
    assert other.slope == Fraction(1, 10)


@pytest.mark.parametrize(
    ("activation", "slope", "word"),
    [(LeakyReLU(0.1), Fraction(1, 9), "nearest float"), (LeakyReLU(0.0), None, "positive"),
     (SmoothLeakyReLU(0.1, 1.0), None, "LeakyReLU")],
)  # fmt: skip
def test_networks_without_a_certificate_are_refused(activation, slope, word):
    network = TwoLayerNetwork.with_signs(1, 1, activation)
    with pytest.raises(InvalidParameterError, match=word):
        certify(network, Dataset([[1.0]], [1.0]), slope)


def section_five_as_written(network: ExactNetwork, data: Dataset) -> bool | None:
    """Start, iterations and conclusion of section 5 in fractions (long numbers cut to 200 bits, upward).

    True: it holds. False: some 60 iterations do not establish it. None: its start fails.
    """
    K, n, gamma = scalar_gram(data.X), data.n, network.slope
    mass = {1.0: network.mass_positive, -1.0: network.mass_negative}
    S = [[int(data.y[i] * data.y[k]) * K[i][k] for k in range(n)] for i in range(n)]
    mu, nu = [mass[label] for label in data.y], [mass[-label] for label in data.y]
    r = [sum(-S[i][k] for k in range(n) if k != i and S[i][k] < 0) for i in range(n)]
    if not all(gamma * K[i][i] > r[i] for i in range(n)):
        return None
    D = [mu[i] * (K[i][i] - r[i]) + nu[i] * gamma * (gamma * K[i][i] - r[i]) for i in range(n)]
    bound = [max(1 / D_i for D_i in D)] * n
    beta = [mu[i] + nu[i] * gamma for i in range(n)]
    eta = [mu[i] + nu[i] * gamma**2 for i in range(n)]
    for _ in range(60):
        minus = [sum(-S[i][k] * bound[k] for k in range(n) if k != i and S[i][k] < 0) for i in range(n)]
        plus = [sum(S[i][k] * bound[k] for k in range(n) if k != i and S[i][k] > 0) for i in range(n)]
        if all(gamma * (1 - plus[i] * beta[i]) / eta[i] > minus[i] for i in range(n)):
            return True
        upper = [max(minus[i] / (gamma * K[i][i]), (1 + minus[i] * beta[i]) / (K[i][i] * eta[i])) for i in range(n)]
        bound = [min(b, Fraction(-((-u * 2**200) // 1), 2**200)) for b, u in zip(bound, upper, strict=True)]
    return False


def test_prover_and_checker_agree_and_section_five_is_met_as_written():
    """200 random instances above and below the conditions."""
    rng, verdicts, statuses, written = np.random.default_rng(2), Counter(), Counter(), Counter()
    for _ in range(200):
        network, data, slope = random_instance(rng)
        certificate = certify(network, data, slope)
        result = check_certificate(certificate.to_json(), data.X, data.y)
        assert result.accepted, (result.reason, certificate)
        assert result.verdict == certificate.verdict
        holds = section_five_as_written(certificate.network, data)
        assert holds is None or holds == (certificate.bounds.status == "holds")
        if certificate.bounds.status == "holds":  # then the closed form must be a KKT point: it is the only one
            assert certificate.verdict == "unique_kkt_point"
        verdicts[certificate.verdict] += 1
        statuses[certificate.bounds.status] += 1
        written[holds] += 1
    assert min(verdicts[name] for name in ("rejected", "convex_optimum", "kkt_point", "unique_kkt_point")) >= 5, (
        verdicts
    )
    assert min(statuses["holds"], statuses["fails"]) >= 30, statuses
    assert min(written[True], written[False], written[None]) >= 5, written


def test_what_is_certified_is_where_the_flow_goes():
    rng = np.random.default_rng(3)
    data = datasets.nearly_orthogonal(4, 9, 0.5, 0.5, rng)
    network = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5))
    certificate = certify(network, data)
    assert certificate.proves_every_kkt_point
    assert "global_optimum" in certificate.conclusions
    for _ in range(3):
        result = gradient_flow(network, data, rng.standard_normal((3, 9)))
        W = result.limit.weights()
        assert float(np.sum(W**2)) / 2 == pytest.approx(float(certificate.objective), rel=1e-9)
        np.testing.assert_allclose(
            result.limit.multipliers, [float(lam_i) for lam_i in certificate.closed_form.multipliers], rtol=1e-8
        )


def test_the_start_of_section_five_is_not_needed():
    """A short sample whose r⁻ exceeds γK_ii: the start fails, the bounds b ≥ F(b) prove uniqueness all the same."""
    data = Dataset([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0], [-0.05, -0.05, 1.0]], [1.0, 1.0, 1.0])
    network = TwoLayerNetwork.with_signs(2, 0, LeakyReLU(0.5))
    certificate = certify(network, data)
    assert section_five_as_written(certificate.network, data) is None
    assert certificate.verdict == check_certificate(certificate.to_json(), data.X, data.y).verdict == "unique_kkt_point"
    for seed in range(3):
        W0 = np.random.default_rng(seed).standard_normal((2, 3))
        W = gradient_flow(network, data, W0).limit.weights()
        assert float(np.sum(W**2)) / 2 == pytest.approx(float(certificate.objective), rel=1e-9)


def test_an_exact_tie_is_left_undecided_and_says_so():
    # K_ii = 1, S_12 = -5/16, γ = 1/2, A₊ = A₋ = 1/2: b_i = 64/25 and both sides of the condition are equal
    data = Dataset([[1, 0, 0, 0, 0], [-5 / 16, 15 / 16, 2 / 16, 1 / 16, 1 / 16]], [1, 1])
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    certificate = certify(network, data)
    assert (certificate.bounds.status, certificate.verdict) == ("undecided", "kkt_point")
    assert "not decided at sample 0" in certificate.failed_step
    assert check_certificate(certificate.to_json(), data.X, data.y).accepted


def test_equal_samples_make_the_multipliers_ambiguous():
    data = Dataset([[1.0, 0.25], [1.0, 0.25], [0.0, 1.0]], [1.0, 1.0, -1.0])
    certificate = certify(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), data)
    assert certificate.closed_form.multipliers is None
    assert sorted(certificate.closed_form.kernel) == [-1, 0, 1]
    assert "singular" in certificate.failed_step
    assert check_certificate(certificate.to_json(), data.X, data.y).accepted


def test_slope_one_is_convex():
    data = Dataset([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]], [1, 1, 1])  # far from orthogonal: section 5 fails
    certificate = certify(TwoLayerNetwork.with_signs(2, 3, LeakyReLU(1.0)), data)
    assert (certificate.bounds.status, certificate.verdict, certificate.closed_form.rank) == (
        "fails",
        "unique_kkt_point",
        1,
    )
    assert check_certificate(certificate.to_json(), data.X, data.y).verdict == "unique_kkt_point"


# --- tampering ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certified() -> list[tuple[Certificate, Dataset]]:
    rng, found = np.random.default_rng(4), {}
    while len(found) < 4:
        network, data, slope = random_instance(rng)
        if data.n < 3 or data.d > 20 or network.slope == 1.0 or network.positive.all() or not network.positive.any():
            continue  # with one sign only, γ or the masses may be without any influence
        certificate = certify(network, data, slope)
        found.setdefault(certificate.verdict, (certificate, data))
    return list(found.values())


def test_every_single_digit_change_is_refused(certified):
    rng = random.Random(5)
    for trial in range(1000):
        certificate, data = certified[trial % len(certified)]
        text, place = changed_digit(certificate.to_json(), rng)
        assert not check_certificate(text, data.X, data.y).accepted, text[max(place - 60, 0) : place + 20]


def test_a_forger_who_renews_the_seal_gains_nothing(certified):
    """What follows from the data is recomputed. What is left to change: bounds that prove the same, and the numbers
    of neurons that share a mass, which makes it a true certificate of another network."""
    rng, accepted = random.Random(6), 0
    for trial in range(600):
        certificate, data = certified[trial % len(certified)]
        text = resealed(changed_digit(certificate.to_json(), rng)[0])
        if text is None or text == certificate.to_json():
            continue
        result = check_certificate(text, data.X, data.y)
        if result.accepted:
            accepted += 1
            forged = json.loads(text)
            original = json.loads(certificate.to_json())
            assert {key for key in original if original[key] != forged[key]} <= {"bounds", "network", "seal"}
            changed = {key for key, value in original["network"].items() if forged["network"][key] != value}
            assert changed <= {"positive", "negative"}
            assert result.verdict == certificate.verdict
    assert accepted < 100


def lies_about(certificate: Certificate) -> list[tuple[str, Certificate]]:
    """Files that a dishonest prover would write, consistent in themselves, with the reason to refuse them."""
    form, bounds, network = certificate.closed_form, certificate.bounds, certificate.network
    doubled = tuple(2 * lam_i for lam_i in form.multipliers)
    moved = (form.multipliers[0] + Fraction(1, 2**200), *form.multipliers[1:])
    tiny, huge = tuple(v // 1000 for v in bounds.values), tuple(1000 * v for v in bounds.values)
    text = "not the one that follows"
    return [
        ("M λ is not 1", replace(certificate, closed_form=replace(form, multipliers=doubled))),
        ("M λ is not 1", replace(certificate, closed_form=replace(form, multipliers=moved))),
        (
            "M k is not 0",
            replace(certificate, closed_form=replace(form, multipliers=None, kernel=(1,) * certificate.n)),
        ),
        (text, replace(certificate, closed_form=replace(form, rank=3 - form.rank))),
        (text, replace(certificate, closed_form=replace(form, first_negative_multiplier=1))),
        (text, replace(certificate, closed_form=replace(form, first_wrong_sign=(2, "negative")))),
        ("not a bound at sample", replace(certificate, bounds=replace(bounds, values=huge, rounding="down"))),
        ("not a bound at sample", replace(certificate, bounds=replace(bounds, values=tiny, rounding="up"))),
        (text, replace(certificate, bounds=replace(bounds, first_failure=1))),
        ("masses", replace(certificate, network=replace(network, mass_positive=network.mass_positive / 3))),
        ("M λ is not 1", replace(certificate, network=replace(network, slope=Fraction(2, 3), slope_source="fraction"))),
        ("γ is not in", replace(certificate, network=replace(network, slope=Fraction(3, 2)))),
        ("other data", replace(certificate, d=certificate.d + 1)),
        ("other data", replace(certificate, sha256=certificate.sha256[::-1])),
    ]


def test_a_dishonest_prover_is_refused_for_the_right_reason():
    data = datasets.nearly_orthogonal(3, 5, 0.6, 0.5, np.random.default_rng(8))
    certificate = certify(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), data)
    assert certificate.verdict == "unique_kkt_point"
    for reason, lie in lies_about(certificate):
        result = check_certificate(lie.to_json(), data.X, data.y)
        assert not result.accepted, reason
        assert reason in result.reason


def test_a_condition_that_fails_cannot_be_passed_off_as_one_that_holds(certified):
    certificate, data = next(pair for pair in certified if pair[0].verdict == "kkt_point")
    bounds = certificate.bounds
    for factor in (Fraction(1, 2**40), Fraction(1, 2), 1, 2, 2**40):
        values = tuple(max(int(v * factor), 1) for v in bounds.values)
        lie = replace(certificate, bounds=replace(bounds, values=values, rounding="up", first_failure=None))
        assert lie.verdict == "unique_kkt_point"
        assert not check_certificate(lie.to_json(), data.X, data.y).accepted


def test_certificates_of_other_data_are_refused(certified):
    certificate, data = certified[0]
    X = data.X.copy()
    X[0, 0] = np.nextafter(X[0, 0], np.inf)
    assert not check_certificate(certificate.to_json(), X, data.y).accepted
    assert not check_certificate(certificate.to_json(), data.X, -data.y).accepted
    assert not check_certificate(certificate.to_json(), data.X[:-1], data.y[:-1]).accepted


# --- files from others ---------------------------------------------------------------------------------------


def forged(certificate: Certificate, *changes: tuple[tuple[str, ...], object]) -> str:
    """The text with these fields changed, sealed anew."""
    document = json.loads(certificate.to_json())
    for place, value in changes:
        part = document
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = value
    return resealed(json.dumps(document))


@pytest.fixture(scope="module")
def theorem() -> tuple[Certificate, Dataset]:
    data = datasets.nearly_orthogonal(3, 5, 0.6, 0.5, np.random.default_rng(8))
    certificate = certify(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), data)
    assert certificate.verdict == "unique_kkt_point"
    return certificate, data


HUGE = "0x" + "f" * 100_000
BAD_FIELDS = [
    (("bounds", "exponent"), 10**9, "exponent is larger"),
    (("bounds", "exponent"), -(10**9), "exponent is larger"),
    (("bounds", "exponent"), 10**4000, "exponent is larger"),
    (("bounds", "exponent"), True, "exponent is larger"),
    (("bounds", "exponent"), "64", "exponent is larger"),
    (("bounds", "values"), [HUGE] * 3, "longer than the data can need"),
    (("bounds", "values"), [64, 64, 64], "malformed"),
    (("bounds", "values"), "0x1", "malformed"),
    (("closed_form", "numerators"), [HUGE] * 3, "longer than the data can need"),
    (("closed_form", "denominator"), HUGE, "longer than the data can need"),
    (("network", "slope"), "0x1/" + HUGE, "no fraction"),
    (("network", "slope"), [1, 2], "no fraction"),
    (("network", "mass_positive"), HUGE + "/0x1", "no fraction"),
    (("network", "positive"), -1, "no counts"),
    (("network", "positive"), True, "no counts"),
    (("network", "positive"), 10**30, "no counts"),
    (("network", "negative"), "1", "no counts"),
    (("network", "mass_positive"), "0x0/0x1", "wrong masses"),
    (("network", "mass_positive"), "-0x1/0x2", "wrong masses"),
    (("network", "mass_positive"), "0x1/0x3", "not those of the second layer"),
    (("network", "slope"), "0x0/0x1", "not in (0, 1]"),
    (("network", "slope"), "-0x1/0x2", "not in (0, 1]"),
    (("network", "slope"), "0x3/0x2", "not in (0, 1]"),
    (("network", "slope"), "0x1/0x3", "not a float"),
]


@pytest.mark.parametrize(("place", "value", "reason"), BAD_FIELDS, ids=[f"{p[-1]}-{r}" for p, _, r in BAD_FIELDS])
def test_every_field_has_its_type_and_its_size(theorem, place, value, reason):
    certificate, data = theorem
    result = check_certificate(forged(certificate, (place, value)), data.X, data.y)
    assert not result.accepted
    assert reason in result.reason
    assert len(result.reason) < 200


@pytest.mark.parametrize("counts", [(-1, 1), (0, 0), (1, -1)])
def test_a_network_has_neurons_and_no_fewer(theorem, counts):
    """-1 neurons of mass -1, no neurons of mass 0."""
    certificate, data = theorem
    changes = [(("network", name), count) for name, count in zip(("positive", "negative"), counts, strict=True)]
    changes += [
        (("network", f"mass_{name}"), f"{hex(count)}/0x1")
        for name, count in zip(("positive", "negative"), counts, strict=True)
    ]
    result = check_certificate(forged(certificate, (("network", "second_layer"), "floats"), *changes), data.X, data.y)
    assert "no counts" in result.reason


def test_masses_of_floats_are_dyadic(theorem):
    certificate, data = theorem
    masses = [(("network", f"mass_{name}"), "0x1/0x3") for name in ("positive", "negative")]
    result = check_certificate(forged(certificate, (("network", "second_layer"), "floats"), *masses), data.X, data.y)
    assert "not those of the second layer" in result.reason


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text + "{}",
        lambda text: text + "\n",
        lambda text: text.replace('"bounds": {', '"bounds": {}, "bounds": {', 1),
        lambda text: text.replace('"rank": ', '"rank": NaN, "r": ', 1),
        lambda text: text.replace('"rank": ', '"rank": Infinity, "r": ', 1),
        lambda text: text.replace('"rank": ', '"rank": 1e999999999, "r": ', 1),
        lambda text: text.replace('"kernel": null', '"kernel": ' + "[" * 200_000, 1),
        lambda text: text + " " * 10_000_000,
    ],
    ids=["two documents", "trailing line", "key twice", "NaN", "Infinity", "float", "nesting", "length"],
)
def test_text_that_is_not_canonical_is_refused(theorem, damage):
    certificate, data = theorem
    text = damage(certificate.to_json())
    assert text != certificate.to_json()
    assert not check_certificate(text, data.X, data.y).accepted


def test_only_regular_files_are_read(theorem, tmp_path):
    _, data = theorem
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero"), tmp_path / "missing"):
        assert not check_certificate(path, data.X, data.y).accepted


@pytest.mark.parametrize("y", [[1.0, -1.0, 2.0], [1.0, -1.0, 0.0], [1.0, -1.0], [1.0, -1.0, np.nan]])
def test_labels_are_signs(theorem, y):
    certificate, data = theorem
    assert "labels" in check_certificate(certificate.to_json(), data.X, y).reason


def test_bounds_that_disprove_nothing_are_no_disproof(theorem):
    """b = 2^-200 is below F(b), and there the condition holds: nothing follows, whatever `rounding` says."""
    certificate, data = theorem
    tiny = replace(certificate, bounds=MultiplierBounds(200, (1, 1, 1), "down", None))
    assert "disprove nothing" in check_certificate(tiny.to_json(), data.X, data.y).reason


def test_bounds_are_positive(theorem):
    """A negative b_k is below F(b) too, and its wrong sign turns pull into push: a failure that is none."""
    certificate, data = theorem
    for values in ((-(2**70), 1, 1), (1, -(2**70), 1), (1, 1, -(2**70)), (0, 1, 1)):
        for rounding, failure in (("down", 0), ("down", 1), ("down", 2), ("up", None)):
            lie = replace(certificate, bounds=MultiplierBounds(64, values, rounding, failure))
            assert "malformed" in check_certificate(lie.to_json(), data.X, data.y).reason


@pytest.mark.parametrize(("y", "layer"), [([1, -1], "negative"), ([-1, 1], "positive")])
def test_a_unit_on_its_kink_has_no_strict_sign(y, layer):
    """γ = 1/2: M = (5/8, -1/4; -1/4, 5/8), λ = (8/3, 8/3); slopes γ, 1 give t₁ = (λ₁ - λ₂)/2 = 0."""
    data = Dataset([[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]], y)
    certificate = certify(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), data)
    assert certificate.closed_form.multipliers == (Fraction(8, 3), Fraction(8, 3))
    assert certificate.closed_form.first_wrong_sign == (0, layer)
    assert certificate.verdict == "convex_optimum"
    assert check_certificate(certificate.to_json(), data.X, data.y).verdict == "convex_optimum"
    claimed = replace(certificate, closed_form=replace(certificate.closed_form, first_wrong_sign=None))
    assert claimed.verdict == "kkt_point"
    assert not check_certificate(claimed.to_json(), data.X, data.y).accepted


def test_a_mass_without_neurons_is_refused(theorem):
    certificate, data = theorem
    changes = [(("network", "second_layer"), "floats"), (("network", "negative"), 0)]
    assert "wrong masses" in check_certificate(forged(certificate, *changes), data.X, data.y).reason


def test_signs_of_fractions_and_kernels_that_are_none_are_refused(theorem):
    """-λ over -1 has the value of λ and the signs of -λ; M 0 = 0 says nothing of M."""
    certificate, data = theorem
    form = json.loads(certificate.to_json())["closed_form"]
    negated = {
        "denominator": hex(-int(form["denominator"], 16)),
        "numerators": [hex(-int(value, 16)) for value in form["numerators"]],
        "first_negative_multiplier": 0,
        "first_wrong_sign": [0, "positive"],
    }
    zero = dict.fromkeys(form) | {"kernel": ["0x0"] * 3}
    for changed in (form | negated, zero):
        changes = [
            (("closed_form",), changed | {"objective": None}),
            (("verdict",), "rejected"),
            (("conclusions",), []),
        ]
        assert "λ or k is malformed" in check_certificate(forged(certificate, *changes), data.X, data.y).reason


def test_equality_in_section_five_is_a_failure():
    """K = I + 1/2 from sample 0 to two others, no pull: b = F(b) = 1 exactly and ℓ₀ = 0, so γ ℓ₀ K₀₀ = U₀⁻ = 0."""
    data = Dataset([[1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5]], [1, 1, 1])
    certificate = certify(TwoLayerNetwork([1.0], LeakyReLU(0.5)), data)
    assert (certificate.bounds.status, certificate.bounds.first_failure) == ("fails", 0)
    assert check_certificate(certificate.to_json(), data.X, data.y).accepted
    for rounding in ("up", "down"):
        lie = replace(certificate, bounds=replace(certificate.bounds, rounding=rounding, first_failure=None))
        assert not check_certificate(lie.to_json(), data.X, data.y).accepted


def test_slope_one_has_strict_signs_of_its_own():
    """For γ = 1, M λ = 1 says A t_i = 1: no sign can be wrong, and no field needs to say that none was looked at."""
    data = Dataset([[1.0, 0.5], [0.5, 1.0]], [1, -1])
    for a in ([1.0], [1.0, -2.0], [-1.0, 0.5]):
        certificate = certify(TwoLayerNetwork(a, LeakyReLU(1.0)), data)
        assert certificate.closed_form.first_wrong_sign is None
        result = check_certificate(certificate.to_json(), data.X, data.y)
        assert result.verdict == certificate.verdict == "unique_kkt_point"


def test_a_rejected_form_has_no_objective():
    data = Dataset([[1.0, 0.0], [4.0, 0.1]], [1, 1])
    certificate = certify(TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), data)
    assert certificate.verdict == "rejected"
    assert certificate.objective is None
    result = check_certificate(certificate.to_json(), data.X, data.y)
    assert (result.accepted, result.verdict) == (True, "rejected")
    with_number = forged(certificate, (("closed_form", "objective"), "0x1/0x2"))
    assert not check_certificate(with_number, data.X, data.y).accepted


def test_the_checker_names_the_network(theorem):
    certificate, data = theorem
    network = check_certificate(certificate.to_json(), data.X, data.y).network
    assert (network["positive"], network["negative"], network["slope"]) == (1, 1, "0x1/0x2")


def test_slopes_of_any_length_are_refused_and_those_allowed_are_checked():
    data = Dataset([[1.0, 0.0], [0.0, 2.0]], [1, -1])
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    near = Fraction(2**2399 + 1, 2**2400 - 1)
    with pytest.raises(InvalidParameterError, match="denominator below"):
        certify(network, data, Fraction(2**2400 + 1, 2**2401 - 1))
    certificate = certify(network, data, near)
    assert check_certificate(certificate.to_json(), data.X, data.y).verdict == "unique_kkt_point"


@pytest.mark.parametrize("scale", [1e-200, 1e-150, 1e150])
def test_data_and_layers_of_extreme_size_are_not_refused(scale):
    """The bounds on lengths leave room for what floats can hold."""
    X = np.array([[1.0, 0.1], [1e-3, 3.0]]) * scale
    X[1, 0] *= 1e-90
    for a in ([1.0, -1.0], [1e-140, -1e140], [0.1, 1e-150]):
        for slope in (0.5, 5e-324):
            data = Dataset(X, [1, -1])
            certificate = certify(TwoLayerNetwork(a, LeakyReLU(slope)), data)
            result = check_certificate(certificate.to_json(), data.X, data.y)
            assert result.accepted, result.reason


# --- a process of its own ------------------------------------------------------------------------------------


def test_equations_solved_apart_are_the_same(monkeypatch):
    rng, told = np.random.default_rng(9), []
    monkeypatch.setattr(exact_solve, "TELL_SECONDS", 0.01)
    instances = [random_instance(rng) for _ in range(6)]
    instances.append((TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset([[1.0, 2.0], [1.0, 2.0]], [1, 1]), None))
    here = [(certify(*instance), reject_early(*instance)) for instance in instances]
    monkeypatch.setattr(closed_form, "APART", 0)
    for instance, (certificate, reason) in zip(instances, here, strict=True):
        assert certify(*instance, told.append) == certificate
        assert reject_early(*instance) == reason
    assert any(" s" in message for message in told)


def test_a_process_that_dies_is_reported(monkeypatch):
    monkeypatch.setattr(exact_solve.sys, "executable", shutil.which("false"))
    with pytest.raises(MemoryError, match="ended with code 1"):
        exact_solve.run_apart("solve_ones", [[1]], 0, print)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ctrl_c_ends_a_long_solution(tmp_path):
    """n = 400 would take a minute and more; the interrupt reaches the command alone, not its process group."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", X=rng.standard_normal((400, 420)), y=rng.choice([-1.0, 1.0], 400))
    command = [sys.executable, "-P", "-m", "verification.cli", "certify", "--data", str(tmp_path / "data.npz")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            children, deadline = [], time.monotonic() + 60.0
            while not children and time.monotonic() < deadline:
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                time.sleep(0.05)
            assert len(children) == 1
            time.sleep(1.0)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
            assert not Path(f"/proc/{children[0]}").exists()
        finally:
            process.kill()


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"network": 1}', "nowhere.json"])
def test_what_is_no_certificate_is_refused_without_a_traceback(text):
    assert not check_certificate(text, [[1.0]], [1.0]).accepted


def test_checker_reads_lists_texts_and_files(certified, tmp_path):
    for certificate, data in certified:
        path = tmp_path / "certificate.json"
        certificate.save(path, force=True)
        assert check_certificate(path, data.X.tolist(), data.y.tolist()).accepted
        assert check_certificate(str(path), data.X, data.y).accepted
        assert Certificate.load(path) == certificate
        assert Certificate.from_json(certificate.to_json()).to_json() == certificate.to_json()


def test_files_that_cannot_be_read_or_written(certified, tmp_path):
    (tmp_path / "wrong.json").write_text('{"schema": "something else"}')
    for name in ("wrong.json", "missing.json"):
        with pytest.raises(FileFormatError, match="cannot read"):
            Certificate.load(tmp_path / name)
    with pytest.raises(OutputFileError, match="cannot write"):
        certified[0][0].save(tmp_path / "no" / "folder.json")


def test_checker_is_short_and_stands_alone():
    source = CHECKER.read_text(encoding="utf-8")
    assert len(source.splitlines()) < 250
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(str(node.module).split(".")[0])
    assert modules - {"verification"} <= set(sys.stdlib_module_names)
    assert "importlib" not in modules
    assert set(re.findall(r"verification\.\S+", source)) == {
        "verification.exact.point_checker",
        "verification.exact.flow_checker",
        "verification.exact.optimum_checker",
    }


# --- without python-flint ----------------------------------------------------------------------------------


def test_slow_path_gives_the_same_certificates(monkeypatch):
    rng = np.random.default_rng(7)
    instances = [random_instance(rng) for _ in range(20)]
    duplicate = Dataset([[1.0, 0.25], [1.0, 0.25], [0.0, 1.0]], [1.0, 1.0, -1.0])
    instances.append((TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5)), duplicate, None))
    expected = [certify(*instance) for instance in instances]
    monkeypatch.setattr(closed_form, "importlib", _WithoutFlint)
    for instance, certificate in zip(instances, expected, strict=True):
        slow = certify(*instance)
        assert slow.closed_form.multipliers == certificate.closed_form.multipliers
        assert slow.verdict == certificate.verdict
        assert check_certificate(slow.to_json(), instance[1].X, instance[1].y).accepted
    with pytest.raises(MissingExtraError, match="python-flint"):
        certify(instances[0][0], datasets.gaussian(13, 20, rng))


class _WithoutFlint:
    @staticmethod
    def import_module(name: str):
        if name == "flint":
            raise ModuleNotFoundError(name)
        return importlib.import_module(name)


# --- ball arithmetic first ---------------------------------------------------------------------------------


def test_early_rejection_never_contradicts_the_exact_decision():
    """A rejection is always right; with balls of 128 bits none of these instances is left open."""
    rng, rejected = np.random.default_rng(21), Counter()
    for _ in range(200):
        network, data, slope = random_instance(rng)
        certificate, reason = certify(network, data, slope), reject_early(network, data, slope)
        if certificate.proves_every_kkt_point:
            assert reason is None
        elif certificate.closed_form.kernel is None:
            assert reason is not None
            negative = certificate.verdict == "rejected"
            assert ("is negative" in reason) == negative
            assert not negative or reason == certificate.failed_step
        rejected[reason is None] += 1
    assert min(rejected.values()) > 30


def test_balls_that_are_too_wide_reject_nothing(monkeypatch):
    """Two nearly parallel samples: few digits leave open whether M is singular, and so the sign of λ."""
    data = Dataset([[1.0, 0.1], [0.3, 0.03 + 1e-12]], [1, 1])
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(1.0))
    assert "sample 0 is negative" in reject_early(network, data)
    with monkeypatch.context() as patch:
        patch.setattr(closed_form, "BALL_BITS", 20)
        assert reject_early(network, data) is None
    monkeypatch.setattr(closed_form, "importlib", _WithoutFlint)
    assert reject_early(network, data) is None
