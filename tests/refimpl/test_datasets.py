"""Data: container, generators and readers (docs/theory.md, sections 1 and 3)."""

import copy
import hashlib
import itertools
import math
import pickle
import struct

import numpy as np
import pytest

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets
from refimpl.errors import (
    FileFormatError,
    ImplicitBiasError,
    InvalidDataError,
    InvalidParameterError,
    ShapeError,
    UnreachableSlackError,
)

EPS = float(np.finfo(np.float64).eps)


def gram_in_loops(X):
    rows = X.tolist()
    return [[math.fsum(p * q for p, q in zip(a, b, strict=True)) for b in rows] for a in rows]


def slack_in_loops(X, slope):
    """R_min² / (3 γ⁻³ R² n p), from sums that are exact before one rounding."""
    K, n = gram_in_loops(X), len(X)
    squares = [K[i][i] for i in range(n)]
    p = max(abs(K[i][k]) for i, k in itertools.permutations(range(n), 2))
    return min(squares) / (3.0 * slope**-3 * (max(squares) / min(squares)) * n * p)


# --- container ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [lambda X: X, lambda X: X[:, ::2], lambda X: X[::-1], np.asfortranarray])
def test_changes_of_the_callers_arrays_do_not_reach_the_data(view):
    X, y = np.arange(1.0, 7.0).reshape(2, 3), np.array([1.0, -1.0])
    data = Dataset(view(X), y)
    fresh = Dataset(view(X).copy(), [1, -1])
    locked = X.view()
    locked.setflags(write=False)
    through_a_view = Dataset(view(locked), y)
    X += 1.0
    y *= -1.0
    for one in (data, through_a_view):
        assert one.sha256 == fresh.sha256
        np.testing.assert_array_equal(one.gram, fresh.gram)
    for array in (data.X, data.y):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0.0


def test_what_nobody_can_write_to_is_shared():
    data = Dataset(np.eye(2, 3), [1, -1])
    again = Dataset(data.X, data.y)
    assert again.X is data.X
    assert again.y is data.y
    assert np.shares_memory(Dataset(data.X[:1], [1]).X, data.X)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_a_duplicate_is_read_only_too(duplicate):
    data = Dataset(np.eye(2, 3), [1, -1])
    K = data.gram
    twin = duplicate(data)
    np.testing.assert_array_equal(twin.gram, K)
    for array in (twin.X, twin.y, twin.gram, duplicate(TwoLayerNetwork([1.0], LeakyReLU(0.5))).second_layer):
        assert not array.flags.writeable


def test_the_factor_of_the_gram_matrix():
    data = Dataset([[3.0, 4.0], [0.0, 2.0]], [1, -1])
    np.testing.assert_allclose(data.gram_factor @ data.gram_factor.T, [[25.0, 8.0], [8.0, 4.0]], rtol=1e-15)
    assert data.gram_factor is data.gram_factor
    assert not data.gram_factor.flags.writeable


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.float16])
def test_other_numbers_become_float64(dtype):
    data = Dataset(np.array([[1, 2], [3, 4]], dtype=dtype), np.array([1, -1], dtype=np.int8))
    assert data.X.dtype == data.y.dtype == np.float64
    assert data.X.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_numbers_of_the_gram_matrix():
    rng = np.random.default_rng(0)
    data = Dataset(rng.standard_normal((5, 7)), [1, -1, -1, 1, 1])
    K = np.array(gram_in_loops(data.X))
    np.testing.assert_allclose(data.gram, K, atol=1e-14)
    np.testing.assert_allclose(data.norms, np.sqrt(np.diagonal(K)), rtol=1e-14)
    assert data.R_max == pytest.approx(math.sqrt(max(K.diagonal())), rel=1e-14)
    assert data.R_min == pytest.approx(math.sqrt(min(K.diagonal())), rel=1e-14)
    assert data.p == pytest.approx(max(abs(K[i, k]) for i in range(5) for k in range(5) if i != k), rel=1e-14)
    for i in range(5):
        for k in range(5):
            assert data.signed_gram[i, k] == pytest.approx(data.y[i] * data.y[k] * K[i, k], abs=1e-14)
    with pytest.raises(ValueError, match="read-only"):
        data.gram[0, 0] = 0.0
    assert np.array_equal(data.gram, data.gram.T)


