"""Rows in memory: shuffled anew in each epoch, split at the end."""

import numpy as np
import pytest

from adapters_tf.models.arrays import split_rows
from adapters_tf.models.tensorflow_task import shuffled_dataset

TEXTS = [f"text {i}" for i in range(20)]
LABELS = list(range(20))


def seen(data):
    """The texts and labels of one pass, in their order."""
    rows = [(x.numpy(), y.numpy()) for x, y in data]
    texts = [t.decode() for x, _ in rows for t in x]
    return texts, np.concatenate([y for _, y in rows]).tolist()


def test_every_row_once_with_its_label_in_another_order_each_epoch():
    data = shuffled_dataset((TEXTS, LABELS, None), 8, seed=0)
    texts, labels = seen(data)
    assert sorted(labels) == LABELS and labels != LABELS
    assert texts == [f"text {i}" for i in labels]
    assert seen(data)[1] != labels


def test_seed_gives_the_order():
    def order(seed):
        return seen(shuffled_dataset((TEXTS, LABELS, None), 8, seed))[1]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_pairs_weights_and_dicts_stay_together():
    pair = (TEXTS, [t.upper() for t in TEXTS])
    for (a, b), y, w in shuffled_dataset((pair, LABELS, np.arange(20.0)), 8, 0):
        assert [t.decode().upper() for t in a.numpy()] == [
            t.decode() for t in b.numpy()
        ]
        np.testing.assert_array_equal(y, w)
    tensors = {"token_ids": np.arange(40).reshape(20, 2)}
    for x, y in shuffled_dataset((tensors, np.arange(20), None), 8, 0):
        np.testing.assert_array_equal(x["token_ids"][:, 0], 2 * y)


def test_split_takes_the_last_rows():
    train, rest = split_rows(((TEXTS, TEXTS), LABELS, None), 0.25)
    assert train[0][1] == TEXTS[:15] and rest[0][0] == TEXTS[15:]
    assert train[1] == LABELS[:15] and rest[1] == LABELS[15:] and rest[2] is None
    with pytest.raises(ValueError, match="leave rows in both parts of the 20"):
        split_rows((TEXTS, LABELS, None), 0.999)
