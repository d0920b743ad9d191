"""What each claim measures, on limits and descents that were written by hand (docs/theory.md, sections 3 and 12)."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from verification.claims import CLAIMS, Measurement, Verdict, descent_norms_grow
from verification.claims import paper_descent_theorem as paper_module
from verification.claims import small_initialization_matters as small_module
from verification.claims.evidence import Evidence, Start
from verification.claims.global_optimum_by_enumeration import objective_at
from verification.claims.limit_error import energy_bound
from verification.claims.neurons_collapse import spread_of_rows
from verification.claims.per_sign_stable_rank_tends_to_one import largest_quotient
from verification.witnesses.kkt import KKTStatus

BY_ID = {claim.id: claim for claim in CLAIMS}
NETWORK = TwoLayerNetwork(np.array([0.5, 0.5, -0.5, -0.5]), LeakyReLU(0.5))
DATA = Dataset(np.eye(3), [1.0, -1.0, 1.0])
W_STAR = 0.8 * np.array([[1.0, -0.5, 1.0]] * 2 + [[-0.5, 1.0, -0.5]] * 2)
"""K = I, A₊ = A₋ = 1/2: λ (1/2 + 1/8) = 1, w_j = a_j λ Σ y_i Φ_ji x_i, Φ = (1, γ, 1) on J₊ and (γ, 1, γ) on J₋."""


def evidence() -> Evidence:
    """Three starts near the limit, which the flow keeps."""
    starts = tuple(Start(scale, scale * W_STAR) for scale in (1e-3, 1e-1, 1.0))
    found = Evidence(NETWORK, DATA, LogisticLoss(), starts, descent_steps=10)
    assert len(found.limits) == 3
    return found


@pytest.fixture(scope="module")
def honest() -> Evidence:
    return evidence()


def with_limit(honest: Evidence, C: np.ndarray, wrong: int = 1) -> Evidence:
    """A copy in which one of the three limits has other coefficients; X = I, so that W = C."""
    flows = list(honest.flows)
    sigma = np.linalg.svd(C, compute_uv=False)
    flows[wrong] = replace(flows[wrong], limit=replace(flows[wrong].limit, coefficients=C, singular_values=sigma))
    other = Evidence(NETWORK, DATA, LogisticLoss(), honest.starts, descent_steps=10)
    return other.supposing(flows=tuple(flows))


def test_the_limit_is_the_one_by_hand(honest: Evidence) -> None:
    for limit in honest.limits:
        np.testing.assert_allclose(limit.weights(), W_STAR, rtol=1e-9)


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_stationarity_counts_where_all_margins_are_tight(honest: Evidence, wrong: int) -> None:
    """w_0 + δ and w_1 - δ: all margins stay, and W leaves the span of its own gradients by √2‖δ‖."""
    C = honest.limits[wrong].coefficients.copy()
    delta = np.array([0.05, 0.0, -0.05])
    C[0], C[1] = C[0] + delta, C[1] - delta
    changed = with_limit(honest, C, wrong)
    found = BY_ID["flow-limit-is-kkt"].measure(changed)
    assert found.value == pytest.approx(np.sqrt(2.0) * np.linalg.norm(delta) / np.linalg.norm(C), rel=1e-6)
    assert max(found.details["complementarity"]) < 1e-9
    assert BY_ID["all-margins-tight"].measure(changed).value < 1e-9


def test_residuals_that_are_only_upper_bounds_decide_nothing(honest: Evidence) -> None:
    kkt = list(honest.kkt)
    kkt[1] = replace(kkt[1], status=KKTStatus.INACCURATE, message=KKTStatus.INACCURATE.value, stationarity=0.5)
    other = with_limit(honest, honest.limits[1].coefficients)
    other = other.supposing(kkt=tuple(kkt))
    row = BY_ID["flow-limit-is-kkt"].evaluate(other, perf_counter)
    assert row.verdict is not Verdict.VIOLATED
    assert "not optimal" in row.measurement.undecided
    kkt[1] = replace(kkt[1], stationarity=0.0)  # an upper bound of 0 is the value
    other = other.supposing(kkt=tuple(kkt))
    assert BY_ID["flow-limit-is-kkt"].measure(other).undecided == ""


@pytest.mark.parametrize("factor", [0.999, 1.001])
def test_margins_that_are_too_small_and_too_large_are_not_tight(honest: Evidence, factor: float) -> None:
    found = BY_ID["all-margins-tight"].measure(with_limit(honest, factor * honest.limits[0].coefficients))
    assert found.value == pytest.approx(1e-3, rel=1e-6)


@pytest.mark.parametrize("row", range(4))
def test_the_spread_of_rows_is_that_of_the_farthest(row: int) -> None:
    """Rows of one sign equal but for one, moved by δ: both are δ/2 from their mean; relative to ‖W‖/√m."""
    W = np.array([[1.0, 0.0, 0.0]] * 2 + [[0.0, 2.0, 0.0]] * 2)
    W[row, 2] = 0.25
    expected = 0.125 / (np.linalg.norm(W) / 2.0)
    assert spread_of_rows(W, SimpleNamespace(network=NETWORK)) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", ["closed_form", "max_margin"])
def test_each_distance_of_the_three_witnesses_is_measured(honest: Evidence, name: str) -> None:
    """One of them longer by 1e-3: two of the three distances are that, and the third is rounding."""
    other = with_limit(honest, honest.limits[1].coefficients)
    witness = getattr(honest, name)
    longer = {key: 1.001 * getattr(witness, key) for key in ("v_coefficients", "u_coefficients")}
    other = other.supposing(**{name: replace(witness, **longer)})
    details = BY_ID["limit-is-convex-optimum"].measure(other).details
    off = {
        "closed_form": {
            "CVXPY to closed form": 1e-3 / 1.001,
            "flow to closed form": 1e-3 / 1.001,
            "flow to CVXPY": 0.0,
        },
        "max_margin": {"CVXPY to closed form": 1e-3, "flow to closed form": 0.0, "flow to CVXPY": 1e-3 / 1.001},
    }[name]
    for pair, distance in off.items():
        assert len(details[pair]) == (1 if pair.startswith("CVXPY") else 3)
        np.testing.assert_allclose(details[pair], distance, atol=1e-6)


def test_the_boundary_is_looked_at_on_the_samples_at_random_and_near_it(honest: Evidence) -> None:
    """Three samples, 2,000 random points, and 2,000 on each side at three distances; for each of three limits."""
    found = BY_ID["decision-boundary-linear"].measure(honest)
    assert found.details["points"] == 3 * (3 + 2000 + 6 * 2000)
    low, high = np.array(found.details["range_of_f_over_linear"]).T
    assert np.all((low >= 0.5 - 1e-8) & (high <= 1.0 + 1e-8))


def run_that(rises: str) -> SimpleNamespace:
    """Ten records: at a fifth of the way each excess is 0.1, at the end 0.05, or 0.2 where it rises."""

    def path(name: str) -> np.ndarray:
        return np.linspace(0.1, 0.2 if rises == name else 0.05, 8)[np.maximum(np.arange(10) - 2, 0)]

    ranks = 1.0 + np.column_stack([path("positive rows"), path("negative rows")])
    margins = np.column_stack([np.ones(10), 1.0 - path("margins")])
    trajectory = SimpleNamespace(margins=margins)
    return SimpleNamespace(stable_rank_by_sign=ranks, result=SimpleNamespace(trajectory=trajectory))


@pytest.mark.parametrize("rises", ["positive rows", "negative rows", "margins", "nothing"])
def test_each_of_three_quantities_must_fall(rises: str) -> None:
    assert largest_quotient(run_that(rises)) == pytest.approx(0.5 if rises == "nothing" else 2.0, rel=1e-12)


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_one_descent_that_is_too_short_is_enough(wrong: int) -> None:
    runs = [run_that("margins" if k == wrong else "nothing") for k in range(3)]
    found = BY_ID["per-sign-stable-rank-tends-to-one"].measure(
        SimpleNamespace(descents=runs, missing_descents="", descent_steps=10)
    )
    assert found.value == pytest.approx(2.0, rel=1e-12)
    assert "does not fall yet" in found.undecided


def test_the_error_of_the_limits_is_that_of_the_worst(honest: Evidence) -> None:
    """One limit that is not polished, λ of one sample off: the root of its gap is the error of all."""
    flows = list(honest.flows)
    limit, off = flows[1].limit, np.array([0.0, 1e-6, 0.0])
    flows[1] = replace(flows[1], limit=replace(limit, polished=False, margins=limit.margins + off))
    other = Evidence(NETWORK, DATA, LogisticLoss(), honest.starts)
    other = other.supposing(flows=tuple(flows))
    gap = 2.0 * limit.multipliers[1] * 1e-6
    assert other.flow_error == pytest.approx(np.sqrt(gap) / np.linalg.norm(limit.weights()), rel=1e-3)
    assert other.flow_error > 1e3 * honest.flow_error


def test_a_limit_is_scaled_to_margin_one_before_it_is_compared(honest: Evidence) -> None:
    """½‖W*‖² = ½ Σλ = 3 · 1.6/2, whatever multiple of W* the limit is."""
    limit = honest.limits[0]
    for factor in (1.0, 2.0, 0.25):
        scaled = replace(limit, coefficients=factor * limit.coefficients)
        assert objective_at(scaled, honest) == pytest.approx(2.4, rel=1e-9)


def test_the_growth_of_a_row_is_measured_in_squares() -> None:
    """λ_min(K) = 1, γ = 1/2, a = ±1/2, ΣG² = 25: 25/16 over ‖w_j(t) - w_j(0)‖², which is 1 at the least."""
    path = SimpleNamespace(
        accumulated_weights=np.array([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]),
        increment_norms=np.array([[0.0] * 4, [2.0, 1.0, 4.0, 2.0]]),
    )
    run = SimpleNamespace(result=SimpleNamespace(trajectory=path))
    found = descent_norms_grow.largest_least_growth(run, SimpleNamespace(network=NETWORK, data=DATA))
    assert found == pytest.approx(25.0 / 16.0, rel=1e-12)


@pytest.mark.parametrize(
    ("sigma", "ratio"), [([2.0, 1.0, 0.5, 0.25], 0.25), ([2.0, 1.0, 0.5], 0.25), ([2.0, 1.0], 0.0)]
)
def test_the_third_singular_value_counts(honest: Evidence, sigma: list[float], ratio: float) -> None:
    flows = [replace(flow, limit=replace(flow.limit, singular_values=np.array(sigma))) for flow in honest.flows]
    assert BY_ID["flow-rank-at-most-two"].measure(honest.supposing(flows=tuple(flows))).value == ratio


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_the_largest_loss_of_the_flows_is_measured(honest: Evidence, wrong: int) -> None:
    """One flow ends without a limit at three times ℓ(0)/n."""
    flows = list(honest.flows)
    path = flows[wrong].trajectory
    at_end = np.log(3.0 * np.log(2.0) / 3.0)
    stopped = replace(path, log_loss=np.append(path.log_loss[:-1], at_end))
    flows[wrong] = replace(flows[wrong], trajectory=stopped, limit=None)
    other = Evidence(NETWORK, DATA, LogisticLoss(), honest.starts)
    other = other.supposing(flows=tuple(flows))
    assert BY_ID["flow-zero-loss"].measure(other).value == pytest.approx(3.0, rel=1e-12)


@pytest.mark.parametrize("row", range(3))
def test_the_spread_of_three_rows_is_that_of_the_farthest(row: int) -> None:
    """One of three moved by δ is 2δ/3 from their mean, the others δ/3."""
    network = TwoLayerNetwork(np.array([0.5, 0.5, 0.5, -0.5]), LeakyReLU(0.5))
    W = np.array([[1.0, 0.0, 0.0]] * 3 + [[0.0, 2.0, 0.0]])
    W[row, 2] = 0.75
    assert spread_of_rows(W, SimpleNamespace(network=network)) == pytest.approx(1.0 / np.linalg.norm(W), rel=1e-14)


def test_a_closed_form_that_does_not_solve_is_not_compared(honest: Evidence) -> None:
    other = with_limit(honest, honest.limits[1].coefficients)
    other = other.supposing(closed_form=replace(honest.closed_form, solves_program=False))
    found = BY_ID["limit-is-convex-optimum"].measure(other)
    assert not [name for name in found.details if "closed form" in name]
    assert found.quantity == "flow, CVXPY: distance"


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_the_excess_over_the_global_optimum_is_that_of_the_worst_limit(honest: Evidence, wrong: int) -> None:
    """Rows 0 and 1 longer by 1/10: ½‖W‖² over the square of the smallest margin, against 2.4."""
    C = honest.limits[wrong].coefficients.copy()
    C[:2] *= 1.1
    smallest = float(NETWORK.margins(C, DATA).min())
    expected = 0.5 * float(np.sum(C**2)) / smallest**2 / 2.4 - 1.0
    assert expected > 0.01
    assert BY_ID["global-optimum-by-enumeration"].measure(with_limit(honest, C, wrong)).value == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize(("value", "holds"), [(1.0 + 0.9e-9, True), (1.0 + 1.1e-9, False), (1.0, True), (0.0, True)])
def test_a_value_may_exceed_its_bound_by_the_tolerance(value: float, holds: bool) -> None:
    assert Measurement("quantity", value, 1.0, 1e-9, "rounding").agrees is holds


def test_the_energy_of_a_residual_carries_the_condition() -> None:
    """A = (1, c; c, 1): rᵀA⁻¹r = 2/(1 - c) for r = (1, -1); and A = (4, 4c; 4c, 4) asks for twice the r."""
    c = 1.0 - 2.0**-20
    A, r = np.array([[1.0, c], [c, 1.0]]), np.array([1.0, -1.0])
    assert energy_bound(A, r) == pytest.approx(np.sqrt(2.0) * 2.0**10, rel=1e-6)
    assert energy_bound(4.0 * A, 2.0 * r) == pytest.approx(energy_bound(A, r), rel=1e-14)
    assert energy_bound(np.ones((2, 2)), r) == np.inf
    assert energy_bound(np.array([[1.0, 0.0], [0.0, 0.0]]), r) == np.inf


@pytest.mark.parametrize(
    ("small", "large", "value"),
    [((1.0, 1.5), (2.0, 1.2), 1.25), ((1.5, 1.0), (1.2, 2.0), 1.25), ((1.0, 1.0), (2.0, 4.0), 0.5)],
)
def test_a_small_start_is_compared_with_a_large_one_after_one_step_and_after_fifty(
    small: tuple[float, float], large: tuple[float, float], value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The larger of two quotients, of the starts of 1e-4 and of 1e6 times α‖a‖R_max = 1/4 · 1 · 1."""
    monkeypatch.setattr(small_module, "most", lambda *_: 1.1)
    sizes = []

    def descend(W0, factor, steps, record_every, what):
        sizes.append(float(np.linalg.norm(W0)) / factor)
        ranks = {small_module.FACTORS[0]: small, small_module.FACTORS[-1]: large}.get(factor, (100.0, 0.01))
        rank = np.array([50.0, ranks[0 if steps == 1 else 1]])
        return SimpleNamespace(failure="", result=SimpleNamespace(trajectory=SimpleNamespace(stable_rank=rank)))

    starts = (SimpleNamespace(scale=1.0, W0=5.0 * np.eye(4, 3)), SimpleNamespace(scale=0.5, W0=np.zeros((4, 3))))
    found = small_module.measure(
        SimpleNamespace(
            starts=starts,
            alpha=0.25,
            network=NETWORK,
            data=DATA,
            dimension=3,
            increment_bound=2.0,
            descend=descend,
            tell=lambda message: None,
        )
    )
    assert found.value == value
    np.testing.assert_allclose(sizes, 0.25, rtol=1e-12)
    assert found.undecided == ""  # 5/4 is more than section 8 leaves
    assert found.trivial == 3.0


