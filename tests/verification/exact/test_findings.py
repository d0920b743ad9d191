"""The theorems of docs/findings.md: their certificates are accepted, say what it says, and are made again."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from refimpl import LeakyReLU, TwoLayerNetwork, datasets
from verification import check_hypotheses
from verification.exact.checker import check_certificate
from verification.exact.flow import certify_flow

pytest.importorskip("flint")
FOUND = Path(__file__).parents[3] / "docs" / "counterexamples"
THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"

PROVEN = {  # certificate: rank, number of margins above 1, events
    "rank-closest.flow": (3, 0, 3),
    "limits-closest.flow-1": (1, 0, 0),
    "limits-closest.flow-2": (2, 0, 1),
    "margin-closest.flow": (1, 1, 3),
    "margin-smallest.flow": (1, 1, 3),
    "limits-edge.flow-1": (1, 0, 3),
    "limits-edge.flow-2": (2, 0, 0),
    "rank-edge.flow": (3, 0, 3),
    "limits-smallest.flow-1": (1, 0, 0),
    "limits-smallest.flow-2": (1, 0, 0),
}

OPTIMA = {  # certificate: rank of the limit, percent above the optimum, certificate of the flow
    "limits-closest.optimum": (2, 90.4, "limits-closest.flow-2"),
    "rank-closest.optimum": (3, 46.3, "rank-closest.flow"),
    "limits-edge.optimum": (2, 99.8, "limits-edge.flow-2"),
    "rank-edge.optimum": (3, 49.9, "rank-edge.flow"),
    "limits-smallest.optimum": (1, 29.4, "limits-smallest.flow-2"),
}


@pytest.mark.parametrize("name", PROVEN)
def test_the_findings_are_theorems(name):
    """docs/findings.md, "Proven by computer": the certificates there are accepted and say what it says."""
    text = (FOUND / f"{name}.json").read_text()
    data = datasets.read(FOUND / f"{name.split('.')[0]}.csv")[0]
    assert check_certificate(text, data.X, data.y).verdict == "proven_flow_limit"
    document = json.loads(text)
    point = document["point"]
    assert (point["rank"], len(point["margins_above_one"]), len(document["legs"])) == PROVEN[name]


@pytest.mark.parametrize("name", PROVEN if THOROUGH else ["rank-closest.flow", "limits-smallest.flow-2"])
def test_the_certificates_are_those_that_are_made_now(name):
    """docs/findings.md, "They were made by": the same statements, from the start in the certificate; times to 2^-40."""
    kept = json.loads((FOUND / f"{name}.json").read_text())
    network, slope, data, W0 = kept_flow(name)
    found = json.loads(certify_flow(network, data, W0, slope, loss="exponential").to_json())
    same = kept.keys() - {"bits", "legs", "last", "seal"}
    assert {key: found[key] for key in same} == {key: kept[key] for key in same}
    assert len(found["legs"]) == len(kept["legs"])
    for mine, theirs in zip(found["legs"], kept["legs"], strict=True):
        assert all(mine[key] == theirs[key] for key in ("unit", "kind", "side", "also"))
        times = (Fraction(int(leg["duration"], 16), 2 ** of["bits"]) for leg, of in ((mine, found), (theirs, kept)))
        assert abs(next(times) - next(times)) <= Fraction(1, 2**39)


def kept_flow(name):
    """Network, slope as it was given, data and start of a certificate."""
    document = json.loads((FOUND / f"{name}.json").read_text())
    slope, signs = (document["network"][key] for key in ("slope", "signs"))
    slope = Fraction(*(int(x, 16) for x in slope.split("/")))
    network = TwoLayerNetwork.with_signs(signs.count("+"), signs.count("-"), LeakyReLU(float(slope)))
    given = slope if document["network"]["slope_source"] == "fraction" else None
    data = datasets.read(FOUND / f"{name.split('.')[0]}.csv")[0]
    return network, given, data, [[float.fromhex(x) for x in row] for row in document["start"]]


@pytest.mark.parametrize("name", PROVEN if THOROUGH else ["rank-closest.flow", "margin-smallest.flow"])
def test_the_logistic_loss_has_the_same_limit(name):
    """docs/findings.md: from the start in the certificate, of the exponential loss, to the KKT point in it."""
    document = json.loads((FOUND / f"{name}.json").read_text())
    network, slope, data, W0 = kept_flow(name)
    proof = certify_flow(network, data, W0, slope, loss="logistic")
    found = json.loads(proof.to_json())
    assert (found["loss"], found["point"], found["start"]) == ("logistic", document["point"], document["start"])


@pytest.mark.parametrize(
    ("name", "m", "slope", "told"),
    [("limits-edge", 2, 2.0**-10, 0.998), ("rank-edge", 3, 2.0**-10, 0.998), ("limits-smallest", 3, 0.25, 0.117)],
)
def test_the_slack_is_as_told(name, m, slope, told):
    network = TwoLayerNetwork.with_signs(m, 0, LeakyReLU(slope))
    found = check_hypotheses(network, datasets.read(FOUND / f"{name}.csv")[0]).refined
    assert not found.satisfied
    assert round(found.slack, 3) == told


def test_there_are_no_other_certificates_and_all_are_told():
    text = (FOUND.parent / "findings.md").read_text()
    assert {path.stem for path in FOUND.glob("*.json")} == {*PROVEN, *OPTIMA}
    assert all(f"--out {name}.json" in text for name in [*PROVEN, *OPTIMA])


@pytest.mark.parametrize("name", OPTIMA)
def test_limits_that_are_not_global_are_theorems(name):
    """The flow's certificate and the optimum's are of the same limit, and how far it lies above is as told."""
    rank, percent, flow = OPTIMA[name]
    text, way = (FOUND / f"{name}.json").read_text(), json.loads((FOUND / f"{flow}.json").read_text())
    data = datasets.read(FOUND / f"{name.split('.')[0]}.csv")[0]
    assert check_certificate(text, data.X, data.y).verdict == "proven_not_global_and_optimum"
    document = json.loads(text)
    assert document["above"] == way["point"]
    assert (document["point"]["rank"], document["above"]["rank"]) == (1, rank)
    best, above = (Fraction(*(int(x, 16) for x in document[key]["objective"].split("/"))) for key in ("point", "above"))
    assert round(100 * float(above / best - 1), 1) == percent
    assert f"{percent}% above" in (FOUND.parent / "findings.md").read_text()


def test_one_of_two_limits_is_not_the_global_optimum():
    """Both are feasible for (P), and exact fractions tell which has the larger norm."""
    low, high = (
        Fraction(
            *(
                int(x, 16)
                for x in json.loads((FOUND / f"limits-closest.flow-{k}.json").read_text())["point"]["objective"].split(
                    "/"
                )
            )
        )
        for k in (1, 2)
    )
    assert high > Fraction(19, 10) * low
