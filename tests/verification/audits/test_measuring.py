"""What is measured of a checkpoint, against direct computation in float64 with the whole of X and W."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets, gradient_flow
from refimpl.errors import InvalidParameterError, ShapeError
from refimpl.losses import as_loss
from verification import audit, closed_form, kkt_residuals, max_margin
from verification.audits.checkpoint import EPS, Checkpoint, as_checkpoints, as_stored
from verification.audits.frame import CheckpointFrame
from verification.audits.road import straight_road

N, D, M, SLOPE = 6, 400, 5, 0.5
DATA = datasets.gaussian(N, D, np.random.default_rng(3), norm_ratio=1.3)
NETWORK = TwoLayerNetwork([0.5, -0.4, 0.3, -0.6, 0.2], LeakyReLU(SLOPE))
START = 0.2 * np.random.default_rng(4).standard_normal((M, D)) / np.sqrt(D)


def descended(W, steps: int, alpha: float = 4.0, data: Dataset = DATA, network: TwoLayerNetwork = NETWORK):
    for _ in range(steps):
        W = W - alpha * network.loss_and_gradient(W, data)[1]
    return W


TRAINED = descended(START, 60)


def last(W=TRAINED, data: Dataset = DATA, **options):
    return audit(NETWORK, data, {0: START, 60: W}, **options).rows[-1]


def direction(W):
    return W / np.linalg.norm(W)


@pytest.mark.parametrize("loss", ["logistic", "exponential"])
@pytest.mark.parametrize("wide", [True, False])
def test_numbers_agree_with_direct_computation(loss, wide) -> None:
    """For d above n + m the audit works in coordinates of the span; for d below it does not."""
    data, W0, W = (DATA, START, TRAINED) if wide else (Dataset(DATA.X[:, :9], DATA.y), START[:, :9], TRAINED[:, :9])
    assert CheckpointFrame(data, M).is_reduced is wide
    row = audit(NETWORK, data, [(0, W0), (60, W)], loss).rows[1]
    value, gradient = NETWORK.loss_and_gradient(W, data, loss)
    q, sigma = NETWORK.margins(W, data), np.linalg.svd(W, compute_uv=False)
    delta = np.linalg.svd(W - W0, compute_uv=False)
    assert row.loss == pytest.approx(value, rel=1e-12)
    assert row.smallest_margin == pytest.approx(q.min(), rel=1e-12)
    assert row.normalized_margin == pytest.approx(q.min() / np.linalg.norm(W), rel=1e-12)
    smoothed = as_loss(loss).inverse_of_log_value(np.log(N * value)) / np.linalg.norm(W)
    assert row.smoothed_margin == pytest.approx(float(smoothed), rel=1e-9)
    assert row.stable_rank == pytest.approx(np.sum(sigma**2) / sigma[0] ** 2, rel=1e-12)
    assert row.singular_value_ratio == pytest.approx(sigma[2] / sigma[0], rel=1e-10)
    assert row.increment_stable_rank == pytest.approx(np.sum(delta**2) / delta[0] ** 2, rel=1e-12)
    aligned = -np.sum(W * gradient) / np.linalg.norm(W) / np.linalg.norm(gradient)
    assert row.alignment == pytest.approx(aligned, rel=1e-12)
    kkt = kkt_residuals(NETWORK, data, W)
    for name in ("stationarity", "complementarity", "duality_gap"):
        assert getattr(row, name) == pytest.approx(getattr(kkt, name), rel=1e-8, abs=1e-14), name
    signs = np.sign(W @ data.X.T) == np.sign(np.outer(NETWORK.second_layer, data.y))
    assert row.signs == signs.mean()


def test_distances_are_those_of_the_whole_weights() -> None:
    row, flow = last(), gradient_flow(NETWORK, DATA, TRAINED)
    references = {
        "to_closed_form": closed_form(NETWORK, DATA).weights(),
        "to_convex_optimum": max_margin(NETWORK, DATA).weights(),
        "to_flow_limit": flow.limit.weights(),
    }
    for name, V in references.items():
        distance = np.linalg.norm(direction(TRAINED) - direction(V))
        assert getattr(row, name) == pytest.approx(distance, rel=1e-6), name
    assert row.limit_rank == flow.limit.rank


def test_spread_is_that_of_rows_divided_by_a() -> None:
    v, u = np.ones(D), np.arange(D) / D
    a = NETWORK.second_layer[:, None]
    W = np.abs(a) * np.where(a > 0.0, v, u)
    row = last(W)
    assert max(row.spread_positive, row.spread_negative) < 1e-14
    W[1] += 0.01 * np.eye(1, D)[0]
    row = last(W)
    assert row.spread_positive < 1e-14
    rows, lengths = W[[1, 3]], np.abs(NETWORK.second_layer[[1, 3]])
    common = np.linalg.lstsq(lengths[:, None], rows, rcond=None)[0]
    rest = np.linalg.norm(rows - lengths[:, None] * common, axis=1).max()
    assert row.spread_negative == pytest.approx(rest / np.linalg.norm(W) * np.sqrt(M), rel=1e-9)


def test_the_rank_of_what_was_learned_counts_nothing_that_rounding_made() -> None:
    """W(0) has full rank; what was added has rank 2, which float32 rounds at every entry."""
    rng = np.random.default_rng(2)
    added = rng.standard_normal((M, 2)) @ rng.standard_normal((2, D)) / np.sqrt(D)
    for dtype in (np.float64, np.float32):
        row = audit(NETWORK, DATA, {0: START.astype(dtype), 1: (START + added).astype(dtype)}).rows[1]
        assert (row.rank, row.increment_rank) == (M, 2), dtype
    assert last(START).increment_rank == 0


def test_a_bias_is_one_more_column() -> None:
    rng = np.random.default_rng(1)
    b = 0.1 * rng.standard_normal(M)
    checkpoints = [Checkpoint(0, START, bias=b * 0.0), Checkpoint(9, TRAINED, bias=b)]
    report = audit(NETWORK, DATA, checkpoints)
    extended = Dataset(np.column_stack([DATA.X, np.ones(N)]), DATA.y)
    direct = audit(NETWORK, extended, [(0, np.column_stack([START, b * 0.0])), (9, np.column_stack([TRAINED, b]))])
    assert report.data["bias_column"]
    assert any("bias" in note for note in report.notes)
    f = NETWORK.second_layer @ LeakyReLU(SLOPE).value(TRAINED @ DATA.X.T + b[:, None])
    assert report.rows[1].smallest_margin == pytest.approx((DATA.y * f).min(), rel=1e-12)
    assert report.rows[1].duality_gap == direct.rows[1].duality_gap


def test_a_second_layer_of_its_own_is_used_and_its_way_measured() -> None:
    a = NETWORK.second_layer
    checkpoints = [Checkpoint(0, START, a), Checkpoint(1, TRAINED, 1.25 * a)]
    other = TwoLayerNetwork(np.ones(M), LeakyReLU(SLOPE))
    report = audit(other, DATA, checkpoints)
    row = report.rows[1]
    assert row.second_layer_moved == pytest.approx(0.25)
    assert row.smallest_margin == pytest.approx(1.25 * NETWORK.margins(TRAINED, DATA).min(), rel=1e-12)
    named = {claim.id: claim for claim in report.claims}["descent-stable-rank-bounded"]
    assert (named.verdict.name, named.hypothesis.name) == ("HYPOTHESIS_NOT_MET", "second layer fixed")
    assert "second layer" in report.words[-1]
    with pytest.raises(InvalidParameterError, match=r"second_layer\[2\] of step 1` must not be zero"):
        audit(other, DATA, [Checkpoint(0, START, a), Checkpoint(1, TRAINED, a * [1, 1, 0, 1, 1])])


# --- precision --------------------------------------------------------------------------------------------------------


def rounded(W, form: str) -> Checkpoint:
    """W in a format; bfloat16 by cutting float32 to the nearest, by hand."""
    if form != "bfloat16":
        return Checkpoint(1, W.astype(form), format=form)
    bits = W.astype(np.float32).view(np.uint32)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return Checkpoint(1, nearest.view(np.float32), format="bfloat16")


@pytest.mark.parametrize("form", list(EPS))
def test_a_kkt_point_in_any_format_is_one_as_far_as_that_tells(form) -> None:
    """On these data the closed form is the only KKT point; rounded to a format it is within what the format tells."""
    limit = closed_form(NETWORK, DATA)
    assert limit.is_kkt_point
    row = audit(NETWORK, DATA, [rounded(limit.weights(), form)]).rows[0]
    assert {"stationarity", "complementarity", "to_closed_form"} <= set(row.below) or form == "float64"
    assert row.rank == 2
    assert row.stationarity < 2.0 * EPS[form] + 1e-14
    if form != "float64":
        assert row.stationarity > EPS[form] / 1000.0  # not told from 0, and not 0
    direct = kkt_residuals(NETWORK, DATA, np.asarray(rounded(limit.weights(), form).W, dtype=np.float64), EPS[form])
    assert row.stationarity == pytest.approx(direct.stationarity, rel=1e-3, abs=1e-13)


def test_a_unit_within_rounding_of_its_kink_counts_as_at_it() -> None:
    data, network = Dataset(np.eye(2), [1, -1]), TwoLayerNetwork([1.0], LeakyReLU(0.5))
    W = np.array([[1.0, 2.0**-24]], dtype=np.float32)  # 2^-24 beside 1 is rounding in float32, not in float64
    assert audit(network, data, {0: W}).rows[0].units_at_kink == 1
    assert audit(network, data, {0: W.astype(np.float64)}).rows[0].units_at_kink == 0
    far = np.array([[1.0, 2.0**-20]], dtype=np.float32)
    assert audit(network, data, {0: far}).rows[0].units_at_kink == 0


def test_numbers_of_zero_weights_are_none() -> None:
    row = audit(NETWORK, DATA, {0: np.zeros((M, D))}).rows[0]
    assert (row.rank, row.smallest_margin, row.stable_rank, row.alignment, row.road) == (0, 0.0, None, None, None)


# --- the road ---------------------------------------------------------------------------------------------------------


def test_the_straight_road_of_one_neuron() -> None:
    """One sample, one neuron, exponential loss: W = (c, u), du/dt = a e^{-au}, so a² t = e^{au} - e^{au₀}."""
    a, c, u0 = 1.5, 0.7, 0.2
    network, data = TwoLayerNetwork([a], LeakyReLU(1.0)), Dataset([[0.0, 1.0]], [1])
    row = audit(network, data, {0: np.array([[c, u0]])}, "exponential").rows[0]
    u = c * np.sqrt(1e4 - 1.0)  # where the sine is 1%
    expected = a * u + np.log(-np.expm1(a * (u0 - u))) - 2.0 * np.log(a)
    assert row.road.log_time == pytest.approx(expected, rel=1e-12)
    assert straight_road(np.array([[c, u0]]), np.array([[0.0, 1.0 / a]]), -a * u0).log_time == pytest.approx(expected)
    assert row.road.sine == pytest.approx(c / np.hypot(c, u0))


def test_the_road_of_a_flow_is_that_of_small_steps() -> None:
    """Euler's method in loss-normalized time on another way: log t where the sine of the angle with the limit is 1%."""
    data, network = (
        Dataset([[1.0, 0.3], [-0.4, 1.0], [0.9, -0.2]], [1, -1, 1]),
        TwoLayerNetwork([1.0, -0.8], LeakyReLU(0.4)),
    )
    W = np.array([[0.3, 0.5], [-0.2, 0.1]])
    limit = direction(gradient_flow(network, data, W).limit.weights())
    road = audit(network, data, {0: W}).rows[0].road
    log_t, h = -np.inf, 0.02
    while np.sqrt(1.0 - min(1.0, np.sum(direction(W) * limit) ** 2)) > 0.01 or np.sum(W * limit) < 0.0:
        g = as_loss("logistic").weight(network.margins(W, data))
        log_t = np.logaddexp(log_t, np.log(h / g.mean()))
        W = W - h / g.mean() * network.loss_and_gradient(W, data)[1]
    assert road.exact
    assert road.log_time == pytest.approx(float(log_t), rel=0.01)


