"""Losses against decimal arithmetic of 120 digits, over margins from -1e300 to 1e300 (docs/theory.md, section 1)."""

import math
from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import (
    Dataset,
    ExponentialLoss,
    HingeLoss,
    LeakyReLU,
    LogisticLoss,
    TwoLayerNetwork,
    gradient_descent,
    gradient_flow,
)
from refimpl.errors import InvalidParameterError
from refimpl.losses import (
    as_loss,
    has_exponential_tail,
    log_mean_weight,
    log_sum_exp,
    loss_by_name,
    mean_log_value,
    sample_weights,
    smoothed_margin,
)
from verification import verify
from verification.strategies import margins

EPS = float(np.finfo(np.float64).eps)
SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)
FAR = 1e5
"""Beyond |q| = 1e5, e^{-|q|} < 1e-43429 and the limits q → ±∞ hold to far more digits than a float has."""
DIGITS = Context(prec=120, Emin=-(10**6), Emax=10**6)


def decimal_quantities(q):
    """ℓ, log ℓ, g, log g, ℓ'', η of the logistic loss, as Decimals (ℓ, g, ℓ'' of 0 mean: underflow)."""
    with localcontext(DIGITS):
        q = Decimal(q)
        if abs(q) > FAR:
            small, zero = q > 0, Decimal(0)
            one = Decimal(1)
            return (zero, -q, zero, -q, zero, one) if small else (-q, (-q).ln(), one, zero, zero, zero)
        x = (-abs(q)).exp()
        log1p = x - x * x / 2 + x**3 / 3 if x < Decimal("1e-40") else (1 + x).ln()
        value = log1p if q >= 0 else -q + log1p
        weight = (x if q >= 0 else 1) / (1 + x)
        log_weight = (-q if q >= 0 else 0) - log1p
        return value, value.ln(), weight, log_weight, x / (1 + x) ** 2, (1 if q >= 0 else x) / (1 + x)


def assert_close(found, expected, relative=8 * EPS, absolute=0.0):
    """Within `relative`, or in the range where floats lose digits anyway (below the smallest normal one)."""
    expected = float(expected)
    assert math.isfinite(found)
    assert abs(found - expected) <= relative * abs(expected) + absolute + SMALLEST_NORMAL, (found, expected)


GRID = np.linspace(-60.0, 60.0, 97).tolist()
"""Where the formulas hand over to each other; Hypothesis need not find it."""


@pytest.mark.parametrize("q", GRID)
def test_logistic_loss_on_a_grid(q):
    check_logistic_loss(q)
    check_inverse_of_logistic_log_value(q)


@given(margins())
def test_logistic_loss_to_rounding(q):
    check_logistic_loss(q)


def check_logistic_loss(q):
    value, log_value, weight, log_weight, curvature, decay = decimal_quantities(q)
    loss = LogisticLoss()
    assert_close(float(loss.value(q)), value)
    assert_close(float(loss.log_value(q)), log_value, absolute=8 * EPS)  # log ℓ has a zero, at q = -0.54
    assert_close(float(loss.weight(q)), weight)
    assert_close(float(loss.log_weight(q)), log_weight)
    assert_close(float(loss.curvature(q)), curvature)
    assert_close(float(loss.log_weight_decay(q)), decay)


@given(margins(largest=700.0))
def test_exponential_loss_to_rounding(q):
    with localcontext(DIGITS):
        expected = (-Decimal(q)).exp()
    loss = ExponentialLoss()
    for found in (loss.value(q), loss.weight(q), loss.curvature(q)):
        assert_close(float(found), expected)


@given(margins())
def test_logarithms_of_the_exponential_loss_are_exact(q):
    loss = ExponentialLoss()
    assert float(loss.log_value(q)) == float(loss.log_weight(q)) == -q
    assert float(loss.inverse_of_log_value(-q)) == q
    assert float(loss.log_weight_decay(q)) == 1.0


