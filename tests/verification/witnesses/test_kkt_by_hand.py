"""KKT residuals at points whose multipliers, slopes and margins are known by hand (docs/theory.md, section 12)."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork
from verification.witnesses import multipliers
from verification.witnesses.kkt import KKTStatus, kkt_residuals


@pytest.mark.parametrize("delta", [2.0**-24, 2.0**-30])
def test_a_slope_at_a_kink_next_to_its_end(delta: float) -> None:
    """γ = 3/4, λ = (1, 1), Φ_00 = γ + δ = c: rows (c - Φ, 1) = (0, 1) and -(γc - 1, γ); z_00 = 0, z_11 < 0 < z_10."""
    gamma, c = 0.75, 0.75 + delta
    network, data = TwoLayerNetwork([1.0, -1.0], LeakyReLU(gamma)), Dataset([[1.0, 0.0], [c, 1.0]], [-1.0, 1.0])
    found = kkt_residuals(network, data, [[0.0, 1.0], [1.0 - gamma * c, -gamma]])
    assert found.status is KKTStatus.MEASURED
    assert found.stationarity < 1e-14
    assert found.pattern.tolist() == [[0, 1], [1, -1]]
    assert found.slopes[0, 0] == pytest.approx(c, rel=1e-12)
    np.testing.assert_allclose(found.multipliers * found.smallest_margin, [1.0, 1.0], rtol=1e-12)


@pytest.mark.parametrize(
    ("off", "status"), [(1e-3, "INACCURATE"), (1e-8, "INACCURATE"), (1e-12, "MEASURED"), (0.0, "MEASURED")]
)
def test_multipliers_are_optimal_to_ten_digits(off: float, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """K = I, a = 1: W = (1, 1), λ = (1, 1). Multipliers too small by `off` leave a residual along both rays."""
    right = multipliers._nnls
    monkeypatch.setattr(multipliers, "_nnls", lambda columns, W: (1.0 - off) * right(columns, W))
    found = kkt_residuals(TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset(np.eye(2), [1, 1]), [[1.0, 1.0]])
    assert found.status is KKTStatus[status]
    assert found.stationarity == pytest.approx(off, abs=1e-15)
    assert found.message == found.status.value


@pytest.fixture(params=["a linear program", "too large for one"])
def sharing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dependent samples share by a linear program, or, where that is too large, by the tight samples alone."""
    if request.param == "too large for one":
        monkeypatch.setattr(multipliers, "PROGRAM_ENTRIES", 0)


@pytest.mark.usefixtures("sharing")
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_multipliers_stand_on_the_tight_samples(order: tuple[int, ...]) -> None:
    """On a line, q = (1, 2, 3) for W = (1, 0): of all λ with λ₁ + 2λ₂ + 3λ₃ = 1 only (1, 0, 0) is complementary."""
    X = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])[list(order)]
    found = kkt_residuals(TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset(X, np.ones(3)), [[1.0, 0.0]])
    assert found.stationarity < 1e-14
    assert found.complementarity < 1e-14
    assert found.duality_gap < 1e-14
    np.testing.assert_allclose(found.multipliers[np.argsort(order)], [1.0, 0.0, 0.0], atol=1e-14)


@pytest.mark.usefixtures("sharing")
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_tight_is_meant_to_rounding_of_a_limit(order: tuple[int, ...]) -> None:
    """q = (1, 1 + 1e-9, 2 + 1e-9) with x₃ = x₁ + x₂: λ = (1, 1 + 1e-9, 0) has Σλ(q - 1)/Σλ = 5e-10, any other more."""
    X = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])[list(order)]
    found = kkt_residuals(TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset(X, np.ones(3)), [[1.0, 1.0 + 1e-9]])
    assert found.stationarity < 1e-14
    assert found.complementarity == pytest.approx(5e-10, rel=1e-6)