def test_sha256_is_that_of_the_bytes_packed_by_hand():
    X, y = [[1.0, -2.5], [0.125, 3.0]], [1.0, -1.0]
    digest = hashlib.sha256(struct.pack("<6d", 1.0, -2.5, 0.125, 3.0, 1.0, -1.0)).hexdigest()
    assert Dataset(X, y).sha256 == digest
    assert Dataset(np.asfortranarray(X), y).sha256 == digest
    assert Dataset(np.array(X, dtype=">f8"), np.array(y, dtype=np.int8)).sha256 == digest
    assert Dataset(X, [-1.0, 1.0]).sha256 != digest


@pytest.mark.parametrize(
    ("X", "y", "error", "words"),
    [
        ([[1.0, np.nan]], [1], InvalidParameterError, r"`X\[0, 1\]` must be finite; got nan"),
        ([[1.0, 2.0], [np.inf, 0.0]], [1, 1], InvalidParameterError, r"`X\[1, 0\]` must be finite; got inf"),
        ([[1.0], [2.0]], [1], ShapeError, r"`y` must have shape \(2,\), one label for each row of `X`; got \(1,\)"),
        ([1.0, 2.0], [1, 1], ShapeError, "`X` must have shape with 2 axes"),
        (np.empty((0, 3)), [], ShapeError, r"`X` must have shape \(n, d\) with n >= 1 and d >= 1; got \(0, 3\)"),
        (np.empty((3, 0)), [1, 1, 1], ShapeError, r"got \(3, 0\)"),
        ([[1.0], [2.0]], [0, 1], InvalidDataError, r"convert it with y = 2\*y - 1 \(.*--positive-label 1\)"),
        ([[1.0], [2.0]], [1, 3], InvalidDataError, r"`y` must be \+1 or -1; y\[1\] is 3"),
        ([[1.0], [2.0]], [1, np.nan], InvalidDataError, r"`y` must be \+1 or -1; y\[1\] is nan"),
        ([[1.0], [2.0]], ["a", "b"], InvalidParameterError, "`y` must hold real numbers"),
        ([[1.0], [2.0]], [[1], [1]], ShapeError, "`y` must have shape with 1 axis"),
        ([[1.0, 0.0], [0.0, -0.0]], [1, 1], InvalidDataError, "`X` has a zero row: row 1"),
        ([[1.0, 0.0], [2.0, 0.0], [1.0, -0.0]], [1, 1, -1], InvalidDataError, "opposite labels: rows 0 and 2"),
        ([[1.0 + 2j]], [1], InvalidParameterError, "`X` must hold real numbers"),
        ([[1.0], [2.0, 3.0]], [1, 1], InvalidParameterError, "`X` must be a rectangular array"),
    ],
)
def test_bad_data_are_refused_in_one_sentence(X, y, error, words):
    with pytest.raises(error, match=words) as caught:
        Dataset(X, y)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_equal_samples_with_equal_labels_are_fine():
    assert Dataset([[1.0, 2.0], [1.0, 2.0]], [1, 1]).n == 2


@pytest.mark.parametrize("scale", [1e170, 1e-170])
def test_norms_that_leave_the_range_are_refused_with_a_remedy(scale):
    with pytest.raises(InvalidDataError, match=r"squared norms leave the range of float64: .* by a power of two"):
        _ = Dataset([[scale, 0.0], [0.0, scale]], [1, -1]).gram


