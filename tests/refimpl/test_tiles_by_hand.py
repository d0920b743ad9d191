"""Products of tiles and coordinates of the span in numbers by hand (docs/numerics.md, "Data larger than memory")."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from refimpl import Dataset
from refimpl.errors import FileFormatError, InvalidDataError, InvalidParameterError, ShapeError
from refimpl.reduction import reduced
from refimpl.tiles import (
    ArrayColumns,
    NpyColumns,
    Plan,
    ScaledColumns,
    SparseColumns,
    accumulate,
    columns,
    gram_matrix,
    products_with_weights,
    write_combination,
)
from refimpl.tiles.accumulate import CompensatedSum, gram_of_remainder
from refimpl.tiles.checks import check_equal_rows, check_tiles, exponent_of_largest_norm


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_blocks_of_weights_add_up(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One tile of five columns, W in blocks of so many: W Xᵀ and W Wᵀ are whole numbers."""
    monkeypatch.setattr(accumulate, "WEIGHT_WIDTH", width)
    X, W = np.arange(10.0).reshape(2, 5), np.array([[1.0, -1.0, 2.0, 0.0, 3.0], [0.0, 1.0, 1.0, 1.0, -2.0]])
    ((Z, B),) = products_with_weights(ArrayColumns(X), [ArrayColumns(W)])
    np.testing.assert_array_equal(Z, [[15.0, 40.0], [-2.0, 3.0]])
    np.testing.assert_array_equal(B, [[15.0, -5.0], [-5.0, 7.0]])


def test_the_largest_part_across_the_span_is_kept() -> None:
    """d = 3, one sample: of three rows across it two columns are left, and they carry all of W0 W0ᵀ."""
    W = np.array([[1.0, 3.0, 0.0], [2.0, 0.0, 4.0], [3.0, 3.0, 4.0]])
    small = reduced(Dataset([[2.0, 0.0, 0.0]], [1.0]), [W], 3)
    V = small.weights[0]
    assert V.shape == (3, 3)
    np.testing.assert_allclose(np.abs(V[:, 0]), [1.0, 2.0, 3.0], rtol=1e-13)
    np.testing.assert_allclose(V @ V.T, W @ W.T, atol=1e-12)
    assert not small.data.exact


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of two columns."""
    monkeypatch.setattr(columns, "LARGEST_WIDTH", 2)


def test_all_that_is_lost_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 + u + u is 1 + 2u; a float sum loses both, and half of what is lost would be lost again. Also in later rows."""
    u = 2.0**-53
    for height in (1, 3):
        total = CompensatedSum((3, 1))
        monkeypatch.setattr(accumulate, "SUM_ROWS", height)
        for value in (1.0, u, u):
            total.add(np.full((3, 1), value))
        np.testing.assert_array_equal(total.value, np.full((3, 1), 1.0 + 2.0 * u))
    for order in ((u, 1.0, u), (1.0, -u, -u)):  # a term that is larger than the sum so far; of the other sign
        total = CompensatedSum((1, 1))
        for value in order:
            total.add(np.array([[value]]))
        assert float(total.value[0, 0]) == float(np.sum([Fraction(value) for value in order]))
    with np.errstate(invalid="ignore"):
        for value in (1.0, np.inf):
            total.add(np.array([[value]]))
    assert np.isposinf(total.value[0, 0])


def test_the_gram_matrix_keeps_what_tiles_lose(narrow: None) -> None:
    """⟨x, x'⟩ = 1 + u + u over three tiles, ‖x'‖² = 1 + 2u² rounded, ‖x‖² = 3."""
    u = 2.0**-53
    X = np.array([[1.0, 0.0, 1.0, 0.0, 1.0], [1.0, 0.0, u, 0.0, u]])
    np.testing.assert_array_equal(gram_matrix(ArrayColumns(X)), [[3.0, 1.0 + 2.0 * u], [1.0 + 2.0 * u, 1.0]])


