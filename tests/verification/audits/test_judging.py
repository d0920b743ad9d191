"""Claims on trajectories: verdicts on descents of known kind, and hypotheses that tell how a network was trained."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets
from refimpl.losses import as_loss
from verification import audit
from verification.audits.judging import _change_of_stable_rank

N, D, M, ALPHA = 6, 600, 4, 2.0
DATA = datasets.gaussian(N, D, np.random.default_rng(5), norm_ratio=1.2)
NETWORK = TwoLayerNetwork.with_signs(2, 2, LeakyReLU(0.5))
START = 0.1 * np.random.default_rng(6).standard_normal((M, D)) / np.sqrt(D)
STEPS = (0, 1, 5, 25, 100, 400)


def run(update, dtype=np.float64, steps=STEPS) -> dict[int, np.ndarray]:
    """Checkpoints of W <- update(W, gradient, step), in arithmetic of a format."""
    W, kept = START.astype(dtype), {}
    for step in range(max(steps) + 1):
        if step in steps:
            kept[step] = W.copy()
        W = update(W, NETWORK.loss_and_gradient(W, DATA)[1].astype(dtype), step).astype(dtype)
    return kept


def plain(W, G, step):
    return W - ALPHA * G


class Momentum:
    def __init__(self) -> None:
        self.velocity = 0.0

    def __call__(self, W, G, step):
        self.velocity = 0.9 * self.velocity + G
        return W - 0.2 * ALPHA * self.velocity


class Adam:
    def __init__(self) -> None:
        self.first = self.second = 0.0

    def __call__(self, W, G, step):
        self.first, self.second = 0.9 * self.first + 0.1 * G, 0.999 * self.second + 0.001 * G**2
        hats = self.first / (1 - 0.9 ** (step + 1)), self.second / (1 - 0.999 ** (step + 1))
        return W - 0.001 * hats[0] / (np.sqrt(hats[1]) + 1e-8)


def decay(W, G, step):
    return W - ALPHA * (G + 0.01 * W)


def other_steps(W, G, step):
    return W - ALPHA * (0.3 + step % 3) * G


def rows_of(checkpoints, network=NETWORK, **options):
    report = audit(network, DATA, checkpoints, flow_time_limit=0, **options)
    return report, {row.id: row for row in report.claims}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("update", [plain, other_steps, Momentum()], ids=["plain", "other steps", "momentum"])
def test_sums_of_gradients_are_seen_as_such(update, dtype) -> None:
    checkpoints = run(update, dtype)
    report, rows = rows_of(checkpoints)
    bounded = rows["descent-stable-rank-bounded"]
    delta = [np.linalg.svd(W.astype(float) - checkpoints[0], compute_uv=False) for W in list(checkpoints.values())[1:]]
    largest = max(np.sum(sigma**2) / sigma[0] ** 2 for sigma in delta)
    eigenvalues = np.linalg.eigvalsh(DATA.X @ DATA.X.T)
    assert bounded.measurement.value == pytest.approx(largest, rel=1e-9)
    assert bounded.measurement.bound == pytest.approx(1.0 + eigenvalues[-1] / eigenvalues[0] / 8.0, rel=1e-9)
    assert bounded.hypothesis.satisfied
    assert bounded.verdict.name == rows["descent-norms-grow"].verdict.name == "HOLDS_NUMERICALLY"
    assert report.exit_code == 0


def test_growth_is_held_against_the_sums_that_were_taken() -> None:
    """G_i of the run bounds what the checkpoints show from above, and γG_i from below."""
    W, G = START, np.zeros(N)
    for _ in range(30):
        G += ALPHA / N / (1.0 + np.exp(NETWORK.margins(W, DATA)))
        W = W - ALPHA * NETWORK.loss_and_gradient(W, DATA)[1]
    _, rows = rows_of({0: START, 30: W})
    smallest = np.linalg.eigvalsh(DATA.X @ DATA.X.T)[0]
    ratios = smallest * 0.25 * np.sum(G**2) / 4.0 / np.sum((W - START) ** 2, axis=1)
    value = rows["descent-norms-grow"].measurement.value
    assert 0.25 * ratios.max() <= value <= ratios.max() * (1.0 + 1e-9) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("update", "words"), [(Adam(), "outside of the span"), (decay, "Look first at how it was trained")]
)
def test_other_methods_are_told_from_the_checkpoints(update, words) -> None:
    report, rows = rows_of(run(update))
    assert rows["descent-stable-rank-bounded"].verdict.name == "HYPOTHESIS_NOT_MET"
    assert words in report.words[-1]


def test_another_slope_is_told_from_the_checkpoints() -> None:
    """W - W(0) of slope 1/2 has c_ji/G_i down to 1/2, which slope 0.9 does not allow."""
    checkpoints = run(plain)
    _, rows = rows_of(checkpoints, TwoLayerNetwork(NETWORK.second_layer, LeakyReLU(0.9)))
    assert rows["descent-norms-grow"].hypothesis.slack == pytest.approx(0.5 / 0.9, rel=0.1)
    assert rows["descent-norms-grow"].verdict.name == "HYPOTHESIS_NOT_MET"


def test_the_stable_rank_of_slope_1_is_decided_in_float32() -> None:
    """W - W(0) has rank 1, and the bound is 1: rounding of part e changes a stable rank of 1 by e² only."""
    linear = TwoLayerNetwork(NETWORK.second_layer, LeakyReLU(1.0))
    W = {0: START.astype(np.float32)}
    for step in range(200):
        W[step + 1] = W[step] - np.float32(ALPHA) * linear.loss_and_gradient(W[step], DATA)[1].astype(np.float32)
    _, rows = rows_of({step: W[step] for step in (0, 1, 200)}, linear)
    bounded = rows["descent-stable-rank-bounded"]
    assert bounded.measurement.bound == 1.0
    assert bounded.verdict.name == "HOLDS_NUMERICALLY"


@pytest.mark.parametrize(("s", "e"), [(1.0, 0.01), (1.3, 1e-3), (3.0, 0.1)])
def test_rounding_changes_a_stable_rank_by_no_more_than_is_allowed_for(s, e) -> None:
    """The worst change lies along the singular vectors; here it is sought among random ones, too."""
    rng = np.random.default_rng(0)
    sigma = np.array([1.0, *np.full(4, np.sqrt((s - 1.0) / 4.0))])
    size, worst = e * np.linalg.norm(sigma), 0.0
    for k in range(200):
        E = np.diag([-rng.random(), *rng.random(4)]) if k % 2 else rng.standard_normal((5, 5))
        changed = np.linalg.svd(np.diag(sigma) + size * E / np.linalg.norm(E), compute_uv=False)
        worst = max(worst, abs(np.sum(changed**2) / changed[0] ** 2 - s))
    assert 0.2 * _change_of_stable_rank(s, 1.0, e) <= worst <= _change_of_stable_rank(s, 1.0, e)


def test_dependent_samples_do_not_tell_how_a_network_was_trained() -> None:
    """With n > d plain descent has its form, and c is not unique: nothing is said against it."""
    rng = np.random.default_rng(0)
    X, network = rng.standard_normal((12, 4)), TwoLayerNetwork.with_signs(3, 3, LeakyReLU(0.5))
    data = Dataset(X, np.where(X[:, 0] > 0.0, 1.0, -1.0))
    W = {0: 0.1 * rng.standard_normal((6, 4))}
    for step in range(60):
        W[step + 1] = W[step] - network.loss_and_gradient(W[step], data)[1]
    report = audit(network, data, {0: W[0], 60: W[60]}, flow_time_limit=0)
    assert not any(row.hypothesis.satisfied for row in report.claims[:2])
    assert report.words[-1].startswith("Look next at")


def test_a_run_in_bfloat16_decides_nothing_that_rounding_may_have_made() -> None:
    """400 steps of unit roundoff 2^-8 may have moved W by more than its length."""
    torch = pytest.importorskip("torch")
    checkpoints = {k: torch.tensor(W).bfloat16() for k, W in run(plain).items()}
    report, rows = rows_of(checkpoints)
    assert {row.format for row in report.rows} == {"bfloat16"}
    assert rows["descent-stable-rank-bounded"].verdict.name in ("INCONCLUSIVE", "HOLDS_NUMERICALLY")
    assert any("bfloat16" in note for note in report.notes)


def test_convergence_needs_the_step_size() -> None:
    checkpoints = run(plain)
    _, rows = rows_of(checkpoints)
    assert rows["descent-converges"].verdict.name == "HYPOTHESIS_NOT_MET"
    assert "needs the run's step size" in rows["descent-converges"].reason
    _, rows = rows_of(checkpoints, step_size=ALPHA)
    found = rows["descent-converges"]
    assert found.verdict.name == "HOLDS_NUMERICALLY"
    delta = found.measurement.details["delta"]
    losses = {k: NETWORK.loss(W, DATA) for k, W in checkpoints.items()}
    q0 = NETWORK.margins(START, DATA).min()
    t0 = np.ceil(2 * N * max(0.0, -q0) / (ALPHA * delta))
    ratios = [loss * ALPHA * delta * (k - t0) / (2 * N) for k, loss in losses.items() if k > t0]
    assert found.measurement.value >= max(ratios) * (1 - 1e-12)
    assert found.measurement.value <= 1.0


def test_a_step_size_that_the_weights_contradict_is_no_hypothesis() -> None:
    """W - W(0) needs more than αt/n of a sample's gradient."""
    checkpoints = run(plain, steps=(0, 1, 5))
    _, rows = rows_of(checkpoints, step_size=ALPHA / 100.0)
    assert rows["descent-converges"].verdict.name == "HYPOTHESIS_NOT_MET"
    assert rows["descent-converges"].hypothesis.slack > 1.0