def test_all_checkpoints_of_a_flow_tell_the_same_time() -> None:
    """Between checkpoints little time passes beside the time to come: it is one number from wherever it is seen."""
    report = audit(NETWORK, DATA, {k: descended(START, k, 0.5) for k in (20, 100, 300)})
    times = [row.road.log_time for row in report.rows]
    assert min(times) > np.log(1e4)
    assert max(times) - min(times) < 0.05


# --- arguments --------------------------------------------------------------------------------------------------------


def test_arrays_of_other_frameworks() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(TRAINED, dtype=torch.float32, requires_grad=True)
    assert as_stored("W", tensor)[1] == "float32"
    assert last(tensor).format == "float32"
    assert as_stored("W", tensor.bfloat16())[1] == "bfloat16"
    assert np.array_equal(as_stored("W", tensor.bfloat16())[0], tensor.detach().bfloat16().float().numpy())
    jax = pytest.importorskip("jax")
    array, form = as_stored("W", jax.numpy.asarray([[1.5]], dtype="bfloat16"))
    assert (array.tolist(), array.dtype.name, form) == ([[1.5]], "float32", "bfloat16")


class OnlyDLPack:
    """An array that gives itself away through DLPack alone."""

    def __init__(self, array) -> None:
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_arrays_through_dlpack() -> None:
    array, form = as_stored("W", OnlyDLPack(np.ones((2, 2), dtype=np.float32)))
    assert (array.tolist(), form) == ([[1.0, 1.0], [1.0, 1.0]], "float32")


