"""Memory-mapped samples, CIFAR-10 folders, and data of extreme size."""

from __future__ import annotations

import hashlib
import tracemalloc

import numpy as np
import pytest

import refimpl.datasets
import refimpl.tiles.columns
from refimpl import Dataset, LeakyReLU, TwoLayerNetwork, datasets
from refimpl.descent import gradient_descent
from refimpl.errors import FileFormatError, InvalidDataError, InvalidParameterError

RECORD = 3073


# --- a pair of .npy files ---------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path):
    """Writes X and y and returns the two paths."""

    def write(X, y):
        np.save(tmp_path / "X.npy", X)
        np.save(tmp_path / "y.npy", y)
        return tmp_path / "X.npy", tmp_path / "y.npy"

    return write


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 1000 numbers, so that small arrays are gone through in many."""
    monkeypatch.setattr(refimpl.dataset, "BLOCK_BYTES", 8000)


def samples(n=7, d=530, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), np.where(rng.random(n) < 0.5, 1.0, -1.0)


def test_a_pair_is_memory_mapped_and_the_same_data_set(pair):
    X, y = samples()
    data = datasets.load_npy_pair(*pair(X, y.astype(np.int8)))
    base = data.X
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.y, y)
    assert data.sha256 == Dataset(X, y).sha256


@pytest.mark.parametrize("shape", [(7, 530), (3, 2500), (1200, 2), (1, 1)])
def test_blocks_change_nothing(pair, small_blocks, shape):
    """Rows longer than a block, several rows a block, more rows than numbers in a block."""
    X, y = samples(*shape)
    data = datasets.load_npy_pair(*pair(X, y))
    scale = np.outer(np.linalg.norm(X, axis=1), np.linalg.norm(X, axis=1))
    assert np.abs(data.gram - np.einsum("ik,jk->ij", X, X)).max() <= 1e-13 * scale.max()
    np.testing.assert_array_equal(data.gram, data.gram.T)
    assert data.sha256 == hashlib.sha256(X.tobytes() + y.tobytes()).hexdigest()


def test_loading_and_gram_matrix_take_little_memory(pair, monkeypatch):
    monkeypatch.setattr(refimpl.dataset, "BLOCK_BYTES", 2**18)
    monkeypatch.setattr(refimpl.tiles.columns, "LARGEST_WIDTH", 2**11)
    X, y = samples(20, 200_000)
    paths, size = pair(X, y), X.nbytes
    del X
    tracemalloc.start()
    data = datasets.load_npy_pair(*paths)
    data.gram, data.sha256  # noqa: B018
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 32_000_000
    assert peak < 2**21  # X in one piece would take 30 MiB; a block takes 1/4, and its row one more


@pytest.mark.parametrize("place", [(0, 0), (3, 1499), (6, 2499)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_found_in_any_block(small_blocks, place, value):
    X, y = samples(7, 2500)
    X[place] = value
    with pytest.raises(InvalidParameterError, match=rf"`X\[{place[0]}, {place[1]}\]` must be finite"):
        Dataset(X, y)


def test_zero_rows_and_contradictions_are_found_across_blocks(small_blocks):
    X, y = samples(7, 2500)
    zero, equal = X.copy(), X.copy()
    zero[5] = 0.0
    equal[6] = equal[1]
    opposite = np.where(np.arange(7) == 6, -y[1], y)
    with pytest.raises(InvalidDataError, match="zero row: row 5"):
        Dataset(zero, y)
    with pytest.raises(InvalidDataError, match="equal rows with opposite labels: rows 1 and 6"):
        Dataset(equal, opposite)
    assert Dataset(equal, np.where(np.arange(7) == 6, y[1], y)).n == 7
    X[5, :-1] = 0.0  # one number is enough, in the last part of the row or in the first
    X[6, 1:] = 0.0
    assert Dataset(X, y).n == 7


def test_rows_that_differ_in_the_sign_of_zero_are_equal():
    with pytest.raises(InvalidDataError, match="equal rows with opposite labels"):
        Dataset([[1.0, 0.0], [1.0, -0.0]], [1, -1])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((2, 3), dtype=np.complex64), "<c8, not real numbers"),
        (np.full((2, 3), 2**53 + 1), "whole numbers that float64 holds exactly"),
        (np.zeros((0, 3), dtype=np.float32), "n >= 1"),
        (np.ones(3), r"shape \(n, d\), not \(3,\)"),
        (np.zeros((0, 3)), "complete .npy file|n >= 1"),
        (np.array([["a"]]), "not real numbers"),
        (np.array([[0.0, 0.0], [1.0, 0.0]]), "zero row"),
    ],
)
def test_samples_of_other_kinds_are_refused(pair, X, message):
    paths = pair(X, np.ones(len(X)))
    with pytest.raises(FileFormatError, match=message):
        datasets.load_npy_pair(*paths)


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", ">f4", "<f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_other_real_numbers_are_read_as_they_are(pair, dtype, order):
    X, y = samples(5, 90)
    stored = np.asarray(8.0 * X, dtype=dtype, order=order)
    data = datasets.load_npy_pair(*pair(stored, y))
    np.testing.assert_array_equal(data.X, stored.astype(np.float64))


def test_damaged_and_missing_files_are_refused(pair, tmp_path):
    X, y = samples()
    x_path, y_path = pair(X, y)
    whole = x_path.read_bytes()
    np.savez(tmp_path / "X.npz", X=X)
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    for name, content, why in [
        ("half.npy", whole[: len(whole) // 2], "not a complete .npy file"),
        ("header.npy", whole[:20], "not a complete .npy file"),
        ("empty.npy", b"", "not a complete .npy file"),
        ("text.npy", b"1,2,3\n", "not a complete .npy file"),
        ("X.npz", None, "it is an archive"),
        ("objects.npy", None, "it holds pickled objects"),
        ("none.npy", None, "there is no such file"),
    ]:
        if content is not None:
            (tmp_path / name).write_bytes(content)
        for paths in [(tmp_path / name, y_path), (x_path, tmp_path / name)]:
            with pytest.raises(FileFormatError, match=why) as caught:
                datasets.load_npy_pair(*paths)
            assert name in str(caught.value)


def test_labels_that_do_not_fit_are_refused(pair):
    X, _ = samples()
    for y in (np.ones(6), np.zeros(7), np.full(7, 2.0), np.ones((7, 1))):
        with pytest.raises(FileFormatError, match="`y`"):
            datasets.load_npy_pair(*pair(X, y))


def test_descent_runs_on_memory_mapped_samples(pair):
    X, y = samples(7, 40)
    network, W0 = TwoLayerNetwork([1.0, -1.0], LeakyReLU(0.5)), np.full((2, 40), 0.1)
    mapped = gradient_descent(network, datasets.load_npy_pair(*pair(X, y)), W0, 0.1, 5)
    np.testing.assert_array_equal(mapped.weights(), gradient_descent(network, Dataset(X, y), W0, 0.1, 5).weights())


# --- CIFAR-10 -----------------------------------------------------------------------------------------


def write_folder(folder, per_file=4, classes=(3, 5, 7), seed=0):
    """Five training files and a test file of random images; returns {name: (classes, pixels)}."""
    rng, content = np.random.default_rng(seed), {}
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        labels = [classes[k % len(classes)] for k in range(per_file)]
        pixels = rng.integers(0, 256, (per_file, RECORD - 1), dtype=np.uint8)
        content[name] = (labels, pixels)
        with open(folder / name, "wb") as handle:
            for label, image in zip(labels, pixels, strict=True):
                handle.write(bytes([label]) + image.tobytes())
    return content


def expected_images(content, names, positive, negative):
    """One image at a time."""
    X, y = [], []
    for name in names:
        for label, image in zip(*content[name], strict=True):
            if label in (positive, negative):
                X.append([int(pixel) / 255 for pixel in image])
                y.append(1.0 if label == positive else -1.0)
    return np.array(X), np.array(y)


TRAIN = [f"data_batch_{k}.bin" for k in range(1, 6)]


@pytest.mark.parametrize("classes", [(3, 5), (5, 3), (np.int64(7), 3)])
def test_two_classes_of_a_folder(tmp_path, classes):
    content = write_folder(tmp_path)
    train, test = datasets.load_cifar10(tmp_path, classes)
    for found, names in ((train, TRAIN), (test, ["test_batch.bin"])):
        X, y = expected_images(content, names, *classes)
        np.testing.assert_array_equal(found.X, X)
        np.testing.assert_array_equal(found.y, y)
        assert found.d == 3072


def test_centring_takes_the_mean_of_the_training_images_from_all(tmp_path):
    content = write_folder(tmp_path)
    train, test = datasets.load_cifar10(tmp_path, (3, 5), centre=True)
    X, _ = expected_images(content, TRAIN, 3, 5)
    X_test, _ = expected_images(content, ["test_batch.bin"], 3, 5)
    mean = sum(X) / len(X)
    assert np.abs(train.X - (X - mean)).max() < 1e-14
    assert np.abs(test.X - (X_test - mean)).max() < 1e-14


def test_limit_keeps_the_first_of_each_class(tmp_path):
    content = write_folder(tmp_path, per_file=6)
    train, test = datasets.load_cifar10(tmp_path, (3, 5), limit=3)
    X, y = expected_images(content, TRAIN, 3, 5)
    kept = sorted([*np.flatnonzero(y == 1.0)[:3], *np.flatnonzero(y == -1.0)[:3]])
    np.testing.assert_array_equal(train.X, X[kept])
    np.testing.assert_array_equal(train.y, y[kept])
    assert (test.n, test.y.sum()) == (4, 0.0)  # two of each class is all there is


@pytest.mark.parametrize("classes", [(3, 3), (-1, 3), (3, 10), (3,), (1, 2, 3), 3, (1.5, 2), ("cat", "dog"), None])
def test_wrong_classes(tmp_path, classes):
    write_folder(tmp_path)
    with pytest.raises(InvalidParameterError, match="`classes` must be two different whole numbers from 0 to 9; got"):
        datasets.load_cifar10(tmp_path, classes)


@pytest.mark.parametrize("limit", [0, -1, 2.5])
def test_wrong_limit(tmp_path, limit):
    write_folder(tmp_path)
    with pytest.raises(InvalidParameterError, match="`limit` must be a whole number, at least 1"):
        datasets.load_cifar10(tmp_path, (3, 5), limit=limit)


def test_damaged_folders(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(FileFormatError, match=r"no image of class 4 in data_batch_1.bin, .*data_batch_5.bin"):
        datasets.load_cifar10(tmp_path, (3, 4))
    with pytest.raises(FileFormatError, match="there is no such file"):
        datasets.load_cifar10(tmp_path / "elsewhere", (3, 5))
    victim = tmp_path / "data_batch_4.bin"
    whole = victim.read_bytes()
    for content, why in [
        (whole[:-1], f"its {4 * RECORD - 1} bytes are not whole records of {RECORD}: it is truncated"),
        (b"", "its 0 bytes are not whole records"),
        (bytes([11]) + whole[1:], "it holds the class 11, and CIFAR-10 has 0 to 9"),
    ]:
        victim.write_bytes(content)
        with pytest.raises(FileFormatError, match=why) as caught:
            datasets.load_cifar10(tmp_path, (3, 5))
        assert "data_batch_4.bin" in str(caught.value)
    victim.unlink()
    with pytest.raises(FileFormatError, match=r"data_batch_4.bin`: there is no such file"):
        datasets.load_cifar10(tmp_path, (3, 5))


def test_a_black_image_is_refused_unless_the_images_are_centred(tmp_path):
    write_folder(tmp_path)
    victim = tmp_path / "data_batch_2.bin"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:1] + bytes(RECORD - 1) + whole[RECORD:])
    with pytest.raises(FileFormatError, match="zero row: row 3"):
        datasets.load_cifar10(tmp_path, (3, 5))
    assert datasets.load_cifar10(tmp_path, (3, 5), centre=True)[0].n == 15


# --- data of extreme size ---------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [-500, -140, -1, 1, 3, 140, 500, 900, -900])
def test_rescaling_is_exact(exponent):
    X, y = samples()
    X *= 0.9 / np.linalg.norm(X, axis=1).max()  # the largest norm lies in [1/2, 1)
    data, k = Dataset(np.ldexp(X, exponent), y).rescaled()
    assert k == exponent - 1
    np.testing.assert_array_equal(data.X, 2.0 * X)
    np.testing.assert_array_equal(data.y, y)
    assert 1.0 <= data.R_max < 2.0


@pytest.mark.parametrize("factor", [1e-150, 1e-149, 1e-75, 1e75, 1e149, 1e150])
def test_data_with_a_common_factor_are_usable_after_rescaling(factor):
    X, y = samples()
    data, k = Dataset(factor * X, y).rescaled()
    assert 1.0 <= data.R_max < 2.0
    unit = factor / 2.0**k  # between 1/64 and 1: safe
    expected = np.einsum("ik,jk->ij", unit * X, unit * X)
    assert np.abs(data.gram - expected).max() < 1e-13


@pytest.mark.parametrize("exponent", [-300, -40, 40, 300])
def test_gram_entries_are_the_same_bits_in_other_units(exponent):
    X, y = samples()
    original = Dataset(np.ldexp(X, exponent), y)
    data, k = original.rescaled()
    np.testing.assert_array_equal(np.ldexp(data.gram, 2 * k), original.gram)


def test_data_in_good_units_are_returned_as_they_are():
    data = Dataset([[1.0, 0.5], [0.0, 0.1]], [1, -1])
    same, k = data.rescaled()
    assert same is data
    assert k == 0


def test_norms_of_mixed_size_and_rows_in_parts(small_blocks):
    X, _ = samples(4, 2500)
    X *= np.array([1e-300, 1e-200, 1e200, 1.0])[:, None]
    _, k = Dataset(np.vstack([X[2:3], X[:1] * 1e300]), [1, -1]).rescaled()
    assert 2.0 ** (k - 600) <= np.linalg.norm(X[2] * 2.0**-600) < 2.0 ** (k - 599)


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_gram_matrix_out_of_range_is_refused_with_the_remedy(factor):
    X, y = samples()
    with pytest.raises(InvalidDataError, match=r"Dataset\.rescaled"):
        Dataset(factor * X, y).gram  # noqa: B018