@pytest.mark.parametrize(("n", "width"), [(1, 32768), (256, 32768), (257, 16384), (1000, 8192), (2**23, 1), (2**24, 1)])
def test_the_width_of_a_tile_is_the_largest_power_of_two_that_fits(n: int, width: int) -> None:
    assert columns.tile_width(n) == width
    assert n * width <= 2**23 or width == 1


def test_parts_are_read_by_the_numbers_of_the_whole(narrow: None) -> None:
    """Columns 2 to 4 of five, of arrays and of sparse matrices, scaled or not; the whole is left as it was."""
    X = np.arange(1.0, 11.0).reshape(2, 5)
    for made in (ArrayColumns(X), SparseColumns(sparse.csr_array(X))):
        for whole, expected in ((made, X), (ScaledColumns(made, 3), 8.0 * X)):
            part = whole.part(2, 4)
            assert part.shape == (2, 5)
            np.testing.assert_array_equal(part.dense(2, 4), expected[:, 2:4])
            np.testing.assert_array_equal(part.dense(3, 4), expected[:, 3:4])
            np.testing.assert_array_equal(part.part(3, 4).dense(3, 4), expected[:, 3:4])
            np.testing.assert_array_equal(whole.rows(1, 2), expected[1:2])
            np.testing.assert_array_equal(whole.array(), expected)
            np.testing.assert_array_equal(np.vstack(list(whole.row_blocks())), expected)
        np.testing.assert_array_equal(made.array(), X)


def test_scaling_what_a_reader_hands_out_leaves_it_as_it_is() -> None:
    """A home that gives the same sparse matrix at every call, as one with a cache does."""

    class Cached(SparseColumns):
        def read(self, start: int, stop: int) -> object:
            return self.X

    home = Cached(sparse.csr_array(np.eye(2)))
    for _ in range(2):
        np.testing.assert_array_equal(ScaledColumns(home, 3).dense(0, 2), 8.0 * np.eye(2))