def test_exponential_loss_overflows_to_infinity_without_a_warning():
    loss = ExponentialLoss()
    assert loss.value([-710.0, -1e300]).tolist() == loss.weight([-710.0, -1e300]).tolist() == [math.inf, math.inf]
    assert loss.value([746.0, 1e300]).tolist() == [0.0, 0.0]


@given(margins())
def test_inverse_of_logistic_log_value(q):
    check_inverse_of_logistic_log_value(q)


def check_inverse_of_logistic_log_value(q):
    """-log(e^v - 1) of v = e^{log v}; the error allowed is that of log v rounded, times dq/d(log v)."""
    log_v = float(decimal_quantities(q)[1])
    with localcontext(DIGITS):
        v = Decimal(log_v).exp() if abs(log_v) < FAR else None
        if v is None:
            expected = -Decimal(log_v)
        elif v > 10000:
            expected = -v  # log(1 - e^{-v}) is below 1e-4000
        else:
            expected = -(v.exp() - 1 if v > Decimal("1e-40") else v + v * v / 2).ln()
    condition = max(1.0, float(v) if v is not None else 1.0) * abs(log_v) + 1.0
    found = float(LogisticLoss().inverse_of_log_value(log_v))
    assert_close(found, expected, absolute=8 * EPS * condition)


@pytest.mark.parametrize("loss", [LogisticLoss(), ExponentialLoss()])
@given(q=margins(largest=1e12))
def test_weight_and_decay_are_derivatives(loss, q):
    """-d log ℓ = (g/ℓ) dq and -d log g = η dq by central differences, where q ± h is well away from rounding."""
    if abs(q) > 600.0:
        return
    h = 1e-4
    slope = float(loss.log_value(q - h) - loss.log_value(q + h)) / (2.0 * h)
    assert slope == pytest.approx(float(np.exp(loss.log_weight(q) - loss.log_value(q))), rel=1e-7, abs=1e-8)
    decay = float(loss.log_weight(q - h) - loss.log_weight(q + h)) / (2.0 * h)
    assert decay == pytest.approx(float(loss.log_weight_decay(q)), rel=1e-7, abs=1e-8)


@given(st.lists(margins(), min_size=1, max_size=6))
def test_arrays_and_scalars_give_the_same(q):
    for loss in (LogisticLoss(), ExponentialLoss()):
        for name in ("value", "log_value", "weight", "log_weight", "curvature", "log_weight_decay"):
            function = getattr(loss, name)
            together, alone = function(q), [float(function(x)) for x in q]
            assert together.shape == (len(q),)
            np.testing.assert_allclose(together, alone, rtol=4 * EPS, atol=SMALLEST_NORMAL)


@given(st.lists(margins(largest=1e4), min_size=1, max_size=6))
def test_sums_of_losses_in_the_log_domain(q):
    n = len(q)
    with localcontext(DIGITS):
        quantities = [decimal_quantities(x) for x in q]
        value = (sum(x[0] for x in quantities) / n).ln()
        weights = [x[2] for x in quantities]
        mean_weight = (sum(weights) / n).ln()
        shares = [w / sum(weights) for w in weights]
    loss, q = LogisticLoss(), np.array(q)
    scale = 16 * EPS * (1.0 + np.abs(q).max())
    assert_close(mean_log_value(loss, q), value, absolute=scale)
    assert_close(log_mean_weight(loss, q), mean_weight, absolute=scale)
    found = sample_weights(loss, q)
    assert found.sum() == pytest.approx(1.0, abs=n * EPS)
    for w, share in zip(found, shares, strict=True):
        assert_close(float(w), share, relative=scale)


def test_sample_weights_do_not_underflow_together():
    q = np.array([1e300, 1e300, 2e300])
    for loss in (LogisticLoss(), ExponentialLoss()):
        assert sample_weights(loss, q).tolist() == [0.5, 0.5, 0.0]


