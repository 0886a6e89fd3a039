"""Entity F1, by hand."""

import numpy as np
import pytest

from adapters_tf.data.examples import WordExamples
from adapters_tf.models.task import Task
from adapters_tf.tasks.kinds import compute_metrics, majority_baseline

LABELS = ("O", "B-a", "I-a", "B-b", "I-b")
METRICS = ("entity_f1", "entity_precision", "entity_recall")
TASK = Task("t", "token_classification", ("0",), LABELS, METRICS)


def rows(*tags):
    indices = [np.array([LABELS.index(tag) for tag in row.split()]) for row in tags]
    return WordExamples([tuple("w" * len(row)) for row in indices], indices)


def test_by_hand():
    expected = rows("B-a I-a O B-b", "B-a B-a O")
    # Right: the second a of the second row. Too short, of another type, too long.
    given = ["B-a O O B-a".split(), "O B-a I-a".split()]
    assert compute_metrics(TASK, given, expected) == pytest.approx(
        {"entity_f1": 0, "entity_precision": 0, "entity_recall": 0}
    )
    given[1] = "O B-a O".split()
    # 3 given, 4 expected, 1 of them the same.
    assert compute_metrics(TASK, given, expected) == pytest.approx(
        {"entity_f1": 2 / 7, "entity_precision": 1 / 3, "entity_recall": 1 / 4}
    )


def test_baseline_finds_nothing():
    expected = rows("B-a I-a", "O")
    baseline = majority_baseline(TASK, expected, expected)
    assert baseline == dict.fromkeys(METRICS, 0.0)


def test_a_tag_for_each_word():
    with pytest.raises(ValueError, match="Every word needs a predicted tag"):
        compute_metrics(TASK, [["O"]], rows("O O"))
    with pytest.raises(ValueError, match="WordExamples with tags"):
        compute_metrics(TASK, [["O"]], WordExamples([("w",)]))
