"""Activations against their definition in rational arithmetic (docs/theory.md, section 1)."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import LeakyReLU, SmoothLeakyReLU
from refimpl.errors import ImplicitBiasError, InvalidParameterError
from verification.strategies import dyadics

SLOPES = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0])
SMOOTHNESS = st.sampled_from([0.25, 1.0, 2.0, 8.0, 64.0])
POINTS = st.lists(dyadics(16, 64), min_size=1, max_size=8)


@pytest.mark.parametrize("phi", [LeakyReLU(0.0), SmoothLeakyReLU(0.0, 2.0)], ids=repr)
def test_the_relu_of_infinity(phi):
    low, high = phi.value([-np.inf, np.inf])
    assert low == pytest.approx(0.0, abs=0.125)  # -(1-γ)/(4H) for the smooth one
    assert high == np.inf


@pytest.mark.parametrize("H", [1e-300, 1e300])
def test_a_smoothness_of_any_size(H):
    for z in (-1e200, -1e-310, 1e-310, 1e200):
        found, expected = SmoothLeakyReLU(0.5, H).value(z), smooth_value_over_Q(0.5, H, z)
        assert abs(Fraction(float(found)) - expected) <= 4 * Fraction(float(np.spacing(abs(found))))


@pytest.mark.parametrize("tolerance", [-1.0, np.nan, [0.1, 0.1, 0.1], "wide"])
def test_a_tolerance_that_is_none(tolerance):
    for phi in (LeakyReLU(0.5), SmoothLeakyReLU(0.5, 1.0)):
        with pytest.raises(ImplicitBiasError, match="`tolerance` must"):
            phi.clarke_interval([1.0, 2.0], tolerance)


def smooth_value_over_Q(gamma, H, z):
    gamma, H, z = Fraction(gamma), Fraction(H), Fraction(z)
    if z >= 1 / H:
        return z - (1 - gamma) / (4 * H)
    if z <= -1 / H:
        return gamma * z - (1 - gamma) / (4 * H)
    return (1 - gamma) * H * z * z / 4 + (1 + gamma) * z / 2


@given(SLOPES, POINTS)
def test_leaky_relu_is_exact_on_dyadic_numbers(gamma, points):
    expected = [float(Fraction(z) if z > 0 else Fraction(gamma) * Fraction(z)) for z in points]
    assert LeakyReLU(gamma).value(points).tolist() == expected


@given(SLOPES, POINTS)
def test_slope_of_leaky_relu_away_from_the_kink_is_that_of_a_chord(gamma, points):
    phi = LeakyReLU(gamma)
    z = np.array([p for p in points if p != 0.0] + [1.0])
    h = 2.0**-10  # below every |z| > 0 that is drawn: the chord does not pass the kink, and is exact
    assert np.array_equal(phi.derivative(z), (phi.value(z + h) - phi.value(z - h)) / (2.0 * h))


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_kink_of_leaky_relu(zero):
    phi = LeakyReLU(0.25)
    assert phi.derivative(zero) == 1.0
    assert tuple(map(float, phi.clarke_interval(zero))) == (0.25, 1.0)


def test_clarke_interval_is_a_point_beyond_the_tolerance():
    low, high = LeakyReLU(0.25).clarke_interval([-2.0, -0.5, -1e-300, 0.5, 2.0], tolerance=[0.0, 1.0, 0.0, 0.5, 1.0])
    assert low.tolist() == [0.25, 0.25, 0.25, 0.25, 1.0]
    assert high.tolist() == [0.25, 1.0, 0.25, 1.0, 1.0]


@given(SLOPES, SMOOTHNESS, POINTS)
def test_smooth_value_is_exact_on_dyadic_numbers(gamma, H, points):
    expected = [float(smooth_value_over_Q(gamma, H, z)) for z in points]
    assert SmoothLeakyReLU(gamma, H).value(points).tolist() == expected


@given(SLOPES, SMOOTHNESS, POINTS)
def test_smooth_derivative_is_the_chord_of_the_value(gamma, H, points):
    """φ is quadratic or linear piece by piece, so a symmetric chord within a piece has exactly the slope φ'."""
    phi = SmoothLeakyReLU(gamma, H)
    h = Fraction(1, 2**20)
    for z in [p for p in points if abs(abs(p) - 1.0 / H) > 2.0**-19]:
        rise = smooth_value_over_Q(gamma, H, Fraction(z) + h) - smooth_value_over_Q(gamma, H, Fraction(z) - h)
        assert float(phi.derivative(z)) == pytest.approx(float(rise / (2 * h)), rel=4e-16)