@pytest.mark.usefixtures("sharing")
def test_a_fit_to_the_tight_samples_that_is_farther_is_not_taken() -> None:
    """W = (1, 2) with samples e₁ (tight), e₂ (q = 2): e₁ alone leaves 2/√5, both nothing, at Σλ(q - 1)/Σλ = 2/3."""
    found = kkt_residuals(TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset(np.eye(2), [1, 1]), [[1.0, 2.0]])
    assert found.stationarity < 1e-14
    assert found.complementarity == pytest.approx(2.0 / 3.0, rel=1e-13)
    assert found.duality_gap == pytest.approx(2.0 * 2.0 / 5.0, rel=1e-13)  # Σλ(q - 1) = 2 over ½‖W‖² = 5/2


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_feasibility_is_relative_to_the_largest_margin_there_could_be(scale: float) -> None:
    """a = (3, -4), W = s (e₁; 0), x = 2e₁ and -e₂ - e₁: f = (6s, -3γs), and q₀ = -f₀: -6/(5·1·2) = -0.6."""
    network = TwoLayerNetwork([3.0, -4.0], LeakyReLU(0.5))
    data = Dataset([[2.0, 0.0], [-1.0, -1.0]], [-1, -1])
    found = kkt_residuals(network, data, scale * np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert found.status is KKTStatus.NOT_SEPARATING
    assert found.feasibility == pytest.approx(0.6, rel=1e-14)
    assert found.smallest_margin == pytest.approx(-6.0 * scale, rel=1e-14)
    assert "The margin of sample 0 is" in found.message
    assert found.multipliers.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("W", "sample"), [([[1.0, 0.0]], 1), ([[0.0, 1.0]], 0), ([[0.0, 0.0]], 0)])
def test_a_margin_of_zero_does_not_separate(W, sample: int) -> None:
    found = kkt_residuals(TwoLayerNetwork([1.0], LeakyReLU(0.5)), Dataset(np.eye(2), [1, 1]), W)
    assert found.status is KKTStatus.NOT_SEPARATING
    assert (found.feasibility, found.stationarity, found.smallest_margin) == (0.0, np.inf, 0.0)
    assert f"sample {sample} " in found.message


@pytest.mark.parametrize("a", [(2.0, -3.0), (0.125, -8.0), (1.0, -1.0)])
def test_multipliers_of_unequal_neurons(a: tuple[float, float]) -> None:
    """x = e₁, e₂, labels (1, -1), slopes (1, γ) and (γ, 1): q₁ = λ₁ (a₁² + γ²a₂²) = 1, q₂ = λ₂ (γ²a₁² + a₂²) = 1."""
    gamma, squares = 0.5, np.square(a)
    lam = 1.0 / np.array([squares[0] + gamma**2 * squares[1], gamma**2 * squares[0] + squares[1]])
    W = np.outer(a, [1.0, -1.0]) * [[1.0, gamma], [gamma, 1.0]] * lam
    for scale in (1.0, 7.0):
        found = kkt_residuals(TwoLayerNetwork(a, LeakyReLU(gamma)), Dataset(np.eye(2), [1, -1]), scale * W)
        np.testing.assert_allclose(found.multipliers, lam, rtol=1e-13)
        assert max(found.stationarity, found.complementarity, found.duality_gap) < 1e-13
        assert found.smallest_margin == pytest.approx(scale, rel=1e-13)


@pytest.mark.parametrize(("slope", "units"), [(1.0, 0), (0.999, 1)])
def test_a_linear_network_has_no_kink(slope: float, units: int) -> None:
    """z_10 = 0; for γ = 1 that is a point like any other."""
    network, data = TwoLayerNetwork([1.0, -1.0], LeakyReLU(slope)), Dataset(np.eye(2), [1, 1])
    found = kkt_residuals(network, data, [[1.0, 1.0], [0.0, -1.0]])
    assert (found.units_at_kink, int(np.sum(found.pattern == 0))) == (units, units)
