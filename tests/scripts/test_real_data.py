"""scripts/real_data.py: the pairs of classes that it takes, and the table that it prints."""

from __future__ import annotations

import numpy as np
import pytest
import real_data

from refimpl import Dataset, LeakyReLU, TwoLayerNetwork


def test_the_pairs_of_classes() -> None:
    pytest.importorskip("sklearn")
    first, second = real_data.instances(["iris"])
    assert [name for name, _ in (first, second)] == ["iris 0/1", "iris 1/2"]
    assert first[1].X.shape == second[1].X.shape == (100, 4)
    np.testing.assert_array_equal(first[1].y[50:], second[1].y[:50] * -1)  # class 1 is -1, then +1
    np.testing.assert_array_equal(first[1].X[50:], second[1].X[:50])


def test_the_table(monkeypatch, capsys) -> None:
    data = Dataset([[2.0, 0.1, 0.0], [0.0, 2.0, 0.1]], [1, -1])
    monkeypatch.setattr(real_data, "instances", lambda names: [(name, data) for name in names])
    monkeypatch.setattr(real_data, "NETWORK", TwoLayerNetwork.with_signs(2, 1, LeakyReLU(0.5)))
    assert real_data.main(["iris"]) == 0
    header, _, raw, standardized = capsys.readouterr().out.splitlines()
    assert header.count("|") == raw.count("|") == 9
    assert raw.startswith("| iris | 2 x 3 | raw | ")
    assert " | 3 of 3 | yes | - | " in raw
    assert " | standardize | " in standardized


def test_what_was_not_reached_is_told(monkeypatch, capsys) -> None:
    data = Dataset([[2.0, 0.1, 0.0], [0.0, 2.0, 0.1]], [1, -1])
    monkeypatch.setattr(real_data, "instances", lambda names: [(name, data) for name in names])
    assert real_data.main(["wine", "--time-limit", "1e-9"]) == 0
    assert "descent-converges: time: the limit of 1e-09 s was reached." in capsys.readouterr().out


def test_data_that_it_does_not_have() -> None:
    with pytest.raises(SystemExit) as stop:
        real_data.main(["mnist"])
    assert stop.value.code == 2