@given(SLOPES, SMOOTHNESS, st.floats(-20, 20), st.floats(-20, 20))
def test_smooth_derivative_is_monotone_lipschitz_and_within_the_slopes(gamma, H, x, y):
    phi = SmoothLeakyReLU(gamma, H)
    low, high = sorted((float(phi.derivative(x)), float(phi.derivative(y))))
    assert gamma <= low <= high <= 1.0
    assert (x <= y) == (phi.derivative(x) <= phi.derivative(y)) or low == high
    assert high - low <= (1.0 - gamma) * H * abs(x - y) / 2.0 + 4e-16 <= H * abs(x - y) + 4e-16


@pytest.mark.parametrize("gamma", [0.0, 0.25, 0.5])
def test_smooth_tends_to_leaky_at_the_rate_of_its_constant(gamma):
    """sup |φ_H - φ| = (1-γ)/(4H), attained from |z| = 1/H on."""
    z = np.linspace(-4.0, 4.0, 2**12 + 1)  # dyadic, holds ±1/H for the H below
    for H in (1.0, 4.0, 64.0):
        gap = np.abs(SmoothLeakyReLU(gamma, H).value(z) - LeakyReLU(gamma).value(z))
        assert gap.max() == (1.0 - gamma) / (4.0 * H)
        assert np.all(gap[np.abs(z) >= 1.0 / H] == gap.max())
        assert np.all(SmoothLeakyReLU(gamma, H).derivative(z[z <= -1.0 / H]) == gamma)


def test_smooth_value_has_no_jump_at_the_joints():
    phi = SmoothLeakyReLU(0.25, 4.0)
    for joint in (-0.25, 0.25):
        below, above = np.nextafter(joint, -np.inf), np.nextafter(joint, np.inf)
        assert abs(phi.value(above) - phi.value(below)) <= 2.0 * (above - below)


def test_smooth_clarke_interval_is_the_range_of_the_derivative():
    phi = SmoothLeakyReLU(0.5, 2.0)
    low, high = phi.clarke_interval([0.0, 0.25, 3.0], tolerance=0.125)
    z = np.array([0.0, 0.25, 3.0])[:, None] + np.linspace(-0.125, 0.125, 101)
    np.testing.assert_allclose(low, phi.derivative(z).min(axis=1), rtol=1e-15)
    np.testing.assert_allclose(high, phi.derivative(z).max(axis=1), rtol=1e-15)
    assert phi.clarke_interval(0.1)[0] == phi.clarke_interval(0.1)[1] == phi.derivative(0.1)


@pytest.mark.parametrize("z", [1e300, -1e300, np.inf, -np.inf])
def test_no_warning_and_right_value_at_the_ends_of_the_range(z):
    for phi in (LeakyReLU(0.5), SmoothLeakyReLU(0.5, 1e3)):
        assert phi.value(z) == (z if z > 0 else z / 2.0)
        assert phi.derivative(z) == (1.0 if z > 0 else 0.5)


@pytest.mark.parametrize("slope", [-0.1, 1.1, float("nan"), float("inf"), "steep", None])
@pytest.mark.parametrize("make", [LeakyReLU, lambda slope: SmoothLeakyReLU(slope, 1.0)])
def test_bad_slopes_are_refused_by_name(make, slope):
    with pytest.raises(InvalidParameterError, match="`slope` must"):
        make(slope)


@pytest.mark.parametrize("smoothness", [0.0, -1.0, float("nan"), float("inf"), [1.0, 2.0]])
def test_bad_smoothness_is_refused_by_name(smoothness):
    with pytest.raises(InvalidParameterError, match="`smoothness` must"):
        SmoothLeakyReLU(0.5, smoothness)