@pytest.mark.parametrize("scale", [1e170, 1e-170, 1.0, 100.0])
def test_rescaling_is_by_a_power_of_two_and_brings_the_largest_norm_near_one(scale):
    data = Dataset([[3.0 * scale, 4.0 * scale], [0.0, scale]], [1, -1])
    rescaled, k = data.rescaled()
    assert 1.0 <= rescaled.R_max < 2.0
    assert np.array_equal(np.ldexp(rescaled.X, k), data.X)
    assert np.array_equal(rescaled.y, data.y)


# --- generators ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("norm_ratio", [1.0, 2.5])
@pytest.mark.parametrize(("n", "d"), [(2, 2), (3, 50), (12, 12), (12, 200)])
@pytest.mark.parametrize("slack", [0.9, 1.0, 1.0000001, 37.0])
def test_nearly_orthogonal_hits_the_slack_to_rounding(n, d, slack, slope, norm_ratio):
    data = datasets.nearly_orthogonal(n, d, slack, slope, np.random.default_rng(n + d), norm_ratio)
    K, R = np.array(gram_in_loops(data.X)), norm_ratio
    p = slope**3 / (3.0 * R**2 * n * slack)
    # an inner product of rows of norm R carries n eps R² at most: that is the error of p, and so of the slack
    assert slack_in_loops(data.X, slope) == pytest.approx(slack, rel=2.0 * math.sqrt(n) * 8 * EPS * R**2 / p + 8 * EPS)
    np.testing.assert_allclose(np.diagonal(K), np.linspace(1.0, R, n) ** 2, rtol=1e-13)
    off = np.abs(K[~np.eye(n, dtype=bool)])
    assert off.min() >= 0.499 * off.max()  # no entry is negligible
    assert data.y.tolist() == [1.0 if i % 2 == 0 else -1.0 for i in range(n)]


def test_nearly_orthogonal_has_inner_products_of_both_signs_and_depends_on_the_generator():
    first = datasets.nearly_orthogonal(8, 30, 1.0, 0.5, np.random.default_rng(0))
    again = datasets.nearly_orthogonal(8, 30, 1.0, 0.5, np.random.default_rng(0))
    other = datasets.nearly_orthogonal(8, 30, 1.0, 0.5, np.random.default_rng(1))
    assert np.array_equal(first.X, again.X)
    assert not np.array_equal(np.sign(first.gram), np.sign(other.gram))
    off = first.gram[np.triu_indices(8, 1)]
    assert (off > 0).sum() >= 5
    assert (off < 0).sum() >= 5
    assert len(set(np.abs(off).round(6))) > 20  # sizes vary


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((5, 4, 1.0, 0.5), InvalidParameterError, "`d` must be at least n = 5"),
        ((1, 4, 1.0, 0.5), InvalidParameterError, "`n` must be a whole number, at least 2"),
        ((3, 4, 0.0, 0.5), InvalidParameterError, "`slack` must be finite and positive"),
        ((3, 4, float("inf"), 0.5), InvalidParameterError, "`slack` must be finite and positive"),
        ((3, 4, 1.0, 1.5), InvalidParameterError, r"`slope` must lie in \[0, 1\]"),
        ((3, 4, 1.0, 0.0), UnreachableSlackError, "`slope` is 0"),
        ((3, 4, 1e9, 0.5), UnreachableSlackError, "rounding in X"),
        ((3, 4, 1e-3, 0.5), UnreachableSlackError, "no definite Gram matrix"),
        ((3, 4, 1.0, 0.5, 0.5), InvalidParameterError, "`norm_ratio` must be at least 1 and at most 1e\\+150; got 0.5"),
        ((2.0, 4, 1.0, 0.5), InvalidParameterError, "`n` must be a whole number"),
    ],
)
def test_nearly_orthogonal_refuses_what_cannot_be(arguments, error, words):
    *first, ratio = arguments if len(arguments) == 5 else (*arguments, 1.0)
    with pytest.raises(error, match=words) as caught:
        datasets.nearly_orthogonal(*first, np.random.default_rng(0), ratio)
    assert isinstance(caught.value, ImplicitBiasError)