def test_log_sum_exp_at_the_ends():
    assert log_sum_exp(np.array([-np.inf, -np.inf])) == -np.inf
    assert log_sum_exp(np.array([-np.inf, 2.5])) == 2.5
    assert log_sum_exp(np.array([-1e300, -1e300])) == -1e300
    assert log_sum_exp(np.array([800.0, 800.0])) == pytest.approx(800.0 + math.log(2.0), rel=1e-15)


@given(margins(largest=1e12), st.floats(0.5, 100.0))
def test_smoothed_margin_of_one_sample_is_its_margin(q, norm):
    for loss in (LogisticLoss(), ExponentialLoss()):
        # for q << 0 the logistic one passes through log ℓ = log|q|, whose rounding counts |q| log|q| times
        condition = max(1.0, abs(math.log(max(abs(q), 1.0))))
        found = smoothed_margin(loss, np.array([q]), norm)
        assert found == pytest.approx(q / norm, rel=16 * EPS * condition, abs=16 * EPS)


def test_smoothed_margin_is_below_the_smallest_margin():
    q = np.array([1.0, 1.5, 4.0])
    assert smoothed_margin(ExponentialLoss(), q, 2.0) == pytest.approx(-math.log(np.exp(-q).sum()) / 2.0, rel=1e-14)
    total = sum(math.log1p(math.exp(-x)) for x in q)
    assert smoothed_margin(LogisticLoss(), q, 2.0) == pytest.approx(-math.log(math.expm1(total)) / 2.0, rel=1e-14)
    assert smoothed_margin(LogisticLoss(), q, 2.0) < 0.5


def test_loss_by_name():
    assert loss_by_name("logistic") == LogisticLoss()
    assert loss_by_name("exponential") == ExponentialLoss()
    with pytest.raises(InvalidParameterError, match='`loss` must be "logistic" or "exponential"; got \'hinge\''):
        loss_by_name("hinge")


