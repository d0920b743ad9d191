"""Preparation against formulas of its own, against scikit-learn, and where samples vanish, tie or overflow."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl import Dataset, datasets
from refimpl.errors import ImplicitBiasError, InvalidDataError, InvalidParameterError, ShapeError
from refimpl.preparation import STEPS, conditioning, prepare


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return Dataset(5.0 + rng.standard_normal((7, 4)) * [1.0, 1e3, 1e-3, 1.0], [1, -1, 1, -1, 1, -1, 1])


def test_each_step_against_its_formula(data):
    X = data.X
    by_hand = {
        "centre": X - X.mean(axis=0),
        "standardize": (X - X.mean(axis=0)) / np.sqrt(((X - X.mean(axis=0)) ** 2).mean(axis=0)),
        "unit_norm": np.array([x / np.sqrt(x @ x) for x in X]),
        "add_bias": np.column_stack([X, np.ones(7)]),
    }
    assert set(by_hand) == set(STEPS)
    for name, expected in by_hand.items():
        prepared = prepare(data, name)
        np.testing.assert_allclose(prepared.data.X, expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(prepared.data.y, data.y)
        assert [step.name for step in prepared.steps] == [name]
    assert prepare(data).data is data


def test_standardize_is_that_of_scikit_learn(data):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    expected = preprocessing.StandardScaler().fit_transform(data.X)
    np.testing.assert_allclose(prepare(data, "standardize").data.X, expected, rtol=1e-12, atol=1e-12)


def test_steps_compose_in_the_order_given(data):
    one, other = prepare(data, "unit_norm", "centre"), prepare(data, "centre", "unit_norm")
    np.testing.assert_allclose(one.data.X.sum(axis=0), 0.0, atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(other.data.X, axis=1), 1.0, rtol=1e-15)
    twice = prepare(prepare(data, "unit_norm").data, "centre")
    np.testing.assert_array_equal(one.data.X, twice.data.X)
    assert prepare(data, "add_bias", "add_bias").data.d == data.d + 2


def test_other_samples_go_through_what_was_fitted(data):
    prepared = prepare(data, *STEPS)
    np.testing.assert_array_equal(prepared.apply(data.X), prepared.data.X)
    x = 2.0 * data.X[:1]
    rest = (x - data.X.mean(axis=0)) / data.X.std(axis=0)
    expected = np.append(rest / np.linalg.norm(rest), 1.0)[None]
    np.testing.assert_allclose(prepared.apply(x), expected, rtol=1e-9)
    with pytest.raises(ShapeError, match=r"\(k, 4\)"):
        prepared.apply(np.ones((2, 3)))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e300, -7e-300])
def test_a_constant_column_becomes_zero_and_is_told(value):
    X = np.column_stack([[1.0, 2.0, 4.0], np.full(3, value)])
    step = prepare(Dataset(X, [1, -1, 1]), "standardize")
    np.testing.assert_array_equal(step.data.X[:, 1], 0.0)
    assert step.steps[0].constant_columns == (1,)
    assert "column 2 is constant and became 0" in step.steps[0].sentence
    assert step.steps[0].to_dict()["constant_columns"] == [2]


def test_a_column_whose_entries_differ_by_rounding_is_constant():
    X = np.column_stack([[1.0, 2.0, 4.0], [0.3, 0.1 + 0.2, 0.3]])
    assert np.ptp(X[:, 1]) > 0.0
    assert prepare(Dataset(X, [1, -1, 1]), "standardize").steps[0].constant_columns == (1,)
    X[1, 1] = 0.3 * (1.0 + 1e-13)  # digits that were written down
    assert prepare(Dataset(X, [1, -1, 1]), "standardize").steps[0].constant_columns == ()


def test_the_all_ones_vector_is_in_the_kernel_of_a_centred_gram_matrix():
    data = datasets.gaussian(9, 300, 0)
    for steps in (("centre",), ("standardize",), ("centre", "unit_norm")):
        found = prepare(data, *steps).data
        v = np.ones(9)
        if "unit_norm" in steps:
            v = np.linalg.norm(prepare(data, *steps[:-1]).data.X, axis=1)
        assert np.linalg.norm(found.gram @ v) <= 1e-13 * np.linalg.norm(found.gram) * np.linalg.norm(v)
        assert (conditioning(found).rank, conditioning(found).singular) == (8, True)
        lifted = prepare(data, *steps, "add_bias").data
        assert not conditioning(lifted).singular


def test_sizes_that_leave_the_range_on_the_way_do_not_matter():
    X = np.array([[1e300, 3e-300], [-1e300, 1e-300], [1.5e300, 2e-300], [0.0, 1e-300]])
    expected = prepare(Dataset(X / [1e300, 1e-300], [1, -1, 1, -1]), "standardize").data.X
    np.testing.assert_allclose(prepare(Dataset(X, [1, -1, 1, -1]), "standardize").data.X, expected, rtol=1e-12)
    assert np.isfinite(prepare(Dataset(X, [1, -1, 1, -1]), "unit_norm").data.X).all()


@pytest.mark.parametrize(
    ("X", "steps", "words"),
    [
        ([[1.0, 2.0]], ["centre"], "After centre: `X` has a zero row: row 0"),
        ([[1.0], [2.0], [3.0]], ["standardize"], "After standardize: `X` has a zero row: row 1"),
        ([[1.0], [2.0], [3.0]], ["centre", "unit_norm"], "After centre, unit_norm: `X` has a zero row, .*: row 1"),
        ([[1.0], [2.0]], ["unit_norm"], "After unit_norm: `X` has equal rows with opposite labels: rows 0 and 1"),
        ([[1.7e308], [-1.7e308], [-1.6e308]], ["centre"], "After centre: .* must be finite"),
    ],
)
def test_what_cannot_be_prepared_is_one_sentence(X, steps, words):
    with pytest.raises(InvalidDataError, match=words):
        prepare(Dataset(X, [1, -1, 1][: len(X)]), *steps)


def test_a_sample_at_the_mean_is_no_fault_with_a_bias():
    prepared = prepare(Dataset([[1.0], [2.0], [3.0]], [1, -1, 1]), "centre", "add_bias")
    np.testing.assert_array_equal(prepared.data.X, [[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0]])


def test_unknown_steps_and_other_things(data):
    with pytest.raises(InvalidParameterError, match="steps"):
        prepare(data, "center")
    with pytest.raises(ImplicitBiasError, match="data"):
        prepare(np.eye(2), "centre")


def test_conditioning_against_eigenvalues_and_a_known_spectrum():
    rng = np.random.default_rng(1)
    U, V = np.linalg.qr(rng.standard_normal((5, 5)))[0], np.linalg.qr(rng.standard_normal((8, 5)))[0]
    sigma = np.array([1e5, 3.0, 2.0, 1.5, 1.0])
    found = conditioning(Dataset(U @ np.diag(sigma) @ V.T, [1, -1, 1, -1, 1]))
    assert found.rank == 5
    assert found.condition == pytest.approx(1e10, rel=1e-9)  # roots of eigenvalues of K would have 6 digits less
    assert conditioning(Dataset(np.ones((3, 2)) + np.eye(3, 2), [1, 1, -1])).singular
    assert conditioning(Dataset([[1e-310]], [1])).condition == 1.0
    assert conditioning(Dataset(np.ones((3000, 3000)), np.ones(3000))) is None
