"""The fixed split by a hash of the texts."""

import hashlib

import numpy as np
import pytest

from adapters_tf.data.examples import Examples
from adapters_tf.data.text_splits import split_by_text, split_examples, text_key
from adapters_tf.errors import DataError

PARTS = {"dev": 0.1, "test": 0.1}


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


def test_too_few_rows():
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
