"""What the claims on checkpoints are told, in numbers by hand: increments, trajectories, what is measured, roads."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, LogisticLoss, TwoLayerNetwork
from verification.audits import judging
from verification.audits.checkpoint import Checkpoint
from verification.audits.frame import CheckpointFrame
from verification.audits.judging import AuditedRun, Increment, increment_of
from verification.audits.measuring import Measurer
from verification.audits.road import straight_road
from verification.claims.neurons_collapse import spread_of_sign

ALONG = Dataset([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], [1.0, -1.0])  # K = diag(1, 4), the third axis is across
PAIR = TwoLayerNetwork([2.0, -1.0], LeakyReLU(0.25))
EPS = 2.0**-52


def increment(c, across: float = 0.0, network=PAIR, data=ALONG, eps: float = EPS, steps: int = 1) -> Increment:
    """Of rows a_j Σ_i y_i c_ji x_i from W(0) = 0, and `across` on the third axis of the first one."""
    W = network.second_layer[:, None] * (np.array(c) * data.y) @ data.X
    W[0, 2] += across
    return increment_of(network, CheckpointFrame(data, 2), np.zeros((2, 3)), W, eps, steps)


@pytest.mark.parametrize(
    ("c", "least", "slack"),
    [
        ([[1.0, 0.5], [0.75, 1.0]], [1.0, 1.0], 2.0),  # the smallest c over γ max c: 0.5/0.25
        ([[1.0, 0.5], [0.75, 0.125]], [1.0, 0.5], 1.0),
        ([[4.0, 0.5], [0.5, 1.0]], [4.0, 1.0], 0.5),
        ([[1.0, 1.0], [-0.5, 1.0]], [1.0, 1.0], -2.0),
    ],
)
def test_an_increment_by_hand(c, least, slack: float) -> None:
    found = increment(c)
    np.testing.assert_allclose(found.least_sums, least, rtol=1e-12)
    assert found.slack == pytest.approx(slack, rel=1e-12)
    W = np.array([[2.0 * c[0][0], -4.0 * c[0][1]], [-c[1][0], 2.0 * c[1][1]]])
    np.testing.assert_allclose(found.norms, np.hypot(*W.T), rtol=1e-12)
    square, determinant = np.sum(W**2), np.linalg.det(W)
    largest = (square + math.sqrt(square**2 - 4.0 * determinant**2)) / 2.0
    assert found.stable_rank == pytest.approx(square / largest, rel=1e-12)
    assert found.is_sum_of_gradients is (slack >= 1.0)


@pytest.mark.parametrize("steps", [1, 100])
def test_what_rounding_may_have_done_by_hand(steps: int) -> None:
    """u (steps + 2) ‖W‖ + 2 (n + 4) u ‖a‖ Σ max(G_i, 0) ‖x_i‖; a part across is seen beyond."""
    c = np.array([[1.0, -0.5], [0.75, -0.25]])  # G = (1, -1/4), of which the second one adds nothing
    norm = math.sqrt(2.0**2 + 2.0**2 + 0.75**2 + 0.5**2)
    error = 0.5 * EPS * ((steps + 2) * norm + 2.0 * (2 + 4) * math.sqrt(5.0) * 1.0)
    for part, outside in ((4.0, 4.0), (0.5, 0.5)):
        found = increment(c, part * error, steps=steps)
        assert found.outside == pytest.approx(outside, rel=0.1)  # what lstsq rounds is some of it
        assert found.rounding == pytest.approx(error / norm, rel=1e-9)
    met = np.ones((2, 2))
    assert increment(met).is_sum_of_gradients
    assert not increment(met, 1e-12).is_sum_of_gradients
    assert increment(met, 1e-12).slack >= 1.0


def test_an_increment_on_dependent_samples_tells_nothing() -> None:
    """K is singular; c is not unique, and what lies across the span is seen all the same."""
    data = Dataset([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]], [1.0, 1.0])
    found = increment(np.ones((2, 2)), data=data)
    assert (found.is_unique, found.slack, found.is_sum_of_gradients) == (False, 0.0, False)
    assert found.outside <= 1.0
    assert increment(np.ones((2, 2)), 1e-3, data=data).outside > 1.0


def test_coefficients_of_a_part_across_the_span() -> None:
    """X = e₁, W = (3, 4, 0): C = 3 and 4 is left; also where samples outnumber dimensions and none is left."""
    C, left = CheckpointFrame(Dataset([[1.0, 0.0, 0.0]], [1.0]), 1).coefficients(np.array([[3.0, 4.0, 0.0]]))
    assert (C.item(), left) == (pytest.approx(3.0), pytest.approx(4.0))
    line = Dataset([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], [1.0, 1.0, 1.0])
    C, left = CheckpointFrame(line, 1).coefficients(np.array([[14.0, 5.0]]))
    np.testing.assert_allclose(C, [[1.0, 2.0, 3.0]], rtol=1e-12)
    assert left == pytest.approx(5.0)


@pytest.mark.parametrize("d", [2, 4, 5, 6])
def test_coordinates_are_taken_where_they_are_fewer(d: int) -> None:
    """n = 2, m = 3: five coordinates."""
    assert CheckpointFrame(Dataset(np.eye(2, d), [1.0, -1.0]), 3).is_reduced is (d > 5)


# --- trajectories -----------------------------------------------------------------------------------------------------


def told(**changes) -> AuditedRun:
    """n = 2, a² = 2, R = 1; steps 10, 20 and 40, all of them near a descent of step size 0.1."""
    given = {
        "network": TwoLayerNetwork([1.0, -1.0], LeakyReLU(1.0)),
        "frame": SimpleNamespace(data=Dataset(np.eye(2), [1.0, -1.0])),
        "loss": LogisticLoss(),
        "checkpoints": [Checkpoint(step, np.zeros((2, 2)), format="float64") for step in (10, 20, 40)],
        "rows": rows((10, 20, 40)),
        "increments": [SimpleNamespace(outside=0.5, least_sums=np.array([g / 2.0, g])) for g in (0.0, 0.4, 1.4)],
        "step_size": 0.1,
    }
    return AuditedRun(**(given | changes))


def rows(steps, **lists) -> list[SimpleNamespace]:
    given = {
        "step": steps,
        "second_layer_moved": [0.0] * len(steps),
        "loss": [0.5] * len(steps),
        "log_loss": [-3.0] * len(steps),
        "norm": [1.0] * len(steps),
        "smallest_margin": [1.0] * len(steps),
        "smoothed_margin": [0.5] * len(steps),
    } | lists
    return [SimpleNamespace(**dict(zip(given, values, strict=True))) for values in zip(*given.values(), strict=True)]


def test_a_flow_and_a_descent_stay_in_the_span_and_keep_the_second_layer() -> None:
    assert told().may_be_a_flow
    off = [SimpleNamespace(outside=outside, least_sums=np.zeros(2)) for outside in (0.0, 1.5, 0.5)]
    assert not told(increments=off).may_be_a_flow
    moved = rows((10, 20, 40), second_layer_moved=[0.0, 1e-9, 0.0])
    assert not told(rows=moved).may_be_a_flow
    assert told(rows=moved).second_layer_moved


@pytest.mark.parametrize(("alpha", "may"), [(0.1, True), (0.0933334, True), (0.0931, False), (0.07, False)])
def test_sums_of_gradients_grow_no_faster_than_steps(alpha: float, may: bool) -> None:
    """1.4 <= 30 α/2 needs α >= 0.0933; from step 0 instead of 10 it would be 0.07. A thousandth is allowed for."""
    assert told().may_have_step_size(alpha) is may


def test_the_coarsest_format_counts() -> None:
    formats = ["float64", "bfloat16", "float32"]
    checkpoints = [Checkpoint(k, np.zeros((2, 2)), format=form) for k, form in enumerate(formats)]
    assert told(checkpoints=checkpoints).eps == 2.0**-7


def test_the_least_slack_of_all_increments_is_told() -> None:
    made = [SimpleNamespace(slack=x, is_sum_of_gradients=x >= 1.0) for x in (9.0, 0.5, 2.0)]
    found = judging._sum_of_gradients(told(increments=made), SimpleNamespace(increment_bound=1.0))
    assert (found.slack, found.satisfied) == (0.5, False)
    assert judging._sum_of_gradients(told(increments=made[::2]), SimpleNamespace(increment_bound=1.0)).satisfied
    assert not judging._sum_of_gradients(told(increments=made[::2]), SimpleNamespace(increment_bound=np.inf)).satisfied


def test_only_numbers_of_steps_are_steps() -> None:
    assert judging._has_steps(told())
    assert not judging._has_steps(told(step_size=None))
    counted = [Checkpoint(k, np.zeros((2, 2)), numbered=k > 0) for k in range(3)]
    assert not judging._has_steps(told(checkpoints=counted))


def test_the_largest_drop_of_the_smoothed_margin_counts() -> None:
    """0.5 to 0.4 to 0.45 to 0.44: a quarter of 0.4. Before L < ℓ(0)/n, of log -1.06, none counts."""
    lists = {"smoothed_margin": [0.9, 0.5, 0.4, 0.45, 0.44], "log_loss": [-1.0, -1.1, -2.0, -3.0, -4.0]}
    trajectory = told(rows=rows((1, 2, 3, 4, 5), **lists), step_size=0.0)
    evidence = SimpleNamespace(loss=LogisticLoss(), data=trajectory.frame.data)
    assert judging._monotone(trajectory, evidence).value == pytest.approx(0.25)
    assert judging._gradient_flow(trajectory, evidence).satisfied
    above = told(rows=rows((1, 2), log_loss=[-1.0, -0.9]), step_size=0.0)
    assert not judging._gradient_flow(above, evidence).satisfied
    assert judging._monotone(above, evidence).value is None


@pytest.mark.parametrize(
    ("losses", "margins", "value"),
    [
        ([9.0, 0.5, 0.25], [-1.0, 50.0, 100.0], "loss"),
        ([9.0, 1e-9, 1e-9], [-1.0, -0.9, -0.8], "gain"),
    ],
)
def test_descent_is_held_against_its_bounds_by_hand(losses, margins, value: str) -> None:
    """Orthonormal samples, γ = 1, A = 2: δ = 2ρ, r = αδ/n, t₀ >= 2/r, L(t) <= 2/(r (t - t₀)), gains >= r g."""
    network, data, alpha, steps = (
        TwoLayerNetwork([1.0, -1.0], LeakyReLU(1.0)),
        Dataset(np.eye(2), [1, -1]),
        0.5,
        (5, 205, 405),
    )
    trajectory = told(network=network, rows=rows(steps, loss=losses, smallest_margin=margins), step_size=alpha)
    rho = judging.largest_rho(network, data, alpha)
    r = alpha * 2.0 * rho / 2.0
    first = math.ceil(2.0 / r)
    evidence = SimpleNamespace(alpha=alpha, loss=LogisticLoss())
    found = judging._converges(trajectory, evidence)
    over = [loss * r * (step - 5 - first) / 2.0 for loss, step in zip(losses, steps, strict=True) if step - 5 > first]
    gains = [200.0 * r / (1.0 + math.exp(margins[k])) / (margins[k] - margins[k - 1]) for k in (1, 2)]
    assert (max(over) > max(gains)) is (value == "loss")
    assert found.value == pytest.approx(max(*over, *gains), rel=1e-12)


def test_what_rounding_may_change_of_a_growth_is_six_times_it() -> None:
    """(1 + e)²/(1 - e)² - 1 <= 6e for e <= 1/6, and the larger of value and bound counts."""
    for e in (1e-9, 1e-3, 0.15):
        allowed = judging._change_of_growth(1.0, 1.0, e)
        assert ((1.0 + e) / (1.0 + e / 5.0)) ** 2 - 1.0 <= allowed <= 8.0 * ((1.0 + e) ** 2 - 1.0)
        assert allowed >= 4.0 * e
        assert judging._change_of_growth(1.0, 3.0, e) == 3.0 * allowed
        assert judging._change_of_growth(2.0, np.inf, e) == 2.0 * allowed


def test_the_worst_rounding_of_all_counts() -> None:
    increments = [SimpleNamespace(outside=0.0, rounding=e) for e in (1e-9, 0.5, 0.0)]
    found = judging._in_format(
        told(increments=increments),
        SimpleNamespace(),
        lambda _: judging.Measurement("x", 1.0, 2.0, 0.0, ""),
        lambda value, bound, e: 100.0 * e,
    )
    assert found.details["rounding"] == 0.5
    assert found.undecided


# --- what is measured -------------------------------------------------------------------------------------------------


def measurer(a=(1.0, -2.0), d: int = 3, unique: bool = True) -> Measurer:
    network = TwoLayerNetwork(a, LeakyReLU(0.5))
    data = Dataset(np.eye(2, d), [1.0, -1.0])
    return Measurer(
        network,
        CheckpointFrame(data, len(a)),
        Checkpoint(0, np.zeros((len(a), d)), np.array(a)),
        LogisticLoss(),
        unique,
    )


def test_a_checkpoint_by_hand() -> None:
    """Rows 3e₁ and e₁ of a = 1, 2e₂ of a = -3 (-1 at the start): q = (3 + 1, 3 · 2), and three units are at 0."""
    a = np.array([1.0, 1.0, -1.0])
    W = np.array([[3.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    row = measurer(tuple(a)).measured(Checkpoint(7, W, second_layer=np.array([1.0, 1.0, -3.0])), None)
    q = np.array([4.0, 6.0])
    norm = math.sqrt(14.0)
    assert row.smallest_margin == 4.0
    assert row.normalized_margin == pytest.approx(4.0 / norm)
    assert row.margins.tolist() == q.tolist()
    assert row.signs == 3.0 / 6.0  # z > 0 where a y > 0: three units; three are at 0
    assert row.spread_positive == pytest.approx(1.0 / (norm / math.sqrt(3.0)))  # rows 3 and 1 about 2
    assert row.spread_negative == 0.0
    assert row.second_layer_moved == pytest.approx(2.0 / math.sqrt(3.0))
    assert (row.rank, row.increment_rank) == (2, 2)
    w = 1.0 / (1.0 + np.exp(q))
    w /= w.sum()
    velocity = np.array([[w[0], -0.5 * w[1]], [w[0], -0.5 * w[1]], [-3.0 * 0.5 * w[0], 3.0 * w[1]]])  # φ'(0) counts γ
    for at_kink in (0.5, 1.0, 0.75):
        scale = np.where(W[:, :2] == 0.0, at_kink / 0.5, 1.0)
        aligned = float(w @ q) / norm / np.linalg.norm(velocity * scale)
        if row.alignment == pytest.approx(aligned, rel=1e-12):
            break
    else:
        pytest.fail(f"{row.alignment} is no alignment")


def test_disagreement_is_the_share_of_points_on_the_other_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """f of a linear network is its predictor. Rows 3e₁, -2e₁ have z = e₁ and f(-e₁) > 0; e₁, -e₁ have none."""
    one = measurer((1.0, 1.0))
    linear = TwoLayerNetwork([1.0, 1.0], LeakyReLU(1.0))
    W = np.array([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    monkeypatch.setattr("verification.audits.measuring.sample_points", lambda z, rng: (np.array([[-1.0, 0.0, 5.0]]),))
    assert one._disagreement(linear, W) == 0.0
    assert one._disagreement(one.network, np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])) is None  # z = 0
    turned = np.array([[3.0, 0.0, 0.0], [-2.0, 0.0, 0.0]])  # z = e₁; f = 2 at e₁, 0.5 at -e₁, 0 at e₂
    assert one._disagreement(one.network, turned) == pytest.approx(1.0 / 3.0)


def test_a_flow_without_a_limit_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for status in judging_statuses():
        made = SimpleNamespace(status=status)
        monkeypatch.setattr("verification.audits.measuring.gradient_flow", lambda *_, made=made, **__: made)
        one = measurer()
        flow, told = one._flow(one.network, np.ones((2, 3)), 1.0)
        assert (flow is made) is (status.name == "CONVERGED")
        assert told == status.value
    assert measurer()._flow(PAIR, np.ones((2, 3)), None) == (None, "not followed")


def judging_statuses() -> list:
    from refimpl.flow import FlowStatus

    return list(FlowStatus)


def test_ranks_and_kinks_are_those_of_the_format() -> None:
    """A second singular value of 1e-3: nothing in bfloat16, something in float64; of the increment beside W(0) too."""
    for form, rank in (("float64", 2), ("float32", 2), ("bfloat16", 1)):
        W = np.array([[1.0, 0.0, 0.0], [0.0, 1e-3, 0.0]])
        assert measurer().measured(Checkpoint(1, W, format=form), None).rank == rank
    one = measurer()
    one.W0 = np.array([[1e3, 0.0, 0.0], [0.0, 0.0, 0.0]])
    small = Checkpoint(1, np.array([[0.0, 0.0, 0.0], [0.0, 1e-6, 0.0]]), format="float32")
    assert one.measured(small, None).increment_rank == 1


def test_spread_of_signed_second_layers() -> None:
    """Rows |a| r: no spread, whatever the sign of a; one row off by 3 counts, wherever it stands."""
    a = np.array([-1.0, -2.0, -1.0])
    assert spread_of_sign(np.outer(np.abs(a), [1.0, 2.0]), a, 1.0) == pytest.approx(0.0, abs=1e-15)
    W = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 6.0]])
    assert spread_of_sign(W, np.array([1.0, 1.0, 1.0]), 2.0) == pytest.approx(2.0)  # the mean is 2, and 4 is left of 6
    assert spread_of_sign(W[:0], a[:0], 1.0) is None


def test_what_a_format_can_tell_by_hand() -> None:
    """Margin 2, ‖W‖ = 3, R = 1, ‖a‖ = 2: excess 2 eps ‖a‖ R ‖W‖/margin, gap eps² + 2 Σλ (margin/‖W‖)² excess."""
    one, kkt = measurer((2.0,)), SimpleNamespace(status=None, smallest_margin=2.0, multipliers=np.array([1.0, 0.5]))
    floors, eps = one._floors(0.5, one.network, kkt, 3.0, 1.5), 0.5
    excess = 2.0 * eps * 2.0 * 3.0 / 2.0
    assert floors["complementarity"] == pytest.approx(excess)
    assert floors["duality_gap"] == pytest.approx(eps**2 + 2.0 * 1.5 * (2.0 / 3.0) ** 2 * excess)
    assert floors["stationarity"] == eps
    assert floors["singular_value_ratio"] == pytest.approx(eps * 2.0)


# --- roads ------------------------------------------------------------------------------------------------------------


def test_a_road_by_hand() -> None:
    """3 along and 4 across: the sine is 1/100 where √(100² - 1) · 4 are along, 3 less, over ‖W*‖."""
    W, limit, near = np.array([[3.0, 4.0]]), np.array([[2.0, 0.0]]), 0.01
    left = (4.0 * math.sqrt(1.0 / near**2 - 1.0) - 3.0) / 2.0
    road = straight_road(W, limit, math.log(0.5))
    assert road.sine == pytest.approx(0.8)
    assert road.log_time == pytest.approx(
        math.log(4.0) - math.log(0.5) + left + math.log1p(-math.exp(-left)), rel=1e-12
    )
    assert road.log10_steps(0.01) == pytest.approx(road.log_time / math.log(10.0) + 2.0)
    assert straight_road(np.array([[5.0, 0.01]]), limit, 0.0).arrived
    assert not straight_road(np.array([[-5.0, 0.01]]), limit, 0.0).arrived  # the other way round
