"""Splits into training, development and test rows."""

import hashlib

import numpy as np
import pytest
from absl import logging

from adapters_tf.data.examples import Examples
from adapters_tf.data.splits import (
    split_by_text,
    split_examples,
    split_groups,
    text_key,
    train_dev_split,
)
from adapters_tf.errors import DataError

PARTS = {"dev": 0.1, "test": 0.1}


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


# The fixed split by a hash of the texts.


def texts_and_labels(*counts):
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    return [f"text {i}" for i in range(len(labels))], labels


def by_digest(texts):
    return sorted(
        range(len(texts)),
        key=lambda i: hashlib.sha256(
            b"adapters-tf split 1\n" + texts[i].encode()
        ).hexdigest(),
    )


def test_the_first_hashes_of_a_class_are_dev_then_test():
    texts, labels = texts_and_labels(20)
    order = by_digest(texts)
    parts = split_by_text(texts, labels, PARTS)
    assert parts["dev"].tolist() == sorted(order[:2])
    assert parts["test"].tolist() == sorted(order[2:4])
    assert parts["train"].tolist() == sorted(order[4:])
    # Written down, because published results hang on it.
    assert (parts["dev"].tolist(), parts["test"].tolist()) == ([3, 7], [18, 19])
    assert parts["dev"].dtype == np.int64


def test_each_class_gives_its_rounded_share():
    texts, labels = texts_and_labels(50, 24, 25, 5, 4, 1)
    parts = split_by_text(texts, labels, PARTS)
    counts = {
        name: np.bincount(labels[rows], minlength=6).tolist()
        for name, rows in parts.items()
    }
    assert counts == {
        "train": [40, 20, 19, 3, 4, 1],
        "dev": [5, 2, 3, 1, 0, 0],
        "test": [5, 2, 3, 1, 0, 0],
    }
    together = np.sort(np.concatenate(list(parts.values())))
    np.testing.assert_array_equal(together, np.arange(109))


def test_order_of_the_rows_does_not_matter():
    texts, labels = texts_and_labels(30, 40)
    order = np.random.default_rng(0).permutation(70)
    first = split_by_text(texts, labels, PARTS)
    second = split_by_text([texts[i] for i in order], labels[order], PARTS)
    for name, rows in first.items():
        assert {texts[i] for i in rows} == {texts[order[i]] for i in second[name]}


def test_equal_texts_stay_together_whatever_case_space_and_label():
    texts, labels = texts_and_labels(100, 100)
    texts = [*texts, *(f"  TEXT\n{i}" for i in range(200))]
    labels = np.concatenate([labels, 1 - labels])
    parts = split_by_text(texts, labels, PARTS)
    keys = {name: {text_key(texts[i]) for i in rows} for name, rows in parts.items()}
    assert not keys["train"] & keys["dev"]
    assert not keys["train"] & keys["test"]
    assert not keys["dev"] & keys["test"]
    assert all(len(rows) == 2 * len(keys[name]) for name, rows in parts.items())
    # Each text has both labels and counts to class 0: 400 rows of one class.
    assert {name: len(rows) for name, rows in parts.items()} == {
        "train": 320,
        "dev": 40,
        "test": 40,
    }


def test_a_text_counts_to_the_class_that_most_of_its_rows_have():
    texts, labels = texts_and_labels(10, 10)
    texts = [*texts, "text 0", "text 0"]
    labels = np.append(labels, [1, 1]).astype(np.int32)
    # Class 0 has 9 texts with a row each, class 1 has 10 and one with 3 rows. Of both
    # one row goes to each part, so the three go to training whatever their hash.
    parts = split_by_text(texts, labels, PARTS)
    assert {0, 20, 21} <= set(parts["train"].tolist())
    for name in PARTS:
        assert sorted(labels[parts[name]]) == [0, 1]


def test_a_text_with_many_rows_does_not_crowd_a_part():
    texts = ["the same"] * 30 + [f"text {i}" for i in range(70)]
    parts = split_by_text(texts, np.zeros(100, np.int32), PARTS)
    assert {name: len(rows) for name, rows in parts.items()} == {
        "train": 80,
        "dev": 10,
        "test": 10,
    }
    assert set(range(30)) <= set(parts["train"].tolist())


def test_too_few_rows_for_the_fixed_split():
    with pytest.raises(
        DataError, match="parts train, dev, test. Received: 4 rows.*dev"
    ):
        split_by_text(*texts_and_labels(4), PARTS)
    assert {
        k: len(v) for k, v in split_by_text(*texts_and_labels(5), PARTS).items()
    } == {
        "train": 3,
        "dev": 1,
        "test": 1,
    }


def test_half_a_surrogate_pair_can_be_hashed():
    texts, labels = texts_and_labels(10)
    split_by_text([*texts, "\ud800"], np.append(labels, 0), PARTS)


def test_examples_are_split_with_their_labels():
    texts, labels = texts_and_labels(10, 20)
    splits = split_examples(Examples((texts,), labels))
    assert list(splits) == ["train", "dev", "test"]
    for examples in splits.values():
        for text, label in zip(*examples.texts, examples.labels, strict=True):
            assert label == (int(text.split()[1]) >= 10)