WITH_NAN = TRAINED.copy()
WITH_NAN[1, 7] = np.nan
BAD = [
    ({0: START, 5: WITH_NAN}, InvalidParameterError, r"`W of step 5\[1, 7\]` must be finite; got nan"),
    ({0: START * 1e200}, InvalidParameterError, "`W of step 0` must have a norm of at most 1e\\+100"),
    ({0: START[:, :-1]}, ShapeError, r"`W of step 0` must have shape \(5, 400\), of the second layer and X; got"),
    ({0: START, 5: START[:3]}, ShapeError, "`W of step 5` must have shape"),
    ([(1, START), (1, START)], InvalidParameterError, r"two are at one \(step 1 and step 1\); got 1"),
    ([], InvalidParameterError, "at least one checkpoint"),
    ([START], InvalidParameterError, r"`checkpoints\[0\]` must be a Checkpoint, or a pair"),
    (7, InvalidParameterError, "`checkpoints` must be checkpoints, or pairs"),
    ({-1: START}, InvalidParameterError, "whole number, at least 0; got -1"),
    ({0: [["a"]]}, InvalidParameterError, "hold real numbers"),
]


@pytest.mark.parametrize(("checkpoints", "error", "sentence"), BAD)
def test_bad_checkpoints_get_one_sentence(checkpoints, error, sentence) -> None:
    with pytest.raises(error, match=sentence):
        audit(NETWORK, DATA, checkpoints)


def test_one_array_is_a_run() -> None:
    run = np.stack([START, TRAINED]).astype(np.float32)
    found = as_checkpoints(run)
    assert [(c.step, c.format, c.numbered) for c in found] == [(0, "float32", False), (1, "float32", False)]


def test_one_tensor_is_a_run_in_its_own_format() -> None:
    torch = pytest.importorskip("torch")
    run = torch.tensor(np.stack([START, TRAINED]), dtype=torch.bfloat16, requires_grad=True)
    first, second = as_checkpoints(run)
    assert (first.format, second.step) == ("bfloat16", 1)
    assert np.array_equal(second.weights(), run[1].detach().double().numpy())
