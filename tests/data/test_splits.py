"""Splits into training and development rows."""

import numpy as np
import pytest
from absl import logging

from adapters_tf.data.splits import split_groups, train_dev_split
from adapters_tf.errors import DataError


@pytest.fixture
def warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *a: messages.append(text % a))
    return messages


def test_parts_are_ascending_disjoint_and_complete():
    train, dev = train_dev_split(None, 50, 0.2, seed=3)
    assert train.dtype == dev.dtype == np.int64
    assert len(dev) == 10
    assert (np.diff(train) > 0).all() and (np.diff(dev) > 0).all()
    np.testing.assert_array_equal(np.sort(np.r_[train, dev]), np.arange(50))


def test_seed_decides():
    first, second, other = (train_dev_split(None, 50, 0.2, s)[1] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_proportions_are_kept(warnings):
    labels = np.array([0] * 80 + [1] * 20, np.int32)
    for seed in range(5):
        _, dev = train_dev_split(labels, 100, 0.1, seed)
        assert np.bincount(labels[dev]).tolist() == [8, 2]
    assert warnings == []


def test_without_stratifying_proportions_vary():
    labels = np.array([0] * 50 + [1] * 50, np.int32)
    ones = {
        int(labels[train_dev_split(labels, 100, 0.1, s, stratify=False)[1]].sum())
        for s in range(10)
    }
    assert len(ones) > 1


def test_at_least_one_row_on_each_side():
    train, dev = train_dev_split(None, 2, 0.01, 0)
    assert (len(train), len(dev)) == (1, 1)
    train, dev = train_dev_split(None, 3, 0.99, 0)
    assert (len(train), len(dev)) == (1, 2)


def test_class_of_one_row_stays_in_train(warnings):
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    for seed in range(10):
        train, dev = train_dev_split(labels, 9, 0.3, seed)
        assert 8 in train and len(dev) == 3
    assert "1 classes have one row each" in warnings[0]


def test_more_classes_than_development_rows(warnings):
    labels = np.repeat(np.arange(10), 3)
    train, dev = train_dev_split(labels, 30, 0.1, 0)
    assert (len(train), len(dev)) == (27, 3)
    assert "not stratified" in warnings[0]


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 2, float("nan")])
def test_bad_fraction(fraction):
    with pytest.raises(DataError, match="between 0 and 1.*dev_fraction="):
        train_dev_split(None, 10, fraction, 0)


@pytest.mark.parametrize("labels", [None, np.array([1])])
def test_too_few_rows(labels):
    with pytest.raises(DataError, match="at least 2 rows.*1 rows"):
        train_dev_split(labels, 1, 0.5, 0)


def test_only_classes_of_one_row(warnings):
    with pytest.raises(DataError, match="3 rows, 3 of them the only one"):
        train_dev_split(np.arange(3), 3, 0.5, 0)


def test_as_many_labels_as_rows():
    with pytest.raises(DataError, match="one label a row.*2 labels, 3 rows"):
        train_dev_split(np.zeros(2, int), 3, 0.5, 0)


def test_groups_stay_together():
    groups = [row % 20 for row in range(100)]
    labels = np.arange(100) % 2
    for seed in range(5):
        train, dev = split_groups(groups, labels, 0.1, seed)
        assert sorted([*train, *dev]) == list(range(100))
        assert len(dev) == 10  # 2 of 20 groups, one of each class
        assert {row % 20 for row in dev}.isdisjoint(row % 20 for row in train)
        assert labels[dev].tolist().count(1) == 5


def test_rows_without_groups_are_split_as_ever():
    labels = np.arange(50) % 2
    for given in (labels, None):
        expected = train_dev_split(given, 50, 0.2, 3)
        for mine, plain in zip(
            split_groups(range(50), given, 0.2, 3), expected, strict=True
        ):
            np.testing.assert_array_equal(mine, plain)


def test_one_group_cannot_be_split():
    with pytest.raises(DataError, match="2 rows, .* of different texts. .*: 1 r"):
        split_groups(["a"] * 9, None, 0.1, 0)