def test_gaussian_rows_have_the_norms_and_angles_of_gaussians():
    """‖x_i‖² = s_i² χ²_d/d: s_i² ± s_i²√(2/d); ⟨x_i, x_k⟩ has deviation s_i s_k/√d. Five deviations are allowed."""
    n, d = 40, 4000
    data = datasets.gaussian(n, d, np.random.default_rng(0), norm_ratio=3.0)
    s = np.linspace(0.5, 1.5, n)  # ratio 3, mean 1
    assert np.all(np.abs(data.norms**2 / s**2 - 1.0) < 5.0 * math.sqrt(2.0 / d))
    cosines = data.gram[np.triu_indices(n, 1)] / np.outer(s, s)[np.triu_indices(n, 1)]
    assert np.abs(cosines).max() < 5.0 / math.sqrt(d)
    assert np.std(cosines) * math.sqrt(d) == pytest.approx(1.0, abs=0.1)  # 780 pairs: deviation 0.025
    assert data.y[:4].tolist() == [1.0, -1.0, 1.0, -1.0]


def test_gaussian_mixture_has_its_mean_its_noise_and_its_flips():
    """The label-weighted mean estimates (1 - 2·flip) μ; the clusters come back by the sign of ⟨μ, x⟩."""
    n, d, mean_norm, noise, flip = 4000, 20, 6.0, 0.5, 0.2
    data = datasets.gaussian_mixture(n, d, np.random.default_rng(0), mean_norm, noise, flip)
    clusters = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    mu = (clusters[:, None] * data.X).mean(axis=0)
    assert np.linalg.norm(mu) == pytest.approx(mean_norm, abs=5 * noise / math.sqrt(n))
    residual = data.X - clusters[:, None] * mu
    assert residual.std() == pytest.approx(noise, rel=5 / math.sqrt(2 * n * d))
    flips = data.y != clusters
    assert flips.mean() == pytest.approx(flip, abs=5 * math.sqrt(flip * (1 - flip) / n))
    assert flips[::2].mean() == pytest.approx(flips[1::2].mean(), abs=0.06)  # both clusters alike
    assert np.array_equal(datasets.gaussian_mixture(50, 5, np.random.default_rng(3), 1.0).y, clusters[:50])


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
def test_correlated_rows_share_their_direction(rho):
    """⟨x_i, x_k⟩ = ρ + O(1/√d), K_ii = 1 + O(1/√d)."""
    n, d = 10, 20_000
    data = datasets.correlated(n, d, np.random.default_rng(0), rho)
    assert np.all(np.abs(data.gram - rho - (1.0 - rho) * np.eye(n)) < 6.0 * 2.0 / math.sqrt(d))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda rng: datasets.gaussian(0, 3, rng), "`n` must be a whole number, at least 1; got 0"),
        (lambda rng: datasets.gaussian(3, 2.5, rng), "`d` must be a whole number"),
        (lambda rng: datasets.gaussian(3, True, rng), "`d` must be a whole number"),
        (lambda rng: datasets.gaussian(3, 3, rng, norm_ratio=0.9), "`norm_ratio`"),
        (lambda rng: datasets.gaussian_mixture(3, 3, rng, mean_norm=-1.0), "`mean_norm`"),
        (lambda rng: datasets.gaussian_mixture(3, 3, rng, 1.0, noise=0.0), "`noise`"),
        (lambda rng: datasets.gaussian_mixture(3, 3, rng, 1.0, flip_probability=1.5), "`flip_probability`"),
        (lambda rng: datasets.correlated(3, 3, rng, 1.2), "`correlation`"),
    ],
)
def test_bad_parameters_of_generators_are_refused_by_name(make, words):
    with pytest.raises(InvalidParameterError, match=words):
        make(np.random.default_rng(0))