def test_steps_without_numbers_do_not_count_as_steps() -> None:
    run_as_one = np.stack(list(run(plain).values()))
    _, rows = rows_of(run_as_one, step_size=ALPHA)
    assert rows["descent-converges"].verdict.name == "HYPOTHESIS_NOT_MET"


def test_a_smoothed_margin_that_falls_is_a_violation_for_a_flow_only() -> None:
    """Gradients of one sample alone lengthen W and leave the other margins: no gradient flow does so."""
    late = run(plain)[400]
    slopes = np.where(late @ DATA.X[0] > 0.0, 1.0, 0.5)
    wrong = {0: late, 1: late + 50.0 * np.outer(NETWORK.second_layer * slopes * DATA.y[0], DATA.X[0])}
    loss = as_loss("logistic")
    smoothed = [
        float(loss.inverse_of_log_value(np.log(N * NETWORK.loss(W, DATA)))) / np.linalg.norm(W) for W in wrong.values()
    ]
    report, rows = rows_of(wrong, step_size=0.0)
    assert rows["smoothed-margin-monotone"].verdict.name == "VIOLATED"
    assert rows["smoothed-margin-monotone"].measurement.value == pytest.approx(
        smoothed[0] / smoothed[1] - 1.0, rel=1e-6
    )
    assert report.exit_code == 1
    assert "smoothed-margin-monotone" in report.words[-1]
    report, rows = rows_of(wrong, step_size=ALPHA)
    assert rows["smoothed-margin-monotone"].verdict.name == "HYPOTHESIS_NOT_MET"
    assert rows["smoothed-margin-monotone"].conclusion.name == "FAILS"
    across = {0: late, 1: late + np.outer([1, 0, 0, 0], np.linalg.svd(DATA.X)[2][-1] * np.linalg.norm(late))}
    _, rows = rows_of(across, step_size=0.0)  # shows itself to be no flow
    assert rows["smoothed-margin-monotone"].verdict.name == "HYPOTHESIS_NOT_MET"
    right = {0: run(plain)[100], 1: late}
    assert rows_of(right, step_size=0.0)[1]["smoothed-margin-monotone"].verdict.name == "HOLDS_NUMERICALLY"


def test_one_checkpoint_is_no_trajectory() -> None:
    report, rows = rows_of({7: START})
    assert rows == {}
    assert report.exit_code == 3  # it does not separate the data