def test_the_hinge_loss_is_for_descent_only():
    """Values by hand; log 0 is -inf without a warning; the flow refuses it in one sentence."""
    loss = as_loss("hinge")
    assert loss == HingeLoss()
    q = np.array([-1e300, -2.0, 0.5, np.nextafter(1.0, 0.0), 1.0, 1e300])
    np.testing.assert_array_equal(loss.value(q), [1e300, 3.0, 0.5, EPS / 2.0, 0.0, 0.0])
    np.testing.assert_array_equal(loss.weight(q), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(loss.log_weight(q), [0.0, 0.0, 0.0, 0.0, -np.inf, -np.inf])
    np.testing.assert_array_equal(loss.log_value(q)[-2:], -np.inf)
    np.testing.assert_allclose(loss.inverse_of_log_value([math.log(3.0), -np.inf]), [-2.0, 1.0], rtol=4.0 * EPS)
    assert not has_exponential_tail(loss)
    network = TwoLayerNetwork.with_signs(1, 1, LeakyReLU(0.5))
    data, W0 = Dataset([[1.0, 0.0], [0.0, 1.0]], [1, -1]), np.full((2, 2), 0.1)
    with pytest.raises(InvalidParameterError, match="exponential tail"):
        gradient_flow(network, data, W0, "hinge")
    found = gradient_descent(network, data, W0, 1.0, 50, "hinge").trajectory
    assert found.smallest_margin[-1] >= 1.0
    assert found.loss[-1] == 0.0
    assert found.log_loss[-1] == -np.inf


@pytest.mark.parametrize("q", [709.5, 710.0, 720.0, 740.0])
def test_logistic_weight_below_the_smallest_normal_float(q) -> None:
    """SciPy's σ(-q) is 0 from q = 709.8 on, where g(q) = e^{-q} to rounding is a float until 745."""
    loss = LogisticLoss()
    assert float(loss.weight(q)) == math.exp(-q) > 0.0
    assert float(loss.curvature(q)) == float(loss.curvature(-q)) == math.exp(-q)


@pytest.mark.parametrize("log_value", [709.5, 709.78])
def test_inverse_near_the_largest_float(log_value):
    with localcontext(Context(prec=120)):
        expected = -float(Decimal(log_value).exp())  # -log(e^v - 1) is -v to rounding there
    assert float(LogisticLoss().inverse_of_log_value(log_value)) == pytest.approx(expected, rel=1e-12)


def test_inverse_beyond_the_largest_float_is_minus_infinity():
    assert float(LogisticLoss().inverse_of_log_value(710.0)) == -math.inf


class SquaredWeight:
    """ℓ(q) = 1/(1+q) for q >= 0 and 1 - q below; it declares no exponential tail."""

    name = "polynomial"

    def value(self, q):
        return np.where(np.asarray(q) < 0.0, 1.0 - q, 1.0 / (1.0 + np.maximum(q, 0.0)))

    def log_value(self, q):
        return np.log(self.value(q))

    def weight(self, q):
        return (1.0 + np.maximum(q, 0.0)) ** -2.0

    def log_weight(self, q):
        return -2.0 * np.log1p(np.maximum(q, 0.0))

    def curvature(self, q):
        return np.where(np.asarray(q) < 0.0, 0.0, 2.0 * (1.0 + np.maximum(q, 0.0)) ** -3.0)

    def log_weight_decay(self, q):
        return np.where(np.asarray(q) < 0.0, 0.0, 2.0 / (1.0 + np.maximum(q, 0.0)))

    def inverse_of_log_value(self, log_value):
        v = np.exp(log_value)
        return np.where(v > 1.0, 1.0 - v, 1.0 / v - 1.0)


class Doubled(LogisticLoss):
    """2 log(1 + e^{-q}): a third loss that does have the tail, log g = -q + log 2."""

    def log_weight(self, q):
        return np.log(2.0) + super().log_weight(q)

    def log_value(self, q):
        return np.log(2.0) + super().log_value(q)

    def inverse_of_log_value(self, log_value):
        return super().inverse_of_log_value(np.asarray(log_value) - np.log(2.0))


TWO = TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5)), Dataset([[1.0, 0.1, 0.0], [0.0, 1.0, 0.1]], [1, -1])
START = 0.01 * np.random.default_rng(0).standard_normal((3, 3))


@pytest.mark.parametrize("method", ["piecewise", "adaptive"])
def test_the_flow_refuses_a_loss_without_an_exponential_tail(method):
    with pytest.raises(InvalidParameterError, match="`loss` must declare an exponential tail"):
        gradient_flow(*TWO, START, SquaredWeight(), method=method)
    path = gradient_descent(*TWO, START, 0.5, 100, loss=SquaredWeight()).trajectory
    assert np.all(np.diff(path.loss) < 0.0)


def test_verify_says_why_it_has_no_flow_of_such_a_loss_and_decides_the_rest():
    rows = {row.id: row for row in verify(*TWO, loss=SquaredWeight(), descent_steps=50).claims}
    assert rows["flow-limit-is-kkt"].verdict.name == "INCONCLUSIVE"
    assert "exponential tail" in rows["flow-limit-is-kkt"].reason
    assert rows["descent-stable-rank-bounded"].verdict.name == "HOLDS_NUMERICALLY"
    assert rows["descent-converges"].verdict.name == "HYPOTHESIS_NOT_MET"


def test_a_third_loss_with_the_tail_has_the_same_path():
    """Twice the loss has the same sample weights, hence the same path in s, and twice the plain speed."""
    one, other = gradient_flow(*TWO, START), gradient_flow(*TWO, START, Doubled())
    np.testing.assert_allclose(other.limit.weights(), one.limit.weights(), rtol=1e-12, atol=1e-14)
    path, twice = one.trajectory, other.trajectory
    at = np.interp(path.s[5:20], twice.s, twice.log_time)
    np.testing.assert_allclose(at, path.log_time[5:20] - np.log(2.0), atol=1e-3)