# --- readers ------------------------------------------------------------------------------------------------------

X3 = np.array([[1.5, -2.0], [0.25, 3.0], [4.0, 0.0]])
Y3 = np.array([1.0, -1.0, 1.0])


def same(data):
    return np.array_equal(data.X, X3) and np.array_equal(data.y, Y3)


def test_npz_round_trip(tmp_path):
    np.savez(tmp_path / "a.npz", X=X3, y=Y3.astype(np.int8), extra=np.zeros(3))
    np.savez_compressed(tmp_path / "b.NPZ.npz", X=X3.astype(np.float32), y=Y3)
    assert same(datasets.load(tmp_path / "a.npz"))
    assert same(datasets.load_npz(str(tmp_path / "b.NPZ.npz")))


@pytest.mark.parametrize(
    "text",
    [
        "1.5,-2,1\n0.25,3,-1\n4,0,1\n",
        "1.5,-2,1\r\n0.25,3,-1\r\n\r\n4,0,1",
        "x1,x2,class\n1.5,-2,1\n0.25,3,-1\n4,0,1\n",
        "y,x1,x2\n1,1.5,-2\n-1,0.25,3\n+1,4,0\n",
        "x1, Label ,x2\n1.5,1,-2\n0.25,-1,3\n4,1,0\n",
        "\ufeffx1,x2,y\n1.5,-2.0,1.0\n2.5e-1,3,-1\n4,0,1\n",
        " 1.5 , -2 , 1 \n0.25,3,-1\n ,, \n4,0,1\n".replace(" ,, ", ""),
        '"1.5","-2","1"\n0.25,3,-1\n4,0,1\n',
    ],
)
def test_csv_in_its_usual_shapes(tmp_path, text):
    (tmp_path / "data.csv").write_text(text, encoding="utf-8")
    assert same(datasets.load(tmp_path / "data.csv"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        ("x1,x2,y\n", "it has a header and no samples"),
        ("1,2,1\n3,-1\n", "line 2 has 2 columns, not 3"),
        ("x1,x2,y\n1,2,1\n\n3,4,5,-1\n", "line 4 has 4 columns, not 3"),
        ("1,2,1\n3,red,-1\n", "line 2, column 2 holds 'red', which is not a number"),
        ("1,2,1\n3,,-1\n", r"line 2, column 2 is missing \(''\)"),
        ("1\n-1\n", "at least one feature column and a label column"),
        ("1,2,1\n3,nan,-1\n", r"line 2, column 2 is missing \('nan'\)"),
        ("1,2,1\n3,1e999,-1\n", "line 2, column 2 holds '1e999', which is not a finite number"),
        ("1,2,0\n3,4,1\n", r"its labels are 0, 1, not \+1 and -1: --positive-label 0"),
        ("1,2,1\n3,4,2\n", r"its labels are 1, 2, not \+1 and -1: --positive-label 1"),
        ("1,2,1\n0,0,-1\n", "`X` has a zero row: row 1"),
        ("1,2,1\n1,2,-1\n", "opposite labels: rows 0 and 1"),
    ],
)
def test_bad_csv_is_refused_in_one_sentence(tmp_path, text, words):
    path = tmp_path / "data.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=words) as caught:
        datasets.load(path)
    assert str(caught.value).startswith(f"cannot read `{path}`: ")
    assert "\n" not in str(caught.value)


def test_a_sentence_ends_with_one_full_stop(tmp_path):
    (tmp_path / "data.csv").write_text("1,2,0\n3,4,1\n")
    with pytest.raises(FileFormatError, match=r"[^.]\.$"):
        datasets.load(tmp_path / "data.csv")


