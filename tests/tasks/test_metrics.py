"""The metrics against values worked out by hand."""

import math
import warnings

import numpy as np
import pytest
from absl import logging

from adapters_tf.data.examples import QuestionExamples
from adapters_tf.models.task import Task
from adapters_tf.tasks.kinds import compute_metrics, majority_baseline

CLASSES = Task(
    "c",
    "classification",
    ("text",),
    ("no", "yes"),
    ("matthews", "accuracy", "f1", "f1_macro"),
)
SCORES = Task("r", "regression", ("text",), metrics=("spearman", "pearson"))
QUESTIONS = Task(
    "q",
    "question_answering",
    ("question", "context"),
    metrics=("f1", "exact_match"),
)
REFERENCES = QuestionExamples(
    ids=["q1", "q2"],
    questions=["Who?", "When?"],
    contexts=["Ada Lovelace", "in 1833"],
    answers=[("Ada Lovelace", "Lovelace"), ("1833",)],
    starts=[(0, 4), (3,)],
)


def test_classification():
    # Of class 1: one right, one false alarm, none missed; two right of class 0.
    values = compute_metrics(CLASSES, np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
    assert list(values) == ["matthews", "accuracy", "f1", "f1_macro"]
    assert values == pytest.approx(
        {
            "matthews": 2 / math.sqrt(12),
            "accuracy": 0.75,
            "f1": 2 / 3,
            "f1_macro": (4 / 5 + 2 / 3) / 2,
        }
    )
    assert all(type(value) is float for value in values.values())


def test_f1_is_of_class_one_whichever_is_rarer():
    values = compute_metrics(CLASSES, [1, 1, 1, 0], [1, 1, 0, 1])
    assert values["f1"] == pytest.approx(2 / 3)


def test_perfect_and_opposite():
    assert compute_metrics(CLASSES, [0, 1], [0, 1])["matthews"] == pytest.approx(1)
    assert compute_metrics(CLASSES, [1, 0], [0, 1])["matthews"] == pytest.approx(-1)


def test_constant_classes_score_zero_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = compute_metrics(CLASSES, [0, 0, 0], [0, 1, 0])
    assert values["matthews"] == 0 and values["f1"] == 0
    assert values["f1_macro"] == pytest.approx(0.4)


def test_correlations():
    values = compute_metrics(SCORES, [1.0, 2, 3, 10], [1.0, 2, 3, 4])
    assert values == pytest.approx({"spearman": 1, "pearson": 14 / math.sqrt(250)})
    swapped = compute_metrics(SCORES, [1.0, 3, 2, 4], [1.0, 2, 3, 4])
    assert swapped == pytest.approx({"spearman": 0.8, "pearson": 0.8})
    ties = compute_metrics(SCORES, [1.0, 1, 2], [1.0, 2, 3])
    assert ties["spearman"] == pytest.approx(math.sqrt(3) / 2)


@pytest.mark.parametrize(
    "predictions, references",
    [
        ([2.5, 2.5, 2.5], [1.0, 2, 3]),
        ([1.0, 2, 3], [2.5, 2.5, 2.5]),
        ([1.0], [2.0]),
    ],
)
def test_undefined_correlations_are_zero_without_warnings(predictions, references):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = compute_metrics(SCORES, predictions, references)
    assert values == {"spearman": 0.0, "pearson": 0.0}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_diverged_predictions_score_zero_and_say_so(value, monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *a: messages.append(text % a))
    values = compute_metrics(SCORES, [1.0, value, 3], [1.0, 2, 3])
    assert values == {"spearman": 0.0, "pearson": 0.0}
    assert "1 of 3 predictions are not finite" in messages[0]


def test_question_answering():
    # Case, articles and punctuation do not count, and the best answer does.
    predictions = {"q1": "the lovelace!", "q2": "in 1833"}
    values = compute_metrics(QUESTIONS, predictions, REFERENCES)
    assert values == pytest.approx({"f1": (1 + 2 / 3) / 2, "exact_match": 0.5})


def test_bad_question_answering():
    with pytest.raises(ValueError, match=r"1 without a prediction \(\['q2'\]\)"):
        compute_metrics(QUESTIONS, {"q1": "x"}, REFERENCES)
    unlabelled = QuestionExamples(["q1"], ["?"], ["c"], [()], [()])
    with pytest.raises(ValueError, match=r"1 without an answer \(\['q1'\]\)"):
        compute_metrics(QUESTIONS, {"q1": "x"}, unlabelled)
    with pytest.raises(ValueError, match="mapping of ids.*list"):
        compute_metrics(QUESTIONS, ["x", "y"], REFERENCES)


@pytest.mark.parametrize(
    "predictions, references",
    [([0, 1], [0]), ([], []), ([[0.2, 0.8]], [1]), ([[0], [1]], [0, 1])],
)
def test_shapes(predictions, references):
    with pytest.raises(ValueError, match=r"same shape \[N\]"):
        compute_metrics(CLASSES, predictions, references)


def test_unknown_metric():
    task = Task("r", "regression", ("text",), metrics=("accuracy",))
    with pytest.raises(ValueError, match="one of spearman, pearson .*'accuracy'"):
        compute_metrics(task, [1.0, 2], [1.0, 2])


def test_majority_class():
    train = np.array([1, 1, 1, 0], np.int32)
    values = majority_baseline(CLASSES, train, np.array([1, 0, 0, 0], np.int32))
    assert values["accuracy"] == 0.25
    assert values["matthews"] == 0
    assert values["f1"] == pytest.approx(0.4)


def test_majority_of_scores_and_of_questions():
    values = majority_baseline(SCORES, np.array([1.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    assert values == {"spearman": 0.0, "pearson": 0.0}
    values = majority_baseline(QUESTIONS, REFERENCES, REFERENCES)
    assert values == {"f1": 0.0, "exact_match": 0.0}
