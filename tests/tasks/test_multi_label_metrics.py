"""F1 of several labels a row, by hand."""

import dataclasses

import numpy as np
import pytest

from adapters_tf.models.task import Task
from adapters_tf.tasks.kinds import compute_metrics, majority_baseline

TASK = Task("t", "multi_label", ("text",), tuple("abcd"), ("f1_micro", "f1_macro"))


def test_by_hand():
    expected = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    given = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]])
    # Label a: 1 found, 1 missed, F1 2/3. b: 0. c: 1 found, 1 too many, F1 2/3.
    # d occurs nowhere and does not count. Together 2 right, 1 too many, 2 missed.
    assert compute_metrics(TASK, given, expected) == pytest.approx(
        {"f1_micro": 4 / 7, "f1_macro": 4 / 9}
    )


@pytest.mark.parametrize("labels", ["abcd", "a"])
def test_one_label_that_occurs_is_no_accuracy(labels):
    task = dataclasses.replace(TASK, labels=tuple(labels))
    expected, given = np.zeros((2, 5, len(labels)))
    expected[:3, 0] = 1
    assert compute_metrics(task, given, expected) == {"f1_micro": 0, "f1_macro": 0}
    # 2 right, 1 missed, 1 too many.
    given[1:4, 0] = 1
    assert compute_metrics(task, given, expected) == pytest.approx(
        {"f1_micro": 2 / 3, "f1_macro": 2 / 3}
    )


def test_nothing_anywhere_is_0():
    zeros = np.zeros((2, 4))
    assert compute_metrics(TASK, zeros, zeros) == {"f1_micro": 0, "f1_macro": 0}


def test_baseline_gives_the_labels_of_half_of_the_rows():
    train = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    dev = np.array([[1, 0, 1, 0], [0, 1, 1, 0]])
    # a and c for each: 3 right, 1 too many, 1 missed.
    baseline = majority_baseline(TASK, train, dev)
    assert baseline["f1_micro"] == pytest.approx(6 / 8)


def test_shapes():
    with pytest.raises(ValueError, match=r"\[N, classes\].*\(2,\) and \(2,\)"):
        compute_metrics(TASK, np.zeros(2), np.zeros(2))