def test_bytes_that_are_not_text_are_refused(tmp_path):
    (tmp_path / "data.csv").write_bytes(bytes(range(128, 256)))
    with pytest.raises(FileFormatError, match="it is not readable text"):
        datasets.load(tmp_path / "data.csv")
    (tmp_path / "null.csv").write_bytes(b"1,2,1\n3,\x00,-1\n")
    with pytest.raises(FileFormatError):
        datasets.load(tmp_path / "null.csv")


@pytest.mark.parametrize("name", ["data.npz", "data.csv"])
def test_missing_files_and_folders_are_said_to_be_so(tmp_path, name):
    with pytest.raises(FileFormatError, match="there is no such file"):
        datasets.load(tmp_path / name)
    (tmp_path / name).mkdir()
    with pytest.raises(FileFormatError, match="cannot read"):
        datasets.load(tmp_path / name)


@pytest.mark.parametrize("name", ["data.txt", "data", "data.npx"])
def test_other_endings_are_refused(tmp_path, name):
    (tmp_path / name).write_text("1,2,1\n")
    with pytest.raises(FileFormatError, match=r"its name must end in \.npz, \.csv, "):
        datasets.load(tmp_path / name)


def test_every_truncation_of_an_archive_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", X=X3, y=Y3)
    whole = (tmp_path / "whole.npz").read_bytes()
    for length in [0, 1, 3, 4, 30, 64, len(whole) // 2, len(whole) - 23, len(whole) - 1]:
        (tmp_path / "part.npz").write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match=r"it is not a complete \.npz archive"):
            datasets.load(tmp_path / "part.npz")


def test_damage_inside_an_archive_is_refused(tmp_path):
    np.savez(tmp_path / "whole.npz", X=X3, y=Y3)
    damaged = bytearray((tmp_path / "whole.npz").read_bytes())
    place = damaged.find(X3.tobytes())
    damaged[place] ^= 0xFF
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with pytest.raises(FileFormatError, match=r"it is not a complete \.npz archive"):
        datasets.load(tmp_path / "damaged.npz")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": X3}, "it needs arrays X and y and holds X"),
        ({"a": X3, "b": Y3}, "it needs arrays X and y and holds a, b"),
        ({"X": X3, "y": Y3[:2]}, "`y` must have shape"),
        ({"X": X3[0], "y": Y3}, "`X` must have shape with 2 axes"),
        ({"X": X3.astype(str), "y": Y3}, "`X` must hold real numbers"),
        ({"X": X3, "y": (Y3 + 1) / 2}, "it holds 0 and 1"),
        ({"X": X3 * np.array([[1.0], [np.nan], [1.0]]), "y": Y3}, r"`X\[1, 0\]` must be finite"),
    ],
)
def test_bad_archives_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(FileFormatError, match=words):
        datasets.load(tmp_path / "data.npz")


class Bomb:
    """Leaves a mark if it is ever unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_objects_are_refused_and_never_run(tmp_path):
    mark = tmp_path / "ran"
    np.savez(tmp_path / "data.npz", X=np.array([[Bomb(mark)]], dtype=object), y=Y3)
    with pytest.raises(FileFormatError, match="it holds pickled objects; save plain arrays of numbers"):
        datasets.load(tmp_path / "data.npz")
    assert not mark.exists()


def test_a_single_array_under_the_name_of_an_archive_is_refused(tmp_path):
    with open(tmp_path / "data.npz", "wb") as handle:
        np.save(handle, X3)
    with pytest.raises(FileFormatError, match=r"it is not a complete \.npz archive"):
        datasets.load(tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("X", "y"), [([[True, False], [False, True]], [1, -1]), ([[1.0, 0.0], [0.0, 1.0]], [True, True])]
)
def test_truth_values_are_no_numbers(X, y) -> None:
    """X > 0 was meant to be X, or to be told as 0 and 1 by whoever means it."""
    with pytest.raises(InvalidParameterError, match="real numbers"):
        Dataset(np.array(X), np.array(y))