def test_the_papers_descent_is_measured_from_its_first_step_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start counts in the bound, which it widens from 4 to ((√4 + 1/2)/(1 - 1/2))² = 25, and not in the value."""
    path = SimpleNamespace(
        stable_rank=np.array([9.0, 3.0, 2.0]),
        loss=np.array([1.0, 0.5, 0.25]),
        smallest_margin=np.zeros(3),
        norm=np.array([0.5, 1.0, 1.0]),
        increment_norms=np.array([[0.0] * 4, [0.5] * 4, [0.5] * 4]),
        increment_stable_rank=np.array([np.nan, 1.0, 1.0]),
    )
    run = SimpleNamespace(failure="", result=SimpleNamespace(trajectory=path))
    monkeypatch.setattr(paper_module, "run_descent", lambda *_: run)
    monkeypatch.setattr(
        paper_module, "settings", lambda evidence: SimpleNamespace(slack=0.5, scale=0.1, step_size=0.01)
    )
    evidence = SimpleNamespace(
        network=NETWORK,
        data=DATA,
        loss=LogisticLoss(),
        second_layer_exponent=0,
        increment_bound=4.0,
        dimension=3,
        gaussian_start=lambda scale, stream: np.eye(4, 3),
        counted=lambda what, steps: None,
        as_given=lambda value, power: value,
    )
    found = paper_module.measure(evidence)
    assert (found.value, found.details["at_the_start"]) == (3.0, 9.0)
    assert found.bound == pytest.approx(25.0, rel=1e-12)