def test_blocks_of_rows_are_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four numbers a tile, three a row: one row at a time; of one column four."""
    monkeypatch.setattr(columns, "TILE_ENTRIES", 4)
    X = np.arange(15.0).reshape(5, 3)
    assert [len(rows) for rows in ArrayColumns(X).row_blocks()] == [1] * 5
    np.testing.assert_array_equal(np.vstack(list(ArrayColumns(X).row_blocks())), X)
    assert [len(rows) for rows in ArrayColumns(X[:, :1]).row_blocks()] == [4, 1]


def test_what_is_left_across_the_samples() -> None:
    """W = (3, 4), X = (1, 0): W - 3X = (0, 4), so R Rᵀ = 16; with the other sign it would be 36 + 16."""
    X, W = ArrayColumns(np.array([[1.0, 0.0]])), ArrayColumns(np.array([[3.0, 4.0]]))
    np.testing.assert_array_equal(gram_of_remainder(X, W, np.array([[3.0]])), [[16.0]])


@pytest.mark.parametrize(("labels", "refused"), [((1, 1, -1), False), ((1, -1, -1), True), ((-1, -1, 1), False)])
def test_equal_rows_are_refused_if_their_labels_differ(narrow: None, labels: tuple[int, ...], refused: bool) -> None:
    """Rows 0 and 1 are equal, row 2 is not; K says nothing where it is NaN, as of squares out of range."""
    X, y = ArrayColumns(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]])), np.array(labels, dtype=float)
    for K in (gram_matrix(X), np.full((3, 3), np.nan)):
        if refused:
            with pytest.raises(InvalidDataError, match="rows 0 and 1"):
                check_equal_rows(X, y, K)
        else:
            check_equal_rows(X, y, K)


def test_an_entry_that_is_not_finite_is_named_by_its_place_in_the_whole(narrow: None) -> None:
    X = np.ones((3, 5))
    X[1, 3] = np.inf
    with pytest.raises(InvalidParameterError, match=r"X\[1, 3\]"):
        check_tiles(ArrayColumns(X))
    with pytest.raises(InvalidDataError, match="row 1"):  # rows 1 and 2 are 0, the first of them is told
        check_tiles(ArrayColumns(np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])))


@pytest.mark.parametrize(("row", "k"), [((3.0, 0.0, 4.0), 2), ((1e-300, 0.0, 0.0), -997), ((0.0, 2.0, 0.0), 1)])
def test_the_exponent_of_the_largest_norm(narrow: None, row: tuple[float, ...], k: int) -> None:
    """2² <= 5 < 2³, 2^-997 <= 1e-300 < 2^-996, 2 <= 2 < 4; beside a row of norm below 1e-301."""
    X = ArrayColumns(np.array([[1e-302, 0.0, 0.0], row]))
    assert exponent_of_largest_norm(X) == k


def test_a_file_by_columns_has_the_rows_of_the_array(narrow: None, tmp_path: Path) -> None:
    X = np.arange(15.0).reshape(3, 5)
    for name, array in (("C", X), ("F", np.asfortranarray(X))):
        np.save(tmp_path / f"{name}.npy", array)
        home = NpyColumns(tmp_path / f"{name}.npy")
        np.testing.assert_array_equal(home.rows(1, 3), X[1:3])
        np.testing.assert_array_equal(home.read(2, 4), X[:, 2:4])


def test_a_file_of_the_same_size_that_changed_later_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "X.npy"
    np.save(path, np.ones((2, 3)))
    home = NpyColumns(path)
    np.save(path, np.zeros((2, 3)))
    os.utime(path, ns=(0, 0))
    with pytest.raises(FileFormatError, match="has changed"):
        home.read(0, 1)


def test_a_combination_of_several_tiles(narrow: None, tmp_path: Path) -> None:
    """W0 + C X with 1000 W0 of distinct columns; an overflow to infinity is none to NaN, and is refused."""
    X, W0 = np.arange(10.0).reshape(2, 5), 1000.0 * np.arange(1.0, 6.0)[None, :]
    write_combination(tmp_path / "W.npy", [[1.0, -1.0]], X, W0)
    np.testing.assert_array_equal(np.load(tmp_path / "W.npy"), [[995.0, 1995.0, 2995.0, 3995.0, 4995.0]])
    with pytest.raises(InvalidParameterError, match="overflow"):
        write_combination(tmp_path / "V.npy", [[1.0, 0.0]], np.full((2, 3), 1e308), np.full((1, 3), 1e308))


def test_a_slice_of_another_shape_is_refused() -> None:
    """Of the right number of axes; as of an array whose end was cut off."""

    class Short:
        shape = (2, 4)

        def __getitem__(self, key: object) -> np.ndarray:
            return np.ones((2, 1))

    with pytest.raises(ShapeError):
        columns.SlicedColumns(Short()).read(0, 2)


def test_the_budget_holds_tiles_and_sums(tmp_path: Path) -> None:
    """n = 4, d = 8: 16 · 4 · 32768 bytes of the tile and 3 · 4 · 4 · 8 of the sum; one byte less is refused."""
    np.save(tmp_path / "X.npy", np.ones((4, 8)))
    home, least = NpyColumns(tmp_path / "X.npy"), 16 * 4 * 32768 + 3 * 4 * 4 * 8
    home.plan = Plan(memory=least)
    np.testing.assert_array_equal(gram_matrix(home), np.full((4, 4), 8.0))
    home.plan = Plan(memory=least - 1)
    with pytest.raises(InvalidParameterError, match="memory"):
        gram_matrix(home)


def test_tiles_come_in_order_with_as_many_under_way_as_fit(narrow: None) -> None:
    """Sums of whole numbers tell no order; a sum that grows from 2^-60 to 1 does, and so does what is told."""
    told: list[tuple[int, int]] = []
    X = ArrayColumns(np.array([[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0]]))
    with ThreadPoolExecutor(2) as executor:
        X.plan = Plan(executor=executor, progress=lambda done, of: told.append((done, of)))
        keys = [key for key, _ in accumulate.read_ahead(SparseColumns(sparse.csr_array(X.X)), 2)]
        assert gram_matrix(X)[0, 0] == 30.0
    assert keys == [(0, 2), (2, 4), (4, 6), (6, 7)]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
